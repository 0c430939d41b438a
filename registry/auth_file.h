/* auth_file.h - one credentials file: docker's config.json, containers' auth.json, the old
 * .dockercfg.
 *
 * Text in, credentials out, and back. Which files there are and in which order: credentials.c.
 */
#pragma once

#include <stdbool.h>

#include "fs/base/error.h"
#include "fs/base/json.h"
#include "fs/base/str.h"
#include "registry/credentials.h"

enum auth_file_kind {
    AUTH_FILE_CONFIG, /* {"auths": {..}, "credsStore": .., "credHelpers": {..}} */
    AUTH_FILE_LEGACY  /* .dockercfg: the content of "auths" alone */
};

/* Reads `path`; a file that is missing, or not ours to read (warned of), gives NULL. -EINVAL it is
 * malformed. */
int auth_file_read(const char *path, enum auth_file_kind kind, struct json **out,
                   struct error *err);
/* `text` as if it were a file; `what` names it. */
int auth_file_parse(const char *text, const char *what, struct json **out, struct error *err);

/* $DOCKER_CONFIG/config.json, else ~/.docker/config.json, whether or not it is there; NULL without a
 * home. Caller frees. */
char *auth_file_docker_path(void);
/* The helper that keeps the credentials of `host`, or NULL; borrowed. */
const char *auth_file_helper(const struct json *document, const char *host);
/* Appends the hosts that "auths" and "credHelpers" have entries for, each once. */
void auth_file_hosts(const struct json *document, enum auth_file_kind kind, struct strv *out);
/* 1 and *out from "auths", the longest key that covers host/repository; 0 when none does. */
int auth_file_find(const struct json *document, const char *host, const char *repository,
                   struct credential *out, struct error *err);

/* Sets (or with NULL removes) the entry of `host` in the file at `path`, under a lock, atomically.
 * Returns 1 when there was one before, else 0. Removing from a missing file changes nothing. */
int auth_file_update(const char *path, enum auth_file_kind kind, const char *host,
                     const struct credential *credential, struct error *err);
/* What docker uses as key and as a helper's server: the v1 URL for the Hub, else the host. */
const char *auth_file_key(const char *host);

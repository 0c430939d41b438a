/* credentials.h - who we are to which registry, from the files and helpers docker and containers
 * use.
 *
 * Looked for in this order; the first that knows the host (or, more precisely, the longest leading
 * part of host/repository within one file) answers: 1 --authfile, else REGISTRY_AUTH_FILE: then no
 * other file is read 2 DOCKER_AUTH_CONFIG, which holds the text of a config.json 3
 * $XDG_RUNTIME_DIR/containers/auth.json, else /run/containers/<uid>/auth.json 4
 * $XDG_CONFIG_HOME/containers/auth.json, else ~/.config/containers/auth.json 5
 * $DOCKER_CONFIG/config.json, else ~/.docker/config.json 6 ~/.dockercfg Within a file: credHelpers
 * for the host, then credsStore, then auths. containers-auth.json(5), docker-login(1). Secrets are
 * never logged and never in a sentence (SECURITY R49).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct credential {
    char *user;           /* with secret; NULL when anonymous */
    char *secret;         /* password */
    char *identity_token; /* for the token service instead of user and secret; or NULL */
    char *registry_token; /* to be sent to the registry as it is; or NULL */
};
bool credential_is_empty(const struct credential *c);
void credential_copy(struct credential *to, const struct credential *from);
void credential_release(struct credential *c); /* wipes the secrets */
DEFINE_CLEANUP_VALUE(credential_release, struct credential)
#define auto_credential CLEANUP(credential_release)

struct credentials; /* thread-safe; files are read when first needed, and then kept */

struct credentials_options {
    const char *authfile;         /* copied; NULL: the usual places */
    unsigned helper_timeout_ms;   /* 0: 30 seconds */
    const atomic_bool *cancelled; /* ends the wait for a helper; borrowed or NULL */
};
struct credentials *credentials_new(const struct credentials_options *options); /* no I/O */
void credentials_free(struct credentials *c);

/* For host ("docker.io", "h.io:5000") and repository (NULL: the host alone). Knowing nothing is
 * success with an empty `*out`; so is a helper that fails, after a warning. -EINVAL names a file
 * that cannot be understood; -ECANCELED. */
int credentials_find(struct credentials *c, const char *host, const char *repository,
                     struct credential *out, struct error *err);

/* From now on these are who we are at `host`, whatever is stored; copied. */
void credentials_override(struct credentials *c, const char *host, const char *user,
                          const char *secret);

/* Stores them where credentials_find will look first: in the helper or the file that already knows
 * the host, else in what docker login uses. `*where` (caller frees) says where; *is_plain_text when
 * it is a file. A file is replaced at once or not at all, 0600, keeping keys we do not know and a
 * symbolic link (SECURITY R47). -EPERM the file belongs to somebody else. */
int credentials_store(struct credentials *c, const char *host, const struct credential *credential,
                      char **where, bool *is_plain_text, struct error *err);
/* Appends the hosts that any file knows, each once. */
int credentials_hosts(struct credentials *c, struct strv *out, struct error *err);
/* Forgets them in every file and helper. Returns how many places knew them; *where is the first. */
int credentials_erase(struct credentials *c, const char *host, char **where, struct error *err);

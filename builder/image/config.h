/* config.h - the image configuration: read from a base, changed by instructions, written again.
 *
 * OCI image-spec, config.md, and docker's additions (Healthcheck, OnBuild, Shell, ArgsEscaped).
 * Fields that we do not know are kept as they came. One config belongs to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/json.h"
#include "fs/base/str.h"
#include "registry/platform.h"

struct config;

/* "/" as working directory and one PATH, as every builder gives an image FROM scratch. */
struct config *config_new_scratch(const struct platform *platform);
/* -EINVAL: not an image config; `what` names it. A PATH is added to a Linux base without one. */
int config_parse(const char *bytes, size_t size, const char *what, struct config **out,
                 struct error *err);
struct config *config_copy(const struct config *c);
void config_free(struct config *c);
DEFINE_CLEANUP(config_free, struct config *)
#define auto_config CLEANUP(config_free)

/* Borrowed until the next change. Texts are "" when unset. */
const char *config_user(const struct config *c);
const char *config_working_dir(const struct config *c); /* "/" when unset */
/* When it was made: "created", else that of the last entry of the history, else 0. */
int64_t config_time(const struct config *c);
void config_platform(const struct config *c, struct platform *out);   /* caller releases */
void config_env(const struct config *c, struct strv *out);            /* appends "NAME=value" */
const char *config_env_get(const struct config *c, const char *name); /* NULL when unset */
void config_shell(const struct config *c, struct strv *out);          /* default /bin/sh -c */
void config_words(const struct config *c, const char *key, struct strv *out); /* "Cmd", "OnBuild" */
size_t config_entry_count(const struct config *c); /* variables, labels and history: its size */
size_t config_layer_count(const struct config *c);
int config_layer_diff_id(const struct config *c, size_t position, struct digest *out,
                         struct error *err);
const struct json *config_json(const struct config *c);
/* Records of the build cache beside an image (cache_remote.h); NULL: none. */
const struct json *config_cache(const struct config *c);
/* Takes `records`; NULL takes away those of other builders too: an image made from this one has
 * none of them. */
void config_set_cache(struct config *c, struct json *records);

/* Keys are those of the "config" object: "User", "WorkingDir", "Cmd", "Entrypoint", ... */
void config_set_text(struct config *c, const char *key, const char *value);
void config_set_bool(struct config *c, const char *key, bool value);
void config_set_words(struct config *c, const char *key,
                      const struct strv *value);                           /* NULL removes */
void config_add_word(struct config *c, const char *key, const char *word); /* behind the others */
void config_set_value(struct config *c, const char *key, struct json *value); /* takes value */
void config_env_put(struct config *c, const char *name, const char *value); /* keeps its position */
void config_env_remove(struct config *c, const char *name); /* one that is not there is fine */
void config_map_remove(struct config *c, const char *key, const char *member); /* so here */
void config_map_put(struct config *c, const char *key, const char *member, struct json *value);
void config_set_author(struct config *c, const char *author);
void config_set_created(struct config *c, int64_t created_ns);

struct config_history {
    int64_t created_ns;
    const char *created_by;
    const char *comment; /* or NULL */
    bool empty_layer;
};
void config_add_history(struct config *c, const struct config_history *h);
void config_clear_history(struct config *c);
/* Entries beyond the first `kept` that stand for layers stand for none any more. */
void config_empty_history(struct config *c, size_t kept);
/* History and rootfs are the image's proof of what it holds: the non-empty entries must equal the
 * layers. Sets rootfs; a base whose history is short is padded, as other builders do. */
void config_set_layers(struct config *c, const struct digest *diff_ids, size_t count);
/* The bytes whose digest is the image id. */
void config_write(const struct config *c, struct str *out);

/* "2006-01-02T15:04:05.999999999Z", trailing zeros of the fraction dropped (RFC 3339). */
void time_format(int64_t time_ns, struct str *out);
/* -EINVAL when the text is no RFC 3339 time, or one that 64 bits of nanoseconds do not hold. */
int time_parse(const char *text, int64_t *time_ns);

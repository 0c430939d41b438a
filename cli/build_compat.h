/* build_compat.h - options of img build that buildah, podman, docker and kaniko brought along. */
#pragma once

#include "builder/build.h"
#include "cli/options.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct build_compat {
    struct strv arg_files;
    struct strv env;
    struct strv unset_env;
    struct strv unset_labels;
    const char *cache_ttl;
    const char *log_format;
    struct strv ulimits;
    const char *arch;
    const char *digest_file;
    const char *http_proxy;  /* "false": proxies of the environment are no build arguments */
    const char *ignore_file; /* instead of those beside the Dockerfile and in the context */
    const char *os;
    const char *shm_size;
    const char *timestamp;
    const char *variant;
    bool pull_always;
    bool pull_never;
};

#define BUILD_COMPAT_TEXT(type, field, name_)                                                      \
    .kind = OPTION_TEXT, .offset = offsetof(type, field.name_)
/* Entries of the command's table; `field` is the struct build_compat in `type`. */
#define BUILD_COMPAT_OPTIONS(type, field)                                                          \
    {.name = "arch",                                                                               \
     BUILD_COMPAT_TEXT(type, field, arch),                                                         \
     .argument = "ARCH",                                                                           \
     .help = "architecture of the image; a part of --platform"},                                   \
        {.name = "build-arg-file",                                                                 \
         .kind = OPTION_LIST,                                                                      \
         .offset = offsetof(type, field.arg_files),                                                \
         .argument = "FILE",                                                                       \
         .help = "build arguments from FILE, NAME=VALUE a line"},                                  \
        {.name = "cache-ttl",                                                                      \
         BUILD_COMPAT_TEXT(type, field, cache_ttl),                                                \
         .argument = "DURATION",                                                                   \
         .help = "run steps again that were run longer ago (24h)"},                                \
        {.name = "digest-file",                                                                    \
         BUILD_COMPAT_TEXT(type, field, digest_file),                                              \
         .argument = "FILE",                                                                       \
         .help = "write the digest of the manifest to FILE"},                                      \
        {.name = "env",                                                                            \
         .kind = OPTION_LIST,                                                                      \
         .offset = offsetof(type, field.env),                                                      \
         .argument = "NAME[=VALUE]",                                                               \
         .help = "a variable of the image, as ENV behind FROM would set it"},                      \
        {.name = "http-proxy",                                                                     \
         BUILD_COMPAT_TEXT(type, field, http_proxy),                                               \
         .argument = "true|false",                                                                 \
         .fallback = "true",                                                                       \
         .help = "proxies of the environment are build arguments (default true)"},                 \
        {.name = "ignorefile",                                                                     \
         BUILD_COMPAT_TEXT(type, field, ignore_file),                                              \
         .argument = "FILE",                                                                       \
         .help = "the ignore file, instead of .dockerignore"},                                     \
        {.name = "log-format",                                                                     \
         BUILD_COMPAT_TEXT(type, field, log_format),                                               \
         .argument = "text|json",                                                                  \
         .help = "json: the same as --progress=rawjson"},                                          \
        {.name = "os",                                                                             \
         BUILD_COMPAT_TEXT(type, field, os),                                                       \
         .argument = "OS",                                                                         \
         .help = "operating system of the image; a part of --platform"},                           \
        {.name = "pull-always",                                                                    \
         .offset = offsetof(type, field.pull_always),                                              \
         .help = "the same as --pull=always"},                                                     \
        {.name = "pull-never",                                                                     \
         .offset = offsetof(type, field.pull_never),                                               \
         .help = "the same as --pull=never"},                                                      \
        {.name = "shm-size",                                                                       \
         BUILD_COMPAT_TEXT(type, field, shm_size),                                                 \
         .argument = "BYTES",                                                                      \
         .help = "size of /dev/shm in RUN (default 64m)"},                                         \
        {.name = "timestamp",                                                                      \
         BUILD_COMPAT_TEXT(type, field, timestamp),                                                \
         .argument = "SECONDS",                                                                    \
         .help = "--source-date-epoch and --rewrite-timestamp in one"},                            \
        {.name = "ulimit",                                                                         \
         .kind = OPTION_LIST,                                                                      \
         .offset = offsetof(type, field.ulimits),                                                  \
         .argument = "NAME=SOFT[:HARD]",                                                           \
         .help = "a resource limit of RUN: nofile=1024:4096"},                                     \
        {.name = "unsetenv",                                                                       \
         .kind = OPTION_LIST,                                                                      \
         .offset = offsetof(type, field.unset_env),                                                \
         .argument = "NAME",                                                                       \
         .help = "the image has no variable of this name"},                                        \
        {.name = "unsetlabel",                                                                     \
         .kind = OPTION_LIST,                                                                      \
         .offset = offsetof(type, field.unset_labels),                                             \
         .argument = "NAME",                                                                       \
         .help = "a label of the base image that the image does not inherit"},                     \
    {                                                                                              \
        .name = "variant", BUILD_COMPAT_TEXT(type, field, variant), .argument = "VARIANT",         \
        .help = "variant of the architecture; a part of --platform"                                \
    }

struct sandbox_ulimit;

/* What they come to. Zeroed is a valid start. */
struct build_compat_result {
    char *platform;          /* "linux/arm64/v8" from the parts, or NULL */
    struct str ignore_text;  /* of --ignorefile */
    const char *ignore_name; /* its name for messages, borrowed; NULL: not given */
    struct sandbox_ulimit *ulimits;
    size_t ulimit_count;
    struct strv env; /* of --env */
};
void build_compat_release(struct build_compat_result *r);
DEFINE_CLEANUP_VALUE(build_compat_release, struct build_compat_result)

/* Appends build arguments to `args`, sets pull, shm_size_bytes, ulimits (borrowed from `out`) and
 * rewrite_timestamp of `o`. `platform` and `pull` are what --platform and --pull said, or NULL.
 * -EINVAL for what contradicts them or is no value. */
int build_compat_apply(const struct build_compat *c, const char *platform, const char *pull,
                       struct strv *args, struct build_options *o, struct build_compat_result *out,
                       struct error *err);
/* Puts --ignorefile, when it was given, in the place of the ignore file found. */
void build_compat_ignore(const struct build_compat_result *r, struct build_options *o);
/* After the build: --digest-file. */
int build_compat_finish(const struct build_compat *c, const struct digest *manifest,
                        struct error *err);

/* Options of other builders without an effect here, see build_foreign.c. */
const struct option *build_foreign_options(size_t *count);

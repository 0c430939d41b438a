/* registry_flags.h - the options that every command has which talks to registries. */
#pragma once

#include "cli/options.h"
#include "registry/reference.h"
#include "registry/registries.h"

struct registry_flags {
    struct strv insecure;
    const char *authfile;
    const char *cert_dir;
    const char *creds;
    const char *retry;
    const char *retry_delay;
    const char *tls_verify;
};

#define REGISTRY_FIELD(type, member, name, argument_, help_)                                       \
    .offset = offsetof(type, member.name), .argument = (argument_), .help = (help_)

/* Rows of an option table for `member`, a struct registry_flags within `type`. */
#define REGISTRY_OPTIONS(type, member)                                                             \
    {.name = "authfile",                                                                           \
     .kind = OPTION_TEXT,                                                                          \
     REGISTRY_FIELD(type, member, authfile, "FILE",                                                \
                    "credentials instead of the usual places (REGISTRY_AUTH_FILE)")},              \
        {.name = "cert-dir",                                                                       \
         .kind = OPTION_TEXT,                                                                      \
         REGISTRY_FIELD(type, member, cert_dir, "DIR",                                             \
                        "*.crt authorities, *.cert and *.key for all registries")},                \
        {.name = "insecure-registry",                                                              \
         .kind = OPTION_LIST,                                                                      \
         REGISTRY_FIELD(type, member, insecure, "HOST",                                            \
                        "allow plain HTTP and unverified TLS for HOST")},                          \
        {.name = "retry",                                                                          \
         .kind = OPTION_TEXT,                                                                      \
         REGISTRY_FIELD(type, member, retry, "N",                                                  \
                        "how often a failed request is repeated (default 4)")},                    \
        {.name = "retry-delay",                                                                    \
         .kind = OPTION_TEXT,                                                                      \
         REGISTRY_FIELD(type, member, retry_delay, "DURATION",                                     \
                        "before the first repetition, then doubled (default 1s)")},                \
    {                                                                                              \
        .name = "tls-verify", .kind = OPTION_TEXT, .fallback = "true",                             \
        REGISTRY_FIELD(type, member, tls_verify, "true|false",                                     \
                       "false allows plain HTTP and unverified TLS for all registries")            \
    }

#define CREDS_OPTION(type, member)                                                                 \
    {                                                                                              \
        .name = "creds", .kind = OPTION_TEXT,                                                      \
        REGISTRY_FIELD(type, member, creds, "USER:PASSWORD",                                       \
                       "who to be at the registry; visible to other users")                        \
    }

/* Texts are borrowed from `f`. */
int registry_flags_apply(const struct registry_flags *f, struct registries_options *out,
                         struct error *err);
/* -ENOENT when --authfile or --cert-dir name what is not there; `img login` makes its file. */
int registry_flags_check(const struct registry_flags *f, struct error *err);
/* --creds, which are meant for the registry of `ref` and for nobody else. */
int registry_flags_set_creds(const struct registry_flags *f, struct registries *all,
                             const struct reference *ref, struct error *err);

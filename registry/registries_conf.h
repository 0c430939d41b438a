/* registries_conf.h - registries.conf version 2: mirrors, blocked and insecure registries, aliases.
 *
 * containers-registries.conf(5): the keys prefix, location, insecure, blocked,
 * mirror-by-digest-only, [[registry.mirror]] with location, insecure, pull-from-mirror, and
 * [aliases]. Files: --config or CONTAINERS_REGISTRIES_CONF alone; else the user's, else the
 * system's, each with its .d directory; and buildkitd.toml (buildkit_conf.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

enum mirror_use { MIRROR_ALL, MIRROR_DIGEST_ONLY, MIRROR_TAG_ONLY };

struct mirror {
    char *location; /* host[:port][/path] */
    bool is_insecure;
    bool sends_ns; /* it serves several registries: tell it which one is meant (?ns=host) */
    enum mirror_use use;
};

struct registry_rule {
    char *prefix;   /* host[:port][/path], or "*.domain" */
    char *location; /* replaces the prefix; NULL: stays */
    bool is_insecure;
    bool is_blocked;
    bool mirrors_by_digest_only;
    struct {
        struct mirror *items;
        size_t count;
        size_t capacity;
    } mirrors;
};

/* Beside what certs.h finds. */
struct host_trust {
    char *host;              /* host[:port] */
    struct strv authorities; /* PEM files */
    char *certificate;       /* PEM file of ours, or NULL */
    char *key;               /* with it */
};

struct registries_conf {
    struct {
        struct registry_rule *items;
        size_t count;
        size_t capacity;
    } rules;
    struct {
        struct host_trust *items;
        size_t count;
        size_t capacity;
    } trusts;
    struct strv alias_names;  /* "debian" */
    struct strv alias_values; /* "docker.io/library/debian"; parallel to alias_names */
};

/* Reads the files there are; none is an empty configuration. `file`: the only one to read, or NULL.
 * -EINVAL "file:line: ..." */
int registries_conf_read(const char *file, struct registries_conf *out, struct error *err);
/* One file's text; later rules for the same prefix replace earlier ones. */
int registries_conf_parse(const char *text, const char *name, struct registries_conf *conf,
                          struct error *err);
/* The rule with the longest prefix that covers host/repository, or NULL; borrowed. */
const struct registry_rule *registries_conf_find(const struct registries_conf *conf,
                                                 const char *host, const char *repository);
/* `location` instead of the part of host/repository which `rule` covers; caller frees. */
char *registry_rule_rewrite(const struct registry_rule *rule, const char *location,
                            const char *host, const char *repository);
const char *registries_conf_alias(const struct registries_conf *conf, const char *name);
void registries_conf_release(struct registries_conf *conf);
DEFINE_CLEANUP_VALUE(registries_conf_release, struct registries_conf)
#define auto_registries_conf CLEANUP(registries_conf_release)

/* step_flags.h - options about what steps are given to see: --secret, --ssh, --add-host, --volume,
 * --device. */
#pragma once

#include "builder/build.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

/* The secrets given, read now: a missing one is an error before anything is built. */
struct secrets {
    struct build_secret *items;
    size_t count;
    struct str *bytes; /* one per item */
    struct strv ids;
};
void secrets_release(struct secrets *s);
DEFINE_CLEANUP_VALUE(secrets_release, struct secrets)
#define auto_secrets CLEANUP(secrets_release)
int secrets_collect(const struct strv *given, struct secrets *s, struct error *err);

/* "NAME=value" as it is, "NAME" with the caller's value if there is one. */
int env_collect(const struct strv *given, struct strv *out, struct error *err);
/* --add-host: "NAME:IP" or "NAME=IP", an IPv6 address in brackets or not, as "NAME:IP". */
int hosts_collect(const struct strv *given, struct strv *out, struct error *err);

/* What --ssh gave: sockets of agents, and agents of our own that hold the keys given. */
struct ssh_given {
    struct build_ssh *items;
    size_t count;
    struct strv ids;
    struct ssh_agent **agents;
    size_t agent_count;
};
/* "default", "ID=SOCKET" or "ID=KEY[,KEY...]", which starts an agent. Borrows from `given`. */
int ssh_collect(const struct strv *given, struct ssh_given *out, struct error *err);
void ssh_given_release(struct ssh_given *s);

/* What --volume gave, those nearer the root first, so that one inside another covers it. */
struct volumes {
    struct build_volume *items;
    size_t count;
    struct strv paths;
};
/* "HOST:CONTAINER[:OPTION,...]", and devices as "HOST[:CONTAINER][:rwm]", as buildah has them; the
 * files must be there now. */
int volumes_collect(const struct strv *given, const struct strv *devices, struct volumes *out,
                    struct error *err);
void volumes_release(struct volumes *v);

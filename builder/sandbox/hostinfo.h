/* hostinfo.h - can this host run steps? One row per requirement, for `img doctor`.
 *
 * Rows are answered by trying: a user namespace is made, a spawner is really opened. What fails says
 * so in the words of the build that would fail (userns.h, idmap.h, spawner.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

struct host_row {
    const char *name; /* "user namespaces", static */
    bool ok;
    bool optional;  /* a build without it works, with less */
    char *sentence; /* what was found; owned by the report */
    char *remedy;   /* the way out, or NULL */
};
struct host_report {
    struct host_row *items;
    size_t count;
    size_t capacity;
};

/* Appends a row; takes `sentence`. The row is valid until the next one. */
struct host_row *host_report_add(struct host_report *out, const char *name, bool ok,
                                 char *sentence);
/* A row that failed as `err` tells, with its hint as remedy. */
struct host_row *host_report_fail(struct host_report *out, const char *name,
                                  const struct error *err);

/* Everything of the host itself; nothing of it is changed. */
void host_probe(struct host_report *out);
void host_report_release(struct host_report *report);
DEFINE_CLEANUP_VALUE(host_report_release, struct host_report)
#define auto_host_report CLEANUP(host_report_release)

/* What confines processes here: AppArmor, seccomp, a masked /proc, cgroups (hostinfo_confine.c). */
void host_probe_confinement(struct host_report *out);

/* hostinfo.h - can this host run steps? One row per requirement, for `img doctor`.
 *
 * The namespace rows are answered by really opening a spawner, so they say what a build would say.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"

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

void host_probe(struct host_report *out);
void host_report_release(struct host_report *report);
DEFINE_CLEANUP_VALUE(host_report_release, struct host_report)
#define auto_host_report CLEANUP(host_report_release)

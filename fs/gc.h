/* gc.h - finds what nothing reaches any more and gives its space back.
 *
 * Roots are named images, cache records, cache mounts and whatever lives: every open store holds
 * the gc lock shared, a collection takes it exclusively, so what a running build uses or has just
 * made cannot vanish (SECURITY S5, S8). Rows go in one transaction, files after it; a collection
 * killed in between leaves a list of them, which the next opening of the store works off.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/store.h"

struct gc_options {
    bool all;                /* also forget cache records whose layers a named image keeps anyway */
    bool dry_run;            /* report what would go; change nothing */
    int64_t unused_since_ns; /* only what was last used before this time; 0: whenever */
    uint64_t
        keep_bytes; /* stop once the store is at most this big, oldest use first; 0: no limit */
    /* Only records it accepts; NULL accepts all. Rows are those of store_usage. */
    bool (*select)(void *context, const struct usage_row *row);
    /* Called once when other processes use the store and waiting begins; NULL: not told. */
    void (*waiting)(void *context);
    void *context;
    int64_t wait_ms; /* for other processes to finish; 0: not at all, -1: for ever */
};

struct gc_report {
    struct usage_list removed; /* what went, or would go; total_bytes is their sum */
    uint64_t freed_bytes;      /* blocks given back, files nobody knew included */
    uint64_t kept_bytes;       /* blocks of all objects that stay */
    size_t orphan_count;       /* files without a row that went */
};
void gc_report_release(struct gc_report *report);
DEFINE_CLEANUP_VALUE(gc_report_release, struct gc_report)
#define auto_gc_report CLEANUP(gc_report_release)

/* Removes, from what is not in use (usage_row.is_in_use) and matches the options: images without a
 * name, cache records, cache mounts, stat caches of contexts; then layers, packs, blobs and files
 * that nothing refers to any more. Named images are never touched, nor is what an index with a name
 * has beside them (attestations, signatures). Files without a row that are
 * younger than ten minutes stay, whatever the options. No transaction may be open and no other
 * thread may use the store meanwhile.
 *
 * -EBUSY: others still use the store after wait_ms. */
int gc_run(struct store *store, const struct gc_options *options, struct gc_report *report,
           struct error *err);

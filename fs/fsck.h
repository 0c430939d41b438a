/* fsck.h - proves that the store is what its rows say, and repairs it by forgetting what is not.
 *
 * Checks (SECURITY S9): database integrity, foreign keys and schema; every row has a file of the
 * right size (quick) and content (full); manifests, configs, layers and diff ids close; files
 * without rows, leftovers, modes and owners. Repair deletes or quarantines, never invents: what
 * depended on something damaged is forgotten too, so that the next build or pull gets it again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

enum fsck_kind {
    FSCK_DATABASE = 1, /* pages, schema, foreign keys */
    FSCK_MISSING,      /* a row without its file */
    FSCK_SIZE,         /* a file of another size than its row says */
    FSCK_CONTENT,      /* bytes that do not match their digest or format */
    FSCK_CLOSURE,      /* documents and rows that disagree about what belongs together */
    FSCK_ORPHAN,       /* a file without a row; harmless */
    FSCK_LEFTOVER,     /* what a dead process left in tmp/ or work/; harmless */
    FSCK_MODE,         /* a file that others may touch, or of another owner */
};
const char *fsck_kind_name(enum fsck_kind kind); /* "missing", ... */

struct fsck_problem {
    enum fsck_kind kind;
    const char *object; /* "blob sha256:...", "layer 12", "packs/00f3...", borrowed */
    const char *text;   /* one sentence, borrowed */
    bool is_repaired;
};

struct fsck_options {
    bool quick; /* sizes, not contents */
    bool repair;
    void (*report)(void *context, const struct fsck_problem *problem); /* NULL: only counted */
    void *context;
    int64_t wait_ms; /* with repair: for other processes to finish; 0: not at all, -1: for ever */
};

struct fsck_result {
    size_t problem_count;
    size_t repaired_count;
    uint64_t checked_bytes; /* read and hashed */
    size_t object_count;    /* files and rows looked at */
};

/* Checks the store at `path`, which need not be one that store_open accepts. 0 means that the check
 * ran: the result tells what it found. -ENOENT no store there, -EBUSY others use it (repair),
 * -ENOTSUP made by a newer version, -EPERM. */
int fsck_run(const char *path, const struct fsck_options *options, struct fsck_result *result,
             struct error *err);

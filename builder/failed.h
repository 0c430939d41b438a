/* failed.h - what the latest failed steps left, kept for whoever wants to look at it.
 *
 * A few records of the cache, under keys that no step has, hold each the layer a failed RUN would
 * have become and how to run a command in it. A context keeps its latest one; with more than
 * FAILED_SLOTS contexts the oldest goes. They are no part of any build: nothing is ever found in
 * them but by stack.h. du lists them, prune and gc remove them, as they do with other records.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct cache_row;
struct store;
struct view;

#define FAILED_SLOTS 8u
#define FAILED_SIZE_MAX (1ull << 30) /* bytes written by the step; what is larger is not kept */
#define STEP_ID_SIZE 13              /* the first 12 hex digits of a step's key, and a NUL */

struct failed_step {
    const char *context;      /* directory that was built, "" for none */
    const struct digest *key; /* the step's own */
    const char *text;         /* "RUN make" */
    const char *outcome;      /* "exit code: 2" */
    const int64_t *layers;    /* what it ran on, bottom first */
    size_t layer_count;
    const struct strv *env; /* no secret and no proxy among it */
    const struct strv *shell;
    const char *user;
    const char *cwd;
};

/* Seals `v`, which is not served any more, unless that would keep too much or fill the disk: 0 when
 * it is kept, 1 when not. *has_replaced tells that an older one went, whose bytes the next collection
 * finds. Errors are those of view_seal. */
int failed_keep(struct store *store, struct view *v, const struct failed_step *step,
                bool *has_replaced, struct error *err);

/* What was kept, as it is read back. */
struct failed_record {
    struct digest key;
    struct strv layers; /* of what it ran on, by their names in du */
    struct strv env;
    struct strv shell;
    char *user;
    char *cwd;
};
void failed_record_release(struct failed_record *r);
DEFINE_CLEANUP_VALUE(failed_record_release, struct failed_record)
#define auto_failed_record CLEANUP(failed_record_release)

bool failed_has(const struct cache_row *row); /* the row is one of these */
int failed_read(const struct cache_row *row, struct failed_record *out, struct error *err);
void step_id(const struct digest *key, char id[STEP_ID_SIZE]);

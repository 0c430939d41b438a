/* union_model.h - the same operations done to the union and to a model, and what must be equal.
 *
 * Input bytes choose up to six layers, then operations on top of them: errno, attributes,
 * listings and content are compared, the view is sealed and opened again, and compared again.
 * A difference aborts with a line that says which.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/error.h"
#include "fs/view.h"
#include "tests/fuzz/model.h"

#define RUN_LAYERS_MAX 12u
#define RUN_DEPTH_MAX 12u

struct scan {          /* a directory that is being listed while it changes */
    struct mnode *dir; /* NULL: none */
    uint64_t cookie;
    struct scan_name {
        char *text;
        unsigned seen;
        bool is_touched;
    } names[256];
    size_t count;
};

struct run {
    const uint8_t *at;
    const uint8_t *end;
    struct store *store;
    int64_t layers[RUN_LAYERS_MAX];
    uint64_t sums[RUN_LAYERS_MAX]; /* of the bytes of each layer's pack */
    size_t layer_count;
    struct view *view;
    struct model model;
    struct scan scan;
    size_t step; /* number of the operation */
    char what[512];
    const struct mnode *node; /* being looked at; NULL: none */
};

/* Everything from the bytes: makes layers, operates until they are used up, compares. */
void union_model_run(struct store *store, const uint8_t *bytes, size_t size);
size_t union_model_step_count(void); /* operations done by all runs */
/* A store in a new directory below TMPDIR, removed with the process. */
struct store *union_model_store(void);

/* -- union_model_layer.c -- */
void run_make_layer(struct run *r, bool is_first);
void run_note_sum(struct run *r, size_t layer);
void run_check_sums(struct run *r); /* SECURITY R31 */

/* -- union_model_check.c -- */
uint64_t run_ino(struct run *r, struct mnode *n); /* looked up if need be */
void run_check_node(struct run *r, struct mnode *n);
void run_check_all(struct run *r, bool with_times);
void run_check_changes(struct run *r);
void run_fail(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));

/* -- bytes -- */
static inline unsigned run_byte(struct run *r)
{
    return r->at < r->end ? *r->at++ : 0;
}
static inline unsigned run_below(struct run *r, unsigned limit)
{
    return limit ? run_byte(r) % limit : 0;
}
const char *run_name(struct run *r);

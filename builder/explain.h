/* explain.h - why a step was not in the cache: what differs from the nearest one that is.
 *
 * Works on the texts kept beside the keys (key.h, listing.h), so no input is read again. An
 * explanation is for people: a hit or a miss is never decided from it.
 */
#pragma once

#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/store.h"

#define EXPLAIN_LISTING "listing\n" /* between the fields of a key and the entries it stands for */

/* The cache as it was before the build added to it. */
struct explain {
    struct store *store;
    struct cache_list rows;
};
int explain_open(struct store *store, struct explain *out, struct error *err);
void explain_release(struct explain *e);

struct explain_step {
    const char *description; /* "COPY . /src" */
    const char *inputs;      /* of its key, with the listing when it has one */
    struct digest parent;
    const char *ran_above; /* the last step of its chain that was not cached either, or NULL */
};
/* Appends one sentence for each input that differs from the nearest earlier step of the same kind:
 * one with the same text, or one in the same place. */
int explain_miss(const struct explain *e, const struct explain_step *step, struct strv *out,
                 struct error *err);

/* layer_squash.h - several layers become the one that makes the same tree of what is below them.
 *
 * Layers are applied to a view in order, as unpacking would (OCI image-spec, layer.md, "Applying
 * Changesets"), and what differs from below in the end is sealed. So a file that one made and a later
 * one removed is gone, and the cost is that of the changes. No content is copied: the new layer
 * refers to the packs of the old ones. The same layers give the same one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "fs/base/error.h"

struct store;

struct layer_squash {
    const int64_t *below; /* bottom first; not changed */
    size_t below_count;
    const int64_t *layers; /* those that become one */
    size_t count;
    /* As in seal_options: called in the transaction that inserts the new layer; may be NULL. */
    int (*with_row)(void *context, int64_t layer, struct error *err);
    void *context;
};
/* *out is 0 when nothing differs from below. */
int layer_squash(struct store *store, const struct layer_squash *what, int64_t *out,
                 struct error *err);

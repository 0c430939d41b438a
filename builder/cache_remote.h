/* cache_remote.h - steps that others built: --cache-from.
 *
 * A cache is an image, by itself (--cache-to) or the one that was built (inline), whose configuration
 * holds records: the key of a step, and which of the image's layers it gave. Looking a key up costs
 * nothing but memory; a layer is fetched when somebody needs its files, or the image that it is part
 * of is made. Until then it is known by a number below 0. What was used becomes rows of the store.
 *
 *     {"records": [{"key": "sha256:..", "layer": 0, "created": "2026-..", "text": "RUN make"},
 *                  {"key": "sha256:..", "as": "sha256:.."}]}
 *
 * "as": the key that later steps go on from; no "layer": the step changed no file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "builder/cache_address.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"

struct build;
struct cache_remote;

struct cache_record {
    struct digest key;
    bool has_canonical;
    struct digest canonical;
    int64_t layer; /* 0: no file changed; below 0: one of cache_remote_bring's */
    int64_t created_ns;
    char *description;
    const struct cache_address *source;
    bool is_used; /* guarded by the build's lock */
};

/* Reads what options->cache_from names. One that cannot be read is told of and passed over; only
 * -ECANCELED is an error. */
int cache_remote_open(struct build *b, struct error *err);
void cache_remote_free(struct cache_remote *r);
DEFINE_CLEANUP(cache_remote_free, struct cache_remote *)
#define auto_cache_remote CLEANUP(cache_remote_free)
/* NULL: nobody built it. Borrowed from the build. */
struct cache_record *cache_remote_find(const struct build *b, const struct digest *key);
/* Puts layers of the store in the place of numbers below 0, fetched now where they were not yet. */
int cache_remote_bring(struct build *b, int64_t *layers, size_t count, struct error *err);
/* Makes rows of the records that were used and whose layers are here: the next build finds them
 * without a network. */
void cache_remote_keep(struct build *b);

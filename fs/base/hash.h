/* hash.h - XXH3 for tables, checksums of our own records and fingerprints: speed, never trust.
 *
 * The only door to xxHash. Never decides that two things from outside are equal: see digest.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"

uint64_t hash64(const void *bytes, size_t size, uint64_t seed);

struct hash_stream; /* running XXH3-64 */
struct hash_stream *hash_stream_new(void);
void hash_stream_reset(struct hash_stream *h); /* as new */
void hash_stream_update(struct hash_stream *h, const void *bytes, size_t size);
uint64_t hash_stream_final(const struct hash_stream *h);
void hash_stream_free(struct hash_stream *h);
DEFINE_CLEANUP(hash_stream_free, struct hash_stream *)
#define auto_hash_stream CLEANUP(hash_stream_free)

/* A table from text to pointers that it does not own. Keys are copied. */
struct table {
    struct table_slot *slots;
    size_t count;
    size_t capacity; /* power of two */
};
void table_put(struct table *t, const char *key, void *value); /* replaces */
void *table_get(const struct table *t, const char *key);       /* NULL when absent */
bool table_has(const struct table *t, const char *key);
void table_remove(struct table *t, const char *key);
/* Calls fn for every pair in no particular order; fn must not change the table. */
void table_each(const struct table *t, void (*fn)(void *context, const char *key, void *value),
                void *context);
void table_release(struct table *t);
DEFINE_CLEANUP_VALUE(table_release, struct table)
#define auto_table CLEANUP(table_release)

/* statcache.h - digests of host files remembered by (device, inode, size, mtime, ctime).
 *
 * An unchanged context costs a stat walk. The ctime cannot be set by anybody, so equal means
 * unchanged, except within the clock's grain: a file that changed just before it was hashed is not
 * remembered. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/str.h"

struct statcache;

struct statcache_key {
    uint64_t device;
    uint64_t inode;
    uint64_t size_bytes;
    int64_t mtime_ns;
    int64_t ctime_ns;
};

/* Damaged or foreign bytes give an empty cache. */
struct statcache *statcache_new(const void *bytes, size_t size);
void statcache_free(struct statcache *c);
DEFINE_CLEANUP(statcache_free, struct statcache *)
#define auto_statcache CLEANUP(statcache_free)

bool statcache_find(struct statcache *c, const struct statcache_key *key, struct digest *out);
/* `hashed_ns`: the wall clock when reading began. */
void statcache_add(struct statcache *c, const struct statcache_key *key, const struct digest *d,
                   int64_t hashed_ns);
/* No change after `hashed_ns` can have left the file's times as they are. */
bool statcache_is_settled(const struct statcache_key *key, int64_t hashed_ns);
bool statcache_is_changed(const struct statcache *c);
/* What to store: everything used this time, and the rest unless it is most of the cache. */
void statcache_save(struct statcache *c, struct str *out);

/* statcache.c - two runs of records: the sorted one that was loaded, and what this run adds. */
#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "builder/tree/statcache.h"
#include "fs/base/hash.h"

#include "fs/base/banned.h"

#define MAGIC 0x31637473676d6921ull  /* "!imgstc1" */
#define GRAIN_FINE_NS 20000000ll     /* a tick of the coarse kernel clock is 10 ms at worst */
#define GRAIN_COARSE_NS 2000000000ll /* file systems with whole seconds, or FAT's two */

/* As it lies on disk: contexts are digested with sha256. */
#define RECORD_DIGEST_SIZE 32u

struct record {
    struct statcache_key key;
    uint8_t digest[RECORD_DIGEST_SIZE];
};

struct header {
    uint64_t magic;
    uint64_t count;
    uint64_t checksum;
};

struct statcache {
    struct record *old; /* sorted by (device, inode) */
    size_t old_count;
    unsigned char *used; /* one flag per old record */
    pthread_mutex_t lock;
    /* guarded by lock: */
    struct {
        struct record *items;
        size_t count;
        size_t capacity;
    } added;
    size_t used_count;
};

static int compare_identity(const struct statcache_key *a, const struct statcache_key *b)
{
    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    if (a->inode != b->inode)
        return a->inode < b->inode ? -1 : 1;
    return 0;
}

static int compare_records(const void *a, const void *b)
{
    const struct record *left = a;
    const struct record *right = b;

    return compare_identity(&left->key, &right->key);
}

static void load(struct statcache *c, const void *bytes, size_t size)
{
    struct header header;
    const unsigned char *records = bytes;

    if (bytes == NULL || size < sizeof(header))
        return;
    memcpy(&header, bytes, sizeof(header));
    records += sizeof(header);
    size -= sizeof(header);
    if (header.magic != MAGIC || size % sizeof(struct record) != 0 ||
        header.count != size / sizeof(struct record) ||
        header.checksum != hash64(records, size, MAGIC) || header.count == 0)
        return;
    c->old = mem_dup(records, size);
    c->old_count = header.count;
    c->used = mem_alloc(c->old_count);
}

struct statcache *statcache_new(const void *bytes, size_t size)
{
    struct statcache *c = mem_new(struct statcache);

    pthread_mutex_init(&c->lock, NULL);
    load(c, bytes, size);
    return c;
}

void statcache_free(struct statcache *c)
{
    if (c == NULL)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c->old);
    free(c->used);
    free(c->added.items);
    free(c);
}

bool statcache_find(struct statcache *c, const struct statcache_key *key, struct digest *out)
{
    const struct record wanted = {.key = *key};
    const struct record *found;
    size_t position;

    if (c->old_count == 0)
        return false;
    found = bsearch(&wanted, c->old, c->old_count, sizeof(*c->old), compare_records);
    if (found == NULL || memcmp(&found->key, key, sizeof(*key)) != 0)
        return false;
    if (!digest_from_bytes(found->digest, sizeof(found->digest), out))
        return false; /* never: the size is right */
    position = (size_t)(found - c->old);
    pthread_mutex_lock(&c->lock);
    if (c->used[position] == 0)
        c->used_count++;
    c->used[position] = 1;
    pthread_mutex_unlock(&c->lock);
    return true;
}

/* A change within the clock's grain after hashing would leave the times as they are. */
bool statcache_is_settled(const struct statcache_key *key, int64_t hashed_ns)
{
    int64_t newest = key->ctime_ns > key->mtime_ns ? key->ctime_ns : key->mtime_ns;
    bool coarse = key->ctime_ns % 1000000000 == 0 && key->mtime_ns % 1000000000 == 0;

    return newest + (coarse ? GRAIN_COARSE_NS : GRAIN_FINE_NS) < hashed_ns;
}

void statcache_add(struct statcache *c, const struct statcache_key *key, const struct digest *d,
                   int64_t hashed_ns)
{
    struct record *record;

    assert(digest_size(d) == RECORD_DIGEST_SIZE);
    if (!statcache_is_settled(key, hashed_ns))
        return;
    pthread_mutex_lock(&c->lock);
    record = array_add(&c->added);
    record->key = *key;
    memcpy(record->digest, d->bytes, sizeof(record->digest));
    pthread_mutex_unlock(&c->lock);
}

bool statcache_is_changed(const struct statcache *c)
{
    return c->added.count > 0;
}

void statcache_save(struct statcache *c, struct str *out)
{
    bool keep_unused = c->old_count - c->used_count <= 2 * (c->used_count + c->added.count) + 1000;
    struct header header = {.magic = MAGIC};
    struct record *all = mem_alloc((c->old_count + c->added.count + 1) * sizeof(*all));
    size_t count = 0;
    size_t kept = 0;

    for (size_t i = 0; i < c->added.count; i++)
        all[count++] = c->added.items[i];
    qsort(all, count, sizeof(*all), compare_records);
    for (size_t i = 0; i < c->old_count; i++) {
        /* A record added now replaces the old one of the same file. */
        if (!keep_unused && c->used[i] == 0)
            continue;
        if (c->added.count > 0 &&
            bsearch(&c->old[i], all, c->added.count, sizeof(*all), compare_records) != NULL)
            continue;
        all[count++] = c->old[i];
    }
    qsort(all, count, sizeof(*all), compare_records);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || compare_records(&all[kept - 1], &all[i]) != 0)
            all[kept++] = all[i];
    header.count = kept;
    header.checksum = hash64(all, kept * sizeof(*all), MAGIC);
    str_add_bytes(out, &header, sizeof(header));
    str_add_bytes(out, all, kept * sizeof(*all));
    free(all);
}

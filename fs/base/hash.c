/* hash.c - XXH3 and a table of text keys. Not for identity: see digest.c. */
#include <assert.h>
#include <pthread.h>
#include <sys/random.h>

#include <xxhash.h>

#include "fs/base/hash.h"

#include "fs/base/banned.h"

struct hash_stream {
    XXH3_state_t *state;
};

struct table_slot {
    char *key; /* owned; NULL: the slot is free */
    void *value;
    uint64_t hash;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t table_seed; /* written once */

uint64_t hash64(const void *bytes, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}

struct hash_stream *hash_stream_new(void)
{
    struct hash_stream *h = mem_new(struct hash_stream);

    h->state = XXH3_createState();
    if (!h->state)
        abort();
    (void)XXH3_64bits_reset(h->state); /* fails for a NULL state only, as do the calls below */
    return h;
}

void hash_stream_reset(struct hash_stream *h)
{
    (void)XXH3_64bits_reset(h->state);
}

void hash_stream_update(struct hash_stream *h, const void *bytes, size_t size)
{
    (void)XXH3_64bits_update(h->state, bytes, size);
}

uint64_t hash_stream_final(const struct hash_stream *h)
{
    return XXH3_64bits_digest(h->state);
}

void hash_stream_free(struct hash_stream *h)
{
    if (!h)
        return;
    (void)XXH3_freeState(h->state);
    free(h);
}

/* Keys come from images: a secret seed keeps them from being chosen so that all collide. */
static void pick_seed(void)
{
    if (getrandom(&table_seed, sizeof(table_seed), GRND_NONBLOCK) != sizeof(table_seed))
        table_seed = (uint64_t)(uintptr_t)&table_seed; /* a machine still booting; ASLR must do */
}

static uint64_t hash_key(const char *key)
{
    (void)pthread_once(&once, pick_seed); /* fails for a bad argument only */
    return hash64(key, strlen(key), table_seed);
}

/* The slot of `key`, or the free one where it belongs. The table must not be full. */
static struct table_slot *find_slot(const struct table *t, const char *key, uint64_t hash)
{
    size_t mask = t->capacity - 1;

    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct table_slot *slot = &t->slots[i];

        if (!slot->key || (slot->hash == hash && strcmp(slot->key, key) == 0))
            return slot;
    }
}

static void grow(struct table *t)
{
    struct table larger = {.capacity = t->capacity ? t->capacity * 2 : 16, .count = t->count};

    larger.slots = mem_resize(NULL, larger.capacity, sizeof(*larger.slots));
    memset(larger.slots, 0, larger.capacity * sizeof(*larger.slots));
    for (size_t i = 0; i < t->capacity; i++)
        if (t->slots[i].key)
            *find_slot(&larger, t->slots[i].key, t->slots[i].hash) = t->slots[i];
    free(t->slots);
    *t = larger;
}

void table_put(struct table *t, const char *key, void *value)
{
    uint64_t hash = hash_key(key);
    struct table_slot *slot;

    if (t->count + 1 > t->capacity / 4 * 3)
        grow(t);
    slot = find_slot(t, key, hash);
    if (!slot->key) {
        slot->key = mem_strdup(key);
        slot->hash = hash;
        t->count++;
    }
    slot->value = value;
}

static struct table_slot *lookup(const struct table *t, const char *key)
{
    struct table_slot *slot;

    if (t->count == 0)
        return NULL;
    slot = find_slot(t, key, hash_key(key));
    return slot->key ? slot : NULL;
}

void *table_get(const struct table *t, const char *key)
{
    const struct table_slot *slot = lookup(t, key);

    return slot ? slot->value : NULL;
}

bool table_has(const struct table *t, const char *key)
{
    return lookup(t, key) != NULL;
}

/* Moves later slots of the same run down instead of leaving a mark, so that a table in which names
 * come and go never has to be rebuilt. */
void table_remove(struct table *t, const char *key)
{
    struct table_slot *found = lookup(t, key);
    size_t mask = t->capacity - 1;
    size_t hole;

    if (!found)
        return;
    free(found->key);
    hole = (size_t)(found - t->slots);
    for (size_t i = (hole + 1) & mask; t->slots[i].key; i = (i + 1) & mask) {
        size_t home = t->slots[i].hash & mask;

        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* its home lies behind the hole, where a search starts later */
        t->slots[hole] = t->slots[i];
        hole = i;
    }
    t->slots[hole] = (struct table_slot){0};
    t->count--;
}

void table_each(const struct table *t, void (*fn)(void *context, const char *key, void *value),
                void *context)
{
    for (size_t i = 0; i < t->capacity; i++)
        if (t->slots[i].key)
            fn(context, t->slots[i].key, t->slots[i].value);
}

void table_release(struct table *t)
{
    for (size_t i = 0; i < t->capacity; i++)
        free(t->slots[i].key);
    free(t->slots);
    *t = (struct table){0};
}

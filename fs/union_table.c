/* union_table.c - slots of inodes and names, the hash table of names, and what may be released.
 * Knows nothing of layers, listings or times. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/base/hash.h"
#include "fs/journal.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

#define BUCKETS_FIRST 1024u

/* -- id maps -- */

static size_t id_slot(const struct id_map *m, uint64_t key)
{
    size_t mask = m->capacity - 1;
    size_t at = (size_t)(key * 0x9e3779b97f4a7c15ull >> 20) & mask;

    while (m->keys[at] != 0 && m->keys[at] != key)
        at = (at + 1) & mask;
    return at;
}

uint32_t id_map_get(const struct id_map *m, uint64_t key)
{
    return m->count > 0 ? m->values[id_slot(m, key)] : 0;
}

static void id_map_grow(struct id_map *m)
{
    struct id_map grown = {.capacity = m->capacity ? m->capacity * 2 : 16};

    grown.keys = mem_alloc(grown.capacity * sizeof(*grown.keys));
    grown.values = mem_alloc(grown.capacity * sizeof(*grown.values));
    for (size_t i = 0; i < m->capacity; i++)
        if (m->values[i] != 0)
            id_map_put(&grown, m->keys[i], m->values[i]);
    id_map_release(m);
    *m = grown;
}

void id_map_put(struct id_map *m, uint64_t key, uint32_t value)
{
    size_t at;

    assert(key != 0);
    if (m->count * 2 >= m->capacity)
        id_map_grow(m);
    at = id_slot(m, key);
    if (m->keys[at] == 0)
        m->count++;
    m->keys[at] = key;
    m->values[at] = value;
}

void id_map_release(struct id_map *m)
{
    free(m->keys);
    free(m->values);
    *m = (struct id_map){0};
}

/* -- inodes -- */

struct inode *inode_get(const struct view *v, uint64_t ino)
{
    struct inode *i;

    if (ino == NONE || ino >= v->inode_next)
        return NULL;
    i = inode_at(v, (uint32_t)ino);
    return i->flags & INODE_USED ? i : NULL;
}

static void inode_add_chunk(struct view *v)
{
    v->inode_chunks =
        mem_resize(v->inode_chunks, v->inode_chunk_count + 1u, sizeof(struct inode *));
    v->inode_chunks[v->inode_chunk_count++] = mem_alloc(CHUNK_SIZE * sizeof(struct inode));
}

struct inode *inode_new(struct view *v, mode_t mode, uint32_t uid, uint32_t gid)
{
    uint32_t number = v->inode_free;
    struct inode *i;

    if (v->inode_count >= INODE_COUNT_MAX) {
        view_set_fault(v, ENOSPC, "'%s' has more than %u files", v->label, INODE_COUNT_MAX);
        return NULL;
    }
    if (number != NONE) {
        v->inode_free = inode_at(v, number)->dirty_next;
    } else {
        number = v->inode_next++;
        if (number >> CHUNK_BITS >= v->inode_chunk_count)
            inode_add_chunk(v);
    }
    v->inode_count++;
    i = inode_at(v, number);
    *i =
        (struct inode){.number = number, .mode = mode, .uid = uid, .gid = gid, .flags = INODE_USED};
    return i;
}

void inode_unuse(struct view *v, struct inode *i)
{
    if (i->nlink > 0 || i->lookup_count > 0 || i->number == UNION_ROOT)
        return;
    assert(i->first_name == NONE);
    journal_drop_inode(v, i);
    if (i->flags & INODE_GROUP)
        id_map_put(&v->groups, run_key(i->origin), 0);
    if (S_ISREG(i->mode))
        inode_drop_content(v, i);
    else if (S_ISDIR(i->mode))
        dir_release(v, i->dir);
    else if (i->flags & INODE_OWN_TARGET)
        cleanup_free_ptr(&i->target);
    xattrs_release(i);
    i->flags = 0;
    i->dirty_next = v->inode_free;
    v->inode_free = i->number;
    v->inode_count--;
}

/* -- names -- */

/* The parent is mixed in by multiplication: seeding the hash would cost a slower code path. */
static uint32_t hash_name(uint32_t parent, const char *text, size_t size)
{
    uint64_t hash = hash64(text, size, 0) ^ parent * 0x9e3779b97f4a7c15ull;

    return (uint32_t)(hash ^ hash >> 32);
}

uint32_t name_lookup_known(const struct view *v, uint32_t parent, const char *text, size_t size)
{
    uint32_t hash = hash_name(parent, text, size);
    uint32_t name = v->buckets[hash & v->bucket_mask];

    while (name != NONE) {
        const struct name *n = name_at(v, name);

        if (n->hash == hash && n->parent == parent && n->size == size &&
            memcmp(n->text, text, size) == 0)
            return name;
        name = n->hash_next;
    }
    return NONE;
}

static void rehash(struct view *v)
{
    uint32_t count = (v->bucket_mask + 1) * 2;
    uint32_t *buckets = mem_alloc(count * sizeof(*buckets));

    for (uint32_t old = 0; old <= v->bucket_mask; old++) {
        uint32_t name = v->buckets[old];

        while (name != NONE) {
            struct name *n = name_at(v, name);
            uint32_t next = n->hash_next;
            uint32_t *head = &buckets[n->hash & (count - 1)];

            n->hash_next = *head;
            *head = name;
            name = next;
        }
    }
    free(v->buckets);
    v->buckets = buckets;
    v->bucket_mask = count - 1;
}

static void name_add_chunk(struct view *v)
{
    v->name_chunks = mem_resize(v->name_chunks, v->name_chunk_count + 1u, sizeof(struct name *));
    v->name_chunks[v->name_chunk_count++] = mem_alloc(CHUNK_SIZE * sizeof(struct name));
}

uint32_t name_new(struct view *v, uint32_t parent, const char *text, size_t size, bool borrowed)
{
    uint32_t name = v->name_free;
    uint32_t *head;
    struct name *n;

    assert(size > 0 && size <= LIMIT_NAME_SIZE);
    if (name != NONE) {
        v->name_free = name_at(v, name)->hash_next;
    } else {
        name = v->name_next++;
        if (name >> CHUNK_BITS >= v->name_chunk_count)
            name_add_chunk(v);
    }
    if (v->name_count++ > v->bucket_mask)
        rehash(v);
    n = name_at(v, name);
    *n = (struct name){.parent = parent,
                       .hash = hash_name(parent, text, size),
                       .size = (uint8_t)size,
                       .flags = borrowed ? 0 : NAME_OWNED};
    n->text = borrowed ? text : mem_dup(text, size);
    head = &v->buckets[n->hash & v->bucket_mask];
    n->hash_next = *head;
    *head = name;
    return name;
}

void name_free(struct view *v, uint32_t name)
{
    struct name *n = name_at(v, name);
    uint32_t *link = &v->buckets[n->hash & v->bucket_mask];

    assert(n->inode == NONE && n->cookie == NONE);
    while (*link != name)
        link = &name_at(v, *link)->hash_next;
    *link = n->hash_next;
    journal_drop_name(v, name);
    if (n->flags & NAME_OWNED)
        cleanup_free_ptr(&n->text);
    *n = (struct name){.hash_next = v->name_free};
    v->name_free = name;
    v->name_count--;
}

void name_attach(struct view *v, uint32_t name, struct inode *i)
{
    struct name *n = name_at(v, name);

    assert(n->inode == NONE);
    n->inode = i->number;
    n->prev = NONE;
    n->next = i->first_name;
    if (n->next != NONE)
        name_at(v, n->next)->prev = name;
    i->first_name = name;
    i->nlink++;
}

void name_detach(struct view *v, uint32_t name)
{
    struct name *n = name_at(v, name);
    struct inode *i = inode_at(v, n->inode);

    if (n->next != NONE)
        name_at(v, n->next)->prev = n->prev;
    if (n->prev != NONE)
        name_at(v, n->prev)->next = n->next;
    else
        i->first_name = n->next;
    i->nlink--;
    n->inode = NONE;
}

/* -- all of them -- */

void tables_init(struct view *v)
{
    v->inode_next = UNION_ROOT;
    v->name_next = NONE + 1;
    inode_add_chunk(v);
    v->buckets = mem_alloc(BUCKETS_FIRST * sizeof(v->buckets[0]));
    v->bucket_mask = BUCKETS_FIRST - 1;
}

static void inode_release(struct view *v, struct inode *i)
{
    if (!(i->flags & INODE_USED))
        return;
    if (S_ISREG(i->mode) && !(i->flags & INODE_LOWER_CONTENT))
        content_release(&i->content, NULL, NULL);
    else if (S_ISDIR(i->mode))
        dir_release(v, i->dir);
    else if (S_ISLNK(i->mode) && (i->flags & INODE_OWN_TARGET))
        cleanup_free_ptr(&i->target);
    xattrs_release(i);
}

void tables_release(struct view *v)
{
    for (uint32_t i = UNION_ROOT; i < v->inode_next; i++)
        inode_release(v, inode_at(v, i));
    for (uint32_t i = NONE + 1; i < v->name_next; i++)
        if (name_at(v, i)->flags & NAME_OWNED)
            cleanup_free_ptr(&name_at(v, i)->text);
    for (uint32_t i = 0; i < v->inode_chunk_count; i++)
        free(v->inode_chunks[i]);
    for (uint32_t i = 0; i < v->name_chunk_count; i++)
        free(v->name_chunks[i]);
    free(v->inode_chunks);
    free(v->name_chunks);
    free(v->buckets);
}

/* union_extent.c - finds, splits, joins and moves the pieces of a file. Not for input or output. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/union_extent.h"

#include "fs/base/banned.h"

struct leaf {
    uint32_t count; /* at least 1 */
    uint32_t capacity;
    struct piece items[];
};

struct leaf_ref {
    uint64_t start; /* of the leaf's first piece */
    struct leaf *leaf;
};

struct content_map {
    struct leaf_ref *items;
    size_t count;
    size_t capacity;
    size_t piece_count;
    uint64_t bytes;
};

static bool is_map(const struct content *c)
{
    return (c->flags & CONTENT_MAP) != 0;
}

static uint64_t end_of(const struct piece *p)
{
    return p->start + p->length;
}

static bool joins(const struct piece *a, const struct piece *b)
{
    return end_of(a) == b->start && a->source == b->source && a->flags == b->flags &&
           a->source_offset + a->length == b->source_offset;
}

/* -- finding -- */

/* The last leaf that starts at or before `offset`, else the first one. */
static size_t find_leaf(const struct content_map *m, uint64_t offset)
{
    size_t low = 0;
    size_t high = m->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (m->items[middle].start <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? low - 1 : 0;
}

/* The first piece of the leaf that ends after `offset`; may be its count. */
static size_t find_piece(const struct leaf *leaf, uint64_t offset)
{
    size_t low = 0;
    size_t high = leaf->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (end_of(&leaf->items[middle]) <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct piece *piece_at(const struct content_map *m, struct content_cursor *at)
{
    if (at->leaf < m->count && at->index >= m->items[at->leaf].leaf->count) {
        at->leaf++;
        at->index = 0;
    }
    return at->leaf < m->count ? &m->items[at->leaf].leaf->items[at->index] : NULL;
}

const struct piece *content_seek(const struct content *c, uint64_t offset,
                                 struct content_cursor *at)
{
    *at = (struct content_cursor){0};
    if (!is_map(c))
        return c->one.length > 0 && end_of(&c->one) > offset ? &c->one : NULL;
    if (c->map->count == 0)
        return NULL;
    at->leaf = find_leaf(c->map, offset);
    at->index = find_piece(c->map->items[at->leaf].leaf, offset);
    return piece_at(c->map, at);
}

const struct piece *content_next(const struct content *c, struct content_cursor *at)
{
    if (!is_map(c))
        return NULL;
    at->index++;
    return piece_at(c->map, at);
}

const struct piece *content_last(const struct content *c)
{
    const struct leaf *leaf;

    if (!is_map(c))
        return c->one.length > 0 ? &c->one : NULL;
    if (c->map->count == 0)
        return NULL;
    leaf = c->map->items[c->map->count - 1].leaf;
    return &leaf->items[leaf->count - 1];
}

uint64_t content_bytes(const struct content *c)
{
    return is_map(c) ? c->map->bytes : c->one.length;
}

/* -- changing leaves -- */

static struct leaf *leaf_new(size_t capacity)
{
    struct leaf *leaf = mem_alloc(sizeof(*leaf) + capacity * sizeof(struct piece));

    leaf->capacity = (uint32_t)capacity;
    return leaf;
}

static void leaf_insert(struct content_map *m, size_t at, struct leaf *leaf)
{
    (void)array_add(m);
    memmove(&m->items[at + 1], &m->items[at], (m->count - 1 - at) * sizeof(m->items[0]));
    m->items[at] = (struct leaf_ref){.leaf = leaf};
}

static void leaf_remove(struct content_map *m, size_t at)
{
    free(m->items[at].leaf);
    m->count--;
    memmove(&m->items[at], &m->items[at + 1], (m->count - at) * sizeof(m->items[0]));
}

/* Makes room in a leaf that is full: it grows, or its upper half moves to a new leaf. A file that
 * is written from front to back starts a new leaf instead, so that leaves stay full. */
static void make_room(struct content_map *m, struct content_cursor *at)
{
    struct leaf *leaf = m->items[at->leaf].leaf;
    struct leaf *upper;
    uint32_t keep = CONTENT_LEAF_MAX / 2;

    if (leaf->capacity < CONTENT_LEAF_MAX) {
        leaf->capacity *= 2;
        leaf = mem_resize(leaf, 1, sizeof(*leaf) + leaf->capacity * sizeof(struct piece));
        m->items[at->leaf].leaf = leaf;
        return;
    }
    if (at->leaf + 1 == m->count && at->index == leaf->count)
        keep = leaf->count;
    upper = leaf_new(CONTENT_LEAF_MAX);
    upper->count = leaf->count - keep;
    memcpy(upper->items, &leaf->items[keep], upper->count * sizeof(struct piece));
    leaf->count = keep;
    leaf_insert(m, at->leaf + 1, upper);
    if (upper->count > 0)
        m->items[at->leaf + 1].start = upper->items[0].start;
    if (at->index > keep || keep == CONTENT_LEAF_MAX) {
        at->leaf++;
        at->index -= keep;
    }
}

static void insert_at(struct content_map *m, struct content_cursor *at, const struct piece *piece)
{
    struct leaf *leaf;

    if (m->count == 0)
        leaf_insert(m, 0, leaf_new(4));
    leaf = m->items[at->leaf].leaf;
    assert(leaf);
    if (leaf->count == leaf->capacity) {
        make_room(m, at);
        leaf = m->items[at->leaf].leaf;
    }
    memmove(&leaf->items[at->index + 1], &leaf->items[at->index],
            (leaf->count - at->index) * sizeof(*piece));
    leaf->items[at->index] = *piece;
    leaf->count++;
    m->items[at->leaf].start = leaf->items[0].start;
    m->piece_count++;
}

static void remove_at(struct content_map *m, struct content_cursor *at)
{
    struct leaf *leaf = m->items[at->leaf].leaf;

    leaf->count--;
    m->piece_count--;
    if (leaf->count == 0) {
        leaf_remove(m, at->leaf);
        at->index = 0;
        return;
    }
    memmove(&leaf->items[at->index], &leaf->items[at->index + 1],
            (leaf->count - at->index) * sizeof(leaf->items[0]));
    m->items[at->leaf].start = leaf->items[0].start;
}

static struct piece *writable_at(struct content_map *m, struct content_cursor *at)
{
    if (!piece_at(m, at))
        return NULL;
    return &m->items[at->leaf].leaf->items[at->index];
}

static void become_map(struct content *c)
{
    struct content_map *m;
    struct content_cursor at = {0};

    if (is_map(c))
        return;
    m = mem_new(struct content_map);
    if (c->one.length > 0)
        insert_at(m, &at, &c->one);
    m->bytes = c->one.length;
    *c = (struct content){0};
    c->map = m;
    c->flags = CONTENT_MAP;
}

static void map_free(struct content_map *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->items[i].leaf);
    free(m->items);
    free(m);
}

/* -- splitting -- */

/* The part of `p` that is in [from, to). */
static struct piece part_of(const struct piece *p, uint64_t from, uint64_t to)
{
    struct piece part = *p;

    if (from > p->start) {
        part.start = from;
        part.source_offset += from - p->start;
    }
    part.length = (to < end_of(p) ? to : end_of(p)) - part.start;
    return part;
}

/* After this no piece reaches across `offset`. */
static void split(struct content_map *m, uint64_t offset)
{
    struct content c = {.map = m};
    struct content_cursor at;
    struct piece *p;
    struct piece upper;

    c.flags = CONTENT_MAP;
    (void)content_seek(&c, offset, &at);
    p = writable_at(m, &at);
    if (!p || p->start >= offset)
        return;
    upper = part_of(p, offset, UINT64_MAX);
    p->length = offset - p->start;
    at.index++;
    insert_at(m, &at, &upper);
}

/* -- the operations -- */

static void put_in_map(struct content_map *m, const struct piece *piece)
{
    struct content c = {.map = m};
    struct content_cursor at;
    struct piece *next;
    struct piece *before = NULL;

    c.flags = CONTENT_MAP;
    m->bytes += piece->length;
    (void)content_seek(&c, piece->start, &at); /* at the end, `at` is where it belongs */
    next = writable_at(m, &at);
    if (at.leaf == m->count && m->count > 0) {
        at.leaf--;
        at.index = m->items[at.leaf].leaf->count;
    }
    if (at.index > 0)
        before = &m->items[at.leaf].leaf->items[at.index - 1];
    else if (at.leaf > 0)
        before = &m->items[at.leaf - 1].leaf->items[m->items[at.leaf - 1].leaf->count - 1];
    if (before && joins(before, piece)) {
        before->length += piece->length;
        if (next && joins(before, next)) {
            before->length += next->length;
            remove_at(m, &at);
        }
        return;
    }
    if (next && joins(piece, next)) {
        next->start = piece->start;
        next->source_offset = piece->source_offset;
        next->length += piece->length;
        m->items[at.leaf].start = m->items[at.leaf].leaf->items[0].start;
        return;
    }
    insert_at(m, &at, piece);
}

void content_put(struct content *c, const struct piece *piece)
{
    if (piece->length == 0)
        return;
    if (is_map(c)) {
        put_in_map(c->map, piece);
    } else if (c->one.length == 0) {
        c->one = *piece;
    } else if (joins(&c->one, piece)) {
        c->one.length += piece->length;
    } else if (joins(piece, &c->one)) {
        c->one.start = piece->start;
        c->one.source_offset = piece->source_offset;
        c->one.length += piece->length;
    } else {
        become_map(c);
        put_in_map(c->map, piece);
    }
}

static void tell(content_freed_fn *freed, void *context, const struct piece *piece)
{
    if (freed && piece->length > 0 && (piece->flags & PIECE_OWNED))
        freed(context, piece);
}

/* True when what is left of the only piece is still one piece. */
static bool cut_one(struct content *c, uint64_t from, uint64_t to, content_freed_fn *freed,
                    void *context)
{
    struct piece *p = &c->one;
    struct piece gone;

    if (p->length == 0 || from >= end_of(p) || to <= p->start)
        return true;
    if (from > p->start && to < end_of(p))
        return false;
    gone = part_of(p, from, to);
    if (from > p->start)
        p->length = from - p->start;
    else if (to < end_of(p))
        *p = part_of(p, to, UINT64_MAX);
    else
        *p = (struct piece){0};
    tell(freed, context, &gone);
    return true;
}

void content_cut(struct content *c, uint64_t from, uint64_t to, content_freed_fn *freed,
                 void *context)
{
    struct content_cursor at;
    const struct piece *p;

    if (from >= to || (!is_map(c) && cut_one(c, from, to, freed, context)))
        return;
    p = content_last(c);
    if (from == 0 && p && to >= end_of(p)) {
        content_release(c, freed, context);
        return;
    }
    become_map(c);
    split(c->map, from);
    split(c->map, to);
    for (p = content_seek(c, from, &at); p && p->start < to; p = piece_at(c->map, &at)) {
        tell(freed, context, p);
        c->map->bytes -= p->length;
        remove_at(c->map, &at);
    }
    if (c->map->count == 0) {
        map_free(c->map);
        *c = (struct content){0};
    }
}

void content_clear_flags(struct content *c, uint64_t from, uint64_t to, uint32_t flags)
{
    struct content_cursor at;
    struct piece *p;

    if (!is_map(c) && (c->one.length == 0 || (from <= c->one.start && to >= end_of(&c->one)))) {
        c->one.flags &= ~flags;
        return;
    }
    become_map(c);
    split(c->map, from);
    split(c->map, to);
    (void)content_seek(c, from, &at);
    for (p = writable_at(c->map, &at); p && p->start < to; p = writable_at(c->map, &at)) {
        p->flags &= ~flags;
        at.index++;
    }
}

void content_move(struct content *c, uint64_t from, uint64_t distance, bool down)
{
    struct content_cursor at;
    struct piece *p;

    if (!content_seek(c, from, &at))
        return;
    become_map(c);
    split(c->map, from);
    (void)content_seek(c, from, &at);
    for (p = writable_at(c->map, &at); p; p = writable_at(c->map, &at)) {
        p->start = down ? p->start - distance : p->start + distance;
        if (at.index == 0)
            c->map->items[at.leaf].start = p->start;
        at.index++;
    }
}

void content_release(struct content *c, content_freed_fn *freed, void *context)
{
    struct content_cursor at;
    const struct piece *p;

    if (freed)
        for (p = content_seek(c, 0, &at); p; p = content_next(c, &at))
            tell(freed, context, p);
    if (is_map(c))
        map_free(c->map);
    *c = (struct content){0};
}

/* union_map.c - which runs of a merged directory have a name: one step instead of a search in each.
 *
 * A directory that many layers changed has as many runs, and a name that only the lowest has, or none,
 * is searched in all of them. Once a directory cost as many searches as its layers have names in it,
 * which is about what a map of those names costs, it gets one. So a directory nobody looks into costs
 * no memory, and no sequence of look-ups more than twice what it would with the better of the two.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/base/hash.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

#define RUNS_MIN 4u              /* below it, searching is as good */
#define MAP_ITEMS_MAX (1u << 22) /* of all maps of a view: 80 MiB */

struct run_map_item {
    uint32_t hash;
    uint32_t run;      /* position in the directory's runs */
    uint32_t position; /* of the dirent in that run */
    uint32_t next;     /* item + 1 of the same bucket, of the same or a lower run; 0 ends */
};
struct run_map {
    struct run_map_item *items;
    uint32_t count;
    uint32_t *buckets; /* item + 1 */
    uint32_t bucket_mask;
};

static uint32_t hash_of(const char *text, size_t size)
{
    return (uint32_t)hash64(text, size, 0);
}

static void map_free(struct run_map *m)
{
    if (!m)
        return;
    free(m->items);
    free(m->buckets);
    free(m);
}
DEFINE_CLEANUP(map_free, struct run_map *)

void run_map_release(struct view *v, struct dir *d)
{
    if (!d->map)
        return;
    v->map_item_count -= d->map->count;
    map_free(STEAL(&d->map));
    d->search_count = 0;
}

/* -- making -- */

/* Names in all runs together; UINT32_MAX: more than any map holds. */
static int count_names(struct view *v, const struct dir_run *runs, uint32_t run_count,
                       uint32_t *out)
{
    uint64_t total = 0;

    for (uint32_t run = 0; run < run_count; run++) {
        struct index_inode dir;
        int r = lower_get(v, runs[run], &dir);

        if (r < 0)
            return r;
        total += dir.child_count;
    }
    *out = total > MAP_ITEMS_MAX ? UINT32_MAX : (uint32_t)total;
    return 0;
}

static int add_run(struct view *v, struct run_map *m, struct dir_run at, uint32_t run)
{
    struct index_dirent d;
    int r;

    for (uint32_t position = 0;
         (r = index_dirent_at(v->layers[at.layer], at.inode, position, &d)) == 0; position++) {
        uint32_t hash = hash_of(d.name, d.name_size);
        uint32_t *bucket = &m->buckets[hash & m->bucket_mask];

        m->items[m->count++] = (struct run_map_item){hash, run, position, *bucket};
        *bucket = m->count;
    }
    return r == -ENOENT ? 0 : lower_damaged(v, at.layer);
}

static int make_map(struct view *v, struct dir *d, uint32_t name_count)
{
    __attribute__((cleanup(cleanup_map_free))) struct run_map *m = mem_new(struct run_map);
    uint32_t bucket_count = 16;

    while (bucket_count < name_count)
        bucket_count *= 2;
    m->items = mem_alloc(((size_t)name_count + 1) * sizeof(*m->items));
    m->buckets = mem_alloc(bucket_count * sizeof(*m->buckets));
    m->bucket_mask = bucket_count - 1;
    for (uint32_t run = d->run_count; run-- > 0;) { /* the topmost last: it heads its bucket */
        int r = add_run(v, m, d->runs[run], run);

        if (r < 0)
            return r;
    }
    assert(m->count <= name_count);
    v->map_item_count += m->count;
    d->map = STEAL(&m);
    return 0;
}

int run_map_need(struct view *v, struct dir *d, uint32_t searches)
{
    uint32_t name_count;
    int r;

    if (d->map || d->run_count < RUNS_MIN)
        return 0;
    if (d->name_total == 0) {
        r = count_names(v, d->runs, d->run_count, &d->name_total);
        if (r < 0)
            return r;
    }
    name_count = d->name_total;
    d->search_count =
        searches > UINT32_MAX - d->search_count ? UINT32_MAX : d->search_count + searches;
    if (d->search_count < name_count || name_count > MAP_ITEMS_MAX - v->map_item_count)
        return 0;
    return make_map(v, d, name_count);
}

/* -- asking -- */

static int find_in_map(struct view *v, const struct dir *d, struct run_search *s,
                       struct dir_run *at, struct index_dirent *out)
{
    uint32_t item =
        s->item == UINT32_MAX ? d->map->buckets[s->hash & d->map->bucket_mask] : s->item;

    while (item != 0) {
        const struct run_map_item *i = &d->map->items[item - 1];
        struct dir_run run = d->runs[i->run];

        item = i->next;
        if (i->hash != s->hash || i->run < s->run) /* a damaged layer may have a name twice */
            continue;
        v->search_count++;
        if (index_dirent_at(v->layers[run.layer], run.inode, i->position, out) < 0)
            return lower_damaged(v, run.layer);
        if (out->name_size != s->size || memcmp(out->name, s->text, s->size) != 0)
            continue;
        s->item = item;
        s->run = i->run + 1;
        *at = run;
        return 0;
    }
    return -ENOENT;
}

struct run_search run_search_begin(const char *text, size_t size)
{
    return (struct run_search){
        .text = text, .size = size, .hash = hash_of(text, size), .item = UINT32_MAX};
}

int run_search_next(struct view *v, struct run_list dirs, struct run_search *s, struct dir_run *at,
                    struct index_dirent *out)
{
    if (dirs.dir && dirs.dir->map)
        return find_in_map(v, dirs.dir, s, at, out);
    while (s->run < dirs.count) {
        struct dir_run run = dirs.items[s->run++];
        int r = index_lookup(v->layers[run.layer], run.inode, s->text, s->size, out);

        v->search_count++;
        if (r == -ENOENT)
            continue;
        if (r < 0)
            return lower_damaged(v, run.layer);
        *at = run;
        return 0;
    }
    return -ENOENT;
}

/* union_dir.c - what a directory contains, and in which order it says so.
 *
 * A directory is listed in the order of cookies that its names keep as long as they exist. Names the
 * layers have get rising cookies from COOKIE_BASE on, when the directory is first listed. Names that
 * are new get falling ones below it: they come before everything else, so a listing that is under
 * way never meets them, and a program that renames each file it is shown comes to an end.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/journal.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

#define COOKIE_DOT 1u
#define COOKIE_DOTDOT 2u
#define COOKIES_NEW_MAX (COOKIE_BASE - COOKIE_DOTDOT - 2u)
#define REMOVED_MAX 64u /* removed items that a listing may always keep */

struct dir *dir_of(struct inode *i)
{
    assert(S_ISDIR(i->mode));
    if (!i->dir)
        i->dir = mem_new(struct dir);
    return i->dir;
}

struct inode *dir_parent(const struct view *v, struct inode *dir)
{
    return dir->first_name == NONE ? dir : inode_at(v, name_at(v, dir->first_name)->parent);
}

void dir_release(struct view *v, struct dir *d)
{
    if (!d)
        return;
    run_map_release(v, d);
    free(d->runs);
    free(d->upper.items);
    free(d->lower.items);
    free(d);
}

/* -- listings -- */

/* Index of the item with this cookie, or where it would be. */
static size_t listing_find(const struct listing *l, uint32_t cookie, bool falls)
{
    size_t low = 0;
    size_t high = l->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t there = l->items[middle].cookie;

        if (falls ? there > cookie : there < cookie)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void listing_compact(struct listing *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].name != NONE)
            l->items[kept++] = l->items[i];
    l->count = kept;
    l->removed_count = 0;
}

static void listing_remove(struct listing *l, size_t at)
{
    l->items[at].name = NONE;
    l->removed_count++;
    while (l->count > 0 && l->items[l->count - 1].name == NONE) {
        l->count--;
        l->removed_count--;
    }
    if (l->removed_count > REMOVED_MAX && l->removed_count > l->count / 2)
        listing_compact(l);
}

/* After a thousand million new names in a directory that was never empty. */
static void renumber(struct view *v, struct dir *d)
{
    listing_compact(&d->upper);
    d->next_cookie = 0;
    for (size_t i = 0; i < d->upper.count; i++) {
        d->upper.items[i].cookie = COOKIE_BASE - 1 - d->next_cookie++;
        name_at(v, d->upper.items[i].name)->cookie = d->upper.items[i].cookie;
    }
}

void dir_list_add(struct view *v, struct inode *dir, uint32_t name)
{
    struct dir *d = dir_of(dir);
    struct name *n = name_at(v, name);

    assert(n->cookie == NONE);
    if (d->upper.count == 0)
        d->next_cookie = 0;
    else if (d->next_cookie == COOKIES_NEW_MAX)
        renumber(v, d);
    n->cookie = COOKIE_BASE - 1 - d->next_cookie++;
    *array_add(&d->upper) = (struct listed){.cookie = n->cookie, .name = name};
}

void dir_list_remove(struct view *v, struct inode *dir, uint32_t name)
{
    struct name *n = name_at(v, name);
    bool is_new = n->cookie < COOKIE_BASE;
    struct listing *l = is_new ? &dir->dir->upper : &dir->dir->lower;
    size_t at;

    if (n->cookie == NONE)
        return;
    at = listing_find(l, n->cookie, is_new);
    assert(at < l->count && l->items[at].name == name);
    listing_remove(l, at);
    n->cookie = NONE;
}

/* -- what the layers have -- */

static int take_lower_name(struct view *v, struct inode *i, const struct index_dirent *d)
{
    struct dir *dir = dir_of(i);
    uint32_t name = name_lookup_known(v, i->number, d->name, d->name_size);
    struct lower_entry entry;
    int r = 0;

    if (name == NONE) {
        r = lower_find(v, i, d->name, d->name_size, &entry);
        if (r == 0)
            r = lower_materialise(v, i, &entry, d->name_size, &name);
    }
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (name_at(v, name)->inode == NONE || name_at(v, name)->cookie != NONE)
        return 0; /* removed, or listed already */
    name_at(v, name)->cookie = COOKIE_BASE + (uint32_t)dir->lower.count;
    *array_add(&dir->lower) = (struct listed){.cookie = name_at(v, name)->cookie, .name = name};
    return 0;
}

int dir_complete(struct view *v, struct inode *i)
{
    struct dir *dir = dir_of(i);
    uint32_t count;
    const struct dir_run *runs = inode_runs(i, &count);
    struct index_dirent d;

    if (dir->is_complete)
        return 0;
    if (run_map_need(v, dir, UINT32_MAX) < 0) /* each name is going to be looked for */
        return -EIO;
    for (uint32_t run = 0; run < count; run++) {
        const struct index *x = v->layers[runs[run].layer];
        int r = 0;

        for (uint32_t at = 0; r == 0; at++) {
            r = index_dirent_at(x, runs[run].inode, at, &d);
            if (r == 0 && !d.is_whiteout)
                r = take_lower_name(v, i, &d);
            else if (r < 0 && r != -ENOENT)
                r = lower_damaged(v, runs[run].layer);
        }
        if (r != -ENOENT)
            return r;
    }
    dir->is_complete = true;
    run_map_release(v, dir);
    return 0;
}

int dir_is_empty(struct view *v, struct inode *i)
{
    int r;

    if (dir_of(i)->name_count > 0)
        return -ENOTEMPTY;
    r = dir_complete(v, i);
    if (r < 0)
        return r;
    return i->dir->name_count > 0 ? -ENOTEMPTY : 0;
}

void dir_kill(struct view *v, struct inode *i)
{
    struct dir *dir = dir_of(i);
    uint32_t count;
    const struct dir_run *runs = inode_runs(i, &count);
    struct index_dirent d;

    assert(dir->name_count == 0);
    for (uint32_t run = 0; run < count; run++)
        for (uint32_t at = 0;
             index_dirent_at(v->layers[runs[run].layer], runs[run].inode, at, &d) == 0; at++) {
            uint32_t name = name_lookup_known(v, i->number, d.name, d.name_size);

            if (name != NONE)
                name_free(v, name);
        }
    journal_drop_inode(v, i);
    (void)xattrs_load(v, i); /* whoever holds it still sees them; damage was noted */
    i->flags &= ~(uint32_t)(INODE_ORIGIN | INODE_LOWER_XATTRS);
    run_map_release(v, dir);
    free(dir->runs);
    dir->runs = NULL;
    dir->run_count = 0;
    dir->is_complete = true;
}

uint32_t dir_walk_next(const struct inode *dir, struct dir_walk *walk)
{
    while (dir->dir) {
        const struct listing *l = walk->in_lower ? &dir->dir->lower : &dir->dir->upper;

        while (walk->position < l->count)
            if (l->items[walk->position++].name != NONE)
                return l->items[walk->position - 1].name;
        if (walk->in_lower)
            break;
        *walk = (struct dir_walk){.in_lower = true};
    }
    return NONE;
}

uint32_t dir_any_name(const struct inode *dir)
{
    const struct dir *d = dir->dir;

    /* Removing drops what is removed at the end, so the last item of a listing is a name. */
    if (d && d->upper.count > 0)
        return d->upper.items[d->upper.count - 1].name;
    if (d && d->lower.count > 0)
        return d->lower.items[d->lower.count - 1].name;
    return NONE;
}

/* -- readdir -- */

struct reading {
    struct view *v;
    bool plus;
    union_dir_fn *fn;
    void *context;
};

static bool give(const struct reading *reading, const char *text, size_t size, uint32_t next,
                 struct inode *i, bool is_dot)
{
    struct union_attr attr = {.ino = i->number, .mode = i->mode & S_IFMT};

    if (reading->plus)
        attr_fill(reading->v, i, &attr);
    if (!reading->fn(reading->context, text, size, next, &attr))
        return false;
    if (reading->plus && !is_dot)
        i->lookup_count++;
    return true;
}

static bool give_listed(const struct reading *reading, const struct listed *item)
{
    struct view *v = reading->v;
    const struct name *n;

    if (item->name == NONE)
        return true;
    n = name_at(v, item->name);
    return give(reading, n->text, n->size, item->cookie, inode_at(v, n->inode), false);
}

static bool give_dots(const struct reading *reading, struct inode *dir, uint64_t cookie)
{
    const struct view *v = reading->v;

    if (cookie < COOKIE_DOT && !give(reading, ".", 1, COOKIE_DOT, dir, true))
        return false;
    return cookie >= COOKIE_DOTDOT ||
           give(reading, "..", 2, COOKIE_DOTDOT, dir_parent(v, dir), true);
}

int union_readdir(struct view *v, uint64_t dir, uint64_t cookie, bool plus, union_dir_fn *fn,
                  void *context)
{
    struct reading reading = {.v = v, .plus = plus, .fn = fn, .context = context};
    struct inode *i = inode_get(v, dir);
    const struct dir *d;
    uint32_t from;
    int r;

    if (!i)
        return -ESTALE;
    if (!S_ISDIR(i->mode))
        return -ENOTDIR;
    if (!inode_is_alive(i))
        return -ENOENT;
    r = dir_complete(v, i);
    if (r < 0)
        return r;
    if (cookie > INT32_MAX || !give_dots(&reading, i, cookie))
        return 0;
    d = i->dir;
    from = (uint32_t)cookie;
    for (size_t at = listing_find(&d->upper, from, true); at-- > 0;)
        if (!give_listed(&reading, &d->upper.items[at]))
            return 0;
    for (size_t at = listing_find(&d->lower, from + 1, false); at < d->lower.count; at++)
        if (!give_listed(&reading, &d->lower.items[at]))
            return 0;
    return 0;
}

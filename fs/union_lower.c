/* union_lower.c - looks names up in the layers and gives what it finds its inode.
 *
 * A name in a merged directory is searched in each of its runs, topmost first, until a whiteout, a
 * file or an opaque directory ends the search (OCI image-spec, layer.md, "Whiteouts"). Which of its
 * names a hard-linked file still has is found out once, when it gets its inode.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/base/str.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

int lower_damaged(struct view *v, uint32_t layer)
{
    return view_set_fault(v, EIO, "layer %u of '%s' is damaged", layer + 1, v->label);
}

int lower_get(struct view *v, struct dir_run at, struct index_inode *out)
{
    return index_get(v->layers[at.layer], at.inode, out) < 0 ? lower_damaged(v, at.layer) : 0;
}

/* -- runs -- */

const struct dir_run *inode_runs(const struct inode *dir, uint32_t *count)
{
    if (dir->dir && dir->dir->runs) {
        *count = dir->dir->run_count;
        return dir->dir->runs;
    }
    *count = dir->flags & INODE_ORIGIN ? 1 : 0;
    return &dir->origin;
}

static bool inode_has_run(const struct inode *dir, struct dir_run run)
{
    uint32_t count;
    const struct dir_run *runs;

    if (!S_ISDIR(dir->mode) || !inode_is_alive(dir))
        return false;
    runs = inode_runs(dir, &count);
    for (uint32_t i = 0; i < count; i++)
        if (run_equal(runs[i], run))
            return true;
    return false;
}

void lower_note_moved(struct view *v, const struct inode *dir)
{
    uint32_t count;
    const struct dir_run *runs = inode_runs(dir, &count);

    for (uint32_t i = 0; i < count; i++)
        id_map_put(&v->moved, run_key(runs[i]), dir->number);
}

/* -- searching -- */

static int compare_external(const void *key, const void *item)
{
    uint64_t a = run_key(*(const struct dir_run *)key);
    uint64_t b = run_key(((const struct external *)item)->link);

    return a < b ? -1 : a > b;
}

/* Hard links to a lower layer stand for the file they name. */
static int follow_external(struct view *v, struct dir_run *at)
{
    const struct external *e;

    if (v->external_count == 0)
        return 0;
    e = bsearch(at, v->externals, v->external_count, sizeof(*e), compare_external);
    if (!e)
        return 0;
    if (e->target.layer == NO_LAYER)
        return view_set_fault(v, EIO,
                              "layer %u of '%s' has a hard link to a file that no layer below has",
                              at->layer + 1, v->label);
    *at = e->target;
    return 0;
}

/* One directory found under the name; false when those below cannot add to it. */
static bool take_dir(struct lower_entry *out, struct dir_run *runs, struct dir_run at,
                     uint32_t flags, bool *has_meta, bool *is_closed)
{
    if (!*is_closed)
        runs[out->run_count++] = at;
    if (out->run_count == 1 && !*is_closed)
        out->origin = at; /* metadata of last resort */
    if (!(flags & INDEX_IMPLICIT) && !*has_meta) {
        out->origin = at;
        *has_meta = true;
    }
    *is_closed = *is_closed || (flags & INDEX_OPAQUE);
    return !*is_closed || !*has_meta;
}

int lower_find_in_runs(struct view *v, struct run_list dirs, const char *text, size_t size,
                       struct dir_run *runs, struct lower_entry *out)
{
    struct run_search search = run_search_begin(text, size);
    bool has_meta = false;
    bool is_closed = false; /* only metadata is looked for from here on */
    struct dir_run at = {0};
    struct index_dirent d = {0};
    int r;

    *out = (struct lower_entry){.runs = runs};
    while ((r = run_search_next(v, dirs, &search, &at, &d)) == 0) {
        struct index_inode found;

        if (d.is_whiteout)
            break;
        at.inode = d.inode;
        r = lower_get(v, at, &found);
        if (r < 0)
            return r;
        if (found.meta.type != ENTRY_DIR && out->is_dir)
            break;
        if (!out->text)
            out->text = d.name;
        if (found.meta.type != ENTRY_DIR) {
            out->origin = at;
            return follow_external(v, &out->origin);
        }
        out->is_dir = true;
        if (!take_dir(out, runs, at, found.flags, &has_meta, &is_closed))
            break;
    }
    if (r < 0 && r != -ENOENT)
        return r;
    return out->is_dir ? 0 : -ENOENT;
}

int lower_find(struct view *v, struct inode *dir, const char *text, size_t size,
               struct lower_entry *out)
{
    struct run_list dirs = {.dir = dir->dir};
    int r;

    dirs.items = inode_runs(dir, &dirs.count);
    r = dir->dir ? run_map_need(v, dir->dir, dirs.count) : 0;
    return r < 0 ? r : lower_find_in_runs(v, dirs, text, size, v->found_runs, out);
}

int lower_root_below(struct view *v, uint32_t below, struct dir_run *runs, struct lower_entry *out)
{
    bool has_meta = false;
    bool is_closed = false;

    *out = (struct lower_entry){.is_dir = true, .runs = runs};
    for (uint32_t layer = below; layer-- > 0;) {
        struct dir_run at = {.layer = layer};
        struct index_inode found;
        int r = lower_get(v, at, &found);

        if (r < 0)
            return r;
        if (!take_dir(out, runs, at, found.flags, &has_meta, &is_closed))
            break;
    }
    return out->run_count > 0 ? 0 : -ENOENT;
}

int lower_root(struct view *v, struct lower_entry *out)
{
    return lower_root_below(v, (uint32_t)v->layer_count, v->found_runs, out);
}

/* -- names of a hard-linked file -- */

static int run_name(struct view *v, struct dir_run at, uint32_t position, struct dir_run *dir,
                    struct index_dirent *out)
{
    const struct index *x = v->layers[at.layer];
    uint32_t dirent;

    dir->layer = at.layer;
    if (index_name_of(x, at.inode, position, &dir->inode, &dirent) < 0 ||
        index_dirent_at(x, dir->inode, dirent, out) < 0)
        return lower_damaged(v, at.layer);
    return 0;
}

/* Where the directory of a layer is in the tree now: found from the nearest directory above it that
 * was renamed, else from the root. NULL when something hides it. */
static int find_dir(struct view *v, struct dir_run run, struct inode **out)
{
    struct dir_run chain[LIMIT_PATH_DEPTH];
    size_t depth = 0;
    struct inode *dir;
    uint32_t moved;
    int r;

    *out = NULL;
    while ((moved = id_map_get(&v->moved, run_key(run))) == 0 && run.inode != 0) {
        struct index_inode found;

        if (depth == LIMIT_PATH_DEPTH)
            return lower_damaged(v, run.layer);
        chain[depth++] = run;
        r = lower_get(v, run, &found);
        if (r < 0)
            return r;
        run.inode = found.parent;
    }
    dir = inode_get(v, moved ? moved : UNION_ROOT);
    while (dir && inode_has_run(dir, run)) {
        struct index_dirent d = {0};
        struct dir_run parent;
        uint32_t name = NONE;

        if (depth == 0) {
            *out = dir;
            return 0;
        }
        run = chain[--depth];
        r = run_name(v, run, 0, &parent, &d);
        if (r == 0)
            r = name_find(v, dir, d.name, d.name_size, &name);
        if (r < 0)
            return r == -ENOENT ? 0 : r;
        dir = inode_at(v, name_at(v, name)->inode);
    }
    return 0;
}

/* Looks at every name that index inode `at` has, so that those that show are attached to it. */
static int adopt_names(struct view *v, struct dir_run at)
{
    struct index_inode found;
    int r = lower_get(v, at, &found);

    for (uint32_t i = 0; r == 0 && i < found.nlink; i++) {
        struct index_dirent d = {0};
        struct dir_run dir_at = {0};
        struct inode *dir = NULL;
        uint32_t name;

        r = run_name(v, at, i, &dir_at, &d);
        if (r == 0)
            r = find_dir(v, dir_at, &dir);
        if (r == 0 && dir)
            r = name_find(v, dir, d.name, d.name_size, &name);
        if (r == -ENOENT)
            r = 0; /* hidden or removed since */
    }
    return r;
}

static int adopt_all_names(struct view *v, struct dir_run origin)
{
    int r = adopt_names(v, origin);

    for (size_t i = 0; r == 0 && i < v->external_count; i++)
        if (run_equal(v->externals[i].target, origin))
            r = adopt_names(v, v->externals[i].link);
    return r;
}

/* -- inodes -- */

static int fill_content(struct view *v, struct inode *i, const struct index_inode *from)
{
    const struct index *x = v->layers[i->origin.layer];
    uint64_t total = 0;
    size_t size;

    i->size_bytes = from->meta.size_bytes;
    if (S_ISLNK(i->mode))
        return index_target(x, i->origin.inode, &i->target, &size) < 0
                   ? lower_damaged(v, i->origin.layer)
                   : 0;
    if (S_ISCHR(i->mode) || S_ISBLK(i->mode)) {
        i->rdev_major = from->meta.rdev_major;
        i->rdev_minor = from->meta.rdev_minor;
    }
    if (!S_ISREG(i->mode) || from->extent_count == 0)
        return 0;
    if (from->extent_count == 1)
        return content_from_index(v, i->origin, from, &i->content);
    for (uint32_t at = 0; at < from->extent_count; at++) {
        struct extent e;

        if (index_extent(x, i->origin.inode, at, &e) < 0)
            return lower_damaged(v, i->origin.layer);
        total += e.length;
    }
    i->lower_bytes = total;
    i->flags |= INODE_LOWER_CONTENT;
    return 0;
}

int lower_fill(struct view *v, struct inode *i, struct dir_run origin)
{
    struct index_inode found;
    int r = lower_get(v, origin, &found);

    if (r < 0)
        return r;
    i->mode = entry_type_to_mode(found.meta.type) | found.meta.mode;
    i->uid = found.meta.uid;
    i->gid = found.meta.gid;
    i->atime_ns = i->mtime_ns = i->ctime_ns = found.meta.mtime_ns;
    i->origin = origin;
    i->flags |= INODE_ORIGIN;
    if (found.xattr_count > 0)
        i->flags |= INODE_LOWER_XATTRS;
    return fill_content(v, i, &found);
}

static int make_inode(struct view *v, const struct lower_entry *entry, struct inode **out)
{
    struct inode *i = inode_new(v, 0, 0, 0);
    int r;

    if (!i)
        return -ENOSPC;
    r = lower_fill(v, i, entry->origin);
    if (r < 0 || S_ISDIR(i->mode) != entry->is_dir) {
        i->mode = 0; /* nothing to release */
        inode_unuse(v, i);
        return r < 0 ? r : lower_damaged(v, entry->origin.layer);
    }
    if (entry->is_dir && (entry->run_count != 1 || !run_equal(entry->runs[0], entry->origin))) {
        struct dir *d = dir_of(i);

        d->runs = mem_dup(entry->runs, entry->run_count * sizeof(*entry->runs));
        d->run_count = entry->run_count;
    }
    *out = i;
    return 0;
}

/* The inode of a file that may have other names already, or get them here. */
static int file_inode(struct view *v, const struct lower_entry *entry, struct inode **out)
{
    uint64_t key = run_key(entry->origin);
    uint32_t known = id_map_get(&v->groups, key);
    struct index_inode found;
    int r;

    if (known != 0 && known != GROUP_EXPECTED) {
        *out = inode_at(v, known);
        return 0;
    }
    r = lower_get(v, entry->origin, &found);
    if (r == 0)
        r = make_inode(v, entry, out);
    if (r < 0 || !*out || (found.nlink < 2 && known == 0))
        return r;
    (*out)->flags |= INODE_GROUP;
    id_map_put(&v->groups, key, (*out)->number);
    r = adopt_all_names(v, entry->origin);
    if (r < 0)
        inode_unuse(v, *out); /* unless a name was found before the damage */
    return r;
}

int lower_materialise(struct view *v, struct inode *dir, const struct lower_entry *entry,
                      size_t size, uint32_t *name)
{
    struct inode *i = NULL;
    int r = entry->is_dir ? make_inode(v, entry, &i) : file_inode(v, entry, &i);

    if (r < 0)
        return r;
    *name = name_lookup_known(v, dir->number, entry->text, size);
    if (*name != NONE)
        return 0; /* one of several names, found on the way */
    *name = name_new(v, dir->number, entry->text, size, true);
    name_at(v, *name)->flags |= NAME_LOWER;
    name_attach(v, *name, i);
    dir_of(dir)->name_count++;
    return 0;
}

/* -- opening and closing -- */

int lower_init(struct view *v, const int64_t *layers, struct error *err)
{
    v->found_runs = mem_alloc(v->layer_count * sizeof(*v->found_runs));
    for (uint32_t i = 0; i < v->layer_count; i++) {
        int r = reroute_layer(v, layers, i, err);

        if (r == 0)
            r = below_add_externals(v, i, err);
        if (r < 0)
            return r;
    }
    return 0;
}

void lower_release(struct view *v)
{
    free(v->found_runs);
    free(v->externals);
    id_map_release(&v->groups);
    id_map_release(&v->moved);
}

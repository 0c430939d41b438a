/* union_reroute.c - layers that have files below what is a symlink in the layers below them.
 *
 * A tar may name usr/bin/x without naming usr/bin. Whoever unpacks it over the other layers, as
 * containerd and umoci do, walks to the parent through the links that are there: with `bin -> usr/bin`
 * below, bin/x is a file of usr/bin. A directory that the tar does name takes the link's place.
 *
 * Which one it is depends on the layers below, so it is found out when a view is opened. Such a layer
 * is rare; its entries are put into a new index under the paths they have. That costs as much as the layer
 * has entries, so the store keeps it for the next view of the same layers (store_rerouted_keep).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/base/str.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

/* -- whether it is one -- */

enum state { /* of a directory of the layer */
             UNKNOWN,
             OPEN,   /* the layers below have it too: what is in it may lie over something */
             CLOSED, /* nothing below shows in it */
             OVER_LINK,
};

/* A directory in one that is open. A state or -EIO. */
static int judge(struct view *v, uint32_t layer, const char *path, uint32_t flags)
{
    struct below_found found = {0};
    struct index_inode below = {0};
    int r = below_find(v, layer, path, false, &found);

    str_release(&found.path);
    if (r < 0)
        return r == -EIO ? r : CLOSED;
    if (found.is_missing)
        return CLOSED;
    if (found.is_dir)
        return flags & INDEX_OPAQUE ? CLOSED : OPEN;
    r = lower_get(v, found.origin, &below);
    if (r < 0)
        return r;
    return below.meta.type == ENTRY_SYMLINK && flags & INDEX_IMPLICIT ? OVER_LINK : CLOSED;
}

static int judge_inode(struct view *v, struct dir_run at, uint32_t flags)
{
    const struct index *x = v->layers[at.layer];
    auto_str struct str path = {0};
    uint32_t dir;
    uint32_t position;

    if (at.inode == 0)
        return flags & INDEX_OPAQUE ? CLOSED : OPEN;
    if (index_name_of(x, at.inode, 0, &dir, &position) < 0 ||
        index_add_path(x, dir, position, &path) < 0)
        return lower_damaged(v, at.layer);
    return judge(v, at.layer, str_text(&path), flags);
}

/* The state of a directory, from the nearest one above it whose state is known. */
static int state_of(struct view *v, struct dir_run at, uint8_t *states)
{
    struct {
        uint32_t inode;
        uint32_t flags;
    } chain[LIMIT_PATH_DEPTH + 1];
    size_t depth = 0;
    int state = OPEN;

    for (uint32_t inode = at.inode; states[inode] == UNKNOWN;) {
        struct index_inode dir;

        if (depth > LIMIT_PATH_DEPTH || index_get(v->layers[at.layer], inode, &dir) < 0 ||
            (inode != 0 && dir.parent >= inode))
            return lower_damaged(v, at.layer);
        chain[depth].inode = inode;
        chain[depth++].flags = dir.flags;
        if (inode == 0)
            break;
        inode = dir.parent;
        state = states[inode];
    }
    while (depth-- > 0) {
        struct dir_run dir = {.layer = at.layer, .inode = chain[depth].inode};

        state = state == CLOSED ? CLOSED : judge_inode(v, dir, chain[depth].flags);
        if (state < 0 || state == OVER_LINK)
            return state;
        states[dir.inode] = (uint8_t)state;
    }
    return states[at.inode];
}

/* 1, 0 or -errno. */
static int needs_rerouting(struct view *v, uint32_t layer)
{
    const struct index *x = v->layers[layer];
    size_t count = layer == 0 ? 0 : index_special_count(x);
    auto_free uint8_t *states = count ? mem_try(index_inode_count(x), sizeof(*states)) : NULL;

    if (count && !states)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct dir_run at = {.layer = layer};
        struct index_inode dir;
        int state;

        if (index_special_at(x, i, &at.inode) < 0 || index_get(x, at.inode, &dir) < 0)
            return lower_damaged(v, layer);
        if (dir.meta.type != ENTRY_DIR)
            continue;
        state = state_of(v, at, states);
        if (state < 0 || state == OVER_LINK)
            return state < 0 ? state : 1;
    }
    return 0;
}

/* -- the new index -- */

struct reroute {
    struct view *v;
    uint32_t layer;
    const struct index *x;
    struct index_builder *builder;
    char **paths; /* by inode: new ones of directories, the first one of files with several names */
    uint32_t path_count;
    uint8_t *states; /* of directories, by inode */
    struct {
        struct extent *items;
        size_t count;
        size_t capacity;
    } extents;
    struct {
        struct xattr *items;
        size_t count;
        size_t capacity;
    } xattrs;
};

static void reroute_release(struct reroute *w)
{
    index_builder_free(w->builder);
    for (uint32_t i = 0; w->paths && i < w->path_count; i++)
        free(w->paths[i]);
    free(w->paths);
    free(w->states);
    free(w->extents.items);
    free(w->xattrs.items);
}
DEFINE_CLEANUP_VALUE(reroute_release, struct reroute)
#define auto_reroute CLEANUP(reroute_release)

static int damaged(const struct reroute *w, struct error *err)
{
    (void)lower_damaged(w->v, w->layer); /* its sentence is the one to give */
    return view_fault(w->v, err);
}

/* Where an extractor puts what is below the implicit directory. A link that leads nowhere a directory
 * can be is replaced by one. */
static int follow(struct reroute *w, char **path, struct error *err)
{
    struct below_found found = {0};
    int r = below_find(w->v, w->layer, *path, true, &found);

    if (r == -EIO)
        return view_fault(w->v, err);
    if (r == 0 && (found.is_missing || found.is_dir)) {
        free(*path);
        *path = mem_strdup(str_text(&found.path));
    }
    str_release(&found.path);
    return r == 0 && found.is_dir ? OPEN : CLOSED;
}

static int add_inode(struct reroute *w, uint32_t inode, const struct index_inode *i,
                     const char *path, struct error *err)
{
    struct index_new_entry e = {.path = path, .meta = i->meta, .flags = i->flags & INDEX_OPAQUE};
    size_t size;

    w->extents.count = w->xattrs.count = 0;
    for (uint32_t n = 0; n < i->extent_count; n++)
        if (index_extent(w->x, inode, n, array_add(&w->extents)) < 0)
            return damaged(w, err);
    for (uint32_t n = 0; n < i->xattr_count; n++)
        if (index_xattr(w->x, inode, n, array_add(&w->xattrs)) < 0)
            return damaged(w, err);
    if (i->meta.type == ENTRY_SYMLINK && index_target(w->x, inode, &e.target, &size) < 0)
        return damaged(w, err);
    e.extents = w->extents.items;
    e.extent_count = w->extents.count;
    e.xattrs = w->xattrs.items;
    e.xattr_count = w->xattrs.count;
    return index_builder_add(w->builder, &e, err);
}

static int add_file(struct reroute *w, uint32_t inode, const struct index_inode *i,
                    const char *path, struct error *err)
{
    const char *target;
    size_t size;

    if (w->paths[inode])
        return index_builder_add_link(w->builder, path, w->paths[inode], err);
    if (i->nlink > 1)
        w->paths[inode] = mem_strdup(path);
    if (!(i->flags & INDEX_EXTERNAL_LINK))
        return add_inode(w, inode, i, path, err);
    if (index_target(w->x, inode, &target, &size) < 0)
        return damaged(w, err);
    return index_builder_add_link(w->builder, path, target, err);
}

static int add_dir(struct reroute *w, uint32_t parent, uint32_t inode, const struct index_inode *i,
                   const char *path, struct error *err)
{
    char *routed = mem_strdup(path);
    int state = CLOSED;

    if (w->states[parent] == OPEN)
        state = judge(w->v, w->layer, path, i->flags);
    if (state == OVER_LINK)
        state = follow(w, &routed, err);
    w->paths[inode] = routed;
    if (state < 0)
        return view_fault(w->v, err);
    w->states[inode] = i->flags & INDEX_OPAQUE ? CLOSED : (uint8_t)state;
    if (!(i->flags & INDEX_IMPLICIT))
        return add_inode(w, inode, i, routed, err);
    return i->flags & INDEX_OPAQUE ? index_builder_set_opaque(w->builder, routed, err) : 0;
}

static int add_name(struct reroute *w, uint32_t dir, const struct index_dirent *d,
                    struct error *err)
{
    auto_free char *path = str_format("%s%s%.*s", w->paths[dir], w->paths[dir][0] ? "/" : "",
                                      (int)d->name_size, d->name);
    struct index_inode i;

    if (d->is_whiteout)
        return index_builder_add_whiteout(w->builder, path, err);
    if (index_get(w->x, d->inode, &i) < 0)
        return damaged(w, err);
    return i.meta.type == ENTRY_DIR ? add_dir(w, dir, d->inode, &i, path, err)
                                    : add_file(w, d->inode, &i, path, err);
}

/* Directories come before what is in them (FORMAT.md, "Index"), so their paths are known. */
static int add_all(struct reroute *w, struct error *err)
{
    struct index_inode root;
    int r = index_get(w->x, 0, &root) < 0 ? damaged(w, err) : 0;

    w->paths[0] = mem_strdup("");
    w->states[0] = r == 0 && root.flags & INDEX_OPAQUE ? CLOSED : OPEN;
    if (r == 0 && !(root.flags & INDEX_IMPLICIT))
        r = add_inode(w, 0, &root, "", err);
    else if (r == 0 && root.flags & INDEX_OPAQUE)
        r = index_builder_set_opaque(w->builder, "", err);
    for (uint32_t dir = 0; r == 0 && dir < w->path_count; dir++) {
        struct index_dirent d;

        for (uint32_t at = 0; r == 0 && w->paths[dir]; at++) {
            int found = index_dirent_at(w->x, dir, at, &d);

            if (found == -ENOENT || found == -ENOTDIR)
                break;
            r = found < 0 ? damaged(w, err) : add_name(w, dir, &d, err);
        }
    }
    return r;
}

static int finish(struct reroute *w, const int64_t *ids, struct error *err)
{
    struct view *v = w->v;
    auto_close int fd = -1;
    struct index *made;
    int r = store_temp_file(v->store, &fd, err);

    if (r == 0)
        r = index_builder_write(w->builder, fd, err);
    if (r == 0)
        r = index_open_fd(fd, "a rerouted layer", false, &made, err);
    if (r < 0)
        return r;
    v->layers[w->layer] = store_rerouted_keep(v->store, ids, w->layer + 1, made);
    return 0;
}

int reroute_layer(struct view *v, const int64_t *ids, uint32_t layer, struct error *err)
{
    auto_reroute struct reroute w = {.v = v, .layer = layer, .x = v->layers[layer]};
    const struct index *known = store_rerouted_get(v->store, ids, layer + 1);
    int r = known ? 0 : needs_rerouting(v, layer);

    if (known)
        v->layers[layer] = known;
    if (r == 0)
        return 0;
    if (r == -ENOMEM)
        return error_set(err, ENOMEM, "no memory to open '%s'", v->label);
    if (r < 0)
        return view_fault(v, err);
    w.path_count = index_inode_count(w.x);
    w.paths = mem_try(w.path_count, sizeof(*w.paths));
    w.states = mem_try(w.path_count, sizeof(*w.states));
    if (!w.paths || !w.states)
        return error_set(err, ENOMEM, "no memory to open '%s'", v->label);
    w.builder = index_builder_new();
    r = add_all(&w, err);
    if (r == 0)
        r = finish(&w, ids, err);
    if (r < 0 && view_fault(v, &(struct error){0}) == 0) /* that names the layer itself */
        return error_wrap(err, "layer %u of '%s'", layer + 1, v->label);
    return r;
}

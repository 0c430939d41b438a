/* layer_clamp.c - a layer once more, with no file newer than a moment: a new index over the same
 * bytes, so its cost is that of the entries alone.
 */
#include <errno.h>
#include <inttypes.h>

#include "fs/base/limits.h"
#include "fs/base/str.h"
#include "fs/index.h"
#include "fs/layer.h"
#include "fs/store.h"

#include "fs/base/banned.h"

struct clamp {
    const struct index *x;
    int64_t layer;
    int64_t mtime_max_ns;
    struct index_builder *builder;
    struct str path;
    unsigned depth;
    struct error *err;
};

static void clamp_release(struct clamp *c)
{
    index_builder_free(c->builder);
    str_release(&c->path);
}
DEFINE_CLEANUP_VALUE(clamp_release, struct clamp)

static int damaged(const struct clamp *c)
{
    return error_set(c->err, EIO, "the index of layer %" PRId64 " is damaged at '%s'", c->layer,
                     str_text(&c->path));
}

/* 1 when some entry is newer. */
static int needs_clamping(struct clamp *c)
{
    for (uint32_t i = 0; i < index_inode_count(c->x); i++) {
        struct index_inode inode;

        if (index_get(c->x, i, &inode) < 0)
            return damaged(c);
        if (inode.meta.mtime_ns > c->mtime_max_ns)
            return 1;
    }
    return 0;
}

static int add_described(struct clamp *c, uint32_t number, const struct index_inode *i)
{
    struct index_new_entry e = {
        .path = str_text(&c->path),
        .meta = i->meta,
        .flags = i->flags & INDEX_OPAQUE,
        .extent_count = i->extent_count,
        .xattr_count = i->xattr_count,
    };
    auto_free struct extent *extents = mem_try(i->extent_count, sizeof(*extents));
    auto_free struct xattr *xattrs = mem_try(i->xattr_count, sizeof(*xattrs));
    size_t size;

    if (extents == NULL || xattrs == NULL)
        return damaged(c); /* nobody has that many */
    for (uint32_t k = 0; k < i->extent_count; k++)
        if (index_extent(c->x, number, k, &extents[k]) < 0)
            return damaged(c);
    for (uint32_t k = 0; k < i->xattr_count; k++)
        if (index_xattr(c->x, number, k, &xattrs[k]) < 0)
            return damaged(c);
    if (i->meta.type == ENTRY_SYMLINK && index_target(c->x, number, &e.target, &size) < 0)
        return damaged(c);
    if (e.meta.mtime_ns > c->mtime_max_ns)
        e.meta.mtime_ns = c->mtime_max_ns;
    e.extents = extents;
    e.xattrs = xattrs;
    return index_builder_add(c->builder, &e, c->err);
}

/* An implicit directory comes with what is below it. */
static int add_dir(struct clamp *c, uint32_t number, const struct index_inode *i)
{
    if (!(i->flags & INDEX_IMPLICIT))
        return add_described(c, number, i);
    if (i->flags & INDEX_OPAQUE)
        return index_builder_set_opaque(c->builder, str_text(&c->path), c->err);
    return 0;
}

/* The first name of a file carries it, the others link to that one, here as in the layer's tar. */
static int add_file(struct clamp *c, uint32_t number, const struct index_inode *i, uint32_t dir,
                    uint32_t position)
{
    auto_str struct str first = {0};
    const char *target;
    uint32_t first_dir;
    uint32_t first_position;
    size_t size;

    if (i->flags & INDEX_EXTERNAL_LINK) {
        if (index_target(c->x, number, &target, &size) < 0)
            return damaged(c);
        return index_builder_add_link(c->builder, str_text(&c->path), target, c->err);
    }
    if (i->nlink <= 1)
        return add_described(c, number, i);
    if (index_name_of(c->x, number, 0, &first_dir, &first_position) < 0)
        return damaged(c);
    if (first_dir == dir && first_position == position)
        return add_described(c, number, i);
    if (index_add_path(c->x, first_dir, first_position, &first) < 0)
        return damaged(c);
    return index_builder_add_link(c->builder, str_text(&c->path), str_text(&first), c->err);
}

static int walk(struct clamp *c, uint32_t dir, uint32_t count);

static int add_name(struct clamp *c, uint32_t dir, uint32_t position)
{
    struct index_dirent e;
    struct index_inode i;
    size_t size = c->path.size;
    int r = 0;

    if (index_dirent_at(c->x, dir, position, &e) < 0)
        return damaged(c);
    str_add(&c->path, size > 0 ? "/" : "");
    str_add_bytes(&c->path, e.name, e.name_size);
    if (e.is_whiteout) {
        r = index_builder_add_whiteout(c->builder, str_text(&c->path), c->err);
    } else if (index_get(c->x, e.inode, &i) < 0) {
        r = damaged(c);
    } else if (i.meta.type != ENTRY_DIR) {
        r = add_file(c, e.inode, &i, dir, position);
    } else {
        r = add_dir(c, e.inode, &i);
        if (r == 0)
            r = walk(c, e.inode, i.child_count);
    }
    str_truncate(&c->path, size);
    return r;
}

static int walk(struct clamp *c, uint32_t dir, uint32_t count)
{
    int r = 0;

    if (++c->depth > LIMIT_PATH_DEPTH)
        return damaged(c);
    for (uint32_t i = 0; r == 0 && i < count; i++)
        r = add_name(c, dir, i);
    c->depth--;
    return r;
}

static int add_all(struct clamp *c)
{
    struct index_inode root;
    int r;

    if (index_get(c->x, 0, &root) < 0 || root.meta.type != ENTRY_DIR)
        return damaged(c);
    r = add_dir(c, 0, &root);
    return r < 0 ? r : walk(c, 0, root.child_count);
}

static int insert(struct clamp *c, struct store *store, const struct layer_row *from, int64_t *out)
{
    size_t pack_count = index_pack_count(c->x);
    auto_free uint64_t *packs = mem_alloc((pack_count + 1) * sizeof(*packs));
    struct layer_row row = {
        .kind = LAYER_BUILT, .entry_count = from->entry_count, .created_ns = from->created_ns};
    auto_close int fd = -1;
    int r = store_index_create(store, &row.index, &fd, c->err);

    if (r == 0)
        r = index_builder_write(c->builder, fd, c->err);
    if (r == 0)
        r = store_index_adopt(store, row.index, fd, c->err);
    for (size_t i = 0; i < pack_count; i++)
        packs[i] = index_pack_at(c->x, i);
    return r < 0 ? r : store_layer_insert(store, &row, packs, pack_count, out, c->err);
}

int layer_clamp(struct store *store, int64_t layer, int64_t mtime_max_ns, int64_t *out,
                struct error *err)
{
    __attribute__((cleanup(cleanup_clamp_release))) struct clamp c = {
        .layer = layer,
        .mtime_max_ns = mtime_max_ns,
        .builder = index_builder_new(),
        .err = err,
    };
    struct layer_row row;
    int r = store_layer_get(store, layer, &row, err);

    if (r == 0)
        r = store_index_get(store, layer, &c.x, err);
    if (r == 0)
        r = needs_clamping(&c);
    if (r < 0)
        return r;
    if (r == 0) {
        *out = layer;
        return 0;
    }
    r = add_all(&c);
    return r < 0 ? r : insert(&c, store, &row, out);
}

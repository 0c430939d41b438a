/* layer_squash.c - walks the index of each layer and does to a view what it says. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/hash.h"
#include "fs/base/limits.h"
#include "fs/base/str.h"
#include "fs/index.h"
#include "fs/layer_squash.h"
#include "fs/store.h"
#include "fs/union.h"
#include "fs/view.h"

#include "fs/base/banned.h"

struct apply {
    struct view *v;
    const struct index *x;
    int64_t layer;
    struct table links; /* inode of the index with several names, as text -> inode of the view */
    struct str path;    /* of the directory at hand, for messages */
};

static int fail(struct apply *a, const char *name, size_t name_size, int code, struct error *err)
{
    if (code == -EIO && view_fault(a->v, err) < 0)
        return -err->code;
    return error_set(err, -code, "cannot apply '%s/%.*s' of layer %" PRId64 ": %s",
                     str_text(&a->path), (int)name_size, name, a->layer, strerror(-code));
}

/* ---- metadata ---- */

static int set_xattrs(struct apply *a, uint32_t from, const struct index_inode *i, uint64_t ino)
{
    auto_free char *list = NULL;
    ssize_t size = union_listxattr(a->v, ino, NULL, 0);
    int r = 0;

    if (size > 0) {
        list = mem_alloc((size_t)size + 1);
        size = union_listxattr(a->v, ino, list, (size_t)size);
    }
    for (const char *name = list; r == 0 && name && name < list + size; name += strlen(name) + 1)
        r = union_removexattr(a->v, ino, name);
    for (uint32_t k = 0; r == 0 && k < i->xattr_count; k++) {
        struct xattr x;

        r = index_xattr(a->x, from, k, &x);
        if (r == 0)
            r = union_setxattr(a->v, ino, x.name, x.value, x.value_size, 0);
    }
    return r;
}

/* The mode comes after the owner, for chown clears set-id bits; attributes in between, for chown
 * clears capabilities and an access control list changes the mode. */
static int set_meta(struct apply *a, uint32_t from, const struct index_inode *i, uint64_t ino)
{
    const struct union_setattr owner = {
        .set = UNION_SET_UID | UNION_SET_GID, .uid = i->meta.uid, .gid = i->meta.gid};
    struct union_setattr rest = {.set = UNION_SET_MTIME, .mtime_ns = i->meta.mtime_ns};
    struct union_attr attr;
    int r = union_setattr(a->v, ino, &owner, &attr);

    if (r == 0)
        r = set_xattrs(a, from, i, ino);
    if (i->meta.type != ENTRY_SYMLINK) {
        rest.set |= UNION_SET_MODE;
        rest.mode = i->meta.mode;
    }
    return r < 0 ? r : union_setattr(a->v, ino, &rest, &attr);
}

static int set_mtime(struct apply *a, uint64_t ino, int64_t mtime_ns)
{
    const struct union_setattr set = {.set = UNION_SET_MTIME, .mtime_ns = mtime_ns};
    struct union_attr attr;

    return union_setattr(a->v, ino, &set, &attr);
}

/* ---- what goes ---- */

static int remove_name(struct apply *a, uint64_t dir, const char *name)
{
    int r = view_remove_tree(a->v, dir, name);

    return r == -ENOENT ? 0 : r;
}

static bool add_name(void *context, const char *name, size_t name_size, uint64_t next,
                     const struct union_attr *attr)
{
    (void)next; /* one call lists it all */
    (void)attr;
    if ((name_size != 1 || name[0] != '.') && (name_size != 2 || memcmp(name, "..", 2) != 0))
        strv_take(context, mem_strndup(name, name_size));
    return true;
}

static int empty_dir(struct apply *a, uint64_t dir)
{
    auto_strv struct strv names = {0};
    int r = union_readdir(a->v, dir, 0, false, add_name, &names);

    for (size_t i = 0; r == 0 && i < names.count; i++)
        r = remove_name(a, dir, names.items[i]);
    return r;
}

/* ---- what comes ---- */

static int set_content(struct apply *a, uint32_t from, const struct index_inode *i, uint64_t ino)
{
    auto_free struct extent *extents = mem_try(i->extent_count + (size_t)1, sizeof(*extents));
    int r = extents ? 0 : -EIO; /* no file has that many */

    for (uint32_t k = 0; r == 0 && k < i->extent_count; k++)
        r = index_extent(a->x, from, k, &extents[k]);
    return r < 0 ? r : union_set_content(a->v, ino, i->meta.size_bytes, extents, i->extent_count);
}

/* Another name of a file that is there already: 1 when this was one. */
static int apply_link(struct apply *a, uint64_t dir, const char *name, uint32_t from,
                      const struct index_inode *i)
{
    auto_free char *key = str_format("%u", from);
    auto_free char *path = NULL;
    uint64_t ino = (uint64_t)(uintptr_t)table_get(&a->links, key);
    struct union_attr attr;
    const char *target;
    size_t size;
    int r = 0;

    if (ino == 0 && i->flags & INDEX_EXTERNAL_LINK) {
        r = index_target(a->x, from, &target, &size);
        if (r < 0)
            return r;
        path = str_format("/%s", target);
        r = view_resolve(a->v, path, false, &attr);
        ino = r < 0 ? 0 : attr.ino;
        if (r < 0)
            return r;
    }
    if (ino == 0)
        return 0;
    if (union_lookup(a->v, dir, name, &attr) == 0 && attr.ino == ino)
        return 1; /* it is that name */
    r = remove_name(a, dir, name);
    if (r == 0)
        r = union_link(a->v, ino, dir, name, &attr);
    if (r == 0)
        table_put(&a->links, key, (void *)(uintptr_t)ino);
    return r < 0 ? r : 1;
}

static int apply_leaf(struct apply *a, uint64_t dir, const char *name, uint32_t from,
                      const struct index_inode *i)
{
    const struct union_cred owner = {.uid = i->meta.uid, .gid = i->meta.gid};
    struct union_attr attr;
    const char *target;
    size_t size;
    int r = apply_link(a, dir, name, from, i);

    if (r != 0)
        return r < 0 ? r : 0;
    r = remove_name(a, dir, name);
    if (r == 0 && i->meta.type == ENTRY_SYMLINK) {
        r = index_target(a->x, from, &target, &size);
        if (r == 0)
            r = union_symlink(a->v, dir, name, target, owner, &attr);
    } else if (r == 0) {
        r = union_mknod(a->v, dir, name, entry_type_to_mode(i->meta.type) | i->meta.mode,
                        i->meta.rdev_major, i->meta.rdev_minor, owner, &attr);
    }
    if (r == 0 && i->meta.type == ENTRY_FILE)
        r = set_content(a, from, i, attr.ino);
    if (r == 0)
        r = set_meta(a, from, i, attr.ino);
    if (r == 0 && i->nlink > 1) {
        auto_free char *key = str_format("%u", from);

        table_put(&a->links, key, (void *)(uintptr_t)attr.ino);
    }
    return r;
}

static int apply_children(struct apply *a, uint64_t dir, uint32_t from, unsigned depth,
                          struct error *err);

static int apply_dir(struct apply *a, uint64_t dir, const char *name, uint32_t from,
                     const struct index_inode *i, unsigned depth, struct error *err)
{
    const struct union_cred owner = {.uid = i->meta.uid, .gid = i->meta.gid};
    size_t path_size = a->path.size;
    struct union_attr attr;
    int64_t mtime_ns = i->meta.mtime_ns;
    int r = union_lookup(a->v, dir, name, &attr);
    bool is_there = r == 0 && S_ISDIR(attr.mode);

    if (!is_there) {
        r = remove_name(a, dir, name);
        if (r == 0)
            r = union_mkdir(a->v, dir, name, i->meta.mode, owner, &attr);
    } else if (i->flags & INDEX_IMPLICIT) {
        mtime_ns = attr.mtime_ns; /* it keeps what it has */
    }
    if (r == 0 && !(is_there && i->flags & INDEX_IMPLICIT))
        r = set_meta(a, from, i, attr.ino);
    if (r < 0)
        return fail(a, name, strlen(name), r, err);
    str_addf(&a->path, "/%s", name);
    r = apply_children(a, attr.ino, from, depth + 1, err);
    if (r == 0 && (r = set_mtime(a, attr.ino, mtime_ns)) < 0)
        (void)fail(a, ".", 1, r, err); /* r is returned */
    str_truncate(&a->path, path_size);
    return r;
}

static int apply_entry(struct apply *a, uint64_t dir, const struct index_dirent *e, unsigned depth,
                       struct error *err)
{
    auto_free char *name = mem_strndup(e->name, e->name_size);
    struct index_inode i;
    int r = index_get(a->x, e->inode, &i);

    if (r == 0 && i.meta.type == ENTRY_DIR)
        return apply_dir(a, dir, name, e->inode, &i, depth, err);
    if (r == 0)
        r = apply_leaf(a, dir, name, e->inode, &i);
    return r < 0 ? fail(a, name, e->name_size, r, err) : 0;
}

/* What hides comes before what is added: it hides what is below, and nothing of its own layer. */
static int apply_children(struct apply *a, uint64_t dir, uint32_t from, unsigned depth,
                          struct error *err)
{
    struct index_inode i;
    struct index_dirent e;
    int r = index_get(a->x, from, &i);

    if (r == 0 && depth > LIMIT_PATH_DEPTH)
        r = -ELOOP;
    if (r == 0 && i.flags & INDEX_OPAQUE)
        r = empty_dir(a, dir);
    for (uint32_t k = 0; r == 0 && k < i.child_count; k++) {
        r = index_dirent_at(a->x, from, k, &e);
        if (r == 0 && e.is_whiteout) {
            auto_free char *name = mem_strndup(e.name, e.name_size);

            r = remove_name(a, dir, name);
        }
    }
    if (r < 0)
        return fail(a, "", 0, r, err);
    for (uint32_t k = 0; r == 0 && k < i.child_count; k++) {
        r = index_dirent_at(a->x, from, k, &e);
        if (r < 0)
            return fail(a, "", 0, r, err);
        if (!e.is_whiteout)
            r = apply_entry(a, dir, &e, depth, err);
    }
    return r;
}

static int apply_layer(struct store *store, struct view *v, int64_t layer, struct error *err)
{
    struct apply a = {.v = v, .layer = layer};
    struct union_attr root;
    struct index_inode i;
    int r = store_index_get(store, layer, &a.x, err);

    if (r < 0)
        return r;
    r = union_getattr(v, UNION_ROOT, &root);
    if (r == 0)
        r = index_get(a.x, 0, &i);
    if (r == 0 && !(i.flags & INDEX_IMPLICIT))
        r = set_meta(&a, 0, &i, UNION_ROOT);
    r = r < 0 ? fail(&a, "", 0, r, err) : apply_children(&a, UNION_ROOT, 0, 0, err);
    if (r == 0)
        r = set_mtime(&a, UNION_ROOT, i.flags & INDEX_IMPLICIT ? root.mtime_ns : i.meta.mtime_ns);
    table_release(&a.links);
    str_release(&a.path);
    return r;
}

int layer_squash(struct store *store, const struct layer_squash *what, int64_t *out,
                 struct error *err)
{
    const struct view_options view_options = {.label = "the squashed layers",
                                              .allow_devices = true};
    const struct seal_options seal_options = {
        .mtime_max_ns = INT64_MAX, .with_row = what->with_row, .context = what->context};
    auto_view struct view *v = NULL;
    struct view_sealed sealed = {0};
    int r = view_open(store, what->below, what->below_count, &view_options, &v, err);

    for (size_t i = 0; r == 0 && i < what->count; i++)
        r = apply_layer(store, v, what->layers[i], err);
    if (r == 0)
        r = view_seal(v, &seal_options, &sealed, err);
    if (r == 0)
        *out = sealed.layer;
    return r;
}

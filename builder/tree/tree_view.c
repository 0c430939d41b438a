/* tree_view.c - a stage's or an image's filesystem as a tree. Content moves by sharing extents. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/tree/tree.h"
#include "builder/tree/tree_internal.h"
#include "fs/union.h"
#include "fs/view.h"

#include "fs/base/banned.h"

struct view_tree {
    struct tree tree;
    struct view *view;
};

static struct view_tree *view_of(struct tree *t)
{
    return (struct view_tree *)(void *)t;
}

static int report(struct tree *t, const char *path, int code, struct error *err)
{
    if (code == -EIO && view_fault(view_of(t)->view, err) < 0)
        return error_wrap(err, "cannot read '/%s' in %s", path, t->label);
    if (code == -ENOENT)
        return error_set(err, ENOENT, "\"/%s\": not found", path);
    return error_set(err, -code, "cannot read '/%s' in %s: %s", path, t->label, strerror(-code));
}

static int node_from_attr(struct view *v, const struct union_attr *attr, struct tree_node *out)
{
    const char *target;
    int r;

    out->meta = (struct entry_meta){
        .type = entry_type_from_mode(attr->mode),
        .mode = attr->mode & 07777,
        .uid = attr->uid,
        .gid = attr->gid,
        .mtime_ns = attr->mtime_ns,
        .size_bytes = S_ISREG(attr->mode) ? attr->size_bytes : 0,
        .rdev_major = attr->rdev_major,
        .rdev_minor = attr->rdev_minor,
    };
    out->inode = attr->ino;
    out->link_count = S_ISREG(attr->mode) ? attr->nlink : 1;
    if (!S_ISLNK(attr->mode))
        return 0;
    r = union_readlink(v, attr->ino, &target);
    if (r == 0)
        out->target = mem_strdup(target);
    return r;
}

/* Walks without following: a link on the way is -ENOTDIR, as tree_stat promises. */
static int find(struct view *v, const char *path, struct union_attr *out)
{
    auto_free char *copy = mem_strdup(path);
    char *save = NULL;
    int r = union_getattr(v, UNION_ROOT, out);

    for (char *name = strtok_r(copy, "/", &save); r == 0 && name != NULL;
         name = strtok_r(NULL, "/", &save)) {
        if (!S_ISDIR(out->mode))
            return -ENOTDIR;
        r = union_lookup(v, out->ino, name, out);
    }
    return r;
}

static int view_stat(struct tree *t, const char *path, struct tree_node *out, struct error *err)
{
    struct view *v = view_of(t)->view;
    struct tree_node node = {0};
    struct union_attr attr;
    int r = find(v, path, &attr);

    if (r == 0)
        r = node_from_attr(v, &attr, &node);
    if (r < 0)
        return report(t, path, r, err);
    node.path = mem_strdup(path);
    *out = node;
    return 0;
}

struct listing {
    struct view *view;
    const char *dir;
    struct tree_nodes *out;
    int result;
};

static bool add_child(void *context, const char *name, size_t name_size, uint64_t next,
                      const struct union_attr *attr)
{
    struct listing *l = context;
    struct tree_node *node;

    (void)next; /* one call lists it all */
    if ((name_size == 1 && name[0] == '.') || (name_size == 2 && memcmp(name, "..", 2) == 0))
        return true;
    node = array_add(l->out);
    node->path = str_format("%s%s%.*s", l->dir, l->dir[0] == '\0' ? "" : "/", (int)name_size, name);
    l->result = node_from_attr(l->view, attr, node);
    return l->result == 0;
}

static int view_list(struct tree *t, const char *path, struct tree_nodes *out, struct error *err)
{
    auto_tree_nodes struct tree_nodes list = {0};
    struct listing l = {.view = view_of(t)->view, .dir = path, .out = &list};
    struct union_attr attr;
    int r = find(l.view, path, &attr);

    if (r == 0)
        r = union_readdir(l.view, attr.ino, 0, true, add_child, &l);
    if (r == 0)
        r = l.result;
    if (r < 0)
        return report(t, path, r, err);
    *out = STEAL(&list);
    return 0;
}

static int view_digest(struct tree *t, const struct tree_node *n, struct digest *out,
                       struct error *err)
{
    size_t size = tree_buffer_size(n->meta.size_bytes);
    auto_free char *buffer = mem_alloc(size);
    auto_hasher struct hasher *hasher = hasher_new();
    uint64_t offset = 0;
    int r;

    while (offset < n->meta.size_bytes) {
        ssize_t got = union_read(view_of(t)->view, n->inode, offset, buffer, size);

        if (got <= 0)
            return report(t, n->path, got == 0 ? -EIO : (int)got, err);
        hasher_update(hasher, buffer, (size_t)got);
        offset += (uint64_t)got;
        r = tree_check_stop(t, err);
        if (r < 0)
            return r;
    }
    hasher_final(hasher, out);
    return 0;
}

static int view_copy_content(struct tree *t, const struct tree_node *n, struct view *to,
                             uint64_t ino, struct error *err)
{
    struct view *v = view_of(t)->view;
    auto_free struct extent *extents = NULL;
    ssize_t count = union_get_content(v, n->inode, NULL, 0);
    int r;

    if (count < 0)
        return report(t, n->path, (int)count, err);
    extents = mem_alloc(((size_t)count + 1) * sizeof(*extents));
    count = union_get_content(v, n->inode, extents, (size_t)count);
    if (count < 0)
        return report(t, n->path, (int)count, err);
    r = union_set_content(to, ino, n->meta.size_bytes, extents, (size_t)count);
    if (r < 0)
        return error_set(err, -r, "cannot copy '/%s' from %s: %s", n->path, t->label, strerror(-r));
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int view_each_xattr(struct tree *t, const struct tree_node *n,
                           void (*fn)(void *context, const char *name, const void *value,
                                      size_t size),
                           void *context, struct error *err)
{
    struct view *v = view_of(t)->view;
    ssize_t size = union_listxattr(v, n->inode, NULL, 0);
    auto_free char *list = NULL;
    auto_strv struct strv names = {0};

    if (size <= 0)
        return size == 0 ? 0 : report(t, n->path, (int)size, err);
    list = mem_alloc((size_t)size + 1);
    size = union_listxattr(v, n->inode, list, (size_t)size);
    if (size < 0)
        return report(t, n->path, (int)size, err);
    for (const char *name = list; name < list + size; name += strlen(name) + 1)
        strv_add(&names, name);
    qsort(names.items, names.count, sizeof(*names.items), compare_names);
    for (size_t i = 0; i < names.count; i++) {
        ssize_t value_size = union_getxattr(v, n->inode, names.items[i], NULL, 0);
        auto_free char *value = NULL;

        if (value_size < 0)
            return report(t, n->path, (int)value_size, err);
        value = mem_alloc((size_t)value_size + 1);
        value_size = union_getxattr(v, n->inode, names.items[i], value, (size_t)value_size);
        if (value_size < 0)
            return report(t, n->path, (int)value_size, err);
        fn(context, names.items[i], value, (size_t)value_size);
    }
    return 0;
}

static int view_read(struct tree *t, const char *path, uint64_t size_max, struct str *out,
                     struct error *err)
{
    int r = view_read_file(view_of(t)->view, path, size_max, out);

    return r < 0 ? report(t, path, r, err) : 0;
}

struct view_reader {
    struct reader base;
    struct tree *tree;
    char *path;
    uint64_t ino;
    uint64_t offset;
};

static ssize_t read_view(struct reader *base, void *buf, size_t size, struct error *err)
{
    struct view_reader *r = (struct view_reader *)(void *)base;
    ssize_t got = tree_check_stop(r->tree, err);

    if (got < 0)
        return got;
    got = union_read(view_of(r->tree)->view, r->ino, r->offset, buf, size);
    if (got < 0)
        return report(r->tree, r->path, (int)got, err);
    r->offset += (uint64_t)got;
    return got;
}

static void view_reader_close(struct reader *base)
{
    struct view_reader *r = (struct view_reader *)(void *)base;

    free(r->path);
    free(r);
}

static int view_open_reader(struct tree *t, const struct tree_node *n, struct reader **out,
                            struct error *err)
{
    struct view_reader *r = mem_new(struct view_reader);

    (void)err; /* an inode of an open view is there */
    r->base = (struct reader){.read = read_view, .close = view_reader_close};
    r->tree = t;
    r->path = mem_strdup(n->path);
    r->ino = n->inode;
    *out = &r->base;
    return 0;
}

static void view_tree_close(struct tree *t)
{
    view_close(view_of(t)->view);
    free(t);
}

static const struct tree_ops view_ops = {
    .stat = view_stat,
    .list = view_list,
    .digest = view_digest,
    .copy_content = view_copy_content,
    .each_xattr = view_each_xattr,
    .open_reader = view_open_reader,
    .read = view_read,
    .close = view_tree_close,
};

struct tree *tree_take_view(struct view *view, const char *label)
{
    struct view_tree *t = mem_new(struct view_tree);

    t->tree.ops = &view_ops;
    t->tree.label = mem_strdup(label);
    t->view = view;
    return &t->tree;
}

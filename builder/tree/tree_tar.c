/* tree_tar.c - walks the tree in order and says each entry as a tar does. */
#include <errno.h>
#include <string.h>

#include "builder/tree/tree.h"
#include "builder/tree/tree_tar.h"
#include "fs/base/hash.h"
#include "fs/base/limits.h"
#include "fs/tar.h"
#include "fs/union.h"
#include "fs/view.h"

#include "fs/base/banned.h"

#define BUFFER_SIZE ((size_t)1 << 20)

struct walk {
    struct tree *tree;
    struct view *view; /* the tree's */
    struct writer *to;
    const struct tree_tar_options *options;
    uint8_t *buffer;
    struct table links; /* inode of a file with several names, as text -> place in paths + 1 */
    struct strv paths;  /* their first names, as they are in the tar */
};

static void walk_release(struct walk *w)
{
    tree_close(w->tree);
    free(w->buffer);
    table_release(&w->links);
    strv_release(&w->paths);
}
DEFINE_CLEANUP_VALUE(walk_release, struct walk)

struct xattrs {
    struct xattr *items;
    size_t count;
    size_t capacity;
};

static void xattrs_release(struct xattrs *x)
{
    for (size_t i = 0; i < x->count; i++) {
        free((void *)(uintptr_t)x->items[i].name);
        free((void *)(uintptr_t)x->items[i].value);
    }
    free(x->items);
}
DEFINE_CLEANUP_VALUE(xattrs_release, struct xattrs)

static void add_xattr(void *context, const char *name, const void *value, size_t size)
{
    struct xattrs *list = context;
    struct xattr *x = array_add(list);

    *x = (struct xattr){.name = mem_strdup(name),
                        .value = mem_dup(size > 0 ? value : "", size > 0 ? size : 1),
                        .value_size = size};
}

/* The first name of a file that has several and was met before; NULL: this is the first, `path`. */
static const char *first_name(struct walk *w, const struct tree_node *n, const char *path)
{
    auto_free char *ino = str_format("%llx", (unsigned long long)n->inode);
    size_t place = (size_t)(uintptr_t)table_get(&w->links, ino);
    struct union_attr attr;

    if (place > 0)
        return w->paths.items[place - 1];
    if (union_getattr(w->view, n->inode, &attr) < 0 || attr.nlink < 2)
        return NULL;
    strv_add(&w->paths, path);
    table_put(&w->links, ino, (void *)(uintptr_t)w->paths.count);
    return NULL;
}

static int write_content(struct walk *w, const struct tree_node *n, struct error *err)
{
    static const char zeros[TAR_BLOCK_SIZE];
    uint64_t size = n->meta.size_bytes;
    uint64_t offset = 0;

    while (offset < size) {
        ssize_t got = union_read(w->view, n->inode, offset, w->buffer, BUFFER_SIZE);
        int r;

        if (got == -EIO && view_fault(w->view, err) < 0)
            return error_wrap(err, "'/%s'", n->path);
        if (got <= 0)
            return error_set(err, got == 0 ? EIO : (int)-got, "cannot read '/%s': %s", n->path,
                             strerror(got == 0 ? EIO : (int)-got));
        r = writer_write(w->to, w->buffer, (size_t)got, err);
        if (r < 0)
            return r;
        offset += (uint64_t)got;
    }
    return writer_write(w->to, zeros, tar_padding(size), err);
}

static int write_node(struct walk *w, const struct tree_node *n, struct error *err)
{
    const char *directory = w->options->directory;
    auto_free char *path =
        directory != NULL ? str_format("%s/%s", directory, n->path) : mem_strdup(n->path);
    bool may_have_links = n->meta.type != ENTRY_DIR;
    const char *first = may_have_links ? first_name(w, n, path) : NULL;
    __attribute__((cleanup(cleanup_xattrs_release))) struct xattrs xattrs = {0};
    struct tar_entry e = {.path = path, .meta = n->meta, .target = n->target};
    auto_str struct str header = {0};
    int r = 0;

    if (w->options->mtime_ns != TREE_TIMES_OWN)
        e.meta.mtime_ns = w->options->mtime_ns;
    if (first != NULL) {
        e.is_hard_link = true;
        e.target = first;
        e.meta.type = ENTRY_FILE;
        e.meta.size_bytes = 0;
    } else {
        r = tree_each_xattr(w->tree, n, add_xattr, &xattrs, err);
        e.xattrs = xattrs.items;
        e.xattr_count = xattrs.count;
    }
    if (r == 0)
        r = tar_add_header(&header, &e, err);
    if (r == 0)
        r = writer_write(w->to, str_text(&header), header.size, err);
    if (r < 0 || first != NULL || n->meta.type != ENTRY_FILE)
        return r;
    return write_content(w, n, err);
}

static int write_dir(struct walk *w, const char *path, unsigned depth, struct error *err)
{
    auto_tree_nodes struct tree_nodes list = {0};
    int r = tree_list(w->tree, path, &list, err);

    if (depth > LIMIT_PATH_DEPTH)
        return error_set(err, ELOOP, "'%.64s…' is nested too deeply", path);
    for (size_t i = 0; r == 0 && i < list.count; i++) {
        const struct tree_node *n = &list.items[i];

        if (n->meta.type == ENTRY_SOCKET)
            continue;
        r = write_node(w, n, err);
        if (r == 0 && n->meta.type == ENTRY_DIR)
            r = write_dir(w, n->path, depth + 1, err);
    }
    return r;
}

/* The directory that stands for the root of the tree, and is as that is. */
static int write_root(struct walk *w, struct error *err)
{
    struct tar_entry e = {.path = w->options->directory};
    auto_tree_node struct tree_node root = {0};
    auto_str struct str header = {0};
    int r = tree_stat(w->tree, "", &root, err);

    e.meta = root.meta;
    if (w->options->mtime_ns != TREE_TIMES_OWN)
        e.meta.mtime_ns = w->options->mtime_ns;
    if (r == 0)
        r = tar_add_header(&header, &e, err);
    return r < 0 ? r : writer_write(w->to, str_text(&header), header.size, err);
}

int tree_tar_write(struct view *view, const struct tree_tar_options *options, struct writer *to,
                   struct error *err)
{
    __attribute__((cleanup(cleanup_walk_release))) struct walk w = {
        .tree = tree_take_view(view, view_label(view)),
        .view = view,
        .to = to,
        .options = options,
        .buffer = mem_alloc(BUFFER_SIZE),
    };
    auto_str struct str end = {0};
    int r = options->directory != NULL ? write_root(&w, err) : 0;

    if (r == 0)
        r = write_dir(&w, "", 0, err);
    if (r < 0 || options->has_more)
        return r;
    tar_add_end(&end);
    return writer_write(to, str_text(&end), end.size, err);
}

/* layer_tar.c - walks an index depth first and says it as a tar, a buffer at a time.
 *
 * Order: a directory, its opaque marker, its whiteouts, then its entries, each in the byte order of
 * their names (OCI image-spec, layer.md: whiteouts should come before their siblings). The first name
 * of a file in that order describes it, the others link to it. Implicit directories are left out:
 * nobody described them. Content goes from the pack straight into the caller's buffer.
 */
#include <errno.h>
#include <string.h>

#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/base/str.h"
#include "fs/base/stream.h"
#include "fs/layer_internal.h"
#include "fs/pack.h"
#include "fs/tar.h"

#include "fs/base/banned.h"

struct frame { /* a directory being listed */
    uint32_t inode;
    uint32_t position; /* of the next name */
    uint32_t count;
    bool lists_entries; /* after the whiteouts */
    size_t path_size;   /* of the directory, in `path` */
};

struct tar_stream {
    struct reader base; /* first: the reader is the object */
    struct store *store;
    const struct index *x;
    char *what;

    struct frame frames[LIMIT_PATH_DEPTH + 1];
    size_t depth; /* frames in use */
    bool has_begun;
    bool has_ended;
    struct str path;

    struct str pending; /* headers to hand out */
    size_t pending_used;

    uint32_t file; /* whose content is being handed out */
    uint32_t extent_next;
    uint32_t extent_count;
    struct extent extent; /* the current one */
    uint64_t size;        /* of the file */
    uint64_t done;        /* of the file */
};

static int damaged(const struct tar_stream *t, struct error *err)
{
    return error_set(err, EIO, "the index of %s is damaged at '%s'", t->what, str_text(&t->path));
}

/* -- headers -- */

/* An empty file whose name is a whiteout or an opaque marker, in the directory `path` is now. */
static int add_marker(struct tar_stream *t, const char *prefix, const char *name, size_t name_size,
                      struct error *err)
{
    auto_str struct str path = {0};
    struct tar_entry e = {.meta = {.type = ENTRY_FILE, .mode = 0}};

    str_add_bytes(&path, str_text(&t->path), t->path.size);
    if (path.size > 0)
        str_add_char(&path, '/');
    str_add(&path, prefix);
    str_add_bytes(&path, name, name_size);
    e.path = str_text(&path);
    return tar_add_header(&t->pending, &e, err);
}

static int add_link(struct tar_stream *t, const struct index_inode *i, const char *target,
                    struct error *err)
{
    struct tar_entry e = {
        .path = str_text(&t->path), .meta = i->meta, .is_hard_link = true, .target = target};

    e.meta.size_bytes = 0;
    return tar_add_header(&t->pending, &e, err);
}

static int add_described(struct tar_stream *t, uint32_t inode, const struct index_inode *i,
                         struct error *err)
{
    struct tar_entry e = {.path = str_text(&t->path), .meta = i->meta};
    auto_free struct xattr *xattrs = mem_try(i->xattr_count, sizeof(*xattrs));
    size_t size;

    if (!xattrs)
        return damaged(t, err); /* nobody has that many */
    for (uint32_t k = 0; k < i->xattr_count; k++)
        if (index_xattr(t->x, inode, k, &xattrs[k]) < 0)
            return damaged(t, err);
    e.xattrs = xattrs;
    e.xattr_count = i->xattr_count;
    if (i->meta.type == ENTRY_SYMLINK && index_target(t->x, inode, &e.target, &size) < 0)
        return damaged(t, err);
    return tar_add_header(&t->pending, &e, err);
}

/* -- the walk -- */

static int push_dir(struct tar_stream *t, uint32_t inode, const struct index_inode *i,
                    struct error *err)
{
    int r = 0;

    if (t->depth > LIMIT_PATH_DEPTH)
        return damaged(t, err);
    if (!(i->flags & INDEX_IMPLICIT))
        r = add_described(t, inode, i, err);
    if (r == 0 && i->flags & INDEX_OPAQUE)
        r = add_marker(t, ".wh..wh..opq", "", 0, err);
    if (r < 0)
        return r;
    t->frames[t->depth++] =
        (struct frame){.inode = inode, .count = i->child_count, .path_size = t->path.size};
    return 0;
}

static void begin_content(struct tar_stream *t, uint32_t inode, const struct index_inode *i)
{
    t->file = inode;
    t->extent_next = 0;
    t->extent_count = i->extent_count;
    t->extent = (struct extent){0};
    t->size = i->meta.size_bytes;
    t->done = 0;
}

static int add_file(struct tar_stream *t, uint32_t inode, const struct index_inode *i,
                    const struct frame *f, struct error *err)
{
    auto_str struct str first = {0};
    const char *target;
    uint32_t dir;
    uint32_t position;
    size_t size;
    int r;

    if (i->nlink > 1) {
        if (index_name_of(t->x, inode, 0, &dir, &position) < 0)
            return damaged(t, err);
        if (dir != f->inode || position != f->position) {
            if (index_add_path(t->x, dir, position, &first) < 0)
                return damaged(t, err);
            return add_link(t, i, str_text(&first), err);
        }
    }
    if (i->flags & INDEX_EXTERNAL_LINK) {
        if (index_target(t->x, inode, &target, &size) < 0)
            return damaged(t, err);
        return add_link(t, i, target, err);
    }
    r = add_described(t, inode, i, err);
    if (r == 0 && i->meta.type == ENTRY_FILE)
        begin_content(t, inode, i);
    return r;
}

/* One name of the directory on top. */
static int add_name(struct tar_stream *t, struct frame *f, struct error *err)
{
    struct index_dirent e;
    struct index_inode i;
    int r;

    if (index_dirent_at(t->x, f->inode, f->position, &e) < 0)
        return damaged(t, err);
    if (e.is_whiteout)
        return f->lists_entries ? 0 : add_marker(t, ".wh.", e.name, e.name_size, err);
    if (!f->lists_entries)
        return 0;
    if (index_get(t->x, e.inode, &i) < 0)
        return damaged(t, err);
    if (t->path.size > 0)
        str_add_char(&t->path, '/');
    str_add_bytes(&t->path, e.name, e.name_size);
    r = i.meta.type == ENTRY_DIR ? push_dir(t, e.inode, &i, err) : add_file(t, e.inode, &i, f, err);
    if (i.meta.type != ENTRY_DIR)
        str_truncate(&t->path, f->path_size);
    return r;
}

static int begin(struct tar_stream *t, struct error *err)
{
    struct index_inode root;

    t->has_begun = true;
    if (index_get(t->x, 0, &root) < 0 || root.meta.type != ENTRY_DIR)
        return damaged(t, err);
    return push_dir(t, 0, &root, err);
}

/* One step of the walk, which may or may not put something to pending. */
static int step(struct tar_stream *t, struct error *err)
{
    struct frame *f;
    int r;

    if (!t->has_begun)
        return begin(t, err);
    if (t->depth == 0) {
        tar_add_end(&t->pending);
        t->has_ended = true;
        return 0;
    }
    f = &t->frames[t->depth - 1];
    str_truncate(&t->path, f->path_size);
    if (f->position == f->count) {
        t->depth -= f->lists_entries;
        f->position = 0;
        f->lists_entries = true;
        return 0;
    }
    r = add_name(t, f, err);
    f->position++;
    return r;
}

/* -- bytes -- */

/* Makes the extent at or after `done` the current one; a hole has length 0 or lies before it. */
static int next_extent(struct tar_stream *t, struct error *err)
{
    while (t->extent_next < t->extent_count &&
           t->done >= t->extent.file_offset + t->extent.length) {
        uint64_t end = t->extent.file_offset + t->extent.length;

        if (index_extent(t->x, t->file, t->extent_next++, &t->extent) < 0 ||
            t->extent.file_offset < end)
            return damaged(t, err);
    }
    return 0;
}

static ssize_t read_extent(struct tar_stream *t, void *buf, size_t size, struct error *err)
{
    uint64_t from = t->done - t->extent.file_offset;
    int r;

    if (size > t->extent.length - from)
        size = (size_t)(t->extent.length - from);
    r = pack_read(t->store, t->extent.pack, t->extent.pack_offset + from, buf, size, err);
    return r < 0 ? error_wrap(err, "%s", t->what) : (ssize_t)size;
}

/* Content of the file at hand, holes as zeros, and the padding behind it. */
static ssize_t read_content(struct tar_stream *t, void *buf, size_t size, struct error *err)
{
    uint64_t end = t->size + tar_padding(t->size);
    uint64_t limit = t->done < t->size ? t->size : end;
    ssize_t n;
    int r = t->done < t->size ? next_extent(t, err) : 0;

    if (r < 0)
        return r;
    if (t->done < t->size && t->done >= t->extent.file_offset &&
        t->done < t->extent.file_offset + t->extent.length) {
        n = read_extent(t, buf, size, err);
        if (n > 0)
            t->done += (uint64_t)n;
        return n;
    }
    if (t->done < t->extent.file_offset)
        limit = t->extent.file_offset;
    if (size > limit - t->done)
        size = (size_t)(limit - t->done);
    memset(buf, 0, size);
    t->done += size;
    return (ssize_t)size;
}

static size_t read_pending(struct tar_stream *t, void *buf, size_t size)
{
    if (size > t->pending.size - t->pending_used)
        size = t->pending.size - t->pending_used;
    memcpy(buf, t->pending.data + t->pending_used, size);
    t->pending_used += size;
    if (t->pending_used == t->pending.size) {
        str_truncate(&t->pending, 0);
        t->pending_used = 0;
    }
    return size;
}

static ssize_t tar_stream_read(struct reader *base, void *buf, size_t size, struct error *err)
{
    struct tar_stream *t = (struct tar_stream *)base;
    uint8_t *to = buf;
    size_t count = 0;

    while (count < size) {
        ssize_t n;

        if (t->pending_used < t->pending.size) {
            count += read_pending(t, to + count, size - count);
            continue;
        }
        if (t->done < t->size + tar_padding(t->size)) {
            n = read_content(t, to + count, size - count, err);
            if (n < 0)
                return n;
            count += (size_t)n;
            continue;
        }
        if (t->has_ended)
            break;
        n = step(t, err);
        if (n < 0)
            return n;
    }
    return (ssize_t)count;
}

static void tar_stream_close(struct reader *base)
{
    struct tar_stream *t = (struct tar_stream *)base;

    str_release(&t->path);
    str_release(&t->pending);
    free(t->what);
    free(t);
}

struct reader *layer_generate_tar(struct store *store, const struct index *x, const char *what)
{
    struct tar_stream *t = mem_new(struct tar_stream);

    t->base = (struct reader){tar_stream_read, tar_stream_close};
    t->store = store;
    t->x = x;
    t->what = mem_strdup(what);
    return &t->base;
}

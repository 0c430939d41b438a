/* dump.c - walks an index depth first and prints it. */
#include <errno.h>
#include <inttypes.h>

#include "fs/base/digest.h"
#include "fs/base/limits.h"
#include "tools/dump.h"

#include "fs/base/banned.h"

#define CONTENT_TEXT_MAX 64u
#define PATH_WIDTH 24u
#define BUFFER_SIZE (64u << 10)

struct dump {
    const struct index *x;
    dump_read_fn *read;
    void *context;
    struct str *out;
    struct str path; /* of the entry at hand, "" for the root */
    size_t depth;    /* directories open; only a damaged index has more than the limit */
    struct error *err;
};

static int damaged(struct dump *d, int r)
{
    return error_set(d->err, -r, "the index is damaged at '%s'", str_text(&d->path));
}

static void add_path(struct dump *d, const char *suffix)
{
    size_t start = d->out->size;

    str_add_escaped(d->out, str_text(&d->path), d->path.size);
    str_add(d->out, suffix);
    do
        str_add_char(d->out, ' ');
    while (d->out->size < start + PATH_WIDTH);
}

/* -- content -- */

static int read_extent(struct dump *d, const struct extent *e, uint64_t from, void *buf,
                       size_t size)
{
    return d->read(d->context, e->pack, e->pack_offset + from, buf, size, d->err);
}

/* Feeds the file's bytes, holes as zeros, to a hasher and, when it is short, to text. */
static int each_byte(struct dump *d, uint32_t inode, const struct index_inode *i,
                     struct hasher *hasher, struct str *text)
{
    auto_free uint8_t *buffer = mem_alloc(BUFFER_SIZE);
    uint64_t done = 0;
    struct extent e = {0};
    uint32_t next = 0;

    while (done < i->meta.size_bytes) {
        uint64_t part = i->meta.size_bytes - done;
        int r;

        if (next < i->extent_count && done >= e.file_offset + e.length) {
            r = index_extent(d->x, inode, next++, &e);
            if (r < 0)
                return damaged(d, r);
        }
        if (part > BUFFER_SIZE)
            part = BUFFER_SIZE;
        if (done < e.file_offset && part > e.file_offset - done)
            part = e.file_offset - done;
        if (done >= e.file_offset && done < e.file_offset + e.length) {
            if (part > e.file_offset + e.length - done)
                part = e.file_offset + e.length - done;
            r = read_extent(d, &e, done - e.file_offset, buffer, part);
            if (r < 0)
                return r;
        } else {
            memset(buffer, 0, part);
        }
        hasher_update(hasher, buffer, part);
        if (i->meta.size_bytes <= CONTENT_TEXT_MAX)
            str_add_bytes(text, buffer, part);
        done += part;
    }
    return 0;
}

static int add_extents(struct dump *d, uint32_t inode, const struct index_inode *i)
{
    str_addf(d->out, " %" PRIu64 " bytes", i->meta.size_bytes);
    for (uint32_t k = 0; k < i->extent_count; k++) {
        struct extent e;
        int r = index_extent(d->x, inode, k, &e);

        if (r < 0)
            return damaged(d, r);
        str_addf(d->out, "%s %" PRIu64 "+%" PRIu64, k == 0 ? " at" : ",", e.pack, e.pack_offset);
        if (i->extent_count > 1 || e.length != i->meta.size_bytes)
            str_addf(d->out, " (%" PRIu64 " for %" PRIu64 ")", e.length, e.file_offset);
    }
    return 0;
}

static int add_file(struct dump *d, uint32_t inode, const struct index_inode *i)
{
    auto_hasher struct hasher *hasher = NULL;
    auto_str struct str text = {0};
    struct digest digest;
    char digest_text[DIGEST_TEXT_SIZE];
    int r;

    if (!d->read)
        return add_extents(d, inode, i);
    hasher = hasher_new();
    r = each_byte(d, inode, i, hasher, &text);
    if (r < 0)
        return r;
    if (i->meta.size_bytes <= CONTENT_TEXT_MAX) {
        str_add(d->out, " \"");
        str_add_escaped(d->out, str_text(&text), text.size);
        str_add_char(d->out, '"');
        return 0;
    }
    hasher_final(hasher, &digest);
    digest_format(&digest, digest_text);
    str_addf(d->out, " %" PRIu64 " %s", i->meta.size_bytes, digest_text);
    return 0;
}

static int add_target(struct dump *d, uint32_t inode, const char *before)
{
    const char *target;
    size_t size;
    int r = index_target(d->x, inode, &target, &size);

    if (r < 0)
        return damaged(d, r);
    str_add(d->out, before);
    str_add_escaped(d->out, target, size);
    return 0;
}

/* -- one entry -- */

static int add_path_of(struct dump *d, uint32_t dir, uint32_t position)
{
    auto_str struct str path = {0};

    if (index_add_path(d->x, dir, position, &path) < 0)
        return damaged(d, -EIO);
    str_add_escaped(d->out, str_text(&path), path.size);
    return 0;
}

static void add_meta(struct dump *d, const struct index_inode *i, const char *type)
{
    const struct entry_meta *m = &i->meta;

    str_addf(d->out, "%s %04o", type, (unsigned)m->mode);
    if (m->uid != 0 || m->gid != 0)
        str_addf(d->out, " %u:%u", m->uid, m->gid);
    if (m->mtime_ns != 0) {
        int64_t nanoseconds = m->mtime_ns % 1000000000;
        int64_t seconds = m->mtime_ns / 1000000000;

        if (nanoseconds < 0) {
            nanoseconds += 1000000000;
            seconds--;
        }
        str_addf(d->out, " mtime=%" PRId64, seconds);
        if (nanoseconds != 0)
            str_addf(d->out, ".%09" PRId64, nanoseconds);
    }
    if (m->type == ENTRY_CHAR || m->type == ENTRY_BLOCK)
        str_addf(d->out, " %u,%u", m->rdev_major, m->rdev_minor);
}

static int add_xattrs(struct dump *d, uint32_t inode, const struct index_inode *i)
{
    for (uint32_t k = 0; k < i->xattr_count; k++) {
        struct xattr xattr;
        int r = index_xattr(d->x, inode, k, &xattr);

        if (r < 0)
            return damaged(d, r);
        str_add_char(d->out, ' ');
        str_add_escaped(d->out, xattr.name, strlen(xattr.name));
        str_add(d->out, "=\"");
        str_add_escaped(d->out, xattr.value, xattr.value_size);
        str_add_char(d->out, '"');
    }
    return 0;
}

static int add_entry(struct dump *d, uint32_t inode, const struct index_inode *i)
{
    static const char *const types[] = {
        [ENTRY_FILE] = "file",   [ENTRY_DIR] = "dir",       [ENTRY_SYMLINK] = "symlink",
        [ENTRY_FIFO] = "fifo",   [ENTRY_SOCKET] = "socket", [ENTRY_CHAR] = "char",
        [ENTRY_BLOCK] = "block",
    };
    int r = 0;

    add_path(d, i->meta.type != ENTRY_DIR ? "" : d->path.size > 0 ? "/" : "./");
    if (i->flags & INDEX_EXTERNAL_LINK) {
        r = add_target(d, inode, "link-below ");
        str_add_char(d->out, '\n');
        return r;
    }
    add_meta(d, i, types[i->meta.type]);
    if (i->meta.type == ENTRY_FILE)
        r = add_file(d, inode, i);
    else if (i->meta.type == ENTRY_SYMLINK)
        r = add_target(d, inode, " -> ");
    if (r < 0)
        return r;
    str_add(d->out, i->flags & INDEX_OPAQUE ? " opaque" : "");
    str_add(d->out, i->flags & INDEX_IMPLICIT ? " implicit" : "");
    r = add_xattrs(d, inode, i);
    str_add_char(d->out, '\n');
    return r;
}

static int dump_dir(struct dump *d, uint32_t dir, const struct index_inode *i);

static int dump_name(struct dump *d, uint32_t dir, uint32_t position, const struct index_dirent *e)
{
    struct index_inode i;
    uint32_t first_dir;
    uint32_t first_position;
    int r;

    if (e->is_whiteout) {
        add_path(d, "");
        str_add(d->out, "whiteout\n");
        return 0;
    }
    r = index_get(d->x, e->inode, &i);
    if (r < 0)
        return damaged(d, r);
    if (i.nlink > 1) {
        r = index_name_of(d->x, e->inode, 0, &first_dir, &first_position);
        if (r < 0)
            return damaged(d, r);
        if (first_dir != dir || first_position != position) {
            add_path(d, "");
            str_add(d->out, "link ");
            r = add_path_of(d, first_dir, first_position);
            str_add_char(d->out, '\n');
            return r;
        }
    }
    r = add_entry(d, e->inode, &i);
    return r == 0 && i.meta.type == ENTRY_DIR ? dump_dir(d, e->inode, &i) : r;
}

static int dump_dir(struct dump *d, uint32_t dir, const struct index_inode *i)
{
    size_t size = d->path.size;

    if (d->depth++ > LIMIT_PATH_DEPTH)
        return damaged(d, -EIO);
    for (uint32_t k = 0; k < i->child_count; k++) {
        struct index_dirent e;
        int r = index_dirent_at(d->x, dir, k, &e);

        if (r < 0)
            return damaged(d, r);
        if (size > 0)
            str_add_char(&d->path, '/');
        if (e.is_whiteout)
            str_add(&d->path, ".wh.");
        str_add_bytes(&d->path, e.name, e.name_size);
        r = dump_name(d, dir, k, &e);
        str_truncate(&d->path, size);
        if (r < 0)
            return r;
    }
    d->depth--;
    return 0;
}

int dump_index(const struct index *x, dump_read_fn *read, void *context, struct str *out,
               struct error *err)
{
    struct dump d = {.x = x, .read = read, .context = context, .out = out, .err = err};
    struct index_inode root;
    int r = index_get(x, 0, &root);

    if (r < 0)
        return damaged(&d, r);
    r = root.meta.type == ENTRY_DIR ? add_entry(&d, 0, &root) : damaged(&d, -EIO);
    if (r == 0)
        r = dump_dir(&d, 0, &root);
    str_release(&d.path);
    return r;
}

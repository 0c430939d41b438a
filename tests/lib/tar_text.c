/* tar_text.c - both readers print through the same function, so that only what they saw differs. */
#include <inttypes.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include <archive.h>
#include <archive_entry.h>

#include "fs/tar.h"
#include "tests/lib/tar_text.h"
#include "tests/lib/test.h"

static void add_time(struct str *out, int64_t seconds, int64_t nanoseconds)
{
    str_addf(out, " %" PRId64, seconds);
    if (nanoseconds != 0)
        str_addf(out, ".%09" PRId64, nanoseconds);
}

static int compare_xattrs(const void *a, const void *b)
{
    return strcmp(((const struct xattr *)a)->name, ((const struct xattr *)b)->name);
}

static void add_entry(struct str *out, const struct tar_entry *e)
{
    static const char *const types[] = {
        [ENTRY_FILE] = "file", [ENTRY_DIR] = "dir",   [ENTRY_SYMLINK] = "symlink",
        [ENTRY_FIFO] = "fifo", [ENTRY_CHAR] = "char", [ENTRY_BLOCK] = "block",
    };
    const struct entry_meta *m = &e->meta;
    int64_t nanoseconds = m->mtime_ns % 1000000000;
    int64_t seconds = m->mtime_ns / 1000000000;
    auto_free struct xattr *sorted = mem_dup(e->xattrs, e->xattr_count * sizeof(*sorted));

    if (nanoseconds < 0) {
        nanoseconds += 1000000000;
        seconds--;
    }
    str_add_escaped(out, e->path, strlen(e->path));
    str_addf(out, " %s %04o %u:%u", e->is_hard_link ? "link" : types[m->type], (unsigned)m->mode,
             m->uid, m->gid);
    add_time(out, seconds, nanoseconds);
    if (m->type == ENTRY_FILE && !e->is_hard_link)
        str_addf(out, " %" PRIu64, m->size_bytes);
    if (e->target) {
        str_add(out, e->is_hard_link ? " => " : " -> ");
        str_add_escaped(out, e->target, strlen(e->target));
    }
    if (m->type == ENTRY_CHAR || m->type == ENTRY_BLOCK)
        str_addf(out, " %u,%u", m->rdev_major, m->rdev_minor);
    if (e->extent_count > 1 || (e->extent_count == 1 && e->extents[0].length != m->size_bytes)) {
        for (size_t i = 0; i < e->extent_count; i++)
            str_addf(out, "%s%" PRIu64 "+%" PRIu64, i == 0 ? " [" : " ", e->extents[i].file_offset,
                     e->extents[i].length);
        str_add_char(out, ']');
    }
    qsort(sorted, e->xattr_count, sizeof(*sorted), compare_xattrs);
    for (size_t i = 0; i < e->xattr_count; i++) {
        str_addf(out, " %s=\"", sorted[i].name);
        str_add_escaped(out, sorted[i].value, sorted[i].value_size);
        str_add_char(out, '"');
    }
    str_add_char(out, '\n');
}

static int add_read_entry(void *context, const struct tar_entry *e, struct error *err)
{
    (void)err;
    add_entry(context, e);
    return 0;
}

int tar_text(const void *tar, size_t size, size_t chunk, struct str *out, struct error *err)
{
    auto_tar_reader struct tar_reader *r = tar_reader_new(add_read_entry, out);
    const char *at = tar;

    while (size > 0) {
        size_t part = chunk < size ? chunk : size;
        int e = tar_reader_write(r, at, part, err);

        if (e < 0)
            return e;
        at += part;
        size -= part;
    }
    return tar_reader_finish(r, err);
}

/* "./a//b/" as "a/b", which is all that real tars need. */
static char *clean(const char *path)
{
    auto_free char *rooted = str_format("/%s", path);
    auto_free char *cleaned = path_clean(rooted);

    return mem_strdup(cleaned + 1);
}

static void add_oracle_entry(struct str *out, struct archive_entry *from)
{
    auto_free char *path = clean(archive_entry_pathname(from));
    const char *hard = archive_entry_hardlink(from);
    auto_free char *link = hard ? clean(hard) : NULL;
    struct tar_entry e = {.path = path, .is_hard_link = hard, .target = link};
    struct xattr xattrs[16];
    struct extent extents[64];
    const char *name;
    const void *value;
    size_t size;
    int64_t offset;
    int64_t length;

    e.meta.type = hard ? ENTRY_FILE : entry_type_from_mode(archive_entry_filetype(from));
    e.meta.mode = archive_entry_perm(from);
    e.meta.uid = (uint32_t)archive_entry_uid(from);
    e.meta.gid = (uint32_t)archive_entry_gid(from);
    e.meta.mtime_ns = archive_entry_mtime(from) * 1000000000 + archive_entry_mtime_nsec(from);
    e.meta.size_bytes = (uint64_t)archive_entry_size(from);
    e.meta.rdev_major = (uint32_t)archive_entry_rdevmajor(from);
    e.meta.rdev_minor = (uint32_t)archive_entry_rdevminor(from);
    if (archive_entry_symlink(from))
        e.target = archive_entry_symlink(from);
    e.xattrs = xattrs;
    (void)archive_entry_xattr_reset(from);
    while (e.xattr_count < 16 && archive_entry_xattr_next(from, &name, &value, &size) == ARCHIVE_OK)
        xattrs[e.xattr_count++] = (struct xattr){name, value, size};
    e.extents = extents;
    (void)archive_entry_sparse_reset(from);
    while (e.extent_count < 64 && archive_entry_sparse_next(from, &offset, &length) == ARCHIVE_OK) {
        if (length > 0) /* GNU marks the end with an empty piece */
            extents[e.extent_count++] =
                (struct extent){.file_offset = (uint64_t)offset, .length = (uint64_t)length};
    }
    add_entry(out, &e);
}

void tar_text_oracle(const void *tar, size_t size, struct str *out)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    int r;

    check_true(setlocale(LC_CTYPE, "C.UTF-8")); /* it converts names */
    check_int(archive_read_support_format_tar(a), ARCHIVE_OK);
    if (archive_read_open_memory(a, tar, size) != ARCHIVE_OK)
        check_fail("libarchive refuses the tar: %s", archive_error_string(a));
    while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK)
        add_oracle_entry(out, e);
    if (r != ARCHIVE_EOF)
        check_fail("libarchive refuses the tar: %s", archive_error_string(a));
    check_int(archive_read_free(a), ARCHIVE_OK);
}

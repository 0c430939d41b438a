/* archive.c - unpacks with whatever filter the first bytes ask for, and reads the tar within. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <archive.h>
#include <archive_entry.h>

#include "fs/archive.h"
#include "fs/base/limits.h"
#include "fs/codec.h"

#include "fs/base/banned.h"

#define BUFFER_SIZE ((size_t)128 << 10)
#define MAGIC_SIZE 6u

/* -- unpacking: a reader of the bytes within -- */

struct unpacker {
    struct reader base;  /* first: the reader is the object */
    struct reader *from; /* borrowed */
    struct inflater *inflater;
    struct archive *filter; /* bzip2 and xz; else NULL */
    uint8_t *in;            /* BUFFER_SIZE */
    const uint8_t *at;      /* within `in`: not unpacked yet */
    size_t left;
    bool has_begun;
    bool has_ended; /* `from` has */
    uint64_t in_bytes;
    uint64_t out_bytes;
    struct error failure; /* of `from`, met inside libarchive; code 0: none */
};

static int refill(struct unpacker *u, struct error *err)
{
    ssize_t n = reader_read(u->from, u->in, BUFFER_SIZE, err);

    if (n < 0)
        return (int)n;
    u->at = u->in;
    u->left = (size_t)n;
    u->in_bytes += (uint64_t)n;
    u->has_ended = n == 0;
    return 0;
}

/* Reads on until there are enough bytes to see the magic, or no more. */
static int read_magic(struct unpacker *u, struct error *err)
{
    size_t size = 0;

    while (size < MAGIC_SIZE && !u->has_ended) {
        ssize_t n = reader_read(u->from, u->in + size, BUFFER_SIZE - size, err);

        if (n < 0)
            return (int)n;
        size += (size_t)n;
        u->has_ended = n == 0;
    }
    u->at = u->in;
    u->left = size;
    u->in_bytes = size;
    return 0;
}

static bool needs_filter(const struct unpacker *u)
{
    static const uint8_t xz[] = {0xFD, '7', 'z', 'X', 'Z', 0};

    if (u->left >= sizeof(xz) && memcmp(u->at, xz, sizeof(xz)) == 0)
        return true;
    return u->left >= 4 && memcmp(u->at, "BZh", 3) == 0 && u->at[3] >= '1' && u->at[3] <= '9';
}

static int filter_error(struct unpacker *u, struct error *err)
{
    if (u->failure.code != 0) {
        *err = u->failure;
        return -err->code;
    }
    return error_set(err, EBADMSG, "its %s data is damaged or ends too early",
                     archive_filter_name(u->filter, 0));
}

/* libarchive asks for more: first what the magic was read from, then what follows. */
static la_ssize_t filter_input(struct archive *a, void *context, const void **bytes)
{
    struct unpacker *u = context;
    size_t size;

    if (u->left == 0 && !u->has_ended && refill(u, &u->failure) < 0) {
        archive_set_error(a, u->failure.code, "%s", u->failure.text);
        return -1;
    }
    size = u->left;
    *bytes = u->at;
    u->left = 0;
    return (la_ssize_t)size;
}

static int open_filter(struct unpacker *u, struct error *err)
{
    struct archive_entry *entry;

    u->filter = archive_read_new();
    if (!u->filter)
        abort(); /* out of memory, as mem_new would */
    if (archive_read_support_filter_bzip2(u->filter) != ARCHIVE_OK ||
        archive_read_support_filter_xz(u->filter) != ARCHIVE_OK ||
        archive_read_support_format_raw(u->filter) != ARCHIVE_OK)
        return error_set(err, ENOTSUP, "libarchive here knows no bzip2 or no xz");
    if (archive_read_open(u->filter, u, NULL, filter_input, NULL) != ARCHIVE_OK ||
        archive_read_next_header(u->filter, &entry) != ARCHIVE_OK)
        return filter_error(u, err);
    return 0;
}

static int begin(struct unpacker *u, struct error *err)
{
    int r = read_magic(u, err);

    if (r < 0)
        return r;
    u->has_begun = true;
    if (needs_filter(u))
        return open_filter(u, err);
    u->inflater = inflater_new(codec_sniff(u->at, u->left));
    return 0;
}

static ssize_t read_filter(struct unpacker *u, void *buf, size_t size, struct error *err)
{
    la_ssize_t n = archive_read_data(u->filter, buf, size);

    if (n < 0)
        return filter_error(u, err);
    u->out_bytes += (uint64_t)n;
    if (u->out_bytes > LIMIT_INFLATE_FREE && u->out_bytes / LIMIT_INFLATE_RATIO > u->in_bytes)
        return error_set(err, EFBIG, "its %s data inflates to more than %u times its size",
                         archive_filter_name(u->filter, 0), LIMIT_INFLATE_RATIO);
    return n;
}

static ssize_t read_inflater(struct unpacker *u, void *buf, size_t size, struct error *err)
{
    for (;;) {
        ssize_t n = inflater_run(u->inflater, &u->at, &u->left, buf, size, err);
        int r;

        if (n != 0 || size == 0)
            return n;
        if (u->has_ended)
            return inflater_finish(u->inflater, err);
        r = refill(u, err);
        if (r < 0)
            return r;
    }
}

static ssize_t unpacker_read(struct reader *base, void *buf, size_t size, struct error *err)
{
    struct unpacker *u = (struct unpacker *)base;
    int r = u->has_begun ? 0 : begin(u, err);

    if (r < 0)
        return r;
    return u->filter ? read_filter(u, buf, size, err) : read_inflater(u, buf, size, err);
}

static void unpacker_close(struct reader *base)
{
    struct unpacker *u = (struct unpacker *)base;

    inflater_free(u->inflater);
    if (u->filter)
        (void)archive_read_free(u->filter); /* nothing was written that could be lost */
    free(u->in);
    free(u);
}

struct reader *archive_unpack(struct reader *from)
{
    struct unpacker *u = mem_new(struct unpacker);

    u->base = (struct reader){unpacker_read, unpacker_close};
    u->from = from;
    u->in = mem_alloc(BUFFER_SIZE);
    return &u->base;
}

/* Whatever cannot be unpacked is no archive; who then copies it will meet an unreadable disk. */
bool archive_sniff_reader(struct reader *from)
{
    auto_reader struct reader *unpacked = archive_unpack(from);
    uint8_t block[TAR_BLOCK_SIZE];
    struct error ignored = {0};

    return reader_read_full(unpacked, block, sizeof(block), &ignored) == 0 && tar_is_header(block);
}

/* -- the tar within -- */

struct archive_reader {
    struct reader *unpacked;
    char *what;
    struct tar_reader *tar;
    uint8_t *buffer; /* BUFFER_SIZE */
    const uint8_t *at;
    size_t left;
    uint64_t offset; /* of `at` in the tar */

    struct tar_entry entry; /* as given out */
    const struct extent *extents;
    size_t extent_count;
    size_t extent; /* the one at or after `done` */
    uint64_t done; /* of the content */
};

struct archive_reader *archive_reader_new(struct reader *from, const char *what)
{
    struct archive_reader *r = mem_new(struct archive_reader);

    r->unpacked = archive_unpack(from);
    r->what = mem_strdup(what);
    r->tar = tar_reader_new(NULL, NULL);
    r->buffer = mem_alloc(BUFFER_SIZE);
    return r;
}

void archive_reader_free(struct archive_reader *r)
{
    if (!r)
        return;
    reader_close(r->unpacked);
    tar_reader_free(r->tar);
    free(r->what);
    free(r->buffer);
    free(r);
}

/* Makes sure that there are bytes: 1, 0 at the end of the stream. */
static int fill(struct archive_reader *r, struct error *err)
{
    ssize_t n;

    if (r->left > 0)
        return 1;
    n = reader_read(r->unpacked, r->buffer, BUFFER_SIZE, err);
    if (n < 0)
        return error_wrap(err, "'%s'", r->what);
    r->at = r->buffer;
    r->left = (size_t)n;
    return n > 0;
}

/* Hands `size` bytes to the tar reader, which must take them all, or stops at an entry: 1. */
static int feed(struct archive_reader *r, size_t size, const struct tar_entry **entry,
                struct error *err)
{
    const uint8_t *at = r->at;
    size_t left = size;
    int e = tar_reader_next(r->tar, &at, &left, entry, err);

    r->offset += size - left;
    r->at = at;
    r->left -= size - left;
    return e < 0 ? error_wrap(err, "'%s'", r->what) : e;
}

int archive_reader_next(struct archive_reader *r, const struct tar_entry **out, struct error *err)
{
    const struct tar_entry *entry;
    int e;

    do {
        e = fill(r, err);
        if (e < 0)
            return e;
        if (e == 0) {
            e = tar_reader_finish(r->tar, err);
            return e < 0 ? error_wrap(err, "'%s'", r->what) : 0;
        }
        e = feed(r, r->left, &entry, err);
    } while (e == 0);
    if (e < 0)
        return e;
    r->entry = *entry;
    r->extents = entry->extents;
    r->extent_count = entry->extent_count;
    r->extent = 0;
    r->done = 0;
    r->entry.extents = NULL; /* they point into a tar that the caller does not have */
    r->entry.extent_count = 0;
    *out = &r->entry;
    return 1;
}

/* Bytes of the extent at hand, which are the next ones of the stream. */
static ssize_t read_stored(struct archive_reader *r, const struct extent *x, void *buf, size_t size,
                           struct error *err)
{
    uint64_t from = r->done - x->file_offset;
    const struct tar_entry *none;
    int e = fill(r, err);

    if (e == 0)
        return error_set(err, EBADMSG, "'%s': the tar ends too early", r->what);
    if (e < 0)
        return e;
    assert(r->offset == x->pack_offset + from);
    if (size > x->length - from)
        size = (size_t)(x->length - from);
    if (size > r->left)
        size = r->left;
    memcpy(buf, r->at, size);
    e = feed(r, size, &none, err); /* it only counts them */
    return e < 0 ? e : (ssize_t)size;
}

ssize_t archive_reader_read(struct archive_reader *r, void *buf, size_t size, struct error *err)
{
    const struct extent *x = r->extent < r->extent_count ? &r->extents[r->extent] : NULL;
    uint64_t end = x ? x->file_offset : r->entry.meta.size_bytes;
    ssize_t n;

    if (r->entry.meta.type != ENTRY_FILE || r->entry.is_hard_link || size == 0)
        return 0;
    if (x && r->done >= x->file_offset) {
        n = read_stored(r, x, buf, size, err);
        if (n < 0)
            return n;
    } else {
        n = (ssize_t)(size < end - r->done ? size : end - r->done);
        memset(buf, 0, (size_t)n);
    }
    r->done += (uint64_t)n;
    if (x && r->done == x->file_offset + x->length)
        r->extent++;
    return n;
}

/* union_space.c - what changes where a file's bytes are without writing any: sharing, punching,
 * reserving, and telling data from holes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "fs/journal.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

#define RANGE_UNIT 4096u /* what COLLAPSE and INSERT must be multiples of, fallocate(2) */

static uint64_t end_of(const struct piece *p)
{
    return p->start + p->length;
}

static bool fits(uint64_t offset, uint64_t length)
{
    return offset <= INT64_MAX && length <= INT64_MAX - offset;
}

/* -- copy_file_range -- */

/* `length` bytes of `from` become those of `to`, where there is a hole. */
static void share(struct inode *from, uint64_t from_offset, struct inode *to, uint64_t to_offset,
                  uint64_t length)
{
    uint64_t end = from_offset + length;
    uint64_t here = from_offset;
    struct content_cursor at;
    const struct piece *p;

    content_clear_flags(&from->content, from_offset, end, PIECE_OWNED);
    /* Sought anew each time, for both may be the same file. */
    while ((p = content_seek(&from->content, here, &at)) && p->start < end) {
        struct piece part = *p;
        uint64_t first = p->start > here ? p->start : here;

        here = end_of(p) < end ? end_of(p) : end;
        part.source_offset += first - part.start;
        part.start = first - from_offset + to_offset;
        part.length = here - first;
        if (!(part.flags & PIECE_UNWRITTEN))
            content_put(&to->content, &part);
    }
}

ssize_t union_copy_range(struct view *v, uint64_t from, uint64_t from_offset, uint64_t to,
                         uint64_t to_offset, uint64_t size)
{
    struct inode *source = NULL;
    struct inode *target = NULL;
    int r = file_readable(v, from, &source);

    if (r == 0)
        r = file_writable(v, to, &target);
    if (r < 0)
        return r;
    if (from_offset >= source->size_bytes || size == 0)
        return 0;
    if (size > source->size_bytes - from_offset)
        size = source->size_bytes - from_offset;
    if (!fits(to_offset, size))
        return -EFBIG;
    if (source == target && from_offset < to_offset + size && to_offset < from_offset + size)
        return -EINVAL;
    content_cut(&target->content, to_offset, to_offset + size, segment_free, v);
    share(source, from_offset, target, to_offset, size);
    if (to_offset + size > target->size_bytes)
        target->size_bytes = to_offset + size;
    inode_kill_priv(v, target, true);
    file_changed(v, target);
    return (ssize_t)size;
}

/* -- fallocate -- */

/* Reserves room for what is a hole in [from, to). */
static int reserve(struct view *v, struct inode *i, uint64_t from, uint64_t to)
{
    while (from < to) {
        struct piece p = {.start = from, .flags = PIECE_OWNED | PIECE_UNWRITTEN};
        struct content_cursor at;
        const struct piece *next = content_seek(&i->content, from, &at);
        uint64_t end = next && next->start < to ? next->start : to;
        int r;

        if (end > from) {
            p.length = end - from;
            r = segment_allocate(v, p.length, &p.source_offset);
            if (r < 0)
                return r;
            content_put(&i->content, &p);
            from = end;
            continue;
        }
        from = end_of(next);
    }
    return 0;
}

static int collapse(struct view *v, struct inode *i, uint64_t offset, uint64_t length)
{
    if (offset % RANGE_UNIT != 0 || length % RANGE_UNIT != 0 || offset + length >= i->size_bytes)
        return -EINVAL;
    content_cut(&i->content, offset, offset + length, segment_free, v);
    content_move(&i->content, offset + length, length, true);
    i->size_bytes -= length;
    return 0;
}

static int insert(struct inode *i, uint64_t offset, uint64_t length)
{
    const struct piece *last = content_last(&i->content);
    uint64_t end = last && end_of(last) > i->size_bytes ? end_of(last) : i->size_bytes;

    if (offset % RANGE_UNIT != 0 || length % RANGE_UNIT != 0 || offset >= i->size_bytes)
        return -EINVAL;
    if (!fits(end, length))
        return -EFBIG;
    content_move(&i->content, offset, length, false);
    i->size_bytes += length;
    return 0;
}

static int change_space(struct view *v, struct inode *i, int mode, uint64_t offset, uint64_t length)
{
    bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
    int r;

    switch (mode & ~FALLOC_FL_KEEP_SIZE) {
    case FALLOC_FL_PUNCH_HOLE:
        if (!keep_size)
            return -EOPNOTSUPP;
        content_cut(&i->content, offset, offset + length, segment_free, v);
        return 0;
    case FALLOC_FL_COLLAPSE_RANGE:
        return keep_size ? -EINVAL : collapse(v, i, offset, length);
    case FALLOC_FL_INSERT_RANGE:
        return keep_size ? -EINVAL : insert(i, offset, length);
    case FALLOC_FL_ZERO_RANGE:
        content_cut(&i->content, offset, offset + length, segment_free, v);
        break;
    case 0:
        break;
    default:
        return -EOPNOTSUPP;
    }
    r = reserve(v, i, offset, offset + length);
    if (r == 0 && !keep_size && offset + length > i->size_bytes)
        i->size_bytes = offset + length;
    return r;
}

int union_fallocate(struct view *v, uint64_t ino, int mode, uint64_t offset, uint64_t length)
{
    struct inode *i;
    int r = file_writable(v, ino, &i);

    if (r < 0)
        return r;
    if (length == 0)
        return -EINVAL;
    if (!fits(offset, length))
        return -EFBIG;
    r = change_space(v, i, mode, offset, length);
    if (r < 0)
        return r;
    if (mode == FALLOC_FL_KEEP_SIZE)
        return 0; /* room was reserved; the file is what it was */
    inode_kill_priv(v, i, true);
    file_changed(v, i);
    return 0;
}

/* -- SEEK_DATA, SEEK_HOLE -- */

int64_t union_lseek(struct view *v, uint64_t ino, int64_t offset, int whence)
{
    struct content_cursor at;
    const struct piece *p;
    struct inode *i;
    uint64_t here = (uint64_t)offset;
    int r = file_readable(v, ino, &i);

    if (r < 0)
        return r;
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return -EINVAL;
    if (offset < 0 || here >= i->size_bytes)
        return -ENXIO;
    for (p = content_seek(&i->content, here, &at); p; p = content_next(&i->content, &at)) {
        bool is_data = !(p->flags & PIECE_UNWRITTEN);

        if (is_data && whence == SEEK_DATA)
            return (int64_t)(p->start > here ? p->start : here);
        if (whence == SEEK_HOLE && (!is_data || p->start > here))
            break;
        if (is_data)
            here = end_of(p);
    }
    if (whence == SEEK_DATA)
        return -ENXIO;
    return (int64_t)(here < i->size_bytes ? here : i->size_bytes);
}

/* -- content as extents -- */

static int check_extents(uint64_t size_bytes, const struct extent *extents, size_t count)
{
    uint64_t end = 0;

    if (size_bytes > INT64_MAX)
        return -EFBIG;
    for (size_t n = 0; n < count; n++) {
        const struct extent *e = &extents[n];

        if (e->length == 0 || e->file_offset < end || e->length > size_bytes ||
            e->file_offset > size_bytes - e->length || !fits(e->pack_offset, e->length) ||
            e->pack == VIEW_SEGMENT)
            return -EINVAL;
        end = e->file_offset + e->length;
    }
    return 0;
}

int union_set_content(struct view *v, uint64_t ino, uint64_t size_bytes,
                      const struct extent *extents, size_t count)
{
    struct inode *i;
    int r = inode_writable(v, ino, &i);

    if (r < 0)
        return r;
    if (!S_ISREG(i->mode))
        return S_ISDIR(i->mode) ? -EISDIR : -EINVAL;
    r = check_extents(size_bytes, extents, count);
    if (r < 0)
        return r;
    inode_drop_content(v, i);
    for (size_t n = 0; n < count; n++) {
        struct piece p = {.start = extents[n].file_offset,
                          .length = extents[n].length,
                          .source_offset = extents[n].pack_offset,
                          .source = source_number(v, extents[n].pack)};

        content_put(&i->content, &p);
    }
    i->size_bytes = size_bytes;
    inode_kill_priv(v, i, true);
    file_changed(v, i);
    return 0;
}

ssize_t union_get_content(struct view *v, uint64_t ino, struct extent *extents, size_t max)
{
    struct content_cursor at;
    const struct piece *p;
    struct inode *i;
    size_t count = 0;
    int r = file_readable(v, ino, &i);

    if (r < 0)
        return r;
    for (p = content_seek(&i->content, 0, &at); p; p = content_next(&i->content, &at)) {
        if (p->flags & PIECE_UNWRITTEN)
            continue;
        if (count < max)
            extents[count] = (struct extent){.file_offset = p->start,
                                             .length = p->length,
                                             .pack = v->sources[p->source],
                                             .pack_offset = p->source_offset};
        count++;
    }
    return (ssize_t)count;
}

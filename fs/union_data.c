/* union_data.c - reading and writing files by their pieces.
 *
 * A write never touches what a layer has: it goes to the segment, and the file's pieces say where.
 * A range that this file alone has in the segment already is written in place.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "fs/journal.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

/* -- content that is still in an index -- */

int content_from_index(struct view *v, struct dir_run at, const struct index_inode *from,
                       struct content *out)
{
    struct content content = {0};
    uint64_t end = 0;

    for (uint32_t i = 0; i < from->extent_count; i++) {
        struct extent e;
        struct piece p;

        if (index_extent(v->layers[at.layer], at.inode, i, &e) < 0 || e.length == 0 ||
            e.file_offset < end || e.length > from->meta.size_bytes ||
            e.file_offset > from->meta.size_bytes - e.length ||
            e.pack_offset > INT64_MAX - e.length || e.pack == VIEW_SEGMENT) {
            content_release(&content, NULL, NULL);
            return lower_damaged(v, at.layer);
        }
        p = (struct piece){.start = e.file_offset,
                           .length = e.length,
                           .source_offset = e.pack_offset,
                           .source = source_number(v, e.pack)};
        content_put(&content, &p);
        end = e.file_offset + e.length;
    }
    *out = content;
    return 0;
}

int content_load(struct view *v, struct inode *i)
{
    struct index_inode from;
    struct content content;
    int r;

    if (!(i->flags & INODE_LOWER_CONTENT))
        return 0;
    r = lower_get(v, i->origin, &from);
    if (r == 0)
        r = content_from_index(v, i->origin, &from, &content);
    if (r < 0)
        return r;
    i->content = content;
    i->flags &= ~(uint32_t)INODE_LOWER_CONTENT;
    return 0;
}

uint64_t inode_bytes(const struct inode *i)
{
    return i->flags & INODE_LOWER_CONTENT ? i->lower_bytes : content_bytes(&i->content);
}

void inode_drop_content(struct view *v, struct inode *i)
{
    if (i->flags & INODE_LOWER_CONTENT)
        i->content = (struct content){0};
    else
        content_release(&i->content, segment_free, v);
    i->flags &= ~(uint32_t)INODE_LOWER_CONTENT;
}

int inode_truncate(struct view *v, struct inode *i, uint64_t size)
{
    int r;

    if (size == 0) {
        inode_drop_content(v, i);
    } else {
        r = content_load(v, i);
        if (r < 0)
            return r;
        content_cut(&i->content, size, UINT64_MAX, segment_free, v);
    }
    i->size_bytes = size;
    return 0;
}

/* -- reading -- */

static size_t smaller(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

ssize_t content_read(struct view *v, const struct content *c, uint64_t size, uint64_t offset,
                     void *buf, size_t count)
{
    uint8_t *to = buf;
    struct content_cursor at;
    const struct piece *p;
    size_t done = 0;

    if (offset >= size)
        return 0;
    count = smaller(size - offset, count);
    for (p = content_seek(c, offset, &at); p && done < count; p = content_next(c, &at)) {
        uint64_t here = offset + done;
        size_t hole = p->start > here ? smaller(p->start - here, count - done) : 0;
        size_t part;
        int r = 0;

        memset(to + done, 0, hole);
        done += hole;
        if (done == count)
            break;
        here += hole;
        part = smaller(p->start + p->length - here, count - done);
        if (p->flags & PIECE_UNWRITTEN)
            memset(to + done, 0, part);
        else
            r = source_read(v, p->source, p->source_offset + (here - p->start), to + done, part);
        if (r < 0)
            return done > 0 ? (ssize_t)done : r;
        done += part;
    }
    memset(to + done, 0, count - done);
    return (ssize_t)count;
}

int file_readable(struct view *v, uint64_t ino, struct inode **out)
{
    struct inode *i = inode_get(v, ino);

    if (!i)
        return -ESTALE;
    if (S_ISDIR(i->mode))
        return -EISDIR;
    if (!S_ISREG(i->mode))
        return -EINVAL;
    *out = i;
    return content_load(v, i);
}

ssize_t union_read(struct view *v, uint64_t ino, uint64_t offset, void *buf, size_t size)
{
    struct inode *i;
    int r = file_readable(v, ino, &i);

    if (r < 0)
        return r;
    return content_read(v, &i->content, i->size_bytes, offset, buf, smaller(SSIZE_MAX, size));
}

/* -- writing -- */

int file_writable(struct view *v, uint64_t ino, struct inode **i)
{
    int r = inode_writable(v, ino, i);

    return r < 0 ? r : file_readable(v, ino, i);
}

void file_changed(struct view *v, struct inode *i)
{
    i->mtime_ns = i->ctime_ns = union_now_ns();
    journal_note_inode(v, i);
}

/* Overwrites a part of an owned piece. */
static int write_in_place(struct view *v, struct inode *i, const struct piece *p, uint64_t offset,
                          const void *buf, size_t size)
{
    struct piece written = *p;
    int r = segment_write(v, p->source_offset + (offset - p->start), buf, size);

    if (r < 0 || !(p->flags & PIECE_UNWRITTEN))
        return r;
    written.source_offset += offset - p->start;
    written.start = offset;
    written.length = size;
    written.flags &= ~(uint32_t)PIECE_UNWRITTEN;
    content_cut(&i->content, offset, offset + size, NULL, NULL);
    content_put(&i->content, &written);
    return 0;
}

static int write_new(struct view *v, struct inode *i, uint64_t offset, const void *buf, size_t size)
{
    struct piece p = {.start = offset, .length = size, .flags = PIECE_OWNED};
    int r = segment_reserve(v, size, &p.source_offset);

    if (r < 0)
        return r;
    r = segment_write(v, p.source_offset, buf, size);
    if (r < 0) {
        v->segment.end_bytes = p.source_offset;
        return r;
    }
    content_cut(&i->content, offset, offset + size, segment_free, v);
    content_put(&i->content, &p);
    return 0;
}

/* Writes as much as one piece, or the lack of one, allows; gives the count. */
static ssize_t write_part(struct view *v, struct inode *i, uint64_t offset, const void *buf,
                          size_t size)
{
    struct content_cursor at;
    const struct piece *p = content_seek(&i->content, offset, &at);
    bool in_place = p && p->start <= offset && (p->flags & PIECE_OWNED);
    int r;

    if (in_place) {
        size = smaller(p->start + p->length - offset, size);
        r = write_in_place(v, i, p, offset, buf, size);
    } else {
        while (p && !(p->flags & PIECE_OWNED) && p->start < offset + size)
            p = content_next(&i->content, &at);
        if (p && p->start < offset + size)
            size = (size_t)(p->start - offset);
        r = write_new(v, i, offset, buf, size);
    }
    return r < 0 ? r : (ssize_t)size;
}

ssize_t union_write(struct view *v, uint64_t ino, uint64_t offset, const void *buf, size_t size,
                    bool kill_priv)
{
    const uint8_t *from = buf;
    struct inode *i;
    size_t done = 0;
    ssize_t n = 0;
    int r = file_writable(v, ino, &i);

    if (r < 0)
        return r;
    if (offset > INT64_MAX || size > INT64_MAX - offset)
        return -EFBIG;
    while (done < size && (n = write_part(v, i, offset + done, from + done, size - done)) > 0)
        done += (size_t)n;
    if (done == 0)
        return n;
    if (offset + done > i->size_bytes)
        i->size_bytes = offset + done;
    inode_kill_priv(v, i, kill_priv);
    file_changed(v, i);
    return (ssize_t)done;
}

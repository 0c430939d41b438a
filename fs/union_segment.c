/* union_segment.c - where bytes are: the packs of the layers, and the one file a view writes to.
 *
 * New data goes to the end of the segment. What a file gives up at its very end is used again; big
 * parts elsewhere are given back to the disk at once, the rest when the view is sealed.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fs/base/cleanup.h"
#include "fs/base/io.h"
#include "fs/pack.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

#define PUNCH_SIZE_MIN (1u << 20) /* below it, the call costs more than the space is worth */

static bool is_full(int code)
{
    return code == ENOSPC || code == EDQUOT || code == EFBIG;
}

/* What a step is told of a failed write: a full disk is a full disk, all else is damage. */
static int segment_fault(struct view *v, int code)
{
    if (is_full(code)) {
        view_set_fault(v, ENOSPC, "no space left in '%s' for what '%s' writes",
                       store_path(v->store), v->label);
        return -ENOSPC;
    }
    view_set_fault(v, code, "cannot write the data of '%s' to '%s': %s", v->label,
                   store_path(v->store), strerrordesc_np(code));
    return -EIO;
}

static int segment_open(struct view *v)
{
    struct error err = {0};
    int r;

    if (v->segment.fd >= 0)
        return 0;
    r = pack_create(v->store, &v->segment.pack, &v->segment.fd, &err);
    if (r == 0)
        return 0;
    v->segment.fd = -1;
    view_set_fault(v, is_full(-r) ? ENOSPC : -r, "%s", err.text);
    return is_full(-r) ? -ENOSPC : -EIO;
}

/* The end moved up. */
static void segment_grown(struct view *v)
{
    if (v->segment.end_bytes > atomic_load_explicit(&v->segment.size_bytes, memory_order_relaxed))
        atomic_store_explicit(&v->segment.size_bytes, v->segment.end_bytes, memory_order_relaxed);
}

int segment_reserve(struct view *v, uint64_t size, uint64_t *offset)
{
    uint64_t limit = v->options.segment_size_max ? v->options.segment_size_max : INT64_MAX;
    int r = segment_open(v);

    if (r < 0)
        return r;
    if (size > limit || v->segment.end_bytes > limit - size) {
        view_set_fault(v, ENOSPC, "'%s' wrote more than the %llu bytes it may", v->label,
                       (unsigned long long)limit);
        return -ENOSPC;
    }
    *offset = v->segment.end_bytes;
    v->segment.end_bytes += size;
    segment_grown(v);
    return 0;
}

int segment_write(struct view *v, uint64_t offset, const void *buf, size_t size)
{
    int r = io_pwrite_full(v->segment.fd, buf, size, offset);

    return r < 0 ? segment_fault(v, -r) : 0;
}

int segment_allocate(struct view *v, uint64_t size, uint64_t *offset)
{
    int r = segment_reserve(v, size, offset);

    if (r < 0)
        return r;
    do {
        r = fallocate(v->segment.fd, 0, (off_t)*offset, (off_t)size) < 0 ? -errno : 0;
    } while (r == -EINTR);
    if (r == 0 || r == -EOPNOTSUPP)
        return 0; /* without support the space is found when it is written, as ever */
    v->segment.end_bytes = *offset;
    return is_full(-r) ? -ENOSPC : segment_fault(v, -r);
}

void segment_free(void *context, const struct piece *piece)
{
    struct view *v = context;

    if (piece->source_offset + piece->length == v->segment.end_bytes) {
        v->segment.end_bytes = piece->source_offset;
        return;
    }
    if (piece->length >= PUNCH_SIZE_MIN)
        /* Only space is lost where the file system cannot do it. */
        (void)fallocate(v->segment.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        (off_t)piece->source_offset, (off_t)piece->length);
}

void segment_release(struct view *v)
{
    cleanup_close_fd(&v->segment.fd);
}

/* -- sources -- */

uint32_t source_number(struct view *v, uint64_t pack)
{
    uint32_t number;

    if (pack == VIEW_SEGMENT)
        return SOURCE_SEGMENT;
    number = id_map_get(&v->source_of_pack, pack ^ (1ull << 63));
    if (number != 0)
        return number;
    number = (uint32_t)v->source_count;
    v->sources = array_grow(v->sources, v->source_count, &v->source_capacity, sizeof(*v->sources));
    v->sources[v->source_count++] = pack;
    id_map_put(&v->source_of_pack, pack ^ (1ull << 63), number);
    return number;
}

int source_read(struct view *v, uint32_t source, uint64_t offset, void *buf, size_t size)
{
    struct error err = {0};
    int r;

    if (source != SOURCE_SEGMENT && v->sources[source] >= VIEW_OUTSIDE) {
        r = v->options.outside.read(v->options.outside.context, v->sources[source] - VIEW_OUTSIDE,
                                    offset, buf, size, &err);
        return r < 0 ? view_set_fault(v, EIO, "%s", err.text) : 0;
    }
    if (source != SOURCE_SEGMENT) {
        r = pack_read(v->store, v->sources[source], offset, buf, size, &err);
        return r < 0 ? view_set_fault(v, EIO, "%s", err.text) : 0;
    }
    r = offset > INT64_MAX ? -EIO : io_pread_full(v->segment.fd, buf, size, offset);
    if (r == 0)
        return 0;
    return view_set_fault(v, EIO, "cannot read the data of '%s' in '%s' at byte %llu: %s", v->label,
                          store_path(v->store), (unsigned long long)offset,
                          r == -EIO ? "it is truncated or damaged" : strerrordesc_np(-r));
}

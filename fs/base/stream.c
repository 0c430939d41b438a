/* stream.c - readers and writers over descriptors and memory. Codecs build on these elsewhere. */
#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/stream.h"

#include "fs/base/banned.h"

#define COPY_SIZE ((size_t)128 << 10) /* two pipe buffers; larger ones measured no faster */

struct fd_reader {
    struct reader base; /* first: the reader is the object */
    int fd;             /* owned */
    char *what;         /* owned; for messages */
    uint64_t offset;    /* of a range: where to read next */
    uint64_t left;      /* of a range: bytes until its end */
};

struct memory_reader {
    struct reader base;
    const uint8_t *next; /* borrowed */
    size_t left;
};

struct fd_writer {
    struct writer base;
    int fd; /* owned; -1 once finished */
    char *what;
};

ssize_t reader_read_most(struct reader *r, void *buf, size_t size, struct error *err)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = reader_read(r, (uint8_t *)buf + done, size - done, err);

        if (n < 0)
            return n;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int reader_read_full(struct reader *r, void *buf, size_t size, struct error *err)
{
    ssize_t n = reader_read_most(r, buf, size, err);

    if (n >= 0 && (size_t)n < size)
        return error_set(err, EIO, "the data ends after %zd of %zu bytes", n, size);
    return n < 0 ? (int)n : 0;
}

void reader_close(struct reader *r)
{
    int saved = errno;

    if (r && r->close)
        r->close(r);
    errno = saved;
}

int writer_finish(struct writer *w, struct error *err)
{
    return w->finish ? w->finish(w, err) : 0;
}

void writer_close(struct writer *w)
{
    int saved = errno;

    if (w && w->close)
        w->close(w);
    errno = saved;
}

static ssize_t fd_read(struct reader *base, void *buf, size_t size, struct error *err)
{
    struct fd_reader *r = (struct fd_reader *)base;
    ssize_t n;

    do {
        n = read(r->fd, buf, size);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_errno(err, "cannot read '%s'", r->what);
    return n;
}

static ssize_t fd_read_range(struct reader *base, void *buf, size_t size, struct error *err)
{
    struct fd_reader *r = (struct fd_reader *)base;
    ssize_t n;

    if (size > r->left)
        size = (size_t)r->left;
    if (size == 0)
        return 0;
    do {
        n = pread(r->fd, buf, size, (off_t)r->offset);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_errno(err, "cannot read '%s'", r->what);
    if (n == 0)
        return error_set(err, EIO, "'%s' ends %ju bytes early", r->what, (uintmax_t)r->left);
    r->offset += (uint64_t)n;
    r->left -= (uint64_t)n;
    return n;
}

static void fd_reader_close(struct reader *base)
{
    struct fd_reader *r = (struct fd_reader *)base;

    cleanup_close_fd(&r->fd);
    free(r->what);
    free(r);
}

static struct fd_reader *fd_reader_alloc(int fd, const char *what)
{
    struct fd_reader *r = mem_new(struct fd_reader);

    r->base.close = fd_reader_close;
    r->fd = fd;
    r->what = mem_strdup(what);
    return r;
}

struct reader *fd_reader_new(int fd, const char *what)
{
    struct fd_reader *r = fd_reader_alloc(fd, what);

    r->base.read = fd_read;
    return &r->base;
}

struct reader *fd_reader_new_range(int fd, uint64_t offset, uint64_t size, const char *what)
{
    struct fd_reader *r = fd_reader_alloc(fd, what);

    r->base.read = fd_read_range;
    r->offset = offset;
    r->left = size;
    return &r->base;
}

static ssize_t memory_read(struct reader *base, void *buf, size_t size, struct error *err)
{
    struct memory_reader *r = (struct memory_reader *)base;

    (void)err;
    if (size > r->left)
        size = r->left;
    if (size > 0)
        memcpy(buf, r->next, size);
    r->next += size;
    r->left -= size;
    return (ssize_t)size;
}

static void memory_reader_close(struct reader *base)
{
    free(base);
}

struct reader *memory_reader_new(const void *bytes, size_t size)
{
    struct memory_reader *r = mem_new(struct memory_reader);

    r->base.read = memory_read;
    r->base.close = memory_reader_close;
    r->next = bytes;
    r->left = size;
    return &r->base;
}

static int fd_write(struct writer *base, const void *buf, size_t size, struct error *err)
{
    struct fd_writer *w = (struct fd_writer *)base;
    int r;

    assert(w->fd >= 0);
    r = io_write_full(w->fd, buf, size);
    if (r < 0) {
        errno = -r;
        return error_errno(err, "cannot write '%s'", w->what);
    }
    return 0;
}

/* Some filesystems report a failed write at close only. */
static int fd_writer_finish(struct writer *base, struct error *err)
{
    struct fd_writer *w = (struct fd_writer *)base;

    if (close(steal_fd(&w->fd)) < 0 && errno != EINTR)
        return error_errno(err, "cannot write '%s'", w->what);
    return 0;
}

static void fd_writer_close(struct writer *base)
{
    struct fd_writer *w = (struct fd_writer *)base;

    cleanup_close_fd(&w->fd);
    free(w->what);
    free(w);
}

struct writer *fd_writer_new(int fd, const char *what)
{
    struct fd_writer *w = mem_new(struct fd_writer);

    w->base.write = fd_write;
    w->base.finish = fd_writer_finish;
    w->base.close = fd_writer_close;
    w->fd = fd;
    w->what = mem_strdup(what);
    return &w->base;
}

int stream_copy(struct reader *from, struct writer *to, uint64_t *total_bytes, struct error *err)
{
    auto_free uint8_t *buf = mem_alloc(COPY_SIZE);

    for (;;) {
        ssize_t n = reader_read(from, buf, COPY_SIZE, err);
        int r;

        if (n <= 0)
            return (int)n;
        r = writer_write(to, buf, (size_t)n, err);
        if (r < 0)
            return r;
        if (total_bytes)
            *total_bytes += (uint64_t)n;
    }
}

/* stream.h - how bytes cross modules: a reader to pull from, a writer to push into.
 *
 * Both are small vtables embedded first in a larger struct. The producer sets the functions; the
 * consumer calls reader_read / writer_write. Streams belong to one thread at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

struct reader {
    /* Up to `size` bytes into buf: the count, 0 at the end, or -errno with err set. */
    ssize_t (*read)(struct reader *r, void *buf, size_t size, struct error *err);
    void (*close)(struct reader *r); /* frees r; NULL function: r is not heap-allocated */
};

struct writer {
    int (*write)(struct writer *w, const void *buf, size_t size,
                 struct error *err);                    /* all or error */
    int (*finish)(struct writer *w, struct error *err); /* flush; may be NULL */
    void (*close)(struct writer *w);                    /* frees w; without finish it aborts */
};

static inline ssize_t reader_read(struct reader *r, void *buf, size_t size, struct error *err)
{
    return r->read(r, buf, size, err);
}
int reader_read_full(struct reader *r, void *buf, size_t size,
                     struct error *err); /* -EIO if short */
/* Until `size` bytes are there or the end is met: the count, or -errno. */
ssize_t reader_read_most(struct reader *r, void *buf, size_t size, struct error *err);
void reader_close(struct reader *r); /* NULL is allowed */
DEFINE_CLEANUP(reader_close, struct reader *)
#define auto_reader CLEANUP(reader_close)

static inline int writer_write(struct writer *w, const void *buf, size_t size, struct error *err)
{
    return w->write(w, buf, size, err);
}
int writer_finish(struct writer *w, struct error *err);
void writer_close(struct writer *w); /* NULL is allowed */
DEFINE_CLEANUP(writer_close, struct writer *)
#define auto_writer CLEANUP(writer_close)

/* Owns fd; `what` names it in messages and is copied. */
struct reader *fd_reader_new(int fd, const char *what);
/* `size` bytes from `offset`, by pread(2); a file that ends before is -EIO. */
struct reader *fd_reader_new_range(int fd, uint64_t offset, uint64_t size, const char *what);
struct reader *memory_reader_new(const void *bytes, size_t size); /* borrows bytes */
/* Owns fd. finish closes it, for some filesystems tell of a failed write only then; it does not
 * fsync. Nothing may be written afterwards. */
struct writer *fd_writer_new(int fd, const char *what);
/* Copies until the end; adds the count to *total_bytes when not NULL. Does not finish `to`. */
int stream_copy(struct reader *from, struct writer *to, uint64_t *total_bytes, struct error *err);

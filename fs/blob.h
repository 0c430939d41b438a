/* blob.h - bytes named by their digest: documents and compressed layers as a registry has them.
 *
 * A blob is written to a nameless file while it is hashed, compared with what was promised, made
 * durable and only then named (SECURITY S1, R33). Reading verifies again: a reader answers -EIO at
 * the end of bytes that do not match, so whoever reads to the end has the right bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/base/stream.h"

struct store;

/* -- writing -- */

struct blob_writer; /* one thread at a time */
struct blob_writer_options {
    const char *what;            /* names it in messages, e.g. "layer sha256:..."; NULL: "blob" */
    const struct digest *digest; /* expected, or NULL */
    uint64_t size_bytes;         /* expected; UINT64_MAX: unknown */
    bool resume; /* continue what an earlier process left; what this one leaves can be continued.
                    Needs a digest. -EBUSY when another process is writing the same blob */
};
int blob_writer_open(struct store *store, const struct blob_writer_options *options,
                     struct blob_writer **out, struct error *err);
/* Bytes it holds already: 0, or after resume what was kept. They are hashed; read them back with
 * blob_writer_read to feed whoever else needs them. */
uint64_t blob_writer_size_bytes(const struct blob_writer *w);
int blob_writer_read(struct blob_writer *w, uint64_t offset, void *buf, size_t size,
                     struct error *err);
int blob_writer_fd(const struct blob_writer *w); /* borrowed, for reading what was written */
/* -EFBIG as soon as there is more than the expected size. */
int blob_writer_write(struct blob_writer *w, const void *bytes, size_t size, struct error *err);
/* Verifies, makes durable, names, inserts the row; consumes w, whatever the result. A blob that
 * exists already is no error. `out` and `size_bytes` may be NULL. -EBADMSG: the size differs (what a
 * resumed one has is kept) or the digest does (nothing is kept, so that the next try starts anew). */
int blob_writer_commit(struct blob_writer *w, struct digest *out, uint64_t *size_bytes,
                       struct error *err);
/* The checks of a commit and nothing else; the writer can only be aborted afterwards. -EBADMSG. */
int blob_writer_verify(struct blob_writer *w, struct error *err);
/* Leaves nothing behind, unless it was opened to be resumed. NULL is allowed. */
void blob_writer_abort(struct blob_writer *w);
void blob_writer_discard(struct blob_writer *w); /* leaves nothing, not even to be resumed */
DEFINE_CLEANUP(blob_writer_abort, struct blob_writer *)
#define auto_blob_writer CLEANUP(blob_writer_abort)
/* Bytes that an interrupted writer, or one at work now, has of the blob; 0: none. */
uint64_t blob_partial_size_bytes(struct store *store, const struct digest *digest);
/* The file of such a writer, to be closed by the caller: for waiting until it has ended, one way or
 * the other. -ENOENT: there is none. */
int blob_partial_fd(struct store *store, const struct digest *digest);
bool blob_partial_is_busy(int fd); /* somebody is writing it, or making it a blob */
/* w as a stream: borrowed, finish and close do nothing. */
struct writer *blob_writer_stream(struct blob_writer *w);

/* A whole small document, named by its sha256. */
int blob_put(struct store *store, const void *bytes, size_t size, struct digest *out,
             struct error *err);
/* One that has its name from elsewhere: -EBADMSG when the bytes are not those. */
int blob_put_named(struct store *store, const struct digest *digest, const void *bytes, size_t size,
                   struct error *err);

/* -- reading; -ENOENT when there is no such blob -- */

/* Verifies size and digest while it is read: the read that meets the end fails with -EIO when the
 * bytes are not those named. */
int blob_open(struct store *store, const struct digest *digest, struct reader **out,
              uint64_t *size_bytes, struct error *err);
/* The whole blob to `to`, verified: by the checksums of a large one (fs/sums.h), else by its digest.
 * -EIO when the bytes are not those named: `to` has them by then. */
int blob_write(struct store *store, const struct digest *digest, struct writer *to,
               struct error *err);
/* Not verified, positioned at 0, owned by the caller: for sendfile and ranges. */
int blob_fd(struct store *store, const struct digest *digest, int *fd, uint64_t *size_bytes,
            struct error *err);
/* The whole blob, verified, of at most `size_max` bytes (-EFBIG). */
int blob_read(struct store *store, const struct digest *digest, uint64_t size_max, struct str *out,
              struct error *err);
/* 0 with its size (NULL is allowed), or -ENOENT. A row without its file is -EIO. */
int blob_stat(struct store *store, const struct digest *digest, uint64_t *size_bytes,
              struct error *err);
bool blob_exists(struct store *store, const struct digest *digest); /* any trouble: false */

/* -- where registries have it, for cross-repository mounts -- */

struct blob_origin {
    char *host;       /* "registry.example:5000" */
    char *repository; /* "library/debian" */
};
struct blob_origin_list {
    struct blob_origin *items; /* latest first */
    size_t count;
    size_t capacity;
};
void blob_origin_list_release(struct blob_origin_list *list);
DEFINE_CLEANUP_VALUE(blob_origin_list_release, struct blob_origin_list)
#define auto_blob_origin_list CLEANUP(blob_origin_list_release)
/* Noted after a pull or a push. The blob need not be in the store. Host and repository are at most
 * 255 bytes each (-EINVAL). */
int blob_origin_add(struct store *store, const struct digest *digest, const char *host,
                    const char *repository, struct error *err);
int blob_origin_remove(struct store *store, const struct digest *digest, const char *host,
                       const char *repository, struct error *err); /* the mount was refused */
int blob_origin_list(struct store *store, const struct digest *digest, const char *host,
                     struct blob_origin_list *out, struct error *err); /* host NULL: all */

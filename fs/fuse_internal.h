/* fuse_internal.h - one FUSE connection, as fuse_ops.c, fuse_shim.c and mount.c share it.
 *
 * A connection is served by one thread at a time; only the counters may be read by others. While a
 * request is served its raw bytes stay in `request`, because libfuse 3.14 does not pass everything
 * on that the kernel says (which writes must drop suid bits, for instance).
 */
#pragma once

#include <linux/fuse.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "fs/base/error.h"
#include "fs/union.h"

struct fuse_session;
struct view;

#define FUSE_TRANSFER_MAX (1u << 20)                 /* bytes of one READ or WRITE */
#define FUSE_REQUEST_MAX (FUSE_TRANSFER_MAX + 4096u) /* with its headers */
#define FUSE_OPCODE_COUNT 64u                        /* opcodes that are counted one by one */
#define FUSE_FOREVER_S 1000000000u                   /* the kernel's caches never time out */
#define FUSE_OPCODE_STATX 52u                        /* since protocol 7.39 */
#define FUSE_FEATURE_KILLPRIV_V2 (1u << 28)          /* INIT flag; since protocol 7.33 */

struct fuse_face {
    struct view *view; /* borrowed */
    bool writeback;
    bool host; /* see mount_options */

    uint8_t *request; /* FUSE_REQUEST_MAX bytes; the request being served */
    size_t request_size;
    uint8_t *reply; /* FUSE_TRANSFER_MAX bytes for READ, READDIR and extended attributes */

    _Atomic uint64_t counts[FUSE_OPCODE_COUNT]; /* requests served; any thread may read */
};

static inline const struct fuse_in_header *fuse_face_header(const struct fuse_face *f)
{
    return (const struct fuse_in_header *)(const void *)f->request;
}

/* The operation's own part of the request being served. */
static inline const void *fuse_face_argument(const struct fuse_face *f)
{
    return f->request + sizeof(struct fuse_in_header);
}

/* A session of libfuse that answers on `fd` (owned by it on success) through fuse_shim_writev. */
int fuse_ops_session(struct fuse_face *f, int fd, struct fuse_session **out, struct error *err);
/* Answers the request in `f`: by ourselves, or through libfuse and our operations. */
void fuse_ops_serve(struct fuse_face *f, struct fuse_session *session);

/* The errno of a reply: what the kernel takes (1 to 511), and never ENOSYS, which would switch the
 * operation off for the life of the connection. Takes and gives positive codes. */
int fuse_shim_errno(int code);
/* Is the request as long as its operation needs, its names terminated? Only the kernel writes to
 * the device, but libfuse would read past the end of a short one. */
bool fuse_shim_is_sound(const struct fuse_face *f);
/* Answers on `fd` what libfuse 3.14 does not know; false when libfuse shall have the request. */
bool fuse_shim_answer(struct fuse_face *f, int fd);
/* The writev of fuse_custom_io, `context` being the face: puts into the reply to INIT what libfuse
 * 3.14 cannot ask for. */
ssize_t fuse_shim_writev(int fd, struct iovec *parts, int count, void *context);

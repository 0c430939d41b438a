/* fuse_internal.h - one FUSE connection, as fuse_ops.c, fuse_shim.c and mount.c share it.
 *
 * Requests are answered one at a time, under `lock`. An answer is only put together there: it is sent
 * when the lock is free again, because sending wakes the client, which may keep this thread off its
 * CPU for long, and another thread may then go on. The raw bytes of a request stay at hand, because
 * libfuse 3.14 does not pass everything on that the kernel says (which writes must drop suid bits, for
 * instance).
 */
#pragma once

#include <linux/fuse.h>
#include <pthread.h>
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

/* A thread's own room for the request it serves, and for the reply. The kernel looks every page and
 * every part of a buffer up that it copies from or to, so a small request lies in one page, and a
 * reply is one part: its header is right before its body, which begins a page. */
struct fuse_buffers {
    uint8_t *room;    /* all of it, from mmap(2) */
    uint8_t *request; /* FUSE_REQUEST_MAX bytes */
    uint8_t *reply;   /* the body: FUSE_TRANSFER_MAX bytes for what is read, listed, or linked to */
    size_t request_size;
    size_t reply_size; /* with its header, of the reply to be sent; 0: there is none */
    uint64_t
        reply_ino; /* what the kernel has a reference to once it has the reply; 0: nothing new */
};

struct fuse_face {
    struct view *view; /* borrowed */
    bool writeback;
    bool host; /* see mount_options */

    pthread_mutex_t lock;
    struct fuse_buffers *at; /* guarded by lock: of the request being answered */

    _Atomic uint64_t counts[FUSE_OPCODE_COUNT]; /* requests served; any thread may read */
};

static inline const struct fuse_in_header *fuse_face_header(const struct fuse_face *f)
{
    return (const struct fuse_in_header *)(const void *)f->at->request;
}

/* The operation's own part of the request being served. */
static inline const void *fuse_face_argument(const struct fuse_face *f)
{
    return f->at->request + sizeof(struct fuse_in_header);
}

/* A session of libfuse that answers on `fd` (owned by it on success) through fuse_shim_writev. */
int fuse_ops_session(struct fuse_face *f, int fd, struct fuse_session **out, struct error *err);
/* Answers the request in `f` through libfuse and our operations. The lock is held, as for all
 * below. */
void fuse_ops_serve(struct fuse_face *f, struct fuse_session *session);

/* The errno of a reply: what the kernel takes (1 to 511), and never ENOSYS, which would switch the
 * operation off for the life of the connection. Takes and gives positive codes. */
int fuse_shim_errno(int code);
/* Is the request as long as its operation needs, its names terminated? Only the kernel writes to
 * the device, but libfuse would read past the end of a short one. */
bool fuse_shim_is_sound(const struct fuse_face *f);
/* Answers what libfuse 3.14 does not know; false when libfuse shall have the request. */
bool fuse_shim_answer(struct fuse_face *f);
/* The writev of fuse_custom_io, `context` being the face: keeps the reply in f->at, to be sent by
 * fuse_shim_send, and puts into that to INIT what libfuse 3.14 cannot ask for. */
ssize_t fuse_shim_writev(int fd, struct iovec *parts, int count, void *context);

/* These two belong to the thread of the buffers; the lock need not be held.
 * False when there is no memory. */
bool fuse_buffers_init(struct fuse_buffers *b);
void fuse_buffers_release(struct fuse_buffers *b);
/* Sends the reply on `fd`, if there is one. False when it is one to a request that was aborted
 * meanwhile: then nobody has the reference to reply_ino. */
bool fuse_shim_send(const struct fuse_buffers *b, int fd);

/* fuse_shim.c - the parts of the FUSE protocol that libfuse 3.14 does not speak (linux/fuse.h).
 *
 * Not for anything that touches libfuse's own structures: those are in fuse_ops.c.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/acl.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/fuse_internal.h"

#include "fs/base/banned.h"

/* What follows the header of a request: a structure, then names that end with a NUL. */
struct request_shape {
    uint8_t is_known;
    uint8_t name_count;
    uint16_t size;
};

#define SHAPE(type, names)                                                                         \
    {                                                                                              \
        1, (names), sizeof(type)                                                                   \
    }
#define SHAPE_NAMES(names)                                                                         \
    {                                                                                              \
        1, (names), 0                                                                              \
    }

static const struct request_shape shapes[FUSE_OPCODE_COUNT] = {
    [FUSE_LOOKUP] = SHAPE_NAMES(1),
    [FUSE_FORGET] = SHAPE(struct fuse_forget_in, 0),
    [FUSE_GETATTR] = SHAPE(struct fuse_getattr_in, 0),
    [FUSE_SETATTR] = SHAPE(struct fuse_setattr_in, 0),
    [FUSE_READLINK] = SHAPE_NAMES(0),
    [FUSE_SYMLINK] = SHAPE_NAMES(2),
    [FUSE_MKNOD] = SHAPE(struct fuse_mknod_in, 1),
    [FUSE_MKDIR] = SHAPE(struct fuse_mkdir_in, 1),
    [FUSE_UNLINK] = SHAPE_NAMES(1),
    [FUSE_RMDIR] = SHAPE_NAMES(1),
    [FUSE_RENAME] = SHAPE(struct fuse_rename_in, 2),
    [FUSE_LINK] = SHAPE(struct fuse_link_in, 1),
    [FUSE_OPEN] = SHAPE(struct fuse_open_in, 0),
    [FUSE_READ] = SHAPE(struct fuse_read_in, 0),
    [FUSE_WRITE] = SHAPE(struct fuse_write_in, 0),
    [FUSE_STATFS] = SHAPE_NAMES(0),
    [FUSE_RELEASE] = SHAPE(struct fuse_release_in, 0),
    [FUSE_FSYNC] = SHAPE(struct fuse_fsync_in, 0),
    /* Without FUSE_SETXATTR_EXT the structure is the short one. */
    [FUSE_SETXATTR] = {1, 1, FUSE_COMPAT_SETXATTR_IN_SIZE},
    [FUSE_GETXATTR] = SHAPE(struct fuse_getxattr_in, 1),
    [FUSE_LISTXATTR] = SHAPE(struct fuse_getxattr_in, 0),
    [FUSE_REMOVEXATTR] = SHAPE_NAMES(1),
    [FUSE_FLUSH] = SHAPE(struct fuse_flush_in, 0),
    /* Older kernels send less; the rest is read only when the version says that it is there. */
    [FUSE_INIT] = {1, 0, 16},
    [FUSE_OPENDIR] = SHAPE(struct fuse_open_in, 0),
    [FUSE_READDIR] = SHAPE(struct fuse_read_in, 0),
    [FUSE_RELEASEDIR] = SHAPE(struct fuse_release_in, 0),
    [FUSE_FSYNCDIR] = SHAPE(struct fuse_fsync_in, 0),
    [FUSE_GETLK] = SHAPE(struct fuse_lk_in, 0),
    [FUSE_SETLK] = SHAPE(struct fuse_lk_in, 0),
    [FUSE_SETLKW] = SHAPE(struct fuse_lk_in, 0),
    [FUSE_ACCESS] = SHAPE(struct fuse_access_in, 0),
    [FUSE_CREATE] = SHAPE(struct fuse_create_in, 1),
    [FUSE_INTERRUPT] = SHAPE(struct fuse_interrupt_in, 0),
    [FUSE_BMAP] = SHAPE(struct fuse_bmap_in, 0),
    [FUSE_DESTROY] = SHAPE_NAMES(0),
    [FUSE_IOCTL] = SHAPE(struct fuse_ioctl_in, 0),
    [FUSE_POLL] = SHAPE(struct fuse_poll_in, 0),
    [FUSE_NOTIFY_REPLY] = SHAPE(struct fuse_notify_retrieve_in, 0),
    [FUSE_BATCH_FORGET] = SHAPE(struct fuse_batch_forget_in, 0),
    [FUSE_FALLOCATE] = SHAPE(struct fuse_fallocate_in, 0),
    [FUSE_READDIRPLUS] = SHAPE(struct fuse_read_in, 0),
    [FUSE_RENAME2] = SHAPE(struct fuse_rename2_in, 2),
    [FUSE_LSEEK] = SHAPE(struct fuse_lseek_in, 0),
    [FUSE_COPY_FILE_RANGE] = SHAPE(struct fuse_copy_file_range_in, 0),
    [FUSE_TMPFILE] = SHAPE(struct fuse_create_in, 0),
};

int fuse_shim_errno(int code)
{
    if (code == ENOSYS)
        return EOPNOTSUPP;
    return code > 0 && code < 512 ? code : EIO;
}

/* Bytes which a counted payload announces, to be found after structure and names. */
static uint64_t payload_size(const struct fuse_face *f)
{
    const void *argument = fuse_face_argument(f);

    switch (fuse_face_header(f)->opcode) {
    case FUSE_WRITE:
        return ((const struct fuse_write_in *)argument)->size;
    case FUSE_SETXATTR:
        return ((const struct fuse_setxattr_in *)argument)->size;
    case FUSE_BATCH_FORGET:
        return (uint64_t)((const struct fuse_batch_forget_in *)argument)->count *
               sizeof(struct fuse_forget_one);
    case FUSE_IOCTL:
        return ((const struct fuse_ioctl_in *)argument)->in_size;
    default:
        return 0;
    }
}

bool fuse_shim_is_sound(const struct fuse_face *f)
{
    const struct fuse_in_header *header = fuse_face_header(f);
    const struct request_shape *shape;
    const uint8_t *at;
    size_t left;

    if (f->at->request_size < sizeof(*header) || header->len != f->at->request_size)
        return false;
    if (header->opcode >= FUSE_OPCODE_COUNT || !shapes[header->opcode].is_known)
        return true; /* answered by its number alone */
    shape = &shapes[header->opcode];
    at = fuse_face_argument(f);
    left = f->at->request_size - sizeof(*header);
    if (left < shape->size)
        return false;
    at += shape->size;
    left -= shape->size;
    for (unsigned i = 0; i < shape->name_count; i++) {
        const uint8_t *end = memchr(at, '\0', left);

        if (!end)
            return false;
        left -= (size_t)(end + 1 - at);
        at = end + 1;
    }
    return payload_size(f) <= left;
}

#define PAGE_SIZE_MAX 65536u /* of all machines this runs on */
#define ROOM_REQUEST ((size_t)FUSE_REQUEST_MAX + PAGE_SIZE_MAX - FUSE_REQUEST_MAX % PAGE_SIZE_MAX)
#define ROOM_SIZE (ROOM_REQUEST + PAGE_SIZE_MAX + FUSE_TRANSFER_MAX)

bool fuse_buffers_init(struct fuse_buffers *b)
{
    void *room = mmap(NULL, ROOM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (room == MAP_FAILED)
        return false;
    *b = (struct fuse_buffers){.room = room};
    b->request = b->room;
    b->reply = b->room + ROOM_REQUEST + PAGE_SIZE_MAX;
    return true;
}

void fuse_buffers_release(struct fuse_buffers *b)
{
    if (b->room)
        (void)munmap(b->room, ROOM_SIZE);
    *b = (struct fuse_buffers){0};
}

bool fuse_shim_send(const struct fuse_buffers *b, int fd)
{
    const uint8_t *from = b->reply - sizeof(struct fuse_out_header);

    /* Not write(2) of the C library, see receive() in mount.c. */
    if (b->reply_size == 0 || syscall(SYS_write, fd, from, b->reply_size) >= 0)
        return true;
    if (errno != ENOENT)
        log_debug("a reply cannot be delivered: %s", strerror(errno));
    return false;
}

/* Puts the reply together; its body may be where it belongs already. */
static void keep(struct fuse_face *f, const struct fuse_out_header *header, const void *body,
                 size_t size)
{
    struct fuse_buffers *b = f->at;

    assert(size <= FUSE_TRANSFER_MAX);
    memcpy(b->reply - sizeof(*header), header, sizeof(*header));
    if (size > 0 && body != b->reply)
        memcpy(b->reply, body, size);
    b->reply_size = sizeof(*header) + size;
}

static void reply(struct fuse_face *f, int error, const void *body, size_t size)
{
    struct fuse_out_header header = {
        .len = (uint32_t)(sizeof(header) + size),
        .error = -error,
        .unique = fuse_face_header(f)->unique,
    };

    keep(f, &header, body, size);
}

static void split_time(int64_t ns, uint64_t *seconds, uint32_t *nanoseconds)
{
    struct timespec time = io_time_split(ns);

    *seconds = (uint64_t)time.tv_sec;
    *nanoseconds = (uint32_t)time.tv_nsec;
}

static void fill_attr(const struct union_attr *from, struct fuse_attr *to)
{
    *to = (struct fuse_attr){
        .ino = from->ino,
        .size = from->size_bytes,
        .blocks = from->blocks,
        .mode = from->mode,
        .nlink = from->nlink,
        .uid = from->uid,
        .gid = from->gid,
        .blksize = 4096,
    };
    split_time(from->atime_ns, &to->atime, &to->atimensec);
    split_time(from->mtime_ns, &to->mtime, &to->mtimensec);
    split_time(from->ctime_ns, &to->ctime, &to->ctimensec);
}

/* FUSE_TMPFILE is a CREATE without a name: the reply is an entry and an open file. */
static void answer_tmpfile(struct fuse_face *f)
{
    const struct fuse_in_header *header = fuse_face_header(f);
    const struct fuse_create_in *in = fuse_face_argument(f);
    struct union_cred cred = {.uid = header->uid, .gid = header->gid};
    auto_acl_inherited struct acl_inherited acl = {0};
    mode_t mode = S_IFREG | (in->mode & 07777);
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out = {0};
    struct union_attr attr;
    int r;

    r = acl_inherit(f->view, header->nodeid, in->umask, &mode, &acl);
    if (r == 0)
        r = union_tmpfile(f->view, header->nodeid, mode, cred, &attr);
    if (r != 0) {
        reply(f, fuse_shim_errno(-r), NULL, 0);
        return;
    }
    r = acl_apply(f->view, attr.ino, mode, &acl);
    if (r < 0) {
        union_forget(f->view, attr.ino, 1);
        reply(f, fuse_shim_errno(-r), NULL, 0);
        return;
    }
    out.entry.nodeid = attr.ino;
    out.entry.entry_valid = FUSE_FOREVER_S;
    out.entry.attr_valid = FUSE_FOREVER_S;
    fill_attr(&attr, &out.entry.attr);
    out.open.open_flags = FOPEN_KEEP_CACHE;
    f->at->reply_ino = attr.ino;
    reply(f, 0, &out, sizeof(out));
}

bool fuse_shim_answer(struct fuse_face *f)
{
    switch (fuse_face_header(f)->opcode) {
    case FUSE_TMPFILE:
        answer_tmpfile(f);
        return true;
    case FUSE_SYNCFS: /* durable is what a sealed layer is; inside a step nothing has to be */
        reply(f, 0, NULL, 0);
        return true;
    case FUSE_NOTIFY_REPLY: /* nothing was retrieved, so this answers nothing */
    case FUSE_INTERRUPT:    /* requests are answered one by one, so the one meant is answered */
        return true;
    default:
        return false;
    }
}

ssize_t fuse_shim_writev(int fd, struct iovec *parts, int count, void *context)
{
    struct fuse_face *f = context;
    const struct fuse_in_header *header = fuse_face_header(f);
    size_t size = 0;

    (void)fd;
    if (header->opcode == FUSE_INIT && count == 2 &&
        parts[1].iov_len >= offsetof(struct fuse_init_out, max_background)) {
        const struct fuse_init_in *in = fuse_face_argument(f);
        struct fuse_init_out *out = parts[1].iov_base;

        /* libfuse 3.14 does not know the one, and forgets to ask for the other. */
        out->flags |= in->flags & (FUSE_FEATURE_KILLPRIV_V2 | FUSE_PARALLEL_DIROPS);
    }
    /* libfuse gives the header, and the body in one part if there is one. */
    assert(count <= 2 && parts[0].iov_len == sizeof(struct fuse_out_header));
    if (count == 2)
        size = parts[1].iov_len;
    keep(f, parts[0].iov_base, size > 0 ? parts[1].iov_base : NULL, size);
    return (ssize_t)(sizeof(struct fuse_out_header) + size);
}

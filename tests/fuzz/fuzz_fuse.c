/* fuzz_fuse.c - requests from bytes, to a served view: SECURITY R29.
 *
 * Each is: opcode, node, two bytes of body size, body. A socket stands for /dev/fuse. Every reply
 * must be one the kernel takes: its own length, an errno of 1 to 511 and nothing behind it, no more
 * bytes than were asked for, and ENOSYS only where it is meant, for it lasts.
 */
#include <assert.h>
#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/mount.h"
#include "fs/view.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/union_model.h"

#define BODY_MAX 8192u
#define REPLY_MAX (2u << 20)
#define FENCE_UNIQUE UINT64_MAX
#define INPUT_MAX (64u << 10)

static uint8_t request[sizeof(struct fuse_in_header) + BODY_MAX];
static uint8_t reply[REPLY_MAX];

static bool may_be_unsupported(uint32_t opcode)
{
    switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_GETATTR:
    case FUSE_SETATTR:
    case FUSE_READLINK:
    case FUSE_SYMLINK:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_LINK:
    case FUSE_READ:
    case FUSE_WRITE:
    case FUSE_STATFS:
    case FUSE_SETXATTR:
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR:
    case FUSE_REMOVEXATTR:
    case FUSE_READDIR:
    case FUSE_CREATE:
    case FUSE_IOCTL:
    case FUSE_FALLOCATE:
    case FUSE_READDIRPLUS:
    case FUSE_RENAME2:
    case FUSE_LSEEK:
    case FUSE_COPY_FILE_RANGE:
    case FUSE_SYNCFS:
    case FUSE_TMPFILE:
        return false;
    default:
        return true;
    }
}

/* How many bytes the request allows in a reply that is just bytes; UINT32_MAX: no such limit. */
static uint32_t bytes_asked(uint32_t opcode, const uint8_t *body, size_t size)
{
    struct fuse_read_in read_in;
    struct fuse_getxattr_in xattr_in;

    if (opcode == FUSE_READ || opcode == FUSE_READDIR || opcode == FUSE_READDIRPLUS) {
        if (size < sizeof(read_in))
            return UINT32_MAX;
        memcpy(&read_in, body, sizeof(read_in));
        return read_in.size;
    }
    if ((opcode == FUSE_GETXATTR || opcode == FUSE_LISTXATTR) && size >= sizeof(xattr_in)) {
        memcpy(&xattr_in, body, sizeof(xattr_in));
        return xattr_in.size > 0 ? xattr_in.size : (uint32_t)sizeof(struct fuse_getxattr_out);
    }
    return UINT32_MAX;
}

static void send_request(int fd, uint32_t opcode, uint64_t node, uint64_t unique,
                         const uint8_t *body, size_t size)
{
    struct fuse_in_header header = {
        .len = (uint32_t)(sizeof(header) + size),
        .opcode = opcode,
        .unique = unique,
        .nodeid = node,
        .pid = (uint32_t)getpid(),
    };

    memcpy(request, &header, sizeof(header));
    if (size > 0)
        memcpy(request + sizeof(header), body, size);
    /* The other side may have ended the service over the last request. */
    (void)!send(fd, request, header.len, MSG_NOSIGNAL);
}

static void check_reply(const struct fuse_out_header *header, size_t size, uint32_t opcode,
                        uint32_t limit)
{
    assert(size >= sizeof(*header) && header->len == size);
    assert(header->error <= 0 && header->error > -512);
    assert(header->error == 0 || size == sizeof(*header));
    assert(header->error != -ENOSYS || may_be_unsupported(opcode));
    assert(header->error != 0 || size - sizeof(*header) <= limit);
}

/* Sends one request and takes what comes before the answer to a second, harmless one. False when
 * the service has ended. */
static bool ask(int fd, uint32_t opcode, uint64_t node, const uint8_t *body, size_t size)
{
    uint32_t limit = bytes_asked(opcode, body, size);

    send_request(fd, opcode, node, 1, body, size);
    send_request(fd, FUSE_STATFS, 1, FENCE_UNIQUE, NULL, 0);
    for (;;) {
        ssize_t count = recv(fd, reply, sizeof(reply), 0);
        struct fuse_out_header header;

        if (count <= 0)
            return false;
        assert((size_t)count >= sizeof(header));
        memcpy(&header, reply, sizeof(header));
        if (header.unique == FENCE_UNIQUE)
            return true;
        assert(header.unique == 1);
        check_reply(&header, (size_t)count, opcode, limit);
    }
}

static bool ask_for_init(int fd)
{
    struct fuse_init_in in = {
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_KERNEL_MINOR_VERSION,
        .flags = 0x3fffffff,
    };

    return ask(fd, FUSE_INIT, 0, (const uint8_t *)&in, sizeof(in));
}

static void run(int fd, const uint8_t *data, size_t size)
{
    if (!ask_for_init(fd))
        return;
    while (size >= 4) {
        uint32_t opcode = data[0];
        uint64_t node = data[1];
        size_t body_size = (size_t)(data[2] | data[3] << 8) % (BODY_MAX + 1);

        data += 4;
        size -= 4;
        if (body_size > size)
            body_size = size;
        if (!ask(fd, opcode, node, data, body_size))
            return;
        data += body_size;
        size -= body_size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mount_options options = {.plain = true};
    const struct view_options view_options = {.label = "fuzz", .segment_size_max = 4u << 20};
    auto_view struct view *view = NULL;
    struct mount *mount;
    struct error err = {0};
    int fds[2];

    if (size > INPUT_MAX)
        return 0;
    if (view_open(union_model_store(), NULL, 0, &view_options, &view, &err) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0 ||
        mount_serve(view, fds[1], &options, &mount, &err) < 0)
        abort();
    run(fds[0], data, size);
    mount_stop(mount);
    cleanup_close_fd(&fds[0]);
    return 0;
}

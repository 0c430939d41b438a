/* mount_host.c - mounting on a directory of the host, which an ordinary user may do only through
 * fusermount3. Builds never come here: they mount in a namespace of their own (SECURITY R25).
 *
 * The protocol is fusermount3's: a socket whose number is in _FUSE_COMMFD, over which one byte with
 * the mounted descriptor comes back.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/str.h"
#include "fs/mount.h"

#include "fs/base/banned.h"

#define HELPER "fusermount3"
#define HELPER_SOCKET 3 /* its descriptor in the helper */
#define SAID_MAX 512

extern char **environ;

/* Runs the helper to its end; what it said on standard error, without the line's end, is in `said`.
 * Returns its exit status, or -errno. */
static int run_helper(char *const *argv, int socket_fd, char *said, size_t said_size,
                      struct error *err)
{
    auto_strv struct strv env = {0};
    posix_spawn_file_actions_t actions;
    int pipe_fds[2];
    size_t size = 0;
    ssize_t count;
    int status;
    pid_t pid;
    int r;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_errno(err, "cannot make a pipe");
    for (char **name = environ; *name; name++)
        if (!text_starts(*name, "_FUSE_COMMFD="))
            strv_add(&env, *name);
    strv_addf(&env, "_FUSE_COMMFD=%d", HELPER_SOCKET);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDERR_FILENO);
    if (socket_fd >= 0)
        (void)posix_spawn_file_actions_adddup2(&actions, socket_fd, HELPER_SOCKET);
    r = posix_spawnp(&pid, HELPER, &actions, NULL, argv, strv_argv(&env));
    (void)posix_spawn_file_actions_destroy(&actions);
    cleanup_close_fd(&pipe_fds[1]);
    while (r == 0 && size + 1 < said_size &&
           (count = read(pipe_fds[0], said + size, said_size - 1 - size)) != 0) {
        if (count > 0)
            size += (size_t)count;
        else if (errno != EINTR)
            break;
    }
    said[size] = '\0';
    said[strcspn(said, "\n")] = '\0';
    cleanup_close_fd(&pipe_fds[0]);
    if (r == ENOENT) {
        (void)error_set(err, ENOENT, "'" HELPER "' is not installed");
        return error_hint(err, "install the package fuse3, or look inside with 'img shell'");
    }
    if (r != 0)
        return error_set(err, r, "cannot start '" HELPER "': %s", strerror(r));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_errno(err, "cannot wait for '" HELPER "'");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int receive_fd(int socket_fd, int *fd)
{
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *part_fd;
    ssize_t size;

    do
        size = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (size < 0 && errno == EINTR);
    part_fd = size < 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (!part_fd || part_fd->cmsg_level != SOL_SOCKET || part_fd->cmsg_type != SCM_RIGHTS ||
        part_fd->cmsg_len != CMSG_LEN(sizeof(int)))
        return -EPROTO;
    memcpy(fd, CMSG_DATA(part_fd), sizeof(*fd));
    return 0;
}

static const char *without_name(const char *said)
{
    return text_starts(said, HELPER ": ") ? said + sizeof(HELPER ": ") - 1 : said;
}

int mount_host(const char *directory, const struct mount_options *options, int *fuse_fd,
               struct error *err)
{
    char read_only[] = "ro,nosuid,nodev,fsname=img,subtype=img";
    char writable[] = "nosuid,nodev,fsname=img,subtype=img";
    char *argv[] = {(char[]){HELPER},
                    (char[]){"-o"},
                    options->writable ? writable : read_only,
                    (char[]){"--"},
                    (char *)(uintptr_t)directory,
                    NULL};
    char said[SAID_MAX];
    auto_close int ours = -1;
    auto_close int theirs = -1;
    int sockets[2];
    int r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
        return error_errno(err, "cannot make a socket");
    ours = sockets[0];
    theirs = sockets[1];
    r = run_helper(argv, theirs, said, sizeof(said), err);
    if (r < 0)
        return r;
    if (r > 0)
        return error_set(err, EPERM, "cannot mount on '%s': %s", directory, without_name(said));
    r = receive_fd(ours, fuse_fd);
    if (r < 0)
        return error_set(err, -r, "cannot mount on '%s': '" HELPER "' gave no descriptor",
                         directory);
    return 0;
}

int mount_host_undo(const char *directory, struct error *err)
{
    char *argv[] = {(char[]){HELPER}, (char[]){"-u"}, (char[]){"--"}, (char *)(uintptr_t)directory,
                    NULL};
    char said[SAID_MAX];
    int r = run_helper(argv, -1, said, sizeof(said), err);

    if (r > 0)
        return error_set(err, EBUSY, "cannot unmount '%s': %s", directory, without_name(said));
    return r;
}

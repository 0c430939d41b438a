/* mountns.c - the process behind mountns.h: it takes one order at a time over a socket. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/mountns.h"

#define ORDER_ARGUMENT_MAX 8192
#define ID_COUNT 65536

struct mountns {
    pid_t pid;
    int socket_fd;
    bool has_ids;
};

enum order_kind { ORDER_MOUNT, ORDER_TMPFS, ORDER_UNMOUNT, ORDER_RUN };

struct order {
    enum order_kind kind;
    char directory[1024];
    struct mount_options options;
    mountns_fn *fn; /* the process is a fork of the test, so the address is the same */
    size_t argument_size;
    uint8_t argument[ORDER_ARGUMENT_MAX];
};

/* One message with at most one descriptor; -1 sends and gives none. */
static bool send_with_fd(int socket_fd, const void *bytes, size_t size, int fd)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        struct cmsghdr *item;

        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        item = CMSG_FIRSTHDR(&message);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(item), &fd, sizeof(fd));
    }
    return sendmsg(socket_fd, &message, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool receive_with_fd(int socket_fd, void *bytes, size_t size, int *fd)
{
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *item;
    ssize_t count;

    *fd = -1;
    do
        count = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
    while (count < 0 && errno == EINTR);
    if (count != (ssize_t)size)
        return false;
    item = CMSG_FIRSTHDR(&message);
    if (item && item->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(item), sizeof(*fd));
    return true;
}

static int status_of(int wait_status)
{
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 256 + WTERMSIG(wait_status);
}

/* -- the process in the namespaces -- */

static int do_mount(const struct order *order, int *fd)
{
    char text[256];
    int r = 0;

    *fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (*fd < 0)
        return -errno;
    mount_option_text(*fd, &order->options, text, sizeof(text));
    if (mount("img", order->directory, "fuse", MS_NODEV, text) < 0) {
        r = -errno;
        cleanup_close_fd(fd);
    }
    return r;
}

static int do_run(const struct order *order, int output_fd)
{
    pid_t pid = fork();
    int wait_status;

    if (pid < 0)
        return -errno;
    if (pid == 0) {
        int status;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (output_fd >= 0)
            (void)dup2(output_fd, STDOUT_FILENO);
        status = order->fn(order->argument);
        (void)fflush(stdout);
        _exit(status);
    }
    while (waitpid(pid, &wait_status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return status_of(wait_status);
}

static _Noreturn void obey(int socket_fd)
{
    static struct order order;
    int given_fd;

    while (receive_with_fd(socket_fd, &order, sizeof(order), &given_fd)) {
        int fd = -1;
        int r = -EINVAL;

        switch (order.kind) {
        case ORDER_MOUNT:
            r = do_mount(&order, &fd);
            break;
        case ORDER_TMPFS:
            r = mount("tmpfs", order.directory, "tmpfs", MS_NODEV, "mode=755") < 0 ? -errno : 0;
            break;
        case ORDER_UNMOUNT:
            r = umount2(order.directory, MNT_DETACH) < 0 ? -errno : 0;
            break;
        case ORDER_RUN:
            r = do_run(&order, given_fd);
            break;
        }
        cleanup_close_fd(&given_fd);
        if (!send_with_fd(socket_fd, &r, sizeof(r), fd))
            break;
        cleanup_close_fd(&fd);
    }
    _exit(0);
}

/* Tells the parent that the namespaces are there, and goes on when it has written the id maps. */
static _Noreturn void live_in_namespaces(int socket_fd)
{
    char byte = 0;
    int r;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    r = unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ? errno : 0;
    if (write(socket_fd, &r, sizeof(r)) != sizeof(r) || r != 0)
        _exit(1);
    if (read(socket_fd, &byte, 1) != 1 || setgid(0) < 0 || setuid(0) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        _exit(1);
    /* Changing ids made the process undumpable and dropped the death signal. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (write(socket_fd, &byte, 1) != 1)
        _exit(1);
    obey(socket_fd);
}

/* -- the test's side -- */

static bool write_text(pid_t pid, const char *file, const char *text)
{
    char path[64];
    auto_close int fd = -1;

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* newuidmap(1) and newgidmap(1) give what /etc/subuid and /etc/subgid allow, if they are there. */
static bool map_by_helper(const char *helper, pid_t pid, unsigned own_id)
{
    char line[256];

    (void)snprintf(line, sizeof(line),
                   "f=/etc/sub${0#new}; f=${f%%map}; "
                   "s=$(grep \"^$(id -un):\" $f | head -n 1 | cut -d: -f2); "
                   "exec $0 %d 0 %u 1 1 $s %d 2>/dev/null",
                   pid, own_id, ID_COUNT - 1);
    {
        pid_t child = fork();
        int wait_status;

        if (child == 0) {
            execl("/bin/sh", "sh", "-c", line, helper, (char *)NULL);
            _exit(127);
        }
        return child > 0 && waitpid(child, &wait_status, 0) == child && status_of(wait_status) == 0;
    }
}

static bool map_ids(struct mountns *ns)
{
    char text[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (uid == 0) {
        (void)snprintf(text, sizeof(text), "0 0 %d\n", ID_COUNT);
        ns->has_ids = write_text(ns->pid, "uid_map", text) && write_text(ns->pid, "gid_map", text);
        return ns->has_ids;
    }
    ns->has_ids = map_by_helper("newuidmap", ns->pid, uid);
    if (ns->has_ids)
        return map_by_helper("newgidmap", ns->pid, gid);
    (void)snprintf(text, sizeof(text), "0 %u 1\n", uid);
    if (!write_text(ns->pid, "uid_map", text) || !write_text(ns->pid, "setgroups", "deny"))
        return false;
    (void)snprintf(text, sizeof(text), "0 %u 1\n", gid);
    return write_text(ns->pid, "gid_map", text);
}

static const char *settle(struct mountns *ns)
{
    char byte = 0;
    int r;

    if (read(ns->socket_fd, &r, sizeof(r)) != sizeof(r))
        return "the namespace process died";
    if (r != 0)
        return "user namespaces are not allowed";
    if (!map_ids(ns))
        return "ids cannot be mapped";
    if (write(ns->socket_fd, &byte, 1) != 1 || read(ns->socket_fd, &byte, 1) != 1)
        return "the namespace process cannot become root in it";
    return NULL;
}

struct mountns *mountns_new(const char **reason)
{
    struct mountns *ns;
    int sockets[2];

    if (access("/dev/fuse", R_OK | W_OK) < 0) {
        *reason = "/dev/fuse is missing or closed to us";
        return NULL;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) {
        *reason = "no sockets";
        return NULL;
    }
    ns = mem_new(struct mountns);
    ns->socket_fd = sockets[0];
    ns->pid = fork();
    if (ns->pid == 0) {
        cleanup_close_fd(&sockets[0]);
        live_in_namespaces(sockets[1]);
    }
    cleanup_close_fd(&sockets[1]);
    *reason = ns->pid < 0 ? "fork failed" : settle(ns);
    if (*reason) {
        mountns_free(ns);
        return NULL;
    }
    return ns;
}

void mountns_free(struct mountns *ns)
{
    if (!ns)
        return;
    cleanup_close_fd(&ns->socket_fd);
    if (ns->pid > 0) {
        (void)kill(ns->pid, SIGKILL);
        (void)waitpid(ns->pid, NULL, 0);
    }
    free(ns);
}

bool mountns_has_ids(const struct mountns *ns)
{
    return ns->has_ids;
}

pid_t mountns_pid(const struct mountns *ns)
{
    return ns->pid;
}

static struct order *order_new(enum order_kind kind, const char *directory)
{
    struct order *order = mem_new(struct order);

    order->kind = kind;
    (void)snprintf(order->directory, sizeof(order->directory), "%s", directory);
    return order;
}

static int take(struct mountns *ns, int *fd)
{
    int r;

    return receive_with_fd(ns->socket_fd, &r, sizeof(r), fd) ? r : -EPIPE;
}

static int give_and_take(struct mountns *ns, const struct order *order, int *fd)
{
    *fd = -1;
    if (!send_with_fd(ns->socket_fd, order, sizeof(*order), -1))
        return -EPIPE;
    return take(ns, fd);
}

int mountns_mount(struct mountns *ns, const char *directory, const struct mount_options *options,
                  int *fuse_fd)
{
    auto_free struct order *order = order_new(ORDER_MOUNT, directory);

    order->options = *options;
    return give_and_take(ns, order, fuse_fd);
}

int mountns_mount_tmpfs(struct mountns *ns, const char *directory)
{
    auto_free struct order *order = order_new(ORDER_TMPFS, directory);
    int fd;

    return give_and_take(ns, order, &fd);
}

int mountns_unmount(struct mountns *ns, const char *directory)
{
    auto_free struct order *order = order_new(ORDER_UNMOUNT, directory);
    int fd;

    return give_and_take(ns, order, &fd);
}

static void read_all(int fd, struct str *out)
{
    char text[4096];
    ssize_t count;

    while ((count = read(fd, text, sizeof(text))) != 0) {
        if (count > 0)
            str_add_bytes(out, text, (size_t)count);
        else if (errno != EINTR)
            return;
    }
}

int mountns_run(struct mountns *ns, mountns_fn *fn, const void *argument, size_t size,
                struct str *out)
{
    auto_free struct order *order = order_new(ORDER_RUN, "");
    auto_close int output = -1;
    auto_close int input = -1;
    int pipe_fds[2];
    int fd;

    if (size > ORDER_ARGUMENT_MAX)
        return -E2BIG;
    order->fn = fn;
    order->argument_size = size;
    if (size > 0)
        memcpy(order->argument, argument, size);
    if (out) {
        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
            return -errno;
        input = pipe_fds[0];
        output = pipe_fds[1];
    }
    (void)fflush(stdout);
    if (!send_with_fd(ns->socket_fd, order, sizeof(*order), output))
        return -EPIPE;
    cleanup_close_fd(&output);
    if (out)
        read_all(input, out);
    return take(ns, &fd);
}

static int run_shell(const void *argument)
{
    const char *directory = argument;
    const char *line = directory + strlen(directory) + 1;

    if (chdir(directory) < 0) {
        printf("%s: %s\n", directory, strerror(errno));
        return 126;
    }
    (void)dup2(STDOUT_FILENO, STDERR_FILENO);
    execl("/bin/sh", "sh", "-c", line, (char *)NULL);
    return 127;
}

int mountns_shell(struct mountns *ns, const char *directory, const char *line, struct str *out)
{
    auto_str struct str argument = {0};

    str_add_bytes(&argument, directory, strlen(directory) + 1);
    str_add_bytes(&argument, line, strlen(line) + 1);
    return mountns_run(ns, run_shell, argument.data, argument.size, out);
}

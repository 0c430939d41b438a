/* guest.c - what a test wants to try from inside a step, as a static program the step can run. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

/* guest connect PATH: prints what the peer of a unix socket sends; "@NAME" is abstract. */
static int try_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t size = strlen(path);
    char buffer[64];
    ssize_t n;

    memcpy(address.sun_path, path, size);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    if (connect(fd, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) < 0) {
        printf("%s\n", strerror(errno));
        return 1;
    }
    while ((n = read(fd, buffer, sizeof(buffer))) > 0)
        (void)fwrite(buffer, 1, (size_t)n, stdout);
    return 0;
}

/* guest tcp ADDRESS PORT: says whether a connection is made. */
static int try_tcp(const char *where, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 3};

    address.sin_port = htons((uint16_t)atoi(port));
    (void)inet_pton(AF_INET, where, &address.sin_addr);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    puts(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? "connected" : "refused");
    return 0;
}

/* guest ping: says whether an unprivileged echo socket can be had. */
static int try_ping(void)
{
    puts(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP) >= 0 ? "yes" : strerror(errno));
    return 0;
}

/* guest sti: types into each standard stream. */
static int try_sti(void)
{
    for (int fd = 0; fd < 3; fd++) {
        if (ioctl(fd, TIOCSTI, "x") != -1 || errno != EPERM)
            return 1;
        if (syscall(SYS_ioctl, fd, UINT64_C(0x100005412), "x") != -1 || errno != EPERM)
            return 2;
    }
    return 0;
}

/* guest calls: calls of SECURITY section 3 that must fail, one line each. */
static int try_calls(void)
{
    int fd;

    printf("unshare %s\n", unshare(CLONE_NEWUSER) < 0 ? strerror(errno) : "worked");
    printf("keyctl %s\n", syscall(SYS_keyctl, 0, -3, 0) < 0 ? strerror(errno) : "worked");
    printf("mknod %s\n",
           mknod("/tmp/null", S_IFCHR | 0666, 0x103) < 0 ? strerror(errno) : "worked");
    printf("vsock %s\n", socket(40, SOCK_STREAM, 0) < 0 ? strerror(errno) : "worked");
    fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    printf("fuse %s\n", fd < 0 ? strerror(errno) : "opened");
    printf("chroot %s\n", chroot("/tmp") < 0 ? strerror(errno) : "worked");
    return 0;
}

static void say(const char *what, long result)
{
    printf("%s %s\n", what, result < 0 ? strerror(errno) : "worked");
}

/* guest kernel: ways into the kernel that have been holes, one line each. All fail. */
static int try_kernel(void)
{
    long zeros[32] = {0};

    say("bpf", syscall(SYS_bpf, 0, zeros, sizeof(zeros)));
    say("perf_event_open", syscall(SYS_perf_event_open, zeros, 0, -1, -1, 0));
    say("userfaultfd", syscall(SYS_userfaultfd, 0));
    say("io_uring_setup", syscall(SYS_io_uring_setup, 1, zeros));
    say("add_key", syscall(SYS_add_key, "user", "k", "v", 1, -3));
    say("request_key", syscall(SYS_request_key, "user", "k", NULL, -3));
    say("open_by_handle_at", syscall(SYS_open_by_handle_at, 0, zeros, O_RDONLY));
    say("setns", syscall(SYS_setns, 0, 0));
    say("clone NEWUSER", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
    say("clone3", syscall(SYS_clone3, zeros, 88));
    say("mount", syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL));
    say("umount2", syscall(SYS_umount2, "/proc/sys", 2));
    say("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    say("open_tree", syscall(SYS_open_tree, -100, "/", 1));
    say("move_mount", syscall(SYS_move_mount, -100, "/tmp", -100, "/mnt", 0));
    say("mount_setattr", syscall(SYS_mount_setattr, -100, "/proc/sys", 0, zeros, 32));
    say("pivot_root", syscall(SYS_pivot_root, "/", "/tmp"));
    say("pidfd_getfd", syscall(SYS_pidfd_getfd, 0, 0, 0));
    say("fanotify_init", syscall(SYS_fanotify_init, 0, 0));
    say("sethostname", sethostname("other", 5));
    say("syslog", syscall(SYS_syslog, 3, zeros, sizeof(zeros)));
    say("swapon", syscall(SYS_swapon, "/tmp/x", 0));
    say("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
    say("init_module", syscall(SYS_init_module, zeros, 0, ""));
    say("reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL));
    say("alg socket", socket(38, SOCK_SEQPACKET, 0));
    say("packet socket", socket(AF_PACKET, SOCK_RAW, 0));
    say("raw socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    return 0;
}

/* guest init: what can be had of pid 1, which is a copy of img. */
static int try_init(void)
{
    char byte;
    struct iovec here = {.iov_base = &byte, .iov_len = 1};
    struct iovec there = {.iov_base = (void *)(uintptr_t)0x400000, .iov_len = 1};

    say("attach", ptrace(PTRACE_SEIZE, 1, NULL, NULL));
    say("process_vm_readv", process_vm_readv(1, &here, 1, &there, 1, 0));
    say("memory", open("/proc/1/mem", O_RDONLY | O_CLOEXEC));
    say("environ", open("/proc/1/environ", O_RDONLY | O_CLOEXEC));
    say("maps", open("/proc/1/maps", O_RDONLY | O_CLOEXEC));
    say("fd", open("/proc/1/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    say("root", open("/proc/1/root/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    say("cwd", open("/proc/1/cwd/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    say("exe", open("/proc/1/exe", O_RDWR | O_CLOEXEC));
    say("uid_map", open("/proc/1/uid_map", O_WRONLY | O_CLOEXEC));
    return 0;
}

/* guest write FILE: whether it can be opened for writing. */
static int try_write(const char *path)
{
    printf("%s\n", open(path, O_WRONLY | O_CLOEXEC) < 0 ? strerror(errno) : "opened");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "connect") == 0)
        return try_connect(argv[2]);
    if (argc == 4 && strcmp(argv[1], "tcp") == 0)
        return try_tcp(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "write") == 0)
        return try_write(argv[2]);
    if (argc == 2 && strcmp(argv[1], "ping") == 0)
        return try_ping();
    if (argc == 2 && strcmp(argv[1], "sti") == 0)
        return try_sti();
    if (argc == 2 && strcmp(argv[1], "calls") == 0)
        return try_calls();
    if (argc == 2 && strcmp(argv[1], "kernel") == 0)
        return try_kernel();
    if (argc == 2 && strcmp(argv[1], "init") == 0)
        return try_init();
    /* As a set-id program: who am I now? */
    printf("%u %u\n", getuid(), geteuid());
    return 0;
}

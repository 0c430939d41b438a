/* guest.c - what a test wants to try from inside a step, as a static program the step can run. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
    /* As a set-id program: who am I now? */
    printf("%u %u\n", getuid(), geteuid());
    return 0;
}

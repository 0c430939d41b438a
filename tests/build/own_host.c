/* own_host.c - unshare(2), bind mounts, and a pipe for the result. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/str.h"
#include "tests/build/own_host.h"
#include "tests/lib/test.h"

static int write_file(const char *path, const char *text)
{
    auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? -errno : io_write_full(fd, text, strlen(text));
}

static bool enter(unsigned id)
{
    auto_free char *uids = str_format("%u %u 1", id, geteuid());
    auto_free char *gids = str_format("%u %u 1", id, getegid());

    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
           write_file("/proc/self/setgroups", "deny") == 0 &&
           write_file("/proc/self/uid_map", uids) == 0 &&
           write_file("/proc/self/gid_map", gids) == 0;
}

static bool drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    memset(data, 0, sizeof(data));
    return syscall(SYS_capset, &header, data) == 0;
}

static void run(const struct own_host_cover *covers, own_host_fn *fn, const void *argument,
                void *out, size_t size, bool as_user)
{
    int pipe_fds[2];
    int status = 0;
    pid_t pid;

    check_ok(pipe2(pipe_fds, O_CLOEXEC));
    pid = fork();
    if (pid == 0) {
        bool ok = enter(as_user ? 4321 : 0);

        for (; ok && covers->path; covers++)
            if (access(covers->path, F_OK) == 0)
                ok = mount(covers->with, covers->path, NULL, MS_BIND, NULL) == 0;
        if (ok && as_user)
            ok = drop_capabilities();
        if (!ok)
            _exit(77);
        fn(argument, out);
        _exit(io_write_full(pipe_fds[1], out, size) < 0);
    }
    close(pipe_fds[1]);
    if (io_read_full(pipe_fds[0], out, size) < 0)
        memset(out, 0, size);
    close(pipe_fds[0]);
    check_int(waitpid(pid, &status, 0), pid);
    test_need("userns", !WIFEXITED(status) || WEXITSTATUS(status) != 77,
              "no user namespace with mounts of its own");
    check_int(status, 0);
}

void own_host_run(const struct own_host_cover *covers, own_host_fn *fn, const void *argument,
                  void *out, size_t size)
{
    run(covers, fn, argument, out, size, false);
}

void own_host_run_as_user(const struct own_host_cover *covers, own_host_fn *fn,
                          const void *argument, void *out, size_t size)
{
    run(covers, fn, argument, out, size, true);
}

/* test_serve_confine.c - what a serving thread can no longer do, and what it still can (SECURITY R28).
 *
 * Each claim runs in a process of its own, for there is no way back. Arguments are such that a call
 * which is let through fails otherwise than with EPERM, or succeeds, also for root.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/serve_confine.h"
#include "tests/lib/test.h"

#define NO_FILTER 99

/* The status of a child that runs `fn`, its exit status being the result; confined or not. */
static int in_child(int (*fn)(const void *context), const void *context, bool is_confined)
{
    const struct rlimit no_core = {0};
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        (void)setrlimit(RLIMIT_CORE, &no_core);
        _exit(is_confined && serve_confine() < 0 ? NO_FILTER : fn(context));
    }
    check_int(waitpid(child, &status, 0), child);
    test_need("seccomp", !WIFEXITED(status) || WEXITSTATUS(status) != NO_FILTER,
              "no system call filters here");
    return status;
}

static int exit_in_child(int (*fn)(const void *context), const void *context, bool is_confined)
{
    int status = in_child(fn, context, is_confined);

    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* -- refused -- */

struct call {
    const char *name;
    long number;
    long arguments[5];
};

static int errno_of(const void *context)
{
    const struct call *c = context;
    const long *a = c->arguments;

    return syscall(c->number, a[0], a[1], a[2], a[3], a[4]) < 0 ? errno : 0;
}

#define NOWHERE (-1L) /* as a descriptor, a pointer or an operation: nothing there */
#define CALL(name, ...)                                                                            \
    {                                                                                              \
#name, SYS_##name,                                                                         \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const struct call refused[] = {
    CALL(execve, NOWHERE),
    CALL(execveat, NOWHERE, NOWHERE),
    CALL(ptrace, NOWHERE, 1),
    CALL(process_vm_readv, 0, 0, 0, 0, 0),
    CALL(process_vm_writev, 0, 0, 0, 0, 0),
    CALL(pidfd_open, 1, NOWHERE),
    CALL(pidfd_getfd, NOWHERE),
    CALL(pidfd_send_signal, NOWHERE),
    CALL(kill, 0x3fffffff, 0),
    CALL(tkill, 0x3fffffff, 0),
    CALL(tgkill, 0x3fffffff, 0x3fffffff, 0),
    CALL(personality, 0xffffffff),
    CALL(setsid, 0),
    CALL(clone, SIGCHLD | CLONE_VM),
    CALL(clone, CLONE_THREAD),
    CALL(clone, CLONE_NEWUSER | SIGCHLD),
    CALL(clone, CLONE_VM | CLONE_THREAD | CLONE_NEWNS),
    CALL(socket, NOWHERE),
    CALL(socketpair, NOWHERE),
    CALL(connect, NOWHERE),
    CALL(bind, NOWHERE),
    CALL(listen, NOWHERE),
    CALL(accept, NOWHERE),
    CALL(accept4, NOWHERE),
    CALL(sendto, NOWHERE),
    CALL(sendmsg, NOWHERE),
    CALL(sendmmsg, NOWHERE),
    CALL(recvfrom, NOWHERE),
    CALL(recvmsg, NOWHERE),
    CALL(recvmmsg, NOWHERE),
    CALL(mount, NOWHERE, NOWHERE),
    CALL(umount2, NOWHERE),
    CALL(pivot_root, NOWHERE, NOWHERE),
    CALL(chroot, NOWHERE),
    CALL(open_tree, NOWHERE, NOWHERE, NOWHERE),
    CALL(move_mount, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE),
    CALL(fsopen, NOWHERE, NOWHERE),
    CALL(fsmount, NOWHERE, NOWHERE),
    CALL(mount_setattr, NOWHERE, NOWHERE, NOWHERE),
    CALL(setns, NOWHERE),
    CALL(unshare, 0),
    CALL(open_by_handle_at, NOWHERE, NOWHERE),
    CALL(setuid, NOWHERE),
    CALL(setgid, NOWHERE),
    CALL(setreuid, NOWHERE, NOWHERE),
    CALL(setresuid, NOWHERE, NOWHERE, NOWHERE),
    CALL(setresgid, NOWHERE, NOWHERE, NOWHERE),
    CALL(setgroups, 1, NOWHERE),
    CALL(setfsuid, NOWHERE),
    CALL(capset, NOWHERE, NOWHERE),
    CALL(keyctl, NOWHERE),
    CALL(add_key, NOWHERE),
    CALL(request_key, NOWHERE),
    CALL(bpf, NOWHERE),
    CALL(perf_event_open, NOWHERE),
    CALL(userfaultfd, NOWHERE),
    CALL(io_uring_setup, 0, NOWHERE),
    CALL(io_uring_enter, NOWHERE),
    CALL(io_uring_register, NOWHERE),
    CALL(init_module, NOWHERE),
    CALL(finit_module, NOWHERE),
    CALL(kexec_load, NOWHERE),
    CALL(reboot, 0),
    CALL(swapon, NOWHERE),
    CALL(quotactl, NOWHERE),
    CALL(ioctl, NOWHERE, TIOCSTI),
    CALL(ioctl, NOWHERE, TIOCLINUX),
    CALL(ioctl, NOWHERE, TIOCSTI | 1L << 40),
};

TEST(serve_confine, what_a_file_server_never_needs_is_refused)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        int code = exit_in_child(errno_of, &refused[i], true);

        if (code != EPERM)
            check_fail("%s gives %d, not EPERM", refused[i].name, code);
    }
}

/* clone3 so that the C library goes back to clone; the other so that programs go back to what is
 * older. The second number is that of getpid of x32. */
TEST(serve_confine, calls_that_cannot_be_judged_are_unknown)
{
    const struct call calls[] = {
        {"clone3", SYS_clone3, {0}}, {"x32", 0x40000027, {0}}, {"the future", 100000, {0}}};

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        check_int(exit_in_child(errno_of, &calls[i], true), ENOSYS);
}

#ifdef __x86_64__
/* getpid of i386, whose number is writev here. */
static int call_i386(const void *context)
{
    long result = 20;

    (void)context;
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result == getpid() ? 0 : 1;
}

TEST(serve_confine, a_call_of_another_architecture_ends_the_process)
{
    int status;

    test_need("ia32", exit_in_child(call_i386, NULL, false) == 0, "no 32-bit programs here");
    status = in_child(call_i386, NULL, true);
    check_true(WIFSIGNALED(status));
    check_int(WTERMSIG(status), SIGSYS);
}
#endif

/* -- allowed -- */

static void *confine_thread(void *context)
{
    *(int *)context = serve_confine() < 0                           ? NO_FILTER
                      : syscall(SYS_socket, -1, SOCK_STREAM, 0) < 0 ? errno
                                                                    : 0;
    return NULL;
}

static void *note_thread(void *context)
{
    *(int *)context = syscall(SYS_socket, -1, SOCK_STREAM, 0) < 0 ? errno : 0;
    return NULL;
}

static int start_thread(const void *context)
{
    pthread_t thread;
    int code = 0;

    (void)context;
    if (pthread_create(&thread, NULL, note_thread, &code) != 0)
        return 1;
    (void)pthread_join(thread, NULL);
    return code;
}

TEST(serve_confine, a_confined_thread_starts_threads_that_are_confined)
{
    check_int(exit_in_child(start_thread, NULL, true), EPERM);
    check_int(exit_in_child(start_thread, NULL, false), EAFNOSUPPORT);
}

static int start_confined(const void *context)
{
    pthread_t thread;
    int code = 0;

    (void)context;
    if (pthread_create(&thread, NULL, confine_thread, &code) != 0)
        return 1;
    (void)pthread_join(thread, NULL);
    if (code != EPERM)
        return code;
    if (syscall(SYS_socket, -1, SOCK_STREAM, 0) == 0 || errno == EPERM)
        return 2;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? 0 : 3;
}

TEST(serve_confine, the_other_threads_are_as_they_were)
{
    check_int(exit_in_child(start_confined, NULL, false), 0);
}

/* What the server and the libraries in it call; the number of the first that fails. */
static int work(const void *context)
{
    const char *directory = context;
    static const struct sched_param none;
    uint64_t one = 1;
    cpu_set_t set;
    char byte;
    int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = openat(dir_fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int event_fd = eventfd(0, EFD_CLOEXEC);
    void *map;

    if (dir_fd < 0 || fd < 0 || event_fd < 0)
        return 1;
    if (pwrite(fd, "abc", 3, 0) != 3 || pread(fd, &byte, 1, 1) != 1 || byte != 'b')
        return 2;
    if (fallocate(fd, 0, 0, 4096) < 0 && errno != EOPNOTSUPP)
        return 3;
    if (ftruncate(fd, 100) < 0 || fsync(fd) < 0 || fchmod(fd, 0644) < 0)
        return 4;
    if (renameat(dir_fd, "file", dir_fd, "other") < 0 || unlinkat(dir_fd, "other", 0) < 0)
        return 5;
    if (write(event_fd, &one, sizeof(one)) != sizeof(one))
        return 6;
    map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || munmap(map, 1 << 20) < 0)
        return 7;
    if (sched_getaffinity(0, sizeof(set), &set) < 0 || sched_setaffinity(0, sizeof(set), &set) < 0)
        return 8;
    if (sched_setscheduler(0, SCHED_IDLE, &none) < 0)
        return 9;
    if (fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK}) < 0)
        return 10;
    if (dup3(fd, event_fd, O_CLOEXEC) < 0 || close(fd) < 0 || ioctl(-1, FIONREAD, &fd) != -1)
        return 11;
    return errno == EBADF ? 0 : 12;
}

TEST(serve_confine, what_a_file_server_needs_works)
{
    check_int(exit_in_child(work, test_dir(), true), 0);
}

static int give_up(const void *context)
{
    (void)context;
    abort();
}

TEST(serve_confine, abort_still_ends_the_process)
{
    int status = in_child(give_up, NULL, true);

    check_true(WIFSIGNALED(status));
    check_int(WTERMSIG(status), SIGABRT);
}

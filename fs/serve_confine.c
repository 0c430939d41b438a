/* serve_confine.c - the system call filter of the serving threads, a list of what is refused.
 *
 * Written by hand, because libseccomp's door is builder's, for the filter of steps. That one names
 * what is allowed; here it is what is refused, for what the C library, SQLite and sanitizers need to
 * read and write files is theirs to change, and no stranger's program runs in these threads.
 *
 * Not for what files can be opened: that would take Landlock, whose rules need the directories of the
 * store, and those are the store's to know.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/serve_confine.h"

#include "fs/base/banned.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#define OLD_CALLS SYS_vhangup, SYS_fork, SYS_vfork, SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#define OLD_CALLS SYS_vhangup
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#define OLD_CALLS SYS_vhangup
#endif

#ifdef ARCHITECTURE

/* mseal, of Linux 6.10. Numbers from 424 on are the same everywhere; those of x32 are far beyond. */
#define NEWEST 462u
/* A new thread has both of these and nothing of the rest. */
#define CLONE_NEEDED (CLONE_VM | CLONE_THREAD)
#define CLONE_REFUSED                                                                              \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

/* Most of what a server calls; first, for kernels before 5.11 walk the list at every call. */
static const uint16_t frequent[] = {SYS_read, SYS_write, SYS_pread64, SYS_pwrite64};

static const uint16_t refused[] = {
    /* programs and processes */
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp,
    SYS_pidfd_open, SYS_pidfd_getfd, SYS_pidfd_send_signal, SYS_process_madvise,
    SYS_process_mrelease, SYS_kill, SYS_tkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
    SYS_migrate_pages, SYS_move_pages, SYS_setsid, SYS_setpgid, SYS_personality,
    /* the network, and descriptors that come over a socket */
    SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4,
    SYS_sendto, SYS_sendmsg, SYS_sendmmsg, SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg,
    /* mounts, namespaces, files by other ways than their names */
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree, SYS_move_mount, SYS_fsopen,
    SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr, SYS_setns, SYS_unshare,
    SYS_open_by_handle_at, SYS_fanotify_init, SYS_quotactl, SYS_quotactl_fd, SYS_swapon,
    SYS_swapoff, SYS_acct,
    /* who one is */
    SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setgroups,
    SYS_setfsuid, SYS_setfsgid, SYS_capset, SYS_keyctl, SYS_add_key, SYS_request_key,
    /* the kernel, and parts of it that few programs use and many faults were found in */
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter,
    SYS_io_uring_register, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load,
    SYS_reboot, SYS_syslog, SYS_sethostname, SYS_setdomainname, SYS_settimeofday, SYS_adjtimex,
    SYS_clock_settime, SYS_clock_adjtime, SYS_kexec_file_load, OLD_CALLS};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define LENGTH_MAX (2 * (COUNT_OF(frequent) + COUNT_OF(refused)) + 32)

struct program {
    struct sock_filter items[LENGTH_MAX];
    uint16_t count;
};

static void add(struct program *p, const struct sock_filter *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        p->items[p->count++] = items[i];
}

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, (action))
#define ALLOW ANSWER(SECCOMP_RET_ALLOW)
#define REFUSE(code) ANSWER(SECCOMP_RET_ERRNO | (code))
/* Jumps over so many instructions when the comparison is true, or when it is not. */
#define SKIP_IF(how, value, count) BPF_JUMP(BPF_JMP | (how) | BPF_K, (value), (count), 0)
#define SKIP_UNLESS(how, value, count) BPF_JUMP(BPF_JMP | (how) | BPF_K, (value), 0, (count))

static void add_numbers(struct program *p, const uint16_t *numbers, size_t count, uint32_t action)
{
    for (size_t i = 0; i < count; i++) {
        const struct sock_filter items[] = {SKIP_UNLESS(BPF_JEQ, numbers[i], 1), ANSWER(action)};

        add(p, items, COUNT_OF(items));
    }
}

/* Arguments are compared in their lower halves, all that the kernel looks at of these, and all of
 * the architectures above have those first. */
static void build(struct program *p)
{
    const struct sock_filter begin[] = {
        LOAD(arch),
        SKIP_IF(BPF_JEQ, ARCHITECTURE, 1),
        ANSWER(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
    };
    const struct sock_filter unknown[] = {
        SKIP_UNLESS(BPF_JGT, NEWEST, 1),
        REFUSE(ENOSYS),
        /* Its flags are behind a pointer. The C library goes back to clone. */
        SKIP_UNLESS(BPF_JEQ, SYS_clone3, 1),
        REFUSE(ENOSYS),
    };
    const struct sock_filter on_clone[] = {
        SKIP_UNLESS(BPF_JEQ, SYS_clone, 5),
        LOAD(args[0]),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, CLONE_NEEDED | CLONE_REFUSED),
        SKIP_UNLESS(BPF_JEQ, CLONE_NEEDED, 1),
        ALLOW,
        REFUSE(EPERM),
    };
    const struct sock_filter on_tgkill[] = {
        SKIP_UNLESS(BPF_JEQ, SYS_tgkill, 4),
        LOAD(args[0]),
        SKIP_UNLESS(BPF_JEQ, (uint32_t)getpid(), 1), /* abort(3) signals itself */
        ALLOW,
        REFUSE(EPERM),
    };
    const struct sock_filter on_ioctl[] = {
        SKIP_UNLESS(BPF_JEQ, SYS_ioctl, 4),
        LOAD(args[1]),
        SKIP_IF(BPF_JEQ, TIOCSTI, 1), /* these two type on the caller's terminal */
        SKIP_UNLESS(BPF_JEQ, TIOCLINUX, 1),
        REFUSE(EPERM),
        ALLOW,
    };

    p->count = 0;
    add(p, begin, COUNT_OF(begin));
    add_numbers(p, frequent, COUNT_OF(frequent), SECCOMP_RET_ALLOW);
    add_numbers(p, refused, COUNT_OF(refused), SECCOMP_RET_ERRNO | EPERM);
    add(p, unknown, COUNT_OF(unknown));
    add(p, on_clone, COUNT_OF(on_clone));
    add(p, on_tgkill, COUNT_OF(on_tgkill));
    add(p, on_ioctl, COUNT_OF(on_ioctl));
}

int serve_confine(void)
{
    struct program p;
    struct sock_fprog program = {.filter = p.items};
    long r;

    build(&p);
    program.len = p.count;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    /* The flag: not slower for speculation's sake, as threads with a filter once were. It is of Linux
     * 4.17; an older kernel may have filters all the same. */
    r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
    if (r < 0 && errno == EINVAL)
        r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
    return r < 0 ? -errno : 0;
}

#else

int serve_confine(void)
{
    return -EOPNOTSUPP;
}

#endif

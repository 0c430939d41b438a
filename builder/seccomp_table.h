/* seccomp_table.h - the policy for RUN as data: which system calls a step may make.
 *
 * SECURITY section 3, in the order it lists them. Included by seccomp.c and by its test, nobody
 * else. Names the running architecture does not have are skipped. What is in no table (clone3 and
 * io_uring among it) answers ENOSYS.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Always allowed. */
static const char *const seccomp_allowed[] = {
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "preadv2", "pwritev",
    "pwritev2", "lseek", "open", "openat", "openat2", "creat", "close", "close_range", "dup",
    "dup2", "dup3", "fcntl", "flock", "fsync", "fdatasync", "sync", "syncfs", "sync_file_range",
    "truncate", "ftruncate", "fallocate", "fadvise64", "readahead", "sendfile", "splice", "tee",
    "vmsplice", "copy_file_range", "pipe", "pipe2", "stat", "lstat", "fstat", "newfstatat", "statx",
    "statfs", "fstatfs", "access", "faccessat", "faccessat2", "chmod", "fchmod", "fchmodat",
    "fchmodat2", "chown", "lchown", "fchown", "fchownat", "umask", "utime", "utimes", "futimesat",
    "utimensat", "mkdir", "mkdirat", "rmdir", "mknod", "mknodat", "link", "linkat", "symlink",
    "symlinkat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "readlink", "readlinkat",
    "getdents", "getdents64", "chdir", "fchdir", "getcwd", "chroot", "name_to_handle_at",
    "inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch", "getxattr",
    "lgetxattr", "fgetxattr", "setxattr", "lsetxattr", "fsetxattr", "listxattr", "llistxattr",
    "flistxattr", "removexattr", "lremovexattr", "fremovexattr", "brk", "mmap", "munmap", "mremap",
    "mprotect", "msync", "madvise", "mincore", "mlock", "mlock2", "mlockall", "munlock",
    "munlockall", "membarrier", "memfd_create", "memfd_secret", "remap_file_pages", "pkey_alloc",
    "pkey_free", "pkey_mprotect", "map_shadow_stack", "process_mrelease", "cachestat", "getrandom",
    "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "kill", "tkill",
    "tgkill", "pidfd_open", "pidfd_send_signal", "ptrace", "process_vm_readv", "process_vm_writev",
    "getpid", "getppid", "gettid", "getpgid", "getpgrp", "setpgid", "getsid", "setsid", "prctl",
    "arch_prctl", "restart_syscall", "set_tid_address", "rseq", "seccomp", "uname", "sysinfo",
    "get_robust_list", "set_robust_list", "get_thread_area", "set_thread_area",
    "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "getuid", "geteuid",
    "getgid", "getegid", "getresuid", "getresgid", "getgroups", "setuid", "setgid", "setreuid",
    "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups", "capget", "capset",
    "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_setparam",
    "sched_getscheduler", "sched_setscheduler", "sched_getattr", "sched_setattr",
    "sched_get_priority_max", "sched_get_priority_min", "sched_rr_get_interval", "getpriority",
    "setpriority", "ioprio_get", "ioprio_set", "getrlimit", "setrlimit", "prlimit64", "getrusage",
    "times", "getcpu", "rt_sigaction", "rt_sigprocmask", "rt_sigpending", "rt_sigqueueinfo",
    "rt_tgsigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "sigaltstack",
    "signalfd", "signalfd4", "pause", "alarm", "time", "gettimeofday", "clock_gettime",
    "clock_getres", "clock_nanosleep", "nanosleep", "adjtimex", "clock_adjtime", "getitimer",
    "setitimer", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime",
    "timer_settime", "timerfd_create", "timerfd_gettime", "timerfd_settime", "futex", "futex_wait",
    "futex_wake", "futex_waitv", "futex_requeue", "eventfd", "eventfd2", "epoll_create",
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll",
    "select", "pselect6", "io_setup", "io_submit", "io_getevents", "io_pgetevents", "io_cancel",
    "io_destroy", "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop", "semctl",
    "msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "mq_notify", "mq_getsetattr",
    "mq_timedsend", "mq_timedreceive", "socketpair", "bind", "connect", "listen", "accept",
    "accept4", "getsockname", "getpeername", "getsockopt", "setsockopt", "sendto", "recvfrom",
    "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "shutdown",
};

/* Allowed, but younger than libseccomp 2.5 knows; one number on all architectures. */
static const int seccomp_allowed_numbers[] = {
    462, /* mseal */
    463, /* setxattrat */
    464, /* getxattrat */
    465, /* listxattrat */
    466, /* removexattrat */
};

/* Refused with EPERM, as a process without the capability would be. */
static const char *const seccomp_refused[] = {
    "acct", "add_key", "bpf", "clock_settime", "delete_module", "fanotify_init", "finit_module",
    "fsconfig", "fsmount", "fsopen", "fspick", "get_mempolicy", "init_module", "ioperm", "iopl",
    "kcmp", "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "mbind", "migrate_pages",
    "mount", "mount_setattr", "move_mount", "move_pages", "open_by_handle_at", "open_tree",
    "perf_event_open", "pidfd_getfd", "pivot_root", "process_madvise", "quotactl", "quotactl_fd",
    "reboot", "request_key", "set_mempolicy", "set_mempolicy_home_node", "setdomainname",
    "sethostname", "setns", "settimeofday", "swapoff", "swapon", "syslog", "umount2", "unshare",
    "userfaultfd", "vhangup",
};

/* socket(2), argument 0: families that are allowed; others answer EAFNOSUPPORT. */
static const uint32_t seccomp_socket_families[] = {
    1,  /* AF_UNIX */
    2,  /* AF_INET */
    10, /* AF_INET6 */
    16, /* AF_NETLINK */
};

/* ioctl(2), argument 1: requests that are refused; they type into somebody's terminal. */
static const uint32_t seccomp_ioctl_refused[] = {
    0x5412, /* TIOCSTI */
    0x541c, /* TIOCLINUX */
};

/* personality(2), argument 0: values that are allowed. */
static const uint32_t seccomp_personalities[] = {
    0x00000000, /* PER_LINUX */
    0x00000008, /* PER_LINUX32 */
    0x00020000, /* UNAME26 */
    0x00020008, /* both */
    0x00040000, /* ADDR_NO_RANDOMIZE: debuggers, thread sanitizer */
    0xffffffff, /* ask only */
};

/* clone(2), argument 0: every flag that would make a namespace. */
#define SECCOMP_CLONE_REFUSED 0x7e020000u

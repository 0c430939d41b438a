/* test_seccomp.c - the compiled filter does what SECURITY section 3 says, call by call.
 *
 * The program is run by an interpreter of classic BPF written from the kernel's documentation
 * (networking/filter.rst), and a few calls are made for real in a child.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <seccomp.h>

#include "builder/sandbox/seccomp.h"
#include "builder/sandbox/seccomp_table.h"
#include "tests/lib/test.h"

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#define FOREIGN_ARCH AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#define FOREIGN_ARCH AUDIT_ARCH_ARM
#endif

#define REFUSE(code) (SECCOMP_RET_ERRNO | (code))

/* ---- an interpreter ---- */

static bool jumps(unsigned op, uint32_t a, uint32_t k)
{
    switch (op) {
    case BPF_JEQ:
        return a == k;
    case BPF_JGT:
        return a > k;
    case BPF_JGE:
        return a >= k;
    case BPF_JSET:
        return (a & k) != 0;
    default:
        check_fail("unknown jump %#x", op);
    }
}

static uint32_t run(const struct seccomp_filter *f, const struct seccomp_data *data)
{
    uint32_t a = 0;

    for (size_t at = 0; at < f->count; at++) {
        const struct sock_filter *i = &f->items[at];

        switch (BPF_CLASS(i->code)) {
        case BPF_LD:
            check_int(i->code, BPF_LD | BPF_W | BPF_ABS);
            memcpy(&a, (const char *)data + i->k, sizeof(a));
            break;
        case BPF_ALU:
            check_int(i->code, BPF_ALU | BPF_AND | BPF_K);
            a &= i->k;
            break;
        case BPF_JMP:
            if (BPF_OP(i->code) == BPF_JA)
                at += i->k;
            else
                at += jumps(BPF_OP(i->code), a, i->k) ? i->jt : i->jf;
            break;
        case BPF_RET:
            return i->k;
        default:
            check_fail("unknown instruction %#x", i->code);
        }
    }
    check_fail("the program has no end");
}

static struct seccomp_filter filter;

static uint32_t judge(int number, unsigned argument, uint64_t value)
{
    struct seccomp_data data = {.nr = number, .arch = NATIVE_ARCH};

    if (filter.count == 0)
        check_ok(seccomp_filter_build(&filter, &test_err));
    data.args[argument] = value;
    return run(&filter, &data);
}

static int number_of(const char *name)
{
    return seccomp_syscall_resolve_name(name);
}

/* ---- the policy ---- */

TEST(seccomp, every_name_of_the_table_is_known)
{
    /* A misspelt name would be skipped in silence. x86_64 has every call that was ever made. */
#ifdef __x86_64__
    for (size_t i = 0; i < sizeof(seccomp_allowed) / sizeof(seccomp_allowed[0]); i++)
        if (number_of(seccomp_allowed[i]) < 0)
            check_fail("'%s' is not a system call", seccomp_allowed[i]);
    for (size_t i = 0; i < sizeof(seccomp_refused) / sizeof(seccomp_refused[0]); i++)
        if (number_of(seccomp_refused[i]) < 0)
            check_fail("'%s' is not a system call", seccomp_refused[i]);
#else
    test_need("x86_64", false, "only x86_64 has every call");
#endif
}

/* F16: all numbers, against the tables. */
TEST(seccomp, each_number_is_judged_as_its_table_says)
{
    static const char *const special[] = {"clone", "socket", "ioctl", "personality"};

    for (int number = 0; number < 600; number++) {
        auto_free char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
        uint32_t expected = REFUSE(ENOSYS);
        bool is_special = false;

        for (size_t i = 0; name && i < sizeof(special) / sizeof(special[0]); i++)
            is_special |= strcmp(name, special[i]) == 0;
        for (size_t i = 0; i < sizeof(seccomp_allowed) / sizeof(seccomp_allowed[0]); i++)
            if (name && strcmp(name, seccomp_allowed[i]) == 0)
                expected = SECCOMP_RET_ALLOW;
        for (size_t i = 0; i < sizeof(seccomp_allowed_numbers) / sizeof(seccomp_allowed_numbers[0]);
             i++)
            if (number == seccomp_allowed_numbers[i])
                expected = SECCOMP_RET_ALLOW;
        for (size_t i = 0; i < sizeof(seccomp_refused) / sizeof(seccomp_refused[0]); i++)
            if (name && strcmp(name, seccomp_refused[i]) == 0)
                expected = REFUSE(EPERM);
        if (!is_special && judge(number, 0, 0) != expected)
            check_fail("%s (%d) is judged %#x, not %#x", name ? name : "?", number,
                       judge(number, 0, 0), expected);
    }
}

TEST(seccomp, calls_that_escape_are_refused)
{
    static const char *const names[] = {"mount", "unshare", "setns",       "pivot_root",
                                        "bpf",   "keyctl",  "userfaultfd", "open_by_handle_at",
                                        "fsopen"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        check_int(judge(number_of(names[i]), 0, 0), REFUSE(EPERM));
}

/* libc, Go and Rust probe these and fall back only on ENOSYS. */
TEST(seccomp, calls_with_a_fallback_are_unknown)
{
    static const char *const names[] = {"clone3", "io_uring_setup", "io_uring_enter",
                                        "io_uring_register"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        check_int(judge(number_of(names[i]), 0, 0), REFUSE(ENOSYS));
    check_int(judge(99999, 0, 0), REFUSE(ENOSYS));
}

/* Only four families, and only by the 32 bits the kernel looks at: 40 is AF_VSOCK, 38 AF_ALG. */
TEST(seccomp, sockets_of_other_families_are_refused_whatever_the_upper_bits)
{
    int number = number_of("socket");

    for (uint64_t family = 0; family < 4096; family++) {
        bool allowed = family == 1 || family == 2 || family == 10 || family == 16;

        for (uint64_t upper = 0; upper < 4; upper++)
            check_int(judge(number, 0, upper << 32 | family),
                      allowed ? SECCOMP_RET_ALLOW : REFUSE(EAFNOSUPPORT));
    }
    check_int(judge(number, 0, 0xffffffffu), REFUSE(EAFNOSUPPORT));
    check_int(judge(number, 0, 0x80000002u), REFUSE(EAFNOSUPPORT));
}

TEST(seccomp, typing_into_a_terminal_is_refused_whatever_the_upper_bits)
{
    int number = number_of("ioctl");

    check_int(judge(number, 1, 0x5412), REFUSE(EPERM));
    check_int(judge(number, 1, 0x541c), REFUSE(EPERM));
    check_int(judge(number, 1, 0x100005412), REFUSE(EPERM));
    check_int(judge(number, 1, 0xffffffff0000541c), REFUSE(EPERM));
    for (uint64_t request = 0x5400; request < 0x5480; request++)
        if (request != 0x5412 && request != 0x541c)
            check_int(judge(number, 1, request), SECCOMP_RET_ALLOW);
    for (unsigned bit = 0; bit < 32; bit++) {
        check_int(judge(number, 1, 0x5412 ^ 1u << bit), SECCOMP_RET_ALLOW);
        check_int(judge(number, 1, 0x541c ^ 1u << bit), SECCOMP_RET_ALLOW);
    }
}

TEST(seccomp, clone_makes_processes_and_threads_but_no_namespace)
{
    int number = number_of("clone");

    check_int(judge(number, 0, 0x11), SECCOMP_RET_ALLOW);      /* fork */
    check_int(judge(number, 0, 0x3d0f00), SECCOMP_RET_ALLOW);  /* pthread_create */
    check_int(judge(number, 0, 0x1200011), SECCOMP_RET_ALLOW); /* with a pidfd: Go */
    check_int(judge(number, 0, 0x4111), SECCOMP_RET_ALLOW);    /* vfork */
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t flag = 1u << bit;
        bool is_namespace = flag == CLONE_NEWNS || flag == CLONE_NEWCGROUP ||
                            flag == CLONE_NEWUTS || flag == CLONE_NEWIPC || flag == CLONE_NEWUSER ||
                            flag == CLONE_NEWPID || flag == CLONE_NEWNET;

        check_int(judge(number, 0, flag | 0x11), is_namespace ? REFUSE(EPERM) : SECCOMP_RET_ALLOW);
        check_int(judge(number, 0, UINT64_C(1) << 32 | flag),
                  is_namespace ? REFUSE(EPERM) : SECCOMP_RET_ALLOW);
    }
    check_int(judge(number, 0, 0x7e020000), REFUSE(EPERM));
}

TEST(seccomp, personality_knows_six_values)
{
    static const uint32_t allowed[] = {0, 8, 0x20000, 0x20008, 0x40000, 0xffffffff};
    int number = number_of("personality");

    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        check_int(judge(number, 0, allowed[i]), SECCOMP_RET_ALLOW);
    check_int(judge(number, 0, 0x400000), REFUSE(EPERM)); /* READ_IMPLIES_EXEC */
    check_int(judge(number, 0, 1), REFUSE(EPERM));
    check_int(judge(number, 0, 0x100000001), REFUSE(EPERM));
}

TEST(seccomp, a_call_of_another_abi_kills)
{
    struct seccomp_data data = {.nr = 1, .arch = FOREIGN_ARCH};

    (void)judge(0, 0, 0); /* builds the filter */
    check_int(run(&filter, &data), SECCOMP_RET_KILL_PROCESS);
    data.nr = 102; /* socketcall */
    check_int(run(&filter, &data), SECCOMP_RET_KILL_PROCESS);
#ifdef __x86_64__
    data.arch = NATIVE_ARCH;
    data.nr = 0x40000000 | 1; /* x32 */
    check_int(run(&filter, &data), SECCOMP_RET_KILL_PROCESS);
#endif
}

TEST(seccomp, a_complement_is_everything_else_and_never_twice)
{
    static const uint32_t values[] = {0, 5, 6, 0x80000000, 0xffffffff};
    struct seccomp_cube cubes[SECCOMP_CUBES_MAX];
    size_t count = seccomp_complement(values, 5, cubes);
    uint64_t covered = 0;

    for (size_t i = 0; i < count; i++) {
        covered += UINT64_C(1) << (32 - __builtin_popcount(cubes[i].mask));
        for (size_t k = 0; k < 5; k++)
            check_true((values[k] & cubes[i].mask) != cubes[i].value);
        for (size_t k = 0; k < i; k++) {
            uint32_t both = cubes[i].mask & cubes[k].mask;

            check_true((cubes[i].value & both) != (cubes[k].value & both));
        }
    }
    check_int(covered, (UINT64_C(1) << 32) - 5);
}

/* ---- the kernel's own judgement ---- */

static int in_child(int (*fn)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_filter_load(&filter) < 0)
            _exit(99);
        _exit(fn());
    }
    check_int(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int make_calls(void)
{
    if (socket(38, SOCK_SEQPACKET, 0) != -1 || errno != EAFNOSUPPORT)
        return 1;
    if (syscall(SYS_socket, UINT64_C(0x100000028), SOCK_STREAM, 0) != -1 || errno != EAFNOSUPPORT)
        return 2;
    if (unshare(CLONE_NEWUSER) != -1 || errno != EPERM)
        return 3;
    if (syscall(SYS_ioctl, 0, UINT64_C(0x100005412), "x") != -1 || errno != EPERM)
        return 4;
    if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS)
        return 5;
    if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
        return 6;
    return 0;
}

#ifdef __x86_64__
static int call_as_i386(void)
{
    long result;

    /* getpid by the 32-bit table, whose 20 is writev in ours. */
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    return result > 0 ? 0 : 1;
}
#endif

TEST(seccomp, the_kernel_agrees)
{
    (void)judge(0, 0, 0); /* builds the filter */
    check_int(in_child(make_calls), 0);
#ifdef __x86_64__
    check_int(in_child(call_as_i386), 256 + SIGSYS);
#endif
}

/* test_codec_processor.c - compressed bytes do not depend on the processor's extensions.
 *
 * The libraries choose their code by the CPUID instruction. A child has it trap (arch_prctl(2),
 * ARCH_SET_CPUID) and answers for a processor that lacks what the real one may have. Nothing here
 * compresses in the parent, for the choice is made once a process.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "fs/base/str.h"
#include "fs/codec_internal.h"
#include "tests/lib/test.h"

#ifdef __x86_64__
#include <asm/prctl.h>
#include <cpuid.h>

#define PIECE_SIZE ((size_t)1 << 20)
#define STATUS_NO_TRAP 3

/* What a processor has not got. */
struct processor {
    uint32_t leaf1_ecx; /* bits to be 0 */
    uint32_t leaf7_ebx;
    bool has_no_leaf7; /* nor anything behind it */
};

#define AVX_ALL                                                                                    \
    (1u << 12 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29) /* FMA XSAVE OSXSAVE AVX F16C */
#define SSE42 (1u << 20)
#define CARRYLESS (1u << 1)
#define AVX512_ALL                                                                                 \
    (1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31)
#define AVX2_AND_BMI (1u << 5 | 1u << 3 | 1u << 8)

static const struct processor processors[] = {
    {.has_no_leaf7 = true, .leaf1_ecx = AVX_ALL | CARRYLESS},
    {.has_no_leaf7 = true, .leaf1_ecx = AVX_ALL},
    {.has_no_leaf7 = true},
    {.leaf7_ebx = AVX512_ALL | AVX2_AND_BMI},
    {.leaf7_ebx = AVX512_ALL},
    {0}, /* the real one */
};
#define PROCESSOR_COUNT (sizeof(processors) / sizeof(processors[0]))

static struct processor played;

static bool set_trap(bool on)
{
    return syscall(SYS_arch_prctl, ARCH_SET_CPUID, on ? 0ul : 1ul) == 0;
}

/* Answers the CPUID that trapped. */
static void answer(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *at;
    uint32_t leaf = (uint32_t)registers[REG_RAX];
    uint32_t a = 0;
    uint32_t b = 0;
    uint32_t c = 0;
    uint32_t d = 0;

    (void)info;
    memcpy(&at, &registers[REG_RIP], sizeof(at));
    if (number != SIGSEGV || at[0] != 0x0F || at[1] != 0xA2)
        abort();
    (void)set_trap(false);
    __cpuid_count(leaf, (uint32_t)registers[REG_RCX], a, b, c, d);
    (void)set_trap(true);
    if (leaf == 0 && played.has_no_leaf7)
        a = 6;
    if (leaf == 1)
        c &= ~played.leaf1_ecx;
    if (leaf == 7 && played.has_no_leaf7)
        a = b = c = d = 0;
    if (leaf == 7) {
        b &= ~played.leaf7_ebx;
        c = played.leaf7_ebx & AVX512_ALL ? 0
                                          : c; /* the rest of AVX-512, and wide multiplication */
    }
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

/* -- what is compressed -- */

/* Text, noise, and repetitions near and far. */
static void make_data(uint8_t *out)
{
    uint64_t seed = 88172645463325252u;
    size_t at = 0;

    while (at < PIECE_SIZE) {
        size_t size;

        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        size = (seed >> 8 & 511) + 1;
        if (size > PIECE_SIZE - at)
            size = PIECE_SIZE - at;
        for (size_t i = 0; i < size; i++) {
            size_t far = 1 + (seed >> 20) % 40000;

            if (seed % 3 == 0 && at + i >= far)
                out[at + i] = out[at + i - far];
            else if (seed % 3 == 1)
                out[at + i] = (uint8_t) "etaoinsh"[seed >> (i % 56) & 7];
            else
                out[at + i] = (uint8_t)((seed >> (i % 48)) * (i + 1));
        }
        at += size;
    }
}

struct compressed { /* shared with the child */
    size_t size;
    uint8_t bytes[2 * PIECE_SIZE];
};

typedef size_t make_fn(struct member_maker *m, const uint8_t *in, size_t in_size, uint8_t *out,
                       size_t capacity);

static _Noreturn void child(const struct processor *p, make_fn *make, struct compressed *out)
{
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO};
    struct member_maker *m = member_maker_new(6);
    uint8_t *data = mem_alloc(PIECE_SIZE);

    make_data(data);
    played = *p;
    if (sigaction(SIGSEGV, &action, NULL) < 0 || !set_trap(true))
        _exit(STATUS_NO_TRAP);
    out->size = make(m, data, PIECE_SIZE, out->bytes, member_bound(PIECE_SIZE));
    out->size += make(m, data, 4999, out->bytes + out->size, member_bound(4999));
    (void)set_trap(false);
    _exit(0);
}

static struct compressed *compress_on(const struct processor *p, make_fn *make)
{
    struct compressed *out =
        mmap(NULL, sizeof(*out), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    pid_t pid;

    check_true(out != MAP_FAILED);
    pid = fork();
    check_ok(pid);
    if (pid == 0)
        child(p, make, out);
    check_int(waitpid(pid, &status, 0), pid);
    test_need("cpuid", !WIFEXITED(status) || WEXITSTATUS(status) != STATUS_NO_TRAP,
              "the processor cannot have CPUID trap");
    check_int(status, 0);
    check_true(out->size > 1000 && out->size < PIECE_SIZE);
    return out;
}

static void check_same_everywhere(make_fn *make)
{
    struct compressed *first = compress_on(&processors[0], make);

    for (size_t i = 1; i < PROCESSOR_COUNT; i++) {
        struct compressed *other = compress_on(&processors[i], make);

        check_bytes(other->bytes, other->size, first->bytes, first->size);
        munmap(other, sizeof(*other));
    }
    munmap(first, sizeof(*first));
}

/* The promise of codec.h, "on every x86-64 that has SSE4.2". */
TEST(codec_processor, fast_members_are_the_same_wherever_there_is_sse42)
{
    test_need("sse4.2", member_is_fast_by_isal(), "this processor is older");
    check_same_everywhere(member_make_fast);
}

TEST(codec_processor, members_of_a_level_are_the_same_everywhere)
{
    check_same_everywhere(member_make);
}

/* The opposite: these processors are believed, and without the instruction the library's bytes are
 * others. So what is fast must not be left to it there. */
TEST(codec_processor, the_library_alone_gives_other_bytes_without_sse42)
{
    const struct processor old = {.has_no_leaf7 = true, .leaf1_ecx = AVX_ALL | CARRYLESS | SSE42};
    struct compressed *without;
    struct compressed *with;

    test_need("sse4.2", member_is_fast_by_isal(), "this processor is older");
    without = compress_on(&old, member_make_fast);
    with = compress_on(&processors[0], member_make_fast);
    check_true(without->size != with->size || memcmp(without->bytes, with->bytes, with->size) != 0);
    munmap(without, sizeof(*without));
    munmap(with, sizeof(*with));
}

#else

TEST(codec_processor, fast_members_are_the_same_wherever_there_is_sse42)
{
    test_need("x86_64", false, "only x86-64 has CPUID");
}

#endif

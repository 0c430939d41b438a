/* seccomp.c - the table of seccomp_table.h as a BPF program. */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

#include "builder/sandbox/seccomp.h"
#include "builder/sandbox/seccomp_table.h"
#include "fs/base/io.h"

#include "fs/base/banned.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

size_t seccomp_complement(const uint32_t *values, size_t count, struct seccomp_cube *out)
{
    size_t used = 0;

    /* Walking down the binary trie of the values: wherever a value goes one way and no value with
     * the same upper bits goes the other, the whole other side is one cube. */
    for (unsigned bit = 32; bit-- > 0;) {
        uint32_t upper = bit == 31 ? 0 : UINT32_MAX << (bit + 1);

        for (size_t i = 0; i < count; i++) {
            struct seccomp_cube cube = {.mask = upper | 1u << bit,
                                        .value = (values[i] & upper) | (~values[i] & 1u << bit)};
            bool taken = false;

            for (size_t k = 0; k < count; k++)
                if ((values[k] & cube.mask) == cube.value)
                    taken = true;
            for (size_t k = 0; k < used; k++)
                if (out[k].mask == cube.mask && out[k].value == cube.value)
                    taken = true;
            if (!taken)
                out[used++] = cube;
        }
    }
    return used;
}

/* Calls this architecture does not have resolve to a negative number, and are skipped. */
static int add_names(scmp_filter_ctx context, const char *const *names, size_t count,
                     uint32_t action)
{
    for (size_t i = 0; i < count; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        int r = number < 0 ? 0 : seccomp_rule_add(context, action, number, 0);

        if (r < 0)
            return r;
    }
    return 0;
}

static int add_masked(scmp_filter_ctx context, uint32_t action, int number, unsigned argument,
                      uint32_t mask, uint32_t value)
{
    const struct scmp_arg_cmp compare = {
        .arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};

    return seccomp_rule_add_array(context, action, number, 1, &compare);
}

/* `inside` for the listed values of an argument, `outside` for all others. */
static int add_choice(scmp_filter_ctx context, int number, unsigned argument,
                      const uint32_t *values, size_t count, uint32_t inside, uint32_t outside)
{
    struct seccomp_cube cubes[SECCOMP_CUBES_MAX];
    size_t cube_count = seccomp_complement(values, count, cubes);
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++)
        r = add_masked(context, inside, number, argument, UINT32_MAX, values[i]);
    for (size_t i = 0; i < cube_count && r == 0; i++)
        r = add_masked(context, outside, number, argument, cubes[i].mask, cubes[i].value);
    return r;
}

static int add_clone(scmp_filter_ctx context)
{
    int number = SCMP_SYS(clone);
    int r = add_masked(context, SCMP_ACT_ALLOW, number, 0, SECCOMP_CLONE_REFUSED, 0);

    for (unsigned bit = 0; bit < 32 && r == 0; bit++)
        if ((SECCOMP_CLONE_REFUSED >> bit & 1) != 0)
            r = add_masked(context, SCMP_ACT_ERRNO(EPERM), number, 0, 1u << bit, 1u << bit);
    return r;
}

static int add_policy(scmp_filter_ctx context)
{
    const uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
    int r;

    /* A call through another ABI would be judged by another table's numbers. */
    r = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0) /* a search tree instead of a list: the filter runs before every call */
        r = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (r == 0)
        r = add_names(context, seccomp_allowed, COUNT_OF(seccomp_allowed), SCMP_ACT_ALLOW);
    for (size_t i = 0; i < COUNT_OF(seccomp_allowed_numbers) && r == 0; i++)
        r = seccomp_rule_add(context, SCMP_ACT_ALLOW, seccomp_allowed_numbers[i], 0);
    if (r == 0)
        r = add_names(context, seccomp_refused, COUNT_OF(seccomp_refused), refuse);
    if (r == 0)
        r = add_choice(context, SCMP_SYS(socket), 0, seccomp_socket_families,
                       COUNT_OF(seccomp_socket_families), SCMP_ACT_ALLOW,
                       SCMP_ACT_ERRNO(EAFNOSUPPORT));
    if (r == 0)
        r = add_choice(context, SCMP_SYS(personality), 0, seccomp_personalities,
                       COUNT_OF(seccomp_personalities), SCMP_ACT_ALLOW, refuse);
    if (r == 0)
        r = add_choice(context, SCMP_SYS(ioctl), 1, seccomp_ioctl_refused,
                       COUNT_OF(seccomp_ioctl_refused), refuse, SCMP_ACT_ALLOW);
    if (r == 0)
        r = add_clone(context);
    return r;
}

/* libseccomp 2.5 exports to a descriptor only. */
static int export_program(scmp_filter_ctx context, struct seccomp_filter *out)
{
    auto_close int fd = memfd_create("filter", MFD_CLOEXEC);
    struct stat st;
    size_t size;
    int r;

    if (fd < 0)
        return -errno;
    r = seccomp_export_bpf(context, fd);
    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0)
        return -errno;
    size = (size_t)st.st_size;
    if (size == 0 || size % sizeof(*out->items) != 0 || size / sizeof(*out->items) > BPF_MAXINSNS)
        return -E2BIG;
    out->items = mem_alloc(size);
    out->count = (uint16_t)(size / sizeof(*out->items));
    r = io_pread_full(fd, out->items, size, 0);
    if (r < 0)
        seccomp_filter_release(out);
    return r;
}

int seccomp_filter_build(struct seccomp_filter *out, struct error *err)
{
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int r;

    *out = (struct seccomp_filter){0};
    if (!context)
        return error_set(err, ENOMEM, "cannot make a system call filter");
    r = add_policy(context);
    if (r == 0)
        r = export_program(context, out);
    seccomp_release(context);
    if (r < 0)
        return error_set(err, -r, "cannot compile the system call filter: %s", strerror(-r));
    return 0;
}

void seccomp_filter_release(struct seccomp_filter *filter)
{
    free(filter->items);
    *filter = (struct seccomp_filter){0};
}

int seccomp_filter_load(const struct seccomp_filter *filter)
{
    const struct sock_fprog program = {.len = filter->count, .filter = filter->items};

    /* Not seccomp_load(): it allocates, and this runs in a forked child. */
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

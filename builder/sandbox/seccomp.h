/* seccomp.h - the system call filter of a step, compiled once per build.
 *
 * The only door to libseccomp. The policy is data in seccomp_table.h (SECURITY section 3): what is
 * not named there answers ENOSYS, so that programs which probe for newer calls fall back.
 */
#pragma once

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

struct seccomp_filter {
    struct sock_filter *items; /* owned; ready for seccomp(2) */
    uint16_t count;
};

int seccomp_filter_build(struct seccomp_filter *out, struct error *err);
void seccomp_filter_release(struct seccomp_filter *filter);

/* Loads it for this thread. The caller holds CAP_SYS_ADMIN in its user namespace (so that
 * no_new_privs need not be set, and su and file capabilities go on working: R14) or has set
 * no_new_privs. Bare -errno; async-signal-safe. */
int seccomp_filter_load(const struct seccomp_filter *filter);

/* A masked comparison of the low 32 bits of one argument, which is all the kernel looks at for an
 * int: a comparison of all 64 bits is passed by socket(0x100000028) (SECURITY section 3). */
struct seccomp_cube {
    uint32_t mask;
    uint32_t value;
};
#define SECCOMP_CUBES_MAX 320u
/* Writes disjoint cubes that together match exactly the values not in `values` (distinct, at most
 * 10); returns how many. */
size_t seccomp_complement(const uint32_t *values, size_t count, struct seccomp_cube *out);

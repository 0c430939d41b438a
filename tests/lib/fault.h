/* fault.h - makes the nth call of the code under test fail, come up short, or be its last.
 *
 * The linker directs the calls named below to this library (--wrap), in the executable alone: link
 * with fault_dep. Calls made inside shared libraries are not seen. Counting starts at
 * fault_clear and goes over all threads; a child made by fork goes on counting for itself. What is
 * set is forgotten when the test ends.
 *
 *     for (uint64_t nth = 1; ; nth++) {
 *         fault_fail(FAULT_WRITE, nth, ENOSPC);
 *         r = thing_save(...);
 *         if (!fault_was_hit())
 *             break;
 *         ... r must be -ENOSPC, and everything as before
 *     }
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum fault_call {
    FAULT_ANY,    /* whichever of the others comes nth */
    FAULT_OPEN,   /* openat */
    FAULT_READ,   /* read, pread */
    FAULT_WRITE,  /* write, pwrite, copy_file_range */
    FAULT_SYNC,   /* fsync, fdatasync */
    FAULT_RENAME, /* renameat, renameat2, linkat */
    FAULT_UNLINK, /* unlinkat */
    FAULT_MKDIR,  /* mkdirat */
    FAULT_CALL_COUNT,
};

/* Each forgets what was set before and starts counting anew; `nth` counts from 1. */
void fault_fail(enum fault_call call, uint64_t nth, int code);      /* that call alone */
void fault_fail_from(enum fault_call call, uint64_t nth, int code); /* and all that follow */
void fault_shorten(enum fault_call call, uint64_t nth); /* read or write half, at least a byte */
/* SIGKILL instead of the call: what a crash at that moment would leave behind. */
void fault_kill(enum fault_call call, uint64_t nth);
void fault_clear(void);

bool fault_was_hit(void); /* since it was set */
uint64_t fault_count(enum fault_call call);

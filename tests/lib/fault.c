/* fault.c - the wrapped system calls of fault.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/fault.h"
#include "tests/lib/test.h"

enum fault_effect { FAULT_NOTHING, FAULT_ERROR, FAULT_SHORT, FAULT_KILL };

/* Set while nothing else runs, read by whichever thread makes the call. */
static struct {
    enum fault_effect effect;
    enum fault_call call;
    uint64_t nth;
    int code;
    bool is_lasting;
} fault;

static atomic_ullong counts[FAULT_CALL_COUNT];
static atomic_bool was_hit;

static void set(enum fault_effect effect, enum fault_call call, uint64_t nth, int code,
                bool is_lasting)
{
    fault_clear();
    test_at_end(fault_clear);
    fault.effect = effect;
    fault.call = call;
    fault.nth = nth;
    fault.code = code;
    fault.is_lasting = is_lasting;
}

void fault_fail(enum fault_call call, uint64_t nth, int code)
{
    set(FAULT_ERROR, call, nth, code, false);
}

void fault_fail_from(enum fault_call call, uint64_t nth, int code)
{
    set(FAULT_ERROR, call, nth, code, true);
}

void fault_shorten(enum fault_call call, uint64_t nth)
{
    set(FAULT_SHORT, call, nth, 0, false);
}

void fault_kill(enum fault_call call, uint64_t nth)
{
    set(FAULT_KILL, call, nth, 0, false);
}

void fault_clear(void)
{
    fault.effect = FAULT_NOTHING;
    was_hit = false;
    for (int i = 0; i < FAULT_CALL_COUNT; i++)
        counts[i] = 0;
}

bool fault_was_hit(void)
{
    return was_hit;
}

uint64_t fault_count(enum fault_call call)
{
    return counts[call];
}

/* Counts a call and says what shall become of it. */
static enum fault_effect meet(enum fault_call call)
{
    uint64_t any = atomic_fetch_add(&counts[FAULT_ANY], 1) + 1;
    uint64_t own = atomic_fetch_add(&counts[call], 1) + 1;
    uint64_t number = fault.call == FAULT_ANY ? any : own;

    if (fault.effect == FAULT_NOTHING || (fault.call != FAULT_ANY && fault.call != call))
        return FAULT_NOTHING;
    if (number != fault.nth && !(fault.is_lasting && number > fault.nth))
        return FAULT_NOTHING;
    was_hit = true;
    if (fault.effect == FAULT_KILL)
        (void)raise(SIGKILL); /* cannot fail for oneself */
    if (fault.effect == FAULT_ERROR)
        errno = fault.code;
    return fault.effect;
}

/* Defines the wrapper of a call that has no size to shorten. */
#define WRAP(call, name, parameters, arguments)                                                    \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters                                                                   \
    {                                                                                              \
        return meet(call) == FAULT_ERROR ? -1 : __real_##name arguments;                           \
    }

/* The same for one that moves `size` bytes. */
#define WRAP_SIZED(call, name, parameters, arguments)                                              \
    ssize_t __real_##name parameters;                                                              \
    ssize_t __wrap_##name parameters;                                                              \
    ssize_t __wrap_##name parameters                                                               \
    {                                                                                              \
        enum fault_effect effect = meet(call);                                                     \
                                                                                                   \
        if (effect == FAULT_ERROR)                                                                 \
            return -1;                                                                             \
        if (effect == FAULT_SHORT && size > 1)                                                     \
            size /= 2;                                                                             \
        return __real_##name arguments;                                                            \
    }

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names. */

/* The names ending in 64 and _chk are what the C library's headers make of the plain ones with
 * large file offsets and with _FORTIFY_SOURCE. */
WRAP_SIZED(FAULT_READ, read, (int fd, void *buf, size_t size), (fd, buf, size))
WRAP_SIZED(FAULT_READ, __read_chk, (int fd, void *buf, size_t size, size_t room),
           (fd, buf, size, room))
WRAP_SIZED(FAULT_READ, pread64, (int fd, void *buf, size_t size, off_t offset),
           (fd, buf, size, offset))
WRAP_SIZED(FAULT_READ, __pread64_chk, (int fd, void *buf, size_t size, off_t offset, size_t room),
           (fd, buf, size, offset, room))
WRAP_SIZED(FAULT_WRITE, write, (int fd, const void *buf, size_t size), (fd, buf, size))
WRAP_SIZED(FAULT_WRITE, pwrite64, (int fd, const void *buf, size_t size, off_t offset),
           (fd, buf, size, offset))
WRAP_SIZED(FAULT_WRITE, copy_file_range,
           (int from, off_t *from_offset, int to, off_t *to_offset, size_t size, unsigned flags),
           (from, from_offset, to, to_offset, size, flags))
WRAP(FAULT_SYNC, fsync, (int fd), (fd))
WRAP(FAULT_SYNC, fdatasync, (int fd), (fd))
WRAP(FAULT_RENAME, renameat, (int from, const char *name, int to, const char *new_name),
     (from, name, to, new_name))
WRAP(FAULT_RENAME, renameat2,
     (int from, const char *name, int to, const char *new_name, unsigned flags),
     (from, name, to, new_name, flags))
WRAP(FAULT_RENAME, linkat, (int from, const char *name, int to, const char *new_name, int flags),
     (from, name, to, new_name, flags))
WRAP(FAULT_UNLINK, unlinkat, (int fd, const char *name, int flags), (fd, name, flags))
WRAP(FAULT_MKDIR, mkdirat, (int fd, const char *name, mode_t mode), (fd, name, mode))
WRAP(FAULT_OPEN, __openat64_2, (int fd, const char *name, int flags), (fd, name, flags))

int __real_openat64(int fd, const char *name, int flags, ...);
int __wrap_openat64(int fd, const char *name, int flags, ...);
int __wrap_openat64(int fd, const char *name, int flags, ...)
{
    mode_t mode = 0;

    if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) {
        va_list args;

        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return meet(FAULT_OPEN) == FAULT_ERROR ? -1 : __real_openat64(fd, name, flags, mode);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

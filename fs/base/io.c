/* io.c - whole reads and writes of descriptors and small files. Opens under a root: io_open.c. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/base/io.h"

#include "fs/base/banned.h"

#define COPY_SIZE ((size_t)256 << 10)
#define READ_SIZE_FIRST ((size_t)16 << 10)
#define WRITEBACK_SIZE (8ull << 20)
#define NS_PER_S INT64_C(1000000000)

int io_read_full(int fd, void *buf, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, (uint8_t *)buf + done, size - done);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -EIO;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int io_pread_full(int fd, void *buf, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (uint8_t *)buf + done, size - done, (off_t)(offset + done));

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -EIO;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int io_write_full(int fd, const void *buf, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const uint8_t *)buf + done, size - done);

        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int io_pwrite_full(int fd, const void *buf, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(fd, (const uint8_t *)buf + done, size - done, (off_t)(offset + done));

        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

void io_start_writeback(int fd, uint64_t *started_bytes, uint64_t written_bytes)
{
    if (written_bytes - *started_bytes < WRITEBACK_SIZE)
        return;
    /* A hint: where it is not known, the fsync takes longer. */
    (void)sync_file_range(fd, (off64_t)*started_bytes, (off64_t)(written_bytes - *started_bytes),
                          SYNC_FILE_RANGE_WRITE);
    *started_bytes = written_bytes;
}

/* Reads to the end of the file, whatever its size was said to be (proc files say 0). */
static int read_all(int fd, uint64_t size_max, struct str *out)
{
    size_t room = READ_SIZE_FIRST;
    auto_free char *buf = mem_alloc(room);

    for (;;) {
        ssize_t n = read(fd, buf, room);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        if (out->size + (uint64_t)n > size_max)
            return -EFBIG;
        str_add_bytes(out, buf, (size_t)n);
    }
}

int io_read_file(int dir_fd, const char *path, uint64_t size_max, struct str *out,
                 struct error *err)
{
    /* O_NONBLOCK: a fifo in place of the file must not hold us up before it is looked at. */
    auto_close int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    auto_str struct str text = {0};
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, "cannot open '%s'", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, S_ISDIR(st.st_mode) ? EISDIR : EINVAL, "'%s' is not a regular file",
                         path);
    r = read_all(fd, size_max, &text);
    if (r == -EFBIG)
        return error_set(err, EFBIG, "'%s' is larger than %" PRIu64 " bytes", path, size_max);
    if (r < 0) {
        errno = -r;
        return error_errno(err, "cannot read '%s'", path);
    }
    str_release(out);
    *out = STEAL(&text);
    return 0;
}

/* "<directory of path>/.img-<16 hex digits>": short enough wherever the final name is. */
static char *temporary_name(const char *path)
{
    size_t dir_size = (size_t)(path_base(path) - path);
    uint64_t number = 0;

    /* Names need only be unlikely to meet: O_EXCL decides, and a clash is tried again. */
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
        number = io_ticks_ns() ^ (uint64_t)getpid() << 40;
    return str_format("%.*s.img-%016" PRIx64, (int)dir_size, path, number);
}

static int write_synced(int fd, const void *bytes, size_t size, mode_t mode)
{
    int r = fchmod(fd, mode) < 0 ? -errno : 0; /* not open's mode, which the umask narrows */

    if (r == 0)
        r = io_write_full(fd, bytes, size);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    return r;
}

/* Makes a rename durable. */
static int sync_parent(int dir_fd, const char *path)
{
    size_t dir_size = (size_t)(path_base(path) - path);
    auto_free char *dir = dir_size > 0 ? mem_strndup(path, dir_size) : mem_strdup(".");
    auto_close int fd = openat(dir_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int io_write_file_atomic(int dir_fd, const char *path, const void *bytes, size_t size, mode_t mode,
                         struct error *err)
{
    auto_free char *temporary = NULL;
    auto_close int fd = -1;
    int r;

    do {
        cleanup_free_ptr(&temporary);
        temporary = temporary_name(path);
        fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    } while (fd < 0 && errno == EEXIST);
    if (fd < 0)
        return error_errno(err, "cannot create '%s'", path);
    r = write_synced(fd, bytes, size, mode);
    if (r == 0 && renameat(dir_fd, temporary, dir_fd, path) < 0)
        r = -errno;
    if (r < 0) {
        (void)unlinkat(dir_fd, temporary, 0); /* the first failure is the one to tell */
        errno = -r;
        return error_errno(err, "cannot write '%s'", path);
    }
    r = sync_parent(dir_fd, path);
    if (r < 0) {
        errno = -r;
        return error_errno(err, "cannot make '%s' durable", path);
    }
    return 0;
}

/* For files that copy_file_range cannot join: other filesystems, pipes in between, old kernels. */
static int copy_buffered(int from_fd, uint64_t from_offset, int to_fd, uint64_t to_offset,
                         uint64_t size)
{
    auto_free uint8_t *buf = mem_alloc(COPY_SIZE);

    while (size > 0) {
        size_t part = size < COPY_SIZE ? (size_t)size : COPY_SIZE;
        int r = io_pread_full(from_fd, buf, part, from_offset);

        if (r == 0)
            r = io_pwrite_full(to_fd, buf, part, to_offset);
        if (r < 0)
            return r;
        from_offset += part;
        to_offset += part;
        size -= part;
    }
    return 0;
}

int io_copy_range(int from_fd, uint64_t from_offset, int to_fd, uint64_t to_offset, uint64_t size)
{
    off_t from = (off_t)from_offset;
    off_t to = (off_t)to_offset;

    while (size > 0) {
        size_t part = size < (1u << 30) ? (size_t)size : 1u << 30;
        ssize_t n = copy_file_range(from_fd, &from, to_fd, &to, part, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
            return -errno;
        /* Anything else may be a refusal of the call and not of the copy, and 0 may be a file
         * without a size, as in proc: reading tells. */
        if (n <= 0)
            return copy_buffered(from_fd, (uint64_t)from, to_fd, (uint64_t)to, size);
        size -= (uint64_t)n;
    }
    return 0;
}

int64_t io_time_ns(int64_t seconds, int64_t nanoseconds)
{
    int64_t ns;

    if (__builtin_mul_overflow(seconds, NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, nanoseconds, &ns))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

struct timespec io_time_split(int64_t ns)
{
    int64_t rest = ns % NS_PER_S;
    bool is_below = rest < 0;

    return (struct timespec){.tv_sec = ns / NS_PER_S - is_below,
                             .tv_nsec = is_below ? rest + NS_PER_S : rest};
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now); /* fails for an unknown clock only */
    return io_time_ns(now.tv_sec, now.tv_nsec);
}

int64_t io_now_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

uint64_t io_ticks_ns(void)
{
    return (uint64_t)clock_ns(CLOCK_MONOTONIC);
}

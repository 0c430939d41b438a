/* io.h - whole reads and writes, and opens that cannot leave a root.
 *
 * Any path that came from an image, a build context or a Dockerfile is opened through
 * io_open_beneath or io_open_in_root, never by string concatenation (SECURITY R18). O_CLOEXEC is
 * always added. Not for blob or pack verification: see fs/blob.h and fs/pack.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "fs/base/error.h"
#include "fs/base/str.h"

/* Retry EINTR and short counts. Return 0 or -errno; -EIO on an early end of file. */
int io_read_full(int fd, void *buf, size_t size);
int io_pread_full(int fd, void *buf, size_t size, uint64_t offset);
int io_write_full(int fd, const void *buf, size_t size);
int io_pwrite_full(int fd, const void *buf, size_t size, uint64_t offset);

/* Has the disk begin with a file that is written from its start to its end, so that the fsync there
 * is short: some MiB at a time, from *started_bytes, which is updated, to written_bytes. */
void io_start_writeback(int fd, uint64_t *started_bytes, uint64_t written_bytes);

/* Opens `path` below `root_fd`; a component that leaves the root is -EXDEV (openat2(2),
 * RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS), with a component-wise walk where openat2 is missing.
 * Return a descriptor or -errno: as open(2), and -ELOOP for a link of proc that is no path. */
int io_open_beneath(int root_fd, const char *path, int flags, mode_t mode);
/* Opens `path` as if `root_fd` were "/": absolute links and ".." stay inside (RESOLVE_IN_ROOT). */
int io_open_in_root(int root_fd, const char *path, int flags, mode_t mode);

/* Reads a whole regular file of at most `size_max` bytes (more is -EFBIG, a directory -EISDIR, any
 * other kind -EINVAL), replacing what is in `out`. Follows links: `path` is one of our own. */
int io_read_file(int dir_fd, const char *path, uint64_t size_max, struct str *out,
                 struct error *err);
/* Temp file in the same directory, write, fsync, rename, fsync of the directory. `mode` is set
 * whatever the umask. On failure the old file, if any, is as it was, except that the very last step
 * may fail ("cannot make ... durable"): then the new file stands but might not outlive a crash. */
int io_write_file_atomic(int dir_fd, const char *path, const void *bytes, size_t size, mode_t mode,
                         struct error *err);
/* Copies with copy_file_range, falling back to a buffer. 0 or -errno; -EIO when `from_fd` ends
 * early. */
int io_copy_range(int from_fd, uint64_t from_offset, int to_fd, uint64_t to_offset, uint64_t size);
/* Creates (0700) and opens a directory that must belong to us with no bits for others (R62).
 * Returns a descriptor. -EPERM: not ours alone; -ENOTDIR: something else has its name. */
int io_open_private_dir(int dir_fd, const char *path, bool create, struct error *err);
int io_make_dirs(const char *path, mode_t mode, struct error *err); /* mkdir -p */
/* Removes a tree below dir_fd without following links; a missing name is success. Directories that
 * lack permission bits are given them first. A mount point inside is left alone (-EBUSY), and so is
 * what cannot be removed; the rest goes, and the first failure is returned. */
int io_remove_tree(int dir_fd, const char *name);
/* Nanoseconds since 1970, which 64 bits hold from 1677 to 2262: a time beyond becomes the first or
 * the last of them. */
int64_t io_time_ns(int64_t seconds, int64_t nanoseconds);
struct timespec io_time_split(int64_t ns); /* tv_nsec is never negative */
int64_t io_now_ns(void);                   /* CLOCK_REALTIME */
uint64_t io_ticks_ns(void);                /* CLOCK_MONOTONIC */

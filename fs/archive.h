/* archive.h - archives that users hand us (ADD, a build context as a tarball): tar, plain or packed
 * with gzip, bzip2, xz or zstd.
 *
 * The tar dialect is that of fs/tar.h, whatever it was packed with. The only door to libarchive, of
 * which nothing but the bzip2 and xz filters is used (SECURITY R39).
 */
#pragma once

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/stream.h"
#include "fs/tar.h"

/* Whether these bytes are such an archive, by its content; a compressed file that holds something else
 * is none. It reads no more than it needs. */
bool archive_sniff_reader(struct reader *from);

/* The bytes of `from` (borrowed), unpacked if they are packed in one of these ways, else as they
 * come. Reading: -EBADMSG damaged; -EFBIG a bomb (SECURITY R40). */
struct reader *archive_unpack(struct reader *from);

struct archive_reader; /* one thread at a time */
/* `from` is borrowed. `what` names the archive in messages and is copied. */
struct archive_reader *archive_reader_new(struct reader *from, const char *what);
void archive_reader_free(struct archive_reader *r);
DEFINE_CLEANUP(archive_reader_free, struct archive_reader *)
#define auto_archive_reader CLEANUP(archive_reader_free)
/* 1 with an entry (its extents are empty), borrowed until the next call; 0 at the end. Content that
 * was not read is passed over. -EBADMSG damaged; -EFBIG a bomb (SECURITY R40); -E2BIG a limit. */
int archive_reader_next(struct archive_reader *r, const struct tar_entry **out, struct error *err);
/* Content of that entry, holes as zeros: the count, 0 at its end. */
ssize_t archive_reader_read(struct archive_reader *r, void *buf, size_t size, struct error *err);

/* tar.h - one strict reader and one exact writer of layer tars (OCI image-spec, layer.md).
 *
 * Ours, not libarchive's, for two reasons: a pulled layer's pack is its tar, so the reader must tell
 * where in it each file's bytes are; and the tar of a built layer must be the same for ever, whatever
 * libraries are installed. Archives that users hand us go through fs/archive.h instead.
 *
 * Reading (SECURITY R39). Dialects: v7, ustar, star, GNU, pax; all forms of GNU sparse files. Every
 * header's checksum is verified. A pax `size` wins over the header's. Numbers are octal or base-256,
 * within range. Whatever Go's archive/tar, GNU tar and Python's tarfile would read differently from
 * each other is refused: content of links and directories, two extended headers in a row, both a GNU
 * and a pax name, a file whose name ends in '/', unknown types, global pax headers that set what an
 * entry has. Absolute names are taken relative to the root; ".." is refused. What follows the end of
 * archive is ignored. LIBARCHIVE.xattr, SCHILY.acl, atime, ctime, user and group names are ignored.
 *
 * Writing. ustar, with pax records only for what ustar cannot say: long paths, ids above 2097151,
 * 8 GiB files, xattrs (SCHILY.xattr), and times that are negative or have nanoseconds. Docker and
 * containerd cut times to seconds; here a file has the same time after a pull as when it was built.
 * Neither user and group names nor access and change times are ever written.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/entry.h"

#define TAR_BLOCK_SIZE 512u

struct tar_entry {
    const char *path;       /* relative and clean, no trailing slash; "" is the root */
    struct entry_meta meta; /* of a hard link: a file of size 0 */
    bool is_hard_link;
    const char *target; /* symlinks: as it stands; hard links: a clean, relative path; else NULL */
    const struct xattr *xattrs;
    size_t xattr_count;
    const struct extent *extents; /* read: pack 0, pack_offset from the start of the tar */
    size_t extent_count;
};

/* -- reading: push bytes in, in pieces of any size -- */

struct tar_reader; /* one thread at a time */
/* The entry is borrowed for the call. A negative answer stops the reader, which returns it. */
typedef int tar_entry_fn(void *context, const struct tar_entry *e, struct error *err);

struct tar_reader *tar_reader_new(tar_entry_fn *fn, void *context); /* fn NULL: for _next alone */
void tar_reader_free(struct tar_reader *r);
DEFINE_CLEANUP(tar_reader_free, struct tar_reader *)
#define auto_tar_reader CLEANUP(tar_reader_free)
/* -EBADMSG not a tar, damaged, or of a kind listed above; -E2BIG a limit. */
int tar_reader_write(struct tar_reader *r, const void *bytes, size_t size, struct error *err);
/* The same, giving entries out instead: 1 with an entry, borrowed until the next call, *bytes being
 * the first of its content (in the form extents tell); 0 when all bytes were taken. */
int tar_reader_next(struct tar_reader *r, const uint8_t **bytes, size_t *size,
                    const struct tar_entry **out, struct error *err);
/* Passes over what of the current entry's content was not written yet, at most `size` bytes, as if
 * it had been: for who can jump in the file. The count; 0 outside content. */
uint64_t tar_reader_skip(struct tar_reader *r, uint64_t size);
int tar_reader_finish(struct tar_reader *r, struct error *err); /* -EBADMSG: cut short */

/* Whether these TAR_BLOCK_SIZE bytes could begin a tar: a header whose checksum is right. */
bool tar_is_header(const uint8_t *block);

/* -- writing -- */

/* Appends the header blocks of one entry. Then come meta.size_bytes of content, if it is a file and
 * no hard link, and zeros up to a whole block. -EINVAL: a tar cannot say it. */
int tar_add_header(struct str *out, const struct tar_entry *e, struct error *err);
size_t tar_padding(uint64_t size_bytes);
void tar_add_end(struct str *out); /* two blocks of zeros */

/* entry.h - one file, directory or link with its metadata, as a layer and a tar know it.
 *
 * Times are nanoseconds since the epoch, owners are container ids. Content is a list of extents into
 * packs; gaps between extents are holes. Nothing here owns anything unless it says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"

enum entry_type {
    ENTRY_FILE = 1,
    ENTRY_DIR,
    ENTRY_SYMLINK,
    ENTRY_FIFO,
    ENTRY_SOCKET, /* exists in a view; a tar cannot say it, sealing leaves it out */
    ENTRY_CHAR,
    ENTRY_BLOCK,
};

struct entry_meta {
    enum entry_type type;
    mode_t mode; /* 07777 bits only */
    uint32_t uid;
    uint32_t gid;
    int64_t mtime_ns;
    uint64_t size_bytes; /* files: content; symlinks: length of the target; else 0 */
    uint32_t rdev_major;
    uint32_t rdev_minor;
};

/* `length` bytes of a file from `file_offset` on are those of pack `pack` from `pack_offset` on.
 * Lists are sorted by file_offset and do not overlap. */
struct extent {
    uint64_t file_offset;
    uint64_t length;
    uint64_t pack; /* store-wide pack id, see fs/pack.h */
    uint64_t pack_offset;
};

struct xattr {
    const char *name;
    const void *value;
    size_t value_size;
};

mode_t entry_type_to_mode(enum entry_type type);   /* S_IFREG, ... */
enum entry_type entry_type_from_mode(mode_t mode); /* 0 when there is none */

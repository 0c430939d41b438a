/* index_internal.h - the bytes of an index file, shared by the code that writes and reads them.
 *
 * The meaning of every field is in fs/FORMAT.md, "Index". All numbers are little-endian. Sections
 * follow the header in the order of enum index_section, each starting at a multiple of eight.
 */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/index.h"

#define INDEX_MAGIC "img.idx\n"
#define INDEX_VERSION 2u
#define INDEX_VERSION_OLDEST 1u /* lists no implicit directories */
#define INDEX_NONE UINT32_MAX   /* dirent: a whiteout */

enum index_section {
    SECTION_INODES,
    SECTION_DIRENTS,
    SECTION_NAMES, /* bytes */
    SECTION_EXTENTS,
    SECTION_STRINGS, /* bytes: symlink and link targets, xattr names and values */
    SECTION_LINK_RUNS,
    SECTION_LINKS,
    SECTION_XATTR_RUNS,
    SECTION_XATTRS,
    SECTION_PACKS,
    SECTION_SPECIALS, /* inodes that are external links or implicit directories, ascending */
    SECTION_COUNT,
};

struct file_section {
    uint64_t offset; /* from the start of the file */
    uint64_t count;  /* of items */
};

struct file_header {
    char magic[8];
    uint32_t version;
    uint32_t header_size;
    uint64_t file_size;
    uint64_t body_checksum; /* XXH3-64, seed 0, of all bytes after the header */
    struct file_section sections[SECTION_COUNT];
    uint64_t header_checksum; /* the same of all bytes before this field */
};

/* Bits of file_inode.flags above those of enum index_flags. */
#define FILE_INODE_INLINE 0x100u /* content is one extent covering the whole file, see content_* */
#define FILE_INODE_LINKS 0x200u  /* several names: `name` is a link run, `parent` unused */

struct file_inode {
    uint16_t mode; /* enum entry_type << 12 | permission bits */
    uint16_t flags;
    uint32_t uid;
    uint32_t gid;
    uint32_t xattr_run; /* number of the run + 1, 0: no xattrs */
    int64_t mtime_ns;
    uint64_t size;    /* files: content; symlinks and external links: length of the target */
    uint64_t content; /* two halves or an inline extent, by type; see content_* */
    uint32_t parent;  /* inode of the directory that holds the name */
    uint32_t name;    /* position of the name in it */
};

struct file_dirent {
    uint32_t name_offset;
    uint32_t name_prefix; /* first four bytes of the name as a big-endian number, zero-padded */
    uint32_t inode;       /* INDEX_NONE: a whiteout */
    uint16_t name_size;
    uint16_t reserved;
};

struct file_extent {
    uint64_t file_offset;
    uint64_t length;
    uint64_t pack_offset;
    uint32_t pack; /* position in the pack section */
    uint32_t reserved;
};

struct file_run {
    uint32_t first;
    uint32_t count;
};

struct file_link {
    uint32_t dir;
    uint32_t position;
};

struct file_xattr {
    uint32_t name_offset;
    uint32_t value_offset;
    uint32_t value_size;
    uint16_t name_size;
    uint16_t reserved;
};

_Static_assert(sizeof(struct file_header) == 216, "no padding");
_Static_assert(sizeof(struct file_inode) == 48, "no padding");
_Static_assert(sizeof(struct file_dirent) == 16, "no padding");
_Static_assert(sizeof(struct file_extent) == 32, "no padding");
_Static_assert(sizeof(struct file_xattr) == 16, "no padding");

/* Directories: first dirent and count. Files: first extent and count. Symlinks and external links:
 * string offset and 0. Devices: major and minor. */
static inline uint64_t content_pair(uint32_t first, uint32_t second)
{
    return (uint64_t)second << 32 | first;
}
static inline uint32_t content_first(uint64_t content)
{
    return (uint32_t)content;
}
static inline uint32_t content_second(uint64_t content)
{
    return (uint32_t)(content >> 32);
}

/* FILE_INODE_INLINE: pack position in the upper 16 bits, pack offset in the lower 48. */
#define CONTENT_OFFSET_BITS 48
static inline uint64_t content_inline(uint32_t pack, uint64_t pack_offset)
{
    return (uint64_t)pack << CONTENT_OFFSET_BITS | pack_offset;
}
static inline uint32_t content_pack(uint64_t content)
{
    return (uint32_t)(content >> CONTENT_OFFSET_BITS);
}
static inline uint64_t content_pack_offset(uint64_t content)
{
    return content & ((1ull << CONTENT_OFFSET_BITS) - 1);
}

/* Names hold no NUL, so comparing prefixes first never contradicts comparing bytes. */
static inline uint32_t name_prefix(const char *name, size_t size)
{
    uint32_t prefix = 0;

    for (size_t i = 0; i < 4; i++)
        prefix = prefix << 8 | (i < size ? (unsigned char)name[i] : 0u);
    return prefix;
}

/* The root is implicit in most layers, and says nothing by it. */
static inline bool inode_is_special(uint32_t inode, uint32_t flags)
{
    return flags & INDEX_EXTERNAL_LINK || (flags & INDEX_IMPLICIT && inode != 0);
}

static const uint8_t section_item_size[SECTION_COUNT] = {
    [SECTION_INODES] = sizeof(struct file_inode),
    [SECTION_DIRENTS] = sizeof(struct file_dirent),
    [SECTION_NAMES] = 1,
    [SECTION_EXTENTS] = sizeof(struct file_extent),
    [SECTION_STRINGS] = 1,
    [SECTION_LINK_RUNS] = sizeof(struct file_run),
    [SECTION_LINKS] = sizeof(struct file_link),
    [SECTION_XATTR_RUNS] = sizeof(struct file_run),
    [SECTION_XATTRS] = sizeof(struct file_xattr),
    [SECTION_PACKS] = sizeof(uint64_t),
    [SECTION_SPECIALS] = sizeof(uint32_t),
};

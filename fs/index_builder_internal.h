/* index_builder_internal.h - what index_builder.c collects and index_write.c puts in order.
 *
 * Children belong to a directory's inode, not to its path: when a file replaces a directory, the
 * old inode and all below it are simply never reached again. So replacing costs the same whatever
 * was there, and nothing is ever removed from the tables.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/index.h"
#include "fs/index_internal.h"

struct builder_dirent {
    uint32_t dir;   /* builder inode of the directory */
    uint32_t inode; /* builder inode, INDEX_NONE: a whiteout */
    uint32_t name_offset;
    uint8_t name_size;
};

struct builder_xattrs { /* one distinct list, sorted by name */
    uint32_t offset;    /* in pool: per xattr u16 name size, u32 value size, name, value */
    uint32_t size;
    uint32_t count;
};

struct byte_pool {
    char *items;
    size_t count;
    size_t capacity;
};

struct slots { /* open addressing; holds item number + 1 */
    uint32_t *items;
    uint32_t capacity; /* power of two */
};

/* Records are those of the file, in the host's byte order. Directories: `parent` is the builder
 * inode of the parent, `name` the builder dirent. Symlinks: content is a pool offset. */
struct index_builder {
    struct {
        struct file_inode *items;
        size_t count;
        size_t capacity;
    } inodes;
    struct {
        struct builder_dirent *items;
        size_t count;
        size_t capacity;
    } dirents;
    struct {
        struct file_extent *items; /* `pack` is a position in packs */
        size_t count;
        size_t capacity;
    } extents;
    struct {
        struct builder_xattrs *items;
        size_t count;
        size_t capacity;
    } xattrs;
    struct {
        uint64_t *items; /* pack ids */
        size_t count;
        size_t capacity;
    } packs;
    struct byte_pool names;
    struct byte_pool pool; /* targets and xattr lists */
    struct slots by_name;  /* of dirents */
    struct slots by_xattrs;
    uint64_t seed;     /* of both tables; random, so that collisions cannot be prepared */
    size_t call_count; /* of add, add_link, add_whiteout */
    bool is_written;
};

/* union_extent.h - the content of one file as a sorted list of pieces of packs.
 *
 * Most files are one piece, kept in the inode itself. Others have a map of two levels: leaves of at
 * most CONTENT_LEAF_MAX pieces under one sorted array, so that finding, splitting and inserting stay
 * cheap with a million pieces, and appending never moves anything. What is between pieces is a hole.
 *
 * Only arithmetic: nothing in here reads or writes a byte of a file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTENT_LEAF_MAX 128u

enum piece_flag {
    PIECE_OWNED = 1,     /* in the view's segment, used by this file alone: overwritten in place */
    PIECE_UNWRITTEN = 2, /* reserved space (fallocate); reads as zeros, sealed as a hole */
    CONTENT_MAP = 4,     /* not a piece: the content is in a map */
};

struct piece {
    uint64_t start; /* offset in the file */
    uint64_t length;
    uint64_t source_offset;
    uint32_t source; /* number in the view's table of sources */
    uint32_t flags;  /* enum piece_flag */
};

struct content_map;

/* Zeroed: no content at all. */
struct content {
    union {
        struct piece one; /* length 0: none */
        struct {
            struct content_map *map; /* owned; when flags has CONTENT_MAP */
            uint64_t unused[2];
            uint32_t also_unused;
            uint32_t flags; /* same place as one.flags */
        };
    };
};

/* Told about every owned piece that is cut out. */
typedef void content_freed_fn(void *context, const struct piece *piece);

struct content_cursor {
    size_t leaf;
    size_t index;
};

/* The first piece that ends after `offset`, or NULL. Borrowed until the content changes. */
const struct piece *content_seek(const struct content *c, uint64_t offset,
                                 struct content_cursor *at);
const struct piece *content_next(const struct content *c, struct content_cursor *at);
/* The last piece, or NULL. */
const struct piece *content_last(const struct content *c);
uint64_t content_bytes(const struct content *c); /* of all pieces */

/* Adds a piece where there is a hole, joining it with neighbours it continues. */
void content_put(struct content *c, const struct piece *piece);
/* Makes [from, to) a hole. `freed` may be NULL. */
void content_cut(struct content *c, uint64_t from, uint64_t to, content_freed_fn *freed,
                 void *context);
/* Clears `flags` of every piece part in [from, to). */
void content_clear_flags(struct content *c, uint64_t from, uint64_t to, uint32_t flags);
/* Moves everything from `from` on up or down; moving down needs a hole before it. */
void content_move(struct content *c, uint64_t from, uint64_t distance, bool down);
void content_release(struct content *c, content_freed_fn *freed, void *context);

/* tar_internal.h - a header block's layout, and what the parts of the reader share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/tar.h"

/* POSIX.1-2017, pax, "ustar Interchange Format", and what GNU tar puts in the same places. */
struct tar_block {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char type;
    char link[100];
    char magic[8]; /* "ustar\0" "00", GNU "ustar  \0" */
    char user[32];
    char group[32];
    char major[8];
    char minor[8];
    union {
        char prefix[155];
        struct {
            char prefix[131];
            char atime[12];
            char ctime[12];
        } star;
        struct {
            char unused[41]; /* atime, ctime, offset, longnames, one byte */
            struct {
                char offset[12];
                char size[12];
            } sparse[4];
            char is_extended;
            char real_size[12];
            char rest[5];
        } gnu;
    };
    char star_magic[12]; /* star: ends in "tar\0" */
};
_Static_assert(sizeof(struct tar_block) == TAR_BLOCK_SIZE, "the layout of a header block");

/* GNU tar's continuation of a sparse map. */
struct tar_sparse_block {
    struct {
        char offset[12];
        char size[12];
    } sparse[21];
    char is_extended;
    char unused[7];
};
_Static_assert(sizeof(struct tar_sparse_block) == TAR_BLOCK_SIZE, "the layout of a sparse block");

/* Octal, padded by spaces and NULs, or base-256 (first bit set). An empty field is 0. False when it
 * is neither or does not fit. */
bool tar_number(const char *field, size_t size, int64_t *out);

/* What pax records say about one entry. Zeroed: nothing. Text points into the parsed buffer. */
struct tar_pax {
    bool has_size, has_uid, has_gid, has_mtime;
    uint64_t size;
    uint32_t uid;
    uint32_t gid;
    int64_t mtime_ns;
    const char *path;
    const char *link;
    struct {
        struct xattr *items;
        size_t count;
        size_t capacity;
    } xattrs;
    bool is_sparse;
    bool map_in_data; /* GNU.sparse 1.0 */
    bool has_real_size;
    uint64_t real_size;
    const char *sparse_name;
    uint64_t sparse_major;
    struct {
        uint64_t *items; /* offset, size, offset, size, ... */
        size_t count;
        size_t capacity;
    } map;
};
void tar_pax_release(struct tar_pax *p); /* leaves it zeroed */

/* Parses records, changing the buffer, which must outlive `out`. With `global` true, a record that
 * would set anything is refused. Sentences name the record, not the entry. */
int tar_pax_parse(char *records, size_t size, bool global, struct tar_pax *out, struct error *err);

/* A sparse map while it is read. */
struct tar_map {
    struct extent *items; /* pack_offset counts from the first byte of content */
    size_t count;
    size_t capacity;
    uint64_t data_size; /* sum of lengths */
};
/* Adds one piece; an empty one, which marks the end, is left out. -EBADMSG. */
int tar_map_add(struct tar_map *m, uint64_t offset, uint64_t size, struct error *err);
/* The map at the head of a GNU.sparse 1.0 file, read byte by byte. */
struct tar_map_text {
    bool has_count;
    bool in_number;
    uint64_t left; /* numbers still to come */
    uint64_t offset;
    uint64_t number; /* being read */
};
/* Reads one block; *done once the map is complete (the rest of the block is padding). */
int tar_map_read_text(struct tar_map *m, struct tar_map_text *t, const uint8_t *block, bool *done,
                      struct error *err);
#define TAR_MAP_MAX 1000000u /* pieces of one sparse file */

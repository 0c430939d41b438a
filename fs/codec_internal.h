/* codec_internal.h - members of gzip: their header, read byte by byte; how they are made. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gzip_part {
    GZIP_FIXED,
    GZIP_EXTRA_SIZE,
    GZIP_EXTRA,
    GZIP_NAME,
    GZIP_COMMENT,
    GZIP_CHECKSUM,
    GZIP_BODY, /* the header is complete */
};

struct gzip_header { /* {0} is before the first byte */
    enum gzip_part part;
    uint32_t position; /* in the part */
    uint32_t extra_size;
    uint32_t checksum; /* of what was read, RFC 1952 2.3.1.2 */
    uint8_t flags;
};

/* Reads on; *in and *size move behind what was read, which is all unless the header ends before.
 * False when these bytes are no header. */
bool gzip_header_read(struct gzip_header *h, const uint8_t **in, size_t *size);

/* Whether trying to compress these bytes, CODEC_DENSE_SIZE at most, would be for nothing. */
#define CODEC_DENSE_SIZE ((size_t)32 << 10)
bool codec_is_dense(const uint8_t *bytes, size_t size);

/* Makes gzip members of one piece of at most 1 GiB: one, or one for each part that does not compress and
 * for each part that does. For one thread. `capacity` must be member_bound() of the piece. */
struct member_maker;
struct member_maker *member_maker_new(int level); /* libdeflate's, 0 to 12 */
void member_maker_free(struct member_maker *m);   /* NULL is allowed */
size_t member_bound(size_t in_size);
/* At the maker's level: the same bytes on every machine. Answers their number. */
size_t member_make(struct member_maker *m, const uint8_t *in, size_t in_size, uint8_t *out,
                   size_t capacity);
/* As fast as can be, whatever the level; in_size > 0. The same bytes on every machine for which
 * member_is_fast_by_isal() says the same. */
size_t member_make_fast(struct member_maker *m, const uint8_t *in, size_t in_size, uint8_t *out,
                        size_t capacity);
bool member_is_fast_by_isal(void); /* x86-64 with SSE4.2; elsewhere it is libdeflate's level 1 */

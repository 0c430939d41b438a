/* codec_internal.h - the header of a gzip member, read byte by byte. */
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

/* codec_gzip.c - reads the header of a gzip member (RFC 1952 2.3), which may come in any pieces.
 *
 * ISA-L could do it too, but its 2.30 refuses a header checksum that arrives in two pieces.
 */
#include <isa-l/crc.h>

#include "fs/codec_internal.h"

#include "fs/base/banned.h"

#define FLAG_CHECKSUM 0x02
#define FLAG_EXTRA 0x04
#define FLAG_NAME 0x08
#define FLAG_COMMENT 0x10
#define FLAGS_RESERVED 0xE0
#define FIXED_SIZE 10u
#define FIXED_FLAGS 3u /* position of the flags */

static bool read_fixed(struct gzip_header *h, uint8_t byte)
{
    static const uint8_t magic[] = {0x1F, 0x8B, 8};

    if (h->position < sizeof(magic) && byte != magic[h->position])
        return false;
    if (h->position == FIXED_FLAGS)
        h->flags = byte;
    return (h->flags & FLAGS_RESERVED) == 0;
}

static bool is_present(const struct gzip_header *h)
{
    switch (h->part) {
    case GZIP_EXTRA_SIZE:
        return h->flags & FLAG_EXTRA;
    case GZIP_EXTRA:
        return h->extra_size > 0;
    case GZIP_NAME:
        return h->flags & FLAG_NAME;
    case GZIP_COMMENT:
        return h->flags & FLAG_COMMENT;
    case GZIP_CHECKSUM:
        return h->flags & FLAG_CHECKSUM;
    case GZIP_FIXED:
    case GZIP_BODY:
    default:
        return true;
    }
}

static void end_part(struct gzip_header *h)
{
    h->position = 0;
    do
        h->part++;
    while (!is_present(h));
}

/* Takes one byte; true in *ended when it was the last of its part. */
static bool read_byte(struct gzip_header *h, uint8_t byte, bool *ended)
{
    uint8_t expected;

    *ended = false;
    switch (h->part) {
    case GZIP_FIXED:
        *ended = h->position == FIXED_SIZE - 1;
        return read_fixed(h, byte);
    case GZIP_EXTRA_SIZE:
        h->extra_size |= (uint32_t)byte << (8 * h->position);
        *ended = h->position == 1;
        return true;
    case GZIP_EXTRA:
        *ended = h->position == h->extra_size - 1;
        return true;
    case GZIP_NAME:
    case GZIP_COMMENT:
        *ended = byte == 0;
        return true;
    case GZIP_CHECKSUM:
        expected = (uint8_t)(h->checksum >> (8 * h->position));
        *ended = h->position == 1;
        return byte == expected;
    case GZIP_BODY:
    default:
        return false;
    }
}

bool gzip_header_read(struct gzip_header *h, const uint8_t **in, size_t *size)
{
    while (*size > 0 && h->part != GZIP_BODY) {
        enum gzip_part part = h->part;
        bool ended;

        if (!read_byte(h, **in, &ended))
            return false;
        if (part != GZIP_CHECKSUM)
            h->checksum = crc32_gzip_refl(h->checksum, *in, 1);
        h->position++;
        if (ended)
            end_part(h);
        (*in)++;
        (*size)--;
    }
    return true;
}

/* codec_dense.c - whether bytes are worth compressing: archives, images and keys are not.
 *
 * A compressor needs as long to find nothing in them as it needs for text. What counts here are the bytes
 * alone, so that the answer is the same everywhere.
 */
#include <endian.h>
#include <string.h>

#include "fs/codec_internal.h"

#include "fs/base/banned.h"

#define SIZE_MIN 4096u /* of fewer bytes a histogram tells little */
#define HASH_BITS 12u
#define MATCH_MIN 4u
#define SAVED_SHIFT 6 /* one byte in 64 that matches could save is worth it */

/* Whether all byte values are about as frequent: coding them for themselves would save below 0.6 %. */
static bool is_even(const uint8_t *bytes, size_t size)
{
    uint32_t counts[4][256] = {0}; /* four, so that equal neighbours do not wait for each other */
    uint64_t squares = 0;

    for (size_t i = 0; i + 4 <= size; i += 4)
        for (size_t k = 0; k < 4; k++)
            counts[k][bytes[i + k]]++;
    for (size_t i = 0; i < 256; i++) {
        uint64_t count = (uint64_t)counts[0][i] + counts[1][i] + counts[2][i] + counts[3][i];

        squares += count * count;
    }
    return squares * 256 * 16 < (uint64_t)size * size * 17;
}

static uint32_t load32(const uint8_t *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof(value));
    return le32toh(value);
}

/* Whether they repeat themselves. */
static bool has_matches(const uint8_t *bytes, size_t size)
{
    uint16_t places[1u << HASH_BITS] = {0}; /* behind where such bytes began last; 0: nowhere */
    size_t saved = 0;
    size_t at = 0;

    while (at + MATCH_MIN <= size && saved <= size >> SAVED_SHIFT) {
        uint16_t *place = &places[(load32(bytes + at) * 2654435761u) >> (32 - HASH_BITS)];
        size_t seen = *place;
        size_t length = 0;

        *place = (uint16_t)(at + 1);
        while (seen > 0 && at + length < size && bytes[seen - 1 + length] == bytes[at + length])
            length++;
        saved += length >= MATCH_MIN ? length - MATCH_MIN + 1 : 0;
        at += length >= MATCH_MIN ? length : 1;
    }
    return saved > size >> SAVED_SHIFT;
}

bool codec_is_dense(const uint8_t *bytes, size_t size)
{
    return size >= SIZE_MIN && is_even(bytes, size) && !has_matches(bytes, size);
}

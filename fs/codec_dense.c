/* codec_dense.c - whether bytes are worth compressing, and whether looking for what repeats is.
 *
 * A compressor needs as long to find nothing in archives, images and keys as it needs for text. What counts
 * here are the bytes alone, in integers, so that the answer is the same everywhere.
 */
#include <assert.h>
#include <endian.h>
#include <string.h>

#include "fs/codec_internal.h"

#include "fs/base/banned.h"

#define SIZE_MIN 4096u /* of fewer bytes a histogram tells little */
#define HASH_BITS 12u
#define MATCH_MIN 4u
#define SAVED_SHIFT 6 /* one byte in 64 that matches could save is worth it */
#define SAMPLE_SIZE 256u
#define SAMPLE_STEP 8192u /* from one to the next */
#define WINDOW_SIZE 32768u
#define ONE_BIT ((uint64_t)1 << 8)
#define MATCH_BITS (20 * ONE_BIT) /* about what telling a match costs */
#define SAVED_SHARE 40u           /* less of it, in samples so short, is little in all */

void codec_count_bytes(const uint8_t *bytes, size_t size, uint32_t *counts)
{
    uint32_t apart[4][256] = {0}; /* so that equal neighbours do not wait for each other */
    size_t at = 0;

    for (; at + 4 <= size; at += 4)
        for (size_t k = 0; k < 4; k++)
            apart[k][bytes[at + k]]++;
    for (; at < size; at++)
        apart[0][bytes[at]]++;
    for (size_t i = 0; i < 256; i++)
        counts[i] = apart[0][i] + apart[1][i] + apart[2][i] + apart[3][i];
}

/* Whether all byte values are about as frequent: coding them for themselves would save below 0.6 %. */
static bool is_even(const uint8_t *bytes, size_t size)
{
    uint32_t counts[256];
    uint64_t squares = 0;

    codec_count_bytes(bytes, size, counts);
    for (size_t i = 0; i < 256; i++)
        squares += (uint64_t)counts[i] * counts[i];
    return squares * 256 * 16 < (uint64_t)size * size * 17;
}

static uint32_t load32(const uint8_t *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof(value));
    return le32toh(value);
}

static uint32_t hash_of(uint32_t value)
{
    return (value * 2654435761u) >> (32 - HASH_BITS);
}

/* Whether they repeat themselves. */
static bool has_matches(const uint8_t *bytes, size_t size)
{
    uint16_t places[1u << HASH_BITS] = {0}; /* behind where such bytes began last; 0: nowhere */
    size_t saved = 0;
    size_t at = 0;

    while (at + MATCH_MIN <= size && saved <= size >> SAVED_SHIFT) {
        uint16_t *place = &places[hash_of(load32(bytes + at))];
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

/* -- samples -- */

/* In parts of ONE_BIT; straight between powers of two. */
static uint64_t log2_of(uint32_t value)
{
    unsigned whole = 31 - (unsigned)__builtin_clz(value);

    return whole * ONE_BIT + ((uint64_t)value * ONE_BIT >> whole) - ONE_BIT;
}

/* What a byte of the samples costs when each is coded for itself; there is one sample at least. */
static uint64_t literal_bits(const uint8_t *bytes, size_t size)
{
    uint32_t counts[256] = {0};
    uint32_t total = 0;
    uint64_t bits = 0;

    for (size_t start = 0; start + SAMPLE_SIZE <= size; start += SAMPLE_STEP)
        for (size_t i = 0; i < SAMPLE_SIZE; i++, total++)
            counts[bytes[start + i]]++;
    for (size_t i = 0; i < 256; i++)
        if (counts[i] > 0)
            bits += counts[i] * (log2_of(total) - log2_of(counts[i]));
    return bits > total * ONE_BIT ? bits / total : ONE_BIT; /* no word is shorter than a bit */
}

/* What matches would save of the sample from `at` to `end`. `places` has those before it, too. */
static uint64_t saved_bits(const uint8_t *bytes, size_t at, size_t end, uint64_t per_byte,
                           uint16_t *places)
{
    uint64_t saved = 0;

    while (at + MATCH_MIN <= end) {
        uint32_t value = load32(bytes + at);
        uint16_t *place = &places[hash_of(value)];
        size_t seen = *place;
        size_t length = MATCH_MIN;

        *place = (uint16_t)(at + 1);
        if (seen == 0 || at + 1 - seen > WINDOW_SIZE || load32(bytes + seen - 1) != value) {
            at++;
            continue;
        }
        while (at + length < end && bytes[seen - 1 + length] == bytes[at + length])
            length++;
        if (length * per_byte > MATCH_BITS)
            saved += length * per_byte - MATCH_BITS;
        at += length;
    }
    return saved;
}

bool codec_is_flat(const uint8_t *bytes, size_t size)
{
    uint16_t places[1u << HASH_BITS] = {0};
    uint64_t per_byte;
    uint64_t saved = 0;
    uint64_t enough;

    assert(size <= CODEC_FLAT_SIZE); /* a place is 16 bits */
    if (size < SAMPLE_STEP)
        return false;
    per_byte = literal_bits(bytes, size);
    enough = size / SAMPLE_STEP * SAMPLE_SIZE * per_byte / SAVED_SHARE;
    for (size_t start = 0; start + SAMPLE_SIZE <= size && saved <= enough; start += SAMPLE_STEP)
        saved += saved_bits(bytes, start, start + SAMPLE_SIZE, per_byte, places);
    return saved <= enough;
}

/* codec_literal.c - gzip members of literals alone: no search for what repeats, which is most of the work.
 *
 * Each block has its own code, or is stored when no code makes it smaller (RFC 1951 3.2.4 and 3.2.7).
 */
#include <endian.h>
#include <string.h>

#include <isa-l/crc.h>

#include "fs/codec_internal.h"

#include "fs/base/banned.h"

#define BLOCK_SIZE ((size_t)32 << 10)
#define LITERALS 256u
#define END_OF_BLOCK LITERALS
#define LITERAL_CODES (LITERALS + 1)
#define DISTANCE_CODES 2u   /* of one bit each: some readers want a whole code, used or not */
#define WORD_LENGTH_MAX 12u /* so that four and what was left of a byte go into 64 bits */
#define WORDS_AT_ONCE 4u
#define STORED_EXTRA_BITS (3 + 7 + 32)

/* RFC 1951 3.2.7: how lengths are told. */
#define LENGTH_CODES 19u
#define LENGTH_WORD_MAX 7u
#define REPEAT_LAST 16u
#define REPEAT_ZERO 17u
#define REPEAT_ZERO_LONG 18u

/* -- bits, from the lowest on -- */

struct bit_writer {
    uint64_t held;
    unsigned held_count; /* below 8 after a flush */
    uint8_t *to;         /* 8 bytes from here on may be written */
};

static void bits_flush(struct bit_writer *b)
{
    uint64_t bytes = htole64(b->held);

    memcpy(b->to, &bytes, sizeof(bytes));
    b->to += b->held_count >> 3;
    b->held >>= b->held_count & ~7u;
    b->held_count &= 7;
}

static void bits_hold(struct bit_writer *b, uint64_t value, unsigned count)
{
    b->held |= value << b->held_count;
    b->held_count += count;
}

static void bits_put(struct bit_writer *b, uint64_t value, unsigned count)
{
    bits_hold(b, value, count);
    bits_flush(b);
}

static void bits_put32(struct bit_writer *b, uint32_t value)
{
    bits_put(b, value, 32);
}

/* -- the code of a block -- */

/* The lengths of a code as they are told. */
struct told_lengths {
    uint8_t symbols[LITERAL_CODES + DISTANCE_CODES];
    uint8_t repeats[LITERAL_CODES + DISTANCE_CODES]; /* beyond the least its symbol can say */
    size_t count;
    struct huffman_code code;
    unsigned order_count; /* of the code's own lengths */
    uint64_t size_bits;
};

static const uint8_t length_order[LENGTH_CODES] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                   11, 4,  12, 3, 13, 2, 14, 1, 15};
static const uint8_t repeat_bits[LENGTH_CODES] = {
    [REPEAT_LAST] = 2, [REPEAT_ZERO] = 3, [REPEAT_ZERO_LONG] = 7};

static void tell(struct told_lengths *t, unsigned symbol, size_t repeats)
{
    t->symbols[t->count] = (uint8_t)symbol;
    t->repeats[t->count++] = (uint8_t)repeats;
}

static void tell_run(struct told_lengths *t, uint8_t length, size_t run)
{
    if (length > 0) {
        tell(t, length, 0);
        run--;
    }
    while (run >= 3) {
        size_t most = length > 0 ? 6 : 138;
        size_t part = run < most ? run : most;

        if (length > 0)
            tell(t, REPEAT_LAST, part - 3);
        else if (part < 11)
            tell(t, REPEAT_ZERO, part - 3);
        else
            tell(t, REPEAT_ZERO_LONG, part - 11);
        run -= part;
    }
    while (run-- > 0)
        tell(t, length, 0);
}

static void tell_lengths(const struct huffman_code *code, struct told_lengths *out)
{
    uint8_t lengths[LITERAL_CODES + DISTANCE_CODES];
    uint32_t counts[LENGTH_CODES] = {0};

    memcpy(lengths, code->lengths, LITERAL_CODES);
    memset(lengths + LITERAL_CODES, 1, DISTANCE_CODES);
    out->count = 0;
    for (size_t at = 0, end; at < sizeof(lengths); at = end) {
        for (end = at + 1; end < sizeof(lengths) && lengths[end] == lengths[at];)
            end++;
        tell_run(out, lengths[at], end - at);
    }
    for (size_t i = 0; i < out->count; i++)
        counts[out->symbols[i]]++;
    huffman_make(counts, LENGTH_CODES, LENGTH_WORD_MAX, &out->code);
    out->order_count = LENGTH_CODES;
    while (out->code.lengths[length_order[out->order_count - 1]] == 0)
        out->order_count--;
    out->size_bits = 5 + 5 + 4 + 3 * out->order_count;
    for (size_t i = 0; i < LENGTH_CODES; i++)
        out->size_bits += (uint64_t)counts[i] * (out->code.lengths[i] + repeat_bits[i]);
}

static void put_lengths(struct bit_writer *b, const struct told_lengths *t)
{
    bits_put(b, LITERAL_CODES - 257, 5);
    bits_put(b, DISTANCE_CODES - 1, 5);
    bits_put(b, t->order_count - 4, 4);
    for (unsigned i = 0; i < t->order_count; i++)
        bits_put(b, t->code.lengths[length_order[i]], 3);
    for (size_t i = 0; i < t->count; i++) {
        unsigned symbol = t->symbols[i];

        bits_hold(b, t->code.words[symbol], t->code.lengths[symbol]);
        bits_put(b, t->repeats[i], repeat_bits[symbol]);
    }
}

/* -- blocks -- */

/* The words of bytes are joined in pairs and these in fours before they meet the bits that are held: those
 * must wait for each other, the rest need not. */
static void put_literals(struct bit_writer *b, const struct huffman_code *code, const uint8_t *in,
                         size_t size)
{
    const uint16_t *words = code->words;
    const uint8_t *lengths = code->lengths;
    struct bit_writer w = *b; /* what is written to may be anything but this */
    size_t at = 0;

    for (; at + WORDS_AT_ONCE <= size; at += WORDS_AT_ONCE) {
        unsigned first = lengths[in[at]];
        unsigned second = lengths[in[at + 2]];
        unsigned half = first + lengths[in[at + 1]];
        unsigned other = second + lengths[in[at + 3]];
        uint64_t low = words[in[at]] | (uint64_t)words[in[at + 1]] << first;
        uint64_t high = words[in[at + 2]] | (uint64_t)words[in[at + 3]] << second;

        bits_put(&w, low | high << half, half + other);
    }
    for (; at < size; at++)
        bits_put(&w, words[in[at]], lengths[in[at]]);
    bits_put(&w, words[END_OF_BLOCK], lengths[END_OF_BLOCK]);
    *b = w;
}

static void put_stored(struct bit_writer *b, const uint8_t *in, size_t size)
{
    bits_put(b, 0, 2);
    bits_put(b, 0, -b->held_count & 7);
    bits_put32(b, (uint32_t)size | (uint32_t)(~size & 0xFFFF) << 16);
    memcpy(b->to, in, size);
    b->to += size;
}

static void put_block(struct bit_writer *b, const uint8_t *in, size_t size, bool is_last)
{
    uint32_t counts[LITERAL_CODES];
    struct huffman_code code;
    struct told_lengths told;
    uint64_t size_bits;

    codec_count_bytes(in, size, counts);
    counts[END_OF_BLOCK] = 1;
    huffman_make(counts, LITERAL_CODES, WORD_LENGTH_MAX, &code);
    tell_lengths(&code, &told);
    size_bits = told.size_bits + 3;
    for (size_t i = 0; i < LITERAL_CODES; i++)
        size_bits += (uint64_t)counts[i] * code.lengths[i];
    bits_put(b, is_last, 1);
    if (size_bits >= (uint64_t)size * 8 + STORED_EXTRA_BITS) {
        put_stored(b, in, size);
        return;
    }
    bits_put(b, 2, 2);
    put_lengths(b, &told);
    put_literals(b, &code, in, size);
}

size_t literal_member_make(const uint8_t *in, size_t in_size, uint8_t *out)
{
    /* RFC 1952 2.3: deflate, no flags, no time, nothing of the level, an unknown system. */
    static const uint8_t header[] = {0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF};
    struct bit_writer b = {.to = out + sizeof(header)};

    memcpy(out, header, sizeof(header));
    for (size_t at = 0; at < in_size;) {
        size_t left = in_size - at;
        size_t size = left < BLOCK_SIZE ? left : BLOCK_SIZE;

        put_block(&b, in + at, size, size == left);
        at += size;
    }
    bits_put(&b, 0, -b.held_count & 7);
    bits_put32(&b, crc32_gzip_refl(0, in, in_size));
    bits_put32(&b, (uint32_t)in_size);
    return (size_t)(b.to - out);
}

/* codec_huffman.c - the shortest prefix code for given counts, no word of which is too long.
 *
 * Huffman's own construction gives the lengths; those above the limit are cut to it, and as many short words
 * as that takes become longer. What comes out depends on the counts alone.
 */
#include <assert.h>
#include <string.h>

#include "fs/codec_internal.h"

#include "fs/base/banned.h"

#define DIGIT_BITS 8u
#define DIGITS (1u << DIGIT_BITS)
#define NODES_MAX (2 * HUFFMAN_SYMBOLS_MAX)

/* Those that occur, the rarest first: a radix sort, for it runs for every few pages of data. */
static size_t sort_symbols(const uint32_t *counts, size_t symbol_count, uint16_t *sorted)
{
    uint16_t passing[HUFFMAN_SYMBOLS_MAX];
    size_t used = 0;

    for (size_t i = 0; i < symbol_count; i++) {
        assert(counts[i] <= HUFFMAN_COUNT_MAX);
        if (counts[i] > 0)
            passing[used++] = (uint16_t)i;
    }
    for (unsigned shift = 0; shift < 2 * DIGIT_BITS; shift += DIGIT_BITS) {
        uint16_t starts[DIGITS + 1] = {0};

        for (size_t i = 0; i < used; i++)
            starts[(counts[passing[i]] >> shift & (DIGITS - 1)) + 1]++;
        for (size_t i = 1; i < DIGITS; i++)
            starts[i] = (uint16_t)(starts[i] + starts[i - 1]);
        for (size_t i = 0; i < used; i++)
            sorted[starts[counts[passing[i]] >> shift & (DIGITS - 1)]++] = passing[i];
        memcpy(passing, sorted, used * sizeof(*sorted));
    }
    return used;
}

/* Joins the two rarest until one is left. How many words there are of each length up to `length_max`. */
static void count_lengths(const uint32_t *counts, const uint16_t *sorted, size_t used,
                          unsigned length_max, uint16_t *words)
{
    uint32_t weights[NODES_MAX];
    uint16_t parents[NODES_MAX];
    uint8_t depths[NODES_MAX];
    size_t leaf = 0;
    size_t joint = used; /* joints come out in the order of their weights, too */

    for (size_t i = 0; i < used; i++)
        weights[i] = counts[sorted[i]];
    for (size_t next = used; next < 2 * used - 1; next++) {
        weights[next] = 0;
        for (int side = 0; side < 2; side++) {
            bool is_leaf = leaf < used && (joint == next || weights[leaf] <= weights[joint]);
            size_t least = is_leaf ? leaf++ : joint++;

            weights[next] += weights[least];
            parents[least] = (uint16_t)next;
        }
    }
    depths[2 * used - 2] = 0;
    for (size_t i = 2 * used - 2; i > 0; i--) {
        depths[i - 1] = (uint8_t)(depths[parents[i - 1]] + 1);
        if (i - 1 < used)
            words[depths[i - 1] < length_max ? depths[i - 1] : length_max]++;
    }
}

/* Words that were cut take more than there is of the code: for each too many, the longest of the others
 * makes room below itself. */
static void keep_limit(unsigned length_max, uint16_t *words)
{
    uint32_t taken = 0;

    for (unsigned length = 1; length <= length_max; length++)
        taken += (uint32_t)words[length] << (length_max - length);
    for (; taken > 1u << length_max; taken--) {
        unsigned length = length_max - 1;

        while (words[length] == 0)
            length--;
        words[length_max]--;
        words[length]--;
        words[length + 1] = (uint16_t)(words[length + 1] + 2);
    }
}

static uint16_t reversed(unsigned word, unsigned length)
{
    unsigned out = 0;

    for (unsigned i = 0; i < length; i++)
        out |= (word >> i & 1) << (length - 1 - i);
    return (uint16_t)out;
}

/* RFC 1951 3.2.2: of one length, words follow each other in the order of their symbols. */
static void number_words(size_t symbol_count, const uint16_t *words, struct huffman_code *code)
{
    unsigned next[HUFFMAN_LENGTH_MAX + 1] = {0};

    for (unsigned length = 1; length < HUFFMAN_LENGTH_MAX; length++)
        next[length + 1] = (next[length] + words[length]) << 1;
    for (size_t i = 0; i < symbol_count; i++) {
        unsigned length = code->lengths[i];

        if (length > 0)
            code->words[i] = reversed(next[length]++, length);
    }
}

void huffman_make(const uint32_t *counts, size_t symbol_count, unsigned length_max,
                  struct huffman_code *out)
{
    uint16_t sorted[HUFFMAN_SYMBOLS_MAX];
    uint16_t words[HUFFMAN_LENGTH_MAX + 1] = {0};
    size_t used;
    size_t at = 0;

    assert(symbol_count <= HUFFMAN_SYMBOLS_MAX && length_max <= HUFFMAN_LENGTH_MAX);
    used = sort_symbols(counts, symbol_count, sorted);
    assert(used >= 2 && used <= (size_t)1 << length_max);
    memset(out->lengths, 0, sizeof(out->lengths));
    count_lengths(counts, sorted, used, length_max, words);
    keep_limit(length_max, words);
    for (unsigned length = length_max; length > 0; length--)
        for (uint16_t i = 0; i < words[length]; i++)
            out->lengths[sorted[at++]] = (uint8_t)length;
    number_words(symbol_count, words, out);
}

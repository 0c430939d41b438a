/* test_codec_literal.c - members without matches, their codes, and who gets them; zlib is the oracle. */
#include <string.h>

#include <zlib.h>

#include "fs/base/str.h"
#include "fs/codec_internal.h"
#include "tests/lib/test.h"

/* -- bytes of every kind -- */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed >> 32;
}

/* Drawn from the first `kinds` of `alphabet`, each as likely. */
static void make_drawn(struct str *out, size_t size, const char *alphabet, unsigned kinds)
{
    uint64_t seed = 88172645463325252u;

    while (out->size < size)
        str_add_char(out, alphabet[next_random(&seed) % kinds]);
}

static void make_noise(struct str *out, size_t size)
{
    uint64_t seed = 2463534242u;

    while (out->size < size)
        str_add_char(out, (char)next_random(&seed));
}

/* A byte is twice as frequent as the next one: words of every length there is. */
static void make_skewed(struct str *out, size_t size)
{
    uint64_t seed = 1181783497276652981u;

    while (out->size < size)
        str_add_char(out, (char)__builtin_ctz((unsigned)next_random(&seed) | 1u << 31));
}

static void make_listing(struct str *out, size_t size)
{
    for (unsigned i = 0; out->size < size; i++)
        str_addf(out, "%u usr/share/doc/package-%u/copyright\n", i * 7919, i % 97);
    str_truncate(out, size);
}

/* -- codes -- */

/* Of `count` symbols the words fill the whole code, and none is too long (RFC 1951 3.2.2). */
static void check_whole(const struct huffman_code *code, size_t count, unsigned length_max)
{
    uint32_t taken = 0;

    for (size_t i = 0; i < count; i++) {
        check_true(code->lengths[i] <= length_max);
        if (code->lengths[i] > 0)
            taken += 1u << (length_max - code->lengths[i]);
    }
    check_int(taken, 1u << length_max);
}

/* RFC 1951 3.2.2, the example: F has two bits, A to E three, G and H four. */
TEST(codec_literal, words_are_numbered_as_in_the_rfc)
{
    static const uint32_t counts[] = {2, 2, 2, 2, 2, 4, 1, 1};
    static const char *const words[] = {"010", "011", "100", "101", "110", "00", "1110", "1111"};
    struct huffman_code code;

    huffman_make(counts, 8, 15, &code);
    for (size_t i = 0; i < 8; i++) {
        char sent[8] = "";

        for (size_t k = 0; k < code.lengths[i]; k++)
            sent[k] = code.words[i] >> k & 1 ? '1' : '0';
        check_text(sent, words[i]);
    }
}

/* Fibonacci's numbers ask for the longest words there can be. */
TEST(codec_literal, no_word_is_longer_than_the_limit)
{
    uint32_t counts[22] = {1, 1};
    struct huffman_code code;

    for (size_t i = 2; i < 22; i++)
        counts[i] = counts[i - 1] + counts[i - 2];
    for (unsigned limit = 5; limit <= 15; limit++) {
        huffman_make(counts, 22, limit, &code);
        check_whole(&code, 22, limit);
        for (size_t i = 1; i < 22; i++)
            check_true(code.lengths[i] <= code.lengths[i - 1]);
    }
    /* The opposite: a limit that is far away changes nothing. */
    huffman_make(counts, 10, 15, &code);
    check_int(code.lengths[0], 9);
    check_int(code.lengths[9], 1);
}

TEST(codec_literal, what_does_not_occur_has_no_word)
{
    uint32_t counts[288] = {[5] = 1, [287] = 65535};
    struct huffman_code code;

    huffman_make(counts, 288, 12, &code);
    check_int(code.lengths[5], 1);
    check_int(code.lengths[287], 1);
    check_int(code.lengths[6], 0);
}

/* -- members -- */

static size_t check_member(const struct str *bytes, size_t size)
{
    size_t capacity = member_bound(size);
    auto_free uint8_t *member = mem_alloc(capacity);
    auto_free uint8_t *back = mem_alloc(size + 1);
    size_t made = literal_member_make((const uint8_t *)bytes->data, size, member);
    z_stream z = {.next_in = member, .next_out = back};

    check_true(made <= capacity);
    z.avail_in = (uInt)made;
    z.avail_out = (uInt)size + 1;
    check_int(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
    check_int(inflate(&z, Z_FINISH), Z_STREAM_END);
    check_bytes(back, z.total_out, bytes->data, size);
    check_int(z.avail_in, 0);
    inflateEnd(&z);
    return made;
}

TEST(codec_literal, members_of_any_bytes_and_size_inflate)
{
    static const size_t sizes[] = {1, 2, 3, 5, 4095, 32767, 32768, 32769, 65536, (1u << 20) - 1};
    static const char same[1] = {0};
    struct str bytes[5] = {0};

    make_drawn(&bytes[0], 1u << 20, "0123456789abcdef", 16);
    make_drawn(&bytes[1], 1u << 20, same, 1);
    make_noise(&bytes[2], 1u << 20);
    make_skewed(&bytes[3], 1u << 20);
    make_listing(&bytes[4], 1u << 20);
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
            (void)check_member(&bytes[i], sizes[k]);
    for (size_t i = 0; i < 5; i++)
        str_release(&bytes[i]);
}

/* Fifteen values as frequent as each other and the end of the block are four bits each; noise is stored. */
TEST(codec_literal, members_are_as_small_as_counts_can_make_them)
{
    auto_str struct str digits = {0};
    auto_str struct str noise = {0};

    make_drawn(&digits, 1u << 20, "0123456789abcde", 15);
    check_true(check_member(&digits, digits.size) < (digits.size / 2) * 101 / 100);
    make_noise(&noise, 1u << 20);
    check_true(check_member(&noise, noise.size) <= noise.size + 32 * 6 + 18);
}

/* -- which bytes -- */

static bool is_flat(const struct str *bytes)
{
    return codec_is_flat((const uint8_t *)bytes->data, CODEC_FLAT_SIZE);
}

TEST(codec_literal, what_hardly_repeats_is_flat_and_what_does_is_not)
{
    auto_str struct str digits = {0};
    auto_str struct str noise = {0};
    auto_str struct str listing = {0};
    auto_str struct str zeros = {0};

    make_drawn(&digits, CODEC_FLAT_SIZE, "0123456789abcdef", 16);
    make_noise(&noise, CODEC_FLAT_SIZE);
    make_listing(&listing, CODEC_FLAT_SIZE);
    make_drawn(&zeros, CODEC_FLAT_SIZE, "0", 1);
    check_true(is_flat(&digits));
    check_true(is_flat(&noise));
    check_false(is_flat(&listing));
    check_false(is_flat(&zeros));
    check_false(codec_is_flat((const uint8_t *)digits.data, 8191)); /* too few to tell */
}

/* A genome: to tell what is found again of four letters takes more bits than the letters do, which are two
 * bits, and for one in four three, for a block has an end. */
TEST(codec_literal, fast_members_of_flat_bytes_are_those_of_literals)
{
    auto_str struct str genome = {0};
    auto_str struct str mixed = {0};
    auto_free uint8_t *fast = mem_alloc(member_bound(1u << 20));
    auto_free uint8_t *literal = mem_alloc(member_bound(1u << 20));
    struct member_maker *m = member_maker_new(6);
    size_t mixed_size;
    size_t size;

    make_drawn(&genome, 256u << 10, "ACGT", 4);
    size = literal_member_make((const uint8_t *)genome.data, genome.size, literal);
    check_int(member_make_fast(m, (const uint8_t *)genome.data, genome.size, fast,
                               member_bound(genome.size)),
              size);
    check_bytes(fast, size, literal, size);
    check_true(size < genome.size * 9 / 32 + 4096);
    make_listing(&mixed, 256u << 10); /* the opposite: only where they are */
    str_add_bytes(&mixed, genome.data, genome.size);
    mixed_size = member_make_fast(m, (const uint8_t *)mixed.data, mixed.size, fast,
                                  member_bound(mixed.size));
    check_true(mixed_size > size);
    check_bytes(fast + mixed_size - size, size, literal, size);
    member_maker_free(m);
}

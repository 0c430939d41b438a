/* test_digest.c - the name of some bytes. */
#include <errno.h>

#include "fs/base/digest.h"
#include "tests/lib/test.h"

#define ABC_HEX "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_512                                                                                    \
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3fe" \
    "ebbd454d4423643ce80e2a9ac94fa54ca49f"

static void check_digest(const struct digest *d, const char *text)
{
    char actual[DIGEST_TEXT_SIZE];

    digest_format(d, actual);
    check_text(actual, text);
}

/* FIPS 180-4 and the examples NIST publishes with it. */
TEST(digest, it_is_sha256)
{
    struct digest d;

    digest_of("", 0, &d);
    check_digest(&d, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_of(NULL, 0, &d);
    check_digest(&d, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_of("abc", 3, &d);
    check_digest(&d, "sha256:" ABC_HEX);
    digest_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, &d);
    check_digest(&d, "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(digest, it_is_sha512_where_that_is_asked_for)
{
    struct digest d;

    digest_of_as(DIGEST_SHA512, "", 0, &d);
    check_digest(&d,
                 "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13"
                 "c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e");
    digest_of_as(DIGEST_SHA512, "abc", 3, &d);
    check_digest(&d, "sha512:" ABC_512);
    check_int(digest_size(&d), 64);
    digest_of_as(DIGEST_SHA256, "abc", 3, &d);
    check_digest(&d, "sha256:" ABC_HEX);
    check_int(digest_size(&d), 32);
}

TEST(digest, a_hasher_keeps_its_algorithm)
{
    auto_hasher struct hasher *h = hasher_new_as(DIGEST_SHA512);
    struct digest d;

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000000; i += 40)
            hasher_update(h, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 40);
        hasher_final(h, &d);
        check_digest(&d,
                     "sha512:e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973ebde0"
                     "ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b");
    }
}

/* One content, two names: whoever has one of them does not have the other. */
TEST(digest, the_same_bytes_under_two_algorithms_are_two_digests)
{
    struct digest short_one;
    struct digest long_one;
    struct digest other = {0};

    digest_of("abc", 3, &short_one);
    digest_of_as(DIGEST_SHA512, "abc", 3, &long_one);
    check_false(digest_equal(&short_one, &long_one));
    check_true(digest_compare(&short_one, &long_one) != 0);
    /* Not even when one begins with the other and goes on with zeros. */
    other = short_one;
    other.algorithm = DIGEST_SHA512;
    check_false(digest_equal(&short_one, &other));
    check_true(digest_compare(&short_one, &other) < 0);
    check_true(digest_compare(&other, &short_one) > 0);
    check_true(digest_matches(&long_one, "abc", 3));
    check_false(digest_matches(&long_one, "abd", 3));
    check_true(digest_matches(&short_one, "abc", 3));
    check_false(digest_matches(&other, "abc", 3));
}

TEST(digest, a_name_is_kept_as_long_as_it_is_right)
{
    struct digest named;
    struct digest kept;

    digest_of_as(DIGEST_SHA512, "abc", 3, &named);
    digest_of_kept(&named, "abc", 3, &kept);
    check_digest(&kept, "sha512:" ABC_512);
    digest_of_kept(NULL, "abc", 3, &kept);
    check_digest(&kept, "sha256:" ABC_HEX);
    digest_of_as(DIGEST_SHA512, "abd", 3, &named);
    digest_of_kept(&named, "abc", 3, &kept);
    check_digest(&kept, "sha256:" ABC_HEX);
}

TEST(digest, bytes_of_a_row_tell_the_algorithm)
{
    struct digest d;
    struct digest back;

    digest_of_as(DIGEST_SHA512, "abc", 3, &d);
    check_true(digest_from_bytes(d.bytes, 64, &back));
    check_true(digest_equal(&d, &back));
    digest_of("abc", 3, &d);
    check_true(digest_from_bytes(d.bytes, 32, &back));
    check_true(digest_equal(&d, &back));
    check_false(digest_from_bytes(d.bytes, 0, &back));
    check_false(digest_from_bytes(d.bytes, 31, &back));
    check_false(digest_from_bytes(d.bytes, 33, &back));
    check_false(digest_from_bytes(d.bytes, 63, &back));
}

TEST(digest, the_beginning_of_an_id_may_name_its_algorithm)
{
    struct digest short_one;
    struct digest long_one;

    digest_of("abc", 3, &short_one);
    digest_of_as(DIGEST_SHA512, "abc", 3, &long_one);
    check_true(digest_has_prefix(&short_one, "ba78"));
    check_true(digest_has_prefix(&short_one, "sha256:ba78"));
    check_true(digest_has_prefix(&short_one, "sha256:" ABC_HEX));
    check_false(digest_has_prefix(&short_one, "sha512:ba78"));
    check_false(digest_has_prefix(&short_one, "ba79"));
    check_true(digest_has_prefix(&long_one, "ddaf"));
    check_true(digest_has_prefix(&long_one, "sha512:" ABC_512));
    check_false(digest_has_prefix(&long_one, "sha256:ddaf"));
    check_false(digest_has_prefix(&short_one, ABC_HEX "0"));

    check_int(digest_prefix_digits("ba78"), 4);
    check_int(digest_prefix_digits("sha512:ba78"), 4);
    check_int(digest_prefix_digits(ABC_512), 128);
    check_int(digest_prefix_digits(ABC_512 "0"), 0);
    check_int(digest_prefix_digits("sha256:" ABC_HEX "0"), 0);
    check_int(digest_prefix_digits("sha384:ba78"), 0);
    check_int(digest_prefix_digits("debian"), 0);
    check_int(digest_prefix_digits(""), 0);
}

TEST(digest, a_stream_in_pieces_has_the_digest_of_the_whole)
{
    auto_hasher struct hasher *h = hasher_new();
    struct digest d;

    for (int i = 0; i < 1000000; i += 40)
        hasher_update(h, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 40);
    hasher_final(h, &d);
    check_digest(&d, "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(digest, a_hasher_starts_from_empty_after_final_and_reset)
{
    auto_hasher struct hasher *h = hasher_new();
    struct digest d;

    hasher_update(h, "x", 1);
    hasher_final(h, &d);
    hasher_update(h, "abc", 3);
    hasher_final(h, &d);
    check_digest(&d, "sha256:" ABC_HEX);
    hasher_update(h, "x", 1);
    hasher_reset(h);
    hasher_update(h, "abc", 3);
    hasher_final(h, &d);
    check_digest(&d, "sha256:" ABC_HEX);
}

TEST(digest, parsing_reverses_printing)
{
    struct digest d;
    char hex[DIGEST_HEX_SIZE];

    check_ok(digest_parse("sha256:" ABC_HEX, &d, &test_err));
    check_digest(&d, "sha256:" ABC_HEX);
    check_ok(digest_parse_hex(ABC_HEX, &d, &test_err));
    digest_format_hex(&d, hex);
    check_text(hex, ABC_HEX);
    check_int(d.bytes[0], 0xba);
    check_int(d.bytes[31], 0xad);
    check_ok(digest_parse("sha512:" ABC_512, &d, &test_err));
    check_digest(&d, "sha512:" ABC_512);
    check_ok(digest_parse_hex(ABC_512, &d, &test_err));
    digest_format_hex(&d, hex);
    check_text(hex, ABC_512);
    check_int(d.bytes[63], 0x9f);
}

/* SECURITY R33: what could become a file name is exactly 64 or 128 lower-case digits. */
TEST(digest, anything_else_is_refused)
{
    static const char *const refused[] = {
        "",
        "sha256:",
        "sha256",
        ABC_HEX,
        "sha256:../../x",
        "sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
        "sha256:" ABC_HEX "0",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
        "sha256:ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256: a7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "SHA256:" ABC_HEX,
        " sha256:" ABC_HEX,
        "sha256:" ABC_512,
        "sha512:",
        "sha512:" ABC_HEX,
        "sha512:" ABC_512 "0",
        "sha512:" ABC_HEX
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a", /* 127 */
        "sha512:DDAF35A193617ABACC417349AE20413112E6FA4E89A97EA20A9EEEE64B55D39A2192992A274FC1A836BA3"
        "C23A3FEEBBD454D4423643CE80E2A9AC94FA54CA49F",
        "SHA512:" ABC_512,
        "sha384:" ABC_512,
        "md5:900150983cd24fb0d6963f7d28e17f72",
    };
    struct digest d = {.bytes = {1}};

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        check_fails(digest_parse(refused[i], &d, &test_err), EINVAL);
    check_int(d.bytes[0], 1);
    check_fails(digest_parse_hex("sha256:" ABC_HEX, &d, &test_err), EINVAL);
    check_fails(digest_parse_hex("abc", &d, &test_err), EINVAL);
    check_fails(digest_parse_hex(ABC_512 "0", &d, &test_err), EINVAL);
    check_fails(digest_parse_hex(ABC_HEX "00", &d, &test_err), EINVAL);
}

TEST(digest, the_sentence_names_the_text_and_a_foreign_algorithm)
{
    struct error err = {0};
    struct digest d;

    check_fails(digest_parse("abc", &d, &err), EINVAL);
    check_error(&err, EINVAL, "'abc' is not a digest of sha256 or sha512");
    check_fails(digest_parse("sha512:00", &d, &err), EINVAL);
    check_error(&err, EINVAL, "'sha512:00' is not sha512 and 128 lower-case hex digits");
    check_fails(digest_parse("sha256:00", &d, &err), EINVAL);
    check_error(&err, EINVAL, "'sha256:00' is not sha256 and 64 lower-case hex digits");
    check_fails(digest_parse("sha384:00", &d, &err), EINVAL);
    check_error(&err, EINVAL,
                "'sha384:00' is not a digest: 'sha384' is not supported, sha256 and sha512 are");
    check_fails(digest_parse_hex("abc", &d, &err), EINVAL);
    check_error(&err, EINVAL, "'abc' is not a digest in hexadecimal");
}

TEST(digest, comparing_follows_the_bytes)
{
    struct digest a = {.bytes = {1}};
    struct digest b = {.bytes = {1, 0xFF}};

    check_true(digest_compare(&a, &b) < 0);
    check_true(digest_compare(&b, &a) > 0);
    check_int(digest_compare(&a, &a), 0);
    check_true(digest_equal(&a, &a));
    check_false(digest_equal(&a, &b));
}

static void fields(struct digest *out, const char *tag, const char *first, const char *second)
{
    auto_hasher struct hasher *h = hasher_new();

    hasher_field_text(h, tag, first);
    hasher_field_text(h, tag, second);
    hasher_final(h, out);
}

/* SECURITY R56: two different lists of fields never encode alike. */
TEST(digest, fields_do_not_run_together)
{
    static const struct {
        const char *tag;
        const char *first;
        const char *second;
    } lists[] = {
        {"t", "ab", "c"}, {"t", "a", "bc"}, {"t", "", "abc"},   {"t", "abc", ""},
        {"t", NULL, ""},  {"t", "", NULL},  {"t", NULL, NULL},  {"t", "", ""},
        {"", "ab", "c"},  {"ta", "b", "c"}, {"t", NULL, "abc"}, {"t", "abc", NULL},
    };
    struct digest all[12];

    for (size_t i = 0; i < 12; i++) {
        fields(&all[i], lists[i].tag, lists[i].first, lists[i].second);
        for (size_t j = 0; j < i; j++)
            check_false(digest_equal(&all[i], &all[j]));
    }
}

TEST(digest, the_kind_of_a_field_is_part_of_it)
{
    auto_hasher struct hasher *h = hasher_new();
    struct digest bytes;
    struct digest text;
    struct digest number;

    hasher_field(h, "t", "\1\0\0\0\0\0\0\0", 8);
    hasher_final(h, &bytes);
    hasher_field_u64(h, "t", 1);
    hasher_final(h, &number);
    check_false(digest_equal(&bytes, &number));
    hasher_field(h, "t", "a", 1);
    hasher_final(h, &bytes);
    hasher_field_text(h, "t", "a");
    hasher_final(h, &text);
    check_false(digest_equal(&bytes, &text));
}

/* The layout is part of every stored cache key, so it may not change unnoticed: the same bytes put
 * together by hand. */
TEST(digest, a_field_is_sizes_tag_kind_and_bytes)
{
    static const char encoded[] = "\2\0\0\0\0\0\0\0"
                                  "id"
                                  "t"
                                  "\3\0\0\0\0\0\0\0"
                                  "abc";
    auto_hasher struct hasher *h = hasher_new();
    struct digest field;
    struct digest whole;

    hasher_field_text(h, "id", "abc");
    hasher_final(h, &field);
    digest_of(encoded, sizeof(encoded) - 1, &whole);
    check_true(digest_equal(&field, &whole));
}

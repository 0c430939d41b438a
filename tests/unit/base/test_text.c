/* test_text.c - comparing, suggesting, numbers, sizes and lexical paths. */
#include <stdint.h>

#include "fs/base/str.h"
#include "tests/lib/test.h"

TEST(text, equal_takes_null_for_null_only)
{
    check_true(text_equal("a", "a"));
    check_false(text_equal("a", "b"));
    check_true(text_equal(NULL, NULL));
    check_false(text_equal(NULL, ""));
    check_false(text_equal("", NULL));
}

TEST(text, starts_and_ends_look_at_whole_affixes)
{
    check_true(text_starts("abc", "ab"));
    check_true(text_starts("abc", ""));
    check_false(text_starts("a", "ab"));
    check_true(text_ends("abc", "bc"));
    check_true(text_ends("abc", ""));
    check_false(text_ends("c", "bc"));
    check_false(text_ends("abd", "bc"));
}

/* Lowrance and Wagner, "An Extension of the String-to-String Correction Problem": "ca" to "abc" is
 * two edits (swap, then insert between), where the restricted distance says three. */
TEST(text, distance_counts_edits_and_swaps)
{
    static const struct {
        const char *a;
        const char *b;
        size_t distance;
    } cases[] = {
        {"", "", 0},        {"", "abc", 3},
        {"abc", "abc", 0},  {"kitten", "sitting", 3},
        {"RNU", "RUN", 1},  {"chwon", "chown", 1},
        {"ca", "abc", 2},   {"abcdef", "abcfed", 2},
        {"FRO", "FROM", 1}, {"Saturday", "Sunday", 3},
        {"ab", "ba", 1},    {"a", "b", 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_int(text_distance(cases[i].a, cases[i].b), cases[i].distance);
        check_int(text_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}

TEST(text, distance_of_long_words_is_not_computed)
{
    char word[66] = {0};

    memset(word, 'x', 64);
    check_int(text_distance(word, word), 0);
    check_int(text_distance(word, ""), 64);
    word[64] = 'x';
    check_true(text_distance(word, "x") == SIZE_MAX);
    check_true(text_distance("x", word) == SIZE_MAX);
}

TEST(text, suggest_picks_the_nearest_within_two_edits)
{
    static const char *const words[] = {"FROM", "RUN", "COPY", "CMD"};

    check_text(text_suggest("RNU", words, 4), "RUN");
    check_text(text_suggest("COPPY", words, 4), "COPY");
    check_text(text_suggest("RUNNNN", words, 4), NULL);
    check_text(text_suggest("BANANA", words, 4), NULL);
    check_text(text_suggest("", words, 4), NULL);
    check_text(text_suggest("X", words, 4), NULL);
    check_text(text_suggest("RUN", NULL, 0), NULL);
}

TEST(text, to_u64_takes_decimal_digits_and_nothing_else)
{
    static const char *const refused[] = {
        "", "-1", "+1", " 1", "1 ", "0x1", "1a", "1.0", "18446744073709551616"};
    uint64_t value = 7;

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        check_false(text_to_u64(refused[i], UINT64_MAX, &value));
    check_int(value, 7);
    check_true(text_to_u64("18446744073709551615", UINT64_MAX, &value));
    check_true(value == UINT64_MAX);
    check_true(text_to_u64("0", 0, &value));
    check_int(value, 0);
    check_true(text_to_u64("065535", 65535, &value));
    check_int(value, 65535);
}

TEST(text, to_u64_refuses_more_than_its_maximum)
{
    uint64_t value;

    check_false(text_to_u64("1", 0, &value));
    check_false(text_to_u64("65536", 65535, &value));
    check_false(text_to_u64("100", 9, &value));
    check_true(text_to_u64("9", 9, &value));
}

static void check_size(uint64_t size_bytes, const char *decimal, const char *binary)
{
    auto_str struct str a = {0};
    auto_str struct str b = {0};

    str_add_size_decimal(&a, size_bytes);
    str_add_size_binary(&b, size_bytes);
    check_text(str_text(&a), decimal);
    check_text(str_text(&b), binary);
}

/* Go, package strconv, ParseBool: "It accepts 1, t, T, TRUE, true, True, 0, f, F, FALSE, false,
 * False. Any other value returns an error." */
TEST(text, to_bool_takes_the_words_of_go_and_nothing_else)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    static const char *const neither[] = {"", "yes", "no", "tRUE", "01", " 1", "true "};
    bool value;

    for (size_t i = 0; i < 6; i++) {
        check_true(text_to_bool(yes[i], &value));
        check_true(value);
        check_true(text_to_bool(no[i], &value));
        check_false(value);
    }
    for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++)
        check_false(text_to_bool(neither[i], &value));
}

TEST(text, trim_takes_white_space_off_both_ends_alone)
{
    static const char *const rows[][2] = {
        {"", ""}, {" \t\r\n", ""}, {"a", "a"}, {" a  b\n", "a  b"}, {"\v\fa", "a"}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        auto_free char *text = text_trim(rows[i][0], strlen(rows[i][0]));

        check_text(text, rows[i][1]);
    }
}

/* BuildKit's plain progress: "1.05MB / 3.20MB". */
TEST(text, sizes_are_rounded_and_carry_their_unit)
{
    check_size(0, "0B", "0B");
    check_size(999, "999B", "999B");
    check_size(1000, "1.00kB", "1000B");
    check_size(1024, "1.02kB", "1.0KiB");
    check_size(1048576, "1.05MB", "1.0MiB");
    check_size(11010048, "11.01MB", "10.5MiB");
    check_size(1048575, "1.05MB", "1.0MiB");
    check_size(1073741824, "1.07GB", "1.0GiB");
    check_size(UINT64_MAX, "18.45EB", "16.0EiB");
}

static void check_clean(const char *path, const char *expected)
{
    auto_free char *clean = path_clean(path);

    check_text(clean, expected);
}

/* The rules of plan9's cleanname, as written in Go's path.Clean. */
TEST(path, clean_is_the_shortest_name_of_the_same_place)
{
    static const struct {
        const char *path;
        const char *expected;
    } cases[] = {
        {"", "."},
        {"/", "/"},
        {"a", "a"},
        {"a/", "a"},
        {"/a/b", "/a/b"},
        {"//a//b//", "/a/b"},
        {"./a", "a"},
        {"a/./b", "a/b"},
        {"a/../b", "b"},
        {"a/..", "."},
        {"/a/..", "/"},
        {"..", ".."},
        {"../a", "../a"},
        {"../../a", "../../a"},
        {"/..", "/"},
        {"/../a", "/a"},
        {"/../../a", "/a"},
        {"a/b/../..", "."},
        {"a/../../b", "../b"},
        {".", "."},
        {"./.", "."},
        {"/.", "/"},
        {"...", "..."},
        {"a/...", "a/..."},
        {"..a/b", "..a/b"},
        {"a../b", "a../b"},
        {"a/..b", "a/..b"},
        {"../..", "../.."},
        {"../a/..", ".."},
        {"/a/./../../b/", "/b"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_clean(cases[i].path, cases[i].expected);
}

static void check_join(const char *a, const char *b, const char *expected)
{
    auto_free char *joined = path_join(a, b);

    check_text(joined, expected);
}

TEST(path, join_cleans_and_an_absolute_second_wins)
{
    check_join("a", "b", "a/b");
    check_join("/a/", "./b/", "/a/b");
    check_join("/a", "../../b", "/b");
    check_join("/a", "/b", "/b");
    check_join("", "b", "b");
    check_join("/a", "", "/a");
    check_join("", "", ".");
    check_join("/", "b", "/b");
}

TEST(path, base_is_what_follows_the_last_slash)
{
    check_text(path_base("a/b"), "b");
    check_text(path_base("b"), "b");
    check_text(path_base("a/"), "");
    check_text(path_base(""), "");
}

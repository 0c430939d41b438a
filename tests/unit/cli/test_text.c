/* test_text.c - lines filled to the width of a terminal; lengths of time. */
#include <errno.h>
#include <string.h>

#include "cli/text.h"
#include "fs/base/io.h"
#include "tests/lib/test.h"

static void check_filled(const char *text, size_t indent, size_t columns, const char *expected)
{
    auto_str struct str out = {0};

    text_fill(&out, text, indent, columns);
    check_text(str_text(&out), expected);
}

TEST(text, lines_are_broken_at_blanks_and_continue_under_the_text)
{
    check_filled("one two three four", 0, 9, "one two\nthree\nfour");
    check_filled("one two three four", 6, 15, "one two\n      three\n      four");
    check_filled("one two three", 0, 13, "one two three");
    check_filled("one two three", 6, SIZE_MAX, "one two three");
    check_filled("", 6, 10, "");
}

TEST(text, a_single_newline_is_a_blank_and_an_empty_line_stays)
{
    check_filled("one\ntwo\n\nthree", 0, 80, "one two\n\nthree");
    check_filled("one\ntwo\n\nthree", 2, 80, "one two\n\n  three");
}

TEST(text, blanks_inside_a_line_are_kept)
{
    check_filled("a  b", 0, 80, "a  b");
    check_filled("  a b", 0, 80, "  a b");
}

TEST(text, a_word_longer_than_a_line_is_not_broken)
{
    check_filled("a sha256:0123456789 b", 0, 8, "a\nsha256:0123456789\nb");
    check_filled("ab", 10, 5, "ab");
}

TEST(text, a_command_between_backticks_stays_on_one_line_if_one_can_hold_it)
{
    check_filled("look with `img shell x` now", 0, 16, "look with\n`img shell x`\nnow");
    check_filled("look with (`img shell x`) now", 0, 16, "look with\n(`img shell x`)\nnow");
    check_filled("`img shell x`", 0, 8, "`img\nshell x`");
    check_filled("one `two three", 0, 8, "one `two\nthree");
}

/* EastAsianWidth.txt: W takes two columns. */
TEST(text, wide_characters_take_two_columns)
{
    check_filled("日本 語", 0, 6, "日本\n語");
    check_filled("日本 語", 0, 7, "日本 語");
}

/* Go, time.ParseDuration, as docker's --filter until= takes it; and plain seconds, and days. */
TEST(text, lengths_of_time_are_sums_of_numbers_with_units)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } rows[] = {{"0", 0},          {"500ms", 500},   {"2s", 2000},
                {"90", 90000},     {"1m30s", 90000}, {"2h30m", 9000000},
                {"7d", 604800000}, {"1m30", 90000},  {"1s500ms", 1500}};
    uint64_t ms;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_ok(parse_duration(rows[i].text, &ms, &test_err));
        check_int(ms, rows[i].ms);
    }
}

TEST(text, what_is_no_length_of_time_is_refused)
{
    static const char *const texts[] = {"",     "s",   "-1s",         "1x",         "1 s",
                                        "1.5h", "1h ", "4294967296s", "4294967295d"};
    struct error err;
    uint64_t ms;
    int64_t then_ns;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        check_fails(parse_duration(texts[i], &ms, &test_err), EINVAL);
        check_fails(parse_age(texts[i], &then_ns, &test_err), EINVAL);
    }
    check_fails(parse_duration("soon", &ms, &err), EINVAL);
    check_error(&err, EINVAL, "'soon' is not a length of time: 500ms, 2s, 1m30s");
    check_fails(parse_age("soon", &then_ns, &err), EINVAL);
    check_error(&err, EINVAL, "'soon' is neither a length of time (24h) nor a date");
}

/* date -u -d 2024-02-29 +%s; date -u -d 2024-02-29T12:30:05Z +%s */
TEST(text, an_age_is_a_date_or_so_long_ago)
{
    int64_t now_ns = io_now_ns();
    int64_t then_ns;

    check_ok(parse_age("2024-02-29", &then_ns, &test_err));
    check_int(then_ns, 1709164800ll * 1000000000);
    check_ok(parse_age("2024-02-29T12:30:05Z", &then_ns, &test_err));
    check_int(then_ns, 1709209805ll * 1000000000);
    check_ok(parse_age("24h", &then_ns, &test_err));
    check_true(then_ns >= now_ns - 86400ll * 1000000000);
    check_true(then_ns <= io_now_ns() - 86400ll * 1000000000);
}

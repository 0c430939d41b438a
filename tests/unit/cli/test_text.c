/* test_text.c - lines filled to the width of a terminal. */
#include <string.h>

#include "cli/text.h"
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

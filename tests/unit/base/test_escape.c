/* test_escape.c - nothing from outside reaches a terminal as a command (SECURITY R58). */
#include <stdint.h>

#include "fs/base/str.h"
#include "tests/lib/test.h"

#define check_escaped(text, expected) compare_escaped((text), sizeof(text) - 1, (expected))

static void compare_escaped(const char *text, size_t size, const char *expected)
{
    auto_str struct str s = {0};

    str_add_escaped(&s, text, size);
    check_text(str_text(&s), expected);
}

static void check_quoted(const char *text, const char *expected)
{
    auto_str struct str s = {0};

    str_add_quoted(&s, text);
    check_text(str_text(&s), expected);
}

TEST(escape, what_shows_stays_as_it_is)
{
    check_escaped("", "");
    check_escaped("plain 'text' \"with\" \\ and ~", "plain 'text' \"with\" \\ and ~");
    check_escaped("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb3",
                  "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb3");
}

/* ECMA-48, 5.2 and 5.3: C0 and C1 controls; the sequences are CSI, OSC (a title), and BEL. */
TEST(escape, terminal_commands_become_visible)
{
    check_escaped("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m");
    check_escaped("\x1b]0;title\x07", "\\x1b]0;title\\x07");
    check_escaped("a\rb\tc\x7f", "a\\x0d"
                                 "b\\x09"
                                 "c\\x7f");
    check_escaped("\xc2\x9b"
                  "31m",
                  "\\xc2\\x9b31m");
    check_escaped("\x9b"
                  "31m",
                  "\\x9b31m");
    check_escaped("a\0b", "a\\x00b");
}

TEST(escape, a_newline_becomes_one_backslash_n)
{
    check_escaped("a\nb", "a\\nb");
}

/* RFC 3629, 3 and 10: overlong forms, surrogates and values past U+10FFFF are not UTF-8. */
TEST(escape, what_is_not_utf8_becomes_hexadecimal)
{
    check_escaped("\xff", "\\xff");
    check_escaped("\xc3", "\\xc3");
    check_escaped("\xc3(", "\\xc3(");
    check_escaped("\xc0\xaf", "\\xc0\\xaf");
    check_escaped("\xe0\x80\xaf", "\\xe0\\x80\\xaf");
    check_escaped("\xed\xa0\x80", "\\xed\\xa0\\x80");
    check_escaped("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
    check_escaped("\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80");
    check_escaped("\xe2\x82", "\\xe2\\x82");
}

/* UAX #9, 2: an override shows "exe.txt" where the name ends in ".exe". */
TEST(escape, characters_that_reorder_a_line_become_visible)
{
    check_escaped("a\xe2\x80\xae"
                  "b",
                  "a\\xe2\\x80\\xae"
                  "b");
    check_escaped("\xe2\x81\xa6", "\\xe2\\x81\\xa6");
    check_escaped("\xe2\x80\x8b", "\\xe2\\x80\\x8b");
}

/* Go's strconv.Quote, whose results the expected texts are. */
TEST(escape, quoted_text_reads_like_go)
{
    check_quoted("", "\"\"");
    check_quoted("/bin/sh -c false", "\"/bin/sh -c false\"");
    check_quoted("a\"b\\c", "\"a\\\"b\\\\c\"");
    check_quoted("\a\b\f\n\r\t\v", "\"\\a\\b\\f\\n\\r\\t\\v\"");
    check_quoted("\x01\x1b\x7f", "\"\\x01\\x1b\\x7f\"");
    check_quoted("\xff\xc3", "\"\\xff\\xc3\"");
    check_quoted("\xc3\xa9", "\"\xc3\xa9\"");
    check_quoted("\xc2\x85", "\"\\u0085\"");
    check_quoted("\xe2\x80\x8b", "\"\\u200b\"");
    check_quoted("\xef\xbb\xbf", "\"\\ufeff\"");
    check_quoted("\xf0\x9f\x90\xb3", "\"\xf0\x9f\x90\xb3\"");
    check_quoted("\xf0\x9f\xbf\xbf", "\"\\U0001ffff\"");
}

TEST(escape, decoding_gives_the_character_and_its_size)
{
    uint32_t c = 0;

    check_int(text_decode("A", 1, &c), 1);
    check_int(c, 'A');
    check_int(text_decode("\xc3\xa9", 2, &c), 2);
    check_int(c, 0xE9);
    check_int(text_decode("\xef\xbf\xbd", 3, &c), 3);
    check_int(c, 0xFFFD);
    check_int(text_decode("\xf4\x8f\xbf\xbf", 4, &c), 4);
    check_int(c, 0x10FFFF);
    check_int(text_decode("\xc3\xa9", 1, &c), 0);
}

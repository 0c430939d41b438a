/* test_excerpt.c - claims about the excerpt that BuildKit shows, and about the caret line. */
#include "builder/dockerfile/excerpt.h"
#include "tests/unit/dockerfile/language.h"

static char *block(struct excerpt e)
{
    struct str out = {0};

    e.name = "Dockerfile";
    e.source_size = strlen(e.source);
    excerpt_add(&e, 2000, &out);
    return str_take(&out);
}

TEST(excerpt, a_single_line_has_two_around_it_and_a_range_one)
{
    const char *source = "1\n2\n3\n4\n5\n6\n7\n";
    auto_free char *single =
        block((struct excerpt){.source = source, .line_first = 4, .line_last = 4});
    auto_free char *range =
        block((struct excerpt){.source = source, .line_first = 3, .line_last = 4});

    check_text(single, "Dockerfile:4\n"
                       "--------------------\n"
                       "   2 |     2\n"
                       "   3 |     3\n"
                       "   4 | >>> 4\n"
                       "   5 |     5\n"
                       "   6 |     6\n"
                       "--------------------\n");
    check_text(range, "Dockerfile:3\n"
                      "--------------------\n"
                      "   2 |     2\n"
                      "   3 | >>> 3\n"
                      "   4 | >>> 4\n"
                      "   5 |     5\n"
                      "--------------------\n");
}

TEST(excerpt, the_caret_stands_below_its_column_behind_tabs_and_wide_bytes)
{
    auto_free char *text = block((struct excerpt){.source = "\t\xC3\xA4 x",
                                                  .line_first = 1,
                                                  .line_last = 1,
                                                  .caret_line = 1,
                                                  .caret_column = 5});

    check_text(text, "Dockerfile:1\n"
                     "--------------------\n"
                     "   1 | >>> \t\xC3\xA4 x\n"
                     "     |     \t  ^\n"
                     "--------------------\n");
}

TEST(excerpt, a_long_line_is_cut_around_the_caret)
{
    auto_str struct str source = {0};
    auto_free char *text = NULL;

    for (int i = 0; i < 3000; i++)
        str_add_char(&source, i == 1500 ? 'X' : '.');
    text = block((struct excerpt){.source = str_text(&source),
                                  .line_first = 1,
                                  .line_last = 1,
                                  .caret_line = 1,
                                  .caret_column = 1501});
    check_true(strlen(text) < 1000);
    check_contains(text, ">>> ...");
    check_int(strcspn(strstr(text, ">>> "), "X"), strcspn(strstr(text, "\n     | ") + 8, "^"));
}

TEST(excerpt, what_could_move_a_cursor_is_escaped)
{
    auto_free char *text =
        block((struct excerpt){.source = "a\x1b[2Jb\xE2\x80\xAE", .line_first = 1, .line_last = 1});

    check_contains(text, ">>> a\\x1b[2Jb\\xe2\\x80\\xae\n");
}

/* A byte that is no text is shown as four. */
TEST(excerpt, bytes_that_are_escaped_do_not_make_it_too_large)
{
    auto_str struct str source = {0};
    auto_str struct str out = {0};

    for (int i = 0; i < 16 * 500; i++)
        str_add_char(&source, i % 500 == 499 ? '\n' : '\xE2');
    for (unsigned last = 3; last <= 14; last++) {
        str_truncate(&out, 0);
        excerpt_add(&(struct excerpt){.name = "Dockerfile",
                                      .source = str_text(&source),
                                      .source_size = source.size,
                                      .line_first = 3,
                                      .line_last = last,
                                      .caret_line = 3,
                                      .caret_column = 499},
                    1000, &out);
        check_true(out.size <= 1000);
        check_true(text_ends(str_text(&out), "\n--------------------\n"));
    }
}

TEST(excerpt, line_numbers_of_four_digits_keep_the_caret_in_place)
{
    auto_str struct str source = {0};
    auto_free char *text = NULL;

    for (int i = 0; i < 1233; i++)
        str_add(&source, "\n");
    str_add(&source, "abc");
    text = block((struct excerpt){.source = str_text(&source),
                                  .line_first = 1234,
                                  .line_last = 1234,
                                  .caret_line = 1234,
                                  .caret_column = 3});
    check_contains(text, " 1234 | >>> abc\n"
                         "      |       ^\n");
}

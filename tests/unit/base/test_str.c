/* test_str.c - growing text and vectors of strings. */
#include <stdio.h>

#include "fs/base/str.h"
#include "tests/lib/test.h"

TEST(str, a_zeroed_str_is_an_empty_text)
{
    struct str s = {0};

    check_text(str_text(&s), "");
    check_int(s.size, 0);
    str_truncate(&s, 0);
    str_release(&s);
}

TEST(str, additions_follow_each_other_and_end_in_nul)
{
    auto_str struct str s = {0};

    str_add(&s, "a");
    str_add_char(&s, 'b');
    str_add_bytes(&s, "cd", 1);
    str_addf(&s, "%d-%s", 7, "x");
    check_text(str_text(&s), "abc7-x");
    check_int(s.size, 6);
}

TEST(str, it_may_hold_nul_bytes)
{
    auto_str struct str s = {0};

    str_add_bytes(&s, "a\0b", 3);
    str_add(&s, "c");
    check_bytes(s.data, s.size + 1, "a\0bc", 5);
}

TEST(str, growing_keeps_what_was_there)
{
    auto_str struct str s = {0};

    for (int i = 0; i < 10000; i++)
        str_addf(&s, "%04d", i);
    check_int(s.size, 40000);
    for (int i = 0; i < 10000; i++) {
        char expected[5];

        (void)snprintf(expected, sizeof(expected), "%04d", i);
        check_bytes(s.data + 4 * i, 4, expected, 4);
    }
}

TEST(str, truncating_never_lengthens)
{
    auto_str struct str s = {0};

    str_add(&s, "abc");
    str_truncate(&s, 5);
    check_text(str_text(&s), "abc");
    str_truncate(&s, 1);
    check_text(str_text(&s), "a");
}

TEST(str, taking_leaves_it_empty_and_is_never_null)
{
    struct str s = {0};
    auto_free char *nothing = str_take(&s);
    auto_free char *text = NULL;

    check_text(nothing, "");
    str_add(&s, "abc");
    text = str_take(&s);
    check_text(text, "abc");
    check_true(s.data == NULL && s.size == 0 && s.capacity == 0);
}

TEST(str, format_makes_a_text_of_any_length)
{
    auto_free char *text = str_format("%0*d", 5000, 1);

    check_int(strlen(text), 5000);
    check_text(text + 4998, "01");
}

TEST(strv, items_are_copies_and_end_in_null)
{
    auto_strv struct strv v = {0};
    char word[] = "one";

    strv_add(&v, word);
    word[0] = 'X';
    strv_addf(&v, "%d", 2);
    strv_take(&v, mem_strdup("three"));
    check_int(v.count, 3);
    check_text(v.items[0], "one");
    check_text(v.items[1], "2");
    check_text(v.items[2], "three");
    check_true(v.items[3] == NULL);
}

TEST(strv, many_items_stay_null_terminated)
{
    auto_strv struct strv v = {0};

    for (int i = 0; i < 100; i++) {
        strv_addf(&v, "%d", i);
        check_true(v.items[v.count] == NULL);
    }
    check_text(v.items[99], "99");
}

TEST(strv, argv_of_nothing_is_a_null_pointer_alone)
{
    struct strv v = {0};

    check_true(strv_argv(&v) != NULL);
    check_true(strv_argv(&v)[0] == NULL);
}

TEST(strv, copy_replaces_and_may_copy_itself)
{
    auto_strv struct strv a = {0};
    auto_strv struct strv b = {0};

    strv_add(&a, "x");
    strv_add(&b, "old");
    strv_copy(&b, &a);
    check_true(strv_equal(&a, &b));
    strv_copy(&b, &b);
    check_true(strv_equal(&a, &b));
    strv_add(&b, "y");
    check_false(strv_equal(&a, &b));
    strv_add(&a, "z");
    check_false(strv_equal(&a, &b));
}

TEST(strv, contains_compares_whole_words)
{
    auto_strv struct strv v = {0};

    check_false(strv_contains(&v, ""));
    strv_add(&v, "abc");
    check_true(strv_contains(&v, "abc"));
    check_false(strv_contains(&v, "ab"));
}

TEST(strv, join_puts_the_separator_between)
{
    auto_strv struct strv v = {0};
    auto_free char *none = strv_join(&v, ", ");
    auto_free char *two = NULL;

    check_text(none, "");
    strv_add(&v, "a");
    strv_add(&v, "b");
    two = strv_join(&v, ", ");
    check_text(two, "a, b");
}

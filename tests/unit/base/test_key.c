/* Keys: two different inputs never hash alike (SECURITY R56). */
#include "fs/base/key.h"
#include "tests/lib/test.h"

static struct digest text_key(const char *name, const char *value)
{
    auto_key struct key key = {0};
    struct digest out;

    key_init(&key, "test");
    key_text(&key, name, value);
    key_final(&key, &out);
    return out;
}

static struct digest words_key(const char *a, const char *b, const char *after)
{
    auto_key struct key key = {0};
    auto_strv struct strv words = {0};
    struct digest out;

    strv_add(&words, a);
    if (b != NULL)
        strv_add(&words, b);
    key_init(&key, "test");
    key_words(&key, "argv", &words);
    if (after != NULL)
        key_text(&key, "argv", after);
    key_final(&key, &out);
    return out;
}

static bool same(struct digest a, struct digest b)
{
    return digest_equal(&a, &b);
}

TEST(key, equal_fields_give_equal_keys)
{
    check_true(same(text_key("a", "b"), text_key("a", "b")));
    check_true(same(words_key("x", "y", NULL), words_key("x", "y", NULL)));
}

TEST(key, a_boundary_between_name_and_value_counts)
{
    check_false(same(text_key("ab", "c"), text_key("a", "bc")));
    check_false(same(text_key("a", ""), text_key("", "a")));
}

TEST(key, nothing_is_not_the_empty_text)
{
    check_false(same(text_key("a", NULL), text_key("a", "")));
}

TEST(key, a_boundary_between_words_counts)
{
    check_false(same(words_key("a", "b", NULL), words_key("ab", NULL, NULL)));
    check_false(same(words_key("a b", NULL, NULL), words_key("a", "b", NULL)));
    check_false(same(words_key("a", "b", NULL), words_key("b", "a", NULL)));
    check_false(same(words_key("a", "b", NULL), words_key("a", NULL, "b")));
}

TEST(key, the_kind_of_step_counts)
{
    auto_key struct key run = {0};
    auto_key struct key copy = {0};
    struct digest a;
    struct digest b;

    key_init(&run, "run");
    key_init(&copy, "copy");
    key_final(&run, &a);
    key_final(&copy, &b);
    check_false(digest_equal(&a, &b));
}

TEST(key, what_is_written_down_is_one_escaped_line_a_field)
{
    auto_key struct key key = {0};

    key_init(&key, "run");
    str_truncate(&key.inputs, 0);
    key_text(&key, "env", "A=1\n\033[2J");
    key_number(&key, "uid", 7);
    key_text(&key, "user", NULL);
    check_text(str_text(&key.inputs), "env=A=1\\n\\x1b[2J\nuid=7\nuser\n");
}

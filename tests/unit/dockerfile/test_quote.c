/* test_quote.c - claims about words in messages. */
#include "builder/dockerfile/quote.h"
#include "tests/unit/dockerfile/language.h"

static char *repeated(const char *text, size_t count)
{
    struct str out = {0};

    for (size_t i = 0; i < count; i++)
        str_add(&out, text);
    return str_take(&out);
}

TEST(quote, a_word_is_quoted_or_escaped)
{
    auto_free char *word = quote_word("a\"\n\x1b");
    auto_free char *bare = quote_bare("a\"\n\x1b");

    check_text(word, "\"a\\\"\\n\\x1b\"");
    check_text(bare, "a\"\\n\\x1b");
}

TEST(quote, a_long_word_is_cut)
{
    auto_free char *fits = repeated("x", 240);
    auto_free char *longer = repeated("x", 241);
    auto_free char *expected = str_format("%s...", fits);
    auto_free char *whole = quote_bare(fits);
    auto_free char *cut = quote_bare(longer);

    check_text(whole, fits);
    check_text(cut, expected);
}

TEST(quote, a_cut_does_not_split_a_character)
{
    auto_free char *euros = repeated("\xE2\x82\xAC", 90); /* three bytes each: 240 is a boundary */
    auto_free char *shifted = str_format("x%s", euros);
    auto_free char *cut = quote_bare(shifted);

    check_int(strlen(cut), 1 + 79 * 3 + 3);
    check_true(text_ends(cut, "\xE2\x82\xAC..."));
}

/* fuzz_expand.c - any text as a word to expand; the first byte chooses how.
 *
 * Promises: a refusal has a sentence; the result stays within the limit; without variables, quotes
 * and escapes the text is its own expansion; words hold no blanks that were not quoted.
 */
#include <assert.h>
#include <ctype.h>

#include "builder/dockerfile/expand.h"
#include "fs/base/limits.h"
#include "tests/fuzz/fuzz.h"

static void check_words(const struct expand *how, const char *text)
{
    auto_strv struct strv words = {0};
    struct error err = {0};
    bool is_quoted = strpbrk(text, "'\"\\`") != NULL;

    if (expand_words(how, text, &words, NULL, &err) < 0)
        return;
    for (size_t i = 0; i < words.count; i++) {
        assert(words.items[i][0] != '\0');
        for (const char *c = words.items[i]; *c && !is_quoted; c++)
            assert(!isspace((unsigned char)*c));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned mode = size > 0 ? data[0] : 0;
    auto_free char *text =
        size > 0 ? mem_strndup((const char *)data + 1, size - 1) : mem_strdup("");
    auto_variables struct variables v = {0};
    struct expand_env env = variables_env(&v);
    struct expand how = {
        .env = &env,
        .escape = mode & 1 ? '`' : '\\',
        .keep_quotes = mode & 2,
        .keep_escapes = mode & 4,
        .keep_unset = mode & 8,
        .plain_quotes = mode & 16,
    };
    auto_str struct str out = {0};
    auto_expand_use struct expand_use use = {0};
    struct error err = {0};

    variables_set(&v, "a", "aXbXa/c");
    variables_set(&v, "e", "");
    variables_set(&v, "s", " x  'y' ");
    if (expand_word(&how, text, &out, &use, &err) < 0)
        assert(text_starts(err.text, "failed to process \""));
    else if (!strpbrk(text, "$'\"\\`"))
        assert(text_equal(str_text(&out), text));
    assert(out.size <= strlen(text) * 2 + LIMIT_EXPANSION_SIZE);
    check_words(&how, text);
    return 0;
}

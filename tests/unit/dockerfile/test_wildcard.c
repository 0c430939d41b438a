/* test_wildcard.c - claims of Go's path/filepath.Match and of the Dockerfile reference,
 * ".dockerignore file"; fnmatch(3) and a naive matcher are the judges of random patterns.
 */
#include <fnmatch.h>
#include <stdlib.h>

#include "builder/dockerfile/wildcard.h"
#include "tests/unit/dockerfile/language.h"

static enum wildcard_result match(const char *pattern, bool deep, const char *path)
{
    auto_wildcard struct wildcard *w = NULL;

    check_ok(wildcard_new(pattern, deep, &w, &test_err));
    return wildcard_match(w, path);
}

static bool matches(const char *pattern, const char *path)
{
    return match(pattern, true, path) == WILDCARD_YES;
}

TEST(wildcard, a_plain_pattern_matches_itself)
{
    check_true(matches("a/b.txt", "a/b.txt"));
    check_false(matches("a/b.txt", "a/b_txt"));
    check_false(matches("a/b", "a/bc"));
}

/* The examples of the reference: one level, two levels, one character. */
TEST(wildcard, a_star_stays_within_a_component)
{
    check_true(matches("*/temp*", "somedir/temporary.txt"));
    check_false(matches("*/temp*", "a/b/temporary.txt"));
    check_true(matches("*/*/temp*", "somedir/subdir/temporary.txt"));
    check_true(matches("temp?", "tempa"));
    check_false(matches("temp?", "temp"));
    check_false(matches("temp?", "temp/"));
    check_false(matches("a*b", "a/b"));
}

TEST(wildcard, two_stars_span_any_depth_including_none)
{
    check_true(matches("**/*.go", "main.go"));
    check_true(matches("**/*.go", "a/b/main.go"));
    check_false(matches("**/*.go", "a/main.c"));
    check_true(matches("a/**/b", "a/b"));
    check_true(matches("a/**/b", "a/x/y/b"));
    check_false(matches("a/**/b", "a/xb"));
    check_true(matches("a/**", "a/b/c"));
    check_false(matches("a/**", "a"));
    check_true(matches("**", "a/b"));
    check_true(matches("**/foo/bar", "foo/bar"));
    check_true(matches("foo**", "foobar/baz"));
}

TEST(wildcard, without_deep_two_stars_are_one)
{
    check_int(match("a/**", false, "a/b"), WILDCARD_YES);
    check_int(match("a/**", false, "a/b/c"), WILDCARD_PARENT);
    check_int(match("**/c", false, "c"), WILDCARD_BELOW);
    check_int(match("**/c", false, "a/b/c"), WILDCARD_NO);
}

TEST(wildcard, a_class_matches_one_character_of_a_set)
{
    check_true(matches("[a-c]x", "bx"));
    check_false(matches("[a-c]x", "dx"));
    check_true(matches("[^a-c]x", "dx"));
    check_false(matches("[^a-c]x", "bx"));
    check_false(matches("a[^b]c", "a/c"));
    check_true(matches("[\\]a]", "]"));
    check_true(matches("[\xC3\xA4-\xC3\xBC]", "\xC3\xB6"));
    check_true(matches("[!a]", "!")); /* not a negation in Go */
}

TEST(wildcard, a_backslash_takes_the_next_character_as_it_is)
{
    check_true(matches("a\\*b", "a*b"));
    check_false(matches("a\\*b", "axb"));
    check_true(matches("\\[x", "[x"));
}

TEST(wildcard, malformed_patterns_are_refused)
{
    static const char *const bad[] = {"[", "[]", "[]a]", "[a", "[-x]", "[x-]", "a\\", "[a-]", "[^"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct wildcard *w = NULL;
        struct error err = {0};

        check_fails(wildcard_new(bad[i], true, &w, &err), EINVAL);
        check_text(err.text, "syntax error in pattern");
        check_true(w == NULL);
    }
}

TEST(wildcard, a_question_mark_is_one_character_of_utf_8)
{
    check_true(matches("a?b", "a\xE2\x82\xAC"
                              "b"));
    check_true(matches("a?b", "a\xFF"
                              "b"));
    check_false(matches("a??b", "a\xE2\x82\xAC"
                                "b"));
}

TEST(wildcard, a_match_above_is_told_apart)
{
    check_int(match("node_modules", true, "node_modules/x/y"), WILDCARD_PARENT);
    check_int(match("*", true, "a/b"), WILDCARD_PARENT);
    check_int(match("a/*.c", true, "a/x.c/y"), WILDCARD_PARENT);
}

TEST(wildcard, what_could_match_below_is_told_apart)
{
    check_int(match("a/b/c", true, "a"), WILDCARD_BELOW);
    check_int(match("a/b/c", true, "a/b"), WILDCARD_BELOW);
    check_int(match("a/b/c", true, "a/x"), WILDCARD_NO);
    check_int(match("*/b", true, "a"), WILDCARD_BELOW);
    check_int(match("*/b", true, "a/c"), WILDCARD_NO);
    check_int(match("**/b", true, "x/y/z"), WILDCARD_BELOW);
    check_int(match("a/**", true, "a"), WILDCARD_BELOW);
    check_int(match("a*", true, ""), WILDCARD_BELOW);
}

static char *random_text(const char *alphabet, size_t size)
{
    struct str out = {0};

    str_add(&out, "");
    for (size_t i = 0; i < size; i++)
        str_add_char(&out, alphabet[(size_t)random() % strlen(alphabet)]);
    return str_take(&out);
}

/* fnmatch with FNM_PATHNAME agrees with filepath.Match as long as there are no classes, hidden
 * files or repeated slashes. */
TEST(wildcard, shallow_patterns_mean_what_they_mean_to_fnmatch)
{
    srandom(11);
    for (int i = 0; i < 20000; i++) {
        auto_free char *pattern = random_text("ab*?/", (size_t)random() % 7 + 1);
        auto_free char *raw = random_text("ab/", (size_t)random() % 8 + 1);
        auto_free char *path = path_clean(raw);
        bool expected = fnmatch(pattern, path, FNM_PATHNAME) == 0;

        if (path[0] == '/' || text_equal(path, "."))
            continue;
        if ((match(pattern, false, path) == WILDCARD_YES) != expected)
            check_fail("'%s' and '%s': fnmatch says %d", pattern, path, expected);
    }
}

/* The definition, by trying everything. */
static bool naive(const char *p, const char *t)
{
    if (*p == '\0')
        return *t == '\0';
    if (p[0] == '*' && p[1] == '*') {
        const char *rest = p + 2 + (p[2] == '/');

        if (*rest == '\0')
            return true;
        if (naive(rest, t))
            return true;
        for (; *t; t++)
            if (*t == '/' && naive(rest, t + 1))
                return true;
        return false;
    }
    if (*p == '*')
        return naive(p + 1, t) || (*t && *t != '/' && naive(p, t + 1));
    if (*t == '\0' || (*p == '?' ? *t == '/' : *p != *t))
        return false;
    return naive(p + 1, t + 1);
}

TEST(wildcard, deep_patterns_mean_what_their_definition_says)
{
    srandom(13);
    for (int i = 0; i < 20000; i++) {
        auto_free char *pattern = random_text("ab**?/", (size_t)random() % 8 + 1);
        auto_free char *raw = random_text("ab/", (size_t)random() % 9 + 1);
        auto_free char *path = path_clean(raw);

        if (path[0] == '/' || text_equal(path, "."))
            continue;
        if ((match(pattern, true, path) == WILDCARD_YES) != naive(pattern, path))
            check_fail("'%s' and '%s': the definition says %d", pattern, path,
                       naive(pattern, path));
    }
}

/* The quick answer is the same as the long one, for characters of one to four bytes, bytes that are
 * no character, and escapes. */
TEST(wildcard, the_quick_answer_agrees)
{
    static const char *const pieces[] = {
        "a",    "/",   "*",    "?", "**", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
        "\xFF", "\\*", "[ab]", "b"};
    static const char *const parts[] = {
        "a", "/", "b", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xFF", "*"};

    srandom(19);
    for (int i = 0; i < 50000; i++) {
        auto_str struct str pattern = {0};
        auto_str struct str raw = {0};
        auto_free char *path = NULL;
        auto_wildcard struct wildcard *w = NULL;

        for (long n = random() % 5 + 1; n > 0; n--)
            str_add(&pattern, pieces[random() % 12]);
        for (long n = random() % 7 + 1; n > 0; n--)
            str_add(&raw, parts[random() % 8]);
        path = path_clean(str_text(&raw));
        check_ok(wildcard_new(str_text(&pattern), true, &w, &test_err));
        if (wildcard_covers(w, path) != (wildcard_match(w, path) >= WILDCARD_PARENT))
            check_fail("'%s' and '%s': the answers differ", str_text(&pattern), path);
    }
}

/* A walk that prunes by WILDCARD_NO must not lose anything. */
TEST(wildcard, nothing_matches_below_a_no)
{
    srandom(17);
    for (int i = 0; i < 20000; i++) {
        auto_free char *pattern = random_text("ab*?/", (size_t)random() % 8 + 1);
        auto_free char *raw = random_text("ab/", (size_t)random() % 9 + 1);
        auto_free char *path = path_clean(raw);
        char *slash = strrchr(path, '/');

        if (path[0] == '/' || !slash || !matches(pattern, path))
            continue;
        *slash = '\0';
        if (match(pattern, true, path) == WILDCARD_NO)
            check_fail("'%s' matches below '%s', which says it does not", pattern, path);
    }
}

/* Backtracking would not come back from this. */
TEST(wildcard, hostile_patterns_take_linear_time)
{
    auto_str struct str pattern = {0};
    auto_str struct str path = {0};

    for (int i = 0; i < 400; i++)
        str_add(&pattern, "**/*a");
    for (int i = 0; i < 4000; i++)
        str_add(&path, i % 50 ? "a" : "/");
    str_add(&path, "b");
    check_false(matches(str_text(&pattern), str_text(&path) + 1));
}

TEST(wildcard, a_pattern_longer_than_a_path_is_refused)
{
    auto_free char *pattern = random_text("a", 5000);
    struct wildcard *w = NULL;
    struct error err = {0};

    check_fails(wildcard_new(pattern, true, &w, &err), E2BIG);
    check_text(err.text, "pattern is longer than 4095 bytes");
}

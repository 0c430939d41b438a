/* test_ignore.c - claims of the Dockerfile reference, ".dockerignore file". */
#include <stdlib.h>

#include "builder/dockerfile/ignore.h"
#include "fs/base/limits.h"
#include "tests/unit/dockerfile/language.h"

static struct ignore *rules(const char *text)
{
    struct ignore *ignore = NULL;

    check_ok(ignore_parse(text, strlen(text), ".dockerignore", &ignore, &test_err));
    return ignore;
}

static void check_ignored(const char *text, const char *path, bool expected)
{
    auto_ignore struct ignore *ignore = rules(text);

    if (ignore_match(ignore, path) != expected)
        check_fail("'%s' is %signored", path, expected ? "not " : "");
}

TEST(ignore, comments_and_blank_lines_count_for_nothing)
{
    check_ignored("# a\n\n  \nb\n", "b", true);
    check_ignored("# a\n\n  \nb\n", "a", false);
    check_ignored("# a\n", "# a", false);
    check_ignored(" # a\n", "# a", true); /* only in the first column */
}

TEST(ignore, patterns_are_trimmed_cleaned_and_relative_to_the_root)
{
    check_ignored("  foo/../bar/  \r\n", "bar", true);
    check_ignored("/foo\n", "foo", true);
    check_ignored("./foo\n", "foo", true);
    check_ignored("\xEF\xBB\xBF"
                  "foo\n",
                  "foo", true);
    check_ignored("foo", "foo", true); /* no newline at the end */
}

TEST(ignore, a_pattern_holds_for_everything_below)
{
    check_ignored("node_modules\n", "node_modules/a/b", true);
    check_ignored("*/temp*\n", "a/temporary/x", true);
    check_ignored("temp?\n", "tempa", true);
    check_ignored("temp?\n", "x/tempa", false);
}

/* The examples of the reference: *.md without README.md, and the order that undoes it. */
TEST(ignore, the_last_line_that_matches_wins)
{
    check_ignored("*.md\n!README.md\n", "README.md", false);
    check_ignored("*.md\n!README.md\n", "OTHER.md", true);
    check_ignored("*.md\n!README*.md\nREADME-secret.md\n", "README-secret.md", true);
    check_ignored("*.md\nREADME-secret.md\n!README*.md\n", "README-secret.md", false);
}

TEST(ignore, a_path_is_taken_back_in_out_of_an_ignored_directory)
{
    check_ignored("*\n!src\n", "src/a.c", false);
    check_ignored("*\n!src\n", "doc/a", true);
    check_ignored("a\n!a/b\n", "a/b/c", false);
    check_ignored("a\n!a/b\n", "a/c", true);
    check_ignored("a\n!a/b\na/b/secret\n", "a/b/secret", true);
    check_ignored("**\n!**/*.c\n", "x/y.c", false);
}

TEST(ignore, a_lone_exclamation_mark_is_refused)
{
    struct ignore *ignore = NULL;
    struct error err = {0};

    check_fails(ignore_parse("a\n!\n", 4, ".dockerignore", &ignore, &err), EINVAL);
    check_text(err.text, ".dockerignore:2: illegal exclusion pattern: \"!\"");
}

TEST(ignore, a_malformed_pattern_is_refused_with_its_line)
{
    struct ignore *ignore = NULL;
    struct error err = {0};

    check_fails(ignore_parse("a\n\nb[\n", 6, "x.dockerignore", &ignore, &err), EINVAL);
    check_text(err.text, "x.dockerignore:3: \"b[\": syntax error in pattern");
}

TEST(ignore, a_file_above_the_limit_is_refused)
{
    auto_free char *text = mem_alloc(LIMIT_IGNORE_SIZE + 2);
    struct ignore *ignore = NULL;
    struct error err = {0};

    memset(text, '\n', LIMIT_IGNORE_SIZE + 1);
    check_fails(ignore_parse(text, LIMIT_IGNORE_SIZE + 1, "f", &ignore, &err), E2BIG);
    check_text(err.text, "'f' is larger than 1048576 bytes");
}

/* SECURITY R53: what lies outside has no name in the context, so it cannot be taken in. */
TEST(ignore, a_pattern_that_leaves_the_root_matches_nothing)
{
    check_ignored("../x\n", "x", false);
    check_ignored("*\n!../x\n", "x", true);
}

TEST(ignore, nothing_ignores_nothing)
{
    check_false(ignore_match(NULL, "a"));
    check_true(ignore_may_descend(NULL, "a"));
    check_false(ignore_has_negation(NULL));
}

TEST(ignore, an_ignored_directory_is_entered_only_for_what_a_later_line_takes_back)
{
    auto_ignore struct ignore *ignore = rules("a\nb\n!a/x/y\n");
    auto_ignore struct ignore *undone = rules("!a/x\na\n");

    check_true(ignore_may_descend(ignore, "a"));
    check_true(ignore_may_descend(ignore, "a/x"));
    check_false(ignore_may_descend(ignore, "a/z"));
    check_false(ignore_may_descend(ignore, "b"));
    check_true(ignore_may_descend(ignore, "c"));
    check_false(ignore_may_descend(undone, "a"));
}

static char *random_text(const char *alphabet, size_t size)
{
    struct str out = {0};

    str_add(&out, "");
    for (size_t i = 0; i < size; i++)
        str_add_char(&out, alphabet[(size_t)random() % strlen(alphabet)]);
    return str_take(&out);
}

/* A walk may skip a directory only when no path below it is wanted. */
TEST(ignore, pruning_loses_nothing)
{
    srandom(5);
    for (int i = 0; i < 30000; i++) {
        auto_str struct str text = {0};
        auto_free char *raw = random_text("ab/", (size_t)random() % 8 + 2);
        auto_free char *path = path_clean(raw);
        auto_ignore struct ignore *ignore = NULL;

        for (long line = random() % 4; line >= 0; line--) {
            auto_free char *pattern = random_text("ab*?/", (size_t)random() % 5 + 1);

            str_addf(&text, "%s%s\n", random() % 3 ? "" : "!", pattern);
        }
        ignore = rules(str_text(&text));
        if (path[0] == '/' || text_equal(path, ".") || ignore_match(ignore, path))
            continue;
        for (char *slash; (slash = strrchr(path, '/'));) {
            *slash = '\0';
            if (!ignore_may_descend(ignore, path))
                check_fail("'%s' is not entered, with the rules\n%s", path, str_text(&text));
        }
    }
}

TEST(ignore, exclude_patterns_follow_the_same_rules)
{
    auto_strv struct strv patterns = {0};
    auto_ignore struct ignore *ignore = NULL;

    strv_add(&patterns, "*.txt");
    strv_add(&patterns, "!keep.txt");
    check_ok(ignore_new(&patterns, &ignore, &test_err));
    check_true(ignore_match(ignore, "a.txt"));
    check_false(ignore_match(ignore, "keep.txt"));
    check_true(ignore_has_negation(ignore));
}

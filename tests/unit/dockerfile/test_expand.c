/* test_expand.c - claims of the Dockerfile reference, "Environment replacement", and of POSIX
 * XCU 2.6.2, "Parameter Expansion"; bash is the judge of the patterns.
 */
#include <stdio.h>
#include <stdlib.h>

#include "builder/dockerfile/expand.h"
#include "fs/base/limits.h"
#include "tests/unit/dockerfile/language.h"

static int expand(const char *word, const char *variables, struct str *out, struct error *err)
{
    auto_variables struct variables v = variables_of(variables);
    struct expand_env env = variables_env(&v);
    struct expand how = {.env = &env, .escape = '\\'};

    return expand_word(&how, word, out, NULL, err);
}

static void check_expansion(const char *word, const char *variables, const char *expected)
{
    auto_str struct str out = {0};

    check_ok(expand(word, variables, &out, &test_err));
    check_text(str_text(&out), expected);
}

static void check_refusal(const char *word, const char *variables, const char *sentence)
{
    auto_str struct str out = {0};
    struct error err = {0};

    check_fails(expand(word, variables, &out, &err), EINVAL);
    check_text(err.text, sentence);
}

TEST(expand, a_variable_is_replaced_with_or_without_braces)
{
    check_expansion("$foo ${foo}bar $foo-", "foo=x", "x xbar x-");
    check_expansion("$foobar", "foo=x", "");
    check_expansion("a$", "", "a$");
    check_expansion("$ a", "", "$ a");
    check_expansion("$1a", "", "a");
    check_expansion("${a_B9}", "a_B9=1", "1");
    check_expansion("a$?b$-c${#}d", "", "abcd"); /* special parameters are never set */
}

TEST(expand, an_escaped_dollar_is_a_dollar)
{
    check_expansion("\\$foo \\${foo}", "foo=x", "$foo ${foo}");
    check_expansion("a\\b\\", "", "ab");
}

TEST(expand, the_escape_character_is_chosen)
{
    struct expand how = {.escape = '`'};
    auto_str struct str out = {0};

    check_ok(expand_word(&how, "C:\\dir`$x``", &out, NULL, &test_err));
    check_text(str_text(&out), "C:\\dir$x`");
}

TEST(expand, single_quotes_take_everything_as_it_is)
{
    check_expansion("'$foo \\ \"'", "foo=x", "$foo \\ \"");
    check_expansion("a'b'c", "", "abc");
}

TEST(expand, double_quotes_take_everything_but_variables_and_escapes)
{
    check_expansion("\"$foo ' \\\" \\$ \\\\ \\n\"", "foo=x", "x ' \" $ \\ \\n");
}

TEST(expand, an_open_quote_is_refused)
{
    check_refusal("a'b", "",
                  "failed to process \"a'b\": unexpected end of statement while looking for "
                  "matching single-quote");
    check_refusal("\"b", "",
                  "failed to process \"\\\"b\": unexpected end of statement while looking for "
                  "matching double-quote");
}

TEST(expand, a_default_stands_in_for_what_is_unset)
{
    check_expansion("${v:-w}", "", "w");
    check_expansion("${v:-w}", "v=", "w");
    check_expansion("${v:-w}", "v=x", "x");
    check_expansion("${v-w}", "", "w");
    check_expansion("${v-w}", "v=", "");
    check_expansion("${v:-${w:-'a b'}}", "", "a b");
    check_expansion("${v:-}", "", "");
}

TEST(expand, an_alternative_stands_in_for_what_is_set)
{
    check_expansion("${v:+w}", "", "");
    check_expansion("${v:+w}", "v=", "");
    check_expansion("${v:+w}", "v=x", "w");
    check_expansion("${v+w}", "v=", "w");
    check_expansion("${v+$w}", "v=1 w=2", "2");
}

TEST(expand, a_question_mark_insists_on_a_value)
{
    check_expansion("${v:?m}", "v=x", "x");
    check_expansion("${v?}", "v=", "");
    check_refusal("${V?}", "", "failed to process \"${V?}\": V: is not allowed to be unset");
    check_refusal("${V:?}", "V=", "failed to process \"${V:?}\": V: is not allowed to be empty");
    check_refusal("${V:?say so}", "", "failed to process \"${V:?say so}\": V: say so");
}

/* The examples of the reference. */
TEST(expand, prefixes_and_suffixes_are_removed_by_pattern)
{
    check_expansion("${str#f*b}", "str=foobarbaz", "arbaz");
    check_expansion("${str##f*b}", "str=foobarbaz", "az");
    check_expansion("${str%b*}", "str=foobarbaz", "foobar");
    check_expansion("${str%%b*}", "str=foobarbaz", "foo");
    check_expansion("${str#z}", "str=foobarbaz", "foobarbaz");
    check_expansion("${str#?}", "str=\xC3\xA4x", "x");
    check_expansion("${str%?}", "str=x\xC3\xA4", "x");
    check_expansion("${none#a}", "", "");
}

TEST(expand, matches_are_replaced_once_or_everywhere)
{
    check_expansion("${str/ba/fo}", "str=foobarbaz", "fooforbaz");
    check_expansion("${str//ba/fo}", "str=foobarbaz", "fooforfoz");
    check_expansion("${str//o/$x}", "str=foo x=1", "f11");
    check_expansion("${str//\\//:}", "str=a/b/c", "a:b:c");
    check_expansion("${str/\\*/x}", "str=a*b", "axb");
    check_expansion("${str/\\}/x}", "str=a}b", "axb");
}

TEST(expand, malformed_substitutions_are_refused)
{
    check_refusal("${", "", "failed to process \"${\": syntax error: missing '}'");
    check_refusal("${a", "", "failed to process \"${a\": syntax error: missing '}'");
    check_refusal("${a:-b", "", "failed to process \"${a:-b\": syntax error: missing '}'");
    check_refusal("${}", "", "failed to process \"${}\": syntax error: bad substitution");
    check_refusal("${:a}", "", "failed to process \"${:a}\": syntax error: bad substitution");
    check_refusal("${{a}}", "", "failed to process \"${{a}}\": syntax error: bad substitution");
    check_refusal("${a^b}", "",
                  "failed to process \"${a^b}\": unsupported modifier (^) in substitution");
    check_refusal("${a:=b}", "",
                  "failed to process \"${a:=b}\": unsupported modifier (:=) in substitution");
    check_refusal("${a/b}", "", "failed to process \"${a/b}\": syntax error: missing '/' in ${}");
    check_refusal(
        "${a#\\x}", "a=b",
        "failed to process \"${a#\\\\x}\": invalid pattern (\\x) in substitution: invalid "
        "escape");
}

TEST(expand, words_are_split_at_blanks_outside_quotes_and_inside_values)
{
    auto_variables struct variables v = variables_of("a=1");
    struct expand_env env = variables_env(&v);
    struct expand how = {.env = &env, .escape = '\\'};
    auto_strv struct strv out = {0};

    variables_set(&v, "two", " x  y ");
    check_ok(expand_words(&how, " p$a\t'q r' s\\ t \"\" $two-z \"$two\"", &out, NULL, &test_err));
    check_strv(&out, "p1|q r|s t|x|y|-z| x  y ");
}

TEST(expand, names_are_reported_once_as_found_or_not_found)
{
    auto_variables struct variables v = variables_of("a=1 b=");
    struct expand_env env = variables_env(&v);
    struct expand how = {.env = &env, .escape = '\\'};
    auto_expand_use struct expand_use use = {0};
    auto_str struct str out = {0};

    check_ok(expand_word(&how, "$a $c ${b:-$d} $a $c", &out, &use, &test_err));
    check_strv(&use.matched, "a|b");
    check_strv(&use.unmatched, "c|d");
}

TEST(expand, what_is_unset_can_be_kept)
{
    struct expand how = {.escape = '\\', .keep_unset = true};
    auto_str struct str out = {0};

    check_ok(expand_word(&how, "$a ${b} ${c:-d} ${e//x/y}", &out, NULL, &test_err));
    check_text(str_text(&out), "$a ${b} ${c:-d} ${e/x/y}");
}

TEST(expand, a_value_is_not_expanded_again)
{
    auto_variables struct variables v = variables_of("a=$b b=1");

    check_expansion("$a", "a=$b b=1", "$b");
    check_expansion("${a:-x}", "a='q' b=1", "'q'");
}

/* SECURITY R57: values that double with each line end at the limit, at once. */
TEST(expand, the_result_is_bounded)
{
    auto_variables struct variables v = {0};
    struct expand_env env = variables_env(&v);
    struct expand how = {.env = &env, .escape = '\\'};
    struct error err = {0};
    int r = 0;

    variables_set(&v, "a", "0123456789abcdef");
    for (int i = 0; i < 64 && r == 0; i++) {
        auto_str struct str out = {0};

        r = expand_word(&how, "$a$a", &out, NULL, &err);
        variables_set(&v, "a", str_text(&out));
        check_true(out.size <= LIMIT_EXPANSION_SIZE);
    }
    check_fails(r, E2BIG);
    check_text(err.text, "failed to process \"$a$a\": the result is larger than 1048576 bytes");
}

TEST(expand, replacements_are_bounded)
{
    auto_str struct str long_value = {0};
    auto_str struct str out = {0};
    auto_variables struct variables v = {0};
    struct expand_env env = variables_env(&v);
    struct expand how = {.env = &env, .escape = '\\'};

    for (int i = 0; i < 10000; i++)
        str_add(&long_value, "x");
    variables_set(&v, "a", str_text(&long_value));
    check_fails(expand_word(&how, "${a//x/$a}", &out, NULL, &test_err), E2BIG);
}

TEST(expand, deep_nesting_is_refused_and_not_followed)
{
    auto_str struct str word = {0};
    auto_str struct str out = {0};
    struct expand how = {.escape = '\\'};

    for (int i = 0; i < 200000; i++)
        str_add(&word, "${a:-");
    check_fails(expand_word(&how, str_text(&word), &out, NULL, &test_err), E2BIG);
}

/* Quadratic matching would take hours here. */
TEST(expand, hostile_patterns_take_linear_time)
{
    auto_str struct str value = {0};
    auto_str struct str word = {0};
    auto_str struct str out = {0};
    auto_variables struct variables v = {0};
    struct expand_env env = variables_env(&v);
    struct expand how = {.env = &env, .escape = '\\'};

    for (int i = 0; i < 1 << 19; i++)
        str_add_char(&value, 'a');
    variables_set(&v, "v", str_text(&value));
    str_add(&word, "${v%%b*");
    for (int i = 0; i < 1 << 18; i++)
        str_add(&word, "a");
    str_add(&word, "*b}");
    check_ok(expand_word(&how, str_text(&word), &out, NULL, &test_err));
    check_int(out.size, value.size);
    str_truncate(&word, 0);
    str_truncate(&out, 0);
    str_add(&word, "${v%b");
    for (int i = 0; i < 1 << 18; i++)
        str_add(&word, "a");
    str_add(&word, "*}");
    check_ok(expand_word(&how, str_text(&word), &out, NULL, &test_err));
    check_int(out.size, value.size);
}

static char *random_text(const char *alphabet, size_t size_max)
{
    size_t size = (size_t)random() % (size_max + 1);
    struct str out = {0};

    for (size_t i = 0; i < size; i++)
        str_add_char(&out, alphabet[(size_t)random() % strlen(alphabet)]);
    return str_take(&out);
}

/* Reads what bash makes of the same words; the operators mean there what POSIX and the reference
 * say. */
TEST(expand, patterns_mean_what_they_mean_in_bash)
{
    static const char *const operators[] = {"#", "##", "%", "%%", "/", "//"};
    enum { CASES = 3000 };
    auto_strv struct strv words = {0};
    auto_strv struct strv values = {0};
    auto_str struct str script = {0};
    auto_free char *path = str_format("%s/script", test_dir());
    auto_free char *command = str_format("bash %s", path);
    FILE *file;

    test_need("bash", system("bash -c :") == 0, "bash is not installed");
    srandom(7);
    for (int i = 0; i < CASES; i++) {
        const char *operator= operators[random() % 6];
        auto_free char *value = random_text("aab", 9);
        auto_free char *pattern = random_text("aab*?", 5);

        strv_addf(&words, "${v%s%s%s}", operator, pattern, *operator== '/' ? "/x" : "");
        strv_add(&values, value);
        str_addf(&script, "v=%s; printf '%%s\\n' \"%s\"\n", value, words.items[i]);
    }
    file = fopen(path, "we");
    check_true(file && fputs(str_text(&script), file) >= 0 && fclose(file) == 0);
    file = popen(command, "re");
    for (int i = 0; i < CASES; i++) {
        char expected[256];
        auto_variables struct variables v = {0};
        struct expand_env env = variables_env(&v);
        struct expand how = {.env = &env, .escape = '\\'};
        auto_str struct str out = {0};

        check_true(fgets(expected, sizeof(expected), file) != NULL);
        expected[strcspn(expected, "\n")] = '\0';
        variables_set(&v, "v", values.items[i]);
        if (strstr(words.items[i], "{v//x}") || strstr(words.items[i], "{v///x}"))
            continue; /* an empty pattern is outside what anybody documents */
        check_ok(expand_word(&how, words.items[i], &out, NULL, &test_err));
        if (!text_equal(str_text(&out), expected))
            check_fail("%s of '%s' is '%s', in bash '%s'", words.items[i], values.items[i],
                       str_text(&out), expected);
    }
    pclose(file);
}

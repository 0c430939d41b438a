/* test_redact.c - what a step writes, with the secrets taken out (SECURITY R49: none in a log). */
#include <string.h>

#include "builder/redact.h"
#include "tests/lib/test.h"

/* Feeds the text in pieces of `step` bytes. */
static void feed(struct redact *r, const char *text, size_t step, struct str *out)
{
    size_t size = strlen(text);

    for (size_t at = 0; at < size; at += step)
        redact_feed(r, 1, text + at, size - at < step ? size - at : step, out);
    redact_flush(r, 1, out);
}

static void check_redacted(const char *secret, const char *text, const char *expected)
{
    for (size_t step = 1; step <= strlen(text) + 1; step++) {
        auto_redact struct redact r = {0};
        auto_str struct str out = {0};

        redact_add(&r, secret, strlen(secret));
        feed(&r, text, step, &out);
        check_text(str_text(&out), expected);
    }
}

TEST(redact, a_secret_is_masked_however_it_is_cut)
{
    check_redacted("password", "a password, passwordpassword and pass word",
                   "a ***, ****** and pass word");
    check_redacted("aaaaaaab", "aaaaaaaaaaaab", "aaaaa***");
    check_redacted("abcabcabd", "abcabcabcabd", "abc***");
}

TEST(redact, the_newline_at_its_end_does_not_count)
{
    check_redacted("password\n", "x=password;", "x=***;");
    check_redacted("password\r\n", "x=password\r\n", "x=***\r\n");
}

TEST(redact, every_line_of_a_secret_is_masked)
{
    check_redacted("BEGIN KEY\n1234567890\nabc\n", "1234567890 abc BEGIN KEY", "*** abc ***");
}

/* Or every "a" of a log would be a star. */
TEST(redact, what_is_too_short_is_not_looked_for)
{
    check_redacted("abcde", "abcde", "abcde");
    check_redacted("", "abcde", "abcde");
    check_redacted("\n\n\n", "a\n\n\nb", "a\n\n\nb");
}

TEST(redact, the_longest_of_several_is_masked)
{
    auto_redact struct redact r = {0};
    auto_str struct str out = {0};

    redact_add(&r, "secret", 6);
    redact_add(&r, "secret-and-more", 15);
    feed(&r, "a secret-and-more, a secret.", 100, &out);
    check_text(str_text(&out), "a ***, a ***.");
}

/* What one stream holds back must not come out of the other. */
TEST(redact, streams_are_apart)
{
    auto_redact struct redact r = {0};
    auto_str struct str out = {0};

    redact_add(&r, "secret", 6);
    redact_feed(&r, 1, "sec", 3, &out);
    redact_feed(&r, 2, "ret\n", 4, &out);
    check_text(str_text(&out), "ret\n");
    redact_flush(&r, 1, &out);
    check_text(str_text(&out), "ret\nsec");
}

/* test_error.c - what struct error promises: one sentence, one code, never an overflow. */
#include <errno.h>
#include <string.h>

#include "fs/base/error.h"
#include "tests/lib/test.h"

/* Recording and returning is one statement. */
TEST(error, set_records_and_returns_the_negative_code)
{
    struct error err = {0};

    check_int(error_set(&err, EBUSY, "'%s' is still mounted", "web"), -EBUSY);
    check_error(&err, EBUSY, "'web' is still mounted");
}

TEST(error, set_forgets_the_hint_and_detail_of_an_older_failure)
{
    struct error err = {0};

    error_set(&err, EIO, "first");
    error_hint(&err, "try again");
    error_detail(&err, "line 1\n");
    error_set(&err, ENOENT, "second");
    check_text(err.hint, "");
    check_text(err.detail, "");
}

/* errno(3): the text is the C library's. */
TEST(error, errno_appends_the_reason_and_takes_its_code)
{
    struct error err = {0};

    errno = ENOENT;
    check_int(error_errno(&err, "cannot open '%s'", "a"), -ENOENT);
    check_error(&err, ENOENT, "cannot open 'a': No such file or directory");
}

TEST(error, errno_nobody_set_is_still_a_failure)
{
    struct error err = {0};

    errno = 0;
    check_int(error_errno(&err, "odd"), -EIO);
}

TEST(error, errno_without_a_name_shows_its_number)
{
    struct error err = {0};

    errno = 4000;
    check_int(error_errno(&err, "odd"), -4000);
    check_text(err.text, "odd: error 4000");
}

TEST(error, wrap_puts_context_in_front_and_keeps_code_and_hint)
{
    struct error err = {0};

    error_set(&err, ENOEXEC, "cannot start '/bin/sh'");
    error_hint(&err, "use the exec form");
    check_int(error_wrap(&err, "%s:%d", "Dockerfile", 7), -ENOEXEC);
    check_error(&err, ENOEXEC, "Dockerfile:7: cannot start '/bin/sh'");
    check_text(err.hint, "use the exec form");
}

TEST(error, set_may_quote_the_sentence_it_replaces)
{
    struct error err = {0};

    error_set(&err, EIO, "inner");
    error_set(&err, EPROTO, "outer (%s)", err.text);
    check_text(err.text, "outer (inner)");
}

TEST(error, the_first_hint_wins)
{
    struct error err = {0};

    error_set(&err, EIO, "x");
    check_int(error_hint(&err, "low"), -EIO);
    check_int(error_hint(&err, "high"), -EIO);
    check_text(err.hint, "low");
}

TEST(error, a_text_too_long_is_cut_visibly)
{
    struct error err = {0};
    char big[3 * ERROR_DETAIL_MAX];

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    error_set(&err, EIO, "%s", big);
    check_int(strlen(err.text), ERROR_TEXT_MAX - 1);
    check_text(err.text + ERROR_TEXT_MAX - 4, "...");
    error_hint(&err, "%s", big);
    check_int(strlen(err.hint), ERROR_HINT_MAX - 1);
    error_detail(&err, "%s", big);
    check_int(strlen(err.detail), ERROR_DETAIL_MAX - 1);
    error_wrap(&err, "%s", big);
    check_int(strlen(err.text), ERROR_TEXT_MAX - 1);
}

TEST(error, a_cut_does_not_split_a_utf8_sequence)
{
    struct error err = {0};
    char big[2 * ERROR_TEXT_MAX];
    size_t size = 0;

    for (; size + 3 < sizeof(big); size += 2)
        memcpy(big + size, "\xc3\xa9", 2);
    big[size] = '\0';
    for (int shift = 0; shift < 2; shift++) {
        error_set(&err, EIO, "%s%s", shift ? "x" : "", big);
        size = strlen(err.text);
        check_text(err.text + size - 3, "...");
        check_int((unsigned char)err.text[size - 4], 0xa9);
    }
}

TEST(error, clear_leaves_nothing)
{
    struct error err = {0};

    error_set(&err, EIO, "x");
    error_hint(&err, "y");
    error_clear(&err);
    check_int(err.code, 0);
    check_text(err.text, "");
    check_text(err.hint, "");
}

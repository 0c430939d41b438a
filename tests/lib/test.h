/* test.h - a claim per test, checks that show what differs, and a scratch directory.
 *
 * TEST(noun, claim) { ... } registers itself, so that a file has no list at its bottom; one
 * executable per file; main() lives here. Arguments of the executable pick claims by substring. A
 * failed check ends its test at once, without running the cleanups of its locals.
 * Exit status: 0 passed, 1 failed, 77 when every claim was skipped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

#define TEST(noun, claim)                                                                          \
    static void test_##noun##_##claim(void);                                                       \
    __attribute__((constructor)) static void register_##noun##_##claim(void)                       \
    {                                                                                              \
        test_register(#noun ": " #claim, test_##noun##_##claim);                                   \
    }                                                                                              \
    static void test_##noun##_##claim(void)

/* A spare error for calls whose sentence the test does not look at; emptied before every test.
 * When check_ok fails, the sentence found in here is shown too. */
extern struct error test_err;

/* `result` must be 0 or more / exactly -code. */
#define check_ok(result) test_check_ok((intmax_t)(result), TEST_AT(#result))
#define check_fails(result, code) test_check_fails((intmax_t)(result), (code), TEST_AT(#result))
/* What `err` (a struct error *) recorded: its code and its whole sentence. */
#define check_error(err, code, sentence)                                                           \
    test_check_error((err), (code), (sentence), TEST_AT("the sentence"))
#define check_hint(err, hint_text) test_check_text((err)->hint, (hint_text), TEST_AT(#err))
/* Strings, NULL allowed; several lines are shown as a diff. */
#define check_text(actual, expected) test_check_text((actual), (expected), TEST_AT(#actual))
/* `part` stands somewhere in `text`, or nowhere; the whole text is shown when it is not so. A NULL
 * text holds nothing. */
#define check_contains(text, part) test_check_part((text), (part), true, TEST_AT(#text))
#define check_lacks(text, part) test_check_part((text), (part), false, TEST_AT(#text))
#define check_bytes(actual, actual_size, expected, expected_size)                                  \
    test_check_bytes((actual), (actual_size), (expected), (expected_size), TEST_AT(#actual))
/* Signed and unsigned integers up to 64 bits; both sides are compared as intmax_t. */
#define check_int(actual, expected)                                                                \
    test_check_int((intmax_t)(actual), (intmax_t)(expected), TEST_AT(#actual))
#define check_true(condition) test_check_true((condition) ? true : false, TEST_AT(#condition))
#define check_false(condition)                                                                     \
    test_check_true((condition) ? false : true, TEST_AT("not (" #condition ")"))
/* Fails the test with a sentence of its own. */
#define check_fail(...) test_fail(TEST_AT(""), __VA_ARGS__)

/* Skips the test with `reason` unless `available`; a failure when -Drequire lists `feature`. */
#define test_need(feature, available, reason)                                                      \
    test_check_need((feature), (available) ? true : false, (reason), TEST_AT(feature))

/* An empty directory (0700) of this test, removed with everything in it when the test ends. The
 * same one on every call within a test. The path is borrowed; the descriptor is owned by the test
 * library. */
const char *test_dir(void);
int test_dir_fd(void);

/* Calls `fn` when the running test ends, however it ends, before its scratch directory goes. One
 * function; a second call replaces the first. */
void test_at_end(void (*fn)(void));

/* Where a check stands and what it looks at, in the words of the source. */
struct test_at {
    const char *text;
    const char *file;
    int line;
};
#define TEST_AT(text_)                                                                             \
    (&(const struct test_at){.text = (text_), .file = __FILE__, .line = __LINE__})

void test_register(const char *name, void (*run)(void));
void test_check_ok(intmax_t result, const struct test_at *at);
void test_check_fails(intmax_t result, int code, const struct test_at *at);
void test_check_error(const struct error *err, int code, const char *sentence,
                      const struct test_at *at);
void test_check_text(const char *actual, const char *expected, const struct test_at *at);
void test_check_part(const char *text, const char *part, bool is_wanted, const struct test_at *at);
void test_check_bytes(const void *actual, size_t actual_size, const void *expected,
                      size_t expected_size, const struct test_at *at);
void test_check_int(intmax_t actual, intmax_t expected, const struct test_at *at);
void test_check_true(bool condition, const struct test_at *at);
void test_check_need(const char *feature, bool available, const char *reason,
                     const struct test_at *at);
_Noreturn void test_fail(const struct test_at *at, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

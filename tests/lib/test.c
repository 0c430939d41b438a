/* test.c - the runner behind test.h, on cmocka. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/base/io.h"
#include "tests/lib/test.h"

struct test_list {
    struct CMUnitTest *items;
    size_t count;
    size_t capacity;
};

static struct test_list tests;
static size_t ran_count;
static size_t skipped_count;
static char dir_path[4096];
static int dir_fd = -1;
static void (*at_end)(void);

struct error test_err;

static int before(void **state)
{
    (void)state;
    error_clear(&test_err);
    ran_count++;
    return 0;
}

void test_at_end(void (*fn)(void))
{
    at_end = fn;
}

static int after(void **state)
{
    void (*fn)(void) = at_end;

    (void)state;
    at_end = NULL;
    if (fn)
        fn();
    if (dir_fd < 0)
        return 0;
    cleanup_close_fd(&dir_fd);
    /* What cannot be removed is left in the temporary directory; the claim itself was checked. */
    (void)io_remove_tree(AT_FDCWD, dir_path);
    return 0;
}

static void run_one(void **state)
{
    void (*run)(void);

    memcpy(&run, *state, sizeof(run));
    run();
}

void test_register(const char *name, void (*run)(void))
{
    struct CMUnitTest *test = array_add(&tests);

    test->name = name;
    test->test_func = run_one;
    test->setup_func = before;
    test->teardown_func = after;
    test->initial_state = mem_dup(&run, sizeof(run));
}

const char *test_dir(void)
{
    const char *base = getenv("TMPDIR");

    if (dir_fd >= 0)
        return dir_path;
    (void)snprintf(dir_path, sizeof(dir_path), "%s/img-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(dir_path))
        check_fail("cannot make '%s': %s", dir_path, strerror(errno));
    dir_fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        check_fail("cannot open '%s': %s", dir_path, strerror(errno));
    return dir_path;
}

int test_dir_fd(void)
{
    (void)test_dir();
    return dir_fd;
}

_Noreturn void test_fail(const struct test_at *at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vprint_error(fmt, args);
    va_end(args);
    print_error("\n");
    _fail(at->file, at->line);
    abort(); /* _fail jumps away */
}

void test_check_ok(intmax_t result, const struct test_at *at)
{
    if (result >= 0)
        return;
    if (test_err.code)
        test_fail(at, "%s failed: %s\n  test_err: %s", at->text, strerror((int)-result),
                  test_err.text);
    test_fail(at, "%s failed: %s", at->text, strerror((int)-result));
}

void test_check_fails(intmax_t result, int code, const struct test_at *at)
{
    if (result >= 0)
        test_fail(at, "%s succeeded (%jd), expected %s", at->text, result, strerror(code));
    if (result != -code)
        test_fail(at, "%s failed with '%s', expected '%s'\n  test_err: %s", at->text,
                  strerror((int)-result), strerror(code), test_err.text);
}

void test_check_error(const struct error *err, int code, const char *sentence,
                      const struct test_at *at)
{
    if (err->code != code)
        test_fail(at, "error code is %d (%s), expected %d (%s); it says: %s", err->code,
                  strerror(err->code), code, strerror(code), err->text);
    test_check_text(err->text, sentence, at);
}

#define DIFFERENCE_CONTEXT 3
#define DIFFERENCE_LINES_MAX 60

static const char *next_line(const char *line)
{
    const char *end = strchr(line, '\n');

    return end ? end + 1 : line + strlen(line);
}

static const char *previous_line(const char *text, const char *line)
{
    if (line > text)
        line--;
    while (line > text && line[-1] != '\n')
        line--;
    return line;
}

/* The start of the line in which two texts stop being the same, as an offset in both. */
static size_t common_head(const char *a, const char *b)
{
    size_t same = 0;

    while (a[same] && a[same] == b[same])
        same++;
    while (same > 0 && a[same - 1] != '\n')
        same--;
    return same;
}

/* How many bytes of whole lines at the end are the same, without reaching into the head. */
static size_t common_tail(const char *a, const char *b, size_t head)
{
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);
    size_t same = 0;

    while (same < a_size - head && same < b_size - head &&
           a[a_size - same - 1] == b[b_size - same - 1])
        same++;
    while (same > 0 && a[a_size - same - 1] != '\n')
        same--;
    return same;
}

static void print_lines(const char *mark, const char *from, const char *to)
{
    int count = 0;

    for (; from < to && count < DIFFERENCE_LINES_MAX; from = next_line(from), count++)
        print_error("  %s %.*s\n", mark, (int)strcspn(from, "\n"), from);
    if (from < to)
        print_error("  %s ...\n", mark);
}

static void print_difference(const char *actual, const char *expected)
{
    size_t head = common_head(actual, expected);
    size_t tail = common_tail(actual, expected, head);
    const char *context = actual + head;

    for (int i = 0; i < DIFFERENCE_CONTEXT; i++)
        context = previous_line(actual, context);
    print_lines(" ", context, actual + head);
    print_lines("-", expected + head, expected + strlen(expected) - tail);
    print_lines("+", actual + head, actual + strlen(actual) - tail);
}

void test_check_text(const char *actual, const char *expected, const struct test_at *at)
{
    if (actual == expected || (actual && expected && strcmp(actual, expected) == 0))
        return;
    if (!actual || !expected)
        test_fail(at, "%s is '%s', expected '%s'", at->text, actual ? actual : "(null)",
                  expected ? expected : "(null)");
    print_error("%s is not what was expected (- expected, + actual):\n", at->text);
    print_difference(actual, expected);
    _fail(at->file, at->line);
}

void test_check_part(const char *text, const char *part, bool is_wanted, const struct test_at *at)
{
    bool is_there = text && strstr(text, part);

    if (is_there != is_wanted)
        test_fail(at, "%s %s '%s': '%s'", at->text, is_there ? "contains" : "lacks", part,
                  text ? text : "(null)");
}

void test_check_bytes(const void *actual, size_t actual_size, const void *expected,
                      size_t expected_size, const struct test_at *at)
{
    const uint8_t *a = actual;
    const uint8_t *b = expected;
    size_t index = 0;

    if (actual_size != expected_size)
        test_fail(at, "%s has %zu bytes, expected %zu", at->text, actual_size, expected_size);
    while (index < actual_size && a[index] == b[index])
        index++;
    if (index < actual_size)
        test_fail(at, "byte %zu of %s is 0x%02x, expected 0x%02x", index, at->text, a[index],
                  b[index]);
}

void test_check_int(intmax_t actual, intmax_t expected, const struct test_at *at)
{
    if (actual != expected)
        test_fail(at, "%s is %jd, expected %jd", at->text, actual, expected);
}

void test_check_true(bool condition, const struct test_at *at)
{
    if (!condition)
        test_fail(at, "not true: %s", at->text);
}

static bool is_required(const char *feature)
{
    const char *list = getenv("IMG_TEST_REQUIRE");
    size_t length = strlen(feature);

    while (list && *list) {
        size_t item = strcspn(list, ",");

        if (item == length && memcmp(list, feature, length) == 0)
            return true;
        list += item + (list[item] == ',');
    }
    return false;
}

void test_check_need(const char *feature, bool available, const char *reason,
                     const struct test_at *at)
{
    if (available)
        return;
    if (is_required(feature))
        test_fail(at, "'%s' is required but missing: %s", feature, reason);
    print_message("skipped for want of '%s': %s\n", feature, reason);
    skipped_count++;
    _skip(at->file, at->line);
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strstr(name, argv[i]))
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    size_t kept = 0;
    int failed;

    for (size_t i = 0; i < tests.count; i++)
        if (is_wanted(tests.items[i].name, argc, argv))
            tests.items[kept++] = tests.items[i];
    failed = _cmocka_run_group_tests(argv[0], tests.items, kept, NULL, NULL);
    if (failed != 0)
        return 1;
    return ran_count > 0 && ran_count == skipped_count ? 77 : 0;
}

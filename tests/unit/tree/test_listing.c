/* What a COPY selected, as text, and how two of them differ: the sentences of --explain. A real
 * directory. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/tree/listing.h"
#include "tests/lib/test.h"

static void put(const char *path, const char *text)
{
    auto_close int fd = openat(test_dir_fd(), path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    check_true(fd >= 0);
    check_int(write(fd, text, strlen(text)), strlen(text));
}

static void list(const struct selection_key *how, struct str *out)
{
    const struct selection_request request = {.pattern = "."};
    auto_tree struct tree *t = NULL;
    auto_selections struct selections s = {0};

    check_ok(tree_open_host(test_dir(), NULL, &t, &test_err));
    check_ok(selections_add(&s, t, &request, &test_err));
    check_ok(selections_digest(&s, t, 1, &test_err));
    check_ok(listing_add(&s, t, how, out, &test_err));
}

static void check_differences(const struct str *before, const struct str *now, size_t max,
                              const char *expected)
{
    auto_strv struct strv found = {0};
    auto_free char *text = NULL;

    listing_compare(str_text(before), str_text(now), max, &found);
    text = strv_join(&found, "\n");
    check_text(text, expected);
}

static void put_context(void)
{
    check_int(mkdirat(test_dir_fd(), "src", 0755), 0);
    put("src/a.c", "int a;");
    put("src/b.c", "int b;");
    check_int(symlinkat("a.c", test_dir_fd(), "src/link"), 0);
}

TEST(listing, the_same_files_at_another_time_do_not_differ)
{
    const struct selection_key how = {0};
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    auto_str struct str before = {0};
    auto_str struct str now = {0};

    put_context();
    list(&how, &before);
    check_int(utimensat(test_dir_fd(), "src/a.c", times, 0), 0);
    list(&how, &now);
    check_differences(&before, &now, 10, "");
}

TEST(listing, each_difference_is_named_with_its_file)
{
    const struct selection_key how = {0};
    auto_str struct str before = {0};
    auto_str struct str now = {0};

    put_context();
    put("src/gone", "");
    put("src/same_size", "1");
    list(&how, &before);
    put("src/a.c", "int aa;");
    put("src/same_size", "2");
    check_int(fchmodat(test_dir_fd(), "src/b.c", 0664, 0), 0);
    check_int(unlinkat(test_dir_fd(), "src/gone", 0), 0);
    check_int(unlinkat(test_dir_fd(), "src/link", 0), 0);
    check_int(symlinkat("b.c", test_dir_fd(), "src/link"), 0);
    put("src/new\nline", "");
    list(&how, &now);
    check_differences(&before, &now, 10,
                      "src/a.c: content changed (6 -> 7 bytes)\n"
                      "src/b.c: mode 0644 -> 0664 (content same)\n"
                      "src/link: target changed\n"
                      "src/new\\nline: new\n"
                      "src/same_size: content changed\n"
                      "src/gone: gone");
}

TEST(listing, a_file_that_became_a_directory_is_told_as_such)
{
    const struct selection_key how = {0};
    auto_str struct str before = {0};
    auto_str struct str now = {0};

    put("x", "");
    list(&how, &before);
    check_int(unlinkat(test_dir_fd(), "x", 0), 0);
    check_int(mkdirat(test_dir_fd(), "x", 0755), 0);
    list(&how, &now);
    check_differences(&before, &now, 10, "x: file -> directory");
}

/* Dockerfile reference, "COPY --chmod": with an octal --chmod the source's mode is no input, so it
 * explains nothing. */
TEST(listing, what_the_key_leaves_out_is_left_out)
{
    const struct selection_key how = {.any_mode = true};
    auto_str struct str before = {0};
    auto_str struct str now = {0};

    put_context();
    list(&how, &before);
    check_int(fchmodat(test_dir_fd(), "src/a.c", 0600, 0), 0);
    list(&how, &now);
    check_differences(&before, &now, 10, "");
}

TEST(listing, many_differences_are_counted)
{
    const struct selection_key how = {0};
    auto_str struct str before = {0};
    auto_str struct str now = {0};

    list(&how, &before);
    for (int i = 0; i < 5; i++) {
        auto_free char *name = str_format("f%d", i);

        put(name, "");
    }
    list(&how, &now);
    check_differences(&before, &now, 2, "f0: new\nf1: new\nand 3 more");
}

TEST(listing, text_that_is_none_is_passed_over)
{
    const struct str none = {0};
    auto_str struct str odd = {0};

    str_add(&odd, "env=A=b\nf 99 644 0 0 1 2 3 x\nf\nz 0 644 0 0 1 2 3 y\nf 0 644 0 0 1 2 3 ok\n");
    check_differences(&none, &odd, 10, "ok: new");
}

/* What a source argument comes to, and what of it is in the key: Dockerfile reference, "COPY".
 * A real directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/tree/selection.h"
#include "tests/lib/scene.h"
#include "tests/lib/test.h"

static void put(const char *path, const char *text)
{
    auto_close int fd = openat(test_dir_fd(), path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    check_true(fd >= 0);
    check_int(write(fd, text, strlen(text)), strlen(text));
}

static void put_dir(const char *path)
{
    check_int(mkdirat(test_dir_fd(), path, 0755), 0);
}

/* src/{a,b.txt,sub/c.txt} and a link beside it. */
static void put_context(void)
{
    put_dir("src");
    put_dir("src/sub");
    put("src/a", "A");
    put("src/b.txt", "B");
    put("src/sub/c.txt", "C");
    check_int(symlinkat("src", test_dir_fd(), "link"), 0);
}

/* Selects, and writes "PATH: entries" a line. */
static int list(const struct selection_request *request, struct str *out)
{
    auto_tree struct tree *t = NULL;
    auto_selections struct selections s = {0};
    int r;

    check_ok(tree_open_host(test_dir(), NULL, &t, &test_err));
    r = selections_add(&s, t, request, &test_err);
    for (size_t i = 0; i < s.count; i++) {
        str_addf(out, "%s:", s.items[i].path);
        for (size_t k = 0; k < s.items[i].count; k++)
            str_addf(out, " %s", s.items[i].items[k].relative);
        str_add_char(out, '\n');
    }
    return r;
}

static void check_list(const char *pattern, const char *expected)
{
    const struct selection_request request = {.pattern = pattern};
    auto_str struct str text = {0};

    check_ok(list(&request, &text));
    check_text(str_text(&text), expected);
}

TEST(selection, a_directory_stands_for_its_contents)
{
    put_context();
    check_list("src", "src:  a b.txt sub sub/c.txt\n");
    check_list("./src/", "src:  a b.txt sub sub/c.txt\n");
}

TEST(selection, dots_end_at_the_root_of_the_context)
{
    put_context();
    check_list("../../src/a", "src/a: \n");
    check_list("/src/sub/../a", "src/a: \n");
}

TEST(selection, a_link_in_the_argument_is_followed)
{
    put_context();
    check_list("link/a", "link/a: \n");
    check_list("link", "link:  a b.txt sub sub/c.txt\n");
}

TEST(selection, wildcards_match_in_one_directory)
{
    put_context();
    check_list("src/*.txt", "src/b.txt: \n");
    check_list("s*/a", "src/a: \n");
    check_list("src/x*", "");
}

TEST(selection, a_plain_path_that_is_not_there_is_an_error)
{
    const struct selection_request request = {.pattern = "src/nope"};
    auto_str struct str text = {0};

    put_context();
    check_fails(list(&request, &text), ENOENT);
    check_error(&test_err, ENOENT, "\"/src/nope\": not found");
}

TEST(selection, a_literal_request_knows_no_wildcards)
{
    const struct selection_request request = {.pattern = "src/*.txt", .literal = true};
    auto_str struct str text = {0};

    put_context();
    check_fails(list(&request, &text), ENOENT);
}

TEST(selection, what_is_ignored_comes_only_as_the_parent_of_what_is_taken_back)
{
    const char rules[] = "src/sub\n!src/sub/c.txt\nsrc/a\n";
    auto_ignore struct ignore *ignore = NULL;
    auto_str struct str text = {0};
    auto_str struct str none = {0};

    put_context();
    check_ok(ignore_parse(rules, strlen(rules), "the test", &ignore, &test_err));
    check_ok(list(&(struct selection_request){.pattern = "src", .ignore = ignore}, &text));
    check_text(str_text(&text), "src:  b.txt sub sub/c.txt\n");
    check_fails(list(&(struct selection_request){.pattern = "src/a", .ignore = ignore}, &none),
                ENOENT);
}

/* ---- the key ---- */

static struct digest key_in(struct tree *t, const char *pattern, struct selection_key how)
{
    const struct selection_request request = {.pattern = pattern, .deep = how.with_paths};
    auto_selections struct selections s = {0};
    struct digest out;

    check_ok(selections_add(&s, t, &request, &test_err));
    check_ok(selections_digest(&s, t, 1, &test_err));
    check_ok(selections_key(&s, t, &how, &out, &test_err));
    return out;
}

static struct digest key_of(const char *pattern, struct selection_key how)
{
    auto_tree struct tree *t = NULL;

    check_ok(tree_open_host(test_dir(), NULL, &t, &test_err));
    return key_in(t, pattern, how);
}

static bool same(struct digest a, struct digest b)
{
    return digest_equal(&a, &b);
}

static const struct selection_key all = {0};

TEST(selection, times_and_link_counts_are_not_in_the_key)
{
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    struct digest before;

    put_context();
    before = key_of("src", all);
    check_int(utimensat(test_dir_fd(), "src/a", times, 0), 0);
    check_int(utimensat(test_dir_fd(), "src", times, 0), 0);
    check_int(linkat(test_dir_fd(), "src/a", test_dir_fd(), "elsewhere", 0), 0);
    check_true(same(before, key_of("src", all)));
}

TEST(selection, content_mode_name_type_and_target_are_in_the_key)
{
    struct digest last;

    put_context();
    last = key_of("src", all);
    for (int i = 0; i < 7; i++) {
        struct digest now;

        switch (i) {
        case 0:
            put("src/a", "Z");
            break;
        case 1:
            check_int(fchmodat(test_dir_fd(), "src/a", 0600, 0), 0);
            break;
        case 2:
            check_int(renameat(test_dir_fd(), "src/a", test_dir_fd(), "src/aa"), 0);
            break;
        case 3:
            check_int(unlinkat(test_dir_fd(), "src/aa", 0), 0);
            check_int(symlinkat("x", test_dir_fd(), "src/aa"), 0);
            break;
        case 4:
            check_int(unlinkat(test_dir_fd(), "src/aa", 0), 0);
            check_int(symlinkat("y", test_dir_fd(), "src/aa"), 0);
            break;
        case 5:
            check_int(fchmodat(test_dir_fd(), "src", 0700, 0), 0);
            break;
        default:
            put_dir("src/empty");
            break;
        }
        now = key_of("src", all);
        check_false(same(last, now));
        last = now;
    }
}

/* Those of a stage are copied (those of the host are not), so a step that sees others is another. */
TEST(selection, attributes_of_a_stage_are_in_the_key)
{
    static const char *const files[] = {
        "f file 0644 x:user.a=b \"text\"\n", "f file 0644 x:user.a=c \"text\"\n",
        "f file 0644 x:user.b=b \"text\"\n", "f file 0644 \"text\"\n", "f file 0644 \"text\"\n"};
    struct digest keys[5];

    for (size_t i = 0; i < 5; i++) {
        auto_scene struct scene s = scene_new(files[i]);
        auto_tree struct tree *t = tree_take_view(STEAL(&s.view), "the stage");

        keys[i] = key_in(t, "f", all);
    }
    for (size_t i = 1; i < 4; i++)
        check_false(same(keys[i - 1], keys[i]));
    check_true(same(keys[3], keys[4]));
}

TEST(selection, a_mode_that_a_flag_sets_is_not_in_the_key)
{
    const struct selection_key how = {.any_mode = true};
    struct digest before;

    put_context();
    before = key_of("src", how);
    check_int(fchmodat(test_dir_fd(), "src/a", 0600, 0), 0);
    check_true(same(before, key_of("src", how)));
}

TEST(selection, with_parents_the_path_and_its_pivot_are_in_the_key)
{
    const struct selection_key how = {.with_paths = true};

    put_context();
    check_false(same(key_of("src/./sub/c.txt", how), key_of("./src/sub/c.txt", how)));
    check_false(same(key_of("src/sub/./c.txt", how), key_of("src/./sub/c.txt", how)));
    check_true(same(key_of("src//sub/c.txt", how), key_of("src/sub/c.txt", how)));
}

TEST(selection, with_parents_what_the_directories_on_the_way_are_like_is_in_the_key)
{
    const struct selection_key how = {.with_paths = true};
    struct digest below;
    struct digest before;

    put_context();
    before = key_of("src/sub/c.txt", how);
    below = key_of("src/./sub/c.txt", how);
    check_int(fchmodat(test_dir_fd(), "src", 0700, 0), 0);
    check_false(same(before, key_of("src/sub/c.txt", how)));
    check_true(same(below, key_of("src/./sub/c.txt", how)));
}

TEST(selection, the_same_content_elsewhere_has_the_same_key)
{
    put_context();
    put_dir("other");
    put("other/a", "A");
    check_true(same(key_of("src/a", all), key_of("other/a", all)));
    check_false(same(key_of("src/b.txt", all), key_of("other/a", all)));
}

/* Trees to copy from: nothing leaves the root, nothing that changed is taken for what it was
 * (SECURITY R18, R53). A real directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/tree/tree.h"
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

static void put_link(const char *target, const char *path)
{
    check_int(symlinkat(target, test_dir_fd(), path), 0);
}

static struct tree *open_tree(void)
{
    struct tree *t;

    check_ok(tree_open_host(test_dir(), NULL, &t, &test_err));
    return t;
}

TEST(tree, links_are_followed_inside_the_root_only)
{
    static const struct {
        const char *path;
        const char *real;
    } cases[] = {{"l/f", "d/f"},        {"abs/f", "d/f"},    {"up", "etc/passwd"},
                 {"d/../d/./f", "d/f"}, {"../../d", "d"},    {"", ""},
                 {"chain/f", "d/f"},    {"d/self/f", "d/f"}, {"missing", "missing"}};
    auto_tree struct tree *t = NULL;

    put_dir("d");
    put("d/f", "x");
    put_link("d", "l");
    put_link("/d", "abs");
    put_link("../../../../etc/passwd", "up");
    put_link("l", "chain");
    put_link(".", "d/self");
    put_dir("etc");
    t = open_tree();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_free char *real = NULL;

        check_ok(tree_resolve(t, cases[i].path, &real, &test_err));
        check_text(real, cases[i].real);
    }
}

TEST(tree, a_circle_of_links_is_an_error)
{
    auto_tree struct tree *t = NULL;
    char *real;

    put_link("b", "a");
    put_link("a", "b");
    t = open_tree();
    check_fails(tree_resolve(t, "a/x", &real, &test_err), ELOOP);
}

TEST(tree, a_directory_swapped_for_a_link_is_not_left_through_it)
{
    auto_tree struct tree *t = open_tree();
    auto_tree_node struct tree_node node = {0};
    auto_tree_nodes struct tree_nodes nodes = {0};

    put_link("/etc", "d");
    check_true(tree_stat(t, "d/passwd", &node, &test_err) < 0);
    check_true(tree_list(t, "d", &nodes, &test_err) < 0);
}

TEST(tree, children_come_sorted_and_belong_to_root)
{
    auto_tree struct tree *t = NULL;
    auto_tree_nodes struct tree_nodes nodes = {0};

    put("b", "");
    put("B", "");
    put("a.txt", "12345");
    put_link("nowhere", "a");
    t = open_tree();
    check_ok(tree_list(t, "", &nodes, &test_err));
    check_int(nodes.count, 4);
    check_text(nodes.items[0].path, "B");
    check_text(nodes.items[1].path, "a");
    check_text(nodes.items[1].target, "nowhere");
    check_text(nodes.items[2].path, "a.txt");
    check_int(nodes.items[2].meta.size_bytes, 5);
    check_int(nodes.items[2].meta.uid, 0);
}

/* The second write may or may not move the file's times: both are noticed. */
TEST(tree, a_file_written_again_at_once_is_noticed)
{
    auto_tree struct tree *t = NULL;
    auto_tree_node struct tree_node node = {0};
    struct digest digest;

    put("f", "one");
    t = open_tree();
    check_ok(tree_stat(t, "f", &node, &test_err));
    check_ok(tree_digest(t, &node, &digest, &test_err));
    check_ok(tree_check_content(t, &node, &digest, &test_err));
    put("f", "two");
    check_fails(tree_check_content(t, &node, &digest, &test_err), EAGAIN);
}

TEST(tree, a_file_replaced_by_another_is_not_read)
{
    auto_tree struct tree *t = NULL;
    auto_tree_node struct tree_node node = {0};
    struct digest digest;

    put("f", "one");
    put("g", "one");
    t = open_tree();
    check_ok(tree_stat(t, "f", &node, &test_err));
    check_int(renameat(test_dir_fd(), "g", test_dir_fd(), "f"), 0);
    check_fails(tree_digest(t, &node, &digest, &test_err), EAGAIN);
}

/* Bytes that are served later than they were digested. */
TEST(tree, a_part_is_read_of_what_was_seen_and_of_nothing_else)
{
    auto_tree struct tree *t = NULL;
    auto_tree struct tree *empty = tree_new_empty();
    auto_tree_node struct tree_node node = {0};
    char bytes[4] = "";

    put("f", "abcdef");
    t = open_tree();
    check_ok(tree_stat(t, "f", &node, &test_err));
    check_ok(tree_read_at(t, &node, 2, bytes, 3, &test_err));
    check_text(bytes, "cde");
    check_fails(tree_read_at(empty, &node, 2, bytes, 3, &test_err), EINVAL);
    put("f", "longer than it was");
    check_fails(tree_read_at(t, &node, 2, bytes, 3, &test_err), EAGAIN);
}

TEST(tree, a_pipe_in_the_place_of_a_file_does_not_hang)
{
    auto_tree struct tree *t = NULL;
    auto_str struct str text = {0};

    check_int(mkfifoat(test_dir_fd(), "p", 0600), 0);
    t = open_tree();
    check_fails(tree_read(t, "p", 100, &text, &test_err), EINVAL);
}

TEST(tree, a_stopped_tree_gives_nothing_more)
{
    auto_tree struct tree *t = NULL;
    auto_tree_nodes struct tree_nodes nodes = {0};
    atomic_bool stop = false;

    t = open_tree();
    tree_set_stop(t, &stop);
    check_ok(tree_list(t, "", &nodes, &test_err));
    atomic_store(&stop, true);
    check_fails(tree_list(t, "", &nodes, &test_err), ECANCELED);
}

TEST(tree, an_empty_tree_has_a_root_and_nothing_in_it)
{
    auto_tree struct tree *t = tree_new_empty();
    auto_tree_node struct tree_node node = {0};
    auto_tree_nodes struct tree_nodes nodes = {0};

    check_ok(tree_list(t, "", &nodes, &test_err));
    check_int(nodes.count, 0);
    check_fails(tree_stat(t, "x", &node, &test_err), ENOENT);
    check_error(&test_err, ENOENT, "\"/x\": not found in the empty build context");
}

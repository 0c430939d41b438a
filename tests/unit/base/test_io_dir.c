/* test_io_dir.c - private directories, mkdir -p, and removing trees. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "tests/lib/test.h"

static bool is_there(const char *path)
{
    return faccessat(test_dir_fd(), path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put_file(const char *path)
{
    auto_close int fd = openat(test_dir_fd(), path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    check_ok(fd);
}

/* SECURITY R62. */
TEST(io_private_dir, it_is_made_for_the_owner_alone)
{
    auto_close int fd = -1;
    auto_close int again = -1;
    struct stat st;

    fd = io_open_private_dir(test_dir_fd(), "state", true, &test_err);
    check_ok(fd);
    check_ok(fstat(fd, &st));
    check_true(S_ISDIR(st.st_mode));
    check_int(st.st_mode & 07777, 0700);
    check_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    again = io_open_private_dir(test_dir_fd(), "state", false, &test_err);
    check_ok(again);
}

TEST(io_private_dir, one_that_is_not_there_is_made_on_request_only)
{
    struct error err = {0};

    check_fails(io_open_private_dir(test_dir_fd(), "state", false, &err), ENOENT);
    check_error(&err, ENOENT, "cannot open the directory 'state': No such file or directory");
    check_false(is_there("state"));
}

TEST(io_private_dir, one_that_others_may_enter_is_refused)
{
    struct error err = {0};
    auto_free char *hint = str_format("chmod -R go= '%s/state'", test_dir());

    check_ok(mkdirat(test_dir_fd(), "state", 0700));
    check_ok(fchmodat(test_dir_fd(), "state", 0710, 0));
    check_fails(io_open_private_dir(test_dir_fd(), "state", true, &err), EPERM);
    check_error(&err, EPERM, "'state' is open to other users (mode 0710)");
    check_hint(&err, hint); /* works in any directory, and for all below */
}

TEST(io_private_dir, one_of_another_user_is_refused)
{
    struct error err = {0};

    test_need("root", geteuid() == 0, "only root can give a directory away");
    check_ok(mkdirat(test_dir_fd(), "state", 0700));
    check_ok(fchownat(test_dir_fd(), "state", 12345, 12345, 0));
    check_fails(io_open_private_dir(test_dir_fd(), "state", true, &err), EPERM);
    check_error(&err, EPERM, "'state' belongs to user 12345, not to user 0");
}

TEST(io_private_dir, a_link_or_a_file_in_its_place_is_refused)
{
    struct error err = {0};

    check_ok(mkdirat(test_dir_fd(), "real", 0700));
    check_ok(symlinkat("real", test_dir_fd(), "link"));
    check_fails(io_open_private_dir(test_dir_fd(), "link", true, &err), ENOTDIR);
    put_file("file");
    check_fails(io_open_private_dir(test_dir_fd(), "file", true, &err), ENOTDIR);
    check_error(&err, ENOTDIR, "cannot open the directory 'file': Not a directory");
}

TEST(io_make_dirs, every_missing_level_is_made)
{
    auto_free char *path = str_format("%s/a/b//c/", test_dir());

    check_ok(io_make_dirs(path, 0755, &test_err));
    check_true(is_there("a/b/c"));
    check_ok(io_make_dirs(path, 0755, &test_err));
    check_ok(io_make_dirs("/", 0755, &test_err));
    check_ok(io_make_dirs(".", 0755, &test_err));
}

TEST(io_make_dirs, a_link_to_a_directory_is_one)
{
    auto_free char *path = str_format("%s/link/c", test_dir());

    check_ok(mkdirat(test_dir_fd(), "real", 0700));
    check_ok(symlinkat("real", test_dir_fd(), "link"));
    check_ok(io_make_dirs(path, 0755, &test_err));
    check_true(is_there("real/c"));
}

/* mkdir(2) in sysfs is refused; that there is no such directory is not the reason. */
TEST(io_make_dirs, the_reason_is_that_of_the_making)
{
    int r = io_make_dirs("/sys/img-test", 0755, &test_err);

    check_true(r == -EPERM || r == -EACCES || r == -EROFS);
}

TEST(io_make_dirs, a_file_on_the_way_is_named)
{
    struct error err = {0};
    auto_free char *path = str_format("%s/f/c", test_dir());
    auto_free char *sentence =
        str_format("cannot create the directory '%s/f': Not a directory", test_dir());

    put_file("f");
    check_fails(io_make_dirs(path, 0755, &err), ENOTDIR);
    check_error(&err, ENOTDIR, sentence);
}

TEST(io_remove_tree, a_missing_name_is_success)
{
    check_ok(io_remove_tree(test_dir_fd(), "none"));
}

TEST(io_remove_tree, files_links_and_directories_go)
{
    check_ok(mkdirat(test_dir_fd(), "t", 0700));
    check_ok(mkdirat(test_dir_fd(), "t/d", 0700));
    put_file("t/d/f");
    check_ok(mkfifoat(test_dir_fd(), "t/fifo", 0600));
    check_ok(symlinkat("nowhere", test_dir_fd(), "t/link"));
    check_ok(io_remove_tree(test_dir_fd(), "t"));
    check_false(is_there("t"));
    put_file("f");
    check_ok(io_remove_tree(test_dir_fd(), "f"));
    check_false(is_there("f"));
}

TEST(io_remove_tree, what_a_link_points_to_stays)
{
    check_ok(mkdirat(test_dir_fd(), "kept", 0700));
    put_file("kept/f");
    check_ok(mkdirat(test_dir_fd(), "t", 0700));
    check_ok(symlinkat("../kept", test_dir_fd(), "t/link"));
    check_ok(io_remove_tree(test_dir_fd(), "t"));
    check_true(is_there("kept/f"));
    check_ok(symlinkat("kept", test_dir_fd(), "link"));
    check_ok(io_remove_tree(test_dir_fd(), "link"));
    check_false(is_there("link"));
    check_true(is_there("kept/f"));
}

/* An image may contain directories that even their owner cannot list. */
TEST(io_remove_tree, directories_without_permissions_go_too)
{
    static const mode_t modes[] = {0, 0400, 0500, 0100};

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        check_ok(mkdirat(test_dir_fd(), "t", 0700));
        check_ok(mkdirat(test_dir_fd(), "t/d", 0700));
        put_file("t/d/f");
        check_ok(fchmodat(test_dir_fd(), "t/d", modes[i], 0));
        check_ok(fchmodat(test_dir_fd(), "t", modes[i], 0));
        check_ok(io_remove_tree(test_dir_fd(), "t"));
        check_false(is_there("t"));
    }
}

TEST(io_remove_tree, many_entries_in_one_directory_go)
{
    check_ok(mkdirat(test_dir_fd(), "t", 0700));
    for (int i = 0; i < 3000; i++) {
        auto_free char *name = str_format("t/%d", i);

        if (i % 2)
            put_file(name);
        else
            check_ok(mkdirat(test_dir_fd(), name, 0700));
    }
    check_ok(io_remove_tree(test_dir_fd(), "t"));
    check_false(is_there("t"));
}

/* Deeper than PATH_MAX allows to name, with few descriptors to spend. */
static void make_deep(const char *top, int levels)
{
    auto_close int dir = -1;

    check_ok(mkdirat(test_dir_fd(), top, 0700));
    dir = openat(test_dir_fd(), top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < levels; i++) {
        int next;

        check_ok(mkdirat(dir, "deep", 0700));
        check_ok(mkdirat(dir, "side", 0700));
        next = openat(dir, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        check_ok(next);
        check_ok(close(dir));
        dir = next;
    }
}

TEST(io_remove_tree, a_tree_of_any_depth_goes_with_few_descriptors)
{
    struct rlimit before;
    struct rlimit few;
    int r;

    make_deep("t", 3000);
    check_ok(getrlimit(RLIMIT_NOFILE, &before));
    few = before;
    few.rlim_cur = 200;
    check_ok(setrlimit(RLIMIT_NOFILE, &few));
    r = io_remove_tree(test_dir_fd(), "t");
    check_ok(setrlimit(RLIMIT_NOFILE, &before));
    check_ok(r);
    check_false(is_there("t"));
}

/* In a namespace of its own: what is mounted inside must survive. */
static int remove_around_a_mount(void)
{
    auto_close int dir = -1;

    if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return 77;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 77;
    /* By path: descriptors from before belong to the namespace that was left. */
    if (chdir(test_dir()) < 0 || mount("kept", "t/mnt", NULL, MS_BIND, NULL) < 0)
        return 77;
    dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (io_remove_tree(dir, "t") != -EBUSY || io_remove_tree(dir, "t/mnt") != -EBUSY)
        return 1;
    return 0;
}

TEST(io_remove_tree, a_mount_inside_is_left_alone_and_the_rest_goes)
{
    pid_t child;
    int status;

    check_ok(mkdirat(test_dir_fd(), "kept", 0700));
    put_file("kept/f");
    check_ok(mkdirat(test_dir_fd(), "t", 0700));
    check_ok(mkdirat(test_dir_fd(), "t/mnt", 0700));
    put_file("t/a");
    put_file("t/z");
    child = fork();
    check_ok(child);
    if (child == 0)
        _exit(remove_around_a_mount());
    check_int(waitpid(child, &status, 0), child);
    test_need("userns", WIFEXITED(status) && WEXITSTATUS(status) != 77,
              "cannot mount in a namespace");
    check_int(WEXITSTATUS(status), 0);
    check_true(is_there("kept/f"));
    check_false(is_there("t/a"));
    check_false(is_there("t/z"));
}

/* test_io_fault.c - what is left of a file when its replacement fails or is killed half-way. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "tests/lib/fault.h"
#include "tests/lib/test.h"

static void check_file(const char *expected)
{
    auto_str struct str text = {0};

    fault_clear();
    check_ok(io_read_file(test_dir_fd(), "f", 100, &text, &test_err));
    check_text(str_text(&text), expected);
}

static void put_old(void)
{
    fault_clear();
    check_ok(io_write_file_atomic(test_dir_fd(), "f", "old", 3, 0600, &test_err));
}

static int replace(struct error *err)
{
    return io_write_file_atomic(test_dir_fd(), "f", "new", 3, 0600, err);
}

TEST(io_fault, a_failed_replacement_names_the_file_and_keeps_the_old_one)
{
    static const struct {
        enum fault_call call;
        int code;
        const char *sentence;
    } cases[] = {
        {FAULT_OPEN, EMFILE, "cannot create 'f': Too many open files"},
        {FAULT_WRITE, ENOSPC, "cannot write 'f': No space left on device"},
        {FAULT_SYNC, EIO, "cannot write 'f': Input/output error"},
        {FAULT_RENAME, EDQUOT, "cannot write 'f': Disk quota exceeded"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err = {0};

        put_old();
        fault_fail(cases[i].call, 1, cases[i].code);
        check_int(replace(&err), -cases[i].code);
        check_true(fault_was_hit());
        check_error(&err, cases[i].code, cases[i].sentence);
        check_file("old");
    }
}

TEST(io_fault, a_failed_replacement_leaves_no_other_file)
{
    auto_free char *command = str_format("test \"$(ls -A '%s')\" = f", test_dir());

    for (uint64_t nth = 1;; nth++) {
        struct error err = {0};

        put_old();
        fault_fail(FAULT_ANY, nth, EIO);
        check_true((replace(&err) < 0) == fault_was_hit());
        if (!fault_was_hit())
            break;
        fault_clear();
        check_int(system(command), 0);
    }
}

/* After the rename only the durability of it is in doubt, and that is said. */
TEST(io_fault, a_directory_that_cannot_be_synced_is_an_error)
{
    struct error err = {0};

    put_old();
    fault_fail(FAULT_SYNC, 2, EIO);
    check_int(replace(&err), -EIO);
    check_error(&err, EIO, "cannot make 'f' durable: Input/output error");
    check_file("new");
}

TEST(io_fault, killed_at_any_call_the_file_is_the_old_or_the_new_one)
{
    uint64_t olds = 0;
    bool is_finished = false;

    put_old();
    for (uint64_t nth = 1; !is_finished; nth++) {
        auto_str struct str text = {0};
        pid_t child;
        int status;

        put_old();
        child = fork();
        check_ok(child);
        if (child == 0) {
            struct error err = {0};

            fault_kill(FAULT_ANY, nth);
            _exit(replace(&err) == 0 ? 0 : 1);
        }
        check_int(waitpid(child, &status, 0), child);
        is_finished = WIFEXITED(status);
        check_int(is_finished ? WEXITSTATUS(status) : 0, 0);
        check_ok(io_read_file(test_dir_fd(), "f", 100, &text, &test_err));
        if (strcmp(str_text(&text), "old") == 0)
            olds++;
        else
            check_text(str_text(&text), "new");
    }
    check_true(olds >= 4); /* killed at create, write, fsync, rename */
    check_file("new");
}

TEST(io_fault, short_reads_and_writes_are_continued)
{
    auto_str struct str text = {0};

    fault_shorten(FAULT_WRITE, 1);
    check_ok(io_write_file_atomic(test_dir_fd(), "f", "0123456789", 10, 0600, &test_err));
    check_true(fault_was_hit());
    fault_shorten(FAULT_READ, 1);
    check_ok(io_read_file(test_dir_fd(), "f", 100, &text, &test_err));
    check_true(fault_was_hit());
    check_text(str_text(&text), "0123456789");
}

TEST(io_fault, interrupted_calls_are_repeated)
{
    auto_close int fd = openat(test_dir_fd(), "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    auto_str struct str text = {0};
    char buf[3];

    fault_fail(FAULT_WRITE, 1, EINTR);
    check_ok(io_write_full(fd, "abc", 3));
    fault_fail(FAULT_WRITE, 1, EINTR);
    check_ok(io_pwrite_full(fd, "abc", 3, 0));
    fault_fail(FAULT_READ, 1, EINTR);
    check_ok(io_pread_full(fd, buf, 3, 0));
    check_bytes(buf, 3, "abc", 3);
    check_int(lseek(fd, 0, SEEK_SET), 0);
    fault_fail(FAULT_READ, 1, EINTR);
    check_ok(io_read_full(fd, buf, 3));
    check_true(fault_was_hit());
    fault_fail(FAULT_READ, 1, EINTR);
    check_ok(io_read_file(test_dir_fd(), "f", 3, &text, &test_err));
    check_true(fault_was_hit());
    fault_clear();
}

/* copy_file_range(2) fails in many ways where plain copying works. */
TEST(io_fault, a_copy_refused_by_the_kernel_is_made_by_hand)
{
    static const int codes[] = {EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EPERM};
    auto_close int from = openat(test_dir_fd(), "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    auto_close int to = openat(test_dir_fd(), "g", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char buf[4];

    check_ok(io_write_full(from, "abcd", 4));
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        check_ok(ftruncate(to, 0));
        fault_fail(FAULT_WRITE, 1, codes[i]);
        check_ok(io_copy_range(from, 0, to, 0, 4));
        check_true(fault_was_hit());
        check_ok(io_pread_full(to, buf, 4, 0));
        check_bytes(buf, 4, "abcd", 4);
    }
    fault_fail_from(FAULT_WRITE, 1, ENOSPC);
    check_fails(io_copy_range(from, 0, to, 0, 4), ENOSPC);
    check_int(fault_count(FAULT_WRITE), 1);
    fault_clear();
}

TEST(io_fault, a_tree_that_cannot_be_removed_is_reported)
{
    int dir = test_dir_fd();

    fault_clear();
    check_ok(mkdirat(dir, "t", 0700));
    for (int i = 0; i < 20; i++) {
        auto_free char *name = str_format("t/%d", i);

        check_ok(mkdirat(dir, name, 0700));
    }
    fault_fail_from(FAULT_UNLINK, 5, EACCES);
    check_fails(io_remove_tree(dir, "t"), EACCES);
    fault_clear();
    check_ok(io_remove_tree(dir, "t"));
}

/* test_io.c - whole reads and writes, small files, copies. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "tests/lib/test.h"

static void put_file(const char *name, const char *text)
{
    auto_close int fd = openat(test_dir_fd(), name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    check_ok(fd);
    check_ok(io_write_full(fd, text, strlen(text)));
}

static void check_file(const char *name, const char *expected)
{
    auto_str struct str text = {0};

    check_ok(io_read_file(test_dir_fd(), name, 1 << 20, &text, &test_err));
    check_text(str_text(&text), expected);
}

static size_t count_entries(void)
{
    auto_free char *command = str_format("ls -A '%s' | wc -l", test_dir());
    FILE *list = popen(command, "re");
    unsigned count = 0;

    check_true(list != NULL);
    check_int(fscanf(list, "%u", &count), 1);
    (void)pclose(list);
    return count;
}

/* A pipe hands over at most what it holds, so both sides see short counts. */
TEST(io, full_reads_and_writes_go_on_after_short_counts)
{
    int ends[2];
    size_t size = (size_t)1 << 20;
    auto_free uint8_t *sent = mem_alloc(size);
    auto_free uint8_t *received = mem_alloc(size);
    pid_t writer;

    for (size_t i = 0; i < size; i++)
        sent[i] = (uint8_t)(i * 7 >> 3);
    check_ok(pipe2(ends, O_CLOEXEC));
    writer = fork();
    check_ok(writer);
    if (writer == 0)
        _exit(io_write_full(ends[1], sent, size) == 0 ? 0 : 1);
    check_ok(close(ends[1]));
    check_ok(io_read_full(ends[0], received, size));
    check_bytes(received, size, sent, size);
    check_fails(io_read_full(ends[0], received, 1), EIO);
    check_ok(close(ends[0]));
}

TEST(io, an_early_end_of_file_is_an_error)
{
    auto_close int fd = -1;
    char buf[8];

    put_file("f", "abcd");
    fd = openat(test_dir_fd(), "f", O_RDONLY | O_CLOEXEC);
    check_fails(io_read_full(fd, buf, 5), EIO);
    check_fails(io_pread_full(fd, buf, 2, 3), EIO);
    check_ok(io_pread_full(fd, buf, 2, 2));
    check_bytes(buf, 2, "cd", 2);
    check_ok(io_pread_full(fd, buf, 0, 99));
}

TEST(io, a_failed_call_gives_its_errno)
{
    auto_close int fd = openat(test_dir_fd(), "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char byte = 'x';

    check_fails(io_read_full(fd, &byte, 1), EBADF);
    check_fails(io_pread_full(fd, &byte, 1, 0), EBADF);
    check_fails(io_write_full(-1, &byte, 1), EBADF);
    check_fails(io_pwrite_full(-1, &byte, 1, 0), EBADF);
    check_ok(io_pwrite_full(fd, "ab", 2, 3));
    check_int(lseek(fd, 0, SEEK_END), 5);
}

TEST(io, read_file_replaces_what_was_in_the_text)
{
    auto_str struct str text = {0};

    str_add(&text, "old");
    put_file("f", "new\n");
    check_ok(io_read_file(test_dir_fd(), "f", 4, &text, &test_err));
    check_text(str_text(&text), "new\n");
}

/* proc(5): the sizes of these files are said to be 0. */
TEST(io, read_file_does_not_trust_the_size_of_a_file)
{
    auto_str struct str text = {0};

    check_ok(io_read_file(AT_FDCWD, "/proc/self/status", 1 << 20, &text, &test_err));
    check_true(text_starts(str_text(&text), "Name:"));
}

TEST(io, read_file_refuses_what_is_too_large_or_not_a_file)
{
    struct error err = {0};
    auto_str struct str text = {0};

    str_add(&text, "kept");
    put_file("f", "abcde");
    check_fails(io_read_file(test_dir_fd(), "f", 4, &text, &err), EFBIG);
    check_error(&err, EFBIG, "'f' is larger than 4 bytes");
    check_fails(io_read_file(test_dir_fd(), "none", 4, &text, &err), ENOENT);
    check_error(&err, ENOENT, "cannot open 'none': No such file or directory");
    check_fails(io_read_file(test_dir_fd(), ".", 4, &text, &err), EISDIR);
    check_error(&err, EISDIR, "'.' is not a regular file");
    check_ok(mkfifoat(test_dir_fd(), "fifo", 0600));
    check_fails(io_read_file(test_dir_fd(), "fifo", 4, &text, &err), EINVAL);
    check_error(&err, EINVAL, "'fifo' is not a regular file");
    check_text(str_text(&text), "kept");
}

TEST(io, write_file_atomic_replaces_a_file_and_leaves_nothing_else)
{
    struct stat st;

    put_file("f", "old");
    check_ok(io_write_file_atomic(test_dir_fd(), "f", "new", 3, 0604, &test_err));
    check_file("f", "new");
    check_ok(fstatat(test_dir_fd(), "f", &st, AT_SYMLINK_NOFOLLOW));
    check_int(st.st_mode & 07777, 0604);
    check_int(count_entries(), 1);
}

TEST(io, write_file_atomic_sets_the_mode_whatever_the_umask)
{
    int dir = test_dir_fd();
    mode_t before = umask(0777);
    int r = io_write_file_atomic(dir, "f", "", 0, 0666, &test_err);
    struct stat st;

    (void)umask(before);
    check_ok(r);
    check_ok(fstatat(test_dir_fd(), "f", &st, 0));
    check_int(st.st_mode & 07777, 0666);
}

TEST(io, write_file_atomic_replaces_a_link_and_not_its_target)
{
    struct stat st;

    put_file("target", "kept");
    check_ok(symlinkat("target", test_dir_fd(), "link"));
    check_ok(io_write_file_atomic(test_dir_fd(), "link", "new", 3, 0600, &test_err));
    check_file("target", "kept");
    check_file("link", "new");
    check_ok(fstatat(test_dir_fd(), "link", &st, AT_SYMLINK_NOFOLLOW));
    check_true(S_ISREG(st.st_mode));
}

TEST(io, write_file_atomic_works_in_a_subdirectory_with_the_longest_name)
{
    char name[260] = "d/";

    memset(name + 2, 'n', 255);
    check_ok(mkdirat(test_dir_fd(), "d", 0700));
    check_ok(io_write_file_atomic(test_dir_fd(), name, "x", 1, 0600, &test_err));
    check_file(name, "x");
}

TEST(io, write_file_atomic_keeps_the_old_file_when_it_fails)
{
    struct error err = {0};

    check_fails(io_write_file_atomic(test_dir_fd(), "no/f", "x", 1, 0600, &err), ENOENT);
    check_error(&err, ENOENT, "cannot create 'no/f': No such file or directory");
    check_ok(mkdirat(test_dir_fd(), "d", 0700));
    check_fails(io_write_file_atomic(test_dir_fd(), "d", "x", 1, 0600, &err), EISDIR);
    check_error(&err, EISDIR, "cannot write 'd': Is a directory");
    check_int(count_entries(), 1);
}

TEST(io, copy_range_copies_between_offsets)
{
    auto_close int from = -1;
    auto_close int to = -1;

    put_file("from", "0123456789");
    put_file("to", "abcdefghij");
    from = openat(test_dir_fd(), "from", O_RDONLY | O_CLOEXEC);
    to = openat(test_dir_fd(), "to", O_RDWR | O_CLOEXEC);
    check_ok(io_copy_range(from, 2, to, 5, 3));
    check_ok(io_copy_range(from, 0, to, 0, 0));
    check_file("to", "abcde234ij");
}

/* A memfd is on another filesystem than the test's directory, which copy_file_range(2) may refuse;
 * proc has no sizes, which makes it copy nothing. */
TEST(io, copy_range_falls_back_to_a_buffer)
{
    auto_close int proc = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    auto_close int memory = memfd_create("test", MFD_CLOEXEC);
    auto_close int to = openat(test_dir_fd(), "to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char text[5];
    size_t size = ((size_t)1 << 20) + 1;
    auto_free uint8_t *bytes = mem_alloc(size);
    auto_free uint8_t *copy = mem_alloc(size);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 13 >> 4);
    check_ok(io_write_full(memory, bytes, size));
    check_ok(io_copy_range(memory, 0, to, 0, size));
    check_ok(io_pread_full(to, copy, size, 0));
    check_bytes(copy, size, bytes, size);
    check_ok(io_copy_range(proc, 0, to, 0, 5));
    check_ok(io_pread_full(to, text, 5, 0));
    check_bytes(text, 5, "Name:", 5);
}

TEST(io, copy_range_fails_when_the_source_ends_early_or_the_target_refuses)
{
    auto_close int from = -1;
    auto_close int to = openat(test_dir_fd(), "to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    put_file("from", "0123456789");
    from = openat(test_dir_fd(), "from", O_RDONLY | O_CLOEXEC);
    check_fails(io_copy_range(from, 5, to, 0, 6), EIO);
    check_fails(io_copy_range(to, 0, from, 0, 1), EBADF);
}

TEST(io, ticks_do_not_go_back_and_now_is_this_century)
{
    uint64_t first = io_ticks_ns();

    check_true(io_ticks_ns() >= first);
    check_true(io_now_ns() > 946684800ll * 1000000000);
}

/* struct timespec (POSIX): tv_nsec is from 0 on, so what is before 1970 counts up from the second below. */
TEST(io, times_are_split_and_joined_and_end_at_the_last_that_fit)
{
    static const struct {
        int64_t ns;
        int64_t seconds;
        long nanoseconds;
    } cases[] = {{0, 0, 0},
                 {1, 0, 1},
                 {-1, -1, 999999999},
                 {-1000000000, -1, 0},
                 {INT64_MAX, 9223372036, 854775807},
                 {INT64_MIN, -9223372037, 145224192}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct timespec time = io_time_split(cases[i].ns);

        check_int(time.tv_sec, cases[i].seconds);
        check_int(time.tv_nsec, cases[i].nanoseconds);
        if (cases[i].ns != INT64_MIN) /* its second, as a whole, is beyond */
            check_int(io_time_ns(time.tv_sec, time.tv_nsec), cases[i].ns);
    }
    check_int(io_time_ns(9223372037, 0), INT64_MAX);
    check_int(io_time_ns(9223372036, 999999999), INT64_MAX);
    check_int(io_time_ns(INT64_MIN, 0), INT64_MIN);
    check_int(io_time_ns(INT64_MAX, 0), INT64_MAX);
}

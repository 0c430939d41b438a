/* test_stream.c - readers and writers over descriptors and memory. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/stream.h"
#include "tests/lib/test.h"

static int open_with(const char *text)
{
    int fd = openat(test_dir_fd(), "f", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    check_ok(fd);
    check_ok(io_write_full(fd, text, strlen(text)));
    check_int(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

TEST(reader, memory_ends_after_its_bytes)
{
    auto_reader struct reader *r = memory_reader_new("abcde", 5);
    char buf[8];

    check_int(reader_read(r, buf, 3, &test_err), 3);
    check_bytes(buf, 3, "abc", 3);
    check_int(reader_read(r, buf, 8, &test_err), 2);
    check_int(reader_read(r, buf, 8, &test_err), 0);
    check_int(reader_read(r, buf, 8, &test_err), 0);
}

TEST(reader, a_descriptor_is_read_to_its_end_and_closed)
{
    int fd = open_with("abc");
    struct reader *r = fd_reader_new(fd, "f");
    char buf[8];

    check_ok(reader_read_full(r, buf, 3, &test_err));
    check_bytes(buf, 3, "abc", 3);
    check_int(reader_read(r, buf, 8, &test_err), 0);
    reader_close(r);
    check_int(fcntl(fd, F_GETFD), -1);
}

TEST(reader, a_range_is_read_from_its_offset_whatever_the_file_position)
{
    int fd = open_with("0123456789");
    auto_reader struct reader *r = fd_reader_new_range(fd, 3, 4, "f");
    char buf[16];

    check_int(lseek(fd, 9, SEEK_SET), 9);
    check_ok(reader_read_full(r, buf, 4, &test_err));
    check_bytes(buf, 4, "3456", 4);
    check_int(reader_read(r, buf, 16, &test_err), 0);
}

/* A pack that was cut short must not look like a short file. */
TEST(reader, a_range_beyond_the_end_of_the_file_is_an_error)
{
    struct error err = {0};
    auto_reader struct reader *r = fd_reader_new_range(open_with("0123456789"), 8, 5, "f");
    char buf[16];

    check_int(reader_read(r, buf, 16, &err), 2);
    check_fails(reader_read(r, buf, 16, &err), EIO);
    check_error(&err, EIO, "'f' ends 3 bytes early");
}

TEST(reader, a_full_read_of_too_little_is_an_error)
{
    struct error err = {0};
    auto_reader struct reader *r = memory_reader_new("abc", 3);
    char buf[8];

    check_fails(reader_read_full(r, buf, 5, &err), EIO);
    check_error(&err, EIO, "the data ends after 3 of 5 bytes");
}

TEST(reader, a_failing_descriptor_is_named)
{
    struct error err = {0};
    auto_reader struct reader *r =
        fd_reader_new(openat(test_dir_fd(), ".", O_RDONLY | O_CLOEXEC), "layer 3");
    char buf[8];

    check_fails(reader_read(r, buf, 8, &err), EISDIR);
    check_error(&err, EISDIR, "cannot read 'layer 3': Is a directory");
}

TEST(reader, closing_nothing_is_allowed)
{
    reader_close(NULL);
    writer_close(NULL);
}

TEST(writer, finish_closes_the_descriptor)
{
    int fd = open_with("");
    auto_writer struct writer *w = fd_writer_new(fd, "f");
    auto_str struct str text = {0};

    check_ok(writer_write(w, "abc", 3, &test_err));
    check_ok(writer_finish(w, &test_err));
    check_int(fcntl(fd, F_GETFD), -1);
    check_ok(io_read_file(test_dir_fd(), "f", 100, &text, &test_err));
    check_text(str_text(&text), "abc");
}

/* full(4): every write fails as on a full disk. */
TEST(writer, a_failing_descriptor_is_named)
{
    struct error err = {0};
    auto_writer struct writer *w = fd_writer_new(open("/dev/full", O_WRONLY | O_CLOEXEC), "out");

    check_fails(writer_write(w, "abc", 3, &err), ENOSPC);
    check_error(&err, ENOSPC, "cannot write 'out': No space left on device");
}

TEST(stream, copy_moves_everything_and_counts)
{
    size_t size = ((size_t)1 << 20) + 7;
    auto_free uint8_t *bytes = mem_alloc(size);
    auto_reader struct reader *from = NULL;
    auto_writer struct writer *to = fd_writer_new(open_with(""), "f");
    auto_str struct str text = {0};
    uint64_t total = 100;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 11 >> 5);
    from = memory_reader_new(bytes, size);
    check_ok(stream_copy(from, to, &total, &test_err));
    check_int(total, size + 100);
    check_ok(stream_copy(from, to, NULL, &test_err));
    check_ok(writer_finish(to, &test_err));
    check_ok(io_read_file(test_dir_fd(), "f", size, &text, &test_err));
    check_bytes(text.data, text.size, bytes, size);
}

TEST(stream, copy_stops_at_the_first_failure_of_either_side)
{
    struct error err = {0};
    auto_reader struct reader *good = memory_reader_new("abc", 3);
    auto_reader struct reader *bad =
        fd_reader_new(openat(test_dir_fd(), ".", O_RDONLY | O_CLOEXEC), "in");
    auto_writer struct writer *full = fd_writer_new(open("/dev/full", O_WRONLY | O_CLOEXEC), "out");
    uint64_t total = 0;

    check_fails(stream_copy(bad, full, &total, &err), EISDIR);
    check_error(&err, EISDIR, "cannot read 'in': Is a directory");
    check_fails(stream_copy(good, full, &total, &err), ENOSPC);
    check_error(&err, ENOSPC, "cannot write 'out': No space left on device");
    check_int(total, 0);
}

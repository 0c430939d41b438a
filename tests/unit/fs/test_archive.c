/* test_archive.c - archives as libarchive and GNU tar make them, and what is none. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "fs/archive.h"
#include "fs/base/io.h"
#include "tests/lib/test.h"

typedef int add_filter(struct archive *a);
static const struct {
    const char *name;
    add_filter *add;
} filters[] = {
    {"none", archive_write_add_filter_none},   {"gzip", archive_write_add_filter_gzip},
    {"bzip2", archive_write_add_filter_bzip2}, {"xz", archive_write_add_filter_xz},
    {"zstd", archive_write_add_filter_zstd},
};
#define FILTER_COUNT (sizeof(filters) / sizeof(filters[0]))

/* Text larger than every buffer. */
static void make_content(struct str *out)
{
    for (unsigned i = 0; out->size < 500000; i++)
        str_addf(out, "%u %u\n", i, i * 2654435761u);
}

static void add(struct archive *a, const char *path, mode_t type, const char *content, size_t size)
{
    struct archive_entry *e = archive_entry_new();

    archive_entry_set_pathname(e, path);
    archive_entry_set_mode(e, type | 0640);
    archive_entry_set_uid(e, 5);
    archive_entry_set_mtime(e, 7, 0);
    archive_entry_set_size(e, type == AE_IFREG ? (int64_t)size : 0);
    if (type == AE_IFLNK)
        archive_entry_set_symlink(e, content);
    check_int(archive_write_header(a, e), ARCHIVE_OK);
    if (type == AE_IFREG)
        check_int(archive_write_data(a, content, size), size);
    archive_entry_free(e);
}

static void make_archive(const char *path, add_filter *filter, const struct str *content)
{
    struct archive *a = archive_write_new();

    check_int(archive_write_set_format_pax_restricted(a), ARCHIVE_OK);
    check_int(filter(a), ARCHIVE_OK);
    check_int(archive_write_open_filename(a, path), ARCHIVE_OK);
    add(a, "./dir", AE_IFDIR, NULL, 0);
    add(a, "dir/big", AE_IFREG, content->data, content->size);
    add(a, "link", AE_IFLNK, "dir/big", 7);
    add(a, "small", AE_IFREG, "x", 1);
    check_int(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

static char *path_of(const char *name)
{
    return str_format("%s/%s", test_dir(), name);
}

static int open_file(const char *name)
{
    int fd = openat(test_dir_fd(), name, O_RDONLY | O_CLOEXEC);

    check_ok(fd);
    return fd;
}

static void make_file(const char *name, const void *bytes, size_t size)
{
    check_ok(io_write_file_atomic(test_dir_fd(), name, bytes, size, 0600, &test_err));
}

static int next(struct archive_reader *r, const struct tar_entry **e)
{
    int n = archive_reader_next(r, e, &test_err);

    check_ok(n);
    return n;
}

static void read_content(struct archive_reader *r, size_t chunk, struct str *out)
{
    auto_free char *buf = mem_alloc(chunk);
    ssize_t n;

    while ((n = archive_reader_read(r, buf, chunk, &test_err)) > 0)
        str_add_bytes(out, buf, (size_t)n);
    check_ok(n);
}

TEST(archive, every_packing_gives_entries_and_content)
{
    auto_str struct str content = {0};

    make_content(&content);
    for (size_t i = 0; i < FILTER_COUNT; i++) {
        auto_free char *path = path_of(filters[i].name);
        auto_reader struct reader *from = NULL;
        auto_archive_reader struct archive_reader *r = NULL;
        auto_str struct str big = {0};
        auto_str struct str small = {0};
        const struct tar_entry *e;

        make_archive(path, filters[i].add, &content);
        from = fd_reader_new(open_file(filters[i].name), path);
        r = archive_reader_new(from, path);
        check_int(next(r, &e), 1);
        check_text(e->path, "dir");
        check_int(e->meta.type, ENTRY_DIR);
        check_int(e->meta.uid, 5);
        check_int(e->meta.mtime_ns, 7000000000);
        read_content(r, 10, &small);
        check_int(small.size, 0);
        check_int(next(r, &e), 1);
        check_text(e->path, "dir/big");
        check_int(e->meta.size_bytes, content.size);
        read_content(r, 3333, &big);
        check_bytes(big.data, big.size, content.data, content.size);
        check_int(next(r, &e), 1);
        check_text(e->target, "dir/big");
        check_int(next(r, &e), 1);
        read_content(r, 10, &small);
        check_text(str_text(&small), "x");
        check_int(next(r, &e), 0);
        check_int(next(r, &e), 0);
    }
}

TEST(archive, content_nobody_reads_is_passed_over)
{
    auto_str struct str content = {0};
    auto_free char *path = path_of("a");
    auto_reader struct reader *from = NULL;
    auto_archive_reader struct archive_reader *r = NULL;
    const struct tar_entry *e;
    char buf[100];
    size_t count = 0;

    make_content(&content);
    make_archive(path, archive_write_add_filter_gzip, &content);
    from = fd_reader_new(open_file("a"), path);
    r = archive_reader_new(from, path);
    while (next(r, &e) == 1) {
        count++;
        if (text_equal(e->path, "dir/big")) {
            check_int(archive_reader_read(r, buf, sizeof(buf), &test_err), sizeof(buf));
            check_bytes(buf, sizeof(buf), content.data, sizeof(buf));
        }
    }
    check_int(count, 4);
}

TEST(archive, sparse_files_are_read_with_their_holes)
{
    static const char *const forms[] = {"gnu", "posix --sparse-version=0.1",
                                        "posix --sparse-version=1.0"};
    auto_close int fd = openat(test_dir_fd(), "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    auto_str struct str expected = {0};

    check_ok(fd);
    for (uint64_t at = 0; at < 10; at++)
        check_ok(io_pwrite_full(fd, "data", 4, at * 100000 + 5));
    check_ok(ftruncate(fd, 2000000));
    check_ok(io_read_file(test_dir_fd(), "f", 1u << 30, &expected, &test_err));
    for (size_t i = 0; i < 3; i++) {
        auto_free char *command =
            str_format("cd %s && tar -S -c -f a.tar --format=%s f", test_dir(), forms[i]);
        auto_reader struct reader *from = NULL;
        auto_archive_reader struct archive_reader *r = NULL;
        auto_str struct str content = {0};
        const struct tar_entry *e;

        check_int(system(command), 0);
        from = fd_reader_new(open_file("a.tar"), "a.tar");
        r = archive_reader_new(from, "a.tar");
        check_int(next(r, &e), 1);
        check_int(e->meta.size_bytes, 2000000);
        check_int(e->extent_count, 0);
        read_content(r, 65536, &content);
        check_bytes(content.data, content.size, expected.data, expected.size);
        check_int(next(r, &e), 0);
    }
}

/* -- what is an archive -- */

static bool is_archive(const char *name)
{
    auto_reader struct reader *r = fd_reader_new(open_file(name), name);

    return archive_sniff_reader(r);
}

TEST(archive, an_archive_is_known_by_its_content)
{
    auto_str struct str content = {0};
    auto_free char *zeros = mem_alloc(10240);

    make_content(&content);
    for (size_t i = 0; i < FILTER_COUNT; i++) {
        auto_free char *path = path_of(filters[i].name);

        make_archive(path, filters[i].add, &content);
        check_true(is_archive(filters[i].name));
    }
    make_file("text", content.data, content.size);
    check_false(is_archive("text"));
    make_file("zeros", zeros, 10240); /* an empty tar is nothing to extract */
    check_false(is_archive("zeros"));
    make_file("empty", "", 0);
    check_false(is_archive("empty"));
    make_file("short", "\x1f\x8b\x08", 3);
    check_false(is_archive("short"));
    make_file("bzip", "BZh9 is how this text begins", 28);
    check_false(is_archive("bzip"));
    check_false(is_archive(".")); /* what cannot be read */
}

TEST(archive, a_packed_file_that_holds_no_tar_is_none)
{
    auto_free char *command =
        str_format("cd %s && cp text text2 && gzip text2 && { bzip2 -k text; xz -k text; } "
                   "2>/dev/null; true",
                   test_dir());
    auto_str struct str content = {0};

    make_content(&content);
    make_file("text", content.data, content.size);
    check_int(system(command), 0);
    check_false(is_archive("text2.gz"));
    if (faccessat(test_dir_fd(), "text.bz2", F_OK, 0) == 0)
        check_false(is_archive("text.bz2"));
    if (faccessat(test_dir_fd(), "text.xz", F_OK, 0) == 0)
        check_false(is_archive("text.xz"));
}

/* -- refusals -- */

static int read_all(const void *bytes, size_t size, struct error *err)
{
    auto_reader struct reader *from = memory_reader_new(bytes, size);
    auto_archive_reader struct archive_reader *r = archive_reader_new(from, "a");
    const struct tar_entry *e;
    char buf[4096];
    int n;

    while ((n = archive_reader_next(r, &e, err)) > 0) {
        ssize_t got;

        while ((got = archive_reader_read(r, buf, sizeof(buf), err)) > 0)
            continue;
        if (got < 0)
            return (int)got;
    }
    return n;
}

TEST(archive, one_that_is_cut_short_or_damaged_is_refused)
{
    auto_str struct str content = {0};

    make_content(&content);
    for (size_t i = 0; i < FILTER_COUNT; i++) {
        auto_free char *path = path_of(filters[i].name);
        auto_str struct str bytes = {0};
        struct error err = {0};

        make_archive(path, filters[i].add, &content);
        check_ok(io_read_file(test_dir_fd(), filters[i].name, 1u << 24, &bytes, &test_err));
        check_ok(read_all(bytes.data, bytes.size, &test_err));
        check_fails(read_all(bytes.data, bytes.size / 2, &err), EBADMSG);
        check_true(text_starts(err.text, "'a': "));
        if (i > 0) {
            bytes.data[bytes.size / 2] ^= 0x55;
            check_fails(read_all(bytes.data, bytes.size, &err), EBADMSG);
        }
    }
}

struct failing_reader {
    struct reader base;
    const char *bytes;
    size_t size;
};

static ssize_t failing_read(struct reader *base, void *buf, size_t size, struct error *err)
{
    struct failing_reader *r = (struct failing_reader *)base;

    if (r->size == 0)
        return error_set(err, ECONNRESET, "the line went dead");
    if (size > r->size)
        size = r->size;
    memcpy(buf, r->bytes, size);
    r->bytes += size;
    r->size -= size;
    return (ssize_t)size;
}

TEST(archive, the_reason_why_its_source_failed_is_kept)
{
    auto_str struct str content = {0};

    make_content(&content);
    for (size_t i = 0; i < FILTER_COUNT; i++) {
        auto_free char *path = path_of(filters[i].name);
        auto_str struct str bytes = {0};
        struct failing_reader from = {.base = {.read = failing_read}};
        auto_archive_reader struct archive_reader *r = archive_reader_new(&from.base, "a");
        const struct tar_entry *e;
        struct error err = {0};
        int n;

        make_archive(path, filters[i].add, &content);
        check_ok(io_read_file(test_dir_fd(), filters[i].name, 1u << 24, &bytes, &test_err));
        from.bytes = bytes.data;
        from.size = bytes.size / 2;
        while ((n = archive_reader_next(r, &e, &err)) > 0)
            continue;
        check_error(&err, ECONNRESET, "'a': the line went dead");
    }
}

/* SECURITY R40. */
TEST(archive, bombs_are_refused_whatever_they_are_packed_with)
{
    auto_str struct str zeros = {0};

    for (size_t i = 1; i < FILTER_COUNT; i++) {
        auto_free char *path = path_of(filters[i].name);
        auto_str struct str bytes = {0};
        struct error err = {0};

        if (zeros.size == 0)
            for (int k = 0; k < 200; k++)
                str_add_bytes(&zeros, (char[1u << 20]){0}, 1u << 20);
        make_archive(path, filters[i].add, &zeros);
        check_ok(io_read_file(test_dir_fd(), filters[i].name, 1u << 24, &bytes, &test_err));
        check_fails(read_all(bytes.data, bytes.size, &err), EFBIG);
    }
}

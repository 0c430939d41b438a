/* test_tar_read.c - every dialect is read as GNU tar wrote it and libarchive reads it; what readers
 * disagree about is refused (SECURITY R39). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/tar.h"
#include "tests/lib/tar_text.h"
#include "tests/lib/test.h"

/* -- tars by hand -- */

struct block {
    char bytes[TAR_BLOCK_SIZE];
};

static void put(struct block *b, size_t offset, const char *text)
{
    memcpy(b->bytes + offset, text, strlen(text));
}

static void end_block(struct block *b)
{
    unsigned sum = 0;

    put(b, 148, "        ");
    for (size_t i = 0; i < TAR_BLOCK_SIZE; i++)
        sum += (unsigned char)b->bytes[i];
    (void)snprintf(b->bytes + 148, 8, "%06o", sum);
}

/* A ustar header; `change` may spoil it before the checksum is made. */
static struct block header(const char *name, char type, unsigned size)
{
    struct block b = {{0}};

    put(&b, 0, name);
    put(&b, 100, "0000644");
    put(&b, 108, "0000000");
    put(&b, 116, "0000000");
    (void)snprintf(b.bytes + 124, 12, "%011o", size);
    put(&b, 136, "00000000000");
    b.bytes[156] = type;
    put(&b, 257, "ustar");
    put(&b, 263, "00");
    return b;
}

static void add_block(struct str *tar, struct block b)
{
    end_block(&b);
    str_add_bytes(tar, b.bytes, sizeof(b.bytes));
}

static void add_bytes(struct str *tar, const void *bytes, size_t size)
{
    static const char zeros[TAR_BLOCK_SIZE];

    str_add_bytes(tar, bytes, size);
    str_add_bytes(tar, zeros, tar_padding(size));
}

static void add_pax(struct str *tar, char type, const char *records)
{
    add_block(tar, header("pax", type, (unsigned)strlen(records)));
    add_bytes(tar, records, strlen(records));
}

/* "KEY=VALUE" as a record. */
static void add_record(struct str *out, const char *record)
{
    size_t size = strlen(record) + 3;

    size += size + 1 >= 10 ? 1 : 0;
    size += size >= 100 ? 1 : 0;
    str_addf(out, "%zu %s\n", size, record);
}

static void add_pax_record(struct str *tar, const char *record)
{
    auto_str struct str text = {0};

    add_record(&text, record);
    add_pax(tar, 'x', str_text(&text));
}

static void check_reads(const struct str *tar, const char *expected)
{
    auto_str struct str text = {0};

    check_ok(tar_text(str_text(tar), tar->size, SIZE_MAX, &text, &test_err));
    check_text(str_text(&text), expected);
}

static void check_refuses(const struct str *tar, int code, const char *sentence)
{
    auto_str struct str text = {0};
    struct error err = {0};

    check_fails(tar_text(str_text(tar), tar->size, SIZE_MAX, &text, &err), code);
    check_error(&err, code, sentence);
}

static void check_block_refused(struct block b, const char *sentence)
{
    auto_str struct str tar = {0};

    add_block(&tar, b);
    tar_add_end(&tar);
    check_refuses(&tar, EBADMSG, sentence);
}

/* -- tars by GNU tar -- */

static void run(const char *command)
{
    auto_free char *line = str_format("cd %s && LC_ALL=C exec %s", test_dir(), command);
    int status = system(line); /* the command is this file's own text */

    if (status != 0)
        check_fail("'%s' exited with status %d", command, WEXITSTATUS(status));
}

static void make_file(const char *name, const void *bytes, size_t size, mode_t mode)
{
    auto_close int fd = openat(test_dir_fd(), name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    check_ok(fd);
    check_ok(io_write_full(fd, bytes, size));
    check_ok(fchmod(fd, mode));
}

#define LONG50 "ten bytes/ten bytes/ten bytes/ten bytes/ten bytes/"
#define LONG_NAME "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij"

/* What every dialect but v7 can say. */
static void make_tree(void)
{
    check_ok(mkdirat(test_dir_fd(), "t", 0755));
    check_ok(mkdirat(test_dir_fd(), "t/dir", 0700));
    make_file("t/dir/file", "content", 7, 0640);
    make_file("t/dir/suid", "x", 1, 06755);
    make_file("t/empty", "", 0, 0400);
    make_file("t/\xc3\xa4", "y", 1, 0644);
    check_ok(symlinkat("../../../etc/passwd", test_dir_fd(), "t/link"));
    check_ok(linkat(test_dir_fd(), "t/dir/file", test_dir_fd(), "t/hard", 0));
    check_ok(mkfifoat(test_dir_fd(), "t/fifo", 0600));
}

#define TREE                                                                                       \
    "t dir 0755 7:8 1234567890\n"                                                                  \
    "t/dir dir 0700 7:8 1234567890\n"                                                              \
    "t/dir/file file 0640 7:8 1234567890 7\n"                                                      \
    "t/dir/suid file 6755 7:8 1234567890 1\n"                                                      \
    "t/empty file 0400 7:8 1234567890 0\n"                                                         \
    "t/fifo fifo 0600 7:8 1234567890\n"                                                            \
    "t/hard link 0640 7:8 1234567890 => t/dir/file\n"                                              \
    "t/link symlink 0777 7:8 1234567890 -> ../../../etc/passwd\n"                                  \
    "t/\xc3\xa4 file 0644 7:8 1234567890 1\n"

static void read_made(const char *format, const char *more, struct str *tar)
{
    auto_free char *command = str_format(
        "tar -c -f made.tar --format=%s --sort=name --owner=:7 --group=:8 %s t", format, more);

    run(command);
    check_ok(io_read_file(test_dir_fd(), "made.tar", 64u << 20, tar, &test_err));
}

TEST(tar_read, every_format_of_gnu_tar_says_the_same)
{
    static const char *const formats[] = {"oldgnu", "gnu", "ustar", "posix"};

    make_tree();
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        auto_str struct str tar = {0};
        auto_str struct str oracle = {0};

        read_made(formats[i], "--mtime=@1234567890", &tar);
        check_reads(&tar, TREE);
        tar_text_oracle(tar.data, tar.size, &oracle);
        check_text(str_text(&oracle), TREE);
    }
}

TEST(tar_read, pieces_of_any_size_give_the_same_entries)
{
    static const size_t chunks[] = {1, 3, 511, 512, 513, 10240};
    auto_str struct str tar = {0};

    make_tree();
    read_made("posix", "--mtime=@1234567890", &tar);
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        auto_str struct str text = {0};

        check_ok(tar_text(tar.data, tar.size, chunks[i], &text, &test_err));
        check_text(str_text(&text), TREE);
    }
}

TEST(tar_read, long_names_are_read_in_every_dialect)
{
    static const char *const formats[] = {"gnu", "posix"};
    auto_str struct str path = {0};
    auto_free char *expected = NULL;

    str_add(&path, "t");
    for (int i = 0; i < 6; i++) {
        check_ok(mkdirat(test_dir_fd(), str_text(&path), 0755));
        str_add(&path, "/" LONG_NAME);
    }
    make_file(str_text(&path), "x", 1, 0644);
    check_ok(symlinkat(str_text(&path), test_dir_fd(), "t/z"));
    expected = str_format("%s file 0644 7:8 5 1\n"
                          "t/z symlink 0777 7:8 5 -> %s\n",
                          str_text(&path), str_text(&path));
    for (size_t i = 0; i < 2; i++) {
        auto_str struct str tar = {0};
        auto_str struct str text = {0};

        read_made(formats[i], "--mtime=@5", &tar);
        check_ok(tar_text(tar.data, tar.size, SIZE_MAX, &text, &test_err));
        check_text(strstr(str_text(&text), str_text(&path)), expected);
    }
}

TEST(tar_read, a_ustar_prefix_belongs_to_the_name)
{
    auto_str struct str tar = {0};
    auto_str struct str oracle = {0};

    check_ok(mkdirat(test_dir_fd(), "t", 0755));
    check_ok(mkdirat(test_dir_fd(), "t/" LONG_NAME, 0755));
    make_file("t/" LONG_NAME "/" LONG_NAME, "", 0, 0644);
    read_made("ustar", "--mtime=@5", &tar);
    check_reads(&tar, "t dir 0755 7:8 5\n"
                      "t/" LONG_NAME " dir 0755 7:8 5\n"
                      "t/" LONG_NAME "/" LONG_NAME " file 0644 7:8 5 0\n");
    tar_text_oracle(tar.data, tar.size, &oracle);
    check_reads(&tar, str_text(&oracle));
}

/* GNU's own form, and the three of its pax form. */
TEST(tar_read, sparse_files_are_lists_of_extents)
{
    static const char *const forms[][2] = {
        {"gnu", "--mtime=@5 -S"},
        {"posix", "--mtime=@5 -S --sparse-version=0.0"},
        {"posix", "--mtime=@5 -S --sparse-version=0.1"},
        {"posix", "--mtime=@5 -S --sparse-version=1.0"},
    };
    auto_close int fd = -1;

    check_ok(mkdirat(test_dir_fd(), "t", 0755));
    make_file("t/a", "", 0, 0644);
    fd = openat(test_dir_fd(), "t/a", O_WRONLY | O_CLOEXEC);
    check_ok(fd);
    for (uint64_t i = 0; i < 60; i++) { /* more pieces than fit one block of any form */
        char page[4096];

        memset(page, 'a' + (int)(i % 26), sizeof(page));
        check_ok(io_pwrite_full(fd, page, sizeof(page), i * 65536));
    }
    check_ok(ftruncate(fd, 1 << 30));
    make_file("t/b", "after", 5, 0644);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        auto_str struct str tar = {0};
        auto_str struct str text = {0};
        auto_str struct str one_by_one = {0};
        auto_str struct str oracle = {0};

        read_made(forms[i][0], forms[i][1], &tar);
        check_ok(tar_text(tar.data, tar.size, SIZE_MAX, &text, &test_err));
        check_ok(tar_text(tar.data, tar.size, 1, &one_by_one, &test_err));
        check_text(str_text(&one_by_one), str_text(&text));
        check_contains(str_text(&text), "t/a file 0644 7:8 5 1073741824 [0+4096 65536+4096 ");
        check_contains(str_text(&text), "t/b file 0644 7:8 5 5\n");
        tar_text_oracle(tar.data, tar.size, &oracle);
        check_text(str_text(&text), str_text(&oracle));
    }
}

/* -- what each field may say -- */

TEST(tar_read, a_pax_record_wins_over_the_header)
{
    auto_str struct str tar = {0};
    auto_str struct str records = {0};

    add_record(&records, "path=./new//name");
    add_record(&records, "size=3");
    add_record(&records, "uid=4294967294");
    add_record(&records, "gid=3000000");
    add_record(&records, "mtime=1234567890.123456789999");
    add_record(&records, "SCHILY.xattr.user.empty=");
    add_record(&records, "SCHILY.xattr.security.capability=a=b\nc");
    add_record(&records, "LIBARCHIVE.xattr.user.no=eA==");
    add_record(&records, "comment=nothing");
    add_pax(&tar, 'x', str_text(&records));
    add_block(&tar, header("old", '0', 0)); /* its size, 0, must not count */
    add_bytes(&tar, "abc", 3);
    add_block(&tar, header("next", '0', 0)); /* and what was set holds for one entry only */
    tar_add_end(&tar);
    check_reads(&tar, "new/name file 0644 4294967294:3000000 1234567890.123456789 3"
                      " security.capability=\"a=b\\nc\" user.empty=\"\"\n"
                      "next file 0644 0:0 0 0\n");
}

TEST(tar_read, the_last_record_of_a_key_counts_and_an_empty_one_resets)
{
    auto_str struct str tar = {0};
    auto_str struct str records = {0};

    add_record(&records, "path=first");
    add_record(&records, "path=second");
    add_record(&records, "uid=5");
    add_record(&records, "uid=");
    add_record(&records, "SCHILY.xattr.user.a=1");
    add_record(&records, "SCHILY.xattr.user.a=2");
    add_pax(&tar, 'x', str_text(&records));
    add_block(&tar, header("old", '0', 0));
    check_reads(&tar, "second file 0644 0:0 0 0 user.a=\"2\"\n");
}

TEST(tar_read, times_may_be_negative_fractional_or_beyond_nanoseconds)
{
    static const char *const times[][2] = {
        {"mtime=-1", "-1"},
        {"mtime=-1.25", "-2.750000000"},
        {"mtime=0.000000001", "0.000000001"},
        {"mtime=7.", "7"},
        {"mtime=99999999999999", "9223372036.854775807"},
        {"mtime=-99999999999999", "-9223372037.145224192"},
    };

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        auto_str struct str tar = {0};
        auto_free char *expected = str_format("f file 0644 0:0 %s 0\n", times[i][1]);

        add_pax_record(&tar, times[i][0]);
        add_block(&tar, header("f", '0', 0));
        check_reads(&tar, expected);
    }
}

TEST(tar_read, numbers_are_octal_or_base_256)
{
    auto_str struct str tar = {0};
    struct block b = header("f", '0', 0);

    memcpy(b.bytes + 108, " 17 \0\0\0", 8);                    /* uid: blanks around */
    memcpy(b.bytes + 116, "\x80\0\0\0\0\x12\x34\x56", 8);      /* gid */
    memcpy(b.bytes + 124, "\x80\0\0\0\0\0\0\0\0\0\0\x01", 12); /* size */
    memcpy(b.bytes + 136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12); /* time: -2 */
    add_block(&tar, b);
    add_bytes(&tar, "x", 1);
    check_reads(&tar, "f file 0644 15:1193046 -2 1\n");
}

TEST(tar_read, numbers_out_of_range_are_refused)
{
    struct block b = header("f", '0', 0);

    memcpy(b.bytes + 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
    check_block_refused(b, "entry 'f': its size is not a number in range");
    memcpy(b.bytes + 124, "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
    check_block_refused(b, "entry 'f': its size is not a number in range");
    memcpy(b.bytes + 124, "00000000008", 12);
    check_block_refused(b, "entry 'f': its size is not a number in range");
    memcpy(b.bytes + 124, "0000 000001", 12);
    check_block_refused(b, "entry 'f': its size is not a number in range");
    b = header("f", '0', 0);
    memcpy(b.bytes + 108, "\x80\0\0\x01\0\0\0\0", 8);
    check_block_refused(b, "entry 'f': its owner is not a number in range");
    b = header("f", '0', 0);
    memcpy(b.bytes + 136, "x0000000000", 12);
    check_block_refused(b, "entry 'f': its time is not a number in range");
    b = header("f", '3', 0);
    memcpy(b.bytes + 329, "9999999", 8);
    check_block_refused(b, "entry 'f': its device number is not a number in range");
}

TEST(tar_read, v7_directories_end_in_a_slash)
{
    auto_str struct str tar = {0};
    struct block b = header("d/", '\0', 0);

    memset(b.bytes + 257, 0, 255);
    add_block(&tar, b);
    b = header("f", '\0', 0);
    memset(b.bytes + 257, 0, 255);
    memset(b.bytes + 345, 'p', 155); /* no prefix in this dialect */
    add_block(&tar, b);
    check_reads(&tar, "d dir 0644 0:0 0\n"
                      "f file 0644 0:0 0 0\n");
}

TEST(tar_read, star_keeps_times_where_the_prefix_ends)
{
    auto_str struct str tar = {0};
    struct block b = header("f", '0', 0);

    put(&b, 345, "prefix");
    put(&b, 476, "12345670123");
    memcpy(b.bytes + 508, "tar", 4);
    add_block(&tar, b);
    check_reads(&tar, "prefix/f file 0644 0:0 0 0\n");
}

TEST(tar_read, a_checksum_may_be_of_signed_bytes)
{
    auto_str struct str tar = {0};
    struct block b = header("f\xff", '0', 0);
    int sum = 0;

    put(&b, 148, "        ");
    for (size_t i = 0; i < TAR_BLOCK_SIZE; i++)
        sum += (signed char)b.bytes[i];
    (void)snprintf(b.bytes + 148, 8, "%06o", (unsigned)sum);
    str_add_bytes(&tar, b.bytes, sizeof(b.bytes));
    check_reads(&tar, "f\\xff file 0644 0:0 0 0\n");
    tar.data[148 + 5] ^= 1;
    check_refuses(&tar, EBADMSG, "it is not a tar");
    str_release(&tar);
    add_block(&tar, header("a", '0', 0));
    str_add_bytes(&tar, b.bytes, sizeof(b.bytes));
    tar.data[TAR_BLOCK_SIZE + 148 + 5] ^= 1;
    check_refuses(&tar, EBADMSG, "entry at offset 1024: the checksum of its header is wrong");
}

TEST(tar_read, names_are_relative_and_clean)
{
    auto_str struct str tar = {0};

    add_block(&tar, header("./", '5', 0));
    add_block(&tar, header("/etc//./passwd", '0', 0));
    add_block(&tar, header("dir///", '5', 0));
    add_block(&tar, header("...", '0', 0));
    add_block(&tar, header("..a", '0', 0));
    add_block(&tar, header("/", '5', 0));
    check_reads(&tar, " dir 0644 0:0 0\n"
                      "etc/passwd file 0644 0:0 0 0\n"
                      "dir dir 0644 0:0 0\n"
                      "... file 0644 0:0 0 0\n"
                      "..a file 0644 0:0 0 0\n"
                      " dir 0644 0:0 0\n");
}

TEST(tar_read, devices_are_data)
{
    auto_str struct str tar = {0};
    struct block b = header("c", '3', 0);

    put(&b, 329, "0000010");
    put(&b, 337, "3777777");
    add_block(&tar, b);
    b.bytes[0] = 'b';
    b.bytes[156] = '4';
    add_block(&tar, b);
    check_reads(&tar, "c char 0644 0:0 0 8,1048575\n"
                      "b block 0644 0:0 0 8,1048575\n");
}

/* -- the end -- */

TEST(tar_read, what_follows_the_end_of_archive_is_ignored)
{
    auto_str struct str tar = {0};

    check_reads(&tar, "");
    tar_add_end(&tar);
    check_reads(&tar, "");
    add_block(&tar, header("f", '0', 0));
    str_add(&tar, "rubbish");
    check_reads(&tar, "");
}

TEST(tar_read, an_archive_may_end_without_zeros_but_not_within_an_entry)
{
    auto_str struct str tar = {0};
    auto_str struct str text = {0};

    add_block(&tar, header("a", '0', 600));
    add_bytes(&tar, (const char[600]){"content"}, 600);
    add_pax_record(&tar, "path=b");
    add_block(&tar, header("b", '0', 0));
    check_int(tar.size, 512 * 6);
    for (size_t i = 1; i <= tar.size; i++) {
        struct error err = {0};
        int r;

        str_truncate(&text, 0);
        r = tar_text(tar.data, i, SIZE_MAX, &text, &err);
        if (i == 512 * 3 || i == tar.size)
            check_int(r, 0);
        else
            check_int(r, -EBADMSG);
    }
    str_truncate(&tar, 700);
    check_refuses(&tar, EBADMSG, "the tar ends too early, at offset 700");
}

TEST(tar_read, an_entry_after_one_block_of_zeros_is_refused)
{
    auto_str struct str tar = {0};
    static const char zeros[TAR_BLOCK_SIZE];

    add_block(&tar, header("a", '0', 0));
    str_add_bytes(&tar, zeros, sizeof(zeros));
    check_reads(&tar, "a file 0644 0:0 0 0\n");
    add_block(&tar, header("b", '0', 0));
    check_refuses(&tar, EBADMSG, "entry 'a': an entry follows a block of zeros");
}

/* -- what readers disagree about, or nobody should accept -- */

TEST(tar_read, ambiguous_headers_are_refused)
{
    struct block b;

    for (const char *t = "2356"; *t; t++) {
        b = header("f", *t, 1);
        check_block_refused(b, "entry 'f': it has content but is not a file");
    }
    check_block_refused(header("f/", '0', 0), "entry 'f': it is a file, but its name ends in '/'");
    check_block_refused(header("f", 'V', 0), "entry 'f': it is of the unknown type 0x56");
    check_block_refused(header("a/../b", '0', 0), "entry 'a/../b': its path contains '..'");
    check_block_refused(header("..", '5', 0), "entry '..': its path contains '..'");
    check_block_refused(header("", '0', 0), "entry at offset 512: it has no name");
    check_block_refused(header("s", '2', 0), "entry 's': it links to nothing");
    b = header("h", '1', 0);
    put(&b, 157, "../../etc/shadow");
    check_block_refused(b, "entry 'h': it is a hard link to a path with '..' or no name");
    b = header("h", '1', 0);
    put(&b, 157, "./");
    check_block_refused(b, "entry 'h': it is a hard link to the root");
    check_block_refused(header("a\033[2Jb", 'V', 0),
                        "entry 'a\\x1b[2Jb': it is of the unknown type 0x56");
}

TEST(tar_read, a_hard_link_has_no_content_whatever_its_size_says)
{
    auto_str struct str tar = {0};
    struct block b = header("h", '1', 4096);

    put(&b, 157, "/f");
    add_block(&tar, b);
    add_block(&tar, header("next", '0', 0));
    check_reads(&tar, "h link 0644 0:0 0 => f\n"
                      "next file 0644 0:0 0 0\n");
}

TEST(tar_read, damaged_records_are_refused)
{
    static const char *const records[][2] = {
        {"x", "its pax header is damaged"},
        {"5 a=b", "its pax header is damaged"},   /* no newline */
        {"7 a=b\n", "its pax header is damaged"}, /* longer than the header */
        {"5 a=b\n", "its pax header is damaged"}, /* shorter than its line */
        {"6 abc\n", "its pax header is damaged"}, /* no '=' */
        {"6 =bc\n", "its pax header is damaged"}, /* no key */
        {"-6 a=b\n", "its pax header is damaged"},
        {"18446744073709551622 a=b\n", "its pax header is damaged"},
        {"10 size=x\n", "its pax record 'size' has the bad value 'x'"},
        {"11 size=-1\n", "its pax record 'size' has the bad value '-1'"},
        {"28 size=9223372036854775808\n",
         "its pax record 'size' has the bad value '9223372036854775808'"},
        {"18 uid=4294967296\n", "its pax record 'uid' has the bad value '4294967296'"},
        {"12 mtime=1e\n", "its pax record 'mtime' has the bad value '1e'"},
        {"13 mtime=1.x\n", "its pax record 'mtime' has the bad value '1.x'"},
        {"18 SCHILY.xattr.=\n", "its extended attributes are too large"},
        {"20 GNU.sparse.what=1\n", "its pax header is damaged"},
        {"21 GNU.sparse.what=1\n", "its pax record 'GNU.sparse.what' is unknown"},
    };

    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        auto_str struct str tar = {0};
        auto_free char *sentence = str_format("entry at offset 1536: %s", records[i][1]);
        auto_str struct str text = {0};
        struct error err = {0};

        add_pax(&tar, 'x', records[i][0]);
        add_block(&tar, header("f", '0', 0));
        check_true(tar_text(tar.data, tar.size, SIZE_MAX, &text, &err) < 0);
        check_text(err.text, sentence);
    }
}

TEST(tar_read, a_nul_in_a_name_is_refused)
{
    auto_str struct str tar = {0};

    add_block(&tar, header("pax", 'x', 12));
    add_bytes(&tar, "12 path=a\0b\n", 12);
    add_block(&tar, header("f", '0', 0));
    check_refuses(&tar, EBADMSG,
                  "entry at offset 1536: its pax record 'path' has the bad value 'a\\x00b'");
}

TEST(tar_read, extended_headers_must_fit_together)
{
    auto_str struct str tar = {0};
    auto_str struct str both = {0};
    auto_str struct str lone = {0};
    auto_str struct str global = {0};
    auto_str struct str harmless = {0};

    add_pax_record(&tar, "path=a");
    add_pax_record(&tar, "path=b");
    check_refuses(&tar, EBADMSG, "entry at offset 1536: two extended headers follow each other");
    add_block(&both, header("././@LongLink", 'L', 2));
    add_bytes(&both, "a", 2);
    add_pax_record(&both, "path=b");
    add_block(&both, header("f", '0', 0));
    check_refuses(&both, EBADMSG, "entry at offset 2560: it has both a GNU and a pax name");
    add_pax_record(&lone, "path=a");
    tar_add_end(&lone);
    check_refuses(&lone, EBADMSG, "entry at offset 1536: an extended header belongs to no entry");
    add_pax(&global, 'g', "10 path=a\n");
    check_refuses(&global, EBADMSG,
                  "entry at offset 1024: a global pax header sets 'path' for all entries");
    add_pax(&harmless, 'g', "13 comment=x\n");
    add_block(&harmless, header("f", '0', 0));
    check_reads(&harmless, "f file 0644 0:0 0 0\n");
}

TEST(tar_read, limits_hold)
{
    auto_str struct str tar = {0};
    auto_str struct str name = {0};
    struct block b = header("pax", 'x', LIMIT_PAX_SIZE + 1);

    add_block(&tar, b);
    check_refuses(&tar, E2BIG, "entry at offset 512: its extended header is larger than 1 MiB");
    str_truncate(&tar, 0);
    b = header("f", '0', 0);
    memcpy(b.bytes + 124, "\x80\0\0\0\0\0\x01\0\0\0\0\x01", 12); /* 1 TiB and a byte */
    add_block(&tar, b);
    check_refuses(&tar, E2BIG, "entry 'f': its size is more than 1024 GiB");
    str_truncate(&tar, 0);
    for (unsigned i = 0; i < LIMIT_PATH_SIZE; i++)
        str_add(&name, "x/");
    add_block(&tar, header("././@LongLink", 'L', (unsigned)name.size));
    add_bytes(&tar, name.data, name.size);
    add_block(&tar, header("f", '5', 0));
    check_fails(tar_text(tar.data, tar.size, SIZE_MAX, &name, &test_err), E2BIG);
}

TEST(tar_read, sparse_maps_that_do_not_fit_are_refused)
{
    static const char *const maps[][2] = {
        {"GNU.sparse.map=0,1,5,1", "its sparse map does not fit its size"}, /* 2 bytes, 3 stored */
        {"GNU.sparse.map=0,2,1,1", "its sparse map is damaged"},            /* overlapping */
        {"GNU.sparse.map=5,1,0,2", "its sparse map is damaged"},            /* unsorted */
        {"GNU.sparse.map=0,1,9,2", "its sparse map does not fit its size"}, /* beyond the end */
        {"GNU.sparse.map=0,1,9223372036854775807,2", "its sparse map is damaged"},
        {"GNU.sparse.map=0,1,2", "its pax record 'GNU.sparse.map' has the bad value '0,1,2'"},
        {"GNU.sparse.map=", "its sparse map is damaged"},
        {"GNU.sparse.major=2", "its sparse map is damaged"},
        {"GNU.sparse.offset=1", "its sparse map is damaged"},
        {"GNU.sparse.numbytes=1", "its pax record 'GNU.sparse.numbytes' has the bad value '1'"},
    };

    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
        auto_str struct str tar = {0};
        auto_str struct str records = {0};
        auto_str struct str text = {0};
        struct error err = {0};

        if (i != 6)
            add_record(&records, "GNU.sparse.size=10");
        add_record(&records, i == 6 ? "GNU.sparse.map=0,3" : maps[i][0]);
        add_pax(&tar, 'x', str_text(&records));
        add_block(&tar, header("f", '0', 3));
        add_bytes(&tar, "abc", 3);
        check_fails(tar_text(tar.data, tar.size, SIZE_MAX, &text, &err), EBADMSG);
        check_text(strstr(err.text, ": its ") + 2, maps[i][1]);
    }
}

/* A small generator of damage; the fuzz target goes further. */
TEST(tar_read, damaged_bytes_never_crash_it)
{
    auto_str struct str tar = {0};
    unsigned seed = 1;
    size_t refused = 0;

    make_tree();
    read_made("posix", "-S --sparse-version=1.0", &tar);
    str_truncate(&tar, tar.size < 20480 ? tar.size : 20480);
    for (int i = 0; i < 3000; i++) {
        auto_str struct str text = {0};
        struct error err = {0};
        size_t at;
        char before;

        seed = seed * 1103515245 + 12345;
        at = (seed >> 8) % tar.size;
        before = tar.data[at];
        tar.data[at] = (char)(seed >> 3);
        refused += tar_text(tar.data, tar.size, 1 + (seed >> 16) % 2000, &text, &err) < 0;
        tar.data[at] = before;
    }
    check_true(refused > 1000);
}

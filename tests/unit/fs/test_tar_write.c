/* test_tar_write.c - what is written reads back the same, here, by libarchive and by GNU tar. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/tar.h"
#include "tests/lib/tar_text.h"
#include "tests/lib/test.h"

static void add(struct str *tar, const struct tar_entry *e)
{
    check_ok(tar_add_header(tar, e, &test_err));
}

static size_t header_size(const struct tar_entry *e)
{
    auto_str struct str tar = {0};

    add(&tar, e);
    return tar.size;
}

static struct tar_entry file(const char *path)
{
    return (struct tar_entry){.path = path, .meta = {.type = ENTRY_FILE, .mode = 0644}};
}

static void check_round_trip(struct str *tar, const char *expected)
{
    auto_str struct str ours = {0};
    auto_str struct str oracle = {0};

    tar_add_end(tar);
    check_ok(tar_text(tar->data, tar->size, SIZE_MAX, &ours, &test_err));
    check_text(str_text(&ours), expected);
    tar_text_oracle(tar->data, tar->size, &oracle);
    check_text(str_text(&oracle), expected);
}

TEST(tar_write, every_type_reads_back_the_same)
{
    auto_str struct str tar = {0};
    struct xattr xattrs[] = {{"user.a", "1=2\n", 4}, {"security.capability", "\1\0\0\2", 4}};
    struct tar_entry entries[] = {
        {.path = "", .meta = {ENTRY_DIR, 01777, 0, 0, 5000000000, 0, 0, 0}},
        {.path = "dir", .meta = {ENTRY_DIR, 0700, 1, 2, 0, 0, 0, 0}},
        {.path = "dir/empty",
         .meta = {ENTRY_FILE, 06755, 2097151, 2097152, 0, 0, 0, 0},
         .xattrs = xattrs,
         .xattr_count = 2},
        {.path = "dir/hard",
         .meta = {ENTRY_FILE, 0644, 0, 0, 0, 0, 0, 0},
         .is_hard_link = true,
         .target = "dir/empty"},
        {.path = "link",
         .meta = {ENTRY_SYMLINK, 0777, 0, 0, -3000000000, 0, 0, 0},
         .target = "/x/.."},
        {.path = "char", .meta = {ENTRY_CHAR, 0600, 0, 0, 0, 0, 4095, 1048575}},
        {.path = "block", .meta = {ENTRY_BLOCK, 0600, 0, 0, 1, 0, 8, 1}},
        {.path = "fifo", .meta = {ENTRY_FIFO, 0600, 4294967294u, 0, 0, 0, 0, 0}},
    };

    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        add(&tar, &entries[i]);
    check_round_trip(&tar, " dir 1777 0:0 5\n"
                           "dir dir 0700 1:2 0\n"
                           "dir/empty file 6755 2097151:2097152 0 0"
                           " security.capability=\"\\x01\\x00\\x00\\x02\" user.a=\"1=2\\n\"\n"
                           "dir/hard link 0644 0:0 0 => dir/empty\n"
                           "link symlink 0777 0:0 -3 -> /x/..\n"
                           "char char 0600 0:0 0 4095,1048575\n"
                           "block block 0600 0:0 0.000000001 8,1\n"
                           "fifo fifo 0600 4294967294:0 0\n");
}

TEST(tar_write, content_follows_its_header_and_is_padded)
{
    auto_str struct str tar = {0};
    auto_free char *command = NULL;
    auto_str struct str back = {0};
    static const char zeros[TAR_BLOCK_SIZE];
    struct tar_entry e = file("f");

    e.meta.size_bytes = 5;
    add(&tar, &e);
    str_add(&tar, "hello");
    str_add_bytes(&tar, zeros, tar_padding(5));
    e.path = "g";
    add(&tar, &e);
    str_add(&tar, "world");
    str_add_bytes(&tar, zeros, tar_padding(5));
    tar_add_end(&tar);
    check_int(tar.size, 512 * 6);
    check_ok(io_write_file_atomic(test_dir_fd(), "a.tar", tar.data, tar.size, 0600, &test_err));
    command = str_format("cd %s && tar xf a.tar && cat f g > both", test_dir());
    check_int(system(command), 0);
    check_ok(io_read_file(test_dir_fd(), "both", 100, &back, &test_err));
    check_text(str_text(&back), "helloworld");
    check_int(tar_padding(0), 0);
    check_int(tar_padding(512), 0);
    check_int(tar_padding(513), 511);
    check_int(tar_padding(1), 511);
}

/* A pax header costs at least two blocks: only what ustar cannot say gets one. */
TEST(tar_write, pax_is_used_for_what_ustar_cannot_say_alone)
{
    struct xattr xattr = {"user.a", "", 0};
    auto_str struct str name = {0};
    struct tar_entry e = file("f");

    e.meta = (struct entry_meta){ENTRY_FILE, 07777, 2097151, 2097151, 8589934591000000000, 0, 0, 0};
    e.meta.size_bytes = 8589934591;
    check_int(header_size(&e), 512);
    e.meta.size_bytes++;
    check_int(header_size(&e), 1536);
    e = file("f");
    e.meta.uid = 2097152;
    check_int(header_size(&e), 1536);
    e = file("f");
    e.meta.gid = 2097152;
    check_int(header_size(&e), 1536);
    e = file("f");
    e.meta.mtime_ns = 1;
    check_int(header_size(&e), 1536);
    e.meta.mtime_ns = -1000000000;
    check_int(header_size(&e), 1536);
    e = file("f");
    e.xattrs = &xattr;
    e.xattr_count = 1;
    check_int(header_size(&e), 1536);
    for (int i = 0; i < 100; i++)
        str_add_char(&name, 'n');
    e = file(str_text(&name));
    check_int(header_size(&e), 512);
    e.meta.type = ENTRY_DIR; /* the slash is one byte too many */
    check_int(header_size(&e), 1536);
    str_add(&name, "/");
    str_add(&name, "n");
    e = file(str_text(&name));
    check_int(header_size(&e), 512);
    e.target = str_text(&name); /* 102 bytes, and links have no prefix */
    e.meta.type = ENTRY_SYMLINK;
    check_int(header_size(&e), 1536);
}

/* POSIX pax, "ustar Interchange Format": a prefix of up to 155 bytes, a slash, a name of up to 100. */
TEST(tar_write, a_path_that_fills_prefix_and_name_needs_no_pax)
{
    static const struct {
        int prefix, name, header_size;
    } cases[] = {
        {155, 100, 512}, {156, 100, 1536}, {155, 101, 1536}, {1, 100, 512}, {1, 101, 1536}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_free char *path = str_format("%0*d/%0*d", cases[i].prefix, 1, cases[i].name, 1);
        const struct tar_entry e = file(path);

        check_int(header_size(&e), cases[i].header_size);
    }
}

TEST(tar_write, paths_of_any_length_read_back_the_same)
{
    auto_str struct str tar = {0};
    auto_str struct str expected = {0};
    auto_str struct str path = {0};

    for (size_t size = 95; size < 300; size++) {
        struct tar_entry e;

        str_truncate(&path, 0);
        for (size_t i = 0; i < size; i++)
            str_add_char(&path, (i + 1) % (40 + size % 60) == 0 && i + 1 < size ? '/' : 'p');
        e = file(str_text(&path));
        if (size % 3 == 0) {
            e.is_hard_link = true;
            e.target = str_text(&path);
        }
        add(&tar, &e);
        str_add(&expected, str_text(&path));
        if (e.is_hard_link)
            str_addf(&expected, " link 0644 0:0 0 => %s\n", str_text(&path));
        else
            str_add(&expected, " file 0644 0:0 0 0\n");
    }
    check_round_trip(&tar, str_text(&expected));
}

/* The length at the head of a record counts its own digits. */
TEST(tar_write, records_of_every_length_are_right)
{
    auto_str struct str tar = {0};
    auto_str struct str expected = {0};
    char value[1100];

    memset(value, 'v', sizeof(value));
    for (size_t size = 0; size < sizeof(value); size++) {
        struct xattr xattr = {"user.a", value, size};
        struct tar_entry e = file("f");

        e.xattrs = &xattr;
        e.xattr_count = 1;
        add(&tar, &e);
        str_addf(&expected, "f file 0644 0:0 0 0 user.a=\"%.*s\"\n", (int)size, value);
    }
    check_round_trip(&tar, str_text(&expected));
}

TEST(tar_write, names_are_bytes)
{
    auto_str struct str tar = {0};
    auto_str struct str ours = {0};
    auto_str struct str long_name = {0};
    auto_str struct str expected = {0};
    struct tar_entry e = file("\xff\xfe");

    add(&tar, &e);
    for (int i = 0; i < 60; i++)
        str_add(&long_name, "\xc3\xa4");
    e.path = str_text(&long_name);
    add(&tar, &e);
    check_contains(tar.data + 512, "PaxHeaders/");
    check_false(memmem(tar.data, tar.size, "hdrcharset", 10));
    str_addf(&expected, "\\xff\\xfe file 0644 0:0 0 0\n%s file 0644 0:0 0 0\n", long_name.data);
    str_addf(&expected, "%s\\xff file 0644 0:0 0 0\n", long_name.data);
    str_add(&long_name, "\xff");
    e.path = str_text(&long_name);
    add(&tar, &e);
    check_true(memmem(tar.data, tar.size, "21 hdrcharset=BINARY\n", 21));
    tar_add_end(&tar);
    check_ok(tar_text(tar.data, tar.size, SIZE_MAX, &ours, &test_err));
    check_text(str_text(&ours), str_text(&expected));
}

TEST(tar_write, nothing_but_the_entry_shows_in_the_bytes)
{
    auto_str struct str one = {0};
    auto_str struct str two = {0};
    struct tar_entry e = file("f");
    static const char zeros[64];

    e.meta.mtime_ns = 1600000000000000001;
    add(&one, &e);
    check_ok(setenv("TZ", "Asia/Kathmandu", 1));
    check_ok(setuid(geteuid()));
    add(&two, &e);
    check_bytes(one.data, one.size, two.data, two.size);
    check_bytes(one.data + 1024 + 265, 64, zeros, 64); /* user and group names */
    check_true(memmem(one.data, one.size, "30 mtime=1600000000.000000001\n", 30));
    check_false(memmem(one.data, one.size, "atime", 5));
}

TEST(tar_write, what_no_tar_can_hold_is_refused)
{
    struct xattr xattr = {"user.a=b", "", 0};
    auto_str struct str tar = {0};
    struct tar_entry e = file("f");

    e.xattrs = &xattr;
    e.xattr_count = 1;
    check_fails(tar_add_header(&tar, &e, &test_err), EINVAL);
    check_error(&test_err, EINVAL,
                "'f' has the extended attribute 'user.a=b', which no tar can hold");
    e = file("s");
    e.meta.type = ENTRY_SOCKET;
    check_fails(tar_add_header(&tar, &e, &test_err), EINVAL);
    check_error(&test_err, EINVAL, "'s' is of a type that no tar can hold");
    e.meta.type = ENTRY_CHAR;
    e.meta.rdev_minor = 1u << 21;
    check_fails(tar_add_header(&tar, &e, &test_err), EINVAL);
    check_error(&test_err, EINVAL, "'s' is a device whose number no tar can hold");
}

/* test_index.c - what goes into an index comes out, in order, and damage is refused. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/hash.h"
#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/index.h"
#include "tests/lib/test.h"
#include "tools/dump.h"

#define PACK 7u

/* -- adding, briefly -- */

static int try_add(struct index_builder *b, const char *path, enum entry_type type, mode_t mode)
{
    struct index_new_entry e = {.path = path, .meta = {.type = type, .mode = mode}};

    if (type == ENTRY_SYMLINK)
        e.target = "target";
    return index_builder_add(b, &e, &test_err);
}

static void add_dir(struct index_builder *b, const char *path, mode_t mode)
{
    check_ok(try_add(b, path, ENTRY_DIR, mode));
}

/* A file of ten bytes at `offset` of the pack, so that a dump tells which file it is. */
static void add_file(struct index_builder *b, const char *path, uint64_t offset)
{
    struct extent extent = {.length = 10, .pack = PACK, .pack_offset = offset};
    struct index_new_entry e = {.path = path,
                                .meta = {.type = ENTRY_FILE, .mode = 0644, .size_bytes = 10},
                                .extents = &extent,
                                .extent_count = 1};

    check_ok(index_builder_add(b, &e, &test_err));
}

static void add_symlink(struct index_builder *b, const char *path, const char *target)
{
    struct index_new_entry e = {
        .path = path, .meta = {.type = ENTRY_SYMLINK, .mode = 0777}, .target = target};

    check_ok(index_builder_add(b, &e, &test_err));
}

static struct index *finish(struct index_builder *b, const char *name)
{
    auto_close int fd = openat(test_dir_fd(), name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct index *x = NULL;

    check_ok(fd);
    check_ok(index_builder_write(b, fd, &test_err));
    check_ok(index_open(test_dir_fd(), name, true, &x, &test_err));
    return x;
}

static void check_dump(const struct index *x, const char *expected)
{
    auto_str struct str text = {0};

    check_ok(dump_index(x, NULL, NULL, &text, &test_err));
    check_text(str_text(&text), expected);
}

static void check_builds(struct index_builder *b, const char *expected)
{
    auto_index struct index *x = finish(b, "index");

    check_dump(x, expected);
}

#define ROOT "./                      dir 0755 implicit\n"

/* -- what comes out -- */

TEST(index, an_empty_layer_has_an_implicit_root)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    check_builds(b, ROOT);
}

TEST(index, every_type_keeps_its_metadata)
{
    auto_index_builder struct index_builder *b = index_builder_new();
    struct xattr xattrs[] = {{"user.b", "2\n", 2}, {"user.a", "", 0}};
    struct extent extents[] = {{0, 5, 3, 1000}, {100, 28, 4, 0}};
    struct index_new_entry entries[] = {
        {.path = "", .meta = {ENTRY_DIR, 01777, 1, 2, -1, 0, 0, 0}},
        {.path = "file",
         .meta = {ENTRY_FILE, 06755, 4294967294u, 5, 1500000000123456789, 128, 0, 0},
         .extents = extents,
         .extent_count = 2,
         .xattrs = xattrs,
         .xattr_count = 2},
        {.path = "hole", .meta = {ENTRY_FILE, 0600, 0, 0, 0, 1ull << 50, 0, 0}},
        {.path = "link", .meta = {ENTRY_SYMLINK, 0777, 0, 0, 0, 0, 0, 0}, .target = "../a b"},
        {.path = "char", .meta = {ENTRY_CHAR, 0620, 0, 5, 0, 0, 4095, 1048575}},
        {.path = "block", .meta = {ENTRY_BLOCK, 0660, 0, 0, 0, 0, 8, 1}},
        {.path = "fifo", .meta = {ENTRY_FIFO, 0, 0, 0, 0, 0, 0, 0}},
    };

    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        check_ok(index_builder_add(b, &entries[i], &test_err));
    check_builds(b, "./                      dir 1777 1:2 mtime=-1.999999999\n"
                    "block                   block 0660 8,1\n"
                    "char                    char 0620 0:5 4095,1048575\n"
                    "fifo                    fifo 0000\n"
                    "file                    file 6755 4294967294:5 mtime=1500000000.123456789"
                    " 128 bytes at 3+1000 (5 for 0), 4+0 (28 for 100)"
                    " user.a=\"\" user.b=\"2\\n\"\n"
                    "hole                    file 0600 1125899906842624 bytes\n"
                    "link                    symlink 0777 -> ../a b\n");
}

TEST(index, names_are_in_byte_order_and_found_in_any_directory_size)
{
    auto_index_builder struct index_builder *b = index_builder_new();
    auto_index struct index *x = NULL;
    struct index_inode dir;
    struct index_dirent e;
    char name[64];
    char before[64] = "";

    for (unsigned i = 0; i < 5000; i++) { /* an order that is nothing like sorted */
        (void)snprintf(name, sizeof(name), "d/%x", (i * 2654435761u) ^ 0x55u);
        add_file(b, name, i);
    }
    add_file(b, "d/\xff", 1);
    add_file(b, "d/a", 2);
    x = finish(b, "index");
    check_ok(index_lookup(x, 0, "d", 1, &e));
    check_ok(index_get(x, e.inode, &dir));
    check_int(dir.child_count, 5002);
    for (uint32_t i = 0; i < dir.child_count; i++) {
        struct index_dirent at;
        struct index_dirent found;

        check_ok(index_dirent_at(x, e.inode, i, &at));
        (void)snprintf(name, sizeof(name), "%.*s", (int)at.name_size, at.name);
        check_true(strcmp(before, name) < 0);
        memcpy(before, name, sizeof(before));
        check_ok(index_lookup(x, e.inode, at.name, at.name_size, &found));
        check_int(found.inode, at.inode);
    }
    check_fails(index_lookup(x, e.inode, "zzz", 3, &e), ENOENT);
    check_ok(index_lookup(x, 0, "d", 1, &e));
    check_fails(index_lookup(x, e.inode, "", 0, &e), ENOENT);
    check_fails(index_dirent_at(x, e.inode, dir.child_count, &e), ENOENT);
    check_ok(index_lookup(x, e.inode, "a", 1, &e));
    check_fails(index_lookup(x, e.inode, "a", 1, &e), ENOTDIR);
}

TEST(index, the_order_of_adding_leaves_no_trace)
{
    auto_index_builder struct index_builder *forward = index_builder_new();
    auto_index_builder struct index_builder *backward = index_builder_new();
    auto_str struct str one = {0};
    auto_str struct str two = {0};
    struct xattr user[] = {{"user.a", "x", 1}};
    struct xattr capability[] = {{"security.capability", "y", 1}};
    char name[32];

    for (int pass = 0; pass < 2; pass++) {
        struct index_builder *b = pass == 0 ? forward : backward;

        for (unsigned i = 0; i < 300; i++) {
            unsigned n = pass == 0 ? i : 299 - i;
            struct extent extent = {.length = 10, .pack = 100 - n % 3, .pack_offset = n};
            struct extent pieces[2] = {{0, 1, 50 + n % 2, n}, {5, 5, 60, n}};
            struct index_new_entry e = {.path = name,
                                        .meta = {.type = ENTRY_FILE, .size_bytes = 10},
                                        .extents = n % 5 == 0 ? pieces : &extent,
                                        .extent_count = n % 5 == 0 ? 2 : 1,
                                        .xattrs = n % 2 == 0 ? user : capability,
                                        .xattr_count = n % 7 == 0};

            (void)snprintf(name, sizeof(name), "%u/%u", n % 11, n);
            check_ok(index_builder_add(b, &e, &test_err));
            (void)snprintf(name, sizeof(name), "l%u", n);
            add_symlink(b, name, name);
        }
    }
    index_close(finish(forward, "one"));
    index_close(finish(backward, "two"));
    check_ok(io_read_file(test_dir_fd(), "one", 1 << 20, &one, &test_err));
    check_ok(io_read_file(test_dir_fd(), "two", 1 << 20, &two, &test_err));
    check_bytes(str_text(&one), one.size, str_text(&two), two.size);
}

/* -- the semantics of extraction -- */

TEST(index, missing_parents_are_implicit_until_they_are_described)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    add_file(b, "a/b/c", 1);
    add_dir(b, "a", 0700);
    check_builds(b, ROOT "a/                      dir 0700\n"
                         "a/b/                    dir 0755 implicit\n"
                         "a/b/c                   file 0644 10 bytes at 7+1\n");
}

TEST(index, a_later_entry_replaces_an_earlier_one)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    add_file(b, "a", 1);
    add_file(b, "a", 2);
    add_symlink(b, "b", "old");
    add_file(b, "b", 3);
    add_dir(b, "d", 0700);
    add_file(b, "d/kept", 4);
    add_dir(b, "d", 0711);
    check_builds(b, ROOT "a                       file 0644 10 bytes at 7+2\n"
                         "b                       file 0644 10 bytes at 7+3\n"
                         "d/                      dir 0711\n"
                         "d/kept                  file 0644 10 bytes at 7+4\n");
}

TEST(index, a_file_in_place_of_a_directory_drops_what_was_below)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    add_file(b, "d/x/y", 1);
    add_file(b, "d", 2);
    check_builds(b, ROOT "d                       file 0644 10 bytes at 7+2\n");
}

/* The file had removed the lower directory, so the new one starts empty. */
TEST(index, a_directory_in_place_of_a_file_is_opaque)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    add_file(b, "d/x", 1);
    add_file(b, "d", 2);
    add_dir(b, "d", 0700);
    check_builds(b, ROOT "d/                      dir 0700 opaque\n");
}

TEST(index, a_file_is_no_parent)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    add_file(b, "a", 1);
    check_fails(try_add(b, "a/b", ENTRY_FILE, 0644), EINVAL);
    check_error(&test_err, EINVAL, "'a/b' passes 'a', which is not a directory");
    check_fails(index_builder_add_whiteout(b, "a/b", &test_err), EINVAL);
    check_fails(index_builder_set_opaque(b, "a", &test_err), EINVAL);
}

/* OCI image-spec, layer.md, "Whiteouts": they apply to lower layers only. */
TEST(index, a_whiteout_hides_nothing_of_its_own_layer)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    add_file(b, "before", 1);
    check_ok(index_builder_add_whiteout(b, "before", &test_err));
    check_ok(index_builder_add_whiteout(b, "after", &test_err));
    add_file(b, "after", 2);
    check_ok(index_builder_add_whiteout(b, "gone", &test_err));
    check_builds(b, ROOT "after                   file 0644 10 bytes at 7+2\n"
                         "before                  file 0644 10 bytes at 7+1\n"
                         ".wh.gone                whiteout\n");
}

TEST(index, a_whiteout_and_a_directory_make_an_opaque_one)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    check_ok(index_builder_add_whiteout(b, "a", &test_err));
    add_dir(b, "a", 0700);
    add_dir(b, "b", 0700);
    check_ok(index_builder_add_whiteout(b, "b", &test_err));
    check_ok(index_builder_add_whiteout(b, "c", &test_err));
    add_file(b, "c/x", 1); /* nothing shows through, so the metadata is this layer's too */
    add_file(b, "d/x", 2);
    check_ok(index_builder_add_whiteout(b, "d", &test_err));
    check_builds(b, ROOT "a/                      dir 0700 opaque\n"
                         "b/                      dir 0700 opaque\n"
                         "c/                      dir 0755 opaque\n"
                         "c/x                     file 0644 10 bytes at 7+1\n"
                         "d/                      dir 0755 opaque\n"
                         "d/x                     file 0644 10 bytes at 7+2\n");
}

TEST(index, opaque_keeps_the_metadata_of_a_directory_nobody_described)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    check_ok(index_builder_set_opaque(b, "a/b", &test_err));
    check_ok(index_builder_set_opaque(b, "", &test_err));
    check_ok(index_builder_set_opaque(b, "c", &test_err));
    add_dir(b, "c", 0700);
    check_builds(b, "./                      dir 0755 opaque implicit\n"
                    "a/                      dir 0755 implicit\n"
                    "a/b/                    dir 0755 opaque implicit\n"
                    "c/                      dir 0700 opaque\n");
}

/* SECURITY R37: parents are resolved inside the root, the last name is never followed. */
TEST(index, links_on_the_way_are_followed_inside_the_root)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    add_symlink(b, "bin", "usr/bin");
    add_file(b, "bin/tool", 1);
    add_symlink(b, "x/up", "../../../../etc");
    add_file(b, "x/up/passwd", 2);
    add_symlink(b, "abs", "/x/./y//z/..");
    add_file(b, "abs/f", 3);
    check_builds(b, ROOT "abs                     symlink 0777 -> /x/./y//z/..\n"
                         "bin                     symlink 0777 -> usr/bin\n"
                         "etc/                    dir 0755 implicit\n"
                         "etc/passwd              file 0644 10 bytes at 7+2\n"
                         "usr/                    dir 0755 implicit\n"
                         "usr/bin/                dir 0755 implicit\n"
                         "usr/bin/tool            file 0644 10 bytes at 7+1\n"
                         "x/                      dir 0755 implicit\n"
                         "x/up                    symlink 0777 -> ../../../../etc\n"
                         "x/y/                    dir 0755 implicit\n"
                         "x/y/f                   file 0644 10 bytes at 7+3\n"
                         "x/y/z/                  dir 0755 implicit\n");
}

TEST(index, a_loop_of_links_is_refused)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    add_symlink(b, "a", "b");
    add_symlink(b, "b", "a");
    check_fails(try_add(b, "a/f", ENTRY_FILE, 0), ELOOP);
    check_error(&test_err, ELOOP, "'a/f' passes more than 40 symbolic links");
}

/* -- hard links -- */

TEST(index, hard_links_share_an_inode_named_first_by_sorted_path)
{
    auto_index_builder struct index_builder *b = index_builder_new();
    auto_index struct index *x = NULL;
    struct index_dirent e;
    struct index_inode i;
    uint32_t dir;
    uint32_t position;

    add_file(b, "z", 1);
    check_ok(index_builder_add_link(b, "d/deep/y", "z", &test_err));
    check_ok(index_builder_add_link(b, "d-x", "d/deep/y", &test_err));
    check_ok(index_builder_add_link(b, "z", "z", &test_err));
    x = finish(b, "index");
    check_dump(x, ROOT "d/                      dir 0755 implicit\n"
                       "d/deep/                 dir 0755 implicit\n"
                       "d/deep/y                file 0644 10 bytes at 7+1\n"
                       "d-x                     link d/deep/y\n"
                       "z                       link d/deep/y\n");
    check_ok(index_lookup(x, 0, "z", 1, &e));
    check_ok(index_get(x, e.inode, &i));
    check_int(i.nlink, 3);
    check_fails(index_name_of(x, e.inode, 3, &dir, &position), ENOENT);
    check_fails(index_name_of(x, 0, 0, &dir, &position), ENOENT);
    check_int(index_special_count(x), 2); /* d and d/deep are implicit; the root does not count */
}

TEST(index, a_link_keeps_its_file_when_the_first_name_is_replaced)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    add_file(b, "a", 1);
    check_ok(index_builder_add_link(b, "b", "a", &test_err));
    add_file(b, "a", 2);
    check_builds(b, ROOT "a                       file 0644 10 bytes at 7+2\n"
                         "b                       file 0644 10 bytes at 7+1\n");
}

TEST(index, a_link_to_a_symlink_names_the_symlink)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    add_symlink(b, "s", "/etc/shadow");
    check_ok(index_builder_add_link(b, "t", "s", &test_err));
    check_builds(b, ROOT "s                       symlink 0777 -> /etc/shadow\n"
                         "t                       link s\n");
}

TEST(index, a_link_out_of_the_layer_is_external_and_clean)
{
    auto_index_builder struct index_builder *b = index_builder_new();
    auto_index struct index *x = NULL;
    struct index_dirent e;
    uint32_t inode;

    check_ok(index_builder_add_link(b, "a", "usr/bin/x", &test_err));
    check_ok(index_builder_add_link(b, "b", "a", &test_err));
    add_symlink(b, "s", "../lib/../lib64");
    check_ok(index_builder_add_link(b, "c", "s/f", &test_err));
    check_ok(index_builder_add_whiteout(b, "w", &test_err));
    check_ok(index_builder_add_link(b, "d", "w", &test_err));
    x = finish(b, "index");
    check_dump(x, ROOT "a                       link-below usr/bin/x\n"
                       "b                       link a\n"
                       "c                       link-below lib64/f\n"
                       "d                       link-below w\n"
                       "s                       symlink 0777 -> ../lib/../lib64\n"
                       ".wh.w                   whiteout\n");
    check_int(index_special_count(x), 3);
    check_ok(index_lookup(x, 0, "c", 1, &e));
    check_ok(index_special_at(x, 1, &inode));
    check_int(inode, e.inode);
    check_fails(index_special_at(x, 3, &inode), ENOENT);
}

TEST(index, a_link_to_a_directory_is_refused)
{
    auto_index_builder struct index_builder *b = index_builder_new();

    add_dir(b, "d", 0755);
    check_fails(index_builder_add_link(b, "l", "d", &test_err), EINVAL);
    check_error(&test_err, EINVAL, "'l' is a hard link to the directory 'd'");
}

/* -- refusals -- */

TEST(index, unclean_paths_are_refused)
{
    static const char *const paths[] = {"/a", "a/", "a//b", ".", "..", "a/./b", "a/../b", "a/.."};
    auto_index_builder struct index_builder *b = index_builder_new();

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        check_fails(try_add(b, paths[i], ENTRY_FILE, 0), EINVAL);
        check_fails(index_builder_add_link(b, "l", paths[i], &test_err), EINVAL);
    }
    check_fails(index_builder_add_whiteout(b, "", &test_err), EINVAL);
    check_fails(try_add(b, "", ENTRY_FILE, 0), EINVAL);
    check_int(index_builder_count(b), 0);
}

TEST(index, names_and_paths_have_a_length)
{
    auto_index_builder struct index_builder *b = index_builder_new();
    auto_str struct str path = {0};

    for (unsigned i = 0; i < LIMIT_NAME_SIZE; i++)
        str_add_char(&path, 'n');
    check_ok(try_add(b, str_text(&path), ENTRY_DIR, 0));
    str_add_char(&path, 'n');
    check_fails(try_add(b, str_text(&path), ENTRY_DIR, 0), ENAMETOOLONG);
    str_truncate(&path, 0);
    for (unsigned i = 0; i < LIMIT_PATH_DEPTH - 1; i++)
        str_add(&path, "d/");
    str_add(&path, "f");
    check_ok(try_add(b, str_text(&path), ENTRY_FILE, 0));
    str_truncate(&path, path.size - 1);
    str_add(&path, "e/f");
    check_fails(try_add(b, str_text(&path), ENTRY_FILE, 0), ENAMETOOLONG);
    while (path.size < 2 * LIMIT_PATH_SIZE)
        str_add(&path, "/x");
    check_fails(try_add(b, str_text(&path), ENTRY_FILE, 0), ENAMETOOLONG);
}

/* A link to a deep directory must not carry a path beyond the depth limit. */
TEST(index, links_do_not_evade_the_depth_limit)
{
    auto_index_builder struct index_builder *b = index_builder_new();
    auto_str struct str deep = {0};

    for (unsigned i = 0; i < LIMIT_PATH_DEPTH - 10; i++)
        str_add(&deep, "d/");
    add_symlink(b, "s", str_text(&deep));
    check_ok(try_add(b, "s/a/b/c", ENTRY_FILE, 0));
    check_fails(try_add(b, "s/1/2/3/4/5/6/7/8/9/10/11", ENTRY_FILE, 0), ENAMETOOLONG);
}

TEST(index, content_that_is_no_extent_list_is_refused)
{
    static const struct extent lists[][2] = {
        {{0, 0, 1, 0}, {5, 1, 1, 0}},                   /* empty */
        {{0, 6, 1, 0}, {5, 1, 1, 0}},                   /* overlapping */
        {{5, 1, 1, 0}, {0, 1, 1, 0}},                   /* unsorted */
        {{0, 1, 1, 0}, {5, 6, 1, 0}},                   /* beyond the end */
        {{0, 1, 1, UINT64_MAX}, {5, 1, 1, 0}},          /* offset overflows */
        {{UINT64_MAX, 2, 1, 0}, {UINT64_MAX, 1, 1, 0}}, /* position overflows */
    };
    auto_index_builder struct index_builder *b = index_builder_new();
    struct index_new_entry e = {
        .path = "f", .meta = {.type = ENTRY_FILE, .size_bytes = 10}, .extent_count = 2};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        e.extents = lists[i];
        check_fails(index_builder_add(b, &e, &test_err), EINVAL);
    }
    e.extents = lists[0];
    e.meta.type = ENTRY_FIFO;
    check_fails(index_builder_add(b, &e, &test_err), EINVAL);
    e = (struct index_new_entry){.path = "s", .meta = {.type = ENTRY_SOCKET}};
    check_fails(index_builder_add(b, &e, &test_err), EINVAL);
    e = (struct index_new_entry){.path = "s", .meta = {.type = ENTRY_SYMLINK}};
    check_fails(index_builder_add(b, &e, &test_err), EINVAL);
}

TEST(index, xattrs_have_limits_and_one_value_each)
{
    auto_index_builder struct index_builder *b = index_builder_new();
    auto_free char *large = mem_alloc(LIMIT_XATTR_SIZE + 1);
    struct xattr xattrs[5] = {{"user.a", "1", 1}, {"user.a", "2", 1}};
    struct index_new_entry e = {
        .path = "f", .meta = {.type = ENTRY_FILE}, .xattrs = xattrs, .xattr_count = 2};
    char names[5][8];

    check_fails(index_builder_add(b, &e, &test_err), EINVAL);
    check_error(&test_err, EINVAL, "'f' has the extended attribute 'user.a' twice");
    e.xattr_count = 1;
    xattrs[0] = (struct xattr){"user.a", large, LIMIT_XATTR_SIZE};
    check_ok(index_builder_add(b, &e, &test_err));
    xattrs[0].value_size++;
    check_fails(index_builder_add(b, &e, &test_err), E2BIG);
    xattrs[0] = (struct xattr){"", "", 0};
    check_fails(index_builder_add(b, &e, &test_err), E2BIG);
    for (size_t i = 0; i < 5; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "u.%zu", i);
        xattrs[i] = (struct xattr){names[i], large, LIMIT_XATTR_SIZE};
    }
    e.xattr_count = 5;
    check_fails(index_builder_add(b, &e, &test_err), E2BIG);
}

/* -- damage -- */

static void build_sample(struct str *bytes)
{
    auto_index_builder struct index_builder *b = index_builder_new();
    struct xattr xattr = {"user.a", "value", 5};
    struct extent pieces[2] = {{0, 5, 3, 1000}, {100, 28, 4, 0}};
    struct index_new_entry e = {.path = "d/e/pieces",
                                .meta = {.type = ENTRY_FILE, .size_bytes = 128},
                                .extents = pieces,
                                .extent_count = 2,
                                .xattrs = &xattr,
                                .xattr_count = 1};

    add_file(b, "d/file", 1);
    check_ok(index_builder_add(b, &e, &test_err));
    add_symlink(b, "d/link", "target");
    check_ok(index_builder_add_link(b, "hard", "d/file", &test_err));
    check_ok(index_builder_add_link(b, "external", "lower/file", &test_err));
    check_ok(index_builder_add_whiteout(b, "gone", &test_err));
    check_ok(try_add(b, "char", ENTRY_CHAR, 0));
    index_close(finish(b, "sample"));
    check_ok(io_read_file(test_dir_fd(), "sample", 1 << 20, bytes, &test_err));
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    auto_close int fd = openat(test_dir_fd(), name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    check_ok(fd);
    check_ok(io_write_full(fd, bytes, size));
}

static int cut_file(const char *name)
{
    auto_close int fd = openat(test_dir_fd(), name, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? -1 : ftruncate(fd, 4096);
}

TEST(index, every_flipped_bit_is_noticed_when_verifying)
{
    auto_str struct str bytes = {0};

    build_sample(&bytes);
    for (size_t i = 0; i < bytes.size * 8; i += 5) {
        struct index *x = NULL;

        bytes.data[i / 8] = (char)(bytes.data[i / 8] ^ (1 << (i % 8)));
        write_file("bad", bytes.data, bytes.size);
        bytes.data[i / 8] = (char)(bytes.data[i / 8] ^ (1 << (i % 8)));
        check_true(index_open(test_dir_fd(), "bad", true, &x, &test_err) < 0);
    }
}

/* fs/FORMAT.md, "Index": version 1 did not list implicit directories. */
TEST(index, a_file_of_version_1_is_read_and_its_implicit_directories_found)
{
    auto_index_builder struct index_builder *b = index_builder_new();
    auto_index struct index *old = NULL;
    auto_str struct str bytes = {0};
    uint64_t checksum;
    uint32_t inode;

    add_dir(b, "a", 0700);
    add_file(b, "a/b/c", 1);
    check_ok(index_builder_add_link(b, "l", "below", &test_err));
    index_close(finish(b, "index"));
    check_ok(io_read_file(test_dir_fd(), "index", 1 << 20, &bytes, &test_err));
    bytes.data[8] = 1;
    bytes.data[32 + 10 * 16 + 8] = 1; /* the last section: one item, and it ends the file */
    bytes.size -= 4;
    bytes.data[16] = (char)(bytes.data[16] - 4);
    checksum = htole64(hash64(bytes.data, 208, 0));
    memcpy(bytes.data + 208, &checksum, sizeof(checksum));
    write_file("old", bytes.data, bytes.size);
    check_ok(index_open(test_dir_fd(), "old", false, &old, &test_err));
    check_int(index_special_count(old), 2);
    check_ok(index_special_at(old, 0, &inode));
    check_int(inode, 2); /* l; breadth first: the root, a, l, a/b, a/b/c */
    check_ok(index_special_at(old, 1, &inode));
    check_int(inode, 3);
    check_fails(index_special_at(old, 2, &inode), ENOENT);
}

/* Unverified, any damage of the tables must end in an answer or an error: no crash, no endless walk
 * (ASan watches), also through calls the dump does not make. */
TEST(index, damaged_tables_never_crash)
{
    auto_str struct str bytes = {0};
    size_t refused = 0;
    size_t accepted = 0;

    build_sample(&bytes);
    for (size_t i = 216; i < bytes.size; i++) { /* behind the header, which is always verified */
        for (unsigned k = 0; k < 4; k++) {
            auto_index struct index *x = NULL;
            auto_str struct str text = {0};
            static const uint8_t masks[] = {0x01, 0x10, 0x80, 0xFF};
            struct index_inode inode;
            uint32_t dir;
            uint32_t position;

            bytes.data[i] = (char)(bytes.data[i] ^ masks[k]);
            write_file("bad", bytes.data, bytes.size);
            bytes.data[i] = (char)(bytes.data[i] ^ masks[k]);
            check_ok(index_open(test_dir_fd(), "bad", false, &x, &test_err));
            if (dump_index(x, NULL, NULL, &text, &test_err) < 0)
                refused++;
            else
                accepted++;
            for (uint32_t n = 0; n < index_inode_count(x) + 1; n++) {
                struct index_dirent e;

                (void)index_get(x, n, &inode);
                (void)index_lookup(x, n, "file", 4, &e);
                for (uint32_t p = 0; p < 3; p++)
                    (void)index_name_of(x, n, p, &dir, &position);
            }
        }
    }
    check_true(refused > 100);
    check_true(accepted > 100); /* a changed owner, time or letter is no structural damage */
}

/* mmap(2), SIGBUS: what a cut file or a failing disk gives to who reads a mapping. */
TEST(index, a_file_cut_short_in_use_ends_the_program_with_a_sentence)
{
    auto_index_builder struct index_builder *b = index_builder_new();
    char text[512] = "";
    int ends[2];
    int status;
    pid_t pid;

    for (int i = 0; i < 1000; i++) {
        auto_free char *name = str_format("name-%d", i);

        add_file(b, name, 1);
    }
    index_close(finish(b, "cut"));
    check_ok(pipe2(ends, O_CLOEXEC));
    pid = fork();
    if (pid == 0) {
        struct index *x = NULL;
        struct index_dirent e;
        struct error err;

        index_guard();
        if (dup2(ends[1], STDERR_FILENO) < 0 ||
            index_open(test_dir_fd(), "cut", false, &x, &err) < 0)
            _exit(3);
        _exit(cut_file("cut") < 0 || index_lookup(x, 0, "name-999", 8, &e) < 0 ? 4 : 0);
    }
    (void)close(ends[1]);
    check_ok(read(ends[0], text, sizeof(text) - 1));
    (void)close(ends[0]);
    check_int(waitpid(pid, &status, 0), pid);
    check_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    check_true(text_starts(text, "img: a file of the state directory could not be read while"));
    check_true(text_ends(text, "hint: img fsck\n"));
}

TEST(index, a_file_of_another_size_or_kind_is_refused)
{
    auto_str struct str bytes = {0};
    uint64_t checksum;
    struct index *x = NULL;

    build_sample(&bytes);
    write_file("bad", bytes.data, bytes.size - 1);
    check_fails(index_open(test_dir_fd(), "bad", false, &x, &test_err), EIO);
    write_file("bad", bytes.data, 100);
    check_fails(index_open(test_dir_fd(), "bad", false, &x, &test_err), EIO);
    check_error(&test_err, EIO, "'bad' is not an index");
    str_add_char(&bytes, 'x');
    write_file("bad", bytes.data, bytes.size);
    check_fails(index_open(test_dir_fd(), "bad", false, &x, &test_err), EIO);
    bytes.data[8] = 99;
    write_file("bad", bytes.data, bytes.size);
    check_fails(index_open(test_dir_fd(), "bad", false, &x, &test_err), EIO); /* a flipped bit */
    checksum = htole64(hash64(bytes.data, 208, 0));
    memcpy(bytes.data + 208, &checksum, sizeof(checksum));
    write_file("bad", bytes.data, bytes.size);
    check_fails(index_open(test_dir_fd(), "bad", false, &x, &test_err), ENOTSUP);
    check_error(&test_err, ENOTSUP, "index 'bad' has version 99, but only 1 to 2 are known");
    check_fails(index_open(test_dir_fd(), "missing", false, &x, &test_err), ENOENT);
    check_fails(index_open(test_dir_fd(), ".", false, &x, &test_err), EIO);
}

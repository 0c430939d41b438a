/* test_union_data.c - bytes: what is written where, what is shared, what is a hole. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/pack.h"
#include "fs/store.h"
#include "tests/lib/scene.h"
#include "tests/lib/test.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

#define BASE                                                                                       \
    "f    file 0644 \"0123456789\"\n"                                                              \
    "big  file 0644 size=1073741824 \"head\"\n"

static void write_text(struct scene *s, uint64_t ino, uint64_t offset, const char *text)
{
    check_int(union_write(s->view, ino, offset, text, strlen(text), false), strlen(text));
}

static void check_at(struct scene *s, uint64_t ino, uint64_t offset, const char *expected,
                     size_t size)
{
    char buf[64];

    check_int(union_read(s->view, ino, offset, buf, size), size);
    check_bytes(buf, size, expected, size);
}

/* -- writes -- */

/* A write never touches lower data. */
TEST(data, appending_a_byte_to_a_big_lower_file_writes_a_byte)
{
    auto_scene struct scene s = scene_new(BASE);
    uint64_t big = scene_ino(&s, "big");

    write_text(&s, big, GIB, "!");
    check_int(view_segment_size_bytes(s.view), 1);
    check_int(scene_attr(&s, "big").size_bytes, GIB + 1);
    check_at(&s, big, GIB - 1, "\0!", 2);
    check_at(&s, big, 0, "head", 4);
}

TEST(data, changing_the_owner_of_a_lower_file_writes_nothing)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_setattr set = {.set = UNION_SET_UID | UNION_SET_GID, .uid = 7, .gid = 8};
    struct view_sealed sealed;
    struct union_attr a;

    check_ok(union_setattr(s.view, scene_ino(&s, "big"), &set, &a));
    check_int(view_segment_size_bytes(s.view), 0);
    check_ok(view_seal(s.view, NULL, &sealed, &test_err));
    check_int(sealed.change_count, 1);
    check_int(sealed.data_bytes, 0);
}

TEST(data, overwriting_part_of_a_lower_file_keeps_the_rest)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_write(&s, "f", 3, "abc"));
    check_text(scene_read(&s, "f"), "012abc6789");
    check_ok(scene_write(&s, "f", 2, "ABC"));
    check_text(scene_read(&s, "f"), "01ABCc6789");
    check_ok(scene_write(&s, "f", 8, "xyz"));
    check_text(scene_read(&s, "f"), "01ABCc67xyz");
    s.layer_count = 1;
    scene_open_view(&s);
    check_text(scene_read(&s, "f"), "0123456789"); /* SECURITY R31 */
}

TEST(data, what_the_view_wrote_is_overwritten_in_place)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_write(&s, "f", 2, "aaaa"));
    for (unsigned i = 0; i < 100; i++)
        check_ok(scene_write(&s, "f", 3, "bb"));
    check_int(view_segment_size_bytes(s.view), 4);
    check_text(scene_read(&s, "f"), "01abba6789");
}

TEST(data, a_file_written_front_to_back_is_one_extent)
{
    auto_scene struct scene s = scene_new(NULL);
    struct extent extents[2];
    char block[4096];
    uint64_t ino;

    memset(block, 'x', sizeof(block));
    check_ok(scene_make(&s, "new", ""));
    ino = scene_ino(&s, "new");
    for (uint64_t at = 0; at < 4 * MIB; at += sizeof(block))
        check_int(union_write(s.view, ino, at, block, sizeof(block), false), sizeof(block));
    check_int(union_get_content(s.view, ino, extents, 2), 1);
    check_int(extents[0].length, 4 * MIB);
    check_true(extents[0].pack == VIEW_SEGMENT);
}

/* cp --remove-destination, O_TRUNC and rewrite, a log that is started over: no space piles up. */
TEST(data, what_is_given_up_at_the_end_of_the_segment_is_used_again)
{
    auto_scene struct scene s = scene_new(NULL);

    for (unsigned i = 0; i < 100; i++) {
        check_ok(scene_make(&s, "tmp", "some text that is written again and again"));
        check_ok(scene_unlink(&s, "tmp"));
    }
    check_int(view_segment_size_bytes(s.view), 41);
}

TEST(data, files_go_past_four_gigabytes_and_holes_cost_nothing)
{
    auto_scene struct scene s = scene_new(NULL);
    uint64_t far = 5 * GIB + 123;
    uint64_t ino;

    check_ok(scene_make(&s, "sparse", "start"));
    ino = scene_ino(&s, "sparse");
    write_text(&s, ino, far, "end");
    check_int(scene_attr(&s, "sparse").size_bytes, far + 3);
    check_int(scene_attr(&s, "sparse").blocks, 1);
    check_int(view_segment_size_bytes(s.view), 8);
    check_at(&s, ino, 3 * GIB, "\0\0\0", 3);
    (void)scene_seal(&s);
    ino = scene_ino(&s, "sparse");
    check_at(&s, ino, far, "end", 3);
    check_int(scene_attr(&s, "sparse").blocks, 1);
    check_int(union_lseek(s.view, ino, 5, SEEK_DATA), far);
}

TEST(data, reads_stop_at_the_end)
{
    auto_scene struct scene s = scene_new(BASE);
    uint64_t ino = scene_ino(&s, "f");
    char buf[32];

    check_int(union_read(s.view, ino, 8, buf, sizeof(buf)), 2);
    check_int(union_read(s.view, ino, 10, buf, sizeof(buf)), 0);
    check_int(union_read(s.view, ino, UINT64_MAX, buf, sizeof(buf)), 0);
    check_int(union_read(s.view, ino, 0, buf, 0), 0);
    check_fails(union_read(s.view, UNION_ROOT, 0, buf, 1), EISDIR);
    check_fails(union_read(s.view, 99999, 0, buf, 1), ESTALE);
}

TEST(data, offsets_beyond_what_a_file_can_have_are_refused)
{
    auto_scene struct scene s = scene_new(BASE);
    uint64_t ino = scene_ino(&s, "f");
    struct union_setattr set = {.set = UNION_SET_SIZE, .size_bytes = UINT64_MAX};
    struct union_attr a;

    check_fails(union_write(s.view, ino, INT64_MAX, "x", 1, false), EFBIG);
    check_fails(union_write(s.view, ino, UINT64_MAX, "x", 1, false), EFBIG);
    check_fails(union_setattr(s.view, ino, &set, &a), EFBIG);
    check_fails(union_fallocate(s.view, ino, 0, INT64_MAX, 1), EFBIG);
    check_fails(union_copy_range(s.view, ino, 0, ino, INT64_MAX, 5), EFBIG);
    check_int(union_write(s.view, ino, INT64_MAX - 1, "x", 1, false), 1);
    check_int(scene_attr(&s, "f").size_bytes, INT64_MAX);
}

TEST(data, truncating_cuts_and_growing_adds_zeros)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_setattr set = {.set = UNION_SET_SIZE, .size_bytes = 4};
    struct union_attr a;

    check_ok(union_setattr(s.view, scene_ino(&s, "f"), &set, &a));
    check_int(a.size_bytes, 4);
    set.size_bytes = 8;
    check_ok(union_setattr(s.view, scene_ino(&s, "f"), &set, &a));
    check_at(&s, a.ino, 0, "0123\0\0\0\0", 8);
    check_fails(union_setattr(s.view, UNION_ROOT, &set, &a), EISDIR);
}

/* -- sharing -- */

TEST(data, copying_a_range_shares_it_and_later_writes_part_it)
{
    auto_scene struct scene s = scene_new(BASE);
    uint64_t new;
    uint64_t f = scene_ino(&s, "f");

    check_ok(scene_make(&s, "new", "abcdefgh"));
    new = scene_ino(&s, "new");
    check_int(union_copy_range(s.view, f, 2, new, 4, 100), 8);
    check_text(scene_read(&s, "new"), "abcd23456789");
    check_int(view_segment_size_bytes(s.view), 8);
    check_int(union_copy_range(s.view, new, 0, f, 0, 4), 4);
    check_ok(scene_write(&s, "new", 0, "XY")); /* not in place: f has these bytes too */
    check_text(scene_read(&s, "f"), "abcd456789");
    check_text(scene_read(&s, "new"), "XYcd23456789");
}

/* copy_file_range(2), EINVAL for overlapping ranges; nothing beyond the end. */
TEST(data, copying_within_a_file_must_not_overlap)
{
    auto_scene struct scene s = scene_new(BASE);
    uint64_t f = scene_ino(&s, "f");

    check_fails(union_copy_range(s.view, f, 0, f, 4, 5), EINVAL);
    check_int(union_copy_range(s.view, f, 0, f, 5, 5), 5);
    check_text(scene_read(&s, "f"), "0123401234");
    check_int(union_copy_range(s.view, f, 10, f, 0, 5), 0);
    check_fails(union_copy_range(s.view, f, 0, UNION_ROOT, 0, 5), EISDIR);
}

TEST(data, extents_of_packs_become_content_without_a_copy)
{
    auto_scene struct scene s = scene_new(BASE);
    struct extent e;

    check_ok(scene_make(&s, "copy", "old"));
    check_int(union_get_content(s.view, scene_ino(&s, "f"), &e, 1), 1);
    e.file_offset = 2;
    e.length = 4;
    check_ok(union_set_content(s.view, scene_ino(&s, "copy"), 8, &e, 1));
    check_at(&s, scene_ino(&s, "copy"), 0,
             "\0\0"
             "0123\0\0",
             8);
    check_int(view_segment_size_bytes(s.view), 3);
    e.length = 7;
    check_fails(union_set_content(s.view, scene_ino(&s, "copy"), 8, &e, 1), EINVAL);
    e.pack = VIEW_SEGMENT;
    e.length = 1;
    check_fails(union_set_content(s.view, scene_ino(&s, "copy"), 8, &e, 1), EINVAL);
    check_fails(union_set_content(s.view, UNION_ROOT, 8, &e, 1), EISDIR);
}

/* -- space -- */

/* fallocate(2) */
TEST(data, punching_makes_a_hole_and_keeps_the_size)
{
    auto_scene struct scene s = scene_new(BASE);
    uint64_t f = scene_ino(&s, "f");

    check_ok(union_fallocate(s.view, f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3, 4));
    check_at(&s, f, 0,
             "012\0\0\0\0"
             "789",
             10);
    check_int(union_lseek(s.view, f, 0, SEEK_HOLE), 3);
    check_int(union_lseek(s.view, f, 3, SEEK_DATA), 7);
    check_int(union_lseek(s.view, f, 8, SEEK_HOLE), 10);
    check_fails(union_lseek(s.view, f, 10, SEEK_HOLE), ENXIO);
    check_fails(union_lseek(s.view, f, -1, SEEK_DATA), ENXIO);
    check_fails(union_lseek(s.view, f, 0, SEEK_SET), EINVAL);
    check_fails(union_fallocate(s.view, f, FALLOC_FL_PUNCH_HOLE, 3, 4), EOPNOTSUPP);
    check_fails(union_fallocate(s.view, f, 0, 3, 0), EINVAL);
}

TEST(data, reserved_space_counts_and_reads_as_zeros)
{
    auto_scene struct scene s = scene_new(BASE);
    uint64_t f = scene_ino(&s, "f");

    check_ok(union_fallocate(s.view, f, FALLOC_FL_KEEP_SIZE, 10, MIB));
    check_int(scene_attr(&s, "f").size_bytes, 10);
    check_true(scene_attr(&s, "f").blocks >= MIB / 512);
    check_text(scene_dump_changes(&s), "");
    check_ok(union_fallocate(s.view, f, 0, 0, MIB));
    check_int(scene_attr(&s, "f").size_bytes, MIB);
    write_text(&s, f, 1000, "x");
    check_at(&s, f, 998, "\0\0x\0", 4);
    check_int(union_lseek(s.view, f, 10, SEEK_DATA), 1000);
    check_int(union_lseek(s.view, f, 1000, SEEK_HOLE), 1001);
    check_int(view_segment_size_bytes(s.view), MIB); /* written in place */
    (void)scene_seal(&s);
    check_int(scene_attr(&s, "f").blocks, 1); /* what is sealed has no reserve */
    check_at(&s, scene_ino(&s, "f"), 998, "\0\0x\0", 4);
}

TEST(data, collapsing_and_inserting_move_what_follows)
{
    auto_scene struct scene s = scene_new(NULL);
    uint64_t ino;
    char block[4096];

    check_ok(scene_make(&s, "f", ""));
    ino = scene_ino(&s, "f");
    for (unsigned i = 0; i < 4; i++) {
        memset(block, (int)('a' + i), sizeof(block));
        check_int(union_write(s.view, ino, i * 4096u, block, sizeof(block), false), 4096);
    }
    check_ok(union_fallocate(s.view, ino, FALLOC_FL_COLLAPSE_RANGE, 4096, 4096));
    check_at(&s, ino, 4095, "ac", 2);
    check_int(scene_attr(&s, "f").size_bytes, 3 * 4096);
    check_ok(union_fallocate(s.view, ino, FALLOC_FL_INSERT_RANGE, 8192, 4096));
    check_at(&s, ino, 8191, "c\0", 2);
    check_at(&s, ino, 3 * 4096 - 1, "\0d", 2);
    check_fails(union_fallocate(s.view, ino, FALLOC_FL_COLLAPSE_RANGE, 100, 4096), EINVAL);
    check_fails(union_fallocate(s.view, ino, FALLOC_FL_COLLAPSE_RANGE, 8192, 8192), EINVAL);
    check_fails(union_fallocate(s.view, ino, FALLOC_FL_INSERT_RANGE, 4 * 4096, 4096), EINVAL);
    check_fails(union_fallocate(s.view, ino, FALLOC_FL_UNSHARE_RANGE, 0, 4096), EOPNOTSUPP);
}

/* -- what goes wrong -- */

static void pack_path(struct scene *s, const char *path, char *out, size_t size)
{
    struct extent e;
    char name[STORE_NAME_SIZE];

    check_int(union_get_content(s->view, scene_ino(s, path), &e, 1), 1);
    store_object_name(e.pack, name);
    (void)snprintf(out, size, "%s/packs/%s", store_path(s->store), name);
}

TEST(data, a_truncated_pack_is_an_error_that_is_remembered)
{
    auto_scene struct scene s = scene_new(BASE);
    struct error err = {0};
    char path[4096];
    char buf[8];

    check_text(scene_read(&s, "f"), "0123456789"); /* the pack is open now */
    pack_path(&s, "f", path, sizeof(path));
    check_ok(truncate(path, 4));
    check_fails(union_read(s.view, scene_ino(&s, "f"), 0, buf, 8), EIO);
    check_fails(view_fault(s.view, &err), EIO);
    check_true(strncmp(err.text, "cannot read '", 13) == 0);
    check_contains(err.text, path);
    check_contains(err.text, "truncated or damaged");
}

TEST(data, a_missing_pack_is_named)
{
    auto_scene struct scene s = scene_new(BASE);
    struct error err = {0};
    char path[4096];
    char buf[8];

    pack_path(&s, "f", path, sizeof(path));
    check_ok(unlink(path));
    check_fails(union_read(s.view, scene_ino(&s, "f"), 0, buf, 8), EIO);
    check_true(view_fault(s.view, &err) < 0);
    check_contains(err.text, strrchr(path, '/') + 1);
}

/* The step is told that the disk is full; the user is told why. */
TEST(data, writing_more_than_allowed_is_a_full_disk)
{
    auto_scene struct scene s = scene_new(BASE);
    struct error err = {0};

    s.options.segment_size_max = 10;
    scene_open_view(&s);
    check_ok(scene_make(&s, "a", "123456"));
    check_ok(view_fault(s.view, &err));
    check_fails(scene_make(&s, "b", "12345"), ENOSPC);
    check_text(scene_read(&s, "b"), ""); /* nothing of it was written */
    check_fails(view_fault(s.view, &err), ENOSPC);
    check_error(&err, ENOSPC, "'the scene' wrote more than the 10 bytes it may");
    check_ok(scene_unlink(&s, "a"));
    check_ok(scene_write(&s, "b", 0, "now it fits") == -ENOSPC ? 0 : -1);
    check_ok(scene_write(&s, "b", 0, "now fits"));
}

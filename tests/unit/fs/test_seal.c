/* test_seal.c - what a view recorded, folded into changes and frozen as a layer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/store.h"
#include "tests/lib/fault.h"
#include "tests/lib/scene.h"
#include "tests/lib/test.h"

#define BASE                                                                                       \
    "etc/       dir  0755 mtime=10\n"                                                              \
    "etc/hosts  file 0644 mtime=11 \"a\"\n"                                                        \
    "etc/motd   file 0644 mtime=12 \"b\"\n"                                                        \
    "usr/       dir  0755 mtime=13\n"                                                              \
    "usr/bin/   dir  0755 mtime=14\n"                                                              \
    "usr/bin/sh file 0755 mtime=15 x:user.a=1 \"#!\"\n"                                            \
    "usr/sh     symlink 0777 mtime=16 \"bin/sh\"\n"

/* Seals, and checks that the sealed tree looks as the view did. */
static size_t seal_and_compare(struct scene *s)
{
    auto_free char *before = mem_strdup(scene_dump(s));
    size_t count = scene_seal(s);

    check_text(scene_dump(s), before);
    return count;
}

TEST(seal, an_untouched_view_has_no_changes)
{
    auto_scene struct scene s = scene_new(BASE);

    check_text(scene_dump(&s), "etc/ dir 0755\n"
                               "etc/hosts file 0644 \"a\"\n"
                               "etc/motd file 0644 \"b\"\n"
                               "usr/ dir 0755\n"
                               "usr/bin/ dir 0755\n"
                               "usr/bin/sh file 0755 x:user.a=1 \"#!\"\n"
                               "usr/sh symlink 0777 \"bin/sh\"\n");
    check_false(view_is_changed(s.view));
    check_text(scene_dump_changes(&s), "");
    check_int(scene_seal(&s), 0);
    check_int(s.layer_count, 1);
}

/* OCI image-spec, layer.md, "Whiteouts". The directory is listed because its time changed. */
TEST(seal, a_removed_file_becomes_a_whiteout)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_unlink(&s, "etc/motd"));
    check_text(scene_dump_changes(&s), "modify /etc\ndelete /etc/motd\n");
    s.with_times = true;
    check_int(seal_and_compare(&s), 2);
    check_fails(scene_unlink(&s, "etc/motd"), ENOENT);
}

TEST(seal, a_new_file_keeps_its_content_and_its_directory_changes)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_make(&s, "etc/new", "hello"));
    check_ok(scene_mkdir(&s, "etc/dir"));
    check_ok(scene_make(&s, "etc/dir/x", "inside"));
    check_ok(scene_symlink(&s, "etc/link", "dir/x"));
    check_text(scene_dump_changes(&s), "modify /etc\n"
                                       "add /etc/dir\n"
                                       "add /etc/dir/x\n"
                                       "add /etc/link\n"
                                       "add /etc/new\n");
    s.with_times = true;
    check_int(seal_and_compare(&s), 5);
    check_text(scene_read(&s, "etc/link"), "inside");
}

TEST(seal, what_was_made_and_removed_again_is_no_change)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_make(&s, "etc/new", "hello"));
    check_ok(scene_unlink(&s, "etc/new"));
    check_ok(scene_touch(&s, "etc", 10));
    check_text(scene_dump_changes(&s), "");
    check_int(scene_seal(&s), 0);
}

TEST(seal, a_file_rewritten_with_equal_bytes_and_metadata_is_no_change)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_write(&s, "etc/hosts", 0, "x"));
    check_text(scene_dump_changes(&s), "modify /etc/hosts\n");
    check_ok(scene_write(&s, "etc/hosts", 0, "a"));
    check_text(scene_dump_changes(&s), "modify /etc/hosts\n"); /* its time differs */
    check_ok(scene_touch(&s, "etc/hosts", 11));
    check_text(scene_dump_changes(&s), "");
    check_ok(scene_write(&s, "etc/hosts", 0, "b"));
    check_ok(scene_touch(&s, "etc/hosts", 11));
    check_text(scene_dump_changes(&s), "modify /etc/hosts\n");
}

TEST(seal, a_renamed_lower_directory_moves_without_its_data)
{
    auto_scene struct scene s = scene_new(BASE);
    struct view_sealed sealed;

    check_ok(scene_rename(&s, "usr/bin", "bin", 0));
    check_text(scene_dump_changes(&s), "add /bin\n"
                                       "add /bin/sh\n"
                                       "modify /usr\n"
                                       "delete /usr/bin\n");
    check_int(view_segment_size_bytes(s.view), 0);
    check_ok(view_seal(s.view, NULL, &sealed, &test_err));
    check_int(sealed.data_bytes, 0);
    s.layers[s.layer_count++] = sealed.layer;
    scene_open_view(&s);
    check_text(scene_read(&s, "bin/sh"), "#!");
    check_true(scene_read(&s, "usr/bin/sh") == NULL);
}

TEST(seal, a_directory_put_in_place_of_another_is_opaque)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(view_remove_tree(s.view, UNION_ROOT, "etc"));
    check_ok(scene_mkdir(&s, "etc"));
    check_ok(scene_make(&s, "etc/only", ""));
    check_text(scene_dump_changes(&s), "modify /etc opaque\n"
                                       "add /etc/only\n");
    check_int(seal_and_compare(&s), 2);
    check_text(scene_dump_layer(&s, s.layers[1]), "etc/ dir 0755 opaque\n"
                                                  "etc/only file 0644 size=0 extents=0\n");
}

/* -- hard links -- */

#define LINKED                                                                                     \
    "a/1  file 0644 mtime=1 \"text\"\n"                                                            \
    "b/2  link - \"a/1\"\n"                                                                        \
    "c/3  link - \"a/1\"\n"

/* They must be in one layer to stay one file when it is unpacked. */
TEST(seal, one_changed_name_of_a_file_brings_the_others)
{
    auto_scene struct scene s = scene_new(LINKED);

    check_ok(scene_chmod(&s, "b/2", 0600));
    check_text(scene_dump_changes(&s), "modify /a/1\n"
                                       "modify /b/2 = /a/1\n"
                                       "modify /c/3 = /a/1\n");
    check_int(seal_and_compare(&s), 3);
    check_int(scene_attr(&s, "c/3").nlink, 3);
}

TEST(seal, a_new_name_brings_the_file_without_its_data)
{
    auto_scene struct scene s = scene_new(LINKED);

    check_ok(scene_link(&s, "a/1", "new"));
    check_text(scene_dump_changes(&s), "modify /a/1\n"
                                       "modify /b/2 = /a/1\n"
                                       "modify /c/3 = /a/1\n"
                                       "add /new = /a/1\n");
    check_int(view_segment_size_bytes(s.view), 0);
    check_int(seal_and_compare(&s), 4);
    check_int(scene_ino(&s, "new"), scene_ino(&s, "b/2"));
}

TEST(seal, a_removed_name_leaves_the_others_alone)
{
    auto_scene struct scene s = scene_new(LINKED);

    check_ok(scene_unlink(&s, "a/1"));
    check_ok(scene_touch(&s, "a", 0));
    check_text(scene_dump_changes(&s), "delete /a/1\n");
    check_int(seal_and_compare(&s), 1);
    check_int(scene_attr(&s, "b/2").nlink, 2);
}

TEST(seal, a_name_replaced_by_an_equal_file_is_a_change)
{
    auto_scene struct scene s = scene_new(LINKED);

    check_ok(scene_unlink(&s, "a/1"));
    check_ok(scene_make(&s, "a/1", "text"));
    check_ok(scene_touch(&s, "a/1", 1));
    check_ok(scene_touch(&s, "a", 0));
    check_text(scene_dump_changes(&s), "modify /a/1\n"); /* it is no link any more */
    (void)scene_seal(&s);
    check_int(scene_attr(&s, "a/1").nlink, 1);
}

TEST(seal, a_file_replaced_by_an_equal_one_is_no_change)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_unlink(&s, "etc/hosts"));
    check_ok(scene_make(&s, "etc/hosts", "a"));
    check_ok(scene_touch(&s, "etc/hosts", 11));
    check_ok(scene_touch(&s, "etc", 10));
    check_text(scene_dump_changes(&s), "");
    check_ok(union_setxattr(s.view, scene_ino(&s, "etc/hosts"), "user.x", "y", 1, 0));
    check_text(scene_dump_changes(&s), "modify /etc/hosts\n");
}

TEST(seal, a_moved_directory_keeps_its_links_to_files_outside)
{
    auto_scene struct scene s = scene_new(LINKED);

    check_ok(scene_rename(&s, "b", "z", 0));
    check_text(scene_dump_changes(&s), "modify /a/1\n"
                                       "delete /b\n"
                                       "modify /c/3 = /a/1\n"
                                       "add /z\n"
                                       "add /z/2 = /a/1\n");
    check_int(seal_and_compare(&s), 5);
    check_int(scene_attr(&s, "z/2").nlink, 3);
}

/* -- kinds -- */

TEST(seal, a_change_of_kind_is_one_change)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_unlink(&s, "etc/hosts"));
    check_ok(scene_mkdir(&s, "etc/hosts"));
    check_ok(scene_unlink(&s, "usr/sh"));
    check_ok(scene_make(&s, "usr/sh", ""));
    check_ok(view_remove_tree(s.view, scene_ino(&s, "usr"), "bin"));
    check_ok(scene_symlink(&s, "usr/bin", "x"));
    check_text(scene_dump_changes(&s), "modify /etc\n"
                                       "modify /etc/hosts\n"
                                       "modify /usr\n"
                                       "modify /usr/bin\n"
                                       "modify /usr/sh\n");
    check_int(seal_and_compare(&s), 5);
}

/* No tar can hold a socket, so what it replaced is gone and nothing takes its place. */
TEST(seal, a_socket_is_left_out)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_attr a;

    check_ok(scene_unlink(&s, "etc/hosts"));
    check_ok(union_mknod(s.view, scene_ino(&s, "etc"), "hosts", S_IFSOCK | 0600, 0, 0,
                         (struct union_cred){0}, &a));
    check_ok(union_mknod(s.view, scene_ino(&s, "etc"), "new", S_IFSOCK | 0600, 0, 0,
                         (struct union_cred){0}, &a));
    check_text(scene_dump_changes(&s), "modify /etc\ndelete /etc/hosts\n");
    check_int(scene_seal(&s), 2);
}

TEST(seal, the_root_counts_by_mode_and_owner_but_not_by_time)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_make(&s, "new", ""));
    check_text(scene_dump_changes(&s), "add /new\n");
    check_ok(scene_chmod(&s, "/", 0700));
    check_text(scene_dump_changes(&s), "modify /\nadd /new\n");
    (void)scene_seal(&s);
    check_int(scene_attr(&s, "/").mode, S_IFDIR | 0700);
}

/* Paths sort by directory: what is in a directory comes before its longer siblings. */
TEST(seal, changes_are_sorted_directory_by_directory)
{
    auto_scene struct scene s = scene_new(NULL);

    check_ok(scene_make(&s, "a-b", ""));
    check_ok(scene_mkdir(&s, "a"));
    check_ok(scene_make(&s, "a/z", ""));
    check_ok(scene_make(&s, "\xff", ""));
    check_ok(scene_make(&s, "a.b", ""));
    check_text(scene_dump_changes(&s), "add /a\nadd /a/z\nadd /a-b\nadd /a.b\nadd /\xff\n");
}

/* mkdir and chdir in turn make paths longer than any tar may hold, and than a stack may be deep. */
TEST(seal, a_tree_too_deep_for_a_layer_is_refused_in_a_sentence)
{
    auto_scene struct scene s = scene_new(BASE);
    uint64_t dir = UNION_ROOT;
    struct union_attr a;

    for (unsigned depth = 0; depth < 100000; depth++) {
        check_ok(union_mkdir(s.view, dir, "deep", 0755, (struct union_cred){0}, &a));
        union_forget(s.view, a.ino, 1);
        dir = a.ino;
    }
    check_fails(view_changes(s.view, &(struct change_list){0}, &test_err), ENAMETOOLONG);
    check_error(&test_err, ENAMETOOLONG,
                "'the scene' made a path of more than 4095 bytes, which no layer can hold");
    check_ok(view_remove_tree(s.view, UNION_ROOT, "deep"));
    check_text(scene_dump_changes(&s), "");
}

/* -- content -- */

TEST(seal, sparse_files_stay_sparse_and_parts_keep_their_packs)
{
    auto_scene struct scene s = scene_new("big file 0644 size=1073741824 \"head\"\n");
    struct extent extents[4];

    check_int(union_write(s.view, scene_ino(&s, "big"), 1u << 20, "middle", 6, false), 6);
    check_int(seal_and_compare(&s), 1);
    check_int(union_get_content(s.view, scene_ino(&s, "big"), extents, 4), 2);
    check_int(extents[0].length, 4);
    check_int(extents[1].file_offset, 1u << 20);
    check_true(extents[0].pack != extents[1].pack);
    check_int(union_write(s.view, scene_ino(&s, "big"), 2, "xx", 2, false), 2);
    (void)scene_seal(&s);
    check_int(union_get_content(s.view, scene_ino(&s, "big"), extents, 4), 3);
}

static uint64_t disk_bytes_of_own_pack(struct scene *s, int64_t layer)
{
    struct layer_row row;
    char name[STORE_NAME_SIZE];
    struct stat st;

    check_ok(store_layer_get(s->store, layer, &row, &test_err));
    if (row.pack == 0)
        return 0;
    store_object_name(row.pack, name);
    check_ok(fstatat(store_dir(s->store, STORE_PACKS), name, &st, 0));
    return (uint64_t)st.st_blocks * 512;
}

/* apt-get update && ... && rm -rf /var/lib/apt/lists: what was removed must not stay on disk. */
TEST(seal, data_that_was_removed_again_is_given_back)
{
    auto_scene struct scene s = scene_new(BASE);
    char *block = mem_alloc(1u << 20);

    check_ok(scene_make(&s, "first", "x"));
    for (unsigned i = 0; i < 8; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "tmp-%u", i);
        check_ok(scene_make(&s, name, ""));
        check_int(union_write(s.view, scene_ino(&s, name), 0, block, 1u << 20, false), 1 << 20);
    }
    check_ok(scene_make(&s, "last", "y"));
    for (unsigned i = 0; i < 8; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "tmp-%u", i);
        check_ok(scene_unlink(&s, name));
    }
    check_int(seal_and_compare(&s), 2);
    check_true(disk_bytes_of_own_pack(&s, s.layers[1]) < 1u << 20);
    check_text(scene_read(&s, "last"), "y");
    free(block);
}

TEST(seal, a_layer_without_new_bytes_has_no_pack)
{
    auto_scene struct scene s = scene_new(BASE);
    struct layer_row row;

    check_ok(scene_make(&s, "tmp", "gone again"));
    check_ok(scene_unlink(&s, "tmp"));
    check_ok(scene_chmod(&s, "etc/hosts", 0600));
    check_int(scene_seal(&s), 1);
    check_ok(store_layer_get(s.store, s.layers[1], &row, &test_err));
    check_int(row.pack, 0);
    check_text(scene_read(&s, "etc/hosts"), "a");
}

/* -- options -- */

struct option_state {
    int64_t seen_layer;
    int answer;
};

static bool keep_all_but_motd(void *context, const char *path)
{
    (void)context;
    return strcmp(path, "etc/motd") != 0 && strcmp(path, "a/1") != 0;
}

static int note_row(void *context, int64_t layer, struct error *err)
{
    struct option_state *state = context;

    state->seen_layer = layer;
    return state->answer ? error_set(err, state->answer, "the row's companion failed") : 0;
}

TEST(seal, a_filter_leaves_names_out_and_links_find_another)
{
    auto_scene struct scene s = scene_new(LINKED);
    struct seal_options options = {.mtime_max_ns = INT64_MAX, .keep = keep_all_but_motd};
    struct view_sealed sealed;

    check_ok(scene_chmod(&s, "b/2", 0600));
    check_ok(view_seal(s.view, &options, &sealed, &test_err));
    check_int(sealed.change_count, 2);
    check_text(scene_dump_layer(&s, sealed.layer), "b/ dir 0755\n"
                                                   "b/2 file 0600 links=2 size=4 extents=1\n"
                                                   "c/ dir 0755\n"
                                                   "c/3 file 0600 links=2 size=4 extents=1\n");
}

TEST(seal, times_are_clamped_and_never_raised)
{
    auto_scene struct scene s = scene_new(BASE);
    struct seal_options options = {.mtime_max_ns = 1000};
    struct view_sealed sealed;

    check_ok(scene_make(&s, "new", ""));
    check_ok(scene_make(&s, "old", ""));
    check_ok(scene_touch(&s, "old", 5));
    check_ok(view_seal(s.view, &options, &sealed, &test_err));
    s.with_times = true;
    check_text(scene_dump_layer(&s, sealed.layer), "new file 0644 mtime=1000 size=0 extents=0\n"
                                                   "old file 0644 mtime=5 size=0 extents=0\n");
}

TEST(seal, a_companion_row_lives_and_dies_with_the_layer)
{
    auto_scene struct scene s = scene_new(BASE);
    struct option_state state = {.answer = EDOM};
    struct seal_options options = {
        .mtime_max_ns = INT64_MAX, .with_row = note_row, .context = &state};
    struct view_sealed sealed;
    struct layer_row row;

    check_ok(scene_make(&s, "new", "x"));
    check_fails(view_seal(s.view, &options, &sealed, &test_err), EDOM);
    check_true(state.seen_layer > 0);
    check_fails(store_layer_get(s.store, state.seen_layer, &row, &test_err), ENOENT);
    state.answer = 0;
    scene_open_view(&s);
    check_ok(view_seal(s.view, &options, &sealed, &test_err));
    check_int(sealed.layer, 0);
    check_int(state.seen_layer, 0); /* told that nothing changed */
}

TEST(seal, a_sealed_view_takes_no_more_changes)
{
    auto_scene struct scene s = scene_new(BASE);
    struct view_sealed sealed;

    check_ok(scene_make(&s, "new", "x"));
    check_ok(view_seal(s.view, NULL, &sealed, &test_err));
    check_fails(scene_make(&s, "more", "x"), EROFS);
    check_fails(scene_write(&s, "new", 0, "y"), EROFS);
}

/* -- what goes wrong -- */

static void make_changes(struct scene *s)
{
    check_ok(scene_make(s, "etc/new", "some bytes"));
    check_ok(scene_unlink(s, "etc/motd"));
    check_ok(scene_rename(s, "usr/bin", "bin", 0));
}

/* Each call that can fail while sealing fails once: the answer is its code, the store is as before,
 * and the same changes can be made and sealed again. */
TEST(seal, a_failure_anywhere_leaves_the_store_as_it_was)
{
    static const enum fault_call calls[] = {FAULT_WRITE, FAULT_SYNC, FAULT_RENAME, FAULT_OPEN};

    for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
        auto_scene struct scene s = scene_new(BASE);

        for (uint64_t nth = 1;; nth++) {
            struct view_sealed sealed = {.layer = -1};
            struct layer_row row;
            int r;

            make_changes(&s);
            fault_fail(calls[c], nth, calls[c] == FAULT_WRITE ? ENOSPC : EIO);
            r = view_seal(s.view, NULL, &sealed, &test_err);
            if (!fault_was_hit()) {
                fault_clear();
                check_ok(r);
                break;
            }
            fault_clear();
            check_true(r < 0 || sealed.layer > 0); /* some failures cost nothing */
            if (r < 0) {
                check_int(sealed.layer, -1);
                check_contains(test_err.text, "cannot store what 'the scene' changed");
                check_fails(store_layer_get(s.store, s.layers[0] + 1, &row, &test_err), ENOENT);
            }
            if (r == 0)
                break;
            scene_open_view(&s);
        }
    }
}

TEST(seal, a_full_disk_while_writing_is_said_in_one_sentence)
{
    auto_scene struct scene s = scene_new(BASE);
    char expected[4200];
    struct error err = {0};

    check_ok(scene_make(&s, "first", "x"));
    fault_fail(FAULT_WRITE, 1, ENOSPC);
    check_fails(scene_write(&s, "first", 1, "more"), ENOSPC);
    fault_clear();
    check_fails(view_fault(s.view, &err), ENOSPC);
    (void)snprintf(expected, sizeof(expected), "no space left in '%s' for what 'the scene' writes",
                   store_path(s.store));
    check_error(&err, ENOSPC, expected);
    check_text(scene_read(&s, "first"), "x");
    check_ok(scene_write(&s, "first", 1, "more")); /* there is room again */
    check_text(scene_read(&s, "first"), "xmore");
}

/* A step is told that reading failed; the user is told what and where. */
TEST(seal, a_broken_disk_while_reading_is_damage_to_the_step)
{
    auto_scene struct scene s = scene_new("f file 0644 \"0123456789\"\n");
    uint64_t ino = scene_ino(&s, "f");
    struct error err = {0};
    char buf[4];

    check_int(union_read(s.view, ino, 0, buf, 4), 4); /* it is open now */
    fault_fail(FAULT_READ, 1, EIO);
    check_fails(union_read(s.view, ino, 4, buf, 4), EIO);
    check_true(fault_was_hit());
    fault_clear();
    check_fails(view_fault(s.view, &err), EIO);
    check_true(text_starts(err.text, "cannot read '"));
    check_true(text_ends(err.text, "at byte 4: Input/output error"));
    check_int(union_read(s.view, ino, 4, buf, 4),
              4); /* the disk may come back; the step has failed */
}

TEST(seal, a_broken_disk_while_writing_is_damage_to_the_step)
{
    auto_scene struct scene s = scene_new(BASE);
    struct error err = {0};

    check_ok(scene_make(&s, "first", "x"));
    fault_fail(FAULT_WRITE, 1, EROFS);
    check_fails(scene_write(&s, "first", 1, "more"), EIO);
    fault_clear();
    check_true(view_fault(s.view, &err) < 0);
    check_contains(err.text, "cannot write the data of 'the scene'");
}

static void make_sparse(struct scene *s, const char *path, uint64_t size)
{
    struct union_setattr change = {.set = UNION_SET_SIZE, .size_bytes = size};
    struct union_attr attr;

    check_ok(scene_make(s, path, "x"));
    check_ok(view_resolve(s->view, path, false, &attr));
    check_int(union_setattr(s->view, attr.ino, &change, &attr), 0);
}

/* SECURITY R40: what is stored is what may be pulled again, 1 TiB of tar, and a tar has no holes. */
TEST(seal, files_longer_together_than_a_layer_may_be_are_refused)
{
    auto_scene struct scene s = scene_new(BASE);
    struct view_sealed sealed;

    make_sparse(&s, "etc/half", 1ull << 39);
    make_sparse(&s, "etc/more", (1ull << 39) + 1);
    check_fails(view_seal(s.view, NULL, &sealed, &test_err), EFBIG);
    check_true(
        strstr(test_err.text, "with the 549755813889 bytes of '/etc/more' its layer exceeds"));
}

TEST(seal, a_file_of_many_gibibytes_of_holes_is_a_layer)
{
    auto_scene struct scene s = scene_new(BASE);

    make_sparse(&s, "etc/sparse", 1ull << 39);
    check_int(scene_seal(&s), 2);
}

/* test_union_rename.c - rename(2) and renameat2(2), above and below, files and directories. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "tests/lib/scene.h"
#include "tests/lib/test.h"

#define BASE                                                                                       \
    "a/      dir  0755 mtime=1\n"                                                                  \
    "a/f     file 0644 mtime=2 \"a/f\"\n"                                                          \
    "a/sub/  dir  0755 mtime=3\n"                                                                  \
    "a/sub/g file 0644 mtime=4 \"g\"\n"                                                            \
    "b/      dir  0755 mtime=5\n"                                                                  \
    "b/f     file 0644 mtime=6 \"b/f\"\n"                                                          \
    "e/      dir  0755 mtime=7\n"

TEST(rename, a_file_moves_over_another_and_onto_a_whiteout)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_rename(&s, "a/f", "b/f", 0));
    check_text(scene_read(&s, "b/f"), "a/f");
    check_ok(scene_rename(&s, "b/f", "a/f", 0));
    check_text(scene_read(&s, "a/f"), "a/f");
    check_text(scene_dump_changes(&s), "modify /a\nmodify /b\ndelete /b/f\n");
    check_fails(scene_rename(&s, "b/f", "b/g", 0), ENOENT);
}

TEST(rename, a_lower_directory_takes_everything_below_with_it)
{
    auto_scene struct scene s = scene_new(BASE);

    scene_add_layer(&s, "a/sub/h file 0644 \"h\"\na/f whiteout -\n"); /* merged from two layers */
    check_ok(scene_rename(&s, "a", "b/moved", 0));
    check_text(scene_dump(&s), "b/ dir 0755\n"
                               "b/f file 0644 \"b/f\"\n"
                               "b/moved/ dir 0755\n"
                               "b/moved/sub/ dir 0755\n"
                               "b/moved/sub/g file 0644 \"g\"\n"
                               "b/moved/sub/h file 0644 \"h\"\n"
                               "e/ dir 0755\n");
    check_ok(scene_make(&s, "b/moved/sub/new", "n"));
    check_ok(scene_unlink(&s, "b/moved/sub/g"));
    check_text(scene_dump_changes(&s), "delete /a\n"
                                       "modify /b\n"
                                       "add /b/moved\n"
                                       "add /b/moved/sub\n"
                                       "add /b/moved/sub/h\n"
                                       "add /b/moved/sub/new\n");
}

TEST(rename, there_and_back_again_is_no_change)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_rename(&s, "a", "z", 0));
    check_ok(scene_rename(&s, "z/sub", "sub", 0));
    check_ok(scene_rename(&s, "sub", "z/sub", 0));
    check_ok(scene_rename(&s, "z", "a", 0));
    check_ok(scene_touch(&s, "a", 1));
    check_text(scene_dump_changes(&s), "");
}

TEST(rename, a_directory_replaces_only_an_empty_one)
{
    auto_scene struct scene s = scene_new(BASE);

    check_fails(scene_rename(&s, "a", "b", 0), ENOTEMPTY);
    check_ok(scene_rename(&s, "a", "e", 0));
    check_text(scene_read(&s, "e/sub/g"), "g");
    check_text(scene_dump_changes(&s), "delete /a\n"
                                       "modify /e opaque\n"
                                       "add /e/f\n"
                                       "add /e/sub\n"
                                       "add /e/sub/g\n");
}

TEST(rename, kinds_are_not_mixed)
{
    auto_scene struct scene s = scene_new(BASE);

    check_fails(scene_rename(&s, "a/f", "e", 0), EISDIR);
    check_fails(scene_rename(&s, "e", "a/f", 0), ENOTDIR);
}

/* rename(2), EINVAL; and a directory cannot replace one that it is in. */
TEST(rename, a_directory_does_not_move_into_itself)
{
    auto_scene struct scene s = scene_new(BASE);

    check_fails(scene_rename(&s, "a", "a/sub/a", 0), EINVAL);
    check_fails(scene_rename(&s, "a", "a/sub", 0), EINVAL);
    check_fails(scene_rename(&s, "a/sub", "a", 0), ENOTEMPTY);
    check_fails(scene_rename(&s, "a/sub", "a", RENAME_EXCHANGE), EINVAL);
    check_fails(scene_rename(&s, "a", "a/sub", RENAME_EXCHANGE), EINVAL);
    check_ok(scene_rename(&s, "a", "a", 0));
    check_text(scene_read(&s, "a/sub/g"), "g");
}

TEST(rename, noreplace_refuses_a_name_in_use)
{
    auto_scene struct scene s = scene_new(BASE);

    check_fails(scene_rename(&s, "a/f", "b/f", RENAME_NOREPLACE), EEXIST);
    check_ok(scene_rename(&s, "a/f", "b/new", RENAME_NOREPLACE));
    check_ok(scene_unlink(&s, "b/f"));
    check_ok(scene_rename(&s, "b/new", "b/f", RENAME_NOREPLACE)); /* onto the whiteout */
    check_text(scene_read(&s, "b/f"), "a/f");
}

TEST(rename, exchange_swaps_a_file_and_a_directory)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_rename(&s, "a/sub", "b/f", RENAME_EXCHANGE));
    check_text(scene_read(&s, "a/sub"), "b/f");
    check_text(scene_read(&s, "b/f/g"), "g");
    check_text(scene_dump_changes(&s), "modify /a\n"
                                       "modify /a/sub\n"
                                       "modify /b\n"
                                       "modify /b/f\n"
                                       "add /b/f/g\n");
    check_fails(scene_rename(&s, "a/f", "a/none", RENAME_EXCHANGE), ENOENT);
    check_ok(scene_rename(&s, "a/sub", "b/f", RENAME_EXCHANGE));
    check_ok(scene_touch(&s, "a", 1));
    check_ok(scene_touch(&s, "b", 5));
    check_text(scene_dump_changes(&s), "");
}

TEST(rename, exchanged_directories_are_both_listed_whole)
{
    auto_scene struct scene s = scene_new(BASE);
    const char *after = "a/ dir 0755\n"
                        "a/f file 0644 \"b/f\"\n"
                        "b/ dir 0755\n"
                        "b/f file 0644 \"a/f\"\n"
                        "b/sub/ dir 0755\n"
                        "b/sub/g file 0644 \"g\"\n"
                        "e/ dir 0755\n";

    check_ok(scene_rename(&s, "a", "b", RENAME_EXCHANGE));
    check_text(scene_dump(&s), after);
    check_text(scene_dump_changes(&s), "modify /a opaque\n"
                                       "add /a/f\n"
                                       "modify /b opaque\n"
                                       "add /b/f\n"
                                       "add /b/sub\n"
                                       "add /b/sub/g\n");
    (void)scene_seal(&s);
    check_text(scene_dump(&s), after);
}

/* rename(2): if both are links to one file, it does nothing and says so. */
TEST(rename, one_name_of_a_file_onto_another_leaves_both)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_link(&s, "a/f", "a/h"));
    check_ok(scene_rename(&s, "a/f", "a/h", 0));
    check_int(scene_attr(&s, "a/f").nlink, 2);
    check_int(scene_ino(&s, "a/f"), scene_ino(&s, "a/h"));
}

TEST(rename, flags_that_make_no_sense_are_refused)
{
    auto_scene struct scene s = scene_new(BASE);

    check_fails(scene_rename(&s, "a", "x", RENAME_WHITEOUT), EINVAL);
    check_fails(scene_rename(&s, "a", "b", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
    check_fails(scene_rename(&s, "a", "b", 1u << 20), EINVAL);
    check_fails(union_rename(s.view, UNION_ROOT, ".", UNION_ROOT, "x", 0), EBUSY);
    check_fails(union_rename(s.view, UNION_ROOT, "a", UNION_ROOT, "..", 0), EBUSY);
}

TEST(rename, times_change_in_both_directories_and_of_what_moved)
{
    auto_scene struct scene s = scene_new(BASE);
    int64_t before = union_now_ns();

    check_ok(scene_rename(&s, "a/f", "b/new", 0));
    check_true(scene_attr(&s, "a").mtime_ns >= before);
    check_true(scene_attr(&s, "b").mtime_ns >= before);
    check_true(scene_attr(&s, "b/new").ctime_ns >= before);
    check_int(scene_attr(&s, "b/new").mtime_ns, 2);
}

TEST(rename, what_was_replaced_goes_on_for_those_who_hold_it)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_attr held;
    char buf[8];

    check_ok(union_lookup(s.view, scene_ino(&s, "b"), "f", &held));
    check_ok(scene_rename(&s, "a/f", "b/f", 0));
    check_int(union_read(s.view, held.ino, 0, buf, sizeof(buf)), 3);
    check_bytes(buf, 3, "b/f", 3);
    check_ok(union_getattr(s.view, held.ino, &held));
    check_int(held.nlink, 0);
}

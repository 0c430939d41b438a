/* test_seal.c - what a view recorded, folded into changes and frozen as a layer. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/store.h"
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

/* test_union_name.c - names found in layers, made, linked and removed. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/scene.h"
#include "tests/lib/test.h"

#define BASE                                                                                       \
    "etc/       dir  0755\n"                                                                       \
    "etc/hosts  file 0644 \"below\"\n"                                                             \
    "etc/two    link -    \"etc/hosts\"\n"                                                         \
    "usr/lib/x  file 0644 \"x\"\n"

static const struct union_cred nobody = {.uid = 33, .gid = 34};

/* -- layers -- */

/* OCI image-spec, layer.md, "Whiteouts": each hides the name in the layers below it. */
TEST(name, the_topmost_layer_that_knows_a_name_decides)
{
    auto_scene struct scene s = scene_new(BASE);

    scene_add_layer(&s, "etc/hosts whiteout -\n");
    check_true(scene_read(&s, "etc/hosts") == NULL);
    scene_add_layer(&s, "etc/hosts file 0600 \"above\"\n");
    check_text(scene_read(&s, "etc/hosts"), "above");
    check_text(scene_read(&s, "etc/two"), "below");
}

TEST(name, a_file_over_a_directory_hides_it_and_the_other_way_round)
{
    auto_scene struct scene s = scene_new(BASE);

    scene_add_layer(&s, "usr file 0644 \"u\"\netc/hosts/in file 0644 \"i\"\n");
    check_text(scene_read(&s, "usr"), "u");
    check_fails(view_resolve(s.view, "usr/lib", true, &(struct union_attr){0}), ENOTDIR);
    check_text(scene_read(&s, "etc/hosts/in"), "i");
    scene_add_layer(&s,
                    "usr/new file 0644 \"n\"\n"); /* over the file: the directory stays hidden */
    check_text(scene_dump(&s), "etc/ dir 0755\n"
                               "etc/hosts/ dir 0755\n"
                               "etc/hosts/in file 0644 \"i\"\n"
                               "etc/two file 0644 \"below\"\n"
                               "usr/ dir 0755\n"
                               "usr/new file 0644 \"n\"\n");
}

/* A tar that only has a/b says nothing about the mode of a. */
TEST(name, an_implicit_directory_has_the_metadata_of_the_layer_below)
{
    auto_scene struct scene s = scene_new("a dir 0711 uid=5 gid=6 x:user.k=v\n");

    scene_add_layer(&s, "a/b file 0644 \"\"\n");
    check_text(scene_dump(&s), "a/ dir 0711 uid=5 gid=6 x:user.k=v\n"
                               "a/b file 0644 \"\"\n");
    scene_add_layer(&s, ""); /* an empty layer */
    check_int(scene_attr(&s, "a").mode, S_IFDIR | 0711);
}

/* ".wh..wh..opq" says nothing about the directory it is in. */
TEST(name, an_implicit_opaque_directory_hides_names_but_not_its_metadata)
{
    auto_scene struct scene s = scene_new("a dir 0711 uid=5 gid=6\na/x file 0644 \"\"\n");

    scene_add_layer(&s, "a/b file 0644 \"\"\na opaque -\n");
    check_text(scene_dump(&s), "a/ dir 0711 uid=5 gid=6\n"
                               "a/b file 0644 \"\"\n");
}

/* ".wh.a" beside "a/b": the old directory is gone with all it was, a new one is made. */
TEST(name, a_whiteout_beside_a_directory_hides_its_metadata_too)
{
    auto_scene struct scene s = scene_new("a dir 0711 uid=5 gid=6\na/x file 0644 \"\"\n");

    scene_add_layer(&s, "a/b file 0644 \"\"\na whiteout -\n");
    check_text(scene_dump(&s), "a/ dir 0755\n"
                               "a/b file 0644 \"\"\n");
}

TEST(name, all_names_of_a_lower_file_are_one_inode)
{
    auto_scene struct scene s = scene_new(BASE);

    check_int(scene_ino(&s, "etc/two"), scene_ino(&s, "etc/hosts"));
    check_int(scene_attr(&s, "etc/two").nlink, 2);
    check_ok(scene_write(&s, "etc/two", 0, "BELOW"));
    check_text(scene_read(&s, "etc/hosts"), "BELOW");
    check_ok(scene_unlink(&s, "etc/hosts"));
    check_int(scene_attr(&s, "etc/two").nlink, 1);
}

TEST(name, names_that_a_layer_hides_do_not_count_as_links)
{
    auto_scene struct scene s = scene_new(BASE);

    scene_add_layer(&s, "etc/hosts file 0644 \"another\"\n");
    check_int(scene_attr(&s, "etc/two").nlink, 1);
    check_int(scene_attr(&s, "etc/hosts").nlink, 1);
}

TEST(name, the_links_of_a_file_are_counted_in_renamed_directories_too)
{
    auto_scene struct scene s = scene_new("a/1 file 0644 \"x\"\nb/c/2 link - \"a/1\"\n");

    check_ok(scene_rename(&s, "b/c", "moved", 0));
    check_ok(scene_rename(&s, "moved", "again", 0));
    check_int(scene_attr(&s, "a/1").nlink, 2);
    check_int(scene_ino(&s, "again/2"), scene_ino(&s, "a/1"));
}

/* A hard link in a layer to a file of a layer below, as some builders write them. */
TEST(name, a_link_to_a_lower_layer_is_that_file)
{
    auto_scene struct scene s = scene_new("bin symlink 0777 \"usr/bin\"\n"
                                          "usr/bin/sh file 0755 \"#!\"\n");

    scene_add_layer(&s, "usr/bin/dash link - \"bin/sh\"\n");
    check_int(scene_attr(&s, "usr/bin/sh").nlink, 2); /* before the link was looked at */
    check_int(scene_ino(&s, "usr/bin/dash"), scene_ino(&s, "usr/bin/sh"));
    scene_add_layer(&s, "usr/bin/sh whiteout -\nusr/bin/ash link - \"usr/bin/dash\"\n");
    check_text(scene_read(&s, "usr/bin/ash"), "#!");
    check_int(scene_attr(&s, "usr/bin/dash").nlink, 2);
}

TEST(name, a_link_to_nothing_is_damage_that_is_named)
{
    auto_scene struct scene s = scene_new(BASE);
    struct error err = {0};

    scene_add_layer(&s, "etc/bad link - \"etc/nothing\"\n");
    check_text(scene_read(&s, "etc/hosts"), "below");
    check_fails(view_resolve(s.view, "etc/bad", false, &(struct union_attr){0}), EIO);
    check_fails(view_fault(s.view, &err), EIO);
    check_error(&err, EIO,
                "layer 2 of 'the scene' has a hard link to a file that no layer below has");
}

TEST(name, a_number_stays_while_the_view_lives)
{
    auto_scene struct scene s = scene_new(BASE);
    uint64_t hosts = scene_ino(&s, "etc/hosts");

    check_ok(scene_rename(&s, "etc/hosts", "usr/hosts", 0));
    check_int(scene_ino(&s, "usr/hosts"), hosts);
    check_ok(scene_rename(&s, "usr", "var", 0));
    check_int(scene_ino(&s, "var/hosts"), hosts);
    check_int(scene_ino(&s, "/"), UNION_ROOT);
}

/* -- making -- */

TEST(name, what_is_made_belongs_to_its_maker_and_takes_the_mode_as_it_is)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_attr a;

    check_ok(union_mknod(s.view, UNION_ROOT, "f", S_IFREG | 04755, 0, 0, nobody, &a));
    check_ok(union_mknod(s.view, UNION_ROOT, "p", S_IFIFO | 0600, 0, 0, nobody, &a));
    check_ok(union_mkdir(s.view, UNION_ROOT, "d", 01777, nobody, &a));
    check_ok(union_symlink(s.view, UNION_ROOT, "l", "x", nobody, &a));
    check_text(scene_dump(&s), "d/ dir 1777 uid=33 gid=34\n"
                               "etc/ dir 0755\n"
                               "etc/hosts file 0644 links=2 \"below\"\n"
                               "etc/two file 0644 links=2 \"below\"\n"
                               "f file 4755 uid=33 gid=34 \"\"\n"
                               "l symlink 0777 uid=33 gid=34 \"x\"\n"
                               "p fifo 0600 uid=33 gid=34\n"
                               "usr/ dir 0755\n"
                               "usr/lib/ dir 0755\n"
                               "usr/lib/x file 0644 \"x\"\n");
}

/* inode(7), "S_ISGID": the group comes from the directory, and directories pass the bit on. */
TEST(name, a_setgid_directory_gives_its_group)
{
    auto_scene struct scene s = scene_new("d dir 2775 gid=50\n");
    struct union_attr a;
    uint64_t dir = scene_ino(&s, "d");

    check_ok(union_mkdir(s.view, dir, "sub", 0755, nobody, &a));
    check_int(a.mode, S_IFDIR | 02755);
    check_int(a.gid, 50);
    check_ok(union_mknod(s.view, dir, "f", S_IFREG | 0644, 0, 0, nobody, &a));
    check_int(a.mode, S_IFREG | 0644);
    check_int(a.gid, 50);
    check_int(a.uid, 33);
    check_ok(union_tmpfile(s.view, dir, 0600, nobody, &a));
    check_int(a.gid, 50);
}

TEST(name, a_name_in_use_is_not_made_again)
{
    auto_scene struct scene s = scene_new(BASE);

    check_fails(scene_make(&s, "etc/hosts", ""), EEXIST);
    check_fails(scene_mkdir(&s, "etc"), EEXIST);
    check_fails(scene_symlink(&s, "etc/two", "x"), EEXIST);
    check_fails(scene_link(&s, "etc/hosts", "etc/two"), EEXIST);
    check_fails(union_mkdir(s.view, UNION_ROOT, ".", 0755, nobody, &(struct union_attr){0}),
                EEXIST);
}

TEST(name, names_have_up_to_255_bytes_of_any_sort)
{
    auto_scene struct scene s = scene_new("d dir 0755\n");
    uint64_t dir = scene_ino(&s, "d");
    struct union_attr a;
    char name[258];

    memset(name, 'n', sizeof(name));
    name[256] = '\0';
    check_fails(union_mkdir(s.view, dir, name, 0755, nobody, &a), ENAMETOOLONG);
    check_fails(union_lookup(s.view, dir, name, &a), ENAMETOOLONG);
    check_fails(union_unlink(s.view, dir, name), ENAMETOOLONG);
    name[255] = '\0';
    check_ok(union_mkdir(s.view, dir, name, 0755, nobody, &a));
    check_ok(scene_make(&s, "d/\x01\xff\xfe new\nline", "odd"));
    check_fails(union_mkdir(s.view, dir, "", 0755, nobody, &a), ENOENT);
    check_fails(union_mkdir(s.view, dir, "a/b", 0755, nobody, &a), EINVAL);
    (void)scene_seal(&s);
    check_text(scene_read(&s, "d/\x01\xff\xfe new\nline"), "odd");
    check_ok(union_lookup(s.view, scene_ino(&s, "d"), name, &a));
}

/* SECURITY R27: such a name in a layer would remove another from the image. */
TEST(name, a_whiteout_cannot_be_forged)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_attr a;
    uint64_t etc = scene_ino(&s, "etc");

    check_fails(union_mknod(s.view, etc, ".wh.hosts", S_IFREG, 0, 0, nobody, &a), EPERM);
    check_fails(union_mkdir(s.view, etc, ".wh..wh..opq", 0755, nobody, &a), EPERM);
    check_fails(union_symlink(s.view, etc, ".wh.x", "y", nobody, &a), EPERM);
    check_fails(union_link(s.view, scene_ino(&s, "etc/hosts"), etc, ".wh.y", &a), EPERM);
    check_fails(scene_rename(&s, "etc/two", "etc/.wh.hosts", 0), EPERM);
    check_fails(union_mknod(s.view, etc, "c", S_IFCHR, 0, 0, nobody, &a), EPERM);
    check_fails(union_lookup(s.view, etc, ".wh.hosts", &a), ENOENT);
    check_ok(scene_make(&s, "etc/.whatever", ""));
}

TEST(name, devices_are_data_only_where_the_view_allows_them)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_attr a;

    check_fails(union_mknod(s.view, UNION_ROOT, "null", S_IFCHR | 0666, 1, 3, nobody, &a), EPERM);
    s.options.allow_devices = true;
    scene_open_view(&s);
    check_ok(union_mknod(s.view, UNION_ROOT, "null", S_IFCHR | 0666, 1, 3, nobody, &a));
    check_fails(union_mknod(s.view, UNION_ROOT, "wh", S_IFCHR, 0, 0, nobody, &a), EPERM);
    check_fails(union_mknod(s.view, UNION_ROOT, "odd", S_IFDIR, 0, 0, nobody, &a), EINVAL);
    (void)scene_seal(&s);
    a = scene_attr(&s, "null");
    check_int(a.mode, S_IFCHR | 0666);
    check_int(a.rdev_major, 1);
    check_int(a.rdev_minor, 3);
}

TEST(name, times_of_the_directory_say_that_a_name_changed)
{
    auto_scene struct scene s = scene_new("d dir 0755 mtime=5\nd/f file 0644 mtime=6 \"\"\n");
    int64_t before = union_now_ns();

    check_int(scene_attr(&s, "d").mtime_ns, 5);
    check_ok(scene_link(&s, "d/f", "d/g"));
    check_true(scene_attr(&s, "d").mtime_ns >= before);
    check_true(scene_attr(&s, "d").ctime_ns >= before);
    check_true(scene_attr(&s, "d/f").ctime_ns >= before);
    check_int(scene_attr(&s, "d/f").mtime_ns, 6);
    check_ok(scene_touch(&s, "d", 5));
    check_ok(scene_unlink(&s, "d/g"));
    check_true(scene_attr(&s, "d").mtime_ns >= before);
}

/* -- removing -- */

TEST(name, a_removed_file_that_is_held_goes_on)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_attr held;
    struct union_attr a;
    char buf[16];

    check_ok(union_lookup(s.view, scene_ino(&s, "usr/lib"), "x", &held));
    check_ok(scene_unlink(&s, "usr/lib/x"));
    check_ok(scene_make(&s, "usr/lib/x", "another"));
    check_true(scene_ino(&s, "usr/lib/x") != held.ino);
    check_int(union_write(s.view, held.ino, 1, "yz", 2, false), 2);
    check_int(union_read(s.view, held.ino, 0, buf, sizeof(buf)), 3);
    check_bytes(buf, 3, "xyz", 3);
    check_ok(union_getattr(s.view, held.ino, &a));
    check_int(a.nlink, 0);
    check_fails(union_link(s.view, held.ino, UNION_ROOT, "back", &a), ENOENT); /* link(2) */
    union_forget(s.view, held.ino, 1);
    check_fails(union_getattr(s.view, held.ino, &a), ESTALE);
    check_text(scene_read(&s, "usr/lib/x"), "another");
}

TEST(name, the_number_of_a_held_file_is_not_given_to_another)
{
    auto_scene struct scene s = scene_new(NULL);
    struct union_attr held;
    struct union_attr a;

    check_ok(union_mknod(s.view, UNION_ROOT, "a", S_IFREG | 0644, 0, 0, nobody, &held));
    check_ok(scene_unlink(&s, "a"));
    check_ok(union_mknod(s.view, UNION_ROOT, "b", S_IFREG | 0644, 0, 0, nobody, &a));
    check_true(a.ino != held.ino);
    union_forget(s.view, held.ino, 5); /* more than it has is as much as it has */
    check_ok(union_mknod(s.view, UNION_ROOT, "c", S_IFREG | 0644, 0, 0, nobody, &a));
    check_int(a.ino, held.ino);
}

TEST(name, rmdir_and_unlink_each_refuse_the_other_kind)
{
    auto_scene struct scene s = scene_new(BASE);

    check_fails(scene_rmdir(&s, "etc/hosts"), ENOTDIR);
    check_fails(scene_unlink(&s, "etc"), EISDIR);
    check_fails(scene_rmdir(&s, "usr"), ENOTEMPTY); /* nothing in it was looked at yet */
    check_fails(scene_unlink(&s, "etc/none"), ENOENT);
    check_fails(union_unlink(s.view, UNION_ROOT, ".."), EINVAL);
}

TEST(name, a_directory_is_empty_when_all_in_it_is_whited_out)
{
    auto_scene struct scene s = scene_new(BASE);

    scene_add_layer(&s, "usr/lib/x whiteout -\n");
    check_ok(scene_rmdir(&s, "usr/lib"));
    check_ok(scene_rmdir(&s, "usr"));
    check_ok(scene_make(&s, "usr", "a file now"));
    check_text(scene_read(&s, "usr"), "a file now");
}

TEST(name, a_new_directory_does_not_show_what_the_old_one_had)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(scene_unlink(&s, "etc/hosts"));
    check_ok(scene_unlink(&s, "etc/two"));
    check_ok(scene_rmdir(&s, "etc"));
    check_ok(scene_mkdir(&s, "etc"));
    check_true(scene_read(&s, "etc/hosts") == NULL);
    check_ok(scene_make(&s, "etc/hosts", "new"));
    check_text(scene_read(&s, "etc/hosts"), "new");
}

/* open(2), O_TMPFILE: without a name until linked, then an ordinary file. */
TEST(name, a_file_made_without_a_name_can_get_one)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_attr a;

    check_ok(union_tmpfile(s.view, scene_ino(&s, "etc"), 0640, nobody, &a));
    check_int(a.nlink, 0);
    check_int(union_write(s.view, a.ino, 0, "tmp", 3, false), 3);
    check_ok(union_link(s.view, a.ino, scene_ino(&s, "etc"), "named", &a));
    check_int(a.nlink, 1);
    check_text(scene_read(&s, "etc/named"), "tmp");
    check_ok(scene_unlink(&s, "etc/named"));
    check_fails(union_link(s.view, a.ino, UNION_ROOT, "again", &a), ENOENT);
    check_fails(union_link(s.view, scene_ino(&s, "etc"), UNION_ROOT, "dir", &a), EPERM);
}

TEST(name, a_view_that_is_read_only_changes_nothing)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_attr a;

    s.options.read_only = true;
    scene_open_view(&s);
    check_fails(scene_make(&s, "new", ""), EROFS);
    check_fails(scene_mkdir(&s, "new"), EROFS);
    check_fails(scene_symlink(&s, "new", "x"), EROFS);
    check_fails(scene_link(&s, "etc/hosts", "new"), EROFS);
    check_fails(scene_unlink(&s, "etc/hosts"), EROFS);
    check_fails(scene_rmdir(&s, "etc"), EROFS);
    check_fails(scene_rename(&s, "etc", "x", 0), EROFS);
    check_fails(scene_write(&s, "etc/hosts", 0, "x"), EROFS);
    check_fails(scene_chmod(&s, "etc/hosts", 0), EROFS);
    check_fails(union_tmpfile(s.view, UNION_ROOT, 0600, nobody, &a), EROFS);
    check_fails(union_setxattr(s.view, UNION_ROOT, "user.a", "b", 1, 0), EROFS);
    check_fails(union_fallocate(s.view, scene_ino(&s, "etc/hosts"), 0, 0, 9), EROFS);
    check_text(scene_read(&s, "etc/hosts"), "below");
    check_false(view_is_changed(s.view));
}

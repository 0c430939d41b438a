/* test_union_meta.c - attributes and extended attributes: set, shown, and lost when they must be. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fs/store.h"
#include "tests/lib/scene.h"
#include "tests/lib/test.h"

#define BASE                                                                                       \
    "ping  file 4755 mtime=1 x:security.capability=caps x:user.note=n \"elf\"\n"                   \
    "wall  file 2755 mtime=2 \"elf\"\n"                                                            \
    "mand  file 2644 mtime=3 \"lock\"\n"                                                           \
    "d/    dir  6755 mtime=4\n"

static int set_attr(struct scene *s, const char *path, struct union_setattr set)
{
    struct union_attr a;

    return union_setattr(s->view, scene_ino(s, path), &set, &a);
}

static mode_t mode_of(struct scene *s, const char *path)
{
    return scene_attr(s, path).mode & 07777;
}

static bool has_capability(struct scene *s)
{
    return union_getxattr(s->view, scene_ino(s, "ping"), "security.capability", NULL, 0) >= 0;
}

/* -- privilege bits -- */

/* chown(2): suid is cleared; sgid only of what the group may execute; never those of directories. */
TEST(meta, a_new_owner_clears_what_gave_privilege)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_setattr owner = {.set = UNION_SET_UID, .uid = 9};
    struct union_setattr group = {.set = UNION_SET_GID, .gid = 9};

    check_ok(set_attr(&s, "ping", owner));
    check_int(mode_of(&s, "ping"), 0755);
    check_false(has_capability(&s));
    check_int(union_getxattr(s.view, scene_ino(&s, "ping"), "user.note", NULL, 0), 1);
    check_ok(set_attr(&s, "wall", group));
    check_int(mode_of(&s, "wall"), 0755);
    check_ok(set_attr(&s, "mand", group));
    check_int(mode_of(&s, "mand"), 02644);
    check_ok(set_attr(&s, "d", owner));
    check_int(mode_of(&s, "d"), 06755);
    owner.set |= UNION_SET_MODE;
    owner.mode = 04711;
    check_ok(set_attr(&s, "ping", owner));
    check_int(mode_of(&s, "ping"), 04711); /* asked for in the same call */
}

/* write(2), capabilities(7): the capability goes in any case, the bits when the kernel says so. */
TEST(meta, writing_takes_privilege_away)
{
    auto_scene struct scene s = scene_new(BASE);

    check_int(union_write(s.view, scene_ino(&s, "ping"), 0, "x", 1, false), 1);
    check_int(mode_of(&s, "ping"), 04755);
    check_false(has_capability(&s));
    check_int(union_write(s.view, scene_ino(&s, "ping"), 0, "x", 1, true), 1);
    check_int(mode_of(&s, "ping"), 0755);
}

TEST(meta, truncating_takes_privilege_away)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_setattr size = {.set = UNION_SET_SIZE, .size_bytes = 1};

    check_ok(set_attr(&s, "ping", size));
    check_int(mode_of(&s, "ping"), 04755);
    check_false(has_capability(&s));
    size.set |= UNION_SET_KILL_PRIV;
    check_ok(set_attr(&s, "ping", size));
    check_int(mode_of(&s, "ping"), 0755);
}

TEST(meta, reading_and_linking_take_nothing_away)
{
    auto_scene struct scene s = scene_new(BASE);

    check_text(scene_read(&s, "ping"), "elf");
    check_ok(scene_link(&s, "ping", "pong"));
    check_ok(scene_rename(&s, "pong", "d/pong", 0));
    check_int(mode_of(&s, "ping"), 04755);
    check_true(has_capability(&s));
    (void)scene_seal(&s);
    check_int(mode_of(&s, "d/pong"), 04755);
    check_true(has_capability(&s));
}

/* -- times -- */

TEST(meta, times_are_kept_to_the_nanosecond_and_below_zero)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_setattr times = {.set = UNION_SET_ATIME | UNION_SET_MTIME,
                                  .atime_ns = 1234567890123456789,
                                  .mtime_ns = -5000000001};
    int64_t before = union_now_ns();

    check_ok(set_attr(&s, "wall", times));
    check_int(scene_attr(&s, "wall").atime_ns, 1234567890123456789);
    check_int(scene_attr(&s, "wall").mtime_ns, -5000000001);
    check_true(scene_attr(&s, "wall").ctime_ns >= before);
    (void)scene_seal(&s);
    check_int(scene_attr(&s, "wall").mtime_ns, -5000000001);
}

TEST(meta, a_change_time_that_is_given_is_taken)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_setattr set = {
        .set = UNION_SET_MODE | UNION_SET_CTIME, .mode = 0600, .ctime_ns = 77};

    check_ok(set_attr(&s, "wall", set));
    check_int(scene_attr(&s, "wall").ctime_ns, 77);
}

/* A layer has neither the time of access nor that of the last change. */
TEST(meta, a_time_of_access_is_no_change_of_the_layer)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(set_attr(&s, "wall", (struct union_setattr){.set = UNION_SET_ATIME, .atime_ns = 5}));
    check_false(view_is_changed(s.view));
    check_ok(set_attr(&s, "wall", (struct union_setattr){.set = UNION_SET_MODE, .mode = 0600}));
    check_true(view_is_changed(s.view));
    check_ok(set_attr(&s, "wall", (struct union_setattr){.set = UNION_SET_MODE, .mode = 02755}));
    check_text(scene_dump_changes(&s), "");
}

TEST(meta, squashing_shows_one_owner_and_keeps_the_true_one)
{
    auto_scene struct scene s = scene_new("f file 0644 uid=33 gid=34 \"\"\n");

    s.options.squash = true;
    s.options.squash_uid = 0;
    s.options.squash_gid = 0;
    scene_open_view(&s);
    check_int(scene_attr(&s, "f").uid, 0);
    check_ok(set_attr(&s, "f", (struct union_setattr){.set = UNION_SET_UID, .uid = 5}));
    check_int(scene_attr(&s, "f").uid, 0);
    (void)scene_seal(&s);
    s.options.squash = false;
    scene_open_view(&s);
    check_int(scene_attr(&s, "f").uid, 5);
    check_int(scene_attr(&s, "f").gid, 34);
}

TEST(meta, the_space_that_is_told_is_that_of_the_state)
{
    auto_scene struct scene s = scene_new(BASE);
    struct statvfs mine;
    struct statvfs host;

    check_ok(union_statfs(s.view, &mine));
    check_ok(statvfs(store_path(s.store), &host));
    check_int(mine.f_blocks, host.f_blocks);
    check_int(mine.f_bsize, host.f_bsize);
    check_int(mine.f_namemax, 255);
    s.options.segment_size_max = 3 * mine.f_frsize;
    scene_open_view(&s);
    check_ok(scene_make(&s, "new", "x"));
    check_ok(union_statfs(s.view, &mine));
    check_int(mine.f_bavail, 2); /* whole blocks of what is left to it */
}

/* -- extended attributes -- */

static int set_xattr(struct scene *s, const char *path, const char *name, const char *value,
                     int flags)
{
    return union_setxattr(s->view, scene_ino(s, path), name, value, strlen(value), flags);
}

TEST(xattr, attributes_of_a_lower_file_change_one_by_one)
{
    auto_scene struct scene s = scene_new(BASE);

    check_ok(set_xattr(&s, "ping", "user.more", "m", 0));
    check_ok(set_xattr(&s, "ping", "user.note", "changed", 0));
    check_text(scene_dump_changes(&s), "modify /ping\n");
    check_ok(set_xattr(&s, "ping", "user.note", "n", 0));
    check_ok(union_removexattr(s.view, scene_ino(&s, "ping"), "user.more"));
    check_text(scene_dump_changes(&s), "");
    check_ok(set_xattr(&s, "d", "user.on-dir", "", 0));
    check_ok(union_removexattr(s.view, scene_ino(&s, "ping"), "security.capability"));
    (void)scene_seal(&s);
    check_text(scene_dump(&s), "d/ dir 6755 x:user.on-dir=\n"
                               "mand file 2644 \"lock\"\n"
                               "ping file 4755 x:user.note=n \"elf\"\n"
                               "wall file 2755 \"elf\"\n");
}

/* getxattr(2), listxattr(2): size 0 asks for the size, a small buffer is ERANGE. */
TEST(xattr, sizes_are_asked_for_and_checked)
{
    auto_scene struct scene s = scene_new(BASE);
    uint64_t ino = scene_ino(&s, "ping");
    const char *names = "security.capability\0user.note";
    char buf[64];

    check_int(union_getxattr(s.view, ino, "security.capability", NULL, 0), 4);
    check_fails(union_getxattr(s.view, ino, "security.capability", buf, 3), ERANGE);
    check_int(union_getxattr(s.view, ino, "security.capability", buf, 4), 4);
    check_bytes(buf, 4, "caps", 4);
    check_int(union_listxattr(s.view, ino, NULL, 0), 30);
    check_fails(union_listxattr(s.view, ino, buf, 29), ERANGE);
    check_int(union_listxattr(s.view, ino, buf, sizeof(buf)), 30);
    check_bytes(buf, 30, names, 30);
    check_fails(union_getxattr(s.view, ino, "user.none", buf, sizeof(buf)), ENODATA);
}

TEST(xattr, create_and_replace_mean_it)
{
    auto_scene struct scene s = scene_new(BASE);

    check_fails(set_xattr(&s, "ping", "user.note", "x", XATTR_CREATE), EEXIST);
    check_ok(set_xattr(&s, "ping", "user.new", "x", XATTR_CREATE));
    check_fails(set_xattr(&s, "ping", "user.none", "x", XATTR_REPLACE), ENODATA);
    check_ok(set_xattr(&s, "ping", "user.note", "x", XATTR_REPLACE));
    check_fails(union_removexattr(s.view, scene_ino(&s, "ping"), "user.none"), ENODATA);
}

/* SECURITY R27: what overlay filesystems note in attributes is not a step's to write. */
TEST(xattr, names_that_mean_something_to_others_are_refused)
{
    auto_scene struct scene s = scene_new(
        "f file 0644 x:trusted.overlay.opaque=y x:user.overlay.opaque=y x:user.ok=1 \"\"\n");

    check_fails(set_xattr(&s, "f", "trusted.x", "y", 0), EPERM);
    check_fails(set_xattr(&s, "f", "trusted.overlay.opaque", "y", 0), EPERM);
    check_fails(set_xattr(&s, "f", "user.overlay.whiteout", "y", 0), EPERM);
    check_fails(set_xattr(&s, "f", "user.fuseoverlayfs.opaque", "y", 0), EPERM);
    check_fails(set_xattr(&s, "f", "system.other", "y", 0), EOPNOTSUPP);
    check_fails(set_xattr(&s, "f", "nonsense", "y", 0), EOPNOTSUPP);
    check_fails(set_xattr(&s, "f", "user.", "y", 0), EINVAL);
    check_ok(set_xattr(&s, "f", "user.overlays", "y", 0));
    check_ok(set_xattr(&s, "f", "system.posix_acl_access", "acl", 0));
    check_fails(union_getxattr(s.view, scene_ino(&s, "f"), "user.overlay.opaque", NULL, 0),
                ENODATA);
    check_text(scene_dump(&s), "f file 0644 x:system.posix_acl_access=acl x:user.ok=1 "
                               "x:user.overlays=y \"\"\n");
}

TEST(xattr, what_is_too_big_is_refused)
{
    auto_scene struct scene s = scene_new(BASE);
    uint64_t ino = scene_ino(&s, "wall");
    char name[300] = "user.";
    char *big = mem_alloc(65537);

    check_fails(union_setxattr(s.view, ino, "user.big", big, 65537, 0), E2BIG);
    check_ok(union_setxattr(s.view, ino, "user.1", big, 65536, 0));
    check_ok(union_setxattr(s.view, ino, "user.2", big, 65536, 0));
    check_ok(union_setxattr(s.view, ino, "user.3", big, 65536, 0));
    check_fails(union_setxattr(s.view, ino, "user.4", big, 65536, 0), ENOSPC);
    memset(name + 5, 'x', 251);
    check_fails(union_setxattr(s.view, ino, name, big, 1, 0), ERANGE);
    name[255] = '\0';
    check_ok(union_setxattr(s.view, ino, name, big, 1, 0));
    free(big);
}

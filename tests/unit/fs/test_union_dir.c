/* test_union_dir.c - listings: complete, in an order that holds while the directory changes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/union_internal.h"
#include "tests/lib/scene.h"
#include "tests/lib/test.h"

#define BASE                                                                                       \
    "d/    dir  0755\n"                                                                            \
    "d/a   file 0644 \"\"\n"                                                                       \
    "d/b   file 0644 \"\"\n"                                                                       \
    "d/c   dir  0755\n"                                                                            \
    "d/e   symlink 0777 \"a\"\n"

struct reading {
    struct str text;
    size_t left; /* entries to take yet */
    uint64_t cookie;
    bool stopped;
};

static bool take(void *context, const char *name, size_t size, uint64_t next,
                 const struct union_attr *attr)
{
    struct reading *l = context;

    (void)attr;
    if (l->left == 0) {
        l->stopped = true;
        return false;
    }
    l->left--;
    l->cookie = next;
    str_addf(&l->text, "%s%.*s", l->text.size ? " " : "", (int)size, name);
    return true;
}

/* Up to `count` names from l->cookie on. */
static const char *list(struct scene *s, const char *path, struct reading *l, size_t count)
{
    str_truncate(&l->text, 0);
    l->left = count;
    l->stopped = false;
    check_ok(union_readdir(s->view, scene_ino(s, path), l->cookie, false, take, l));
    return str_text(&l->text);
}

static const char *list_all(struct scene *s, const char *path)
{
    static struct reading l;

    l.cookie = 0;
    return list(s, path, &l, SIZE_MAX);
}

TEST(dir, a_merged_directory_lists_each_name_once)
{
    auto_scene struct scene s = scene_new(BASE);

    scene_add_layer(&s, "d/b file 0600 \"new\"\nd/f file 0644 \"\"\nd/a whiteout -\n");
    check_text(list_all(&s, "d"), ". .. b f c e");
    check_text(list_all(&s, "d/c"), ". ..");
}

TEST(dir, an_opaque_directory_hides_what_is_below)
{
    auto_scene struct scene s = scene_new(BASE);

    scene_add_layer(&s, "d dir 0700 opaque\nd/x file 0644 \"\"\n");
    check_text(list_all(&s, "d"), ". .. x");
    check_fails(scene_unlink(&s, "d/a"), ENOENT);
}

/* readdir(3p): whether a name added or removed meanwhile is shown is open; others show once. */
TEST(dir, a_listing_goes_on_while_names_come_and_go)
{
    auto_scene struct scene s = scene_new(BASE);
    struct reading l = {0};

    check_text(list(&s, "d", &l, 3), ". .. a");
    check_ok(scene_unlink(&s, "d/a"));
    check_ok(scene_make(&s, "d/new", ""));
    check_ok(scene_unlink(&s, "d/c") == -EISDIR ? 0 : -1);
    check_text(list(&s, "d", &l, 1), "b");
    check_ok(scene_rmdir(&s, "d/c"));
    check_text(list(&s, "d", &l, 9), "e");
    check_text(list(&s, "d", &l, 9), "");
    check_text(list_all(&s, "d"), ". .. new b e");
    str_release(&l.text);
}

TEST(dir, a_name_that_is_replaced_keeps_its_place)
{
    auto_scene struct scene s = scene_new(BASE);
    struct reading l = {0};

    check_text(list(&s, "d", &l, 3), ". .. a");
    check_ok(scene_make(&s, "d/tmp", "x"));
    check_ok(scene_rename(&s, "d/tmp", "d/b", 0));
    check_text(list(&s, "d", &l, 9), "b c e");
    str_release(&l.text);
}

/* for f in *; rename f to new-f: on a filesystem that appends new names this never ends. */
TEST(dir, renaming_each_name_as_it_is_listed_comes_to_an_end)
{
    auto_scene struct scene s = scene_new("d dir 0755\n");
    struct reading l = {0};
    size_t renamed = 0;
    char from[32];
    char to[64];

    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(from, sizeof(from), "d/%u", i);
        check_ok(scene_make(&s, from, ""));
    }
    (void)list(&s, "d", &l, 2);
    while (*list(&s, "d", &l, 1)) {
        (void)snprintf(from, sizeof(from), "d/%s", str_text(&l.text));
        (void)snprintf(to, sizeof(to), "d/new-%s", str_text(&l.text));
        check_ok(scene_rename(&s, from, to, 0));
        check_true(++renamed <= 100);
    }
    check_int(renamed, 100);
    str_release(&l.text);
}

/* Programs without large file support cannot hold an offset above 31 bits. */
TEST(dir, cookies_fit_31_bits_and_may_be_used_up)
{
    auto_scene struct scene s = scene_new(BASE);
    struct reading l = {0};
    struct inode *d = inode_get(s.view, scene_ino(&s, "d"));

    check_ok(scene_make(&s, "d/first", ""));
    d->dir->next_cookie = COOKIE_BASE - 5; /* as after a thousand million new names */
    check_ok(scene_make(&s, "d/x", ""));
    check_ok(scene_make(&s, "d/y", ""));
    check_ok(scene_make(&s, "d/z", ""));
    check_text(list_all(&s, "d"), ". .. z y x first a b c e");
    while (*list(&s, "d", &l, 1))
        check_true(l.cookie > 0 && l.cookie <= INT32_MAX);
    str_release(&l.text);
}

TEST(dir, half_a_million_names_are_listed_found_and_removed)
{
    auto_scene struct scene s = scene_new("d dir 0755\n");
    const unsigned count = 500000;
    uint64_t dir = scene_ino(&s, "d");
    struct reading l = {0};
    struct union_attr a;
    char name[32];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(name, sizeof(name), "file-%u", i);
        check_ok(union_mknod(s.view, dir, name, S_IFREG | 0644, 0, 0, (struct union_cred){0}, &a));
        union_forget(s.view, a.ino, 1);
    }
    check_int(scene_seal(&s), count + 1);
    dir = scene_ino(&s, "d");
    check_text(list(&s, "d", &l, 1), ".");
    l.cookie = 0;
    for (unsigned i = 0; i < count; i += 1) {
        (void)snprintf(name, sizeof(name), "file-%u", i);
        check_ok(union_unlink(s.view, dir, name));
    }
    check_text(list(&s, "d", &l, 9), ". ..");
    check_ok(scene_rmdir(&s, "d"));
    check_text(scene_dump_changes(&s), "delete /d\n");
    str_release(&l.text);
}

TEST(dir, dots_name_the_directory_and_its_parent)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_attr a;

    check_ok(union_lookup(s.view, scene_ino(&s, "d/c"), "..", &a));
    check_int(a.ino, scene_ino(&s, "d"));
    check_ok(scene_rename(&s, "d/c", "c", 0));
    check_ok(union_lookup(s.view, scene_ino(&s, "c"), "..", &a));
    check_int(a.ino, UNION_ROOT);
    check_ok(union_lookup(s.view, UNION_ROOT, "..", &a));
    check_int(a.ino, UNION_ROOT);
}

/* What Linux answers for a directory that was removed while it is open. */
TEST(dir, a_removed_directory_that_is_held_is_empty_for_ever)
{
    auto_scene struct scene s = scene_new(BASE);
    struct union_attr c;
    struct union_attr a;

    check_ok(union_lookup(s.view, scene_ino(&s, "d"), "c", &c));
    check_ok(scene_make(&s, "d/c/x", ""));
    check_fails(scene_rmdir(&s, "d/c"), ENOTEMPTY);
    check_ok(scene_unlink(&s, "d/c/x"));
    check_ok(scene_rmdir(&s, "d/c"));
    check_ok(union_getattr(s.view, c.ino, &a));
    check_int(a.nlink, 0);
    check_fails(union_readdir(s.view, c.ino, 0, false, take, &(struct reading){0}), ENOENT);
    check_fails(union_mkdir(s.view, c.ino, "y", 0755, (struct union_cred){0}, &a), ENOENT);
    check_fails(union_lookup(s.view, c.ino, "x", &a), ENOENT);
    union_forget(s.view, c.ino, 1);
    check_fails(union_getattr(s.view, c.ino, &a), ESTALE);
}

TEST(dir, readdirplus_takes_references_for_what_was_taken)
{
    auto_scene struct scene s = scene_new(BASE);
    struct reading l = {.left = 4}; /* ".", "..", "a", "b", not "c" */
    struct union_attr a;
    uint64_t ino = scene_ino(&s, "d/a");

    check_ok(union_readdir(s.view, scene_ino(&s, "d"), 0, true, take, &l));
    check_true(l.stopped);
    check_int(inode_get(s.view, ino)->lookup_count, 1);
    check_int(inode_get(s.view, scene_ino(&s, "d/c"))->lookup_count, 0);
    check_int(inode_get(s.view, scene_ino(&s, "d"))->lookup_count, 0);
    check_ok(scene_unlink(&s, "d/a"));
    check_ok(union_getattr(s.view, ino, &a)); /* held */
    union_forget(s.view, ino, 1);
    check_fails(union_getattr(s.view, ino, &a), ESTALE);
    str_release(&l.text);
}

TEST(dir, what_is_no_directory_is_not_listed)
{
    auto_scene struct scene s = scene_new(BASE);

    check_fails(union_readdir(s.view, scene_ino(&s, "d/a"), 0, false, take, &(struct reading){0}),
                ENOTDIR);
    check_fails(union_readdir(s.view, 4711, 0, false, take, &(struct reading){0}), ESTALE);
    check_fails(union_readdir(s.view, UINT64_MAX, 0, false, take, &(struct reading){0}), ESTALE);
}

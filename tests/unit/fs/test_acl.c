/* test_acl.c - mode bits and access control lists stay in step; no mount.
 *
 * Lists are written as "u::rwx u:33:rw- g::r-x m::rwx o::---". Expected values are those of acl(5)
 * and of POSIX.1e draft 17, 23.1.5 (inheriting) and 23.1.6 (chmod and the mask).
 */
#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/acl.h"
#include "tests/lib/scene.h"
#include "tests/lib/test.h"

struct list {
    struct posix_acl_xattr_header header;
    struct posix_acl_xattr_entry entries[16];
    size_t size;
};

static unsigned tag_of(char letter, bool has_id)
{
    switch (letter) {
    case 'u':
        return has_id ? ACL_USER : ACL_USER_OBJ;
    case 'g':
        return has_id ? ACL_GROUP : ACL_GROUP_OBJ;
    case 'm':
        return ACL_MASK;
    default:
        return ACL_OTHER;
    }
}

static struct list list_of(const char *text)
{
    struct list list = {.header.a_version = htole32(POSIX_ACL_XATTR_VERSION)};
    size_t count = 0;
    char letter;
    char id[16];
    char perm[4];
    int used;

    for (; *text; text += used + (text[used] == ' '), count++) {
        used = 0;
        id[0] = '\0';
        if (sscanf(text, "%c::%3s%n", &letter, perm, &used) != 2 &&
            sscanf(text, "%c:%15[0-9]:%3s%n", &letter, id, perm, &used) != 3)
            check_fail("bad list at '%s'", text);
        list.entries[count] = (struct posix_acl_xattr_entry){
            .e_tag = htole16((uint16_t)tag_of(letter, id[0] != '\0')),
            .e_perm = htole16((uint16_t)((perm[0] == 'r' ? 4 : 0) | (perm[1] == 'w' ? 2 : 0) |
                                         (perm[2] == 'x' ? 1 : 0))),
            .e_id = htole32(id[0] ? (uint32_t)strtoul(id, NULL, 10) : (uint32_t)-1),
        };
    }
    list.size = sizeof(list.header) + count * sizeof(list.entries[0]);
    return list;
}

static const char *list_text(struct scene *s, uint64_t ino, const char *name)
{
    static char text[256];
    static const char letters[] = "?u  g   g   ?   m   ?";
    struct list list = {0};
    ssize_t size = union_getxattr(s->view, ino, name, &list, sizeof(list));
    size_t at = 0;

    if (size < 0)
        return size == -ENODATA ? "none" : "failed";
    for (size_t i = 0; sizeof(list.header) + i * sizeof(list.entries[0]) < (size_t)size; i++) {
        unsigned tag = le16toh(list.entries[i].e_tag);
        unsigned perm = le16toh(list.entries[i].e_perm);
        bool has_id = tag == ACL_USER || tag == ACL_GROUP;
        char id[16] = "";

        if (has_id)
            (void)snprintf(id, sizeof(id), "%u", le32toh(list.entries[i].e_id));
        at +=
            (size_t)snprintf(text + at, sizeof(text) - at, "%s%c:%s:%c%c%c", i ? " " : "",
                             tag == ACL_OTHER  ? 'o'
                             : tag == ACL_MASK ? 'm'
                             : has_id          ? (tag == ACL_USER ? 'u' : 'g')
                                               : letters[tag],
                             id, perm & 4 ? 'r' : '-', perm & 2 ? 'w' : '-', perm & 1 ? 'x' : '-');
    }
    return text;
}

static uint64_t made_file(struct scene *s, mode_t mode)
{
    check_ok(scene_make(s, "f", "x"));
    check_ok(scene_chmod(s, "f", mode));
    return scene_ino(s, "f");
}

static int set_list(struct scene *s, uint64_t ino, const char *text)
{
    struct list list = list_of(text);

    return acl_set_access(s->view, ino, &list, list.size);
}

TEST(acl, a_list_that_is_set_changes_the_mode)
{
    auto_scene struct scene s = scene_new(NULL);
    uint64_t ino = made_file(&s, 04600);

    check_ok(set_list(&s, ino, "u::rw- u:33:r-- g::--- m::r-- o::--x"));
    check_int(scene_attr(&s, "f").mode, S_IFREG | 04641); /* the group class is the mask */
    check_text(list_text(&s, ino, ACL_ACCESS_NAME), "u::rw- u:33:r-- g::--- m::r-- o::--x");
}

TEST(acl, a_list_that_says_no_more_than_a_mode_is_not_kept)
{
    auto_scene struct scene s = scene_new(NULL);
    uint64_t ino = made_file(&s, 0600);

    check_ok(set_list(&s, ino, "u::rw- u:33:r-- g::--- m::r-- o::---"));
    check_ok(set_list(&s, ino, "u::rwx g::r-x o::r--"));
    check_int(scene_attr(&s, "f").mode, S_IFREG | 0754);
    check_text(list_text(&s, ino, ACL_ACCESS_NAME), "none");
}

TEST(acl, a_malformed_list_is_refused)
{
    auto_scene struct scene s = scene_new(NULL);
    uint64_t ino = made_file(&s, 0600);
    struct list list = list_of("u::rw- g::--- o::---");

    check_fails(acl_set_access(s.view, ino, &list, list.size - 1), EINVAL);
    check_fails(acl_set_access(s.view, ino, &list, 3), EINVAL);
    check_fails(acl_set_access(s.view, ino, &list, 0), EINVAL);
    list.header.a_version = htole32(3);
    check_fails(acl_set_access(s.view, ino, &list, list.size), EINVAL);
    check_int(scene_attr(&s, "f").mode, S_IFREG | 0600);
}

TEST(acl, chmod_changes_the_mask_and_not_the_group)
{
    auto_scene struct scene s = scene_new(NULL);
    uint64_t ino = made_file(&s, 0600);

    check_ok(set_list(&s, ino, "u::rw- u:33:rwx g::r-x m::rwx o::---"));
    check_ok(acl_follow_mode(s.view, ino, 0715));
    check_text(list_text(&s, ino, ACL_ACCESS_NAME), "u::rwx u:33:rwx g::r-x m::--x o::r-x");
}

TEST(acl, chmod_of_a_file_without_a_list_makes_none)
{
    auto_scene struct scene s = scene_new(NULL);
    uint64_t ino = made_file(&s, 0600);

    check_ok(acl_follow_mode(s.view, ino, 0777));
    check_text(list_text(&s, ino, ACL_ACCESS_NAME), "none");
}

/* What a new file gets in a directory with this default list; the mode it asks for is replaced. */
static const char *inherited(struct scene *s, const char *list_in_text, mode_t *mode)
{
    static char text[300];
    struct list list = list_of(list_in_text);
    auto_acl_inherited struct acl_inherited acl = {0};
    uint64_t dir;
    uint64_t ino;

    check_ok(scene_mkdir(s, "d"));
    dir = scene_ino(s, "d");
    if (list_in_text[0])
        check_ok(union_setxattr(s->view, dir, ACL_DEFAULT_NAME, &list, list.size, 0));
    check_ok(acl_inherit(s->view, dir, 022, mode, &acl));
    if (S_ISDIR(*mode))
        check_ok(scene_mkdir(s, "d/n"));
    else
        check_ok(scene_make(s, "d/n", ""));
    ino = scene_ino(s, "d/n");
    check_ok(acl_apply(s->view, ino, *mode, &acl));
    (void)snprintf(text, sizeof(text), "%s", list_text(s, ino, ACL_ACCESS_NAME));
    return text;
}

TEST(acl, without_a_default_list_the_umask_counts)
{
    auto_scene struct scene s = scene_new(NULL);
    mode_t mode = S_IFREG | 0666;

    check_text(inherited(&s, "", &mode), "none");
    check_int(mode, S_IFREG | 0644);
}

TEST(acl, a_default_list_counts_instead_of_the_umask)
{
    auto_scene struct scene s = scene_new(NULL);
    mode_t mode = S_IFREG | 0666;

    check_text(inherited(&s, "u::rwx u:33:rwx g::rwx m::rwx o::r-x", &mode),
               "u::rw- u:33:rwx g::rwx m::rw- o::r--");
    check_int(mode, S_IFREG | 0664);
    check_text(list_text(&s, scene_ino(&s, "d/n"), ACL_DEFAULT_NAME), "none");
}

TEST(acl, a_new_directory_hands_the_default_list_on)
{
    auto_scene struct scene s = scene_new(NULL);
    mode_t mode = S_IFDIR | 0777;

    check_text(inherited(&s, "u::rwx g::r-x g:44:-wx m::rwx o::---", &mode),
               "u::rwx g::r-x g:44:-wx m::rwx o::---");
    check_int(mode, S_IFDIR | 0770);
    check_text(list_text(&s, scene_ino(&s, "d/n"), ACL_DEFAULT_NAME),
               "u::rwx g::r-x g:44:-wx m::rwx o::---");
}

TEST(acl, a_minimal_default_list_becomes_the_mode_alone)
{
    auto_scene struct scene s = scene_new(NULL);
    mode_t mode = S_IFREG | 0666;

    check_text(inherited(&s, "u::rwx g::r-x o::--x", &mode), "none");
    check_int(mode, S_IFREG | 0640);
}

/* A layer may come from anywhere, and hold anything under that name. */
TEST(acl, a_default_list_that_is_none_is_damage)
{
    auto_scene struct scene s = scene_new(NULL);
    struct acl_inherited acl;
    mode_t mode = S_IFREG | 0666;

    check_ok(scene_mkdir(&s, "d"));
    check_ok(union_setxattr(s.view, scene_ino(&s, "d"), ACL_DEFAULT_NAME, "bad", 3, 0));
    check_fails(acl_inherit(s.view, scene_ino(&s, "d"), 022, &mode, &acl), EIO);
    acl_inherited_release(&acl);
}

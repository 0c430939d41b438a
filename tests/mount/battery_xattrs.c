/* battery_xattrs.c - extended attributes, file capabilities, access control lists. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/battery.h"

#define USER 1000u
#define CAPABILITY "security.capability"
#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

static void case_attributes(void)
{
    static char big[65537];
    char value[256];
    char name[300] = "user.";
    ssize_t size;

    make_file("f", "");
    TRY(mkdir("d", 0755));
    TRY(symlink("f", "s"));
    TRY(getxattr("f", "user.a", value, sizeof(value)));
    TRY(setxattr("f", "user.a", "value", 5, XATTR_REPLACE));
    TRY(setxattr("f", "user.a", "value", 5, 0));
    TRY(setxattr("f", "user.a", "other", 5, XATTR_CREATE));
    TRY(setxattr("f", "user.a", "longer one", 10, XATTR_REPLACE));
    TRY(setxattr("f", "user.empty", "", 0, 0));
    TRY(getxattr("f", "user.a", NULL, 0));
    TRY(getxattr("f", "user.a", value, 9));
    TRY(getxattr("f", "user.a", value, 10));
    TRY(getxattr("f", "user.empty", value, sizeof(value)));
    size = TRY(listxattr("f", NULL, 0));
    TRY(listxattr("f", value, (size_t)size - 1));
    TRY(listxattr("f", value, (size_t)size));
    TRY(removexattr("f", "user.a"));
    TRY(removexattr("f", "user.a"));
    TRY(listxattr("f", value, sizeof(value)));
    battery_say("'%.10s'", value);
    TRY(setxattr("d", "user.on.a.directory", "x", 1, 0));
    TRY(lsetxattr("s", "user.on.a.link", "x", 1, 0));
    TRY(setxattr("s", "user.through", "x", 1, 0));
    TRY(getxattr("f", "user.through", value, sizeof(value)));
    TRY(setxattr("f", "nothing", "x", 1, 0));
    TRY(setxattr("f", "unknown.kind", "x", 1, 0));
    TRY(setxattr("f", "user.", "x", 1, 0));
    TRY(setxattr("f", "", "x", 1, 0));
    TRY(setxattr("f", "trusted.a", "x", 1, 0));
    TRY(getxattr("f", "trusted.a", value, sizeof(value)));
    TRY(setxattr("f", "user.both", "x", 1, XATTR_CREATE | XATTR_REPLACE));
    memset(name + 5, 'n', sizeof(name) - 5);
    name[255] = '\0';
    TRY(setxattr("f", name, "x", 1, 0));
    TRY(removexattr("f", name));
    name[255] = 'n';
    name[256] = '\0';
    TRY(setxattr("f", name, "x", 1, 0));
    TRY(setxattr("f", "user.big", big, 65537, 0));
    TRY(setxattr("f", "user.big", big, 60000, 0));
    TRY(getxattr("f", "user.big", NULL, 0));
    TRY(getxattr("missing", "user.a", NULL, 0));
    TRY(listxattr("missing", NULL, 0));
}

static void be_another(void)
{
    char value[16];

    TRY(setxattr("f", "user.a", "x", 1, 0));
    TRY(getxattr("f", "user.a", value, sizeof(value)));
    TRY(getxattr("closed", "user.a", value, sizeof(value)));
    TRY(setxattr("f", CAPABILITY, "x", 1, 0));
}

static void case_attributes_of_others(void)
{
    make_file("f", "");
    make_file("closed", "");
    TRY(setxattr("f", "user.a", "theirs", 6, 0));
    TRY(setxattr("closed", "user.a", "theirs", 6, 0));
    TRY(chmod("closed", 0600));
    as_user(USER, be_another);
}

static struct vfs_cap_data capability(void)
{
    struct vfs_cap_data data = {
        .magic_etc = htole32(VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE),
    };

    data.data[0].permitted = htole32(1u << CAP_NET_BIND_SERVICE);
    return data;
}

static void say_capability(const char *path)
{
    struct vfs_cap_data data = {0};
    ssize_t size = getxattr(path, CAPABILITY, &data, sizeof(data));

    if (size < 0)
        battery_say("%s: %s", path, strerrorname_np(errno));
    else
        battery_say("%s: %ld bytes, %x", path, (long)size, le32toh(data.data[0].permitted));
}

static void write_as_user(void)
{
    int fd = TRY_FD(open("a", O_WRONLY));

    TRY(write(fd, "x", 1));
    TRY(truncate("b", 1));
}

static void case_capabilities(void)
{
    struct vfs_cap_data data = capability();
    int fd;

    make_file("a", "program");
    make_file("b", "program");
    make_file("c", "program");
    TRY(setxattr("a", CAPABILITY, &data, sizeof(data), 0));
    TRY(setxattr("b", CAPABILITY, &data, sizeof(data), 0));
    TRY(setxattr("c", CAPABILITY, &data, sizeof(data), 0));
    TRY(chmod("a", 0777));
    TRY(chmod("b", 0777));
    say_capability("a");
    TRY(rename("c", "d"));
    TRY(link("d", "c"));
    say_capability("c");
    TRY(chown("c", 5, 5));
    say_capability("c");
    as_user(USER, write_as_user);
    say_capability("a");
    say_capability("b");
    TRY(setxattr("a", CAPABILITY, &data, sizeof(data), 0));
    fd = TRY_FD(open("a", O_WRONLY));
    TRY(write(fd, "x", 1));
    say_capability("a");
    TRY(setxattr("a", CAPABILITY, "bad", 3, 0));
    TRY(removexattr("a", CAPABILITY));
}

/* capabilities(7), "File capability versioning": of version 3, for the root of a namespace. */
static void case_capabilities_of_a_namespace(void)
{
    struct vfs_ns_cap_data data = {
        .magic_etc = htole32(VFS_CAP_REVISION_3 | VFS_CAP_FLAGS_EFFECTIVE),
        .rootid = htole32(0),
    };

    data.data[0].permitted = htole32(1u << CAP_NET_BIND_SERVICE);
    make_file("a", "program");
    TRY(setxattr("a", CAPABILITY, &data, sizeof(data), 0));
    say_capability("a");
    data.rootid = htole32(USER);
    TRY(setxattr("a", CAPABILITY, &data, sizeof(data), 0));
    TRY(getxattr("a", CAPABILITY, &data, sizeof(data)));
    TRY(truncate("a", 3));
    say_capability("a");
}

struct list {
    struct posix_acl_xattr_header header;
    struct posix_acl_xattr_entry entries[8];
};

static size_t add(struct list *list, size_t count, unsigned tag, unsigned perm, unsigned id)
{
    list->header.a_version = htole32(POSIX_ACL_XATTR_VERSION);
    list->entries[count].e_tag = htole16((uint16_t)tag);
    list->entries[count].e_perm = htole16((uint16_t)perm);
    list->entries[count].e_id = htole32(id);
    return count + 1;
}

static size_t bytes_of(size_t count)
{
    return sizeof(struct posix_acl_xattr_header) + count * sizeof(struct posix_acl_xattr_entry);
}

static void say_list(const char *path, const char *name)
{
    struct list list = {0};
    ssize_t size = getxattr(path, name, &list, sizeof(list));

    if (size < 0) {
        battery_say("%s %s: %s", path, name, strerrorname_np(errno));
        return;
    }
    printf("%s %s:", path, name);
    for (size_t i = 0; bytes_of(i + 1) <= (size_t)size; i++)
        printf(" %x/%d=%o", le16toh(list.entries[i].e_tag), (int)le32toh(list.entries[i].e_id),
               le16toh(list.entries[i].e_perm));
    printf("\n");
}

static size_t named_list(struct list *list)
{
    size_t count = 0;

    count = add(list, count, ACL_USER_OBJ, 7, (unsigned)-1);
    count = add(list, count, ACL_USER, 6, USER);
    count = add(list, count, ACL_GROUP_OBJ, 5, (unsigned)-1);
    count = add(list, count, ACL_MASK, 7, (unsigned)-1);
    return add(list, count, ACL_OTHER, 0, (unsigned)-1);
}

static void try_access(void)
{
    TRY_FD(open("f", O_RDWR));
    TRY_FD(open("g", O_RDONLY));
    TRY_FD(open("d/inherited", O_RDWR));
}

static void case_lists(void)
{
    struct list list = {0};
    size_t count = named_list(&list);

    make_file("f", "");
    make_file("g", "");
    TRY(setxattr("f", ACCESS, &list, bytes_of(count), 0));
    say_mode("f");
    say_list("f", ACCESS);
    TRY(chmod("g", 0600));
    as_user(USER, try_access);
    TRY(chmod("f", 0640));
    say_list("f", ACCESS);
    say_mode("f");
    as_user(USER, try_access);
    TRY(setxattr("f", DEFAULT, &list, bytes_of(count), 0));
    TRY(setxattr("f", ACCESS, "bad", 3, 0));
    list.entries[1].e_perm = htole16(9);
    TRY(setxattr("f", ACCESS, &list, bytes_of(count), 0));
    count = add(&list, 0, ACL_USER_OBJ, 6, (unsigned)-1);
    count = add(&list, count, ACL_GROUP_OBJ, 4, (unsigned)-1);
    TRY(setxattr("f", ACCESS, &list, bytes_of(count), 0));
    count = add(&list, count, ACL_OTHER, 4, (unsigned)-1);
    TRY(setxattr("f", ACCESS, &list, bytes_of(count), 0));
    say_mode("f");
    say_list("f", ACCESS);
    count = named_list(&list);
    TRY(setxattr("f", ACCESS, &list, bytes_of(count), 0));
    TRY(removexattr("f", ACCESS));
    say_mode("f");
    say_list("f", ACCESS);
}

static void case_default_lists(void)
{
    struct list list = {0};
    size_t count = named_list(&list);
    mode_t before = umask(077);

    TRY(mkdir("d", 0755));
    TRY(chmod("d", 0755));
    TRY(setxattr("d", DEFAULT, &list, bytes_of(count), 0));
    say_mode("d");
    make_file("d/inherited", "");
    say_mode("d/inherited");
    say_list("d/inherited", ACCESS);
    TRY_FD(open("d/asked", O_CREAT | O_WRONLY, 0640));
    say_mode("d/asked");
    say_list("d/asked", ACCESS);
    TRY(mkdir("d/sub", 0770));
    say_mode("d/sub");
    say_list("d/sub", ACCESS);
    say_list("d/sub", DEFAULT);
    TRY(mknod("d/pipe", S_IFIFO | 0666, 0));
    say_mode("d/pipe");
    TRY(symlink("x", "d/link"));
    TRY(mkdir("plain", 0777));
    say_mode("plain");
    count = add(&list, 0, ACL_USER_OBJ, 7, (unsigned)-1);
    count = add(&list, count, ACL_GROUP_OBJ, 5, (unsigned)-1);
    count = add(&list, count, ACL_OTHER, 1, (unsigned)-1);
    TRY(setxattr("d", DEFAULT, &list, bytes_of(count), 0));
    TRY(mkdir("d/minimal", 0777));
    say_mode("d/minimal");
    say_list("d/minimal", ACCESS);
    say_list("d/minimal", DEFAULT);
    TRY(removexattr("d", DEFAULT));
    TRY(mkdir("d/free", 0777));
    say_mode("d/free");
    umask(before);
}

const struct battery_case *battery_xattr_cases(void)
{
    static const struct battery_case cases[] = {
        {"extended attributes", case_attributes},
        {"extended attributes of others", case_attributes_of_others},
        {"file capabilities", case_capabilities},
        {"file capabilities of a namespace", case_capabilities_of_a_namespace},
        {"access control lists", case_lists},
        {"default access control lists", case_default_lists},
        {NULL, NULL},
    };

    return cases;
}

/* acl.c - keeping mode bits and access control lists in step; not for checking permissions. */
#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/acl.h"

#include "fs/base/banned.h"

#define HEADER_SIZE sizeof(struct posix_acl_xattr_header)
#define ENTRY_SIZE sizeof(struct posix_acl_xattr_entry)
#define PERM_ALL 07u

static bool list_is_sound(const uint8_t *list, size_t size)
{
    struct posix_acl_xattr_header header;

    if (size < HEADER_SIZE || (size - HEADER_SIZE) % ENTRY_SIZE != 0)
        return false;
    memcpy(&header, list, sizeof(header));
    return le32toh(header.a_version) == POSIX_ACL_XATTR_VERSION;
}

static size_t list_count(size_t size)
{
    return (size - HEADER_SIZE) / ENTRY_SIZE;
}

/* The bytes of an extended attribute are aligned to nothing. */
static unsigned entry_tag(const uint8_t *list, size_t index)
{
    struct posix_acl_xattr_entry entry;

    memcpy(&entry, list + HEADER_SIZE + index * ENTRY_SIZE, sizeof(entry));
    return le16toh(entry.e_tag);
}

static unsigned entry_perm(const uint8_t *list, size_t index)
{
    struct posix_acl_xattr_entry entry;

    memcpy(&entry, list + HEADER_SIZE + index * ENTRY_SIZE, sizeof(entry));
    return le16toh(entry.e_perm) & PERM_ALL;
}

static void entry_set_perm(uint8_t *list, size_t index, unsigned perm)
{
    struct posix_acl_xattr_entry entry;

    memcpy(&entry, list + HEADER_SIZE + index * ENTRY_SIZE, sizeof(entry));
    entry.e_perm = htole16((uint16_t)(perm & PERM_ALL));
    memcpy(list + HEADER_SIZE + index * ENTRY_SIZE, &entry, sizeof(entry));
}

/* A list of only owner, group and others says no more than a mode. */
static bool list_is_minimal(const uint8_t *list, size_t size)
{
    for (size_t i = 0; i < list_count(size); i++) {
        unsigned tag = entry_tag(list, i);

        if (tag != ACL_USER_OBJ && tag != ACL_GROUP_OBJ && tag != ACL_OTHER)
            return false;
    }
    return true;
}

/* By how far an entry's bits are shifted in a mode; the group class is the mask where there is one
 * (acl(5), "Correspondence between ACL entries and file permission bits"). -1: not in the mode. */
static int entry_shift(unsigned tag, bool has_mask)
{
    switch (tag) {
    case ACL_USER_OBJ:
        return 6;
    case ACL_GROUP_OBJ:
        return has_mask ? -1 : 3;
    case ACL_MASK:
        return 3;
    case ACL_OTHER:
        return 0;
    default:
        return -1;
    }
}

static bool list_has_mask(const uint8_t *list, size_t size)
{
    for (size_t i = 0; i < list_count(size); i++)
        if (entry_tag(list, i) == ACL_MASK)
            return true;
    return false;
}

static mode_t list_to_mode(const uint8_t *list, size_t size, mode_t mode)
{
    bool has_mask = list_has_mask(list, size);

    mode &= ~(mode_t)0777;
    for (size_t i = 0; i < list_count(size); i++) {
        int shift = entry_shift(entry_tag(list, i), has_mask);

        if (shift >= 0)
            mode |= (mode_t)(entry_perm(list, i) << shift);
    }
    return mode;
}

static void list_follow_mode(uint8_t *list, size_t size, mode_t mode)
{
    bool has_mask = list_has_mask(list, size);

    for (size_t i = 0; i < list_count(size); i++) {
        int shift = entry_shift(entry_tag(list, i), has_mask);

        if (shift >= 0)
            entry_set_perm(list, i, mode >> shift);
    }
}

/* A new inode has what both its list and the mode asked for allow. */
static mode_t list_restrict(uint8_t *list, size_t size, mode_t mode)
{
    bool has_mask = list_has_mask(list, size);

    for (size_t i = 0; i < list_count(size); i++) {
        int shift = entry_shift(entry_tag(list, i), has_mask);
        unsigned perm;

        if (shift < 0)
            continue;
        perm = entry_perm(list, i) & (mode >> shift);
        entry_set_perm(list, i, perm);
        mode = (mode & ~(mode_t)(PERM_ALL << shift)) | (mode_t)(perm << shift);
    }
    return mode;
}

int acl_inherit(struct view *v, uint64_t dir, mode_t umask, mode_t *mode, struct acl_inherited *out)
{
    ssize_t size = union_getxattr(v, dir, ACL_DEFAULT_NAME, NULL, 0);
    uint8_t *access;

    *out = (struct acl_inherited){0};
    if (size < 0) {
        *mode &= ~umask;
        return size == -ENODATA || size == -EOPNOTSUPP ? 0 : (int)size;
    }
    out->list = mem_alloc(2 * (size_t)size);
    size = union_getxattr(v, dir, ACL_DEFAULT_NAME, out->list, (size_t)size);
    if (size < 0)
        return (int)size;
    if (!list_is_sound(out->list, (size_t)size))
        return -EIO;
    access = out->list + size;
    memcpy(access, out->list, (size_t)size);
    *mode = list_restrict(access, (size_t)size, *mode);
    out->default_size = (size_t)size;
    out->access_size = list_is_minimal(access, (size_t)size) ? 0 : (size_t)size;
    return 0;
}

int acl_apply(struct view *v, uint64_t ino, mode_t mode, const struct acl_inherited *inherited)
{
    int r = 0;

    if (inherited->access_size > 0)
        r = union_setxattr(v, ino, ACL_ACCESS_NAME, inherited->list + inherited->default_size,
                           inherited->access_size, 0);
    if (r == 0 && S_ISDIR(mode) && inherited->default_size > 0)
        r = union_setxattr(v, ino, ACL_DEFAULT_NAME, inherited->list, inherited->default_size, 0);
    return r;
}

void acl_inherited_release(struct acl_inherited *inherited)
{
    free(inherited->list);
    *inherited = (struct acl_inherited){0};
}

int acl_follow_mode(struct view *v, uint64_t ino, mode_t mode)
{
    ssize_t size = union_getxattr(v, ino, ACL_ACCESS_NAME, NULL, 0);
    auto_free uint8_t *list = NULL;

    if (size < 0)
        return size == -ENODATA || size == -EOPNOTSUPP ? 0 : (int)size;
    list = mem_alloc((size_t)size);
    size = union_getxattr(v, ino, ACL_ACCESS_NAME, list, (size_t)size);
    if (size < 0)
        return (int)size;
    if (!list_is_sound(list, (size_t)size))
        return -EIO;
    list_follow_mode(list, (size_t)size, mode);
    return union_setxattr(v, ino, ACL_ACCESS_NAME, list, (size_t)size, 0);
}

int acl_set_access(struct view *v, uint64_t ino, const void *list, size_t size)
{
    struct union_setattr change = {.set = UNION_SET_MODE};
    struct union_attr attr;
    int r;

    if (size > ACL_SIZE_MAX || !list_is_sound(list, size))
        return -EINVAL;
    r = union_getattr(v, ino, &attr);
    if (r < 0)
        return r;
    if (!list_is_minimal(list, size))
        r = union_setxattr(v, ino, ACL_ACCESS_NAME, list, size, 0);
    else
        r = union_removexattr(v, ino, ACL_ACCESS_NAME);
    if (r < 0 && r != -ENODATA)
        return r;
    change.mode = list_to_mode(list, size, attr.mode) & 07777;
    return union_setattr(v, ino, &change, &attr);
}

/* union_xattr.c - extended attributes: which may be set, and where they are kept.
 *
 * Those of a lower inode stay in its index until one of them changes. Access control lists are
 * attributes like others here: keeping them in step with the mode is acl.c's work.
 */
#include <errno.h>
#include <linux/xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/base/cleanup.h"
#include "fs/journal.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

#define CAPABILITY_NAME "security.capability"

static bool starts(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* xattr(7), "Extended attribute namespaces". Overlay filesystems keep their own notes in
 * attributes; what a step writes there would mean something else where the layer is unpacked
 * (SECURITY R27). */
static int name_policy(const char *name)
{
    if (starts(name, "trusted.") || starts(name, "user.overlay.") ||
        starts(name, "user.fuseoverlayfs."))
        return -EPERM;
    if (starts(name, "user.") || starts(name, "security."))
        return name[strcspn(name, ".") + 1] != '\0' ? 0 : -EINVAL;
    if (strcmp(name, XATTR_NAME_POSIX_ACL_ACCESS) == 0 ||
        strcmp(name, XATTR_NAME_POSIX_ACL_DEFAULT) == 0)
        return 0;
    return -EOPNOTSUPP;
}

/* -- the list of an inode -- */

static const void *item_value(const struct xattr_item *x)
{
    return x->data + x->name_size + 1;
}

static struct xattr_item *item_new(const char *name, const void *value, size_t size)
{
    size_t name_size = strlen(name);
    struct xattr_item *x = mem_alloc(sizeof(*x) + name_size + 1 + size);

    x->name_size = (uint32_t)name_size;
    x->value_size = (uint32_t)size;
    memcpy(x->data, name, name_size + 1);
    if (size > 0)
        memcpy(x->data + name_size + 1, value, size);
    return x;
}

/* Where the attribute is, or the next one by name. */
static struct xattr_item **find_link(struct inode *i, const char *name, bool *found)
{
    struct xattr_item **link = &i->xattrs;
    int order = 1;

    while (*link && (order = strcmp((*link)->data, name)) < 0)
        link = &(*link)->next;
    *found = *link && order == 0;
    return link;
}

static void put_item(struct inode *i, struct xattr_item *x)
{
    bool found;
    struct xattr_item **link = find_link(i, x->data, &found);
    struct xattr_item *old = *link;

    x->next = found ? old->next : old;
    *link = x;
    if (found)
        free(old);
}

void xattrs_release(struct inode *i)
{
    struct xattr_item *x = i->xattrs;

    while (x) {
        struct xattr_item *next = x->next;

        free(x);
        x = next;
    }
    i->xattrs = NULL;
}

int xattrs_load(struct view *v, struct inode *i)
{
    const struct index *index;
    struct xattr x;
    int r = 0;

    if (!(i->flags & INODE_LOWER_XATTRS))
        return 0;
    index = v->layers[i->origin.layer];
    for (uint32_t at = 0; r == 0; at++) {
        r = index_xattr(index, i->origin.inode, at, &x);
        if (r == 0)
            put_item(i, item_new(x.name, x.value, x.value_size));
    }
    if (r != -ENOENT) {
        xattrs_release(i);
        return lower_damaged(v, i->origin.layer);
    }
    i->flags &= ~(uint32_t)INODE_LOWER_XATTRS;
    return 0;
}

/* Calls fn for each attribute until it says true, wherever they are kept. */
typedef bool each_fn(void *context, const struct xattr *x);
static int each(struct view *v, const struct inode *i, each_fn *fn, void *context)
{
    struct xattr x;
    int r = 0;

    if (!(i->flags & INODE_LOWER_XATTRS)) {
        for (const struct xattr_item *item = i->xattrs; item; item = item->next) {
            x = (struct xattr){item->data, item_value(item), item->value_size};
            if (fn(context, &x))
                break;
        }
        return 0;
    }
    for (uint32_t at = 0; r == 0; at++) {
        r = index_xattr(v->layers[i->origin.layer], i->origin.inode, at, &x);
        if (r == 0 && fn(context, &x))
            return 0;
    }
    return r == -ENOENT ? 0 : lower_damaged(v, i->origin.layer);
}

struct search {
    const char *name;
    struct xattr found; /* name NULL: not found */
};

static bool is_sought(void *context, const struct xattr *x)
{
    struct search *s = context;

    if (strcmp(x->name, s->name) != 0)
        return false;
    s->found = *x;
    return true;
}

void xattrs_kill_capability(struct view *v, struct inode *i)
{
    struct search s = {.name = CAPABILITY_NAME};
    struct xattr_item **link;
    bool found;

    if (!(i->flags & INODE_LOWER_XATTRS) && !i->xattrs)
        return;
    if (each(v, i, is_sought, &s) < 0 || !s.found.name || xattrs_load(v, i) < 0)
        return; /* damage was noted; what cannot be read cannot be kept either */
    link = find_link(i, CAPABILITY_NAME, &found);
    if (found) {
        struct xattr_item *x = *link;

        *link = x->next;
        free(x);
    }
}

/* -- the calls -- */

ssize_t union_getxattr(struct view *v, uint64_t ino, const char *name, void *value, size_t size)
{
    const struct inode *i = inode_get(v, ino);
    struct search s = {.name = name};
    int r;

    if (!i)
        return -ESTALE;
    r = name_policy(name);
    if (r < 0)
        return r == -EPERM ? -ENODATA : r;
    r = each(v, i, is_sought, &s);
    if (r < 0)
        return r;
    if (!s.found.name)
        return -ENODATA;
    if (size == 0)
        return (ssize_t)s.found.value_size;
    if (s.found.value_size > size)
        return -ERANGE;
    if (s.found.value_size > 0)
        memcpy(value, s.found.value, s.found.value_size);
    return (ssize_t)s.found.value_size;
}

struct listed_names {
    char *list;
    size_t capacity;
    size_t size;
};

static bool list_name(void *context, const struct xattr *x)
{
    struct listed_names *l = context;
    size_t size = strlen(x->name) + 1;

    if (name_policy(x->name) < 0)
        return false;
    if (l->size + size <= l->capacity)
        memcpy(l->list + l->size, x->name, size);
    l->size += size;
    return false;
}

ssize_t union_listxattr(struct view *v, uint64_t ino, char *list, size_t size)
{
    const struct inode *i = inode_get(v, ino);
    struct listed_names names = {.list = list, .capacity = size};
    int r;

    if (!i)
        return -ESTALE;
    r = each(v, i, list_name, &names);
    if (r < 0)
        return r;
    return size > 0 && names.size > size ? -ERANGE : (ssize_t)names.size;
}

static size_t total_size(const struct inode *i)
{
    size_t total = 0;

    for (const struct xattr_item *x = i->xattrs; x; x = x->next)
        total += x->name_size + 1 + x->value_size;
    return total;
}

int union_setxattr(struct view *v, uint64_t ino, const char *name, const void *value, size_t size,
                   int flags)
{
    struct inode *i;
    bool found;
    int r = inode_writable(v, ino, &i);

    if (r == 0)
        r = name_policy(name);
    if (r < 0)
        return r;
    if (strlen(name) > LIMIT_NAME_SIZE)
        return -ERANGE;
    if (size > LIMIT_XATTR_SIZE)
        return -E2BIG;
    r = xattrs_load(v, i);
    if (r < 0)
        return r;
    (void)find_link(i, name, &found);
    if ((flags & XATTR_CREATE) && found)
        return -EEXIST;
    if ((flags & XATTR_REPLACE) && !found)
        return -ENODATA;
    if (total_size(i) + strlen(name) + 1 + size > LIMIT_XATTRS_SIZE)
        return -ENOSPC;
    put_item(i, item_new(name, value, size));
    i->ctime_ns = union_now_ns();
    journal_note_inode(v, i);
    return 0;
}

int union_removexattr(struct view *v, uint64_t ino, const char *name)
{
    struct xattr_item **link;
    struct xattr_item *x;
    struct inode *i;
    bool found;
    int r = inode_writable(v, ino, &i);

    if (r == 0)
        r = name_policy(name);
    if (r == 0)
        r = xattrs_load(v, i);
    if (r < 0)
        return r;
    link = find_link(i, name, &found);
    if (!found)
        return -ENODATA;
    x = *link;
    *link = x->next;
    free(x);
    i->ctime_ns = union_now_ns();
    journal_note_inode(v, i);
    return 0;
}

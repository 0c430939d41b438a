/* model.c - see model.h. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fs/base/cleanup.h"
#include "tests/fuzz/model.h"

void model_init(struct model *m)
{
    *m = (struct model){0};
    m->root = model_node(m, S_IFDIR | 0755, 0, 0);
    m->root->nlink = 1;
}

void model_release(struct model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct mnode *n = m->nodes[i];

        for (size_t k = 0; k < n->name_count; k++)
            free(n->names[k].text);
        for (size_t k = 0; k < n->xattr_count; k++) {
            free(n->xattrs[k].name);
            free(n->xattrs[k].value);
        }
        free(n->names);
        free(n->bytes);
        free(n);
    }
    free(m->nodes);
    *m = (struct model){0};
}

struct mnode *model_node(struct model *m, mode_t mode, uint32_t uid, uint32_t gid)
{
    struct mnode *n = mem_new(struct mnode);

    n->mode = mode;
    n->uid = uid;
    n->gid = gid;
    m->nodes = array_grow(m->nodes, m->count, &m->capacity, sizeof(*m->nodes));
    m->nodes[m->count++] = n;
    return n;
}

void model_set_bytes(struct mnode *n, const void *bytes, size_t size)
{
    free(n->bytes);
    n->bytes = mem_dup(bytes, size);
    n->size = size;
}

/* -- directories -- */

struct mname *model_find(const struct mnode *dir, const char *name)
{
    for (size_t i = 0; i < dir->name_count; i++)
        if (strcmp(dir->names[i].text, name) == 0)
            return &dir->names[i];
    return NULL;
}

static void lose_name(struct mnode *node)
{
    node->nlink--;
    if (S_ISDIR(node->mode))
        node->parent = NULL;
}

void model_drop(struct mnode *dir, const char *name)
{
    struct mname *at = model_find(dir, name);

    if (!at)
        return;
    lose_name(at->node);
    free(at->text);
    *at = dir->names[--dir->name_count];
}

void model_put(struct mnode *dir, const char *name, struct mnode *node)
{
    model_drop(dir, name);
    dir->names = mem_resize(dir->names, dir->name_count + 1, sizeof(*dir->names));
    dir->names[dir->name_count++] = (struct mname){mem_strdup(name), node};
    node->nlink++;
    if (S_ISDIR(node->mode))
        node->parent = dir;
}

static void mark(struct mnode *n)
{
    n->is_named = true;
    for (size_t i = 0; i < n->name_count; i++)
        mark(n->names[i].node);
}

void model_mark(struct model *m)
{
    for (size_t i = 0; i < m->count; i++)
        m->nodes[i]->is_named = false;
    mark(m->root);
}

static int check_dir(const struct mnode *dir)
{
    if (!S_ISDIR(dir->mode))
        return -ENOTDIR;
    return dir->nlink == 0 ? -ENOENT : 0;
}

/* May `name` be made in `dir`? */
static int check_new(const struct mnode *dir, const char *name)
{
    int r = check_dir(dir);

    if (r < 0)
        return r;
    if (strlen(name) > 255)
        return -ENAMETOOLONG;
    if (model_find(dir, name))
        return -EEXIST;
    return strncmp(name, ".wh.", 4) == 0 ? -EPERM : 0;
}

int model_mknod(struct model *m, struct mnode *dir, const char *name, mode_t mode, uint32_t uid,
                uint32_t gid, struct mnode **out)
{
    int r = check_new(dir, name);

    if (r < 0)
        return r;
    if (S_ISCHR(mode) || S_ISBLK(mode))
        return -EPERM;
    if (dir->mode & S_ISGID) {
        gid = dir->gid;
        if (S_ISDIR(mode))
            mode |= S_ISGID;
    }
    *out = model_node(m, mode, uid, gid);
    model_put(dir, name, *out);
    return 0;
}

int model_tmpfile(struct model *m, struct mnode *dir, mode_t mode, struct mnode **out)
{
    int r = check_dir(dir);

    if (r < 0)
        return r;
    *out = model_node(m, S_IFREG | mode, 0, dir->mode & S_ISGID ? dir->gid : 0);
    (*out)->is_linkable = true;
    return 0;
}

int model_symlink(struct model *m, struct mnode *dir, const char *name, const char *target,
                  struct mnode **out)
{
    int r = check_new(dir, name);

    if (r < 0)
        return r;
    if (target[0] == '\0')
        return -ENOENT;
    *out = model_node(m, S_IFLNK | 0777, 0, dir->mode & S_ISGID ? dir->gid : 0);
    (*out)->bytes = (uint8_t *)mem_strdup(target);
    (*out)->size = strlen(target);
    model_put(dir, name, *out);
    return 0;
}

int model_link(struct mnode *node, struct mnode *dir, const char *name)
{
    int r = check_new(dir, name);

    if (r < 0)
        return r;
    if (S_ISDIR(node->mode))
        return -EPERM;
    if (node->nlink == 0 && !node->is_linkable)
        return -ENOENT;
    node->is_linkable = false;
    model_put(dir, name, node);
    return 0;
}

static int find_old(const struct mnode *dir, const char *name, struct mnode **out)
{
    struct mname *at;
    int r = check_dir(dir);

    if (r < 0)
        return r;
    if (strlen(name) > 255)
        return -ENAMETOOLONG;
    at = model_find(dir, name);
    if (!at)
        return -ENOENT;
    *out = at->node;
    return 0;
}

int model_unlink(struct mnode *dir, const char *name)
{
    struct mnode *n;
    int r = find_old(dir, name, &n);

    if (r < 0)
        return r;
    if (S_ISDIR(n->mode))
        return -EISDIR;
    model_drop(dir, name);
    return 0;
}

int model_rmdir(struct mnode *dir, const char *name)
{
    struct mnode *n;
    int r = find_old(dir, name, &n);

    if (r < 0)
        return r;
    if (!S_ISDIR(n->mode))
        return -ENOTDIR;
    if (n->name_count > 0)
        return -ENOTEMPTY;
    model_drop(dir, name);
    return 0;
}

static void empty(struct mnode *dir)
{
    while (dir->name_count > 0) {
        struct mname *at = &dir->names[dir->name_count - 1];

        empty(at->node);
        model_drop(dir, at->text);
    }
}

int model_remove_tree(struct mnode *dir, const char *name)
{
    struct mnode *n;
    int r = find_old(dir, name, &n);

    if (r < 0)
        return r;
    empty(n);
    model_drop(dir, name);
    return 0;
}

static bool holds(const struct mnode *outer, const struct mnode *inner)
{
    for (; inner; inner = inner->parent)
        if (inner == outer)
            return true;
    return false;
}

static int check_rename(const struct mnode *dir, struct mnode *a, const struct mnode *to,
                        struct mnode *b, const char *new_name, unsigned flags)
{
    if ((flags & RENAME_EXCHANGE) && !b)
        return -ENOENT;
    if ((flags & RENAME_NOREPLACE) && b)
        return -EEXIST;
    if (S_ISDIR(a->mode) && holds(a, to))
        return -EINVAL;
    if (b && S_ISDIR(b->mode) && holds(b, dir))
        return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
    if (!b)
        return strncmp(new_name, ".wh.", 4) == 0 ? -EPERM : 0;
    if (a == b || (flags & RENAME_EXCHANGE))
        return 0;
    if (S_ISDIR(a->mode) != S_ISDIR(b->mode))
        return S_ISDIR(a->mode) ? -ENOTDIR : -EISDIR;
    return S_ISDIR(b->mode) && b->name_count > 0 ? -ENOTEMPTY : 0;
}

static void exchange(struct mnode *dir, const char *name, struct mnode *node)
{
    struct mname *at = model_find(dir, name);

    assert(at);
    at->node = node;
    if (S_ISDIR(node->mode))
        node->parent = dir;
}

int model_rename(struct mnode *dir, const char *name, struct mnode *to, const char *new_name,
                 unsigned flags)
{
    struct mnode *a = NULL;
    struct mnode *b = NULL;
    int r;

    if (flags == (RENAME_EXCHANGE | RENAME_NOREPLACE) || (flags & RENAME_WHITEOUT))
        return -EINVAL;
    r = find_old(dir, name, &a);
    if (r < 0 && r != -ENOENT)
        return r;
    if (check_dir(dir) < 0)
        return r;
    if (find_old(to, new_name, &b) < 0) {
        int why = find_old(to, new_name, &b);

        if (why != -ENOENT || check_dir(to) < 0)
            return why;
    }
    if (!a)
        return -ENOENT;
    r = check_rename(dir, a, to, b, new_name, flags);
    if (r < 0 || a == b)
        return r;
    if (flags & RENAME_EXCHANGE) {
        exchange(dir, name, b);
        exchange(to, new_name, a);
        return 0;
    }
    model_drop(dir, name);
    model_put(to, new_name, a);
    return 0;
}

/* -- content -- */

static int check_file(const struct mnode *n)
{
    if (S_ISDIR(n->mode))
        return -EISDIR;
    return S_ISREG(n->mode) ? 0 : -EINVAL;
}

static void resize(struct mnode *n, size_t size)
{
    n->bytes = mem_resize(n->bytes, size + 1, 1);
    if (size > n->size)
        memset(n->bytes + n->size, 0, size - n->size);
    n->size = size;
}

static void lose_priv(struct mnode *n, bool suid)
{
    if (suid && !S_ISDIR(n->mode)) {
        n->mode &= ~(mode_t)S_ISUID;
        if (n->mode & S_IXGRP)
            n->mode &= ~(mode_t)S_ISGID;
    }
    if (!S_ISDIR(n->mode))
        (void)model_removexattr(n, "security.capability");
}

ssize_t model_write(struct mnode *n, uint64_t offset, const void *bytes, size_t size, bool kill)
{
    int r = check_file(n);

    if (r < 0)
        return r;
    if (size == 0)
        return 0;
    if (offset + size > n->size)
        resize(n, offset + size);
    memcpy(n->bytes + offset, bytes, size);
    lose_priv(n, kill);
    return (ssize_t)size;
}

ssize_t model_copy(struct mnode *from, uint64_t from_offset, struct mnode *to, uint64_t to_offset,
                   uint64_t size)
{
    int r = check_file(from);

    if (r == 0)
        r = check_file(to);
    if (r < 0)
        return r;
    if (from_offset >= from->size || size == 0)
        return 0;
    if (size > from->size - from_offset)
        size = from->size - from_offset;
    if (from == to && from_offset < to_offset + size && to_offset < from_offset + size)
        return -EINVAL;
    if (to_offset + size > to->size)
        resize(to, to_offset + size);
    memcpy(to->bytes + to_offset, from->bytes + from_offset, size);
    lose_priv(to, true);
    return (ssize_t)size;
}

int model_truncate(struct mnode *n, uint64_t size, bool kill)
{
    int r = check_file(n);

    if (r < 0)
        return r;
    resize(n, size);
    lose_priv(n, kill);
    return 0;
}

static void zero(struct mnode *n, uint64_t from, uint64_t to)
{
    if (from < n->size)
        memset(n->bytes + from, 0, (to < n->size ? to : n->size) - from);
}

static int shift(struct mnode *n, bool collapse, uint64_t offset, uint64_t length)
{
    if (offset % 4096 != 0 || length % 4096 != 0)
        return -EINVAL;
    if (collapse) {
        if (offset + length >= n->size)
            return -EINVAL;
        memmove(n->bytes + offset, n->bytes + offset + length, n->size - offset - length);
        n->size -= length;
        return 0;
    }
    if (offset >= n->size)
        return -EINVAL;
    resize(n, n->size + length);
    memmove(n->bytes + offset + length, n->bytes + offset, n->size - length - offset);
    memset(n->bytes + offset, 0, length);
    return 0;
}

int model_fallocate(struct mnode *n, int mode, uint64_t offset, uint64_t length)
{
    bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
    int r = check_file(n);

    if (r < 0)
        return r;
    if (length == 0)
        return -EINVAL;
    switch (mode & ~FALLOC_FL_KEEP_SIZE) {
    case 0:
        break;
    case FALLOC_FL_ZERO_RANGE:
        zero(n, offset, offset + length);
        break;
    case FALLOC_FL_PUNCH_HOLE:
        if (!keep_size)
            return -EOPNOTSUPP;
        zero(n, offset, offset + length);
        break;
    case FALLOC_FL_COLLAPSE_RANGE:
    case FALLOC_FL_INSERT_RANGE:
        r = keep_size ? -EINVAL : shift(n, mode == FALLOC_FL_COLLAPSE_RANGE, offset, length);
        keep_size = true;
        break;
    default:
        return -EOPNOTSUPP;
    }
    if (r < 0)
        return r;
    if (!keep_size && offset + length > n->size)
        resize(n, offset + length);
    if (mode != FALLOC_FL_KEEP_SIZE)
        lose_priv(n, true);
    return 0;
}

/* -- attributes -- */

void model_chmod(struct mnode *n, mode_t mode)
{
    n->mode = (n->mode & S_IFMT) | (mode & 07777);
}

void model_chown(struct mnode *n, const uint32_t *uid, const uint32_t *gid)
{
    if (uid)
        n->uid = *uid;
    if (gid)
        n->gid = *gid;
    lose_priv(n, true);
}

struct mxattr *model_xattr(struct mnode *n, const char *name)
{
    for (size_t i = 0; i < n->xattr_count; i++)
        if (strcmp(n->xattrs[i].name, name) == 0)
            return &n->xattrs[i];
    return NULL;
}

static int xattr_policy(const char *name)
{
    static const char *const kept[] = {"user.", "security."};

    if (strncmp(name, "trusted.", 8) == 0 || strncmp(name, "user.overlay.", 13) == 0 ||
        strncmp(name, "user.fuseoverlayfs.", 19) == 0)
        return -EPERM;
    for (size_t i = 0; i < 2; i++)
        if (strncmp(name, kept[i], strlen(kept[i])) == 0)
            return 0;
    return -EOPNOTSUPP;
}

int model_setxattr(struct mnode *n, const char *name, const void *value, size_t size, int flags)
{
    struct mxattr *x = model_xattr(n, name);
    int r = xattr_policy(name);

    if (r < 0)
        return r;
    if ((flags & XATTR_CREATE) && x)
        return -EEXIST;
    if ((flags & XATTR_REPLACE) && !x)
        return -ENODATA;
    if (!x) {
        assert(n->xattr_count < sizeof(n->xattrs) / sizeof(n->xattrs[0]));
        x = &n->xattrs[n->xattr_count++];
        *x = (struct mxattr){.name = mem_strdup(name)};
    }
    free(x->value);
    x->value = mem_dup(value, size);
    x->size = size;
    return 0;
}

int model_removexattr(struct mnode *n, const char *name)
{
    struct mxattr *x = model_xattr(n, name);
    int r = xattr_policy(name);

    if (r < 0)
        return r;
    if (!x)
        return -ENODATA;
    free(x->name);
    free(x->value);
    *x = n->xattrs[--n->xattr_count];
    return 0;
}

/* union_rename.c - rename(2) and renameat2(2). Renaming a lower directory moves one name: what is
 * in it stays where it is, and is found through the same runs as before. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "fs/journal.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

struct end { /* one end of a rename */
    struct inode *dir;
    const char *text;
    size_t size;
    uint32_t name;   /* means an inode, or a whiteout, or NONE */
    struct inode *i; /* NULL: the name is free */
};

static int find_end(struct view *v, uint64_t parent, const char *text, struct end *out)
{
    int size = name_check(text);
    int r = dir_writable(v, parent, &out->dir);

    if (r < 0)
        return r;
    if (size < 0)
        return size;
    if (text[0] == '.' && (size == 1 || (size == 2 && text[1] == '.')))
        return -EBUSY;
    out->text = text;
    out->size = (size_t)size;
    r = name_find(v, out->dir, text, out->size, &out->name);
    if (r < 0 && r != -ENOENT)
        return r;
    out->i = r == 0 ? inode_at(v, name_at(v, out->name)->inode) : NULL;
    return 0;
}

static bool is_inside(const struct view *v, const struct inode *dir, const struct inode *outer)
{
    while (dir != outer && dir->first_name != NONE)
        dir = inode_at(v, name_at(v, dir->first_name)->parent);
    return dir == outer;
}

/* What replaces a name must be of the same sort, and a directory only replaces an empty one. */
static int check_target(struct view *v, const struct end *from, const struct end *to)
{
    if (!to->i)
        return name_allowed(to->text, to->size);
    if (S_ISDIR(from->i->mode)) {
        if (!S_ISDIR(to->i->mode))
            return -ENOTDIR;
        return dir_is_empty(v, to->i);
    }
    return S_ISDIR(to->i->mode) ? -EISDIR : 0;
}

static int check_rename(struct view *v, const struct end *from, const struct end *to,
                        uint32_t flags)
{
    bool exchange = (flags & RENAME_EXCHANGE) != 0;

    if (!from->i || (exchange && !to->i))
        return -ENOENT;
    if ((flags & RENAME_NOREPLACE) && to->i)
        return -EEXIST;
    if (S_ISDIR(from->i->mode) && is_inside(v, to->dir, from->i))
        return -EINVAL;
    if (to->i && S_ISDIR(to->i->mode) && is_inside(v, from->dir, to->i))
        return exchange ? -EINVAL : -ENOTEMPTY;
    return exchange || from->i == to->i ? 0 : check_target(v, from, to);
}

static void moved(struct view *v, struct inode *i, int64_t now_ns)
{
    i->ctime_ns = now_ns;
    if (i->flags & INODE_MOUNTPOINT)
        journal_note_inode(v, i);
    if (S_ISDIR(i->mode))
        lower_note_moved(v, i);
}

static void exchange_names(struct view *v, const struct end *a, const struct end *b)
{
    name_detach(v, a->name);
    name_detach(v, b->name);
    name_attach(v, a->name, b->i);
    name_attach(v, b->name, a->i);
    journal_note_name(v, a->dir, a->name);
    journal_note_name(v, b->dir, b->name);
}

/* The target keeps its slot and so its cookie: who lists the directory sees the name once. */
static void replace_name(struct view *v, const struct end *from, const struct end *to)
{
    name_remove(v, from->dir, from->name);
    if (S_ISDIR(to->i->mode))
        dir_kill(v, to->i);
    name_detach(v, to->name);
    name_attach(v, to->name, from->i);
    journal_note_name(v, to->dir, to->name);
}

static void move_name(struct view *v, const struct end *from, const struct end *to)
{
    name_remove(v, from->dir, from->name);
    name_add(v, to->dir, to->text, to->size, to->name, from->i);
}

int union_rename(struct view *v, uint64_t parent, const char *name, uint64_t new_parent,
                 const char *new_name, uint32_t flags)
{
    struct end from;
    struct end to;
    int64_t now_ns = union_now_ns();
    int r;

    if ((flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE)) ||
        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    r = find_end(v, parent, name, &from);
    if (r == 0)
        r = find_end(v, new_parent, new_name, &to);
    if (r == 0)
        r = check_rename(v, &from, &to, flags);
    if (r < 0)
        return r;
    if (from.i == to.i)
        return 0; /* two names of one file: rename(2) leaves both */
    if (flags & RENAME_EXCHANGE)
        exchange_names(v, &from, &to);
    else if (to.i)
        replace_name(v, &from, &to);
    else
        move_name(v, &from, &to);
    moved(v, from.i, now_ns);
    dir_touch(v, from.dir);
    dir_touch(v, to.dir);
    if (to.i)
        moved(v, to.i, now_ns);
    if (to.i && !(flags & RENAME_EXCHANGE))
        inode_unuse(v, to.i);
    return 0;
}

/* journal.c - keeps the lists of what was touched. Not for deciding what changed: see change.c. */
#include "fs/journal.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

void journal_note_name(struct view *v, const struct inode *dir, uint32_t name)
{
    struct name *n = name_at(v, name);
    uint32_t run_count;

    if (n->flags & NAME_DIRTY)
        return;
    (void)inode_runs(dir, &run_count);
    /* What is in a new directory comes along with it; the root of an empty view comes with nothing. */
    if (run_count == 0 && dir->number != UNION_ROOT)
        return;
    n->flags |= NAME_DIRTY;
    n->dirty_prev = NONE;
    n->dirty_next = v->journal.first_name;
    if (n->dirty_next != NONE)
        name_at(v, n->dirty_next)->dirty_prev = name;
    v->journal.first_name = name;
    v->journal.name_count++;
}

void journal_drop_name(struct view *v, uint32_t name)
{
    struct name *n = name_at(v, name);

    if (!(n->flags & NAME_DIRTY))
        return;
    n->flags &= (uint8_t)~NAME_DIRTY;
    if (n->dirty_next != NONE)
        name_at(v, n->dirty_next)->dirty_prev = n->dirty_prev;
    if (n->dirty_prev != NONE)
        name_at(v, n->dirty_prev)->dirty_next = n->dirty_next;
    else
        v->journal.first_name = n->dirty_next;
    v->journal.name_count--;
}

/* The step uses what was made for a mount, so it belongs to the layer after all; and so do the
 * directories that were made to hold it. */
static void adopt_mountpoint(struct view *v, struct inode *i)
{
    while (i->flags & INODE_MOUNTPOINT) {
        uint32_t name = i->first_name;
        struct inode *parent;

        i->flags &= ~(uint32_t)INODE_MOUNTPOINT;
        if (name == NONE)
            return;
        parent = inode_at(v, name_at(v, name)->parent);
        journal_note_name(v, parent, name);
        i = parent;
    }
}

void journal_note_inode(struct view *v, struct inode *i)
{
    if (i->flags & INODE_MOUNTPOINT)
        adopt_mountpoint(v, i);
    if ((i->flags & INODE_DIRTY) || !(i->flags & INODE_ORIGIN || i->number == UNION_ROOT))
        return;
    i->flags |= INODE_DIRTY;
    i->dirty_prev = NONE;
    i->dirty_next = v->journal.first_inode;
    if (i->dirty_next != NONE)
        inode_at(v, i->dirty_next)->dirty_prev = i->number;
    v->journal.first_inode = i->number;
    v->journal.inode_count++;
}

void journal_drop_inode(struct view *v, struct inode *i)
{
    if (!(i->flags & INODE_DIRTY))
        return;
    i->flags &= ~(uint32_t)INODE_DIRTY;
    if (i->dirty_next != NONE)
        inode_at(v, i->dirty_next)->dirty_prev = i->dirty_prev;
    if (i->dirty_prev != NONE)
        inode_at(v, i->dirty_prev)->dirty_next = i->dirty_next;
    else
        v->journal.first_inode = i->dirty_next;
    v->journal.inode_count--;
}

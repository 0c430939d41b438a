/* union_meta.c - attributes: what is shown of an inode and how it is changed. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "fs/journal.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

int64_t union_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now); /* fails only for clocks that do not exist */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void attr_fill(const struct view *v, const struct inode *i, struct union_attr *out)
{
    bool squash = v->options.squash;

    *out = (struct union_attr){
        .ino = i->number,
        .mode = i->mode,
        .nlink = i->nlink,
        .uid = squash ? v->options.squash_uid : i->uid,
        .gid = squash ? v->options.squash_gid : i->gid,
        .size_bytes = i->size_bytes,
        .atime_ns = i->atime_ns,
        .mtime_ns = i->mtime_ns,
        .ctime_ns = i->ctime_ns,
    };
    if (S_ISREG(i->mode))
        out->blocks = inode_bytes(i) / 512 + (inode_bytes(i) % 512 > 0);
    if (S_ISCHR(i->mode) || S_ISBLK(i->mode)) {
        out->rdev_major = i->rdev_major;
        out->rdev_minor = i->rdev_minor;
    }
}

int union_getattr(struct view *v, uint64_t ino, struct union_attr *out)
{
    const struct inode *i = inode_get(v, ino);

    if (!i)
        return -ESTALE;
    attr_fill(v, i, out);
    return 0;
}

int inode_writable(struct view *v, uint64_t ino, struct inode **i)
{
    *i = inode_get(v, ino);
    if (!*i)
        return -ESTALE;
    return v->options.read_only || v->is_sealed ? -EROFS : 0;
}

/* capabilities(7): a program that changed has lost them. chown(2), write(2): who may not keep suid
 * and sgid loses those; sgid without group execution means something else (fcntl(2)) and stays. */
void inode_kill_priv(struct view *v, struct inode *i, bool suid)
{
    if (S_ISDIR(i->mode))
        return;
    if (suid) {
        i->mode &= ~(mode_t)S_ISUID;
        if (i->mode & S_IXGRP)
            i->mode &= ~(mode_t)S_ISGID;
    }
    xattrs_kill_capability(v, i);
}

static int set_size(struct view *v, struct inode *i, const struct union_setattr *s)
{
    int r;

    if (S_ISDIR(i->mode))
        return -EISDIR;
    if (!S_ISREG(i->mode))
        return -EINVAL;
    if (s->size_bytes > INT64_MAX)
        return -EFBIG;
    r = inode_truncate(v, i, s->size_bytes);
    if (r == 0)
        inode_kill_priv(v, i, (s->set & UNION_SET_KILL_PRIV) != 0);
    return r;
}

static void set_owner(struct view *v, struct inode *i, const struct union_setattr *s)
{
    if (s->set & UNION_SET_UID)
        i->uid = s->uid;
    if (s->set & UNION_SET_GID)
        i->gid = s->gid;
    inode_kill_priv(v, i, true);
}

static void set_times(struct inode *i, const struct union_setattr *s)
{
    int64_t now = union_now_ns();

    if (s->set & UNION_SET_SIZE)
        i->mtime_ns = now;
    if (s->set & UNION_SET_ATIME)
        i->atime_ns = s->atime_ns;
    if (s->set & UNION_SET_MTIME)
        i->mtime_ns = s->mtime_ns;
    i->ctime_ns = s->set & UNION_SET_CTIME ? s->ctime_ns : now;
}

int union_setattr(struct view *v, uint64_t ino, const struct union_setattr *s,
                  struct union_attr *out)
{
    struct inode *i;
    int r = inode_writable(v, ino, &i);

    if (r == 0 && (s->set & UNION_SET_SIZE))
        r = set_size(v, i, s);
    if (r < 0)
        return r;
    if ((s->set & (UNION_SET_UID | UNION_SET_GID)) ||
        (s->set & ~(uint32_t)UNION_SET_CTIME) == UNION_SET_KILL_PRIV)
        set_owner(v, i, s);
    if (s->set & UNION_SET_MODE)
        i->mode = (i->mode & S_IFMT) | (s->mode & 07777);
    set_times(i, s);
    /* Times of access and change are in no layer, so they alone make no change. */
    if (s->set & ~(uint32_t)(UNION_SET_ATIME | UNION_SET_CTIME))
        journal_note_inode(v, i);
    attr_fill(v, i, out);
    return 0;
}

int union_readlink(struct view *v, uint64_t ino, const char **target)
{
    const struct inode *i = inode_get(v, ino);

    if (!i)
        return -ESTALE;
    if (!S_ISLNK(i->mode))
        return -EINVAL;
    *target = i->target;
    return 0;
}

/* What the view may still write, where that is less than what the disk has. */
static void limit_space(const struct view *v, struct statvfs *out)
{
    uint64_t limit = v->options.segment_size_max;
    uint64_t left = limit > v->segment.end_bytes ? limit - v->segment.end_bytes : 0;

    if (limit == 0 || out->f_frsize == 0)
        return;
    left /= out->f_frsize;
    out->f_bfree = out->f_bfree < left ? out->f_bfree : left;
    out->f_bavail = out->f_bavail < left ? out->f_bavail : left;
}

int union_statfs(struct view *v, struct statvfs *out)
{
    if (fstatvfs(store_dir(v->store, STORE_TMP), out) < 0)
        return -errno;
    out->f_namemax = LIMIT_NAME_SIZE;
    limit_space(v, out);
    return 0;
}

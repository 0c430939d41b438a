/* union_name.c - names: looking them up, making and removing them. Renaming is union_rename.c. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/journal.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

/* -- shared by all who change names -- */

int name_check(const char *text)
{
    size_t size = strlen(text);

    if (size == 0)
        return -ENOENT;
    if (size > LIMIT_NAME_SIZE)
        return -ENAMETOOLONG;
    return memchr(text, '/', size) ? -EINVAL : (int)size;
}

static bool is_dots(const char *text)
{
    return strcmp(text, ".") == 0 || strcmp(text, "..") == 0;
}

/* OCI image-spec, layer.md, "Whiteouts": such a name in a layer would remove another (R27). */
int name_allowed(const char *text, size_t size)
{
    return size >= 4 && memcmp(text, ".wh.", 4) == 0 ? -EPERM : 0;
}

int name_find(struct view *v, struct inode *dir, const char *text, size_t size, uint32_t *name)
{
    struct lower_entry entry;
    int r;

    *name = name_lookup_known(v, dir->number, text, size);
    if (*name != NONE)
        return name_at(v, *name)->inode == NONE ? -ENOENT : 0;
    if (dir->dir && dir->dir->is_complete)
        return -ENOENT;
    r = lower_find(v, dir, text, size, &entry);
    return r < 0 ? r : lower_materialise(v, dir, &entry, size, name);
}

void name_add(struct view *v, struct inode *dir, const char *text, size_t size, uint32_t whiteout,
              struct inode *i)
{
    uint32_t name = whiteout ? whiteout : name_new(v, dir->number, text, size, false);

    name_attach(v, name, i);
    dir_list_add(v, dir, name);
    dir_of(dir)->name_count++;
    journal_note_name(v, dir, name);
}

void name_remove(struct view *v, struct inode *dir, uint32_t name)
{
    dir_list_remove(v, dir, name);
    name_detach(v, name);
    dir->dir->name_count--;
    if (name_at(v, name)->flags & NAME_LOWER)
        journal_note_name(v, dir, name);
    else
        name_free(v, name);
}

void dir_touch(struct view *v, struct inode *dir)
{
    dir->mtime_ns = dir->ctime_ns = union_now_ns();
    journal_note_inode(v, dir);
}

int dir_writable(struct view *v, uint64_t ino, struct inode **dir)
{
    int r = inode_writable(v, ino, dir);

    if (r < 0)
        return r;
    if (!S_ISDIR((*dir)->mode))
        return -ENOTDIR;
    return inode_is_alive(*dir) ? 0 : -ENOENT;
}

/* -- looking up -- */

static void give_reference(const struct view *v, struct inode *i, struct union_attr *out)
{
    i->lookup_count++;
    attr_fill(v, i, out);
}

int union_lookup(struct view *v, uint64_t parent, const char *name, struct union_attr *out)
{
    struct inode *dir = inode_get(v, parent);
    uint32_t found;
    int size = name_check(name);
    int r;

    if (!dir)
        return -ESTALE;
    if (!S_ISDIR(dir->mode))
        return -ENOTDIR;
    if (size < 0)
        return size == -EINVAL ? -ENOENT : size;
    if (is_dots(name)) {
        give_reference(v, name[1] ? dir_parent(v, dir) : dir, out);
        return 0;
    }
    r = name_find(v, dir, name, (size_t)size, &found);
    if (r == 0)
        give_reference(v, inode_at(v, name_at(v, found)->inode), out);
    return r;
}

void union_forget(struct view *v, uint64_t ino, uint64_t count)
{
    struct inode *i = inode_get(v, ino);

    if (!i)
        return;
    i->lookup_count -= count < i->lookup_count ? count : i->lookup_count;
    inode_unuse(v, i);
}

/* -- making -- */

struct place { /* where a name is going to be */
    struct inode *dir;
    const char *text;
    size_t size;
    uint32_t whiteout; /* or NONE */
};

static int find_place(struct view *v, uint64_t parent, const char *name, struct place *out)
{
    int size = name_check(name);
    int r = dir_writable(v, parent, &out->dir);

    if (r < 0)
        return r;
    if (size < 0)
        return size;
    if (is_dots(name))
        return -EEXIST;
    out->text = name;
    out->size = (size_t)size;
    r = name_find(v, out->dir, name, out->size, &out->whiteout);
    if (r == 0)
        return -EEXIST;
    if (r != -ENOENT)
        return r;
    if (v->name_count >= NAME_COUNT_MAX)
        return view_set_fault(v, ENOSPC, "'%s' has more than %u names", v->label, NAME_COUNT_MAX);
    return name_allowed(name, out->size);
}

/* chmod(2), "S_ISGID": what is made in such a directory gets its group, directories the bit too. */
static struct inode *make_inode(struct view *v, const struct inode *dir, mode_t mode,
                                struct union_cred cred)
{
    bool inherits = (dir->mode & S_ISGID) != 0;
    struct inode *i;

    if (inherits && S_ISDIR(mode))
        mode |= S_ISGID;
    i = inode_new(v, mode, cred.uid, inherits ? dir->gid : cred.gid);
    if (i)
        i->atime_ns = i->mtime_ns = i->ctime_ns = union_now_ns();
    return i;
}

static void put(struct view *v, const struct place *place, struct inode *i, struct union_attr *out)
{
    name_add(v, place->dir, place->text, place->size, place->whiteout, i);
    dir_touch(v, place->dir);
    give_reference(v, i, out);
}

/* 0:0 is refused even as data: that is how overlay filesystems write a whiteout (R27). */
static int check_device(const struct view *v, mode_t mode, uint32_t major, uint32_t minor)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        return 0;
    case S_IFCHR:
    case S_IFBLK:
        return v->options.allow_devices && (major != 0 || minor != 0) ? 0 : -EPERM;
    default:
        return -EINVAL;
    }
}

int union_mknod(struct view *v, uint64_t parent, const char *name, mode_t mode, uint32_t major,
                uint32_t minor, struct union_cred cred, struct union_attr *out)
{
    struct place place;
    struct inode *i;
    int r = find_place(v, parent, name, &place);

    if ((mode & S_IFMT) == 0)
        mode |= S_IFREG; /* mknod(2) */
    if (r == 0)
        r = check_device(v, mode, major, minor);
    if (r < 0)
        return r;
    i = make_inode(v, place.dir, mode & (S_IFMT | 07777), cred);
    if (!i)
        return -ENOSPC;
    if (S_ISCHR(mode) || S_ISBLK(mode)) {
        i->rdev_major = major;
        i->rdev_minor = minor;
    }
    put(v, &place, i, out);
    return 0;
}

int union_mkdir(struct view *v, uint64_t parent, const char *name, mode_t mode,
                struct union_cred cred, struct union_attr *out)
{
    struct place place;
    struct inode *i;
    int r = find_place(v, parent, name, &place);

    if (r < 0)
        return r;
    i = make_inode(v, place.dir, S_IFDIR | (mode & 07777), cred);
    if (!i)
        return -ENOSPC;
    dir_of(i)->is_complete = true;
    put(v, &place, i, out);
    return 0;
}

int union_symlink(struct view *v, uint64_t parent, const char *name, const char *target,
                  struct union_cred cred, struct union_attr *out)
{
    struct place place;
    struct inode *i;
    size_t size = strlen(target);
    int r = find_place(v, parent, name, &place);

    if (r < 0)
        return r;
    if (size == 0)
        return -ENOENT;
    if (size >= LIMIT_PATH_SIZE)
        return -ENAMETOOLONG;
    i = make_inode(v, place.dir, S_IFLNK | 0777, cred);
    if (!i)
        return -ENOSPC;
    i->target = mem_dup(target, size + 1);
    i->flags |= INODE_OWN_TARGET;
    i->size_bytes = size;
    put(v, &place, i, out);
    return 0;
}

int union_tmpfile(struct view *v, uint64_t parent, mode_t mode, struct union_cred cred,
                  struct union_attr *out)
{
    struct inode *dir;
    struct inode *i;
    int r = dir_writable(v, parent, &dir);

    if (r < 0)
        return r;
    i = make_inode(v, dir, S_IFREG | (mode & 07777), cred);
    if (!i)
        return -ENOSPC;
    i->flags |= INODE_LINKABLE;
    give_reference(v, i, out);
    return 0;
}

int union_link(struct view *v, uint64_t ino, uint64_t parent, const char *name,
               struct union_attr *out)
{
    struct inode *i = inode_get(v, ino);
    struct place place;
    int r = find_place(v, parent, name, &place);

    if (r < 0)
        return r;
    if (!i)
        return -ESTALE;
    if (S_ISDIR(i->mode))
        return -EPERM;
    if (i->nlink == 0 && !(i->flags & INODE_LINKABLE))
        return -ENOENT;
    i->flags &= ~(uint32_t)INODE_LINKABLE;
    if (i->flags & INODE_MOUNTPOINT)
        journal_note_inode(v, i);
    i->ctime_ns = union_now_ns();
    put(v, &place, i, out);
    return 0;
}

/* -- removing -- */

static int find_victim(struct view *v, uint64_t parent, const char *name, struct inode **dir,
                       uint32_t *found)
{
    int size = name_check(name);
    int r = dir_writable(v, parent, dir);

    if (r < 0)
        return r;
    if (size < 0)
        return size;
    return is_dots(name) ? -EINVAL : name_find(v, *dir, name, (size_t)size, found);
}

static void remove_from(struct view *v, struct inode *dir, uint32_t name)
{
    struct inode *i = inode_at(v, name_at(v, name)->inode);

    name_remove(v, dir, name);
    i->ctime_ns = union_now_ns();
    dir_touch(v, dir);
    inode_unuse(v, i);
}

int union_unlink(struct view *v, uint64_t parent, const char *name)
{
    struct inode *dir;
    uint32_t found;
    int r = find_victim(v, parent, name, &dir, &found);

    if (r < 0)
        return r;
    if (S_ISDIR(inode_at(v, name_at(v, found)->inode)->mode))
        return -EISDIR;
    remove_from(v, dir, found);
    return 0;
}

int union_rmdir(struct view *v, uint64_t parent, const char *name)
{
    struct inode *dir;
    struct inode *victim;
    uint32_t found;
    int r = find_victim(v, parent, name, &dir, &found);

    if (r < 0)
        return r;
    victim = inode_at(v, name_at(v, found)->inode);
    if (!S_ISDIR(victim->mode))
        return -ENOTDIR;
    r = dir_is_empty(v, victim);
    if (r < 0)
        return r;
    dir_kill(v, victim);
    remove_from(v, dir, found);
    return 0;
}

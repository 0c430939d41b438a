/* view_path.c - paths inside a view, for those who work in it without a mount: COPY, unpack,
 * look-ups in /etc/passwd. Everything stays inside the view's root (path_resolution(7)). */
#include <errno.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/journal.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

struct missing { /* a name that is not there */
    struct inode *dir;
    const char *text;
    size_t size;
    bool is_last; /* nothing follows it in the path */
};
struct maker { /* makes what is missing on the way */
    int (*make)(struct maker *m, struct view *v, const struct missing *missing, struct inode **out);
};

struct walk {
    struct view *v;
    struct maker *maker; /* NULL: what is missing is -ENOENT */
    bool follow_last;
    struct inode *at;
    struct str rest; /* still to be walked */
    unsigned hops;
};

static int enter_link(struct walk *w, const struct inode *link, const char *rest)
{
    struct str path = {0};

    if (++w->hops > LIMIT_SYMLINKS)
        return -ELOOP;
    str_addf(&path, "%s%s", link->target, rest); /* `rest` is empty or begins with a slash */
    if (path.size > (size_t)LIMIT_PATH_SIZE * 4) {
        str_release(&path);
        return -ENAMETOOLONG;
    }
    if (link->target[0] == '/')
        w->at = inode_at(w->v, UNION_ROOT);
    str_release(&w->rest); /* `rest` points into it, so not before */
    w->rest = path;
    return 1;
}

/* One component; 1 when w->rest is another text now. */
static int step(struct walk *w, const char *text, size_t size, const char *rest, bool is_last)
{
    struct view *v = w->v;
    struct missing missing = {w->at, text, size, is_last};
    struct inode *i = NULL;
    uint32_t name = NONE;
    int r;

    if (!S_ISDIR(w->at->mode))
        return -ENOTDIR;
    if (size == 1 && text[0] == '.')
        return 0;
    if (size == 2 && text[0] == '.' && text[1] == '.') {
        w->at = dir_parent(v, w->at);
        return 0;
    }
    if (size > LIMIT_NAME_SIZE)
        return -ENAMETOOLONG;
    r = name_find(v, w->at, text, size, &name);
    if (r == 0)
        i = inode_at(v, name_at(v, name)->inode);
    else if (r == -ENOENT && w->maker)
        r = w->maker->make(w->maker, v, &missing, &i);
    if (r < 0 || !i)
        return r;
    if (S_ISLNK(i->mode) && (!is_last || w->follow_last))
        return enter_link(w, i, rest);
    w->at = i;
    return 0;
}

static int walk_on(struct walk *w)
{
    const char *text = str_text(&w->rest);
    int r = 0;

    while (r >= 0 && *(text += strspn(text, "/")) != '\0') {
        size_t size = strcspn(text, "/");
        const char *rest = text + size;
        bool must_be_dir = *rest == '/';
        bool is_last = rest[strspn(rest, "/")] == '\0';

        r = step(w, text, size, rest, is_last && !(must_be_dir && !w->maker));
        if (r == 0 && must_be_dir && !S_ISDIR(w->at->mode))
            r = -ENOTDIR;
        text = r > 0 ? str_text(&w->rest) : rest;
    }
    return r < 0 ? r : 0;
}

static int walk_path(struct view *v, const char *path, bool follow_last, struct maker *maker,
                     struct inode **out)
{
    struct walk w = {
        .v = v, .maker = maker, .follow_last = follow_last, .at = inode_at(v, UNION_ROOT)};
    int r;

    str_add(&w.rest, path);
    r = walk_on(&w);
    str_release(&w.rest);
    *out = w.at;
    return r;
}

static int give(struct view *v, struct inode *i, struct union_attr *out)
{
    i->lookup_count++;
    attr_fill(v, i, out);
    return 0;
}

int view_resolve(struct view *v, const char *path, bool follow_last, struct union_attr *out)
{
    struct inode *i;
    int r = walk_path(v, path, follow_last, NULL, &i);

    return r < 0 ? r : give(v, i, out);
}

/* -- making directories -- */

struct dir_maker {
    struct maker maker;
    mode_t mode;
    struct union_cred cred;
    int64_t mtime_ns;
    struct inode *newest; /* made last; its time must not change because something is put in it */
};

static int make_one_dir(struct maker *m, struct view *v, const struct missing *missing,
                        struct inode **out)
{
    struct dir_maker *maker = (struct dir_maker *)m;
    auto_free char *name = mem_strndup(missing->text, missing->size);
    struct inode *dir = missing->dir;
    struct union_attr attr;
    int r = union_mkdir(v, dir->number, name, maker->mode, maker->cred, &attr);

    if (r < 0)
        return r;
    *out = inode_at(v, (uint32_t)attr.ino);
    (*out)->lookup_count = 0; /* the name holds it */
    (*out)->atime_ns = (*out)->mtime_ns = maker->mtime_ns;
    if (dir == maker->newest)
        dir->mtime_ns = maker->mtime_ns;
    maker->newest = *out;
    return 0;
}

int view_make_dirs(struct view *v, const char *path, mode_t mode, struct union_cred cred,
                   int64_t mtime_ns, struct union_attr *out)
{
    struct dir_maker maker = {
        .maker = {make_one_dir}, .mode = mode, .cred = cred, .mtime_ns = mtime_ns};
    struct inode *i;
    int r = walk_path(v, path, true, &maker.maker, &i);

    if (r < 0)
        return r;
    return S_ISDIR(i->mode) ? give(v, i, out) : -ENOTDIR;
}

/* -- mount points -- */

struct mountpoint_maker {
    struct maker maker;
    bool is_dir;
};

/* Like mkdir and mknod, but nobody is to know: no time changes, nothing is noted. */
static int make_mountpoint(struct maker *m, struct view *v, const struct missing *missing,
                           struct inode **out)
{
    const struct mountpoint_maker *maker = (const struct mountpoint_maker *)m;
    struct inode *dir = missing->dir;
    bool is_dir = maker->is_dir || !missing->is_last;
    uint32_t whiteout = name_lookup_known(v, dir->number, missing->text, missing->size);
    bool was_dirty = whiteout != NONE && (name_at(v, whiteout)->flags & NAME_DIRTY);
    struct inode *i = inode_new(v, is_dir ? S_IFDIR | 0755 : S_IFREG | 0644, 0, 0);

    if (!i)
        return -ENOSPC;
    i->atime_ns = i->mtime_ns = i->ctime_ns = union_now_ns();
    i->flags |= INODE_MOUNTPOINT;
    if (is_dir)
        dir_of(i)->is_complete = true;
    name_add(v, dir, missing->text, missing->size, whiteout, i);
    if (!was_dirty)
        journal_drop_name(v, i->first_name);
    *out = i;
    return 0;
}

int view_add_mountpoint(struct view *v, const char *path, bool is_dir, struct error *err)
{
    struct mountpoint_maker maker = {.maker = {make_mountpoint}, .is_dir = is_dir};
    struct inode *i;
    int r = walk_path(v, path, true, &maker.maker, &i);

    if (r == -EIO)
        return view_fault(v, err);
    if (r < 0)
        return error_set(err, -r, "cannot make mount point '%s' in '%s': %s", path, v->label,
                         strerrordesc_np(-r));
    if (S_ISDIR(i->mode) != is_dir)
        return error_set(err, is_dir ? ENOTDIR : EISDIR,
                         "cannot mount a %s on '%s' in '%s', which is %s",
                         is_dir ? "directory" : "file", path, v->label,
                         is_dir ? "not a directory" : "a directory");
    return 0;
}

/* -- whole files and trees -- */

int view_read_file(struct view *v, const char *path, uint64_t size_max, struct str *out)
{
    auto_free char *bytes = NULL;
    struct inode *i;
    ssize_t n;
    int r = walk_path(v, path, true, NULL, &i);

    if (r == 0)
        r = file_readable(v, i->number, &i);
    if (r < 0)
        return r;
    if (i->size_bytes > size_max)
        return -EFBIG;
    bytes = mem_try(i->size_bytes + 1, 1);
    if (!bytes)
        return -ENOMEM;
    n = content_read(v, &i->content, i->size_bytes, 0, bytes, i->size_bytes);
    if (n < 0 || (uint64_t)n < i->size_bytes)
        return n < 0 ? (int)n : -EIO;
    str_add_bytes(out, bytes, (size_t)n);
    return 0;
}

static int remove_one(struct view *v, struct inode *dir, uint32_t name, bool is_dir)
{
    const struct name *n = name_at(v, name);
    auto_free char *text = mem_strndup(n->text, n->size);

    return is_dir ? union_rmdir(v, dir->number, text) : union_unlink(v, dir->number, text);
}

int view_remove_tree(struct view *v, uint64_t parent, const char *name)
{
    struct inode *dir;
    uint32_t top = NONE;
    int size = name_check(name);
    int r = dir_writable(v, parent, &dir);

    if (r == 0 && size < 0)
        r = size;
    if (r == 0)
        r = name_find(v, dir, name, (size_t)size, &top);
    for (uint32_t at = top; r == 0;) {
        struct inode *i = inode_at(v, name_at(v, at)->inode);
        bool is_top = at == top;

        dir = inode_at(v, name_at(v, at)->parent);
        if (S_ISDIR(i->mode)) {
            r = dir_complete(v, i);
            if (r == 0 && dir_any_name(i) != NONE) {
                at = dir_any_name(i);
                continue;
            }
        }
        if (r == 0)
            r = remove_one(v, dir, at, S_ISDIR(i->mode));
        if (is_top)
            break;
        at = dir_any_name(dir) != NONE ? dir_any_name(dir) : dir->first_name;
    }
    return r;
}

/* extract.c - tar entries become inodes of a view, in the order of the archive. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/tree/extract.h"
#include "fs/archive.h"
#include "fs/union.h"
#include "fs/view.h"

#include "fs/base/banned.h"

#define BUFFER_SIZE (256u << 10)

struct extract {
    struct view *to;
    struct archive_reader *archive;
    const struct copy_options *options;
    char *buffer;
    struct {
        struct dir_time {
            uint64_t ino;
            int64_t mtime_ns;
        } * items;
        size_t count;
        size_t capacity;
    } dirs; /* their times are set last: what goes into them changes them */
    struct {
        uint64_t *items;
        size_t count;
        size_t capacity;
    } touched; /* directories something was put into, listed or not */
};

static int fail(struct extract *x, const char *path, int code, struct error *err)
{
    if ((code == -EIO || code == -ENOSPC) && view_fault(x->to, err) < 0)
        return error_wrap(err, "cannot write '%s'", path);
    return error_set(err, -code, "cannot extract '%s': %s", path, strerror(-code));
}

static struct union_cred owner_of(const struct extract *x, const struct entry_meta *m)
{
    if (x->options->set_owner)
        return (struct union_cred){.uid = x->options->uid, .gid = x->options->gid};
    return (struct union_cred){.uid = m->uid, .gid = m->gid};
}

static int64_t time_of(const struct extract *x, const struct entry_meta *m)
{
    return x->options->fixed_times ? x->options->now_ns : m->mtime_ns;
}

static int set_meta(struct extract *x, uint64_t ino, const struct tar_entry *e)
{
    const struct entry_meta *m = &e->meta;
    struct union_cred owner = owner_of(x, m);
    struct union_setattr owner_set = {
        .set = UNION_SET_UID | UNION_SET_GID, .uid = owner.uid, .gid = owner.gid};
    struct union_setattr rest = {.set = UNION_SET_MTIME, .mtime_ns = time_of(x, m)};
    struct union_attr attr;
    int r = union_setattr(x->to, ino, &owner_set, &attr);

    if (m->type != ENTRY_SYMLINK) {
        rest.set |= UNION_SET_MODE;
        rest.mode = x->options->chmod == NULL
                        ? m->mode
                        : chmod_apply(x->options->chmod, m->mode, m->type == ENTRY_DIR);
    }
    for (size_t i = 0; r == 0 && i < e->xattr_count; i++)
        r = union_setxattr(x->to, ino, e->xattrs[i].name, e->xattrs[i].value,
                           e->xattrs[i].value_size, 0);
    return r < 0 ? r : union_setattr(x->to, ino, &rest, &attr);
}

static int write_content(struct extract *x, uint64_t ino, const char *path, struct error *err)
{
    uint64_t offset = 0;

    for (;;) {
        ssize_t got = archive_reader_read(x->archive, x->buffer, BUFFER_SIZE, err);
        ssize_t put;

        if (got <= 0)
            return (int)got;
        put = union_write(x->to, ino, offset, x->buffer, (size_t)got, false);
        if (put < 0)
            return fail(x, path, (int)put, err);
        offset += (uint64_t)got;
    }
}

static int make_dir(struct extract *x, uint64_t parent, const char *name, const struct tar_entry *e,
                    const char *path, struct error *err)
{
    struct union_attr attr;
    struct dir_time *time;
    int r = union_lookup(x->to, parent, name, &attr);

    if (r == 0 && !S_ISDIR(attr.mode)) {
        r = union_unlink(x->to, parent, name);
        if (r == 0)
            r = -ENOENT;
    }
    if (r == -ENOENT)
        r = union_mkdir(x->to, parent, name, e->meta.mode, owner_of(x, &e->meta), &attr);
    if (r == 0)
        r = set_meta(x, attr.ino, e);
    if (r < 0)
        return fail(x, path, r, err);
    time = array_add(&x->dirs);
    *time = (struct dir_time){.ino = attr.ino, .mtime_ns = time_of(x, &e->meta)};
    return 0;
}

static int make_link(struct extract *x, uint64_t parent, const char *name,
                     const struct tar_entry *e, const char *path, struct error *err)
{
    auto_free char *target = path_join(x->options->destination, e->target);
    struct union_attr attr;
    int r = view_resolve(x->to, target, false, &attr);

    if (r == 0 && !S_ISREG(attr.mode))
        return error_set(err, EINVAL, "'%s' is a hard link to '%s', which is no file", path,
                         target);
    if (r == 0)
        r = union_link(x->to, attr.ino, parent, name, &attr);
    return r < 0 ? fail(x, path, r, err) : 0;
}

static int make_leaf(struct extract *x, uint64_t parent, const char *name,
                     const struct tar_entry *e, const char *path, struct error *err)
{
    struct union_cred owner = owner_of(x, &e->meta);
    struct union_attr attr;
    int r = union_lookup(x->to, parent, name, &attr);

    if (r == 0)
        r = view_remove_tree(x->to, parent, name);
    if (r < 0 && r != -ENOENT)
        return fail(x, path, r, err);
    if (e->is_hard_link)
        return make_link(x, parent, name, e, path, err);
    if (e->meta.type == ENTRY_SYMLINK)
        r = union_symlink(x->to, parent, name, e->target, owner, &attr);
    else
        r = union_mknod(x->to, parent, name, entry_type_to_mode(e->meta.type) | e->meta.mode,
                        e->meta.rdev_major, e->meta.rdev_minor, owner, &attr);
    if (r < 0)
        return fail(x, path, r, err);
    if (e->meta.type == ENTRY_FILE) {
        r = write_content(x, attr.ino, path, err);
        if (r < 0)
            return r;
    }
    r = set_meta(x, attr.ino, e);
    return r < 0 ? fail(x, path, r, err) : 0;
}

static int extract_entry(struct extract *x, const struct tar_entry *e, struct error *err)
{
    auto_free char *path = path_join(x->options->destination, e->path);
    auto_free char *dir = path_join(path, "..");
    const char *name = path_base(path);
    struct union_attr parent;
    int r;

    if (e->path[0] == '\0')
        return 0; /* the archive's own root: the destination keeps what it is */
    r = copy_make_dirs(x->to, dir, (struct union_cred){0}, x->options->now_ns, &parent);
    if (r < 0)
        return fail(x, dir, r, err);
    if (x->touched.count == 0 || x->touched.items[x->touched.count - 1] != parent.ino)
        *array_add(&x->touched) = parent.ino;
    if (e->meta.type == ENTRY_DIR)
        return make_dir(x, parent.ino, name, e, path, err);
    return make_leaf(x, parent.ino, name, e, path, err);
}

/* A directory that a later entry replaced is gone. */
static bool is_gone(int r)
{
    return r == -ENOENT || r == -ESTALE;
}

/* Those in the archive have its times, others the build's. */
static int set_dir_times(struct extract *x, struct error *err)
{
    for (size_t i = 0; i < x->touched.count; i++) {
        int r = copy_touch_dir(x->to, x->touched.items[i], x->options->now_ns);

        if (r < 0 && !is_gone(r))
            return fail(x, x->options->destination, r, err);
    }
    for (size_t i = x->dirs.count; i > 0; i--) {
        const struct dir_time *d = &x->dirs.items[i - 1];
        int r = copy_touch_dir(x->to, d->ino, d->mtime_ns);

        if (r < 0 && !is_gone(r))
            return fail(x, x->options->destination, r, err);
    }
    return 0;
}

int extract_archive(struct view *to, struct reader *from, const char *what,
                    const struct copy_options *options, struct error *err)
{
    auto_archive_reader struct archive_reader *archive = archive_reader_new(from, what);
    auto_free char *buffer = mem_alloc(BUFFER_SIZE);
    struct extract x = {.to = to, .archive = archive, .options = options, .buffer = buffer};
    const struct tar_entry *entry;
    struct union_attr attr;
    const struct union_cred owner = {.uid = options->set_owner ? options->uid : 0,
                                     .gid = options->set_owner ? options->gid : 0};
    int r = copy_make_dirs(to, options->destination, owner, options->now_ns, &attr);

    if (r < 0)
        r = fail(&x, options->destination, r, err);
    while (r == 0 && (r = archive_reader_next(archive, &entry, err)) == 1)
        r = extract_entry(&x, entry, err);
    if (r == 0)
        r = set_dir_times(&x, err);
    free(x.dirs.items);
    free(x.touched.items);
    return r;
}

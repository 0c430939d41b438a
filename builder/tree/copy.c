/* copy.c - COPY's rules about destinations, and the writing of entries. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/tree/copy.h"
#include "builder/tree/extract.h"
#include "builder/tree/tree.h"
#include "fs/archive.h"
#include "fs/base/hash.h"
#include "fs/base/limits.h"
#include "fs/store.h"
#include "fs/union.h"
#include "fs/view.h"

#include "fs/base/banned.h"

void copied_files_release(struct copied_files *files)
{
    free(files->items);
    *files = (struct copied_files){0};
}

#define LINKED_KEY_SIZE 40 /* two numbers in hexadecimal */

/* A directory being filled, and what becomes of its metadata when it is full. */
struct open_dir {
    size_t depth; /* components of its relative path; the root is 0 */
    uint64_t ino;
    bool set_time;
    int64_t mtime_ns;
};

struct copier {
    struct view *to;
    struct store *store;
    struct tree *from;
    const struct copy_options *options;
    struct table linked; /* of the source being copied: its inode -> the file made of it */
    struct {
        struct parent_time {
            uint64_t ino;
            int64_t mtime_ns;
        } * items;
        size_t count;
        size_t capacity;
    } parents; /* directories made for --parents: their times are set last */
    struct open_dir stack[LIMIT_PATH_DEPTH + 2];
    size_t stack_count;
};

static int fail(struct copier *c, const char *path, int code, struct error *err)
{
    if ((code == -EIO || code == -ENOSPC) && view_fault(c->to, err) < 0) /* it names the disk */
        return error_wrap(err, "cannot write '%s'", path);
    return error_set(err, -code, "cannot copy to '%s': %s", path, strerror(-code));
}

static struct union_cred owner_of(const struct copy_options *o, const struct entry_meta *m)
{
    if (o->set_owner)
        return (struct union_cred){.uid = o->uid, .gid = o->gid};
    if (o->keep_owner && m != NULL)
        return (struct union_cred){.uid = m->uid, .gid = m->gid};
    return (struct union_cred){0};
}

int copy_touch_dir(struct view *to, uint64_t ino, int64_t now_ns)
{
    const struct union_setattr set = {.set = UNION_SET_MTIME, .mtime_ns = now_ns};
    struct union_attr attr;

    return union_setattr(to, ino, &set, &attr);
}

int copy_make_dirs(struct view *to, const char *path, struct union_cred cred, int64_t now_ns,
                   struct union_attr *out)
{
    auto_free char *above = path_join(path, "..");
    struct union_attr parent;
    int r = view_resolve(to, path, true, out);

    if (r != -ENOENT || strcmp(above, path) == 0)
        return r == 0 && !S_ISDIR(out->mode) ? -ENOTDIR : r;
    r = copy_make_dirs(to, above, cred, now_ns, &parent);
    if (r == 0)
        r = view_make_dirs(to, path, 0755, cred, now_ns, out);
    return r < 0 ? r : copy_touch_dir(to, parent.ino, now_ns);
}

/* Makes owner, mode and time those of the source, as the flags change them. */
static int set_meta(struct copier *c, uint64_t ino, const struct entry_meta *m)
{
    const struct copy_options *o = c->options;
    struct union_cred owner = owner_of(o, m);
    struct union_setattr owner_set = {
        .set = UNION_SET_UID | UNION_SET_GID, .uid = owner.uid, .gid = owner.gid};
    struct union_setattr rest = {.set = UNION_SET_MTIME, .mtime_ns = m->mtime_ns};
    struct union_attr attr;
    int r;

    /* The mode comes after the owner, for chown clears set-id bits. */
    r = union_setattr(c->to, ino, &owner_set, &attr);
    if (r < 0)
        return r;
    if (m->type != ENTRY_SYMLINK) {
        rest.set |= UNION_SET_MODE;
        rest.mode =
            o->chmod == NULL ? m->mode : chmod_apply(o->chmod, m->mode, m->type == ENTRY_DIR);
    }
    return union_setattr(c->to, ino, &rest, &attr);
}

/* Removes what is in the way of something that is not a directory. */
static int clear_way(struct copier *c, uint64_t parent, const char *name, const char *path,
                     struct error *err)
{
    struct union_attr attr;
    int r = union_lookup(c->to, parent, name, &attr);

    if (r == -ENOENT)
        return 0;
    if (r == 0 && S_ISDIR(attr.mode))
        return error_set(err, EISDIR, "cannot copy to '%s': it is a directory", path);
    if (r == 0)
        r = union_unlink(c->to, parent, name);
    return r < 0 ? fail(c, path, r, err) : 0;
}

/* The file's bytes become those of the host's file, to be read when somebody asks for them. */
static int refer(struct copier *c, const struct tree_node *n, uint64_t ino, struct error *err)
{
    struct copy_references *references = c->options->references;
    const struct extent whole = {.length = n->meta.size_bytes,
                                 .pack = VIEW_OUTSIDE + references->count};
    int r;

    if (references->count == UINT32_MAX - 1)
        return error_set(err, E2BIG, "there are too many files to mount");
    *array_add(references) = n;
    r = union_set_content(c->to, ino, n->meta.size_bytes, &whole, 1);
    return r < 0 ? fail(c, n->path, r, err) : 0;
}

static int share_or_write(struct copier *c, const struct selected *s, uint64_t ino,
                          struct error *err)
{
    const struct tree_node *n = &s->node;
    struct file_row row = {.digest = s->content, .size_bytes = n->meta.size_bytes};
    struct extent extent;
    int r;

    if (n->meta.size_bytes == 0)
        return 0;
    if (c->options->references != NULL)
        return refer(c, n, ino, err);
    if (!tree_is_host(c->from))
        return tree_copy_content(c->from, n, c->to, ino, err);
    r = store_files_find(c->store, &row, 1, err);
    if (r < 0)
        return r;
    if (row.pack != 0) {
        extent = (struct extent){
            .length = row.size_bytes, .pack = row.pack, .pack_offset = row.pack_offset};
        r = union_set_content(c->to, ino, row.size_bytes, &extent, 1);
        return r < 0 ? fail(c, n->path, r, err) : 0;
    }
    r = tree_copy_content(c->from, n, c->to, ino, err);
    if (r == 0)
        r = tree_check_content(c->from, n, &s->content, err);
    if (r == 0 && c->options->files != NULL)
        *array_add(c->options->files) = (struct copied_file){
            .digest = s->content, .size_bytes = n->meta.size_bytes, .ino = ino};
    return r;
}

/* Names of one file stay names of one file, as far as they are in one source. */
static void linked_key(const struct tree_node *n, char key[static LINKED_KEY_SIZE])
{
    (void)snprintf(key, LINKED_KEY_SIZE, "%jx:%jx", (uintmax_t)n->device, (uintmax_t)n->inode);
}

/* True when the name was made as one more of a file copied before. */
static bool link_leaf(struct copier *c, uint64_t parent, const char *name,
                      const struct tree_node *n)
{
    char key[LINKED_KEY_SIZE];
    struct union_attr attr;
    uint64_t ino;

    if (n->link_count < 2)
        return false;
    linked_key(n, key);
    ino = (uintptr_t)table_get(&c->linked, key);
    return ino != 0 && union_link(c->to, ino, parent, name, &attr) == 0;
}

static void note_linked(struct copier *c, const struct tree_node *n, uint64_t ino)
{
    char key[LINKED_KEY_SIZE];

    if (n->link_count < 2)
        return;
    linked_key(n, key);
    table_put(&c->linked, key, (void *)(uintptr_t)ino);
}

static int make_leaf(struct copier *c, uint64_t parent, const char *name, const struct selected *s,
                     const char *path, struct error *err)
{
    const struct entry_meta *m = &s->node.meta;
    struct union_cred owner = owner_of(c->options, m);
    struct union_attr attr;
    int r = clear_way(c, parent, name, path, err);

    if (r < 0)
        return r;
    if (link_leaf(c, parent, name, &s->node))
        return 0;
    if (m->type == ENTRY_SYMLINK)
        r = union_symlink(c->to, parent, name, s->node.target, owner, &attr);
    else
        r = union_mknod(c->to, parent, name, entry_type_to_mode(m->type) | m->mode, m->rdev_major,
                        m->rdev_minor, owner, &attr);
    if (r < 0)
        return fail(c, path, r, err);
    note_linked(c, &s->node, attr.ino);
    if (m->type == ENTRY_FILE) {
        r = share_or_write(c, s, attr.ino, err);
        if (r < 0)
            return r;
    }
    r = set_meta(c, attr.ino, m);
    if (r < 0)
        return fail(c, path, r, err);
    return tree_copy_xattrs(c->from, &s->node, c->to, attr.ino, err);
}

/* Directory times are set when nothing more goes into them. */
static int close_dirs(struct copier *c, size_t depth, struct error *err)
{
    while (c->stack_count > 0 && c->stack[c->stack_count - 1].depth >= depth) {
        const struct open_dir *d = &c->stack[--c->stack_count];
        struct union_setattr set = {.set = UNION_SET_MTIME, .mtime_ns = d->mtime_ns};
        struct union_attr attr;
        int r = d->set_time ? union_setattr(c->to, d->ino, &set, &attr) : 0;

        if (r < 0)
            return fail(c, c->options->destination, r, err);
    }
    return 0;
}

static int push_dir(struct copier *c, const struct open_dir *dir, const char *path,
                    struct error *err)
{
    if (c->stack_count == sizeof(c->stack) / sizeof(c->stack[0]))
        return error_set(err, ELOOP, "cannot copy to '%.64s…': too many levels", path);
    c->stack[c->stack_count++] = *dir;
    return 0;
}

static size_t depth_of(const char *relative)
{
    size_t depth = relative[0] == '\0' ? 0 : 1;

    for (; *relative != '\0'; relative++)
        depth += *relative == '/';
    return depth;
}

/* A directory below the one that is open. */
static int make_dir(struct copier *c, const struct selected *s, const char *path, struct error *err)
{
    const struct entry_meta *m = &s->node.meta;
    uint64_t parent = c->stack[c->stack_count - 1].ino;
    const char *name = path_base(s->relative);
    struct open_dir dir = {
        .depth = depth_of(s->relative), .set_time = true, .mtime_ns = m->mtime_ns};
    struct union_attr attr;
    int r = union_lookup(c->to, parent, name, &attr);

    if (r == 0 && !S_ISDIR(attr.mode))
        return error_set(err, ENOTDIR, "cannot copy to non-directory: %s", path);
    if (r == -ENOENT)
        r = union_mkdir(c->to, parent, name, m->mode, owner_of(c->options, m), &attr);
    if (r == 0)
        r = set_meta(c, attr.ino, m);
    if (r < 0)
        return fail(c, path, r, err);
    r = tree_copy_xattrs(c->from, &s->node, c->to, attr.ino, err);
    dir.ino = attr.ino;
    return r < 0 ? r : push_dir(c, &dir, path, err);
}

/* The directory that a source directory's contents go into. One that exists keeps its metadata. */
static int open_root(struct copier *c, const struct selected *root, bool is_empty,
                     const char *target, struct error *err)
{
    const struct entry_meta *m = &root->node.meta;
    struct union_attr attr;
    int r = view_resolve(c->to, target, true, &attr);
    bool made = r == -ENOENT;

    if (r == 0 && !S_ISDIR(attr.mode))
        return error_set(err, ENOTDIR, "cannot copy to non-directory: %s", target);
    if (made) {
        r = copy_make_dirs(c->to, target, owner_of(c->options, NULL), c->options->now_ns, &attr);
        if (r == 0)
            r = set_meta(c, attr.ino, m);
    }
    if (r < 0)
        return fail(c, target, r, err);
    return push_dir(c,
                    &(struct open_dir){.ino = attr.ino,
                                       .set_time = made || !is_empty,
                                       .mtime_ns = made ? m->mtime_ns : c->options->now_ns},
                    target, err);
}

static int copy_dir(struct copier *c, const struct selection *s, const char *target,
                    struct error *err)
{
    int r = open_root(c, &s->items[0], s->count == 1, target, err);

    for (size_t i = 1; r == 0 && i < s->count; i++) {
        const struct selected *item = &s->items[i];
        auto_free char *path = path_join(target, item->relative);

        r = close_dirs(c, depth_of(item->relative), err);
        if (r < 0)
            return r;
        if (item->node.meta.type == ENTRY_DIR)
            r = make_dir(c, item, path, err);
        else
            r = make_leaf(c, c->stack[c->stack_count - 1].ino, path_base(path), item, path, err);
    }
    return r < 0 ? r : close_dirs(c, 0, err);
}

static int copy_leaf(struct copier *c, const struct selected *s, const char *target,
                     struct error *err)
{
    auto_free char *dir = path_join(target, "..");
    struct union_attr parent;
    int r = copy_make_dirs(c->to, dir, owner_of(c->options, NULL), c->options->now_ns, &parent);

    if (r < 0)
        return fail(c, dir, r, err);
    r = make_leaf(c, parent.ino, path_base(target), s, target, err);
    if (r < 0)
        return r;
    r = copy_touch_dir(c->to, parent.ino, c->options->now_ns);
    return r < 0 ? fail(c, dir, r, err) : 0;
}

/* Where one source goes; caller frees. */
static char *target_of(struct copier *c, const char *source, size_t pivot, bool is_dir)
{
    const struct copy_options *o = c->options;
    const char *destination = o->destination;
    struct union_attr attr;

    if (o->with_parents) {
        for (; pivot > 0 && *source != '\0'; pivot--) {
            source += strcspn(source, "/");
            source += *source == '/';
        }
        return path_join(destination, source);
    }
    if (is_dir)
        return path_clean(destination);
    if (o->several || text_ends(destination, "/") || text_ends(destination, "/.") ||
        (view_resolve(c->to, destination, true, &attr) == 0 && S_ISDIR(attr.mode)))
        return path_join(destination, path_base(source));
    return path_clean(destination);
}

/* 1 when the source was an archive and is extracted, 0 when it is an ordinary file. */
static int unpack_leaf(struct copier *c, const struct selected *s, struct error *err)
{
    auto_reader struct reader *head = NULL;
    auto_reader struct reader *from = NULL;
    struct copy_options options = *c->options;
    auto_free char *destination = path_clean(c->options->destination);
    int r;

    if (!c->options->unpack || s->node.meta.type != ENTRY_FILE)
        return 0;
    r = tree_open_reader(c->from, &s->node, &head, err);
    if (r < 0 || !archive_sniff_reader(head))
        return r;
    r = tree_open_reader(c->from, &s->node, &from, err);
    if (r < 0)
        return r;
    options.destination = destination;
    r = extract_archive(c->to, from, s->node.path, &options, err);
    if (r == 0)
        r = tree_check_content(c->from, &s->node, &s->content, err);
    return r < 0 ? r : 1;
}

/* --parents: directories on the way that are not there yet are copies of the source's. */
static int copy_parents(struct copier *c, const struct selection *s, struct error *err)
{
    for (size_t i = 0; i < s->parent_count; i++) {
        const struct selected *parent = &s->parents[i];
        auto_free char *path = path_join(c->options->destination, parent->relative);
        struct union_attr attr;
        int r = view_resolve(c->to, path, true, &attr);

        if (r == 0)
            continue;
        if (r == -ENOENT)
            r = copy_make_dirs(c->to, path, owner_of(c->options, &parent->node.meta),
                               c->options->now_ns, &attr);
        if (r == 0)
            r = set_meta(c, attr.ino, &parent->node.meta);
        if (r < 0)
            return fail(c, path, r, err);
        r = tree_copy_xattrs(c->from, &parent->node, c->to, attr.ino, err);
        if (r < 0)
            return r;
        *array_add(&c->parents) =
            (struct parent_time){.ino = attr.ino, .mtime_ns = parent->node.meta.mtime_ns};
    }
    return 0;
}

static int set_parent_times(struct copier *c, struct error *err)
{
    for (size_t i = c->parents.count; i > 0; i--) {
        const struct parent_time *p = &c->parents.items[i - 1];
        int r = copy_touch_dir(c->to, p->ino, p->mtime_ns);

        if (r < 0)
            return fail(c, c->options->destination, r, err);
    }
    return 0;
}

static int copy_selection(struct copier *c, const struct selection *s, struct error *err)
{
    auto_free char *target = NULL;
    int r;

    if (s->count == 0)
        return 0;
    r = s->is_dir ? 0 : unpack_leaf(c, &s->items[0], err);
    if (r != 0)
        return r < 0 ? r : 0;
    target = target_of(c, s->path, s->pivot, s->is_dir);
    r = copy_parents(c, s, err);
    if (r < 0)
        return r;
    r = s->is_dir ? copy_dir(c, s, target, err) : copy_leaf(c, &s->items[0], target, err);
    table_release(&c->linked);
    return r;
}

int copy_apply(struct view *to, struct store *store, struct tree *from, struct selections *sources,
               const struct copy_options *options, struct error *err)
{
    auto_free struct copier *c = mem_new(struct copier);
    int r = 0;

    c->to = to;
    c->store = store;
    c->from = from;
    c->options = options;
    for (size_t i = 0; r == 0 && i < sources->count; i++)
        r = copy_selection(c, &sources->items[i], err);
    if (r == 0)
        r = set_parent_times(c, err);
    free(c->parents.items);
    return r;
}

int copy_text(struct view *to, const char *name, const char *data, size_t size,
              const struct copy_options *options, struct error *err)
{
    struct copier c = {.to = to, .options = options};
    const struct entry_meta meta = {
        .type = ENTRY_FILE, .mode = 0644, .mtime_ns = options->now_ns, .size_bytes = size};
    struct union_cred owner = owner_of(options, NULL);
    auto_free char *target = target_of(&c, name, 0, false);
    auto_free char *dir = path_join(target, "..");
    struct union_attr attr;
    struct union_attr parent;
    ssize_t put;
    int r = copy_make_dirs(to, dir, owner, options->now_ns, &parent);

    if (r < 0)
        return fail(&c, dir, r, err);
    r = clear_way(&c, parent.ino, path_base(target), target, err);
    if (r < 0)
        return r;
    r = union_mknod(to, parent.ino, path_base(target), S_IFREG | 0644, 0, 0, owner, &attr);
    if (r < 0)
        return fail(&c, target, r, err);
    put = size == 0 ? 0 : union_write(to, attr.ino, 0, data, size, false);
    r = put < 0 ? (int)put : set_meta(&c, attr.ino, &meta);
    if (r == 0)
        r = copy_touch_dir(to, parent.ino, options->now_ns);
    return r < 0 ? fail(&c, target, r, err) : 0;
}

int copied_files_remember(const struct copied_files *files, struct view *v, struct store *store,
                          int64_t layer, struct error *err)
{
    auto_free struct file_row *rows = NULL;
    struct layer_row row;
    size_t count = 0;
    int r;

    if (files->count == 0 || layer == 0)
        return 0;
    r = store_layer_get(store, layer, &row, err);
    if (r < 0)
        return r;
    rows = mem_alloc(files->count * sizeof(*rows));
    for (size_t i = 0; i < files->count; i++) {
        const struct copied_file *f = &files->items[i];
        struct extent extent;

        /* A file replaced by a later source, or in pieces, is not worth remembering. */
        if (union_get_content(v, f->ino, &extent, 1) != 1 || extent.pack != VIEW_SEGMENT ||
            extent.file_offset != 0 || extent.length != f->size_bytes)
            continue;
        rows[count++] = (struct file_row){.digest = f->digest,
                                          .size_bytes = f->size_bytes,
                                          .pack = row.pack,
                                          .pack_offset = extent.pack_offset};
    }
    return store_files_add(store, rows, count, err);
}

/* compare.c - walks two merged trees side by side. Not for what a view itself changed: see change.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/base/str.h"
#include "fs/compare.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

#define READ_SIZE (256u << 10)

struct walk {
    struct view *before;
    struct view *after;
    const struct compare_options *options;
    compare_fn *fn;
    void *context;
    bool may_skip; /* what a directory holds follows from its runs alone */
    struct str path;
    size_t depth;
    char *left; /* READ_SIZE bytes each, made when first needed */
    char *right;
};

static void walk_release(struct walk *w)
{
    str_release(&w->path);
    free(w->left);
    free(w->right);
}
DEFINE_CLEANUP_VALUE(walk_release, struct walk)

/* The names of one directory, sorted by their bytes. */
struct names {
    const struct name **items;
    size_t count;
    size_t capacity;
};

static int compare_names(const void *a, const void *b)
{
    const struct name *x = *(const struct name *const *)a;
    const struct name *y = *(const struct name *const *)b;
    int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);

    return order != 0 ? order : (int)x->size - (int)y->size;
}

static int list(struct view *v, struct inode *dir, struct names *out)
{
    struct dir_walk at = {0};
    uint32_t name;
    int r = dir == NULL ? 0 : dir_complete(v, dir);

    if (r < 0 || dir == NULL)
        return r;
    while ((name = dir_walk_next(dir, &at)) != NONE)
        *array_add(out) = name_at(v, name);
    if (out->count > 1)
        qsort(out->items, out->count, sizeof(const struct name *), compare_names);
    return 0;
}

/* -- two inodes -- */

/* Both show the very same entry of the same layer. */
static bool is_same_origin(const struct walk *w, const struct inode *a, const struct inode *b)
{
    return (a->flags & INODE_ORIGIN) && (b->flags & INODE_ORIGIN) &&
           w->before->layers[a->origin.layer] == w->after->layers[b->origin.layer] &&
           a->origin.inode == b->origin.inode;
}

static bool is_same_tree(const struct walk *w, const struct inode *a, const struct inode *b)
{
    uint32_t count;
    uint32_t other;
    const struct dir_run *x = inode_runs(a, &count);
    const struct dir_run *y = inode_runs(b, &other);

    if (!w->may_skip || count != other)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (w->before->layers[x[i].layer] != w->after->layers[y[i].layer] ||
            x[i].inode != y[i].inode)
            return false;
    return true;
}

/* The next run of bytes that lie together in a pack; false at the end. Adjoining pieces are one. */
static bool next_run(struct view *v, const struct piece **p, const struct content *c,
                     struct content_cursor *at, struct extent *out)
{
    while (*p != NULL && ((*p)->flags & PIECE_UNWRITTEN))
        *p = content_next(c, at);
    if (*p == NULL)
        return false;
    *out = (struct extent){.file_offset = (*p)->start,
                           .length = (*p)->length,
                           .pack = v->sources[(*p)->source],
                           .pack_offset = (*p)->source_offset};
    while ((*p = content_next(c, at)) != NULL && (*p)->start == out->file_offset + out->length &&
           v->sources[(*p)->source] == out->pack &&
           (*p)->source_offset == out->pack_offset + out->length)
        out->length += (*p)->length;
    return true;
}

static bool is_same_place(const struct walk *w, const struct inode *a, const struct inode *b)
{
    struct content_cursor at_a;
    struct content_cursor at_b;
    const struct piece *p = content_seek(&a->content, 0, &at_a);
    const struct piece *q = content_seek(&b->content, 0, &at_b);

    for (;;) {
        struct extent x = {0};
        struct extent y = {0};
        bool has_x = next_run(w->before, &p, &a->content, &at_a, &x);
        bool has_y = next_run(w->after, &q, &b->content, &at_b, &y);

        if (!has_x || !has_y)
            return has_x == has_y;
        if (x.file_offset != y.file_offset || x.length != y.length || x.pack != y.pack ||
            x.pack_offset != y.pack_offset)
            return false;
    }
}

/* 1 when the bytes differ. */
static int read_both(struct walk *w, const struct inode *a, const struct inode *b)
{
    if (w->left == NULL)
        w->left = mem_alloc(READ_SIZE);
    if (w->right == NULL)
        w->right = mem_alloc(READ_SIZE);
    for (uint64_t offset = 0; offset < a->size_bytes; offset += READ_SIZE) {
        ssize_t x = union_read(w->before, a->number, offset, w->left, READ_SIZE);
        ssize_t y = union_read(w->after, b->number, offset, w->right, READ_SIZE);

        if (x < 0 || y < 0)
            return x < 0 ? (int)x : (int)y;
        if (x != y || memcmp(w->left, w->right, (size_t)x) != 0)
            return 1;
    }
    return 0;
}

static int compare_content(struct walk *w, struct inode *a, struct inode *b, uint32_t *what)
{
    int r;

    if (a->size_bytes != b->size_bytes) {
        *what |= COMPARE_SIZE | COMPARE_CONTENT;
        return 0;
    }
    r = content_load(w->before, a);
    if (r == 0)
        r = content_load(w->after, b);
    if (r == 0 && !is_same_place(w, a, b))
        r = read_both(w, a, b);
    if (r > 0)
        *what |= COMPARE_CONTENT;
    return r < 0 ? r : 0;
}

static int compare_xattrs(struct walk *w, struct inode *a, struct inode *b, uint32_t *what)
{
    const struct xattr_item *x;
    const struct xattr_item *y;
    int r = xattrs_load(w->before, a);

    if (r == 0)
        r = xattrs_load(w->after, b);
    if (r < 0)
        return r;
    for (x = a->xattrs, y = b->xattrs; x != NULL && y != NULL; x = x->next, y = y->next)
        if (x->name_size != y->name_size || x->value_size != y->value_size ||
            memcmp(x->data, y->data, x->name_size + 1 + x->value_size) != 0)
            break;
    if (x != NULL || y != NULL)
        *what |= COMPARE_XATTRS;
    return 0;
}

static int compare_inodes(struct walk *w, struct inode *a, struct inode *b, uint32_t *what)
{
    *what = 0;
    if (is_same_origin(w, a, b))
        return 0;
    if ((a->mode & S_IFMT) != (b->mode & S_IFMT)) {
        *what = COMPARE_TYPE;
        return 0;
    }
    if (a->mode != b->mode)
        *what |= COMPARE_MODE;
    if (a->uid != b->uid || a->gid != b->gid)
        *what |= COMPARE_OWNER;
    if (w->options->times && a->mtime_ns != b->mtime_ns)
        *what |= COMPARE_TIME;
    if (S_ISLNK(a->mode) && strcmp(a->target, b->target) != 0)
        *what |= COMPARE_TARGET;
    if ((S_ISCHR(a->mode) || S_ISBLK(a->mode)) &&
        (a->rdev_major != b->rdev_major || a->rdev_minor != b->rdev_minor))
        *what |= COMPARE_DEVICE;
    if (S_ISREG(a->mode)) {
        int r = compare_content(w, a, b, what);

        if (r < 0)
            return r;
    }
    return compare_xattrs(w, a, b, what);
}

/* -- the tree -- */

static void tell(struct walk *w, struct inode *a, struct inode *b, uint32_t what)
{
    struct difference d = {
        .kind = a == NULL   ? CHANGE_ADD
                : b == NULL ? CHANGE_DELETE
                            : CHANGE_MODIFY,
        .path = str_text(&w->path),
        .what = what,
    };

    if (a != NULL) {
        attr_fill(w->before, a, &d.before);
        d.target = S_ISLNK(a->mode) ? a->target : NULL;
    }
    if (b != NULL) {
        attr_fill(w->after, b, &d.after);
        d.target = S_ISLNK(b->mode) ? b->target : NULL;
    }
    w->fn(w->context, &d);
}

static int walk_dirs(struct walk *w, struct inode *a, struct inode *b);

/* One name that at least one of the two has. */
static int visit(struct walk *w, struct inode *a, struct inode *b)
{
    bool both = a != NULL && b != NULL;
    uint32_t what = 0;
    int r = both ? compare_inodes(w, a, b, &what) : 0;

    if (r < 0)
        return r;
    if (!both || what != 0)
        tell(w, a, b, what);
    a = a != NULL && S_ISDIR(a->mode) ? a : NULL;
    b = b != NULL && S_ISDIR(b->mode) ? b : NULL;
    if ((a == NULL && b == NULL) || (a != NULL && b != NULL && is_same_tree(w, a, b)))
        return 0;
    return walk_dirs(w, a, b);
}

static struct inode *inode_of(const struct view *v, const struct name *n)
{
    return n == NULL ? NULL : inode_at(v, n->inode);
}

static int visit_name(struct walk *w, const struct name *x, const struct name *y)
{
    const struct name *n = x != NULL ? x : y;
    size_t size = w->path.size;
    int r;

    if (size > 0)
        str_add_char(&w->path, '/');
    str_add_bytes(&w->path, n->text, n->size);
    r = visit(w, inode_of(w->before, x), inode_of(w->after, y));
    str_truncate(&w->path, size);
    return r;
}

/* Either may be NULL: then all of the other is added or removed. */
static int walk_dirs(struct walk *w, struct inode *a, struct inode *b)
{
    struct names left = {0};
    struct names right = {0};
    size_t i = 0;
    size_t k = 0;
    int r = w->depth >= LIMIT_PATH_DEPTH ? -ELOOP : list(w->before, a, &left);

    if (r == 0)
        r = list(w->after, b, &right);
    w->depth++;
    while (r == 0 && (i < left.count || k < right.count)) {
        int order = i == left.count    ? 1
                    : k == right.count ? -1
                                       : compare_names(&left.items[i], &right.items[k]);

        r = visit_name(w, order <= 0 ? left.items[i] : NULL, order >= 0 ? right.items[k] : NULL);
        i += order <= 0;
        k += order >= 0;
    }
    w->depth--;
    free(left.items);
    free(right.items);
    return r;
}

int view_compare(struct view *before, struct view *after, const struct compare_options *options,
                 compare_fn *fn, void *context, struct error *err)
{
    __attribute__((cleanup(cleanup_walk_release))) struct walk w = {
        .before = before,
        .after = after,
        .options = options,
        .fn = fn,
        .context = context,
        /* A link to a file of a layer below means what those layers make of its path. */
        .may_skip = before->external_count == 0 && after->external_count == 0,
    };
    int r = visit(&w, inode_at(before, UNION_ROOT), inode_at(after, UNION_ROOT));

    if (r == 0)
        return 0;
    if (view_fault(before, err) < 0 || view_fault(after, err) < 0)
        return -err->code;
    return error_set(err, -r, "cannot compare '%s' with '%s': %s", before->label, after->label,
                     strerrordesc_np(-r));
}

/* tree.c - what all trees share: resolving links inside the root, and nodes. */
#include <errno.h>
#include <string.h>

#include "builder/tree/tree.h"
#include "builder/tree/tree_internal.h"
#include "fs/base/limits.h"
#include "fs/union.h"

#include "fs/base/banned.h"

void tree_node_release(struct tree_node *n)
{
    free(n->path);
    free(n->target);
    *n = (struct tree_node){0};
}

void tree_nodes_release(struct tree_nodes *l)
{
    for (size_t i = 0; i < l->count; i++)
        tree_node_release(&l->items[i]);
    free(l->items);
    *l = (struct tree_nodes){0};
}

void tree_close(struct tree *t)
{
    if (t == NULL)
        return;
    free(t->label);
    t->ops->close(t);
}

void tree_set_stop(struct tree *t, const atomic_bool *stop)
{
    t->stop = stop;
}

int tree_check_stop(const struct tree *t, struct error *err)
{
    if (t->stop != NULL && atomic_load(t->stop))
        return error_set(err, ECANCELED, "canceled");
    return 0;
}

const char *tree_label(const struct tree *t)
{
    return t->label;
}

int tree_stat(struct tree *t, const char *path, struct tree_node *out, struct error *err)
{
    return t->ops->stat(t, path, out, err);
}

static int compare_nodes(const void *a, const void *b)
{
    const struct tree_node *left = a;
    const struct tree_node *right = b;

    return strcmp(left->path, right->path);
}

int tree_list(struct tree *t, const char *path, struct tree_nodes *out, struct error *err)
{
    int r = tree_check_stop(t, err);

    if (r == 0)
        r = t->ops->list(t, path, out, err);
    if (r == 0 && out->count > 0)
        qsort(out->items, out->count, sizeof(*out->items), compare_nodes);
    return r;
}

int tree_digest(struct tree *t, const struct tree_node *n, struct digest *out, struct error *err)
{
    int r = tree_check_stop(t, err);

    return r < 0 ? r : t->ops->digest(t, n, out, err);
}

bool tree_digest_known(struct tree *t, const struct tree_node *n, struct digest *out)
{
    return t->ops->digest_known != NULL && t->ops->digest_known(t, n, out);
}

int tree_copy_content(struct tree *t, const struct tree_node *n, struct view *to, uint64_t ino,
                      struct error *err)
{
    int r = tree_check_stop(t, err);

    return r < 0 ? r : t->ops->copy_content(t, n, to, ino, err);
}

int tree_check_content(struct tree *t, const struct tree_node *n, const struct digest *content,
                       struct error *err)
{
    return t->ops->check_content == NULL ? 0 : t->ops->check_content(t, n, content, err);
}

int tree_read_at(struct tree *t, const struct tree_node *n, uint64_t offset, void *buf, size_t size,
                 struct error *err)
{
    if (t->ops->read_at == NULL)
        return error_set(err, EINVAL, "'%s' in %s can only be read as a whole", n->path, t->label);
    return t->ops->read_at(t, n, offset, buf, size, err);
}

int tree_open_reader(struct tree *t, const struct tree_node *n, struct reader **out,
                     struct error *err)
{
    return t->ops->open_reader(t, n, out, err);
}

int tree_each_xattr(struct tree *t, const struct tree_node *n,
                    void (*fn)(void *context, const char *name, const void *value, size_t size),
                    void *context, struct error *err)
{
    return t->ops->each_xattr == NULL ? 0 : t->ops->each_xattr(t, n, fn, context, err);
}

struct xattr_target {
    struct view *view;
    uint64_t ino;
    int result;
};

static void copy_xattr(void *context, const char *name, const void *value, size_t size)
{
    struct xattr_target *to = context;

    if (to->result == 0)
        to->result = union_setxattr(to->view, to->ino, name, value, size, 0);
}

int tree_copy_xattrs(struct tree *t, const struct tree_node *n, struct view *to, uint64_t ino,
                     struct error *err)
{
    struct xattr_target target = {.view = to, .ino = ino};
    int r = tree_each_xattr(t, n, copy_xattr, &target, err);

    if (r < 0)
        return r;
    if (target.result < 0)
        return error_set(err, -target.result, "cannot set extended attributes of '%s': %s", n->path,
                         strerror(-target.result));
    return 0;
}

int tree_read(struct tree *t, const char *path, uint64_t size_max, struct str *out,
              struct error *err)
{
    return t->ops->read(t, path, size_max, out, err);
}

/* The part of a path that is known to hold no links, and what is still to be walked. */
struct walk {
    struct str done;
    struct str rest;
    unsigned links;
};

static void walk_release(struct walk *w)
{
    str_release(&w->done);
    str_release(&w->rest);
}
DEFINE_CLEANUP_VALUE(walk_release, struct walk)

static void walk_up(struct walk *w)
{
    const char *slash = w->done.size == 0 ? NULL : strrchr(w->done.data, '/');

    str_truncate(&w->done, slash == NULL ? 0 : (size_t)(slash - w->done.data));
}

/* Puts a link's target in front of what is left. */
static void walk_into_link(struct walk *w, const char *target)
{
    struct str rest = {0};

    if (target[0] == '/')
        str_truncate(&w->done, 0);
    else
        walk_up(w);
    str_add(&rest, target);
    if (w->rest.size > 0)
        str_addf(&rest, "/%s", str_text(&w->rest));
    str_release(&w->rest);
    w->rest = rest;
}

/* Cuts the next component off w->rest; NULL at the end. Caller frees. */
static char *walk_next(struct walk *w)
{
    const char *start = str_text(&w->rest) + strspn(str_text(&w->rest), "/");
    size_t size = strcspn(start, "/");
    char *name;
    char *rest;

    if (size == 0)
        return NULL;
    name = mem_strndup(start, size);
    rest = mem_strdup(start + size);
    str_truncate(&w->rest, 0);
    str_add(&w->rest, rest);
    free(rest);
    return name;
}

int tree_resolve(struct tree *t, const char *path, char **out, struct error *err)
{
    __attribute__((cleanup(cleanup_walk_release))) struct walk w = {0};

    str_add(&w.rest, path);
    for (;;) {
        auto_free char *name = walk_next(&w);
        auto_tree_node struct tree_node node = {0};
        int r;

        if (name == NULL)
            break;
        if (strcmp(name, ".") == 0)
            continue;
        if (strcmp(name, "..") == 0) {
            walk_up(&w);
            continue;
        }
        if (w.done.size + strlen(name) + w.rest.size > LIMIT_PATH_SIZE)
            return error_set(err, ENAMETOOLONG, "'%.64s…' in %s is too long", path, t->label);
        str_addf(&w.done, "%s%s", w.done.size == 0 ? "" : "/", name);
        r = t->ops->stat(t, str_text(&w.done), &node, err);
        if (r == -ENOENT && w.rest.size == 0)
            break;
        if (r < 0)
            return r;
        if (node.meta.type != ENTRY_SYMLINK)
            continue;
        if (++w.links > LIMIT_SYMLINKS)
            return error_set(err, ELOOP, "'%s' in %s: too many levels of symbolic links", path,
                             t->label);
        walk_into_link(&w, node.target);
    }
    error_clear(err);
    *out = str_take(&w.done);
    return 0;
}

static int empty_stat(struct tree *t, const char *path, struct tree_node *out, struct error *err)
{
    if (path[0] != '\0')
        return error_set(err, ENOENT, "\"/%s\": not found in %s", path, t->label);
    *out = (struct tree_node){.path = mem_strdup(""), .meta = {.type = ENTRY_DIR, .mode = 0755}};
    return 0;
}

static int empty_list(struct tree *t, const char *path, struct tree_nodes *out, struct error *err)
{
    auto_tree_node struct tree_node node = {0};

    *out = (struct tree_nodes){0};
    return empty_stat(t, path, &node, err);
}

static int empty_read(struct tree *t, const char *path, uint64_t size_max, struct str *out,
                      struct error *err)
{
    (void)size_max, (void)out; /* there is nothing to read */
    return error_set(err, ENOENT, "\"/%s\": not found in %s", path, t->label);
}

static void empty_close(struct tree *t)
{
    free(t);
}

/* digest, copy_content and open_reader are never reached: an empty tree lists no file. */
static const struct tree_ops empty_ops = {
    .stat = empty_stat,
    .list = empty_list,
    .read = empty_read,
    .close = empty_close,
};

struct tree *tree_new_empty(void)
{
    struct tree *t = mem_new(struct tree);

    t->ops = &empty_ops;
    t->label = mem_strdup("the empty build context");
    return t;
}

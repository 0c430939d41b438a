/* union_model_check.c - compares what the union shows with what the model has. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/cleanup.h"
#include "tests/fuzz/union_model.h"

static const char *name_of(const struct mnode *dir, const struct mnode *n)
{
    for (size_t i = 0; i < dir->name_count; i++)
        if (dir->names[i].node == n)
            return dir->names[i].text;
    return NULL;
}

static void print_path(const struct run *r, const struct mnode *n)
{
    const struct mnode *dir = NULL;
    const char *name;

    for (size_t i = 0; i < r->model.count && !dir; i++)
        if (n != r->model.root && name_of(r->model.nodes[i], n))
            dir = r->model.nodes[i];
    name = dir ? name_of(dir, n) : NULL;
    if (dir)
        print_path(r, dir);
    if (name)
        (void)fprintf(stderr, "/%.20s", name);
}

void run_fail(struct run *r, const char *fmt, ...)
{
    struct error err = {0};
    va_list args;

    (void)fprintf(stderr, "step %zu, %s", r->step, r->what);
    if (r->node) {
        (void)fprintf(stderr, ", on ");
        print_path(r, r->node);
    }
    (void)fprintf(stderr, ": ");
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    if (r->view && view_fault(r->view, &err) < 0)
        (void)fprintf(stderr, " (fault: %s)", err.text);
    (void)fputc('\n', stderr);
    abort();
}

/* -- inode numbers -- */

static struct mnode *parent_of(struct run *r, const struct mnode *n)
{
    if (S_ISDIR(n->mode))
        return n->parent;
    for (size_t i = 0; i < r->model.count; i++)
        if (r->model.nodes[i]->is_named && name_of(r->model.nodes[i], n))
            return r->model.nodes[i];
    return NULL;
}

uint64_t run_ino(struct run *r, struct mnode *n)
{
    struct union_attr a;
    struct mnode *dir;
    int result;

    if (n == r->model.root)
        return UNION_ROOT;
    if (n->ino != 0)
        return n->ino;
    model_mark(&r->model);
    dir = parent_of(r, n);
    if (!dir)
        run_fail(r, "the test lost a node");
    result = union_lookup(r->view, run_ino(r, dir), name_of(dir, n), &a);
    if (result < 0)
        run_fail(r, "'%.20s' is gone: %s", name_of(dir, n), strerror(-result));
    union_forget(r->view, a.ino, 1);
    n->ino = a.ino;
    return a.ino;
}

/* -- one node -- */

static void check_number(struct run *r, const char *what, uint64_t is, uint64_t should)
{
    if (is != should)
        run_fail(r, "%s is %llo, should be %llo (octal)", what, (unsigned long long)is,
                 (unsigned long long)should);
}

static void check_content(struct run *r, struct mnode *n, uint64_t ino)
{
    uint8_t *bytes = mem_alloc(n->size + 10);
    ssize_t count = union_read(r->view, ino, 0, bytes, n->size + 10);

    if (count != (ssize_t)n->size)
        run_fail(r, "read gave %zd of %zu bytes", count, n->size);
    for (size_t i = 0; i < n->size; i++)
        if (bytes[i] != n->bytes[i])
            run_fail(r, "byte %zu of %zu is %02x, should be %02x", i, n->size, bytes[i],
                     n->bytes[i]);
    free(bytes);
}

static void check_xattrs(struct run *r, struct mnode *n, uint64_t ino)
{
    char list[1024];
    char value[1024];
    size_t count = 0;
    ssize_t size = union_listxattr(r->view, ino, list, sizeof(list));

    if (size < 0)
        run_fail(r, "listxattr: %s", strerror((int)-size));
    for (const char *name = list; name < list + size; name += strlen(name) + 1) {
        const struct mxattr *x = model_xattr(n, name);
        ssize_t got = union_getxattr(r->view, ino, name, value, sizeof(value));

        count++;
        if (!x || got != (ssize_t)x->size || memcmp(value, x->value, x->size) != 0)
            run_fail(r, "attribute '%s' is wrong", name);
    }
    check_number(r, "number of attributes", count, n->xattr_count);
}

void run_check_node(struct run *r, struct mnode *n)
{
    uint64_t ino;
    struct union_attr a;
    const char *target;
    int result;

    r->node = n;
    ino = run_ino(r, n);
    result = union_getattr(r->view, ino, &a);

    if (result < 0)
        run_fail(r, "getattr: %s", strerror(-result));
    check_number(r, "ino", a.ino, ino);
    check_number(r, "mode", a.mode, n->mode);
    check_number(r, "nlink", a.nlink, n->nlink);
    check_number(r, "uid", a.uid, n->uid);
    check_number(r, "gid", a.gid, n->gid);
    if (!S_ISDIR(n->mode))
        check_number(r, "size", a.size_bytes, n->size);
    check_xattrs(r, n, ino);
    if (S_ISREG(n->mode))
        check_content(r, n, ino);
    if (S_ISLNK(n->mode) &&
        (union_readlink(r->view, ino, &target) < 0 || strcmp(target, (char *)n->bytes) != 0))
        run_fail(r, "the link's target is wrong");
}

/* -- listings -- */

struct listing {
    struct run *r;
    struct mnode *dir;
    size_t count;
    bool plus;
};

static bool check_listed(void *context, const char *name, size_t size, uint64_t next,
                         const struct union_attr *attr)
{
    struct listing *l = context;
    char text[256];
    struct mname *at;

    if (next == 0 || next > INT32_MAX)
        run_fail(l->r, "cookie %llu", (unsigned long long)next);
    (void)snprintf(text, sizeof(text), "%.*s", (int)size, name);
    if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0) {
        const struct mnode *n = text[1] && l->dir->parent ? l->dir->parent : l->dir;

        check_number(l->r, "ino of dots", attr->ino, n->ino ? n->ino : UNION_ROOT);
        return true;
    }
    at = model_find(l->dir, text);
    if (!at)
        run_fail(l->r, "'%.20s' is listed, but should not exist", text);
    if (at->node->ino != 0)
        check_number(l->r, "listed ino", attr->ino, at->node->ino);
    at->node->ino = attr->ino;
    check_number(l->r, "listed type", attr->mode & S_IFMT, at->node->mode & S_IFMT);
    if (l->plus)
        union_forget(l->r->view, attr->ino, 1);
    l->count++;
    return true;
}

static void check_dir(struct run *r, struct mnode *dir)
{
    struct listing l = {.r = r, .dir = dir, .plus = (r->step & 1) != 0};
    int result;

    (void)run_ino(r, dir);
    if (dir->parent)
        (void)run_ino(r, dir->parent);
    result = union_readdir(r->view, run_ino(r, dir), 0, l.plus, check_listed, &l);
    if (result < 0)
        run_fail(r, "readdir: %s", strerror(-result));
    check_number(r, "number of names listed", l.count, dir->name_count);
}

void run_check_all(struct run *r, bool with_times)
{
    struct union_attr a;

    model_mark(&r->model);
    for (size_t i = 0; i < r->model.count; i++) {
        struct mnode *n = r->model.nodes[i];

        if (!n->is_named && n->handles == 0)
            continue;
        run_check_node(r, n);
        if (S_ISDIR(n->mode) && n->nlink > 0)
            check_dir(r, n);
        if (!with_times || n == r->model.root)
            continue;
        (void)union_getattr(r->view, run_ino(r, n), &a);
        if (a.mtime_ns != n->mtime_ns)
            run_fail(r, "mtime is %lld, should be %lld", (long long)a.mtime_ns,
                     (long long)n->mtime_ns);
    }
    for (size_t i = 0; i < r->model.count; i++) /* different files, different numbers */
        for (size_t k = i + 1; k < r->model.count && r->model.count < 200; k++)
            if (r->model.nodes[i]->ino != 0 && r->model.nodes[i]->ino == r->model.nodes[k]->ino)
                run_fail(r, "two files have number %llu",
                         (unsigned long long)r->model.nodes[i]->ino);
}

/* -- nothing is listed as changed that did not -- */

static bool same_content(struct run *r, struct view *below, const struct union_attr *a,
                         const struct union_attr *b)
{
    uint8_t *x = mem_alloc(a->size_bytes + 1);
    uint8_t *y = mem_alloc(a->size_bytes + 1);
    bool is_same;

    (void)union_read(below, a->ino, 0, x, a->size_bytes);
    (void)union_read(r->view, b->ino, 0, y, a->size_bytes);
    is_same = memcmp(x, y, a->size_bytes) == 0;
    free(x);
    free(y);
    return is_same;
}

static bool same_xattrs(struct run *r, struct view *below, uint64_t a, uint64_t b)
{
    char list_a[1024];
    char list_b[1024];
    char value_a[1024];
    char value_b[1024];
    ssize_t size = union_listxattr(below, a, list_a, sizeof(list_a));

    if (size != union_listxattr(r->view, b, list_b, sizeof(list_b)) ||
        memcmp(list_a, list_b, (size_t)size) != 0)
        return false;
    for (const char *name = list_a; name < list_a + size; name += strlen(name) + 1) {
        ssize_t n = union_getxattr(below, a, name, value_a, sizeof(value_a));

        if (n != union_getxattr(r->view, b, name, value_b, sizeof(value_b)) ||
            memcmp(value_a, value_b, (size_t)n) != 0)
            return false;
    }
    return true;
}

static bool is_same(struct run *r, struct view *below, const struct union_attr *a,
                    const struct union_attr *b)
{
    if (a->mode != b->mode || a->uid != b->uid || a->gid != b->gid || a->mtime_ns != b->mtime_ns ||
        a->size_bytes != b->size_bytes || a->nlink > 1 || b->nlink > 1 ||
        !same_xattrs(r, below, a->ino, b->ino))
        return false;
    return S_ISDIR(a->mode) || (S_ISREG(a->mode) && same_content(r, below, a, b));
}

/* The entry at this very path: no link on the way is followed. */
static int find_below(struct view *below, const char *path, struct union_attr *out)
{
    int result = union_getattr(below, UNION_ROOT, out);

    while (result == 0 && *path != '\0') {
        size_t size = strcspn(path, "/");
        auto_free char *name = mem_strndup(path, size);

        result = union_lookup(below, out->ino, name, out);
        path += size + (path[size] == '/');
    }
    return result;
}

static void check_change(struct run *r, struct view *below, const struct change *c,
                         const char *opaque)
{
    struct union_attr a;
    struct union_attr b;
    int found = find_below(below, c->path, &a);
    size_t size = opaque ? strlen(opaque) : 0;
    bool is_hidden = opaque && strncmp(c->path, opaque, size) == 0 && c->path[size] == '/';

    if (c->kind == CHANGE_DELETE) {
        if (found < 0)
            run_fail(r, "'%s' is deleted, but was not there", c->path);
        return;
    }
    if (union_getattr(r->view, c->ino, &b) < 0)
        run_fail(r, "'%s' changed, but is not there", c->path);
    if (c->kind == CHANGE_ADD && found == 0 && !is_hidden)
        run_fail(r, "'%s' is added, but was there", c->path);
    if (c->kind == CHANGE_MODIFY && found < 0)
        run_fail(r, "'%s' is modified, but was not there", c->path);
    if (c->kind == CHANGE_MODIFY && !c->opaque && is_same(r, below, &a, &b))
        run_fail(r, "'%s' is modified, but is the same", c->path);
}

void run_check_changes(struct run *r)
{
    auto_change_list struct change_list changes = {0};
    auto_view struct view *below = NULL;
    struct error err = {0};
    const char *opaque = NULL;

    if (view_changes(r->view, &changes, &err) < 0 ||
        view_open(r->store, r->layers, r->layer_count, NULL, &below, &err) < 0)
        run_fail(r, "changes: %s", err.text);
    if (changes.count > 0 && !view_is_changed(r->view))
        run_fail(r, "there are changes, but it says there are none");
    for (size_t i = 0; getenv("SHOW_CHANGES") && i < changes.count; i++)
        (void)fprintf(stderr, "%d%s %s = %s\n", changes.items[i].kind,
                      changes.items[i].opaque ? " opaque" : "", changes.items[i].path,
                      changes.items[i].link_to ? changes.items[i].link_to : "");
    for (size_t i = 0; i < changes.count; i++) {
        check_change(r, below, &changes.items[i], opaque);
        if (changes.items[i].opaque)
            opaque = changes.items[i].path;
    }
}

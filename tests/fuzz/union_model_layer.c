/* union_model_layer.c - layers from bytes, put into the store and applied to the model. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/cleanup.h"
#include "fs/base/hash.h"
#include "fs/base/io.h"
#include "fs/index.h"
#include "fs/pack.h"
#include "fs/store.h"
#include "tests/fuzz/union_model.h"

enum kind { DIRECTORY, IMPLICIT, OPAQUE, PLAIN, SYMLINK, FIFO, LINK, EXTERNAL, WHITEOUT };

struct item {
    char *path;
    enum kind kind;
    struct mnode *node; /* plain files: in the model; external links: their target */
    const char *target; /* links: path in this layer; borrowed */
    char *external;     /* path below; owned */
    struct entry_meta meta;
    uint8_t bytes[64];
    bool has_xattr;
};

struct maker {
    struct run *r;
    struct item items[64];
    size_t count;
    struct index_builder *builder;
    uint64_t pack;
    int fd;
    uint64_t end_bytes;
    struct error err;
};

static void must(struct maker *m, int result)
{
    if (result < 0)
        run_fail(m->r, "making a layer: %s (%s)", strerror(-result), m->err.text);
}

static struct item *find_item(struct maker *m, const char *path)
{
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->items[i].path, path) == 0)
            return &m->items[i];
    return NULL;
}

static bool is_dir(const struct item *i)
{
    return i->kind == DIRECTORY || i->kind == IMPLICIT || i->kind == OPAQUE;
}

/* A path of regular file in the model, if there is one at random; the caller frees. */
static char *random_file(struct run *r, struct mnode **out)
{
    struct mnode *dir = r->model.root;
    char *path = mem_strdup("");

    for (unsigned depth = 0; depth < 4 && dir->name_count > 0; depth++) {
        const struct mname *n = &dir->names[run_below(r, (unsigned)dir->name_count)];
        char *longer = NULL;

        if (asprintf(&longer, "%s%s%s", path, *path ? "/" : "", n->text) < 0)
            abort();
        free(path);
        path = longer;
        if (S_ISREG(n->node->mode)) {
            *out = n->node;
            return path;
        }
        if (!S_ISDIR(n->node->mode))
            break;
        dir = n->node;
    }
    free(path);
    return NULL;
}

static void fill_item(struct maker *m, struct item *i, bool is_first)
{
    static const enum kind kinds[] = {DIRECTORY, DIRECTORY, DIRECTORY, PLAIN,    PLAIN,
                                      PLAIN,     SYMLINK,   FIFO,      LINK,     LINK,
                                      EXTERNAL,  OPAQUE,    WHITEOUT,  WHITEOUT, PLAIN};
    struct run *r = m->r;

    i->kind = kinds[run_below(r, sizeof(kinds) / sizeof(kinds[0]))];
    if (is_first && (i->kind == EXTERNAL || i->kind == OPAQUE || i->kind == WHITEOUT))
        i->kind = PLAIN;
    if (i->kind == LINK) {
        i->kind = PLAIN;
        for (size_t n = 0; n < m->count; n++)
            if (m->items[n].kind == PLAIN && m->items[n].path != i->path) {
                i->kind = LINK;
                i->target = m->items[n].path;
            }
    }
    if (i->kind == EXTERNAL) {
        i->external = random_file(r, &i->node);
        if (!i->external)
            i->kind = PLAIN;
    }
    i->meta = (struct entry_meta){.mode = (mode_t)(0400 + run_byte(r)),
                                  .uid = run_below(r, 3),
                                  .gid = run_below(r, 3),
                                  .mtime_ns = (int64_t)run_byte(r) * 1000000007};
    if (run_below(r, 8) == 0)
        i->meta.mode |= S_ISUID | S_ISGID;
    i->has_xattr = run_below(r, 6) == 0;
    i->meta.size_bytes = i->kind == PLAIN ? run_below(r, 65) : 0;
    for (size_t n = 0; n < i->meta.size_bytes; n++)
        i->bytes[n] = (uint8_t)('A' + (n + i->meta.size_bytes) % 26);
    if (i->kind == PLAIN && run_below(r, 4) == 0)
        i->meta.size_bytes += 5000; /* a hole at the end */
}

/* A directory a tar does not name is made where a link below leads (see union_reroute.c), which may be
 * in the way of something else of this layer: such a one is named. */
static enum kind kind_of_parent(const struct run *r, const char *path)
{
    const struct mnode *at = r->model.root;

    while (at && S_ISDIR(at->mode) && *path != '\0') {
        size_t size = strcspn(path, "/");
        char *name = mem_strndup(path, size);
        struct mname *found = model_find(at, name);

        free(name);
        at = found ? found->node : NULL;
        path += size + (path[size] == '/');
    }
    return at && S_ISLNK(at->mode) ? DIRECTORY : IMPLICIT;
}

/* One that a layer can have. */
static const char *layer_name(struct run *r)
{
    const char *name = run_name(r);

    return strlen(name) > 255 || strncmp(name, ".wh.", 4) == 0 ? "a" : name;
}

/* Chooses a new path: below one of this layer's directories, or below an implicit one. */
static void add_item(struct maker *m, bool is_first)
{
    struct run *r = m->r;
    const char *parent = "";
    struct item *i;
    char *path = NULL;

    if (m->count > 0 && run_below(r, 3) > 0) {
        struct item *dir = &m->items[run_below(r, (unsigned)m->count)];

        if (is_dir(dir))
            parent = dir->path;
    }
    if (m->count + 2 >= sizeof(m->items) / sizeof(m->items[0]))
        return;
    if (run_below(r, 5) == 0) { /* one level more, implicit */
        if (asprintf(&path, "%s%s%s", parent, *parent ? "/" : "", layer_name(r)) < 0)
            abort();
        i = find_item(m, path);
        if (i && !is_dir(i)) {
            free(path);
            return;
        }
        if (!i)
            m->items[m->count++] = (struct item){.path = path, .kind = kind_of_parent(m->r, path)};
        else
            free(path);
        parent = i ? i->path : path;
        path = NULL;
    }
    if (asprintf(&path, "%s%s%s", parent, *parent ? "/" : "", layer_name(r)) < 0)
        abort();
    if (find_item(m, path)) {
        free(path);
        return;
    }
    i = &m->items[m->count++];
    *i = (struct item){.path = path};
    fill_item(m, i, is_first);
}

/* -- into the store -- */

static void store_item(struct maker *m, const struct item *i)
{
    struct extent extent = {.pack = m->pack, .pack_offset = m->end_bytes};
    struct xattr xattr = {.name = "user.x", .value = "abc", .value_size = 3};
    struct index_new_entry e = {.path = i->path, .meta = i->meta};

    switch (i->kind) {
    case IMPLICIT:
        return; /* made by what is in it */
    case LINK:
        must(m, index_builder_add_link(m->builder, i->path, i->target, &m->err));
        return;
    case EXTERNAL:
        must(m, index_builder_add_link(m->builder, i->path, i->external, &m->err));
        return;
    case WHITEOUT:
        must(m, index_builder_add_whiteout(m->builder, i->path, &m->err));
        return;
    case OPAQUE:
        e.flags = INDEX_OPAQUE;
        e.meta.type = ENTRY_DIR;
        break;
    case DIRECTORY:
        e.meta.type = ENTRY_DIR;
        break;
    case FIFO:
        e.meta.type = ENTRY_FIFO;
        break;
    case SYMLINK:
        e.meta.type = ENTRY_SYMLINK;
        e.meta.mode = 0777;
        e.target = "a/b";
        e.meta.size_bytes = 3;
        break;
    case PLAIN:
        e.meta.type = ENTRY_FILE;
        extent.length = i->meta.size_bytes >= 5000 ? i->meta.size_bytes - 5000 : i->meta.size_bytes;
        must(m, io_pwrite_full(m->fd, i->bytes, extent.length, m->end_bytes));
        m->end_bytes += extent.length;
        e.extents = &extent;
        e.extent_count = extent.length > 0;
        break;
    default:
        abort();
    }
    e.xattrs = &xattr;
    e.xattr_count = i->has_xattr;
    must(m, index_builder_add(m->builder, &e, &m->err));
}

/* A hard link to a lower layer must not find its target, or something in the way, in this one. */
static void settle_externals(struct maker *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct item *e = &m->items[i];

        for (size_t n = 0; e->kind == EXTERNAL && n < m->count; n++) {
            size_t size = strlen(m->items[n].path);

            if (strncmp(e->external, m->items[n].path, size) == 0 &&
                (e->external[size] == '\0' ||
                 (e->external[size] == '/' && !is_dir(&m->items[n])))) {
                e->kind = PLAIN;
                e->node = NULL;
            }
        }
    }
}

static void store_items(struct maker *m)
{
    struct layer_row row = {.kind = LAYER_BUILT};
    auto_close int fd = -1;

    m->builder = index_builder_new();
    must(m, pack_create(m->r->store, &m->pack, &m->fd, &m->err));
    for (size_t i = 0; i < m->count; i++)
        store_item(m, &m->items[i]);
    must(m, store_index_create(m->r->store, &row.index, &fd, &m->err));
    must(m, index_builder_write(m->builder, fd, &m->err));
    must(m, store_index_adopt(m->r->store, row.index, fd, &m->err));
    if (m->end_bytes > 0) {
        must(m, pack_adopt(m->r->store, m->pack, m->fd, &m->err));
        row.pack = m->pack;
    }
    must(m,
         store_layer_insert(m->r->store, &row, NULL, 0, &m->r->layers[m->r->layer_count], &m->err));
    m->r->layer_count++;
    index_builder_free(m->builder);
    cleanup_close_fd(&m->fd);
}

/* -- into the model -- */

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->path, ((const struct item *)b)->path);
}

/* The node of a directory of this layer, which is there already. */
static struct mnode *walk(struct run *r, const char *path, const char **last)
{
    struct mnode *dir = r->model.root;

    for (;;) {
        size_t size = strcspn(path, "/");
        char *name = mem_strndup(path, size);
        struct mname *at;

        if (path[size] == '\0') {
            free(name);
            *last = path;
            return dir;
        }
        at = model_find(dir, name);
        assert(at && S_ISDIR(at->node->mode));
        dir = at->node;
        free(name);
        path += size + 1;
    }
}

static void set_meta(struct mnode *n, const struct item *i)
{
    n->mode = (n->mode & S_IFMT) | i->meta.mode;
    n->uid = i->meta.uid;
    n->gid = i->meta.gid;
    n->mtime_ns = i->meta.mtime_ns;
    (void)model_removexattr(n, "user.x");
    if (i->has_xattr)
        assert(model_setxattr(n, "user.x", "abc", 3, 0) == 0);
}

static void apply_dir(struct run *r, const struct item *i)
{
    const char *name;
    struct mnode *dir = walk(r, i->path, &name);
    struct mname *at = model_find(dir, name);
    struct mnode *n = at ? at->node : NULL;

    if (n && !S_ISDIR(n->mode)) {
        model_drop(dir, name);
        n = NULL;
    }
    if (!n) {
        n = model_node(&r->model, S_IFDIR | 0755, 0, 0);
        model_put(dir, name, n);
    }
    while (i->kind == OPAQUE && n->name_count > 0)
        (void)model_remove_tree(n, n->names[0].text);
    if (i->kind != IMPLICIT)
        set_meta(n, i);
}

static void apply_file(struct maker *m, struct item *i)
{
    struct run *r = m->r;
    const char *name;
    struct mnode *dir = walk(r, i->path, &name);
    struct mnode *n = i->node;

    (void)model_remove_tree(dir, name);
    if (i->kind == WHITEOUT)
        return;
    if (i->kind == LINK)
        return; /* below, when its target is there */
    if (i->kind != EXTERNAL) {
        n = model_node(&r->model, i->kind == FIFO ? S_IFIFO : S_IFREG, 0, 0);
        if (i->kind == SYMLINK)
            n->mode = S_IFLNK;
        set_meta(n, i);
        if (i->kind == SYMLINK) {
            n->mode = S_IFLNK | 0777;
            model_set_bytes(n, "a/b", 4);
            n->size = 3;
        }
        if (i->kind == PLAIN) {
            size_t size =
                i->meta.size_bytes >= 5000 ? i->meta.size_bytes - 5000 : i->meta.size_bytes;

            (void)model_truncate(n, i->meta.size_bytes, false);
            memcpy(n->bytes, i->bytes, size);
        }
        i->node = n;
    }
    model_put(dir, name, n);
}

static void apply_items(struct maker *m)
{
    /* The targets of links move with their items. */
    qsort(m->items, m->count, sizeof(m->items[0]), compare_items);
    for (size_t i = 0; i < m->count; i++) {
        if (is_dir(&m->items[i]))
            apply_dir(m->r, &m->items[i]);
        else
            apply_file(m, &m->items[i]);
    }
    for (size_t i = 0; i < m->count; i++) {
        const struct item *target;
        const char *name;
        struct mnode *dir;

        if (m->items[i].kind != LINK)
            continue;
        dir = walk(m->r, m->items[i].path, &name);
        target = find_item(m, m->items[i].target);
        assert(target);
        model_put(dir, name, target->node);
    }
}

void run_make_layer(struct run *r, bool is_first)
{
    struct maker m = {.r = r, .fd = -1};
    unsigned count = run_below(r, 40);

    for (unsigned i = 0; i < count; i++)
        add_item(&m, is_first);
    settle_externals(&m);
    store_items(&m);
    apply_items(&m);
    for (size_t i = 0; i < m.count; i++) {
        free(m.items[i].path);
        free(m.items[i].external);
    }
    run_note_sum(r, r->layer_count - 1);
}

/* -- layers never change -- */

static uint64_t sum_of(struct run *r, int64_t layer)
{
    struct error err = {0};
    struct layer_row row;
    uint64_t sum = 0;
    uint8_t buf[4096];
    ssize_t n;
    auto_close int fd = -1;

    if (store_layer_get(r->store, layer, &row, &err) < 0)
        run_fail(r, "%s", err.text);
    if (row.pack != 0) {
        if (pack_open(r->store, row.pack, &fd, &err) < 0)
            run_fail(r, "%s", err.text);
        for (off_t at = 0; (n = pread(fd, buf, sizeof(buf), at)) > 0; at += n)
            sum = hash64(buf, (size_t)n, sum);
    }
    return sum;
}

void run_note_sum(struct run *r, size_t layer)
{
    r->sums[layer] = sum_of(r, r->layers[layer]);
}

void run_check_sums(struct run *r)
{
    for (size_t i = 0; i < r->layer_count; i++)
        if (sum_of(r, r->layers[i]) != r->sums[i])
            run_fail(r, "the data of layer %zu changed", i);
}

/* index_builder.c - collects the entries of a layer with the semantics of extracting a tar.
 *
 * Not for putting them in order and into a file: see index_write.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fs/base/hash.h"
#include "fs/base/limits.h"
#include "fs/base/str.h"
#include "fs/index_builder_internal.h"

#include "fs/base/banned.h"

#define ROOT 0u
#define ABSENT UINT32_MAX

struct name {
    const char *text; /* not NUL-terminated */
    size_t size;
};

/* -- tables -- */

static uint32_t pool_add(struct byte_pool *p, const void *bytes, size_t size)
{
    size_t offset = p->count;

    if (p->capacity - p->count < size) {
        size_t capacity = p->capacity ? p->capacity : 4096;

        while (capacity - p->count < size)
            capacity *= 2;
        p->items = mem_resize(p->items, capacity, 1);
        p->capacity = capacity;
    }
    if (size > 0)
        memcpy(p->items + offset, bytes, size);
    p->count += size;
    return (uint32_t)offset;
}

/* Both pools together, so that no offset overflows and memory has a bound. */
static bool pools_have_room(const struct index_builder *b, size_t size)
{
    return size <= LIMIT_LAYER_STRINGS_SIZE &&
           b->names.count + b->pool.count <= LIMIT_LAYER_STRINGS_SIZE - size;
}

static uint64_t dirent_hash(const struct index_builder *b, uint32_t dir, const char *name,
                            size_t size)
{
    return hash64(name, size, b->seed ^ (dir * 0x9E3779B97F4A7C15ull));
}

static void slots_insert(struct slots *s, uint64_t hash, uint32_t item)
{
    uint32_t i = (uint32_t)hash & (s->capacity - 1);

    while (s->items[i] != 0)
        i = (i + 1) & (s->capacity - 1);
    s->items[i] = item + 1;
}

static void grow_names(struct index_builder *b)
{
    struct slots *s = &b->by_name;

    s->capacity = s->capacity ? s->capacity * 2 : 64;
    free(s->items);
    s->items = mem_alloc(s->capacity * sizeof(uint32_t));
    for (uint32_t i = 0; i < b->dirents.count; i++) {
        const struct builder_dirent *d = &b->dirents.items[i];

        slots_insert(s, dirent_hash(b, d->dir, b->names.items + d->name_offset, d->name_size), i);
    }
}

/* The dirent of `name` in `dir`, or ABSENT. */
static uint32_t find(const struct index_builder *b, uint32_t dir, struct name name)
{
    const struct slots *s = &b->by_name;
    uint32_t i;

    if (s->capacity == 0)
        return ABSENT;
    i = (uint32_t)dirent_hash(b, dir, name.text, name.size) & (s->capacity - 1);
    for (; s->items[i] != 0; i = (i + 1) & (s->capacity - 1)) {
        const struct builder_dirent *d = &b->dirents.items[s->items[i] - 1];

        if (d->dir == dir && d->name_size == name.size &&
            memcmp(b->names.items + d->name_offset, name.text, name.size) == 0)
            return s->items[i] - 1;
    }
    return ABSENT;
}

static int new_dirent(struct index_builder *b, uint32_t dir, struct name name, uint32_t inode,
                      uint32_t *out, struct error *err)
{
    struct builder_dirent *d;

    if (b->dirents.count >= LIMIT_LAYER_ENTRIES || !pools_have_room(b, name.size))
        return error_set(err, E2BIG, "more than %u entries, or too long names",
                         LIMIT_LAYER_ENTRIES);
    if (b->dirents.count + 1 > b->by_name.capacity / 4 * 3)
        grow_names(b);
    *out = (uint32_t)b->dirents.count;
    d = array_add(&b->dirents);
    d->dir = dir;
    d->inode = inode;
    d->name_offset = pool_add(&b->names, name.text, name.size);
    d->name_size = (uint8_t)name.size;
    slots_insert(&b->by_name, dirent_hash(b, dir, name.text, name.size), *out);
    return 0;
}

static struct file_inode *inode_of(const struct index_builder *b, uint32_t inode)
{
    assert(inode < b->inodes.count);
    return &b->inodes.items[inode];
}

static enum entry_type type_of(const struct index_builder *b, uint32_t inode)
{
    return (enum entry_type)(inode_of(b, inode)->mode >> 12);
}

static uint32_t new_inode(struct index_builder *b)
{
    (void)array_add(&b->inodes);
    return (uint32_t)b->inodes.count - 1;
}

/* A directory nobody described: what mkdir -p of an extractor would make, were it not that the
 * directory below shows through (INDEX_IMPLICIT). */
static uint32_t new_dir(struct index_builder *b, uint32_t parent, uint32_t dirent)
{
    uint32_t inode = new_inode(b);
    struct file_inode *d = inode_of(b, inode);

    d->mode = ENTRY_DIR << 12 | 0755;
    d->flags = INDEX_IMPLICIT;
    d->parent = parent;
    d->name = dirent;
    return inode;
}

/* -- lifecycle -- */

struct index_builder *index_builder_new(void)
{
    struct index_builder *b = mem_new(struct index_builder);

    if (getrandom(&b->seed, sizeof(b->seed), 0) != (ssize_t)sizeof(b->seed))
        b->seed = (uint64_t)(uintptr_t)b; /* never on Linux >= 3.17; still differs per process */
    new_dir(b, ROOT, ABSENT);
    return b;
}

void index_builder_free(struct index_builder *b)
{
    if (!b)
        return;
    free(b->inodes.items);
    free(b->dirents.items);
    free(b->extents.items);
    free(b->xattrs.items);
    free(b->packs.items);
    free(b->names.items);
    free(b->pool.items);
    free(b->by_name.items);
    free(b->by_xattrs.items);
    free(b);
}

size_t index_builder_count(const struct index_builder *b)
{
    return b->dirents.count;
}

/* -- paths -- */

static int check_name(struct name name, const char *path, struct error *err)
{
    if (name.size == 0 ||
        (name.text[0] == '.' && (name.size == 1 || (name.size == 2 && name.text[1] == '.'))))
        return error_set(err, EINVAL, "'%s' is not a clean relative path", path);
    if (name.size > LIMIT_NAME_SIZE)
        return error_set(err, ENAMETOOLONG, "'%.64s...' has a name of more than %u bytes", path,
                         LIMIT_NAME_SIZE);
    return 0;
}

static int check_path(const char *path, struct error *err)
{
    size_t size = strnlen(path, LIMIT_PATH_SIZE + 1);
    const char *p = path;

    if (size > LIMIT_PATH_SIZE)
        return error_set(err, ENAMETOOLONG, "'%.64s...' is longer than %u bytes", path,
                         LIMIT_PATH_SIZE);
    for (;;) {
        struct name name = {p, strcspn(p, "/")};
        int r = check_name(name, path, err);

        if (r < 0)
            return r;
        p += name.size;
        if (*p == '\0')
            return 0;
        p++;
    }
}

/* A walk to the directory that holds a path's last name. Symlinks of this layer on the way are
 * followed inside the root, as an extractor does (SECURITY R37); those below are the union's. */
struct walk {
    const char *path; /* for messages */
    uint32_t dir;
    size_t depth;
    size_t links;
    struct str rest; /* components still to walk, once a link was followed */
};

static int walk_link(struct index_builder *b, struct walk *w, uint32_t link, const char *rest,
                     struct error *err)
{
    const char *target = b->pool.items + content_first(inode_of(b, link)->content);
    struct str next = {0};

    if (++w->links > LIMIT_SYMLINKS)
        return error_set(err, ELOOP, "'%s' passes more than %d symbolic links", w->path,
                         LIMIT_SYMLINKS);
    if (target[0] == '/') {
        w->dir = ROOT;
        w->depth = 0;
    }
    str_add(&next, target);
    str_add_char(&next, '/');
    str_add(&next, rest);
    str_release(&w->rest);
    w->rest = next;
    return 0;
}

static int enter_dir(struct walk *w, uint32_t dir, struct error *err)
{
    if (++w->depth >= LIMIT_PATH_DEPTH)
        return error_set(err, ENAMETOOLONG, "'%.64s...' is more than %u directories deep", w->path,
                         LIMIT_PATH_DEPTH);
    w->dir = dir;
    return 0;
}

/* One step down that must end in a directory, made if it is missing; *link is set instead when the
 * name is a symlink. With `make` false a missing name is -ENOENT without a sentence. */
static int walk_into(struct index_builder *b, struct walk *w, struct name name, bool make,
                     uint32_t *link, struct error *err)
{
    uint32_t found = find(b, w->dir, name);
    bool is_gone = found != ABSENT && b->dirents.items[found].inode == INDEX_NONE;
    uint32_t inode;
    int r;

    if (found == ABSENT || is_gone) {
        if (!make)
            return -ENOENT;
        if (found == ABSENT) {
            r = new_dirent(b, w->dir, name, INDEX_NONE, &found, err);
            if (r < 0)
                return error_wrap(err, "'%s'", w->path);
        }
        inode = new_dir(b, w->dir, found);
        if (is_gone)
            inode_of(b, inode)->flags = INDEX_OPAQUE; /* new, so nobody else's metadata shows */
        b->dirents.items[found].inode = inode;
        return enter_dir(w, inode, err);
    }
    inode = b->dirents.items[found].inode;
    switch (type_of(b, inode)) {
    case ENTRY_DIR:
        return enter_dir(w, inode, err);
    case ENTRY_SYMLINK:
        *link = inode;
        return 0;
    case ENTRY_FILE:
    case ENTRY_FIFO:
    case ENTRY_SOCKET:
    case ENTRY_CHAR:
    case ENTRY_BLOCK:
    default:
        return error_set(err, EINVAL, "'%s' passes '%.*s', which is not a directory", w->path,
                         (int)name.size, name.text);
    }
}

/* Fills w->dir and *last. Without `make` a missing directory is -ENOENT and *last is all that was
 * left to walk below w->dir. */
static int walk(struct index_builder *b, struct walk *w, bool make, struct name *last,
                struct error *err)
{
    const char *p = w->path;

    for (;;) {
        struct name name = {p, strcspn(p, "/")};
        uint32_t link = ABSENT;
        int r;

        if (p[name.size] == '\0') {
            *last = name; /* from the path itself: a link's target is always followed by '/' */
            return 0;
        }
        p += name.size + 1;
        if (name.size == 0 || (name.size == 1 && name.text[0] == '.'))
            continue;
        if (name.size == 2 && memcmp(name.text, "..", 2) == 0) {
            w->depth -= w->depth > 0 ? 1 : 0;
            w->dir = inode_of(b, w->dir)->parent; /* the root is its own parent */
            continue;
        }
        r = check_name(name, w->path, err);
        if (r < 0)
            return r;
        r = walk_into(b, w, name, make, &link, err);
        if (r == -ENOENT) {
            last->text = name.text;
            last->size = strlen(name.text);
        }
        if (r < 0)
            return r;
        if (link != ABSENT) {
            r = walk_link(b, w, link, p, err);
            if (r < 0)
                return r;
            p = str_text(&w->rest);
        }
    }
}

static void walk_release(struct walk *w)
{
    str_release(&w->rest);
}
DEFINE_CLEANUP_VALUE(walk_release, struct walk)
#define auto_walk CLEANUP(walk_release)

/* -- adding -- */

static int begin_call(struct index_builder *b, const char *path, struct error *err)
{
    assert(!b->is_written);
    if (b->call_count >= LIMIT_LAYER_ENTRIES)
        return error_set(err, E2BIG, "more than %u entries", LIMIT_LAYER_ENTRIES);
    b->call_count++;
    return check_path(path, err);
}

/* The name `path` ends in. 1 when it is new, 0 when an entry or a whiteout stands there. */
static int place(struct index_builder *b, const char *path, uint32_t *dirent, struct error *err)
{
    auto_walk struct walk w = {.path = path};
    struct name last;
    int r = walk(b, &w, true, &last, err);

    if (r < 0)
        return r;
    *dirent = find(b, w.dir, last);
    if (*dirent != ABSENT)
        return 0;
    r = new_dirent(b, w.dir, last, INDEX_NONE, dirent, err);
    return r < 0 ? error_wrap(err, "'%s'", path) : 1;
}

static int pack_position(struct index_builder *b, uint64_t pack, uint32_t *out, struct error *err)
{
    for (size_t i = b->packs.count; i > 0; i--) { /* the last one used is nearly always it */
        if (b->packs.items[i - 1] == pack) {
            *out = (uint32_t)(i - 1);
            return 0;
        }
    }
    if (b->packs.count >= LIMIT_LAYER_PACKS)
        return error_set(err, E2BIG, "content comes from more than %u packs", LIMIT_LAYER_PACKS);
    *out = (uint32_t)b->packs.count;
    *array_add(&b->packs) = pack;
    return 0;
}

static int check_extents(const struct index_new_entry *e, struct error *err)
{
    uint64_t end = 0;

    if (e->extent_count > 0 && e->meta.type != ENTRY_FILE)
        return error_set(err, EINVAL, "'%s' has content but is not a file", e->path);
    for (size_t i = 0; i < e->extent_count; i++) {
        const struct extent *x = &e->extents[i];

        if (x->length == 0 || x->file_offset < end || x->length > e->meta.size_bytes ||
            x->file_offset > e->meta.size_bytes - x->length ||
            x->pack_offset > (uint64_t)INT64_MAX - x->length)
            return error_set(err, EINVAL, "the content of '%s' is not a list of extents", e->path);
        end = x->file_offset + x->length;
    }
    return 0;
}

static int set_content(struct index_builder *b, const struct index_new_entry *e,
                       struct file_inode *d, struct error *err)
{
    uint32_t pack;
    int r = check_extents(e, err);

    if (r < 0 || e->extent_count == 0)
        return r;
    if (e->extent_count == 1 && e->extents[0].length == e->meta.size_bytes &&
        e->extents[0].pack_offset >> CONTENT_OFFSET_BITS == 0) {
        r = pack_position(b, e->extents[0].pack, &pack, err);
        d->flags |= FILE_INODE_INLINE;
        d->content = content_inline(pack, e->extents[0].pack_offset);
        return r;
    }
    if (e->extent_count > LIMIT_LAYER_EXTENTS - b->extents.count)
        return error_set(err, E2BIG, "'%s': more than %u extents in a layer", e->path,
                         LIMIT_LAYER_EXTENTS);
    d->content = content_pair((uint32_t)b->extents.count, (uint32_t)e->extent_count);
    for (size_t i = 0; i < e->extent_count; i++) {
        struct file_extent x = {.file_offset = e->extents[i].file_offset,
                                .length = e->extents[i].length,
                                .pack_offset = e->extents[i].pack_offset};

        r = pack_position(b, e->extents[i].pack, &x.pack, err);
        if (r < 0)
            return r;
        *array_add(&b->extents) = x;
    }
    return 0;
}

static int compare_xattrs(const void *a, const void *b)
{
    return strcmp(((const struct xattr *)a)->name, ((const struct xattr *)b)->name);
}

/* Appends the list to the pool and answers with the number of an equal, earlier one if there is. */
static uint32_t intern_xattrs(struct index_builder *b, const struct xattr *sorted, size_t count)
{
    struct builder_xattrs list = {.offset = (uint32_t)b->pool.count, .count = (uint32_t)count};
    struct slots *s = &b->by_xattrs;
    uint64_t hash;
    uint32_t i;

    for (size_t k = 0; k < count; k++) {
        uint16_t name_size = (uint16_t)strlen(sorted[k].name);
        uint32_t value_size = (uint32_t)sorted[k].value_size;

        pool_add(&b->pool, &name_size, sizeof(name_size));
        pool_add(&b->pool, &value_size, sizeof(value_size));
        pool_add(&b->pool, sorted[k].name, name_size);
        pool_add(&b->pool, sorted[k].value, value_size);
    }
    list.size = (uint32_t)(b->pool.count - list.offset);
    if (b->xattrs.count + 1 > s->capacity / 4 * 3) {
        s->capacity = s->capacity ? s->capacity * 2 : 64;
        free(s->items);
        s->items = mem_alloc(s->capacity * sizeof(uint32_t));
        for (uint32_t k = 0; k < b->xattrs.count; k++)
            slots_insert(
                s,
                hash64(b->pool.items + b->xattrs.items[k].offset, b->xattrs.items[k].size, b->seed),
                k);
    }
    hash = hash64(b->pool.items + list.offset, list.size, b->seed);
    for (i = (uint32_t)hash & (s->capacity - 1); s->items[i] != 0;
         i = (i + 1) & (s->capacity - 1)) {
        const struct builder_xattrs *old = &b->xattrs.items[s->items[i] - 1];

        if (old->size == list.size &&
            memcmp(b->pool.items + old->offset, b->pool.items + list.offset, list.size) == 0) {
            b->pool.count = list.offset;
            return s->items[i] - 1;
        }
    }
    s->items[i] = (uint32_t)b->xattrs.count + 1;
    *array_add(&b->xattrs) = list;
    return (uint32_t)b->xattrs.count - 1;
}

static int set_xattrs(struct index_builder *b, const struct index_new_entry *e,
                      struct file_inode *d, struct error *err)
{
    auto_free struct xattr *sorted = NULL;
    size_t total = 0;

    if (e->xattr_count == 0)
        return 0;
    for (size_t i = 0; i < e->xattr_count; i++) {
        size_t name_size = strnlen(e->xattrs[i].name, LIMIT_NAME_SIZE + 1);

        if (name_size == 0 || name_size > LIMIT_NAME_SIZE ||
            e->xattrs[i].value_size > LIMIT_XATTR_SIZE)
            return error_set(err, E2BIG, "'%s' has an extended attribute that is too large",
                             e->path);
        total += name_size + e->xattrs[i].value_size + 6;
        if (total > LIMIT_XATTRS_SIZE)
            return error_set(err, E2BIG, "'%s' has more than %u bytes of extended attributes",
                             e->path, LIMIT_XATTRS_SIZE);
    }
    if (!pools_have_room(b, total))
        return error_set(err, E2BIG, "'%s': too many extended attributes in the layer", e->path);
    sorted = mem_dup(e->xattrs, e->xattr_count * sizeof(*sorted));
    qsort(sorted, e->xattr_count, sizeof(*sorted), compare_xattrs);
    for (size_t i = 1; i < e->xattr_count; i++) {
        if (strcmp(sorted[i - 1].name, sorted[i].name) == 0)
            return error_set(err, EINVAL, "'%s' has the extended attribute '%s' twice", e->path,
                             sorted[i].name);
    }
    d->xattr_run = intern_xattrs(b, sorted, e->xattr_count) + 1;
    return 0;
}

static int set_target(struct index_builder *b, const char *target, const char *path,
                      struct file_inode *d, struct error *err)
{
    size_t size = target ? strnlen(target, LIMIT_PATH_SIZE) : 0;

    if (size == 0)
        return error_set(err, EINVAL, "'%s' is a link to nothing", path);
    if (size >= LIMIT_PATH_SIZE)
        return error_set(err, ENAMETOOLONG, "'%s' links to a path of more than %u bytes", path,
                         LIMIT_PATH_SIZE - 1);
    if (!pools_have_room(b, size + 1))
        return error_set(err, E2BIG, "'%s': too many links in the layer", path);
    d->size = size;
    d->content = content_pair(pool_add(&b->pool, target, size + 1), 0);
    return 0;
}

static int describe(struct index_builder *b, const struct index_new_entry *e, struct file_inode *d,
                    struct error *err)
{
    int r = 0;

    d->mode = (uint16_t)((uint32_t)e->meta.type << 12 | (e->meta.mode & 07777));
    d->uid = e->meta.uid;
    d->gid = e->meta.gid;
    d->mtime_ns = e->meta.mtime_ns;
    switch (e->meta.type) {
    case ENTRY_FILE:
        if (e->meta.size_bytes > INT64_MAX)
            return error_set(err, EINVAL, "'%s' is larger than any file", e->path);
        d->size = e->meta.size_bytes;
        break;
    case ENTRY_DIR:
        d->flags = e->flags & INDEX_OPAQUE;
        break;
    case ENTRY_SYMLINK:
        r = set_target(b, e->target, e->path, d, err);
        break;
    case ENTRY_CHAR:
    case ENTRY_BLOCK:
        d->content = content_pair(e->meta.rdev_major, e->meta.rdev_minor);
        break;
    case ENTRY_FIFO:
        break;
    case ENTRY_SOCKET:
    default:
        return error_set(err, EINVAL, "'%s' is of a type that no layer can hold", e->path);
    }
    if (r == 0)
        r = set_content(b, e, d, err);
    return r < 0 ? r : set_xattrs(b, e, d, err);
}

/* Keeps what is below and where it hangs; the description is replaced. */
static void redescribe_dir(struct file_inode *dir, const struct file_inode *from)
{
    dir->mode = from->mode;
    dir->flags = (dir->flags & INDEX_OPAQUE) | from->flags;
    dir->uid = from->uid;
    dir->gid = from->gid;
    dir->mtime_ns = from->mtime_ns;
    dir->xattr_run = from->xattr_run;
}

static void put_dir(struct index_builder *b, uint32_t dirent, const struct file_inode *described,
                    bool is_new_name)
{
    struct builder_dirent *at = &b->dirents.items[dirent];
    uint32_t inode = at->inode;

    if (inode == INDEX_NONE || type_of(b, inode) != ENTRY_DIR) {
        inode = new_dir(b, at->dir, dirent);
        if (!is_new_name)
            inode_of(b, inode)->flags =
                INDEX_OPAQUE; /* what stood here had removed the lower one */
        at->inode = inode;
    }
    redescribe_dir(inode_of(b, inode), described);
}

int index_builder_add(struct index_builder *b, const struct index_new_entry *e, struct error *err)
{
    struct file_inode described = {0};
    uint32_t dirent;
    uint32_t inode;
    int is_new;
    int r;

    if (e->path[0] == '\0') {
        if (e->meta.type != ENTRY_DIR)
            return error_set(err, EINVAL,
                             "the root is described as something else than a directory");
        r = describe(b, e, &described, err);
        if (r == 0)
            redescribe_dir(inode_of(b, ROOT), &described);
        return r;
    }
    r = begin_call(b, e->path, err);
    if (r == 0)
        r = describe(b, e, &described, err);
    if (r < 0)
        return r;
    is_new = place(b, e->path, &dirent, err);
    if (is_new < 0)
        return is_new;
    if (e->meta.type == ENTRY_DIR) {
        put_dir(b, dirent, &described, is_new > 0);
        return 0;
    }
    inode = new_inode(b);
    *inode_of(b, inode) = described;
    b->dirents.items[dirent].inode = inode;
    return 0;
}

/* "a/b" + "c" for a directory of this layer, outermost first. */
static void add_dir_path(const struct index_builder *b, uint32_t dir, struct str *out)
{
    uint32_t chain[LIMIT_PATH_DEPTH];
    size_t count = 0;

    for (; dir != ROOT; dir = inode_of(b, dir)->parent) {
        assert(count < LIMIT_PATH_DEPTH); /* enter_dir */
        chain[count++] = inode_of(b, dir)->name;
    }
    while (count > 0) {
        const struct builder_dirent *d = &b->dirents.items[chain[--count]];

        str_add_bytes(out, b->names.items + d->name_offset, d->name_size);
        str_add_char(out, '/');
    }
}

/* The inode `target_path` names in this layer, or a new one that stands for a file below. */
static int link_target(struct index_builder *b, const char *path, const char *target_path,
                       uint32_t *out, struct error *err)
{
    auto_walk struct walk w = {.path = target_path};
    auto_str struct str external = {0};
    auto_free char *clean = NULL;
    struct file_inode described = {.mode = ENTRY_FILE << 12, .flags = INDEX_EXTERNAL_LINK};
    struct name last;
    uint32_t dirent;
    int r = walk(b, &w, false, &last, err);

    if (r < 0 && r != -ENOENT)
        return error_wrap(err, "hard link '%s'", path);
    dirent = r == 0 ? find(b, w.dir, last) : ABSENT;
    if (dirent != ABSENT && b->dirents.items[dirent].inode != INDEX_NONE) {
        *out = b->dirents.items[dirent].inode;
        if (type_of(b, *out) == ENTRY_DIR)
            return error_set(err, EINVAL, "'%s' is a hard link to the directory '%s'", path,
                             target_path);
        return 0;
    }
    str_add_char(&external, '/');
    add_dir_path(b, w.dir, &external);
    str_add_bytes(&external, last.text, last.size);
    clean = path_clean(str_text(&external)); /* what a link brought in may hold ".." */
    r = set_target(b, clean + 1, path, &described, err);
    if (r < 0)
        return r;
    *out = new_inode(b);
    *inode_of(b, *out) = described;
    return 0;
}

int index_builder_add_link(struct index_builder *b, const char *path, const char *target_path,
                           struct error *err)
{
    uint32_t dirent;
    uint32_t inode;
    int r = begin_call(b, path, err);

    if (r == 0)
        r = check_path(target_path, err);
    if (r < 0)
        return r;
    r = link_target(b, path, target_path, &inode, err);
    if (r < 0)
        return r;
    r = place(b, path, &dirent, err);
    if (r < 0)
        return r;
    b->dirents.items[dirent].inode = inode; /* a link to itself changes nothing */
    return 0;
}

int index_builder_add_whiteout(struct index_builder *b, const char *path, struct error *err)
{
    uint32_t dirent;
    uint32_t inode;
    int r = begin_call(b, path, err);

    if (r < 0)
        return r;
    r = place(b, path, &dirent, err);
    if (r < 0)
        return r;
    inode = b->dirents.items[dirent].inode;
    if (inode == INDEX_NONE || type_of(b, inode) != ENTRY_DIR)
        return 0; /* a whiteout hides what is below, never what is in its own layer */
    inode_of(b, inode)->flags |= INDEX_OPAQUE;
    inode_of(b, inode)->flags &= (uint16_t)~INDEX_IMPLICIT;
    return 0;
}

int index_builder_set_opaque(struct index_builder *b, const char *dir_path, struct error *err)
{
    auto_walk struct walk w = {0};
    auto_str struct str with_slash = {0};
    struct name last;
    int r;

    if (dir_path[0] == '\0') {
        inode_of(b, ROOT)->flags |= INDEX_OPAQUE;
        return 0;
    }
    r = begin_call(b, dir_path, err);
    if (r < 0)
        return r;
    str_add(&with_slash, dir_path); /* so that the directory itself is walked into, and made */
    str_add(&with_slash, "/.");
    w.path = str_text(&with_slash);
    r = walk(b, &w, true, &last, err);
    if (r < 0)
        return r;
    inode_of(b, w.dir)->flags |= INDEX_OPAQUE;
    return 0;
}

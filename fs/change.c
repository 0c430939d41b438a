/* change.c - folds the journal into the sorted list of what differs from the layers.
 *
 * Only what the journal noted is looked at, so the cost is that of the changes. A directory that is
 * not where the layers have it (new, renamed, or put in the place of another) is listed whole: its
 * content is named by reference, no byte is read. When one name of a hard-linked file is listed,
 * all are, for they must be in one layer to stay one file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/base/str.h"
#include "fs/journal.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

enum below { BELOW_NOTHING, BELOW_FILE, BELOW_DIR, BELOW_SAME_DIR };

struct record {
    char *path;    /* owned */
    uint32_t name; /* NONE: the root */
    bool is_fresh; /* in a directory that is listed whole: nothing shows through from below */
    enum below below;
    struct dir_run origin; /* of the file below */
};
struct record_list {
    struct record *items;
    size_t count;
    size_t capacity;
};

struct group { /* a file with several names */
    uint32_t inode;
    bool is_changed;
    const char *first_path; /* borrowed; NULL until its first name is listed */
};
struct group_list { /* inode.mark is the position here, plus one */
    struct group *items;
    size_t count;
    size_t capacity;
};

struct fold {
    struct view *v;
    struct record_list records;
    struct group_list groups;
};

static void record_list_release(struct record_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->items[i].path);
    free(l->items);
    *l = (struct record_list){0};
}

static void fold_release(struct fold *f)
{
    record_list_release(&f->records);
    for (size_t i = 0; i < f->groups.count; i++)
        inode_at(f->v, f->groups.items[i].inode)->mark = 0;
    free(f->groups.items);
}
DEFINE_CLEANUP_VALUE(fold_release, struct fold)

/* -- paths -- */

/* The path of a name: 0, -ENOENT when it is in a directory that was removed, -ENAMETOOLONG. */
static int make_path(const struct view *v, uint32_t name, char **out)
{
    char text[LIMIT_PATH_SIZE];
    size_t at = sizeof(text);

    for (;;) {
        const struct name *n = name_at(v, name);
        const struct inode *parent = inode_at(v, n->parent);

        if (!inode_is_alive(parent))
            return -ENOENT;
        if (at < n->size + 1u)
            return -ENAMETOOLONG;
        if (at < sizeof(text))
            text[--at] = '/';
        at -= n->size;
        memcpy(&text[at], n->text, n->size);
        if (parent->number == UNION_ROOT)
            break;
        name = parent->first_name;
    }
    *out = mem_strndup(&text[at], sizeof(text) - at);
    return 0;
}

/* Directory by directory: a slash sorts before every byte of a name, the end before the slash. */
static int compare_paths(const char *a, const char *b)
{
    while (*a == *b && *a != '\0') {
        a++;
        b++;
    }
    if (*a == *b)
        return 0;
    if (*a == '\0' || *b == '\0')
        return *a == '\0' ? -1 : 1;
    if (*a == '/' || *b == '/')
        return *a == '/' ? -1 : 1;
    return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

static int compare_records(const void *a, const void *b)
{
    const struct record *ra = a;
    const struct record *rb = b;
    int order = compare_paths(ra->path, rb->path);

    return order ? order : (int)rb->is_fresh - (int)ra->is_fresh;
}

static bool is_below(const char *path, const char *dir)
{
    size_t size = strlen(dir);

    return strncmp(path, dir, size) == 0 && (size == 0 || path[size] == '/');
}

/* -- collecting -- */

/* Names in removed directories are passed over. */
static int add_record(struct record_list *l, const struct view *v, uint32_t name)
{
    char *path = NULL;
    int r = name == NONE ? 0 : make_path(v, name, &path);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    *array_add(l) = (struct record){.path = path ? path : mem_strdup(""), .name = name};
    return 0;
}

/* A name in a directory that is listed whole. */
static int add_fresh(struct record_list *l, const struct view *v, const char *dir, uint32_t name)
{
    const struct name *n = name_at(v, name);
    struct str path = {0};

    if (strlen(dir) + 1 + n->size >= LIMIT_PATH_SIZE)
        return -ENAMETOOLONG;
    str_add(&path, dir);
    str_add_char(&path, '/');
    str_add_bytes(&path, n->text, n->size);
    *array_add(l) = (struct record){.path = str_take(&path), .name = name, .is_fresh = true};
    return 0;
}

static void add_group(struct fold *f, struct inode *i)
{
    if (S_ISDIR(i->mode) || i->nlink < 2 || i->mark != 0)
        return;
    *array_add(&f->groups) = (struct group){.inode = i->number};
    i->mark = (uint32_t)f->groups.count;
}

static struct inode *record_inode(const struct fold *f, const struct record *r)
{
    uint32_t number = r->name == NONE ? UNION_ROOT : name_at(f->v, r->name)->inode;

    return number == NONE ? NULL : inode_at(f->v, number);
}

static int collect_noted(const struct view *v, struct record_list *out)
{
    int r = 0;

    for (uint32_t n = v->journal.first_name; r == 0 && n != NONE; n = name_at(v, n)->dirty_next)
        r = add_record(out, v, n);
    for (uint32_t i = v->journal.first_inode; r == 0 && i != NONE; i = inode_at(v, i)->dirty_next) {
        uint32_t n = inode_at(v, i)->first_name;

        if (i == UNION_ROOT)
            r = add_record(out, v, NONE);
        for (; r == 0 && n != NONE; n = name_at(v, n)->next)
            r = add_record(out, v, n);
    }
    return r;
}

static void sort_records(struct record_list *l)
{
    size_t kept = 0;

    if (l->count > 1)
        qsort(l->items, l->count, sizeof(*l->items), compare_records);
    for (size_t i = 0; i < l->count; i++) {
        if (kept > 0 && strcmp(l->items[i].path, l->items[kept - 1].path) == 0)
            free(l->items[i].path); /* of equals, one in a fresh directory comes first */
        else
            l->items[kept++] = l->items[i];
    }
    l->count = kept;
}

static bool is_same_dir(const struct inode *i, const struct lower_entry *entry)
{
    const struct dir_run *runs;
    uint32_t count;

    if (!S_ISDIR(i->mode))
        return false;
    runs = inode_runs(i, &count);
    if (count != entry->run_count)
        return false;
    for (uint32_t n = 0; n < count; n++)
        if (!run_equal(runs[n], entry->runs[n]))
            return false;
    return true;
}

/* What the layers have at the record's path. */
static int look_below(struct fold *f, struct record *r)
{
    struct view *v = f->v;
    const struct inode *i = record_inode(f, r);
    struct lower_entry entry;
    int result;

    if (r->is_fresh)
        return 0;
    if (r->name == NONE) {
        result = lower_root(v, &entry);
        r->below = BELOW_SAME_DIR;
    } else {
        const struct name *n = name_at(v, r->name);

        result = lower_find(v, inode_at(v, n->parent), n->text, n->size, &entry);
        if (result == 0)
            r->below = !entry.is_dir                 ? BELOW_FILE
                       : i && is_same_dir(i, &entry) ? BELOW_SAME_DIR
                                                     : BELOW_DIR;
    }
    if (result == 0)
        r->origin = entry.origin;
    return result == -ENOENT ? 0 : result;
}

static int collect_dir(struct fold *f, struct inode *dir, const char *path)
{
    struct view *v = f->v;
    struct dir_walk walk = {0};
    uint32_t name;
    int r = dir_complete(v, dir);

    while (r == 0 && (name = dir_walk_next(dir, &walk)) != NONE)
        if (!(inode_at(v, name_at(v, name)->inode)->flags & INODE_MOUNTPOINT))
            r = add_fresh(&f->records, v, path, name);
    return r;
}

/* Lists the directory of the last record whole; what is found on the way is looked into in turn. */
static int collect_tree(struct fold *f)
{
    int r = 0;

    for (size_t at = f->records.count - 1; r == 0 && at < f->records.count; at++) {
        struct inode *i = record_inode(f, &f->records.items[at]);

        add_group(f, i);
        if (S_ISDIR(i->mode))
            r = collect_dir(f, i, f->records.items[at].path);
    }
    return r;
}

/* Takes over what was noted, except what is in a directory that is listed whole. */
static int collect_changed(struct fold *f, struct record_list *noted)
{
    const char *whole = NULL; /* owned by f->records once it is there */
    int r = 0;

    for (size_t n = 0; r == 0 && n < noted->count; n++) {
        struct record *record = &noted->items[n];
        struct inode *i;

        if (whole && is_below(record->path, whole))
            continue;
        r = look_below(f, record);
        if (r < 0)
            return r;
        i = record_inode(f, record);
        *array_add(&f->records) = *record;
        whole = NULL;
        if (i && !(i->flags & INODE_MOUNTPOINT)) {
            add_group(f, i);
            if (S_ISDIR(i->mode) && record->below != BELOW_SAME_DIR) {
                whole = record->path;
                r = collect_tree(f);
            }
        }
        record->path = NULL;
    }
    return r;
}

static int collect_group_names(struct fold *f, const struct inode *i)
{
    int r = 0;

    for (uint32_t name = i->first_name; r == 0 && name != NONE; name = name_at(f->v, name)->next) {
        size_t before = f->records.count;

        r = add_record(&f->records, f->v, name);
        if (r == 0 && f->records.count > before)
            r = look_below(f, &f->records.items[before]);
    }
    return r;
}

/* From what was noted to every record that may be a change. */
static int collect(struct fold *f)
{
    struct record_list noted = {0};
    int r = collect_noted(f->v, &noted);

    sort_records(&noted);
    if (r == 0)
        r = collect_changed(f, &noted);
    record_list_release(&noted);
    for (size_t g = 0; r == 0 && g < f->groups.count; g++)
        r = collect_group_names(f, inode_at(f->v, f->groups.items[g].inode));
    sort_records(&f->records);
    return r;
}

/* -- comparing -- */

static bool meta_differs(const struct inode *i, const struct entry_meta *m, bool with_mtime)
{
    bool is_device = S_ISCHR(i->mode) || S_ISBLK(i->mode);

    return i->mode != (entry_type_to_mode(m->type) | m->mode) || i->uid != m->uid ||
           i->gid != m->gid || (with_mtime && i->mtime_ns != m->mtime_ns) ||
           i->size_bytes != m->size_bytes ||
           (is_device && (i->rdev_major != m->rdev_major || i->rdev_minor != m->rdev_minor));
}

/* 1 when they differ, 0 when not, or -EIO. */
static int xattrs_differ(struct view *v, struct inode *i, struct dir_run at,
                         const struct index_inode *lower)
{
    size_t count = 0;

    if ((i->flags & INODE_LOWER_XATTRS) && run_equal(i->origin, at))
        return 0;
    if (xattrs_load(v, i) < 0)
        return -EIO;
    for (const struct xattr_item *x = i->xattrs; x; x = x->next) {
        struct xattr below;
        bool is_equal = false;

        count++;
        for (uint32_t n = 0; !is_equal && n < lower->xattr_count; n++) {
            if (index_xattr(v->layers[at.layer], at.inode, n, &below) < 0)
                return lower_damaged(v, at.layer);
            is_equal = strcmp(below.name, x->data) == 0 && below.value_size == x->value_size &&
                       memcmp(below.value, x->data + x->name_size + 1, x->value_size) == 0;
        }
        if (!is_equal)
            return 1;
    }
    return count != lower->xattr_count;
}

static bool same_pieces(const struct content *a, const struct content *b)
{
    struct content_cursor at_a;
    struct content_cursor at_b;
    const struct piece *p = content_seek(a, 0, &at_a);
    const struct piece *q = content_seek(b, 0, &at_b);

    while (p && q && p->start == q->start && p->length == q->length && p->source == q->source &&
           p->source_offset == q->source_offset) {
        p = content_next(a, &at_a);
        q = content_next(b, &at_b);
    }
    return !p && !q;
}

static int bytes_differ(struct view *v, const struct content *a, const struct content *b,
                        uint64_t size)
{
    const size_t step = 256u << 10;
    auto_free uint8_t *buf_a = mem_alloc(step);
    auto_free uint8_t *buf_b = mem_alloc(step);

    for (uint64_t at = 0; at < size; at += step) {
        ssize_t n = content_read(v, a, size, at, buf_a, step);

        if (n < 0 || content_read(v, b, size, at, buf_b, step) != n)
            return -EIO;
        if (memcmp(buf_a, buf_b, (size_t)n) != 0)
            return 1;
    }
    return 0;
}

static int content_differs(struct view *v, struct inode *i, struct dir_run at,
                           const struct index_inode *lower)
{
    struct content below = {0};
    int r;

    if ((i->flags & INODE_LOWER_CONTENT) && run_equal(i->origin, at))
        return 0;
    r = content_load(v, i);
    if (r == 0)
        r = content_from_index(v, at, lower, &below);
    if (r == 0 && !same_pieces(&i->content, &below))
        r = bytes_differ(v, &i->content, &below, i->size_bytes);
    content_release(&below, NULL, NULL);
    return r;
}

/* Does the inode say anything else than the one at `at`? 1, 0 or -EIO. */
static int inode_differs(struct view *v, struct inode *i, struct dir_run at, bool with_mtime)
{
    struct index_inode lower;
    const char *target;
    size_t size;
    int r = lower_get(v, at, &lower);

    if (r < 0)
        return r;
    if (meta_differs(i, &lower.meta, with_mtime))
        return 1;
    r = xattrs_differ(v, i, at, &lower);
    if (r != 0)
        return r;
    if (S_ISREG(i->mode))
        return content_differs(v, i, at, &lower);
    if (!S_ISLNK(i->mode))
        return 0;
    if (index_target(v->layers[at.layer], at.inode, &target, &size) < 0)
        return lower_damaged(v, at.layer);
    return strcmp(target, i->target) != 0;
}

/* The root's time changes with every name made in it, and nobody keeps it: mode and owner count. */
static int root_differs(struct fold *f, const struct record *r)
{
    struct inode *root = inode_at(f->v, UNION_ROOT);

    if (!(root->flags & INODE_ORIGIN))
        return root->mode != (S_IFDIR | 0755) || root->uid != 0 || root->gid != 0 || root->xattrs;
    return inode_differs(f->v, root, r->origin, false);
}

/* -- deciding -- */

static bool is_origin(const struct inode *i, const struct record *r)
{
    return r->below == BELOW_FILE && (i->flags & INODE_ORIGIN) && run_equal(i->origin, r->origin);
}

/* Is a file with one name another than the one below? 1, 0 or -EIO. */
static int file_differs(struct fold *f, struct inode *i, const struct record *r)
{
    struct index_inode lower;
    int result;

    if (r->below != BELOW_FILE)
        return 1;
    if (is_origin(i, r))
        return i->flags & INODE_DIRTY ? inode_differs(f->v, i, r->origin, true) : 0;
    result = lower_get(f->v, r->origin, &lower);
    if (result < 0)
        return result;
    if (lower.nlink > 1 || id_map_get(&f->v->groups, run_key(r->origin)) != 0)
        return 1; /* was one of several names, is a file of its own now */
    return inode_differs(f->v, i, r->origin, true);
}

static int judge_groups(struct fold *f)
{
    for (size_t n = 0; n < f->records.count; n++) {
        const struct record *r = &f->records.items[n];
        struct inode *i = record_inode(f, r);

        if (i && i->mark != 0 && (r->is_fresh || !is_origin(i, r)))
            f->groups.items[i->mark - 1].is_changed = true;
    }
    for (size_t g = 0; g < f->groups.count; g++) {
        struct inode *i = inode_at(f->v, f->groups.items[g].inode);
        int r;

        if (f->groups.items[g].is_changed || !(i->flags & INODE_DIRTY))
            continue;
        r = inode_differs(f->v, i, i->origin, true);
        if (r < 0)
            return r;
        f->groups.items[g].is_changed = r > 0;
    }
    return 0;
}

/* Nothing that a layer can have: removed, a socket (no tar can hold one), or there for a mount. */
static bool is_nothing(const struct inode *i)
{
    return !i || S_ISSOCK(i->mode) || (i->flags & INODE_MOUNTPOINT);
}

/* 1 when the record is a change, 0 when not, or -EIO. */
static int is_change(struct fold *f, const struct record *r, struct inode *i)
{
    if (is_nothing(i))
        return !r->is_fresh && r->below != BELOW_NOTHING;
    if (r->name == NONE)
        return root_differs(f, r);
    if (r->is_fresh)
        return 1;
    if (i->mark != 0)
        return f->groups.items[i->mark - 1].is_changed;
    if (!S_ISDIR(i->mode))
        return file_differs(f, i, r);
    if (r->below != BELOW_SAME_DIR)
        return 1;
    return i->flags & INODE_DIRTY ? inode_differs(f->v, i, r->origin, true) : 0;
}

static void add_change(struct fold *f, struct record *r, const struct inode *i,
                       struct change_list *out)
{
    struct change *c = array_add(out);

    c->path = STEAL(&r->path);
    if (is_nothing(i)) {
        c->kind = CHANGE_DELETE;
        return;
    }
    c->kind = r->below == BELOW_NOTHING ? CHANGE_ADD : CHANGE_MODIFY;
    c->ino = i->number;
    c->opaque = S_ISDIR(i->mode) && r->below == BELOW_DIR;
    if (i->mark != 0) {
        struct group *g = &f->groups.items[i->mark - 1];

        if (g->first_path)
            c->link_to = mem_strdup(g->first_path);
        else
            g->first_path = c->path;
    }
}

int view_changes(struct view *v, struct change_list *out, struct error *err)
{
    __attribute__((cleanup(cleanup_fold_release))) struct fold f = {.v = v};
    auto_change_list struct change_list changes = {0};
    int r = collect(&f);

    if (r == 0)
        r = judge_groups(&f);
    for (size_t n = 0; r >= 0 && n < f.records.count; n++) {
        struct record *record = &f.records.items[n];
        struct inode *i = record_inode(&f, record);

        r = is_change(&f, record, i);
        if (r > 0)
            add_change(&f, record, i, &changes);
    }
    if (r == -ENAMETOOLONG)
        return error_set(err, ENAMETOOLONG,
                         "'%s' made a path of more than %u bytes, which no layer can hold",
                         v->label, LIMIT_PATH_SIZE - 1);
    if (r < 0 && view_fault(v, err) == 0)
        return error_set(err, -r, "cannot tell what '%s' changed: %s", v->label,
                         strerrordesc_np(-r));
    if (r < 0)
        return -err->code;
    *out = STEAL(&changes);
    return 0;
}

void change_list_release(struct change_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->items[i].path);
        free(l->items[i].link_to);
    }
    free(l->items);
    *l = (struct change_list){0};
}

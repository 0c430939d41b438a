/* view_seal.c - freezes what a view changed as a layer: an index, and the segment as its pack.
 *
 * Order: bytes, then the table that points at them, then the row that names both; each durable
 * before the next (SECURITY S1). A failure leaves files that the store sweeps away.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/cleanup.h"
#include "fs/base/limits.h"
#include "fs/pack.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

#define GAP_SIZE_MIN (16u << 10) /* smaller ones are not worth a call each */

struct range { /* of the segment, in use */
    uint64_t offset;
    uint64_t length;
};

struct seal {
    struct view *v;
    const struct seal_options *options;
    struct index_builder *builder;
    struct change_list changes;
    size_t kept_count;

    struct {
        struct range *items;
        size_t count;
        size_t capacity;
    } ranges;
    struct { /* of other layers */
        uint64_t *items;
        size_t count;
        size_t capacity;
    } packs;
    struct id_map known_packs;
    uint64_t data_bytes;
    uint64_t file_bytes; /* of all files, with their holes, for a tar has to hold those too */

    struct { /* of the file at hand */
        struct extent *items;
        size_t count;
        size_t capacity;
    } extents;
    struct {
        struct xattr *items;
        size_t count;
        size_t capacity;
    } xattrs;
};

static void seal_release(struct seal *s)
{
    index_builder_free(s->builder);
    change_list_release(&s->changes);
    free(s->ranges.items);
    free(s->packs.items);
    free(s->extents.items);
    free(s->xattrs.items);
    id_map_release(&s->known_packs);
}
DEFINE_CLEANUP_VALUE(seal_release, struct seal)

/* An errno of the union as a sentence: what the view noted, if it noted anything. */
static int view_error(const struct view *v, int code, struct error *err)
{
    if (view_fault(v, err) < 0)
        return -err->code;
    return error_set(err, -code, "%s", strerrordesc_np(-code));
}

/* -- one entry -- */

static void note_extent(struct seal *s, const struct piece *p)
{
    uint64_t pack = s->v->sources[p->source];

    if (p->source == SOURCE_SEGMENT) {
        *array_add(&s->ranges) = (struct range){p->source_offset, p->length};
        pack = s->v->segment.pack;
    } else if (id_map_get(&s->known_packs, pack ^ (1ull << 63)) == 0) {
        id_map_put(&s->known_packs, pack ^ (1ull << 63), 1);
        *array_add(&s->packs) = pack;
    }
    *array_add(&s->extents) = (struct extent){.file_offset = p->start,
                                              .length = p->length,
                                              .pack = pack,
                                              .pack_offset = p->source_offset};
}

static int gather_extents(struct seal *s, struct inode *i)
{
    struct content_cursor at;
    const struct piece *p;
    int r = content_load(s->v, i);

    s->extents.count = 0;
    if (r < 0)
        return r;
    for (p = content_seek(&i->content, 0, &at); p; p = content_next(&i->content, &at))
        if (!(p->flags & PIECE_UNWRITTEN))
            note_extent(s, p);
    return 0;
}

static int gather_xattrs(struct seal *s, struct inode *i)
{
    int r = xattrs_load(s->v, i);

    s->xattrs.count = 0;
    if (r < 0)
        return r;
    for (const struct xattr_item *x = i->xattrs; x; x = x->next)
        *array_add(&s->xattrs) = (struct xattr){
            .name = x->data, .value = x->data + x->name_size + 1, .value_size = x->value_size};
    return 0;
}

/* lastlog(8) of a user with a high number is a file of terabytes, nearly all of it a hole. A tar of it
 * would take days to digest, and nobody would accept the layer. */
static int count_file(struct seal *s, const struct change *c, const struct inode *i,
                      struct error *err)
{
    if (i->size_bytes > LIMIT_LAYER_SIZE - s->file_bytes)
        return error_set(err, EFBIG, "with the %ju bytes of '/%s' its layer exceeds %ju GiB",
                         (uintmax_t)i->size_bytes, c->path, (uintmax_t)(LIMIT_LAYER_SIZE >> 30));
    s->file_bytes += i->size_bytes;
    return 0;
}

static int add_inode(struct seal *s, const struct change *c, struct inode *i, struct error *err)
{
    bool is_device = S_ISCHR(i->mode) || S_ISBLK(i->mode);
    int64_t mtime_max_ns = s->options ? s->options->mtime_max_ns : INT64_MAX;
    struct index_new_entry e = {
        .path = c->path,
        .meta = {.type = entry_type_from_mode(i->mode),
                 .mode = i->mode & 07777,
                 .uid = i->uid,
                 .gid = i->gid,
                 .mtime_ns = i->mtime_ns < mtime_max_ns ? i->mtime_ns : mtime_max_ns,
                 .size_bytes = i->size_bytes,
                 .rdev_major = is_device ? i->rdev_major : 0,
                 .rdev_minor = is_device ? i->rdev_minor : 0},
        .flags = c->opaque ? INDEX_OPAQUE : 0,
        .target = S_ISLNK(i->mode) ? i->target : NULL,
    };
    int r = gather_xattrs(s, i);

    s->extents.count = 0;
    if (r == 0 && S_ISREG(i->mode))
        r = gather_extents(s, i);
    if (r < 0)
        return view_error(s->v, r, err);
    if (S_ISREG(i->mode)) {
        r = count_file(s, c, i, err);
        if (r < 0)
            return r;
    }
    e.extents = s->extents.items;
    e.extent_count = s->extents.count;
    e.xattrs = s->xattrs.items;
    e.xattr_count = s->xattrs.count;
    return index_builder_add(s->builder, &e, err);
}

/* The first kept name of a file carries it, the others link to that one. */
static int add_entry(struct seal *s, size_t at, struct error *err)
{
    const struct change *c = &s->changes.items[at];
    struct inode *i;

    if (c->kind == CHANGE_DELETE)
        return index_builder_add_whiteout(s->builder, c->path, err);
    i = inode_at(s->v, (uint32_t)c->ino);
    if (i->mark != 0)
        return index_builder_add_link(s->builder, c->path, s->changes.items[i->mark - 1].path, err);
    if (!S_ISDIR(i->mode))
        i->mark = (uint32_t)at + 1;
    return add_inode(s, c, i, err);
}

static bool is_at_or_below(const char *path, const char *dir, size_t dir_size)
{
    return strncmp(path, dir, dir_size) == 0 && (path[dir_size] == '/' || path[dir_size] == '\0');
}

/* Describes the directories above a change. Whoever unpacks this layer alone (Docker's overlay2) makes
 * those that it does not describe himself, as 0755 of root, and those would show: /root, /tmp. Changes
 * are sorted, so what lies above the one before is described already. */
static int add_parents(struct seal *s, const char *path, const char *before, struct error *err)
{
    for (const char *end = strchr(path, '/'); end; end = strchr(end + 1, '/')) {
        size_t size = (size_t)(end - path);
        auto_free char *dir = NULL;
        struct union_attr attr;
        int r;

        if (is_at_or_below(before, path, size))
            continue;
        dir = mem_strndup(path, size);
        r = view_resolve(s->v, dir, false, &attr);
        if (r < 0)
            return view_error(s->v, r, err);
        r = add_inode(s, &(struct change){.kind = CHANGE_MODIFY, .path = dir, .ino = attr.ino},
                      inode_at(s->v, (uint32_t)attr.ino), err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_entries(struct seal *s, struct error *err)
{
    const struct seal_options *o = s->options;
    const char *before = "";
    int r = 0;

    for (size_t at = 0; r == 0 && at < s->changes.count; at++) {
        const char *path = s->changes.items[at].path;

        if (o && o->keep && !o->keep(o->context, path))
            continue;
        s->kept_count++;
        r = add_parents(s, path, before, err);
        if (r == 0)
            r = add_entry(s, at, err);
        before = path;
    }
    for (size_t at = 0; at < s->changes.count; at++)
        if (s->changes.items[at].kind != CHANGE_DELETE)
            inode_at(s->v, (uint32_t)s->changes.items[at].ino)->mark = 0;
    return r;
}

/* -- the segment -- */

static int compare_ranges(const void *a, const void *b)
{
    uint64_t x = ((const struct range *)a)->offset;
    uint64_t y = ((const struct range *)b)->offset;

    return x < y ? -1 : x > y;
}

/* What nothing refers to any more goes back to the disk. */
static int trim_segment(struct seal *s, struct error *err)
{
    int fd = s->v->segment.fd;
    uint64_t end = 0;

    qsort(s->ranges.items, s->ranges.count, sizeof(*s->ranges.items), compare_ranges);
    for (size_t n = 0; n < s->ranges.count; n++) {
        const struct range *r = &s->ranges.items[n];
        uint64_t r_end = r->offset + r->length;

        if (r->offset >= end + GAP_SIZE_MIN)
            /* Where the file system cannot do it, the space is lost and nothing else. */
            (void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)end,
                            (off_t)(r->offset - end));
        if (r_end > end) {
            s->data_bytes += r_end - (r->offset > end ? r->offset : end);
            end = r_end;
        }
    }
    if (ftruncate(fd, (off_t)end) < 0)
        return error_errno(err, "cannot trim the data of '%s' in '%s'", s->v->label,
                           store_path(s->v->store));
    return 0;
}

static int adopt_segment(struct seal *s, struct error *err)
{
    int r;

    if (s->ranges.count == 0)
        return 0;
    r = trim_segment(s, err);
    return r < 0 ? r : pack_adopt(s->v->store, s->v->segment.pack, s->v->segment.fd, err);
}

/* -- the whole -- */

static int insert_row(struct seal *s, uint64_t index, int64_t *layer, struct error *err)
{
    struct layer_row row = {
        .kind = LAYER_BUILT,
        .pack = s->ranges.count > 0 ? s->v->segment.pack : 0,
        .index = index,
        .entry_count = index_builder_count(s->builder),
        .data_bytes = s->data_bytes,
    };
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(s->v->store, &tx, err);

    if (r == 0)
        r = store_layer_insert(s->v->store, &row, s->packs.items, s->packs.count, layer, err);
    if (r == 0 && s->options && s->options->with_row)
        r = s->options->with_row(s->options->context, *layer, err);
    return r < 0 ? r : store_commit(&tx, err);
}

static int write_layer(struct seal *s, int64_t *layer, struct error *err)
{
    auto_close int fd = -1;
    uint64_t index = 0;
    int r = adopt_segment(s, err);

    if (r == 0)
        r = store_index_create(s->v->store, &index, &fd, err);
    if (r < 0)
        return r;
    r = index_builder_write(s->builder, fd, err);
    if (r < 0)
        return error_wrap(err, "'%s'", store_path(s->v->store));
    if (r == 0)
        r = store_index_adopt(s->v->store, index, fd, err);
    return r < 0 ? r : insert_row(s, index, layer, err);
}

static int seal_nothing(const struct seal *s, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int r;

    if (!s->options || !s->options->with_row)
        return 0;
    r = store_begin(s->v->store, &tx, err);
    if (r == 0)
        r = s->options->with_row(s->options->context, 0, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int view_seal(struct view *v, const struct seal_options *options, struct view_sealed *out,
              struct error *err)
{
    __attribute__((cleanup(cleanup_seal_release))) struct seal s = {
        .v = v, .options = options, .builder = index_builder_new()};
    int64_t layer = 0;
    int r;

    if (v->options.outside.read != NULL)
        return error_set(err, EINVAL, "'%s' shows files that are not in the store", v->label);
    r = view_changes(v, &s.changes, err);
    if (r == 0)
        r = add_entries(&s, err);
    if (r == 0)
        r = s.kept_count > 0 ? write_layer(&s, &layer, err) : seal_nothing(&s, err);
    v->is_sealed = true;
    if (r < 0)
        return error_wrap(err, "cannot store what '%s' changed", v->label);
    *out = (struct view_sealed){
        .layer = layer, .change_count = s.kept_count, .data_bytes = s.data_bytes};
    return 0;
}

/* index_write.c - puts what a builder collected in order and writes the index file.
 *
 * Inodes are numbered breadth first, names in byte order, so that the children of a directory are
 * neighbours and a child's number is greater than its parent's. Nothing in the file depends on the
 * order in which entries were added.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/hash.h"
#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/index_builder_internal.h"

#include "fs/base/banned.h"

#define WRITE_BUFFER_SIZE (128u << 10)

struct name_place { /* one name of an inode with several */
    uint32_t inode; /* new number */
    uint32_t dir;   /* new number */
    uint32_t position;
};

/* The order of the file. "Old" numbers are the builder's, "new" ones the file's. */
struct plan {
    struct index_builder *b;
    uint32_t *dir_start; /* by old inode: its first place in dirents; one more at the end */
    uint32_t *dirents;   /* builder dirents, grouped by directory */
    uint32_t *new_of;    /* by old inode, INDEX_NONE: not reachable */
    uint32_t *old_of;    /* by new inode */
    uint32_t inode_count;
    uint64_t dirent_count;
    uint64_t name_bytes;
    struct {
        struct name_place *items; /* every name of inodes with more than one */
        size_t count;
        size_t capacity;
    } links;
};

static void plan_release(struct plan *p)
{
    free(p->dir_start);
    free(p->dirents);
    free(p->new_of);
    free(p->old_of);
    free(p->links.items);
}
DEFINE_CLEANUP_VALUE(plan_release, struct plan)
#define auto_plan CLEANUP(plan_release)

/* -- order -- */

static bool is_dir(const struct file_inode *d)
{
    return d->mode >> 12 == ENTRY_DIR;
}

/* Counting sort by directory; within one, the order of adding stays. */
static void group_dirents(struct plan *p)
{
    const struct index_builder *b = p->b;
    size_t inodes = b->inodes.count;

    p->dir_start = mem_resize(NULL, inodes + 2, sizeof(uint32_t));
    memset(p->dir_start, 0, (inodes + 2) * sizeof(uint32_t));
    p->dirents = mem_resize(NULL, b->dirents.count, sizeof(uint32_t));
    for (size_t i = 0; i < b->dirents.count; i++)
        p->dir_start[b->dirents.items[i].dir + 2]++;
    for (size_t i = 2; i < inodes + 2; i++)
        p->dir_start[i] += p->dir_start[i - 1];
    for (uint32_t i = 0; i < b->dirents.count; i++) /* [dir + 1] moves from its start to its end */
        p->dirents[p->dir_start[b->dirents.items[i].dir + 1]++] = i;
}

static int compare_dirents(const void *left, const void *right, void *context)
{
    const struct index_builder *b = context;
    const struct builder_dirent *l = &b->dirents.items[*(const uint32_t *)left];
    const struct builder_dirent *r = &b->dirents.items[*(const uint32_t *)right];
    size_t size = l->name_size < r->name_size ? l->name_size : r->name_size;
    int order = memcmp(b->names.items + l->name_offset, b->names.items + r->name_offset, size);

    return order != 0 ? order : (int)l->name_size - (int)r->name_size;
}

/* Sealed changes and most tars come sorted, and looking is far cheaper than sorting. */
static void sort_dir(struct plan *p, uint32_t first, uint32_t count)
{
    uint32_t *names = p->dirents + first;

    for (uint32_t i = 1; i < count; i++) {
        if (compare_dirents(&names[i - 1], &names[i], p->b) > 0) {
            qsort_r(names, count, sizeof(*names), compare_dirents, p->b);
            return;
        }
    }
}

static void add_name_place(struct plan *p, uint32_t old, uint32_t dir, uint32_t position)
{
    struct name_place *place = array_add(&p->links);

    place->inode = p->new_of[old];
    place->dir = dir;
    place->position = position;
}

/* Gives the inode behind one name its number, or another name. */
static void visit_dirent(struct plan *p, uint32_t old, uint32_t dir, uint32_t position)
{
    struct file_inode *d = &p->b->inodes.items[old];

    if (p->new_of[old] == INDEX_NONE) {
        p->new_of[old] = p->inode_count;
        p->old_of[p->inode_count++] = old;
        d->parent = dir;
        d->name = position;
        return;
    }
    assert(!is_dir(d)); /* nothing gives a directory a second name */
    if (!(d->flags & FILE_INODE_LINKS)) {
        d->flags |= FILE_INODE_LINKS;
        add_name_place(p, old, d->parent, d->name);
    }
    add_name_place(p, old, dir, position);
}

static void number_inodes(struct plan *p)
{
    struct index_builder *b = p->b;

    p->new_of = mem_resize(NULL, b->inodes.count, sizeof(uint32_t));
    p->old_of = mem_resize(NULL, b->inodes.count, sizeof(uint32_t));
    memset(p->new_of, 0xFF, b->inodes.count * sizeof(uint32_t));
    p->new_of[0] = 0;
    p->old_of[0] = 0;
    b->inodes.items[0].name = 0;
    p->inode_count = 1;
    for (uint32_t i = 0; i < p->inode_count; i++) {
        uint32_t old = p->old_of[i];
        uint32_t first = p->dir_start[old];
        uint32_t count = p->dir_start[old + 1] - first;

        if (!is_dir(&b->inodes.items[old]))
            continue;
        sort_dir(p, first, count);
        b->inodes.items[old].content = content_pair((uint32_t)p->dirent_count, count);
        p->dirent_count += count;
        for (uint32_t k = 0; k < count; k++) {
            const struct builder_dirent *d = &b->dirents.items[p->dirents[first + k]];

            p->name_bytes += d->name_size;
            if (d->inode != INDEX_NONE)
                visit_dirent(p, d->inode, i, k);
        }
    }
}

/* -- hard links, in the order of their paths, depth first -- */

static size_t chain_of(const struct plan *p, const struct name_place *place,
                       uint32_t chain[LIMIT_PATH_DEPTH + 1])
{
    const struct file_inode *inodes = p->b->inodes.items;
    size_t count = 0;

    chain[count++] = place->position;
    for (uint32_t dir = place->dir; dir != 0; dir = inodes[p->old_of[dir]].parent) {
        assert(count <= LIMIT_PATH_DEPTH);
        chain[count++] = inodes[p->old_of[dir]].name;
    }
    return count; /* outermost last */
}

static int compare_places(const void *left, const void *right, void *context)
{
    const struct plan *p = context;
    const struct name_place *l = left;
    const struct name_place *r = right;
    uint32_t l_chain[LIMIT_PATH_DEPTH + 1];
    uint32_t r_chain[LIMIT_PATH_DEPTH + 1];
    size_t l_count;
    size_t r_count;

    if (l->inode != r->inode)
        return l->inode < r->inode ? -1 : 1;
    if (l->dir == r->dir) /* positions follow the order of names */
        return l->position < r->position ? -1 : l->position > r->position;
    l_count = chain_of(p, l, l_chain);
    r_count = chain_of(p, r, r_chain);
    while (l_count > 0 && r_count > 0) {
        uint32_t a = l_chain[--l_count];
        uint32_t b = r_chain[--r_count];

        if (a != b)
            return a < b ? -1 : 1;
    }
    assert(!"one name of a file lies below another");
    return 0;
}

/* Sorts the names of each inode and makes `name` the number of its run. */
static uint32_t order_links(struct plan *p)
{
    uint32_t runs = 0;

    if (p->links.count == 0)
        return 0; /* qsort takes no NULL */
    qsort_r(p->links.items, p->links.count, sizeof(*p->links.items), compare_places, p);
    for (size_t i = 0; i < p->links.count; i++) {
        uint32_t inode = p->links.items[i].inode;

        if (i == 0 || p->links.items[i - 1].inode != inode)
            p->b->inodes.items[p->old_of[inode]].name = runs++;
    }
    return runs;
}

/* -- output -- */

struct output {
    int fd;
    struct error *err;
    int result; /* of the first write that failed */
    uint64_t offset;
    struct hash_stream *checksum;
    size_t used;
    uint8_t *buffer; /* WRITE_BUFFER_SIZE */
};

static void output_flush(struct output *o)
{
    int r;

    hash_stream_update(o->checksum, o->buffer, o->used);
    if (o->result == 0) {
        r = io_pwrite_full(o->fd, o->buffer, o->used, o->offset - o->used);
        if (r < 0) {
            errno = -r;
            o->result = error_errno(o->err, "cannot write an index");
        }
    }
    o->used = 0;
}

static void output_add(struct output *o, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;

    while (size > 0) {
        size_t part = WRITE_BUFFER_SIZE - o->used;

        if (part > size)
            part = size;
        memcpy(o->buffer + o->used, from, part);
        from += part;
        size -= part;
        o->used += part;
        o->offset += part;
        if (o->used == WRITE_BUFFER_SIZE)
            output_flush(o);
    }
}

static void begin_section(struct output *o, struct file_header *h, enum index_section section)
{
    static const uint8_t padding[8];

    output_add(o, padding, (size_t)(-o->offset & 7));
    h->sections[section].offset = htole64(o->offset);
}

static void end_section(struct output *o, struct file_header *h, enum index_section section)
{
    uint64_t bytes = o->offset - le64toh(h->sections[section].offset);

    assert(bytes % section_item_size[section] == 0);
    h->sections[section].count = htole64(bytes / section_item_size[section]);
}

/* Numbers given out while inodes are written, used again for the sections they point to. */
struct counters {
    uint32_t extent;
    uint32_t string; /* offset */
    uint32_t *packs; /* by builder position: file position + 1 */
    uint32_t *pack_order;
    uint32_t pack_count;
    uint32_t *xattrs; /* by builder list: file run + 1 */
    uint32_t *xattr_order;
    uint32_t xattr_count;
};

static void counters_release(struct counters *c)
{
    free(c->packs);
    free(c->pack_order);
    free(c->xattrs);
    free(c->xattr_order);
}
DEFINE_CLEANUP_VALUE(counters_release, struct counters)
#define auto_counters CLEANUP(counters_release)

/* Renumbers `item` by first use: what the file holds must not depend on the order of adding. */
static uint32_t first_use(uint32_t item, uint32_t *numbers, uint32_t *order, uint32_t *count)
{
    if (numbers[item] == 0) {
        order[*count] = item;
        numbers[item] = ++*count;
    }
    return numbers[item] - 1;
}

static uint32_t use_pack(struct counters *c, uint32_t pack)
{
    return first_use(pack, c->packs, c->pack_order, &c->pack_count);
}

static bool has_target(const struct file_inode *d)
{
    return d->mode >> 12 == ENTRY_SYMLINK || d->flags & INDEX_EXTERNAL_LINK;
}

static bool has_extents(const struct file_inode *d)
{
    return d->mode >> 12 == ENTRY_FILE && !(d->flags & (FILE_INODE_INLINE | INDEX_EXTERNAL_LINK)) &&
           content_second(d->content) > 0;
}

static void write_inode(struct output *o, struct plan *p, struct counters *c,
                        const struct file_inode *d)
{
    uint64_t content = d->content;
    uint32_t count = content_second(content);
    uint32_t xattr_run = 0;

    if (d->flags & FILE_INODE_INLINE) {
        content = content_inline(use_pack(c, content_pack(content)), content_pack_offset(content));
    } else if (has_extents(d)) {
        for (uint32_t i = 0; i < count; i++)
            use_pack(c, p->b->extents.items[content_first(content) + i].pack);
        content = content_pair(c->extent, count);
        c->extent += count;
    } else if (has_target(d)) {
        content = content_pair(c->string, 0);
        c->string += (uint32_t)d->size + 1;
    }
    if (d->xattr_run > 0)
        xattr_run = first_use(d->xattr_run - 1, c->xattrs, c->xattr_order, &c->xattr_count) + 1;
    output_add(o,
               &(struct file_inode){
                   .mode = htole16(d->mode),
                   .flags = htole16(d->flags),
                   .uid = htole32(d->uid),
                   .gid = htole32(d->gid),
                   .xattr_run = htole32(xattr_run),
                   .mtime_ns = (int64_t)htole64((uint64_t)d->mtime_ns),
                   .size = htole64(d->size),
                   .content = htole64(content),
                   .parent = htole32(d->flags & FILE_INODE_LINKS ? 0 : d->parent),
                   .name = htole32(d->name),
               },
               sizeof(struct file_inode));
}

static void write_inodes(struct output *o, struct file_header *h, struct plan *p,
                         struct counters *c)
{
    begin_section(o, h, SECTION_INODES);
    for (uint32_t i = 0; i < p->inode_count; i++)
        write_inode(o, p, c, &p->b->inodes.items[p->old_of[i]]);
    end_section(o, h, SECTION_INODES);
}

/* Calls `write` for every dirent in the order of the file. */
static void each_dirent(struct output *o, struct plan *p,
                        void (*write)(struct output *o, struct plan *p,
                                      const struct builder_dirent *d, uint32_t *name_offset))
{
    uint32_t name_offset = 0;

    for (uint32_t i = 0; i < p->inode_count; i++) {
        uint32_t old = p->old_of[i];

        if (!is_dir(&p->b->inodes.items[old]))
            continue;
        for (uint32_t k = p->dir_start[old]; k < p->dir_start[old + 1]; k++)
            write(o, p, &p->b->dirents.items[p->dirents[k]], &name_offset);
    }
}

static void write_dirent(struct output *o, struct plan *p, const struct builder_dirent *d,
                         uint32_t *name_offset)
{
    const char *name = p->b->names.items + d->name_offset;

    output_add(o,
               &(struct file_dirent){
                   .name_offset = htole32(*name_offset),
                   .name_prefix = htole32(name_prefix(name, d->name_size)),
                   .inode = htole32(d->inode == INDEX_NONE ? INDEX_NONE : p->new_of[d->inode]),
                   .name_size = htole16(d->name_size),
               },
               sizeof(struct file_dirent));
    *name_offset += d->name_size;
}

static void write_name(struct output *o, struct plan *p, const struct builder_dirent *d,
                       uint32_t *name_offset)
{
    (void)name_offset; /* names lie in the order of the dirents, as write_dirent has counted */
    output_add(o, p->b->names.items + d->name_offset, d->name_size);
}

static void write_names(struct output *o, struct file_header *h, struct plan *p)
{
    begin_section(o, h, SECTION_DIRENTS);
    each_dirent(o, p, write_dirent);
    end_section(o, h, SECTION_DIRENTS);
    begin_section(o, h, SECTION_NAMES);
    each_dirent(o, p, write_name);
    end_section(o, h, SECTION_NAMES);
}

static void write_extents(struct output *o, struct file_header *h, struct plan *p,
                          const struct counters *c)
{
    begin_section(o, h, SECTION_EXTENTS);
    for (uint32_t i = 0; i < p->inode_count; i++) {
        const struct file_inode *d = &p->b->inodes.items[p->old_of[i]];

        if (!has_extents(d))
            continue;
        for (uint32_t k = 0; k < content_second(d->content); k++) {
            const struct file_extent *e = &p->b->extents.items[content_first(d->content) + k];

            output_add(o,
                       &(struct file_extent){
                           .file_offset = htole64(e->file_offset),
                           .length = htole64(e->length),
                           .pack_offset = htole64(e->pack_offset),
                           .pack = htole32(c->packs[e->pack] - 1),
                       },
                       sizeof(*e));
        }
    }
    end_section(o, h, SECTION_EXTENTS);
}

/* One xattr of a list in the pool; moves *at behind it. */
struct pooled_xattr {
    const char *name;
    const char *value;
    uint32_t value_size;
    uint16_t name_size;
};

static struct pooled_xattr next_xattr(const char **at)
{
    struct pooled_xattr x;

    memcpy(&x.name_size, *at, sizeof(x.name_size));
    memcpy(&x.value_size, *at + sizeof(x.name_size), sizeof(x.value_size));
    x.name = *at + sizeof(x.name_size) + sizeof(x.value_size);
    x.value = x.name + x.name_size;
    *at = x.value + x.value_size;
    return x;
}

static void write_strings(struct output *o, struct file_header *h, struct plan *p,
                          const struct counters *c)
{
    begin_section(o, h, SECTION_STRINGS);
    for (uint32_t i = 0; i < p->inode_count; i++) {
        const struct file_inode *d = &p->b->inodes.items[p->old_of[i]];

        if (has_target(d))
            output_add(o, p->b->pool.items + content_first(d->content), d->size + 1);
    }
    for (uint32_t i = 0; i < c->xattr_count; i++) {
        const struct builder_xattrs *list = &p->b->xattrs.items[c->xattr_order[i]];
        const char *at = p->b->pool.items + list->offset;

        for (uint32_t k = 0; k < list->count; k++) {
            struct pooled_xattr x = next_xattr(&at);

            output_add(o, x.name, x.name_size);
            output_add(o, "", 1);
            output_add(o, x.value, x.value_size);
        }
    }
    end_section(o, h, SECTION_STRINGS);
}

static void write_links(struct output *o, struct file_header *h, struct plan *p, uint32_t runs)
{
    size_t next = 0;

    begin_section(o, h, SECTION_LINK_RUNS);
    for (uint32_t i = 0; i < runs; i++) {
        size_t first = next;

        while (next < p->links.count && p->links.items[next].inode == p->links.items[first].inode)
            next++;
        output_add(o,
                   &(struct file_run){htole32((uint32_t)first), htole32((uint32_t)(next - first))},
                   sizeof(struct file_run));
    }
    end_section(o, h, SECTION_LINK_RUNS);
    begin_section(o, h, SECTION_LINKS);
    for (size_t i = 0; i < p->links.count; i++)
        output_add(o,
                   &(struct file_link){htole32(p->links.items[i].dir),
                                       htole32(p->links.items[i].position)},
                   sizeof(struct file_link));
    end_section(o, h, SECTION_LINKS);
}

static void write_xattrs(struct output *o, struct file_header *h, struct plan *p,
                         const struct counters *c)
{
    uint32_t string = c->string; /* lists follow the targets */
    uint32_t first = 0;

    begin_section(o, h, SECTION_XATTR_RUNS);
    for (uint32_t i = 0; i < c->xattr_count; i++) {
        uint32_t count = p->b->xattrs.items[c->xattr_order[i]].count;

        output_add(o, &(struct file_run){htole32(first), htole32(count)}, sizeof(struct file_run));
        first += count;
    }
    end_section(o, h, SECTION_XATTR_RUNS);
    begin_section(o, h, SECTION_XATTRS);
    for (uint32_t i = 0; i < c->xattr_count; i++) {
        const struct builder_xattrs *list = &p->b->xattrs.items[c->xattr_order[i]];
        const char *at = p->b->pool.items + list->offset;

        for (uint32_t k = 0; k < list->count; k++) {
            struct pooled_xattr x = next_xattr(&at);
            uint32_t value = string + x.name_size + 1;

            output_add(o,
                       &(struct file_xattr){.name_offset = htole32(string),
                                            .value_offset = htole32(value),
                                            .value_size = htole32(x.value_size),
                                            .name_size = htole16(x.name_size)},
                       sizeof(struct file_xattr));
            string = value + x.value_size;
        }
    }
    end_section(o, h, SECTION_XATTRS);
}

static void write_packs(struct output *o, struct file_header *h, struct plan *p,
                        const struct counters *c)
{
    begin_section(o, h, SECTION_PACKS);
    for (uint32_t i = 0; i < c->pack_count; i++) {
        uint64_t id = htole64(p->b->packs.items[c->pack_order[i]]);

        output_add(o, &id, sizeof(id));
    }
    end_section(o, h, SECTION_PACKS);
}

static void write_specials(struct output *o, struct file_header *h, struct plan *p)
{
    begin_section(o, h, SECTION_SPECIALS);
    for (uint32_t i = 0; i < p->inode_count; i++) {
        uint32_t inode = htole32(i);

        if (inode_is_special(i, p->b->inodes.items[p->old_of[i]].flags))
            output_add(o, &inode, sizeof(inode));
    }
    end_section(o, h, SECTION_SPECIALS);
}

static void write_body(struct output *o, struct file_header *h, struct plan *p)
{
    auto_counters struct counters c = {0};
    size_t packs = p->b->packs.count;
    size_t lists = p->b->xattrs.count;
    uint32_t runs = order_links(p);

    c.packs = mem_alloc(packs * sizeof(uint32_t));
    c.pack_order = mem_alloc(packs * sizeof(uint32_t));
    c.xattrs = mem_alloc(lists * sizeof(uint32_t));
    c.xattr_order = mem_alloc(lists * sizeof(uint32_t));
    write_inodes(o, h, p, &c);
    write_names(o, h, p);
    write_extents(o, h, p, &c);
    write_strings(o, h, p, &c);
    write_links(o, h, p, runs);
    write_xattrs(o, h, p, &c);
    write_packs(o, h, p, &c);
    write_specials(o, h, p);
    output_flush(o);
}

int index_builder_write(struct index_builder *b, int fd, struct error *err)
{
    auto_plan struct plan p = {.b = b};
    auto_hash_stream struct hash_stream *checksum = hash_stream_new();
    auto_free uint8_t *buffer = mem_alloc(WRITE_BUFFER_SIZE);
    struct file_header h = {
        .magic = INDEX_MAGIC,
        .version = htole32(INDEX_VERSION),
        .header_size = htole32(sizeof(h)),
    };
    struct output o = {
        .fd = fd, .err = err, .offset = sizeof(h), .checksum = checksum, .buffer = buffer};
    int r;

    assert(!b->is_written); /* numbers in b are the file's from here on */
    b->is_written = true;
    group_dirents(&p);
    number_inodes(&p);
    write_body(&o, &h, &p);
    if (o.result < 0)
        return o.result;
    h.file_size = htole64(o.offset);
    h.body_checksum = htole64(hash_stream_final(checksum));
    h.header_checksum = htole64(hash64(&h, offsetof(struct file_header, header_checksum), 0));
    r = io_pwrite_full(fd, &h, sizeof(h), 0);
    if (r < 0) {
        errno = -r;
        return error_errno(err, "cannot write an index");
    }
    return 0;
}

/* index.c - reads an index file through a mapping, trusting none of its numbers.
 *
 * What makes a walk over a damaged file end: a directory's inode number is greater than its
 * parent's, and it is accepted only under the name it claims itself. So the directories form a tree
 * whatever the bytes are.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/hash.h"
#include "fs/base/limits.h"
#include "fs/index.h"
#include "fs/index_internal.h"

#include "fs/base/banned.h"

struct section {
    const uint8_t *bytes; /* in the mapping */
    uint64_t count;
};

struct index {
    void *map;
    size_t map_size;
    struct section sections[SECTION_COUNT];
    uint32_t *own_specials; /* that section of a file of version 1, or NULL */
};

/* -- opening -- */

static int check_sections(struct index *x, const struct file_header *h)
{
    uint64_t end = sizeof(*h);

    for (size_t i = 0; i < SECTION_COUNT; i++) {
        uint64_t offset = le64toh(h->sections[i].offset);
        uint64_t count = le64toh(h->sections[i].count);

        if (offset < end || offset > x->map_size || offset % 8 != 0 ||
            count > (x->map_size - offset) / section_item_size[i] || count > UINT32_MAX)
            return -EIO;
        x->sections[i].bytes = (const uint8_t *)x->map + offset;
        x->sections[i].count = count;
        end = offset + count * section_item_size[i];
    }
    return end == x->map_size ? 0 : -EIO;
}

/* Of any version: so a flipped bit is not taken for one that is not known yet. */
static bool header_is_whole(const struct index *x, size_t size)
{
    uint64_t checksum;

    if (size < sizeof(checksum) || size > x->map_size)
        return false;
    memcpy(&checksum, (const uint8_t *)x->map + size - sizeof(checksum), sizeof(checksum));
    return le64toh(checksum) == hash64(x->map, size - sizeof(checksum), 0);
}

static int check_file(struct index *x, const char *name, bool verify, struct error *err)
{
    const struct file_header *h = x->map;
    size_t body = sizeof(*h);

    if (memcmp(h->magic, INDEX_MAGIC, sizeof(h->magic)) != 0)
        return error_set(err, EIO, "'%s' is not an index", name);
    if (!header_is_whole(x, le32toh(h->header_size)))
        return error_set(err, EIO, "index '%s' is damaged: its header is wrong", name);
    if (le32toh(h->version) < INDEX_VERSION_OLDEST || le32toh(h->version) > INDEX_VERSION)
        return error_set(err, ENOTSUP, "index '%s' has version %u, but only %u to %u are known",
                         name, le32toh(h->version), INDEX_VERSION_OLDEST, INDEX_VERSION);
    if (le32toh(h->header_size) != sizeof(*h))
        return error_set(err, EIO, "index '%s' is damaged: its header is wrong", name);
    if (le64toh(h->file_size) != x->map_size)
        return error_set(err, EIO, "index '%s' is damaged: it has %zu bytes instead of %llu", name,
                         x->map_size, (unsigned long long)le64toh(h->file_size));
    if (check_sections(x, h) < 0 || x->sections[SECTION_INODES].count == 0)
        return error_set(err, EIO, "index '%s' is damaged: its tables do not fit", name);
    if (verify &&
        le64toh(h->body_checksum) != hash64((const uint8_t *)x->map + body, x->map_size - body, 0))
        return error_set(err, EIO, "index '%s' is damaged: its checksum is wrong", name);
    return 0;
}

/* What a file of version 1 does not say. */
static void list_specials(struct index *x)
{
    size_t count = x->sections[SECTION_INODES].count;
    const struct file_inode *inodes = (const void *)x->sections[SECTION_INODES].bytes;
    size_t special_count = 0;

    for (uint32_t i = 0; i < count; i++)
        special_count += inode_is_special(i, le16toh(inodes[i].flags));
    x->own_specials = mem_alloc(special_count * sizeof(uint32_t));
    x->sections[SECTION_SPECIALS] = (struct section){(const uint8_t *)x->own_specials, 0};
    for (uint32_t i = 0; i < count; i++)
        if (inode_is_special(i, le16toh(inodes[i].flags)))
            x->own_specials[x->sections[SECTION_SPECIALS].count++] = htole32(i);
}

int index_open(int dir_fd, const char *name, bool verify, struct index **out, struct error *err)
{
    auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return error_errno(err, "cannot open index '%s'", name);
    return index_open_fd(fd, name, verify, out, err);
}

int index_open_fd(int fd, const char *name, bool verify, struct index **out, struct error *err)
{
    auto_index struct index *x = NULL;
    struct stat st;
    void *map;
    int r;

    if (fstat(fd, &st) < 0)
        return error_errno(err, "cannot open index '%s'", name);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < sizeof(struct file_header))
        return error_set(err, EIO, "'%s' is not an index", name);
    map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return error_errno(err, "cannot map index '%s'", name);
    x = mem_new(struct index);
    x->map = map;
    x->map_size = (size_t)st.st_size;
    r = check_file(x, name, verify, err);
    if (r < 0)
        return r;
    if (le32toh(((const struct file_header *)map)->version) == INDEX_VERSION_OLDEST)
        list_specials(x);
    *out = STEAL(&x);
    return 0;
}

void index_close(struct index *x)
{
    int saved = errno;

    if (!x)
        return;
    (void)munmap(x->map, x->map_size); /* fails only for a range we never mapped */
    free(x->own_specials);
    free(x);
    errno = saved;
}

/* Nothing can be done for whoever was reading, and nothing here may allocate or lock. */
static void on_bus_error(int number, siginfo_t *info, void *context)
{
    static const char text[] =
        "img: a file of the state directory could not be read while it was in use: it was cut short, "
        "or the disk failed\nhint: img fsck\n";

    (void)context;
    if (info->si_code == BUS_ADRERR) { /* what a file mapping gives, see sigaction(2) */
        if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
            _exit(1); /* nobody listens */
        _exit(1);
    }
    (void)signal(number, SIG_DFL); /* it happens again on return, and is fatal then */
}

void index_guard(void)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};

    (void)sigaction(SIGBUS, &action, NULL); /* fails for signals that do not exist */
}

uint32_t index_inode_count(const struct index *x)
{
    return (uint32_t)x->sections[SECTION_INODES].count;
}

uint64_t index_file_size_bytes(const struct index *x)
{
    return x->map_size;
}

/* -- bounds -- */

/* The item at `position`, or NULL when the section has no such item. */
static const void *item_at(const struct index *x, enum index_section section, uint64_t position)
{
    const struct section *s = &x->sections[section];

    return position < s->count ? s->bytes + position * section_item_size[section] : NULL;
}

static bool range_fits(const struct index *x, enum index_section section, uint64_t first,
                       uint64_t count)
{
    return first <= x->sections[section].count && count <= x->sections[section].count - first;
}

/* `size` bytes of a byte section, or NULL. */
static const char *bytes_at(const struct index *x, enum index_section section, uint64_t offset,
                            uint64_t size)
{
    if (!range_fits(x, section, offset, size))
        return NULL;
    return (const char *)x->sections[section].bytes + offset;
}

/* Text in the string section: `size` bytes without NUL, then a NUL. */
static const char *text_at(const struct index *x, uint64_t offset, uint64_t size, uint64_t size_max)
{
    const char *text;

    if (size > size_max)
        return NULL;
    text = bytes_at(x, SECTION_STRINGS, offset, size + 1);
    return text && memchr(text, '\0', size + 1) == text + size ? text : NULL;
}

static bool run_at(const struct index *x, enum index_section runs, uint64_t position,
                   enum index_section items, uint32_t *first, uint32_t *count)
{
    const struct file_run *run = item_at(x, runs, position);

    if (!run)
        return false;
    *first = le32toh(run->first);
    *count = le32toh(run->count);
    return range_fits(x, items, *first, *count);
}

/* -- inodes -- */

static enum entry_type inode_type(const struct file_inode *d)
{
    return (enum entry_type)(le16toh(d->mode) >> 12);
}

/* The dirents of directory `d`; false when they are not all there. */
static bool dir_range(const struct index *x, const struct file_inode *d, uint32_t *first,
                      uint32_t *count)
{
    uint64_t content = le64toh(d->content);

    *first = content_first(content);
    *count = content_second(content);
    return range_fits(x, SECTION_DIRENTS, *first, *count);
}

/* 0 with the range set, -ENOTDIR, or -EIO. */
static int open_dir(const struct index *x, uint32_t dir, uint32_t *first, uint32_t *count)
{
    const struct file_inode *d = item_at(x, SECTION_INODES, dir);

    if (!d)
        return -EIO;
    if (inode_type(d) != ENTRY_DIR)
        return -ENOTDIR;
    return dir_range(x, d, first, count) ? 0 : -EIO;
}

static int fill_counts(const struct index *x, const struct file_inode *d, struct index_inode *out)
{
    uint32_t flags = le16toh(d->flags);
    uint32_t xattr_run = le32toh(d->xattr_run);
    uint64_t content = le64toh(d->content);
    uint32_t first;

    if (flags & FILE_INODE_LINKS) {
        if (!run_at(x, SECTION_LINK_RUNS, le32toh(d->name), SECTION_LINKS, &first, &out->nlink) ||
            out->nlink == 0 || out->meta.type == ENTRY_DIR)
            return -EIO;
    }
    if (xattr_run > 0 &&
        !run_at(x, SECTION_XATTR_RUNS, xattr_run - 1, SECTION_XATTRS, &first, &out->xattr_count))
        return -EIO;
    if (out->meta.type == ENTRY_DIR)
        return dir_range(x, d, &first, &out->child_count) ? 0 : -EIO;
    if (out->meta.type != ENTRY_FILE || out->flags & INDEX_EXTERNAL_LINK)
        return 0;
    out->extent_count = flags & FILE_INODE_INLINE ? 1 : content_second(content);
    if (!(flags & FILE_INODE_INLINE) &&
        !range_fits(x, SECTION_EXTENTS, content_first(content), out->extent_count))
        return -EIO;
    return 0;
}

int index_get(const struct index *x, uint32_t inode, struct index_inode *out)
{
    const struct file_inode *d = item_at(x, SECTION_INODES, inode);
    struct index_inode i = {.nlink = 1};
    uint64_t content;
    int r;

    if (!d)
        return -EIO;
    content = le64toh(d->content);
    i.flags = le16toh(d->flags) & (INDEX_OPAQUE | INDEX_IMPLICIT | INDEX_EXTERNAL_LINK);
    i.meta.type = inode_type(d);
    if (i.flags & INDEX_EXTERNAL_LINK && i.meta.type != ENTRY_FILE)
        return -EIO;
    i.meta.mode = le16toh(d->mode) & 07777;
    i.meta.uid = le32toh(d->uid);
    i.meta.gid = le32toh(d->gid);
    i.meta.mtime_ns = (int64_t)le64toh((uint64_t)d->mtime_ns);
    switch (i.meta.type) {
    case ENTRY_DIR:
        i.parent = le32toh(d->parent);
        break;
    case ENTRY_FILE:
        i.meta.size_bytes = i.flags & INDEX_EXTERNAL_LINK ? 0 : le64toh(d->size);
        if (i.meta.size_bytes > INT64_MAX)
            return -EIO;
        break;
    case ENTRY_SYMLINK:
        i.meta.mode = 0777; /* symlink(7): whatever a tar says of it */
        i.meta.size_bytes = le64toh(d->size);
        break;
    case ENTRY_CHAR:
    case ENTRY_BLOCK:
        i.meta.rdev_major = content_first(content);
        i.meta.rdev_minor = content_second(content);
        break;
    case ENTRY_FIFO:
        break;
    case ENTRY_SOCKET:
    default:
        return -EIO;
    }
    r = fill_counts(x, d, &i);
    if (r < 0)
        return r;
    *out = i;
    return 0;
}

/* -- names -- */

static bool name_is_sane(const char *name, size_t size)
{
    if (size == 0 || size > LIMIT_NAME_SIZE || memchr(name, '/', size) || memchr(name, '\0', size))
        return false;
    return !(name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.')));
}

static int fill_dirent(const struct index *x, uint32_t dir, uint32_t position,
                       const struct file_dirent *d, struct index_dirent *out)
{
    struct index_dirent entry = {.name_size = le16toh(d->name_size), .inode = le32toh(d->inode)};
    const struct file_inode *inode;

    entry.name = bytes_at(x, SECTION_NAMES, le32toh(d->name_offset), entry.name_size);
    if (!entry.name || !name_is_sane(entry.name, entry.name_size))
        return -EIO;
    entry.is_whiteout = entry.inode == INDEX_NONE;
    if (!entry.is_whiteout) {
        inode = item_at(x, SECTION_INODES, entry.inode);
        if (!inode)
            return -EIO;
        if (inode_type(inode) == ENTRY_DIR &&
            (entry.inode <= dir || le32toh(inode->parent) != dir ||
             le32toh(inode->name) != position))
            return -EIO; /* see the top of this file */
    }
    *out = entry;
    return 0;
}

int index_dirent_at(const struct index *x, uint32_t dir, uint32_t position,
                    struct index_dirent *out)
{
    const struct file_dirent *d;
    uint32_t first;
    uint32_t count;
    int r = open_dir(x, dir, &first, &count);

    if (r < 0)
        return r;
    if (position >= count)
        return -ENOENT;
    d = item_at(x, SECTION_DIRENTS, (uint64_t)first + position);
    return d ? fill_dirent(x, dir, position, d, out) : -EIO;
}

/* Below, at or above zero as the name looked for sorts before, is, or sorts after that of `d`. */
static int compare_name(const struct index *x, const char *name, size_t size, uint32_t prefix,
                        const struct file_dirent *d, bool *damaged)
{
    uint32_t d_prefix = le32toh(d->name_prefix);
    size_t d_size = le16toh(d->name_size);
    const char *d_name;
    int order;

    if (prefix != d_prefix)
        return prefix < d_prefix ? -1 : 1;
    d_name = bytes_at(x, SECTION_NAMES, le32toh(d->name_offset), d_size);
    if (!d_name) {
        *damaged = true;
        return 0;
    }
    order = memcmp(name, d_name, size < d_size ? size : d_size);
    if (order != 0)
        return order;
    return size == d_size ? 0 : (size < d_size ? -1 : 1);
}

int index_lookup(const struct index *x, uint32_t dir, const char *name, size_t name_size,
                 struct index_dirent *out)
{
    uint32_t prefix = name_prefix(name, name_size);
    bool damaged = false;
    uint32_t first;
    uint32_t low = 0;
    uint32_t high;
    int r = open_dir(x, dir, &first, &high);

    if (r < 0)
        return r;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct file_dirent *d = item_at(x, SECTION_DIRENTS, (uint64_t)first + middle);
        int order;

        if (!d)
            return -EIO;
        order = compare_name(x, name, name_size, prefix, d, &damaged);
        if (damaged)
            return -EIO;
        if (order == 0)
            return fill_dirent(x, dir, middle, d, out);
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -ENOENT;
}

int index_name_of(const struct index *x, uint32_t inode, uint32_t position, uint32_t *dir,
                  uint32_t *dirent)
{
    const struct file_inode *d = item_at(x, SECTION_INODES, inode);
    const struct file_link *link;
    struct index_dirent found;
    uint32_t at_dir;
    uint32_t at;
    uint32_t first;
    uint32_t count = 1;
    int r;

    if (!d)
        return -EIO;
    if (inode == 0)
        return -ENOENT; /* nothing names the root */
    if (le16toh(d->flags) & FILE_INODE_LINKS) {
        if (!run_at(x, SECTION_LINK_RUNS, le32toh(d->name), SECTION_LINKS, &first, &count))
            return -EIO;
        if (position >= count)
            return -ENOENT;
        link = item_at(x, SECTION_LINKS, (uint64_t)first + position);
        if (!link)
            return -EIO;
        at_dir = le32toh(link->dir);
        at = le32toh(link->position);
    } else {
        if (position >= count)
            return -ENOENT;
        at_dir = le32toh(d->parent);
        at = le32toh(d->name);
    }
    r = index_dirent_at(x, at_dir, at, &found);
    if (r < 0 || found.is_whiteout || found.inode != inode)
        return -EIO;
    *dir = at_dir;
    *dirent = at;
    return 0;
}

int index_add_path(const struct index *x, uint32_t dir, uint32_t dirent, struct str *out)
{
    struct index_dirent chain[LIMIT_PATH_DEPTH + 1];
    size_t depth = 0;

    for (;;) {
        int r = depth > LIMIT_PATH_DEPTH ? -EIO : index_dirent_at(x, dir, dirent, &chain[depth]);

        if (r < 0)
            return -EIO;
        depth++;
        if (dir == 0)
            break;
        if (index_name_of(x, dir, 0, &dir, &dirent) < 0)
            return -EIO;
    }
    while (depth > 0) {
        depth--;
        str_add_bytes(out, chain[depth].name, chain[depth].name_size);
        if (depth > 0)
            str_add_char(out, '/');
    }
    return 0;
}

/* -- content -- */

static int check_extent(const struct index *x, uint64_t size, uint64_t pack, struct extent *e)
{
    const uint64_t *id = item_at(x, SECTION_PACKS, pack);

    if (!id || e->length == 0 || e->length > size || e->file_offset > size - e->length ||
        e->pack_offset > (uint64_t)INT64_MAX - e->length)
        return -EIO;
    e->pack = le64toh(*id);
    return 0;
}

int index_extent(const struct index *x, uint32_t inode, uint32_t position, struct extent *out)
{
    const struct file_inode *d = item_at(x, SECTION_INODES, inode);
    const struct file_extent *f;
    struct extent e = {0};
    uint64_t content;
    uint64_t size;
    uint32_t pack;

    if (!d)
        return -EIO;
    if (inode_type(d) != ENTRY_FILE || le16toh(d->flags) & INDEX_EXTERNAL_LINK)
        return -ENOENT;
    content = le64toh(d->content);
    size = le64toh(d->size);
    if (le16toh(d->flags) & FILE_INODE_INLINE) {
        if (position > 0)
            return -ENOENT;
        e.length = size;
        e.pack_offset = content_pack_offset(content);
        pack = content_pack(content);
    } else {
        if (position >= content_second(content))
            return -ENOENT;
        f = item_at(x, SECTION_EXTENTS, (uint64_t)content_first(content) + position);
        if (!f)
            return -EIO;
        e.file_offset = le64toh(f->file_offset);
        e.length = le64toh(f->length);
        e.pack_offset = le64toh(f->pack_offset);
        pack = le32toh(f->pack);
    }
    if (check_extent(x, size, pack, &e) < 0)
        return -EIO;
    *out = e;
    return 0;
}

int index_xattr(const struct index *x, uint32_t inode, uint32_t position, struct xattr *out)
{
    const struct file_inode *d = item_at(x, SECTION_INODES, inode);
    const struct file_xattr *f;
    struct xattr found;
    uint32_t first;
    uint32_t count;

    if (!d)
        return -EIO;
    if (d->xattr_run == 0)
        return -ENOENT;
    if (!run_at(x, SECTION_XATTR_RUNS, le32toh(d->xattr_run) - 1, SECTION_XATTRS, &first, &count))
        return -EIO;
    if (position >= count)
        return -ENOENT;
    f = item_at(x, SECTION_XATTRS, (uint64_t)first + position);
    if (!f)
        return -EIO;
    found.value_size = le32toh(f->value_size);
    found.name = text_at(x, le32toh(f->name_offset), le16toh(f->name_size), LIMIT_NAME_SIZE);
    found.value = bytes_at(x, SECTION_STRINGS, le32toh(f->value_offset), found.value_size);
    if (!found.name || !found.value || found.value_size > LIMIT_XATTR_SIZE)
        return -EIO;
    *out = found;
    return 0;
}

int index_target(const struct index *x, uint32_t inode, const char **out, size_t *size)
{
    const struct file_inode *d = item_at(x, SECTION_INODES, inode);
    const char *text;

    if (!d)
        return -EIO;
    if (inode_type(d) != ENTRY_SYMLINK &&
        !(inode_type(d) == ENTRY_FILE && le16toh(d->flags) & INDEX_EXTERNAL_LINK))
        return -ENOENT;
    text = text_at(x, content_first(le64toh(d->content)), le64toh(d->size), LIMIT_PATH_SIZE);
    if (!text || d->size == 0)
        return -EIO;
    *out = text;
    *size = (size_t)le64toh(d->size);
    return 0;
}

size_t index_special_count(const struct index *x)
{
    return x->sections[SECTION_SPECIALS].count;
}

int index_special_at(const struct index *x, size_t position, uint32_t *inode)
{
    const uint32_t *number = item_at(x, SECTION_SPECIALS, position);
    const struct file_inode *d;

    if (!number)
        return -ENOENT;
    d = item_at(x, SECTION_INODES, le32toh(*number));
    if (!d || !inode_is_special(le32toh(*number), le16toh(d->flags)) ||
        inode_type(d) != (le16toh(d->flags) & INDEX_EXTERNAL_LINK ? ENTRY_FILE : ENTRY_DIR))
        return -EIO;
    *inode = le32toh(*number);
    return 0;
}

size_t index_pack_count(const struct index *x)
{
    return x->sections[SECTION_PACKS].count;
}

uint64_t index_pack_at(const struct index *x, size_t position)
{
    const uint64_t *id = item_at(x, SECTION_PACKS, position);

    assert(id); /* callers count up to index_pack_count */
    return le64toh(*id);
}

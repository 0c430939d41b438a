/* tar_read.c - the push-driven reader: blocks in, entries out, content skipped over.
 *
 * Bytes of content are never looked at, only counted: whoever keeps the tar has them. See tar.h for
 * what is refused and why.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/tar_internal.h"

#include "fs/base/banned.h"

enum state {
    READ_HEADER,
    READ_META,         /* content of a pax header or a GNU long name */
    READ_SPARSE_BLOCK, /* GNU's continuation of a sparse map */
    READ_SPARSE_TEXT,  /* the map at the head of the content */
    READ_CONTENT,      /* and its padding */
    READ_ZERO,         /* one block of zeros was seen */
    READ_END,
};

enum meta {
    META_PAX,
    META_GLOBAL,
    META_NAME,
    META_LINK,
    META_COUNT,
};

struct tar_reader {
    tar_entry_fn *fn;
    void *context;
    bool has_entry;  /* one is complete and was not given out yet */
    bool is_foreign; /* its first block is no header */

    enum state state;
    uint8_t block[TAR_BLOCK_SIZE]; /* a block that came in pieces */
    size_t block_size;
    uint64_t offset; /* in the tar, behind the last whole block taken */
    uint64_t left;   /* of content or meta, padding included */

    enum meta meta;
    uint64_t meta_size; /* without padding */
    struct str metas[META_COUNT];
    bool has_meta[META_COUNT]; /* for the entry to come */

    /* the entry at hand */
    struct tar_entry entry;
    struct str path;
    struct str target;
    struct tar_pax pax;
    uint64_t stored_size; /* of its content in the tar */
    uint64_t data_offset;
    struct tar_map map;
    struct tar_map_text map_text;
    struct extent whole; /* the extents of a file that is not sparse */
};

struct tar_reader *tar_reader_new(tar_entry_fn *fn, void *context)
{
    struct tar_reader *r = mem_new(struct tar_reader);

    r->fn = fn;
    r->context = context;
    return r;
}

void tar_reader_free(struct tar_reader *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < META_COUNT; i++)
        str_release(&r->metas[i]);
    str_release(&r->path);
    str_release(&r->target);
    tar_pax_release(&r->pax);
    free(r->map.items);
    free(r);
}

static uint64_t blocks(uint64_t size)
{
    return size + tar_padding(size);
}

static int bad(struct error *err, const char *what)
{
    return error_set(err, EBADMSG, "%s", what);
}

/* Puts the name of the entry, as far as it is known, in front of the sentence. */
static int at_entry(const struct tar_reader *r, struct error *err)
{
    auto_str struct str name = {0};

    if (r->is_foreign)
        return -err->code;
    if (r->path.size == 0)
        return error_wrap(err, "entry at offset %llu", (unsigned long long)r->offset);
    str_add_escaped(&name, str_text(&r->path), r->path.size < 256 ? r->path.size : 256);
    return error_wrap(err, "entry '%s'", str_text(&name));
}

/* -- names -- */

static void add_field(struct str *out, const char *field, size_t size)
{
    str_add_bytes(out, field, strnlen(field, size));
}

static bool has_magic(const struct tar_block *b)
{
    return memcmp(b->magic,
                  "ustar\0"
                  "00",
                  8) == 0;
}

/* The name a header spells, with the prefix that its dialect has. */
static void header_name(const struct tar_block *b, struct str *out)
{
    if (has_magic(b) && memcmp(b->star_magic + 8, "tar\0", 4) == 0)
        add_field(out, b->star.prefix, sizeof(b->star.prefix));
    else if (has_magic(b))
        add_field(out, b->prefix, sizeof(b->prefix));
    if (out->size > 0)
        str_add_char(out, '/');
    add_field(out, b->name, sizeof(b->name));
}

/* Relative, without empty and "." components; ".." is refused: what it means depends on links. */
static int clean_path(const char *raw, struct str *out, bool *ends_in_slash, struct error *err)
{
    const char *at = raw;

    str_truncate(out, 0);
    if (raw[0] == '\0')
        return bad(err, "it has no name");
    while (*at != '\0') {
        size_t size = strcspn(at, "/");

        if (size == 2 && at[0] == '.' && at[1] == '.')
            return bad(err, "its path contains '..'");
        if (size > 0 && !(size == 1 && at[0] == '.')) {
            if (out->size > 0)
                str_add_char(out, '/');
            str_add_bytes(out, at, size);
        }
        at += size;
        *ends_in_slash = *at == '/';
        at += *at == '/' ? 1 : 0;
    }
    if (out->size > LIMIT_PATH_SIZE)
        return error_set(err, E2BIG, "its path is longer than %u bytes", LIMIT_PATH_SIZE);
    return 0;
}

static int set_path(struct tar_reader *r, const struct tar_block *b, bool *ends_in_slash,
                    struct error *err)
{
    auto_str struct str raw = {0};
    auto_str struct str clean = {0};
    int e;

    if (r->has_meta[META_NAME] && (r->pax.path || r->pax.sparse_name))
        return bad(err, "it has both a GNU and a pax name");
    if (r->pax.sparse_name)
        str_add(&raw, r->pax.sparse_name);
    else if (r->pax.path)
        str_add(&raw, r->pax.path);
    else if (r->has_meta[META_NAME])
        str_add(&raw, str_text(&r->metas[META_NAME])); /* up to the first NUL */
    else
        header_name(b, &raw);
    str_add_bytes(&r->path, str_text(&raw), strlen(str_text(&raw))); /* for messages */
    e = clean_path(str_text(&raw), &clean, ends_in_slash, err);
    if (e < 0)
        return e;
    str_truncate(&r->path, 0);
    str_add(&r->path, str_text(&clean));
    r->entry.path = str_text(&r->path);
    return 0;
}

static int set_target(struct tar_reader *r, const struct tar_block *b, struct error *err)
{
    auto_str struct str raw = {0};
    bool ends_in_slash;

    if (r->has_meta[META_LINK] && r->pax.link)
        return bad(err, "it has both a GNU and a pax link name");
    if (r->pax.link)
        str_add(&raw, r->pax.link);
    else if (r->has_meta[META_LINK])
        str_add(&raw, str_text(&r->metas[META_LINK]));
    else
        add_field(&raw, b->link, sizeof(b->link));
    if (raw.size == 0)
        return bad(err, "it links to nothing");
    if (r->entry.is_hard_link) {
        if (clean_path(str_text(&raw), &r->target, &ends_in_slash, err) < 0)
            return error_set(err, err->code, "it is a hard link to a path with '..' or no name");
        if (r->target.size == 0)
            return bad(err, "it is a hard link to the root");
    } else {
        str_add(&r->target, str_text(&raw));
        if (r->target.size >= LIMIT_PATH_SIZE)
            return error_set(err, E2BIG, "it links to a path of more than %u bytes",
                             LIMIT_PATH_SIZE - 1);
        r->entry.meta.size_bytes = r->target.size;
    }
    r->entry.target = str_text(&r->target);
    return 0;
}

/* -- numbers -- */

static int number_in(const char *field, size_t size, int64_t max, int64_t *out, const char *what,
                     struct error *err)
{
    if (!tar_number(field, size, out) || *out < 0 || *out > max)
        return error_set(err, EBADMSG, "its %s is not a number in range", what);
    return 0;
}

#define NUMBER(field, max, out, what, err) number_in(field, sizeof(field), max, out, what, err)

static int set_time(struct tar_reader *r, const struct tar_block *b, struct error *err)
{
    int64_t seconds;

    if (r->pax.has_mtime) {
        r->entry.meta.mtime_ns = r->pax.mtime_ns;
        return 0;
    }
    if (!tar_number(b->mtime, sizeof(b->mtime), &seconds))
        return bad(err, "its time is not a number in range");
    r->entry.meta.mtime_ns = io_time_ns(seconds, 0);
    return 0;
}

static int set_numbers(struct tar_reader *r, const struct tar_block *b, struct error *err)
{
    struct entry_meta *m = &r->entry.meta;
    int64_t mode;
    int64_t uid = r->pax.uid;
    int64_t gid = r->pax.gid;
    int64_t size = (int64_t)r->pax.size;
    int e = NUMBER(b->mode, INT64_MAX, &mode, "mode", err);

    if (e == 0 && !r->pax.has_uid)
        e = NUMBER(b->uid, UINT32_MAX, &uid, "owner", err);
    if (e == 0 && !r->pax.has_gid)
        e = NUMBER(b->gid, UINT32_MAX, &gid, "group", err);
    if (e == 0 && !r->pax.has_size)
        e = NUMBER(b->size, INT64_MAX, &size, "size", err);
    if (e == 0)
        e = set_time(r, b, err);
    if (e < 0)
        return e;
    if ((uint64_t)size > LIMIT_LAYER_SIZE)
        return error_set(err, E2BIG, "its size is more than %llu GiB",
                         (unsigned long long)(LIMIT_LAYER_SIZE >> 30));
    m->mode = (mode_t)(mode & 07777);
    m->uid = (uint32_t)uid;
    m->gid = (uint32_t)gid;
    r->stored_size = (uint64_t)size;
    return 0;
}

static int set_device(struct tar_reader *r, const struct tar_block *b, struct error *err)
{
    int64_t major;
    int64_t minor;
    int e = NUMBER(b->major, UINT32_MAX, &major, "device number", err);

    if (e == 0)
        e = NUMBER(b->minor, UINT32_MAX, &minor, "device number", err);
    if (e < 0)
        return e;
    r->entry.meta.rdev_major = (uint32_t)major;
    r->entry.meta.rdev_minor = (uint32_t)minor;
    return 0;
}

/* -- types -- */

static int set_type(struct tar_reader *r, const struct tar_block *b, bool ends_in_slash,
                    struct error *err)
{
    struct entry_meta *m = &r->entry.meta;

    switch (b->type) {
    case '\0': /* v7 says a directory so */
        m->type = ends_in_slash ? ENTRY_DIR : ENTRY_FILE;
        break;
    case '0':
    case '7': /* contiguous: a hint to the disk */
    case 'S':
        if (ends_in_slash)
            return bad(err, "it is a file, but its name ends in '/'");
        m->type = ENTRY_FILE;
        break;
    case '1':
        m->type = ENTRY_FILE;
        r->entry.is_hard_link = true;
        r->stored_size = 0; /* whatever the field says: GNU, Go and Python agree */
        break;
    case '2':
        m->type = ENTRY_SYMLINK;
        break;
    case '3':
        m->type = ENTRY_CHAR;
        break;
    case '4':
        m->type = ENTRY_BLOCK;
        break;
    case '5':
        m->type = ENTRY_DIR;
        break;
    case '6':
        m->type = ENTRY_FIFO;
        break;
    default:
        return error_set(err, EBADMSG, "it is of the unknown type 0x%02x", (unsigned char)b->type);
    }
    if (m->type != ENTRY_FILE && r->stored_size > 0)
        return bad(err, "it has content but is not a file");
    return 0;
}

/* -- content -- */

static int check_map(struct tar_reader *r, uint64_t real_size, struct error *err)
{
    const struct tar_map *m = &r->map;
    uint64_t end = 0;

    if (m->count > 0)
        end = m->items[m->count - 1].file_offset + m->items[m->count - 1].length;
    if (end > real_size || m->data_size != r->stored_size)
        return bad(err, "its sparse map does not fit its size");
    if (real_size > LIMIT_LAYER_SIZE)
        return error_set(err, E2BIG, "its size is more than %llu GiB",
                         (unsigned long long)(LIMIT_LAYER_SIZE >> 30));
    for (size_t i = 0; i < m->count; i++)
        m->items[i].pack_offset += r->data_offset;
    r->entry.meta.size_bytes = real_size;
    r->entry.extents = m->items;
    r->entry.extent_count = m->count;
    return 0;
}

static void set_whole(struct tar_reader *r)
{
    if (r->entry.meta.type != ENTRY_FILE)
        return;
    r->entry.meta.size_bytes = r->stored_size;
    r->whole = (struct extent){.length = r->stored_size, .pack_offset = r->data_offset};
    r->entry.extents = &r->whole;
    r->entry.extent_count = r->stored_size > 0 ? 1 : 0;
}

/* Everything about the entry is known: its content follows. */
static void complete(struct tar_reader *r)
{
    r->entry.xattrs = r->pax.xattrs.items;
    r->entry.xattr_count = r->pax.xattrs.count;
    r->left = blocks(r->stored_size);
    r->state = r->left > 0 ? READ_CONTENT : READ_HEADER;
    r->has_entry = true;
    for (size_t i = 0; i < META_COUNT; i++)
        r->has_meta[i] = false;
}

static int complete_sparse(struct tar_reader *r, uint64_t real_size, struct error *err)
{
    int e = check_map(r, real_size, err);

    if (e == 0)
        complete(r);
    return e;
}

/* Adds the pieces of one block, GNU's own form. */
static int add_gnu_pieces(struct tar_reader *r, const char *pieces, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const char *piece = pieces + i * 24;
        int64_t offset;
        int64_t size;
        int e;

        if (piece[0] == '\0')
            break; /* an unused place */
        if (!tar_number(piece, 12, &offset) || !tar_number(piece + 12, 12, &size) || offset < 0 ||
            size < 0)
            return bad(err, "its sparse map is damaged");
        e = tar_map_add(&r->map, (uint64_t)offset, (uint64_t)size, err);
        if (e < 0)
            return e;
    }
    return 0;
}

static int begin_gnu_sparse(struct tar_reader *r, const struct tar_block *b, struct error *err)
{
    int64_t real_size;
    int e = NUMBER(b->gnu.real_size, INT64_MAX, &real_size, "size", err);

    if (e == 0 && r->pax.is_sparse)
        e = bad(err, "it has two sparse maps");
    if (e == 0)
        e = add_gnu_pieces(r, b->gnu.sparse[0].offset, 4, err);
    if (e < 0)
        return e;
    r->pax.real_size = (uint64_t)real_size;
    if (b->gnu.is_extended) {
        r->state = READ_SPARSE_BLOCK;
        return 0;
    }
    return complete_sparse(r, r->pax.real_size, err);
}

static int continue_gnu_sparse(struct tar_reader *r, const struct tar_sparse_block *b,
                               struct error *err)
{
    int e = add_gnu_pieces(r, b->sparse[0].offset, 21, err);

    r->data_offset = r->offset;
    if (e < 0 || b->is_extended)
        return e;
    return complete_sparse(r, r->pax.real_size, err);
}

static int begin_pax_sparse(struct tar_reader *r, struct error *err)
{
    if (r->entry.meta.type != ENTRY_FILE || r->entry.is_hard_link)
        return bad(err, "it has a sparse map but is not a file");
    if (r->pax.map_in_data) {
        r->map_text = (struct tar_map_text){0};
        r->state = READ_SPARSE_TEXT;
        return 0;
    }
    for (size_t i = 0; i < r->pax.map.count; i += 2) {
        int e = tar_map_add(&r->map, r->pax.map.items[i], r->pax.map.items[i + 1], err);

        if (e < 0)
            return e;
    }
    return complete_sparse(r, r->pax.real_size, err);
}

static int continue_pax_sparse(struct tar_reader *r, const uint8_t *block, struct error *err)
{
    bool done;
    int e = 0;

    if (r->stored_size < TAR_BLOCK_SIZE)
        return bad(err, "its sparse map does not fit its size");
    r->stored_size -= TAR_BLOCK_SIZE; /* the map counts as content */
    r->data_offset = r->offset;
    e = tar_map_read_text(&r->map, &r->map_text, block, &done, err);
    if (e < 0 || !done)
        return e;
    return complete_sparse(r, r->pax.real_size, err);
}

/* -- headers -- */

static int begin_meta(struct tar_reader *r, const struct tar_block *b, enum meta meta,
                      struct error *err)
{
    int64_t size;
    int e = NUMBER(b->size, INT64_MAX, &size, "size", err);

    if (e < 0)
        return e;
    if (size > LIMIT_PAX_SIZE)
        return error_set(err, E2BIG, "its extended header is larger than %u MiB",
                         LIMIT_PAX_SIZE >> 20);
    if (meta != META_GLOBAL && r->has_meta[meta])
        return bad(err, "two extended headers follow each other");
    r->meta = meta;
    r->meta_size = (uint64_t)size;
    r->left = blocks(r->meta_size);
    r->has_meta[meta] = true;
    str_truncate(&r->metas[meta], 0);
    r->state = r->left > 0 ? READ_META : READ_HEADER;
    return 0;
}

static int end_meta(struct tar_reader *r, struct error *err)
{
    struct str *text = &r->metas[r->meta];
    struct tar_pax global = {0};
    int e = 0;

    str_truncate(text, r->meta_size);
    r->state = READ_HEADER;
    if (r->meta == META_GLOBAL) {
        r->has_meta[META_GLOBAL] = false;
        e = tar_pax_parse(text->data, text->size, true, &global, err);
        tar_pax_release(&global);
    }
    return e;
}

static void begin_entry(struct tar_reader *r)
{
    r->entry = (struct tar_entry){0};
    str_truncate(&r->path, 0);
    str_truncate(&r->target, 0);
    tar_pax_release(&r->pax);
    r->map.count = 0;
    r->map.data_size = 0;
    r->data_offset = r->offset;
}

static int read_entry(struct tar_reader *r, const struct tar_block *b, struct error *err)
{
    bool ends_in_slash = false;
    int e = 0;

    if (r->has_meta[META_PAX])
        e = tar_pax_parse(r->metas[META_PAX].data, r->metas[META_PAX].size, false, &r->pax, err);
    if (e == 0)
        e = set_path(r, b, &ends_in_slash, err);
    if (e == 0)
        e = set_numbers(r, b, err);
    if (e == 0)
        e = set_type(r, b, ends_in_slash, err);
    if (e == 0 && (r->entry.is_hard_link || r->entry.meta.type == ENTRY_SYMLINK))
        e = set_target(r, b, err);
    if (e == 0 && (r->entry.meta.type == ENTRY_CHAR || r->entry.meta.type == ENTRY_BLOCK))
        e = set_device(r, b, err);
    if (e < 0)
        return e;
    if (b->type == 'S')
        return begin_gnu_sparse(r, b, err);
    if (r->pax.is_sparse)
        return begin_pax_sparse(r, err);
    set_whole(r);
    complete(r);
    return 0;
}

static bool checksum_is_right(const struct tar_block *b)
{
    const uint8_t *bytes = (const uint8_t *)b;
    size_t start = offsetof(struct tar_block, checksum);
    int64_t sum = 0;
    int64_t signed_sum = 0; /* some old writers added signed bytes */
    int64_t stored;

    for (size_t i = 0; i < TAR_BLOCK_SIZE; i++) {
        uint8_t byte = i >= start && i < start + sizeof(b->checksum) ? ' ' : bytes[i];

        sum += byte;
        signed_sum += (int8_t)byte;
    }
    return tar_number(b->checksum, sizeof(b->checksum), &stored) &&
           (stored == sum || stored == signed_sum);
}

static bool is_zero(const uint8_t *block)
{
    return block[0] == 0 && memcmp(block, block + 1, TAR_BLOCK_SIZE - 1) == 0;
}

bool tar_is_header(const uint8_t *block)
{
    return !is_zero(block) && checksum_is_right((const void *)block);
}

static int read_header(struct tar_reader *r, const uint8_t *block, struct error *err)
{
    const struct tar_block *b = (const void *)block;

    if (is_zero(block)) {
        if (r->has_meta[META_PAX] || r->has_meta[META_NAME] || r->has_meta[META_LINK])
            return bad(err, "an extended header belongs to no entry");
        r->state = READ_ZERO;
        return 0;
    }
    begin_entry(r);
    if (!checksum_is_right(b)) {
        r->is_foreign = r->offset == TAR_BLOCK_SIZE;
        return bad(err, r->is_foreign ? "it is not a tar" : "the checksum of its header is wrong");
    }
    switch (b->type) {
    case 'x':
        return begin_meta(r, b, META_PAX, err);
    case 'g':
        return begin_meta(r, b, META_GLOBAL, err);
    case 'L':
        return begin_meta(r, b, META_NAME, err);
    case 'K':
        return begin_meta(r, b, META_LINK, err);
    default:
        return read_entry(r, b, err);
    }
}

/* -- blocks -- */

static int read_block(struct tar_reader *r, const uint8_t *block, struct error *err)
{
    r->offset += TAR_BLOCK_SIZE;
    switch (r->state) {
    case READ_HEADER:
        return read_header(r, block, err);
    case READ_META:
        str_add_bytes(&r->metas[r->meta], block, TAR_BLOCK_SIZE);
        r->left -= TAR_BLOCK_SIZE;
        return r->left > 0 ? 0 : end_meta(r, err);
    case READ_SPARSE_BLOCK:
        return continue_gnu_sparse(r, (const void *)block, err);
    case READ_SPARSE_TEXT:
        return continue_pax_sparse(r, block, err);
    case READ_ZERO:
        if (!is_zero(block))
            return bad(err, "an entry follows a block of zeros");
        r->state = READ_END;
        return 0;
    case READ_CONTENT:
    case READ_END:
    default:
        assert(!"content and the end are not read in blocks");
        return -EINVAL;
    }
}

/* Passes over content: whole or in part, it is only counted. */
static uint64_t skip_content(struct tar_reader *r, uint64_t size)
{
    uint64_t part = r->left < size ? r->left : size;

    r->left -= part;
    r->offset += part;
    if (r->left == 0)
        r->state = READ_HEADER;
    return part;
}

/* One step: content passed over, or bytes put to the block being read and, once it is whole, read. */
static int take_bytes(struct tar_reader *r, const uint8_t **bytes, size_t *size, struct error *err)
{
    const uint8_t *block = *bytes;
    size_t part;

    if (r->state == READ_CONTENT) {
        part = (size_t)skip_content(r, *size);
        *bytes += part;
        *size -= part;
        return 0;
    }
    part = TAR_BLOCK_SIZE - r->block_size;
    if (part > *size)
        part = *size;
    if (part < TAR_BLOCK_SIZE) {
        memcpy(r->block + r->block_size, *bytes, part);
        block = r->block;
    }
    r->block_size += part;
    *bytes += part;
    *size -= part;
    if (r->block_size < TAR_BLOCK_SIZE)
        return 0;
    r->block_size = 0;
    return read_block(r, block, err) < 0 ? at_entry(r, err) : 0;
}

int tar_reader_next(struct tar_reader *r, const uint8_t **bytes, size_t *size,
                    const struct tar_entry **out, struct error *err)
{
    r->has_entry = false;
    while (*size > 0 && r->state != READ_END && !r->has_entry) {
        int e = take_bytes(r, bytes, size, err);

        if (e < 0)
            return e;
    }
    if (r->state == READ_END) {
        *bytes += *size;
        *size = 0;
    }
    *out = &r->entry;
    return r->has_entry;
}

int tar_reader_write(struct tar_reader *r, const void *bytes, size_t size, struct error *err)
{
    const uint8_t *at = bytes;
    const struct tar_entry *entry;
    int e;

    while ((e = tar_reader_next(r, &at, &size, &entry, err)) > 0) {
        e = r->fn(r->context, entry, err);
        if (e < 0)
            break;
    }
    return e;
}

uint64_t tar_reader_skip(struct tar_reader *r, uint64_t size)
{
    return r->state == READ_CONTENT ? skip_content(r, size) : 0;
}

int tar_reader_finish(struct tar_reader *r, struct error *err)
{
    bool is_between = r->state == READ_HEADER || r->state == READ_ZERO || r->state == READ_END;

    if (!is_between || r->block_size > 0 || r->has_meta[META_PAX] || r->has_meta[META_NAME] ||
        r->has_meta[META_LINK])
        return error_set(err, EBADMSG, "the tar ends too early, at offset %llu",
                         (unsigned long long)(r->offset + r->block_size));
    return 0;
}

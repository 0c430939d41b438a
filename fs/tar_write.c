/* tar_write.c - header blocks whose bytes depend on the entry alone. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/limits.h"
#include "fs/tar_internal.h"

#include "fs/base/banned.h"

#define NS_PER_S 1000000000
#define OCTAL_7 07777777ll      /* seven digits: ids, device numbers */
#define OCTAL_11 077777777777ll /* eleven: size, time */

size_t tar_padding(uint64_t size_bytes)
{
    return (size_t)(-size_bytes % TAR_BLOCK_SIZE);
}

/* -- header blocks -- */

static void put_octal(char *field, size_t size, int64_t value)
{
    char text[24];

    assert(value >= 0);
    (void)snprintf(text, sizeof(text), "%0*llo", (int)size - 1, (unsigned long long)value);
    assert(strlen(text) == size - 1); /* callers have looked */
    memcpy(field, text, size);
}

#define PUT_OCTAL(field, value) put_octal(field, sizeof(field), value)

static void put_text(char *field, size_t size, const char *text, size_t length)
{
    assert(length <= size);
    memcpy(field, text, length); /* a full field has no NUL */
}

/* Where a path of ustar is cut into prefix and name, or 0 when it cannot be. */
static size_t split_point(const char *path, size_t size)
{
    const struct tar_block *b = NULL;

    for (size_t i = size; i-- > 1;) {
        if (path[i] == '/' && i <= sizeof(b->prefix) && size - i - 1 <= sizeof(b->name) &&
            size - i - 1 > 0)
            return i;
    }
    return 0;
}

static bool path_fits(const char *path, size_t size)
{
    const struct tar_block *b = NULL;

    return size <= sizeof(b->name) || split_point(path, size) > 0;
}

static void put_path(struct tar_block *b, const char *path, size_t size)
{
    size_t split;

    if (size <= sizeof(b->name)) {
        put_text(b->name, sizeof(b->name), path, size);
        return;
    }
    split = split_point(path, size);
    if (split == 0) { /* the pax record counts; this is for whoever reads none */
        put_text(b->name, sizeof(b->name), path, sizeof(b->name));
        return;
    }
    put_text(b->prefix, sizeof(b->prefix), path, split);
    put_text(b->name, sizeof(b->name), path + split + 1, size - split - 1);
}

static void end_block(struct tar_block *b)
{
    const uint8_t *bytes = (const uint8_t *)b;
    unsigned sum = 0;

    memcpy(b->magic,
           "ustar\0"
           "00",
           sizeof(b->magic));
    memset(b->checksum, ' ', sizeof(b->checksum));
    for (size_t i = 0; i < sizeof(*b); i++)
        sum += bytes[i];
    put_octal(b->checksum, sizeof(b->checksum) - 1, sum); /* six digits, NUL, and the space stays */
}

/* -- pax -- */

/* "LENGTH KEY=VALUE\n", where LENGTH counts its own digits. */
static void add_record(struct str *out, const char *key, const void *value, size_t value_size)
{
    size_t rest = strlen(key) + value_size + 3; /* blank, '=', newline */
    size_t total = rest + 1;
    char digits[24];

    for (;;) {
        int count = snprintf(digits, sizeof(digits), "%zu", total);

        if (rest + (size_t)count == total)
            break;
        total = rest + (size_t)count;
    }
    str_addf(out, "%s %s=", digits, key);
    str_add_bytes(out, value, value_size);
    str_add_char(out, '\n');
}

static void add_number_record(struct str *out, const char *key, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    add_record(out, key, text, strlen(text));
}

/* Seconds and, without trailing zeros, their fraction. */
static void add_time_record(struct str *out, int64_t mtime_ns)
{
    uint64_t absolute = mtime_ns < 0 ? -(uint64_t)mtime_ns : (uint64_t)mtime_ns;
    auto_str struct str text = {0};

    str_addf(&text, "%s%llu", mtime_ns < 0 ? "-" : "", (unsigned long long)(absolute / NS_PER_S));
    if (absolute % NS_PER_S != 0) {
        str_addf(&text, ".%09llu", (unsigned long long)(absolute % NS_PER_S));
        while (text.data[text.size - 1] == '0')
            str_truncate(&text, text.size - 1);
    }
    add_record(out, "mtime", str_text(&text), text.size);
}

static int add_xattr_records(struct str *out, const struct tar_entry *e, struct error *err)
{
    for (size_t i = 0; i < e->xattr_count; i++) {
        const struct xattr *x = &e->xattrs[i];
        auto_str struct str key = {0};

        if (strchr(x->name, '='))
            return error_set(err, EINVAL,
                             "'%s' has the extended attribute '%s', which no tar can hold", e->path,
                             x->name);
        str_addf(&key, "SCHILY.xattr.%s", x->name);
        add_record(out, str_text(&key), x->value, x->value_size);
    }
    return 0;
}

/* RFC 3629, as far as a reader of pax cares: whole sequences that are not longer than needed. */
static bool is_utf8(const char *text)
{
    const uint8_t *at = (const uint8_t *)text;

    while (*at != 0) {
        size_t more = *at < 0x80 ? 0 : *at < 0xC2 ? 4 : *at < 0xE0 ? 1 : *at < 0xF0 ? 2 : 3;
        uint32_t value = *at;

        if (more == 4 || *at > 0xF4)
            return false;
        for (size_t i = 1; i <= more; i++) {
            if ((at[i] & 0xC0) != 0x80)
                return false;
            value = value << 6 | (at[i] & 0x3F);
        }
        value &= more == 2 ? 0xFFFF : more == 3 ? 0x1FFFFF : 0x7FF;
        if ((more == 2 && value < 0x800) || (more == 3 && (value < 0x10000 || value > 0x10FFFF)) ||
            (value >= 0xD800 && value <= 0xDFFF))
            return false;
        at += more + 1;
    }
    return true;
}

/* In a fixed order, so that equal entries have equal bytes. */
static int add_records(struct str *out, const struct tar_entry *e, const struct str *path,
                       struct error *err)
{
    const struct tar_block *b = NULL;
    const struct entry_meta *m = &e->meta;
    bool has_path = !path_fits(str_text(path), path->size);
    bool has_link = e->target && strlen(e->target) > sizeof(b->link);

    if ((has_path && !is_utf8(str_text(path))) || (has_link && !is_utf8(e->target)))
        add_record(out, "hdrcharset", "BINARY", strlen("BINARY"));
    if (has_path)
        add_record(out, "path", str_text(path), path->size);
    if (has_link)
        add_record(out, "linkpath", e->target, strlen(e->target));
    if (m->type == ENTRY_FILE && m->size_bytes > OCTAL_11)
        add_number_record(out, "size", m->size_bytes);
    if (m->uid > OCTAL_7)
        add_number_record(out, "uid", m->uid);
    if (m->gid > OCTAL_7)
        add_number_record(out, "gid", m->gid);
    if (m->mtime_ns < 0 || m->mtime_ns % NS_PER_S != 0)
        add_time_record(out, m->mtime_ns);
    return add_xattr_records(out, e, err);
}

static void add_pax_header(struct str *out, const struct str *records, const char *path)
{
    static const char zeros[TAR_BLOCK_SIZE];
    struct tar_block b = {.type = 'x'};
    auto_str struct str name = {0};

    str_addf(&name, "PaxHeaders/%s", path_base(path));
    put_text(b.name, sizeof(b.name), str_text(&name),
             name.size < sizeof(b.name) ? name.size : sizeof(b.name));
    PUT_OCTAL(b.mode, 0644);
    PUT_OCTAL(b.uid, 0);
    PUT_OCTAL(b.gid, 0);
    PUT_OCTAL(b.size, (int64_t)records->size);
    PUT_OCTAL(b.mtime, 0);
    end_block(&b);
    str_add_bytes(out, &b, sizeof(b));
    str_add_bytes(out, str_text(records), records->size);
    str_add_bytes(out, zeros, tar_padding(records->size));
}

/* -- entries -- */

static char type_flag(const struct tar_entry *e)
{
    static const char flags[] = {
        [ENTRY_FILE] = '0', [ENTRY_DIR] = '5',   [ENTRY_SYMLINK] = '2', [ENTRY_FIFO] = '6',
        [ENTRY_CHAR] = '3', [ENTRY_BLOCK] = '4', [ENTRY_SOCKET] = '\0',
    };

    if (e->is_hard_link)
        return '1';
    return (size_t)e->meta.type < sizeof(flags) ? flags[e->meta.type] : '\0';
}

static int64_t fitting(int64_t value, int64_t max)
{
    return value >= 0 && value <= max ? value : 0; /* the pax record has it */
}

int tar_add_header(struct str *out, const struct tar_entry *e, struct error *err)
{
    const struct entry_meta *m = &e->meta;
    struct tar_block b = {.type = type_flag(e)};
    auto_str struct str path = {0};
    auto_str struct str records = {0};
    bool is_file = m->type == ENTRY_FILE && !e->is_hard_link;
    bool is_device = m->type == ENTRY_CHAR || m->type == ENTRY_BLOCK;
    int r;

    if (b.type == '\0')
        return error_set(err, EINVAL, "'%s' is of a type that no tar can hold", e->path);
    if (is_device && (m->rdev_major > OCTAL_7 || m->rdev_minor > OCTAL_7))
        return error_set(err, EINVAL, "'%s' is a device whose number no tar can hold", e->path);
    str_add(&path, e->path[0] == '\0' ? "." : e->path);
    str_add(&path, m->type == ENTRY_DIR ? "/" : "");
    r = add_records(&records, e, &path, err);
    if (r < 0)
        return r;
    if (records.size > 0)
        add_pax_header(out, &records, e->path);
    put_path(&b, str_text(&path), path.size);
    PUT_OCTAL(b.mode, m->mode & 07777);
    PUT_OCTAL(b.uid, fitting(m->uid, OCTAL_7));
    PUT_OCTAL(b.gid, fitting(m->gid, OCTAL_7));
    PUT_OCTAL(b.size, is_file ? fitting((int64_t)m->size_bytes, OCTAL_11) : 0);
    PUT_OCTAL(b.mtime, fitting(m->mtime_ns / NS_PER_S, OCTAL_11));
    if (e->target)
        put_text(b.link, sizeof(b.link), e->target,
                 strlen(e->target) < sizeof(b.link) ? strlen(e->target) : sizeof(b.link));
    PUT_OCTAL(b.major, is_device ? m->rdev_major : 0);
    PUT_OCTAL(b.minor, is_device ? m->rdev_minor : 0);
    end_block(&b);
    str_add_bytes(out, &b, sizeof(b));
    return 0;
}

void tar_add_end(struct str *out)
{
    static const char zeros[2 * TAR_BLOCK_SIZE];

    str_add_bytes(out, zeros, sizeof(zeros));
}

/* tar_pax.c - parses pax extended header records (POSIX.1-2017, pax, "pax Extended Header").
 *
 * A record is "LENGTH KEY=VALUE\n", LENGTH counting itself. An empty value means that the header's own
 * one stands.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/limits.h"
#include "fs/tar_internal.h"

#include "fs/base/banned.h"

#define XATTR_PREFIX "SCHILY.xattr."
#define NS_PER_S 1000000000

struct record {
    char *key; /* NUL-terminated */
    char *value;
    size_t value_size; /* a NUL follows */
};

void tar_pax_release(struct tar_pax *p)
{
    free(p->xattrs.items);
    free(p->map.items);
    *p = (struct tar_pax){0};
}

static int bad_value(const struct record *r, struct error *err)
{
    auto_str struct str value = {0};

    str_add_escaped(&value, r->value, r->value_size < 64 ? r->value_size : 64);
    return error_set(err, EBADMSG, "its pax record '%s' has the bad value '%s'", r->key,
                     str_text(&value));
}

/* -- values -- */

static bool parse_number(const char *text, size_t size, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (size == 0 || size > 20)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned digit = (unsigned)text[i] - '0';

        if (digit > 9 || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

static int set_number(const struct record *r, uint64_t max, uint64_t *out, struct error *err)
{
    return parse_number(r->value, r->value_size, max, out) ? 0 : bad_value(r, err);
}

static int set_id(const struct record *r, bool *has, uint32_t *out, struct error *err)
{
    uint64_t id;

    if (!parse_number(r->value, r->value_size, UINT32_MAX, &id))
        return bad_value(r, err);
    *has = true;
    *out = (uint32_t)id;
    return 0;
}

/* Seconds with an optional sign and fraction, of which nine digits count. Times that 64 bits of
 * nanoseconds cannot hold (before 1677, after 2262) become the nearest that they can. */
static int set_time(const struct record *r, bool *has, int64_t *out, struct error *err)
{
    const char *text = r->value;
    size_t size = r->value_size;
    bool is_negative = size > 0 && text[0] == '-';
    const char *dot;
    uint64_t seconds;
    int64_t fraction = 0;

    text += is_negative ? 1 : 0;
    size -= is_negative ? 1 : 0;
    dot = memchr(text, '.', size);
    if (!parse_number(text, dot ? (size_t)(dot - text) : size, INT64_MAX, &seconds))
        return bad_value(r, err);
    for (size_t i = 0, unit = NS_PER_S / 10; dot && i + 1 < size - (size_t)(dot - text); i++) {
        unsigned digit = (unsigned)dot[i + 1] - '0';

        if (digit > 9)
            return bad_value(r, err);
        fraction += (int64_t)(digit * unit);
        unit /= 10;
    }
    *has = true;
    if (seconds >= INT64_MAX / NS_PER_S)
        *out = is_negative ? INT64_MIN : INT64_MAX;
    else if (is_negative)
        *out = -((int64_t)seconds * NS_PER_S) - fraction;
    else
        *out = (int64_t)seconds * NS_PER_S + fraction;
    return 0;
}

static int set_text(const struct record *r, const char **out, struct error *err)
{
    if (memchr(r->value, '\0', r->value_size))
        return bad_value(r, err);
    *out = r->value;
    return 0;
}

static int set_xattr(struct tar_pax *p, const struct record *r, struct error *err)
{
    const char *name = r->key + strlen(XATTR_PREFIX);
    size_t total = 0;
    struct xattr *x = NULL;

    for (size_t i = 0; i < p->xattrs.count; i++) {
        if (strcmp(p->xattrs.items[i].name, name) == 0)
            x = &p->xattrs.items[i]; /* the last record of a key counts */
        total += p->xattrs.items[i].value_size + strlen(p->xattrs.items[i].name);
    }
    if (name[0] == '\0' || strlen(name) > LIMIT_NAME_SIZE || r->value_size > LIMIT_XATTR_SIZE ||
        total > LIMIT_XATTRS_SIZE)
        return error_set(err, E2BIG, "its extended attributes are too large");
    if (!x)
        x = array_add(&p->xattrs);
    x->name = name;
    x->value = r->value;
    x->value_size = r->value_size;
    return 0;
}

/* -- GNU.sparse: versions 0.0, 0.1 and 1.0 -- */

static int add_to_map(struct tar_pax *p, uint64_t value, struct error *err)
{
    if (p->map.count >= 2 * (size_t)TAR_MAP_MAX)
        return error_set(err, E2BIG, "its sparse map has more than %u pieces", TAR_MAP_MAX);
    *array_add(&p->map) = value;
    return 0;
}

static int set_map(struct tar_pax *p, const struct record *r, struct error *err)
{
    const char *at = r->value;

    p->map.count = 0;
    for (;;) {
        size_t size = strcspn(at, ",");
        uint64_t value;
        int e;

        if (!parse_number(at, size, INT64_MAX, &value))
            return bad_value(r, err);
        e = add_to_map(p, value, err);
        if (e < 0)
            return e;
        at += size;
        if (*at == '\0')
            break;
        at++;
    }
    return p->map.count % 2 == 0 ? 0 : bad_value(r, err);
}

static int set_sparse(struct tar_pax *p, const struct record *r, struct error *err)
{
    const char *key = r->key + strlen("GNU.sparse.");
    uint64_t value;
    bool is_offset = strcmp(key, "offset") == 0;

    p->is_sparse = true;
    if (strcmp(key, "name") == 0)
        return set_text(r, &p->sparse_name, err);
    if (strcmp(key, "map") == 0)
        return set_map(p, r, err);
    if (!parse_number(r->value, r->value_size, INT64_MAX, &value))
        return bad_value(r, err);
    if (strcmp(key, "size") == 0 || strcmp(key, "realsize") == 0) {
        p->has_real_size = true;
        p->real_size = value;
    } else if (strcmp(key, "major") == 0) {
        p->sparse_major = value;
    } else if (is_offset || strcmp(key, "numbytes") == 0) {
        if (p->map.count % 2 != (is_offset ? 0 : 1))
            return bad_value(r, err); /* they come in pairs */
        return add_to_map(p, value, err);
    } else if (strcmp(key, "minor") != 0 && strcmp(key, "numblocks") != 0) {
        return error_set(err, EBADMSG, "its pax record '%s' is unknown", r->key);
    }
    return 0;
}

static int check_sparse(struct tar_pax *p, struct error *err)
{
    if (!p->is_sparse)
        return 0;
    p->map_in_data = p->sparse_major == 1;
    if (p->sparse_major > 1 || !p->has_real_size || p->map.count % 2 != 0 ||
        (p->map_in_data && p->map.count > 0))
        return error_set(err, EBADMSG, "its sparse map is damaged");
    return 0;
}

/* -- records -- */

static int apply(struct tar_pax *p, const struct record *r, struct error *err)
{
    if (strcmp(r->key, "path") == 0)
        return set_text(r, &p->path, err);
    if (strcmp(r->key, "linkpath") == 0)
        return set_text(r, &p->link, err);
    if (strcmp(r->key, "size") == 0) {
        p->has_size = true;
        return set_number(r, INT64_MAX, &p->size, err);
    }
    if (strcmp(r->key, "uid") == 0)
        return set_id(r, &p->has_uid, &p->uid, err);
    if (strcmp(r->key, "gid") == 0)
        return set_id(r, &p->has_gid, &p->gid, err);
    if (strcmp(r->key, "mtime") == 0)
        return set_time(r, &p->has_mtime, &p->mtime_ns, err);
    if (text_starts(r->key, XATTR_PREFIX))
        return set_xattr(p, r, err);
    if (text_starts(r->key, "GNU.sparse."))
        return set_sparse(p, r, err);
    return 0; /* comment, atime, uname, hdrcharset, a vendor's own: nothing a layer keeps */
}

/* The record says that the header's own value stands, whatever an earlier record said. */
static void reset(struct tar_pax *p, const char *key)
{
    if (strcmp(key, "path") == 0)
        p->path = NULL;
    else if (strcmp(key, "linkpath") == 0)
        p->link = NULL;
    else if (strcmp(key, "size") == 0)
        p->has_size = false;
    else if (strcmp(key, "uid") == 0)
        p->has_uid = false;
    else if (strcmp(key, "gid") == 0)
        p->has_gid = false;
    else if (strcmp(key, "mtime") == 0)
        p->has_mtime = false;
}

static bool sets_something(const struct tar_pax *p)
{
    return p->path || p->link || p->has_size || p->has_uid || p->has_gid || p->has_mtime ||
           p->xattrs.count > 0 || p->is_sparse;
}

/* Cuts one record off; *at moves behind it. */
static bool next_record(char **at, char *end, struct record *out)
{
    size_t digits = 0;
    uint64_t size;
    char *equals;

    while (*at + digits < end && (*at)[digits] != ' ')
        digits++;
    if (*at + digits == end || !parse_number(*at, digits, LIMIT_PAX_SIZE, &size) ||
        size > (size_t)(end - *at) || size < digits + 3 || (*at)[size - 1] != '\n')
        return false;
    out->key = *at + digits + 1;
    *at += size;
    (*at)[-1] = '\0';
    equals = memchr(out->key, '=', (size_t)(*at - 1 - out->key));
    if (!equals || equals == out->key || memchr(out->key, '\0', (size_t)(equals - out->key)))
        return false;
    *equals = '\0';
    out->value = equals + 1;
    out->value_size = (size_t)(*at - 1 - out->value);
    return true;
}

int tar_pax_parse(char *records, size_t size, bool global, struct tar_pax *out, struct error *err)
{
    char *at = records;
    char *end = records + size;

    while (at < end) {
        struct record r;
        int e = 0;

        if (!next_record(&at, end, &r))
            return error_set(err, EBADMSG, "its pax header is damaged");
        if (r.value_size > 0 || text_starts(r.key, XATTR_PREFIX))
            e = apply(out, &r, err);
        else
            reset(out, r.key);
        if (e < 0)
            return e;
        if (global && sets_something(out))
            return error_set(err, EBADMSG, "a global pax header sets '%s' for all entries", r.key);
    }
    return check_sparse(out, err);
}

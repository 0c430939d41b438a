/* tar_sparse.c - numbers in header fields, and the maps of GNU sparse files built from them. */
#include <errno.h>
#include <stdlib.h>

#include "fs/tar_internal.h"

#include "fs/base/banned.h"

/* -- numbers -- */

static bool base256(const uint8_t *field, size_t size, int64_t *out)
{
    bool is_negative = field[0] & 0x40;
    uint64_t value = is_negative ? UINT64_MAX : 0;

    for (size_t i = 0; i < size; i++) {
        uint8_t byte = i == 0 ? (uint8_t)((field[0] & 0x7F) | (is_negative ? 0x80 : 0)) : field[i];

        if (value >> 55 !=
            (is_negative ? 0x1FFu : 0u)) /* the next eight bits would reach the sign */
            return false;
        value = value << 8 | byte;
    }
    *out = (int64_t)value;
    return true;
}

bool tar_number(const char *field, size_t size, int64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;

    if ((uint8_t)field[0] & 0x80)
        return base256((const uint8_t *)field, size, out);
    while (i < size && (field[i] == ' ' || field[i] == '\0'))
        i++;
    for (; i < size && field[i] != ' ' && field[i] != '\0'; i++) {
        unsigned digit = (unsigned)field[i] - '0';

        if (digit > 7 || value >> 60 != 0)
            return false;
        value = value << 3 | digit;
    }
    while (i < size && field[i] == ' ')
        i++;
    if (i < size && field[i] != '\0')
        return false; /* what follows a NUL is nobody's business */
    *out = (int64_t)value;
    return true;
}

/* -- maps -- */

int tar_map_add(struct tar_map *m, uint64_t offset, uint64_t size, struct error *err)
{
    uint64_t end = 0;
    struct extent *e;

    if (m->count > 0)
        end = m->items[m->count - 1].file_offset + m->items[m->count - 1].length;
    if (offset < end || offset > INT64_MAX || size > INT64_MAX - offset)
        return error_set(err, EBADMSG, "its sparse map is damaged");
    if (size == 0)
        return 0;
    if (m->count >= TAR_MAP_MAX)
        return error_set(err, E2BIG, "its sparse map has more than %u pieces", TAR_MAP_MAX);
    e = array_add(m);
    e->file_offset = offset;
    e->length = size;
    e->pack_offset = m->data_size;
    m->data_size += size; /* pieces do not overlap, so the sum is below the last end */
    return 0;
}

/* A complete number of the text: how many pairs there are, an offset, or a size. */
static int take_number(struct tar_map *m, struct tar_map_text *t, struct error *err)
{
    uint64_t number = t->number;

    t->number = 0;
    t->in_number = false;
    if (!t->has_count) {
        if (number > TAR_MAP_MAX)
            return error_set(err, E2BIG, "its sparse map has more than %u pieces", TAR_MAP_MAX);
        t->has_count = true;
        t->left = 2 * number;
        return 0;
    }
    t->left--;
    if (t->left % 2 == 1) {
        t->offset = number;
        return 0;
    }
    return tar_map_add(m, t->offset, number, err);
}

int tar_map_read_text(struct tar_map *m, struct tar_map_text *t, const uint8_t *block, bool *done,
                      struct error *err)
{
    *done = false;
    for (size_t i = 0; i < TAR_BLOCK_SIZE && !*done; i++) {
        unsigned digit = (unsigned)block[i] - '0';
        int r;

        if (digit <= 9 && t->number <= ((uint64_t)INT64_MAX - digit) / 10) {
            t->number = t->number * 10 + digit;
            t->in_number = true;
            continue;
        }
        if (block[i] != '\n' || !t->in_number)
            return error_set(err, EBADMSG, "its sparse map is damaged");
        r = take_number(m, t, err);
        if (r < 0)
            return r;
        *done = t->left == 0;
    }
    return 0;
}

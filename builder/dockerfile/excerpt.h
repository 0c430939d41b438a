/* excerpt.h - the block of source lines shown with an error or a warning.
 *
 *     Dockerfile:3
 *     --------------------
 *        1 |     FROM scratch
 *        2 |
 *        3 | >>> COPY --form=x a b
 *          |          ^
 *     --------------------
 */
#pragma once

#include <stddef.h>

#include "fs/base/str.h"

struct excerpt {
    const char *name; /* the file, for the header */
    const char *source;
    size_t source_size;  /* bytes */
    unsigned line_first; /* the marked lines, counted from 1 */
    unsigned line_last;
    unsigned caret_line; /* 0: no caret */
    unsigned caret_column;
    size_t from_offset; /* a place known already, to spare looking from the start: the offset */
    unsigned from_line; /* of this line, not above the first one shown; both 0 if there is none */
};

/* Appends the block: two lines around a single marked one, one around a range. Bytes that could
 * move a cursor are escaped, long lines and long ranges are shortened, so that the block fits in
 * `size_max` bytes, which should be a thousand at least. */
void excerpt_add(const struct excerpt *excerpt, size_t size_max, struct str *out);

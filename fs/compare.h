/* compare.h - what differs between two views, path by path.
 *
 * Directories that both have from the same layers are passed over as a whole, files that come from
 * the same place in a layer, or whose bytes lie in the same place of a pack, are not read. So two
 * images with layers in common cost what differs, and others what they list.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/error.h"
#include "fs/union.h"
#include "fs/view.h"

enum compare_what {
    COMPARE_TYPE = 1 << 0,
    COMPARE_MODE = 1 << 1,
    COMPARE_OWNER = 1 << 2,
    COMPARE_SIZE = 1 << 3,
    COMPARE_CONTENT = 1 << 4,
    COMPARE_TARGET = 1 << 5, /* of a symbolic link */
    COMPARE_DEVICE = 1 << 6,
    COMPARE_XATTRS = 1 << 7,
    COMPARE_TIME = 1 << 8, /* of the last change of the content; see compare_options */
};

/* One path. Everything is borrowed for the call. */
struct difference {
    enum change_kind kind;    /* ADD, MODIFY or DELETE */
    const char *path;         /* relative, "" is the root */
    struct union_attr before; /* unless ADD */
    struct union_attr after;  /* unless DELETE */
    const char *target;       /* of a symbolic link, as it is after, or as it was; else NULL */
    uint32_t what;            /* MODIFY: enum compare_what */
};

struct compare_options {
    bool times; /* a path of which nothing but the time differs counts, too */
};

/* Calls `fn` for every path that differs, in the order of the tree: names by their bytes, a directory
 * before what is in it. What lies in an added or removed directory is told of as well. Neither view
 * may be served, or changed.
 *
 * Errors: -EIO a layer is damaged. */
typedef void compare_fn(void *context, const struct difference *d);
int view_compare(struct view *before, struct view *after, const struct compare_options *options,
                 compare_fn *fn, void *context, struct error *err);

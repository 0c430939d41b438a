/* tree_tar.h - a view's whole tree as one tar: what `build -o type=tar` writes.
 *
 * Sorted by name, owners, modes, times, hard links and extended attributes as they are, streamed from
 * where the bytes lie. The same tree gives the same bytes. Sockets are left out: no tar can hold one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/error.h"
#include "fs/base/stream.h"

struct view;

#define TREE_TIMES_OWN INT64_MIN /* every entry has its own time */

struct tree_tar_options {
    int64_t mtime_ns;      /* of every entry, or TREE_TIMES_OWN */
    const char *directory; /* one component: an entry for it, and all else below it; NULL: none */
    bool has_more;         /* the archive is not ended: another tree follows */
};
/* Takes the view over. */
int tree_tar_write(struct view *view, const struct tree_tar_options *options, struct writer *to,
                   struct error *err);

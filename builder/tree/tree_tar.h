/* tree_tar.h - a view's whole tree as one tar: what `build -o type=tar` writes.
 *
 * Sorted by name, owners, modes, times, hard links and extended attributes as they are, streamed from
 * where the bytes lie. The same tree gives the same bytes. Sockets are left out: no tar can hold one.
 */
#pragma once

#include <stdint.h>

#include "fs/base/error.h"
#include "fs/base/stream.h"

struct view;

#define TREE_TIMES_OWN INT64_MIN /* every entry has its own time */

/* Takes the view over. `mtime_ns`: of every entry, or TREE_TIMES_OWN. */
int tree_tar_write(struct view *view, int64_t mtime_ns, struct writer *to, struct error *err);

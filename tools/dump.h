/* dump.h - a layer as text, one line per entry, so that tests compare and people read it.
 *
 *     PATH TYPE MODE [UID:GID] [mtime=SECONDS[.NANOSECONDS]] [CONTENT] [FLAGS] [NAME=VALUE ...]
 *
 * Paths are sorted depth first, names in byte order; directories end in '/', the root is "./".
 * TYPE is dir, file, symlink, fifo, char, block. Owner 0:0 and time 0 are left out. CONTENT is a
 * quoted text (short), a size and digest (long), a link's target, or a device number. FLAGS are
 * opaque, implicit. "DIR/.wh.NAME whiteout" stands where NAME would. Later names of a file are "PATH
 * link FIRST-PATH"; a link to a file of a lower layer is "PATH link-below PATH". Text is escaped as
 * by str_add_escaped.
 */
#pragma once

#include <stdint.h>

#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/index.h"

/* Reads content for the dump: exactly `size` bytes or an error. */
typedef int dump_read_fn(void *context, uint64_t pack, uint64_t offset, void *buf, size_t size,
                         struct error *err);

/* `read` NULL: sizes and extents ("5 bytes at 7+512", pack + offset) instead of content. */
int dump_index(const struct index *x, dump_read_fn *read, void *context, struct str *out,
               struct error *err);

/* pack.h - files of uncompressed bytes that extents point into.
 *
 * A pack is immutable once it has a row. While it is being made it is a segment: a file in tmp/ that
 * only its maker appends to. Ids are store-wide and never reused. Reads use pread, so a truncated
 * pack is -EIO and never SIGBUS. Ids are random, 1 to INT64_MAX, and cost no transaction.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "fs/base/error.h"

struct store;

/* A new segment file in STATE/tmp, mode 0600, O_RDWR. *id is reserved for it and becomes the pack's
 * id when adopted. The file vanishes with the process unless adopted (O_TMPFILE, or a name that
 * recovery removes). */
int pack_create(struct store *store, uint64_t *id, int *fd, struct error *err);
/* fsync, link as packs/<name> (store_object_name). The row is inserted with the layer's, and the
 * directory made durable before that; a pack which gets no row goes when the store closes. `fd`
 * stays the caller's. */
int pack_adopt(struct store *store, uint64_t id, int fd, struct error *err);
/* Reads exactly `size` bytes at `offset`; any thread. The store keeps the packs used last open, at most
 * PACK_OPEN_MAX of them and a quarter of RLIMIT_NOFILE, so any number of packs can be read. -ENOENT no
 * such pack; -EIO it is missing, its size is not the row's, or it ends before the bytes do. */
int pack_read(struct store *store, uint64_t id, uint64_t offset, void *buf, size_t size,
              struct error *err);
#define PACK_OPEN_MAX 256u
/* A read-only descriptor of the whole pack, which the caller closes. Errors as above. */
int pack_open(struct store *store, uint64_t id, int *fd, struct error *err);

/* load_source.h - what somebody hands to `img load`: named files of an archive or of a directory.
 *
 * A plain tar on disk is listed by its headers alone and read where its files are. What comes
 * through a pipe, or compressed, can be read once only: files that are layers are ingested as they
 * pass, small documents are put aside, all else is passed over. Nothing is unpacked, names are never
 * paths of the host, and memory does not depend on the size of what is read.
 *
 * After opening, reads may come from several threads.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct load_source;
struct store;

/* `path` is a file or a directory; NULL is standard input. Compression is found by content (gzip,
 * bzip2, xz, zstd). -EBADMSG not an archive, or a damaged one; -E2BIG, -EFBIG a limit (SECURITY R40). */
int load_source_open(struct store *store, const char *path, struct load_source **out,
                     struct error *err);
void load_source_close(struct load_source *s);

const char *load_source_name(const struct load_source *s); /* for messages */
bool load_source_has(struct load_source *s, const char *name);
/* A whole document of at most `size_max` bytes (-EFBIG). -ENOENT: there is no such file. */
int load_source_document(struct load_source *s, const char *name, uint64_t size_max,
                         struct str *out, struct error *err);

struct load_layer {
    const char *name;             /* of the file */
    const struct digest *blob;    /* digest of its bytes; NULL: nobody said */
    uint64_t size_bytes;          /* of its bytes; UINT64_MAX: nobody said */
    const struct digest *diff_id; /* of the tar within: always checked */
};
/* The layer of the store that this file is, ingested now unless it was before. -ENOENT no such
 * file; -EBADMSG it is not what `wanted` says. */
int load_source_layer(struct load_source *s, const struct load_layer *wanted, int64_t *layer,
                      struct error *err);

/* Forgets the layers that this source brought and no image needs: all of them after a failure,
 * else those of files that nobody asked for. What another process might be using stays until a
 * prune. */
void load_source_forget(struct load_source *s, bool has_failed);

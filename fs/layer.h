/* layer.h - how a layer enters the store from compressed bytes and leaves it as tar or blob.
 *
 * A layer has a store id, a diff_id (digest of the tar before compression; OCI image-spec,
 * config.md, "Layer DiffID") and any number of compressed forms (blobs). Its tar is the pack itself
 * when it was pulled, and generated from index + packs, byte-identically each time, when it was
 * built. Nothing is ever unpacked file by file.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/stream.h"
#include "fs/codec.h"

struct store;

/* -- in: network -> digest -> inflate -> digest -> pack + index, one pass, bounded memory -- */
struct layer_ingest;
struct layer_ingest_options {
    const char *what;             /* names the layer in messages, copied */
    enum codec_format format;     /* of the bytes given; CODEC_DETECT looks at their magic */
    const struct digest *blob;    /* expected digest of the bytes given, or NULL: not checked */
    uint64_t blob_size_bytes;     /* expected size, UINT64_MAX: unknown */
    const struct digest *diff_id; /* expected, or NULL: found out */
    bool keep_blob;               /* keep the compressed bytes as a blob of the store */
    bool resume; /* with blob and keep_blob: go on with what an interrupted try kept, and keep what
                    this one gets should it be interrupted */
};
/* With `resume`, -EBUSY while somebody else brings the same blob. */
int layer_ingest_open(struct store *store, const struct layer_ingest_options *options,
                      struct layer_ingest **out, struct error *err);
/* What it has of the compressed bytes: after an open with `resume` those an earlier try kept, which
 * have gone through inflating and reading already; the caller goes on behind them. */
uint64_t layer_ingest_size_bytes(const struct layer_ingest *in);
/* Any thread, one at a time. A helper thread inflates while this one hashes and stores. Where a digest
 * is expected, bytes that cannot be inflated or are no tar are reported by the commit: only when all
 * were seen it is known whether they are at fault or what they passed through. */
int layer_ingest_write(struct layer_ingest *in, const void *bytes, size_t size, struct error *err);
/* Verifies size, digest and diff_id, makes bytes durable, inserts the layer (or finds the one that
 * already has this diff_id) and its blob. -EBADMSG when a digest differs. Consumes `in`. */
int layer_ingest_commit(struct layer_ingest *in, int64_t *layer, struct error *err);
/* Leaves nothing behind. With `resume` the compressed bytes stay for the next try, as long as it was
 * not the bytes, or storing them, that failed. NULL is allowed. */
void layer_ingest_abort(struct layer_ingest *in);
/* A layer from `options->blob`, which the store has already; keep_blob and resume mean nothing.
 * -ENOENT: it has not. */
int layer_ingest_stored(struct store *store, const struct layer_ingest_options *options,
                        int64_t *layer, struct error *err);
/* The layer with the same tar under a diff_id of another algorithm, with the same blobs: one that the
 * store has, or made now from a copy of the tar. -EBADMSG: the tar has another digest. */
int layer_rename(struct store *store, int64_t layer, const struct digest *diff_id, int64_t *out,
                 struct error *err);
DEFINE_CLEANUP(layer_ingest_abort, struct layer_ingest *)
#define auto_layer_ingest CLEANUP(layer_ingest_abort)

/* The same layer with no time above mtime_max_ns: a new one over the same bytes, or `layer` itself
 * when nothing in it is newer. Its tar differs from the first in these times alone. */
int layer_clamp(struct store *store, int64_t layer, int64_t mtime_max_ns, int64_t *out,
                struct error *err);

/* -- out -- */
int layer_tar_open(struct store *store, int64_t layer, struct reader **out, struct error *err);
/* The whole tar to `to`, verified: by the checksums of a large one (fs/sums.h), else by its diff_id.
 * -EIO when the bytes are not what they were: `to` has them by then. */
int layer_tar_write(struct store *store, int64_t layer, struct writer *to, struct error *err);
/* Diff id and tar size, computed and remembered if they are not known yet. -ECANCELED: see
 * store_set_stop. */
int layer_digest(struct store *store, int64_t layer, struct digest *diff_id, uint64_t *tar_size,
                 struct error *err);
struct layer_blob {
    enum codec_format format;
    struct digest digest;
    uint64_t size_bytes;
};
/* Follows a blob while it is made, in the thread that makes it. */
struct blob_follower {
    /* The file that will grow; borrowed, to be duplicated by who wants to read it later. */
    void (*begin)(struct blob_follower *f, int fd);
    void (*grown)(struct blob_follower *f, uint64_t size_bytes); /* which can be read, and stay */
};
struct layer_compress_options {
    enum codec_format format;       /* not CODEC_DETECT */
    int level;                      /* -1: the default */
    unsigned threads;               /* the bytes do not depend on their number */
    struct blob_follower *follower; /* or NULL; called only when something is made */
};
/* A blob of this layer in a format: one the store has, or made now, kept and remembered. The tar is
 * verified on the way: by its checksums where there are any (fs/sums.h), else by its diff_id; -EIO. */
int layer_compress(struct store *store, int64_t layer, const struct layer_compress_options *options,
                   struct layer_blob *out, struct error *err);

/* layer.c - a layer's tar, its digest, and its compressed forms. How it comes in: layer_ingest.c. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "fs/blob.h"
#include "fs/layer.h"
#include "fs/layer_internal.h"
#include "fs/pack.h"
#include "fs/store.h"
#include "fs/sums.h"

#include "fs/base/banned.h"

#define COPY_SIZE ((size_t)1 << 20)
#define WHAT_SIZE 40

static void name_layer(int64_t layer, char what[WHAT_SIZE])
{
    (void)snprintf(what, WHAT_SIZE, "layer %" PRId64, layer);
}

static int damaged(int64_t layer, struct error *err)
{
    (void)error_set(err, EIO, "the content of layer %" PRId64 " is not what it was", layer);
    return error_hint(err, "'img fsck' finds what is damaged");
}

/* -- a tar that is checked while it is read -- */

struct checked_reader {
    struct reader base; /* first: the reader is the object */
    struct reader *from;
    struct hasher *hasher;
    struct digest expected;
    int64_t layer;
    bool is_checked; /* the end was met and the digest was right */
};

static ssize_t checked_read(struct reader *base, void *buf, size_t size, struct error *err)
{
    struct checked_reader *c = (struct checked_reader *)base;
    ssize_t n = reader_read(c->from, buf, size, err);
    struct digest found;

    if (n > 0)
        hasher_update(c->hasher, buf, (size_t)n);
    if (n != 0 || size == 0 || c->is_checked)
        return n;
    hasher_final(c->hasher, &found);
    c->is_checked = digest_equal(&found, &c->expected);
    return c->is_checked ? 0 : damaged(c->layer, err);
}

static void checked_close(struct reader *base)
{
    struct checked_reader *c = (struct checked_reader *)base;

    reader_close(c->from);
    hasher_free(c->hasher);
    free(c);
}

static struct reader *checked_reader_new(struct reader *from, const struct layer_row *row)
{
    struct checked_reader *c = mem_new(struct checked_reader);

    c->base = (struct reader){checked_read, checked_close};
    c->from = from;
    c->hasher = hasher_new();
    c->expected = row->diff_id;
    c->layer = row->id;
    return &c->base;
}

/* -- the tar -- */

static int open_pack(struct store *store, const struct layer_row *row, struct reader **out,
                     struct error *err)
{
    char what[WHAT_SIZE];
    int fd = -1;
    int r = pack_open(store, row->pack, &fd, err);

    if (r < 0)
        return r;
    name_layer(row->id, what);
    *out = fd_reader_new_range(fd, 0, row->tar_size_bytes, what);
    return 0;
}

static int open_unchecked(struct store *store, const struct layer_row *row, struct reader **out,
                          struct error *err)
{
    char what[WHAT_SIZE];
    const struct index *x;
    int r;

    if (row->kind == LAYER_PULLED)
        return open_pack(store, row, out, err);
    name_layer(row->id, what);
    r = store_index_get(store, row->id, &x, err);
    if (r == 0)
        *out = layer_generate_tar(store, x, what);
    return r;
}

static int open_tar(struct store *store, const struct layer_row *row, struct reader **out,
                    struct error *err)
{
    int r = open_unchecked(store, row, out, err);

    if (r == 0 && row->has_diff_id)
        *out = checked_reader_new(*out, row);
    return r;
}

int layer_tar_open(struct store *store, int64_t layer, struct reader **out, struct error *err)
{
    struct layer_row row;
    int r = store_layer_get(store, layer, &row, err);

    return r < 0 ? r : open_tar(store, &row, out, err);
}

int layer_tar_write(struct store *store, int64_t layer, struct writer *to, struct error *err)
{
    auto_reader struct reader *from = NULL;
    bool is_sound = true;
    struct layer_row row;
    int r = store_layer_get(store, layer, &row, err);

    if (r == 0)
        r = open_unchecked(store, &row, &from, err);
    if (r == 0 && row.has_diff_id)
        r = store_copy_checked(store, &row.diff_id, row.tar_size_bytes, from, to, &is_sound, err);
    else if (r == 0)
        r = stream_copy(from, to, NULL, err);
    return r == 0 && !is_sound ? damaged(layer, err) : r;
}

/* -- digest and compressed forms -- */

/* Reads the whole tar; hashes it, and copies it to `to` unless that is NULL. What has no diff_id yet
 * is summed, too. */
static int read_tar(struct store *store, const struct layer_row *row, struct writer *to,
                    struct sums *sums, struct digest *diff_id, uint64_t *size, struct error *err)
{
    auto_reader struct reader *tar = NULL;
    auto_hasher struct hasher *hasher = hasher_new();
    auto_free uint8_t *buffer = mem_alloc(COPY_SIZE);
    uint64_t total = 0;
    ssize_t n;
    int r = open_tar(store, row, &tar, err);

    if (r < 0)
        return r;
    while ((n = reader_read(tar, buffer, COPY_SIZE, err)) > 0) {
        if (store_is_stopped(store))
            return error_set(err, ECANCELED, "canceled");
        total += (uint64_t)n;
        if (!row->has_diff_id) { /* else the reader checks it */
            hasher_update(hasher, buffer, (size_t)n);
            sums_update(sums, buffer, (size_t)n);
        }
        r = to ? writer_write(to, buffer, (size_t)n, err) : 0;
        if (r < 0)
            return r;
    }
    if (n < 0)
        return (int)n;
    *diff_id = row->diff_id;
    if (!row->has_diff_id)
        hasher_final(hasher, diff_id);
    *size = total;
    return 0;
}

/* A diff_id that was just computed, and the sums that go with it. */
static int remember(struct store *store, const struct layer_row *row, struct sums *sums,
                    struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = store_layer_set_diff_id(store, row->id, &row->diff_id, row->tar_size_bytes, err);
    if (r == 0)
        r = store_sums_put(store, &row->diff_id, sums, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int layer_digest(struct store *store, int64_t layer, struct digest *diff_id, uint64_t *tar_size,
                 struct error *err)
{
    struct layer_row row;
    int r = store_layer_get(store, layer, &row, err);

    if (r < 0)
        return r;
    if (!row.has_diff_id) {
        auto_sums struct sums *sums = sums_new();

        r = read_tar(store, &row, NULL, sums, &row.diff_id, &row.tar_size_bytes, err);
        if (r == 0)
            r = remember(store, &row, sums, err);
        if (r < 0)
            return r;
    }
    *diff_id = row.diff_id;
    *tar_size = row.tar_size_bytes;
    return 0;
}

/* Makes a blob of the whole tar; learns the diff_id on the way. */
static int compress(struct store *store, struct layer_row *row, enum codec_format format, int level,
                    unsigned threads, struct sums *sums, struct layer_blob *out, struct error *err)
{
    auto_blob_writer struct blob_writer *blob = NULL;
    auto_writer struct writer *deflate = NULL;
    char what[WHAT_SIZE];
    struct blob_writer_options options = {.what = what, .size_bytes = UINT64_MAX};
    int r;

    name_layer(row->id, what);
    r = blob_writer_open(store, &options, &blob, err);
    if (r == 0)
        r = deflate_writer_new(format, level, threads, blob_writer_stream(blob), &deflate, err);
    if (r == 0)
        r = read_tar(store, row, deflate, sums, &row->diff_id, &row->tar_size_bytes, err);
    if (r == 0)
        r = writer_finish(deflate, err);
    if (r == 0)
        r = blob_writer_commit(STEAL(&blob), &out->digest, &out->size_bytes, err);
    out->format = format;
    return r;
}

int layer_compress(struct store *store, int64_t layer, enum codec_format format, int level,
                   unsigned threads, struct layer_blob *out, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_sums struct sums *sums = sums_new();
    struct layer_blob_row known;
    struct layer_blob made = {0};
    struct layer_row row;
    int r = store_layer_blob_find(store, layer, format, &known, err);

    assert(format != CODEC_DETECT);
    if (r == 0) {
        *out = (struct layer_blob){known.format, known.digest, known.size_bytes};
        return 0;
    }
    if (r == -ENOENT)
        r = store_layer_get(store, layer, &row, err);
    if (r == 0)
        r = compress(store, &row, format, level, threads, sums, &made, err);
    if (r == 0)
        r = store_begin(store, &tx, err);
    if (r == 0 && !row.has_diff_id)
        r = remember(store, &row, sums, err);
    if (r == 0)
        r = store_layer_blob_add(store, layer, format, &made.digest, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r == 0)
        *out = made;
    return r;
}

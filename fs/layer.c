/* layer.c - a layer's tar, its digest, and its compressed forms. How it comes in: layer_ingest.c. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
    c->hasher = hasher_new_as(row->diff_id.algorithm);
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

static bool is_equal(const struct str *a, const struct str *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* The tar as it passes: what has no diff_id yet gets one, and sums; what has one is compared with
 * them, or with it when there are none. */
struct passing {
    const struct layer_row *row;
    struct hasher *hasher; /* NULL: the sums are enough */
    struct sums *sums;     /* borrowed */
    struct str expected;   /* sums; empty: none are known */
    uint64_t size_bytes;
};

static int passing_begin(struct store *store, const struct layer_row *row, struct sums *sums,
                         struct passing *out, struct error *err)
{
    int r = row->has_diff_id
                ? store_sums_get(store, &row->diff_id, row->tar_size_bytes, &out->expected, err)
                : -ENOENT;

    if (r < 0 && r != -ENOENT)
        return r;
    error_clear(err);
    out->row = row;
    out->sums = sums;
    if (r < 0)
        out->hasher = hasher_new_as(row->has_diff_id ? row->diff_id.algorithm : DIGEST_SHA256);
    return 0;
}

static void passing_update(struct passing *p, const void *bytes, size_t size)
{
    p->size_bytes += size;
    sums_update(p->sums, bytes, size);
    if (p->hasher)
        hasher_update(p->hasher, bytes, size);
}

/* `diff_id` may be that of the row. */
static int passing_end(struct passing *p, struct digest *diff_id, struct error *err)
{
    struct digest found = p->row->diff_id;
    bool is_sound = true;

    if (p->hasher)
        hasher_final(p->hasher, &found);
    if (p->row->has_diff_id)
        is_sound = p->hasher ? digest_equal(&found, &p->row->diff_id)
                             : p->size_bytes == p->row->tar_size_bytes &&
                                   is_equal(sums_final(p->sums), &p->expected);
    *diff_id = found;
    return is_sound ? 0 : damaged(p->row->id, err);
}

static void passing_release(struct passing *p)
{
    hasher_free(p->hasher);
    str_release(&p->expected);
}
DEFINE_CLEANUP_VALUE(passing_release, struct passing)

/* Reads the whole tar; learns or checks its diff_id, and copies it to `to` unless that is NULL. */
static int read_tar(struct store *store, const struct layer_row *row, struct writer *to,
                    struct sums *sums, struct digest *diff_id, uint64_t *size, struct error *err)
{
    __attribute__((cleanup(cleanup_passing_release))) struct passing passing = {0};
    auto_reader struct reader *tar = NULL;
    auto_free uint8_t *buffer = mem_alloc(COPY_SIZE);
    ssize_t n = 0;
    int r = open_unchecked(store, row, &tar, err);

    if (r == 0)
        r = passing_begin(store, row, sums, &passing, err);
    while (r == 0 && (n = reader_read(tar, buffer, COPY_SIZE, err)) > 0) {
        if (store_is_stopped(store))
            return error_set(err, ECANCELED, "canceled");
        passing_update(&passing, buffer, (size_t)n);
        r = to ? writer_write(to, buffer, (size_t)n, err) : 0;
    }
    if (r < 0 || n < 0)
        return r < 0 ? r : (int)n;
    *size = passing.size_bytes;
    return passing_end(&passing, diff_id, err);
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

/* Between a compressor and its blob: tells who follows. */
struct follow_writer {
    struct writer base;
    struct blob_writer *blob;
    struct blob_follower *follower; /* or NULL */
};

static int follow_write(struct writer *base, const void *buf, size_t size, struct error *err)
{
    struct follow_writer *w = (struct follow_writer *)base;
    int r = blob_writer_write(w->blob, buf, size, err);

    if (r == 0 && w->follower)
        w->follower->grown(w->follower, blob_writer_size_bytes(w->blob));
    return r;
}

/* Makes a blob of the whole tar; learns the diff_id on the way. */
static int compress(struct store *store, struct layer_row *row,
                    const struct layer_compress_options *o, struct sums *sums,
                    struct layer_blob *out, struct error *err)
{
    auto_blob_writer struct blob_writer *blob = NULL;
    auto_writer struct writer *deflate = NULL;
    struct follow_writer follow = {.base.write = follow_write, .follower = o->follower};
    char what[WHAT_SIZE];
    struct blob_writer_options options = {.what = what, .size_bytes = UINT64_MAX};
    int r;

    name_layer(row->id, what);
    r = blob_writer_open(store, &options, &blob, err);
    follow.blob = blob;
    if (r == 0 && o->follower)
        o->follower->begin(o->follower, blob_writer_fd(blob));
    if (r == 0)
        r = deflate_writer_new(o->format, o->level, o->threads, &follow.base, &deflate, err);
    if (r == 0)
        r = read_tar(store, row, deflate, sums, &row->diff_id, &row->tar_size_bytes, err);
    if (r == 0)
        r = writer_finish(deflate, err);
    if (r == 0)
        r = blob_writer_commit(STEAL(&blob), &out->digest, &out->size_bytes, err);
    out->format = o->format;
    return r;
}

int layer_compress(struct store *store, int64_t layer, const struct layer_compress_options *o,
                   struct layer_blob *out, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_sums struct sums *sums = sums_new();
    struct layer_blob_row known;
    struct layer_blob made = {0};
    struct layer_row row;
    int r = store_layer_blob_find(store, layer, o->format, NULL, &known, err);

    assert(o->format != CODEC_DETECT);
    if (r == 0) {
        *out = (struct layer_blob){known.format, known.digest, known.size_bytes};
        return 0;
    }
    if (r == -ENOENT)
        r = store_layer_get(store, layer, &row, err);
    if (r == 0)
        r = compress(store, &row, o, sums, &made, err);
    if (r == 0)
        r = store_begin(store, &tx, err);
    if (r == 0 && !row.has_diff_id)
        r = remember(store, &row, sums, err);
    if (r == 0)
        r = store_layer_blob_add(store, layer, o->format, &made.digest, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r == 0)
        *out = made;
    return r;
}

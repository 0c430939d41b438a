/* layer_ingest.c - compressed bytes in, a layer of the store out, in one pass.
 *
 *     caller: hash, store the blob -> [ring] -> inflate -> [ring] -> hash, write the pack, read the tar
 *
 * Three threads, so that a layer takes as long as the slowest of the three and not their sum. The
 * rings bound the memory to 3 MiB, whatever the layer. The pack is the tar: nothing is unpacked.
 * What fails first breaks both rings; its sentence is the one that the caller gets.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "fs/base/hash.h"
#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/layer.h"
#include "fs/layer_entry.h"
#include "fs/pack.h"
#include "fs/ring.h"
#include "fs/store.h"
#include "fs/sums.h"

#include "fs/base/banned.h"

#define BUFFER_COUNT 4u
#define COMPRESSED_SIZE ((size_t)256 << 10)
#define TAR_SIZE ((size_t)512 << 10)

struct layer_ingest {
    struct store *store; /* borrowed */
    char *what;
    struct blob_writer *blob;     /* NULL: not kept */
    struct hasher *blob_hasher;   /* of a blob that is checked but not kept */
    const struct digest *digest;  /* expected of the blob, or NULL; points to blob_digest */
    const struct digest *diff_id; /* expected, or NULL; points to tar_digest */
    struct digest blob_digest;
    struct digest tar_digest;
    uint64_t blob_size_expected;
    bool is_stored;  /* the blob is in the store already */
    bool is_spoiled; /* the bytes, or storing them, failed in a way that would come again */

    /* the caller's thread */
    uint64_t blob_size;
    uint8_t *filling; /* buffer of `compressed`, or NULL */
    size_t filled;
    struct ring compressed;

    /* the inflating thread */
    struct inflater *inflater;
    struct ring tar;

    /* the writing thread */
    uint64_t pack;
    int pack_fd;
    uint64_t tar_size;
    uint64_t started_size; /* of the pack, on its way to the disk */
    uint64_t data_bytes;
    struct hasher *tar_hasher;
    struct sums *tar_sums;
    struct tar_reader *reader;
    struct index_builder *builder;

    pthread_t threads[2];
    size_t thread_count;
    pthread_mutex_t lock;
    /* guarded by lock */
    struct error failure;    /* the first one; code 0: none */
    bool is_content_refused; /* it is the bytes that are wrong, not this machine */
};

/* -- failing -- */

static void fail(struct layer_ingest *in, bool is_content_refused, const struct error *err)
{
    pthread_mutex_lock(&in->lock);
    if (in->failure.code == 0) {
        in->failure = *err;
        in->is_content_refused = is_content_refused;
    }
    pthread_mutex_unlock(&in->lock);
    ring_break(&in->compressed);
    ring_break(&in->tar);
}

static int failure(struct layer_ingest *in, struct error *err)
{
    int code;

    pthread_mutex_lock(&in->lock);
    code = in->failure.code;
    if (code != 0)
        *err = in->failure;
    pthread_mutex_unlock(&in->lock);
    return code != 0 ? error_wrap(err, "%s", in->what) : 0;
}

/* -- the inflating thread -- */

struct output { /* the buffer of the second ring that is being filled */
    uint8_t *buffer;
    size_t size;
};

/* False when the ring is broken. */
static bool output_flush(struct layer_ingest *in, struct output *out)
{
    if (out->buffer)
        ring_fill_end(&in->tar, out->size);
    out->buffer = ring_fill_begin(&in->tar);
    out->size = 0;
    return out->buffer;
}

static int inflate_piece(struct layer_ingest *in, const uint8_t *from, size_t size,
                         struct output *out, struct error *err)
{
    for (;;) {
        ssize_t n;

        if ((!out->buffer || out->size == TAR_SIZE) && !output_flush(in, out))
            return -ECANCELED; /* the failure that broke it is known */
        n = inflater_run(in->inflater, &from, &size, out->buffer + out->size, TAR_SIZE - out->size,
                         err);
        if (n <= 0)
            return (int)n;
        out->size += (size_t)n;
    }
}

static void *inflate_thread(void *arg)
{
    struct layer_ingest *in = arg;
    struct output out = {0};
    struct error err = {0};
    const uint8_t *from;
    size_t size;
    int r = 0;

    while (r == 0 && (from = ring_empty_begin(&in->compressed, &size))) {
        r = inflate_piece(in, from, size, &out, &err);
        ring_empty_end(&in->compressed);
    }
    if (r == 0)
        r = inflater_finish(in->inflater, &err);
    if (r < 0 && err.code != 0)
        fail(in, true, &err);
    else if (out.buffer)
        ring_fill_end(&in->tar, out.size);
    ring_close(&in->tar);
    return NULL;
}

/* -- the writing thread -- */

static int add_entry(void *context, const struct tar_entry *e, struct error *err)
{
    struct layer_ingest *in = context;

    if (e->meta.type == ENTRY_FILE && !e->is_hard_link)
        for (size_t i = 0; i < e->extent_count; i++)
            in->data_bytes += e->extents[i].length;
    return layer_add_tar_entry(in->builder, in->pack, e, err);
}

static int write_pack(struct layer_ingest *in, const uint8_t *bytes, size_t size, struct error *err)
{
    int r = io_pwrite_full(in->pack_fd, bytes, size, in->tar_size);

    if (r < 0) {
        errno = -r;
        return error_errno(err, "cannot write to '%s'", store_path(in->store));
    }
    in->tar_size += size;
    io_start_writeback(in->pack_fd, &in->started_size, in->tar_size);
    return 0;
}

/* False when it failed. */
static bool take_tar(struct layer_ingest *in, const uint8_t *bytes, size_t size)
{
    struct error err = {0};
    bool is_written;

    hasher_update(in->tar_hasher, bytes, size);
    sums_update(in->tar_sums, bytes, size);
    is_written = write_pack(in, bytes, size, &err) == 0;
    if (is_written && tar_reader_write(in->reader, bytes, size, &err) == 0)
        return true;
    fail(in, is_written, &err);
    return false;
}

static void *write_thread(void *arg)
{
    struct layer_ingest *in = arg;
    const uint8_t *bytes;
    size_t size;
    bool is_good = true;

    while (is_good && (bytes = ring_empty_begin(&in->tar, &size))) {
        is_good = take_tar(in, bytes, size);
        ring_empty_end(&in->tar);
    }
    return NULL;
}

/* -- opening -- */

static int start_threads(struct layer_ingest *in, struct error *err)
{
    void *(*const functions[])(void *) = {inflate_thread, write_thread};
    sigset_t all;
    sigset_t before;
    int r = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited: signals are not for helpers */
    while (r == 0 && in->thread_count < 2) {
        r = pthread_create(&in->threads[in->thread_count], NULL, functions[in->thread_count], in);
        in->thread_count += r == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        return 0;
    errno = r;
    return error_errno(err, "cannot start a thread");
}

static struct layer_ingest *ingest_alloc(struct store *store,
                                         const struct layer_ingest_options *options)
{
    struct layer_ingest *in = mem_new(struct layer_ingest);

    in->store = store;
    in->what = mem_strdup(options->what);
    in->pack_fd = -1;
    in->blob_size_expected = options->blob_size_bytes;
    if (options->blob) {
        in->blob_digest = *options->blob;
        in->digest = &in->blob_digest;
    }
    if (options->diff_id) {
        in->tar_digest = *options->diff_id;
        in->diff_id = &in->tar_digest;
    }
    pthread_mutex_init(&in->lock, NULL);
    ring_init(&in->compressed, BUFFER_COUNT, COMPRESSED_SIZE);
    ring_init(&in->tar, BUFFER_COUNT, TAR_SIZE);
    in->inflater = inflater_new(options->format == CODEC_NONE ? CODEC_NONE : CODEC_DETECT);
    inflater_take_turns(in->inflater);
    in->tar_hasher = hasher_new_as(in->diff_id ? in->diff_id->algorithm : DIGEST_SHA256);
    in->tar_sums = sums_new();
    in->builder = index_builder_new();
    in->reader = tar_reader_new(add_entry, in);
    return in;
}

static int feed(struct layer_ingest *in, const void *bytes, size_t size, struct error *err);

/* A full disk may have room one day, and what came so far is right. */
static bool spoils(int r)
{
    return r < 0 && r != -ENOSPC && r != -EDQUOT;
}

/* What an earlier try kept goes the way that all bytes go. */
static int feed_kept(struct layer_ingest *in, struct error *err)
{
    auto_free uint8_t *buf = mem_alloc(COMPRESSED_SIZE);
    uint64_t kept = blob_writer_size_bytes(in->blob);
    int r = 0;

    while (r == 0 && in->blob_size < kept) {
        uint64_t left = kept - in->blob_size;
        size_t size = left < COMPRESSED_SIZE ? (size_t)left : COMPRESSED_SIZE;

        r = blob_writer_read(in->blob, in->blob_size, buf, size, err);
        if (r == 0)
            r = feed(in, buf, size, err);
        in->blob_size += size;
    }
    in->is_spoiled = in->is_spoiled || spoils(r);
    return r;
}

int layer_ingest_open(struct store *store, const struct layer_ingest_options *options,
                      struct layer_ingest **out, struct error *err)
{
    auto_layer_ingest struct layer_ingest *in = ingest_alloc(store, options);
    struct blob_writer_options blob = {
        .what = options->what,
        .digest = in->digest,
        .size_bytes = options->blob_size_bytes,
        .resume = options->resume,
    };
    int r = pack_create(store, &in->pack, &in->pack_fd, err);

    if (r == 0 && options->keep_blob)
        r = blob_writer_open(store, &blob, &in->blob, err);
    else if (r == 0 && in->digest)
        in->blob_hasher = hasher_new_as(in->digest->algorithm);
    if (r == 0)
        r = start_threads(in, err);
    if (r == 0 && in->blob)
        r = feed_kept(in, err);
    if (r < 0)
        return r;
    *out = STEAL(&in);
    return 0;
}

static void join_threads(struct layer_ingest *in)
{
    while (in->thread_count > 0)
        pthread_join(in->threads[--in->thread_count], NULL);
}

void layer_ingest_abort(struct layer_ingest *in)
{
    int saved = errno;

    if (!in)
        return;
    ring_break(&in->compressed);
    ring_break(&in->tar);
    join_threads(in);
    tar_reader_free(in->reader);
    index_builder_free(in->builder);
    hasher_free(in->tar_hasher);
    sums_free(in->tar_sums);
    inflater_free(in->inflater);
    ring_release(&in->tar);
    ring_release(&in->compressed);
    pthread_mutex_destroy(&in->lock);
    if (in->is_spoiled)
        blob_writer_discard(in->blob);
    else
        blob_writer_abort(in->blob);
    hasher_free(in->blob_hasher);
    cleanup_close_fd(&in->pack_fd); /* it has no name, so it is gone */
    free(in->what);
    free(in);
    errno = saved;
}

/* -- the caller's thread -- */

static int keep_blob(struct layer_ingest *in, const void *bytes, size_t size, struct error *err)
{
    if (size > in->blob_size_expected - in->blob_size)
        return error_set(err, EBADMSG, "%s: it has more than the expected %llu bytes", in->what,
                         (unsigned long long)in->blob_size_expected);
    in->blob_size += size;
    if (in->blob)
        return blob_writer_write(in->blob, bytes, size, err);
    if (in->blob_hasher)
        hasher_update(in->blob_hasher, bytes, size);
    return 0;
}

/* Whether the rest of the bytes is of use, though nothing more is made of them: see commit_refused. */
static bool must_be_hashed(struct layer_ingest *in)
{
    bool is_content_refused;

    pthread_mutex_lock(&in->lock);
    is_content_refused = in->is_content_refused;
    pthread_mutex_unlock(&in->lock);
    return is_content_refused && in->digest;
}

/* Hands the bytes on to the helpers. */
static int feed(struct layer_ingest *in, const void *bytes, size_t size, struct error *err)
{
    const uint8_t *from = bytes;
    size_t left = size;

    while (left > 0) {
        size_t part = COMPRESSED_SIZE - in->filled;

        if (!in->filling) {
            in->filling = ring_fill_begin(&in->compressed);
            if (!in->filling && !must_be_hashed(in))
                return failure(in, err);
            if (!in->filling) {
                in->is_spoiled = true;
                break;
            }
        }
        if (part > left)
            part = left;
        memcpy(in->filling + in->filled, from, part);
        in->filled += part;
        from += part;
        left -= part;
        if (in->filled == COMPRESSED_SIZE) {
            ring_fill_end(&in->compressed, in->filled);
            in->filling = NULL;
            in->filled = 0;
        }
    }
    return 0;
}

uint64_t layer_ingest_size_bytes(const struct layer_ingest *in)
{
    return in->blob_size;
}

int layer_ingest_write(struct layer_ingest *in, const void *bytes, size_t size, struct error *err)
{
    int r = feed(in, bytes, size, err);

    if (r == 0)
        r = keep_blob(in, bytes, size, err); /* while the helpers are at work */
    in->is_spoiled = in->is_spoiled || spoils(r);
    return r;
}

/* Lets the helpers finish and asks how it went. */
static int end_input(struct layer_ingest *in, struct error *err)
{
    int r;

    if (in->filling)
        ring_fill_end(&in->compressed, in->filled);
    in->filling = NULL;
    ring_close(&in->compressed);
    join_threads(in);
    r = failure(in, err);
    if (r < 0)
        return r;
    r = tar_reader_finish(in->reader, err);
    in->is_content_refused = r < 0; /* the helpers are gone */
    return r < 0 ? error_wrap(err, "%s", in->what) : 0;
}

/* -- committing -- */

static int differs(const struct layer_ingest *in, const char *noun, const struct digest *expected,
                   const struct digest *found, struct error *err)
{
    char expected_text[DIGEST_TEXT_SIZE];
    char found_text[DIGEST_TEXT_SIZE];

    digest_format(expected, expected_text);
    digest_format(found, found_text);
    return error_set(err, EBADMSG, "%s: %s is %s instead of %s", in->what, noun, found_text,
                     expected_text);
}

/* What was refused may be what was asked for, or something else that came instead of it. */
static int check_blob(struct layer_ingest *in, struct error *err)
{
    struct digest found;

    if (in->blob)
        return blob_writer_verify(in->blob, err);
    if (in->blob_size_expected != UINT64_MAX && in->blob_size != in->blob_size_expected)
        return error_set(err, EBADMSG, "%s: it has %llu bytes instead of %llu", in->what,
                         (unsigned long long)in->blob_size,
                         (unsigned long long)in->blob_size_expected);
    if (!in->blob_hasher)
        return 0;
    hasher_final(in->blob_hasher, &found);
    if (!digest_equal(&found, in->digest))
        return differs(in, "its digest", in->digest, &found, err);
    return 0;
}

/* The blob's size and digest; when it is kept, that it is in the store. */
static int commit_blob(struct layer_ingest *in, struct error *err)
{
    if (in->blob)
        return blob_writer_commit(STEAL(&in->blob), &in->blob_digest, NULL, err);
    return check_blob(in, err);
}

static int check_diff_id(struct layer_ingest *in, struct error *err)
{
    struct digest found;

    hasher_final(in->tar_hasher, &found);
    in->is_content_refused = in->diff_id && !digest_equal(&found, in->diff_id);
    if (in->is_content_refused)
        return differs(in, "the digest of its tar", in->diff_id, &found, err);
    in->tar_digest = found;
    return 0;
}

/* The bytes made no layer. If they are not those that were asked for, that is the reason. */
static int commit_refused(struct layer_ingest *in, int code, struct error *err)
{
    struct error other = {0};

    if (!must_be_hashed(in) || check_blob(in, &other) == 0)
        return code;
    *err = other;
    return -other.code;
}

/* Pack and index, durable but without a row. */
static int adopt_files(struct layer_ingest *in, uint64_t *index, struct error *err)
{
    auto_close int fd = -1;
    int r = store_index_create(in->store, index, &fd, err);

    if (r < 0)
        return r;
    r = index_builder_write(in->builder, fd, err);
    if (r < 0)
        return error_wrap(err, "'%s'", store_path(in->store));
    if (r == 0)
        r = pack_adopt(in->store, in->pack, in->pack_fd, err);
    return r < 0 ? r : store_index_adopt(in->store, *index, fd, err);
}

static int insert_layer(struct layer_ingest *in, uint64_t index, int64_t *layer, struct error *err)
{
    struct layer_row row = {
        .kind = LAYER_PULLED,
        .has_diff_id = true,
        .diff_id = in->tar_digest,
        .tar_size_bytes = in->tar_size,
        .pack = in->pack,
        .index = index,
        .entry_count = index_builder_count(in->builder),
        .data_bytes = in->data_bytes,
    };

    return store_layer_insert(in->store, &row, NULL, 0, layer, err);
}

/* The layer that has this tar already; -ENOENT: none. */
static int find_layer(struct layer_ingest *in, int64_t *layer, struct error *err)
{
    struct layer_row row;
    int r = store_layer_find_by_diff_id(in->store, &in->tar_digest, &row, err);

    if (r == 0)
        *layer = row.id;
    return r;
}

static enum codec_format blob_format(const struct layer_ingest *in)
{
    enum codec_format format = inflater_format(in->inflater);

    return format == CODEC_DETECT ? CODEC_NONE : format; /* no bytes at all are an empty tar */
}

static int commit_layer(struct layer_ingest *in, bool has_blob, int64_t *layer, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    uint64_t index = 0;
    int known = find_layer(in, layer, err);
    int r = known == -ENOENT ? adopt_files(in, &index, err) : known;

    if (r == 0)
        r = store_begin(in->store, &tx, err);
    if (r == 0 && index != 0) { /* somebody may have been faster */
        known = find_layer(in, layer, err);
        r = known == -ENOENT ? insert_layer(in, index, layer, err) : known;
    }
    if (r == 0)
        r = store_sums_put(in->store, &in->tar_digest, in->tar_sums, err);
    if (r == 0 && has_blob)
        r = store_layer_blob_add(in->store, *layer, blob_format(in), &in->blob_digest, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int layer_ingest_commit(struct layer_ingest *consumed, int64_t *layer, struct error *err)
{
    auto_layer_ingest struct layer_ingest *in = consumed;
    bool has_blob = in->blob || in->is_stored;
    int64_t found = 0;
    int r;

    r = end_input(in, err);
    if (r == 0)
        r = check_diff_id(in, err);
    in->is_spoiled = spoils(r); /* the blob should be complete: what fails now, fails again */
    if (r < 0)
        return commit_refused(in, r, err);
    r = commit_blob(in, err);
    if (r == 0)
        r = commit_layer(in, has_blob, &found, err);
    if (r == 0)
        *layer = found;
    return r;
}

int layer_ingest_stored(struct store *store, const struct layer_ingest_options *options,
                        int64_t *layer, struct error *err)
{
    struct layer_ingest_options stored = *options;
    auto_layer_ingest struct layer_ingest *in = NULL;
    auto_free uint8_t *buf = mem_alloc(COMPRESSED_SIZE);
    auto_reader struct reader *reader = NULL;
    ssize_t n;
    int r = blob_open(store, options->blob, &reader, NULL, err);

    stored.keep_blob = false;
    if (r == 0)
        r = layer_ingest_open(store, &stored, &in, err);
    if (r < 0)
        return r;
    in->is_stored = true;
    while ((n = reader_read(reader, buf, COMPRESSED_SIZE, err)) > 0) {
        r = layer_ingest_write(in, buf, (size_t)n, err);
        if (r < 0)
            return r;
    }
    return n < 0 ? (int)n : layer_ingest_commit(STEAL(&in), layer, err);
}

/* A layer over a copy of the tar of `layer`, which has this diff_id or is refused. */
static int ingest_tar(struct store *store, int64_t layer, const struct digest *diff_id,
                      int64_t *out, struct error *err)
{
    const struct layer_ingest_options options = {
        .what = "a layer", .format = CODEC_NONE, .blob_size_bytes = UINT64_MAX, .diff_id = diff_id};
    auto_layer_ingest struct layer_ingest *in = NULL;
    auto_free uint8_t *buf = mem_alloc(COMPRESSED_SIZE);
    auto_reader struct reader *tar = NULL;
    ssize_t n = 0;
    int r = layer_tar_open(store, layer, &tar, err);

    if (r == 0)
        r = layer_ingest_open(store, &options, &in, err);
    while (r == 0 && (n = reader_read(tar, buf, COMPRESSED_SIZE, err)) > 0)
        r = layer_ingest_write(in, buf, (size_t)n, err);
    if (r < 0 || n < 0)
        return r < 0 ? r : (int)n;
    return layer_ingest_commit(STEAL(&in), out, err);
}

int layer_rename(struct store *store, int64_t layer, const struct digest *diff_id, int64_t *out,
                 struct error *err)
{
    struct layer_row row;
    int64_t other = 0;
    int r = store_layer_find_by_diff_id(store, diff_id, &row, err);

    if (r == 0)
        other = row.id;
    if (r == -ENOENT) {
        error_clear(err);
        r = ingest_tar(store, layer, diff_id, &other, err);
    }
    if (r == 0)
        r = store_layer_share_blobs(store, layer, other, err);
    if (r == 0)
        *out = other;
    return r;
}

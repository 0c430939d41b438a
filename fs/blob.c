/* blob.c - writes and reads bytes named by their digest. Their rows: store_blob.c. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/failpoint.h"
#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/blob.h"
#include "fs/store_internal.h"
#include "fs/sums.h"

#include "fs/base/banned.h"

#define REHASH_SIZE ((size_t)256 << 10)

struct blob_writer {
    struct writer stream; /* first: blob_writer_stream hands it out */
    struct store *store;
    char *what;
    int fd;
    struct hasher *hasher;
    struct sums *sums;
    uint64_t size_bytes;    /* written and hashed so far */
    uint64_t started_bytes; /* of them, on their way to the disk */
    uint64_t size_max;
    bool has_size; /* size_max is the exact size */
    bool has_digest;
    struct digest digest;          /* expected */
    char partial[DIGEST_HEX_SIZE]; /* file in tmp/partial, "": nameless */
};

static int fail_errno(const struct blob_writer *w, const char *action, int r, struct error *err)
{
    errno = -r;
    return error_errno(err, "cannot %s %s in '%s'", action, w->what, w->store->path);
}

/* -- writing -- */

static int stream_write(struct writer *w, const void *buf, size_t size, struct error *err)
{
    return blob_writer_write((struct blob_writer *)w, buf, size, err);
}

static void stream_close(struct writer *w)
{
    (void)w; /* the blob_writer's owner decides */
}

/* Hashes what an earlier process left behind. Too much of it is as good as nothing. */
static int hash_partial(struct blob_writer *w)
{
    auto_free uint8_t *buf = mem_alloc(REHASH_SIZE);
    struct stat st;

    if (fstat(w->fd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size > w->size_max)
        return ftruncate(w->fd, 0) < 0 ? -errno : 0;
    while (w->size_bytes < (uint64_t)st.st_size) {
        uint64_t left = (uint64_t)st.st_size - w->size_bytes;
        size_t size = left < REHASH_SIZE ? (size_t)left : REHASH_SIZE;
        int r = io_pread_full(w->fd, buf, size, w->size_bytes);

        if (r < 0)
            return r;
        hasher_update(w->hasher, buf, size);
        sums_update(w->sums, buf, size);
        w->size_bytes += size;
    }
    return 0;
}

static int open_partial(struct blob_writer *w, struct error *err)
{
    int partial_fd = w->store->partial_fd;
    char name[DIGEST_HEX_SIZE];
    struct stat st;
    int r = store_check_writable(w->store, err);

    if (r < 0)
        return r;
    digest_format_hex(&w->digest, name);
    for (;;) {
        r = locked_file_open(partial_fd, name, LOCK_EX | LOCK_NB, &w->fd);
        if (r == -EWOULDBLOCK)
            return error_set(err, EBUSY, "another process is fetching %s", w->what);
        if (r < 0)
            return fail_errno(w, "continue", r, err);
        if (fstat(w->fd, &st) < 0)
            return fail_errno(w, "continue", -errno, err);
        if (st.st_nlink == 1)
            break;
        /* It has become a blob already: its bytes must not be touched again. */
        (void)unlinkat(partial_fd, name, 0); /* if it stays, the next turn says why */
        cleanup_close_fd(&w->fd);
    }
    memcpy(w->partial, name, sizeof(name)); /* ours from here on, to be dropped as well */
    r = hash_partial(w);
    return r < 0 ? fail_errno(w, "continue", r, err) : 0;
}

int blob_writer_open(struct store *store, const struct blob_writer_options *options,
                     struct blob_writer **out, struct error *err)
{
    auto_blob_writer struct blob_writer *w = mem_new(struct blob_writer);
    int r;

    w->stream = (struct writer){.write = stream_write, .close = stream_close};
    w->store = store;
    w->what = mem_strdup(options->what ? options->what : "a blob");
    w->fd = -1;
    w->hasher = hasher_new_as(options->digest ? options->digest->algorithm : DIGEST_SHA256);
    w->sums = sums_new();
    w->has_size = options->size_bytes != UINT64_MAX;
    w->size_max = w->has_size ? options->size_bytes : LIMIT_LAYER_SIZE;
    if (w->size_max > LIMIT_LAYER_SIZE)
        return error_set(err, EFBIG, "%s is said to have %" PRIu64 " bytes, which is too many",
                         w->what, w->size_max);
    if (options->digest) {
        w->has_digest = true;
        w->digest = *options->digest;
    }
    if (options->resume && w->has_digest)
        r = open_partial(w, err);
    else
        r = store_temp_file(store, &w->fd, err);
    if (r < 0)
        return r;
    *out = STEAL(&w);
    return 0;
}

uint64_t blob_partial_size_bytes(struct store *store, const struct digest *digest)
{
    char name[DIGEST_HEX_SIZE];
    struct stat st;

    digest_format_hex(digest, name);
    return fstatat(store->partial_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_size
                                                                           : 0;
}

int blob_partial_fd(struct store *store, const struct digest *digest)
{
    char name[DIGEST_HEX_SIZE];
    int fd;

    digest_format_hex(digest, name);
    fd = openat(store->partial_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

bool blob_partial_is_busy(int fd)
{
    return flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

uint64_t blob_writer_size_bytes(const struct blob_writer *w)
{
    return w->size_bytes;
}

int blob_writer_fd(const struct blob_writer *w)
{
    return w->fd;
}

int blob_writer_read(struct blob_writer *w, uint64_t offset, void *buf, size_t size,
                     struct error *err)
{
    int r = io_pread_full(w->fd, buf, size, offset);

    return r < 0 ? fail_errno(w, "read", r, err) : 0;
}

int blob_writer_write(struct blob_writer *w, const void *bytes, size_t size, struct error *err)
{
    int r;

    if (size > w->size_max - w->size_bytes)
        return error_set(err, EFBIG, "%s has more than the %" PRIu64 " bytes it should have",
                         w->what, w->size_max);
    r = io_pwrite_full(w->fd, bytes, size, w->size_bytes);
    if (r == 0 && FAILPOINT("blob.write") < 0)
        r = -errno;
    if (r < 0)
        return fail_errno(w, "store", r, err);
    hasher_update(w->hasher, bytes, size);
    sums_update(w->sums, bytes, size);
    w->size_bytes += size;
    io_start_writeback(w->fd, &w->started_bytes, w->size_bytes);
    return 0;
}

struct writer *blob_writer_stream(struct blob_writer *w)
{
    return &w->stream;
}

/* Nothing that failed to verify is worth continuing. Once the file has become a blob, its name here may be
 * that of another one, of who waited for it. */
static void drop_partial(struct blob_writer *w)
{
    int partial_fd = w->store->partial_fd;
    struct stat named;
    struct stat st;

    if (w->partial[0] != '\0' && fstat(w->fd, &st) == 0 &&
        fstatat(partial_fd, w->partial, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        named.st_ino == st.st_ino && named.st_dev == st.st_dev)
        (void)unlinkat(partial_fd, w->partial, 0); /* a leftover then */
    w->partial[0] = '\0';
}

static int check_size(struct blob_writer *w, struct error *err)
{
    if (!w->has_size || w->size_bytes == w->size_max)
        return 0;
    /* Short: what is there may still be right, and a resumed try goes on from it. */
    return error_set(err, EBADMSG, "%s has %" PRIu64 " bytes instead of %" PRIu64, w->what,
                     w->size_bytes, w->size_max);
}

static int check_digest(struct blob_writer *w, const struct digest *actual, struct error *err)
{
    char expected_text[DIGEST_TEXT_SIZE];
    char actual_text[DIGEST_TEXT_SIZE];

    if (!w->has_digest || digest_equal(actual, &w->digest))
        return 0;
    drop_partial(w);
    digest_format(&w->digest, expected_text);
    digest_format(actual, actual_text);
    return error_set(err, EBADMSG, "%s has digest %s instead of %s", w->what, actual_text,
                     expected_text);
}

/* Names the file and inserts the row in one transaction; see object_adopt_blob. */
static int publish(struct blob_writer *w, const struct digest *digest, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    struct store *store = w->store;
    struct error ignored = {0}; /* no row is an answer */
    struct object object;
    uint64_t row_size = 0;
    uint64_t file_size = 0;
    bool keep;
    int r;

    object_of_digest(digest, &object);
    r = object_sync_file(store, &object, w->fd, err);
    if (r == 0)
        r = store_begin(store, &tx, err);
    if (r < 0)
        return r;
    keep = blob_row_get(store, digest, &row_size, &ignored) == 0 && row_size == w->size_bytes &&
           object_size(store, &object, &file_size) == 0 && file_size == w->size_bytes;
    r = object_adopt_blob(store, &object, w->fd, keep, w->partial[0] ? w->partial : NULL, err);
    if (r == 0)
        r = blob_row_insert(store, digest, w->size_bytes, err);
    if (r == 0)
        r = store_sums_put(store, digest, w->sums, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int blob_writer_verify(struct blob_writer *w, struct error *err)
{
    struct digest digest;
    int r = check_size(w, err);

    if (r < 0)
        return r;
    hasher_final(w->hasher, &digest);
    return check_digest(w, &digest, err);
}

int blob_writer_commit(struct blob_writer *w, struct digest *out, uint64_t *size_bytes,
                       struct error *err)
{
    auto_blob_writer struct blob_writer *mine = w;
    uint64_t size = w->size_bytes;
    struct digest digest;
    int r = check_size(w, err);

    if (r < 0)
        return r;
    hasher_final(w->hasher, &digest);
    r = check_digest(w, &digest, err);
    if (r == 0)
        r = publish(w, &digest, err);
    if (r < 0)
        return r;
    drop_partial(w); /* there when the blob was known already, else it was moved */
    if (out)
        *out = digest;
    if (size_bytes)
        *size_bytes = size;
    return 0;
}

void blob_writer_abort(struct blob_writer *w)
{
    if (!w)
        return;
    if (w->size_bytes == 0)
        drop_partial(w);
    cleanup_close_fd(&w->fd);
    hasher_free(w->hasher);
    sums_free(w->sums);
    free(w->what);
    free(w);
}

void blob_writer_discard(struct blob_writer *w)
{
    if (w)
        drop_partial(w);
    blob_writer_abort(w);
}

int blob_put_named(struct store *store, const struct digest *digest, const void *bytes, size_t size,
                   struct error *err)
{
    auto_blob_writer struct blob_writer *w = NULL;
    const struct blob_writer_options options = {
        .what = "a document", .digest = digest, .size_bytes = size};
    uint64_t known = 0;
    int r;

    if (blob_stat(store, digest, &known, err) == 0 && known == size)
        return 0;
    r = blob_writer_open(store, &options, &w, err);
    if (r == 0)
        r = blob_writer_write(w, bytes, size, err);
    if (r < 0)
        return r;
    return blob_writer_commit(STEAL(&w), NULL, NULL, err);
}

int blob_put(struct store *store, const void *bytes, size_t size, struct digest *out,
             struct error *err)
{
    struct digest digest;
    int r;

    digest_of(bytes, size, &digest);
    r = blob_put_named(store, &digest, bytes, size, err);
    if (r == 0)
        *out = digest;
    return r;
}

/* -- reading -- */

struct blob_reader {
    struct reader base; /* first: the reader is the object */
    int fd;
    struct hasher *hasher;
    struct digest digest;
    uint64_t left; /* bytes until the end */
    bool is_verified;
};

static int damaged(const struct digest *digest, struct error *err)
{
    char text[DIGEST_TEXT_SIZE];

    digest_format(digest, text);
    error_set(err, EIO, "blob %s is damaged in the store", text);
    return error_hint(err, "img fsck --repair, then pull or build it again");
}

static ssize_t reader_read_blob(struct reader *base, void *buf, size_t size, struct error *err)
{
    struct blob_reader *r = (struct blob_reader *)base;
    struct digest actual;
    ssize_t n;

    if (size > r->left)
        size = (size_t)r->left;
    if (size == 0 && r->left > 0)
        return 0;
    do {
        n = size > 0 ? read(r->fd, buf, size) : 0;
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_errno(err, "cannot read a blob of the store");
    if (n == 0 && r->left > 0)
        return damaged(&r->digest, err);
    hasher_update(r->hasher, buf, (size_t)n);
    r->left -= (uint64_t)n;
    if (r->left == 0 && !r->is_verified) {
        hasher_final(r->hasher, &actual);
        if (!digest_equal(&actual, &r->digest))
            return damaged(&r->digest, err);
        r->is_verified = true;
    }
    return n;
}

static void reader_close_blob(struct reader *base)
{
    struct blob_reader *r = (struct blob_reader *)base;

    cleanup_close_fd(&r->fd);
    hasher_free(r->hasher);
    free(r);
}

int blob_fd(struct store *store, const struct digest *digest, int *fd, uint64_t *size_bytes,
            struct error *err)
{
    auto_close int opened = -1;
    uint64_t size = 0;
    struct object object;
    struct stat st;
    int r = blob_row_get(store, digest, &size, err);

    if (r < 0)
        return r;
    object_of_digest(digest, &object);
    opened = openat(object_dir(store, object.kind), object.name,
                    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0 && errno != ENOENT)
        return error_errno(err, "cannot open '%s/%s/%s'", store->path, object_dir_name(object.kind),
                           object.name);
    if (opened < 0 || fstat(opened, &st) < 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size != size)
        return damaged(digest, err);
    *fd = steal_fd(&opened);
    if (size_bytes)
        *size_bytes = size;
    return 0;
}

int blob_open(struct store *store, const struct digest *digest, struct reader **out,
              uint64_t *size_bytes, struct error *err)
{
    struct blob_reader *reader;
    uint64_t size = 0;
    int fd = -1;
    int r = blob_fd(store, digest, &fd, &size, err);

    if (r < 0)
        return r;
    reader = mem_new(struct blob_reader);
    *reader = (struct blob_reader){
        .base = {.read = reader_read_blob, .close = reader_close_blob},
        .fd = fd,
        .hasher = hasher_new_as(digest->algorithm),
        .digest = *digest,
        .left = size,
    };
    *out = &reader->base;
    if (size_bytes)
        *size_bytes = size;
    return 0;
}

int blob_write(struct store *store, const struct digest *digest, struct writer *to,
               struct error *err)
{
    auto_reader struct reader *from = NULL;
    bool is_sound;
    uint64_t size;
    int fd;
    int r = blob_fd(store, digest, &fd, &size, err);

    if (r < 0)
        return r;
    from = fd_reader_new_range(fd, 0, size, "blob");
    r = store_copy_checked(store, digest, size, from, to, &is_sound, err);
    return r == 0 && !is_sound ? damaged(digest, err) : r;
}

int blob_read(struct store *store, const struct digest *digest, uint64_t size_max, struct str *out,
              struct error *err)
{
    auto_reader struct reader *reader = NULL;
    auto_free char *bytes = NULL;
    char text[DIGEST_TEXT_SIZE];
    uint64_t size = 0;
    int r = blob_open(store, digest, &reader, &size, err);

    if (r < 0)
        return r;
    if (size > size_max) {
        digest_format(digest, text);
        return error_set(err, EFBIG, "blob %s has %" PRIu64 " bytes, more than %" PRIu64, text,
                         size, size_max);
    }
    bytes = mem_try((size_t)size, 1);
    if (!bytes)
        return error_set(err, ENOMEM, "no memory for a blob of %" PRIu64 " bytes", size);
    r = reader_read_full(reader, bytes, (size_t)size, err);
    if (r == 0 && size == 0) /* then nothing was compared yet */
        r = (int)reader_read(reader, bytes, 1, err);
    if (r < 0)
        return r;
    str_truncate(out, 0);
    str_add_bytes(out, bytes, (size_t)size);
    return 0;
}

int blob_stat(struct store *store, const struct digest *digest, uint64_t *size_bytes,
              struct error *err)
{
    uint64_t row_size = 0;
    uint64_t file_size = 0;
    struct object object;
    int r = blob_row_get(store, digest, &row_size, err);

    if (r < 0)
        return r;
    object_of_digest(digest, &object);
    if (object_size(store, &object, &file_size) < 0 || file_size != row_size)
        return damaged(digest, err);
    if (size_bytes)
        *size_bytes = row_size;
    return 0;
}

bool blob_exists(struct store *store, const struct digest *digest)
{
    struct error ignored = {0}; /* any trouble: no */

    return blob_stat(store, digest, NULL, &ignored) == 0;
}

/* load_source.c - files by name out of a plain tar, a stream of one, or a directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/image/layout.h"
#include "builder/image/load_source.h"
#include "fs/archive.h"
#include "fs/base/hash.h"
#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/codec.h"
#include "fs/gc.h"
#include "fs/layer.h"
#include "fs/store.h"
#include "fs/tar.h"

#include "fs/base/banned.h"

#define MEMBERS_MAX 100000u           /* images of 1024 layers have some 3000 */
#define SPOOL_SIZE_MAX (256ull << 20) /* documents of a stream, all together */
#define COPY_SIZE ((size_t)256 << 10) /* of a stream */
#define LIST_SIZE ((size_t)16 << 10)  /* of a tar on disk, whose content is jumped over */

enum member_kind {
    MEMBER_BYTES, /* `size` bytes at `offset` of the file, or of the spool */
    MEMBER_LINK,  /* another name of `text` */
    MEMBER_LAYER, /* in the store already */
    MEMBER_BAD,   /* `text` says why it is no layer; it matters only when an image wants it */
};

struct member {
    enum member_kind kind;
    uint64_t offset;
    uint64_t size;
    char *text;
    bool has_blob; /* LAYER: the digest of the bytes was checked against the name */
    struct digest blob;
    int64_t layer;
    atomic_bool is_used; /* LAYER: an image has it */
};

struct load_source {
    struct store *store; /* borrowed */
    char *what;
    int dir_fd; /* of a directory, else -1 */
    int fd;     /* the archive, or the spool of a stream */
    uint64_t spool_size;
    struct table names; /* name -> member; last one wins, as when an archive is unpacked */
    struct member **members;
    size_t count;
    size_t capacity;
};

/* ---- names ---- */

static struct member *add_member(struct load_source *s, const char *name, struct error *err)
{
    if (s->count >= MEMBERS_MAX) {
        (void)error_set(err, E2BIG, "'%s' holds more than %u files", s->what, MEMBERS_MAX);
        return NULL;
    }
    if (s->count == s->capacity) {
        s->capacity = s->capacity == 0 ? 64 : s->capacity * 2;
        s->members = mem_resize(s->members, s->capacity, sizeof(*s->members));
    }
    s->members[s->count] = mem_new(struct member);
    table_put(&s->names, name, s->members[s->count]);
    return s->members[s->count++];
}

/* Older archives name a layer that several images share by links. Links stay names within. */
static struct member *find_member(const struct load_source *s, const char *name)
{
    struct member *m = table_get(&s->names, name);

    for (unsigned i = 0; m != NULL && m->kind == MEMBER_LINK; i++)
        m = i == LIMIT_SYMLINKS ? NULL : table_get(&s->names, m->text);
    return m;
}

static int missing(const struct load_source *s, const char *name, struct error *err)
{
    return error_set(err, ENOENT, "'%s' has no file '%s'", s->what, name);
}

/* What every kind of source does with a link; 1 when `e` was one. */
static int add_link(struct load_source *s, const struct tar_entry *e, struct error *err)
{
    auto_free char *dir = NULL;
    struct member *m;

    if (!e->is_hard_link && e->meta.type != ENTRY_SYMLINK)
        return 0;
    m = add_member(s, e->path, err);
    if (m == NULL)
        return -err->code;
    m->kind = MEMBER_LINK;
    dir = path_join(e->path, "..");
    m->text = e->is_hard_link ? mem_strdup(e->target) : path_join(dir, e->target);
    return 1;
}

/* ---- a tar on disk: only its headers are read ---- */

static int list_entry(struct load_source *s, const struct tar_entry *e, struct error *err)
{
    bool is_whole = e->extent_count == 1 && e->extents[0].length == e->meta.size_bytes;
    struct member *m;
    int r = add_link(s, e, err);

    if (r != 0)
        return r < 0 ? r : 0;
    if (e->meta.type != ENTRY_FILE)
        return 0;
    m = add_member(s, e->path, err);
    if (m == NULL)
        return -err->code;
    m->size = e->meta.size_bytes;
    if (is_whole)
        m->offset = e->extents[0].pack_offset;
    if (is_whole || m->size == 0)
        return 0;
    m->kind = MEMBER_BAD;
    m->text = mem_strdup("it is a sparse file");
    return 0;
}

static int list_tar(struct load_source *s, uint64_t file_size, struct error *err)
{
    auto_tar_reader struct tar_reader *tar = tar_reader_new(NULL, NULL);
    auto_free uint8_t *buffer = mem_alloc(LIST_SIZE);
    uint64_t offset = 0;
    int r = 0;

    while (r == 0 && offset < file_size) {
        size_t size = file_size - offset < LIST_SIZE ? (size_t)(file_size - offset) : LIST_SIZE;
        const uint8_t *at = buffer;
        const struct tar_entry *e;

        r = io_pread_full(s->fd, buffer, size, offset);
        if (r < 0)
            return error_set(err, -r, "cannot read '%s': %s", s->what, strerror(-r));
        offset += size;
        while (r == 0 && (r = tar_reader_next(tar, &at, &size, &e, err)) == 1)
            r = list_entry(s, e, err);
        if (r == 0)
            offset += tar_reader_skip(tar, file_size - offset);
    }
    if (r == 0)
        r = tar_reader_finish(tar, err);
    return r < 0 ? error_wrap(err, "'%s'", s->what) : 0;
}

/* ---- a stream: read once ---- */

/* The digest that a name promises: "blobs/sha256/HEX" of the bytes, "HEX.tar" of the tar. */
static bool promised_digest(const char *name, bool *is_blob, struct digest *out)
{
    auto_free char *hex = NULL;
    struct error ignored;

    *is_blob = layout_parse_blob_path(name, out);
    if (*is_blob || !text_ends(name, ".tar"))
        return *is_blob;
    hex = mem_strndup(name, strlen(name) - strlen(".tar"));
    return digest_parse_hex(hex, out, &ignored) == 0;
}

/* A layer that the store has need not be read: its digests were checked when it came, and those of
 * the image are what decides in the end. */
static bool is_known(struct load_source *s, const char *name, struct member *m)
{
    struct digest digest;
    struct layer_row row;
    struct error ignored;
    bool is_blob;

    if (!promised_digest(name, &is_blob, &digest))
        return false;
    if (store_layer_find_by_diff_id(s->store, &digest, &row, &ignored) < 0 &&
        (!is_blob || store_layer_find_by_blob(s->store, &digest, NULL, &row, &ignored) < 0))
        return false;
    m->kind = MEMBER_LAYER;
    m->layer = row.id;
    m->has_blob = is_blob;
    m->blob = digest;
    return true;
}

static bool looks_like_layer(const uint8_t *bytes, size_t size)
{
    static const uint8_t zeros[TAR_BLOCK_SIZE];

    return codec_sniff(bytes, size) != CODEC_NONE ||
           (size >= TAR_BLOCK_SIZE &&
            (tar_is_header(bytes) || memcmp(bytes, zeros, TAR_BLOCK_SIZE) == 0));
}

/* Bytes from the entry at hand, `first_size` of which are in `buffer` already, to the ingest. Where
 * the ingest fails the stream goes on: the entry may be no layer at all. */
static int stream_layer(struct load_source *s, struct archive_reader *from, const char *name,
                        uint8_t *buffer, size_t first_size, struct member *m, struct error *err)
{
    auto_layer_ingest struct layer_ingest *in = NULL;
    struct digest promised;
    bool is_blob;
    bool is_promised = promised_digest(name, &is_blob, &promised) && is_blob;
    const struct layer_ingest_options options = {
        .what = name,
        .blob = is_promised ? &promised : NULL,
        .blob_size_bytes = UINT64_MAX,
        .keep_blob = codec_sniff(buffer, first_size) != CODEC_NONE,
    };
    ssize_t n = (ssize_t)first_size;
    int r = layer_ingest_open(s->store, &options, &in, err);

    if (r < 0)
        return r;
    while (n > 0 && (r = layer_ingest_write(in, buffer, (size_t)n, err)) == 0)
        n = archive_reader_read(from, buffer, COPY_SIZE, err);
    if (n < 0)
        return (int)n;
    if (r == 0)
        r = layer_ingest_commit(STEAL(&in), &m->layer, err);
    if (r == -ENOSPC || r == -EDQUOT || r == -EROFS)
        return r;
    m->kind = r < 0 ? MEMBER_BAD : MEMBER_LAYER;
    if (r < 0)
        m->text = mem_strdup(err->text);
    m->has_blob = is_promised;
    m->blob = promised;
    error_clear(err);
    return 0;
}

static int spool_document(struct load_source *s, struct archive_reader *from, uint8_t *buffer,
                          size_t first_size, struct member *m, struct error *err)
{
    ssize_t n = (ssize_t)first_size;

    m->offset = s->spool_size;
    while (n > 0) {
        int r = io_pwrite_full(s->fd, buffer, (size_t)n, s->spool_size);

        if (r < 0)
            return error_set(err, -r, "cannot write to '%s': %s", store_path(s->store),
                             strerror(-r));
        s->spool_size += (size_t)n;
        m->size += (size_t)n;
        n = archive_reader_read(from, buffer, COPY_SIZE, err);
    }
    return (int)n;
}

static int fill(struct archive_reader *from, uint8_t *buffer, size_t size, size_t *got,
                struct error *err)
{
    *got = 0;
    while (*got < size) {
        ssize_t n = archive_reader_read(from, buffer + *got, size - *got, err);

        if (n <= 0)
            return (int)n;
        *got += (size_t)n;
    }
    return 0;
}

static int stream_entry(struct load_source *s, struct archive_reader *from,
                        const struct tar_entry *e, uint8_t *buffer, struct error *err)
{
    /* The next read of the archive changes what `e` points at. */
    auto_free char *name = mem_strdup(e->path);
    uint64_t size = e->meta.size_bytes;
    struct member *m;
    size_t first;
    int r = add_link(s, e, err);

    if (r != 0)
        return r < 0 ? r : 0;
    if (e->meta.type != ENTRY_FILE)
        return 0;
    m = add_member(s, name, err);
    if (m == NULL)
        return -err->code;
    if (is_known(s, name, m))
        return 0;
    r = fill(from, buffer, TAR_BLOCK_SIZE, &first, err);
    if (r < 0)
        return r;
    if (looks_like_layer(buffer, first))
        return stream_layer(s, from, name, buffer, first, m, err);
    if (size <= LIMIT_CONFIG_SIZE && s->spool_size + size <= SPOOL_SIZE_MAX)
        return spool_document(s, from, buffer, first, m, err);
    m->kind = MEMBER_BAD;
    m->text = mem_strdup("it is neither a layer nor a document");
    return 0;
}

static int read_stream(struct load_source *s, int fd, struct error *err)
{
    auto_reader struct reader *file = fd_reader_new(fd, s->what);
    auto_archive_reader struct archive_reader *from = archive_reader_new(file, s->what);
    auto_free uint8_t *buffer = mem_alloc(COPY_SIZE);
    const struct tar_entry *e;
    int r = store_temp_file(s->store, &s->fd, err);

    while (r == 0 && (r = archive_reader_next(from, &e, err)) == 1)
        r = stream_entry(s, from, e, buffer, err);
    return r;
}

/* ---- opening ---- */

/* A regular file that begins as a tar does: the rest of it can be jumped over. */
static bool is_plain_tar(int fd, const struct stat *st)
{
    uint8_t block[TAR_BLOCK_SIZE];

    return S_ISREG(st->st_mode) && lseek(fd, 0, SEEK_CUR) == 0 &&
           io_pread_full(fd, block, sizeof(block), 0) == 0 && tar_is_header(block);
}

static int open_input(struct load_source *s, const char *path, struct error *err)
{
    struct stat st;
    auto_close int fd = path == NULL ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                     : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, "cannot open '%s'", s->what);
    if (S_ISDIR(st.st_mode)) {
        s->dir_fd = steal_fd(&fd);
        return 0;
    }
    if (!is_plain_tar(fd, &st))
        return read_stream(s, steal_fd(&fd), err);
    s->fd = steal_fd(&fd);
    return list_tar(s, (uint64_t)st.st_size, err);
}

int load_source_open(struct store *store, const char *path, struct load_source **out,
                     struct error *err)
{
    struct load_source *s = mem_new(struct load_source);
    int r;

    s->store = store;
    s->what = mem_strdup(path == NULL ? "standard input" : path);
    s->dir_fd = -1;
    s->fd = -1;
    r = open_input(s, path, err);
    if (r < 0) {
        load_source_forget(s, true);
        load_source_close(s);
        return r;
    }
    *out = s;
    return 0;
}

void load_source_close(struct load_source *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->count; i++) {
        free(s->members[i]->text);
        free(s->members[i]);
    }
    free(s->members);
    table_release(&s->names);
    cleanup_close_fd(&s->fd);
    cleanup_close_fd(&s->dir_fd);
    free(s->what);
    free(s);
}

const char *load_source_name(const struct load_source *s)
{
    return s->what;
}

/* ---- reading ---- */

/* A file of a directory: beneath it, and nothing that could block or run away. */
static int open_in_directory(struct load_source *s, const char *name, uint64_t *size_bytes,
                             struct error *err)
{
    auto_close int fd = io_open_beneath(s->dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    struct stat st;

    if (fd == -ENOENT || fd == -ENOTDIR)
        return missing(s, name, err);
    if (fd < 0)
        return error_set(err, -fd, "cannot open '%s' in '%s': %s", name, s->what, strerror(-fd));
    if (fstat(fd, &st) < 0)
        return error_errno(err, "cannot open '%s' in '%s'", name, s->what);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "'%s' in '%s' is not a file", name, s->what);
    *size_bytes = (uint64_t)st.st_size;
    return steal_fd(&fd);
}

static int open_member(struct load_source *s, const char *name, struct reader **out,
                       uint64_t *size_bytes, struct error *err)
{
    const struct member *m = s->dir_fd < 0 ? find_member(s, name) : NULL;
    uint64_t offset = 0;
    int fd;

    if (s->dir_fd >= 0) {
        fd = open_in_directory(s, name, size_bytes, err);
        if (fd < 0)
            return fd;
    } else {
        if (m == NULL)
            return missing(s, name, err);
        if (m->kind != MEMBER_BYTES)
            return error_set(err, EBADMSG, "'%s' in '%s': %s", name, s->what,
                             m->kind == MEMBER_BAD ? m->text : "it is a layer");
        fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            return error_errno(err, "cannot read '%s'", s->what);
        offset = m->offset;
        *size_bytes = m->size;
    }
    *out = fd_reader_new_range(fd, offset, *size_bytes, name);
    return 0;
}

bool load_source_has(struct load_source *s, const char *name)
{
    struct error ignored;
    uint64_t size_bytes;
    auto_close int fd = -1;

    if (s->dir_fd < 0)
        return find_member(s, name) != NULL;
    fd = open_in_directory(s, name, &size_bytes, &ignored);
    return fd >= 0;
}

int load_source_document(struct load_source *s, const char *name, uint64_t size_max,
                         struct str *out, struct error *err)
{
    auto_reader struct reader *from = NULL;
    auto_free char *buffer = NULL;
    uint64_t size_bytes;
    int r = open_member(s, name, &from, &size_bytes, err);

    if (r < 0)
        return r;
    if (size_bytes > size_max)
        return error_set(err, EFBIG, "'%s' in '%s' has %llu bytes, more than %llu", name, s->what,
                         (unsigned long long)size_bytes, (unsigned long long)size_max);
    buffer = mem_alloc((size_t)size_bytes + 1);
    r = reader_read_full(from, buffer, (size_t)size_bytes, err);
    if (r == 0)
        str_add_bytes(out, buffer, (size_t)size_bytes);
    return r;
}

/* ---- layers ---- */

/* What went by is a layer already: is it the one that is wanted? */
static int check_streamed(struct load_source *s, struct member *m, const struct load_layer *wanted,
                          int64_t *layer, struct error *err)
{
    char expected[DIGEST_TEXT_SIZE];
    char found[DIGEST_TEXT_SIZE];
    struct digest diff_id;
    uint64_t tar_size;
    int64_t streamed = m->layer;
    int r = layer_digest(s->store, streamed, &diff_id, &tar_size, err);

    if (r == 0 && diff_id.algorithm != wanted->diff_id->algorithm) {
        r = layer_rename(s->store, m->layer, wanted->diff_id, &streamed, err);
        diff_id = *wanted->diff_id; /* or else: */
    }
    if (r < 0)
        return error_wrap(err, "%s", wanted->name);
    digest_format(wanted->diff_id, expected);
    digest_format(&diff_id, found);
    if (!digest_equal(&diff_id, wanted->diff_id))
        return error_set(err, EBADMSG, "%s: the digest of its tar is %s instead of %s",
                         wanted->name, found, expected);
    /* Its name is the only one by which an OCI layout knows it, so it was checked against that. */
    if (wanted->blob != NULL && (!m->has_blob || !digest_equal(wanted->blob, &m->blob)))
        return error_set(err, EBADMSG, "%s: its digest is not that of its name", wanted->name);
    if (streamed == m->layer)
        atomic_store(&m->is_used, true); /* else another took its place, and it may go */
    *layer = streamed;
    return 0;
}

static int ingest(struct load_source *s, const struct load_layer *wanted, int64_t *layer,
                  struct error *err)
{
    auto_layer_ingest struct layer_ingest *in = NULL;
    auto_reader struct reader *from = NULL;
    auto_free uint8_t *buffer = mem_alloc(COPY_SIZE);
    struct layer_ingest_options options = {
        .what = wanted->name,
        .blob = wanted->blob,
        .diff_id = wanted->diff_id,
    };
    ssize_t n;
    int r = open_member(s, wanted->name, &from, &options.blob_size_bytes, err);

    if (r < 0)
        return r;
    if (wanted->size_bytes != UINT64_MAX && wanted->size_bytes != options.blob_size_bytes)
        return error_set(err, EBADMSG, "%s: it has %llu bytes instead of %llu", wanted->name,
                         (unsigned long long)options.blob_size_bytes,
                         (unsigned long long)wanted->size_bytes);
    n = reader_read(from, buffer, COPY_SIZE, err);
    if (n < 0)
        return (int)n;
    /* A plain tar is its own pack; compressed bytes are worth keeping for the next push. */
    options.keep_blob = codec_sniff(buffer, (size_t)n) != CODEC_NONE;
    r = layer_ingest_open(s->store, &options, &in, err);
    while (r == 0 && n > 0) {
        r = layer_ingest_write(in, buffer, (size_t)n, err);
        n = r < 0 ? 0 : reader_read(from, buffer, COPY_SIZE, err);
    }
    if (r < 0 || n < 0)
        return r < 0 ? r : (int)n;
    return layer_ingest_commit(STEAL(&in), layer, err);
}

int load_source_layer(struct load_source *s, const struct load_layer *wanted, int64_t *layer,
                      struct error *err)
{
    struct member *m = s->dir_fd < 0 ? find_member(s, wanted->name) : NULL;
    struct layer_row row;

    if (m != NULL && m->kind == MEMBER_LAYER)
        return check_streamed(s, m, wanted, layer, err);
    if (store_layer_find_by_diff_id(s->store, wanted->diff_id, &row, err) == 0 &&
        (wanted->blob == NULL || digest_equal(wanted->blob, wanted->diff_id) ||
         store_layer_find_by_blob(s->store, wanted->blob, wanted->diff_id, &row, err) == 0)) {
        *layer = row.id;
        error_clear(err);
        return 0;
    }
    error_clear(err);
    return ingest(s, wanted, layer, err);
}

/* Nothing that is known by a name or a key is chosen: only what no row refers to goes. */
static bool choose_none(void *context, const struct usage_row *row)
{
    (void)context;
    (void)row;
    return false;
}

void load_source_forget(struct load_source *s, bool has_failed)
{
    const struct gc_options options = {.select = choose_none};
    auto_gc_report struct gc_report report = {0};
    struct error ignored = {0};
    bool has_unused = has_failed;

    for (size_t i = 0; i < s->count && !has_unused; i++)
        has_unused = s->members[i]->kind == MEMBER_LAYER && !atomic_load(&s->members[i]->is_used);
    /* A courtesy: a prune takes away what is left here while others use the store. */
    if (has_unused)
        (void)gc_run(s->store, &options, &report, &ignored);
}

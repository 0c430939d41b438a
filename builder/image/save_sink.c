/* save_sink.c - entries of a tar, or files written aside and renamed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/image/output_file.h"
#include "builder/image/save_sink.h"
#include "fs/base/hash.h"
#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/layer.h"
#include "fs/tar.h"

#include "fs/base/banned.h"

struct save_sink {
    struct writer *to; /* borrowed; NULL: a directory */
    char *directory;
    int dir_fd;
    struct table written; /* names; the value is not used */
};

/* Content on its way: counts what passes, for a header was written before it. */
struct counter {
    struct writer base; /* first: the writer is the object */
    struct writer *to;
    uint64_t size;
};

static int count_bytes(struct writer *w, const void *bytes, size_t size, struct error *err)
{
    struct counter *c = (struct counter *)w;

    c->size += size;
    return writer_write(c->to, bytes, size, err);
}

struct save_sink *save_sink_new_tar(struct writer *to)
{
    struct save_sink *s = mem_new(struct save_sink);

    s->to = to;
    s->dir_fd = -1;
    return s;
}

/* An OCI layout, or nothing at all: whatever else it holds was not meant. */
static int check_directory(int dir_fd, const char *path, struct error *err)
{
    struct stat st;
    int list_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = list_fd < 0 ? NULL : fdopendir(list_fd);
    const struct dirent *d;
    bool is_empty = true;

    if (dir == NULL) {
        cleanup_close_fd(&list_fd);
        return error_errno(err, "cannot read '%s'", path);
    }
    while ((d = readdir(dir)) != NULL)
        is_empty = is_empty && (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0);
    closedir(dir);
    if (!is_empty && fstatat(dir_fd, "oci-layout", &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, EEXIST, "'%s' is neither empty nor an OCI layout", path);
    return 0;
}

int save_sink_open_directory(const char *path, struct save_sink **out, struct error *err)
{
    auto_save_sink struct save_sink *s = save_sink_new_tar(NULL);
    int r = io_make_dirs(path, 0755, err);

    if (r < 0)
        return r;
    s->directory = mem_strdup(path);
    s->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0)
        return error_errno(err, "cannot open '%s'", path);
    r = check_directory(s->dir_fd, path, err);
    if (r == 0)
        *out = STEAL(&s);
    return r;
}

void save_sink_free(struct save_sink *s)
{
    if (s == NULL)
        return;
    table_release(&s->written);
    cleanup_close_fd(&s->dir_fd);
    free(s->directory);
    free(s);
}

/* True the first time a name is seen. */
static bool is_new(struct save_sink *s, const char *path)
{
    if (table_has(&s->written, path))
        return false;
    table_put(&s->written, path, s);
    return true;
}

static int write_header(struct save_sink *s, const char *path, enum entry_type type,
                        uint64_t size_bytes, struct error *err)
{
    const struct tar_entry entry = {
        .path = path,
        .meta = {.type = type, .mode = type == ENTRY_DIR ? 0755 : 0644, .size_bytes = size_bytes},
    };
    auto_str struct str header = {0};
    int r = tar_add_header(&header, &entry, err);

    return r < 0 ? r : writer_write(s->to, str_text(&header), header.size, err);
}

/* ---- content of a file, whichever way it comes ---- */

struct content {
    const void *bytes; /* in memory; NULL: a blob or a layer */
    struct store *store;
    const struct digest *blob; /* NULL: a layer */
    int64_t layer;
    uint64_t size_bytes;
};

static int send_content(const struct content *c, const char *path, struct writer *to,
                        struct error *err)
{
    struct counter counter = {.base.write = count_bytes, .to = to};
    int r;

    if (c->bytes != NULL)
        r = writer_write(&counter.base, c->bytes, (size_t)c->size_bytes, err);
    else if (c->blob != NULL)
        r = blob_write(c->store, c->blob, &counter.base, err);
    else
        r = layer_tar_write(c->store, c->layer, &counter.base, err);
    if (r == 0 && counter.size != c->size_bytes)
        r = error_set(err, EIO, "'%s' has %llu bytes instead of %llu", path,
                      (unsigned long long)counter.size, (unsigned long long)c->size_bytes);
    return r;
}

static int put_in_tar(struct save_sink *s, const char *path, const struct content *c,
                      struct error *err)
{
    static const char zeros[TAR_BLOCK_SIZE];
    int r = write_header(s, path, ENTRY_FILE, c->size_bytes, err);

    if (r == 0)
        r = send_content(c, path, s->to, err);
    return r < 0 ? r : writer_write(s->to, zeros, tar_padding(c->size_bytes), err);
}

/* Our own names below a directory that was opened once: a link among them is not followed. */
static int put_in_directory(struct save_sink *s, const char *path, const struct content *c,
                            struct error *err)
{
    auto_output_file struct output_file file = {.fd = -1, .dir_fd = -1};
    int r = output_file_open_at(&file, s->dir_fd, path, err);

    if (r == 0)
        r = send_content(c, path, &file.writer, err);
    if (r == 0)
        r = output_file_finish(&file, err);
    return r < 0 ? error_wrap(err, "'%s'", s->directory) : 0;
}

static int put(struct save_sink *s, const char *path, const struct content *c, struct error *err)
{
    if (!is_new(s, path))
        return 0;
    return s->to != NULL ? put_in_tar(s, path, c, err) : put_in_directory(s, path, c, err);
}

int save_sink_bytes(struct save_sink *s, const char *path, const void *bytes, size_t size,
                    struct error *err)
{
    const struct content c = {.bytes = bytes, .size_bytes = size};

    return put(s, path, &c, err);
}

int save_sink_blob(struct save_sink *s, struct store *store, const char *path,
                   const struct digest *digest, uint64_t size_bytes, struct error *err)
{
    const struct content c = {.store = store, .blob = digest, .size_bytes = size_bytes};

    return put(s, path, &c, err);
}

int save_sink_layer(struct save_sink *s, struct store *store, const char *path, int64_t layer,
                    uint64_t size_bytes, struct error *err)
{
    const struct content c = {.store = store, .layer = layer, .size_bytes = size_bytes};

    return put(s, path, &c, err);
}

int save_sink_directory(struct save_sink *s, const char *path, struct error *err)
{
    struct stat st;

    if (!is_new(s, path))
        return 0;
    if (s->to != NULL)
        return write_header(s, path, ENTRY_DIR, 0, err);
    if (mkdirat(s->dir_fd, path, 0755) == 0)
        return 0;
    if (errno != EEXIST)
        return error_errno(err, "cannot make '%s' in '%s'", path, s->directory);
    if (fstatat(s->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return error_set(err, ENOTDIR, "'%s' in '%s' is not a directory", path, s->directory);
    return 0;
}

int save_sink_read(struct save_sink *s, const char *path, uint64_t size_max, struct str *out,
                   struct error *err)
{
    return s->to != NULL ? error_set(err, ENOENT, "a tar is only written")
                         : io_read_file(s->dir_fd, path, size_max, out, err);
}

int save_sink_finish(struct save_sink *s, struct error *err)
{
    auto_str struct str end = {0};

    if (s->to == NULL)
        return 0; /* every file is whole already */
    tar_add_end(&end);
    return writer_write(s->to, str_text(&end), end.size, err);
}

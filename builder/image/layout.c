/* layout.c - reads an OCI image layout into the store. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/image/config.h"
#include "builder/image/layout.h"
#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/base/str.h"
#include "fs/blob.h"
#include "fs/layer.h"
#include "fs/store.h"
#include "registry/manifest.h"

#include "fs/base/banned.h"

#define REF_NAME "org.opencontainers.image.ref.name"
#define BUFFER_SIZE (256u << 10)
#define FOREIGN_DIGITS_MIN 32u /* as md5 has: what is shorter is a tag */

struct layout {
    struct store *store;
    char *directory;
    char *tag;
    bool has_digest;
    struct digest digest;
    int fd;
    struct manifest manifest; /* the document looked at last */
    struct str bytes;         /* its text */
    struct digest name;       /* its digest */
    struct config *config;
    int64_t *layers;
};

static void layout_release(struct layout *l)
{
    if (l->fd >= 0)
        close(l->fd);
    manifest_release(&l->manifest);
    str_release(&l->bytes);
    config_free(l->config);
    free(l->layers);
    free(l->directory);
    free(l->tag);
}
DEFINE_CLEANUP_VALUE(layout_release, struct layout)

void layout_blob_path(const struct digest *digest, char path[LAYOUT_PATH_SIZE])
{
    const size_t prefix = strlen("blobs/");

    memcpy(path, "blobs/", prefix);
    digest_format(digest, path + prefix);
    *strchr(path, ':') = '/';
}

bool layout_parse_blob_path(const char *path, struct digest *out)
{
    auto_free char *text = text_starts(path, "blobs/") ? mem_strdup(path + strlen("blobs/")) : NULL;
    char *slash = text == NULL ? NULL : strchr(text, '/');
    struct error ignored; /* another file of the layout */

    if (slash == NULL)
        return false;
    *slash = ':';
    return digest_parse(text, out, &ignored) == 0;
}

/* "sha256:6c3c62.." and its like, of whatever algorithm; a name with a tag has no such tag. */
static bool looks_like_digest(const char *text)
{
    const char *colon = strchr(text, ':');

    return colon != NULL && colon != text && strchr(text, '/') == NULL &&
           (digest_has_algorithm(text) ||
            strspn(colon + 1, "0123456789abcdef") >= FOREIGN_DIGITS_MIN);
}

/* A colon behind the last slash begins a tag; a directory may hold colons elsewhere. */
static int parse_name(struct layout *l, const char *text, struct error *err)
{
    const char *at = strrchr(text, '@');
    auto_free char *rest = NULL;
    char *slash;
    char *colon;
    int r;

    if (at != NULL && !looks_like_digest(at + 1))
        at = NULL;
    rest = at == NULL ? mem_strdup(text) : mem_strndup(text, (size_t)(at - text));
    slash = strrchr(rest, '/');
    colon = strchr(slash == NULL ? rest : slash, ':');
    r = at == NULL ? 0 : digest_parse(at + 1, &l->digest, err);
    l->has_digest = at != NULL;
    if (colon != NULL) {
        l->tag = mem_strdup(colon + 1);
        *colon = '\0';
    }
    l->directory = STEAL(&rest);
    return r;
}

/* ---- files ---- */

static int open_file(const struct layout *l, const char *path, uint64_t *size_bytes,
                     struct error *err)
{
    auto_close int fd = io_open_beneath(l->fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    struct stat st;

    if (fd < 0)
        return error_set(err, -fd, "cannot open '%s/%s': %s", l->directory, path, strerror(-fd));
    if (fstat(fd, &st) < 0)
        return error_errno(err, "cannot read '%s/%s'", l->directory, path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "'%s/%s' is not a regular file", l->directory, path);
    *size_bytes = (uint64_t)st.st_size;
    return steal_fd(&fd);
}

static int read_file(const struct layout *l, const char *path, size_t size_max, struct str *out,
                     struct error *err)
{
    uint64_t size;
    auto_close int fd = open_file(l, path, &size, err);
    auto_free char *buffer = NULL;
    int r;

    if (fd < 0)
        return fd;
    if (size > size_max)
        return error_set(err, EFBIG, "'%s/%s' is larger than %zu bytes", l->directory, path,
                         size_max);
    buffer = mem_alloc((size_t)size + 1);
    r = io_read_full(fd, buffer, (size_t)size);
    if (r < 0)
        return error_set(err, -r, "cannot read '%s/%s': %s", l->directory, path, strerror(-r));
    str_truncate(out, 0);
    str_add_bytes(out, buffer, (size_t)size);
    return 0;
}

static int read_blob(const struct layout *l, const struct digest *digest, size_t size_max,
                     struct str *out, struct error *err)
{
    char path[LAYOUT_PATH_SIZE];
    int r;

    layout_blob_path(digest, path);
    r = read_file(l, path, size_max, out, err);
    if (r < 0)
        return r;
    return digest_matches(digest, str_text(out), out->size)
               ? 0
               : error_set(err, EBADMSG, "'%s/%s' is damaged: its bytes have another digest",
                           l->directory, path);
}

/* ---- documents ---- */

static int parse_document(struct layout *l, const char *media_type, struct error *err)
{
    manifest_release(&l->manifest);
    l->manifest = (struct manifest){0};
    return manifest_parse(str_text(&l->bytes), l->bytes.size, media_type, l->directory,
                          &l->manifest, err);
}

static bool is_named(const struct descriptor *d, const char *tag)
{
    const char *name = annotations_get(&d->annotations, REF_NAME);

    return name != NULL && strcmp(name, tag) == 0;
}

/* The entry of index.json that was asked for. */
static int choose_entry(const struct layout *l, const struct descriptor **out, struct error *err)
{
    const struct descriptors *all = &l->manifest.manifests;
    const char *tag = l->tag != NULL ? l->tag : "latest";

    for (size_t i = 0; i < all->count; i++)
        if (l->has_digest ? digest_equal(&all->items[i].digest, &l->digest)
                          : is_named(&all->items[i], tag)) {
            *out = &all->items[i];
            return 0;
        }
    if (!l->has_digest && l->tag == NULL && all->count == 1) {
        *out = &all->items[0];
        return 0;
    }
    return error_set(err, ENOENT, "the layout '%s' has no image %s%s", l->directory,
                     l->has_digest ? "with that digest" : "named ", l->has_digest ? "" : tag);
}

static int follow(struct layout *l, const struct descriptor *d, struct error *err)
{
    auto_descriptor struct descriptor entry = {0};
    int r;

    descriptor_copy(&entry, d);
    r = read_blob(l, &entry.digest, LIMIT_MANIFEST_SIZE, &l->bytes, err);
    l->name = entry.digest;
    return r < 0 ? r : parse_document(l, entry.media_type, err);
}

static int find_manifest(struct layout *l, const struct platform *platform, struct error *err)
{
    const struct descriptor *chosen;
    int r = read_file(l, "index.json", LIMIT_MANIFEST_SIZE, &l->bytes, err);

    if (r == 0)
        r = parse_document(l, MEDIA_OCI_INDEX, err);
    if (r == 0)
        r = choose_entry(l, &chosen, err);
    if (r == 0)
        r = follow(l, chosen, err);
    if (r < 0 || l->manifest.kind != MANIFEST_INDEX)
        return r;
    r = manifest_choose(&l->manifest, platform, l->directory, &chosen, err);
    if (r == 0)
        r = follow(l, chosen, err);
    if (r == 0 && l->manifest.kind == MANIFEST_INDEX)
        r = error_set(err, EINVAL, "the layout '%s' has an index inside an index", l->directory);
    return r;
}

static int load_config(struct layout *l, struct error *err)
{
    const struct descriptor *d = &l->manifest.config;
    auto_str struct str bytes = {0};
    int r;

    if (!media_type_is_config(d->media_type))
        return error_set(err, EINVAL, "'%s' is no container image but an artifact of type '%s'",
                         l->directory, d->media_type);
    r = read_blob(l, &d->digest, LIMIT_CONFIG_SIZE, &bytes, err);
    if (r == 0)
        r = blob_put_named(l->store, &d->digest, str_text(&bytes), bytes.size, err);
    if (r == 0)
        r = config_parse(str_text(&bytes), bytes.size, l->directory, &l->config, err);
    if (r == 0 && config_layer_count(l->config) != l->manifest.layers.count)
        r = error_set(err, EINVAL, "the manifest has %zu layers, its configuration %zu",
                      l->manifest.layers.count, config_layer_count(l->config));
    return r;
}

/* ---- layers ---- */

static int feed(struct layer_ingest *ingest, int fd, const char *what, struct error *err)
{
    auto_free char *buffer = mem_alloc(BUFFER_SIZE);

    for (;;) {
        ssize_t got = read(fd, buffer, BUFFER_SIZE);
        int r;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, "cannot read '%s'", what);
        if (got == 0)
            return 0;
        r = layer_ingest_write(ingest, buffer, (size_t)got, err);
        if (r < 0)
            return r;
    }
}

static int import_layer(struct layout *l, size_t i, struct error *err)
{
    const struct descriptor *d = &l->manifest.layers.items[i];
    auto_layer_ingest struct layer_ingest *ingest = NULL;
    enum layer_compression compression;
    struct layer_ingest_options options = {.blob = &d->digest, .keep_blob = true};
    char path[LAYOUT_PATH_SIZE];
    struct digest diff_id;
    struct layer_row row;
    struct error ignored;
    auto_close int fd = -1;
    int r = config_layer_diff_id(l->config, i, &diff_id, err);

    if (r < 0)
        return r;
    if (store_layer_find_by_blob(l->store, &d->digest, &diff_id, &row, &ignored) == 0) {
        l->layers[i] = row.id;
        return 0;
    }
    layout_blob_path(&d->digest, path);
    fd = open_file(l, path, &options.blob_size_bytes, err);
    if (fd < 0)
        return fd;
    if (options.blob_size_bytes != d->size_bytes)
        return error_set(err, EBADMSG, "'%s/%s' has %llu bytes instead of %llu", l->directory, path,
                         (unsigned long long)options.blob_size_bytes,
                         (unsigned long long)d->size_bytes);
    r = media_type_layer_compression(d->media_type, &compression, err);
    options.what = path;
    options.diff_id = &diff_id;
    options.format = compression == LAYER_GZIP   ? CODEC_GZIP
                     : compression == LAYER_ZSTD ? CODEC_ZSTD
                                                 : CODEC_NONE;
    if (r == 0)
        r = layer_ingest_open(l->store, &options, &ingest, err);
    if (r == 0)
        r = feed(ingest, fd, path, err);
    return r < 0 ? r : layer_ingest_commit(STEAL(&ingest), &l->layers[i], err);
}

static int store_image(struct layout *l, struct digest *manifest, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    struct image_row row = {
        .manifest = l->name,
        .media_type = l->manifest.media_type,
        .config = l->manifest.config.digest,
        .size_bytes = l->bytes.size + l->manifest.config.size_bytes,
        .layers = l->layers,
        .layer_count = l->manifest.layers.count,
    };
    int r;

    for (size_t i = 0; i < l->manifest.layers.count; i++)
        row.size_bytes += l->manifest.layers.items[i].size_bytes;
    r = store_begin(l->store, &tx, err);
    if (r == 0)
        r = blob_put_named(l->store, &row.manifest, str_text(&l->bytes), l->bytes.size, err);
    if (r == 0)
        r = store_image_put(l->store, &row, err);
    if (r == 0)
        r = store_commit(&tx, err);
    *manifest = row.manifest;
    return r;
}

int layout_import(struct store *store, const char *text, const struct platform *platform,
                  struct digest *manifest, struct error *err)
{
    __attribute__((cleanup(cleanup_layout_release))) struct layout l = {.store = store, .fd = -1};
    auto_image_row struct image_row known = {0};
    int r = parse_name(&l, text, err);

    if (r < 0)
        return r;
    l.fd = open(l.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l.fd < 0)
        return error_errno(err, "cannot open the layout '%s'", l.directory);
    r = find_manifest(&l, platform, err);
    if (r < 0)
        return r;
    r = store_image_get(store, &l.name, &known, err);
    if (r == 0)
        *manifest = l.name;
    if (r != -ENOENT)
        return r;
    error_clear(err);
    r = load_config(&l, err);
    l.layers = mem_alloc((l.manifest.layers.count + 1) * sizeof(*l.layers));
    for (size_t i = 0; r == 0 && i < l.manifest.layers.count; i++)
        r = import_layer(&l, i, err);
    return r < 0 ? r : store_image(&l, manifest, err);
}

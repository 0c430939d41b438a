/* export.c - from layers of the store to blobs and the manifest that names them. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "builder/image/export.h"
#include "fs/layer.h"
#include "fs/store.h"

#include "fs/base/banned.h"

#define GZIP_LEVEL_MAX 9u
#define ZSTD_LEVEL_MAX 22u

int export_format_parse(const char *text, enum codec_format *out, struct error *err)
{
    static const enum codec_format formats[] = {CODEC_NONE, CODEC_GZIP, CODEC_ZSTD};

    *out = CODEC_DETECT;
    for (size_t i = 0; text != NULL && i < sizeof(formats) / sizeof(formats[0]); i++)
        if (strcmp(text, codec_name(formats[i])) == 0)
            *out = formats[i];
    if (text != NULL && *out == CODEC_DETECT)
        return error_set(err, EINVAL, "unknown compression '%s': gzip, zstd or uncompressed", text);
    return 0;
}

int export_level_parse(const char *text, enum codec_format format, int *out, struct error *err)
{
    uint64_t max = format == CODEC_ZSTD ? ZSTD_LEVEL_MAX : GZIP_LEVEL_MAX;
    uint64_t level;

    *out = -1;
    if (text == NULL)
        return 0;
    if (format == CODEC_NONE)
        return error_set(err, EINVAL, "what is not compressed has no compression level");
    if (!text_to_u64(text, max, &level))
        return error_set(err, EINVAL, "invalid compression level '%s': %s has 0 to %u", text,
                         format == CODEC_ZSTD ? "zstd" : "gzip", (unsigned)max);
    if (format != CODEC_ZSTD || level > 0) /* zstd calls its default level 0 */
        *out = (int)level;
    return 0;
}

static int describe_tar(struct store *store, int64_t layer, struct layer_blob *out,
                        struct error *err)
{
    out->format = CODEC_NONE;
    return layer_digest(store, layer, &out->digest, &out->size_bytes, err);
}

int export_layer_find(struct store *store, const struct image *image, size_t position,
                      const struct export_options *o, struct export_layer *out, struct error *err)
{
    const struct descriptors *named = &image->document.layers;
    const struct digest *own = position < named->count ? &named->items[position].digest : NULL;
    int64_t layer = image->layers[position];
    enum codec_format wanted = o->format == CODEC_DETECT ? CODEC_GZIP : o->format;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = o->threads != 0 ? o->threads : cpus > 0 ? (unsigned)cpus : 1;
    struct layer_compress_options compress = {
        .format = wanted, .level = o->level, .threads = threads, .follower = o->follower};
    struct layer_blob_row row;
    struct layer_blob blob = {0};
    int r = -ENOENT;

    if (wanted != CODEC_NONE || !o->force)
        r = store_layer_blob_find(store, layer, o->force ? wanted : CODEC_DETECT, own, &row, err);
    if (r == 0)
        blob = (struct layer_blob){
            .format = row.format, .digest = row.digest, .size_bytes = row.size_bytes};
    else if (r == -ENOENT)
        r = wanted == CODEC_NONE ? describe_tar(store, layer, &blob, err)
                                 : layer_compress(store, layer, &compress, &blob, err);
    if (r < 0)
        return r;
    *out = (struct export_layer){
        .digest = blob.digest,
        .size_bytes = blob.size_bytes,
        .compression = blob.format == CODEC_GZIP   ? LAYER_GZIP
                       : blob.format == CODEC_ZSTD ? LAYER_ZSTD
                                                   : LAYER_UNCOMPRESSED,
    };
    return 0;
}

/* A pulled image keeps its manifest, and so its digest. */
static bool is_final(const struct image *image, const struct export_layer *layers,
                     enum export_types types)
{
    const struct manifest *m = &image->document;
    bool is_docker = text_equal(m->media_type, MEDIA_DOCKER_MANIFEST);

    if (m->layers.count != image->layer_count || (types == EXPORT_DOCKER && !is_docker) ||
        (types == EXPORT_OCI && is_docker))
        return false;
    for (size_t i = 0; i < m->layers.count; i++)
        if (!digest_equal(&m->layers.items[i].digest, &layers[i].digest))
            return false;
    return true;
}

void export_manifest(const struct image *image, uint64_t config_size,
                     const struct export_layer *layers, const struct export_options *options,
                     struct str *out, const char **media_type)
{
    const struct manifest *m = &image->document;
    bool docker =
        options->types == EXPORT_DOCKER ||
        (options->types == EXPORT_STORED && text_equal(m->media_type, MEDIA_DOCKER_MANIFEST));
    auto_strv struct strv annotations = {0};
    struct json *descriptors;

    *media_type = m->media_type;
    if (is_final(image, layers, options->types)) {
        str_add_bytes(out, str_text(&image->bytes), image->bytes.size);
        return;
    }
    descriptors = json_new_array();
    for (size_t i = 0; i < image->layer_count; i++) {
        struct json *descriptor = json_new_object();

        layer_descriptor(layers[i].compression, docker, &layers[i].digest, layers[i].size_bytes,
                         descriptor);
        json_push(descriptors, descriptor);
    }
    for (size_t i = 0; i < m->annotations.count; i++)
        strv_addf(&annotations, "%s=%s", m->annotations.items[i].key,
                  m->annotations.items[i].value);
    manifest_write(&image->config_digest, config_size, descriptors, &annotations, docker, out);
    *media_type = docker ? MEDIA_DOCKER_MANIFEST : MEDIA_OCI_MANIFEST;
}

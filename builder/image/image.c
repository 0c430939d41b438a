/* image.c - finding, loading and committing images in the store. */
#include <errno.h>
#include <string.h>

#include "builder/image/image.h"
#include "fs/base/key.h"
#include "fs/base/limits.h"
#include "fs/blob.h"
#include "fs/layer.h"
#include "fs/store.h"
#include "registry/descriptor.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

#define ID_PREFIX_MIN 4u
#define CONFIG_NAME "the image's configuration" /* in messages */

void image_release(struct image *image)
{
    config_free(image->config);
    manifest_release(&image->document);
    str_release(&image->bytes);
    str_release(&image->config_bytes);
    free(image->layers);
    *image = (struct image){0};
}

/* An image id is the digest of its config; a manifest digest names it as well. */
static int find_by_prefix(struct store *store, const char *text, struct digest *manifest,
                          struct error *err)
{
    auto_image_list struct image_list list = {0};
    const struct image_row *found = NULL;
    int r = store_image_list(store, &list, err);

    for (size_t i = 0; r == 0 && i < list.count; i++) {
        if (!digest_has_prefix(&list.items[i].config, text) &&
            !digest_has_prefix(&list.items[i].manifest, text))
            continue;
        if (found != NULL && !digest_equal(&found->config, &list.items[i].config))
            return error_set(err, EEXIST, "'%s' is the beginning of several image ids", text);
        if (found == NULL)
            found = &list.items[i];
    }
    if (r < 0)
        return r;
    if (found == NULL)
        return error_set(err, ENOENT, "no such image: '%s'", text);
    *manifest = found->manifest;
    return 0;
}

static bool is_stored(struct store *store, const struct digest *manifest)
{
    auto_image_row struct image_row row = {0};
    struct error ignored;

    return store_image_get(store, manifest, &row, &ignored) == 0;
}

int image_find(struct store *store, const char *text, struct digest *manifest, char **name,
               struct error *err)
{
    auto_reference struct reference ref = {0};
    auto_reference_row struct reference_row row = {0};
    auto_str struct str canonical = {0};
    int r;

    if (name != NULL)
        *name = NULL;
    if (!digest_has_algorithm(text)) {
        r = reference_parse(text, &ref, err);
        if (r < 0)
            return r;
        reference_format(&ref, &canonical);
        r = store_reference_get(store, str_text(&canonical), &row, err);
        if (r == 0) {
            *manifest = row.manifest;
            if (name != NULL)
                *name = str_take(&canonical);
            return 0;
        }
        if (r != -ENOENT)
            return r;
        if (ref.has_digest && is_stored(store, &ref.digest)) {
            *manifest = ref.digest;
            return 0;
        }
    }
    if (digest_prefix_digits(text) < ID_PREFIX_MIN) {
        (void)error_set(err, ENOENT, "no such image: '%s'", text); /* returned below */
        return error_hint(err, "`img ls` lists the images, `img pull %s` fetches it", text);
    }
    return find_by_prefix(store, text, manifest, err);
}

int image_load(struct store *store, const struct digest *manifest, struct image *out,
               struct error *err)
{
    auto_image struct image image = {.manifest = *manifest};
    auto_image_row struct image_row row = {0};
    char text[DIGEST_TEXT_SIZE];
    int r = store_image_get(store, manifest, &row, err);

    if (r == 0)
        r = blob_read(store, manifest, LIMIT_MANIFEST_SIZE, &image.bytes, err);
    if (r == 0)
        r = manifest_parse(str_text(&image.bytes), image.bytes.size, row.media_type,
                           "the image's manifest", &image.document, err);
    if (r == 0)
        r = blob_read(store, &row.config, LIMIT_CONFIG_SIZE, &image.config_bytes, err);
    if (r == 0)
        r = config_parse(str_text(&image.config_bytes), image.config_bytes.size, CONFIG_NAME,
                         &image.config, err);
    if (r < 0) {
        digest_format(manifest, text);
        return error_wrap(err, "image %s", text);
    }
    image.config_digest = row.config;
    image.layers = STEAL(&row.layers);
    image.layer_count = row.layer_count;
    image.size_bytes = row.size_bytes;
    image.stored_ns = row.created_ns;
    *out = STEAL(&image);
    return 0;
}

char *image_familiar_name(const char *name)
{
    auto_reference struct reference ref = {0};
    struct str text = {0};
    struct error ignored;

    if (reference_parse(name, &ref, &ignored) < 0)
        return mem_strdup(name);
    reference_familiar(&ref, &text);
    return str_take(&text);
}

void layer_descriptor(enum layer_compression compression, bool docker_types,
                      const struct digest *digest, uint64_t size_bytes, struct json *into)
{
    static const char *const types[2][3] = {
        {MEDIA_OCI_LAYER, MEDIA_OCI_LAYER_GZIP, MEDIA_OCI_LAYER_ZSTD},
        {MEDIA_DOCKER_LAYER, MEDIA_DOCKER_LAYER_GZIP, MEDIA_DOCKER_LAYER_ZSTD},
    };

    descriptor_put(into, types[docker_types][compression], digest, size_bytes);
}

void manifest_write(const struct digest *config, uint64_t config_size, struct json *layers,
                    const struct strv *annotations, bool docker_types, struct str *out)
{
    auto_json struct json *document = json_new_object();
    struct json *object = json_new_object();
    struct json *notes = json_new_object();

    descriptor_put(object, docker_types ? MEDIA_DOCKER_CONFIG : MEDIA_OCI_CONFIG, config,
                   config_size);
    json_put_int(document, "schemaVersion", 2);
    json_put_text(document, "mediaType", docker_types ? MEDIA_DOCKER_MANIFEST : MEDIA_OCI_MANIFEST);
    json_put(document, "config", object);
    json_put(document, "layers", layers);
    annotations_put(notes, annotations);
    document_put_annotations(document, notes);
    json_write(document, out);
}

static enum layer_compression compression_of(enum codec_format format)
{
    return format == CODEC_GZIP   ? LAYER_GZIP
           : format == CODEC_ZSTD ? LAYER_ZSTD
                                  : LAYER_UNCOMPRESSED;
}

/* A pulled layer keeps the bytes it came as; one made here has none until it is pushed. */
static int describe_layer(struct store *store, int64_t layer, bool docker_types,
                          struct digest *diff_id, struct json *into, struct error *err)
{
    struct layer_blob_row blob;
    struct layer_row row;
    uint64_t tar_size;
    int r = layer_digest(store, layer, diff_id, &tar_size, err);

    if (r == 0)
        r = store_layer_get(store, layer, &row, err);
    if (r < 0)
        return r;
    if (row.kind == LAYER_PULLED &&
        store_layer_blob_find(store, layer, CODEC_DETECT, NULL, &blob, err) == 0) {
        layer_descriptor(compression_of(blob.format), docker_types, &blob.digest, blob.size_bytes,
                         into);
        return 0;
    }
    layer_descriptor(LAYER_UNCOMPRESSED, docker_types, diff_id, tar_size, into);
    return 0;
}

static uint64_t layers_size(const struct manifest *m)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < m->layers.count; i++)
        sum += m->layers.items[i].size_bytes;
    return sum;
}

/* Everything of `out` but the configuration's struct follows from the documents. The manifest knows
 * what the configuration is called; what the manifest is called, `known` says if anybody. */
static int finish_image(struct image *out, const char *media_type, const struct digest *known,
                        const int64_t *layers, size_t layer_count, struct error *err)
{
    int r = manifest_parse(str_text(&out->bytes), out->bytes.size, media_type,
                           "the image's manifest", &out->document, err);

    if (r < 0)
        return r;
    digest_of_kept(known, str_text(&out->bytes), out->bytes.size, &out->manifest);
    digest_of_kept(&out->document.config.digest, str_text(&out->config_bytes),
                   out->config_bytes.size, &out->config_digest);
    out->layers = mem_alloc((layer_count + 1) * sizeof(*layers));
    if (layer_count > 0)
        memcpy(out->layers, layers, layer_count * sizeof(*layers));
    out->layer_count = layer_count;
    out->size_bytes = layers_size(&out->document) + out->config_bytes.size + out->bytes.size;
    return 0;
}

/* Layers as an image that is made here names them: diff_ids, one each, and descriptors. */
static int describe_layers(struct store *store, const int64_t *layers, size_t layer_count,
                           bool docker_types, struct digest *diff_ids, struct json *descriptors,
                           struct error *err)
{
    if (layer_count > LIMIT_IMAGE_LAYERS)
        return error_set(err, E2BIG, "the image has %zu layers, more than %d", layer_count,
                         LIMIT_IMAGE_LAYERS);
    for (size_t i = 0; i < layer_count; i++) {
        struct json *descriptor = json_new_object();
        int r;

        json_push(descriptors, descriptor);
        r = describe_layer(store, layers[i], docker_types, &diff_ids[i], descriptor, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The manifest over `descriptors`, which are taken, and out->config_bytes. */
static int make_manifest(struct json *descriptors, const int64_t *layers, size_t layer_count,
                         const struct image_options *options, struct image *out, struct error *err)
{
    struct digest config;

    digest_of(str_text(&out->config_bytes), out->config_bytes.size, &config);
    manifest_write(&config, out->config_bytes.size, descriptors, options->annotations,
                   options->docker_types, &out->bytes);
    return finish_image(out, options->docker_types ? MEDIA_DOCKER_MANIFEST : MEDIA_OCI_MANIFEST,
                        NULL, layers, layer_count, err);
}

int image_make(struct store *store, struct config *config, const int64_t *layers,
               size_t layer_count, const struct image_options *options, struct image *out,
               struct error *err)
{
    auto_free struct digest *diff_ids = mem_alloc((layer_count + 1) * sizeof(*diff_ids));
    auto_json struct json *descriptors = json_new_array();
    auto_json struct json *parsed = NULL;
    auto_image struct image image = {0};
    int r = describe_layers(store, layers, layer_count, options->docker_types, diff_ids,
                            descriptors, err);

    if (r < 0)
        return r;
    config_set_layers(config, diff_ids, layer_count);
    config_write(config, &image.config_bytes);
    /* What could not be read again is refused before it is stored. */
    r = json_parse(str_text(&image.config_bytes), image.config_bytes.size, LIMIT_CONFIG_SIZE,
                   CONFIG_NAME, &parsed, err);
    if (r == 0)
        r = make_manifest(STEAL(&descriptors), layers, layer_count, options, &image, err);
    if (r < 0)
        return r;
    image.config = config_copy(config);
    *out = STEAL(&image);
    return 0;
}

static int check_diff_ids(const struct config *config, const struct digest *diff_ids,
                          size_t layer_count, struct error *err)
{
    if (config_layer_count(config) != layer_count)
        return error_set(err, EINVAL, "the image has %zu layers, its configuration %zu",
                         layer_count, config_layer_count(config));
    for (size_t i = 0; i < layer_count; i++) {
        struct digest expected;
        int r = config_layer_diff_id(config, i, &expected, err);

        if (r < 0)
            return r;
        if (!digest_equal(&expected, &diff_ids[i]))
            return error_set(err, EINVAL, "layer %zu is not the one its configuration names",
                             i + 1);
    }
    return 0;
}

int image_make_from(struct store *store, const struct str *config, const int64_t *layers,
                    size_t layer_count, const struct image_options *options, struct image *out,
                    struct error *err)
{
    auto_free struct digest *diff_ids = mem_alloc((layer_count + 1) * sizeof(*diff_ids));
    auto_json struct json *descriptors = json_new_array();
    auto_image struct image image = {0};
    int r = config_parse(str_text(config), config->size, CONFIG_NAME, &image.config, err);

    if (r == 0)
        r = describe_layers(store, layers, layer_count, options->docker_types, diff_ids,
                            descriptors, err);
    if (r == 0)
        r = check_diff_ids(image.config, diff_ids, layer_count, err);
    if (r < 0)
        return r;
    str_add_bytes(&image.config_bytes, str_text(config), config->size);
    r = make_manifest(STEAL(&descriptors), layers, layer_count, options, &image, err);
    if (r < 0)
        return r;
    *out = STEAL(&image);
    return 0;
}

int image_make_of(const struct image_documents *from, const int64_t *layers, size_t layer_count,
                  struct image *out, struct error *err)
{
    auto_image struct image image = {0};
    int r =
        config_parse(str_text(from->config), from->config->size, CONFIG_NAME, &image.config, err);

    str_add_bytes(&image.bytes, str_text(from->manifest), from->manifest->size);
    str_add_bytes(&image.config_bytes, str_text(from->config), from->config->size);
    if (r == 0)
        r = finish_image(&image, from->media_type, from->known, layers, layer_count, err);
    if (r < 0)
        return r;
    *out = STEAL(&image);
    return 0;
}

int image_store(struct store *store, const struct image *image, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    const struct image_row row = {
        .manifest = image->manifest,
        .media_type = image->document.media_type,
        .config = image->config_digest,
        .layers = image->layers,
        .layer_count = image->layer_count,
        .size_bytes = image->size_bytes,
    };
    int r;

    if (is_stored(store, &image->manifest))
        return 0; /* a rebuild that changed nothing writes nothing */
    r = store_begin(store, &tx, err);
    if (r == 0)
        r = blob_put_named(store, &row.config, str_text(&image->config_bytes),
                           image->config_bytes.size, err);
    if (r == 0)
        r = blob_put_named(store, &row.manifest, str_text(&image->bytes), image->bytes.size, err);
    if (r == 0)
        r = store_image_put(store, &row, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int image_tag(struct store *store, const char *name, const struct digest *manifest,
              struct error *err)
{
    auto_reference_row struct reference_row before = {0};
    struct reference_row row = {.manifest = *manifest};
    auto_free char *owned = mem_strdup(name);
    int r = store_reference_get(store, name, &before, err);

    if (r == 0 && digest_equal(&before.manifest, manifest))
        return 0;
    if (r < 0 && r != -ENOENT)
        return r;
    error_clear(err);
    row.name = owned;
    return store_reference_set(store, &row, err);
}

void image_key(const struct digest *manifest, const char *platform, struct digest *out)
{
    auto_key struct key key = {0};

    key_init(&key, manifest == NULL ? "scratch" : "from");
    if (manifest != NULL)
        key_digest(&key, "manifest", manifest);
    key_text(&key, "platform", platform);
    key_final(&key, out);
}

/* save.c - which files an archive or a layout holds. How they are written: save_sink.c. */
#include <errno.h>
#include <string.h>

#include "builder/image/layout.h"
#include "builder/image/save.h"
#include "builder/image/save_sink.h"
#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "fs/base/log.h"
#include "fs/base/progress.h"
#include "fs/blob.h"
#include "fs/layer.h"
#include "fs/store.h"
#include "registry/descriptor.h"

#include "fs/base/banned.h"

struct save {
    struct store *store;
    struct save_sink *to;
    const struct save_options *options;
    bool has_sha512; /* the directory for such blobs is written */
};

static void report(const struct save *s, const char *what, bool is_done)
{
    progress_status(s->options->progress, s->options->vertex, what, 0, 0, is_done);
}

/* ---- docker ---- */

/* A layer as its tar, or as the blob a push would send. */
static int docker_layer(struct save *s, const struct image *image, size_t position,
                        struct json *layers, struct error *err)
{
    int64_t layer = image->layers[position];
    struct export_layer found = {0};
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    auto_free char *path = NULL;
    uint64_t size_bytes;
    int r = layer_digest(s->store, layer, &digest, &size_bytes, err);

    if (r == 0 && s->options->compress_docker) {
        r = export_layer_find(s->store, image, position, &s->options->export, &found, err);
        digest = found.digest;
    }
    if (r < 0)
        return r;
    digest_format_hex(&digest, hex);
    path = str_format("%s.tar%s", hex,
                      found.compression == LAYER_GZIP   ? ".gz"
                      : found.compression == LAYER_ZSTD ? ".zst"
                                                        : "");
    json_push(layers, json_new_text(path));
    report(s, path, false);
    if (found.compression != LAYER_UNCOMPRESSED)
        r = save_sink_blob(s->to, s->store, path, &digest, found.size_bytes, err);
    else
        r = save_sink_layer(s->to, s->store, path, layer, size_bytes, err);
    report(s, path, true);
    return r;
}

static int docker_image(struct save *s, const struct save_image *what, struct json *list,
                        struct error *err)
{
    const struct image *image = what->image;
    auto_free char *path = NULL;
    struct json *entry = json_new_object();
    struct json *tags = json_new_array();
    struct json *layers = json_new_array();
    char hex[DIGEST_HEX_SIZE];
    int r = 0;

    json_push(list, entry);
    for (size_t i = 0; r == 0 && i < image->layer_count; i++)
        r = docker_layer(s, image, i, layers, err);
    digest_format_hex(&image->config_digest, hex);
    path = str_format("%s.json", hex);
    if (r == 0)
        r = save_sink_bytes(s->to, path, str_text(&image->config_bytes), image->config_bytes.size,
                            err);
    for (size_t i = 0; i < what->names->count; i++) {
        auto_free char *name = image_familiar_name(what->names->items[i]);

        json_push(tags, json_new_text(name));
    }
    json_put_text(entry, "Config", path);
    json_put(entry, "RepoTags", tags);
    json_put(entry, "Layers", layers);
    return r;
}

int save_docker(struct store *store, const struct save_image *images, size_t count,
                const struct save_options *options, struct writer *to, struct error *err)
{
    auto_save_sink struct save_sink *sink = save_sink_new_tar(to);
    struct save s = {.store = store, .to = sink, .options = options};
    auto_json struct json *list = json_new_array();
    auto_str struct str text = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++)
        r = docker_image(&s, &images[i], list, err);
    json_write(list, &text);
    if (r == 0)
        r = save_sink_bytes(sink, "manifest.json", str_text(&text), text.size, err);
    return r < 0 ? r : save_sink_finish(sink, err);
}

/* ---- OCI ---- */

/* The blobs that stand for the layers of an image; the caller frees *out. */
static int find_layers(struct store *store, const struct image *image,
                       const struct export_options *options, struct export_layer **out,
                       struct error *err)
{
    auto_free struct export_layer *layers = mem_alloc((image->layer_count + 1) * sizeof(*layers));
    int r = 0;

    for (size_t i = 0; r == 0 && i < image->layer_count; i++)
        r = export_layer_find(store, image, i, options, &layers[i], err);
    if (r == 0)
        *out = STEAL(&layers);
    return r;
}

int save_oci_manifest(struct store *store, const struct image *image,
                      const struct export_options *options, struct str *out,
                      const char **media_type, struct error *err)
{
    auto_free struct export_layer *layers = NULL;
    int r = find_layers(store, image, options, &layers, err);

    if (r == 0)
        export_manifest(image, image->config_bytes.size, layers, options, out, media_type);
    return r;
}

/* Where a blob goes. The directory of sha256 is always there, that of sha512 if there is need. */
static int place(struct save *s, const struct digest *digest, char path[LAYOUT_PATH_SIZE],
                 struct error *err)
{
    layout_blob_path(digest, path);
    if (digest->algorithm != DIGEST_SHA512 || s->has_sha512)
        return 0;
    s->has_sha512 = true;
    return save_sink_directory(s->to, "blobs/sha512", err);
}

static int oci_layer(struct save *s, int64_t layer, const struct export_layer *blob,
                     struct error *err)
{
    char path[LAYOUT_PATH_SIZE];
    int r = place(s, &blob->digest, path, err);

    if (r < 0)
        return r;
    report(s, path, false);
    if (blob->compression == LAYER_UNCOMPRESSED)
        r = save_sink_layer(s->to, s->store, path, layer, blob->size_bytes, err);
    else
        r = save_sink_blob(s->to, s->store, path, &blob->digest, blob->size_bytes, err);
    report(s, path, true);
    return r;
}

/* A document; `known` is what it was called, if it is still the same (NULL: nobody called it). */
static int oci_bytes(struct save *s, const struct str *bytes, const struct digest *known,
                     struct digest *digest, struct error *err)
{
    char path[LAYOUT_PATH_SIZE];
    int r;

    digest_of_kept(known, str_text(bytes), bytes->size, digest);
    r = place(s, digest, path, err);
    return r < 0 ? r : save_sink_bytes(s->to, path, str_text(bytes), bytes->size, err);
}

/* One entry of index.json for each name; one without, when there is none. */
static void add_entry(struct json *list, const char *media_type, const struct digest *digest,
                      uint64_t size, const char *name, const struct strv *annotations)
{
    struct json *entry = json_new_object();
    struct json *notes = json_new_object();

    descriptor_put(entry, media_type, digest, size);
    if (name != NULL) {
        const char *colon = strrchr(path_base(name), ':');

        json_put_text(notes, "io.containerd.image.name", name);
        json_put_text(notes, "org.opencontainers.image.ref.name",
                      colon == NULL ? "latest" : colon + 1);
    }
    annotations_put(notes, annotations);
    document_put_annotations(entry, notes);
    json_push(list, entry);
}

/* Layers, configuration and manifest of one image. */
static int oci_blobs(struct save *s, const struct image *image, struct descriptor *out,
                     struct error *err)
{
    auto_free struct export_layer *layers = NULL;
    auto_str struct str manifest = {0};
    const char *media_type;
    struct digest digest;
    int r = find_layers(s->store, image, &s->options->export, &layers, err);

    for (size_t i = 0; r == 0 && i < image->layer_count; i++)
        r = oci_layer(s, image->layers[i], &layers[i], err);
    if (r == 0)
        r = oci_bytes(s, &image->config_bytes, &image->config_digest, &digest, err);
    if (r < 0)
        return r;
    export_manifest(image, image->config_bytes.size, layers, &s->options->export, &manifest,
                    &media_type);
    out->media_type = mem_strdup(media_type);
    out->size_bytes = manifest.size;
    return oci_bytes(s, &manifest, &image->manifest, &out->digest, err);
}

/* ---- an index ---- */

static const struct image *image_of(const struct save_index *index, const struct digest *manifest)
{
    for (size_t i = 0; i < index->count; i++)
        if (digest_equal(&index->images[i].manifest, manifest))
            return &index->images[i];
    return NULL;
}

static int parse_entry(const struct json *entry, struct digest *out, struct error *err)
{
    const char *text = json_get_text(entry, "digest");

    return text == NULL ? error_set(err, EINVAL, "an entry of the index has no digest")
                        : digest_parse(text, out, err);
}

/* The entry with the manifest that is written for this image. */
static int renew_entry(struct store *store, const struct image *image,
                       const struct export_options *options, struct json *entry, bool *is_changed,
                       struct error *err)
{
    auto_str struct str manifest = {0};
    const char *media_type;
    struct digest digest;
    int r = save_oci_manifest(store, image, options, &manifest, &media_type, err);

    if (r < 0)
        return r;
    digest_of_kept(&image->manifest, str_text(&manifest), manifest.size, &digest);
    if (digest_equal(&digest, &image->manifest))
        return 0;
    descriptor_put(entry, media_type, &digest, manifest.size);
    *is_changed = true;
    return 0;
}

/* Without what no image is: it tells of digests that are not here any more. */
static void keep_images(struct json *document, struct json *kept, size_t total)
{
    if (json_count(kept) < total)
        log_warn("layers got another form: %zu attestations of the images are left out",
                 total - json_count(kept));
    json_put(document, "manifests", json_ref(kept));
}

int save_oci_index(struct store *store, const struct save_index *what,
                   const struct export_options *options, struct str *out, const char **media_type,
                   struct error *err)
{
    auto_json struct json *document = NULL;
    auto_json struct json *kept = json_new_array();
    struct json *list;
    bool is_changed = false;
    bool is_docker;
    int r = json_parse(str_text(what->document), what->document->size, LIMIT_MANIFEST_SIZE,
                       "the index", &document, err);

    if (r < 0)
        return r;
    list = json_get_array(document, "manifests");
    is_docker = text_equal(json_get_text(document, "mediaType"), MEDIA_DOCKER_LIST);
    for (size_t i = 0; r == 0 && i < json_count(list); i++) {
        struct json *entry = json_at(list, i);
        struct digest digest;
        const struct image *image;

        r = parse_entry(entry, &digest, err);
        image = r < 0 ? NULL : image_of(what, &digest);
        if (image == NULL)
            continue;
        json_push(kept, json_ref(entry));
        r = renew_entry(store, image, options, entry, &is_changed, err);
    }
    if (r < 0)
        return r;
    if (is_changed && options->types != EXPORT_STORED)
        is_docker = options->types == EXPORT_DOCKER;
    *media_type = is_docker ? MEDIA_DOCKER_LIST : MEDIA_OCI_INDEX;
    if (!is_changed) {
        str_add_bytes(out, str_text(what->document), what->document->size);
        return 0;
    }
    json_put_text(document, "mediaType", *media_type);
    keep_images(document, kept, json_count(list));
    json_write(document, out);
    return 0;
}

/* A manifest that is no image's, with all that it names, as the store has them. */
static int oci_artifact(struct save *s, const struct digest *digest, struct error *err)
{
    auto_manifest struct manifest m = {0};
    auto_str struct str bytes = {0};
    struct digest written;
    int r = blob_read(s->store, digest, LIMIT_MANIFEST_SIZE, &bytes, err);

    if (r == 0)
        r = manifest_parse(str_text(&bytes), bytes.size, NULL, "an attestation", &m, err);
    for (size_t i = 0; r == 0 && i <= m.layers.count; i++) {
        const struct descriptor *d = i < m.layers.count ? &m.layers.items[i] : &m.config;
        char path[LAYOUT_PATH_SIZE];

        r = place(s, &d->digest, path, err);
        if (r == 0)
            r = save_sink_blob(s->to, s->store, path, &d->digest, d->size_bytes, err);
    }
    return r < 0 ? r : oci_bytes(s, &bytes, digest, &written, err);
}

static int oci_index(struct save *s, const struct save_index *what, struct descriptor *out,
                     struct error *err)
{
    auto_manifest struct manifest m = {0};
    auto_str struct str document = {0};
    const char *media_type;
    int r = save_oci_index(s->store, what, &s->options->export, &document, &media_type, err);

    if (r == 0)
        r = manifest_parse(str_text(&document), document.size, NULL, "the index", &m, err);
    for (size_t i = 0; r == 0 && i < what->count; i++) {
        auto_descriptor struct descriptor ignored = {0};

        r = oci_blobs(s, &what->images[i], &ignored, err);
    }
    for (size_t i = 0; r == 0 && i < m.manifests.count; i++) {
        const struct descriptor *d = &m.manifests.items[i];

        if (image_of(what, &d->digest) == NULL && blob_exists(s->store, &d->digest))
            r = oci_artifact(s, &d->digest, err);
    }
    out->media_type = mem_strdup(media_type);
    out->size_bytes = document.size;
    return r < 0 ? r : oci_bytes(s, &document, what->digest, &out->digest, err);
}

static int oci_image(struct save *s, const struct save_image *what, struct json *list,
                     struct error *err)
{
    auto_descriptor struct descriptor d = {0};
    int r = what->index != NULL ? oci_index(s, what->index, &d, err)
                                : oci_blobs(s, what->image, &d, err);

    for (size_t i = 0; r == 0 && i < what->names->count; i++)
        add_entry(list, d.media_type, &d.digest, d.size_bytes, what->names->items[i],
                  what->entry_annotations);
    if (r == 0 && what->names->count == 0)
        add_entry(list, d.media_type, &d.digest, d.size_bytes, NULL, what->entry_annotations);
    return r;
}

static int save_layout(struct save *s, const struct save_image *images, size_t count,
                       struct json *index, struct error *err)
{
    static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    struct json *list = json_get_array(index, "manifests");
    auto_str struct str text = {0};
    int r = save_sink_directory(s->to, "blobs", err);

    if (r == 0)
        r = save_sink_directory(s->to, "blobs/sha256", err);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = oci_image(s, &images[i], list, err);
    json_write(index, &text);
    if (r == 0)
        r = save_sink_bytes(s->to, "oci-layout", layout, sizeof(layout) - 1, err);
    if (r == 0)
        r = save_sink_bytes(s->to, "index.json", str_text(&text), text.size, err);
    return r < 0 ? r : save_sink_finish(s->to, err);
}

int save_oci(struct store *store, const struct save_image *images, size_t count,
             const struct save_options *options, struct writer *to, struct error *err)
{
    auto_save_sink struct save_sink *sink = save_sink_new_tar(to);
    auto_json struct json *index = index_document_new(MEDIA_OCI_INDEX, json_new_array());
    struct save s = {.store = store, .to = sink, .options = options};

    return save_layout(&s, images, count, index, err);
}

static const char *entry_name(const struct json *entry)
{
    const struct json *annotations = json_get_object(entry, "annotations");
    const char *name = json_get_text(annotations, "io.containerd.image.name");

    return name != NULL ? name : json_get_text(annotations, "org.opencontainers.image.ref.name");
}

static bool is_replaced(const struct json *entry, const struct save_image *images, size_t count)
{
    const char *name = entry_name(entry);

    for (size_t i = 0; i < count; i++) {
        const struct strv *names = images[i].names;

        if (name == NULL && names->count == 0)
            return true;
        if (name != NULL && strv_contains(names, name))
            return true;
    }
    return false;
}

/* The index of a layout that is there, without the entries that are written anew. */
static int old_index(struct save_sink *sink, const struct save_image *images, size_t count,
                     struct json **out, struct error *err)
{
    auto_json struct json *old = NULL;
    auto_str struct str text = {0};
    struct json *list = json_new_array();
    int r = save_sink_read(sink, "index.json", LIMIT_MANIFEST_SIZE, &text, err);

    if (r == 0)
        r = json_parse(str_text(&text), text.size, LIMIT_MANIFEST_SIZE, "its index.json", &old,
                       err);
    if (r == -ENOENT) {
        error_clear(err);
        r = 0;
    }
    for (size_t i = 0; i < json_count(json_get_array(old, "manifests")); i++) {
        struct json *entry = json_at(json_get_array(old, "manifests"), i);

        if (!is_replaced(entry, images, count))
            json_push(list, json_ref(entry));
    }
    *out = index_document_new(MEDIA_OCI_INDEX, list);
    return r;
}

int save_oci_directory(struct store *store, const struct save_image *images, size_t count,
                       const struct save_options *options, const char *directory, struct error *err)
{
    auto_save_sink struct save_sink *sink = NULL;
    auto_json struct json *index = NULL;
    struct save s = {.store = store, .options = options};
    int r = save_sink_open_directory(directory, &sink, err);

    if (r == 0)
        r = old_index(sink, images, count, &index, err);
    s.to = sink;
    if (r == 0)
        r = save_layout(&s, images, count, index, err);
    return r;
}

/* save.c - archives: entries of one outer tar, each blob once. */
#include <errno.h>
#include <string.h>

#include "builder/image.h"
#include "builder/save.h"
#include "fs/base/hash.h"
#include "fs/blob.h"
#include "fs/layer.h"
#include "fs/store.h"
#include "fs/tar.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

struct save {
    struct store *store;
    struct writer *to;
    struct table written; /* names of entries; the value is not used */
};

static void save_release(struct save *s)
{
    table_release(&s->written);
}
DEFINE_CLEANUP_VALUE(save_release, struct save)

static int write_header(struct save *s, const char *path, enum entry_type type, uint64_t size_bytes,
                        struct error *err)
{
    const struct tar_entry entry = {
        .path = path,
        .meta = {.type = type, .mode = type == ENTRY_DIR ? 0755 : 0644, .size_bytes = size_bytes},
    };
    auto_str struct str header = {0};
    int r = tar_add_header(&header, &entry, err);

    return r < 0 ? r : writer_write(s->to, str_text(&header), header.size, err);
}

static int write_padding(struct save *s, uint64_t size_bytes, struct error *err)
{
    static const char zeros[TAR_BLOCK_SIZE];

    return writer_write(s->to, zeros, tar_padding(size_bytes), err);
}

/* True the first time a name is seen. */
static bool is_new(struct save *s, const char *path)
{
    if (table_has(&s->written, path))
        return false;
    table_put(&s->written, path, s);
    return true;
}

static int write_bytes(struct save *s, const char *path, const void *bytes, size_t size,
                       struct error *err)
{
    int r;

    if (!is_new(s, path))
        return 0;
    r = write_header(s, path, ENTRY_FILE, size, err);
    if (r == 0)
        r = writer_write(s->to, bytes, size, err);
    return r < 0 ? r : write_padding(s, size, err);
}

static int write_stream(struct save *s, const char *path, struct reader *from, uint64_t size_bytes,
                        struct error *err)
{
    uint64_t copied = 0;
    int r = write_header(s, path, ENTRY_FILE, size_bytes, err);

    if (r == 0)
        r = stream_copy(from, s->to, &copied, err);
    if (r == 0 && copied != size_bytes)
        r = error_set(err, EIO, "'%s' has %llu bytes instead of %llu", path,
                      (unsigned long long)copied, (unsigned long long)size_bytes);
    return r < 0 ? r : write_padding(s, size_bytes, err);
}

static int write_end(struct save *s, struct error *err)
{
    auto_str struct str end = {0};

    tar_add_end(&end);
    return writer_write(s->to, str_text(&end), end.size, err);
}

static char *familiar(const char *name)
{
    auto_reference struct reference ref = {0};
    struct str text = {0};
    struct error ignored;

    if (reference_parse(name, &ref, &ignored) < 0)
        return mem_strdup(name);
    reference_familiar(&ref, &text);
    return str_take(&text);
}

/* ---- docker ---- */

static int docker_layer(struct save *s, int64_t layer, struct json *layers, struct error *err)
{
    auto_reader struct reader *from = NULL;
    auto_free char *path = NULL;
    char hex[DIGEST_HEX_SIZE];
    struct digest diff_id;
    uint64_t size_bytes;
    int r = layer_digest(s->store, layer, &diff_id, &size_bytes, err);

    if (r < 0)
        return r;
    digest_format_hex(&diff_id, hex);
    path = str_format("%s.tar", hex);
    json_push(layers, json_new_text(path));
    if (!is_new(s, path))
        return 0;
    r = layer_tar_open(s->store, layer, &from, err);
    return r < 0 ? r : write_stream(s, path, from, size_bytes, err);
}

static int docker_image(struct save *s, const struct save_image *what, struct json *list,
                        struct error *err)
{
    auto_image struct image image = {0};
    auto_str struct str config = {0};
    auto_free char *path = NULL;
    struct json *entry = json_new_object();
    struct json *tags = json_new_array();
    struct json *layers = json_new_array();
    char hex[DIGEST_HEX_SIZE];
    int r = image_load(s->store, &what->manifest, &image, err);

    json_push(list, entry);
    if (r == 0)
        r = blob_read(s->store, &image.config_digest, UINT32_MAX, &config, err);
    for (size_t i = 0; r == 0 && i < image.layer_count; i++)
        r = docker_layer(s, image.layers[i], layers, err);
    digest_format_hex(&image.config_digest, hex);
    path = str_format("%s.json", hex);
    if (r == 0)
        r = write_bytes(s, path, str_text(&config), config.size, err);
    if (what->name != NULL) {
        auto_free char *name = familiar(what->name);

        json_push(tags, json_new_text(name));
    }
    json_put_text(entry, "Config", path);
    json_put(entry, "RepoTags", tags);
    json_put(entry, "Layers", layers);
    return r;
}

int save_docker(struct store *store, const struct save_image *images, size_t count,
                struct writer *to, struct error *err)
{
    __attribute__((cleanup(cleanup_save_release))) struct save s = {.store = store, .to = to};
    auto_json struct json *list = json_new_array();
    auto_str struct str text = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++)
        r = docker_image(&s, &images[i], list, err);
    json_write(list, &text);
    if (r == 0)
        r = write_bytes(&s, "manifest.json", str_text(&text), text.size, err);
    return r < 0 ? r : write_end(&s, err);
}

/* ---- OCI ---- */

static int oci_blob(struct save *s, const struct digest *digest, struct error *err)
{
    auto_reader struct reader *from = NULL;
    auto_free char *path = NULL;
    char hex[DIGEST_HEX_SIZE];
    uint64_t size_bytes;
    int r;

    digest_format_hex(digest, hex);
    path = str_format("blobs/sha256/%s", hex);
    if (!is_new(s, path))
        return 0;
    r = blob_open(s->store, digest, &from, &size_bytes, err);
    return r < 0 ? r : write_stream(s, path, from, size_bytes, err);
}

static void oci_descriptor(struct json *list, const char *media_type, const struct digest *digest,
                           size_t size, const char *name)
{
    struct json *entry = json_new_object();
    struct json *annotations;
    char text[DIGEST_TEXT_SIZE];

    digest_format(digest, text);
    json_put_text(entry, "mediaType", media_type);
    json_put_text(entry, "digest", text);
    json_put_int(entry, "size", (int64_t)size);
    if (name != NULL) {
        const char *colon = strrchr(path_base(name), ':');

        annotations = json_new_object();
        json_put_text(annotations, "io.containerd.image.name", name);
        json_put_text(annotations, "org.opencontainers.image.ref.name",
                      colon == NULL ? "latest" : colon + 1);
        json_put(entry, "annotations", annotations);
    }
    json_push(list, entry);
}

static int oci_image(struct save *s, const struct save_image *what,
                     const struct export_options *options, struct json *list, struct error *err)
{
    auto_image struct image image = {0};
    auto_free struct export_layer *layers = NULL;
    auto_free char *path = NULL;
    auto_str struct str manifest = {0};
    const char *media_type;
    char hex[DIGEST_HEX_SIZE];
    struct digest digest;
    uint64_t config_size;
    int r = image_load(s->store, &what->manifest, &image, err);

    if (r == 0)
        r = blob_stat(s->store, &image.config_digest, &config_size, err);
    layers = mem_alloc((image.layer_count + 1) * sizeof(*layers));
    for (size_t i = 0; r == 0 && i < image.layer_count; i++) {
        r = export_layer_find(s->store, image.layers[i], options, &layers[i], err);
        if (r == 0)
            r = oci_blob(s, &layers[i].digest, err);
    }
    if (r == 0)
        r = oci_blob(s, &image.config_digest, err);
    if (r < 0)
        return r;
    export_manifest(&image, config_size, layers, options->docker_types, &manifest, &media_type);
    digest_of(str_text(&manifest), manifest.size, &digest);
    digest_format_hex(&digest, hex);
    path = str_format("blobs/sha256/%s", hex);
    oci_descriptor(list, media_type, &digest, manifest.size, what->name);
    return write_bytes(s, path, str_text(&manifest), manifest.size, err);
}

static int oci_directories(struct save *s, struct error *err)
{
    int r = write_header(s, "blobs", ENTRY_DIR, 0, err);

    return r < 0 ? r : write_header(s, "blobs/sha256", ENTRY_DIR, 0, err);
}

int save_oci(struct store *store, const struct save_image *images, size_t count,
             const struct export_options *options, struct writer *to, struct error *err)
{
    static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    __attribute__((cleanup(cleanup_save_release))) struct save s = {.store = store, .to = to};
    auto_json struct json *index = json_new_object();
    auto_str struct str text = {0};
    struct json *list = json_new_array();
    int r = oci_directories(&s, err);

    json_put_int(index, "schemaVersion", 2);
    json_put_text(index, "mediaType", MEDIA_OCI_INDEX);
    json_put(index, "manifests", list);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = oci_image(&s, &images[i], options, list, err);
    json_write(index, &text);
    if (r == 0)
        r = write_bytes(&s, "index.json", str_text(&text), text.size, err);
    if (r == 0)
        r = write_bytes(&s, "oci-layout", layout, sizeof(layout) - 1, err);
    return r < 0 ? r : write_end(&s, err);
}

/* image_index.c - see image_index.h. */
#include <errno.h>
#include <string.h>

#include "builder/image/image_index.h"
#include "builder/image/save.h"
#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "fs/blob.h"
#include "fs/store.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

void image_index_release(struct image_index *x)
{
    json_unref(x->entries);
    free(x->manifests);
    str_release(&x->bytes);
}

static void add_entry(struct image_index *x, const struct image *image,
                      const struct platform *platform)
{
    struct json *entry = json_new_object();
    struct json *where = json_new_object();
    char digest[DIGEST_TEXT_SIZE];

    digest_format(&image->manifest, digest);
    json_put_text(entry, "mediaType", image->document.media_type);
    json_put_text(entry, "digest", digest);
    json_put_int(entry, "size", (int64_t)image->bytes.size);
    json_put_text(where, "architecture", platform->architecture);
    json_put_text(where, "os", platform->os);
    json_put_text(where, "variant", platform->variant);
    json_put(entry, "platform", where);
    if (x->entries == NULL)
        x->entries = json_new_array();
    json_push(x->entries, entry);
}

int image_index_add(struct store *store, const struct image *image,
                    const struct export_options *options, struct image_index *x, struct error *err)
{
    auto_platform struct platform platform = {0};
    auto_platform struct platform host = {0};
    auto_image struct image final = {0};
    auto_str struct str manifest = {0};
    const char *media_type;
    int r = save_oci_manifest(store, image, options, &manifest, &media_type, err);

    if (r == 0)
        r = image_make_of(&manifest, media_type, &image->config_bytes, image->layers,
                          image->layer_count, &final, err);
    if (r == 0)
        r = image_store(store, &final, err);
    if (r < 0)
        return r;
    config_platform(image->config, &platform);
    platform_normalize(&platform);
    platform_host(&host);
    if (platform_equal(&platform, &host))
        x->host = x->count;
    x->manifests = array_grow(x->manifests, x->count, &x->capacity, sizeof(*x->manifests));
    x->manifests[x->count++] = final.manifest;
    add_entry(x, &final, &platform);
    return 0;
}

static void write_document(struct image_index *x, const struct image_index_options *o)
{
    auto_json struct json *document = json_new_object();
    struct json *notes = json_new_object();

    json_put_int(document, "schemaVersion", 2);
    json_put_text(document, "mediaType", o->docker_types ? MEDIA_DOCKER_LIST : MEDIA_OCI_INDEX);
    json_put(document, "manifests", json_ref(x->entries));
    for (size_t i = 0; i < o->annotations->count; i++) {
        const char *pair = o->annotations->items[i];
        auto_free char *key = mem_strndup(pair, strcspn(pair, "="));

        json_put_text(notes, key, pair + strlen(key) + 1);
    }
    if (json_count(notes) > 0)
        json_put(document, "annotations", notes);
    else
        json_unref(notes);
    json_write(document, &x->bytes);
}

/* "name:tag" and, for each image, "name@digest": that is how a pull of all platforms keeps them. */
static int name_all(struct store *store, const struct image_index *x, const char *name,
                    const struct digest *index, struct error *err)
{
    auto_reference struct reference ref = {0};
    auto_str struct str repository = {0};
    char *canonical = mem_strdup(name);
    auto_free char *owned = canonical;
    const struct reference_row row = {
        .name = canonical, .manifest = x->manifests[x->host], .has_index = true, .index = *index};
    int r = reference_parse(name, &ref, err);

    if (r < 0)
        return r;
    reference_format_name(&ref, &repository);
    for (size_t i = 0; r == 0 && i < x->count; i++) {
        auto_str struct str one = {0};
        char digest[DIGEST_TEXT_SIZE];

        digest_format(&x->manifests[i], digest);
        str_addf(&one, "%s@%s", str_text(&repository), digest);
        r = image_tag(store, str_text(&one), &x->manifests[i], err);
    }
    return r < 0 ? r : store_reference_set(store, &row, err);
}

int image_index_commit(struct store *store, const struct image_index_options *options,
                       struct image_index *x, struct digest *digest, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(store, &tx, err);

    write_document(x, options);
    if (r == 0)
        r = blob_put(store, str_text(&x->bytes), x->bytes.size, digest, err);
    for (size_t i = 0; r == 0 && i < options->names->count; i++)
        r = name_all(store, x, options->names->items[i], digest, err);
    return r < 0 ? r : store_commit(&tx, err);
}

static bool is_named_elsewhere(const struct reference_list *names, const char *repository,
                               const struct digest *index)
{
    size_t size = strlen(repository);

    for (size_t i = 0; i < names->count; i++) {
        const struct reference_row *row = &names->items[i];

        if (row->has_index && digest_equal(&row->index, index) &&
            strncmp(row->name, repository, size) == 0 && row->name[size] == ':')
            return true;
    }
    return false;
}

static int forget_one(struct store *store, const char *repository, const struct digest *manifest,
                      struct error *err)
{
    auto_reference_list struct reference_list names = {0};
    auto_free char *name = NULL;
    char digest[DIGEST_TEXT_SIZE];
    int r;

    digest_format(manifest, digest);
    name = str_format("%s@%s", repository, digest);
    r = store_reference_remove(store, name, err);
    if (r == -ENOENT) {
        error_clear(err);
        return 0;
    }
    if (r == 0)
        r = store_reference_list(store, manifest, &names, err);
    return r < 0 || names.count > 0 ? r : store_image_remove(store, manifest, err);
}

int image_index_forget(struct store *store, const char *name, const struct digest *index,
                       struct error *err)
{
    auto_reference struct reference ref = {0};
    auto_reference_list struct reference_list names = {0};
    auto_manifest struct manifest m = {0};
    auto_str struct str repository = {0};
    auto_str struct str bytes = {0};
    int r = reference_parse(name, &ref, err);

    if (r < 0 || !blob_exists(store, index))
        return r;
    reference_format_name(&ref, &repository);
    r = store_reference_list(store, NULL, &names, err);
    if (r < 0 || is_named_elsewhere(&names, str_text(&repository), index))
        return r;
    r = blob_read(store, index, LIMIT_MANIFEST_SIZE, &bytes, err);
    if (r == 0)
        r = manifest_parse(bytes.data, bytes.size, NULL, name, &m, err);
    for (size_t i = 0; r == 0 && i < m.manifests.count; i++)
        r = forget_one(store, str_text(&repository), &m.manifests.items[i].digest, err);
    return r;
}

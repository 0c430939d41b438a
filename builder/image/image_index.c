/* image_index.c - see image_index.h. */
#include <errno.h>
#include <string.h>

#include "builder/image/image_index.h"
#include "builder/image/save.h"
#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "fs/blob.h"
#include "fs/store.h"
#include "registry/descriptor.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

void image_index_release(struct image_index *x)
{
    json_unref(x->entries);
    free(x->manifests);
    str_release(&x->bytes);
}

void image_index_push(struct image_index *x, struct json *entry)
{
    if (x->entries == NULL)
        x->entries = json_new_array();
    json_push(x->entries, entry);
}

static void add_entry(struct image_index *x, const struct image *image,
                      const struct platform *platform, const struct strv *annotations)
{
    struct json *entry = json_new_object();
    struct json *notes = json_new_object();

    descriptor_put(entry, image->document.media_type, &image->manifest, image->bytes.size);
    descriptor_put_platform(entry, platform);
    annotations_put(notes, annotations);
    document_put_annotations(entry, notes);
    image_index_push(x, entry);
}

void image_index_note(struct image_index *x, const struct image *image,
                      const struct strv *annotations)
{
    auto_platform struct platform platform = {0};
    auto_platform struct platform host = {0};

    config_platform(image->config, &platform);
    platform_normalize(&platform);
    platform_host(&host);
    if (platform_equal(&platform, &host))
        x->host = x->count;
    x->manifests = array_grow(x->manifests, x->count, &x->capacity, sizeof(*x->manifests));
    x->manifests[x->count++] = image->manifest;
    add_entry(x, image, &platform, annotations);
}

int image_index_form(struct store *store, const struct image *image,
                     const struct export_options *options, struct image *out, struct error *err)
{
    auto_str struct str manifest = {0};
    const char *media_type;
    int r = save_oci_manifest(store, image, options, &manifest, &media_type, err);

    return r < 0 ? r
                 : image_make_of(&(struct image_documents){&manifest, media_type, &image->manifest,
                                                           &image->config_bytes},
                                 image->layers, image->layer_count, out, err);
}

void image_index_write(struct image_index *x, const struct image_index_options *o)
{
    auto_json struct json *document = index_document_new(
        o->docker_types ? MEDIA_DOCKER_LIST : MEDIA_OCI_INDEX, json_ref(x->entries));
    struct json *notes = json_new_object();

    annotations_put(notes, o->annotations);
    document_put_annotations(document, notes);
    json_write(document, &x->bytes);
}

/* "name:tag" and, for each image, "name@digest": that is how a pull of all platforms keeps them. */
int image_index_name(struct store *store, const char *name, const struct digest *index,
                     const struct digest *images, size_t count, size_t host, struct error *err)
{
    auto_reference struct reference ref = {0};
    auto_str struct str repository = {0};
    auto_free char *canonical = mem_strdup(name);
    const struct reference_row row = {
        .name = canonical, .manifest = images[host], .has_index = true, .index = *index};
    int r = reference_parse(name, &ref, err);

    if (r < 0)
        return r;
    reference_format_name(&ref, &repository);
    for (size_t i = 0; r == 0 && i < count; i++) {
        auto_str struct str one = {0};
        char digest[DIGEST_TEXT_SIZE];

        digest_format(&images[i], digest);
        str_addf(&one, "%s@%s", str_text(&repository), digest);
        r = image_tag(store, str_text(&one), &images[i], err);
    }
    return r < 0 ? r : store_reference_set(store, &row, err);
}

/* One image is kept by the name alone. */
static int name_index(struct store *store, const char *name, const struct digest *index,
                      const struct image_index *x, struct error *err)
{
    auto_free char *owned = mem_strdup(name);
    const struct reference_row row = {
        .name = owned, .manifest = x->manifests[0], .has_index = true, .index = *index};

    return x->count == 1
               ? store_reference_set(store, &row, err)
               : image_index_name(store, name, index, x->manifests, x->count, x->host, err);
}

int image_index_commit(struct store *store, const struct image_index_options *options,
                       struct image_index *x, struct digest *digest, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(store, &tx, err);

    image_index_write(x, options);
    if (r == 0)
        r = blob_put(store, str_text(&x->bytes), x->bytes.size, digest, err);
    for (size_t i = 0; r == 0 && i < options->names->count; i++)
        r = name_index(store, options->names->items[i], digest, x, err);
    return r < 0 ? r : store_commit(&tx, err);
}

void image_index_images_release(struct image_index_images *x)
{
    str_release(&x->document);
    manifest_release(&x->parsed);
    free(x->items);
}

static bool is_image_here(struct store *store, const struct digest *manifest)
{
    auto_image_row struct image_row row = {0};
    struct error ignored; /* not here, or no image */

    return store_image_get(store, manifest, &row, &ignored) == 0;
}

int image_index_images(struct store *store, const struct digest *index, const char *what,
                       struct image_index_images *out, struct error *err)
{
    int r;

    out->index = *index;
    if (!blob_exists(store, index))
        return 0;
    r = blob_read(store, index, LIMIT_MANIFEST_SIZE, &out->document, err);
    if (r == 0)
        r = manifest_parse(str_text(&out->document), out->document.size, NULL, what, &out->parsed,
                           err);
    if (r < 0)
        return r;
    out->items = mem_alloc((out->parsed.manifests.count + 1) * sizeof(*out->items));
    out->is_whole = true;
    for (size_t i = 0; i < out->parsed.manifests.count; i++) {
        const struct digest *digest = &out->parsed.manifests.items[i].digest;

        if (is_image_here(store, digest))
            out->items[out->count++] = *digest;
        else if (!blob_exists(store, digest))
            out->is_whole = false;
    }
    return 0;
}

/* ---- in another form ---- */

struct recompressed {
    const struct export_options *options;
    bool is_other;   /* an image came out as another one */
    bool has_others; /* there are entries that are no images of the store */
};

static int recompress_entry(struct store *store, struct json *entry, struct recompressed *x,
                            struct error *err)
{
    const char *name = json_get_text(entry, "digest");
    auto_image struct image image = {0};
    auto_image struct image form = {0};
    struct digest digest;
    int r = digest_parse(name ? name : "", &digest, err);

    if (r < 0)
        return r;
    if (!is_image_here(store, &digest)) {
        x->has_others = true;
        return 0;
    }
    r = image_load(store, &digest, &image, err);
    if (r == 0)
        r = image_index_form(store, &image, x->options, &form, err);
    if (r < 0 || digest_equal(&form.manifest, &digest))
        return r;
    x->is_other = true;
    descriptor_put(entry, form.document.media_type, &form.manifest, form.bytes.size);
    json_remove(entry, "data"); /* the manifest that it was */
    return blob_put_named(store, &form.manifest, str_text(&form.bytes), form.bytes.size, err);
}

int image_index_recompress(struct store *store, const struct digest *index,
                           const struct export_options *options, struct digest *out,
                           struct error *err)
{
    struct recompressed x = {.options = options};
    auto_json struct json *document = NULL;
    auto_str struct str bytes = {0};
    struct json *entries;
    int r = blob_read(store, index, LIMIT_MANIFEST_SIZE, &bytes, err);

    if (r == 0)
        r = json_parse(str_text(&bytes), bytes.size, LIMIT_MANIFEST_SIZE, "the index", &document,
                       err);
    if (r < 0)
        return r;
    entries = json_get_array(document, "manifests");
    for (size_t i = 0; r == 0 && i < json_count(entries); i++)
        r = recompress_entry(store, json_at(entries, i), &x, err);
    if (r < 0)
        return r;
    if (!x.is_other) {
        *out = *index;
        return 0;
    }
    if (x.has_others) {
        (void)error_set(err, ENOTSUP,
                        "its attestations are about images that another compression makes others");
        return error_hint(err, "`img build --force-compression` attests what it compresses");
    }
    str_truncate(&bytes, 0);
    json_write(document, &bytes);
    return blob_put(store, str_text(&bytes), bytes.size, out, err);
}

/* ---- choosing and naming ---- */

int image_index_choose(const struct image_index_images *x, const char *platform, const char *what,
                       struct digest *out, struct error *err)
{
    auto_platform struct platform want = {0};
    const struct descriptor *chosen;
    int r = platform_parse(platform, &want, err);

    if (r == 0)
        r = manifest_choose(&x->parsed, &want, what, &chosen, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < x->count; i++)
        if (digest_equal(&x->items[i], &chosen->digest)) {
            *out = chosen->digest;
            return 0;
        }
    (void)error_set(err, ENOENT, "the image of '%s' for %s was not pulled", what, platform);
    return error_hint(err, "`img pull --platform=%s %s` fetches it", platform, what);
}

int image_index_tag(struct store *store, const char *name, const struct reference_row *source,
                    struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_free char *owned = mem_strdup(name);
    auto_image_index_images struct image_index_images here = {0};
    const struct reference_row row = {
        .name = owned, .manifest = source->manifest, .has_index = true, .index = source->index};
    size_t host = 0;
    int r = image_index_images(store, &source->index, name, &here, err);

    for (size_t i = 0; i < here.count; i++)
        if (digest_equal(&here.items[i], &source->manifest))
            host = i;
    if (r == 0)
        r = store_begin(store, &tx, err);
    if (r == 0)
        r = here.count > 1
                ? image_index_name(store, name, &source->index, here.items, here.count, host, err)
                : store_reference_set(store, &row, err);
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

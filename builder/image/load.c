/* load.c - from the documents of an archive to images of the store. The files: load_source.c. */
#include <errno.h>
#include <string.h>

#include "builder/image/image.h"
#include "builder/image/image_index.h"
#include "builder/image/layout.h"
#include "builder/image/load.h"
#include "builder/image/load_source.h"
#include "fs/base/limits.h"
#include "fs/base/pool.h"
#include "fs/blob.h"
#include "fs/store.h"
#include "registry/manifest.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

#define LAYERS_AT_ONCE 2u /* each takes three threads, and one disk holds them all */

struct load {
    struct store *store;
    const struct load_options *options;
    struct load_source *source;
    struct loaded_images *out;
    struct platform platform;
    uint32_t vertex;
};

static void load_release(struct load *l)
{
    load_source_close(l->source);
    platform_release(&l->platform);
}
DEFINE_CLEANUP_VALUE(load_release, struct load)

void loaded_images_release(struct loaded_images *l)
{
    for (size_t i = 0; i < l->count; i++)
        strv_release(&l->items[i].names);
    free(l->items);
    *l = (struct loaded_images){0};
}

/* ---- layers, a few at a time ---- */

struct layer_job {
    struct load *load;
    struct load_layer wanted;
    struct digest diff_id;
    char path[LAYOUT_PATH_SIZE];
    int64_t layer;
};

static int load_layer(void *arg, struct error *err)
{
    struct layer_job *job = arg;
    struct progress *progress = job->load->options->progress;
    int r;

    progress_status(progress, job->load->vertex, job->wanted.name, 0, 0, false);
    r = load_source_layer(job->load->source, &job->wanted, &job->layer, err);
    if (r == 0)
        progress_status(progress, job->load->vertex, job->wanted.name, 0, 0, true);
    return r;
}

struct layer_jobs {
    struct layer_job *items;
    size_t count;
};

static int load_layers(struct layer_jobs *jobs, int64_t *layers, struct error *err)
{
    auto_pool struct pool *pool = pool_new(LAYERS_AT_ONCE);
    int r;

    for (size_t i = 0; i < jobs->count; i++)
        pool_submit(pool, load_layer, &jobs->items[i]);
    r = pool_wait(pool, err);
    for (size_t i = 0; r == 0 && i < jobs->count; i++)
        layers[i] = jobs->items[i].layer;
    return r;
}

/* Jobs for all diff_ids of a configuration; their names are the caller's to set. */
static int make_jobs(struct load *l, const struct config *config, size_t layer_count,
                     struct layer_jobs *out, struct error *err)
{
    int r = 0;

    if (config_layer_count(config) != layer_count)
        return error_set(err, EINVAL, "it has %zu layers, its configuration %zu", layer_count,
                         config_layer_count(config));
    if (layer_count > LIMIT_IMAGE_LAYERS)
        return error_set(err, E2BIG, "it has %zu layers, more than %d", layer_count,
                         LIMIT_IMAGE_LAYERS);
    out->items = mem_alloc((layer_count + 1) * sizeof(*out->items));
    out->count = layer_count;
    for (size_t i = 0; r == 0 && i < layer_count; i++) {
        struct layer_job *job = &out->items[i];

        *job = (struct layer_job){.load = l, .wanted = {.size_bytes = UINT64_MAX}};
        r = config_layer_diff_id(config, i, &job->diff_id, err);
        job->wanted.diff_id = &job->diff_id;
    }
    return r;
}

/* ---- names ---- */

static struct loaded_image *add_image(struct load *l, const struct image *image)
{
    struct loaded_image *loaded = array_add(l->out);

    loaded->manifest = image->manifest;
    loaded->config = image->config_digest;
    return loaded;
}

int load_tag(struct store *store, const struct loaded_image *image, const char *name,
             struct error *err)
{
    const struct reference_row source = {.manifest = image->manifest, .index = image->index};

    return image->has_index ? image_index_tag(store, name, &source, err)
                            : image_tag(store, name, &image->manifest, err);
}

static int name_image(struct load *l, struct loaded_image *image, const char *text,
                      struct error *err)
{
    auto_reference struct reference ref = {0};
    auto_str struct str name = {0};
    int r = reference_parse(text, &ref, err);

    if (r < 0)
        return r;
    reference_format(&ref, &name);
    r = load_tag(l->store, image, str_text(&name), err);
    if (r == 0)
        strv_add(&image->names, str_text(&name));
    return r;
}

/* Asked before anything is stored: an image whose name is wrong is not loaded without it. */
static int check_name(const char *text, struct error *err)
{
    auto_reference struct reference ref = {0};

    return reference_parse(text, &ref, err);
}

/* Who asks for a platform does not want an image of another one. */
static int check_platform(const struct load *l, const struct config *config, struct error *err)
{
    auto_platform struct platform have = {0};
    auto_str struct str found = {0};
    auto_str struct str wanted = {0};

    if (l->options->platform == NULL)
        return 0;
    config_platform(config, &have);
    platform_normalize(&have);
    if (platform_rank(&l->platform, &have) >= 0)
        return 0;
    platform_format(&have, &found);
    platform_format(&l->platform, &wanted);
    return error_set(err, ENOENT, "it is an image for %s, not for %s", str_text(&found),
                     str_text(&wanted));
}

/* ---- docker's archive: manifest.json is a list of images ---- */

static int load_docker_layers(struct load *l, const struct json *entry, const struct config *config,
                              int64_t *layers, size_t layer_count, struct error *err)
{
    const struct json *names = json_get_array(entry, "Layers");
    auto_free struct layer_job *owned = NULL;
    struct layer_jobs jobs = {0};
    int r = make_jobs(l, config, layer_count, &jobs, err);

    owned = jobs.items;
    for (size_t i = 0; r == 0 && i < layer_count; i++) {
        jobs.items[i].wanted.name = json_text(json_at(names, i));
        if (jobs.items[i].wanted.name == NULL)
            return error_set(err, EINVAL, "the name of layer %zu is missing", i + 1);
    }
    return r < 0 ? r : load_layers(&jobs, layers, err);
}

static int load_docker_image(struct load *l, const struct json *entry, struct error *err)
{
    const struct image_options options = {.docker_types = true};
    const char *config_name = json_get_text(entry, "Config");
    const struct json *tags = json_get_array(entry, "RepoTags");
    size_t layer_count = json_count(json_get_array(entry, "Layers"));
    auto_free int64_t *layers = mem_alloc((layer_count + 1) * sizeof(*layers));
    auto_config struct config *config = NULL;
    auto_str struct str bytes = {0};
    auto_image struct image image = {0};
    struct loaded_image *loaded;
    int r;

    if (config_name == NULL)
        return error_set(err, EINVAL, "its entry in manifest.json names no configuration");
    for (size_t i = 0; i < json_count(tags); i++) {
        const char *tag = json_text(json_at(tags, i));

        r = tag == NULL ? error_set(err, EINVAL, "a name in manifest.json is no text")
                        : check_name(tag, err);
        if (r < 0)
            return r;
    }
    r = load_source_document(l->source, config_name, LIMIT_CONFIG_SIZE, &bytes, err);
    if (r == 0)
        r = config_parse(str_text(&bytes), bytes.size, config_name, &config, err);
    if (r == 0)
        r = check_platform(l, config, err);
    if (r == 0)
        r = load_docker_layers(l, entry, config, layers, layer_count, err);
    if (r == 0)
        r = image_make_from(l->store, &bytes, layers, layer_count, &options, &image, err);
    if (r == 0)
        r = image_store(l->store, &image, err);
    if (r < 0)
        return r;
    loaded = add_image(l, &image);
    for (size_t i = 0; r == 0 && i < json_count(tags); i++)
        r = name_image(l, loaded, json_text(json_at(tags, i)), err);
    return r;
}

static int read_docker_list(struct load *l, struct json **out, struct error *err)
{
    auto_str struct str bytes = {0};
    int r = load_source_document(l->source, "manifest.json", LIMIT_MANIFEST_SIZE, &bytes, err);

    return r < 0 ? r
                 : json_parse(str_text(&bytes), bytes.size, LIMIT_MANIFEST_SIZE, "manifest.json",
                              out, err);
}

static int load_docker(struct load *l, struct error *err)
{
    auto_json struct json *list = NULL;
    int r = read_docker_list(l, &list, err);

    if (r < 0)
        return r;
    if (!json_is_array(list) || json_count(list) == 0)
        return error_set(err, EINVAL, "manifest.json lists no images");
    for (size_t i = 0; r == 0 && i < json_count(list); i++) {
        r = load_docker_image(l, json_at(list, i), err);
        if (r < 0 && json_count(list) > 1)
            (void)error_wrap(err, "image %zu", i + 1); /* r is returned */
    }
    return r;
}

/* ---- an OCI layout: index.json names manifests, they name blobs ---- */

/* A document that a descriptor names: its size and digest are what it says. */
static int read_blob(struct load *l, const struct descriptor *d, uint64_t size_max, struct str *out,
                     struct error *err)
{
    char path[LAYOUT_PATH_SIZE];
    int r;

    layout_blob_path(&d->digest, path);
    r = load_source_document(l->source, path, size_max, out, err);
    if (r < 0)
        return r;
    if (out->size != d->size_bytes || !digest_matches(&d->digest, str_text(out), out->size))
        return error_set(err, EBADMSG, "'%s' is not what its digest and size say", path);
    return 0;
}

static int read_manifest(struct load *l, const struct descriptor *d, struct str *bytes,
                         struct manifest *out, struct error *err)
{
    char text[DIGEST_TEXT_SIZE];
    int r = read_blob(l, d, LIMIT_MANIFEST_SIZE, bytes, err);

    digest_format(&d->digest, text);
    return r < 0 ? r : manifest_parse(str_text(bytes), bytes->size, d->media_type, text, out, err);
}

static int load_oci_layers(struct load *l, const struct manifest *m, const struct config *config,
                           int64_t *layers, struct error *err)
{
    auto_free struct layer_job *owned = NULL;
    struct layer_jobs jobs = {0};
    enum layer_compression compression;
    int r = make_jobs(l, config, m->layers.count, &jobs, err);

    owned = jobs.items;
    for (size_t i = 0; r == 0 && i < m->layers.count; i++) {
        const struct descriptor *d = &m->layers.items[i];
        struct layer_job *job = &jobs.items[i];

        r = media_type_layer_compression(d->media_type, &compression, err);
        layout_blob_path(&d->digest, job->path);
        job->wanted.name = job->path;
        job->wanted.blob = &d->digest;
        job->wanted.size_bytes = d->size_bytes;
    }
    return r < 0 ? r : load_layers(&jobs, layers, err);
}

/* The reference that an entry of index.json gives its image; NULL: none. A bare tag ("latest") is
 * what skopeo and buildah write when they know no name, so it is none. */
static const char *oci_name(const struct descriptor *d)
{
    const char *name = annotations_get(&d->annotations, "io.containerd.image.name");

    if (name == NULL)
        name = annotations_get(&d->annotations, "org.opencontainers.image.ref.name");
    return name == NULL || strpbrk(name, ":/") == NULL ? NULL : name;
}

/* `m` is the manifest that `d` names and `bytes` its text. */
static int store_oci_image(struct load *l, const struct descriptor *d, const struct manifest *m,
                           const struct str *bytes, const char *name, struct error *err)
{
    auto_free int64_t *layers = mem_alloc((m->layers.count + 1) * sizeof(*layers));
    auto_config struct config *config = NULL;
    auto_str struct str config_bytes = {0};
    auto_image struct image image = {0};
    const struct image_documents documents = {bytes, m->media_type, &d->digest, &config_bytes};
    struct loaded_image *loaded;
    int r;

    if (!media_type_is_config(m->config.media_type))
        return error_set(err, EINVAL, "it is no container image but an artifact of type '%s'",
                         m->config.media_type);
    r = name == NULL ? 0 : check_name(name, err);
    if (r == 0)
        r = read_blob(l, &m->config, LIMIT_CONFIG_SIZE, &config_bytes, err);
    if (r == 0)
        r = config_parse(str_text(&config_bytes), config_bytes.size, "its configuration", &config,
                         err);
    if (r == 0)
        r = check_platform(l, config, err);
    if (r == 0)
        r = load_oci_layers(l, m, config, layers, err);
    if (r == 0)
        r = image_make_of(&documents, layers, m->layers.count, &image, err);
    if (r == 0)
        r = image_store(l->store, &image, err);
    if (r < 0)
        return r;
    loaded = add_image(l, &image);
    return name == NULL ? 0 : name_image(l, loaded, name, err);
}

/* ---- an index of which all is there ---- */

static bool is_attestation(const struct descriptor *d)
{
    return (d->has_platform && text_equal(d->platform.os, "unknown")) ||
           annotations_get(&d->annotations, "vnd.docker.reference.type") != NULL;
}

/* All files that a manifest names are in the archive. */
static bool is_whole(struct load *l, const struct manifest *m)
{
    for (size_t i = 0; i <= m->layers.count; i++) {
        const struct descriptor *d = i < m->layers.count ? &m->layers.items[i] : &m->config;
        char path[LAYOUT_PATH_SIZE];

        layout_blob_path(&d->digest, path);
        if (!load_source_has(l->source, path))
            return false;
    }
    return true;
}

/* Signatures and the like need not say that they are for no platform. */
static bool is_image(const struct descriptor *d, const struct manifest *m)
{
    return !is_attestation(d) && media_type_is_config(m->config.media_type);
}

static bool is_whole_index(struct load *l, const struct manifest *index)
{
    bool has_image = false;

    for (size_t i = 0; i < index->manifests.count; i++) {
        const struct descriptor *d = &index->manifests.items[i];
        auto_manifest struct manifest m = {0};
        auto_str struct str bytes = {0};
        struct error ignored; /* whatever is missing or wrong: no */

        if (read_manifest(l, d, &bytes, &m, &ignored) < 0 || m.kind != MANIFEST_IMAGE ||
            !is_whole(l, &m))
            return false;
        has_image = has_image || is_image(d, &m);
    }
    return has_image;
}

/* An attestation: its documents are kept as they are. */
static int store_artifact(struct load *l, const struct descriptor *named, const struct manifest *m,
                          const struct str *bytes, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i <= m->layers.count; i++) {
        const struct descriptor *d = i < m->layers.count ? &m->layers.items[i] : &m->config;
        auto_str struct str blob = {0};

        r = read_blob(l, d, LIMIT_CONFIG_SIZE, &blob, err);
        if (r == 0)
            r = blob_put_named(l->store, &d->digest, str_text(&blob), blob.size, err);
    }
    return r < 0 ? r : blob_put_named(l->store, &named->digest, str_text(bytes), bytes->size, err);
}

/* Which of the images stands for the index: that of our platform, else the first. */
static const struct loaded_image *main_image(const struct load *l, const struct manifest *index,
                                             const struct loaded_images *all)
{
    const struct descriptor *chosen;
    struct error ignored; /* none for this platform */

    if (manifest_choose(index, &l->platform, "it", &chosen, &ignored) == 0)
        for (size_t i = 0; i < all->count; i++)
            if (digest_equal(&all->items[i].manifest, &chosen->digest))
                return &all->items[i];
    return &all->items[0];
}

static int load_oci_index(struct load *l, const struct descriptor *named,
                          const struct manifest *index, const struct str *bytes, const char *name,
                          struct error *err)
{
    struct loaded_images *out = l->out;
    auto_loaded_images struct loaded_images all = {0};
    struct loaded_image *image;
    int r = name == NULL ? 0 : check_name(name, err);

    l->out = &all;
    for (size_t i = 0; r == 0 && i < index->manifests.count; i++) {
        const struct descriptor *d = &index->manifests.items[i];
        auto_manifest struct manifest m = {0};
        auto_str struct str one = {0};

        r = read_manifest(l, d, &one, &m, err);
        if (r == 0)
            r = is_image(d, &m) ? store_oci_image(l, d, &m, &one, NULL, err)
                                : store_artifact(l, d, &m, &one, err);
    }
    l->out = out;
    if (r == 0)
        r = blob_put_named(l->store, &named->digest, str_text(bytes), bytes->size, err);
    if (r < 0)
        return r;
    image = array_add(out);
    *image = (struct loaded_image){.manifest = main_image(l, index, &all)->manifest,
                                   .config = main_image(l, index, &all)->config,
                                   .has_index = true,
                                   .index = named->digest};
    return name == NULL ? 0 : name_image(l, image, name, err);
}

/* One entry of index.json: an image, or the index of one for several platforms. */
static int load_oci_entry(struct load *l, const struct descriptor *d, const char *name,
                          struct error *err)
{
    auto_manifest struct manifest outer = {0};
    auto_manifest struct manifest inner = {0};
    auto_str struct str outer_bytes = {0};
    auto_str struct str inner_bytes = {0};
    const struct descriptor *chosen;
    int r = read_manifest(l, d, &outer_bytes, &outer, err);

    if (r < 0)
        return r;
    if (outer.kind == MANIFEST_IMAGE)
        return store_oci_image(l, d, &outer, &outer_bytes, name, err);
    if (l->options->platform == NULL && is_whole_index(l, &outer))
        return load_oci_index(l, d, &outer, &outer_bytes, name, err);
    r = manifest_choose(&outer, &l->platform, name == NULL ? load_source_name(l->source) : name,
                        &chosen, err);
    if (r == 0)
        r = read_manifest(l, chosen, &inner_bytes, &inner, err);
    if (r == 0 && inner.kind != MANIFEST_IMAGE)
        return error_set(err, EINVAL, "it is an index inside an index");
    return r < 0 ? r : store_oci_image(l, chosen, &inner, &inner_bytes, name, err);
}

/* Entries for several platforms under one name, or none, are one image: index.json itself is then
 * the index to choose from. */
static bool is_one_image(const struct manifest *index)
{
    const char *first = index->manifests.count < 2 ? NULL : oci_name(&index->manifests.items[0]);

    if (index->manifests.count < 2)
        return false;
    for (size_t i = 0; i < index->manifests.count; i++) {
        const struct descriptor *d = &index->manifests.items[i];

        if (!d->has_platform || !text_equal(oci_name(d), first) ||
            !media_type_is_manifest(d->media_type))
            return false;
    }
    return true;
}

static int load_oci(struct load *l, struct error *err)
{
    auto_manifest struct manifest index = {0};
    auto_str struct str bytes = {0};
    const struct descriptor *chosen;
    int r = load_source_document(l->source, "index.json", LIMIT_MANIFEST_SIZE, &bytes, err);

    if (r == 0)
        r = manifest_parse(str_text(&bytes), bytes.size, MEDIA_OCI_INDEX, "index.json", &index,
                           err);
    if (r == 0 && index.manifests.count == 0)
        r = error_set(err, EINVAL, "index.json lists no images");
    if (r < 0)
        return r;
    if (is_one_image(&index)) {
        r = manifest_choose(&index, &l->platform, load_source_name(l->source), &chosen, err);
        return r < 0 ? r : load_oci_entry(l, chosen, oci_name(chosen), err);
    }
    for (size_t i = 0; r == 0 && i < index.manifests.count; i++) {
        const struct descriptor *d = &index.manifests.items[i];

        if (!is_attestation(d))
            r = load_oci_entry(l, d, oci_name(d), err);
    }
    if (r == 0 && l->out->count == 0)
        r = error_set(err, EINVAL, "index.json lists no images");
    return r;
}

/* ---- one load ---- */

/* docker and buildx write both forms: there manifest.json may name what index.json does not. */
static int add_docker_names(struct load *l, struct error *err)
{
    auto_json struct json *list = NULL;
    int r = read_docker_list(l, &list, err);

    for (size_t i = 0; r == 0 && i < json_count(list); i++) {
        const struct json *entry = json_at(list, i);
        const char *path = json_get_text(entry, "Config");
        const struct json *tags = json_get_array(entry, "RepoTags");

        for (size_t k = 0; path != NULL && k < l->out->count; k++) {
            struct loaded_image *image = &l->out->items[k];
            char expected[LAYOUT_PATH_SIZE];

            layout_blob_path(&image->config, expected);
            if (image->names.count > 0 || strcmp(path, expected) != 0)
                continue;
            for (size_t t = 0; r == 0 && t < json_count(tags); t++)
                if (json_text(json_at(tags, t)) != NULL)
                    r = name_image(l, image, json_text(json_at(tags, t)), err);
        }
    }
    return r;
}

static int load_any(struct load *l, struct error *err)
{
    bool is_oci =
        load_source_has(l->source, "index.json") && load_source_has(l->source, "oci-layout");
    bool is_docker = load_source_has(l->source, "manifest.json");
    int r;

    if (is_oci) {
        r = load_oci(l, err);
        return r < 0 || !is_docker ? r : add_docker_names(l, err);
    }
    if (is_docker)
        return load_docker(l, err);
    (void)error_set(err, EINVAL, "it is neither a docker archive nor an OCI layout");
    return error_hint(err, "`img import` makes an image of a root filesystem");
}

int load_images(struct store *store, const struct load_options *options, struct loaded_images *out,
                struct error *err)
{
    __attribute__((cleanup(cleanup_load_release))) struct load l = {
        .store = store, .options = options, .out = out};
    const char *what = options->path == NULL ? "standard input" : options->path;
    int r;

    if (options->platform != NULL)
        platform_copy(&l.platform, options->platform);
    else
        platform_host(&l.platform);
    l.vertex = progress_beginf(options->progress, "loading %s", what);
    r = load_source_open(store, options->path, &l.source, err);
    if (r == 0) {
        r = load_any(&l, err);
        if (r < 0)
            (void)error_wrap(err, "cannot load '%s'", what); /* r is returned */
        load_source_forget(l.source, r < 0);
    }
    progress_end(options->progress, l.vertex, r < 0 ? PROGRESS_ERROR : PROGRESS_DONE, err->text);
    return r;
}

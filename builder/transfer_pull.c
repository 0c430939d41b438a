/* transfer_pull.c - a reference of a registry becomes an image of the store. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/image/config.h"
#include "builder/transfer.h"
#include "fs/base/limits.h"
#include "fs/base/log.h"
#include "fs/base/pool.h"
#include "fs/blob.h"
#include "fs/layer.h"
#include "fs/store.h"
#include "registry/client.h"
#include "registry/manifest.h"

#include "fs/base/banned.h"

#define PULLS_AT_ONCE 4u /* layers; what registries and peers agree on */
#define OTHER_POLL_MS 200u
#define URL_SHOWN_MAX 200u
#define OTHER_STALLS_MS 60000u /* who has brought nothing for so long is not waited for */

struct pull {
    struct transfer *t;
    struct registry *registry;
    const struct reference *ref;
    struct platform platform;
    struct document document; /* of the image */
    struct manifest manifest;
    struct config *config;
    int64_t *layers;
    struct pull_result *result;
    bool keeps_nothing; /* the store is not written to */
};

static void pull_release(struct pull *p)
{
    registry_close(p->registry);
    platform_release(&p->platform);
    document_release(&p->document);
    manifest_release(&p->manifest);
    config_free(p->config);
    free(p->layers);
}
DEFINE_CLEANUP_VALUE(pull_release, struct pull)

/* -- one layer -- */

struct layer_pull {
    struct pull *pull;
    const struct descriptor *descriptor;
    struct digest diff_id;
    char name[DIGEST_TEXT_SIZE];
    int64_t layer;
};

struct ingest_writer {
    struct writer writer;
    struct layer_ingest *ingest;
};

static int ingest_write(struct writer *w, const void *buf, size_t size, struct error *err)
{
    return layer_ingest_write(((struct ingest_writer *)(void *)w)->ingest, buf, size, err);
}

static void report_bytes(void *context, uint64_t done)
{
    const struct layer_pull *l = context;
    const struct transfer *t = l->pull->t;

    progress_status(t->progress, t->vertex, l->name, done, l->descriptor->size_bytes,
                    done == l->descriptor->size_bytes);
}

static void report_silence(void *context, unsigned silent_ms)
{
    const struct layer_pull *l = context;

    transfer_tell_silence(l->pull->t, l->name, silent_ms);
}

/* The store has it, as these bytes or as the same tar. */
static bool find_layer(struct layer_pull *l)
{
    struct store *store = l->pull->t->store;
    struct layer_row row;
    struct error ignored;

    if (store_layer_find_by_blob(store, &l->descriptor->digest, &l->diff_id, &row, &ignored) < 0)
        return false;
    l->layer = row.id;
    return true;
}

static int format_of(const struct descriptor *d, enum codec_format *out, struct error *err)
{
    enum layer_compression compression;
    int r = media_type_layer_compression(d->media_type, &compression, err);

    if (r == 0)
        *out = compression == LAYER_GZIP   ? CODEC_GZIP
               : compression == LAYER_ZSTD ? CODEC_ZSTD
                                           : CODEC_NONE;
    return r;
}

/* The rest of the blob, through inflating and reading into the store. */
static int fetch_rest(struct layer_pull *l, struct layer_ingest *ingest, struct error *err)
{
    struct ingest_writer sink = {.writer.write = ingest_write, .ingest = ingest};
    struct blob_get get = {
        .digest = l->descriptor->digest,
        .size_bytes = l->descriptor->size_bytes,
        .offset = layer_ingest_size_bytes(ingest),
        .sink_hashes = true,
        .sink = &sink.writer,
        .on_progress = report_bytes,
        .on_silence = report_silence,
        .context = l,
    };

    return registry_blob_get(l->pull->registry, &get, err);
}

/* Until whoever writes this blob has ended; true when he brings nothing more, for a minute. */
static int wait_for_other(struct layer_pull *l, int fd, bool *is_stuck, struct error *err)
{
    struct transfer *t = l->pull->t;
    auto_free char *item = str_format("waiting for another process that fetches %s", l->name);
    off_t seen_bytes = 0;
    uint64_t still_ms = 0;
    int r = 0;

    progress_status(t->progress, t->vertex, item, 0, 0, false);
    while (r == 0 && still_ms < OTHER_STALLS_MS && blob_partial_is_busy(fd)) {
        struct stat st;

        if (fstat(fd, &st) < 0)
            return error_errno(err, "cannot look at the download of %s", l->name);
        still_ms = st.st_size == seen_bytes ? still_ms + OTHER_POLL_MS : 0;
        seen_bytes = st.st_size;
        r = http_pause(registries_http(t->registries), OTHER_POLL_MS, err);
    }
    *is_stuck = still_ms >= OTHER_STALLS_MS;
    return r;
}

/* Somebody else may be fetching this layer: another process, or a thread of ours when the image
 * lists it twice. He is waited for as long as he gets on, else it is fetched beside him. 1: the store
 * has come to have the blob; 0: *out is open. */
static int open_ingest(struct layer_pull *l, struct layer_ingest_options *options,
                       struct layer_ingest **out, struct error *err)
{
    struct store *store = l->pull->t->store;

    for (;;) {
        auto_close int fd = -1;
        bool is_stuck = false;
        int r;

        if (blob_exists(store, &l->descriptor->digest))
            return 1;
        fd = blob_partial_fd(store, &l->descriptor->digest);
        r = layer_ingest_open(store, options, out, err);
        if (r != -EBUSY)
            return r;
        if (fd >= 0)
            r = wait_for_other(l, fd, &is_stuck, err);
        if (fd >= 0 && r < 0)
            return r;
        options->resume = !is_stuck;
    }
}

static int fetch_once(struct layer_pull *l, bool *has_resumed, struct error *err)
{
    auto_layer_ingest struct layer_ingest *ingest = NULL;
    struct layer_ingest_options options = {
        .what = l->name,
        .blob = &l->descriptor->digest,
        .blob_size_bytes = l->descriptor->size_bytes,
        .diff_id = &l->diff_id,
        .keep_blob = true,
        .resume = true,
    };
    int r = format_of(l->descriptor, &options.format, err);

    *has_resumed = blob_partial_size_bytes(l->pull->t->store, &l->descriptor->digest) > 0;
    if (r == 0)
        r = open_ingest(l, &options, &ingest, err);
    if (r < 0)
        return r;
    if (r > 0)
        return find_layer(l) ? 0 : layer_ingest_stored(l->pull->t->store, &options, &l->layer, err);
    r = fetch_rest(l, ingest, err);
    return r < 0 ? r : layer_ingest_commit(STEAL(&ingest), &l->layer, err);
}

/* What an earlier try kept may be damaged, by a crash of the host say: it was thrown away then, and
 * all of it is fetched. */
static int fetch_layer(struct layer_pull *l, struct error *err)
{
    bool has_resumed;
    int r = fetch_once(l, &has_resumed, err);

    if (r == 0 || r == -ECANCELED || !has_resumed ||
        blob_partial_size_bytes(l->pull->t->store, &l->descriptor->digest) > 0)
        return r;
    log_debug("pull: %s, fetching all of it", err->text);
    error_clear(err);
    return fetch_once(l, &has_resumed, err);
}

/* Layers that may not be passed on (OCI image-spec, "Non-Distributable Layers") are at a place that
 * a stranger's manifest names: nobody is sent there who did not ask for it. */
static int tell_of_urls(const struct layer_pull *l, struct error *err)
{
    const char *url = l->descriptor->urls.items[0];
    auto_str struct str shown = {0};

    str_add_escaped(&shown, url, strnlen(url, URL_SHOWN_MAX));
    return error_set(
        err, ENOENT,
        "layer %s is not distributed by '%s' but at '%s', where nothing is fetched from", l->name,
        l->pull->ref->host, str_text(&shown));
}

static int pull_layer(void *arg, struct error *err)
{
    struct layer_pull *l = arg;
    int r = 0;

    if (!find_layer(l)) {
        r = fetch_layer(l, err);
        if (r == -ENOENT && l->descriptor->urls.count > 0)
            return tell_of_urls(l, err);
        if (r < 0 && strstr(err->text, l->name) != NULL)
            return r; /* it is named already */
        if (r < 0)
            return error_wrap(err, "layer %s", l->name);
    } else {
        report_bytes(l, l->descriptor->size_bytes);
    }
    return blob_origin_add(l->pull->t->store, &l->descriptor->digest, l->pull->ref->host,
                           l->pull->ref->repository, err);
}

static int pull_layers(struct pull *p, struct error *err)
{
    size_t count = p->manifest.layers.count;
    auto_free struct layer_pull *jobs = mem_alloc((count + 1) * sizeof(*jobs));
    auto_pool struct pool *pool = pool_new(PULLS_AT_ONCE);
    int r = 0;

    if (config_layer_count(p->config) != count)
        return error_set(err, EINVAL, "the manifest has %zu layers, its configuration %zu", count,
                         config_layer_count(p->config));
    p->result->was_there = true;
    for (size_t i = 0; r == 0 && i < count; i++) {
        jobs[i].pull = p;
        jobs[i].descriptor = &p->manifest.layers.items[i];
        digest_format(&jobs[i].descriptor->digest, jobs[i].name);
        r = config_layer_diff_id(p->config, i, &jobs[i].diff_id, err);
    }
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (find_layer(&jobs[i]))
            continue;
        p->result->was_there = false;
        pool_submit(pool, pull_layer, &jobs[i]);
    }
    if (r == 0)
        r = pool_wait(pool, err);
    p->layers = mem_alloc((count + 1) * sizeof(*p->layers));
    for (size_t i = 0; r == 0 && i < count; i++)
        p->layers[i] = jobs[i].layer;
    return r;
}

/* -- documents -- */

/* -ENOENT: `name` is no digest, or of nothing that the store has. */
static int read_stored(struct pull *p, const char *name, struct error *err)
{
    struct digest digest;
    int r = p->t->store == NULL ? -ENOENT : digest_parse(name, &digest, err);

    if (r == 0)
        r = blob_read(p->t->store, &digest, LIMIT_MANIFEST_SIZE, &p->document.bytes, err);
    if (r < 0)
        return -ENOENT;
    p->document.digest = digest;
    return 0;
}

static int get_document(struct pull *p, const char *name, struct error *err)
{
    struct error ignored; /* what the store cannot give, the registry can */

    document_release(&p->document);
    manifest_release(&p->manifest);
    p->manifest = (struct manifest){0};
    if (read_stored(p, name, &ignored) < 0) {
        int r = registry_manifest_get(p->registry, name, &p->document, err);

        if (r < 0)
            return r;
    }
    return manifest_parse(str_text(&p->document.bytes), p->document.bytes.size,
                          p->document.media_type, name, &p->manifest, err);
}

/* A HEAD, which registries do not count as a pull, tells whether the tag still points at what the
 * store has; *name is then its digest. */
static int ask_for_news(struct pull *p, struct str *name, struct error *err)
{
    auto_reference_row struct reference_row row = {0};
    auto_descriptor struct descriptor found = {0};
    auto_str struct str reference = {0};
    struct error ignored; /* a name the store does not know */
    const struct digest *known;
    char text[DIGEST_TEXT_SIZE];
    int r;

    reference_format(p->ref, &reference);
    if (p->t->store == NULL || p->ref->has_digest ||
        store_reference_get(p->t->store, str_text(&reference), &row, &ignored) < 0)
        return 0;
    known = row.has_index ? &row.index : &row.manifest;
    if (!blob_exists(p->t->store, known))
        return 0;
    r = registry_manifest_head(p->registry, str_text(name), &found, err);
    if (r < 0 || !digest_equal(&found.digest, known))
        return r;
    digest_format(known, text);
    str_truncate(name, 0);
    str_add(name, text);
    return 0;
}

/* From an index to what it has for our platform: an image, or another index (OCI image-spec, "Image
 * Index": implementations SHOULD support those too). */
static int enter_index(struct pull *p, struct str *name, struct error *err)
{
    auto_free char *what = str_format("'%s'", str_text(name));
    const struct descriptor *chosen;
    char text[DIGEST_TEXT_SIZE];
    uint64_t size_bytes;
    int r = manifest_choose(&p->manifest, &p->platform, what, &chosen, err);

    if (r < 0)
        return r;
    digest_format(&chosen->digest, text);
    size_bytes = chosen->size_bytes;
    str_truncate(name, 0);
    str_add(name, text);
    r = get_document(p, text, err);
    if (r == 0 && p->document.bytes.size != size_bytes)
        return error_set(err, EBADMSG, "manifest %s has %zu bytes, and its index says %" PRIu64,
                         text, p->document.bytes.size, size_bytes);
    return r;
}

/* Fetches what the reference names; of an index the manifest for our platform. */
static int get_manifest(struct pull *p, struct error *err)
{
    auto_str struct str name = {0};
    int r;

    reference_manifest_name(p->ref, &name);
    r = ask_for_news(p, &name, err);
    if (r == 0)
        r = get_document(p, str_text(&name), err);
    if (r < 0 || p->manifest.kind != MANIFEST_INDEX)
        return r;
    p->result->index = p->document.digest;
    p->result->has_index = true;
    if (!p->keeps_nothing)
        r = blob_put_named(p->t->store, &p->document.digest, str_text(&p->document.bytes),
                           p->document.bytes.size, err);
    for (unsigned depth = 0; r == 0 && p->manifest.kind == MANIFEST_INDEX; depth++)
        r = depth < LIMIT_INDEX_DEPTH
                ? enter_index(p, &name, err)
                : error_set(err, EINVAL, "%s is an index %u levels inside another", str_text(&name),
                            depth);
    return r;
}

static int get_config(struct pull *p, struct error *err)
{
    const struct descriptor *d = &p->manifest.config;
    auto_str struct str bytes = {0};
    char text[DIGEST_TEXT_SIZE];
    int r;

    digest_format(&d->digest, text);
    if (!media_type_is_config(d->media_type))
        return error_set(err, EINVAL, "'%s' is no container image but an artifact of type '%s'",
                         p->ref->repository,
                         p->manifest.artifact_type ? p->manifest.artifact_type : d->media_type);
    r = p->t->store == NULL ? -ENOENT
                            : blob_read(p->t->store, &d->digest, LIMIT_CONFIG_SIZE, &bytes, err);
    if (r == -ENOENT) {
        r = registry_blob_read(p->registry, &d->digest, d->size_bytes, LIMIT_CONFIG_SIZE, &bytes,
                               err);
        if (r == 0 && !p->keeps_nothing)
            r = blob_put_named(p->t->store, &d->digest, str_text(&bytes), bytes.size, err);
    }
    if (r < 0 && strstr(err->text, text) == NULL)
        return error_wrap(err, "configuration %s", text);
    if (r < 0)
        return r;
    return config_parse(str_text(&bytes), bytes.size, text, &p->config, err);
}

/* One transaction makes the whole image visible. */
static int store_image(struct pull *p, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_str struct str name = {0};
    struct image_row row = {
        .manifest = p->document.digest,
        .media_type = p->manifest.media_type,
        .config = p->manifest.config.digest,
        .size_bytes = p->document.bytes.size + p->manifest.config.size_bytes,
        .layers = p->layers,
        .layer_count = p->manifest.layers.count,
    };
    struct reference_row reference = {.has_index = p->result->has_index, .index = p->result->index};
    int r;

    for (size_t i = 0; i < p->manifest.layers.count; i++)
        row.size_bytes += p->manifest.layers.items[i].size_bytes;
    r = store_begin(p->t->store, &tx, err);
    if (r == 0)
        r = blob_put_named(p->t->store, &row.manifest, str_text(&p->document.bytes),
                           p->document.bytes.size, err);
    if (r == 0)
        r = store_image_put(p->t->store, &row, err);
    if (r < 0)
        return r;
    reference_format(p->ref, &name);
    reference.name = name.data;
    reference.manifest = row.manifest;
    r = store_reference_set(p->t->store, &reference, err);
    if (r == 0)
        r = store_commit(&tx, err);
    p->result->manifest = row.manifest;
    p->result->size_bytes = row.size_bytes;
    return r;
}

static int get_documents(struct pull *p, const struct platform *platform, struct error *err)
{
    int r;

    *p->result = (struct pull_result){0};
    if (platform == NULL)
        platform_host(&p->platform);
    else
        platform_copy(&p->platform, platform);
    r = registry_open(p->t->registries, p->ref, REGISTRY_PULL, &p->registry, err);
    if (r == 0)
        r = get_manifest(p, err);
    return r < 0 ? r : get_config(p, err);
}

int transfer_describe(struct transfer *t, const struct reference *ref,
                      const struct platform *platform, struct digest *manifest,
                      struct config **config, struct error *err)
{
    struct pull_result ignored;
    __attribute__((cleanup(cleanup_pull_release))) struct pull p = {
        .t = t, .ref = ref, .result = &ignored, .keeps_nothing = true};
    int r = get_documents(&p, platform, err);

    if (r < 0)
        return r;
    *manifest = p.document.digest;
    *config = STEAL(&p.config);
    return 0;
}

int transfer_pull(struct transfer *t, const struct reference *ref, const struct platform *platform,
                  struct pull_result *out, struct error *err)
{
    __attribute__((cleanup(cleanup_pull_release))) struct pull p = {
        .t = t, .ref = ref, .result = out};
    int r = get_documents(&p, platform, err);

    if (r == 0)
        r = pull_layers(&p, err);
    if (r == 0)
        r = store_image(&p, err);
    return r;
}

/* -- layer by layer -- */

struct remote_image {
    struct pull pull;
    struct pull_result result;
};

void remote_image_close(struct remote_image *image)
{
    if (image != NULL)
        pull_release(&image->pull);
    free(image);
}

int remote_image_open(struct transfer *t, const struct reference *ref,
                      const struct platform *platform, struct remote_image **out, struct error *err)
{
    auto_remote_image struct remote_image *image = mem_new(struct remote_image);
    size_t count;
    int r;

    image->pull =
        (struct pull){.t = t, .ref = ref, .result = &image->result, .keeps_nothing = true};
    r = get_documents(&image->pull, platform, err);
    if (r < 0)
        return r;
    count = image->pull.manifest.layers.count;
    if (config_layer_count(image->pull.config) != count)
        return error_set(err, EINVAL, "the manifest has %zu layers, its configuration %zu", count,
                         config_layer_count(image->pull.config));
    *out = STEAL(&image);
    return 0;
}

const struct digest *remote_image_manifest(const struct remote_image *image)
{
    return &image->pull.document.digest;
}

const struct config *remote_image_config(const struct remote_image *image)
{
    return image->pull.config;
}

int remote_image_layer(const struct remote_image *image, size_t position, uint32_t vertex,
                       int64_t *layer, struct error *err)
{
    struct transfer t = *image->pull.t;
    struct pull pull = image->pull; /* borrows all it points at */
    struct layer_pull l = {.pull = &pull, .descriptor = &pull.manifest.layers.items[position]};
    int r = config_layer_diff_id(pull.config, position, &l.diff_id, err);

    t.vertex = vertex;
    pull.t = &t;
    digest_format(&l.descriptor->digest, l.name);
    if (r == 0)
        r = pull_layer(&l, err);
    if (r == 0)
        *layer = l.layer;
    return r;
}

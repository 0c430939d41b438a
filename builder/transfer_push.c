/* transfer_push.c - an image of the store goes to a registry: layers, config, then the manifest. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "builder/early_upload.h"
#include "builder/image/export.h"
#include "builder/image/image.h"
#include "builder/transfer.h"
#include "fs/base/limits.h"
#include "fs/base/pool.h"
#include "fs/blob.h"
#include "fs/layer.h"
#include "fs/store.h"
#include "registry/client.h"
#include "registry/manifest.h"

#include "fs/base/banned.h"

#define PUSHES_AT_ONCE 4u

struct push {
    struct transfer *t;
    struct registry *registry;
    const struct reference *refs; /* of one repository */
    size_t ref_count;
    const struct export_options *options;
    struct image image;
    atomic_size_t layers_left;         /* without a digest */
    atomic_uint_least64_t early_bytes; /* sent before there was one */
};

static void push_release(struct push *p)
{
    registry_close(p->registry);
    image_release(&p->image);
}
DEFINE_CLEANUP_VALUE(push_release, struct push)

/* A blob of the store, or the tar of a layer that has none, as a request body that can be read again.
 * The registry compares the digest, and blob_open does too: a damaged blob never becomes an image
 * elsewhere (SECURITY R50). */
struct blob_body {
    struct body_source source;
    struct store *store;
    int64_t layer; /* 0: a document */
    struct digest digest;
};

/* A tar is made anew each time it is read, and so has no middle to start from. */
static int open_tar(struct store *store, int64_t layer, uint64_t offset, struct reader **out,
                    struct error *err)
{
    auto_reader struct reader *tar = NULL;
    char passed[16 << 10];
    int r = layer_tar_open(store, layer, &tar, err);

    while (r == 0 && offset > 0) {
        size_t size = offset < sizeof(passed) ? (size_t)offset : sizeof(passed);

        r = reader_read_full(tar, passed, size, err);
        offset -= size;
    }
    if (r == 0)
        *out = STEAL(&tar);
    return r;
}

static int open_blob_body(struct body_source *s, uint64_t offset, struct reader **out,
                          struct error *err)
{
    const struct blob_body *body = (const struct blob_body *)(void *)s;
    uint64_t size_bytes;
    int fd;
    int r;

    if (body->layer != 0 && !blob_exists(body->store, &body->digest))
        return open_tar(body->store, body->layer, offset, out, err);
    if (offset == 0)
        return blob_open(body->store, &body->digest, out, &size_bytes, err);
    r = blob_fd(body->store, &body->digest, &fd, &size_bytes, err);
    if (r == 0)
        *out = fd_reader_new_range(fd, offset, size_bytes - offset, "blob");
    return r;
}

struct blob_push {
    struct push *push;
    bool is_layer;   /* else it is a blob already */
    size_t position; /* of a layer */
    struct export_layer blob;
    char name[DIGEST_TEXT_SIZE];
    atomic_bool is_named; /* until then what is sent has neither digest nor size */
    uint64_t early_bytes; /* of the push's */
};

#define EARLY_ITEM "compressing layers" /* and sending them, as long as they have no name */

static void report_early(struct blob_push *b, uint64_t done)
{
    struct push *p = b->push;
    uint64_t added = done - b->early_bytes; /* modulo 2^64, for a part that is sent again */

    b->early_bytes = done;
    progress_status(p->t->progress, p->t->vertex, EARLY_ITEM,
                    atomic_fetch_add(&p->early_bytes, added) + added, 0, false);
}

static void end_early(struct push *p)
{
    uint64_t sent = atomic_load(&p->early_bytes);

    if (atomic_fetch_sub(&p->layers_left, 1) == 1 && sent > 0)
        progress_status(p->t->progress, p->t->vertex, EARLY_ITEM, sent, 0, true);
}

static void report_bytes(void *context, uint64_t done)
{
    struct blob_push *b = context;
    const struct transfer *t = b->push->t;

    if (!atomic_load(&b->is_named)) {
        report_early(b, done);
        return;
    }
    progress_status(t->progress, t->vertex, b->name, done, b->blob.size_bytes,
                    done == b->blob.size_bytes);
}

void transfer_tell_silence(const struct transfer *t, const char *name, unsigned silent_ms)
{
    auto_free char *text =
        str_format("stalled: no byte of %s has moved for %u seconds\n", name, silent_ms / 1000);

    progress_log(t->progress, t->vertex, 2, text, strlen(text));
}

static void report_silence(void *context, unsigned silent_ms)
{
    const struct blob_push *b = context;

    transfer_tell_silence(b->push->t, atomic_load(&b->is_named) ? b->name : "a layer", silent_ms);
}

/* Repositories of this host that are known to have the blob. */
static int mount_sources(struct blob_push *b, struct strv *out, struct error *err)
{
    auto_blob_origin_list struct blob_origin_list list = {0};
    int r = blob_origin_list(b->push->t->store, &b->blob.digest, b->push->refs->host, &list, err);

    for (size_t i = 0; r == 0 && i < list.count; i++)
        if (!text_equal(list.items[i].repository, b->push->refs->repository))
            strv_add(out, list.items[i].repository);
    return r;
}

static void name_blob(struct blob_push *b)
{
    digest_format(&b->blob.digest, b->name);
    atomic_store(&b->is_named, true);
}

/* The layer as a blob; `early` sends it when it must be made first. */
static int find_layer(struct blob_push *b, struct early_upload *early, struct error *err)
{
    struct export_options options = *b->push->options;
    int r;

    options.follower = early_upload_follower(early);
    r = export_layer_find(b->push->t->store, &b->push->image, b->position, &options, &b->blob, err);
    if (r == 0)
        name_blob(b);
    return r;
}

static int put_blob(struct blob_push *b, struct blob_put *put, struct error *err)
{
    struct push *p = b->push;
    auto_strv struct strv sources = {0};
    struct blob_body body = {
        .source.open = open_blob_body,
        .store = p->t->store,
        .layer = b->is_layer ? p->image.layers[b->position] : 0,
        .digest = b->blob.digest,
    };
    enum blob_put_result result;
    int r = mount_sources(b, &sources, err);

    if (r < 0)
        return r;
    put->source = &body.source;
    put->mount_from = &sources;
    put->digest = b->blob.digest;
    put->size_bytes = b->blob.size_bytes;
    r = registry_blob_put(p->registry, put, &result, err);
    return r < 0 ? error_wrap(err, "%s %s", b->is_layer ? "layer" : "config", b->name) : 0;
}

static int push_blob(void *arg, struct error *err)
{
    struct blob_push *b = arg;
    struct push *p = b->push;
    struct blob_put put = {
        .on_progress = report_bytes,
        .on_silence = report_silence,
        .context = b,
    };
    auto_early_upload struct early_upload *early = early_upload_new(p->registry, &put);
    int r = b->is_layer ? find_layer(b, early, err) : 0;

    if (b->is_layer)
        end_early(p);
    if (r == 0 && !early_upload_end(early, &b->blob.digest, b->blob.size_bytes))
        r = put_blob(b, &put, err);
    if (r < 0)
        return r;
    report_bytes(b, b->blob.size_bytes);
    return blob_origin_add(p->t->store, &b->blob.digest, p->refs->host, p->refs->repository, err);
}

/* The document that all names stand for. */
static int put_named(struct push *p, struct document *document, struct push_result *out,
                     struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < p->ref_count; i++) {
        auto_str struct str name = {0};

        reference_manifest_name(&p->refs[i], &name);
        r = registry_document_put(p->registry, str_text(&name), document, err);
    }
    out->manifest = document->digest;
    out->size_bytes = document->bytes.size;
    return r;
}

static int put_manifest(struct push *p, const struct blob_push *jobs, uint64_t config_size,
                        struct push_result *out, struct error *err)
{
    auto_free struct export_layer *layers = mem_alloc((p->image.layer_count + 1) * sizeof(*layers));
    auto_document struct document document = {0};
    const char *media_type;

    for (size_t i = 0; i < p->image.layer_count; i++)
        layers[i] = jobs[i].blob;
    export_manifest(&p->image, config_size, layers, p->options, &document.bytes, &media_type);
    document.media_type = mem_strdup(media_type);
    digest_of_kept(&p->image.manifest, str_text(&document.bytes), document.bytes.size,
                   &document.digest);
    return put_named(p, &document, out, err);
}

static int start_config(struct push *p, struct blob_push *config, struct error *err)
{
    config->push = p;
    config->blob.digest = p->image.config_digest;
    name_blob(config);
    return blob_stat(p->t->store, &config->blob.digest, &config->blob.size_bytes, err);
}

/* -- an index and all that it names -- */

/* The blobs of an index, each once, and its manifests. */
struct index_parts {
    struct str bytes;
    struct manifest index;
    struct {
        struct blob_push *items;
        size_t count;
        size_t capacity;
    } blobs;
    struct strv manifests; /* documents, parallel to index.manifests */
};

static void index_parts_release(struct index_parts *parts)
{
    str_release(&parts->bytes);
    manifest_release(&parts->index);
    free(parts->blobs.items);
    strv_release(&parts->manifests);
}
DEFINE_CLEANUP_VALUE(index_parts_release, struct index_parts)

static int add_blob(struct store *store, const struct descriptor *d, struct index_parts *parts,
                    struct error *err)
{
    struct blob_push *job;
    uint64_t size_bytes;
    int r = blob_stat(store, &d->digest, &size_bytes, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < parts->blobs.count; i++)
        if (digest_equal(&parts->blobs.items[i].blob.digest, &d->digest))
            return 0;
    job = array_add(&parts->blobs);
    job->blob.digest = d->digest;
    job->blob.size_bytes = size_bytes;
    name_blob(job);
    return 0;
}

static int read_document(struct store *store, const struct digest *digest, const char *media_type,
                         struct str *bytes, struct manifest *out, struct error *err)
{
    char text[DIGEST_TEXT_SIZE];
    int r = blob_read(store, digest, LIMIT_MANIFEST_SIZE, bytes, err);

    digest_format(digest, text);
    return r < 0 ? r : manifest_parse(bytes->data, bytes->size, media_type, text, out, err);
}

static int read_child(struct store *store, const struct descriptor *d, struct index_parts *parts,
                      struct error *err)
{
    auto_manifest struct manifest m = {0};
    auto_str struct str bytes = {0};
    char text[DIGEST_TEXT_SIZE];
    int r = read_document(store, &d->digest, d->media_type, &bytes, &m, err);

    digest_format(&d->digest, text);
    if (r == 0 && m.kind != MANIFEST_IMAGE)
        r = error_set(err, EINVAL, "%s is an index inside an index", text);
    if (r == 0)
        r = add_blob(store, &m.config, parts, err);
    for (size_t i = 0; r == 0 && i < m.layers.count; i++)
        r = add_blob(store, &m.layers.items[i], parts, err);
    if (r == 0)
        strv_add(&parts->manifests, str_text(&bytes));
    return r;
}

static int read_index(struct store *store, const struct digest *digest, struct index_parts *parts,
                      struct error *err)
{
    int r = read_document(store, digest, NULL, &parts->bytes, &parts->index, err);

    if (r == 0 && parts->index.kind != MANIFEST_INDEX)
        r = error_set(err, EINVAL, "it is no index");
    for (size_t i = 0; r == 0 && i < parts->index.manifests.count; i++)
        r = read_child(store, &parts->index.manifests.items[i], parts, err);
    return r;
}

bool transfer_index_is_whole(struct transfer *t, const struct digest *index)
{
    __attribute__((cleanup(cleanup_index_parts_release))) struct index_parts parts = {0};
    struct error ignored; /* whatever is missing or wrong: no */

    return read_index(t->store, index, &parts, &ignored) == 0;
}

static int put_documents(struct push *p, struct index_parts *parts, const struct digest *index,
                         struct push_result *out, struct error *err)
{
    auto_document struct document document = {.digest = *index};
    int r = 0;

    for (size_t i = 0; r == 0 && i < parts->manifests.count; i++) {
        const struct descriptor *d = &parts->index.manifests.items[i];
        const char *bytes = parts->manifests.items[i];
        char name[DIGEST_TEXT_SIZE];

        digest_format(&d->digest, name);
        r = registry_manifest_put(p->registry, name, d->media_type, bytes, strlen(bytes), err);
    }
    document.bytes = STEAL(&parts->bytes);
    document.media_type = mem_strdup(parts->index.media_type);
    return r < 0 ? r : put_named(p, &document, out, err);
}

int transfer_push_index(struct transfer *t, const struct digest *index,
                        const struct reference *refs, size_t ref_count, struct push_result *out,
                        struct error *err)
{
    __attribute__((cleanup(cleanup_push_release))) struct push p = {
        .t = t, .refs = refs, .ref_count = ref_count};
    __attribute__((cleanup(cleanup_index_parts_release))) struct index_parts parts = {0};
    auto_pool struct pool *pool = pool_new(PUSHES_AT_ONCE);
    int r = read_index(t->store, index, &parts, err);

    if (r == 0)
        r = registry_open(t->registries, &refs[0], REGISTRY_PUSH, &p.registry, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < parts.blobs.count; i++) {
        parts.blobs.items[i].push = &p;
        pool_submit(pool, push_blob, &parts.blobs.items[i]);
    }
    r = pool_wait(pool, err);
    return r < 0 ? r : put_documents(&p, &parts, index, out, err);
}

/* -- an image -- */

int transfer_push(struct transfer *t, const struct digest *manifest, const struct reference *refs,
                  size_t ref_count, const struct export_options *options, struct push_result *out,
                  struct error *err)
{
    __attribute__((cleanup(cleanup_push_release))) struct push p = {
        .t = t, .refs = refs, .ref_count = ref_count, .options = options};
    auto_free struct blob_push *jobs = NULL;
    auto_pool struct pool *pool = NULL;
    struct blob_push *config;
    int r = image_load(t->store, manifest, &p.image, err);

    if (r == 0)
        r = registry_open(t->registries, &refs[0], REGISTRY_PUSH, &p.registry, err);
    if (r < 0)
        return r;
    jobs = mem_alloc((p.image.layer_count + 1) * sizeof(*jobs));
    config = &jobs[p.image.layer_count];
    atomic_init(&p.layers_left, p.image.layer_count);
    r = start_config(&p, config, err);
    if (r < 0)
        return r;
    pool = pool_new(PUSHES_AT_ONCE);
    for (size_t i = 0; i < p.image.layer_count; i++) {
        jobs[i].push = &p;
        jobs[i].is_layer = true;
        jobs[i].position = i;
        pool_submit(pool, push_blob, &jobs[i]);
    }
    pool_submit(pool, push_blob, config);
    r = pool_wait(pool, err);
    return r < 0 ? r : put_manifest(&p, jobs, config->blob.size_bytes, out, err);
}

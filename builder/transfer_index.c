/* transfer_index.c - all platforms of an index, and what comes with them, enter the store. */
#include <errno.h>
#include <stdlib.h>

#include "builder/transfer.h"
#include "fs/base/limits.h"
#include "fs/blob.h"
#include "fs/store.h"
#include "registry/client.h"
#include "registry/manifest.h"

#include "fs/base/banned.h"

/* A blob as it is, unless the store has it. */
static int fetch_blob(struct transfer *t, struct registry *registry, const struct descriptor *d,
                      struct error *err)
{
    auto_blob_writer struct blob_writer *w = NULL;
    char name[DIGEST_TEXT_SIZE];
    struct blob_writer_options options = {
        .what = name, .digest = &d->digest, .size_bytes = d->size_bytes};
    struct blob_get get = {.digest = d->digest, .size_bytes = d->size_bytes, .sink_hashes = true};
    int r;

    if (blob_exists(t->store, &d->digest))
        return 0;
    digest_format(&d->digest, name);
    r = blob_writer_open(t->store, &options, &w, err);
    if (r < 0)
        return r;
    get.sink = blob_writer_stream(w);
    r = registry_blob_get(registry, &get, err);
    return r < 0 ? r : blob_writer_commit(STEAL(&w), NULL, NULL, err);
}

/* What is no image for any platform: an attestation, a signature. */
static int fetch_artifact(struct transfer *t, struct registry *registry, const struct descriptor *d,
                          struct error *err)
{
    auto_document struct document document = {0};
    auto_manifest struct manifest m = {0};
    char name[DIGEST_TEXT_SIZE];
    int r;

    digest_format(&d->digest, name);
    r = registry_manifest_get(registry, name, &document, err);
    if (r == 0)
        r = manifest_parse(str_text(&document.bytes), document.bytes.size, document.media_type,
                           name, &m, err);
    if (r == 0 && m.kind != MANIFEST_IMAGE)
        r = error_set(err, EINVAL, "%s is an index inside an index", name);
    if (r == 0)
        r = fetch_blob(t, registry, &m.config, err);
    for (size_t i = 0; r == 0 && i < m.layers.count; i++)
        r = fetch_blob(t, registry, &m.layers.items[i], err);
    return r < 0 ? r
                 : blob_put_named(t->store, &d->digest, str_text(&document.bytes),
                                  document.bytes.size, err);
}

static bool is_image(const struct descriptor *d)
{
    return d->has_platform && d->platform.os && !text_equal(d->platform.os, "unknown");
}

static int fetch_child(struct transfer *t, struct registry *registry, const struct reference *ref,
                       const struct descriptor *d, struct error *err)
{
    auto_reference struct reference one = {0};
    struct pull_result ignored;

    if (!is_image(d))
        return fetch_artifact(t, registry, d, err);
    reference_copy(&one, ref);
    free(STEAL(&one.tag));
    one.has_digest = true;
    one.digest = d->digest;
    return transfer_pull(t, &one, &d->platform, &ignored, err);
}

int transfer_pull_index(struct transfer *t, const struct reference *ref, const struct digest *index,
                        struct error *err)
{
    auto_registry struct registry *registry = NULL;
    auto_manifest struct manifest m = {0};
    auto_str struct str bytes = {0};
    char name[DIGEST_TEXT_SIZE];
    int r = blob_read(t->store, index, LIMIT_MANIFEST_SIZE, &bytes, err);

    digest_format(index, name);
    if (r == 0)
        r = manifest_parse(str_text(&bytes), bytes.size, NULL, name, &m, err);
    if (r == 0)
        r = registry_open(t->registries, ref, REGISTRY_PULL, &registry, err);
    for (size_t i = 0; r == 0 && i < m.manifests.count; i++)
        r = fetch_child(t, registry, ref, &m.manifests.items[i], err);
    return r;
}

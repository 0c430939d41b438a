/* companions.c - what a kept index names beside images: attestations, signatures. A collection leaves
 * it, as the index promises it to whoever is sent the whole. Documents are read leniently: what one
 * of them has wrong is for whoever uses it to tell, here it only keeps nothing. */
#include <errno.h>
#include <string.h>

#include "fs/base/hash.h"
#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "fs/blob.h"
#include "fs/store_internal.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

/* The document, if it is here, whole and JSON. */
static struct json *read_document(struct store *store, const struct digest *digest)
{
    auto_str struct str bytes = {0};
    struct json *document = NULL;
    struct error ignored = {0};

    if (!blob_exists(store, digest) ||
        blob_read(store, digest, LIMIT_MANIFEST_SIZE, &bytes, &ignored) < 0 ||
        json_parse(str_text(&bytes), bytes.size, LIMIT_MANIFEST_SIZE, "it", &document, &ignored) <
            0)
        return NULL;
    return document;
}

static bool descriptor_digest(const struct json *descriptor, struct digest *out)
{
    const char *text = json_get_text(descriptor, "digest");
    struct error ignored = {0}; /* of another algorithm, or none: not in this store */

    return text != NULL && digest_parse(text, out, &ignored) == 0;
}

static void keep(const struct digest *digest, struct table *out)
{
    struct object object;

    object_of_digest(digest, &object);
    table_put(out, object.name, out);
}

static void keep_descriptor(const struct json *descriptor, struct table *out)
{
    struct digest digest;

    if (descriptor_digest(descriptor, &digest))
        keep(&digest, out);
}

/* An image lives by its own row and names, and its layers need not be blobs: one that was removed by
 * its digest is not to come back as a companion. OCI image-spec, "Image Index" and "media types". */
static bool is_image(const struct json *entry, const struct json *manifest)
{
    const char *os = json_get_text(json_get_object(entry, "platform"), "os");
    const char *type = json_get_text(json_get_object(manifest, "config"), "mediaType");

    return os != NULL && strcmp(os, "unknown") != 0 && type != NULL &&
           (strcmp(type, "application/vnd.oci.image.config.v1+json") == 0 ||
            strcmp(type, "application/vnd.docker.container.image.v1+json") == 0);
}

static void keep_entry(struct store *store, const struct json *entry, struct table *out)
{
    auto_json struct json *manifest = NULL;
    const struct json *layers;
    struct digest digest;

    if (!descriptor_digest(entry, &digest))
        return;
    manifest = read_document(store, &digest);
    if (manifest == NULL || is_image(entry, manifest))
        return;
    keep(&digest, out);
    keep_descriptor(json_get_object(manifest, "config"), out);
    layers = json_get_array(manifest, "layers");
    for (size_t i = 0; i < json_count(layers); i++)
        keep_descriptor(json_at(layers, i), out);
}

int companions_find(struct store *store, struct table *out, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(
        &q, store,
        "SELECT DISTINCT index_digest FROM reference JOIN blob ON blob.digest = index_digest", err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        auto_json struct json *index = NULL;
        const struct json *entries;
        struct digest digest = {0};

        sql_digest(&q, 0, &digest);
        index = read_document(store, &digest);
        entries = json_get_array(index, "manifests");
        for (size_t i = 0; i < json_count(entries); i++)
            keep_entry(store, json_at(entries, i), out);
    }
    return r < 0 ? r : sql_check(&q, err);
}

/* statement.c - see statement.h. */
#include <stdlib.h>
#include <string.h>

#include "builder/attest/provenance.h"
#include "builder/attest/statement.h"
#include "fs/base/json.h"
#include "fs/blob.h"
#include "registry/descriptor.h"

#include "fs/base/banned.h"

#define STATEMENT_V1 "https://in-toto.io/Statement/v1"
#define STATEMENT_V01 "https://in-toto.io/Statement/v0.1"

void subjects_add(struct subjects *list, const char *name, const struct digest *digest)
{
    *array_add(list) = (struct subject){.name = mem_strdup(name), .digest = *digest};
}

void subjects_release(struct subjects *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].name);
    free(list->items);
}

void predicates_release(struct predicates *list)
{
    for (size_t i = 0; i < list->count; i++) {
        json_unref(list->items[i].document);
        free(list->items[i].filename);
    }
    free(list->items);
    *list = (struct predicates){0};
}

struct json *digest_set_new(const char *digest)
{
    struct json *set = json_new_object();
    size_t size = strcspn(digest, ":");
    auto_free char *algorithm = mem_strndup(digest, size);

    json_put_text(set, algorithm, digest + size + (digest[size] == ':'));
    return set;
}

void statement_write(const struct predicate *p, const struct subjects *subjects, struct str *out)
{
    auto_json struct json *statement = json_new_object();
    struct json *list = json_new_array();

    /* The version that each predicate was specified with. */
    json_put_text(statement, "_type",
                  strcmp(p->type, PROVENANCE_TYPE_V02) == 0 ? STATEMENT_V01 : STATEMENT_V1);
    for (size_t i = 0; i < subjects->count; i++) {
        struct json *one = json_new_object();
        char digest[DIGEST_TEXT_SIZE];

        digest_format(&subjects->items[i].digest, digest);
        json_put_text(one, "name", subjects->items[i].name);
        json_put(one, "digest", digest_set_new(digest));
        json_push(list, one);
    }
    json_put(statement, "subject", list);
    json_put_text(statement, "predicateType", p->type);
    json_put(statement, "predicate", json_ref(p->document));
    json_write(statement, out);
}

/* ---- in an index ---- */

static int put_json(struct store *store, const struct json *document, const char *media_type,
                    struct json *descriptor, struct error *err)
{
    auto_str struct str bytes = {0};
    struct digest digest;
    int r;

    json_write(document, &bytes);
    r = blob_put(store, str_text(&bytes), bytes.size, &digest, err);
    if (r == 0)
        descriptor_put(descriptor, media_type, &digest, bytes.size);
    return r;
}

static int put_statement(struct store *store, const struct predicate *p,
                         const struct subjects *subjects, struct json *layers,
                         struct json *diff_ids, struct error *err)
{
    auto_str struct str bytes = {0};
    struct json *layer = json_new_object();
    struct json *notes = json_new_object();
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];
    int r;

    json_push(layers, layer);
    json_put_text(notes, "in-toto.io/predicate-type", p->type);
    statement_write(p, subjects, &bytes);
    r = blob_put(store, str_text(&bytes), bytes.size, &digest, err);
    if (r == 0) {
        digest_format(&digest, text);
        descriptor_put(layer, MEDIA_IN_TOTO, &digest, bytes.size);
        json_push(diff_ids, json_new_text(text));
    }
    document_put_annotations(layer, notes);
    return r;
}

/* A configuration that says which platform it is for: none; an artifact has an empty one. */
static struct json *new_config(struct json *diff_ids, bool as_artifact)
{
    struct json *config = json_new_object();
    struct json *rootfs;

    if (as_artifact)
        return config;
    rootfs = json_new_object();
    json_put_text(config, "architecture", "unknown");
    json_put_text(config, "os", "unknown");
    json_put(config, "config", json_new_object());
    json_put_text(rootfs, "type", "layers");
    json_put(rootfs, "diff_ids", json_ref(diff_ids));
    json_put(config, "rootfs", rootfs);
    return config;
}

static struct json *new_manifest(const struct attestation_options *o, struct json *config,
                                 struct json *layers)
{
    struct json *manifest = json_new_object();
    struct json *subject = json_new_object();

    json_put_int(manifest, "schemaVersion", 2);
    json_put_text(manifest, "mediaType", MEDIA_OCI_MANIFEST);
    if (o->as_artifact)
        json_put_text(manifest, "artifactType", MEDIA_ATTESTATION);
    json_put(manifest, "config", json_ref(config));
    json_put(manifest, "layers", json_ref(layers));
    descriptor_put(subject, o->image->media_type, &o->image->digest, o->image->size_bytes);
    if (o->as_artifact)
        json_put(manifest, "subject", json_ref(subject));
    json_unref(subject);
    return manifest;
}

static void describe(const struct attestation_options *o, struct json *entry)
{
    struct json *platform = json_new_object();
    struct json *notes = json_new_object();
    char digest[DIGEST_TEXT_SIZE];

    digest_format(&o->image->digest, digest);
    if (o->as_artifact)
        json_put_text(entry, "artifactType", MEDIA_ATTESTATION);
    json_put_text(notes, "vnd.docker.reference.digest", digest);
    json_put_text(notes, "vnd.docker.reference.type", "attestation-manifest");
    document_put_annotations(entry, notes);
    json_put_text(platform, "architecture", "unknown");
    json_put_text(platform, "os", "unknown");
    json_put(entry, "platform", platform);
}

int attestation_store(struct store *store, const struct predicates *predicates,
                      const struct attestation_options *options, struct json *entry,
                      struct error *err)
{
    auto_json struct json *layers = json_new_array();
    auto_json struct json *diff_ids = json_new_array();
    auto_json struct json *descriptor = json_new_object();
    auto_json struct json *config = NULL;
    auto_json struct json *manifest = NULL;
    int r = 0;

    for (size_t i = 0; r == 0 && i < predicates->count; i++)
        r = put_statement(store, &predicates->items[i], options->subjects, layers, diff_ids, err);
    if (r < 0)
        return r;
    config = new_config(diff_ids, options->as_artifact);
    r = put_json(store, config, options->as_artifact ? MEDIA_OCI_EMPTY : MEDIA_OCI_CONFIG,
                 descriptor, err);
    if (r < 0)
        return r;
    manifest = new_manifest(options, descriptor, layers);
    r = put_json(store, manifest, MEDIA_OCI_MANIFEST, entry, err);
    if (r == 0)
        describe(options, entry);
    return r;
}

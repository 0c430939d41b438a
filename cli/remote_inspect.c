/* remote_inspect.c - see remote_inspect.h. */
#include <errno.h>
#include <string.h>

#include "cli/remote_inspect.h"
#include "fs/base/limits.h"
#include "fs/base/log.h"
#include "registry/client.h"
#include "registry/descriptor.h"
#include "registry/manifest.h"

#include "fs/base/banned.h"

struct remote {
    struct registry *registry;
    struct document top; /* what the reference names */
    struct document document;
    struct manifest manifest; /* of the image */
    struct str config;
};

static void remote_release(struct remote *r)
{
    registry_close(r->registry);
    document_release(&r->top);
    document_release(&r->document);
    manifest_release(&r->manifest);
    str_release(&r->config);
}
DEFINE_CLEANUP_VALUE(remote_release, struct remote)
#define auto_remote CLEANUP(remote_release)

static int get_top(const struct remote_inspect *what, struct remote *out, struct error *err)
{
    auto_str struct str name = {0};
    int r = registry_open(what->registries, what->ref, REGISTRY_PULL, &out->registry, err);

    reference_manifest_name(what->ref, &name);
    return r < 0 ? r : registry_manifest_get(out->registry, str_text(&name), &out->top, err);
}

static int parse(const struct document *d, const char *name, struct manifest *out,
                 struct error *err)
{
    return manifest_parse(str_text(&d->bytes), d->bytes.size, d->media_type, name, out, err);
}

/* The image's own document, from an index that of the platform. */
static int get_manifest(const struct remote_inspect *what, struct remote *out, struct error *err)
{
    auto_manifest struct manifest index = {0};
    auto_platform struct platform platform = {0};
    auto_str struct str name = {0};
    auto_free char *quoted = NULL;
    const struct descriptor *chosen;
    char digest[DIGEST_TEXT_SIZE];
    int r = get_top(what, out, err);

    reference_format(what->ref, &name);
    if (r == 0)
        r = parse(&out->top, str_text(&name), &out->manifest, err);
    if (r < 0 || out->manifest.kind != MANIFEST_INDEX)
        return r;
    index = out->manifest;
    out->manifest = (struct manifest){0};
    if (what->platform == NULL)
        platform_host(&platform);
    else
        platform_copy(&platform, what->platform);
    quoted = str_format("'%s'", str_text(&name));
    r = manifest_choose(&index, &platform, quoted, &chosen, err);
    if (r < 0)
        return r;
    digest_format(&chosen->digest, digest);
    r = registry_manifest_get(out->registry, digest, &out->document, err);
    return r < 0 ? r : parse(&out->document, digest, &out->manifest, err);
}

static int get_config(const struct remote_inspect *what, struct remote *out, struct json **config,
                      struct error *err)
{
    char digest[DIGEST_TEXT_SIZE];
    int r = get_manifest(what, out, err);

    if (r == 0 && !media_type_is_config(out->manifest.config.media_type))
        return error_set(err, EINVAL, "it is no container image but an artifact of type '%s'",
                         out->manifest.artifact_type != NULL ? out->manifest.artifact_type
                                                             : out->manifest.config.media_type);
    if (r < 0)
        return r;
    digest_format(&out->manifest.config.digest, digest);
    r = registry_blob_read(out->registry, &out->manifest.config.digest,
                           out->manifest.config.size_bytes, LIMIT_CONFIG_SIZE, &out->config, err);
    return r < 0 ? r
                 : json_parse(str_text(&out->config), out->config.size, LIMIT_CONFIG_SIZE, digest,
                              config, err);
}

int remote_inspect_raw(const struct remote_inspect *what, struct str *out, struct error *err)
{
    auto_remote struct remote remote = {0};
    int r = get_top(what, &remote, err);

    if (r == 0)
        str_add_bytes(out, str_text(&remote.top.bytes), remote.top.bytes.size);
    return r;
}

int remote_inspect_manifest(const struct remote_inspect *what, struct json **out, struct error *err)
{
    auto_remote struct remote remote = {0};
    const struct document *d;
    int r = get_manifest(what, &remote, err);

    if (r < 0)
        return r;
    d = remote.document.bytes.size > 0 ? &remote.document : &remote.top;
    return json_parse(str_text(&d->bytes), d->bytes.size, LIMIT_MANIFEST_SIZE, "the manifest", out,
                      err);
}

int remote_inspect_config(const struct remote_inspect *what, struct json **out, struct error *err)
{
    auto_remote struct remote remote = {0};

    return get_config(what, &remote, out, err);
}

static struct json *annotations_of(const struct annotations *list)
{
    struct json *notes = json_new_object();

    for (size_t i = 0; i < list->count; i++)
        json_put_text(notes, list->items[i].key, list->items[i].value);
    return notes;
}

int remote_inspect_referrers(const struct remote_inspect *what, struct json **out,
                             struct error *err)
{
    auto_descriptor struct descriptor subject = {0};
    auto_manifest struct manifest index = {0};
    auto_remote struct remote remote = {0};
    auto_str struct str name = {0};
    struct json *manifests;
    int r = registry_open(what->registries, what->ref, REGISTRY_PULL, &remote.registry, err);

    reference_manifest_name(what->ref, &name);
    if (r == 0)
        r = registry_manifest_head(remote.registry, str_text(&name), &subject, err);
    if (r == 0)
        r = registry_referrers(remote.registry, &subject.digest, NULL, &index, err);
    if (r < 0)
        return r;
    manifests = json_new_array();
    for (size_t i = 0; i < index.manifests.count; i++) {
        const struct descriptor *d = &index.manifests.items[i];
        struct json *object = json_new_object();

        descriptor_put(object, d->media_type, &d->digest, d->size_bytes);
        if (d->artifact_type != NULL)
            json_put_text(object, "artifactType", d->artifact_type);
        document_put_annotations(object, annotations_of(&d->annotations));
        json_push(manifests, object);
    }
    *out = index_document_new(MEDIA_OCI_INDEX, manifests);
    return 0;
}

/* A registry may keep the list to itself; the image is not less readable for that. */
static struct json *list_tags(const struct remote_inspect *what, struct registry *registry)
{
    auto_strv struct strv tags = {0};
    struct error err = {0};

    if (!what->has_no_tags && registry_tags(registry, &tags, &err) < 0)
        log_debug("the tags are not listed: %s", err.text);
    return json_new_strv(&tags);
}

static void put_layers(const struct manifest *m, struct json *out)
{
    struct json *layers = json_new_array();
    struct json *data = json_new_array();

    for (size_t i = 0; i < m->layers.count; i++) {
        const struct descriptor *d = &m->layers.items[i];
        struct json *object = json_new_object();
        struct json *notes = annotations_of(&d->annotations);
        char digest[DIGEST_TEXT_SIZE];

        digest_format(&d->digest, digest);
        json_push(layers, json_new_text(digest));
        json_put_text(object, "MIMEType", d->media_type);
        json_put_text(object, "Digest", digest);
        json_put_int(object, "Size", (int64_t)d->size_bytes);
        if (json_count(notes) > 0)
            json_put(object, "Annotations", notes);
        else {
            json_unref(notes);
            json_put(object, "Annotations", json_new_null());
        }
        json_push(data, object);
    }
    json_put(out, "Layers", layers);
    json_put(out, "LayersData", data);
}

static void put_value(struct json *out, const char *key, const struct json *from, const char *name)
{
    const struct json *value = json_get(from, name);

    json_put(out, key, value == NULL ? json_new_null() : json_clone(value));
}

int remote_inspect_image(const struct remote_inspect *what, struct json **out, struct error *err)
{
    auto_remote struct remote remote = {0};
    auto_json struct json *config = NULL;
    auto_str struct str name = {0};
    const struct json *inner;
    struct json *object;
    char digest[DIGEST_TEXT_SIZE];
    int r = get_config(what, &remote, &config, err);

    if (r < 0)
        return r;
    inner = json_get_object(config, "config");
    object = json_new_object();
    reference_format_name(what->ref, &name);
    digest_format(&remote.top.digest, digest);
    json_put_text(object, "Name", str_text(&name));
    json_put_text(object, "Digest", digest);
    json_put(object, "RepoTags", list_tags(what, remote.registry));
    put_value(object, "Created", config, "created");
    json_put_text(object, "DockerVersion",
                  json_get_text(config, "docker_version") == NULL
                      ? ""
                      : json_get_text(config, "docker_version"));
    put_value(object, "Labels", inner, "Labels");
    put_value(object, "Architecture", config, "architecture");
    if (json_get_text(config, "variant") != NULL)
        put_value(object, "Variant", config, "variant");
    put_value(object, "Os", config, "os");
    put_layers(&remote.manifest, object);
    put_value(object, "Env", inner, "Env");
    *out = object;
    return 0;
}

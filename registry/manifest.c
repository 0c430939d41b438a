/* manifest.c - reads manifests and indexes with suspicion. Not for fetching them: see client.h. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "registry/manifest.h"

#include "fs/base/banned.h"

#define SCHEMA_1_PREFIX "application/vnd.docker.distribution.manifest.v1"

const char *annotations_get(const struct annotations *list, const char *key)
{
    for (size_t i = 0; i < list->count; i++) {
        if (text_equal(list->items[i].key, key))
            return list->items[i].value;
    }
    return NULL;
}

static void annotations_release(struct annotations *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].key);
        free(list->items[i].value);
    }
    free(list->items);
}

static char *dup_or_null(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

void descriptor_copy(struct descriptor *to, const struct descriptor *from)
{
    *to = (struct descriptor){.digest = from->digest, .size_bytes = from->size_bytes};
    to->media_type = dup_or_null(from->media_type);
    to->artifact_type = dup_or_null(from->artifact_type);
    to->has_platform = from->has_platform;
    if (from->has_platform)
        platform_copy(&to->platform, &from->platform);
    strv_copy(&to->urls, &from->urls);
    for (size_t i = 0; i < from->annotations.count; i++) {
        struct annotation *added = array_add(&to->annotations);

        added->key = mem_strdup(from->annotations.items[i].key);
        added->value = mem_strdup(from->annotations.items[i].value);
    }
}

void descriptor_release(struct descriptor *d)
{
    free(d->media_type);
    free(d->artifact_type);
    platform_release(&d->platform);
    strv_release(&d->urls);
    annotations_release(&d->annotations);
    *d = (struct descriptor){0};
}

static void descriptors_release(struct descriptors *list)
{
    for (size_t i = 0; i < list->count; i++)
        descriptor_release(&list->items[i]);
    free(list->items);
}

void manifest_release(struct manifest *m)
{
    free(m->media_type);
    free(m->artifact_type);
    descriptor_release(&m->config);
    descriptors_release(&m->layers);
    descriptors_release(&m->manifests);
    descriptor_release(&m->subject);
    annotations_release(&m->annotations);
    *m = (struct manifest){0};
}

/* Text from outside as it may stand in a message; `buffer` keeps it. */
static const char *shown(const char *text, struct str *buffer)
{
    str_truncate(buffer, 0);
    str_add_escaped(buffer, text, strnlen(text, 128));
    return str_text(buffer);
}

static int read_annotations(const struct json *object, struct annotations *out, struct error *err)
{
    const struct json *map = json_get(object, "annotations");
    struct json *value;
    const char *key;
    void *iter = NULL;

    if (!map)
        return 0;
    if (!json_is_object(map))
        return error_set(err, EINVAL, "'annotations' is not an object");
    while (json_next(map, &iter, &key, &value)) {
        struct annotation *added;

        if (!json_is_string(value))
            return error_set(err, EINVAL, "an annotation is not a text");
        added = array_add(out);
        added->key = mem_strdup(key);
        added->value = mem_strdup(json_text(value));
    }
    return 0;
}

static int read_platform(const struct json *object, struct descriptor *d, struct error *err)
{
    const struct json *platform = json_get(object, "platform");

    if (!platform)
        return 0;
    if (!json_is_object(platform))
        return error_set(err, EINVAL, "'platform' is not an object");
    d->has_platform = true;
    d->platform.os = dup_or_null(json_get_text(platform, "os"));
    d->platform.architecture = dup_or_null(json_get_text(platform, "architecture"));
    d->platform.variant = dup_or_null(json_get_text(platform, "variant"));
    d->platform.os_version = dup_or_null(json_get_text(platform, "os.version"));
    platform_normalize(&d->platform);
    return 0;
}

static int read_urls(const struct json *object, struct strv *out, struct error *err)
{
    const struct json *urls = json_get(object, "urls");

    if (!urls)
        return 0;
    if (!json_is_array(urls))
        return error_set(err, EINVAL, "'urls' is not a list");
    for (size_t i = 0; i < json_count(urls); i++) {
        const char *url = json_text(json_at(urls, i));

        if (!url)
            return error_set(err, EINVAL, "'urls' holds something that is not a text");
        strv_add(out, url);
    }
    return 0;
}

static int read_descriptor(const struct json *object, struct descriptor *out, struct error *err)
{
    const char *digest = json_get_text(object, "digest");
    const char *media_type = json_get_text(object, "mediaType");
    int64_t size;
    int r;

    if (!json_is_object(object))
        return error_set(err, EINVAL, "it is not an object");
    if (!media_type || media_type[0] == '\0')
        return error_set(err, EINVAL, "it has no media type");
    if (!digest)
        return error_set(err, EINVAL, "it has no digest");
    r = digest_parse(digest, &out->digest, err);
    if (r < 0)
        return r;
    r = json_get_int(object, "size", 0, (int64_t)LIMIT_LAYER_SIZE, &size);
    if (r == -ENOENT)
        return error_set(err, EINVAL, "it has no size");
    if (r < 0)
        return error_set(err, EINVAL, "its size is not a number of bytes below 1 TiB");
    out->size_bytes = (uint64_t)size;
    out->media_type = mem_strdup(media_type);
    out->artifact_type = dup_or_null(json_get_text(object, "artifactType"));
    r = read_platform(object, out, err);
    if (r < 0)
        return r;
    r = read_urls(object, &out->urls, err);
    if (r < 0)
        return r;
    return read_annotations(object, &out->annotations, err);
}

static int read_descriptors(const struct json *document, const char *key, size_t count_max,
                            struct descriptors *out, struct error *err)
{
    const struct json *list = json_get(document, key);

    if (!list)
        return error_set(err, EINVAL, "it has no '%s'", key);
    if (!json_is_array(list))
        return error_set(err, EINVAL, "'%s' is not a list", key);
    if (json_count(list) > count_max)
        return error_set(err, EINVAL, "it has %zu %s, more than %zu", json_count(list), key,
                         count_max);
    for (size_t i = 0; i < json_count(list); i++) {
        if (read_descriptor(json_at(list, i), array_add(out), err) < 0)
            return error_wrap(err, "entry %zu of '%s'", i + 1, key);
    }
    return 0;
}

static int read_image(const struct json *document, struct manifest *m, struct error *err)
{
    const struct json *config = json_get(document, "config");

    m->kind = MANIFEST_IMAGE;
    if (json_get(document, "manifests"))
        return error_set(err, EINVAL, "it is a manifest and an index at once");
    if (!config)
        return error_set(err, EINVAL, "it has no 'config'");
    if (read_descriptor(config, &m->config, err) < 0)
        return error_wrap(err, "'config'");
    return read_descriptors(document, "layers", LIMIT_IMAGE_LAYERS, &m->layers, err);
}

static int read_index(const struct json *document, struct manifest *m, struct error *err)
{
    m->kind = MANIFEST_INDEX;
    if (json_get(document, "layers") || json_get(document, "config") ||
        json_get(document, "fsLayers"))
        return error_set(err, EINVAL, "it is an index and a manifest at once");
    return read_descriptors(document, "manifests", LIMIT_INDEX_ENTRIES, &m->manifests, err);
}

static bool same_media_type(const char *a, const char *b)
{
    size_t length = strcspn(a, "; \t");

    return length == strcspn(b, "; \t") && strncasecmp(a, b, length) == 0;
}

/* What plain file servers and old proxies say of every document: nothing. */
static bool says_nothing(const char *media_type)
{
    static const char *const generic[] = {"application/json", "application/octet-stream",
                                          "text/plain", "binary/octet-stream"};

    if (!media_type || media_type[0] == '\0')
        return true;
    for (size_t i = 0; i < sizeof(generic) / sizeof(generic[0]); i++) {
        if (same_media_type(media_type, generic[i]))
            return true;
    }
    return false;
}

/* The document's own word, the registry's and the shape must agree (SECURITY R34, CVE-2021-41190).
 */
static int decide_media_type(const struct json *document, const char *given, char **out,
                             struct error *err)
{
    const struct json *own_value = json_get(document, "mediaType");
    const char *own = json_text(own_value);
    auto_str struct str given_shown = {0};
    auto_str struct str own_shown = {0};

    if (own_value && !own)
        return error_set(err, EINVAL, "'mediaType' is not a text");
    if (says_nothing(given))
        given = NULL;
    if (own && given && !same_media_type(own, given))
        return error_set(err, EINVAL, "it calls itself '%s', but the registry calls it '%s'",
                         shown(own, &own_shown), shown(given, &given_shown));
    if (!own)
        own = given;
    if (!own && json_get(document, "manifests"))
        own = MEDIA_OCI_INDEX;
    if (!own)
        own = MEDIA_OCI_MANIFEST;
    if (strncasecmp(own, SCHEMA_1_PREFIX, strlen(SCHEMA_1_PREFIX)) == 0)
        return error_set(err, ENOTSUP,
                         "it is in the Docker schema 1 format, which was withdrawn; push it again "
                         "with a newer tool");
    if (!media_type_is_index(own) && !media_type_is_manifest(own))
        return error_set(err, ENOTSUP, "'%s' is neither an image manifest nor an index",
                         shown(own, &own_shown));
    *out = mem_strndup(own, strcspn(own, "; \t"));
    return 0;
}

static int check_schema(const struct json *document, struct error *err)
{
    int64_t version;
    int r = json_get_int(document, "schemaVersion", INT64_MIN, INT64_MAX, &version);

    if (!json_is_object(document))
        return error_set(err, EINVAL, "it is not a JSON object");
    if (r == 0 && version == 1)
        return error_set(err, ENOTSUP,
                         "it is in the Docker schema 1 format, which was withdrawn; push it again "
                         "with a newer tool");
    if (r < 0 || version != 2)
        return error_set(err, EINVAL, "its 'schemaVersion' is not 2");
    return 0;
}

static int read_document(const struct json *document, const char *media_type, struct manifest *m,
                         struct error *err)
{
    const struct json *subject = json_get(document, "subject");
    int r;

    r = check_schema(document, err);
    if (r < 0)
        return r;
    r = decide_media_type(document, media_type, &m->media_type, err);
    if (r < 0)
        return r;
    r = media_type_is_index(m->media_type) ? read_index(document, m, err)
                                           : read_image(document, m, err);
    if (r < 0)
        return r;
    m->artifact_type = dup_or_null(json_get_text(document, "artifactType"));
    if (subject) {
        m->has_subject = true;
        if (read_descriptor(subject, &m->subject, err) < 0)
            return error_wrap(err, "'subject'");
    }
    return read_annotations(document, &m->annotations, err);
}

int manifest_parse(const char *bytes, size_t size, const char *media_type, const char *what,
                   struct manifest *out, struct error *err)
{
    auto_manifest struct manifest m = {0};
    auto_json struct json *document = NULL;
    int r;

    r = json_parse(bytes, size, LIMIT_MANIFEST_SIZE, what, &document, err);
    if (r < 0)
        return r;
    if (read_document(document, media_type, &m, err) < 0)
        return error_wrap(err, "%s", what);
    *out = STEAL(&m);
    return 0;
}

static bool is_attestation(const struct descriptor *d)
{
    return d->has_platform &&
           (!d->platform.os || !d->platform.architecture || text_equal(d->platform.os, "unknown") ||
            text_equal(d->platform.architecture, "unknown"));
}

static bool is_image_entry(const struct descriptor *d)
{
    return (media_type_is_manifest(d->media_type) || media_type_is_index(d->media_type)) &&
           !is_attestation(d);
}

/* "linux/amd64, linux/arm64": what the user may ask for instead. */
static void list_platforms(const struct manifest *index, struct str *out)
{
    auto_strv struct strv seen = {0};

    for (size_t i = 0; i < index->manifests.count; i++) {
        const struct descriptor *d = &index->manifests.items[i];
        auto_str struct str text = {0};
        auto_str struct str safe = {0};

        if (!is_image_entry(d) || !d->has_platform)
            continue;
        platform_format(&d->platform, &text);
        str_add_escaped(&safe, text.data, text.size);
        if (strv_contains(&seen, str_text(&safe)))
            continue;
        strv_add(&seen, str_text(&safe));
        str_addf(out, "%s%s", out->size ? ", " : "", str_text(&safe));
    }
}

int manifest_choose(const struct manifest *index, const struct platform *want, const char *what,
                    const struct descriptor **out, struct error *err)
{
    const struct descriptor *best = NULL;
    const struct descriptor *unnamed = NULL;
    auto_str struct str wanted = {0};
    auto_str struct str have = {0};
    size_t unnamed_count = 0;
    int best_rank = -1;

    for (size_t i = 0; i < index->manifests.count; i++) {
        const struct descriptor *d = &index->manifests.items[i];
        int rank;

        if (!is_image_entry(d))
            continue;
        if (!d->has_platform) {
            unnamed = d;
            unnamed_count++;
            continue;
        }
        rank = platform_rank(want, &d->platform);
        if (rank >= 0 && (best_rank < 0 || rank < best_rank)) {
            best = d;
            best_rank = rank;
        }
    }
    if (!best && unnamed_count == 1)
        best = unnamed;
    if (best) {
        *out = best;
        return 0;
    }
    platform_format(want, &wanted);
    list_platforms(index, &have);
    error_set(err, ENOENT, "%s has no image for %s", what, str_text(&wanted));
    if (have.size)
        error_hint(err, "it has %s; choose one with --platform", str_text(&have));
    return -ENOENT;
}

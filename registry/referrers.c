/* referrers.c - manifests that say they are about another one (distribution-spec, "Listing
 * Referrers"), with the tag that stands in where a registry does not keep the list itself.
 */
#include <errno.h>
#include <string.h>

#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "registry/client_internal.h"
#include "registry/descriptor.h"

#include "fs/base/banned.h"

#define TAG_DIGITS_MAX 64 /* of a subject's digest in its fallback tag */

#define PAGES_MAX 1000u

/* "sha256-<hex>", "sha512-<hex>" (distribution-spec, "Referrers Tag Schema"). */
static char *fallback_tag(const struct digest *subject)
{
    char hex[DIGEST_HEX_SIZE];

    digest_format_hex(subject, hex);
    return str_format("%s-%.*s", digest_algorithm_name(subject->algorithm), TAG_DIGITS_MAX, hex);
}

static const char *type_of(const struct descriptor *d)
{
    return d->artifact_type ? d->artifact_type : "";
}

/* Registries need not filter, and the fallback tag never does. */
static void filter(struct manifest *index, const char *artifact_type)
{
    size_t kept = 0;

    for (size_t i = 0; artifact_type && i < index->manifests.count; i++) {
        struct descriptor *d = &index->manifests.items[i];

        if (text_equal(type_of(d), artifact_type)) {
            struct descriptor chosen = *d;

            *d = (struct descriptor){0};
            index->manifests.items[kept++] = chosen;
        } else {
            descriptor_release(d);
        }
    }
    if (artifact_type)
        index->manifests.count = kept;
}

static int read_fallback(struct registry *r, const struct digest *subject, struct manifest *out,
                         struct error *err)
{
    auto_free char *tag = fallback_tag(subject);
    auto_document struct document document = {0};
    int result = registry_manifest_get(r, tag, &document, err);

    if (result == -ENOENT) {
        *out = (struct manifest){.kind = MANIFEST_INDEX, .media_type = mem_strdup(MEDIA_OCI_INDEX)};
        return 0;
    }
    if (result < 0)
        return result;
    return manifest_parse(document.bytes.data, document.bytes.size, document.media_type, tag, out,
                          err);
}

static int parse_list(const struct http_response *answer, struct manifest *out, struct error *err)
{
    auto_manifest struct manifest index = {0};
    int result = manifest_parse(str_text(&answer->body), answer->body.size, MEDIA_OCI_INDEX,
                                "list of referrers", &index, err);

    if (result < 0)
        return result;
    *out = STEAL(&index);
    return 0;
}

/* What another page adds; a list that goes on for ever ends here. */
static int add_page(struct manifest *page, struct manifest *index, struct error *err)
{
    for (size_t i = 0; i < page->manifests.count; i++) {
        if (index->manifests.count == LIMIT_INDEX_ENTRIES)
            return error_set(err, EFBIG, "there are more than %u referrers", LIMIT_INDEX_ENTRIES);
        *array_add(&index->manifests) = page->manifests.items[i];
        page->manifests.items[i] = (struct descriptor){0};
    }
    return 0;
}

/* The pages after the first one. */
static int read_more(struct registry *r, const struct http_response *first, struct manifest *index,
                     struct error *err)
{
    const struct endpoint *endpoint = client_origin(r);
    auto_free char *url = NULL;
    int result = client_next_page(first, &url, err);

    for (size_t pages = 0; result == 0 && url && pages < PAGES_MAX; pages++) {
        auto_http_response struct http_response answer = {0};
        auto_manifest struct manifest page = {0};
        struct call call = {.endpoint = endpoint, .url = url};

        call.request.method = "GET";
        call.request.response_size_max = LIMIT_MANIFEST_SIZE;
        result = client_call(r, &call, &answer, err);
        if (result == 0 && answer.status != 200)
            result = client_refused(r, endpoint, &answer, "list of referrers", err);
        if (result == 0)
            result = parse_list(&answer, &page, err);
        if (result == 0)
            result = add_page(&page, index, err);
        free(STEAL(&url));
        if (result == 0)
            result = client_next_page(&answer, &url, err);
    }
    return result;
}

int registry_referrers(struct registry *r, const struct digest *digest, const char *artifact_type,
                       struct manifest *out, struct error *err)
{
    const struct endpoint *endpoint = client_origin(r);
    auto_http_response struct http_response answer = {0};
    auto_manifest struct manifest index = {0};
    char text[DIGEST_TEXT_SIZE];
    auto_str struct str path = {0};
    struct call call = {.endpoint = endpoint};
    int result;

    digest_format(digest, text);
    str_addf(&path, "referrers/%s", text);
    if (artifact_type)
        url_add_query(&path, "artifactType", artifact_type);
    call.path = str_text(&path);
    call.request.method = "GET";
    call.request.response_size_max = LIMIT_MANIFEST_SIZE;
    result = client_call(r, &call, &answer, err);
    if (result < 0)
        return result;
    if (answer.status == 200)
        result = parse_list(&answer, &index, err);
    else if (answer.status == 404 || answer.status == 405 || answer.status == 400)
        result = read_fallback(r, digest, &index, err);
    else
        result = client_refused(r, endpoint, &answer, "list of referrers", err);
    if (result == 0 && answer.status == 200)
        result = read_more(r, &answer, &index, err);
    if (result < 0)
        return result;
    filter(&index, artifact_type);
    *out = STEAL(&index);
    return 0;
}

/* What the list says of a manifest: its descriptor, its type and its annotations. */
static struct json *describe(const struct manifest *m, const char *media_type, const void *bytes,
                             size_t size)
{
    struct json *entry = json_new_object();
    struct json *annotations = json_new_object();
    struct digest digest;

    digest_of(bytes, size, &digest);
    descriptor_put(entry, media_type, &digest, size);
    if (m->artifact_type || m->kind == MANIFEST_IMAGE)
        json_put_text(entry, "artifactType",
                      m->artifact_type ? m->artifact_type : m->config.media_type);
    for (size_t i = 0; i < m->annotations.count; i++)
        json_put_text(annotations, m->annotations.items[i].key, m->annotations.items[i].value);
    document_put_annotations(entry, annotations);
    return entry;
}

static bool lists_it(const struct json *manifests, const struct json *entry)
{
    for (size_t i = 0; i < json_count(manifests); i++) {
        if (text_equal(json_get_text(json_at(manifests, i), "digest"),
                       json_get_text(entry, "digest")))
            return true;
    }
    return false;
}

int referrers_add(struct registry *r, const struct manifest *m, const char *media_type,
                  const void *bytes, size_t size, struct error *err)
{
    auto_free char *tag = fallback_tag(&m->subject.digest);
    auto_json struct json *entry = describe(m, media_type, bytes, size);
    auto_document struct document document = {0};
    auto_json struct json *index = NULL;
    auto_str struct str text = {0};
    struct json *manifests;
    int result;

    result = registry_manifest_get(r, tag, &document, err);
    if (result == -ENOENT)
        index = index_document_new(MEDIA_OCI_INDEX, json_new_array());
    else if (result == 0)
        result = json_parse(document.bytes.data, document.bytes.size, LIMIT_MANIFEST_SIZE, tag,
                            &index, err);
    if (!index)
        return result;
    manifests = json_get_array(index, "manifests");
    if (!manifests)
        return error_set(err, EINVAL, "tag '%s' of '%s' is not an index", tag, r->name);
    if (lists_it(manifests, entry))
        return 0;
    json_push(manifests, STEAL(&entry));
    json_write(index, &text);
    return registry_manifest_put(r, tag, MEDIA_OCI_INDEX, text.data, text.size, err);
}

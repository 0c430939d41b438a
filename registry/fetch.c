/* fetch.c - manifests by name: look, get, put, delete; the list of tags. */
#include <errno.h>
#include <string.h>

#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "fs/base/log.h"
#include "registry/client_internal.h"

#include "fs/base/banned.h"

#define TAGS_PER_PAGE 1000
#define TAGS_MAX 100000u

void document_release(struct document *d)
{
    str_release(&d->bytes);
    free(d->media_type);
    *d = (struct document){0};
}

static bool is_digest(const char *name)
{
    return strchr(name, ':') != NULL;
}

static void add_accept(struct strv *headers)
{
    strv_add(headers, "Accept: " MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_LIST
                      ", " MEDIA_DOCKER_MANIFEST);
}

static char *plain_media_type(const struct http_response *answer)
{
    const char *value = http_header(answer, "content-type");

    return value ? mem_strndup(value, strcspn(value, "; \t")) : NULL;
}

struct head_job {
    const char *name;
    struct descriptor *out;
    bool is_incomplete; /* there, but the answer does not say enough */
};

/* Digest and size from headers alone; 0 when one is missing. */
static int read_head(const struct http_response *answer, struct descriptor *out)
{
    const char *digest = http_header(answer, "docker-content-digest");
    const char *length = http_header(answer, "content-length");
    struct error ignored;
    uint64_t size;

    /* The length is then that of the coded bytes. */
    if (http_header(answer, "content-encoding"))
        return 0;
    if (!digest || digest_parse(digest, &out->digest, &ignored) < 0 || !length ||
        !text_to_u64(length, LIMIT_MANIFEST_SIZE, &size) || size == 0)
        return 0;
    out->size_bytes = size;
    out->media_type = plain_media_type(answer);
    return out->media_type != NULL;
}

static int head_from(struct registry *r, const struct endpoint *endpoint, void *context,
                     struct error *err)
{
    struct head_job *job = context;
    auto_http_response struct http_response answer = {0};
    auto_free char *path = str_format("manifests/%s", job->name);
    auto_free char *what = str_format("manifest '%s'", job->name);
    auto_strv struct strv headers = {0};
    struct call call = {.endpoint = endpoint, .path = path};
    int result;

    add_accept(&headers);
    call.request.method = "HEAD";
    call.request.headers = &headers;
    result = client_call(r, &call, &answer, err);
    if (result < 0)
        return result;
    /* Some registries know GET alone. */
    if (answer.status == 405 || answer.status == 400)
        job->is_incomplete = true;
    else if (answer.status != 200)
        return client_refused(r, endpoint, &answer, what, err);
    else
        job->is_incomplete = read_head(&answer, job->out) == 0;
    return 0;
}

int registry_manifest_head(struct registry *r, const char *name, struct descriptor *out,
                           struct error *err)
{
    auto_descriptor struct descriptor found = {0};
    auto_document struct document document = {0};
    struct head_job job = {.name = name, .out = &found};
    struct digest asked;
    struct error ignored;
    int result;

    result = client_try_endpoints(r, is_digest(name), head_from, &job, err);
    if (result < 0)
        return result;
    if (!job.is_incomplete && digest_parse(name, &asked, &ignored) == 0 &&
        !digest_equal(&asked, &found.digest))
        job.is_incomplete = true;
    if (job.is_incomplete) {
        result = registry_manifest_get(r, name, &document, err);
        if (result < 0)
            return result;
        descriptor_release(&found);
        found.media_type = STEAL(&document.media_type);
        found.digest = document.digest;
        found.size_bytes = document.bytes.size;
    }
    *out = STEAL(&found);
    return 0;
}

struct get_job {
    const char *name;
    struct document *out;
};

/* What a registry calls a manifest must be one of its names. An algorithm that we do not have is not
 * ours to check. */
static bool is_false_claim(const char *claimed, const void *bytes, size_t size)
{
    struct digest digest;
    struct error ignored;

    if (!claimed || !digest_has_algorithm(claimed))
        return false;
    return digest_parse(claimed, &digest, &ignored) < 0 || !digest_matches(&digest, bytes, size);
}

/* Against the digest asked for, and against the one the registry claims. *digest is the one asked
 * for; of what has a tag the one claimed, in whose algorithm it was pushed; else a sha256. */
static int check_digest(const char *name, const struct http_response *answer,
                        const struct endpoint *endpoint, struct digest *digest, struct error *err)
{
    const char *claimed = http_header(answer, "docker-content-digest");
    const struct str *body = &answer->body;
    struct digest wanted = {.algorithm = DIGEST_SHA256};
    char text[DIGEST_TEXT_SIZE];
    struct error ignored; /* no digest is worth nothing, a bad one is refused below */
    int r = 0;

    if (is_digest(name))
        r = digest_parse(name, &wanted, err);
    else if (claimed && digest_parse(claimed, &wanted, &ignored) < 0)
        wanted.algorithm = DIGEST_SHA256;
    if (r < 0)
        return r;
    digest_of_as(wanted.algorithm, body->data, body->size, digest);
    digest_format(digest, text);
    if (is_digest(name) && !digest_equal(&wanted, digest))
        return error_set(err, EBADMSG, "'%s' sent a manifest with digest %s for %s", endpoint->host,
                         text, name);
    if (is_false_claim(claimed, body->data, body->size))
        return error_set(err, EBADMSG, "'%s' sent a manifest with digest %s and calls it %.135s",
                         endpoint->host, text, claimed);
    return 0;
}

static int check_shape(const char *name, const struct http_response *answer,
                       struct document *document, struct error *err)
{
    auto_free char *what = str_format("manifest '%s'", name);
    auto_manifest struct manifest m = {0};
    int result = manifest_parse(str_text(&answer->body), answer->body.size, document->media_type,
                                what, &m, err);

    if (result < 0)
        return result;
    free(document->media_type);
    document->media_type = STEAL(&m.media_type);
    return 0;
}

static int get_from(struct registry *r, const struct endpoint *endpoint, void *context,
                    struct error *err)
{
    struct get_job *job = context;
    auto_http_response struct http_response answer = {0};
    auto_document struct document document = {0};
    auto_free char *path = str_format("manifests/%s", job->name);
    auto_free char *what = str_format("manifest '%s'", job->name);
    auto_strv struct strv headers = {0};
    struct call call = {.endpoint = endpoint, .path = path};
    int result;

    add_accept(&headers);
    call.request.method = "GET";
    call.request.headers = &headers;
    call.request.response_size_max = LIMIT_MANIFEST_SIZE;
    result = client_call(r, &call, &answer, err);
    if (result == -EFBIG)
        return error_wrap(err, "%s", what);
    if (result < 0)
        return result;
    if (answer.status != 200)
        return client_refused(r, endpoint, &answer, what, err);
    result = check_digest(job->name, &answer, endpoint, &document.digest, err);
    if (result < 0)
        return result;
    document.media_type = plain_media_type(&answer);
    result = check_shape(job->name, &answer, &document, err);
    if (result < 0)
        return error_wrap(err, "'%s/%s'", endpoint->host, endpoint->repository);
    document.bytes = STEAL(&answer.body);
    *job->out = STEAL(&document);
    return 0;
}

int registry_manifest_get(struct registry *r, const char *name, struct document *out,
                          struct error *err)
{
    struct get_job job = {.name = name, .out = out};

    return client_try_endpoints(r, is_digest(name), get_from, &job, err);
}

/* What the registry calls the manifest it was given must be one of its names. */
static int check_stored(const struct endpoint *endpoint, const struct http_response *answer,
                        const void *bytes, size_t size, struct error *err)
{
    const char *claimed = http_header(answer, "docker-content-digest");
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];

    if (!is_false_claim(claimed, bytes, size))
        return 0;
    digest_of(bytes, size, &digest);
    digest_format(&digest, text);
    return error_set(err, EBADMSG, "'%s' stored %s as %.135s", endpoint->host, text, claimed);
}

struct put_job {
    const char *name;
    const char *tag; /* to be given as well; NULL: none */
    const char *media_type;
    const void *bytes;
    size_t size;
};

/* A registry that keeps lists of referrers says so with OCI-Subject; for others a tag does it. */
static int keep_subject(struct registry *r, const struct http_response *answer,
                        const struct put_job *job, struct error *err)
{
    auto_manifest struct manifest m = {0};
    int result;

    if (http_header(answer, "oci-subject"))
        return 0;
    result = manifest_parse(job->bytes, job->size, job->media_type, "manifest", &m, err);
    if (result < 0 || !m.has_subject)
        return result;
    return referrers_add(r, &m, job->media_type, job->bytes, job->size, err);
}

/* `answer` is set whenever there was one, a refusal too. */
static int put_manifest(struct registry *r, const struct put_job *job, struct http_response *answer,
                        struct error *err)
{
    const struct endpoint *endpoint = client_origin(r);
    auto_free char *what = str_format("manifest '%s'", job->name);
    auto_strv struct strv headers = {0};
    auto_str struct str path = {0};
    struct call call = {.endpoint = endpoint};
    int result;

    str_addf(&path, "manifests/%s", job->name);
    if (job->tag)
        url_add_query(&path, "tag", job->tag);
    strv_addf(&headers, "Content-Type: %s", job->media_type);
    call.path = str_text(&path);
    call.request.method = "PUT";
    call.request.headers = &headers;
    call.request.body = job->bytes;
    call.request.body_size = job->size;
    result = client_call(r, &call, answer, err);
    if (result < 0)
        return result;
    if (answer->status != 201 && answer->status != 200 && answer->status != 202)
        return client_refused(r, endpoint, answer, what, err);
    result = check_stored(endpoint, answer, job->bytes, job->size, err);
    return result < 0 ? result : keep_subject(r, answer, job, err);
}

int registry_manifest_put(struct registry *r, const char *name, const char *media_type,
                          const void *bytes, size_t size, struct error *err)
{
    auto_http_response struct http_response answer = {0};
    const struct put_job job = {
        .name = name, .media_type = media_type, .bytes = bytes, .size = size};

    return put_manifest(r, &job, &answer, err);
}

/* Under its own digest, and the tag with it. 1: both are done; 0: the registry does not know the
 * algorithm, or that a tag can be given so. */
static int put_by_digest(struct registry *r, const char *tag, struct document *d, bool *is_stored,
                         struct error *err)
{
    auto_http_response struct http_response answer = {0};
    char name[DIGEST_TEXT_SIZE];
    const struct put_job job = {.name = name,
                                .tag = tag,
                                .media_type = d->media_type,
                                .bytes = str_text(&d->bytes),
                                .size = d->bytes.size};
    int result;

    digest_format(&d->digest, name);
    result = put_manifest(r, &job, &answer, err);
    *is_stored = result == 0;
    if (result == 0)
        return http_header(&answer, "oci-tag") != NULL;
    if (answer.status != 400 && answer.status != 404 && answer.status != 405)
        return result;
    log_debug("push: %s, naming it by the tag alone", err->text);
    error_clear(err);
    return 0;
}

int registry_document_put(struct registry *r, const char *name, struct document *d,
                          struct error *err)
{
    bool is_stored = true;
    int result = 0;

    if (!is_digest(name) && d->digest.algorithm != DIGEST_SHA256)
        result = put_by_digest(r, name, d, &is_stored, err);
    if (result != 0)
        return result < 0 ? result : 0;
    result = registry_manifest_put(r, name, d->media_type, str_text(&d->bytes), d->bytes.size, err);
    if (result == 0 && !is_stored)
        digest_of(str_text(&d->bytes), d->bytes.size, &d->digest);
    return result;
}

int registry_manifest_delete(struct registry *r, const char *name, struct error *err)
{
    const struct endpoint *endpoint = client_origin(r);
    auto_http_response struct http_response answer = {0};
    auto_free char *path = str_format("manifests/%s", name);
    auto_free char *what = str_format("manifest '%s'", name);
    struct call call = {.endpoint = endpoint, .path = path};
    int result;

    call.request.method = "DELETE";
    result = client_call(r, &call, &answer, err);
    if (result < 0)
        return result;
    if (answer.status == 405)
        return error_set(err, ENOTSUP, "'%s' does not allow deletion", endpoint->host);
    if (answer.status != 202 && answer.status != 200 && answer.status != 204)
        return client_refused(r, endpoint, &answer, what, err);
    return 0;
}

static int read_tags(const struct http_response *answer, struct strv *out, struct error *err)
{
    auto_json struct json *document = NULL;
    const struct json *tags;
    int r = json_parse(str_text(&answer->body), answer->body.size, LIMIT_MANIFEST_SIZE,
                       "list of tags", &document, err);

    if (r < 0)
        return r;
    /* A repository without tags says null. */
    tags = json_get_array(document, "tags");
    for (size_t i = 0; i < json_count(tags); i++) {
        const char *tag = json_text(json_at(tags, i));

        if (!tag || !reference_is_tag(tag))
            return error_set(err, EINVAL, "list of tags: it holds something that is no tag");
        if (out->count == TAGS_MAX)
            return error_set(err, EFBIG, "there are more than %u tags", TAGS_MAX);
        strv_add(out, tag);
    }
    return 0;
}

int registry_tags(struct registry *r, struct strv *out, struct error *err)
{
    const struct endpoint *endpoint = client_origin(r);
    auto_free char *path = str_format("tags/list?n=%d", TAGS_PER_PAGE);
    auto_strv struct strv tags = {0};
    auto_free char *url = NULL;
    size_t pages = 0;

    do {
        auto_http_response struct http_response answer = {0};
        struct call call = {.endpoint = endpoint, .path = path, .url = url};
        size_t before = tags.count;
        int result;

        call.request.method = "GET";
        call.request.response_size_max = LIMIT_MANIFEST_SIZE;
        result = client_call(r, &call, &answer, err);
        if (result < 0)
            return result;
        if (answer.status != 200)
            return client_refused(r, endpoint, &answer, "list of tags", err);
        result = read_tags(&answer, &tags, err);
        free(STEAL(&url));
        if (result == 0)
            result = client_next_page(&answer, &url, err);
        if (result < 0)
            return result;
        /* A page that adds nothing and points on would go on for ever. */
        if (tags.count == before)
            break;
    } while (url && ++pages < TAGS_MAX);
    strv_release(out);
    *out = STEAL(&tags);
    return 0;
}

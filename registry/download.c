/* download.c - blobs from a registry to a sink, through interruptions and from mirror to mirror. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "registry/client_internal.h"

#include "fs/base/banned.h"

/* An interruption after this much counts as the first again: a slow line may need many. */
#define GOOD_PROGRESS (1u << 20)

/* One blob on its way. */
struct download {
    struct writer writer; /* what http_request writes to */
    const struct blob_get *what;
    struct hasher *hasher; /* NULL: the sink's owner checks alone */
    const char *host;      /* that is sending now, for messages */
    uint64_t done_bytes;   /* in the sink; where the next answer has to go on */
    uint64_t skip_bytes;   /* of the current answer, which starts before done_bytes */
    uint32_t senders;      /* a bit per endpoint that sent some of it */
    bool without_range;    /* the server's ranges are of no use */
    bool sink_failed;      /* final: `failure` says how */
    struct error failure;
};

/* "bytes 5-9/10": where it starts and the whole size (UINT64_MAX for "*"). */
static bool read_content_range(const char *text, uint64_t *start, uint64_t *size)
{
    auto_free char *copy = NULL;
    char *dash;
    char *slash;

    if (!text || !text_starts(text, "bytes "))
        return false;
    copy = mem_strdup(text + strlen("bytes "));
    dash = strchr(copy, '-');
    slash = strchr(copy, '/');
    if (!dash || !slash || dash > slash)
        return false;
    *dash = '\0';
    *size = UINT64_MAX;
    return text_to_u64(copy, UINT64_MAX - 1, start) &&
           (text_equal(slash + 1, "*") || text_to_u64(slash + 1, UINT64_MAX - 1, size));
}

static int wrong_size(const struct download *d, uint64_t size, struct error *err)
{
    return error_set(err, EBADMSG, "'%s' has %" PRIu64 " bytes where the manifest says %" PRIu64,
                     d->host, size, d->what->size_bytes);
}

/* Where does this answer start? RFC 9110 15.3.7: a server may ignore Range and send all. */
static int on_answer(void *context, const struct http_response *answer, struct error *err)
{
    struct download *d = context;
    const char *length_text = http_header(answer, "content-length");
    uint64_t length;
    uint64_t start;
    uint64_t size;

    d->skip_bytes = d->done_bytes;
    if (answer->status != 206) {
        if (length_text && text_to_u64(length_text, UINT64_MAX - 1, &length) &&
            length != d->what->size_bytes)
            return wrong_size(d, length, err);
        return 0;
    }
    if (!read_content_range(http_header(answer, "content-range"), &start, &size) ||
        start > d->done_bytes) {
        d->without_range = true;
        return error_set(err, EPROTO, "'%s' sent another part of a blob than asked for", d->host);
    }
    if (size != UINT64_MAX && size != d->what->size_bytes)
        return wrong_size(d, size, err);
    d->skip_bytes = d->done_bytes - start;
    return 0;
}

static int pass_on(struct writer *w, const void *buf, size_t size, struct error *err)
{
    struct download *d = (struct download *)w;
    const char *bytes = buf;
    size_t skipped = size < d->skip_bytes ? size : (size_t)d->skip_bytes;
    int r;

    d->skip_bytes -= skipped;
    bytes += skipped;
    size -= skipped;
    if (size == 0)
        return 0;
    if (size > d->what->size_bytes - d->done_bytes)
        return error_set(err, EBADMSG, "'%s' sends more than the %" PRIu64 " bytes of the blob",
                         d->host, d->what->size_bytes);
    if (d->hasher)
        hasher_update(d->hasher, bytes, size);
    r = writer_write(d->what->sink, bytes, size, err);
    if (r < 0) {
        d->sink_failed = true;
        d->failure = *err;
        return r;
    }
    d->done_bytes += size;
    if (d->what->on_progress)
        d->what->on_progress(d->what->context, d->done_bytes);
    return 0;
}

static void on_silence(void *context, unsigned silent_ms)
{
    const struct download *d = context;

    if (d->what->on_silence)
        d->what->on_silence(d->what->context, silent_ms);
}

/* One request from where the sink stands. */
static int request_rest(struct registry *r, const struct endpoint *endpoint, struct download *d,
                        struct http_response *answer, struct error *err)
{
    char digest[DIGEST_TEXT_SIZE];
    auto_strv struct strv headers = {0};
    auto_free char *path = NULL;
    auto_free char *what = NULL;
    struct call call = {.endpoint = endpoint};
    int result;

    digest_format(&d->what->digest, digest);
    path = str_format("blobs/%s", digest);
    what = str_format("blob %s", digest);
    if (d->done_bytes > 0 && !d->without_range)
        strv_addf(&headers, "Range: bytes=%" PRIu64 "-", d->done_bytes);
    call.path = path;
    call.request = (struct http_request){
        .method = "GET",
        .headers = &headers,
        .sink = &d->writer,
        .sink_size_max = UINT64_MAX, /* pass_on knows better */
        .on_answer = on_answer,
        .on_silence = on_silence,
        .context = d,
    };
    result = client_call(r, &call, answer, err);
    if (answer->sink_bytes > 0)
        d->senders |= 1u << (endpoint - r->endpoints.items);
    if (result < 0)
        return result;
    if (answer->status == 416 && !d->without_range) {
        d->without_range = true;
        return error_set(err, EPROTO, "'%s' cannot send a part of a blob", d->host);
    }
    if (answer->status != 200 && answer->status != 206)
        return client_refused(r, endpoint, answer, what, err);
    if (d->done_bytes < d->what->size_bytes) {
        answer->may_try_again = true;
        return error_set(err, EIO, "'%s' ended a blob %" PRIu64 " bytes early", d->host,
                         d->what->size_bytes - d->done_bytes);
    }
    return 0;
}

/* Requests until the sink has it all, or this endpoint is of no more use. */
static int download_from(struct registry *r, const struct endpoint *endpoint, void *context,
                         struct error *err)
{
    struct http *http = registries_http(r->all);
    struct download *d = context;
    unsigned failures = 0;

    if (d->sink_failed) {
        *err = d->failure;
        return -err->code;
    }
    d->host = endpoint->host;
    d->without_range = false;
    for (;;) {
        auto_http_response struct http_response answer = {0};
        bool had_range = d->done_bytes > 0 && !d->without_range;
        uint64_t before = d->done_bytes;
        int result = request_rest(r, endpoint, d, &answer, err);

        if (result == 0 || d->sink_failed)
            return result;
        if (had_range && d->without_range)
            continue;
        /* What failed before its first byte has been tried again by http_request already. */
        if (answer.sink_bytes == 0 || !answer.may_try_again)
            return result;
        failures = d->done_bytes - before >= GOOD_PROGRESS ? 1 : failures + 1;
        if (failures >= http_attempts_max(http))
            return result;
        result = http_pause(http, http_retry_delay_ms(http, failures), err);
        if (result < 0)
            return result;
    }
}

static int check_digest(struct registry *r, struct download *d, struct error *err)
{
    char wanted[DIGEST_TEXT_SIZE];
    char got[DIGEST_TEXT_SIZE];
    struct digest digest;

    if (!d->hasher)
        return 0;
    hasher_final(d->hasher, &digest);
    if (digest_equal(&digest, &d->what->digest))
        return 0;
    for (size_t i = 0; i < r->endpoints.count; i++) {
        if (d->senders & 1u << i)
            client_mark_lying(r, &r->endpoints.items[i]);
    }
    digest_format(&d->what->digest, wanted);
    digest_format(&digest, got);
    return error_set(err, EBADMSG, "'%s' sent a blob with digest %s for %s", d->host, got, wanted);
}

int registry_blob_get(struct registry *r, const struct blob_get *what, struct error *err)
{
    auto_hasher struct hasher *own = NULL;
    struct download d = {
        .writer = {.write = pass_on},
        .what = what,
        .host = client_origin(r)->host,
        .done_bytes = what->offset,
    };
    int result = 0;

    if (what->offset > what->size_bytes)
        return error_set(err, EINVAL, "a blob of %" PRIu64 " bytes has no byte %" PRIu64,
                         what->size_bytes, what->offset);
    if (!what->sink_hashes) {
        if (what->offset == 0 && !what->prefix)
            own = hasher_new_as(what->digest.algorithm);
        d.hasher = what->prefix ? what->prefix : own;
    }
    if (d.done_bytes < what->size_bytes)
        result = client_try_endpoints(r, true, download_from, &d, err);
    return result < 0 ? result : check_digest(r, &d, err);
}

struct collector {
    struct writer writer;
    struct str *out;
};

static int collect(struct writer *w, const void *buf, size_t size, struct error *err)
{
    struct collector *c = (struct collector *)w;

    (void)err;
    str_add_bytes(c->out, buf, size);
    return 0;
}

int registry_blob_read(struct registry *r, const struct digest *digest, uint64_t size_bytes,
                       size_t size_max, struct str *out, struct error *err)
{
    auto_str struct str bytes = {0};
    struct collector collector = {.writer = {.write = collect}, .out = &bytes};
    const struct blob_get what = {
        .digest = *digest, .size_bytes = size_bytes, .sink = &collector.writer};
    int result;

    if (size_bytes > size_max)
        return error_set(err, EFBIG, "a blob of %" PRIu64 " bytes is larger than %zu", size_bytes,
                         size_max);
    result = registry_blob_get(r, &what, err);
    if (result < 0)
        return result;
    str_release(out);
    *out = STEAL(&bytes);
    return 0;
}

struct exists_job {
    const struct digest *digest;
    uint64_t *size_bytes;
};

static int exists_at(struct registry *r, const struct endpoint *endpoint, void *context,
                     struct error *err)
{
    struct exists_job *job = context;
    auto_http_response struct http_response answer = {0};
    char digest[DIGEST_TEXT_SIZE];
    auto_free char *path = NULL;
    auto_free char *what = NULL;
    struct call call = {.endpoint = endpoint};
    const char *length;
    int result;

    digest_format(job->digest, digest);
    path = str_format("blobs/%s", digest);
    what = str_format("blob %s", digest);
    call.path = path;
    call.request.method = "HEAD";
    result = client_call(r, &call, &answer, err);
    if (result < 0)
        return result;
    if (answer.status == 404)
        return 0;
    if (answer.status != 200)
        return client_refused(r, endpoint, &answer, what, err);
    length = http_header(&answer, "content-length");
    if (!length || !text_to_u64(length, UINT64_MAX - 1, job->size_bytes))
        *job->size_bytes = 0;
    return 1;
}

int registry_blob_exists(struct registry *r, const struct digest *digest, uint64_t *size_bytes,
                         struct error *err)
{
    uint64_t size = 0;
    struct exists_job job = {.digest = digest, .size_bytes = &size};
    int result = exists_at(r, client_origin(r), &job, err);

    if (result > 0 && size_bytes)
        *size_bytes = size;
    return result;
}

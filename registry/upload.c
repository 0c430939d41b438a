/* upload.c - blobs to a registry: skip what is there, take over from a neighbour, else send.
 *
 * The whole blob goes in one PUT, which every registry takes. When that is interrupted, or refused
 * as too large, the registry is asked where it stands and the rest follows in chunks, so that every
 * interruption costs one chunk at most (distribution-spec, "Pushing a blob in chunks").
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fs/base/log.h"
#include "registry/client_internal.h"

#include "fs/base/banned.h"

#define CHUNK_SIZE (64ull << 20)    /* reverse proxies commonly stop at 100 MB */
#define CHUNK_SIZE_MIN (4ull << 20) /* what is left after refusals as too large */
#define CHUNK_SIZE_MAX (1024ull << 20)
#define GROWN_SIZE_MIN (16ull << 20) /* of what is still made, fewer bytes wait for more */
#define COMMIT_TIMEOUT_MS 900000u    /* a registry may copy gigabytes before it answers */

/* One blob on its way to one registry. */
struct upload {
    struct registry *r;
    const struct endpoint *endpoint;
    const struct blob_put *what;
    char digest[DIGEST_TEXT_SIZE];
    char *session;        /* absolute URL; carries the registry's state */
    uint64_t done_bytes;  /* the registry has them */
    uint64_t chunk_bytes; /* size of the next chunk at most */
    uint64_t chunk_min;   /* OCI-Chunk-Min-Length */
    unsigned failures;    /* since the last progress */
    bool in_chunks;       /* the one PUT was tried and did not get through */
    bool is_too_large;    /* and never will, for somebody limits the size of a request */
    bool zero_is_wrong;   /* sending from byte 0 got 416: "0-0" means one byte */
};

static void set_session(struct upload *u, char *url)
{
    free(u->session);
    u->session = url;
}

static void on_progress(void *context, uint64_t total_bytes)
{
    struct upload *u = context;

    if (u->what->on_progress)
        u->what->on_progress(u->what->context, u->done_bytes + total_bytes);
}

static void on_silence(void *context, unsigned silent_ms)
{
    const struct upload *u = context;

    if (u->what->on_silence)
        u->what->on_silence(u->what->context, silent_ms);
}

/* A proxy that ends TLS makes some registries point to http on their own name; that is not followed
 * in clear text, but as it was meant. */
static void mend_scheme(const struct url *base, struct url *next)
{
    if (!base->is_https || next->is_https || !text_equal(base->host, next->host))
        return;
    if (next->port != 80 && next->port != base->port)
        return;
    next->is_https = true;
    next->port = base->port;
}

/* Location may be relative, changes with every answer and may name another host (which then gets no
 * credentials, see client_call). */
static int take_location(struct upload *u, const struct http_response *answer, struct error *err)
{
    const char *location = http_header(answer, "location");
    auto_url struct url base = {0};
    auto_url struct url next = {0};
    struct str text = {0};
    int r;

    if (!location)
        return u->session ? 0
                          : error_set(err, EPROTO, "'%s' begins an upload without saying where",
                                      u->endpoint->host);
    r = url_parse(answer->url, &base, err);
    if (r == 0)
        r = url_resolve(&base, location, &next, err);
    if (r < 0)
        return error_wrap(err, "upload to '%s'", u->endpoint->host);
    mend_scheme(&base, &next);
    if (base.is_https && !next.is_https)
        return error_set(err, EACCES, "'%s' sends an upload from https to http", u->endpoint->host);
    url_format(&next, &text);
    set_session(u, str_take(&text));
    return 0;
}

static void read_chunk_min(struct upload *u, const struct http_response *answer)
{
    const char *text = http_header(answer, "oci-chunk-min-length");

    if (text && text_to_u64(text, CHUNK_SIZE_MAX, &u->chunk_min) && u->chunk_min > u->chunk_bytes)
        u->chunk_bytes = u->chunk_min;
}

/* POST uploads/, asking for a mount where `from` is given. 1: mounted; 0: a session has begun. */
static int begin(struct upload *u, const char *from, struct error *err)
{
    auto_http_response struct http_response answer = {0};
    auto_strv struct strv scopes = {0};
    auto_str struct str path = {0};
    struct call call = {.endpoint = u->endpoint, .more_scopes = &scopes};
    int r;

    str_add(&path, "blobs/uploads/");
    /* distribution-spec, "Pushing a blob in chunks": a registry that hashes what comes needs to know. */
    if (u->what->digest.algorithm != DIGEST_SHA256)
        url_add_query(&path, "digest-algorithm", digest_algorithm_name(u->what->digest.algorithm));
    if (from) {
        url_add_query(&path, "mount", u->digest);
        url_add_query(&path, "from", from);
        strv_addf(&scopes, "repository:%s:pull", from);
    }
    call.path = str_text(&path);
    call.request.method = "POST";
    call.request.retry_unsafe = true; /* a session too many goes away by itself */
    r = client_call(u->r, &call, &answer, err);
    if (r < 0)
        return r;
    if (answer.status == 201 && from)
        return 1;
    if (answer.status != 202)
        return client_refused(u->r, u->endpoint, &answer, "upload", err);
    read_chunk_min(u, &answer);
    return take_location(u, &answer, err);
}

/* Best effort: sessions left behind go away by themselves. */
static void abandon(struct upload *u)
{
    auto_http_response struct http_response answer = {0};
    struct call call = {.endpoint = u->endpoint, .url = u->session};
    struct error ignored;

    if (!u->session)
        return;
    call.request.method = "DELETE";
    call.request.is_farewell = true;
    call.request.no_redirects = true;
    (void)client_call(u->r, &call, &answer, &ignored);
    set_session(u, NULL);
}

/* "0-99": the registry has 100 bytes; some say "bytes=0-99". "0-0" is one byte by the letter, but
 * what many say of an empty session, so that is believed until it proves wrong. */
static bool read_range(const struct upload *u, const struct http_response *answer,
                       uint64_t *done_bytes)
{
    const char *text = http_header(answer, "range");
    uint64_t last;

    *done_bytes = 0;
    if (!text)
        return false;
    if (text_starts(text, "bytes="))
        text += strlen("bytes=");
    if (!text_starts(text, "0-") || !text_to_u64(text + 2, UINT64_MAX - 2, &last))
        return false;
    *done_bytes = last > 0 || u->zero_is_wrong ? last + 1 : 0;
    return true;
}

static int check_done(struct upload *u, uint64_t done_bytes, struct error *err)
{
    if (done_bytes > u->what->size_bytes)
        return error_set(err, EPROTO, "'%s' has more of the upload than there is",
                         u->endpoint->host);
    u->done_bytes = done_bytes;
    return 0;
}

/* GET of the session: where does the registry stand? -ESTALE when it has forgotten the session. */
static int ask_where(struct upload *u, struct error *err)
{
    auto_http_response struct http_response answer = {0};
    struct call call = {.endpoint = u->endpoint, .url = u->session};
    uint64_t done_bytes;
    int r;

    call.request.method = "GET";
    call.request.no_redirects = true;
    r = client_call(u->r, &call, &answer, err);
    if (r < 0)
        return r;
    if (answer.status != 204 && answer.status != 202 && answer.status != 200)
        return error_set(err, ESTALE, "'%s' has forgotten an upload", u->endpoint->host);
    (void)read_range(u, &answer, &done_bytes); /* no range: nothing has arrived */
    r = take_location(u, &answer, err);
    return r < 0 ? r : check_done(u, done_bytes, err);
}

/* PUT session?digest=.. with the rest of the blob, or with nothing when it is all there. */
static int put_rest(struct upload *u, struct http_response *answer, struct error *err)
{
    auto_strv struct strv headers = {0};
    auto_str struct str url = {0};
    struct call call = {.endpoint = u->endpoint};
    uint64_t left = u->what->size_bytes - u->done_bytes;

    str_add(&url, u->session);
    url_add_query(&url, "digest", u->digest);
    strv_add(&headers, "Content-Type: application/octet-stream");
    if (left > 0 && u->done_bytes > 0)
        strv_addf(&headers, "Content-Range: %" PRIu64 "-%" PRIu64, u->done_bytes,
                  u->what->size_bytes - 1);
    call.url = str_text(&url);
    call.request = (struct http_request){
        .method = "PUT",
        .headers = &headers,
        .source = left > 0 ? u->what->source : NULL,
        .source_offset = u->done_bytes,
        .source_size = left,
        .on_progress = on_progress,
        .on_silence = on_silence,
        .context = u,
        .answer_timeout_ms = COMMIT_TIMEOUT_MS,
        .no_retries = true, /* what has arrived already must be asked for first */
    };
    return client_call(u->r, &call, answer, err);
}

static int patch_chunk(struct upload *u, struct http_response *answer, struct error *err)
{
    auto_strv struct strv headers = {0};
    struct call call = {.endpoint = u->endpoint, .url = u->session};
    uint64_t left = u->what->size_bytes - u->done_bytes;
    uint64_t size = left < u->chunk_bytes ? left : u->chunk_bytes;

    strv_add(&headers, "Content-Type: application/octet-stream");
    strv_addf(&headers, "Content-Range: %" PRIu64 "-%" PRIu64, u->done_bytes,
              u->done_bytes + size - 1);
    call.request = (struct http_request){
        .method = "PATCH",
        .headers = &headers,
        .source = u->what->source,
        .source_offset = u->done_bytes,
        .source_size = size,
        .on_progress = on_progress,
        .on_silence = on_silence,
        .context = u,
        .answer_timeout_ms = COMMIT_TIMEOUT_MS,
        .no_retries = true,
    };
    return client_call(u->r, &call, answer, err);
}

static bool is_passing(unsigned status)
{
    return status == 408 || status == 429 || status >= 500;
}

static int check_stored(const struct upload *u, const struct http_response *answer,
                        struct error *err)
{
    const char *claimed = http_header(answer, "docker-content-digest");

    /* Under another algorithm it is another name of the bytes, which are not here to be hashed. */
    if (claimed && strncmp(claimed, u->digest, strcspn(u->digest, ":") + 1) == 0 &&
        !text_equal(claimed, u->digest))
        return error_set(err, EBADMSG, "'%s' stored blob %s as %.135s", u->endpoint->host,
                         u->digest, claimed);
    return 0;
}

/* After an interruption: wait, ask where the registry stands, begin anew if it does not know. */
static int recover(struct upload *u, struct error *err)
{
    struct http *http = registries_http(u->r->all);
    uint64_t before = u->done_bytes;
    int r;

    if (++u->failures >= http_attempts_max(http))
        return -err->code;
    log_debug("registry: upload: %s, asking where '%s' stands", err->text, u->endpoint->host);
    r = http_pause(http, http_retry_delay_ms(http, u->failures), err);
    if (r == 0)
        r = ask_where(u, err);
    if (r == 0 && u->done_bytes > before)
        u->failures = 0;
    return r;
}

/* Is this outcome worth another part of the same session? 0: yes, after recover. */
static int judge(struct upload *u, int result, const struct http_response *answer,
                 struct error *err)
{
    if (result < 0)
        return answer->may_try_again && !answer->is_local_fault ? 0 : result;
    if (answer->status == 413 && u->chunk_bytes > CHUNK_SIZE_MIN &&
        u->chunk_bytes / 4 >= u->chunk_min) {
        (void)error_set(err, EFBIG, "'%s' refuses a part as too large", u->endpoint->host);
        u->chunk_bytes /= 4;
        u->is_too_large = true;
        return 0;
    }
    (void)client_refused(u->r, u->endpoint, answer, "upload", err);
    u->zero_is_wrong = answer->status == 416 && u->done_bytes == 0;
    if (answer->status == 416 || is_passing(answer->status))
        return 0;
    return answer->status == 404 ? -ESTALE : -err->code;
}

/* All in one PUT: 1 done; 0 to be continued in chunks. */
static int send_whole(struct upload *u, struct error *err)
{
    auto_http_response struct http_response answer = {0};
    int r = put_rest(u, &answer, err);

    u->in_chunks = true;
    if (r == 0 && (answer.status == 201 || answer.status == 204))
        return check_stored(u, &answer, err) < 0 ? -err->code : 1;
    r = judge(u, r, &answer, err);
    return r < 0 ? r : recover(u, err);
}

static int send_chunk(struct upload *u, struct error *err)
{
    auto_http_response struct http_response answer = {0};
    uint64_t expected = u->what->size_bytes - u->done_bytes < u->chunk_bytes
                            ? u->what->size_bytes
                            : u->done_bytes + u->chunk_bytes;
    uint64_t done_bytes;
    int r = patch_chunk(u, &answer, err);

    if (r < 0 || (answer.status != 202 && answer.status != 201 && answer.status != 204)) {
        r = judge(u, r, &answer, err);
        return r < 0 ? r : recover(u, err);
    }
    r = take_location(u, &answer, err);
    if (r < 0)
        return r;
    u->failures = 0;
    /* Without a range the registry has what it accepted. */
    return check_done(u, read_range(u, &answer, &done_bytes) ? done_bytes : expected, err);
}

static int finish(struct upload *u, struct error *err)
{
    for (;;) {
        auto_http_response struct http_response answer = {0};
        int r = put_rest(u, &answer, err);

        if (r == 0 && (answer.status == 201 || answer.status == 204))
            return check_stored(u, &answer, err);
        r = judge(u, r, &answer, err);
        if (r == 0)
            r = recover(u, err);
        if (r < 0)
            return r;
    }
}

/* From an open session to a stored blob. -ESTALE: the session is gone, nothing is lost but time. */
static int send_blob(struct upload *u, struct error *err)
{
    int r = 0;

    if (!u->in_chunks) {
        r = send_whole(u, err);
        if (r != 0)
            return r < 0 ? r : 0;
    }
    while (r == 0 && u->done_bytes < u->what->size_bytes)
        r = send_chunk(u, err);
    return r < 0 ? r : finish(u, err);
}

/* docker-registry 2 throws a session away when a request of it broke off, so that a whole blob may
 * have to be sent again; as often as any request is. */
static int upload(struct upload *u, struct error *err)
{
    unsigned sessions_max = http_attempts_max(registries_http(u->r->all));
    int r = 0;

    for (unsigned sessions = 0; sessions < sessions_max; sessions++) {
        if (!u->session)
            r = begin(u, NULL, err);
        if (r < 0)
            return r;
        r = send_blob(u, err);
        if (r != -ESTALE) {
            if (r < 0)
                abandon(u);
            return r;
        }
        set_session(u, NULL);
        u->done_bytes = 0;
        u->in_chunks = u->is_too_large;
    }
    return error_set(err, EREMOTEIO, "'%s' lost the upload %u times", u->endpoint->host,
                     sessions_max);
}

/* 1 mounted; 0 not, with perhaps a session begun instead. A registry that refuses to look into
 * another repository is no reason to fail. */
static int try_mounts(struct upload *u, struct error *err)
{
    const struct strv *from = u->what->mount_from;

    for (size_t i = 0; from && i < from->count; i++) {
        int r;

        if (text_equal(from->items[i], u->endpoint->repository))
            continue;
        if (u->session)
            abandon(u);
        r = begin(u, from->items[i], err);
        if (r == 1 || (r < 0 && r != -EACCES && r != -ENOENT && r != -EREMOTEIO))
            return r;
    }
    return 0;
}

static void upload_init(struct upload *u, struct registry *r, const struct blob_put *what)
{
    *u = (struct upload){
        .r = r,
        .endpoint = client_origin(r),
        .what = what,
        .chunk_bytes = CHUNK_SIZE,
    };
    digest_format(&what->digest, u->digest);
}

int registry_blob_put(struct registry *r, const struct blob_put *what, enum blob_put_result *out,
                      struct error *err)
{
    struct upload u;
    uint64_t size;
    int result = 0;

    upload_init(&u, r, what);
    if (!what->skip_check)
        result = registry_blob_exists(r, &what->digest, &size, err);
    if (result > 0)
        *out = BLOB_EXISTED;
    if (result != 0)
        return result < 0 ? result : 0;
    result = try_mounts(&u, err);
    if (result > 0)
        *out = BLOB_MOUNTED;
    if (result == 0) {
        result = upload(&u, err);
        if (result == 0)
            *out = BLOB_UPLOADED;
    }
    set_session(&u, NULL);
    if (result < 0 && result != -ECANCELED)
        return error_wrap(err, "blob %.*s", DIGEST_SHORT_SIZE, u.digest);
    return result < 0 ? result : 0;
}

/* -- a blob that is still being made -- */

struct blob_growing {
    struct upload upload;
    struct blob_put what; /* with the size it has by now */
};

struct blob_growing *registry_blob_grow_new(struct registry *r, const struct blob_put *what)
{
    struct blob_growing *g = mem_new(struct blob_growing);

    g->what = *what;
    g->what.size_bytes = 0;
    upload_init(&g->upload, r, &g->what);
    g->upload.in_chunks = true;
    return g;
}

int registry_blob_grow(struct blob_growing *g, uint64_t size_bytes, struct error *err)
{
    struct upload *u = &g->upload;
    int r = 0;

    g->what.size_bytes = size_bytes;
    if (!u->session && size_bytes >= GROWN_SIZE_MIN)
        r = begin(u, NULL, err);
    while (r == 0 && size_bytes - u->done_bytes >= GROWN_SIZE_MIN &&
           size_bytes - u->done_bytes >= u->chunk_min)
        r = send_chunk(u, err);
    return r;
}

int registry_blob_grow_end(struct blob_growing *g, const struct digest *digest, uint64_t size_bytes,
                           struct error *err)
{
    struct upload *u = &g->upload;
    int r;

    g->what.size_bytes = size_bytes;
    g->what.digest = *digest;
    digest_format(digest, u->digest);
    r = u->session ? 0 : begin(u, NULL, err);
    if (r == 0)
        r = send_blob(u, err);
    if (r == 0)
        set_session(u, NULL); /* nothing to take back */
    return r;
}

void registry_blob_grow_free(struct blob_growing *g)
{
    if (!g)
        return;
    abandon(&g->upload);
    set_session(&g->upload, NULL);
    free(g);
}

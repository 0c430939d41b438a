/* test_upload.c - blobs to a registry that forgets, refuses, moves sessions and loses connections. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/client_scene.h"
#include "tests/lib/test.h"

#define SIZE 300000u

/* Sessions of a registry that works, except for what it is told to do wrong. */
struct backend {
    pthread_mutex_t lock;
    struct str received;  /* of the current session */
    unsigned session;     /* its number */
    unsigned state;       /* changes with every answer, as the specification allows */
    bool is_complete;     /* PUT with the right digest came */
    size_t lose_after;    /* the next body: keep so many bytes, then drop the connection; 0: no */
    unsigned lose_status; /* or answer so instead of dropping it */
    bool forget;          /* the session is unknown from the next request on */
    size_t body_max;      /* larger bodies get 413; 0: no limit */
    unsigned skew;        /* the next PATCH gets 416 */
    const char *first;    /* more headers of the answer to POST */
    char digest[DIGEST_TEXT_SIZE]; /* of what was stored */
};

static void answer_session(struct fake_exchange *x, struct backend *b, unsigned status,
                           const char *more)
{
    auto_str struct str headers = {0};

    b->state++;
    str_addf(&headers, "Location: /v2/a/b/blobs/uploads/%u?state=%u\r\n", b->session, b->state);
    str_addf(&headers, "Range: 0-%zu\r\n%s", b->received.size > 0 ? b->received.size - 1 : 0, more);
    fake_reply(x, status, str_text(&headers), NULL, 0);
}

static bool is_current(const struct fake_exchange *x, const struct backend *b)
{
    unsigned session;
    unsigned state;

    return !b->forget &&
           sscanf(fake_path(x), "/v2/a/b/blobs/uploads/%u?state=%u", &session, &state) == 2 &&
           session == b->session && state == b->state;
}

static void take_body(struct fake_exchange *x, struct backend *b, struct fake_rule *lost)
{
    const struct str *body = fake_body(x);
    size_t size = body->size;

    if (b->lose_after > 0 && b->lose_after < size) {
        size = b->lose_after;
        *lost = (struct fake_rule){.status = b->lose_status, .resets = b->lose_status == 0};
        b->lose_after = 0;
    }
    str_add_bytes(&b->received, body->data, size);
}

/* A dropped connection: nothing is answered and the socket is reset. */
static void lose(struct fake_exchange *x, const struct fake_rule *lost)
{
    if (lost->resets)
        fake_drop(x);
    else
        fake_reply(x, lost->status, NULL, NULL, 0);
}

static void serve_put(struct fake_exchange *x, struct backend *b)
{
    const char *digest = strstr(fake_path(x), "digest=sha256%3A");
    struct fake_rule lost = {0};
    struct digest actual;

    take_body(x, b, &lost);
    if (lost.status || lost.resets) {
        lose(x, &lost);
        return;
    }
    digest_of(b->received.data, b->received.size, &actual);
    digest_format(&actual, b->digest);
    if (!digest ||
        strcmp(digest + strlen("digest=sha256%3A"), b->digest + strlen("sha256:")) != 0) {
        static const char body[] =
            "{\"errors\":[{\"code\":\"DIGEST_INVALID\",\"message\":\"other\"}]}";

        fake_reply(x, 400, NULL, body, strlen(body));
        return;
    }
    b->is_complete = true;
    fake_reply(x, 201, "Location: /v2/a/b/blobs/x\r\n", NULL, 0);
}

static void serve_patch(struct fake_exchange *x, struct backend *b)
{
    const char *range = fake_header(x, "content-range");
    struct fake_rule lost = {0};
    uint64_t first = UINT64_MAX;
    uint64_t last;

    if (!range || sscanf(range, "%" SCNu64 "-%" SCNu64, &first, &last) != 2 ||
        last - first + 1 != fake_body(x)->size || first != b->received.size || b->skew > 0) {
        b->skew = b->skew > 0 ? b->skew - 1 : 0;
        fake_reply(x, 416, NULL, NULL, 0);
        return;
    }
    take_body(x, b, &lost);
    if (lost.status || lost.resets)
        lose(x, &lost);
    else
        answer_session(x, b, 202, "");
}

static void serve_known(struct fake_exchange *x, struct backend *b)
{
    if (text_equal(fake_method(x), "GET"))
        answer_session(x, b, 204, "");
    else if (text_equal(fake_method(x), "PATCH"))
        serve_patch(x, b);
    else if (text_equal(fake_method(x), "PUT"))
        serve_put(x, b);
    else
        fake_reply(x, 204, NULL, NULL, 0);
}

static void serve(struct fake_exchange *x, void *context)
{
    struct backend *b = context;

    pthread_mutex_lock(&b->lock);
    if (text_equal(fake_method(x), "HEAD")) {
        fake_reply(x, b->is_complete ? 200 : 404, NULL, NULL, 0);
    } else if (text_equal(fake_method(x), "POST")) {
        b->session++;
        b->forget = false;
        str_truncate(&b->received, 0);
        answer_session(x, b, 202, b->first ? b->first : "");
    } else if (!is_current(x, b)) {
        fake_reply(x, 404, NULL, NULL, 0);
    } else if (b->body_max > 0 && fake_body(x)->size > b->body_max) {
        fake_reply(x, 413, NULL, NULL, 0);
    } else {
        serve_known(x, b);
    }
    pthread_mutex_unlock(&b->lock);
}

struct upload_scene {
    struct client_scene s;
    struct backend backend;
    struct str bytes;
    struct memory_source source;
    struct blob_put put;
    enum blob_put_result result;
};

/* `first`: a rule before the backend's own. */
static void upload_scene_init_before(struct upload_scene *u, size_t size,
                                     const struct fake_rule *first)
{
    *u = (struct upload_scene){0};
    client_scene_init(&u->s, REGISTRY_PUSH, NULL, NULL);
    pthread_mutex_init(&u->backend.lock, NULL);
    make_blob(7, size, &u->bytes);
    memory_source_init(&u->source, u->bytes.data, size);
    u->put.source = &u->source.source;
    u->put.size_bytes = size;
    digest_of(u->bytes.data, size, &u->put.digest);
    if (first)
        fake_registry_add(u->s.fake, first);
    fake_registry_add(
        u->s.fake,
        &(struct fake_rule){.path = "/v2/a/b/blobs/*", .serve = serve, .context = &u->backend});
}

static void upload_scene_init(struct upload_scene *u, size_t size)
{
    upload_scene_init_before(u, size, NULL);
}

static void upload_scene_release(struct upload_scene *u)
{
    client_scene_release(&u->s);
    str_release(&u->backend.received);
    str_release(&u->bytes);
}
DEFINE_CLEANUP_VALUE(upload_scene_release, struct upload_scene)
#define auto_upload_scene CLEANUP(upload_scene_release)

static int put(struct upload_scene *u, struct error *err)
{
    return registry_blob_put(u->s.r, &u->put, &u->result, err);
}

static void check_stored(struct upload_scene *u)
{
    char digest[DIGEST_TEXT_SIZE];

    digest_format(&u->put.digest, digest);
    check_true(u->backend.is_complete);
    check_text(u->backend.digest, digest);
    check_int(u->result, BLOB_UPLOADED);
}

static size_t count(struct upload_scene *u, const char *method)
{
    return fake_registry_count(u->s.fake, method, "/v2/a/b/blobs/uploads/*");
}

/* distribution-spec, "POST then PUT" */
TEST(upload, a_blob_goes_in_one_put)
{
    auto_upload_scene struct upload_scene u;

    upload_scene_init(&u, SIZE);
    check_ok(put(&u, &test_err));
    check_stored(&u);
    check_int(count(&u, "POST"), 1);
    check_int(count(&u, "PUT"), 1);
    check_int(count(&u, "PATCH"), 0);
}

TEST(upload, an_empty_blob_goes_too)
{
    auto_upload_scene struct upload_scene u;

    upload_scene_init(&u, 0);
    check_ok(put(&u, &test_err));
    check_stored(&u);
}

TEST(upload, what_is_there_is_not_sent)
{
    auto_upload_scene struct upload_scene u;

    upload_scene_init(&u, SIZE);
    u.backend.is_complete = true;
    check_ok(put(&u, &test_err));
    check_int(u.result, BLOB_EXISTED);
    check_int(count(&u, "POST"), 0);
    check_int(u.source.open_count, 0);
}

/* -- a blob that is still being made -- */

#define GROWN (40u << 20)

static void check_grown(struct upload_scene *u)
{
    char digest[DIGEST_TEXT_SIZE];

    digest_format(&u->put.digest, digest);
    check_true(u->backend.is_complete);
    check_text(u->backend.digest, digest);
}

/* "Pushing a blob in chunks": the digest comes with the PUT that ends the session. */
TEST(upload, a_blob_is_sent_while_it_grows)
{
    auto_upload_scene struct upload_scene u;
    struct blob_growing *g;

    upload_scene_init(&u, GROWN);
    g = registry_blob_grow_new(u.s.r, &u.put);
    check_ok(registry_blob_grow(g, 1u << 20, &test_err));
    check_int(count(&u, "POST"), 0); /* too little to begin with */
    check_ok(registry_blob_grow(g, 17u << 20, &test_err));
    check_int(count(&u, "PATCH"), 1);
    check_ok(registry_blob_grow(g, 30u << 20, &test_err));
    check_int(count(&u, "PATCH"), 1); /* too little to go on */
    check_int(u.backend.received.size, 17u << 20);
    check_ok(registry_blob_grow_end(g, &u.put.digest, GROWN, &test_err));
    registry_blob_grow_free(g);
    check_grown(&u);
    check_int(count(&u, "POST"), 1);
    check_int(count(&u, "PUT"), 1);
    check_int(count(&u, "DELETE"), 0);
}

TEST(upload, a_growing_blob_that_is_given_up_is_taken_back)
{
    auto_upload_scene struct upload_scene u;
    struct blob_growing *g;

    upload_scene_init(&u, GROWN);
    g = registry_blob_grow_new(u.s.r, &u.put);
    check_ok(registry_blob_grow(g, 17u << 20, &test_err));
    registry_blob_grow_free(g);
    check_int(count(&u, "DELETE"), 1);
    check_false(u.backend.is_complete);
    registry_blob_grow_free(NULL);
}

TEST(upload, a_lost_connection_does_not_stop_what_grows)
{
    auto_upload_scene struct upload_scene u;
    struct blob_growing *g;

    upload_scene_init(&u, GROWN);
    u.backend.lose_after = 5u << 20;
    g = registry_blob_grow_new(u.s.r, &u.put);
    check_ok(registry_blob_grow(g, 24u << 20, &test_err));
    check_int(count(&u, "GET"), 1);
    check_int(u.backend.received.size, 24u << 20);
    u.backend.skew = 1;
    check_ok(registry_blob_grow_end(g, &u.put.digest, GROWN, &test_err));
    registry_blob_grow_free(g);
    check_grown(&u);
}

/* A digest that is not that of the bytes: refused, and nothing is left. */
TEST(upload, what_grew_to_something_else_is_refused)
{
    auto_upload_scene struct upload_scene u;
    struct blob_growing *g;

    upload_scene_init(&u, GROWN);
    g = registry_blob_grow_new(u.s.r, &u.put);
    check_ok(registry_blob_grow(g, 17u << 20, &test_err));
    u.put.digest.bytes[0] ^= 1;
    check_fails(registry_blob_grow_end(g, &u.put.digest, GROWN, &test_err), EREMOTEIO);
    registry_blob_grow_free(g);
    check_false(u.backend.is_complete);
    check_int(count(&u, "DELETE"), 1);
}

/* "Pushing a blob in chunks": after a lost connection the registry is asked where it stands. */
TEST(upload, a_lost_connection_goes_on_where_it_stopped)
{
    auto_upload_scene struct upload_scene u;

    upload_scene_init(&u, SIZE);
    u.backend.lose_after = 100000;
    check_ok(put(&u, &test_err));
    check_stored(&u);
    check_int(count(&u, "POST"), 1);
    check_int(count(&u, "GET"), 1);
    check_int(count(&u, "PATCH"), 1);
}

/* "0-0" is what registries say of nothing and of one byte. */
TEST(upload, a_single_byte_is_not_lost)
{
    auto_upload_scene struct upload_scene u;

    upload_scene_init(&u, SIZE);
    u.backend.lose_after = 1;
    check_ok(put(&u, &test_err));
    check_stored(&u);
}

TEST(upload, a_server_error_goes_on_where_it_stopped)
{
    auto_upload_scene struct upload_scene u;

    upload_scene_init(&u, SIZE);
    u.backend.lose_after = 100000;
    u.backend.lose_status = 502;
    check_ok(put(&u, &test_err));
    check_stored(&u);
    check_int(count(&u, "POST"), 1);
}

/* 416: the client's idea of the offset is wrong, the session's is right. */
TEST(upload, a_416_asks_where_the_registry_stands)
{
    auto_upload_scene struct upload_scene u;

    upload_scene_init(&u, SIZE);
    u.backend.lose_after = 100000;
    u.backend.skew = 1;
    check_ok(put(&u, &test_err));
    check_stored(&u);
    check_int(count(&u, "PATCH"), 2);
    check_int(count(&u, "GET"), 2);
}

/* Reverse proxies limit bodies; chunks shrink until they fit. */
TEST(upload, a_413_makes_the_parts_smaller)
{
    auto_upload_scene struct upload_scene u;

    upload_scene_init(&u, 20u << 20);
    u.backend.body_max = 17u << 20;
    check_ok(put(&u, &test_err));
    check_stored(&u);
    check_true(count(&u, "PATCH") >= 2);
}

static void forget_later(void *context, uint64_t done_bytes)
{
    struct upload_scene *u = context;

    if (done_bytes > 0 && u->backend.session == 1)
        u->backend.forget = true;
}

TEST(upload, a_forgotten_session_is_begun_anew)
{
    auto_upload_scene struct upload_scene u;

    upload_scene_init(&u, SIZE);
    u.put.on_progress = forget_later;
    u.put.context = &u;
    check_ok(put(&u, &test_err));
    check_stored(&u);
    check_int(count(&u, "POST"), 2);
}

TEST(upload, a_refused_digest_is_not_tried_again)
{
    auto_upload_scene struct upload_scene u;
    auto_free char *sentence = NULL;
    struct error err = {0};

    upload_scene_init(&u, SIZE);
    digest_of("other", 5, &u.put.digest);
    check_fails(put(&u, &err), EREMOTEIO);
    /* sha256 of "other", by sha256sum(1) */
    sentence = str_format("blob sha256:%.12s: '%s' answers with status 400 to upload of 'a/b': "
                          "DIGEST_INVALID: other",
                          "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa",
                          fake_registry_host(u.s.fake));
    check_error(&err, EREMOTEIO, sentence);
    check_int(count(&u, "PUT"), 1);
    check_int(count(&u, "DELETE"), 1);
}

/* What a registry says it has stored: the same digest, or one of another algorithm, which cannot be told
 * from here; never another one of ours. */
static int put_and_be_told(enum digest_algorithm asked, enum digest_algorithm told,
                           const void *text, size_t size, struct error *err)
{
    auto_upload_scene struct upload_scene u = {0};
    auto_free char *headers = NULL;
    struct digest digest;
    char name[DIGEST_TEXT_SIZE];

    client_scene_init(&u.s, REGISTRY_PUSH, NULL, NULL);
    make_blob(7, SIZE, &u.bytes);
    memory_source_init(&u.source, u.bytes.data, SIZE);
    u.put = (struct blob_put){.source = &u.source.source, .size_bytes = SIZE};
    digest_of_as(asked, u.bytes.data, SIZE, &u.put.digest);
    digest_of_as(told, text ? text : u.bytes.data, text ? size : SIZE, &digest);
    digest_format(&digest, name);
    headers = str_format("Docker-Content-Digest: %s\r\n", name);
    fake_registry_add(u.s.fake,
                      &(struct fake_rule){.method = "POST",
                                          .path = asked == DIGEST_SHA512
                                                      ? "*/uploads/[?]digest-algorithm=sha512"
                                                      : "*/uploads/",
                                          .status = 202,
                                          .headers = "Location: /v2/a/b/blobs/uploads/1\r\n"});
    fake_registry_add(u.s.fake,
                      &(struct fake_rule){.method = "PUT", .status = 201, .headers = headers});
    return put(&u, err);
}

TEST(upload, what_a_registry_says_it_has_stored_is_compared)
{
    check_ok(put_and_be_told(DIGEST_SHA256, DIGEST_SHA256, NULL, 0, &test_err));
    check_ok(put_and_be_told(DIGEST_SHA512, DIGEST_SHA512, NULL, 0, &test_err));
    check_ok(put_and_be_told(DIGEST_SHA512, DIGEST_SHA256, NULL, 0, &test_err));
    check_fails(put_and_be_told(DIGEST_SHA256, DIGEST_SHA256, "x", 1, &test_err), EBADMSG);
    check_fails(put_and_be_told(DIGEST_SHA512, DIGEST_SHA512, "x", 1, &test_err), EBADMSG);
}

TEST(upload, a_source_that_fails_is_reported_as_such)
{
    auto_upload_scene struct upload_scene u;
    struct error err = {0};

    upload_scene_init(&u, SIZE);
    u.source.size = SIZE - 1;
    check_fails(put(&u, &err), EIO);
    check_contains(err.text, "ends 1 bytes early");
    check_int(u.source.open_count, 1);
    check_int(count(&u, "PATCH"), 0);
}

TEST(upload, a_minimal_chunk_length_is_obeyed)
{
    auto_upload_scene struct upload_scene u;

    upload_scene_init(&u, 20u << 20);
    u.backend.first = "OCI-Chunk-Min-Length: 18874368\r\n";
    u.backend.lose_after = 2;
    u.backend.lose_status = 502;
    check_ok(put(&u, &test_err));
    check_stored(&u);
    check_int(count(&u, "PATCH"), 1);
}

/* distribution-spec, "Mounting a blob from another repository" */
TEST(upload, a_neighbour_may_have_it)
{
    auto_upload_scene struct upload_scene u;
    auto_strv struct strv from = {0};
    auto_free char *path = NULL;
    auto_str struct str bytes = {0};
    char digest[DIGEST_TEXT_SIZE];
    struct digest digest_value;

    make_blob(7, SIZE, &bytes);
    digest_of(bytes.data, bytes.size, &digest_value);
    digest_format(&digest_value, digest);
    path = str_format("/v2/a/b/blobs/uploads/[?]mount=sha256%%3A%s&from=base%%2Fdebian",
                      digest + strlen("sha256:"));
    upload_scene_init_before(&u, SIZE,
                             &(struct fake_rule){.method = "POST", .path = path, .status = 201});
    strv_add(&from, "a/b");
    strv_add(&from, "base/debian");
    u.put.mount_from = &from;
    check_ok(put(&u, &test_err));
    check_int(u.result, BLOB_MOUNTED);
    check_int(u.source.open_count, 0);
}

/* 202 instead of 201: the registry began a session, which is then used. */
TEST(upload, a_mount_that_does_not_work_falls_through)
{
    auto_upload_scene struct upload_scene u;
    auto_strv struct strv from = {0};

    upload_scene_init(&u, SIZE);
    strv_add(&from, "base/debian");
    u.put.mount_from = &from;
    check_ok(put(&u, &test_err));
    check_stored(&u);
    check_int(count(&u, "POST"), 1);
}

TEST(upload, a_mount_that_is_refused_falls_through)
{
    auto_upload_scene struct upload_scene u;
    auto_strv struct strv from = {0};

    upload_scene_init_before(
        &u, SIZE, &(struct fake_rule){.method = "POST", .path = "*mount=*", .status = 403});
    strv_add(&from, "private/base");
    u.put.mount_from = &from;
    check_ok(put(&u, &test_err));
    check_stored(&u);
    check_int(count(&u, "POST"), 2);
}

static void answer_location(struct fake_exchange *x, void *context)
{
    bool is_post = text_equal(fake_method(x), "POST");

    fake_reply(x, is_post ? 202 : 201, is_post ? context : NULL, NULL, 0);
}

static int put_to_location(const char *location, struct upload_scene *u,
                           struct fake_registry *other, struct error *err)
{
    upload_scene_init_before(
        u, SIZE,
        &(struct fake_rule){.serve = answer_location, .context = (void *)(uintptr_t)location});
    u->put.skip_check = true;
    if (other)
        fake_registry_add(other, &(struct fake_rule){.method = "PUT", .status = 201});
    return put(u, err);
}

TEST(upload, locations_may_be_relative)
{
    static const char *const locations[] = {"Location: 17?x=y\r\n",
                                            "Location: /v2/a/b/blobs/uploads/17?x=y\r\n"};

    for (size_t i = 0; i < 2; i++) {
        auto_upload_scene struct upload_scene u;

        check_ok(put_to_location(locations[i], &u, NULL, &test_err));
        check_int(
            fake_registry_count(u.s.fake, "PUT", "/v2/a/b/blobs/uploads/17[?]x=y&digest=sha256%3A"),
            1);
    }
}

/* SECURITY R43: an upload session on another host gets no credentials. */
TEST(upload, a_session_elsewhere_sees_no_credentials)
{
    auto_fake_registry struct fake_registry *other = fake_registry_start();
    auto_free char *location = str_format("Location: %s\r\n", fake_registry_url(other, "/up/1"));
    auto_upload_scene struct upload_scene u;

    check_ok(put_to_location(location, &u, other, &test_err));
    check_int(fake_registry_count(other, "PUT", "/up/1[?]digest=*"), 1);
    check_lacks(fake_registry_log(other), "auth=");
}

TEST(upload, a_session_in_clear_text_elsewhere_is_refused)
{
    auto_upload_scene struct upload_scene u;

    check_fails(put_to_location("Location: http://h.example/up/1\r\n", &u, NULL, &test_err),
                EACCES);
}

TEST(upload, a_session_without_location_is_refused)
{
    auto_upload_scene struct upload_scene u;
    struct error err = {0};

    check_fails(put_to_location("X-None: 1\r\n", &u, NULL, &err), EPROTO);
    check_contains(err.text, "begins an upload without saying where");
}

/* A token that runs out in the middle of an upload is replaced there. */
struct gate {
    struct backend *backend;
    unsigned valid; /* "Bearer t<valid>" is the token of the moment */
    unsigned rotate_after;
    unsigned seen;
};

static void guard(struct fake_exchange *x, void *context)
{
    struct gate *g = context;
    const char *authorization = fake_header(x, "authorization");
    auto_free char *expected = str_format("Bearer t%u", g->valid);
    auto_free char *challenge = NULL;

    if (text_equal(authorization, expected)) {
        if (++g->seen == g->rotate_after)
            g->valid++;
        serve(x, g->backend);
        return;
    }
    challenge = str_format("WWW-Authenticate: Bearer realm=\"http://%s/token\",service=\"r\"\r\n",
                           fake_header(x, "host"));
    fake_reply(x, 401, challenge, NULL, 0);
}

static void give_token(struct fake_exchange *x, void *context)
{
    struct gate *g = context;
    auto_free char *body = str_format("{\"token\":\"t%u\",\"expires_in\":3600}", g->valid);

    fake_reply(x, 200, NULL, body, strlen(body));
}

/* During the POST, the PUT, and the HEAD before both. */
TEST(upload, a_token_that_expires_in_the_middle_is_replaced)
{
    for (unsigned rotate_after = 1; rotate_after <= 2; rotate_after++) {
        struct gate g = {.valid = 1, .rotate_after = rotate_after};
        auto_upload_scene struct upload_scene u;

        upload_scene_init_before(
            &u, SIZE, &(struct fake_rule){.path = "/v2/a/b/*", .serve = guard, .context = &g});
        g.backend = &u.backend;
        fake_registry_add(
            u.s.fake, &(struct fake_rule){.path = "/token*", .serve = give_token, .context = &g});
        check_ok(put(&u, &test_err));
        check_stored(&u);
        check_int(fake_registry_count(u.s.fake, "GET", "/token"), 2);
        check_contains(fake_registry_log(u.s.fake), "scope=repository%3Aa%2Fb%3Apull%2Cpush");
    }
}

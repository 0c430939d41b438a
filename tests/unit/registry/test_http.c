/* test_http.c - one HTTP request against a server that behaves as told. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "fs/base/io.h"
#include "registry/http.h"
#include "tests/lib/fake_registry.h"
#include "tests/lib/http_scene.h"
#include "tests/lib/test.h"

TEST(http, an_answer_has_status_headers_and_body)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};

    fake_registry_add(f, &(struct fake_rule){.path = "/a",
                                             .headers = "X-One:  first \r\nx-one: second\r\n",
                                             .body = "hello"});
    check_ok(quick_get(h, fake_registry_url(f, "/a"), &answer, &test_err));
    check_int(answer.status, 200);
    check_text(str_text(&answer.body), "hello");
    check_text(http_header(&answer, "x-one"), "second");
    check_text(http_header(&answer, "x-two"), NULL);
    check_text(answer.url, fake_registry_url(f, "/a"));
}

/* RFC 9110 15.5: the caller decides what a refusal means. */
TEST(http, a_refusal_is_an_answer)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};

    fake_registry_add(f, &(struct fake_rule){.status = 403, .body = "no"});
    check_ok(quick_get(h, fake_registry_url(f, "/"), &answer, &test_err));
    check_int(answer.status, 403);
    check_text(str_text(&answer.body), "no");
    check_int(fake_registry_count(f, "GET", "/"), 1);
}

TEST(http, connections_are_kept_alive)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);

    fake_registry_add(f, &(struct fake_rule){.body = "x"});
    for (int i = 0; i < 5; i++) {
        auto_http_response struct http_response answer = {0};

        check_ok(quick_get(h, fake_registry_url(f, "/"), &answer, &test_err));
    }
    check_int(fake_registry_connections(f), 1);
}

/* SECURITY R46: clear text is for this machine and hosts the user named. */
TEST(http, plain_http_to_another_host_is_refused)
{
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct error err = {0};

    check_fails(quick_get(h, "http://registry.example:5000/v2/", &answer, &err), EACCES);
    check_error(&err, EACCES, "plain HTTP to 'registry.example:5000' is not allowed");
    check_hint(&err, "allow it with --insecure-registry registry.example:5000");
    check_false(http_is_insecure(h, "registry.example:5000"));
    http_allow_insecure(h, "registry.example");
    check_true(http_is_insecure(h, "registry.example:5000"));
}

TEST(http, an_unreachable_host_is_named)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_free char *url = mem_strdup(fake_registry_url(f, "/"));
    auto_free char *host = mem_strdup(fake_registry_host(f));
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    auto_free char *sentence = str_format("cannot connect to '%s': Connection refused", host);
    struct error err = {0};

    fake_registry_stop(STEAL(&f));
    check_fails(quick_get(h, url, &answer, &err), ECONNREFUSED);
    check_error(&err, ECONNREFUSED, sentence);
}

TEST(http, a_name_without_address_is_named)
{
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct error err = {0};

    check_fails(quick_get(h, "https://nowhere.invalid/", &answer, &err), EHOSTUNREACH);
    check_error(&err, EHOSTUNREACH, "cannot find the address of 'nowhere.invalid'");
}

/* R43: CVE-2018-1000007, CVE-2022-27774: another port is another origin. */
TEST(http, a_redirect_to_another_origin_loses_the_authorization)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_fake_registry struct fake_registry *other = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    auto_free char *location = str_format("Location: %s\r\n", fake_registry_url(other, "/b"));
    auto_free char *back = str_format("Location: %s\r\n", fake_registry_url(f, "/c"));
    struct http_request request = {
        .method = "GET", .url = fake_registry_url(f, "/a"), .authorization = "Bearer s3cret"};

    fake_registry_add(f, &(struct fake_rule){.path = "/a", .status = 307, .headers = location});
    fake_registry_add(other, &(struct fake_rule){.path = "/b", .status = 307, .headers = back});
    fake_registry_add(f, &(struct fake_rule){.path = "/c", .body = "end"});
    check_ok(http_request(h, &request, &answer, &test_err));
    check_text(str_text(&answer.body), "end");
    check_text(fake_registry_log(f), "GET /a auth=Bearer s3cret\nGET /c\n");
    check_text(fake_registry_log(other), "GET /b\n");
    check_text(answer.url, fake_registry_url(f, "/c"));
}

TEST(http, a_redirect_on_the_same_origin_keeps_the_authorization)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct http_request request = {
        .method = "GET", .url = fake_registry_url(f, "/a"), .authorization = "Basic x"};

    fake_registry_add(
        f, &(struct fake_rule){.path = "/a", .status = 302, .headers = "Location: b?c=d\r\n"});
    fake_registry_add(f, &(struct fake_rule){.path = "/b[?]c=d", .body = "end"});
    check_ok(http_request(h, &request, &answer, &test_err));
    check_text(fake_registry_log(f), "GET /a auth=Basic x\nGET /b?c=d auth=Basic x\n");
}

TEST(http, endless_redirects_end)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct error err = {0};

    fake_registry_add(f, &(struct fake_rule){.status = 302, .headers = "Location: /again\r\n"});
    check_fails(quick_get(h, fake_registry_url(f, "/"), &answer, &err), ELOOP);
    check_error(&err, ELOOP, "'127.0.0.1' redirects more than 5 times");
    check_int(fake_registry_count(f, "GET", "/*"), 6);
}

TEST(http, a_redirect_to_clear_text_elsewhere_is_refused)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};

    fake_registry_add(
        f, &(struct fake_rule){.status = 302, .headers = "Location: http://h.example/\r\n"});
    check_fails(quick_get(h, fake_registry_url(f, "/"), &answer, &test_err), EACCES);
}

TEST(http, a_redirect_can_be_left_to_the_caller)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct http_request request = {
        .method = "GET", .url = fake_registry_url(f, "/"), .no_redirects = true};

    fake_registry_add(f, &(struct fake_rule){.status = 302, .headers = "Location: /x\r\n"});
    check_ok(http_request(h, &request, &answer, &test_err));
    check_int(answer.status, 302);
}

/* A body follows 307, whose meaning is "the same again over there", and nothing else. */
TEST(http, a_body_follows_307_only)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    static const unsigned statuses[] = {307, 302};

    for (size_t i = 0; i < 2; i++) {
        auto_http_response struct http_response answer = {0};
        auto_free char *path = str_format("/%u", statuses[i]);
        struct http_request request = {
            .method = "PUT", .url = fake_registry_url(f, path), .body = "abc", .body_size = 3};

        fake_registry_add(f, &(struct fake_rule){.path = path,
                                                 .status = statuses[i],
                                                 .headers = "Location: /new\r\n"});
        fake_registry_add(f, &(struct fake_rule){.path = "/new", .status = 201});
        check_ok(http_request(h, &request, &answer, &test_err));
        check_int(answer.status, i == 0 ? 201 : 302);
    }
    check_int(fake_registry_count(f, "PUT", "/new"), 1);
}

TEST(http, passing_refusals_are_tried_again)
{
    static const unsigned statuses[] = {408, 429, 500, 502, 503, 504};

    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        auto_fake_registry struct fake_registry *f = fake_registry_start();
        auto_http struct http *h = quick_http(NULL);
        auto_http_response struct http_response answer = {0};

        fake_registry_add(f, &(struct fake_rule){.status = statuses[i], .times = 2});
        fake_registry_add(f, &(struct fake_rule){.body = "at last"});
        check_ok(quick_get(h, fake_registry_url(f, "/"), &answer, &test_err));
        check_int(answer.status, 200);
        check_text(str_text(&answer.body), "at last");
    }
}

TEST(http, trying_again_has_an_end)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};

    fake_registry_add(f, &(struct fake_rule){.status = 503});
    check_ok(quick_get(h, fake_registry_url(f, "/"), &answer, &test_err));
    check_int(answer.status, 503);
    check_int(fake_registry_count(f, "GET", "/"), 3);
}

TEST(http, a_reset_is_tried_again)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};

    fake_registry_add(f, &(struct fake_rule){.resets = true, .times = 2});
    fake_registry_add(f, &(struct fake_rule){.body = "at last"});
    check_ok(quick_get(h, fake_registry_url(f, "/"), &answer, &test_err));
    check_text(str_text(&answer.body), "at last");
}

/* RFC 9110 9.2.2: only what is idempotent may be repeated unasked. */
TEST(http, a_post_is_not_tried_again)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct http_request request = {.method = "POST", .url = fake_registry_url(f, "/")};

    fake_registry_add(f, &(struct fake_rule){.status = 503});
    check_ok(http_request(h, &request, &answer, &test_err));
    check_int(answer.status, 503);
    check_int(fake_registry_count(f, "POST", "/"), 1);
    request.retry_unsafe = true;
    check_ok(http_request(h, &request, &answer, &test_err));
    check_int(fake_registry_count(f, "POST", "/"), 4);
}

/* RFC 9110 10.2.3 */
TEST(http, retry_after_is_obeyed)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    uint64_t start = io_ticks_ns();

    fake_registry_add(
        f, &(struct fake_rule){.status = 429, .times = 1, .headers = "Retry-After: 1\r\n"});
    fake_registry_add(f, &(struct fake_rule){.body = "x"});
    check_ok(quick_get(h, fake_registry_url(f, "/"), &answer, &test_err));
    check_int(answer.status, 200);
    check_true(io_ticks_ns() - start >= 1000000000);
}

TEST(http, a_rate_limit_says_when_it_ends)
{
    static const struct {
        const char *name;
        const char *value;
        uint64_t ms;
    } cases[] = {
        {"retry-after", "3", 3000},     {"retry-after", "soon", 0},
        {"ratelimit-reset", "7", 7000}, {"ratelimit-reset", "1000000001", 0},
        {"ratelimit-reset", "-1", 0},   {"x-other", "5", 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_http_response struct http_response answer = {.status = 429};
        struct http_header *header = array_add(&answer.headers);

        header->name = mem_strdup(cases[i].name);
        header->value = mem_strdup(cases[i].value);
        check_int(http_retry_after_ms(&answer), cases[i].ms);
    }
}

/* RFC 9110 10.2.3 and 5.6.7: Retry-After may be a date, which is in GMT. */
static uint64_t retry_after_date_ms(int64_t seconds_from_now)
{
    auto_http_response struct http_response answer = {.status = 503};
    struct http_header *header = array_add(&answer.headers);
    time_t then = time(NULL) + (time_t)seconds_from_now;
    struct tm date;
    char text[64];

    check_true(gmtime_r(&then, &date) != NULL);
    check_true(strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &date) > 0);
    header->name = mem_strdup("retry-after");
    header->value = mem_strdup(text);
    return http_retry_after_ms(&answer);
}

TEST(http, a_date_to_come_again_is_waited_for_and_a_past_one_is_not)
{
    uint64_t ms = retry_after_date_ms(1000);

    check_true(ms > 0 && ms <= 1000000);
    check_int(retry_after_date_ms(-1000), 0);
}

TEST(http, a_retry_after_nobody_waits_for_is_shown)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    static const char *const headers[] = {"Retry-After: 86400\r\n",
                                          "Retry-After: Fri, 31 Dec 2099 23:59:59 GMT\r\n"};

    for (size_t i = 0; i < 2; i++) {
        auto_http_response struct http_response answer = {0};

        fake_registry_add(f, &(struct fake_rule){.status = 429, .times = 1, .headers = headers[i]});
        check_ok(quick_get(h, fake_registry_url(f, "/"), &answer, &test_err));
        check_int(answer.status, 429);
    }
    check_int(fake_registry_count(f, "GET", "/"), 2);
}

TEST(http, a_body_goes_to_the_sink)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct keeper k = keeper();
    struct http_request request = {
        .method = "GET", .url = fake_registry_url(f, "/"), .sink = &k.writer, .sink_size_max = 5};

    fake_registry_add(f, &(struct fake_rule){.body = "hello"});
    check_ok(http_request(h, &request, &answer, &test_err));
    check_text(str_text(&k.bytes), "hello");
    check_int(answer.sink_bytes, 5);
    check_int(answer.body.size, 0);
    str_release(&k.bytes);
}

TEST(http, a_refusal_never_reaches_the_sink)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct keeper k = keeper();
    struct http_request request = {
        .method = "GET", .url = fake_registry_url(f, "/"), .sink = &k.writer, .sink_size_max = 50};

    fake_registry_add(f, &(struct fake_rule){.status = 404, .body = "not here"});
    check_ok(http_request(h, &request, &answer, &test_err));
    check_int(k.bytes.size, 0);
    check_text(str_text(&answer.body), "not here");
}

/* R33: the size of a descriptor is a hard cap. */
TEST(http, more_than_the_sink_may_get_is_an_error)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct keeper k = keeper();
    struct http_request request = {
        .method = "GET", .url = fake_registry_url(f, "/"), .sink = &k.writer, .sink_size_max = 4};

    fake_registry_add(f, &(struct fake_rule){.body = "hello"});
    check_fails(http_request(h, &request, &answer, &test_err), EFBIG);
    check_true(k.bytes.size <= 4);
    str_release(&k.bytes);
}

TEST(http, an_endless_body_is_cut_off)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};

    fake_registry_add(f, &(struct fake_rule){.endless_body = true});
    check_fails(quick_get(h, fake_registry_url(f, "/"), &answer, &test_err), EFBIG);
    check_true(answer.body.size <= 1u << 20);
    check_int(fake_registry_count(f, "GET", "/"), 1);
}

/* R46: 256 KiB of headers are enough. */
TEST(http, endless_headers_are_cut_off)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};

    fake_registry_add(f, &(struct fake_rule){.endless_headers = true});
    check_fails(quick_get(h, fake_registry_url(f, "/"), &answer, &test_err), EFBIG);
}

TEST(http, a_failing_sink_ends_the_request_with_its_own_sentence)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct keeper k = {.writer = {.write = keep}, .fail_after = 3};
    struct http_request request = {
        .method = "GET", .url = fake_registry_url(f, "/"), .sink = &k.writer, .sink_size_max = 50};
    struct error err = {0};

    fake_registry_add(f, &(struct fake_rule){.body = "hello"});
    check_fails(http_request(h, &request, &answer, &err), ENOSPC);
    check_error(&err, ENOSPC, "the sink is full");
    check_true(answer.is_local_fault);
    check_int(fake_registry_count(f, "GET", "/"), 1);
}

TEST(http, an_early_end_is_an_error_once_the_sink_has_bytes)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct keeper k = keeper();
    struct http_request request = {
        .method = "GET", .url = fake_registry_url(f, "/"), .sink = &k.writer, .sink_size_max = 50};

    fake_registry_add(f, &(struct fake_rule){.body = "hello", .cut_after = 3});
    check_fails(http_request(h, &request, &answer, &test_err), EIO);
    check_text(str_text(&k.bytes), "hel");
    check_int(answer.sink_bytes, 3);
    check_true(answer.may_try_again);
    check_false(answer.is_local_fault);
    check_int(fake_registry_count(f, "GET", "/"), 1);
    str_release(&k.bytes);
}

TEST(http, an_early_end_in_memory_is_tried_again)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};

    fake_registry_add(f, &(struct fake_rule){.body = "hello", .cut_after = 3, .times = 1});
    fake_registry_add(f, &(struct fake_rule){.body = "hello"});
    check_ok(quick_get(h, fake_registry_url(f, "/"), &answer, &test_err));
    check_text(str_text(&answer.body), "hello");
}

/* A source over memory that counts how often it was opened. */
struct memory_source {
    struct body_source source;
    const char *bytes;
    size_t size;
    unsigned opens;
};

static int open_memory(struct body_source *s, uint64_t offset, struct reader **out,
                       struct error *err)
{
    struct memory_source *m = (struct memory_source *)s;

    (void)err;
    m->opens++;
    *out = memory_reader_new(m->bytes + offset, m->size - (size_t)offset);
    return 0;
}

static void keep_body(struct fake_exchange *x, void *context)
{
    str_add_bytes(context, fake_body(x)->data, fake_body(x)->size);
    fake_reply(x, 201, NULL, NULL, 0);
}

TEST(http, a_part_of_a_source_is_sent)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    auto_str struct str got = {0};
    struct memory_source m = {.source.open = open_memory, .bytes = "0123456789", .size = 10};
    struct http_request request = {.method = "PATCH",
                                   .url = fake_registry_url(f, "/"),
                                   .source = &m.source,
                                   .source_offset = 3,
                                   .source_size = 4};

    fake_registry_add(f, &(struct fake_rule){.serve = keep_body, .context = &got});
    check_ok(http_request(h, &request, &answer, &test_err));
    check_int(answer.status, 201);
    check_text(str_text(&got), "3456");
}

TEST(http, a_repeated_request_sends_its_body_from_the_start)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    auto_str struct str got = {0};
    struct memory_source m = {.source.open = open_memory, .bytes = "0123456789", .size = 10};
    struct http_request request = {
        .method = "PUT", .url = fake_registry_url(f, "/"), .source = &m.source, .source_size = 10};

    fake_registry_add(f, &(struct fake_rule){.status = 502, .times = 1});
    fake_registry_add(f, &(struct fake_rule){.serve = keep_body, .context = &got});
    check_ok(http_request(h, &request, &answer, &test_err));
    check_text(str_text(&got), "0123456789");
    check_int(m.opens, 2);
}

TEST(http, a_source_that_ends_early_is_a_fault_of_ours)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct memory_source m = {.source.open = open_memory, .bytes = "0123456789", .size = 10};
    struct http_request request = {
        .method = "PUT", .url = fake_registry_url(f, "/"), .source = &m.source, .source_size = 12};

    fake_registry_add(f, &(struct fake_rule){.status = 201});
    check_fails(http_request(h, &request, &answer, &test_err), EIO);
    check_true(answer.is_local_fault);
}

TEST(http, an_empty_post_says_so)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct http_request request = {.method = "POST", .url = fake_registry_url(f, "/")};

    fake_registry_add(f, &(struct fake_rule){.status = 202});
    check_ok(http_request(h, &request, &answer, &test_err));
    check_int(answer.status, 202);
}

struct many {
    struct http *http;
    const char *url;
};

static void *get_many(void *arg)
{
    struct many *m = arg;

    for (int i = 0; i < 20; i++) {
        auto_http_response struct http_response answer = {0};
        struct keeper k = keeper();
        struct http_request request = {
            .method = "GET", .url = m->url, .sink = &k.writer, .sink_size_max = 1000};
        struct error err = {0};

        if (http_request(m->http, &request, &answer, &err) < 0 || k.bytes.size != 5)
            return m;
        str_release(&k.bytes);
    }
    return NULL;
}

/* Kind to registries: four bodies per host. */
TEST(http, threads_share_a_client_and_its_connections)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    struct many m = {.http = h, .url = fake_registry_url(f, "/")};
    pthread_t threads[8];

    fake_registry_add(f, &(struct fake_rule){.body = "hello", .delay_ms = 2});
    for (size_t i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, get_many, &m);
    for (size_t i = 0; i < 8; i++) {
        void *failure;

        pthread_join(threads[i], &failure);
        check_true(failure == NULL);
    }
    check_true(fake_registry_connections(f) <= 4);
    check_int(fake_registry_count(f, "GET", "/"), 160);
}

/* R49: neither the query nor userinfo of a URL may be shown. */
TEST(http, sentences_hold_no_query)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct error err = {0};

    fake_registry_add(f, &(struct fake_rule){.body = "hello", .cut_after = 3});
    check_fails(quick_get(h, fake_registry_url(f, "/x?token=hunter2"), &answer, &err), EIO);
    check_lacks(err.text, "hunter2");
}

/* test_http_wait.c - servers that say nothing or little, sinks that are slow, and who does not wait for them. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "registry/http.h"
#include "tests/lib/fake_registry.h"
#include "tests/lib/http_scene.h"
#include "tests/lib/test.h"

static void note_silence(void *context, unsigned silent_ms)
{
    str_addf(context, "%u ", silent_ms);
}

TEST(http_wait, silence_is_told_of_again_and_again)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    const struct http_options options = {.silence_ms = 200, .stall_timeout_ms = 1000};
    auto_http struct http *h = http_new(&options);
    auto_http_response struct http_response answer = {0};
    auto_str struct str told = {0};
    struct http_request request = {.method = "GET",
                                   .url = fake_registry_url(f, "/"),
                                   .no_retries = true,
                                   .on_silence = note_silence,
                                   .context = &told};

    fake_registry_add(f, &(struct fake_rule){.silent = true});
    check_fails(http_request(h, &request, &answer, &test_err), ETIMEDOUT);
    check_true(text_starts(str_text(&told), "200 "));
    check_contains(str_text(&told), " 800 ");
}

TEST(http_wait, who_is_answered_hears_of_no_silence)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    const struct http_options options = {.silence_ms = 5000};
    auto_http struct http *h = http_new(&options);
    auto_http_response struct http_response answer = {0};
    auto_str struct str told = {0};
    struct http_request request = {.method = "GET",
                                   .url = fake_registry_url(f, "/"),
                                   .on_silence = note_silence,
                                   .context = &told};

    fake_registry_add(f, &(struct fake_rule){.body = "0123456789", .drip_ms = 20});
    check_ok(http_request(h, &request, &answer, &test_err));
    check_int(told.size, 0);
}

TEST(http_wait, silence_is_cut_off)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct http_request request = {
        .method = "GET", .url = fake_registry_url(f, "/"), .no_retries = true};

    fake_registry_add(f, &(struct fake_rule){.silent = true});
    check_fails(http_request(h, &request, &answer, &test_err), ETIMEDOUT);
    check_true(answer.may_try_again);
}

/* R46: one byte now and then keeps a connection open, but not ours. */
TEST(http_wait, dripping_is_cut_off)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    auto_free char *host = mem_strdup(fake_registry_host(f));
    auto_free char *sentence = str_format("'%s' moves fewer than 100 bytes a second", host);
    struct http_request request = {
        .method = "GET", .url = fake_registry_url(f, "/"), .no_retries = true};
    struct error err = {0};

    fake_registry_add(f, &(struct fake_rule){.body = "a body of some length that will take ages",
                                             .drip_ms = 100});
    check_fails(http_request(h, &request, &answer, &err), ETIMEDOUT);
    check_error(&err, ETIMEDOUT, sentence);
}

static int slow_keep(struct writer *w, const void *buf, size_t size, struct error *err)
{
    usleep(900000);
    return keep(w, buf, size, err);
}

/* What the sink does with its bytes is not the network's fault. */
TEST(http_wait, a_slow_sink_is_no_stall)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct keeper k = {.writer = {.write = slow_keep}};
    struct http_request request = {
        .method = "GET", .url = fake_registry_url(f, "/"), .sink = &k.writer, .sink_size_max = 50};

    fake_registry_add(f, &(struct fake_rule){.body = "hello", .drip_ms = 5});
    check_ok(http_request(h, &request, &answer, &test_err));
    check_text(str_text(&k.bytes), "hello");
    str_release(&k.bytes);
}

/* A registry may take its time over a finished upload. */
TEST(http_wait, a_patient_request_waits_longer_for_its_answer)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    auto_http struct http *h = quick_http(NULL);
    auto_http_response struct http_response answer = {0};
    struct http_request request = {.method = "PUT",
                                   .url = fake_registry_url(f, "/"),
                                   .body = "x",
                                   .body_size = 1,
                                   .answer_timeout_ms = 10000};

    fake_registry_add(f, &(struct fake_rule){.status = 201, .delay_ms = 900});
    check_ok(http_request(h, &request, &answer, &test_err));
    check_int(answer.status, 201);
    check_int(fake_registry_count(f, "PUT", "/"), 1);
}

struct canceling {
    struct fake_registry *registry;
    atomic_bool *cancelled;
};

static void *cancel_what_waits(void *arg)
{
    struct canceling *c = arg;

    while (fake_registry_count(c->registry, "GET", "/") == 0)
        usleep(1000);
    atomic_store(c->cancelled, true);
    return NULL;
}

TEST(http_wait, cancelling_ends_a_request_that_waits)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    atomic_bool cancelled = false;
    auto_http struct http *h = quick_http(&cancelled);
    auto_http_response struct http_response answer = {0};
    struct canceling canceling = {.registry = f, .cancelled = &cancelled};
    pthread_t thread;

    fake_registry_add(f, &(struct fake_rule){.silent = true});
    pthread_create(&thread, NULL, cancel_what_waits, &canceling);
    check_fails(quick_get(h, fake_registry_url(f, "/"), &answer, &test_err), ECANCELED);
    pthread_join(thread, NULL);
    check_int(fake_registry_count(f, "GET", "/"), 1);
    check_fails(quick_get(h, fake_registry_url(f, "/"), &answer, &test_err), ECANCELED);
    check_int(fake_registry_count(f, "GET", "/"), 1);
}

/* What was begun elsewhere is taken back also by who was interrupted (distribution-spec, "Cancelling an
 * upload"), but nobody waits long for that. */
TEST(http_wait, a_farewell_is_sent_by_who_is_cancelled_and_waits_for_little)
{
    auto_fake_registry struct fake_registry *f = fake_registry_start();
    atomic_bool cancelled = true;
    auto_http struct http *h = quick_http(&cancelled);
    auto_http_response struct http_response answer = {0};
    struct http_request request = {.method = "DELETE", .is_farewell = true};

    fake_registry_add(f, &(struct fake_rule){.path = "/gone", .status = 204});
    fake_registry_add(f, &(struct fake_rule){.path = "/busy", .status = 503});
    fake_registry_add(f, &(struct fake_rule){.path = "/deaf", .silent = true});
    request.url = fake_registry_url(f, "/gone");
    check_ok(http_request(h, &request, &answer, &test_err));
    check_int(answer.status, 204);
    request.url = fake_registry_url(f, "/busy");
    check_ok(http_request(h, &request, &answer, &test_err));
    check_int(fake_registry_count(f, "DELETE", "/busy"), 1);
    request.url = fake_registry_url(f, "/deaf");
    check_fails(http_request(h, &request, &answer, &test_err), ETIMEDOUT);
    check_int(fake_registry_count(f, "DELETE", "/deaf"), 1);
}

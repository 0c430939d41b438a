/* request.c - the policy around one exchange: who may be asked in clear text, how many at once,
 * where redirects may lead, and when to try again. The exchange itself: http.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "registry/http_internal.h"

#include "fs/base/banned.h"

#define REDIRECTS_MAX 5
#define RETRY_AFTER_MAX_MS 120000u /* a registry that wants more gets its refusal shown */
#define BACKOFF_DOUBLINGS_MAX 3    /* 1, 2, 4, 8, 8 .. times the first delay */
#define MS_PER_SECOND 1000u

/* What goes on with one host. */
struct host_slot {
    char *host;
    size_t stream_count;     /* bodies on their way */
    size_t count;            /* all requests on their way */
    uint64_t quiet_until_ns; /* the host asked for a pause; 0: none */
};

struct http {
    struct http_options options; /* filled with the defaults; texts cleared */
    struct certs *certs;
    struct transport *transport;
    pthread_mutex_t lock;
    pthread_cond_t slot_freed;
    struct strv insecure; /* guarded by lock */
    struct {
        struct host_slot **items;
        size_t count;
        size_t capacity;
    } hosts; /* guarded by lock */
};

static void set_default(unsigned *value, unsigned fallback)
{
    if (*value == 0)
        *value = fallback;
}

struct http *http_new(const struct http_options *options)
{
    struct http *h = mem_new(struct http);
    struct transport_options transport = {0};
    pthread_condattr_t attributes;

    if (options)
        h->options = *options;
    if (h->options.streams_per_host_max == 0)
        h->options.streams_per_host_max = 4;
    set_default(&h->options.attempts_max, 5);
    set_default(&h->options.retry_delay_ms, 1000);
    set_default(&h->options.connect_timeout_ms, 15000);
    set_default(&h->options.stall_timeout_ms, 60000);
    set_default(&h->options.silence_ms, 10000);
    set_default(&h->options.rate_min, 16);
    h->certs = certs_new(h->options.certs_dirs, h->options.cert_dir);
    transport.user_agent = h->options.user_agent ? h->options.user_agent : "img";
    transport.connect_timeout_ms = h->options.connect_timeout_ms;
    transport.stall_timeout_ms = h->options.stall_timeout_ms;
    transport.silence_ms = h->options.silence_ms;
    transport.rate_min = h->options.rate_min;
    transport.certs = h->certs;
    transport.cancelled = h->options.cancelled;
    h->transport = transport_new(&transport);
    h->options.user_agent = NULL;
    h->options.certs_dirs = NULL;
    h->options.cert_dir = NULL;
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&h->slot_freed, &attributes);
    pthread_condattr_destroy(&attributes);
    return h;
}

void http_free(struct http *h)
{
    if (!h)
        return;
    transport_free(h->transport);
    certs_free(h->certs);
    strv_release(&h->insecure);
    for (size_t i = 0; i < h->hosts.count; i++) {
        free(h->hosts.items[i]->host);
        free(h->hosts.items[i]);
    }
    free(h->hosts.items);
    pthread_cond_destroy(&h->slot_freed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

void http_allow_insecure(struct http *h, const char *host)
{
    pthread_mutex_lock(&h->lock);
    if (!strv_contains(&h->insecure, host))
        strv_add(&h->insecure, host);
    pthread_mutex_unlock(&h->lock);
}

bool http_is_insecure(struct http *h, const char *host_port)
{
    bool found = false;

    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->insecure.count && !found; i++)
        found = host_matches(h->insecure.items[i], host_port);
    pthread_mutex_unlock(&h->lock);
    return found;
}

void http_trust(struct http *h, const char *host_port, const struct strv *authorities,
                const char *certificate, const char *key)
{
    certs_add(h->certs, host_port, authorities, certificate, key);
}

unsigned http_attempts_max(const struct http *h)
{
    return h->options.attempts_max;
}

unsigned http_retry_delay_ms(const struct http *h, unsigned failure_count)
{
    unsigned doublings = failure_count > 0 ? failure_count - 1 : 0;
    unsigned delay_ms;
    uint32_t random = 0;

    if (doublings > BACKOFF_DOUBLINGS_MAX)
        doublings = BACKOFF_DOUBLINGS_MAX;
    delay_ms = h->options.retry_delay_ms << doublings;
    /* Without random bytes the delay is still a delay. */
    (void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
    return delay_ms - delay_ms / 4 + random % (delay_ms / 2 + 1); /* 75 to 125 % */
}

static bool is_cancelled(const struct http *h)
{
    return h->options.cancelled && atomic_load(h->options.cancelled);
}

static void deadline_after(unsigned delay_ms, struct timespec *out)
{
    uint64_t at = io_ticks_ns() + (uint64_t)delay_ms * 1000000;

    out->tv_sec = (time_t)(at / 1000000000);
    out->tv_nsec = (long)(at % 1000000000);
}

int http_pause(struct http *h, unsigned delay_ms, struct error *err)
{
    uint64_t end = io_ticks_ns() + (uint64_t)delay_ms * 1000000;

    for (;;) {
        uint64_t now = io_ticks_ns();
        struct timespec until;

        if (is_cancelled(h))
            return error_set(err, ECANCELED, "the transfer was cancelled");
        if (now >= end)
            return 0;
        deadline_after(HTTP_POLL_MS, &until);
        if (end - now < HTTP_POLL_MS * 1000000ull)
            until = (struct timespec){(time_t)(end / 1000000000), (long)(end % 1000000000)};
        /* EINTR only brings the next look at the flag forward. */
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
}

/* With the lock held. */
static struct host_slot *find_host(struct http *h, const char *host)
{
    struct host_slot *slot;

    for (size_t i = 0; i < h->hosts.count; i++) {
        if (text_equal(h->hosts.items[i]->host, host))
            return h->hosts.items[i];
    }
    slot = mem_new(struct host_slot);
    slot->host = mem_strdup(host);
    *array_add(&h->hosts) = slot;
    return slot;
}

static bool is_stream(const struct http_request *request)
{
    return request->sink || request->source;
}

/* Bodies may fill all but one of a host's places, so that a small request never queues behind
 * gigabytes; and nobody knocks while the host has asked for quiet. */
static int enter_host(struct http *h, const struct url *url, bool streams, struct host_slot **out,
                      struct error *err)
{
    auto_str struct str host = {0};
    struct host_slot *slot;
    int r = 0;

    url_format_host(url, &host);
    pthread_mutex_lock(&h->lock);
    slot = find_host(h, str_text(&host));
    for (;;) {
        bool is_quiet = slot->quiet_until_ns > io_ticks_ns();
        struct timespec until;

        if (is_cancelled(h))
            r = error_set(err, ECANCELED, "the transfer with '%s' was cancelled", slot->host);
        if (r < 0 || (!is_quiet && slot->count <= h->options.streams_per_host_max &&
                      (!streams || slot->stream_count < h->options.streams_per_host_max)))
            break;
        deadline_after(HTTP_POLL_MS, &until);
        pthread_cond_timedwait(&h->slot_freed, &h->lock, &until);
    }
    if (r == 0) {
        slot->count++;
        slot->stream_count += streams;
        *out = slot;
    }
    pthread_mutex_unlock(&h->lock);
    return r;
}

static void leave_host(struct http *h, struct host_slot *slot, bool streams)
{
    pthread_mutex_lock(&h->lock);
    slot->count--;
    slot->stream_count -= streams;
    pthread_cond_broadcast(&h->slot_freed);
    pthread_mutex_unlock(&h->lock);
}

static void quieten_host(struct http *h, const struct url *url, unsigned delay_ms)
{
    auto_str struct str host = {0};

    url_format_host(url, &host);
    pthread_mutex_lock(&h->lock);
    find_host(h, str_text(&host))->quiet_until_ns = io_ticks_ns() + (uint64_t)delay_ms * 1000000;
    pthread_mutex_unlock(&h->lock);
}

/* Clear text is for this machine, for hosts the user named and for what a Dockerfile downloads
 * (SECURITY R46). */
static int check_scheme(struct http *h, const struct http_request *request, const struct url *url,
                        bool *is_insecure, struct error *err)
{
    auto_str struct str host = {0};

    url_format_host(url, &host);
    *is_insecure = http_is_insecure(h, str_text(&host));
    if (url->is_https || *is_insecure || host_is_loopback(url->host) || request->allow_clear_text)
        return 0;
    (void)error_set(err, EACCES, "plain HTTP to '%s' is not allowed", str_text(&host));
    return error_hint(err, "allow it with --insecure-registry %s", str_text(&host));
}

static int exchange_once(struct http *h, const struct http_request *request, const struct url *url,
                         bool with_authorization, struct http_response *out, struct error *err)
{
    struct exchange exchange = {
        .request = request,
        .url = url,
        .with_authorization = with_authorization && request->authorization,
    };
    auto_str struct str shown = {0};
    struct host_slot *slot = NULL;
    int r;

    r = check_scheme(h, request, url, &exchange.is_insecure, err);
    if (r < 0)
        return r;
    if (!request->is_farewell)
        r = enter_host(h, url, is_stream(request), &slot, err);
    if (r < 0)
        return r;
    r = transport_exchange(h->transport, &exchange, out, err);
    if (slot)
        leave_host(h, slot, is_stream(request));
    if (log_is_debug()) {
        url_format_safe(url, &shown);
        log_debug("http: %s %s: %d%s%s", request->method, str_text(&shown), (int)out->status,
                  r < 0 ? " " : "", r < 0 ? err->text : "");
    }
    return r;
}

static bool is_redirect(const struct http_request *request, const struct http_response *answer)
{
    bool keeps_body = answer->status == 307 || answer->status == 308;
    bool is_read = text_equal(request->method, "GET") || text_equal(request->method, "HEAD");

    if (request->no_redirects || !http_header(answer, "location"))
        return false;
    return keeps_body ||
           (is_read && (answer->status == 301 || answer->status == 302 || answer->status == 303));
}

/* Replaces *url by where the answer points. */
static int follow(const struct http_response *answer, struct url *url, bool *with_authorization,
                  struct error *err)
{
    auto_url struct url next = {0};
    auto_str struct str host = {0};
    int r;

    url_format_host(url, &host);
    r = url_resolve(url, http_header(answer, "location"), &next, err);
    if (r < 0)
        return error_wrap(err, "'%s' redirects", str_text(&host));
    if (url->is_https && !next.is_https)
        return error_set(err, EACCES, "'%s' redirects from https to http", str_text(&host));
    /* Once gone it stays gone: a second redirect may lead back (CVE-2022-27774). */
    if (!url_same_origin(url, &next))
        *with_authorization = false;
    url_release(url);
    *url = STEAL(&next);
    return 0;
}

/* One attempt: the request and the redirects it meets. *url ends as the one that answered. */
static int attempt(struct http *h, const struct http_request *request, struct url *url,
                   struct http_response *out, struct error *err)
{
    bool with_authorization = true;
    int r;

    for (unsigned redirects = 0;; redirects++) {
        r = exchange_once(h, request, url, with_authorization, out, err);
        if (r < 0 || !is_redirect(request, out))
            return r;
        if (redirects == REDIRECTS_MAX)
            return error_set(err, ELOOP, "'%s' redirects more than %d times", url->host,
                             REDIRECTS_MAX);
        r = follow(out, url, &with_authorization, err);
        if (r < 0)
            return r;
    }
}

static bool is_repeatable(const struct http_request *request)
{
    static const char *const idempotent[] = {"GET", "HEAD", "PUT", "DELETE"};

    if (request->no_retries || request->is_farewell)
        return false;
    for (size_t i = 0; i < sizeof(idempotent) / sizeof(idempotent[0]); i++) {
        if (text_equal(request->method, idempotent[i]))
            return true;
    }
    return request->retry_unsafe;
}

static bool is_passing(unsigned status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

/* "ratelimit-reset: 17" counts from now, some send the time itself. */
static uint64_t reset_after_s(const char *text, time_t now)
{
    uint64_t value;

    if (!text || !text_to_u64(text, UINT32_MAX, &value))
        return 0;
    if (value < 1000000000)
        return value;
    return value > (uint64_t)now ? value - (uint64_t)now : 0;
}

uint64_t http_retry_after_ms(const struct http_response *answer)
{
    const char *text = http_header(answer, "retry-after");
    struct tm date = {0};
    uint64_t seconds = 0;
    time_t now = time(NULL);
    time_t then;

    if (!text || text[0] == '\0') {
        if (answer->status == 429)
            seconds = reset_after_s(http_header(answer, "ratelimit-reset"), now);
        return seconds * MS_PER_SECOND;
    }
    if (text_to_u64(text, UINT32_MAX, &seconds))
        return seconds * MS_PER_SECOND;
    if (!strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &date))
        return 0;
    then = timegm(&date);
    return then > now ? (uint64_t)(then - now) * MS_PER_SECOND : 0;
}

/* Decides after attempt number `failure_count`: false when its outcome stands. */
static bool shall_repeat(struct http *h, const struct http_request *request, int result,
                         const struct url *url, const struct http_response *answer,
                         unsigned failure_count, unsigned *delay_ms)
{
    uint64_t asked_ms;

    if (failure_count >= h->options.attempts_max || !is_repeatable(request) ||
        answer->sink_bytes > 0)
        return false;
    if (result < 0 ? !answer->may_try_again : !is_passing(answer->status))
        return false;
    *delay_ms = http_retry_delay_ms(h, failure_count);
    asked_ms = result < 0 ? 0 : http_retry_after_ms(answer);
    if (asked_ms > RETRY_AFTER_MAX_MS)
        return false;
    if (asked_ms > *delay_ms)
        *delay_ms = (unsigned)asked_ms;
    if (answer->status == 429 && asked_ms > 0)
        quieten_host(h, url, (unsigned)asked_ms);
    return true;
}

static void tell_of_retry(const struct url *url, int result, const struct http_response *answer,
                          const struct error *err, unsigned delay_ms)
{
    auto_str struct str host = {0};

    url_format_host(url, &host);
    if (result == 0 && delay_ms >= 5 * MS_PER_SECOND)
        log_warn("'%s' answers %u, trying again in %u seconds", str_text(&host), answer->status,
                 delay_ms / MS_PER_SECOND);
    else if (result == 0)
        log_debug("http: '%s' answers %u, again in %u ms", str_text(&host), answer->status,
                  delay_ms);
    else
        log_debug("http: %s, again in %u ms", err->text, delay_ms);
}

int http_request(struct http *h, const struct http_request *request, struct http_response *out,
                 struct error *err)
{
    for (unsigned failures = 1;; failures++) {
        auto_url struct url url = {0};
        struct error attempt_err = {0};
        auto_str struct str answered = {0};
        unsigned delay_ms;
        int r;

        out->is_local_fault = false;
        out->may_try_again = false;
        r = url_parse(request->url, &url, err);
        if (r < 0)
            return r;
        r = attempt(h, request, &url, out, &attempt_err);
        url_format(&url, &answered);
        free(out->url);
        out->url = str_take(&answered);
        if (!shall_repeat(h, request, r, &url, out, failures, &delay_ms)) {
            if (r < 0)
                *err = attempt_err;
            return r;
        }
        tell_of_retry(&url, r, out, &attempt_err, delay_ms);
        r = http_pause(h, delay_ms, err);
        if (r < 0)
            return r;
    }
}

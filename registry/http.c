/* http.c - one exchange with libcurl, and the handles whose connections are kept alive.
 *
 * The library is loaded when the first request needs it: linking it costs every start of the
 * program 5 ms for thirty shared objects that most commands never use. Each handle has its own
 * multi handle, hence its own connections; names and TLS sessions are shared between all. Not for
 * redirects and retries: see request.c.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "registry/http_internal.h"
#include "registry/proxy.h"

#include "fs/base/banned.h"

#define IDLE_HANDLES_MAX 16
#define CERTIFICATE_WANTED "alert certificate required" /* the TLS library's words */
#define BUFFER_SIZE (512l << 10)                        /* the largest libcurl 7.88 takes */

static struct {
    void *library;
    CURLcode (*global_init)(long);
    curl_version_info_data *(*version_info)(CURLversion);
    CURL *(*easy_init)(void);
    void (*easy_reset)(CURL *);
    void (*easy_cleanup)(CURL *);
    CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
    CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
    const char *(*easy_strerror)(CURLcode);
    struct curl_slist *(*slist_append)(struct curl_slist *, const char *);
    void (*slist_free_all)(struct curl_slist *);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_cleanup)(CURLM *);
    CURLMcode (*multi_add_handle)(CURLM *, CURL *);
    CURLMcode (*multi_remove_handle)(CURLM *, CURL *);
    CURLMcode (*multi_perform)(CURLM *, int *);
    CURLMcode (*multi_poll)(CURLM *, struct curl_waitfd *, unsigned, int, int *);
    CURLMsg *(*multi_info_read)(CURLM *, int *);
    CURLSH *(*share_init)(void);
    CURLSHcode (*share_setopt)(CURLSH *, CURLSHoption, ...);
    CURLSHcode (*share_cleanup)(CURLSH *);
    struct error failure;
} curl;

static const struct {
    const char *name;
    void *function; /* address of the member above */
} symbols[] = {
    {"curl_global_init", &curl.global_init},
    {"curl_version_info", &curl.version_info},
    {"curl_easy_init", &curl.easy_init},
    {"curl_easy_reset", &curl.easy_reset},
    {"curl_easy_cleanup", &curl.easy_cleanup},
    {"curl_easy_setopt", &curl.easy_setopt},
    {"curl_easy_getinfo", &curl.easy_getinfo},
    {"curl_easy_strerror", &curl.easy_strerror},
    {"curl_slist_append", &curl.slist_append},
    {"curl_slist_free_all", &curl.slist_free_all},
    {"curl_multi_init", &curl.multi_init},
    {"curl_multi_cleanup", &curl.multi_cleanup},
    {"curl_multi_add_handle", &curl.multi_add_handle},
    {"curl_multi_remove_handle", &curl.multi_remove_handle},
    {"curl_multi_perform", &curl.multi_perform},
    {"curl_multi_poll", &curl.multi_poll},
    {"curl_multi_info_read", &curl.multi_info_read},
    {"curl_share_init", &curl.share_init},
    {"curl_share_setopt", &curl.share_setopt},
    {"curl_share_cleanup", &curl.share_cleanup},
};

/* Once per process; libcurl stays loaded, for its threads and exit handlers do too. */
static void load_curl(void)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

    if (!library) {
        (void)error_set(&curl.failure, ELIBACC, "cannot load libcurl: %s", dlerror());
        return;
    }
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        void *address = dlsym(library, symbols[i].name);

        if (!address) {
            (void)error_set(&curl.failure, ELIBACC, "libcurl has no '%s'", symbols[i].name);
            return;
        }
        memcpy(symbols[i].function, &address, sizeof(address));
    }
    if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        (void)error_set(&curl.failure, ELIBACC, "libcurl does not start");
    else if (curl.version_info(CURLVERSION_NOW)->version_num < 0x075500) /* PROTOCOLS_STR */
        (void)error_set(&curl.failure, ELIBACC, "libcurl %s is older than 7.85",
                        curl.version_info(CURLVERSION_NOW)->version);
    else
        curl.library = library;
}

struct handle {
    CURL *easy;
    CURLM *multi;
    char *key;           /* origin and trust; a connection is used for no other */
    struct handle *next; /* in the idle list, the latest used first */
};

struct transport {
    struct transport_options options;
    char *user_agent;
    pthread_mutex_t lock;
    struct handle *idle; /* guarded by lock */
    size_t idle_count;   /* guarded by lock */
    CURLSH *share;       /* guarded by lock until made */
    pthread_mutex_t share_locks[CURL_LOCK_DATA_LAST];
};

struct transport *transport_new(const struct transport_options *options)
{
    struct transport *t = mem_new(struct transport);

    t->options = *options;
    t->user_agent = mem_strdup(options->user_agent);
    pthread_mutex_init(&t->lock, NULL);
    for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
        pthread_mutex_init(&t->share_locks[i], NULL);
    return t;
}

static void handle_free(struct handle *handle)
{
    curl.easy_cleanup(handle->easy);
    curl.multi_cleanup(handle->multi);
    free(handle->key);
    free(handle);
}

void transport_free(struct transport *t)
{
    if (!t)
        return;
    for (struct handle *handle = t->idle, *next; handle; handle = next) {
        next = handle->next;
        handle_free(handle);
    }
    if (t->share)
        curl.share_cleanup(t->share);
    pthread_mutex_destroy(&t->lock);
    for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
        pthread_mutex_destroy(&t->share_locks[i]);
    free(t->user_agent);
    free(t);
}

static void lock_share(CURL *easy, curl_lock_data data, curl_lock_access access, void *context)
{
    struct transport *t = context;

    (void)easy;
    (void)access;
    pthread_mutex_lock(&t->share_locks[data]);
}

static void unlock_share(CURL *easy, curl_lock_data data, void *context)
{
    struct transport *t = context;

    (void)easy;
    pthread_mutex_unlock(&t->share_locks[data]);
}

/* With t->lock held. */
static CURLSH *transport_share(struct transport *t)
{
    if (t->share)
        return t->share;
    t->share = curl.share_init();
    if (!t->share)
        abort(); /* out of memory, as in mem_alloc */
    curl.share_setopt(t->share, CURLSHOPT_LOCKFUNC, lock_share);
    curl.share_setopt(t->share, CURLSHOPT_UNLOCKFUNC, unlock_share);
    curl.share_setopt(t->share, CURLSHOPT_USERDATA, (void *)t);
    curl.share_setopt(t->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl.share_setopt(t->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    return t->share;
}

static struct handle *take_idle(struct transport *t, const char *key)
{
    for (struct handle **link = &t->idle; *link; link = &(*link)->next) {
        struct handle *handle = *link;

        if (!text_equal(handle->key, key))
            continue;
        *link = handle->next;
        t->idle_count--;
        return handle;
    }
    return NULL;
}

static struct handle *handle_take(struct transport *t, const char *key, CURLSH **share)
{
    struct handle *handle;

    pthread_mutex_lock(&t->lock);
    *share = transport_share(t);
    handle = take_idle(t, key);
    pthread_mutex_unlock(&t->lock);
    if (handle)
        return handle;
    handle = mem_new(struct handle);
    handle->easy = curl.easy_init();
    handle->multi = curl.multi_init();
    if (!handle->easy || !handle->multi)
        abort(); /* out of memory, as in mem_alloc */
    handle->key = mem_strdup(key);
    return handle;
}

static void handle_give_back(struct transport *t, struct handle *handle)
{
    struct handle *oldest = NULL;

    curl.easy_reset(handle->easy);
    pthread_mutex_lock(&t->lock);
    handle->next = t->idle;
    t->idle = handle;
    if (++t->idle_count > IDLE_HANDLES_MAX) {
        struct handle **link = &t->idle;

        while ((*link)->next)
            link = &(*link)->next;
        oldest = *link;
        *link = NULL;
        t->idle_count--;
    }
    pthread_mutex_unlock(&t->lock);
    if (oldest)
        handle_free(oldest);
}

static size_t on_header(char *line, size_t unit, size_t count, void *context)
{
    return flight_header(context, line, unit * count) < 0 ? 0 : unit * count;
}

static size_t on_body(char *bytes, size_t unit, size_t count, void *context)
{
    return flight_body(context, bytes, unit * count) < 0 ? 0 : unit * count;
}

static size_t on_send(char *buffer, size_t unit, size_t count, void *context)
{
    ssize_t size = flight_send(context, buffer, unit * count);

    return size < 0 ? CURL_READFUNC_ABORT : (size_t)size;
}

/* A kept-alive connection that turned out dead makes libcurl send the body again. */
static int on_rewind(void *context, curl_off_t offset, int origin)
{
    if (origin != SEEK_SET || offset < 0 || flight_rewind(context, (uint64_t)offset) < 0)
        return CURL_SEEKFUNC_FAIL;
    return CURL_SEEKFUNC_OK;
}

/* These carry a Content-Length even when they are empty (RFC 9110 8.6). */
static bool has_body(const char *method)
{
    return text_equal(method, "POST") || text_equal(method, "PUT") || text_equal(method, "PATCH");
}

static void set_body(CURL *easy, struct flight *f)
{
    const struct http_request *request = f->exchange->request;

    curl.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    if (text_equal(request->method, "HEAD"))
        curl.easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (!has_body(request->method))
        return;
    curl.easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl.easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)http_body_size(request));
    curl.easy_setopt(easy, CURLOPT_READFUNCTION, on_send);
    curl.easy_setopt(easy, CURLOPT_READDATA, (void *)f);
    curl.easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_rewind);
    curl.easy_setopt(easy, CURLOPT_SEEKDATA, (void *)f);
    curl.easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_SIZE);
}

static void set_trust(CURL *easy, const struct exchange *exchange, const struct certs_host *certs)
{
    struct curl_blob blob = {
        .data = certs->authorities.data,
        .len = certs->authorities.size,
        .flags = CURL_BLOB_COPY,
    };

    curl.easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl.easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, exchange->is_insecure ? 0L : 1L);
    curl.easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, exchange->is_insecure ? 0L : 2L);
    curl.easy_setopt(easy, CURLOPT_CAINFO, certs->file);
    curl.easy_setopt(easy, CURLOPT_CAPATH, certs->dir);
    if (blob.len > 0)
        curl.easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
    if (certs->client_certificate) {
        curl.easy_setopt(easy, CURLOPT_SSLCERT, certs->client_certificate);
        curl.easy_setopt(easy, CURLOPT_SSLKEY, certs->client_key);
    }
}

static void set_route(CURL *easy, const struct exchange *exchange)
{
    auto_str struct str url = {0};
    auto_str struct str proxy = {0};

    url_format(exchange->url, &url);
    proxy_for(exchange->url, &proxy);
    curl.easy_setopt(easy, CURLOPT_URL, str_text(&url));
    curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, exchange->url->is_https ? "https" : "http");
    /* An empty text keeps libcurl from reading the environment in its own way. */
    curl.easy_setopt(easy, CURLOPT_PROXY, str_text(&proxy));
    curl.easy_setopt(easy, CURLOPT_NOPROXY, "");
    curl.easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl.easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    curl.easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
}

static struct curl_slist *set_headers(CURL *easy, const struct exchange *exchange)
{
    const struct http_request *request = exchange->request;
    auto_free char *authorization = NULL;
    struct curl_slist *list = NULL;

    for (size_t i = 0; request->headers && i < request->headers->count; i++)
        list = curl.slist_append(list, request->headers->items[i]);
    /* Without a word of ours any coding would do (RFC 9110 12.5.3). One that comes all the same is
     * undone where the answer is a document; a blob is what its digest says, coded or not. */
    if (request->sink)
        list = curl.slist_append(list, "Accept-Encoding: identity");
    else
        curl.easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "identity");
    if (exchange->with_authorization) {
        authorization = str_format("Authorization: %s", request->authorization);
        list = curl.slist_append(list, authorization);
    }
    curl.easy_setopt(easy, CURLOPT_HTTPHEADER, list);
    return list;
}

static void set_common(CURL *easy, struct transport *t, CURLSH *share, struct flight *f)
{
    curl.easy_setopt(easy, CURLOPT_SHARE, share);
    curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl.easy_setopt(easy, CURLOPT_USERAGENT, t->user_agent);
    curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)t->options.connect_timeout_ms);
    curl.easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl.easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
    curl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl.easy_setopt(easy, CURLOPT_HEADERDATA, (void *)f);
    curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl.easy_setopt(easy, CURLOPT_WRITEDATA, (void *)f);
}

static CURLcode finished_with(CURLM *multi)
{
    CURLMsg *message;
    int left;

    while ((message = curl.multi_info_read(multi, &left))) {
        if (message->msg == CURLMSG_DONE)
            return message->data.result;
    }
    return CURLE_FAILED_INIT;
}

/* libcurl leaves SIGPIPE to its callers when it may not touch signal handlers; a connection reset
 * while sending would end the process. */
static void hold_sigpipe(sigset_t *before, bool *was_pending)
{
    sigset_t pipe_only;
    sigset_t pending;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    *was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_only, before);
}

static void release_sigpipe(const sigset_t *before, bool was_pending)
{
    static const struct timespec no_time;
    sigset_t pipe_only;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    while (!was_pending && sigtimedwait(&pipe_only, NULL, &no_time) == SIGPIPE)
        ;
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* Sets *code to libcurl's verdict; negative when flight_check ended it. */
static int fly(struct handle *handle, struct flight *f, CURLcode *code)
{
    CURLMcode m = curl.multi_add_handle(handle->multi, handle->easy);
    sigset_t signals;
    bool was_pending;
    int running = 1;
    int r = 0;

    hold_sigpipe(&signals, &was_pending);
    flight_start(f);
    while (m == CURLM_OK) {
        m = curl.multi_perform(handle->multi, &running);
        if (m != CURLM_OK || running == 0)
            break;
        r = flight_check(f);
        if (r < 0)
            break;
        m = curl.multi_poll(handle->multi, NULL, 0, HTTP_POLL_MS, NULL);
    }
    *code = m == CURLM_OK && running == 0 ? finished_with(handle->multi) : CURLE_FAILED_INIT;
    curl.multi_remove_handle(handle->multi, handle->easy);
    release_sigpipe(&signals, was_pending);
    return r;
}

/* "SSL certificate problem: self-signed certificate" -> "self-signed certificate". */
static const char *tls_reason(const char *text)
{
    static const char *const openers[] = {"SSL certificate problem: ", "SSL: "};

    for (size_t i = 0; i < sizeof(openers) / sizeof(openers[0]); i++) {
        if (text_starts(text, openers[i]))
            text += strlen(openers[i]);
    }
    /* "error:0A00010B:SSL routines::wrong version number" */
    if (text_starts(text, "error:") && strrchr(text, ':')[1] != '\0')
        text = strrchr(text, ':') + 1;
    return text[0] != '\0' ? text : "the other side hung up";
}

static bool has_proxy(const struct flight *f)
{
    auto_str struct str proxy = {0};

    proxy_for(f->exchange->url, &proxy);
    return proxy.size > 0;
}

static int connect_failure(CURL *easy, const struct flight *f, struct error *err)
{
    const char *host = f->host;
    long number = 0;

    curl.easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
    if (has_proxy(f))
        return error_set(err, ECONNREFUSED, "cannot connect to the proxy for '%s'%s%s", host,
                         number == 0 ? "" : ": ", number == 0 ? "" : strerror((int)number));
    if (number == 0)
        (void)error_set(err, ECONNREFUSED, "cannot connect to '%s'", host);
    else
        (void)error_set(err, number == ECONNREFUSED ? ECONNREFUSED : EHOSTUNREACH,
                        "cannot connect to '%s': %s", host, strerror((int)number));
    return error_hint(err, "does it run, on this port? behind a proxy, set HTTPS_PROXY");
}

/* A time-out of libcurl's own is always about getting connected. */
static int timeout_failure(CURL *easy, struct flight *f)
{
    curl_off_t connected_us = 0;

    curl.easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connected_us);
    f->response->may_try_again = connected_us > 0;
    return error_set(f->err, ETIMEDOUT, "'%s' does not %s within %u seconds", f->host,
                     connected_us > 0 ? "finish the TLS handshake" : "answer",
                     f->options->connect_timeout_ms / 1000);
}

int http_proxy_refused(const char *host, unsigned status, struct error *err)
{
    if (status != 407)
        return error_set(err, EPROTO, "the proxy for '%s' refuses the connection with status %u",
                         host, status);
    (void)error_set(err, EACCES, "the proxy for '%s' wants a login", host);
    return error_hint(err, "put it into HTTPS_PROXY or HTTP_PROXY, as in "
                           "http://USER:PASSWORD@PROXY:PORT");
}

/* What a proxy answered to CONNECT when it made no tunnel, which libcurl calls a connection that was
 * closed; else 0. */
static unsigned tunnel_refusal(CURL *easy)
{
    long status = 0;

    curl.easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &status);
    return status >= 300 && status <= 599 ? (unsigned)status : 0;
}

static int certificate_failure(const struct flight *f, const char *text, struct error *err)
{
    (void)error_set(err, EKEYREJECTED, "the certificate of '%s' is not to be trusted: %s", f->host,
                    tls_reason(text));
    return error_hint(err,
                      "put the certificate of its authority into "
                      "~/.config/containers/certs.d/%s/ca.crt",
                      f->host);
}

/* TLS 1.3 says so when the connection seems to stand already (RFC 8446 6.2). */
static int certificate_wanted(const char *host, struct error *err)
{
    (void)error_set(err, EKEYREJECTED, "'%s' wants a client certificate", host);
    return error_hint(err,
                      "put it and its key into ~/.config/containers/certs.d/%s as client.cert and "
                      "client.key",
                      host);
}

/* What libcurl's verdict means to the user; `text` is its own sentence, for TLS alone. */
static int failure(CURL *easy, struct flight *f, CURLcode code, const char *text)
{
    struct error *err = f->err;
    struct http_response *response = f->response;
    unsigned refusal = tunnel_refusal(easy);

    if (refusal > 0) {
        response->may_try_again = refusal >= 500;
        return http_proxy_refused(f->host, refusal, err);
    }
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        (void)error_set(err, EHOSTUNREACH, "cannot find the address of '%s'", f->host);
        return error_hint(err, "is the name right? behind a proxy, set HTTPS_PROXY");
    case CURLE_COULDNT_RESOLVE_PROXY:
        return error_set(err, EHOSTUNREACH, "cannot find the address of the proxy for '%s'",
                         f->host);
    case CURLE_PROXY:
        return error_set(err, EPROTO, "the proxy for '%s' refuses the connection", f->host);
    case CURLE_COULDNT_CONNECT:
        return connect_failure(easy, f, err);
    case CURLE_OPERATION_TIMEDOUT:
        return timeout_failure(easy, f);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return certificate_failure(f, text, err);
    case CURLE_SSL_CACERT_BADFILE:
        return error_set(err, EKEYREJECTED, "cannot read the certificate authorities for '%s'",
                         f->host);
    case CURLE_SSL_CERTPROBLEM:
        return error_set(err, EKEYREJECTED, "cannot use the client certificate for '%s'", f->host);
    case CURLE_SSL_CONNECT_ERROR:
        return error_set(err, EPROTO, "no TLS connection with '%s': %s", f->host, tls_reason(text));
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
        if (strstr(text, CERTIFICATE_WANTED))
            return certificate_wanted(f->host, err);
        response->may_try_again = true;
        return error_set(err, ECONNRESET, "'%s' closed the connection", f->host);
    case CURLE_PARTIAL_FILE:
        response->may_try_again = true;
        return error_set(err, EIO, "'%s' ended its answer early", f->host);
    case CURLE_OUT_OF_MEMORY: /* so 7.88 calls a header line above 100 KiB */
    case 100:                 /* and so do later ones: CURLE_TOO_LARGE */
        return error_set(err, EFBIG, "'%s' sent a header that is too long", f->host);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return error_set(err, EPROTO, "'%s' does not speak HTTP", f->host);
    default:
        return error_set(err, EPROTO, "the transfer with '%s' failed: %s", f->host,
                         curl.easy_strerror(code));
    }
}

static void connection_key(const struct exchange *exchange, const struct certs_host *certs,
                           struct str *out)
{
    url_format_host(exchange->url, out);
    str_addf(out, " %d %d %s", exchange->url->is_https, exchange->is_insecure,
             certs->client_certificate ? certs->client_certificate : "");
}

static int run(struct transport *t, struct flight *f, const struct certs_host *certs)
{
    char reason[CURL_ERROR_SIZE] = "";
    auto_str struct str key = {0};
    auto_str struct str shown = {0};
    struct curl_slist *headers;
    struct handle *handle;
    CURLSH *share;
    CURLcode code;
    int r;

    connection_key(f->exchange, certs, &key);
    handle = handle_take(t, str_text(&key), &share);
    curl.easy_setopt(handle->easy, CURLOPT_ERRORBUFFER, reason);
    set_common(handle->easy, t, share, f);
    set_route(handle->easy, f->exchange);
    set_trust(handle->easy, f->exchange, certs);
    set_body(handle->easy, f);
    headers = set_headers(handle->easy, f->exchange);
    r = fly(handle, f, &code);
    if (r == 0 && f->has_failed)
        r = -f->err->code;
    str_add_escaped(&shown, reason, strlen(reason));
    if (r == 0 && code != CURLE_OK)
        r = failure(handle->easy, f, code, str_text(&shown));
    handle_give_back(t, handle);
    curl.slist_free_all(headers);
    return r;
}

int transport_exchange(struct transport *t, const struct exchange *exchange,
                       struct http_response *out, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    auto_certs_host struct certs_host certs = {0};
    auto_str struct str host = {0};
    struct flight flight = {
        .exchange = exchange,
        .options = &t->options,
        .response = out,
        .err = err,
    };
    int r = 0;

    pthread_once(&once, load_curl);
    if (!curl.library) {
        *err = curl.failure;
        return -err->code;
    }
    http_response_clear(out);
    url_format_host(exchange->url, &host);
    flight.host = str_text(&host);
    if (exchange->url->is_https)
        r = certs_find(t->options.certs, flight.host, &certs, err);
    if (r < 0)
        return r;
    r = run(t, &flight, &certs);
    reader_close(flight.reader);
    return r;
}

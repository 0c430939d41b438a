/* http.h - one HTTP request: redirects, retries, time-outs and caps. The only door to libcurl.
 *
 * RFC 9110 semantics over HTTP/1.1 with kept-alive connections. TLS 1.2 or newer is verified
 * always; plain HTTP is spoken to loopback hosts, to hosts allowed by http_allow_insecure and in
 * requests that allow it, else to nobody (SECURITY R43, R46). Nothing is loaded, initialised or connected before the first
 * request. Knows nothing of registries or tokens.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/base/stream.h"

struct http; /* thread-safe; shared by everything in the process that speaks HTTP */

/* Every field may be zero, which is the default in brackets. Texts are copied. */
struct http_options {
    const char *user_agent;        /* ["img"] */
    size_t streams_per_host_max;   /* bodies on their way at once [4]; one more for the rest */
    unsigned attempts_max;         /* for one request, the first included [5] */
    unsigned retry_delay_ms;       /* before the first retry; doubles up to eight-fold [1000] */
    unsigned connect_timeout_ms;   /* name, TCP and TLS together [15000] */
    unsigned stall_timeout_ms;     /* nothing sent or received for so long [60000] */
    unsigned silence_ms;           /* after which on_silence is told [10000] */
    unsigned rate_min;             /* bytes a second, averaged over one stall time-out [16] */
    const struct strv *certs_dirs; /* certs.d directories, see certs.h [the system's, the user's] */
    const char *cert_dir;          /* one directory for every host, instead of those [none] */
    const atomic_bool *cancelled;  /* borrowed; once true, every request ends with -ECANCELED */
};

struct http *http_new(const struct http_options *options); /* NULL: all defaults; does no I/O */
void http_free(struct http *h);                            /* no request may be running */
DEFINE_CLEANUP(http_free, struct http *)
#define auto_http CLEANUP(http_free)

/* Allows plain HTTP and unverified TLS to `host`: host, host:port, a network (10.0.0.0/8),
 * "*.domain" or "*". */
void http_allow_insecure(struct http *h, const char *host);
bool http_is_insecure(struct http *h, const char *host_port); /* by http_allow_insecure alone */

/* For this host also trust these authorities (PEM files), and show `certificate` (or NULL). */
void http_trust(struct http *h, const char *host_port, const struct strv *authorities,
                const char *certificate, const char *key);

/* A request body that can be produced again, from any offset, when a request is repeated. */
struct body_source {
    /* A new reader (caller closes) that yields the bytes from `offset` on. */
    int (*open)(struct body_source *s, uint64_t offset, struct reader **out, struct error *err);
};

struct http_response;

struct http_request {
    const char *method;         /* "GET" .. */
    const char *url;            /* absolute; http or https; no userinfo */
    const struct strv *headers; /* "Name: value" lines without authorization; may be NULL */
    const char *authorization;  /* sent to the origin of `url` only; may be NULL */
    bool allow_clear_text;      /* plain HTTP to any host: what is fetched is no secret, and whoever
                                 * asks answers for what it gets */

    /* The body: in memory, or bytes [source_offset, source_offset + source_size) of a source. */
    const void *body;
    size_t body_size;
    struct body_source *source;
    uint64_t source_offset;
    uint64_t source_size;

    /* The answer's body: in memory, or of a 2xx answer to a sink (finish is not called). */
    size_t response_size_max; /* 0: 1 MiB; more is -EFBIG */
    struct writer *sink;
    uint64_t sink_size_max; /* more is -EFBIG */
    /* Looks at a 2xx answer before the sink gets its first byte; a failure ends the request. */
    int (*on_answer)(void *context, const struct http_response *answer, struct error *err);
    /* Body bytes sent or received so far; a repeated request starts again from 0. */
    void (*on_progress)(void *context, uint64_t total_bytes);
    /* Nothing has moved for so long; told again whenever as much time has passed once more. */
    void (*on_silence)(void *context, unsigned silent_ms);
    void *context;

    unsigned answer_timeout_ms; /* from the last byte sent to the first received; 0: stall time */
    bool no_redirects;          /* a 3xx is then an answer like any other */
    bool no_retries;
    bool retry_unsafe; /* a POST or PATCH that may be repeated all the same */
    /* What tidies up: sent once, even by a client that is cancelled and to a host that is busy, and
     * waited for two seconds at most. */
    bool is_farewell;
};

struct http_header {
    char *name; /* lower case */
    char *value;
};

struct http_headers {
    struct http_header *items;
    size_t count;
    size_t capacity;
};

struct http_response {
    unsigned status;
    struct http_headers headers;
    struct str body;     /* of every answer that did not go to the sink */
    uint64_t sink_bytes; /* what the sink got; right on failure too */
    char *url;           /* the one that answered, after redirects */
    bool is_local_fault; /* on failure: sink, source or on_answer refused, not the network */
    bool may_try_again;  /* on failure: worth another attempt from where the sink stands */
};
/* How long the answer asks us to stay away: Retry-After (RFC 9110 10.2.3, seconds or a date), and on
 * 429 RateLimit-Reset; 0: it does not say. */
uint64_t http_retry_after_ms(const struct http_response *r);
const char *http_header(const struct http_response *r, const char *name); /* last one or NULL */
void http_response_release(struct http_response *r);
DEFINE_CLEANUP_VALUE(http_response_release, struct http_response)
#define auto_http_response CLEANUP(http_response_release)

/* Does one request and waits for its end. Every answer, 4xx and 5xx included, is success: the
 * caller looks at `status`. `*out` must be zeroed; it is filled as far as things went, also on
 * failure (release it always).
 *
 * Redirects (301 302 303 307 308, at most 5) are followed without Authorization once scheme, host
 * or port differ, never from https to http; a body follows 307 and 308 only. Idempotent requests
 * are repeated after 408 429 500 502 503 504, a reset, a stall or an early end, with doubling
 * jittered delays or as Retry-After says (up to two minutes); never after the sink got its first
 * byte.
 *
 * Errors: -ECANCELED; -ETIMEDOUT; -ECONNREFUSED, -EHOSTUNREACH (also: no such host), -ECONNRESET;
 * -EIO early end of a body; -EPROTO TLS, or an answer that is no HTTP; -EKEYREJECTED certificate;
 * -EFBIG a cap; -ELOOP redirects; -EACCES plain HTTP not allowed there, or the
 * proxy wants a login; -EINVAL the URL; -ELIBACC
 * no usable libcurl; and what sink, source or on_answer returned. Sentences name the host and never
 * hold a query string, a header or userinfo (R49).
 */
int http_request(struct http *h, const struct http_request *request, struct http_response *out,
                 struct error *err);

/* The sentence for a proxy that answered 407, or did not make a tunnel. */
int http_proxy_refused(const char *host, unsigned status, struct error *err);

/* Waits `delay_ms`, or less: -ECANCELED as soon as the client is cancelled. For callers that repeat
 * more than one request. */
int http_pause(struct http *h, unsigned delay_ms, struct error *err);
/* The delay before attempt `failure_count` + 1, doubling from retry_delay_ms, with jitter. */
unsigned http_retry_delay_ms(const struct http *h, unsigned failure_count);
unsigned http_attempts_max(const struct http *h);

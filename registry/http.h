/* http.h - one HTTP request: redirects, retries, time-outs and caps. The only door to libcurl.
 *
 * RFC 9110 semantics over HTTP/1.1 with kept-alive connections. TLS 1.2 or newer is verified always; plain HTTP
 * is spoken to loopback hosts and to hosts allowed by http_allow_insecure, to nobody else (SECURITY R43, R46).
 * Nothing is loaded, initialised or connected before the first request. Knows nothing of registries or tokens.
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

struct http_options {
    const char *user_agent;        /* copied; NULL: "img" */
    size_t streams_per_host_max;   /* bodies to a sink or from a source at once; 0: 4. One more for the rest */
    unsigned attempts_max;         /* per request, the first included; 0: 5 */
    unsigned retry_delay_ms;       /* before the first retry, doubled each time up to 8 times; 0: 1000 */
    unsigned connect_timeout_ms;   /* 0: 15000 */
    unsigned stall_timeout_ms;     /* nothing sent or received for so long; 0: 60000 */
    unsigned rate_min;             /* bytes a second, averaged over one stall time; 0: 16 */
    const struct strv *certs_dirs; /* in order; each holds <host:port>/ca.crt, client.cert + client.key; copied;
                                      NULL: /etc/containers/certs.d, /etc/docker/certs.d and the user's own */
    const atomic_bool *cancelled;  /* borrowed; when it turns true every request ends with -ECANCELED */
};

struct http *http_new(const struct http_options *options); /* NULL: all defaults; does no I/O */
void http_free(struct http *h);                            /* no request may be running */
DEFINE_CLEANUP(http_free, struct http *)
#define auto_http CLEANUP(http_free)

/* `host` is host, host:port, an IP network (10.0.0.0/8), "*.domain" or "*"; plain HTTP and unverified TLS are
 * allowed there from now on. */
void http_allow_insecure(struct http *h, const char *host);
bool http_is_insecure(struct http *h, const char *host_port); /* by http_allow_insecure alone */

/* A request body that can be produced again, from any offset, when a request is repeated. */
struct body_source {
    /* A new reader (caller closes) that yields the bytes from `offset` on. */
    int (*open)(struct body_source *s, uint64_t offset, struct reader **out, struct error *err);
};

struct http_request {
    const char *method;                 /* "GET" .. */
    const char *url;                    /* absolute; http or https; no userinfo */
    const struct strv *headers;         /* "Name: value" lines without authorization; may be NULL */
    const char *authorization;          /* header value, sent to the origin of `url` only; may be NULL */
    const void *body;                   /* in memory, or NULL */
    size_t body_size;                   /* bytes in `body` */
    struct body_source *source;         /* or streamed: bytes [source_offset, source_offset + source_size) */
    uint64_t source_offset;
    uint64_t source_size;
    size_t response_size_max;           /* cap of a body kept in memory; 0: 1 MiB; more is -EFBIG */
    struct writer *sink;                /* or where the body of a 2xx answer goes; finish is not called */
    uint64_t sink_size_max;             /* cap of the bytes given to the sink; more is -EFBIG */
    void (*progress)(void *context, uint64_t total_bytes); /* body bytes so far, from this thread */
    void *progress_context;
    unsigned answer_timeout_ms;         /* from the last byte sent to the first received; 0: stall time-out */
    bool no_redirects;                  /* a 3xx is then an answer like any other */
    bool no_retries;
    bool retry_unsafe;                  /* a POST or PATCH that may be repeated all the same */
};

struct http_header {
    char *name; /* lower case */
    char *value;
};

struct http_response {
    unsigned status;
    struct http_header *headers;
    size_t count;
    size_t capacity;
    struct str body;      /* of every answer that did not go to the sink */
    uint64_t sink_bytes;  /* what the sink got; set on failure too */
    char *url;            /* the one that answered, after redirects */
    bool sink_failed;     /* set on failure: the sink refused, the network did nothing wrong */
};
const char *http_header(const struct http_response *r, const char *name); /* last value or NULL; borrowed */
void http_response_release(struct http_response *r);
DEFINE_CLEANUP_VALUE(http_response_release, struct http_response)
#define auto_http_response CLEANUP(http_response_release)

/* Does one request and waits for its end. Every answer, 4xx and 5xx included, is success: the caller looks at
 * `status`. `*out` must be zeroed; it is filled as far as things went, also on failure (release it always).
 *
 * Redirects (301 302 303 307 308, at most 5) are followed without Authorization once scheme, host or port differ,
 * never from https to http. Idempotent requests are repeated after 408 429 500 502 503 504, a reset or an early
 * end, with doubling jittered delays or as Retry-After says; never after the sink got its first byte.
 *
 * Errors: -ECANCELED; -ETIMEDOUT; -ECONNREFUSED, -EHOSTUNREACH, -ECONNRESET, -EPIPE, -EIO (early end of the body);
 * -EPROTO (TLS, or an answer that is no HTTP); -EKEYREJECTED (certificate); -EFBIG (a cap); -ELOOP (redirects);
 * -EACCES (plain HTTP not allowed there); -EINVAL (url); and what the sink or the source returned.
 * Sentences name the host and never hold a query string, a header or userinfo (R49). */
int http_request(struct http *h, const struct http_request *request, struct http_response *out,
                 struct error *err);

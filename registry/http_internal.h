/* http_internal.h - what the three parts of http.h share: request.c (policy: redirects, retries,
 * slots), http.c (one exchange through libcurl) and flight.c (what happens during one).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "fs/base/error.h"
#include "registry/certs.h"
#include "registry/http.h"
#include "registry/url.h"

#define HTTP_POLL_MS 200 /* how late a cancellation may be noticed */

struct transport; /* idle connections and their libcurl handles; thread-safe */

struct transport_options {
    const char *user_agent; /* copied */
    unsigned connect_timeout_ms;
    unsigned stall_timeout_ms;
    unsigned silence_ms;
    unsigned rate_min;
    struct certs *certs;          /* borrowed */
    const atomic_bool *cancelled; /* borrowed or NULL */
};

struct transport *transport_new(const struct transport_options *options);
void transport_free(struct transport *t);

/* One request to one URL, as it stands: no redirect is followed, nothing is repeated. */
struct exchange {
    const struct http_request *request;
    const struct url *url;
    bool with_authorization;
    bool is_insecure; /* certificates are not checked */
};
int transport_exchange(struct transport *t, const struct exchange *exchange,
                       struct http_response *out, struct error *err);

void http_response_clear(struct http_response *r); /* headers, status, body; not sink_bytes */
uint64_t http_body_size(const struct http_request *request);

enum phase { PHASE_SENDING, PHASE_WAITING, PHASE_RECEIVING };

/* An exchange on its way. Its functions are called by libcurl's callbacks; each returns a negative
 * code when the exchange must end, which is then recorded in err. */
struct flight {
    const struct exchange *exchange;
    const struct transport_options *options;
    const char *host; /* for messages */
    struct http_response *response;
    struct error *err;
    bool has_failed; /* one of ours recorded the failure in err */
    enum phase phase;

    struct reader *reader; /* of the body that is being sent */
    uint64_t sent_bytes;
    uint64_t header_bytes;
    uint64_t body_bytes; /* received */

    uint64_t start_ns;
    uint64_t told_count; /* silences told of since the network last moved */
    uint64_t active_ns;  /* when the network last moved, or a callback returned */
    uint64_t window_ns;  /* start of the window in which the rate is taken */
    uint64_t window_bytes;
};

void flight_start(struct flight *f);
int flight_header(struct flight *f, const char *line, size_t size);
int flight_body(struct flight *f, const char *bytes, size_t size);
ssize_t flight_send(struct flight *f, char *buffer, size_t size); /* 0 at the end of the body */
int flight_rewind(struct flight *f, uint64_t offset);
/* Has it been cancelled, has the peer gone quiet, does it feed us a byte now and then? */
int flight_check(struct flight *f);

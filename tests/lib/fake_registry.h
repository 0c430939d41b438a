/* fake_registry.h - an HTTP server in this process that misbehaves as told.
 *
 * It answers on 127.0.0.1 by rules: the first that fits a request and is not used up. Each request
 * leaves a line in the log. A rule can close early, reset, stall, drip, send without end, or hand
 * the request to a function. Requests no rule fits get 404. Failures of the server itself abort
 * the test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/str.h"

struct fake_registry;
struct fake_exchange; /* one request being answered */

struct fake_rule {
    const char *method; /* NULL: any */
    const char *path;   /* fnmatch(3) over path and query; NULL: any */
    unsigned times;     /* used up after so many; 0: never */

    unsigned status;     /* 0: 200 */
    const char *headers; /* "Name: value\r\n" lines; may be NULL */
    const void *body;
    size_t body_size; /* 0 with a body: its strlen */

    bool honours_range;     /* answers 206 to "Range: bytes=N-" */
    uint64_t declared_size; /* Content-Length instead of the true one; 0: the true one */
    size_t cut_after;       /* close the connection after so many body bytes; 0: never */
    bool resets;            /* drop the connection (RST) without an answer, or at cut_after */
    unsigned delay_ms;      /* before the answer */
    unsigned drip_ms;       /* between single body bytes */
    bool endless_headers;
    bool endless_body;
    bool silent; /* read the request, never answer */

    void (*serve)(struct fake_exchange *x, void *context); /* answers instead of all above */
    void *context;
};

struct fake_registry *fake_registry_start(void);
void fake_registry_stop(struct fake_registry *f);
DEFINE_CLEANUP(fake_registry_stop, struct fake_registry *)
#define auto_fake_registry CLEANUP(fake_registry_stop)

/* Everything but `context` is copied; rules may be added at any time. */
void fake_registry_add(struct fake_registry *f, const struct fake_rule *rule);
const char *fake_registry_host(const struct fake_registry *f); /* "127.0.0.1:PORT" */
/* "http://127.0.0.1:PORT" + path; borrowed until stop. */
const char *fake_registry_url(struct fake_registry *f, const char *path);

/* One line per request so far, in the order they came: "GET /v2/ [range=N-] [auth=VALUE]". Borrowed
 * until the next call. */
const char *fake_registry_log(struct fake_registry *f);
size_t fake_registry_count(struct fake_registry *f, const char *method, const char *path);
size_t fake_registry_connections(struct fake_registry *f); /* accepted so far */

/* For `serve`. Borrowed texts live as long as the exchange. */
const char *fake_method(const struct fake_exchange *x);
const char *fake_path(const struct fake_exchange *x);                     /* with the query */
const char *fake_header(const struct fake_exchange *x, const char *name); /* lower case; or NULL */
const struct str *fake_body(const struct fake_exchange *x);
void fake_drop(struct fake_exchange *x); /* no answer, the connection is reset */
void fake_reply(struct fake_exchange *x, unsigned status, const char *headers, const void *body,
                size_t size);

/* http_scene.h - a client with little patience, and a sink for what it gets. */
#pragma once

#include <stdatomic.h>

#include "fs/base/str.h"
#include "fs/base/stream.h"
#include "registry/http.h"

/* A sink that keeps what it gets. */
struct keeper {
    struct writer writer;
    struct str bytes;  /* the caller releases them */
    size_t fail_after; /* 0: never */
};
struct keeper keeper(void);
int keep(struct writer *w, const void *buf, size_t size, struct error *err); /* its write */

/* Short times, so that tests of waiting do not wait. The caller frees it. */
struct http *quick_http(const atomic_bool *cancelled);
int quick_get(struct http *h, const char *url, struct http_response *out, struct error *err);

/* http_scene.c - see http_scene.h. */
#include <errno.h>

#include "tests/lib/http_scene.h"

#include "fs/base/banned.h"

int keep(struct writer *w, const void *buf, size_t size, struct error *err)
{
    struct keeper *k = (struct keeper *)w;

    if (k->fail_after > 0 && k->bytes.size + size > k->fail_after)
        return error_set(err, ENOSPC, "the sink is full");
    str_add_bytes(&k->bytes, buf, size);
    return 0;
}

struct keeper keeper(void)
{
    return (struct keeper){.writer = {.write = keep}};
}

struct http *quick_http(const atomic_bool *cancelled)
{
    const struct http_options options = {
        .attempts_max = 3,
        .retry_delay_ms = 1,
        .connect_timeout_ms = 2000,
        .stall_timeout_ms = 400,
        .rate_min = 100,
        .cancelled = cancelled,
    };

    return http_new(&options);
}

int quick_get(struct http *h, const char *url, struct http_response *out, struct error *err)
{
    const struct http_request request = {.method = "GET", .url = url};

    return http_request(h, &request, out, err);
}

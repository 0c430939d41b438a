/* flight.c - what happens during one exchange: bytes counted, capped, handed on, and timed. Knows
 * nothing of libcurl.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "registry/http_internal.h"

#include "fs/base/banned.h"

#define BODY_SIZE_DEFAULT (1u << 20)
#define FAREWELL_MS 2000u

void http_response_clear(struct http_response *r)
{
    for (size_t i = 0; i < r->headers.count; i++) {
        free(r->headers.items[i].name);
        free(r->headers.items[i].value);
    }
    r->headers.count = 0;
    r->status = 0;
    str_truncate(&r->body, 0);
}

void http_response_release(struct http_response *r)
{
    http_response_clear(r);
    free(r->headers.items);
    free(r->url);
    str_release(&r->body);
    *r = (struct http_response){0};
}

const char *http_header(const struct http_response *r, const char *name)
{
    for (size_t i = r->headers.count; i > 0; i--) {
        if (text_equal(r->headers.items[i - 1].name, name))
            return r->headers.items[i - 1].value;
    }
    return NULL;
}

uint64_t http_body_size(const struct http_request *request)
{
    return request->source ? request->source_size : request->body_size;
}

void flight_start(struct flight *f)
{
    f->phase = http_body_size(f->exchange->request) > 0 ? PHASE_SENDING : PHASE_WAITING;
    f->active_ns = f->window_ns = f->start_ns = io_ticks_ns();
}

/* Time spent in callbacks is not the network's: both clocks are set forward by it. */
static void moved(struct flight *f, uint64_t callback_start_ns, size_t bytes)
{
    uint64_t now = io_ticks_ns();

    f->active_ns = now;
    f->told_count = 0;
    f->window_ns += now - callback_start_ns;
    f->window_bytes += bytes;
}

static int fails(struct flight *f, bool is_local)
{
    f->has_failed = true;
    f->response->is_local_fault = is_local;
    return -f->err->code;
}

static void start_headers(struct flight *f, const char *line, size_t size)
{
    const char *space = memchr(line, ' ', size);
    unsigned status = 0;

    http_response_clear(f->response);
    for (size_t i = space ? (size_t)(space - line) + 1 : size; i < size; i++) {
        if (line[i] < '0' || line[i] > '9' || status > 99)
            break;
        status = status * 10 + (unsigned)(line[i] - '0');
    }
    f->response->status = status;
}

static void add_header(struct flight *f, const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);
    const char *end = line + size;
    struct http_header *header;
    const char *value;

    if (!colon || colon == line)
        return;
    value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && strchr(" \t\r\n", end[-1]))
        end--;
    header = array_add(&f->response->headers);
    header->name = mem_strndup(line, (size_t)(colon - line));
    header->value = mem_strndup(value, (size_t)(end - value));
    for (char *c = header->name; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
}

int flight_header(struct flight *f, const char *line, size_t size)
{
    uint64_t now = io_ticks_ns();

    /* The time it took to think of an answer does not count against its speed. */
    if (f->phase != PHASE_RECEIVING) {
        f->phase = PHASE_RECEIVING;
        f->window_ns = now;
        f->window_bytes = 0;
    }
    f->header_bytes += size;
    moved(f, now, size);
    if (f->header_bytes > LIMIT_HTTP_HEADER_SIZE) {
        (void)error_set(f->err, EFBIG, "'%s' sent more than %u bytes of headers", f->host,
                        LIMIT_HTTP_HEADER_SIZE);
        return fails(f, false);
    }
    /* An interim answer (100) is followed by another status line. */
    if (size > 5 && memcmp(line, "HTTP/", 5) == 0)
        start_headers(f, line, size);
    else
        add_header(f, line, size);
    return 0;
}

static int to_sink(struct flight *f, const char *bytes, size_t size)
{
    const struct http_request *request = f->exchange->request;
    int r = 0;

    if (f->body_bytes == 0 && request->on_answer)
        r = request->on_answer(request->context, f->response, f->err);
    if (r < 0)
        return r;
    if (size > request->sink_size_max - f->response->sink_bytes)
        return error_set(f->err, EFBIG, "'%s' sent more than the %" PRIu64 " bytes there should be",
                         f->host, request->sink_size_max);
    r = writer_write(request->sink, bytes, size, f->err);
    if (r < 0)
        return r;
    f->response->sink_bytes += size;
    return 0;
}

static int to_memory(struct flight *f, const char *bytes, size_t size)
{
    size_t size_max = f->exchange->request->response_size_max;

    if (size_max == 0)
        size_max = BODY_SIZE_DEFAULT;
    if (size > size_max - f->response->body.size)
        return error_set(f->err, EFBIG, "'%s' sent more than %zu bytes in answer", f->host,
                         size_max);
    str_add_bytes(&f->response->body, bytes, size);
    return 0;
}

int flight_body(struct flight *f, const char *bytes, size_t size)
{
    const struct http_request *request = f->exchange->request;
    uint64_t start_ns = io_ticks_ns();
    bool has_sink = request->sink && f->response->status / 100 == 2;
    int r = has_sink ? to_sink(f, bytes, size) : to_memory(f, bytes, size);

    if (r < 0)
        return fails(f, has_sink);
    f->body_bytes += size;
    if (has_sink && request->on_progress)
        request->on_progress(request->context, f->response->sink_bytes);
    moved(f, start_ns, size);
    return 0;
}

int flight_rewind(struct flight *f, uint64_t offset)
{
    const struct http_request *request = f->exchange->request;
    int r = 0;

    if (offset > http_body_size(request)) {
        (void)error_set(f->err, EINVAL, "a body for '%s' cannot be sent from byte %" PRIu64,
                        f->host, offset);
        return fails(f, true);
    }
    reader_close(STEAL(&f->reader));
    f->sent_bytes = offset;
    f->phase = offset < http_body_size(request) ? PHASE_SENDING : PHASE_WAITING;
    if (request->source)
        r = request->source->open(request->source, request->source_offset + offset, &f->reader,
                                  f->err);
    else
        f->reader = memory_reader_new((const char *)request->body + offset,
                                      request->body_size - (size_t)offset);
    return r < 0 ? fails(f, true) : 0;
}

ssize_t flight_send(struct flight *f, char *buffer, size_t size)
{
    const struct http_request *request = f->exchange->request;
    uint64_t left = http_body_size(request) - f->sent_bytes;
    uint64_t start_ns = io_ticks_ns();
    ssize_t got;

    if (left == 0)
        return 0;
    if (!f->reader && flight_rewind(f, f->sent_bytes) < 0)
        return -f->err->code;
    got = reader_read(f->reader, buffer, size < left ? size : (size_t)left, f->err);
    if (got == 0)
        got = error_set(f->err, EIO, "what is sent to '%s' ends %" PRIu64 " bytes early", f->host,
                        left);
    if (got < 0)
        return fails(f, true);
    f->sent_bytes += (uint64_t)got;
    if (f->sent_bytes == http_body_size(request))
        f->phase = PHASE_WAITING;
    if (request->source && request->on_progress)
        request->on_progress(request->context, f->sent_bytes);
    moved(f, start_ns, (size_t)got);
    return got;
}

static int check_stall(struct flight *f, uint64_t now)
{
    uint64_t limit_ms = f->options->stall_timeout_ms;

    if (f->phase == PHASE_WAITING && f->exchange->request->answer_timeout_ms > limit_ms)
        limit_ms = f->exchange->request->answer_timeout_ms;
    if ((now - f->active_ns) / 1000000 < limit_ms)
        return 0;
    return error_set(f->err, ETIMEDOUT, "'%s' has been silent for %" PRIu64 " seconds", f->host,
                     limit_ms / 1000);
}

static int check_rate(struct flight *f, uint64_t now)
{
    uint64_t window_ms = (now - f->window_ns) / 1000000;

    if (window_ms < f->options->stall_timeout_ms)
        return 0;
    if (f->window_bytes * 1000 < f->options->rate_min * window_ms)
        return error_set(f->err, ETIMEDOUT, "'%s' moves fewer than %u bytes a second", f->host,
                         f->options->rate_min);
    f->window_ns = now;
    f->window_bytes = 0;
    return 0;
}

static void tell_of_silence(struct flight *f, uint64_t now)
{
    const struct http_request *request = f->exchange->request;
    uint64_t silent_ms = (now - f->active_ns) / 1000000;
    uint64_t count = silent_ms / f->options->silence_ms;

    if (!request->on_silence || count <= f->told_count)
        return;
    f->told_count = count;
    request->on_silence(request->context, (unsigned)(count * f->options->silence_ms));
}

int flight_check(struct flight *f)
{
    uint64_t now = io_ticks_ns();
    int r;

    if (f->exchange->request->is_farewell && now - f->start_ns > FAREWELL_MS * 1000000ull) {
        (void)error_set(f->err, ETIMEDOUT, "'%s' does not answer", f->host);
        return fails(f, false);
    }
    if (!f->exchange->request->is_farewell && f->options->cancelled &&
        atomic_load(f->options->cancelled)) {
        (void)error_set(f->err, ECANCELED, "the transfer with '%s' was cancelled", f->host);
        return fails(f, true);
    }
    tell_of_silence(f, now);
    r = check_stall(f, now);
    if (r == 0 && f->phase != PHASE_WAITING)
        r = check_rate(f, now);
    if (r == 0)
        return 0;
    f->response->may_try_again = true;
    return fails(f, false);
}

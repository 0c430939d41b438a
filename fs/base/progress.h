/* progress.h - what long work tells the person waiting: vertices, their log, their transfers.
 *
 * The builder emits events; the command line renders them (plain, tty, quiet, rawjson). Events may
 * come from any thread; a renderer takes its own lock. Names and texts are borrowed for the call.
 * Text from images and steps is escaped by the renderer, not here.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum progress_kind {
    PROGRESS_BEGIN = 1, /* `text`: the vertex's name, e.g. "[2/4] RUN make" */
    PROGRESS_LOG,       /* `text`, `size`: bytes a step wrote; `stream` 1 or 2 */
    PROGRESS_STATUS,    /* `text`: sub-item, e.g. "sha256:..", "exporting layers" */
    PROGRESS_END,
    PROGRESS_WARNING, /* `text` */
    PROGRESS_EXPECT,  /* `total`: so many further vertices are to come */
};

enum progress_state {
    PROGRESS_DONE = 0,
    PROGRESS_CACHED,
    PROGRESS_ERROR, /* `text`: the sentence */
    PROGRESS_CANCELED,
};

struct progress_event {
    enum progress_kind kind;
    uint32_t vertex; /* 1, 2, ...; the number shown as #N is the renderer's business */
    const char *text;
    size_t size;               /* of text, for LOG */
    int stream;                /* LOG */
    uint64_t current;          /* STATUS: bytes so far */
    uint64_t total;            /* STATUS: 0 when unknown or not a transfer */
    bool completed;            /* STATUS */
    bool was_expected;         /* BEGIN: it is one of those that an EXPECT told of */
    enum progress_state state; /* END */
    uint64_t time_ns;          /* CLOCK_MONOTONIC when it was emitted */
};

struct progress {
    void (*emit)(struct progress *p, const struct progress_event *event);
};

/* A NULL progress is allowed everywhere and swallows all. */
uint32_t progress_begin(struct progress *p, const char *name);
uint32_t progress_beginf(struct progress *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Work that is planned is counted before it begins, as "(3/12)" shows: `count` vertices are announced,
 * and each of them is begun with progress_begin_expected. */
void progress_expect(struct progress *p, uint64_t count);
uint32_t progress_begin_expected(struct progress *p, const char *name);
void progress_log(struct progress *p, uint32_t vertex, int stream, const void *bytes, size_t size);
void progress_status(struct progress *p, uint32_t vertex, const char *item, uint64_t current,
                     uint64_t total, bool completed);
void progress_warn(struct progress *p, uint32_t vertex, const char *text);
/* How a vertex ended whose work returned `result`. */
enum progress_state progress_state_of(int result);
void progress_end(struct progress *p, uint32_t vertex, enum progress_state state,
                  const char *error_text);

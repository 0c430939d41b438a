/* record.h - what a build said and did, written down as it happens (fs/logs.h), and read back.
 *
 * A directory holds `events`, one JSON object a line, and `<n>.log` with all bytes that vertex n
 * wrote, those of a step's secrets taken out before (redact.h). It is made when the first step really
 * runs: a build that finds everything in the cache writes nothing. A log of more than RECORD_LOG_MAX
 * loses its middle. Whatever fails here costs the record, never the build.
 *
 *     {"build": {"time": .., "context": .., "dockerfile": .., "target": .., "tags": [..]}}
 *     {"begin": 3, "name": "[2/4] RUN make", "at": <ns>}
 *     {"step": 3, "id": <key>, "user": .., "cwd": .., "shell": [..], "env": [..]}
 *     {"end": 3, "state": "done", "text": "", "at": <ns>}
 *     {"finished": "done", "at": <ns>}
 * with states done, cached, error and canceled; times are nanoseconds from the build's beginning.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/progress.h"
#include "fs/base/str.h"

struct build_options;
struct config;
struct store;

#define RECORD_LOG_MAX (32ull << 20) /* bytes of one step: half from its beginning, half its end */

struct record;

/* Everything goes on to options->progress, which may be NULL. Writes nothing yet. */
struct record *record_new(const struct build_options *options);
struct progress *record_progress(struct record *r); /* borrowed */
/* A step is about to run; from now on the build is written down. Any thread. */
void record_step(struct record *r, uint32_t vertex, const struct digest *key,
                 const struct config *config, const struct strv *env);
/* The build is over; `result` as build_run returns it. Then only record_free may be called. */
void record_finish(struct record *r, int result);
void record_free(struct record *r); /* NULL is allowed */
DEFINE_CLEANUP(record_free, struct record *)
#define auto_record CLEANUP(record_free)

/* -- reading -- */

const char *record_state_name(enum progress_state state); /* as above */

struct recorded_step {
    uint32_t vertex;
    char *name;
    char *text; /* of an error, or "" */
    char *key;  /* hex, or "" for what is no step that ran */
    enum progress_state state;
    bool has_ended; /* else the build was killed in it */
    int64_t begin_ns;
    int64_t end_ns;
    uint64_t log_bytes; /* what it wrote that was kept */
    struct strv env;    /* of a step that ran: how to run another command like it */
    struct strv shell;
    char *user;
    char *cwd;
};
struct recorded {
    uint64_t number;
    int64_t time_ns; /* when it began, by the clock */
    char *context;
    char *dockerfile;
    char *target;
    struct strv tags;
    bool has_finished;
    enum progress_state state;
    int64_t end_ns;
    struct recorded_step *items; /* in the order they began */
    size_t count;
    size_t capacity;
};
void recorded_release(struct recorded *r);
DEFINE_CLEANUP_VALUE(recorded_release, struct recorded)
#define auto_recorded CLEANUP(recorded_release)

/* -ENOENT no such build; lines that make no sense are passed over. */
int recorded_load(struct store *store, uint64_t number, struct recorded *out, struct error *err);
/* The newest build in which a step with this key (its first hex digits) ran: its position in
 * out->items. -ENOENT none did; -EEXIST the digits fit several keys. */
int recorded_find_step(struct store *store, const char *hex, struct recorded *out, size_t *position,
                       struct error *err);
/* Gives the log in pieces, in order; `missing` is the size of a gap before the piece, else 0. A step
 * that wrote nothing gives none. `fn` ends it with a negative result. */
typedef int recorded_fn(void *context, const char *bytes, size_t size, uint64_t missing,
                        struct error *err);
int recorded_read(struct store *store, uint64_t number, uint32_t vertex, recorded_fn *fn,
                  void *context, struct error *err);

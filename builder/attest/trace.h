/* trace.h - what a build was made from and did, noted while it runs: what a provenance tells.
 *
 * Filled by the stages of one build, each from its own thread, and read when all of them are done. Nothing
 * secret comes in: of a secret its id, of an address what may be shown (SECURITY R49).
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/str.h"

struct json;

struct trace_material {
    char *uri;
    char *digest; /* "sha256:<hex>", "sha1:<hex>" */
};

struct trace_id {
    char *id;
    bool is_optional;
};

struct trace_ids {
    struct trace_id *items;
    size_t count;
    size_t capacity;
};

/* One thing done, in the words of BuildKit's build definition. */
struct trace_step {
    size_t stage;        /* position in the Dockerfile */
    size_t number;       /* in the stage, from 0 */
    struct json *op;     /* {"exec": ...} or {"file": ...}; owned */
    struct strv inputs;  /* besides the step before it: TRACE_STAGE and a position, or a source */
    unsigned line_first; /* in the Dockerfile */
    unsigned line_last;
    size_t layer_count; /* below what came out of it, that included */
};
#define TRACE_STAGE "stage:"

/* What a stage starts from: another stage, a source, or nothing. */
struct trace_base {
    bool is_stage;
    size_t stage;
    char *source;   /* "docker-image://docker.io/library/debian:12@sha256:...", or NULL; owned */
    char *platform; /* of the stage; owned */
    unsigned line_first; /* of its FROM */
    unsigned line_last;
    size_t layer_count; /* of the source */
};

struct trace {
    pthread_mutex_t lock;
    /* guarded by lock while the build runs: */
    struct {
        struct trace_material *items;
        size_t count;
        size_t capacity;
    } materials;        /* sorted by URI, each once */
    struct strv locals; /* "context", "dockerfile": names of directories of the caller; sorted */
    struct trace_ids secrets;
    struct trace_ids ssh;
    struct {
        struct trace_step *items;
        size_t count;
        size_t capacity;
    } steps; /* after trace_finish by stage and number */
    struct {
        struct trace_base *items; /* by position of the stage */
        size_t count;
        size_t capacity;
    } bases;
    size_t target;      /* the stage that is the result */
    bool has_network;   /* some step could reach one */
    bool is_incomplete; /* something came from where no digest can tell of it */
    int64_t started_ns;
    int64_t finished_ns;
};
void trace_init(struct trace *t);
void trace_release(struct trace *t);
DEFINE_CLEANUP_VALUE(trace_release, struct trace)
#define auto_trace CLEANUP(trace_release)

void trace_add_material(struct trace *t, const char *uri, const char *digest);
void trace_add_local(struct trace *t, const char *name);
/* One id, also when several steps use it; required by one of them, it is required. */
void trace_add_id(struct trace *t, struct trace_ids *list, const char *id, bool is_optional);
void trace_set_network(struct trace *t);
void trace_set_incomplete(struct trace *t);
/* Takes the members of `base`. */
void trace_set_base(struct trace *t, size_t stage, struct trace_base *base);
/* Takes the step's members. */
void trace_add_step(struct trace *t, struct trace_step *step);
/* `target`: position of the stage that is the result. */
void trace_finish(struct trace *t, size_t target, int64_t finished_ns);

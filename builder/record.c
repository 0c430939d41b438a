/* record.c - writes down what passes by on its way to the display. Reading: record_read.c. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "builder/build.h"
#include "builder/image/config.h"
#include "builder/record.h"
#include "builder/record_internal.h"
#include "fs/base/hash.h"
#include "fs/base/io.h"
#include "fs/base/json.h"
#include "fs/base/log.h"
#include "fs/logs.h"

#include "fs/base/banned.h"

#define PUNCH_STEP (1u << 20) /* the middle of a long log goes in pieces of this size */

/* The log of one vertex. */
struct output {
    uint32_t vertex;
    int fd;
    uint64_t size_bytes;
    uint64_t punched_end;
    bool is_full; /* its middle cannot be given back: the rest is left out */
};

struct record {
    struct progress progress; /* first: what the builder sees */
    struct progress *next;    /* or NULL */
    const struct build_options *options;
    int64_t time_ns;
    uint64_t start_ticks_ns;
    pthread_mutex_t lock;
    /* guarded by lock */
    struct str pending; /* lines from before there was a directory */
    int dir_fd;         /* -1: not begun */
    int events_fd;
    bool has_failed; /* nothing is written any more */
    struct output *outputs;
    size_t output_count;
    size_t output_capacity;
};

/* -- with the lock held -- */

static void give_up(struct record *r, const char *what, int code)
{
    if (!r->has_failed)
        log_debug("cannot write down %s of the build, continuing without: %s", what,
                  strerror(code));
    r->has_failed = true;
}

static void write_text(struct record *r, const struct str *text)
{
    int code = r->has_failed ? 0 : io_write_full(r->events_fd, str_text(text), text->size);

    if (code < 0)
        give_up(r, "the events", -code);
}

static void add_line(struct record *r, const struct json *event)
{
    auto_str struct str line = {0};

    json_write(event, &line);
    str_add_char(&line, '\n');
    if (r->dir_fd < 0)
        str_add_bytes(&r->pending, str_text(&line), line.size);
    else
        write_text(r, &line);
}

static int64_t since_start(const struct record *r)
{
    return (int64_t)(io_ticks_ns() - r->start_ticks_ns);
}

static void begin(struct record *r)
{
    struct error err = {0};
    uint64_t number;
    int code;

    if (r->dir_fd >= 0 || r->has_failed)
        return;
    code = logs_create(r->options->store, &number, &r->dir_fd, &err);
    if (code < 0) {
        give_up(r, "anything", -code);
        return;
    }
    r->events_fd =
        openat(r->dir_fd, RECORD_EVENTS, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (r->events_fd < 0)
        give_up(r, "the events", errno);
    write_text(r, &r->pending);
    str_truncate(&r->pending, 0);
}

static struct output *output_of(struct record *r, uint32_t vertex)
{
    char name[RECORD_NAME_SIZE];
    struct output *o;

    for (size_t i = 0; i < r->output_count; i++)
        if (r->outputs[i].vertex == vertex)
            return &r->outputs[i];
    record_log_name(vertex, name);
    r->outputs = array_grow(r->outputs, r->output_count, &r->output_capacity, sizeof(*r->outputs));
    o = &r->outputs[r->output_count++];
    *o = (struct output){.vertex = vertex};
    o->fd = openat(r->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (o->fd < 0)
        give_up(r, "a log", errno);
    return o;
}

/* Keeps the first and the last half of RECORD_LOG_MAX, and the offsets as they were: what is between
 * becomes a hole, by which the reader knows. */
static void shorten(struct output *o)
{
    const uint64_t half = RECORD_LOG_MAX / 2;

    if (o->punched_end == 0)
        o->punched_end = half;
    while (!o->is_full && o->size_bytes > o->punched_end + half + PUNCH_STEP) {
        if (fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)o->punched_end,
                      PUNCH_STEP) < 0)
            o->is_full = true;
        o->punched_end += PUNCH_STEP;
    }
}

static void write_log(struct record *r, uint32_t vertex, const char *bytes, size_t size)
{
    struct output *o;
    int code;

    begin(r);
    if (r->has_failed)
        return;
    o = output_of(r, vertex);
    if (r->has_failed || o->is_full || o->fd < 0)
        return;
    code = io_write_full(o->fd, bytes, size);
    if (code < 0)
        give_up(r, "a log", -code);
    o->size_bytes += size;
    shorten(o);
}

static void close_output(struct record *r, uint32_t vertex)
{
    for (size_t i = 0; i < r->output_count; i++)
        if (r->outputs[i].vertex == vertex)
            cleanup_close_fd(&r->outputs[i].fd);
}

/* -- events -- */

static void add_event(struct record *r, const struct progress_event *event)
{
    auto_json struct json *line = json_new_object();

    if (event->kind == PROGRESS_BEGIN) {
        json_put_int(line, "begin", event->vertex);
        json_put_text(line, "name", event->text);
    } else {
        json_put_int(line, "end", event->vertex);
        json_put_text(line, "state", record_state_name(event->state));
        json_put_text(line, "text", event->text == NULL ? "" : event->text);
        close_output(r, event->vertex);
    }
    json_put_int(line, "at", since_start(r));
    add_line(r, line);
}

static void emit(struct progress *p, const struct progress_event *event)
{
    struct record *r = (struct record *)(void *)p;

    pthread_mutex_lock(&r->lock);
    if (event->kind == PROGRESS_BEGIN || event->kind == PROGRESS_END)
        add_event(r, event);
    else if (event->kind == PROGRESS_LOG)
        write_log(r, event->vertex, event->text, event->size);
    pthread_mutex_unlock(&r->lock);
    if (r->next != NULL)
        r->next->emit(r->next, event); /* last: what was seen is kept, whoever is killed then */
}

/* -- from outside -- */

static struct json *header(const struct record *r)
{
    const struct build_options *o = r->options;
    struct json *build = json_new_object();
    auto_free char *context = o->context == NULL ? NULL : realpath(o->context, NULL);
    auto_str struct str time = {0};

    time_format(r->time_ns, &time);
    json_put_text(build, "time", str_text(&time));
    json_put_text(build, "context", context == NULL ? "" : context);
    json_put_text(build, "dockerfile", o->dockerfile_name == NULL ? "" : o->dockerfile_name);
    json_put_text(build, "target", o->target == NULL ? "" : o->target);
    if (o->tags != NULL)
        json_put(build, "tags", json_new_strv(o->tags));
    return build;
}

struct record *record_new(const struct build_options *options)
{
    struct record *r = mem_new(struct record);
    auto_json struct json *line = json_new_object();

    r->progress.emit = emit;
    r->next = options->progress;
    r->options = options;
    r->time_ns = io_now_ns();
    r->start_ticks_ns = io_ticks_ns();
    r->dir_fd = r->events_fd = -1;
    pthread_mutex_init(&r->lock, NULL);
    json_put(line, "build", header(r));
    add_line(r, line);
    return r;
}

struct progress *record_progress(struct record *r)
{
    return &r->progress;
}

void record_step(struct record *r, uint32_t vertex, const struct digest *key,
                 const struct config *config, const struct strv *env)
{
    auto_json struct json *line = json_new_object();
    auto_strv struct strv shell = {0};
    char hex[DIGEST_HEX_SIZE];

    digest_format_hex(key, hex);
    config_shell(config, &shell);
    json_put_int(line, "step", vertex);
    json_put_text(line, "id", hex);
    json_put_text(line, "user", config_user(config));
    json_put_text(line, "cwd", config_working_dir(config));
    json_put(line, "shell", json_new_strv(&shell));
    json_put(line, "env", json_new_strv(env));
    pthread_mutex_lock(&r->lock);
    begin(r);
    add_line(r, line);
    pthread_mutex_unlock(&r->lock);
}

void record_finish(struct record *r, int result)
{
    auto_json struct json *line = json_new_object();

    json_put_text(line, "finished",
                  record_state_name(result == -ECANCELED ? PROGRESS_CANCELED
                                    : result < 0         ? PROGRESS_ERROR
                                                         : PROGRESS_DONE));
    json_put_int(line, "at", since_start(r));
    pthread_mutex_lock(&r->lock);
    add_line(r, line);
    pthread_mutex_unlock(&r->lock);
}

void record_free(struct record *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->output_count; i++)
        cleanup_close_fd(&r->outputs[i].fd);
    free(r->outputs);
    cleanup_close_fd(&r->events_fd);
    cleanup_close_fd(&r->dir_fd);
    str_release(&r->pending);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* record_read.c - a record's lines and logs, as they were written or as much of them as there is. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/image/config.h"
#include "builder/record.h"
#include "builder/record_internal.h"
#include "fs/base/io.h"
#include "fs/base/json.h"
#include "fs/logs.h"

#include "fs/base/banned.h"

#define EVENTS_SIZE_MAX (256u << 20)
#define LINE_SIZE_MAX (4u << 20)
#define BUFFER_SIZE (64u << 10)

static const char *const state_names[] = {
    [PROGRESS_DONE] = "done",
    [PROGRESS_CACHED] = "cached",
    [PROGRESS_ERROR] = "error",
    [PROGRESS_CANCELED] = "canceled",
};

const char *record_state_name(enum progress_state state)
{
    return state_names[state];
}

static enum progress_state state_of(const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof(state_names) / sizeof(state_names[0]); i++)
        if (strcmp(state_names[i], name) == 0)
            return (enum progress_state)i;
    return PROGRESS_ERROR;
}

void record_log_name(uint32_t vertex, char name[RECORD_NAME_SIZE])
{
    (void)snprintf(name, RECORD_NAME_SIZE, "%u.log", vertex); /* always fits */
}

void recorded_release(struct recorded *r)
{
    for (size_t i = 0; i < r->count; i++) {
        struct recorded_step *s = &r->items[i];

        free(s->name);
        free(s->text);
        free(s->key);
        free(s->user);
        free(s->cwd);
        strv_release(&s->env);
        strv_release(&s->shell);
    }
    free(r->items);
    free(r->context);
    free(r->dockerfile);
    free(r->target);
    strv_release(&r->tags);
    *r = (struct recorded){0};
}

/* -- lines -- */

static void take_text(char **out, const struct json *object, const char *key)
{
    const char *text = json_get_text(object, key);

    free(*out);
    *out = mem_strdup(text == NULL ? "" : text);
}

static void take_words(struct strv *out, const struct json *object, const char *key)
{
    const struct json *words = json_get_array(object, key);

    for (size_t i = 0; i < json_count(words); i++) {
        const char *text = json_text(json_at(words, i));

        if (text != NULL)
            strv_add(out, text);
    }
}

static int64_t number_of(const struct json *object, const char *key)
{
    int64_t value = 0;

    (void)json_get_int(object, key, 0, INT64_MAX, &value); /* 0 when there is none */
    return value;
}

static struct recorded_step *find_vertex(struct recorded *r, int64_t vertex)
{
    for (size_t i = r->count; i > 0; i--)
        if (r->items[i - 1].vertex == vertex)
            return &r->items[i - 1];
    return NULL;
}

static void take_header(struct recorded *r, const struct json *build)
{
    const char *time = json_get_text(build, "time");

    if (time != NULL && time_parse(time, &r->time_ns) < 0)
        r->time_ns = 0;
    take_text(&r->context, build, "context");
    take_text(&r->dockerfile, build, "dockerfile");
    take_text(&r->target, build, "target");
    take_words(&r->tags, build, "tags");
}

static void take_begin(struct recorded *r, const struct json *line)
{
    struct recorded_step *s = array_add(r);

    s->vertex = (uint32_t)number_of(line, "begin");
    s->begin_ns = number_of(line, "at");
    take_text(&s->name, line, "name");
    take_text(&s->text, line, "");
    take_text(&s->key, line, "");
    take_text(&s->user, line, "");
    take_text(&s->cwd, line, "");
}

static void take_end(struct recorded_step *s, const struct json *line)
{
    s->has_ended = true;
    s->state = state_of(json_get_text(line, "state"));
    s->end_ns = number_of(line, "at");
    take_text(&s->text, line, "text");
}

static void take_step(struct recorded_step *s, const struct json *line)
{
    take_text(&s->key, line, "id");
    take_text(&s->user, line, "user");
    take_text(&s->cwd, line, "cwd");
    take_words(&s->env, line, "env");
    take_words(&s->shell, line, "shell");
}

static void take_line(struct recorded *r, const struct json *line)
{
    struct recorded_step *s;

    if (json_get_object(line, "build") != NULL) {
        take_header(r, json_get_object(line, "build"));
    } else if (json_get(line, "begin") != NULL) {
        take_begin(r, line);
    } else if (json_get(line, "finished") != NULL) {
        r->has_finished = true;
        r->state = state_of(json_get_text(line, "finished"));
        r->end_ns = number_of(line, "at");
    } else if (json_get(line, "end") != NULL) {
        s = find_vertex(r, number_of(line, "end"));
        if (s != NULL)
            take_end(s, line);
    } else if (json_get(line, "step") != NULL) {
        s = find_vertex(r, number_of(line, "step"));
        if (s != NULL)
            take_step(s, line);
    }
}

static void take_lines(struct recorded *r, const char *text, size_t size)
{
    const char *end = text + size;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline == NULL ? end : newline;
        auto_json struct json *line = NULL;
        struct error ignored = {0};

        /* The last line of a killed build may be half a line. */
        if (json_parse(text, (size_t)(stop - text), LINE_SIZE_MAX, "a line", &line, &ignored) == 0)
            take_line(r, line);
        text = stop + 1;
    }
}

static void measure_logs(struct recorded *r, int dir_fd)
{
    for (size_t i = 0; i < r->count; i++) {
        char name[RECORD_NAME_SIZE];
        struct stat st;

        record_log_name(r->items[i].vertex, name);
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            r->items[i].log_bytes = (uint64_t)st.st_size;
    }
}

int recorded_load(struct store *store, uint64_t number, struct recorded *out, struct error *err)
{
    auto_recorded struct recorded found = {.number = number};
    auto_str struct str text = {0};
    auto_close int dir_fd = -1;
    int r = logs_open(store, number, &dir_fd, err);

    if (r == 0)
        r = io_read_file(dir_fd, RECORD_EVENTS, EVENTS_SIZE_MAX, &text, err);
    if (r < 0)
        return r;
    take_text(&found.context, NULL, "");
    take_text(&found.dockerfile, NULL, "");
    take_text(&found.target, NULL, "");
    take_lines(&found, str_text(&text), text.size);
    measure_logs(&found, dir_fd);
    *out = STEAL(&found);
    return 0;
}

/* -- steps -- */

/* The last step of the build with such a key; -1 when it has none, -EEXIST when they differ. */
static int find_in(const struct recorded *r, const char *hex, size_t *position)
{
    const char *key = NULL;

    for (size_t i = 0; i < r->count; i++) {
        const struct recorded_step *s = &r->items[i];

        if (s->key[0] == '\0' || !text_starts(s->key, hex))
            continue;
        if (key != NULL && strcmp(key, s->key) != 0)
            return -EEXIST;
        key = s->key;
        *position = i;
    }
    return key == NULL ? -ENOENT : 0;
}

int recorded_find_step(struct store *store, const char *hex, struct recorded *out, size_t *position,
                       struct error *err)
{
    auto_log_list struct log_list logs = {0};
    int r = logs_list(store, &logs, err);

    if (r < 0)
        return r;
    for (size_t i = logs.count; i > 0; i--) {
        auto_recorded struct recorded build = {0};
        struct error ignored = {0};

        /* One that is gone by now, or was never written, has no step. */
        if (recorded_load(store, logs.items[i - 1].number, &build, &ignored) < 0)
            continue;
        r = find_in(&build, hex, position);
        if (r == -EEXIST)
            return error_set(err, EEXIST, "'%s' is the beginning of several steps' ids", hex);
        if (r < 0)
            continue;
        *out = STEAL(&build);
        return 0;
    }
    return error_set(err, ENOENT, "no log of a step '%s' is kept", hex);
}

/* -- bytes -- */

int recorded_read(struct store *store, uint64_t number, uint32_t vertex, recorded_fn *fn,
                  void *context, struct error *err)
{
    auto_close int dir_fd = -1;
    auto_close int fd = -1;
    auto_free char *buffer = mem_alloc(BUFFER_SIZE);
    char name[RECORD_NAME_SIZE];
    off_t at = 0;
    int r = logs_open(store, number, &dir_fd, err);

    if (r < 0)
        return r;
    record_log_name(vertex, name);
    fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_errno(err, "cannot read the log '%s'", name);
    for (;;) {
        off_t data = lseek(fd, at, SEEK_DATA);
        off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
        off_t missing = data - at;

        if (data < 0) /* ENXIO: nothing but a hole is left, which no log ends with */
            return 0;
        for (at = data; at < hole;) {
            off_t left = hole - at;
            size_t wanted = left < (off_t)BUFFER_SIZE ? (size_t)left : BUFFER_SIZE;

            r = io_pread_full(fd, buffer, wanted, (uint64_t)at);
            if (r < 0)
                return error_set(err, -r, "cannot read the log '%s': %s", name, strerror(-r));
            r = fn(context, buffer, wanted, (uint64_t)missing, err);
            if (r < 0)
                return r;
            missing = 0;
            at += (off_t)wanted;
        }
    }
}

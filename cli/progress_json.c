/* progress_json.c - one JSON object a line for programs: vertexes, statuses, logs, warnings. */
#include <stdio.h>
#include <string.h>

#include "builder/image/config.h"
#include "cli/progress_internal.h"
#include "fs/base/digest.h"
#include "fs/base/io.h"
#include "fs/base/json.h"

#include "fs/base/banned.h"

struct json_renderer {
    struct renderer renderer;
    struct {
        struct json_vertex {
            uint32_t id;
            char *name;
            char *started;
            char digest[DIGEST_TEXT_SIZE];
        } * items;
        size_t count;
        size_t capacity;
    } vertices;
};

/* Vertices are told apart by a digest, as readers of this format expect. */
static void name_vertex(struct json_vertex *v)
{
    auto_free char *text = str_format("%u %s", v->id, v->name);
    struct digest digest;

    digest_of(text, strlen(text), &digest);
    digest_format(&digest, v->digest);
}

static struct json_vertex *find(struct json_renderer *j, uint32_t id)
{
    for (size_t i = j->vertices.count; i > 0; i--)
        if (j->vertices.items[i - 1].id == id)
            return &j->vertices.items[i - 1];
    return NULL;
}

static void print(const char *list, struct json *item)
{
    auto_json struct json *object = json_new_object();
    struct json *items = json_new_array();
    auto_str struct str text = {0};

    json_push(items, item);
    json_put(object, list, items);
    json_write(object, &text);
    fprintf(stderr, "%s\n", str_text(&text));
}

static char *now(void)
{
    struct str text = {0};

    time_format(io_now_ns(), &text);
    return str_take(&text);
}

static void print_vertex(const struct json_vertex *v, const struct progress_event *end)
{
    struct json *item = json_new_object();
    auto_free char *time = now();

    json_put_text(item, "digest", v->digest);
    json_put_text(item, "name", v->name);
    json_put_text(item, "started", v->started);
    if (end != NULL) {
        json_put_text(item, "completed", time);
        if (end->state == PROGRESS_CACHED)
            json_put_bool(item, "cached", true);
        if (end->state == PROGRESS_ERROR || end->state == PROGRESS_CANCELED)
            json_put_text(item, "error", end->state == PROGRESS_CANCELED ? "canceled" : end->text);
    }
    print("vertexes", item);
}

static void print_status(const struct json_vertex *v, const struct progress_event *e)
{
    struct json *item = json_new_object();
    auto_free char *time = now();

    json_put_text(item, "id", e->text);
    json_put_text(item, "vertex", v->digest);
    json_put_int(item, "current", (int64_t)e->current);
    if (e->total > 0)
        json_put_int(item, "total", (int64_t)e->total);
    json_put_text(item, "timestamp", time);
    if (e->completed)
        json_put_text(item, "completed", time);
    print("statuses", item);
}

static void print_log(const struct json_vertex *v, const struct progress_event *e)
{
    struct json *item = json_new_object();
    auto_free char *time = now();
    auto_free char *text = mem_strndup(e->text, e->size);

    json_put_text(item, "vertex", v->digest);
    json_put_int(item, "stream", e->stream);
    json_put_text(item, "data", text);
    json_put_text(item, "timestamp", time);
    print("logs", item);
}

static void json_event(struct renderer *r, const struct progress_event *e)
{
    struct json_renderer *j = (struct json_renderer *)(void *)r;
    struct json_vertex *v = find(j, e->vertex);

    if (e->kind == PROGRESS_BEGIN) {
        v = array_add(&j->vertices);
        v->id = e->vertex;
        v->name = mem_strdup(e->text);
        v->started = now();
        name_vertex(v);
        print_vertex(v, NULL);
    } else if (v != NULL && e->kind == PROGRESS_END) {
        print_vertex(v, e);
    } else if (v != NULL && e->kind == PROGRESS_STATUS) {
        print_status(v, e);
    } else if (v != NULL && e->kind == PROGRESS_LOG) {
        print_log(v, e);
    } else if (v != NULL) {
        struct json *item = json_new_object();

        json_put_text(item, "vertex", v->digest);
        json_put_text(item, "short", e->text);
        print("warnings", item);
    }
}

static void json_close(struct renderer *r)
{
    struct json_renderer *j = (struct json_renderer *)(void *)r;

    for (size_t i = 0; i < j->vertices.count; i++) {
        free(j->vertices.items[i].name);
        free(j->vertices.items[i].started);
    }
    free(j->vertices.items);
    free(j);
}

struct renderer *renderer_json_new(void)
{
    struct json_renderer *j = mem_new(struct json_renderer);

    j->renderer.event = json_event;
    j->renderer.close = json_close;
    return &j->renderer;
}

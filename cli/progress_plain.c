/* progress_plain.c - one line an event, in the form people's scripts already read:
 *
 *     #4 [2/3] RUN make
 *     #4 0.512 cc -c a.c
 *     #4 DONE 1.3s
 */
#include <stdio.h>
#include <string.h>

#include "cli/progress_internal.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define NS_PER_MS 1000000u
#define STATUS_INTERVAL_NS 5000000000ull /* between lines of one transfer */

struct line_status {
    char *item;
    uint64_t started_ns;
    uint64_t shown_ns;
    bool completed;
};

struct vertex {
    uint32_t id; /* of the builder */
    unsigned number;
    char *name;
    uint64_t started_ns;
    struct str partial[2]; /* a line not ended yet, by stream */
    struct {
        struct line_status *items;
        size_t count;
        size_t capacity;
    } statuses;
};

struct plain {
    struct renderer renderer;
    struct {
        struct vertex *items;
        size_t count;
        size_t capacity;
    } vertices;
    uint32_t current; /* vertex of the last line */
};

static struct vertex *find(struct plain *p, uint32_t id)
{
    for (size_t i = p->vertices.count; i > 0; i--)
        if (p->vertices.items[i - 1].id == id)
            return &p->vertices.items[i - 1];
    return NULL;
}

/* Lines of one vertex stand together under its name; coming back to one repeats it. */
static void turn_to(struct plain *p, const struct vertex *v)
{
    const struct vertex *before = p->current == 0 ? NULL : find(p, p->current);

    if (p->current == v->id)
        return;
    if (before != NULL)
        fprintf(stderr, "#%u ...\n\n", before->number);
    fprintf(stderr, "#%u %s\n", v->number, v->name);
    p->current = v->id;
}

static double seconds(uint64_t from_ns, uint64_t to_ns)
{
    return (double)((to_ns - from_ns) / NS_PER_MS) / 1000.0;
}

static void begin(struct plain *p, const struct progress_event *e)
{
    struct vertex *v = array_add(&p->vertices);
    auto_str struct str name = {0};

    str_add_escaped(&name, e->text, strlen(e->text));
    v->id = e->vertex;
    v->number = (unsigned)p->vertices.count;
    v->name = str_take(&name);
    v->started_ns = e->time_ns;
    turn_to(p, v);
}

static void print_line(struct plain *p, const struct vertex *v, uint64_t time_ns, const char *line,
                       size_t size)
{
    auto_str struct str text = {0};

    progress_line(&text, line, size);
    turn_to(p, v);
    fprintf(stderr, "#%u %.3f %s\n", v->number, seconds(v->started_ns, time_ns), str_text(&text));
}

static void log_bytes(struct plain *p, struct vertex *v, const struct progress_event *e)
{
    struct str *partial = &v->partial[e->stream == 2];
    const char *rest = e->text;
    const char *end = e->text + e->size;

    while (rest < end) {
        const char *newline = memchr(rest, '\n', (size_t)(end - rest));

        str_add_bytes(partial, rest, (size_t)((newline == NULL ? end : newline) - rest));
        if (newline == NULL)
            return;
        print_line(p, v, e->time_ns, str_text(partial), partial->size);
        str_truncate(partial, 0);
        rest = newline + 1;
    }
}

static struct line_status *status_of(struct vertex *v, const struct progress_event *e)
{
    struct line_status *s;

    for (size_t i = 0; i < v->statuses.count; i++)
        if (strcmp(v->statuses.items[i].item, e->text) == 0)
            return &v->statuses.items[i];
    s = array_add(&v->statuses);
    s->item = mem_strdup(e->text);
    s->started_ns = e->time_ns;
    return s;
}

static void show_status(struct plain *p, struct vertex *v, const struct progress_event *e)
{
    struct line_status *s = status_of(v, e);
    auto_str struct str text = {0};

    if (s->completed ||
        (!e->completed && s->shown_ns != 0 && e->time_ns - s->shown_ns < STATUS_INTERVAL_NS))
        return;
    s->completed = e->completed;
    s->shown_ns = e->time_ns;
    str_add_escaped(&text, e->text, strlen(e->text));
    if (e->total > 0) {
        str_add_char(&text, ' ');
        str_add_size_decimal(&text, e->current);
        str_add(&text, " / ");
        str_add_size_decimal(&text, e->total);
    } else if (e->current > 0) {
        str_add_char(&text, ' ');
        str_add_size_decimal(&text, e->current);
    }
    if (e->completed && e->time_ns - s->started_ns >= 50 * NS_PER_MS)
        str_addf(&text, " %.1fs", seconds(s->started_ns, e->time_ns));
    turn_to(p, v);
    fprintf(stderr, "#%u %s%s\n", v->number, str_text(&text), e->completed ? " done" : "");
}

static void end(struct plain *p, struct vertex *v, const struct progress_event *e)
{
    auto_str struct str text = {0};

    for (int i = 0; i < 2; i++)
        if (v->partial[i].size > 0) {
            print_line(p, v, e->time_ns, str_text(&v->partial[i]), v->partial[i].size);
            str_truncate(&v->partial[i], 0);
        }
    turn_to(p, v);
    switch (e->state) {
    case PROGRESS_CACHED:
        fprintf(stderr, "#%u CACHED\n", v->number);
        break;
    case PROGRESS_CANCELED:
        fprintf(stderr, "#%u CANCELED\n", v->number);
        break;
    case PROGRESS_ERROR:
        str_add_escaped(&text, e->text, strlen(e->text));
        fprintf(stderr, "#%u ERROR: %s\n", v->number, str_text(&text));
        break;
    case PROGRESS_DONE:
        fprintf(stderr, "#%u DONE %.1fs\n", v->number, seconds(v->started_ns, e->time_ns));
        break;
    }
    fputc('\n', stderr);
    p->current = 0;
}

static void plain_event(struct renderer *r, const struct progress_event *e)
{
    struct plain *p = (struct plain *)(void *)r;
    struct vertex *v;

    if (e->kind == PROGRESS_BEGIN) {
        begin(p, e);
        return;
    }
    v = find(p, e->vertex);
    if (v == NULL)
        return;
    if (e->kind == PROGRESS_LOG) {
        log_bytes(p, v, e);
    } else if (e->kind == PROGRESS_STATUS) {
        show_status(p, v, e);
    } else if (e->kind == PROGRESS_WARNING) {
        turn_to(p, v);
        fprintf(stderr, "#%u WARN: %s\n", v->number, e->text);
    } else {
        end(p, v, e);
    }
}

static void plain_close(struct renderer *r)
{
    struct plain *p = (struct plain *)(void *)r;

    for (size_t i = 0; i < p->vertices.count; i++) {
        struct vertex *v = &p->vertices.items[i];

        for (size_t k = 0; k < v->statuses.count; k++)
            free(v->statuses.items[k].item);
        free(v->statuses.items);
        str_release(&v->partial[0]);
        str_release(&v->partial[1]);
        free(v->name);
    }
    free(p->vertices.items);
    free(p);
}

struct renderer *renderer_plain_new(void)
{
    struct plain *p = mem_new(struct plain);

    p->renderer.event = plain_event;
    p->renderer.close = plain_close;
    return &p->renderer;
}

/* progress_plain.c - one line an event, in the form people's scripts already read:
 *
 *     #4 [2/3] RUN make
 *     #4 0.512 cc -c a.c
 *     #4 DONE 1.3s
 *
 * Where a CI system folds logs (progress_group.h) the lines of one step are a group under its name,
 * and what became of it stands behind the group. A step of which there is nothing to tell, as a
 * cached one, makes no group.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/progress_group.h"
#include "cli/progress_internal.h"
#include "cli/text.h"
#include "fs/base/io.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define NS_PER_MS 1000000u
#define STATUS_INTERVAL_NS 5000000000ull /* between lines of one transfer */
#define TICK_MS 1000u
#define GROUP_DELAY_NS 1000000000ull /* after it a step has its group, though it says nothing */
#define NAME_COLUMNS 72u             /* with PROGRESS_NO_TRUNC=0, as BuildKit has it */

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
    uint64_t heard_ns;  /* when it last said something, or was said to be silent */
    uint64_t spoken_ns; /* when it last said something */
    bool has_ended;
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
    uint32_t current;                   /* vertex of the last line */
    const struct progress_group *group; /* NULL: nothing folds here */
    bool in_group;
    bool shortens_names;
};

static struct vertex *find(struct plain *p, uint32_t id)
{
    for (size_t i = p->vertices.count; i > 0; i--)
        if (p->vertices.items[i - 1].id == id)
            return &p->vertices.items[i - 1];
    return NULL;
}

static void open_group(struct plain *p, const struct vertex *v)
{
    p->in_group = p->group != NULL;
    if (p->in_group)
        progress_group_open(p->group, v->number, v->name);
    else
        fprintf(stderr, "#%u %s\n", v->number, v->name);
}

static void close_group(struct plain *p, const struct vertex *v, bool has_failed)
{
    if (p->in_group)
        progress_group_close(p->group, v->number, v->name, has_failed);
    p->in_group = false;
}

/* Lines of one vertex stand together under its name; coming back to one repeats it. */
static void turn_to(struct plain *p, const struct vertex *v)
{
    const struct vertex *before = p->current == 0 ? NULL : find(p, p->current);

    if (p->current == v->id)
        return;
    if (before != NULL) {
        fprintf(stderr, "#%u ...\n", before->number);
        close_group(p, before, false);
        fputc('\n', stderr);
    }
    open_group(p, v);
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
    if (p->shortens_names && text_columns(str_text(&name), name.size) > NAME_COLUMNS) {
        str_truncate(&name, text_fit(str_text(&name), NAME_COLUMNS - 3));
        str_add(&name, "...");
    }
    v->id = e->vertex;
    v->number = (unsigned)p->vertices.count;
    v->name = str_take(&name);
    v->started_ns = e->time_ns;
    v->heard_ns = e->time_ns;
    v->spoken_ns = e->time_ns;
    if (p->group == NULL)
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

    while (rest < end && progress_take_line(partial, &rest, end)) {
        print_line(p, v, e->time_ns, str_text(partial), partial->size);
        str_truncate(partial, 0);
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
    if (e->total > 0 || (e->completed && e->time_ns - s->started_ns >= 50 * NS_PER_MS))
        str_addf(&text, " %.1fs", seconds(s->started_ns, e->time_ns));
    turn_to(p, v);
    fprintf(stderr, "#%u %s%s\n", v->number, str_text(&text), e->completed ? " done" : "");
}

/* Behind its group, or, when there was none, under its name. */
static void end_group(struct plain *p, const struct vertex *v, bool has_failed)
{
    const struct vertex *before = p->current == 0 ? NULL : find(p, p->current);
    bool was_open = p->in_group && p->current == v->id;

    if (before != NULL && before != v)
        fprintf(stderr, "#%u ...\n", before->number);
    if (before != NULL)
        close_group(p, before, has_failed && before == v);
    if (!was_open)
        fprintf(stderr, "#%u %s\n", v->number, v->name);
}

static void end(struct plain *p, struct vertex *v, const struct progress_event *e)
{
    auto_str struct str text = {0};

    for (int i = 0; i < 2; i++)
        if (v->partial[i].size > 0) {
            print_line(p, v, e->time_ns, str_text(&v->partial[i]), v->partial[i].size);
            str_truncate(&v->partial[i], 0);
        }
    if (p->group == NULL)
        turn_to(p, v);
    else
        end_group(p, v, e->state == PROGRESS_ERROR);
    v->has_ended = true;
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
    v->heard_ns = e->time_ns;
    v->spoken_ns = e->time_ns;
    if (e->kind == PROGRESS_LOG) {
        log_bytes(p, v, e);
    } else if (e->kind == PROGRESS_STATUS) {
        show_status(p, v, e);
    } else if (e->kind == PROGRESS_WARNING) {
        auto_str struct str text = {0};

        str_add_escaped(&text, e->text, strlen(e->text));
        turn_to(p, v);
        fprintf(stderr, "#%u WARN: %s\n", v->number, str_text(&text));
    } else {
        end(p, v, e);
    }
}

/* A step that says nothing for a minute is told of, and again each minute: it may hang. */
static void tell_silence(struct plain *p, struct vertex *v, uint64_t now_ns)
{
    auto_str struct str text = {0};

    progress_add_silence(&text, now_ns - v->spoken_ns);
    turn_to(p, v);
    fprintf(stderr, "#%u %.3f (nothing heard for %s)\n", v->number, seconds(v->started_ns, now_ns),
            str_text(&text));
    v->heard_ns = now_ns;
}

static void plain_tick(struct renderer *r)
{
    struct plain *p = (struct plain *)(void *)r;
    uint64_t now_ns = io_ticks_ns();

    for (size_t i = 0; i < p->vertices.count; i++) {
        struct vertex *v = &p->vertices.items[i];

        if (v->has_ended)
            continue;
        if (now_ns > v->heard_ns + PROGRESS_STALL_NS)
            tell_silence(p, v, now_ns);
        else if (p->group != NULL && p->current == 0 && now_ns > v->started_ns + GROUP_DELAY_NS)
            turn_to(p, v);
    }
}

static void plain_close(struct renderer *r)
{
    struct plain *p = (struct plain *)(void *)r;
    const struct vertex *open = p->current == 0 ? NULL : find(p, p->current);

    if (open != NULL)
        close_group(p, open, false);
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
    p->renderer.tick = plain_tick;
    p->renderer.tick_ms = TICK_MS;
    p->group = progress_group_find();
    p->shortens_names = text_equal(getenv("PROGRESS_NO_TRUNC"), "0");
    p->renderer.close = plain_close;
    return &p->renderer;
}

/* progress_tty.c - a live display: steps with their times, transfers, the last lines of what runs.
 *
 * The block (progress_draw.c) is drawn again in place ten times a second, so that times run on while
 * nothing happens, and stays when the work is over. Whatever else wants to print meanwhile goes
 * above it. The cursor stays visible and no mode of the terminal is changed: there is nothing to
 * restore when the process dies.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/progress_tty_internal.h"
#include "fs/base/io.h"
#include "fs/base/log.h"

#include "fs/base/banned.h"

#define DRAW_INTERVAL_MS 100u
#define LOG_LINES 6u
#define LOG_LINES_MAX 64u

static struct tty *tty_of(struct renderer *r)
{
    return (struct tty *)(void *)r;
}

static struct tty_vertex *find(struct tty *t, uint32_t id)
{
    for (size_t i = t->vertices.count; i > 0; i--)
        if (t->vertices.items[i - 1].id == id)
            return &t->vertices.items[i - 1];
    return NULL;
}

static void draw(struct tty *t, bool is_last)
{
    struct winsize size = {0};
    auto_str struct str out = {0};

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
        size = (struct winsize){.ws_col = 80, .ws_row = 24};
    tty_draw(t, size.ws_col, size.ws_row, is_last, &out);
    fwrite(out.data, 1, out.size, stderr);
    fflush(stderr);
    t->drawn_ns = io_ticks_ns();
}

static void tick(struct renderer *r)
{
    draw(tty_of(r), false);
}

/* ---- events ---- */

static void begin(struct tty *t, const struct progress_event *e)
{
    struct tty_vertex *v = array_add(&t->vertices);
    auto_str struct str name = {0};

    str_add_escaped(&name, e->text, strlen(e->text));
    t->expected -= e->was_expected && t->expected > 0;
    v->id = e->vertex;
    v->name = str_take(&name);
    v->started_ns = e->time_ns;
}

static void keep_line(struct tty_vertex *v, const char *line, size_t size)
{
    auto_str struct str text = {0};

    progress_line(&text, line, size);
    for (char *c = text.data; c != NULL && *c != '\0'; c++)
        *c = *c == '\t' ? ' ' : *c; /* a tab's width depends on where it stands */
    if (v->log.count == LOG_LINES_MAX) {
        free(v->log.items[0]);
        memmove(v->log.items, v->log.items + 1, (LOG_LINES_MAX - 1) * sizeof(*v->log.items));
        v->log.count--;
    }
    strv_add(&v->log, str_text(&text));
}

static void log_bytes(struct tty_vertex *v, const struct progress_event *e)
{
    struct str *partial = &v->partial[e->stream == 2];
    const char *rest = e->text;
    const char *end = e->text + e->size;

    while (rest < end && progress_take_line(partial, &rest, end)) {
        keep_line(v, str_text(partial), partial->size);
        str_truncate(partial, 0);
    }
}

static void set_status(struct tty_vertex *v, const struct progress_event *e)
{
    auto_str struct str item = {0};
    struct tty_status *s = NULL;

    str_add_escaped(&item, e->text, strlen(e->text));
    for (size_t i = 0; i < v->statuses.count && s == NULL; i++)
        if (strcmp(v->statuses.items[i].item, str_text(&item)) == 0)
            s = &v->statuses.items[i];
    if (s == NULL) {
        s = array_add(&v->statuses);
        s->item = str_take(&item);
        s->started_ns = e->time_ns;
    }
    s->current = e->current;
    s->total = e->total;
    if (e->completed && s->ended_ns == 0)
        s->ended_ns = e->time_ns;
}

/* What was going on when a step ended went on no longer. */
static void end(struct tty_vertex *v, const struct progress_event *e)
{
    for (int i = 0; i < 2; i++)
        if (v->partial[i].size > 0) {
            keep_line(v, str_text(&v->partial[i]), v->partial[i].size);
            str_truncate(&v->partial[i], 0);
        }
    for (size_t i = 0; i < v->statuses.count; i++)
        if (v->statuses.items[i].ended_ns == 0)
            v->statuses.items[i].ended_ns = e->time_ns;
    v->ended_ns = e->time_ns;
    v->state = e->state;
}

static void tty_event(struct renderer *r, const struct progress_event *e)
{
    struct tty *t = tty_of(r);
    struct tty_vertex *v;

    if (e->kind == PROGRESS_BEGIN)
        begin(t, e);
    if (e->kind == PROGRESS_EXPECT)
        t->expected += e->total;
    v = find(t, e->vertex);
    if (v != NULL)
        v->heard_ns = e->time_ns;
    if (v != NULL && e->kind == PROGRESS_LOG) {
        log_bytes(v, e);
    } else if (v != NULL && e->kind == PROGRESS_STATUS) {
        set_status(v, e);
    } else if (v != NULL && e->kind == PROGRESS_END) {
        end(v, e);
    } else if (e->kind == PROGRESS_WARNING) {
        auto_str struct str text = {0};

        str_add(&text, "warning: ");
        str_add_escaped(&text, e->text, strlen(e->text));
        strv_take(&t->above, str_take(&text));
    }
}

/* Warnings of the library would tear the block apart. */
static void note(void *context, const char *line)
{
    struct tty *t = context;

    pthread_mutex_lock(&t->renderer.lock);
    strv_add(&t->above, line);
    pthread_mutex_unlock(&t->renderer.lock);
}

static void vertex_release(struct tty_vertex *v)
{
    for (size_t i = 0; i < v->statuses.count; i++)
        free(v->statuses.items[i].item);
    free(v->statuses.items);
    strv_release(&v->log);
    str_release(&v->partial[0]);
    str_release(&v->partial[1]);
    free(v->name);
}

static void tty_close(struct renderer *r)
{
    struct tty *t = tty_of(r);

    log_set_sink(NULL, NULL);
    if (t->vertices.count > 0)
        draw(t, true);
    for (size_t i = 0; i < t->above.count; i++)
        fprintf(stderr, "%s\n", t->above.items[i]); /* nothing was ever drawn */
    for (size_t i = 0; i < t->vertices.count; i++)
        vertex_release(&t->vertices.items[i]);
    free(t->vertices.items);
    free(t->drawn.items);
    strv_release(&t->above);
    free(t);
}

struct renderer *renderer_tty_new(void)
{
    struct tty *t = mem_new(struct tty);
    const char *lines = getenv("BUILDKIT_TTY_LOG_LINES");
    const char *no_colour = getenv("NO_COLOR");
    uint64_t number;

    t->renderer.event = tty_event;
    t->renderer.tick = tick;
    t->renderer.tick_ms = DRAW_INTERVAL_MS;
    t->renderer.close = tty_close;
    t->log_lines =
        lines != NULL && text_to_u64(lines, LOG_LINES_MAX, &number) ? (unsigned)number : LOG_LINES;
    if (no_colour == NULL || no_colour[0] == '\0')
        tty_set_colours(t, getenv("BUILDKIT_COLORS"));
    t->started_ns = io_ticks_ns();
    t->sampled_ns = t->started_ns;
    log_set_sink(note, t);
    return &t->renderer;
}

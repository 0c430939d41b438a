/* progress_tty.c - a live display: steps with their times, transfers, the last lines of what runs.
 *
 *     [+] Building 1.2s (3/5)
 *      => CACHED [2/4] COPY . /src                                                         0.0s
 *      => [3/4] RUN make                                                                   1.1s
 *      => => # cc -c a.c
 *
 * The block is drawn again in place, at most some ten times a second, by a thread of its own, so that
 * times run on while nothing happens. Its height follows the terminal's: when steps are many, the
 * oldest finished ones leave the block first. What was shown stays when the build is over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/progress_internal.h"
#include "fs/base/io.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define DRAW_INTERVAL_NS 100000000l
#define LOG_LINES_MAX 64u
#define NS_PER_S 1000000000ull

struct tty_status {
    char *item;
    uint64_t current;
    uint64_t total;
    uint64_t started_ns;
    uint64_t ended_ns; /* 0: going on */
};

struct tty_vertex {
    uint32_t id;
    char *name;
    uint64_t started_ns;
    uint64_t ended_ns; /* 0: running */
    enum progress_state state;
    struct str partial[2];
    struct strv log; /* the last lines */
    struct {
        struct tty_status *items;
        size_t count;
        size_t capacity;
    } statuses;
};

struct tty {
    struct renderer renderer;
    pthread_t thread;
    pthread_cond_t wake;
    bool is_changed; /* guarded by renderer.lock, as all below */
    bool is_closing;
    bool has_thread;
    bool with_colour;
    unsigned log_lines;
    unsigned drawn_lines; /* height of the block on the screen */
    uint64_t started_ns;
    struct strv warnings;
    struct {
        struct tty_vertex *items;
        size_t count;
        size_t capacity;
    } vertices;
};

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

/* ---- lines ---- */

struct frame {
    struct str text;
    unsigned lines;
    unsigned width;
    bool with_colour;
};

/* Bytes of `text` that fit into `columns`; every character but ASCII counts as one column wide. */
static size_t fit(const char *text, size_t columns)
{
    size_t size = 0;

    while (text[size] != '\0' && columns > 0) {
        size++;
        while (((unsigned char)text[size] & 0xc0) == 0x80)
            size++;
        columns--;
    }
    return size;
}

static size_t columns_of(const char *text)
{
    size_t columns = 0;

    for (; *text != '\0'; text++)
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    return columns;
}

/* One line: `left` cut to what the terminal and `right` leave. */
static void add_line(struct frame *f, const char *colour, const char *left, const char *right)
{
    size_t room = f->width > 1 ? f->width - 1 : 1;
    size_t tail = columns_of(right);
    size_t columns;

    room = tail + 1 < room ? room - tail - 1 : room;
    columns = columns_of(left);
    if (f->with_colour && colour != NULL)
        str_addf(&f->text, "\033[%sm", colour);
    str_add_bytes(&f->text, left, fit(left, room));
    for (; columns < room && tail > 0; columns++)
        str_add_char(&f->text, ' ');
    if (tail > 0)
        str_addf(&f->text, " %s", right);
    if (f->with_colour && colour != NULL)
        str_add(&f->text, "\033[0m");
    str_add(&f->text, "\033[K\n");
    f->lines++;
}

static void add_seconds(struct str *out, uint64_t from_ns, uint64_t to_ns)
{
    str_addf(out, "%.1fs", (double)(to_ns - from_ns) / (double)NS_PER_S);
}

static void add_status(struct frame *f, const struct tty_status *s, uint64_t now_ns)
{
    auto_str struct str left = {0};
    auto_str struct str right = {0};

    str_addf(&left, " => => %s", s->item);
    if (s->total > 0) {
        str_add(&right, "");
        str_add_size_decimal(&right, s->current);
        str_add(&right, " / ");
        str_add_size_decimal(&right, s->total);
        str_add(&right, "  ");
    }
    add_seconds(&right, s->started_ns, s->ended_ns != 0 ? s->ended_ns : now_ns);
    add_line(f, s->ended_ns != 0 ? "34" : NULL, str_text(&left), str_text(&right));
}

static void add_vertex(struct frame *f, const struct tty *t, const struct tty_vertex *v,
                       uint64_t now_ns)
{
    static const char *const labels[] = {[PROGRESS_DONE] = "",
                                         [PROGRESS_CACHED] = "CACHED ",
                                         [PROGRESS_ERROR] = "ERROR ",
                                         [PROGRESS_CANCELED] = "CANCELED "};
    static const char *const colours[] = {[PROGRESS_DONE] = "34",
                                          [PROGRESS_CACHED] = "34",
                                          [PROGRESS_ERROR] = "31",
                                          [PROGRESS_CANCELED] = "33"};
    auto_str struct str left = {0};
    auto_str struct str right = {0};
    bool is_over = v->ended_ns != 0;

    str_addf(&left, " => %s%s", is_over ? labels[v->state] : "", v->name);
    add_seconds(&right, v->started_ns, is_over ? v->ended_ns : now_ns);
    add_line(f, is_over ? colours[v->state] : NULL, str_text(&left), str_text(&right));
    for (size_t i = 0; i < v->statuses.count; i++)
        add_status(f, &v->statuses.items[i], now_ns);
    if (is_over && v->state != PROGRESS_ERROR)
        return;
    for (size_t i = v->log.count > t->log_lines ? v->log.count - t->log_lines : 0; i < v->log.count;
         i++) {
        auto_free char *line = str_format(" => => # %s", v->log.items[i]);

        add_line(f, "2", line, "");
    }
}

static unsigned height_of(const struct tty *t, const struct tty_vertex *v)
{
    bool with_log = v->ended_ns == 0 || v->state == PROGRESS_ERROR;
    size_t log = v->log.count < t->log_lines ? v->log.count : t->log_lines;

    return (unsigned)(1 + v->statuses.count + (with_log ? log : 0));
}

/* How many vertices from the front to leave out, so that the rest fits; running ones stay. */
static void choose(const struct tty *t, unsigned rows, bool *hidden)
{
    unsigned needed = 1;

    for (size_t i = 0; i < t->vertices.count; i++)
        needed += height_of(t, &t->vertices.items[i]);
    for (size_t i = 0; i < t->vertices.count && needed + 1 > rows; i++) {
        const struct tty_vertex *v = &t->vertices.items[i];

        if (v->ended_ns == 0 || v->state == PROGRESS_ERROR)
            continue;
        hidden[i] = true;
        needed -= height_of(t, v);
    }
}

static void draw(struct tty *t, bool is_last)
{
    struct winsize size = {0};
    struct frame f = {.width = 80, .with_colour = t->with_colour};
    auto_free bool *hidden = mem_alloc(t->vertices.count + 1);
    auto_free char *title = NULL;
    uint64_t now_ns = io_ticks_ns();
    size_t over = 0;
    unsigned rows = 24;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        f.width = size.ws_col;
        rows = size.ws_row > 2 ? size.ws_row : 2;
    }
    if (!is_last)
        choose(t, rows, hidden);
    for (size_t i = 0; i < t->vertices.count; i++)
        over += t->vertices.items[i].ended_ns != 0;
    title = str_format("[+] Building %.1fs (%zu/%zu)%s",
                       (double)(now_ns - t->started_ns) / (double)NS_PER_S, over, t->vertices.count,
                       is_last ? " FINISHED" : "");
    if (t->drawn_lines > 0)
        str_addf(&f.text, "\033[%uA", t->drawn_lines);
    str_add(&f.text, "\r");
    add_line(&f, NULL, title, "");
    for (size_t i = 0; i < t->vertices.count; i++)
        if (!hidden[i] && (is_last || f.lines + 1 < rows))
            add_vertex(&f, t, &t->vertices.items[i], now_ns);
    str_add(&f.text, "\033[J");
    fwrite(f.text.data, 1, f.text.size, stderr);
    fflush(stderr);
    t->drawn_lines = f.lines;
    str_release(&f.text);
}

static void *draw_loop(void *arg)
{
    struct tty *t = arg;

    pthread_mutex_lock(&t->renderer.lock);
    while (!t->is_closing) {
        struct timespec until;

        draw(t, false);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += DRAW_INTERVAL_NS;
        if (until.tv_nsec >= (long)NS_PER_S) {
            until.tv_nsec -= (long)NS_PER_S;
            until.tv_sec++;
        }
        (void)pthread_cond_timedwait(&t->wake, &t->renderer.lock, &until);
    }
    pthread_mutex_unlock(&t->renderer.lock);
    return NULL;
}

/* ---- events ---- */

static void begin(struct tty *t, const struct progress_event *e)
{
    struct tty_vertex *v = array_add(&t->vertices);
    auto_str struct str name = {0};

    str_add_escaped(&name, e->text, strlen(e->text));
    v->id = e->vertex;
    v->name = str_take(&name);
    v->started_ns = e->time_ns;
    if (!t->has_thread)
        t->has_thread = pthread_create(&t->thread, NULL, draw_loop, t) == 0;
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

    while (rest < end) {
        const char *newline = memchr(rest, '\n', (size_t)(end - rest));

        str_add_bytes(partial, rest, (size_t)((newline == NULL ? end : newline) - rest));
        if (newline == NULL)
            return;
        keep_line(v, str_text(partial), partial->size);
        str_truncate(partial, 0);
        rest = newline + 1;
    }
}

static void set_status(struct tty_vertex *v, const struct progress_event *e)
{
    struct tty_status *s = NULL;

    for (size_t i = 0; i < v->statuses.count && s == NULL; i++)
        if (strcmp(v->statuses.items[i].item, e->text) == 0)
            s = &v->statuses.items[i];
    if (s == NULL) {
        auto_str struct str item = {0};

        str_add_escaped(&item, e->text, strlen(e->text));
        s = array_add(&v->statuses);
        s->item = str_take(&item);
        s->started_ns = e->time_ns;
    }
    s->current = e->current;
    s->total = e->total;
    if (e->completed && s->ended_ns == 0)
        s->ended_ns = e->time_ns;
}

static void tty_event(struct renderer *r, const struct progress_event *e)
{
    struct tty *t = tty_of(r);
    struct tty_vertex *v = e->kind == PROGRESS_BEGIN ? NULL : find(t, e->vertex);

    if (e->kind == PROGRESS_BEGIN) {
        begin(t, e);
    } else if (v != NULL && e->kind == PROGRESS_LOG) {
        log_bytes(v, e);
    } else if (v != NULL && e->kind == PROGRESS_STATUS) {
        set_status(v, e);
    } else if (v != NULL && e->kind == PROGRESS_END) {
        v->ended_ns = e->time_ns;
        v->state = e->state;
    } else if (e->kind == PROGRESS_WARNING) {
        strv_add(&t->warnings, e->text);
    }
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

    pthread_mutex_lock(&r->lock);
    t->is_closing = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&r->lock);
    if (t->has_thread)
        pthread_join(t->thread, NULL);
    if (t->vertices.count > 0)
        draw(t, true);
    for (size_t i = 0; i < t->warnings.count; i++) {
        auto_str struct str text = {0};

        str_add_escaped(&text, t->warnings.items[i], strlen(t->warnings.items[i]));
        fprintf(stderr, "warning: %s\n", str_text(&text));
    }
    for (size_t i = 0; i < t->vertices.count; i++)
        vertex_release(&t->vertices.items[i]);
    free(t->vertices.items);
    strv_release(&t->warnings);
    pthread_cond_destroy(&t->wake);
    free(t);
}

struct renderer *renderer_tty_new(void)
{
    struct tty *t = mem_new(struct tty);
    const char *lines = getenv("BUILDKIT_TTY_LOG_LINES");
    const char *no_colour = getenv("NO_COLOR");
    uint64_t number;

    t->renderer.event = tty_event;
    t->renderer.close = tty_close;
    t->log_lines =
        lines != NULL && text_to_u64(lines, LOG_LINES_MAX, &number) ? (unsigned)number : 6;
    t->with_colour = no_colour == NULL || no_colour[0] == '\0';
    t->started_ns = io_ticks_ns();
    pthread_cond_init(&t->wake, NULL);
    return &t->renderer;
}

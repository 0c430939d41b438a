/* progress_draw.c - the block a terminal shows, from the state in progress_tty_internal.h.
 *
 *     [+] Building 1.2s (3/5)                                             12.3MB / 30.1MB  8.1MB/s
 *      => CACHED [2/4] COPY . /src                                                            0.0s
 *      => [3/4] RUN make                                                                      1.1s
 *      => => # cc -c a.c
 *
 * Lines never wrap: the left part is cut to what the right one leaves. The block never is higher than
 * the terminal: finished steps leave it first, then finished transfers, then the ends of logs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/progress_tty_internal.h"
#include "cli/text.h"
#include "fs/base/digest.h"
#include "fs/base/io.h"

#include "fs/base/banned.h"

#define NS_PER_S 1000000000ull
#define BAR_WIDTH 16u
#define BAR_COLUMNS_MIN 72u /* narrower terminals get no bar */
#define STOPPED_NS NS_PER_S /* no display is that late: ten are drawn in that time */
#define NAME_MIN 20u        /* columns a name keeps before sizes give way */

struct frame {
    struct tty *tty;
    struct str *out;
    size_t columns;
    size_t room; /* lines left */
    uint64_t now_ns;
    bool hides_done; /* not all fits: finished transfers are left out */
};

/* ---- lines ---- */

static void add_line(struct frame *f, const char *colour, const char *left, const char *right)
{
    size_t room = f->columns > 1 ? f->columns - 1 : 1; /* the last column would wrap on some */
    size_t tail = text_columns(right, strlen(right));
    size_t room_left;
    size_t size;
    size_t used;
    bool is_cut;

    if (f->room == 0)
        return;
    f->room--;
    if (tail + NAME_MIN > room)
        tail = 0;
    room_left = tail > 0 ? room - tail - 1 : room;
    size = text_fit(left, room_left);
    is_cut = left[size] != '\0';
    if (is_cut)
        size = text_fit(left, room_left - 1);
    used = text_columns(left, size) + is_cut;
    if (colour != NULL)
        str_addf(f->out, "\033[%sm", colour);
    str_add_bytes(f->out, left, size);
    if (is_cut)
        str_add(f->out, "…");
    if (tail > 0)
        str_addf(f->out, "%*s%s", (int)(room - tail - used), "", right);
    if (colour != NULL)
        str_add(f->out, "\033[0m");
    str_add(f->out, "\033[K\n");
    *(unsigned *)array_add(&f->tty->drawn) = (unsigned)(tail > 0 ? room : used);
}

static void add_seconds(struct str *out, uint64_t from_ns, uint64_t to_ns)
{
    str_addf(out, "%.1fs", (double)(to_ns > from_ns ? to_ns - from_ns : 0) / (double)NS_PER_S);
}

static void add_bar(struct str *out, uint64_t current, uint64_t total)
{
    unsigned filled =
        total == 0
            ? BAR_WIDTH
            : (unsigned)((double)(current < total ? current : total) * BAR_WIDTH / (double)total);

    str_add_char(out, '[');
    for (unsigned i = 0; i < BAR_WIDTH; i++)
        str_add_char(out, i < filled ? '=' : i == filled ? '>' : ' ');
    str_add(out, "] ");
}

static void add_sizes(struct str *out, uint64_t current, uint64_t total)
{
    str_add_size_decimal(out, current);
    str_add(out, " / ");
    str_add_size_decimal(out, total);
    str_add(out, "  ");
}

#define ALGORITHM_SIZE 6 /* "sha256" */
#define DIGITS_MIN 64u
#define DIGITS_SHOWN 12u

/* A digest is told apart by its first digits; people never read the rest. */
static void add_item(struct str *out, const char *item)
{
    const char *colon;

    while ((colon = strchr(item, ':')) != NULL) {
        size_t digits = strspn(colon + 1, "0123456789abcdef");
        bool is_digest = colon - item >= ALGORITHM_SIZE && digits >= DIGITS_MIN &&
                         digest_has_algorithm(colon - ALGORITHM_SIZE);

        str_add_bytes(out, item, (size_t)(colon + 1 - item) + (is_digest ? DIGITS_SHOWN : digits));
        item = colon + 1 + digits;
    }
    str_add(out, item);
}

static void add_status(struct frame *f, const struct tty_status *s)
{
    auto_str struct str left = {0};
    auto_str struct str right = {0};
    bool is_over = s->ended_ns != 0;

    if (is_over && f->hides_done)
        return;
    str_add(&left, " => => ");
    add_item(&left, s->item);
    if (s->total > 0 && !is_over && f->columns >= BAR_COLUMNS_MIN)
        add_bar(&right, s->current, s->total);
    if (s->total > 0)
        add_sizes(&right, s->current, s->total);
    else if (s->current > 0) {
        str_add_size_decimal(&right, s->current);
        str_add(&right, "  ");
    }
    add_seconds(&right, s->started_ns, is_over ? s->ended_ns : f->now_ns);
    add_line(f, is_over ? f->tty->colours[PROGRESS_DONE] : NULL, str_text(&left), str_text(&right));
}

/* ---- vertices ---- */

static bool is_silent(const struct frame *f, const struct tty_vertex *v)
{
    return v->ended_ns == 0 && f->now_ns > v->heard_ns + PROGRESS_STALL_NS;
}

static bool shows_log(const struct tty_vertex *v)
{
    return v->ended_ns == 0 || v->state == PROGRESS_ERROR;
}

static size_t log_shown(const struct tty *t, const struct tty_vertex *v)
{
    return v->log.count < t->log_lines ? v->log.count : t->log_lines;
}

static void add_vertex(struct frame *f, const struct tty_vertex *v)
{
    static const char *const labels[] = {[PROGRESS_DONE] = "",
                                         [PROGRESS_CACHED] = "CACHED ",
                                         [PROGRESS_ERROR] = "ERROR ",
                                         [PROGRESS_CANCELED] = "CANCELED "};
    auto_str struct str left = {0};
    auto_str struct str right = {0};
    bool is_over = v->ended_ns != 0;
    const struct tty *t = f->tty;

    str_addf(&left, " => %s%s", is_over ? labels[v->state] : "", v->name);
    add_seconds(&right, v->started_ns, is_over ? v->ended_ns : f->now_ns);
    add_line(f, is_over ? t->colours[v->state] : NULL, str_text(&left), str_text(&right));
    for (size_t i = 0; i < v->statuses.count; i++)
        add_status(f, &v->statuses.items[i]);
    for (size_t i = v->log.count - log_shown(t, v); shows_log(v) && i < v->log.count; i++) {
        auto_free char *line = str_format(" => => # %s", v->log.items[i]);

        add_line(f, t->colours[PROGRESS_DONE] == NULL ? NULL : "2", line, "");
    }
    if (is_silent(f, v)) {
        auto_str struct str line = {0};

        str_add(&line, " => => (nothing heard for ");
        progress_add_silence(&line, f->now_ns - v->heard_ns);
        str_add_char(&line, ')');
        add_line(f, t->colours[PROGRESS_CANCELED], str_text(&line), "");
    }
}

static size_t height_of(const struct frame *f, const struct tty_vertex *v)
{
    size_t height = 1 + (shows_log(v) ? log_shown(f->tty, v) : 0) + is_silent(f, v);

    for (size_t i = 0; i < v->statuses.count; i++)
        height += !f->hides_done || v->statuses.items[i].ended_ns == 0;
    return height;
}

static size_t total_height(const struct frame *f)
{
    size_t height = 1;

    for (size_t i = 0; i < f->tty->vertices.count; i++)
        height += height_of(f, &f->tty->vertices.items[i]);
    return height;
}

/* Which finished steps to leave out, from the front, so that the rest fits. */
static void choose(struct frame *f, bool *hidden)
{
    size_t needed = total_height(f);

    f->hides_done = needed > f->room;
    needed = total_height(f);
    for (size_t i = 0; i < f->tty->vertices.count && needed > f->room; i++) {
        const struct tty_vertex *v = &f->tty->vertices.items[i];

        if (v->ended_ns == 0 || v->state == PROGRESS_ERROR)
            continue;
        hidden[i] = true;
        needed -= height_of(f, v);
    }
}

/* ---- the title ---- */

/* Bytes of all transfers that are not over, and how fast they come. */
static void add_totals(struct frame *f, struct str *out)
{
    struct tty *t = f->tty;
    uint64_t current = 0;
    uint64_t total = 0;
    bool is_moving = false;
    double seconds = (double)(f->now_ns - t->sampled_ns) / (double)NS_PER_S;

    for (size_t i = 0; i < t->vertices.count; i++)
        for (size_t k = 0; k < t->vertices.items[i].statuses.count; k++) {
            const struct tty_status *s = &t->vertices.items[i].statuses.items[k];

            current += s->total > 0 ? s->current : 0;
            total += s->total;
            is_moving |= s->total > 0 && s->ended_ns == 0;
        }
    if (seconds >= 0.5) {
        double now =
            current > t->sampled_bytes ? (double)(current - t->sampled_bytes) / seconds : 0;

        t->bytes_per_s = t->bytes_per_s > 0 ? 0.6 * t->bytes_per_s + 0.4 * now : now;
        t->sampled_ns = f->now_ns;
        t->sampled_bytes = current;
    }
    if (!is_moving)
        return;
    str_add_size_decimal(out, current);
    str_add(out, " / ");
    str_add_size_decimal(out, total);
    if (t->bytes_per_s >= 1) { /* not known from the first moment on */
        str_add(out, "  ");
        str_add_size_decimal(out, (uint64_t)t->bytes_per_s);
        str_add(out, "/s");
    }
}

static void add_title(struct frame *f, bool is_last)
{
    const struct tty *t = f->tty;
    auto_str struct str right = {0};
    auto_str struct str title = {0};
    bool was_canceled = false;
    bool has_failed = false; /* then the others were canceled because of it */
    size_t over = 0;

    for (size_t i = 0; i < t->vertices.count; i++) {
        over += t->vertices.items[i].ended_ns != 0;
        was_canceled |= t->vertices.items[i].state == PROGRESS_CANCELED;
        has_failed |= t->vertices.items[i].state == PROGRESS_ERROR;
    }
    str_addf(&title, "[+] %s ", t->renderer.title);
    add_seconds(&title, t->started_ns, f->now_ns);
    str_addf(&title, " (%zu/%zu)%s", over, t->vertices.count + (size_t)t->expected,
             !is_last                      ? ""
             : was_canceled && !has_failed ? " CANCELED"
                                           : " FINISHED");
    add_totals(f, &right);
    add_line(f, NULL, str_text(&title), str_text(&right));
}

/* ---- the block ---- */

/* To the block's first line. Terminals wrap what no longer fits when they become narrower, and some
 * remember it until the line is cleared: then it would be unwrapped when they become wider again.
 *
 * A process that was stopped (^Z) draws a block anew: the shell has written below the last one. */
static void move_up(struct tty *t, unsigned columns, uint64_t now_ns, struct str *out)
{
    unsigned lines = 0;

    if (t->drawn_ns != 0 && now_ns > t->drawn_ns + STOPPED_NS)
        t->drawn.count = 0;
    for (size_t i = 0; i < t->drawn.count; i++)
        lines += t->drawn.items[i] <= columns ? 1 : (t->drawn.items[i] + columns - 1) / columns;
    if (lines > 0)
        str_addf(out, "\033[%uA", lines);
    str_add(out, "\r");
    if (lines > 0 && columns != t->columns)
        str_add(out, "\033[J");
    t->columns = columns;
}

static void add_above(struct tty *t, struct str *out)
{
    for (size_t i = 0; i < t->above.count; i++)
        str_addf(out, "%s\033[K\n", t->above.items[i]);
    strv_release(&t->above);
    t->above = (struct strv){0};
}

void tty_draw(struct tty *t, unsigned columns, unsigned rows, bool is_last, struct str *out)
{
    struct frame f = {.tty = t,
                      .out = out,
                      .columns = columns,
                      .room = is_last    ? SIZE_MAX
                              : rows > 2 ? rows - 1
                                         : 1,
                      .now_ns = io_ticks_ns()};
    auto_free bool *hidden = mem_alloc(t->vertices.count + 1);

    move_up(t, columns, f.now_ns, out);
    t->drawn.count = 0;
    add_above(t, out);
    if (!is_last)
        choose(&f, hidden);
    add_title(&f, is_last);
    for (size_t i = 0; i < t->vertices.count; i++)
        if (!hidden[i])
            add_vertex(&f, &t->vertices.items[i]);
    str_add(out, "\033[J");
}

/* ---- colours ---- */

/* A name as SGR parameters, static; NULL: not known. */
static const char *parse_colour(const char *text, size_t size)
{
    static const struct {
        const char *name;
        const char *code;
    } names[] = {{"black", "30"},       {"red", "31"},           {"green", "32"},
                 {"yellow", "33"},      {"blue", "34"},          {"magenta", "35"},
                 {"cyan", "36"},        {"white", "37"},         {"light-black", "90"},
                 {"light-red", "91"},   {"light-green", "92"},   {"light-yellow", "93"},
                 {"light-blue", "94"},  {"light-magenta", "95"}, {"light-cyan", "96"},
                 {"light-white", "97"}, {"default", "39"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i].name) == size && strncmp(names[i].name, text, size) == 0)
            return names[i].code;
    return NULL;
}

void tty_set_colours(struct tty *t, const char *text)
{
    static const struct {
        const char *name;
        enum progress_state state;
    } keys[] = {
        {"run=", PROGRESS_DONE}, {"error=", PROGRESS_ERROR}, {"cancel=", PROGRESS_CANCELED}};

    t->colours[PROGRESS_DONE] = "32"; /* legible on dark and on light */
    t->colours[PROGRESS_ERROR] = "31";
    t->colours[PROGRESS_CANCELED] = "33";
    while (text != NULL && *text != '\0') {
        size_t size = strcspn(text, ":");

        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            size_t name = strlen(keys[i].name);
            const char *code = size > name && strncmp(text, keys[i].name, name) == 0
                                   ? parse_colour(text + name, size - name)
                                   : NULL;

            if (code != NULL)
                t->colours[keys[i].state] = code;
        }
        text += size + (text[size] != '\0');
    }
    t->colours[PROGRESS_CACHED] = t->colours[PROGRESS_DONE];
}

/* excerpt.c - lines of the source with numbers, marks and a caret, as BuildKit shows them. */
#include <stdbool.h>
#include <stdio.h>

#include "builder/dockerfile/excerpt.h"

#include "fs/base/banned.h"

#define RULE "--------------------\n"
#define LINES_MAX 14 /* of a range; what is between its start and its end is left out */
#define WIDTH_MIN 40 /* bytes shown of a line when many are shown */
#define WIDTH_MAX 240
#define WIDTH_LEAST 8    /* when most bytes are shown as four */
#define LINE_OVERHEAD 24 /* bytes around a line: number, mark, newline */

struct view {
    const struct excerpt *e;
    const char *at; /* where line `number` starts */
    unsigned number;
    size_t width; /* bytes to show of a line */
    struct str *out;
};

static size_t line_size(const struct view *v)
{
    size_t left = v->e->source_size - (size_t)(v->at - v->e->source);
    const char *newline = memchr(v->at, '\n', left);
    size_t size = newline ? (size_t)(newline - v->at) : left;

    while (size > 0 && v->at[size - 1] == '\r')
        size--;
    return size;
}

/* Moves to the next line; false behind the last. An empty one follows a newline at the end. */
static bool advance(struct view *v)
{
    size_t left = v->e->source_size - (size_t)(v->at - v->e->source);
    const char *newline = memchr(v->at, '\n', left);

    if (!newline)
        return false;
    v->at = newline + 1;
    v->number++;
    return true;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Tabs stay, so that text and caret line up; what could move a cursor otherwise is escaped. */
static void add_text(struct str *out, const char *text, size_t size)
{
    while (size > 0) {
        const char *tab = memchr(text, '\t', size);
        size_t plain = tab ? (size_t)(tab - text) : size;

        str_add_escaped(out, text, plain);
        if (tab) {
            str_add_char(out, '\t');
            plain++;
        }
        text += plain;
        size -= plain;
    }
}

/* As many columns as `text` takes, as blanks. */
static void add_padding(struct str *out, const char *text, size_t size)
{
    auto_str struct str shown = {0};

    add_text(&shown, text, size);
    for (size_t i = 0; i < shown.size; i++)
        if (!is_continuation(shown.data[i]))
            str_add_char(out, shown.data[i] == '\t' ? '\t' : ' ');
}

/* The first byte to show of a line whose caret would otherwise lie outside. */
static size_t window_start(const struct view *v, size_t size, bool has_caret)
{
    size_t caret = has_caret ? v->e->caret_column - 1 : 0;
    size_t start;

    if (size <= v->width || caret < v->width - v->width / 4)
        return 0;
    start = caret - v->width / 2;
    while (start > 0 && is_continuation(v->at[start]))
        start--;
    return start;
}

static void add_line(struct view *v)
{
    const struct excerpt *e = v->e;
    bool is_marked = v->number >= e->line_first && v->number <= e->line_last;
    bool has_caret = e->caret_line == v->number && e->caret_column > 0;
    size_t size = line_size(v);
    size_t start = window_start(v, size, has_caret);
    size_t end = size - start > v->width ? start + v->width : size;
    size_t before = v->out->size;
    size_t indent;
    int number;

    while (end > start && end < size && is_continuation(v->at[end]))
        end--;
    str_addf(v->out, " %3u | %s %s", v->number, is_marked ? ">>>" : "   ", start ? "..." : "");
    indent = v->out->size - before;
    add_text(v->out, v->at + start, end - start);
    str_add(v->out, end < size ? "...\n" : "\n");
    if (!has_caret || e->caret_column - 1 > size)
        return;
    number = snprintf(NULL, 0, " %3u", v->number);
    str_addf(v->out, "%*s | %*s", number, "", (int)indent - number - (int)strlen(" | "), "");
    add_padding(v->out, v->at + start, e->caret_column - 1 - start);
    str_add(v->out, "^\n");
}

/* The first and last line to show: two around a single one, one around a range. */
static void choose_lines(const struct excerpt *e, unsigned *first, unsigned *last)
{
    unsigned around = e->line_first == e->line_last ? 2 : 1;

    *first = e->line_first > around ? e->line_first - around : 1;
    *last = e->line_last + around;
}

static void set_width(struct view *v, unsigned lines, size_t size_max)
{
    size_t overhead = 2 * strlen(RULE) + strlen(v->e->name) + 16;
    size_t room = size_max > overhead ? size_max - overhead : 0;
    size_t width = room / (lines + 2) > LINE_OVERHEAD ? room / (lines + 2) - LINE_OVERHEAD : 0;

    v->width = width > WIDTH_MAX ? WIDTH_MAX : width < WIDTH_MIN ? WIDTH_MIN : width;
}

/* From line `first`, where `v` stands, to `last`; `gap` lines in the middle are left out. */
static void add_block(struct view v, unsigned first, unsigned last, unsigned gap)
{
    str_addf(v.out, "%s:%u\n" RULE, v.e->name, v.e->line_first);
    do {
        unsigned index = v.number - first;

        if (!gap || index < LINES_MAX - 4 || index >= LINES_MAX - 4 + gap)
            add_line(&v);
        else if (index == LINES_MAX - 4)
            str_addf(v.out, "     | >>> (%u lines)\n", gap);
    } while (v.number < last && advance(&v));
    str_add(v.out, RULE);
}

void excerpt_add(const struct excerpt *e, size_t size_max, struct str *out)
{
    struct view v = {
        .e = e,
        .at = e->source + e->from_offset,
        .number = e->from_line ? e->from_line : 1,
        .out = out,
    };
    const size_t before = out->size;
    unsigned first;
    unsigned last;
    unsigned gap;

    choose_lines(e, &first, &last);
    while (v.number < first)
        if (!advance(&v))
            return;
    gap = last - first + 1 > LINES_MAX ? last - first + 1 - LINES_MAX : 0;
    set_width(&v, gap ? LINES_MAX + 1 : last - first + 1, size_max);
    add_block(v, first, last, gap);
    while (out->size - before > size_max && v.width > WIDTH_LEAST) { /* escapes took more */
        str_truncate(out, before);
        v.width /= 2;
        add_block(v, first, last, gap);
    }
}

/* format.c - rows to lines. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/format.h"
#include "cli/template.h"
#include "cli/text.h"

#include "fs/base/banned.h"

#define GAP 3u       /* blanks between columns */
#define GAP_LEAST 1u /* where that is too much */
#define CUT_MIN 16u  /* columns that stay of one that is cut */
#define CUT_LEAST 8u /* where that is too much, too */

struct format {
    const struct format_spec *spec;
    struct template *template; /* NULL: JSON */
    bool is_table;
    bool is_own_table; /* the command's, not one of the user's */
    bool is_kept_whole;
    bool escape;
    struct strv lines; /* of a table, cells separated by tabs */
};

/* Done for every template: a field that is in no column is told of even when there are no rows. */
static int add_header(struct format *f, bool with_titles, struct error *err)
{
    const struct template_options o = {.is_header = true};
    auto_json struct json *titles = json_new_object();
    auto_str struct str line = {0};
    int r;

    for (size_t i = 0; i < f->spec->column_count; i++)
        json_put_text(titles, f->spec->columns[i].field, f->spec->columns[i].title);
    r = template_run(f->template, titles, &o, &line, err);
    if (r == 0 && f->is_table && with_titles)
        strv_add(&f->lines, str_text(&line));
    return r;
}

int format_open(const struct format_spec *spec, const char *text, bool with_titles,
                struct format **out, struct error *err)
{
    auto_format struct format *f = mem_new(struct format);
    int r = 0;

    f->spec = spec;
    f->is_table = text == NULL || text[0] == '\0' || strcmp(text, "table") == 0 ||
                  text_starts(text, "table ");
    f->escape = f->is_table || isatty(STDOUT_FILENO) == 1;
    f->is_own_table = f->is_table && (text == NULL || strlen(text) <= strlen("table "));
    if (f->is_own_table)
        text = spec->table;
    else if (f->is_table)
        text += strlen("table ");
    if (strcmp(text, "json") != 0)
        r = template_parse(text, &f->template, err);
    if (r == 0 && f->template != NULL)
        r = add_header(f, with_titles, err);
    if (r < 0)
        return r;
    *out = STEAL(&f);
    return 0;
}

int format_row(struct format *f, struct json *row, struct error *err)
{
    const struct template_options o = {.escape = f->escape};
    auto_json struct json *owned = row;
    auto_str struct str line = {0};
    int r = 0;

    if (f->template == NULL)
        json_write_shown(owned, &line);
    else
        r = template_run(f->template, owned, &o, &line, err);
    if (r < 0)
        return r;
    if (f->is_table)
        strv_add(&f->lines, str_text(&line));
    else
        printf("%s\n", str_text(&line));
    return 0;
}

/* ---- the table ---- */

struct layout {
    size_t *widths; /* of the widest cell; what is wider is cut */
    bool *hidden;
    size_t count;
    size_t gap;
};

static void layout_release(struct layout *l)
{
    free(l->widths);
    free(l->hidden);
}
DEFINE_CLEANUP_VALUE(layout_release, struct layout)

static size_t count_cells(const struct format *f)
{
    size_t most = 1;

    for (size_t i = 0; i < f->lines.count; i++) {
        size_t count = 1;

        for (const char *c = f->lines.items[i]; *c != '\0'; c++)
            count += *c == '\t';
        most = count > most ? count : most;
    }
    return most;
}

static void measure(const char *line, struct layout *l)
{
    for (size_t column = 0;; column++) {
        size_t size = strcspn(line, "\t");
        size_t width = text_columns(line, size);

        l->widths[column] = width > l->widths[column] ? width : l->widths[column];
        if (line[size] == '\0')
            return;
        line += size + 1;
    }
}

static size_t total_columns(const struct layout *l)
{
    size_t total = 0;

    for (size_t i = 0; i < l->count; i++)
        if (!l->hidden[i])
            total += (total > 0 ? l->gap : 0) + l->widths[i];
    return total;
}

/* A template of the user's own is printed as it was asked for. */
static void make_room(const struct format *f, struct layout *l)
{
    size_t room = text_terminal_columns(STDOUT_FILENO, SIZE_MAX);
    size_t *cut = f->spec->cut > 0 ? &l->widths[f->spec->cut - 1] : NULL;
    size_t least = CUT_MIN;
    size_t total;

    if (!f->is_own_table || f->is_kept_whole || !format_is_narrow(f))
        return;
    for (size_t i = 0; i < FORMAT_DROPS && f->spec->drops[i] > 0; i++)
        if (total_columns(l) > room)
            l->hidden[f->spec->drops[i] - 1] = true;
    while (total_columns(l) > room && (cut == NULL || total_columns(l) - room + CUT_MIN > *cut) &&
           l->gap > GAP_LEAST)
        l->gap--;
    least = l->gap > GAP_LEAST ? CUT_MIN : CUT_LEAST;
    total = total_columns(l);
    if (cut != NULL && total > room && *cut > least)
        *cut = *cut > total - room + least ? *cut - (total - room) : least;
}

/* Of a name, which has no blanks, the end tells more than the middle; of prose the beginning does. */
static void add_cut(struct str *out, const char *cell, size_t size, size_t columns, size_t width)
{
    auto_free char *text = mem_strndup(cell, size);
    size_t tail = strchr(text, ' ') == NULL ? (width - 1) * 2 / 3 : 0;

    str_add_bytes(out, text, text_fit(text, width - 1 - tail));
    str_add(out, "…");
    if (tail > 0)
        str_add(out, text + text_fit(text, columns - tail));
}

static void print_line(const char *line, const struct layout *l)
{
    auto_str struct str out = {0};
    size_t blanks = 0; /* none at the end of a line */

    for (size_t column = 0;; column++) {
        size_t size = strcspn(line, "\t");
        size_t columns = text_columns(line, size);
        size_t width = l->widths[column];

        if (size > 0 && !l->hidden[column]) {
            str_addf(&out, "%*s", (int)blanks, "");
            blanks = 0;
            if (columns > width)
                add_cut(&out, line, size, columns, width);
            else
                str_add_bytes(&out, line, size);
        }
        if (!l->hidden[column])
            blanks += l->gap + width - (size == 0 ? 0 : columns < width ? columns : width);
        if (line[size] == '\0')
            break;
        line += size + 1;
    }
    printf("%s\n", str_text(&out));
}

void format_end(const struct format *f)
{
    __attribute__((cleanup(cleanup_layout_release))) struct layout l = {.count = count_cells(f),
                                                                        .gap = GAP};

    l.widths = mem_alloc(l.count * sizeof(*l.widths));
    l.hidden = mem_alloc(l.count * sizeof(*l.hidden));
    for (size_t i = 0; i < f->lines.count; i++)
        measure(f->lines.items[i], &l);
    make_room(f, &l);
    for (size_t i = 0; i < f->lines.count; i++)
        print_line(f->lines.items[i], &l);
}

void format_free(struct format *f)
{
    if (f == NULL)
        return;
    template_free(f->template);
    strv_release(&f->lines);
    free(f);
}

void format_keep_whole(struct format *f)
{
    f->is_kept_whole = true;
}

bool format_is_table(const struct format *f)
{
    return f->is_table;
}

bool format_is_narrow(const struct format *f)
{
    return f->is_table && isatty(STDOUT_FILENO) == 1;
}

bool format_wants(const struct format *f, const char *field)
{
    return f->template == NULL || template_mentions(f->template, field);
}

void format_print_json(const struct json *value)
{
    auto_str struct str text = {0};
    bool escape = isatty(STDOUT_FILENO) == 1;
    const char *line;

    json_write_pretty(value, &text);
    line = str_text(&text);
    while (escape && *line != '\0') {
        auto_str struct str safe = {0};
        size_t size = strcspn(line, "\n");

        str_add_escaped(&safe, line, size);
        printf("%s\n", str_text(&safe));
        line += size + (line[size] != '\0');
    }
    if (!escape)
        printf("%s\n", line);
}

int format_object(const char *text, const struct json *object, struct error *err)
{
    const struct template_options o = {.escape = isatty(STDOUT_FILENO) == 1};
    auto_template struct template *t = NULL;
    auto_str struct str out = {0};
    int r;

    if (strcmp(text, "json") == 0)
        text = "{{json .}}";
    r = template_parse(text, &t, err);
    if (r == 0)
        r = template_run(t, object, &o, &out, err);
    if (r == 0)
        printf("%s\n", str_text(&out));
    return r;
}

/* format.c - rows to lines. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/format.h"
#include "cli/template.h"
#include "cli/text.h"

#include "fs/base/banned.h"

#define GAP 3u /* blanks between columns */

struct format {
    const struct format_spec *spec;
    struct template *template; /* NULL: JSON */
    bool is_table;
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
    if (f->is_table && (text == NULL || strlen(text) <= strlen("table ")))
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
        json_write(owned, &line);
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

/* Cells that have one behind them are padded to the widest of their column. */
static void measure(const struct format *f, size_t *widths, size_t column_max)
{
    for (size_t i = 0; i < f->lines.count; i++) {
        const char *cell = f->lines.items[i];

        for (size_t column = 0; column < column_max; column++) {
            size_t size = strcspn(cell, "\t");
            size_t width = text_columns(cell, size);

            if (cell[size] == '\0')
                break;
            widths[column] = width > widths[column] ? width : widths[column];
            cell += size + 1;
        }
    }
}

static void lay_out(const char *line, const size_t *widths, struct str *out)
{
    for (size_t column = 0;; column++) {
        size_t size = strcspn(line, "\t");

        str_add_bytes(out, line, size);
        if (line[size] == '\0' || line[size + strspn(line + size, "\t")] == '\0')
            return; /* no blanks at the end of a line */
        str_addf(out, "%*s", (int)(widths[column] - text_columns(line, size) + GAP), "");
        line += size + 1;
    }
}

/* SIZE_MAX: lines may be as long as they are. */
static size_t line_columns(const struct format *f)
{
    struct winsize size = {0};

    if (!f->spec->cuts || !format_is_narrow(f) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 ||
        size.ws_col == 0)
        return SIZE_MAX;
    return size.ws_col;
}

static void print_line(const char *line, const size_t *widths, size_t columns)
{
    auto_str struct str text = {0};

    lay_out(line, widths, &text);
    if (text_columns(str_text(&text), text.size) > columns) {
        str_truncate(&text, text_fit(str_text(&text), columns - 1));
        str_add(&text, "…");
    }
    printf("%s\n", str_text(&text));
}

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

void format_end(const struct format *f)
{
    size_t column_max = count_cells(f);
    auto_free size_t *widths = mem_alloc(column_max * sizeof(*widths));
    size_t columns = line_columns(f);

    measure(f, widths, column_max);
    for (size_t i = 0; i < f->lines.count; i++)
        print_line(f->lines.items[i], widths, columns);
}

void format_free(struct format *f)
{
    if (f == NULL)
        return;
    template_free(f->template);
    strv_release(&f->lines);
    free(f);
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

/* format.h - how a command that lists things shows them: a table, JSON, or a template.
 *
 * A command makes one JSON object per row; every field it may have is in its list of columns, with
 * the title a table gives it. What --format says decides the rest:
 *
 *     (none), table      the command's own table, columns aligned
 *     table TEMPLATE     a table of the template's columns, separated by \t
 *     json               one object a line
 *     TEMPLATE           one line a row (template.h)
 *
 * Bytes of images never reach a terminal unescaped (SECURITY R58): tables are always escaped,
 * templates when standard output is a terminal.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/json.h"

struct format_column {
    const char *field;
    const char *title;
};

#define FORMAT_DROPS 2

struct format_spec {
    const struct format_column *columns;
    size_t column_count;
    const char *table; /* template of the command's own table */
    /* What gives way where a terminal is too narrow for that table, columns being counted from 1: first
     * these are left out, one after the other, then one is cut; 0: none. */
    unsigned drops[FORMAT_DROPS];
    unsigned cut;
};

struct format;

/* `text` as given to --format, or NULL. -EINVAL for a template that is none, or that asks for a
 * field which is in no column. */
int format_open(const struct format_spec *spec, const char *text, bool with_titles,
                struct format **out, struct error *err);
/* Takes `row` over, also on failure. */
int format_row(struct format *f, struct json *row, struct error *err);
void format_keep_whole(struct format *f); /* --no-trunc: lines are as long as they are */
void format_end(const struct format *f);  /* prints the table; templates and JSON are out already */
void format_free(struct format *f);
DEFINE_CLEANUP(format_free, struct format *)
#define auto_format CLEANUP(format_free)

bool format_is_table(const struct format *f);  /* one made for people: totals may follow */
bool format_is_narrow(const struct format *f); /* a table on a terminal: digests are shortened */
/* Whether rows need this field; JSON needs all. */
bool format_wants(const struct format *f, const char *field);

/* Indented, for people; what a terminal would obey is escaped on one. */
void format_print_json(const struct json *value);

/* --format of a single object (inspect, version): "json" or a template; prints it and a newline. */
int format_object(const char *text, const struct json *object, struct error *err);

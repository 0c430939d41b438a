/* dockerfile_place.c - where in the file a byte of an instruction stands.
 *
 * Words remember where they begin. What lies behind that may be on a later line, with comments between
 * the two; so for the few that are asked for, all of them in errors, the lines are joined once more.
 */
#include "builder/dockerfile/dockerfile_internal.h"

#include "fs/base/banned.h"

/* The text of line `number` on; empty behind the last. */
static struct source source_from(const struct dockerfile *df, unsigned number)
{
    struct source source = {.text = df->source, .size = df->source_size};

    while (source.line + 1 < number && source.offset < source.size) {
        const char *start = source.text + source.offset;
        const char *newline = memchr(start, '\n', source.size - source.offset);

        source.offset = newline ? (size_t)(newline + 1 - source.text) : source.size;
        source.line++;
    }
    return source;
}

/* The offset in the joined line of what stands at `at`; SIZE_MAX when it is not in there. */
static size_t offset_of(const struct line *line, const struct position *at)
{
    for (size_t i = line->count; i-- > 0;)
        if (line->items[i].at.line == at->line && line->items[i].at.column <= at->column)
            return line->items[i].offset + (at->column - line->items[i].at.column);
    return SIZE_MAX;
}

struct position dockerfile_place(const struct dockerfile *df, const struct instruction *in,
                                 const struct position *at, size_t offset)
{
    struct source source = source_from(df, in->line_first);
    auto_line struct line line = {0};
    struct error ignored; /* it was read before */
    size_t start;

    if (at->column == 0 || offset == 0 || line_next(&source, df->escape, 0, &line, &ignored) <= 0)
        return *at;
    start = offset_of(&line, at);
    if (start == SIZE_MAX || start + offset > line.text.size)
        return *at;
    return line_position(&line, str_text(&line.text) + start + offset);
}

int dockerfile_locate_flag(const struct dockerfile *df, const struct instruction *in,
                           const char *name, struct error *err)
{
    const struct flag *flag = instruction_flag(in, name);

    return dockerfile_locate(df, in, flag ? &flag->value_at : NULL, err);
}

int dockerfile_locate_mount(const struct dockerfile *df, const struct instruction *in,
                            const struct run_mount *mount, const char *key, struct error *err)
{
    const struct position start = {mount->line, mount->column};
    const struct position at = dockerfile_place(df, in, &start, run_mount_field(mount->text, key));

    return dockerfile_locate(df, in, &at, err);
}

struct position dockerfile_content_place(const struct dockerfile *df, unsigned line_first,
                                         const char *content, size_t offset)
{
    const char *start = content;
    unsigned line = line_first;
    struct source source;
    const char *bytes;
    size_t size;
    size_t full_size;
    size_t behind;
    struct error ignored; /* it was read before */

    for (const char *c = content; c < content + offset; c++) {
        if (*c == '\n') {
            start = c + 1;
            line++;
        }
    }
    source = source_from(df, line);
    behind = strcspn(start, "\r\n") - (size_t)(content + offset - start);
    if (source_next(&source, &bytes, &size, &full_size, &ignored) <= 0 || behind > size)
        return (struct position){line, 0};
    return (struct position){line, (unsigned)(size - behind) + 1}; /* tabs in front may be gone */
}

/* dockerfile_line.c - physical lines, and lines joined at continuations (Dockerfile reference,
 * "Format"). */
#include <ctype.h>
#include <errno.h>

#include "builder/dockerfile/dockerfile_internal.h"
#include "fs/base/limits.h"

#include "fs/base/banned.h"

int source_next(struct source *source, const char **bytes, size_t *size, size_t *full_size,
                struct error *err)
{
    const char *start = source->text + source->offset;
    size_t left = source->size - source->offset;
    const char *newline;
    size_t length;

    if (left == 0)
        return 0;
    newline = memchr(start, '\n', left);
    length = newline ? (size_t)(newline - start) : left;
    source->line++;
    if (length > LIMIT_DOCKERFILE_LINE)
        return error_set(err, E2BIG, "dockerfile line greater than max allowed size of %u",
                         LIMIT_DOCKERFILE_LINE);
    *full_size = length + (newline != NULL);
    source->offset += *full_size;
    while (length > 0 && start[length - 1] == '\r')
        length--;
    *bytes = start;
    *size = length;
    return 1;
}

static bool line_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r' && c != '\n');
}

const char *line_skip_blanks(const char *text)
{
    while (line_is_blank(*text))
        text++;
    return text;
}

const char *line_skip_word(const char *text)
{
    while (*text && !line_is_blank(*text))
        text++;
    return text;
}

static size_t blanks_size(const char *bytes, size_t size)
{
    size_t n = 0;

    while (n < size && isspace((unsigned char)bytes[n]))
        n++;
    return n;
}

/* Cuts the escape character that continues a line, and the blanks behind it; one that is escaped
 * itself continues nothing. */
static bool cut_continuation(const char *bytes, size_t *size, char escape)
{
    size_t end = *size;

    while (end > 0 && (bytes[end - 1] == ' ' || bytes[end - 1] == '\t'))
        end--;
    if (end == 0 || bytes[end - 1] != escape || (end > 1 && bytes[end - 2] == escape))
        return false;
    *size = end - 1;
    return true;
}

static void add_part(struct line *line, unsigned number, size_t column, const char *bytes,
                     size_t size)
{
    struct line_part *part = array_add(line);

    part->offset = line->text.size;
    part->at = (struct position){number, (unsigned)column};
    str_add_bytes(&line->text, bytes, size);
}

static void add_comment(struct line *line, const char *bytes, size_t size)
{
    size_t blanks = blanks_size(bytes, size);

    bytes += blanks;
    size -= blanks;
    while (size > 0 && isspace((unsigned char)bytes[size - 1]))
        size--;
    if (size == 0) /* an empty comment ends a block as a blank line does */
        strv_release(&line->comments);
    else
        strv_take(&line->comments, mem_strndup(bytes, size));
}

void line_release(struct line *line)
{
    str_release(&line->text);
    free(line->items);
    strv_release(&line->comments);
    *line = (struct line){0};
}

/* Appends the lines that continue the first one. */
static int join(struct source *source, char escape, struct line *line, struct error *err)
{
    const char *bytes;
    size_t size;
    size_t full_size;
    bool is_continued = true;

    while (is_continued) {
        int r = source_next(source, &bytes, &size, &full_size, err);
        size_t blanks;

        if (r <= 0)
            return r;
        blanks = blanks_size(bytes, size);
        if (blanks == size) {
            line->blank = source->line;
            continue;
        }
        if (bytes[blanks] == '#')
            continue;
        is_continued = cut_continuation(bytes, &size, escape);
        if (line->text.size + size > LIMIT_INSTRUCTION_SIZE)
            return error_set(err, E2BIG, "the instruction of line %u is longer than %u bytes",
                             line->first, LIMIT_INSTRUCTION_SIZE);
        add_part(line, source->line, 1, bytes, size);
    }
    return 0;
}

static void trim_end(struct str *text)
{
    size_t size = text->size;

    while (size > 0 && isspace((unsigned char)text->data[size - 1]))
        size--;
    str_truncate(text, size);
}

int line_next(struct source *source, char escape, unsigned directives_end, struct line *line,
              struct error *err)
{
    const char *bytes;
    size_t size;
    size_t full_size;
    int r;

    line_release(line);
    while ((r = source_next(source, &bytes, &size, &full_size, err)) > 0) {
        size_t blanks = blanks_size(bytes, size);
        bool is_continued;

        bytes += blanks;
        size -= blanks;
        if (size > 0 && *bytes == '#') {
            if (source->line > directives_end)
                add_comment(line, bytes + 1, size - 1);
            continue;
        }
        is_continued = cut_continuation(bytes, &size, escape);
        if (size == 0 && !is_continued) {
            strv_release(&line->comments);
            continue;
        }
        line->first = source->line;
        add_part(line, source->line, blanks + 1, bytes, size);
        r = is_continued ? join(source, escape, line, err) : 0;
        if (r < 0)
            return r;
        line->last = source->line;
        trim_end(&line->text);
        return 1;
    }
    return r;
}

struct position line_position(const struct line *line, const char *at)
{
    size_t offset = (size_t)(at - str_text(&line->text));
    size_t low = 0;
    size_t high = line->count;

    if (line->is_placeless || line->count == 0)
        return (struct position){line->first, 0};
    while (high - low > 1) { /* the last part that starts at or before the offset */
        size_t middle = low + (high - low) / 2;

        if (line->items[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return (struct position){
        line->items[low].at.line,
        line->items[low].at.column + (unsigned)(offset - line->items[low].offset),
    };
}

/* text.c - wording shared by commands. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "builder/image/config.h"
#include "cli/text.h"
#include "fs/base/io.h"

#include "fs/base/banned.h"

void format_age(int64_t then_ns, struct str *out)
{
    static const struct {
        int64_t seconds;
        const char *one;
        const char *many;
    } units[] = {{31536000, "1 year ago", "years"},    {2592000, "1 month ago", "months"},
                 {604800, "1 week ago", "weeks"},      {86400, "1 day ago", "days"},
                 {3600, "About an hour ago", "hours"}, {60, "About a minute ago", "minutes"},
                 {1, "1 second ago", "seconds"}};
    int64_t age = (io_now_ns() - then_ns) / 1000000000;

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        int64_t n = age / units[i].seconds;

        if (n <= 0)
            continue;
        if (n == 1)
            str_add(out, units[i].one);
        else
            str_addf(out, "%lld %s ago", (long long)n, units[i].many);
        return;
    }
    str_add(out, "Less than a second ago");
}

/* Unicode 15, EastAsianWidth.txt (W and F, by block) and what is drawn over its neighbour. No
 * wcwidth(3): its answer hangs on a locale that a build host need not have. */
static unsigned width_of(uint32_t c)
{
    static const struct {
        uint32_t first;
        uint32_t last;
        unsigned width;
    } ranges[] = {
        {0x0300, 0x036f, 0},   {0x1100, 0x115f, 2},   {0x1ab0, 0x1aff, 0},   {0x1dc0, 0x1dff, 0},
        {0x200b, 0x200f, 0},   {0x20d0, 0x20ff, 0},   {0x2e80, 0x303e, 2},   {0x3041, 0xa4cf, 2},
        {0xa960, 0xa97f, 2},   {0xac00, 0xd7a3, 2},   {0xf900, 0xfaff, 2},   {0xfe00, 0xfe0f, 0},
        {0xfe20, 0xfe2f, 0},   {0xfe30, 0xfe6f, 2},   {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2},
        {0x1f300, 0x1f64f, 2}, {0x1f680, 0x1f6ff, 2}, {0x1f900, 0x1f9ff, 2}, {0x20000, 0x3fffd, 2},
    };

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]) && ranges[i].first <= c; i++)
        if (c <= ranges[i].last)
            return ranges[i].width;
    return 1;
}

/* What is not UTF-8 takes a column a byte. */
static size_t next_character(const char *text, size_t size, unsigned *width)
{
    uint32_t c;
    size_t taken = text_decode(text, size, &c);

    *width = taken == 0 ? 1 : width_of(c);
    return taken == 0 ? 1 : taken;
}

size_t text_columns(const char *text, size_t size)
{
    size_t columns = 0;
    unsigned width;

    for (size_t i = 0; i < size; columns += width)
        i += next_character(text + i, size - i, &width);
    return columns;
}

size_t text_fit(const char *text, size_t columns)
{
    size_t size = strlen(text);
    size_t used = 0;
    unsigned width;

    for (size_t taken; used < size; used += taken, columns -= width) {
        taken = next_character(text + used, size - used, &width);
        if (width > columns)
            break;
    }
    return used;
}

size_t text_terminal_columns(int fd, size_t otherwise)
{
    struct winsize size = {0};

    return ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 ? otherwise : size.ws_col;
}

bool text_wants_colour(int fd)
{
    const char *no_colour = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    return isatty(fd) == 1 && (no_colour == NULL || no_colour[0] == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

/* What is not broken: to the next blank, or behind the backtick that ends what one began. */
static size_t word_size(const char *text, size_t columns)
{
    size_t size = 0;

    while (text[size] != '\0' && text[size] != ' ' && text[size] != '\n') {
        const char *end = text[size] == '`' ? strchr(text + size + 1, '`') : NULL;

        if (end != NULL && text_columns(text, (size_t)(end + 1 - text)) <= columns)
            size = (size_t)(end - text);
        size++;
    }
    return size;
}

void text_fill(struct str *out, const char *text, size_t indent, size_t columns)
{
    size_t room = columns > indent ? columns - indent : 1;
    size_t used = 0; /* columns of the line behind the indent */
    size_t blanks = 0;

    while (*text != '\0') {
        size_t size = word_size(text, room);
        size_t width = text_columns(text, size);

        if (size == 0) {
            bool is_paragraph = text[0] == '\n' && text[1] == '\n';

            if (is_paragraph)
                str_addf(out, "\n\n%*s", (int)indent, "");
            used = is_paragraph ? 0 : used;
            blanks = is_paragraph ? 0 : blanks + 1;
            text += is_paragraph ? 2 : 1;
            continue;
        }
        if (used > 0 && blanks + width > room - used) {
            str_addf(out, "\n%*s", (int)indent, "");
            used = blanks = 0;
        }
        str_addf(out, "%*s", (int)blanks, "");
        str_add_bytes(out, text, size);
        used += blanks + width;
        used = used > room ? room : used;
        blanks = 0;
        text += size;
    }
}

#define NS_PER_MS 1000000ll
#define DURATION_MAX_MS (UINT64_C(1000) * 366 * 86400000) /* a thousand years */

/* A sum like 1h30m, the last number of which may have no unit and counts seconds. */
static bool read_duration(const char *text, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"d", 86400000}, {"h", 3600000}, {"ms", 1}, {"m", 60000}, {"s", 1000}, {"", 1000}};
    const char *rest = text;

    for (*ms = 0; *rest >= '0' && *rest <= '9';) {
        char *end;
        unsigned long long number = strtoull(rest, &end, 10);
        size_t i = 0;

        while (!text_starts(end, units[i].unit))
            i++;
        if (number > UINT32_MAX || (units[i].unit[0] == '\0' && *end != '\0'))
            return false;
        *ms += number * units[i].ms;
        if (*ms > DURATION_MAX_MS)
            return false;
        rest = end + strlen(units[i].unit);
    }
    return *rest == '\0' && rest != text;
}

int parse_age(const char *text, int64_t *then_ns, struct error *err)
{
    auto_free char *midnight = str_format("%sT00:00:00Z", text);
    uint64_t ms;

    if (time_parse(text, then_ns) == 0 || time_parse(midnight, then_ns) == 0)
        return 0;
    if (!read_duration(text, &ms))
        return error_set(err, EINVAL, "'%s' is neither a length of time (24h) nor a date", text);
    *then_ns = io_now_ns() - (int64_t)ms * NS_PER_MS;
    return 0;
}

int parse_duration(const char *text, uint64_t *ms, struct error *err)
{
    if (!read_duration(text, ms))
        return error_set(err, EINVAL, "'%s' is not a length of time: 500ms, 2s, 1m30s", text);
    return 0;
}

int parse_size(const char *text, uint64_t *size_bytes, struct error *err)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"", 1},
                 {"b", 1},
                 {"k", 1u << 10},
                 {"kib", 1u << 10},
                 {"m", 1u << 20},
                 {"mib", 1u << 20},
                 {"g", 1u << 30},
                 {"gib", 1u << 30},
                 {"t", 1ull << 40},
                 {"tib", 1ull << 40},
                 {"kb", 1000},
                 {"mb", 1000000},
                 {"gb", 1000000000},
                 {"tb", 1000000000000}};
    char *end;
    unsigned long long number = strtoull(text, &end, 10);

    for (size_t i = 0; text[0] >= '0' && text[0] <= '9' && i < sizeof(units) / sizeof(units[0]);
         i++)
        if (strcasecmp(end, units[i].unit) == 0 && number <= UINT64_MAX / units[i].bytes) {
            *size_bytes = number * units[i].bytes;
            return 0;
        }
    return error_set(err, EINVAL, "'%s' is not a size: 500, 10GB, 64MiB", text);
}

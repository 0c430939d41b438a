/* text.c - the helpers of str.h that look at plain text: comparing, suggesting, numbers, paths. */
#include <ctype.h>
#include <stdint.h>

#include "fs/base/str.h"

#include "fs/base/banned.h"

#define DISTANCE_SIZE_MAX 64

bool text_equal(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    return strcmp(a, b) == 0;
}

bool text_starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_ends(const char *text, const char *suffix)
{
    size_t size = strlen(text);
    size_t suffix_size = strlen(suffix);

    return size >= suffix_size && memcmp(text + size - suffix_size, suffix, suffix_size) == 0;
}

char *text_trim(const char *text, size_t size)
{
    while (size > 0 && isspace((unsigned char)*text)) {
        text++;
        size--;
    }
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        size--;
    return mem_strndup(text, size);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Lowrance and Wagner's recurrence: cost[i+1][j+1] turns the first i bytes of a into the first j of
 * b. Row and column 0 hold a value no path may take, which spares the bounds checks of a swap. */
size_t text_distance(const char *a, const char *b)
{
    uint8_t cost[DISTANCE_SIZE_MAX + 2][DISTANCE_SIZE_MAX + 2];
    size_t row_of[256] = {0}; /* the last row, counted from 1, whose byte of a was this one */
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);

    if (a_size > DISTANCE_SIZE_MAX || b_size > DISTANCE_SIZE_MAX)
        return SIZE_MAX;
    for (size_t i = 0; i <= a_size + 1; i++) {
        cost[i][0] = (uint8_t)(a_size + b_size);
        cost[i][1] = (uint8_t)(i > 0 ? i - 1 : a_size + b_size);
    }
    for (size_t j = 0; j <= b_size + 1; j++) {
        cost[0][j] = (uint8_t)(a_size + b_size);
        if (j > 0)
            cost[1][j] = (uint8_t)(j - 1);
    }
    for (size_t i = 1; i <= a_size; i++) {
        size_t column = 0; /* the last column of this row where the bytes were the same */

        for (size_t j = 1; j <= b_size; j++) {
            size_t row = row_of[(uint8_t)b[j - 1]];
            size_t swap = cost[row][column] + (i - row - 1) + 1 + (j - column - 1);
            size_t best = smaller(cost[i][j + 1], cost[i + 1][j]) + 1u;

            if (a[i - 1] == b[j - 1]) {
                best = smaller(best, cost[i][j]);
                column = j;
            } else {
                best = smaller(best, cost[i][j] + 1u);
            }
            cost[i + 1][j + 1] = (uint8_t)smaller(best, swap);
        }
        row_of[(uint8_t)a[i - 1]] = i;
    }
    return cost[a_size + 1][b_size + 1];
}

const char *text_suggest(const char *word, const char *const *candidates, size_t count)
{
    size_t best_distance = smaller(3, strlen(word));
    const char *best = NULL;

    for (size_t i = 0; i < count; i++) {
        size_t distance = text_distance(word, candidates[i]);

        if (distance < best_distance) {
            best_distance = distance;
            best = candidates[i];
        }
    }
    return best;
}

bool text_to_u64(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (*text == '\0')
        return false;
    for (; *text; text++) {
        uint64_t digit = (uint64_t)*text - '0';

        if (*text < '0' || *text > '9' || digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

bool text_to_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"1", "t", "T", "true", "True", "TRUE"};
    static const char *const no[] = {"0", "f", "F", "false", "False", "FALSE"};

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        bool is_yes = strcmp(text, yes[i]) == 0;

        if (is_yes || strcmp(text, no[i]) == 0) {
            *out = is_yes;
            return true;
        }
    }
    return false;
}

void str_add_size_decimal(struct str *s, uint64_t size_bytes)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)size_bytes / 1000;
    size_t unit = 0;

    if (size_bytes < 1000) {
        str_addf(s, "%uB", (unsigned)size_bytes);
        return;
    }
    for (; value >= 1000 && unit < 5; unit++)
        value /= 1000;
    str_addf(s, "%.2f%s", value, units[unit]);
}

void str_add_size_binary(struct str *s, uint64_t size_bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)size_bytes / 1024;
    size_t unit = 0;

    if (size_bytes < 1024) {
        str_addf(s, "%uB", (unsigned)size_bytes);
        return;
    }
    for (; value >= 1023.95 && unit < 5; unit++) /* what would print as 1024.0 */
        value /= 1024;
    str_addf(s, "%.1f%s", value, units[unit]);
}

/* Removes the last component of what is in `s` beyond `floor` bytes; false when there is none. */
static bool drop_last(struct str *s, size_t floor)
{
    size_t end = s->size;

    while (end > floor && s->data[end - 1] != '/')
        end--;
    if (s->size == floor || strcmp(s->data + end, "..") == 0)
        return false;
    str_truncate(s, end > floor ? end - 1 : floor);
    return true;
}

char *path_clean(const char *path)
{
    struct str s = {0};
    size_t floor = path[0] == '/' ? 1 : 0;

    str_add(&s, floor ? "/" : "");
    while (*path) {
        size_t size = strcspn(path, "/");
        bool is_up = size == 2 && path[0] == '.' && path[1] == '.';
        bool is_here = size == 0 || (size == 1 && path[0] == '.');
        bool is_dropped = is_here || (is_up && (drop_last(&s, floor) || floor));

        if (!is_dropped) {
            if (s.size > floor)
                str_add_char(&s, '/');
            str_add_bytes(&s, path, size);
        }
        path += size + (path[size] == '/');
    }
    if (s.size == 0)
        str_add_char(&s, '.');
    return str_take(&s);
}

char *path_join(const char *a, const char *b)
{
    auto_free char *joined = NULL;

    if (b[0] == '/')
        return path_clean(b);
    joined = str_format("%s%s%s", a, *a && *b ? "/" : "", b);
    return path_clean(joined);
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

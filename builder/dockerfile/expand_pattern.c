/* expand_pattern.c - shell patterns without classes, as chunks of text between the stars.
 *
 * A chunk is looked for from the left (or from the right) and never tried again: with a star on both
 * sides, the first place that fits leaves the most room for the rest. So no pattern backtracks.
 */
#include <errno.h>

#include "builder/dockerfile/expand_internal.h"
#include "builder/dockerfile/quote.h"
#include "fs/base/cleanup.h"
#include "fs/base/limits.h"

#include "fs/base/banned.h"

#define NOWHERE SIZE_MAX
#define ANY_CHUNK_MAX 64u

struct chunk {
    const char *bytes;
    const bool *is_any; /* a `?` stands at this byte */
    size_t size;
    bool has_any;
};

struct pattern {
    struct chunk *items; /* one more than there are stars */
    size_t count;
    size_t capacity;
    char *bytes; /* of all chunks, one after the other */
    bool *is_any;
};

struct text {
    const char *bytes;
    size_t size;
};

static void pattern_release(struct pattern *p)
{
    free(p->items);
    free(p->bytes);
    free(p->is_any);
}
DEFINE_CLEANUP_VALUE(pattern_release, struct pattern)
#define auto_pattern CLEANUP(pattern_release)

static struct chunk *add_chunk(struct pattern *p, size_t start)
{
    struct chunk *chunk = array_add(p);

    chunk->bytes = p->bytes + start;
    chunk->is_any = p->is_any + start;
    return chunk;
}

/* A chunk with a `?` is compared at every place, so its length is bounded to keep the time linear. */
static int check_chunks(const struct pattern *p, const char *shown, struct error *err)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->items[i].has_any && p->items[i].size > ANY_CHUNK_MAX)
            return error_set(err, E2BIG,
                             "pattern (%s) in substitution has more than %u bytes around a '?'",
                             shown, ANY_CHUNK_MAX);
    return 0;
}

static int compile(const char *text, struct pattern *out, struct error *err)
{
    auto_free char *shown = quote_bare(text);
    size_t size = strlen(text);
    struct chunk *chunk;
    size_t end = 0;

    out->bytes = mem_alloc(size + 1);
    out->is_any = mem_alloc((size + 1) * sizeof(bool));
    chunk = add_chunk(out, 0);
    for (const char *at = text; *at; at++) {
        if (*at == '*') {
            chunk = add_chunk(out, end);
            continue;
        }
        if (*at == '\\' && (at[1] == '\0' || !strchr("*?\\/}", at[1])))
            return error_set(err, EINVAL, "invalid pattern (%s) in substitution: invalid escape",
                             shown);
        out->is_any[end] = *at == '?';
        chunk->has_any = chunk->has_any || *at == '?';
        at += *at == '\\';
        out->bytes[end++] = *at;
        chunk->size++;
    }
    return check_chunks(out, shown, err);
}

static size_t character_size(const struct text *t, size_t at)
{
    size_t end = at + 1;

    while (end < t->size && ((unsigned char)t->bytes[end] & 0xC0) == 0x80)
        end++;
    return end - at;
}

/* Where the chunk ends when it starts at `at`, or NOWHERE. */
static size_t match_at(const struct chunk *c, const struct text *t, size_t at)
{
    for (size_t i = 0; i < c->size; i++) {
        if (at >= t->size)
            return NOWHERE;
        if (c->is_any[i])
            at += character_size(t, at);
        else if (t->bytes[at] == c->bytes[i])
            at++;
        else
            return NOWHERE;
    }
    return at;
}

/* Where the chunk starts when it ends at `end`, or NOWHERE. */
static size_t match_before(const struct chunk *c, const struct text *t, size_t end)
{
    for (size_t i = c->size; i-- > 0;) {
        if (end == 0)
            return NOWHERE;
        end--;
        if (!c->is_any[i] && t->bytes[end] != c->bytes[i])
            return NOWHERE;
        while (c->is_any[i] && end > 0 && ((unsigned char)t->bytes[end] & 0xC0) == 0x80)
            end--;
    }
    return end;
}

/* The leftmost place of the chunk at or after `from`; its end goes to `*end`. */
static size_t find(const struct chunk *c, const struct text *t, size_t from, size_t *end)
{
    if (!c->has_any) {
        const char *found = memmem(t->bytes + from, t->size - from, c->bytes, c->size);

        *end = found ? (size_t)(found - t->bytes) + c->size : NOWHERE;
        return found ? (size_t)(found - t->bytes) : NOWHERE;
    }
    for (size_t at = from; at < t->size; at += character_size(t, at)) {
        *end = match_at(c, t, at);
        if (*end != NOWHERE)
            return at;
    }
    *end = NOWHERE;
    return NOWHERE;
}

/* For each length of the chunk's end: the longest shorter end that it also starts with, read
 * backwards (Knuth, Morris and Pratt). Caller frees. */
static size_t *borders(const struct chunk *c)
{
    size_t *border = mem_resize(NULL, c->size + 1, sizeof(*border));
    size_t k = 0;

    border[0] = 0;
    if (c->size > 0)
        border[1] = 0;
    for (size_t i = 1; i < c->size; i++) {
        char next = c->bytes[c->size - 1 - i];

        while (k > 0 && c->bytes[c->size - 1 - k] != next)
            k = border[k];
        k += c->bytes[c->size - 1 - k] == next;
        border[i + 1] = k;
    }
    return border;
}

static size_t find_last_plain(const struct chunk *c, const struct text *t, size_t from, size_t to)
{
    auto_free size_t *border = borders(c);
    size_t k = 0; /* bytes of the chunk's end found so far */

    if (c->size == 0)
        return to;
    for (size_t at = to; at > from; at--) {
        while (k > 0 && c->bytes[c->size - 1 - k] != t->bytes[at - 1])
            k = border[k];
        k += c->bytes[c->size - 1 - k] == t->bytes[at - 1];
        if (k == c->size)
            return at - 1;
    }
    return NOWHERE;
}

/* The start of the rightmost place of the chunk between `from` and `to`. */
static size_t find_last(const struct chunk *c, const struct text *t, size_t from, size_t to)
{
    if (!c->has_any)
        return find_last_plain(c, t, from, to);
    for (size_t end = to; end > from; end--) {
        size_t start = match_before(c, t, end);

        if (start != NOWHERE && start >= from)
            return start;
    }
    return NOWHERE;
}

/* With the first chunk ending at `at`: the end of the shortest or longest match, or NOWHERE. */
static size_t match_rest(const struct pattern *p, const struct text *t, size_t at, bool longest)
{
    const struct chunk *last = &p->items[p->count - 1];

    if (p->count == 1)
        return at;
    for (size_t i = 1; i + 1 < p->count; i++) {
        (void)find(&p->items[i], t, at, &at);
        if (at == NOWHERE)
            return NOWHERE;
    }
    if (longest) {
        size_t start = find_last(last, t, at, t->size);

        return start == NOWHERE ? NOWHERE : match_at(last, t, start);
    }
    (void)find(last, t, at, &at);
    return at;
}

int expand_trim_start(const char *pattern, const char *value, bool longest, struct str *out,
                      struct error *err)
{
    auto_pattern struct pattern p = {0};
    struct text t = {value, strlen(value)};
    size_t end;
    int r = compile(pattern, &p, err);

    if (r < 0)
        return r;
    end = match_at(&p.items[0], &t, 0);
    if (end != NOWHERE)
        end = match_rest(&p, &t, end, longest);
    str_add(out, value + (end == NOWHERE ? 0 : end));
    return 0;
}

/* The start of the match which ends with the text, whose last chunk starts at `at`; the chunks in
 * between are taken from the right for the shortest match, from the left for the longest. */
static size_t match_back(const struct pattern *p, const struct text *t, size_t at, bool longest)
{
    struct text front = {t->bytes, at};
    size_t start;
    size_t end;

    if (p->count == 1)
        return at;
    if (!longest) {
        for (size_t i = p->count - 1; i-- > 0 && at != NOWHERE;)
            at = find_last(&p->items[i], &front, 0, at);
        return at;
    }
    start = find(&p->items[0], &front, 0, &end);
    for (size_t i = 1; i + 1 < p->count && end != NOWHERE; i++)
        (void)find(&p->items[i], &front, end, &end);
    return end == NOWHERE ? NOWHERE : start;
}

int expand_trim_end(const char *pattern, const char *value, bool longest, struct str *out,
                    struct error *err)
{
    auto_pattern struct pattern p = {0};
    struct text t = {value, strlen(value)};
    size_t start;
    int r = compile(pattern, &p, err);

    if (r < 0)
        return r;
    start = match_before(&p.items[p.count - 1], &t, t.size);
    if (start != NOWHERE)
        start = match_back(&p, &t, start, longest);
    str_add_bytes(out, value, start == NOWHERE ? t.size : start);
    return 0;
}

int expand_replace(const char *pattern, const char *replacement, const char *value, bool every,
                   size_t *budget, struct str *out, struct error *err)
{
    auto_pattern struct pattern p = {0};
    struct text t = {value, strlen(value)};
    size_t size = strlen(replacement);
    size_t at = 0;
    int r = compile(pattern, &p, err);

    if (r < 0)
        return r;
    do {
        size_t end = NOWHERE;
        size_t start = find(&p.items[0], &t, at, &end);

        if (end != NOWHERE)
            end = match_rest(&p, &t, end, true);
        if (end == NOWHERE || (end == start && t.size > 0)) /* an empty match replaces nothing */
            break;
        if (size > *budget)
            return error_set(err, E2BIG, "the result is larger than %u bytes",
                             LIMIT_EXPANSION_SIZE);
        *budget -= size;
        str_add_bytes(out, value + at, start - at);
        str_add_bytes(out, replacement, size);
        at = end;
    } while (every && at < t.size);
    str_add(out, value + at);
    return 0;
}

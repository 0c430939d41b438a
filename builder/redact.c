/* redact.c - searches a stream for a handful of texts, across the borders of its pieces. */
#include <string.h>

#include "builder/redact.h"

#include "fs/base/banned.h"

#define MASK "***"

static void add_needle(struct redact *r, const char *text, size_t size)
{
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
        size--;
    if (size < REDACT_SIZE_MIN)
        return;
    r->needles = array_grow(r->needles, r->count, &r->capacity, sizeof(*r->needles));
    r->needles[r->count] = (struct str){0};
    str_add_bytes(&r->needles[r->count++], text, size);
}

void redact_add(struct redact *r, const char *secret, size_t size)
{
    const char *end = secret + size;

    add_needle(r, secret, size);
    if (memchr(secret, '\n', size) == NULL)
        return;
    for (const char *line = secret; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *stop = newline == NULL ? end : newline;

        add_needle(r, line, (size_t)(stop - line));
        line = stop + 1;
    }
}

/* The first place where one of them stands, the longest of those there; NULL when none does. */
static const char *find(const struct redact *r, const char *text, size_t size, size_t *found_size)
{
    const char *found = NULL;

    *found_size = 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct str *needle = &r->needles[i];
        const char *at = memmem(text, size, needle->data, needle->size);

        if (at == NULL || (found != NULL && at > found))
            continue;
        if (found == NULL || at < found || needle->size > *found_size)
            *found_size = needle->size;
        found = at;
    }
    return found;
}

/* How many bytes at the end could be the beginning of one. */
static size_t count_held(const struct redact *r, const char *text, size_t size)
{
    size_t held = 0;

    for (size_t i = 0; i < r->count; i++) {
        const struct str *needle = &r->needles[i];
        size_t most = needle->size - 1 < size ? needle->size - 1 : size;

        for (size_t n = most; n > held; n--)
            if (memcmp(text + size - n, needle->data, n) == 0)
                held = n;
    }
    return held;
}

void redact_feed(struct redact *r, int stream, const char *bytes, size_t size, struct str *out)
{
    struct str *held = &r->held[stream];
    const char *text;
    const char *end;
    const char *at;
    size_t found_size;
    size_t kept;

    str_add_bytes(held, bytes, size);
    text = str_text(held);
    end = text + held->size;
    while ((at = find(r, text, (size_t)(end - text), &found_size)) != NULL) {
        str_add_bytes(out, text, (size_t)(at - text));
        str_add(out, MASK);
        text = at + found_size;
    }
    kept = count_held(r, text, (size_t)(end - text));
    str_add_bytes(out, text, (size_t)(end - text) - kept);
    memmove(held->data, end - kept, kept);
    str_truncate(held, kept);
}

void redact_flush(struct redact *r, int stream, struct str *out)
{
    str_add_bytes(out, str_text(&r->held[stream]), r->held[stream].size);
    str_truncate(&r->held[stream], 0);
}

static void wipe(struct str *s)
{
    if (s->data != NULL)
        explicit_bzero(s->data, s->capacity);
    str_release(s);
}

void redact_release(struct redact *r)
{
    for (size_t i = 0; i < r->count; i++)
        wipe(&r->needles[i]);
    for (size_t i = 0; i < REDACT_STREAMS; i++)
        wipe(&r->held[i]);
    free(r->needles);
    *r = (struct redact){0};
}

/* str.c - growing text and vectors of strings. Not for helpers on plain text: see text.c. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>

#include "fs/base/str.h"

#include "fs/base/banned.h"

void str_release(struct str *s)
{
    free(s->data);
    *s = (struct str){0};
}

/* Room for `extra` bytes and the NUL. Doubles, so that adding bytes one by one stays linear. */
static void reserve(struct str *s, size_t extra)
{
    size_t wanted;

    if (extra >= SIZE_MAX / 2 - s->size)
        s->data = mem_resize(s->data, SIZE_MAX, SIZE_MAX); /* aborts: no such memory */
    wanted = s->size + extra + 1;
    if (wanted <= s->capacity)
        return;
    if (wanted < s->capacity * 2)
        wanted = s->capacity * 2;
    if (wanted < 32)
        wanted = 32;
    s->data = mem_resize(s->data, wanted, 1);
    s->capacity = wanted;
}

void str_add_bytes(struct str *s, const void *bytes, size_t size)
{
    reserve(s, size);
    if (size > 0)
        memcpy(s->data + s->size, bytes, size);
    s->size += size;
    s->data[s->size] = '\0';
}

void str_add(struct str *s, const char *text)
{
    str_add_bytes(s, text, strlen(text));
}

void str_add_char(struct str *s, char c)
{
    str_add_bytes(s, &c, 1);
}

void str_vaddf(struct str *s, const char *fmt, va_list args)
{
    va_list again;
    int length;

    va_copy(again, args);
    length = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    assert(length >= 0); /* our own formats have no wide characters, the one way to fail */
    reserve(s, (size_t)length);
    (void)vsnprintf(s->data + s->size, (size_t)length + 1, fmt, args); /* measured above */
    s->size += (size_t)length;
}

void str_addf(struct str *s, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    str_vaddf(s, fmt, args);
    va_end(args);
}

void str_truncate(struct str *s, size_t size)
{
    if (size >= s->size)
        return;
    s->size = size;
    s->data[size] = '\0';
}

const char *str_text(const struct str *s)
{
    return s->data ? s->data : "";
}

char *str_take(struct str *s)
{
    char *text;

    if (!s->data)
        return mem_strdup("");
    text = s->data;
    *s = (struct str){0};
    return text;
}

char *str_format(const char *fmt, ...)
{
    struct str s = {0};
    va_list args;

    va_start(args, fmt);
    str_vaddf(&s, fmt, args);
    va_end(args);
    return str_take(&s);
}

void strv_take(struct strv *v, char *text)
{
    if (v->count + 1 >= v->capacity) {
        v->capacity = v->capacity ? v->capacity * 2 : 8;
        v->items = mem_resize(v->items, v->capacity, sizeof(*v->items));
    }
    v->items[v->count++] = text;
    v->items[v->count] = NULL;
}

void strv_add(struct strv *v, const char *text)
{
    strv_take(v, mem_strdup(text));
}

void strv_addf(struct strv *v, const char *fmt, ...)
{
    struct str s = {0};
    va_list args;

    va_start(args, fmt);
    str_vaddf(&s, fmt, args);
    va_end(args);
    strv_take(v, str_take(&s));
}

void strv_copy(struct strv *to, const struct strv *from)
{
    struct strv copy = {0}; /* aside first: `to` may be `from` */

    strv_add_all(&copy, from);
    strv_release(to);
    *to = copy;
}

void strv_add_all(struct strv *to, const struct strv *from)
{
    for (size_t i = 0; i < from->count; i++)
        strv_add(to, from->items[i]);
}

bool strv_contains(const struct strv *v, const char *text)
{
    for (size_t i = 0; i < v->count; i++)
        if (strcmp(v->items[i], text) == 0)
            return true;
    return false;
}

bool strv_equal(const struct strv *a, const struct strv *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

char *strv_join(const struct strv *v, const char *separator)
{
    struct str s = {0};

    for (size_t i = 0; i < v->count; i++) {
        if (i > 0)
            str_add(&s, separator);
        str_add(&s, v->items[i]);
    }
    return str_take(&s);
}

char *const *strv_argv(const struct strv *v)
{
    static char *const empty[] = {NULL};

    return v->count > 0 ? v->items : empty;
}

void strv_release(struct strv *v)
{
    for (size_t i = 0; i < v->count; i++)
        free(v->items[i]);
    free(v->items);
    *v = (struct strv){0};
}

/* error.c - formats a failure into the caller's buffers. Not for printing: see cli/main.c. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/error.h"

#include "fs/base/banned.h"

/* Shows that a text was cut, without leaving half a UTF-8 sequence behind. */
static void mark_cut(char *text, size_t capacity)
{
    static const char mark[] = "...";
    size_t end = capacity - sizeof(mark);

    while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80)
        end--;
    memcpy(text + end, mark, sizeof(mark));
}

/* The arguments may point into `to` (an error wrapped into itself), hence the detour. */
static void __attribute__((format(printf, 3, 0)))
format_into(char *to, size_t capacity, const char *fmt, va_list args)
{
    char text[ERROR_DETAIL_MAX];
    int length;

    assert(capacity <= sizeof(text));
    length = vsnprintf(text, capacity, fmt, args);
    if (length < 0)
        text[0] = '\0';
    else if ((size_t)length >= capacity)
        mark_cut(text, capacity);
    memcpy(to, text, strlen(text) + 1);
}

static void __attribute__((format(printf, 3, 4)))
print_into(char *to, size_t capacity, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    format_into(to, capacity, fmt, args);
    va_end(args);
}

static void __attribute__((format(printf, 3, 0)))
record(struct error *err, int code, const char *fmt, va_list args)
{
    assert(code > 0);
    format_into(err->text, sizeof(err->text), fmt, args);
    err->code = code;
    err->hint[0] = '\0';
    err->detail[0] = '\0';
}

int error_set(struct error *err, int code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    record(err, code, fmt, args);
    va_end(args);
    return -code;
}

int error_errno(struct error *err, const char *fmt, ...)
{
    int code = errno > 0 ? errno : EIO; /* an errno nobody set must still not read as success */
    const char *reason = strerrordesc_np(code);
    va_list args;

    va_start(args, fmt);
    record(err, code, fmt, args);
    va_end(args);
    if (reason)
        print_into(err->text, sizeof(err->text), "%s: %s", err->text, reason);
    else
        print_into(err->text, sizeof(err->text), "%s: error %d", err->text, code);
    return -code;
}

int error_wrap(struct error *err, const char *fmt, ...)
{
    char prefix[ERROR_TEXT_MAX];
    va_list args;

    assert(err->code > 0);
    va_start(args, fmt);
    format_into(prefix, sizeof(prefix), fmt, args);
    va_end(args);
    print_into(err->text, sizeof(err->text), "%s: %s", prefix, err->text);
    return -err->code;
}

int error_hint(struct error *err, const char *fmt, ...)
{
    va_list args;

    if (err->hint[0] != '\0')
        return -err->code;
    va_start(args, fmt);
    format_into(err->hint, sizeof(err->hint), fmt, args);
    va_end(args);
    return -err->code;
}

int error_detail(struct error *err, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    format_into(err->detail, sizeof(err->detail), fmt, args);
    va_end(args);
    return -err->code;
}

void error_clear(struct error *err)
{
    err->code = 0;
    err->text[0] = '\0';
    err->hint[0] = '\0';
    err->detail[0] = '\0';
}

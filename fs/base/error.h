/* error.h - one code and one sentence, carried by value to the place that prints it.
 *
 * Every function that can fail returns 0 (or a count) or a negative errno and takes a
 * `struct error *` last. The lowest level names the object and the cause; callers in between wrap
 * only to add a name (a step, a layer, a host). cli/main.c alone prints. Nothing in here allocates,
 * so nothing is freed.
 */
#pragma once

#include <stddef.h>

#define ERROR_TEXT_MAX 1024
#define ERROR_HINT_MAX 384
#define ERROR_DETAIL_MAX 2048

struct error {
    int code;                      /* positive errno; 0 means "nothing went wrong" */
    char text[ERROR_TEXT_MAX];     /* one sentence: lower case, no full stop, 'names' quoted so */
    char hint[ERROR_HINT_MAX];     /* the obvious next move, or "" */
    char detail[ERROR_DETAIL_MAX]; /* lines shown before the sentence: a source excerpt, or "" */
};

/* Records a new failure, replacing what was there. Returns -code, so that it can be returned. */
int error_set(struct error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Like error_set with the current errno as code; ": <strerror>" is appended to the text. */
int error_errno(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "<prefix>: " in front of the recorded text. Returns -err->code. */
int error_wrap(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Sets the hint; the first one wins, for the lowest level knows best. Returns -err->code. */
int error_hint(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Sets the detail block (several lines, each ended by a newline). Returns -err->code. */
int error_detail(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void error_clear(struct error *err);

/* str.h - growing text, vectors of words, and the few text helpers everyone needs.
 *
 * A `struct str` is always NUL-terminated once something was added, may hold NUL bytes, and is
 * valid when zeroed. Not for fixed-size or async-signal-safe work.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"

struct str {
    char *data;      /* NULL while empty and never used; see str_text */
    size_t size;     /* bytes, without the terminating NUL */
    size_t capacity; /* bytes allocated */
};

void str_release(struct str *s);
DEFINE_CLEANUP_VALUE(str_release, struct str)
#define auto_str CLEANUP(str_release)

void str_add(struct str *s, const char *text);
void str_add_bytes(struct str *s, const void *bytes, size_t size);
void str_add_char(struct str *s, char c);
void str_addf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void str_vaddf(struct str *s, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
/* Text made safe for a terminal and a log: bytes of controls (C0, DEL, C1), of invisible and
 * direction-changing characters, and what is not UTF-8 as \xNN, newline as \n (SECURITY R58). A
 * backslash stays as it is, so the result is for reading, not for parsing. */
void str_add_escaped(struct str *s, const char *text, size_t size);
/* Go's %q: double quotes; \" \\ \a \b \f \n \r \t \v; \xNN for other controls and what is not
 * UTF-8; \uNNNN for characters that do not show. */
void str_add_quoted(struct str *s, const char *text);
void str_truncate(struct str *s, size_t size);
const char *str_text(const struct str *s); /* "" when empty; borrowed until the next change */
char *str_take(struct str *s);             /* caller frees; s is empty afterwards; never NULL */
char *str_format(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* caller frees */

/* A vector of owned strings; `items` is NULL-terminated once something was added. */
struct strv {
    char **items;
    size_t count;
    size_t capacity;
};
void strv_add(struct strv *v, const char *text);
void strv_addf(struct strv *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strv_take(struct strv *v, char *text); /* v owns text now */
void strv_copy(struct strv *to, const struct strv *from);
void strv_add_all(struct strv *to, const struct strv *from); /* another one */
bool strv_contains(const struct strv *v, const char *text);
bool strv_equal(const struct strv *a, const struct strv *b);
char *strv_join(const struct strv *v, const char *separator); /* caller frees */
char *const *strv_argv(const struct strv *v);                 /* NULL-terminated, also when empty */
void strv_release(struct strv *v);
DEFINE_CLEANUP_VALUE(strv_release, struct strv)
#define auto_strv CLEANUP(strv_release)

bool text_equal(const char *a, const char *b); /* NULL equals only NULL */
bool text_starts(const char *text, const char *prefix);
bool text_ends(const char *text, const char *suffix);
/* Decodes the character at `text` (RFC 3629, 4): its size in bytes, or 0 when the next bytes are
 * not UTF-8. `size` is at least 1. */
size_t text_decode(const char *text, size_t size, uint32_t *out);
/* Damerau-Levenshtein distance, for "did you mean"; both at most 64 bytes, else SIZE_MAX. */
size_t text_distance(const char *a, const char *b);
/* The candidate nearest to `word` (distance at most 2 and below its length), or NULL; borrowed. */
const char *text_suggest(const char *word, const char *const *candidates, size_t count);
/* A copy of `size` bytes without the white space around them; caller frees. */
char *text_trim(const char *text, size_t size);
/* The words of Go's strconv.ParseBool: 1, t, T, true, True, TRUE and their opposites; false when it is
 * anything else. */
bool text_to_bool(const char *text, bool *out);
/* Decimal only, whole text, no sign, at most `max`; false when it is anything else. */
bool text_to_u64(const char *text, uint64_t max, uint64_t *out);
/* Decimal units as BuildKit prints them, "1.05MB" / binary units as img ls does, "10.5MiB". */
void str_add_size_decimal(struct str *s, uint64_t size_bytes);
void str_add_size_binary(struct str *s, uint64_t size_bytes);
/* Lexical clean of a slash path: collapses //, /./ and /../, drops a trailing slash, keeps a
 * leading one; nothing left is "."; ".." above the start of a relative path stays. Caller frees. */
char *path_clean(const char *path);
char *path_join(const char *a, const char *b); /* b absolute replaces a; cleaned; caller frees */
const char *path_base(const char *path);       /* after the last slash; borrowed */

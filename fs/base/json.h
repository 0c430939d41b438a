/* json.h - thin bounds around jansson, and a canonical writer.
 *
 * The only door to jansson. Parsing is strict: depth, size and duplicate keys are refused (SECURITY
 * R35). A `struct json` is a reference-counted value; getters return borrowed values, `json_put`
 * and `json_push` take over what they are given.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct json;

/* One object or array, and nothing behind it. `what` names the document in messages: "manifest
 * sha256:..". Errors: -EINVAL malformed, nested too deep, a key twice, or a NUL in a string; -E2BIG
 * more than `size_max` bytes or LIMIT_JSON_VALUES values. */
int json_parse(const char *text, size_t size, size_t size_max, const char *what, struct json **out,
               struct error *err);
struct json *json_ref(struct json *j);
void json_unref(struct json *j);
DEFINE_CLEANUP(json_unref, struct json *)
#define auto_json CLEANUP(json_unref)

bool json_is_object(const struct json *j);
bool json_is_array(const struct json *j);
bool json_is_string(const struct json *j);
bool json_is_number(const struct json *j);
bool json_is_true(const struct json *j);
bool json_is_null(const struct json *j); /* also for a NULL pointer */

/* Borrowed; NULL when absent, null, or of another type. A NULL object is allowed. */
struct json *json_get(const struct json *object, const char *key); /* any type but null */
struct json *json_get_object(const struct json *object, const char *key);
struct json *json_get_array(const struct json *object, const char *key);
const char *json_get_text(const struct json *object, const char *key);
/* 0, -ENOENT when absent, -ERANGE when not an integer in [min, max]. */
int json_get_int(const struct json *object, const char *key, int64_t min, int64_t max,
                 int64_t *out);
bool json_get_bool(const struct json *object, const char *key, bool fallback);
const char *json_text(const struct json *string); /* NULL when not a string */
int64_t json_int(const struct json *number);      /* 0 when not an integer */
size_t json_count(const struct json *array_or_object);
struct json *json_at(const struct json *array, size_t index);
/* Walks an object in insertion order: start with *iter = NULL; false at the end. */
bool json_next(const struct json *object, void **iter, const char **key, struct json **value);

struct json *json_new_object(void);
struct json *json_new_array(void);
struct json *json_new_text(const char *text); /* invalid UTF-8 is replaced by U+FFFD */
struct json *json_new_int(int64_t value);
struct json *json_new_bool(bool value);
struct json *json_new_null(void);
struct json *json_new_strv(const struct strv *v); /* array of strings */
struct json *json_clone(const struct json *j);    /* deep */
/* Puts a value under a key; one that is there already is replaced in its place. In keys too, what
 * is not UTF-8 becomes U+FFFD. */
void json_put(struct json *object, const char *key, struct json *value);    /* takes value */
void json_put_text(struct json *object, const char *key, const char *text); /* NULL: nothing */
void json_put_int(struct json *object, const char *key, int64_t value);
void json_put_bool(struct json *object, const char *key, bool value);
void json_remove(struct json *object, const char *key);
void json_push(struct json *array, struct json *value);                 /* takes value */
void json_set_at(struct json *array, size_t index, struct json *value); /* takes value; in range */
/* Compact, keys in insertion order: the bytes whose digest names a config or manifest. */
void json_write(const struct json *j, struct str *out);
/* For people: what a terminal would obey is escaped (SECURITY R58). On one line, and with four spaces. */
void json_write_shown(const struct json *j, struct str *out);
void json_write_pretty(const struct json *j, struct str *out);

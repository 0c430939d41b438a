/* json.c - the bounds of json.h around jansson. A `struct json` is a json_t by another name. */
#include <assert.h>
#include <errno.h>

#include <jansson.h>

/* Macros of jansson that our functions are called like. */
#undef json_is_object
#undef json_is_array
#undef json_is_string
#undef json_is_number
#undef json_is_true
#undef json_is_null

#include "fs/base/json.h"
#include "fs/base/limits.h"

#include "fs/base/banned.h"

/* jansson counts references in the value, so even its readers want it writable. */
static json_t *raw(const struct json *j)
{
    return (json_t *)(uintptr_t)j;
}

static struct json *wrapped(json_t *j)
{
    return (struct json *)j;
}

/* jansson answers NULL for a wrong argument, which is a bug here, and when memory is gone. */
static struct json *made(json_t *j)
{
    if (!j)
        abort();
    return wrapped(j);
}

static bool has_type(const struct json *j, json_type type)
{
    return j && json_typeof(raw(j)) == type;
}

/* Skips a string; `i` is at its opening quote. Returns the index of the closing one. */
static size_t skip_string(const char *text, size_t size, size_t i)
{
    for (i++; i < size && text[i] != '"'; i++)
        if (text[i] == '\\')
            i++;
    return i;
}

/* Looks at brackets and commas alone, before anything is built from them: a parsed value takes many
 * times the two bytes it may have in the text. Whether the text is JSON is not decided here. */
static int check_bounds(const char *text, size_t size, const char *what, struct error *err)
{
    size_t value_count = 1;
    size_t depth = 0;

    for (size_t i = 0; i < size; i++) {
        switch (text[i]) {
        case '"':
            i = skip_string(text, size, i);
            break;
        case '[':
        case '{':
            value_count++;
            if (++depth > LIMIT_JSON_DEPTH)
                return error_set(err, EINVAL, "%s is nested more than %d deep", what,
                                 LIMIT_JSON_DEPTH);
            break;
        case ']':
        case '}':
            depth -= depth > 0;
            break;
        case ',':
            value_count++;
            break;
        default:
            break;
        }
        if (value_count > LIMIT_JSON_VALUES)
            return error_set(err, E2BIG, "%s has more than %u values", what, LIMIT_JSON_VALUES);
    }
    return 0;
}

static int refuse(const char *what, const json_error_t *why, struct error *err)
{
    enum json_error_code code = json_error_code(why);

    /* Valid (RFC 8259, section 7), but no name, word or path of ours can hold one. */
    if (code == json_error_null_character || code == json_error_null_byte_in_key)
        return error_set(err, EINVAL, "%s has a NUL character (\\u0000) in line %d, column %d",
                         what, why->line, why->column);
    return error_set(err, EINVAL, "%s is not valid JSON: line %d, column %d: %s", what, why->line,
                     why->column, why->text);
}

int json_parse(const char *text, size_t size, size_t size_max, const char *what, struct json **out,
               struct error *err)
{
    json_error_t why;
    json_t *parsed;
    int r;

    if (size > size_max)
        return error_set(err, E2BIG, "%s has %zu bytes, more than the %zu allowed", what, size,
                         size_max);
    r = check_bounds(text, size, what, err);
    if (r < 0)
        return r;
    parsed = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
    if (!parsed)
        return refuse(what, &why, err);
    *out = wrapped(parsed);
    return 0;
}

struct json *json_ref(struct json *j)
{
    return wrapped(json_incref(raw(j)));
}

void json_unref(struct json *j)
{
    int saved = errno;

    json_decref(raw(j));
    errno = saved;
}

bool json_is_object(const struct json *j)
{
    return has_type(j, JSON_OBJECT);
}

bool json_is_array(const struct json *j)
{
    return has_type(j, JSON_ARRAY);
}

bool json_is_string(const struct json *j)
{
    return has_type(j, JSON_STRING);
}

bool json_is_number(const struct json *j)
{
    return has_type(j, JSON_INTEGER) || has_type(j, JSON_REAL);
}

bool json_is_true(const struct json *j)
{
    return has_type(j, JSON_TRUE);
}

bool json_is_null(const struct json *j)
{
    return !j || has_type(j, JSON_NULL);
}

/* The value when it has the type; json_object_get answers NULL for what is not an object. */
static struct json *get_typed(const struct json *object, const char *key, json_type type)
{
    struct json *value = wrapped(json_object_get(raw(object), key));

    return has_type(value, type) ? value : NULL;
}

struct json *json_get(const struct json *object, const char *key)
{
    struct json *value = wrapped(json_object_get(raw(object), key));

    return json_is_null(value) ? NULL : value;
}

struct json *json_get_object(const struct json *object, const char *key)
{
    return get_typed(object, key, JSON_OBJECT);
}

struct json *json_get_array(const struct json *object, const char *key)
{
    return get_typed(object, key, JSON_ARRAY);
}

const char *json_get_text(const struct json *object, const char *key)
{
    return json_text(get_typed(object, key, JSON_STRING));
}

int json_get_int(const struct json *object, const char *key, int64_t min, int64_t max, int64_t *out)
{
    const struct json *value = json_get(object, key);
    int64_t number = json_int(value);

    if (!value)
        return -ENOENT;
    if (!has_type(value, JSON_INTEGER) || number < min || number > max)
        return -ERANGE;
    *out = number;
    return 0;
}

bool json_get_bool(const struct json *object, const char *key, bool fallback)
{
    const struct json *value = json_get(object, key);

    if (has_type(value, JSON_TRUE))
        return true;
    return has_type(value, JSON_FALSE) ? false : fallback;
}

const char *json_text(const struct json *string)
{
    return json_string_value(raw(string)); /* NULL for what is not a string */
}

int64_t json_int(const struct json *number)
{
    return json_integer_value(raw(number)); /* 0 for what is not an integer */
}

size_t json_count(const struct json *array_or_object)
{
    return json_array_size(raw(array_or_object)) + json_object_size(raw(array_or_object));
}

struct json *json_at(const struct json *array, size_t index)
{
    return wrapped(json_array_get(raw(array), index));
}

bool json_next(const struct json *object, void **iter, const char **key, struct json **value)
{
    *iter = *iter ? json_object_iter_next(raw(object), *iter) : json_object_iter(raw(object));
    if (!*iter)
        return false;
    *key = json_object_iter_key(*iter);
    *value = wrapped(json_object_iter_value(*iter));
    return true;
}

/* Go's encoder, whose documents we meet, also puts one U+FFFD for every byte that is not UTF-8. */
static char *clean_utf8(const char *text)
{
    size_t size = strlen(text);
    struct str clean = {0};

    for (size_t i = 0; i < size;) {
        uint32_t c;
        size_t length = text_decode(text + i, size - i, &c);

        if (length > 0)
            str_add_bytes(&clean, text + i, length);
        else
            str_add(&clean, "\xEF\xBF\xBD");
        i += length > 0 ? length : 1;
    }
    return str_take(&clean);
}

struct json *json_new_object(void)
{
    return made(json_object());
}

struct json *json_new_array(void)
{
    return made(json_array());
}

struct json *json_new_text(const char *text)
{
    auto_free char *clean = clean_utf8(text);

    return made(json_string_nocheck(clean));
}

struct json *json_new_int(int64_t value)
{
    return made(json_integer(value));
}

struct json *json_new_bool(bool value)
{
    return made(json_boolean(value));
}

struct json *json_new_null(void)
{
    return made(json_null());
}

struct json *json_new_strv(const struct strv *v)
{
    struct json *array = json_new_array();

    for (size_t i = 0; i < v->count; i++)
        json_push(array, json_new_text(v->items[i]));
    return array;
}

struct json *json_clone(const struct json *j)
{
    return made(json_deep_copy(raw(j)));
}

void json_put(struct json *object, const char *key, struct json *value)
{
    auto_free char *clean = clean_utf8(key);

    if (json_object_set_new_nocheck(raw(object), clean, raw(value)) < 0)
        abort();
}

void json_put_text(struct json *object, const char *key, const char *text)
{
    if (text)
        json_put(object, key, json_new_text(text));
}

void json_put_int(struct json *object, const char *key, int64_t value)
{
    json_put(object, key, json_new_int(value));
}

void json_put_bool(struct json *object, const char *key, bool value)
{
    json_put(object, key, json_new_bool(value));
}

void json_remove(struct json *object, const char *key)
{
    (void)json_object_del(raw(object), key); /* a key that is not there is as good as removed */
}

void json_push(struct json *array, struct json *value)
{
    if (json_array_append_new(raw(array), raw(value)) < 0)
        abort();
}

void json_set_at(struct json *array, size_t index, struct json *value)
{
    if (json_array_set_new(raw(array), index, raw(value)) < 0)
        abort();
}

static int add_to_str(const char *bytes, size_t size, void *context)
{
    struct str *out = (struct str *)context;

    str_add_bytes(out, bytes, size);
    return 0;
}

static void dump(const struct json *j, struct str *out, size_t flags)
{
    int r = json_dump_callback(raw(j), add_to_str, out, flags | JSON_ENCODE_ANY);

    assert(r == 0); /* the callback does not fail, and json_put and json_push make no loops */
    (void)r;
}

void json_write(const struct json *j, struct str *out)
{
    dump(j, out, JSON_COMPACT);
}

/* RFC 8259 7 wants only U+0000 to U+001F escaped; terminals obey U+007F to U+009F too. In UTF-8 those
 * are 7f and c2 80 to c2 9f, which occur in texts alone, so that an escape means the same. */
static void dump_shown(const struct json *j, struct str *out, size_t flags)
{
    auto_str struct str text = {0};

    dump(j, &text, flags);
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        unsigned char next = i + 1 < text.size ? (unsigned char)text.data[i + 1] : 0;

        if (byte == 0xc2 && next >= 0x80 && next <= 0x9f)
            byte = (unsigned char)text.data[++i];
        else if (byte != 0x7f) {
            str_add_char(out, text.data[i]);
            continue;
        }
        str_addf(out, "\\u%04x", (unsigned)byte);
    }
}

void json_write_shown(const struct json *j, struct str *out)
{
    dump_shown(j, out, JSON_COMPACT);
}

void json_write_pretty(const struct json *j, struct str *out)
{
    dump_shown(j, out, JSON_INDENT(4));
}

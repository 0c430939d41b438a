/* template_function.c - what a template can call, and how values print. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/template_internal.h"

#include "fs/base/banned.h"

#define WIDTH_MAX 4096u /* of printf and pad */

bool template_truth(const struct json *value)
{
    const char *text = json_text(value);

    if (json_is_null(value))
        return false;
    if (text != NULL)
        return text[0] != '\0';
    if (json_is_array(value) || json_is_object(value))
        return json_count(value) > 0;
    return json_is_number(value) ? json_int(value) != 0 : json_is_true(value);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_text(const char *text, const struct template_options *o, struct str *out)
{
    /* Tabs and newlines are the template's own business. */
    while (o->escape && *text != '\0') {
        size_t size = strcspn(text, "\t\n");

        str_add_escaped(out, text, size);
        text += size;
        if (*text != '\0')
            str_add_char(out, *text++);
    }
    str_add(out, text);
}

static void print_map(const struct json *object, const struct template_options *o, struct str *out)
{
    auto_free const char **keys = mem_alloc((json_count(object) + 1) * sizeof(*keys));
    struct json *value;
    void *iter = NULL;
    size_t count = 0;

    while (json_next(object, &iter, &keys[count], &value))
        count++;
    qsort(keys, count, sizeof(*keys), compare_keys);
    str_add(out, "map[");
    for (size_t i = 0; i < count; i++) {
        str_add(out, i == 0 ? "" : " ");
        print_text(keys[i], o, out);
        str_add_char(out, ':');
        template_print(json_get(object, keys[i]), o, out);
    }
    str_add_char(out, ']');
}

void template_print(const struct json *value, const struct template_options *o, struct str *out)
{
    if (json_is_null(value)) {
        str_add(out, "<nil>");
    } else if (json_is_string(value)) {
        print_text(json_text(value), o, out);
    } else if (json_is_object(value)) {
        print_map(value, o, out);
    } else if (json_is_array(value)) {
        str_add_char(out, '[');
        for (size_t i = 0; i < json_count(value); i++) {
            str_add(out, i == 0 ? "" : " ");
            template_print(json_at(value, i), o, out);
        }
        str_add_char(out, ']');
    } else {
        json_write(value, out); /* numbers and truths print the same in both */
    }
}

/* ---- helpers ---- */

static void printed(const struct json *value, struct str *out)
{
    static const struct template_options raw;

    template_print(value, &raw, out);
}

static const char *text_of(const struct call *c, size_t i, struct str *buffer)
{
    if (json_is_string(c->arguments[i]))
        return json_text(c->arguments[i]);
    printed(c->arguments[i], buffer);
    return str_text(buffer);
}

static int wants(const char *what, struct error *err)
{
    return error_set(err, EINVAL, "%s", what);
}

/* ---- data ---- */

static int run_json(const struct call *c, struct json **out, struct error *err)
{
    auto_str struct str text = {0};

    (void)err; /* every value has a form */
    if (json_is_null(c->arguments[0]))
        str_add(&text, "null");
    else
        json_write_shown(c->arguments[0], &text);
    *out = json_new_text(str_text(&text));
    return 0;
}

static int run_len(const struct call *c, struct json **out, struct error *err)
{
    const struct json *value = c->arguments[0];

    if (json_is_string(value))
        *out = json_new_int((int64_t)strlen(json_text(value)));
    else if (json_is_array(value) || json_is_object(value) || json_is_null(value))
        *out = json_new_int((int64_t)json_count(value));
    else
        return wants("len needs a list, an object or a text", err);
    return 0;
}

static struct json *reference(const struct json *value)
{
    return value == NULL ? NULL : json_ref((struct json *)(uintptr_t)value);
}

/* Go gives the empty value for a key that a map does not have. */
static int run_index(const struct call *c, struct json **out, struct error *err)
{
    auto_json struct json *value = reference(c->arguments[0]);

    for (size_t i = 1; i < c->count; i++) {
        auto_json struct json *from = STEAL(&value);
        const struct json *key = c->arguments[i];

        if (json_is_array(from) && json_is_number(key)) {
            int64_t at = json_int(key);

            if (at < 0 || (uint64_t)at >= json_count(from))
                return error_set(err, EINVAL, "index %" PRId64 " is outside a list of %zu", at,
                                 json_count(from));
            value = reference(json_at(from, (size_t)at));
        } else if ((json_is_object(from) || json_is_null(from)) && json_is_string(key)) {
            value = reference(json_get(from, json_text(key)));
            if (value == NULL)
                value = json_new_text("");
        } else {
            return wants("index needs a list and a number, or an object and a text", err);
        }
    }
    *out = STEAL(&value);
    return 0;
}

static int run_slice(const struct call *c, struct json **out, struct error *err)
{
    const struct json *value = c->arguments[0];
    const char *text = json_text(value);
    size_t count = text != NULL ? strlen(text) : json_count(value);
    int64_t from = c->count > 1 ? json_int(c->arguments[1]) : 0;
    int64_t to = c->count > 2 ? json_int(c->arguments[2]) : (int64_t)count;
    struct json *part;

    if (text == NULL && !json_is_array(value))
        return wants("slice needs a list or a text", err);
    if (from < 0 || to < from || (uint64_t)to > count)
        return error_set(err, EINVAL, "slice %" PRId64 " to %" PRId64 " is outside a length of %zu",
                         from, to, count);
    if (text != NULL) {
        auto_free char *copy = mem_strndup(text + from, (size_t)(to - from));

        *out = json_new_text(copy);
        return 0;
    }
    part = json_new_array();
    for (int64_t i = from; i < to; i++)
        json_push(part, json_ref(json_at(value, (size_t)i)));
    *out = part;
    return 0;
}

/* ---- text ---- */

static int run_join(const struct call *c, struct json **out, struct error *err)
{
    auto_str struct str text = {0};
    auto_str struct str buffer = {0};
    const char *between = text_of(c, 1, &buffer);

    if (!json_is_array(c->arguments[0]) && !json_is_null(c->arguments[0]))
        return wants("join needs a list", err);
    for (size_t i = 0; i < json_count(c->arguments[0]); i++) {
        str_add(&text, i == 0 ? "" : between);
        printed(json_at(c->arguments[0], i), &text);
    }
    *out = json_new_text(str_text(&text));
    return 0;
}

static int run_split(const struct call *c, struct json **out, struct error *err)
{
    auto_str struct str buffer = {0};
    auto_str struct str between_buffer = {0};
    const char *text = text_of(c, 0, &buffer);
    const char *between = text_of(c, 1, &between_buffer);
    struct json *list;

    if (between[0] == '\0')
        return wants("split needs what to split at", err);
    list = json_new_array();
    for (;;) {
        const char *stop = strstr(text, between);
        auto_free char *part =
            mem_strndup(text, stop == NULL ? strlen(text) : (size_t)(stop - text));

        json_push(list, json_new_text(part));
        if (stop == NULL)
            break;
        text = stop + strlen(between);
    }
    *out = list;
    return 0;
}

static int change_case(const struct call *c, int (*change)(int), bool first_only, struct json **out)
{
    auto_str struct str text = {0};
    auto_str struct str buffer = {0};
    bool is_start = true;

    str_add(&text, text_of(c, 0, &buffer));
    for (size_t i = 0; i < text.size; i++) {
        if (!first_only || is_start)
            text.data[i] = (char)change((unsigned char)text.data[i]);
        is_start = text.data[i] == ' ';
    }
    *out = json_new_text(str_text(&text));
    return 0;
}

static int run_lower(const struct call *c, struct json **out, struct error *err)
{
    (void)err; /* cannot fail */
    return change_case(c, tolower, false, out);
}

static int run_upper(const struct call *c, struct json **out, struct error *err)
{
    (void)err; /* cannot fail */
    return change_case(c, toupper, false, out);
}

static int run_title(const struct call *c, struct json **out, struct error *err)
{
    (void)err; /* cannot fail */
    return change_case(c, toupper, true, out);
}

/* pad TEXT BEFORE AFTER: blanks, none around an empty text. */
static int run_pad(const struct call *c, struct json **out, struct error *err)
{
    auto_str struct str text = {0};
    auto_str struct str buffer = {0};
    const char *inner = text_of(c, 0, &buffer);
    int64_t before = json_int(c->arguments[1]);
    int64_t after = json_int(c->arguments[2]);

    if (before < 0 || before > WIDTH_MAX || after < 0 || after > WIDTH_MAX)
        return error_set(err, EINVAL, "pad takes widths from 0 to %u", WIDTH_MAX);
    if (inner[0] != '\0')
        str_addf(&text, "%*s%s%*s", (int)before, "", inner, (int)after, "");
    *out = json_new_text(str_text(&text));
    return 0;
}

static int run_truncate(const struct call *c, struct json **out, struct error *err)
{
    auto_str struct str buffer = {0};
    const char *text = text_of(c, 0, &buffer);
    int64_t width = json_int(c->arguments[1]);
    auto_free char *copy = NULL;

    if (width < 0)
        return wants("truncate takes a length", err);
    copy = mem_strndup(text, (uint64_t)width < strlen(text) ? (size_t)width : strlen(text));
    *out = json_new_text(copy);
    return 0;
}

/* ---- printing ---- */

/* Go puts blanks between operands of print when neither is a text, of println always. */
static void print_all(const struct call *c, bool always, struct str *out)
{
    for (size_t i = 0; i < c->count; i++) {
        if (i > 0 &&
            (always || (!json_is_string(c->arguments[i - 1]) && !json_is_string(c->arguments[i]))))
            str_add_char(out, ' ');
        printed(c->arguments[i], out);
    }
}

static int run_print(const struct call *c, struct json **out, struct error *err)
{
    auto_str struct str text = {0};

    (void)err; /* cannot fail */
    print_all(c, false, &text);
    *out = json_new_text(str_text(&text));
    return 0;
}

static int run_println(const struct call *c, struct json **out, struct error *err)
{
    auto_str struct str text = {0};

    (void)err; /* cannot fail */
    print_all(c, true, &text);
    str_add_char(&text, '\n');
    *out = json_new_text(str_text(&text));
    return 0;
}

struct verb {
    bool left;
    bool zero;
    uint64_t width;
    bool has_precision;
    uint64_t precision;
    char letter;
};

static const char *parse_verb(const char *text, struct verb *v)
{
    char *end;

    *v = (struct verb){0};
    for (; *text == '-' || *text == '0'; text++) {
        v->left |= *text == '-';
        v->zero |= *text == '0';
    }
    if (isdigit((unsigned char)*text)) {
        v->width = strtoull(text, &end, 10);
        text = end;
    }
    if (*text == '.') {
        v->has_precision = true;
        v->precision = strtoull(text + 1, &end, 10);
        text = end;
    }
    v->letter = *text;
    return *text == '\0' ? text : text + 1;
}

static int print_verb(const struct verb *v, const struct json *value, bool is_header,
                      struct str *out, struct error *err)
{
    auto_str struct str text = {0};
    size_t width;

    if (v->width > WIDTH_MAX || v->precision > WIDTH_MAX)
        return error_set(err, EINVAL, "printf takes widths up to %u", WIDTH_MAX);
    if (v->letter == '\0' || strchr("sdvqtx", v->letter) == NULL)
        return error_set(err, EINVAL, "printf knows %%s %%d %%v %%q %%t %%x and %%%%, not '%%%c'",
                         v->letter == '\0' ? '%' : v->letter);
    if (v->letter == 'd' && !json_is_number(value) && !is_header)
        return wants("printf '%d' needs a number", err);
    if (v->letter == 'x' && json_is_number(value)) {
        str_addf(&text, "%" PRIx64, (uint64_t)json_int(value));
    } else {
        auto_str struct str plain = {0};

        printed(value, &plain);
        if (v->letter == 'q')
            str_add_quoted(&text, str_text(&plain));
        else if (v->letter == 'x')
            for (size_t i = 0; i < plain.size; i++)
                str_addf(&text, "%02x", (unsigned char)plain.data[i]);
        else
            str_add(&text, str_text(&plain));
    }
    if (v->has_precision && v->letter == 's' && v->precision < text.size)
        str_truncate(&text, (size_t)v->precision);
    for (width = text.size; !v->left && width < v->width; width++)
        str_add_char(out, v->zero && json_is_number(value) ? '0' : ' ');
    str_add(out, str_text(&text));
    for (width = text.size; v->left && width < v->width; width++)
        str_add_char(out, ' ');
    return 0;
}

static int run_printf(const struct call *c, struct json **out, struct error *err)
{
    auto_str struct str text = {0};
    const char *format = json_text(c->arguments[0]);
    size_t used = 1;

    if (format == NULL)
        return wants("printf needs a text as its first argument", err);
    while (*format != '\0') {
        struct verb v;
        int r;

        if (*format != '%' || format[1] == '%') {
            str_add_char(&text, *format);
            format += *format == '%' ? 2 : 1;
            continue;
        }
        format = parse_verb(format + 1, &v);
        if (used == c->count)
            return wants("printf has more verbs than arguments", err);
        r = print_verb(&v, c->arguments[used++], c->options->is_header, &text, err);
        if (r < 0)
            return r;
    }
    if (used < c->count)
        return wants("printf has more arguments than verbs", err);
    *out = json_new_text(str_text(&text));
    return 0;
}

/* ---- comparing ---- */

static int compare(const struct json *a, const struct json *b, int *out, struct error *err)
{
    if (json_is_string(a) && json_is_string(b)) {
        *out = strcmp(json_text(a), json_text(b));
        return 0;
    }
    if (json_is_number(a) && json_is_number(b)) {
        *out = (json_int(a) > json_int(b)) - (json_int(a) < json_int(b));
        return 0;
    }
    return wants("only two numbers or two texts have an order", err);
}

static bool equal(const struct json *a, const struct json *b)
{
    auto_str struct str text = {0};
    auto_str struct str other = {0};

    if (json_is_null(a) || json_is_null(b))
        return json_is_null(a) && json_is_null(b);
    json_write(a, &text);
    json_write(b, &other);
    return strcmp(str_text(&text), str_text(&other)) == 0;
}

static int run_eq(const struct call *c, struct json **out, struct error *err)
{
    bool found = false;

    (void)err; /* any two values can be compared */
    for (size_t i = 1; i < c->count; i++)
        found |= equal(c->arguments[0], c->arguments[i]);
    *out = json_new_bool(found);
    return 0;
}

static int run_ne(const struct call *c, struct json **out, struct error *err)
{
    (void)err; /* any two values can be compared */
    *out = json_new_bool(!equal(c->arguments[0], c->arguments[1]));
    return 0;
}

#define ORDER(name, is_so)                                                                         \
    static int run_##name(const struct call *c, struct json **out, struct error *err)              \
    {                                                                                              \
        int order = 0;                                                                             \
        int r = compare(c->arguments[0], c->arguments[1], &order, err);                            \
                                                                                                   \
        if (r == 0)                                                                                \
            *out = json_new_bool(is_so);                                                           \
        return r;                                                                                  \
    }
ORDER(lt, order < 0)
ORDER(le, order <= 0)
ORDER(gt, order > 0)
ORDER(ge, order >= 0)

static int run_not(const struct call *c, struct json **out, struct error *err)
{
    (void)err; /* cannot fail */
    *out = json_new_bool(!template_truth(c->arguments[0]));
    return 0;
}

/* ---- the table ---- */

static const struct function functions[] = {
    {"and", 1, SIZE_MAX, NULL, FUNCTION_LAZY},
    {"eq", 2, SIZE_MAX, run_eq, FUNCTION_PLAIN},
    {"ge", 2, 2, run_ge, FUNCTION_PLAIN},
    {"gt", 2, 2, run_gt, FUNCTION_PLAIN},
    {"index", 1, 16, run_index, FUNCTION_PLAIN},
    {"join", 2, 2, run_join, FUNCTION_PLAIN},
    {"json", 1, 1, run_json, FUNCTION_PLAIN},
    {"le", 2, 2, run_le, FUNCTION_PLAIN},
    {"len", 1, 1, run_len, FUNCTION_PLAIN},
    {"lower", 1, 1, run_lower, FUNCTION_PLAIN},
    {"lt", 2, 2, run_lt, FUNCTION_PLAIN},
    {"ne", 2, 2, run_ne, FUNCTION_PLAIN},
    {"not", 1, 1, run_not, FUNCTION_PLAIN},
    {"or", 1, SIZE_MAX, NULL, FUNCTION_LAZY},
    {"pad", 3, 3, run_pad, FUNCTION_PLAIN},
    {"print", 0, SIZE_MAX, run_print, FUNCTION_PRINTS},
    {"printf", 1, 64, run_printf, FUNCTION_PRINTS},
    {"println", 0, SIZE_MAX, run_println, FUNCTION_PRINTS},
    {"slice", 1, 3, run_slice, FUNCTION_PLAIN},
    {"split", 2, 2, run_split, FUNCTION_PLAIN},
    {"title", 1, 1, run_title, FUNCTION_PLAIN},
    {"truncate", 2, 2, run_truncate, FUNCTION_PLAIN},
    {"upper", 1, 1, run_upper, FUNCTION_PLAIN},
};

const struct function *template_function(const char *name)
{
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        if (strcmp(functions[i].name, name) == 0)
            return &functions[i];
    return NULL;
}

void template_function_names(struct str *out)
{
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        str_addf(out, "%s%s", i == 0 ? "" : ", ", functions[i].name);
}

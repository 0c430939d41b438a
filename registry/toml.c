/* toml.c - a strict reader for the part of TOML in toml.h. */
#include <errno.h>
#include <string.h>

#include "fs/base/limits.h"
#include "registry/toml.h"

#include "fs/base/banned.h"

#define TOML_SIZE_MAX (1u << 20)

struct parser {
    const char *at;
    const char *name;
    unsigned line;
    unsigned depth;
    struct json *root;
    struct json *table; /* where keys go now; borrowed from root */
    struct error *err;
};

static int parse_value(struct parser *p, struct json **out);

static int fail(struct parser *p, const char *what)
{
    return error_set(p->err, EINVAL, "%s:%u: %s", p->name, p->line, what);
}

static void skip_blanks(struct parser *p)
{
    p->at += strspn(p->at, " \t");
}

/* Blanks, line ends and comments. */
static void skip_lines(struct parser *p)
{
    for (;;) {
        skip_blanks(p);
        if (*p->at == '#')
            p->at += strcspn(p->at, "\n");
        if (*p->at == '\r' && p->at[1] == '\n')
            p->at++;
        if (*p->at != '\n')
            return;
        p->at++;
        p->line++;
    }
}

static int hex_value(const char *text, size_t count, uint32_t *out)
{
    *out = 0;
    for (size_t i = 0; i < count; i++) {
        const char *digits = "0123456789abcdef";
        char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
        const char *digit = c == '\0' ? NULL : strchr(digits, c);

        if (!digit)
            return -EINVAL;
        *out = *out << 4 | (uint32_t)(digit - digits);
    }
    return 0;
}

static int add_utf8(struct str *out, uint32_t code)
{
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return -EINVAL;
    if (code < 0x80) {
        str_add_char(out, (char)code);
    } else if (code < 0x800) {
        str_add_char(out, (char)(0xc0 | code >> 6));
        str_add_char(out, (char)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        str_add_char(out, (char)(0xe0 | code >> 12));
        str_add_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
        str_add_char(out, (char)(0x80 | (code & 0x3f)));
    } else {
        str_add_char(out, (char)(0xf0 | code >> 18));
        str_add_char(out, (char)(0x80 | (code >> 12 & 0x3f)));
        str_add_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
        str_add_char(out, (char)(0x80 | (code & 0x3f)));
    }
    return 0;
}

/* Behind a backslash. */
static int parse_escape(struct parser *p, struct str *out)
{
    static const char names[] = "btnfr\"\\";
    static const char values[] = "\b\t\n\f\r\"\\";
    const char *name = *p->at == '\0' ? NULL : strchr(names, *p->at);
    size_t digits = *p->at == 'u' ? 4 : *p->at == 'U' ? 8 : 0;
    uint32_t code;

    if (name) {
        str_add_char(out, values[name - names]);
        p->at++;
        return 0;
    }
    if (digits == 0 || hex_value(p->at + 1, digits, &code) < 0 || add_utf8(out, code) < 0)
        return fail(p, "an unknown escape in a text");
    p->at += 1 + digits;
    return 0;
}

static int parse_text(struct parser *p, struct str *out)
{
    char quote = *p->at;

    if (p->at[1] == quote && p->at[2] == quote)
        return fail(p, "texts over several lines are not supported");
    for (p->at++; *p->at != quote;) {
        if ((unsigned char)*p->at < 0x20 && *p->at != '\t')
            return fail(p, "a text without its closing quote");
        if (*p->at == '\\' && quote == '"') {
            p->at++;
            if (parse_escape(p, out) < 0)
                return -EINVAL;
        } else {
            str_add_char(out, *p->at++);
        }
    }
    p->at++;
    return 0;
}

static int parse_key(struct parser *p, struct str *out)
{
    size_t length;

    skip_blanks(p);
    if (*p->at == '"' || *p->at == '\'')
        return parse_text(p, out);
    length = strspn(p->at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
    if (length == 0)
        return fail(p, "a key is missing");
    str_add_bytes(out, p->at, length);
    p->at += length;
    return 0;
}

/* The table `key` of `parent`, made when it is not there; of an array of tables its last one. */
static struct json *enter_table(struct json *parent, const char *key)
{
    struct json *child = json_get(parent, key);

    if (!child) {
        json_put(parent, key, json_new_object());
        return json_get(parent, key);
    }
    if (json_is_array(child))
        child = json_at(child, json_count(child) - 1);
    return json_is_object(child) ? child : NULL;
}

/* a.b.c: enters a and b below *table, leaves c in `last`. */
static int parse_path(struct parser *p, struct json **table, struct str *last)
{
    for (unsigned depth = 0;; depth++) {
        str_truncate(last, 0);
        if (parse_key(p, last) < 0)
            return -EINVAL;
        skip_blanks(p);
        if (*p->at != '.')
            return 0;
        if (depth == LIMIT_JSON_DEPTH)
            return fail(p, "keys nest too deep");
        p->at++;
        *table = enter_table(*table, str_text(last));
        if (!*table)
            return fail(p, "a key stands for two different things");
    }
}

static int parse_pair(struct parser *p, struct json *table)
{
    auto_json struct json *value = NULL;
    auto_str struct str key = {0};

    if (parse_path(p, &table, &key) < 0)
        return -EINVAL;
    if (*p->at != '=')
        return fail(p, "a key without '='");
    p->at++;
    skip_blanks(p);
    if (parse_value(p, &value) < 0)
        return -EINVAL;
    if (json_get(table, str_text(&key)))
        return fail(p, "a key is set twice");
    json_put(table, str_text(&key), STEAL(&value));
    return 0;
}

static int parse_array(struct parser *p, struct json **out)
{
    auto_json struct json *array = json_new_array();

    p->at++;
    for (;;) {
        auto_json struct json *value = NULL;

        skip_lines(p);
        if (*p->at == ']')
            break;
        if (parse_value(p, &value) < 0)
            return -EINVAL;
        json_push(array, STEAL(&value));
        skip_lines(p);
        if (*p->at == ',')
            p->at++;
        else if (*p->at != ']')
            return fail(p, "a list without its closing ']'");
    }
    p->at++;
    *out = STEAL(&array);
    return 0;
}

static int parse_inline_table(struct parser *p, struct json **out)
{
    auto_json struct json *table = json_new_object();

    p->at++;
    skip_blanks(p);
    while (*p->at != '}') {
        if (parse_pair(p, table) < 0)
            return -EINVAL;
        skip_blanks(p);
        if (*p->at == ',')
            p->at++;
        else if (*p->at != '}')
            return fail(p, "a table without its closing '}'");
        skip_blanks(p);
    }
    p->at++;
    *out = STEAL(&table);
    return 0;
}

/* true, false or a whole number. */
static int parse_word(struct parser *p, struct json **out)
{
    size_t length = strcspn(p->at, " \t\r\n#,]}");
    auto_free char *word = mem_strndup(p->at, length);
    const char *digits = word[0] == '-' || word[0] == '+' ? word + 1 : word;
    uint64_t number;

    if (text_equal(word, "true") || text_equal(word, "false"))
        *out = json_new_bool(word[0] == 't');
    else if (text_to_u64(digits, INT64_MAX, &number))
        *out = json_new_int(word[0] == '-' ? -(int64_t)number : (int64_t)number);
    else
        return fail(p, "a value that is no text, number, true, false, list or table");
    p->at += length;
    return 0;
}

static int parse_value(struct parser *p, struct json **out)
{
    auto_str struct str text = {0};
    int r;

    if (*p->at == '"' || *p->at == '\'') {
        if (parse_text(p, &text) < 0)
            return -EINVAL;
        *out = json_new_text(str_text(&text));
        return 0;
    }
    if (*p->at != '[' && *p->at != '{')
        return parse_word(p, out);
    if (++p->depth > LIMIT_JSON_DEPTH)
        return fail(p, "values nest too deep");
    r = *p->at == '[' ? parse_array(p, out) : parse_inline_table(p, out);
    p->depth--;
    return r;
}

/* [a.b] or [[a.b]] */
static int parse_header(struct parser *p)
{
    bool is_array = p->at[1] == '[';
    const char *close = is_array ? "]]" : "]";
    struct json *parent = p->root;
    auto_str struct str key = {0};
    struct json *known;

    p->at += is_array ? 2 : 1;
    if (parse_path(p, &parent, &key) < 0)
        return -EINVAL;
    if (!text_starts(p->at, close))
        return fail(p, "a table name without its closing bracket");
    p->at += strlen(close);
    known = json_get(parent, str_text(&key));
    if (!is_array) {
        if (known && !json_is_object(known))
            return fail(p, "a key stands for two different things");
        p->table = enter_table(parent, str_text(&key));
        return 0;
    }
    if (!known)
        json_put(parent, str_text(&key), json_new_array());
    known = json_get(parent, str_text(&key));
    if (!json_is_array(known))
        return fail(p, "a key stands for two different things");
    json_push(known, json_new_object());
    p->table = json_at(known, json_count(known) - 1);
    return 0;
}

int toml_parse(const char *text, const char *name, struct json **out, struct error *err)
{
    auto_json struct json *root = json_new_object();
    struct parser p = {
        .at = text, .name = name, .line = 1, .root = root, .table = root, .err = err};
    int r;

    if (strlen(text) > TOML_SIZE_MAX)
        return error_set(err, E2BIG, "'%s' is larger than %u bytes", name, TOML_SIZE_MAX);
    for (skip_lines(&p); *p.at != '\0'; skip_lines(&p)) {
        r = *p.at == '[' ? parse_header(&p) : parse_pair(&p, p.table);
        if (r < 0)
            return r;
        skip_blanks(&p);
        if (!strchr("\n\r#", *p.at))
            return fail(&p, "more than one thing on a line");
    }
    *out = STEAL(&root);
    return 0;
}

/* expand.c - one pass over a word: variables, quotes, escapes. Values: see variables.c; the patterns
 * of ${v#p} and its like: see expand_pattern.c.
 */
#include <ctype.h>
#include <errno.h>

#include "builder/dockerfile/expand.h"
#include "builder/dockerfile/expand_internal.h"
#include "builder/dockerfile/quote.h"
#include "fs/base/limits.h"

#include "fs/base/banned.h"

#define DEPTH_MAX 100 /* of ${a:-${b:-..}}; people write two or three */

/* Splits what the outermost level produces into words, when somebody asked for words. */
struct splitter {
    struct strv *out; /* NULL: nobody did */
    struct str word;
    bool is_inside;
};

struct scan {
    const struct expand *how;
    const char *at;
    struct expand_use *use; /* NULL allowed */
    struct splitter *split; /* of the outermost level */
    size_t budget;          /* bytes that variables may still add */
    unsigned depth;
    bool keep_escapes; /* how->keep_escapes, or inside a pattern */
    const char *fault; /* where what failed begins; NULL until something does */
    struct error *err;
};

static int expand_until(struct scan *s, char stop, struct str *out);

void expand_use_release(struct expand_use *use)
{
    strv_release(&use->matched);
    strv_release(&use->unmatched);
    table_release(&use->seen_matched);
    table_release(&use->seen_unmatched);
    *use = (struct expand_use){0};
}

static void note(struct strv *names, struct table *seen, const char *name)
{
    if (table_has(seen, name))
        return;
    table_put(seen, name, names); /* any pointer but NULL */
    strv_add(names, name);
}

static const char *look_up(struct scan *s, const char *name)
{
    const struct expand_env *env = s->how->env;
    const char *value = env && env->get ? env->get(env->context, name) : NULL;

    if (s->use && value)
        note(&s->use->matched, &s->use->seen_matched, name);
    else if (s->use)
        note(&s->use->unmatched, &s->use->seen_unmatched, name);
    return value;
}

/* Characters from outside a variable that are quoted or escaped: never a place to split at. */
static void split_raw(struct splitter *split, const char *bytes, size_t size)
{
    if (!split->out)
        return;
    str_add_bytes(&split->word, bytes, size);
    split->is_inside = true;
}

static void split_end(struct splitter *split)
{
    if (split->word.size > 0)
        strv_take(split->out, str_take(&split->word));
    split->is_inside = false;
}

static void split_blanks(struct splitter *split, const char *bytes, size_t size)
{
    if (!split->out)
        return;
    for (size_t i = 0; i < size; i++) {
        if (!isspace((unsigned char)bytes[i]))
            split_raw(split, bytes + i, 1);
        else if (split->is_inside && split->word.size > 0)
            split_end(split);
    }
}

static int add_value(struct scan *s, const char *value, struct str *out)
{
    size_t size = strlen(value);

    if (size > s->budget)
        return error_set(s->err, E2BIG, "the result is larger than %u bytes", LIMIT_EXPANSION_SIZE);
    s->budget -= size;
    str_add_bytes(out, value, size);
    return 0;
}

static bool is_name_start(char c)
{
    return isalpha((unsigned char)c) || c == '_';
}

/* Reads a name, a row of digits or one special parameter; "" when there is none. */
static char *take_name(struct scan *s)
{
    const char *start = s->at;

    if (isdigit((unsigned char)*s->at))
        s->at += strspn(s->at, "0123456789");
    else if (*s->at && strchr("@*#?-$!", *s->at))
        s->at++;
    else
        while (is_name_start(*s->at) || isdigit((unsigned char)*s->at))
            s->at++;
    return mem_strndup(start, (size_t)(s->at - start));
}

/* One ${..} after its name: what stands between the modifier and the closing brace. */
struct braces {
    char *name;
    const char *value; /* NULL when unset */
    char modifier;     /* - + ? # % or / */
    bool is_colon;     /* an empty value counts as unset */
    struct str word;
};

static bool is_given(const struct braces *b)
{
    return b->value && !(b->is_colon && *b->value == '\0');
}

static int refuse_unset(struct scan *s, const struct braces *b)
{
    auto_free char *name = quote_bare(b->name);
    auto_free char *word = quote_bare(str_text(&b->word));

    if (b->word.size > 0)
        return error_set(s->err, EINVAL, "%s: %s", name, word);
    return error_set(s->err, EINVAL, "%s: is not allowed to be %s", name,
                     b->value ? "empty" : "unset");
}

static int trim(struct scan *s, const struct braces *b, struct str *out)
{
    const char *pattern = str_text(&b->word);
    bool longest = pattern[0] == b->modifier;
    const char *value = b->value ? b->value : "";
    auto_str struct str rest = {0};
    int r;

    pattern += longest;
    r = b->modifier == '#' ? expand_trim_start(pattern, value, longest, &rest, s->err)
                           : expand_trim_end(pattern, value, longest, &rest, s->err);
    return r < 0 ? r : add_value(s, str_text(&rest), out);
}

static int apply(struct scan *s, const struct braces *b, struct str *out)
{
    switch (b->modifier) {
    case '-':
        if (is_given(b))
            return add_value(s, b->value, out);
        str_add(out, str_text(&b->word));
        return 0;
    case '+':
        str_add(out, is_given(b) ? str_text(&b->word) : "");
        return 0;
    case '?':
        return is_given(b) ? add_value(s, b->value, out) : refuse_unset(s, b);
    default:
        return trim(s, b, out);
    }
}

/* Any failure at the end of the text is that of the missing `closing`, unless a limit was hit. */
static int expand_part(struct scan *s, char closing, bool is_pattern, struct str *out)
{
    bool outer = s->keep_escapes;
    int r;

    s->keep_escapes = is_pattern;
    r = expand_until(s, closing, out);
    s->keep_escapes = outer;
    if (r == -EINVAL && *s->at == '\0')
        s->fault = NULL; /* the substitution that is not closed is to blame */
    if (r == -EINVAL && *s->at == '\0' && closing == '}')
        return error_set(s->err, EINVAL, "syntax error: missing '}'");
    if (r == -EINVAL && *s->at == '\0')
        return error_set(s->err, EINVAL, "syntax error: missing '/' in ${}");
    return r;
}

static int expand_replacement(struct scan *s, struct braces *b, struct str *out)
{
    auto_str struct str replacement = {0};
    auto_str struct str result = {0};
    bool every = *s->at == '/';
    int r;

    s->at += every;
    r = expand_part(s, '/', true, &b->word);
    if (r == 0)
        r = expand_part(s, '}', true, &replacement);
    if (r < 0)
        return r;
    b->value = look_up(s, b->name);
    if (!b->value && s->how->keep_unset) {
        str_addf(out, "${%s/%s/%s}", b->name, str_text(&b->word), str_text(&replacement));
        return 0;
    }
    r = expand_replace(str_text(&b->word), str_text(&replacement), b->value ? b->value : "", every,
                       &s->budget, &result, s->err);
    return r < 0 ? r : add_value(s, str_text(&result), out);
}

static int refuse_modifier(struct scan *s, const struct braces *b)
{
    auto_free char *shown = NULL;
    auto_free char *modifier = NULL;
    size_t size = 1;

    if (*s->at == '\0')
        return error_set(s->err, EINVAL, "syntax error: missing '}'");
    while (((unsigned char)s->at[size] & 0xC0) == 0x80) /* the rest of a UTF-8 sequence */
        size++;
    modifier = mem_strndup(s->at, size);
    shown = quote_bare(modifier);
    s->fault = s->at;
    return error_set(s->err, EINVAL, "unsupported modifier (%s%s) in substitution",
                     b->is_colon ? ":" : "", shown);
}

/* `s->at` stands behind the name. */
static int expand_modifier(struct scan *s, struct braces *b, struct str *out)
{
    int r;

    b->is_colon = *s->at == ':';
    s->at += b->is_colon;
    if (*s->at == '/' && !b->is_colon) {
        s->at++;
        return expand_replacement(s, b, out);
    }
    if (*s->at == '\0' || !strchr("+-?#%", *s->at))
        return refuse_modifier(s, b);
    b->modifier = *s->at++;
    r = expand_part(s, '}', b->modifier == '#' || b->modifier == '%', &b->word);
    if (r < 0)
        return r;
    b->value = look_up(s, b->name);
    if (!b->value && s->how->keep_unset) {
        str_addf(out, "${%s%s%c%s}", b->name, b->is_colon ? ":" : "", b->modifier,
                 str_text(&b->word));
        return 0;
    }
    return apply(s, b, out);
}

/* `s->at` stands behind "${". */
static int expand_braces(struct scan *s, struct str *out)
{
    auto_free char *name = NULL;
    struct braces b = {0};
    int r;

    if (*s->at == '\0')
        return error_set(s->err, EINVAL, "syntax error: missing '}'");
    if (strchr("{}:", *s->at))
        return error_set(s->err, EINVAL, "syntax error: bad substitution");
    name = take_name(s);
    b.name = name;
    if (*s->at != '}') {
        r = expand_modifier(s, &b, out);
        str_release(&b.word);
        return r;
    }
    s->at++;
    b.value = look_up(s, name);
    if (!b.value && s->how->keep_unset)
        str_addf(out, "${%s}", name);
    return b.value ? add_value(s, b.value, out) : 0;
}

/* A failure is that of the innermost thing which began it. */
static int blame(struct scan *s, const char *start, int r)
{
    if (r < 0 && !s->fault)
        s->fault = start;
    return r;
}

static int expand_dollar(struct scan *s, struct str *out)
{
    auto_free char *name = NULL;
    const char *start = s->at++;
    const char *value;

    if (*s->at == '{') {
        s->at++;
        return blame(s, start, expand_braces(s, out));
    }
    name = take_name(s);
    if (*name == '\0') {
        str_add_char(out, '$');
        return 0;
    }
    value = look_up(s, name);
    if (!value && s->how->keep_unset)
        str_addf(out, "$%s", name);
    return value ? blame(s, start, add_value(s, value, out)) : 0;
}

static int expand_single_quotes(struct scan *s, struct str *out)
{
    const char *start = s->at + 1;
    const char *end = strchr(start, '\'');

    if (!end) {
        s->fault = s->at;
        s->at = start + strlen(start);
        return error_set(s->err, EINVAL,
                         "unexpected end of statement while looking for matching single-quote");
    }
    if (s->how->keep_quotes)
        str_add_bytes(out, s->at, (size_t)(end + 1 - s->at));
    else
        str_add_bytes(out, start, (size_t)(end - start));
    s->at = end + 1;
    return 0;
}

/* Inside double quotes an escape only takes away the meaning of " $ and itself. */
static void add_double_quoted(struct scan *s, struct str *out)
{
    char escape = s->how->escape;

    if (*s->at != escape) {
        str_add_char(out, *s->at++);
        return;
    }
    if (s->keep_escapes)
        str_add_char(out, escape);
    s->at++;
    if (*s->at == '"' || *s->at == '$' || *s->at == escape)
        str_add_char(out, *s->at++);
    else if (*s->at != '\0') /* at the end of the word it is dropped */
        str_add_char(out, escape);
}

static int expand_double_quotes(struct scan *s, struct str *out)
{
    const char *start = s->at;

    if (s->how->keep_quotes)
        str_add_char(out, '"');
    for (s->at++; *s->at != '"';) {
        int r = 0;

        if (*s->at == '\0') {
            s->fault = start;
            return error_set(s->err, EINVAL,
                             "unexpected end of statement while looking for matching double-quote");
        }
        if (*s->at == '$')
            r = expand_dollar(s, out);
        else
            add_double_quoted(s, out);
        if (r < 0)
            return r;
    }
    s->at++;
    if (s->how->keep_quotes)
        str_add_char(out, '"');
    return 0;
}

/* An escape and the character behind it; alone at the end it vanishes. */
static void expand_escape(struct scan *s, struct str *out)
{
    if (s->keep_escapes)
        str_add_char(out, *s->at);
    s->at++;
    if (*s->at != '\0')
        str_add_char(out, *s->at++);
}

/* Takes everything up to the next character with a meaning. */
static void expand_plain(struct scan *s, char stop, struct str *out)
{
    const char special[] = {'$', s->how->escape, '\'', '"', stop, '\0'};
    size_t size = strcspn(s->at, special);

    size += size == 0; /* a quote without a meaning */
    str_add_bytes(out, s->at, size);
    s->at += size;
}

/* One step of expand_until: what it adds to `out` is `out` from `before` on. */
static int expand_one(struct scan *s, char stop, struct str *out)
{
    bool quotes = !s->how->plain_quotes;
    struct splitter *split = s->depth == 1 ? s->split : NULL;
    size_t before = out->size;
    char c = *s->at;
    bool is_raw = true;
    int r = 0;

    if (c == '$') {
        r = expand_dollar(s, out);
        is_raw = false;
    } else if (c == '\'' && quotes) {
        r = expand_single_quotes(s, out);
    } else if (c == '"' && quotes) {
        r = expand_double_quotes(s, out);
    } else if (c == s->how->escape) {
        expand_escape(s, out);
    } else {
        expand_plain(s, stop, out);
        is_raw = false;
    }
    if (r == 0 && split && is_raw)
        split_raw(split, str_text(out) + before, out->size - before);
    else if (r == 0 && split)
        split_blanks(split, str_text(out) + before, out->size - before);
    return r;
}

/* Up to `stop`, which is taken, or to the end when it is NUL. */
static int expand_until(struct scan *s, char stop, struct str *out)
{
    int r = 0;

    if (s->depth >= DEPTH_MAX)
        return error_set(s->err, E2BIG, "substitutions are nested deeper than %u", DEPTH_MAX);
    s->depth++;
    while (*s->at != '\0' && *s->at != stop && r == 0)
        r = expand_one(s, stop, out);
    s->depth--;
    if (r < 0)
        return r;
    if (stop != '\0' && *s->at == '\0')
        return error_set(s->err, EINVAL,
                         "unexpected end of statement while looking for matching %c", stop);
    s->at += stop != '\0';
    return 0;
}

static int expand(const struct expand *how, const char *word, struct splitter *split,
                  struct str *out, struct expand_use *use, struct error *err)
{
    struct scan s = {
        .how = how,
        .at = word,
        .use = use,
        .split = split,
        .budget = LIMIT_EXPANSION_SIZE,
        .keep_escapes = how->keep_escapes,
        .err = err,
    };
    int r = expand_until(&s, '\0', out);
    auto_free char *shown = NULL;

    if (r == 0)
        return 0;
    if (how->fault_offset)
        *how->fault_offset = s.fault ? (size_t)(s.fault - word) : 0;
    shown = quote_word(word);
    return error_wrap(err, "failed to process %s", shown);
}

int expand_word(const struct expand *how, const char *word, struct str *out, struct expand_use *use,
                struct error *err)
{
    struct splitter none = {0};

    return expand(how, word, &none, out, use, err);
}

int expand_words(const struct expand *how, const char *text, struct strv *out,
                 struct expand_use *use, struct error *err)
{
    struct splitter split = {.out = out};
    auto_str struct str all = {0};
    int r = expand(how, text, &split, &all, use, err);

    if (r == 0)
        split_end(&split);
    str_release(&split.word);
    return r;
}

/* instruction_words.c - arguments as words: separated by blanks, as a JSON array, as name=value. */
#include <ctype.h>
#include <errno.h>

#include "builder/dockerfile/dockerfile_internal.h"
#include "builder/dockerfile/quote.h"
#include "fs/base/json.h"
#include "fs/base/limits.h"

#include "fs/base/banned.h"

void words_add(struct words *words, char *text, struct position at)
{
    struct word *word = array_add(words);

    word->text = text;
    word->at = at;
}

void words_release(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->items[i].text);
    free(words->items);
    *words = (struct words){0};
}

void words_copy(struct words *to, const struct words *from)
{
    for (size_t i = 0; i < from->count; i++)
        words_add(to, mem_strdup(from->items[i].text), from->items[i].at);
}

void words_split(struct parsing *p, const char *text, struct words *out)
{
    for (text = line_skip_blanks(text); *text; text = line_skip_blanks(text)) {
        const char *end = line_skip_word(text);

        words_add(out, mem_strndup(text, (size_t)(end - text)), line_position(p->line, text));
        text = end;
    }
}

/* Where the next value of an array begins; `at` is behind its bracket or behind the last value. */
static const char *next_element(const char *at)
{
    return at + strspn(at, " \t\r\n,");
}

/* The end of a value of an array that is known to be well formed. */
static const char *element_end(const char *at)
{
    unsigned depth = 0;
    bool is_quoted = false;

    for (; *at && (is_quoted || depth > 0 || !strchr(",]", *at)); at++) {
        if (*at == '"')
            is_quoted = !is_quoted;
        else if (is_quoted)
            at += *at == '\\' && at[1];
        else if (*at == '[' || *at == '{')
            depth++;
        else if (*at == ']' || *at == '}')
            depth--;
    }
    return at;
}

/* Whatever is no array in JSON belongs to a shell, like `[ -f x ] && y`. */
int json_words_parse(struct parsing *p)
{
    auto_json struct json *array = NULL;
    struct error ignored;
    const char *at;

    p->is_json = false;
    strv_release(&p->json);
    if (*p->args != '[' || json_parse(p->args, strlen(p->args), LIMIT_DOCKERFILE_SIZE, "arguments",
                                      &array, &ignored) < 0)
        return 0;
    at = next_element(p->args + 1);
    for (size_t i = 0; i < json_count(array); i++) {
        const char *text = json_text(json_at(array, i));

        if (!text)
            return parse_fail_plainly(
                p, at, "when using JSON array syntax, arrays must be comprised of strings only");
        strv_add(&p->json, text);
        at = next_element(element_end(at));
    }
    p->is_json = true;
    return 0;
}

void words_from_json(struct parsing *p, struct words *out)
{
    const char *at = next_element(p->args + 1);

    for (size_t i = 0; i < p->json.count; i++) {
        words_add(out, mem_strdup(p->json.items[i]), line_position(p->line, at + 1));
        at = next_element(element_end(at));
    }
}

/* The end of the word at `at`: blanks inside quotes or behind an escape belong to it. */
static const char *end_of_word(const char *at, char escape)
{
    char quote = '\0';

    for (; *at; at++) {
        if (*at == escape && quote != '\'') {
            if (at[1] == '\0')
                return at + 1;
            at++;
        } else if (*at == quote) {
            quote = '\0';
        } else if (quote == '\0') {
            if (isspace((unsigned char)*at))
                break;
            if (*at == '"' || *at == '\'')
                quote = *at;
        }
    }
    return at;
}

/* Copies a word; an escape that ends the text escapes nothing and is dropped. */
static char *copy_word(const char *start, const char *end, char escape)
{
    size_t size = (size_t)(end - start);
    size_t escapes = 0;

    while (escapes < size && *end == '\0' && end[-1 - (ptrdiff_t)escapes] == escape)
        escapes++;
    return mem_strndup(start, size - escapes % 2);
}

static int add_pair(struct parsing *p, struct pairs *out, const char *start, char *word)
{
    char *equals = strchr(word, '=');
    struct pair *pair;

    if (equals == word)
        return parse_fail(p, start, "%s names can not be blank", instruction_name(p->in->kind));
    pair = array_add(out);
    pair->at = line_position(p->line, start);
    pair->name = equals ? mem_strndup(word, (size_t)(equals - word)) : mem_strdup(word);
    pair->value = equals ? mem_strdup(equals + 1) : NULL;
    pair->value_at = line_position(p->line, equals ? start + (equals + 1 - word) : start);
    return 0;
}

/* NAME=a b: the second word was most likely meant to be of the value. */
static int refuse_word(struct parsing *p, const struct pairs *before, const char *at,
                       const char *word)
{
    const struct pair *last = &before->items[before->count - 1];
    auto_free char *shown = quote_word(word);
    auto_free char *name = quote_bare(last->name);
    int r = parse_fail_plainly(
        p, at, "Syntax error - can't find = in %s. Must be of the form: name=value", shown);

    (void)error_hint(p->err, "a value with blanks is quoted: %s=\"...\"", name); /* r is its code */
    return r;
}

/* ENV name the rest of the line. */
static int legacy_pair_parse(struct parsing *p, struct pairs *out)
{
    const char *name_end = line_skip_word(p->args);
    const char *value = line_skip_blanks(name_end);
    struct pair *pair;

    if (*value == '\0')
        return parse_fail_plainly(p, value, "%s must have two arguments",
                                  instruction_name(p->in->kind));
    pair = array_add(out);
    pair->at = line_position(p->line, p->args);
    pair->name = mem_strndup(p->args, (size_t)(name_end - p->args));
    pair->value = mem_strdup(value);
    pair->value_at = line_position(p->line, value);
    p->in->is_legacy_pair = true;
    return 0;
}

int pairs_parse(struct parsing *p, struct pairs *out)
{
    bool is_arg = p->in->kind == INSTRUCTION_ARG;
    const char *at = p->args;

    if (*at == '\0')
        return parse_fail(p, at, "%s requires at least one argument",
                          instruction_name(p->in->kind));
    while (*at) {
        const char *end = end_of_word(at, p->escape);
        auto_free char *word = copy_word(at, end, p->escape);
        int r;

        if (!is_arg && !strchr(word, '='))
            return out->count == 0 ? legacy_pair_parse(p, out) : refuse_word(p, out, at, word);
        r = *word ? add_pair(p, out, at, word) : 0;
        if (r < 0)
            return r;
        for (at = end; isspace((unsigned char)*at);)
            at++;
    }
    return 0;
}

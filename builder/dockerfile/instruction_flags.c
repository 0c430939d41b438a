/* instruction_flags.c - --name=value in front of the arguments, and which instruction knows which
 * (Dockerfile reference). What a value means is decided in instruction_parse.c.
 */
#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "builder/dockerfile/dockerfile_internal.h"
#include "builder/dockerfile/quote.h"

#include "fs/base/banned.h"

enum flag_type { FLAG_TEXT, FLAG_TEXTS, FLAG_BOOL };

struct known_flag {
    enum instruction_kind kind;
    const char *name;
    enum flag_type type;
};

static const struct known_flag known_flags[] = {
    {INSTRUCTION_ADD, "chown", FLAG_TEXT},
    {INSTRUCTION_ADD, "chmod", FLAG_TEXT},
    {INSTRUCTION_ADD, "link", FLAG_BOOL},
    {INSTRUCTION_ADD, "keep-git-dir", FLAG_BOOL},
    {INSTRUCTION_ADD, "checksum", FLAG_TEXT},
    {INSTRUCTION_ADD, "unpack", FLAG_BOOL},
    {INSTRUCTION_ADD, "exclude", FLAG_TEXTS},
    {INSTRUCTION_COPY, "chown", FLAG_TEXT},
    {INSTRUCTION_COPY, "chmod", FLAG_TEXT},
    {INSTRUCTION_COPY, "link", FLAG_BOOL},
    {INSTRUCTION_COPY, "from", FLAG_TEXT},
    {INSTRUCTION_COPY, "parents", FLAG_BOOL},
    {INSTRUCTION_COPY, "exclude", FLAG_TEXTS},
    {INSTRUCTION_FROM, "platform", FLAG_TEXT},
    {INSTRUCTION_HEALTHCHECK, "interval", FLAG_TEXT},
    {INSTRUCTION_HEALTHCHECK, "timeout", FLAG_TEXT},
    {INSTRUCTION_HEALTHCHECK, "start-period", FLAG_TEXT},
    {INSTRUCTION_HEALTHCHECK, "start-interval", FLAG_TEXT},
    {INSTRUCTION_HEALTHCHECK, "retries", FLAG_TEXT},
    {INSTRUCTION_RUN, "mount", FLAG_TEXTS},
    {INSTRUCTION_RUN, "network", FLAG_TEXT},
    {INSTRUCTION_RUN, "security", FLAG_TEXT},
    {INSTRUCTION_RUN, "device", FLAG_TEXTS},
};
#define KNOWN_FLAGS (sizeof(known_flags) / sizeof(known_flags[0]))

char *word_unquote(const char *text)
{
    struct str out = {0};
    char quote = '\0';

    for (; *text; text++) {
        if (quote == '\0' && (*text == '"' || *text == '\''))
            quote = *text;
        else if (*text == quote)
            quote = '\0';
        else if (*text == '\\' && quote != '\'' && text[1])
            str_add_char(&out, *++text);
        else
            str_add_char(&out, *text);
    }
    return str_take(&out);
}

/* The end of the word at `at`, where blanks may be quoted or escaped; NULL for an open quote. */
static const char *end_of_flag(const char *at)
{
    char quote = '\0';

    for (; *at; at++) {
        if (*at == '\\' && quote != '\'' && at[1])
            at++;
        else if (quote == '\0' && isspace((unsigned char)*at))
            break;
        else if (quote == '\0' && (*at == '"' || *at == '\''))
            quote = *at;
        else if (*at == quote)
            quote = '\0';
    }
    return quote == '\0' ? at : NULL;
}

static void add_flag(struct parsing *p, const char *start, const char *end)
{
    const char *equals = memchr(start, '=', (size_t)(end - start));
    const char *name_end = equals ? equals : end;
    struct flag *flag = array_add(&p->in->flags);

    flag->name = mem_strndup(start + 2, (size_t)(name_end - start) - 2);
    flag->has_value = equals != NULL;
    flag->value = equals ? mem_strndup(equals + 1, (size_t)(end - equals) - 1) : mem_strdup("");
    flag->value_offset = (size_t)((equals ? equals + 1 : end) - str_text(&p->line->text));
    flag->at = line_position(p->line, start);
    flag->value_at = line_position(p->line, equals ? equals + 1 : end);
}

static int fail_at(struct parsing *p, const struct flag *flag, int r)
{
    p->fault = flag->at;
    return r;
}

int fail_at_value(struct parsing *p, const struct flag *flag, int r)
{
    p->fault = flag->value_at;
    return r;
}

static int refuse_unknown(struct parsing *p, const struct flag *flag)
{
    const char *names[KNOWN_FLAGS];
    size_t count = 0;
    auto_free char *shown = quote_bare(flag->name);
    const char *suggestion;
    int r;

    for (size_t i = 0; i < KNOWN_FLAGS; i++)
        if (known_flags[i].kind == p->in->kind)
            names[count++] = known_flags[i].name;
    suggestion = text_suggest(flag->name, names, count);
    if (suggestion)
        return fail_at(
            p, flag,
            parse_fail(p, NULL, "unknown flag: --%s (did you mean %s?)", shown, suggestion));
    r = parse_fail(p, NULL, "unknown flag: --%s", shown);
    if (p->in->kind == INSTRUCTION_FROM && text_equal(flag->name, "after"))
        (void)error_hint(p->err, "stages are ordered by what they need of each other, so --after "
                                 "of buildah can be left out"); /* r is the same code */
    return fail_at(p, flag, r);
}

static bool is_bool(const char *value)
{
    return strcasecmp(value, "true") == 0 || strcasecmp(value, "false") == 0;
}

static int check_flag(struct parsing *p, size_t index)
{
    const struct flag *flag = &p->in->flags.items[index];
    const struct known_flag *known = NULL;
    auto_free char *value = NULL;

    for (size_t i = 0; i < KNOWN_FLAGS && !known; i++)
        if (known_flags[i].kind == p->in->kind && text_equal(known_flags[i].name, flag->name))
            known = &known_flags[i];
    if (!known)
        return refuse_unknown(p, flag);
    for (size_t i = 0; i < index && known->type != FLAG_TEXTS; i++)
        if (text_equal(p->in->flags.items[i].name, flag->name))
            return fail_at(p, flag,
                           parse_fail(p, NULL, "duplicate flag specified: --%s", flag->name));
    if (known->type != FLAG_BOOL ? !flag->has_value : flag->has_value && *flag->value == '\0')
        return fail_at_value(p, flag,
                             parse_fail(p, NULL, "missing a value on flag: --%s", flag->name));
    value = word_unquote(flag->value);
    if (known->type == FLAG_BOOL && flag->has_value && !is_bool(value)) {
        auto_free char *shown = quote_bare(flag->value);

        return fail_at_value(p, flag,
                             parse_fail(p, NULL, "expecting boolean value for flag --%s, not: %s",
                                        flag->name, shown));
    }
    return 0;
}

int flags_parse(struct parsing *p)
{
    const char *at = line_skip_blanks(p->args);

    while (at[0] == '-' && at[1] == '-') {
        const char *end = end_of_flag(at);
        bool is_end = end == at + 2;
        int r;

        if (!end)
            return parse_fail_plainly(p, at,
                                      "unexpected end of statement while looking for the quote "
                                      "that ends a flag");
        if (is_end) {
            at = line_skip_blanks(end);
            break;
        }
        add_flag(p, at, end);
        r = check_flag(p, p->in->flags.count - 1);
        if (r < 0)
            return r;
        at = line_skip_blanks(end);
    }
    p->args = at;
    return 0;
}

/* dockerfile_directive.c - `# escape=`, `# syntax=` and `# check=` at the top of a Dockerfile.
 *
 * They end at the first line that is none (Dockerfile reference, "Parser directives"). A frontend
 * named by `# syntax=` is never run: the built-in one stands for all releases of docker/dockerfile,
 * any other is refused (SECURITY R51).
 */
#include <ctype.h>
#include <errno.h>

#include "builder/dockerfile/dockerfile_internal.h"
#include "builder/dockerfile/quote.h"
#include "fs/base/json.h"
#include "fs/base/limits.h"

#include "fs/base/banned.h"

enum directive_kind { DIRECTIVE_ESCAPE, DIRECTIVE_SYNTAX, DIRECTIVE_CHECK, DIRECTIVE_KINDS };

static const char *const names[DIRECTIVE_KINDS] = {"escape", "syntax", "check"};

struct directives {
    char *values[DIRECTIVE_KINDS];       /* NULL: not given */
    struct position at[DIRECTIVE_KINDS]; /* of the value */
};

static void directives_release(struct directives *d)
{
    for (size_t i = 0; i < DIRECTIVE_KINDS; i++)
        free(d->values[i]);
}
DEFINE_CLEANUP_VALUE(directives_release, struct directives)

static char *copy_line(const char *bytes, size_t size)
{
    while (size > 0 && isspace((unsigned char)bytes[size - 1]))
        size--;
    return mem_strndup(bytes, size);
}

static const char *skip_spaces(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

/* Splits "key = value" behind the comment mark; DIRECTIVE_KINDS when it is nothing of the kind. */
static enum directive_kind split(const char *text, const char **value)
{
    const char *key = skip_spaces(text);
    size_t size = isalpha((unsigned char)*key) ? 1 : 0;

    while (size > 0 && isalnum((unsigned char)key[size]))
        size++;
    *value = skip_spaces(key + size);
    if (**value != '=')
        return DIRECTIVE_KINDS;
    *value = skip_spaces(*value + 1);
    if (**value == '\0')
        return DIRECTIVE_KINDS;
    for (size_t i = 0; i < DIRECTIVE_KINDS; i++)
        if (strlen(names[i]) == size && strncasecmp(key, names[i], size) == 0)
            return (enum directive_kind)i;
    return DIRECTIVE_KINDS;
}

/* Collects the directives behind `mark`, "#" or "//"; `*end` is the line of the last one. */
static int collect(const struct dockerfile *df, const char *mark, struct directives *out,
                   unsigned *end, struct position *fault, struct error *err)
{
    struct source source = {.text = df->source, .size = df->source_size};
    bool has_shebang = df->source_size > 1 && memcmp(df->source, "#!", 2) == 0;
    const char *bytes;
    size_t size;
    size_t full_size;

    while (source_next(&source, &bytes, &size, &full_size, err) > 0) {
        auto_free char *line = copy_line(bytes, size);
        const char *text = skip_spaces(line);
        enum directive_kind kind;
        const char *value;

        if (has_shebang && source.line == 1)
            continue;
        kind = text_starts(text, mark) ? split(text + strlen(mark), &value) : DIRECTIVE_KINDS;
        /* The peer's lexer has stopped looking behind a "#!" line, its search for the others not. */
        if (kind == DIRECTIVE_KINDS || (kind == DIRECTIVE_ESCAPE && has_shebang))
            break;
        *fault = (struct position){source.line, 1};
        if (out->values[kind])
            return error_set(err, EINVAL, "only one %s parser directive can be used", names[kind]);
        out->values[kind] = mem_strdup(value);
        out->at[kind] = (struct position){source.line, (unsigned)(value - line) + 1};
        *end = source.line;
    }
    *fault = (struct position){0};
    error_clear(err); /* a line that is too long is met again, and reported, by the lexer */
    return 0;
}

/* {"syntax": ".."}, for files which are no Dockerfiles at all. */
static void collect_json(const struct dockerfile *df, struct directives *out)
{
    auto_json struct json *document = NULL;
    struct error ignored; /* it is a Dockerfile then */
    const char *value;

    if (df->source_size == 0 || df->source[0] != '{' ||
        json_parse(df->source, df->source_size, LIMIT_DOCKERFILE_SIZE, "", &document, &ignored) < 0)
        return;
    value = json_get_text(document, "syntax");
    if (value)
        out->values[DIRECTIVE_SYNTAX] = mem_strdup(value);
}

static int set_escape(struct dockerfile *df, const char *value, struct error *err)
{
    auto_free char *shown = quote_bare(value);

    if (!text_equal(value, "\\") && !text_equal(value, "`"))
        return error_set(err, EINVAL, "invalid escape token '%s' does not match ` or \\", shown);
    df->escape = value[0];
    return 0;
}

/* docker/dockerfile and its pre-release twin, from any registry, at any version. */
static bool is_built_in(const char *name)
{
    static const char *const repositories[] = {"docker/dockerfile", "docker/dockerfile-upstream"};
    const char *last = strstr(name, "docker/dockerfile");

    if (text_equal(name, "dockerfile.v0"))
        return true;
    if (!last || (last != name && last[-1] != '/'))
        return false;
    for (size_t i = 0; i < 2; i++) {
        size_t size = strlen(repositories[i]);

        if (strncmp(last, repositories[i], size) == 0 && strchr(":@", last[size]))
            return true; /* strchr finds the end of the text too */
    }
    return false;
}

static int set_syntax(struct dockerfile *df, const char *value, unsigned line, struct error *err)
{
    auto_free char *name = mem_strndup(value, strcspn(value, " "));
    auto_free char *shown = NULL;

    if (!is_built_in(name)) {
        shown = quote_bare(name);
        error_set(err, EINVAL,
                  "the frontend '%s' cannot be used, only docker/dockerfile is built in", shown);
        return error_hint(err, "remove the syntax directive if the file is an ordinary Dockerfile");
    }
    df->syntax = STEAL(&name);
    df->syntax_line = line;
    return 0;
}

static int set_check(struct dockerfile *df, const char *value, struct error *err)
{
    return check_config_parse(value, &df->check, err);
}

int dockerfile_directives(struct dockerfile *df, const struct dockerfile_options *options,
                          unsigned *end, struct position *fault, struct error *err)
{
    static const struct position nowhere = {0};
    __attribute__((cleanup(cleanup_directives_release))) struct directives d = {0};
    const char *syntax;
    const char *check;
    unsigned ignored_end = 0;
    int r;

    *end = 0;
    r = collect(df, "#", &d, end, fault, err);
    if (r == 0 && !d.values[DIRECTIVE_SYNTAX] && df->source_size > 1 && df->source[0] == '/')
        r = collect(df, "//", &d, &ignored_end, fault, err);
    if (r < 0)
        return r;
    if (!d.values[DIRECTIVE_SYNTAX])
        collect_json(df, &d);
    syntax = options->syntax && *options->syntax ? options->syntax : d.values[DIRECTIVE_SYNTAX];
    check = options->check ? options->check : d.values[DIRECTIVE_CHECK];
    *fault = d.at[DIRECTIVE_ESCAPE];
    if (d.values[DIRECTIVE_ESCAPE])
        r = set_escape(df, d.values[DIRECTIVE_ESCAPE], err);
    if (r == 0 && syntax) {
        *fault = syntax == options->syntax ? nowhere : d.at[DIRECTIVE_SYNTAX];
        r = set_syntax(df, syntax, fault->line, err);
    }
    if (r == 0 && check) {
        *fault = check == options->check ? nowhere : d.at[DIRECTIVE_CHECK];
        r = set_check(df, check, err);
    }
    return r;
}

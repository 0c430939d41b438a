/* options.c - the one parser of command lines, and the help it gives. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/text.h"
#include "fs/base/log.h"

#include "fs/base/banned.h"

#define HELP_COLUMNS 80u
#define HELP_COLUMNS_MAX 100u /* longer lines are hard to read */
#define HELP_INDENT 34u       /* where what is said of an option begins */
#define HELP_INDENT_NARROW 10u

static bool has_name(const struct option *o, const char *name, size_t size)
{
    return strlen(o->name) == size && strncmp(o->name, name, size) == 0;
}

/* By long name, or by letter when `name` is NULL. What is the command's own comes first. */
static const struct option *find(const struct command_line *line, const char *name, size_t size,
                                 char letter, const struct option_set **set)
{
    for (size_t i = 0; i < line->set_count * 2; i++) {
        const struct option_set *s = &line->sets[i % line->set_count];
        const struct option *options = s->options;
        size_t count = s->count;

        if (i >= line->set_count && s->foreign == NULL)
            continue;
        if (i >= line->set_count)
            options = s->foreign(&count);
        for (size_t k = 0; k < count; k++)
            if (name != NULL ? has_name(&options[k], name, size) : options[k].letter == letter) {
                *set = s;
                return &options[k];
            }
    }
    return NULL;
}

static const struct option *find_long(const struct command_line *line, const char *name,
                                      size_t size, const struct option_set **set)
{
    return find(line, name, size, 0, set);
}

static const struct option *find_letter(const struct command_line *line, char letter,
                                        const struct option_set **set)
{
    return find(line, NULL, 0, letter, set);
}

static int unknown(const struct command_line *line, const char *name, struct error *err)
{
    const char *names[256];
    size_t count = 0;
    const char *near;

    for (size_t i = 0; i < line->set_count; i++)
        for (size_t k = 0; k < line->sets[i].count && count < 256; k++)
            if (line->sets[i].options[k].help != NULL)
                names[count++] = line->sets[i].options[k].name;
    near = text_suggest(name, names, count);
    error_set(err, EINVAL, "unknown option '--%s' for 'img %s'", name, line->command);
    if (near != NULL)
        return error_hint(err, "did you mean '--%s'?", near);
    return error_hint(err, "`img %s --help` lists them", line->command);
}

static void *field(const struct option_set *set, const struct option *o)
{
    return (char *)set->values + o->offset;
}

static int set_flag(const struct option_set *set, const struct option *o, const char *value,
                    struct error *err)
{
    static const char *const yes[] = {"true", "1", "t", "yes"};
    static const char *const no[] = {"false", "0", "f", "no"};
    bool *flag = field(set, o);

    if (value == NULL) {
        *flag = true;
        return 0;
    }
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
            *flag = strcmp(value, yes[i]) == 0;
            return 0;
        }
    }
    return error_set(err, EINVAL, "option '--%s' takes true or false, not '%s'", o->name, value);
}

/* `value` is what stood behind '=' or the letter, NULL when nothing did. */
static int apply(struct command_line *line, const struct option_set *set, const struct option *o,
                 const char *value, struct error *err)
{
    if (o->refused != NULL)
        return error_set(err, EINVAL, "option '--%s' is not supported: %s", o->name, o->refused);
    if (o->kind == OPTION_FLAG && o->ignored == NULL)
        return set_flag(set, o, value, err);
    if (o->kind != OPTION_FLAG && value == NULL && o->fallback != NULL)
        value = o->fallback;
    if (o->kind != OPTION_FLAG && value == NULL) {
        if (line->position + 1 >= line->argc)
            return error_set(err, EINVAL, "option '--%s' needs a value (%s)", o->name, o->argument);
        value = line->argv[++line->position];
    }
    if (o->ignored != NULL) {
        log_warn("option '--%s' has no effect: %s", o->name, o->ignored);
        return 0;
    }
    if (o->kind == OPTION_TEXT)
        *(const char **)field(set, o) = value;
    else
        strv_add(field(set, o), value);
    return 0;
}

static int parse_long(struct command_line *line, const char *text, struct error *err)
{
    size_t size = strcspn(text, "=");
    const char *value = text[size] == '=' ? text + size + 1 : NULL;
    auto_free char *name = mem_strndup(text, size);
    const struct option_set *set;
    const struct option *o = find_long(line, text, size, &set);

    if (o != NULL)
        return apply(line, set, o, value, err);
    if (strcmp(name, "help") == 0) {
        line->help = true;
        return 0;
    }
    return unknown(line, name, err);
}

static int parse_letters(struct command_line *line, const char *letters, struct error *err)
{
    const struct option_set *set;
    const struct option *o;

    /* Early versions had -build-arg and -state: a whole known name is that, not letters. */
    o = find_long(line, letters, strcspn(letters, "="), &set);
    if (o != NULL && letters[1] != '\0') {
        log_warn("'-%s' is deprecated, write '--%s'", o->name, o->name);
        return parse_long(line, letters, err);
    }
    for (; *letters != '\0'; letters++) {
        int r;

        o = find_letter(line, *letters, &set);
        if (o == NULL && *letters == 'h') {
            line->help = true;
            continue;
        }
        if (o == NULL) {
            error_set(err, EINVAL, "unknown option '-%c' for 'img %s'", *letters, line->command);
            return error_hint(err, "`img %s --help` lists them", line->command);
        }
        if (o->kind == OPTION_FLAG && letters[1] != '=') {
            r = apply(line, set, o, NULL, err);
            if (r < 0)
                return r;
            continue;
        }
        letters++;
        if (*letters == '=')
            letters++;
        return apply(line, set, o, *letters == '\0' ? NULL : letters, err);
    }
    return 0;
}

int options_parse(struct command_line *line, struct error *err)
{
    bool ended = false;

    for (line->position = 0; line->position < line->argc; line->position++) {
        const char *word = line->argv[line->position];
        int r = 0;

        if (ended || word[0] != '-' || word[1] == '\0') {
            if (line->operands == NULL)
                break;
            strv_add(line->operands, word);
        } else if (strcmp(word, "--") == 0) {
            ended = true;
        } else if (word[1] == '-') {
            r = parse_long(line, word + 2, err);
        } else {
            r = parse_letters(line, word + 1, err);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

void options_release(const struct option_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->options[i].kind == OPTION_LIST)
            strv_release(field(set, &set->options[i]));
}

size_t options_help_columns(void)
{
    size_t columns = text_terminal_columns(STDOUT_FILENO, HELP_COLUMNS);

    return columns > HELP_COLUMNS_MAX ? HELP_COLUMNS_MAX : columns;
}

void options_help_line(const struct option *o, struct str *out)
{
    size_t columns = options_help_columns();
    size_t indent = columns < HELP_COLUMNS ? HELP_INDENT_NARROW : HELP_INDENT;
    auto_str struct str left = {0};

    if (o->letter != 0)
        str_addf(&left, "  -%c, --%s", o->letter, o->name);
    else
        str_addf(&left, "      --%s", o->name);
    if (o->argument != NULL)
        str_addf(&left, "%s%s%s", o->fallback != NULL ? "[=" : " ", o->argument,
                 o->fallback != NULL ? "]" : "");
    str_addf(out, "%-*s", (int)indent, str_text(&left));
    if (left.size >= indent)
        str_addf(out, "\n%*s", (int)indent, "");
    text_fill(out, o->help, indent, columns);
    str_add_char(out, '\n');
}

void options_help(const struct subcommand *c, struct str *out)
{
    size_t columns = options_help_columns();

    str_addf(out, "Usage: img %s%s%s%s\n\n", c->name, c->option_count > 0 ? " [OPTIONS]" : "",
             c->operands[0] == '\0' ? "" : " ", c->operands);
    text_fill(out, c->summary, 0, columns);
    if (c->details != NULL) {
        str_add(out, "\n\n");
        text_fill(out, c->details, 0, columns);
    }
    str_add_char(out, '\n');
    if (c->aliases != NULL)
        str_addf(out, "\nAliases: %s\n", c->aliases);
    if (c->option_count == 0)
        return;
    str_add(out, "\nOptions:\n");
    for (size_t i = 0; i < c->option_count; i++)
        if (c->options[i].help != NULL)
            options_help_line(&c->options[i], out);
}

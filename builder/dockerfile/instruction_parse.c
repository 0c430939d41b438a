/* instruction_parse.c - one joined line becomes one instruction (Dockerfile reference).
 *
 * A table maps each keyword to the function that reads its arguments. Nothing is expanded here.
 */
#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "builder/dockerfile/dockerfile_internal.h"
#include "builder/dockerfile/quote.h"

#include "fs/base/banned.h"

static int fail(struct parsing *p, const char *at, const char *prefix, const char *fmt,
                va_list args) __attribute__((format(printf, 4, 0)));

static int fail(struct parsing *p, const char *at, const char *prefix, const char *fmt,
                va_list args)
{
    auto_str struct str text = {0};

    str_vaddf(&text, fmt, args);
    if (at)
        p->fault = line_position(p->line, at);
    return error_set(p->err, EINVAL, "%s%s", prefix, str_text(&text));
}

int parse_fail(struct parsing *p, const char *at, const char *fmt, ...)
{
    auto_free char *prefix = str_format("dockerfile parse error on line %u: ", p->line->first);
    va_list args;
    int r;

    va_start(args, fmt);
    r = fail(p, at, prefix, fmt, args);
    va_end(args);
    return r;
}

int parse_fail_plainly(struct parsing *p, const char *at, const char *fmt, ...)
{
    va_list args;
    int r;

    va_start(args, fmt);
    r = fail(p, at, "", fmt, args);
    va_end(args);
    return r;
}

static const char *name_of(const struct parsing *p)
{
    return instruction_name(p->in->kind);
}

/* The value of a flag that takes no variables; NULL when it is absent or empty. */
static char *flag_value(const struct parsing *p, const char *name)
{
    const struct flag *flag = instruction_flag(p->in, name);

    return flag && *flag->value ? word_unquote(flag->value) : NULL;
}

static enum toggle flag_toggle(const struct parsing *p, const char *name)
{
    const struct flag *flag = instruction_flag(p->in, name);
    auto_free char *value = flag ? word_unquote(flag->value) : NULL;

    if (!flag)
        return TOGGLE_UNSET;
    return flag->has_value && strcasecmp(value, "false") == 0 ? TOGGLE_OFF : TOGGLE_ON;
}

/* A flag whose variables are replaced later: quotes and escapes stay. */
static struct word flag_word(const struct parsing *p, const char *name)
{
    const struct flag *flag = instruction_flag(p->in, name);

    if (!flag || *flag->value == '\0')
        return (struct word){0};
    return (struct word){.text = mem_strdup(flag->value), .at = flag->value_at};
}

/* What the comment block above says of `name`: the rest of the line that starts with it. */
static char *description(const struct parsing *p, const char *name)
{
    size_t size = name ? strlen(name) : 0;
    const struct strv *comments = &p->line->comments;

    for (size_t i = 0; name && i < comments->count; i++)
        if (strncmp(comments->items[i], name, size) == 0 && comments->items[i][size] == ' ')
            return mem_strdup(comments->items[i] + size + 1);
    return NULL;
}

static bool is_stage_name(const char *name)
{
    return islower((unsigned char)*name) &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] == '\0';
}

static int parse_stage_name(struct parsing *p, const struct words *words)
{
    struct from *from = &p->in->from;
    auto_free char *shown = quote_word(words->items[2].text);

    from->name_written = mem_strdup(words->items[2].text);
    from->as_written = mem_strdup(words->items[1].text);
    from->name = (struct word){.text = mem_strdup(words->items[2].text), .at = words->items[2].at};
    for (char *c = from->name.text; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (is_stage_name(from->name.text))
        return 0;
    p->fault = words->items[2].at;
    return parse_fail(p, NULL,
                      "invalid name for build stage: %s, name can't start with a number or "
                      "contain symbols",
                      shown);
}

/* The word that is one too many, or is not AS; or the end, where one is missing. */
static int refuse_from(struct parsing *p, const struct words *words)
{
    bool has_as = words->count > 1 && strcasecmp(words->items[1].text, "as") == 0;
    size_t index = has_as ? 3 : 1;

    (void)parse_fail(p, p->args + strlen(p->args), "FROM requires either one or three arguments");
    if (index < words->count)
        p->fault = words->items[index].at;
    return -EINVAL;
}

static int parse_from(struct parsing *p)
{
    struct from *from = &p->in->from;
    __attribute__((cleanup(words_release))) struct words words = {0};
    int r = 0;

    words_split(p, p->args, &words);
    if (words.count == 3 && strcasecmp(words.items[1].text, "as") == 0)
        r = parse_stage_name(p, &words);
    else if (words.count != 1)
        return refuse_from(p, &words);
    from->image = (struct word){.text = mem_strdup(words.items[0].text), .at = words.items[0].at};
    from->platform = flag_word(p, "platform");
    from->comment = description(p, from->name.text);
    return r;
}

static void command_read(struct parsing *p, struct command *out)
{
    out->is_exec = p->is_json;
    if (p->is_json)
        strv_copy(&out->words, &p->json);
    else if (*p->args)
        strv_add(&out->words, p->args);
}

static int parse_command(struct parsing *p)
{
    int r = json_words_parse(p);

    if (r == 0)
        command_read(p, &p->in->command);
    return r;
}

static int parse_shell(struct parsing *p)
{
    int r = parse_command(p);

    if (r < 0)
        return r;
    if (p->in->command.words.count == 0)
        return parse_fail(p, p->args, "SHELL requires at least one argument");
    if (!p->is_json)
        return parse_fail(p, p->args, "SHELL requires the arguments to be in JSON form");
    return 0;
}

static int parse_mounts(struct parsing *p)
{
    const struct expand how = {.escape = p->escape};

    for (size_t i = 0; i < p->in->flags.count; i++) {
        const struct flag *flag = &p->in->flags.items[i];
        struct run_mount mount = {0};
        int r;

        if (!text_equal(flag->name, "mount"))
            continue;
        r = run_mount_parse(flag->value, &how, NULL, &mount, p->err);
        if (r < 0) {
            p->fault = line_position(p->line, str_text(&p->line->text) + flag->value_offset +
                                                  mount.fault_offset);
            return r;
        }
        mount.line = flag->value_at.line;
        mount.column = flag->value_at.column;
        *(struct run_mount *)array_add(&p->in->run.mounts) = mount;
    }
    return 0;
}

/* name, name=..., required: a name may itself hold an equals sign. */
static int parse_device(struct parsing *p, const struct flag *flag, struct run_device *out)
{
    auto_free char *value = word_unquote(flag->value);
    char *at = value;

    for (char *field; (field = strsep(&at, ","));) {
        bool is_named = text_starts(field, "name=");

        if (text_equal(field, "required") || text_equal(field, "required=true")) {
            out->is_required = true;
        } else if (text_equal(field, "required=false")) {
            out->is_required = false;
        } else if (!out->name) {
            out->name = mem_strdup(field + (is_named ? strlen("name=") : 0));
        } else {
            auto_free char *shown = quote_bare(field);

            return fail_at_value(
                p, flag,
                parse_fail(p, NULL, "unexpected field '%s' in the value of --device", shown));
        }
    }
    if (out->name && *out->name)
        return 0;
    return fail_at_value(p, flag, parse_fail(p, NULL, "--device names no device"));
}

static int parse_devices(struct parsing *p)
{
    struct run *run = &p->in->run;

    for (size_t i = 0; i < p->in->flags.count; i++) {
        const struct flag *flag = &p->in->flags.items[i];
        int r;

        if (!text_equal(flag->name, "device"))
            continue;
        run->devices = array_grow(run->devices, run->device_count, &run->device_capacity,
                                  sizeof(*run->devices));
        r = parse_device(p, flag, &run->devices[run->device_count++]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* One of a closed list; anything else is an error (SECURITY R52). */
static int parse_choice(struct parsing *p, const char *flag_name, const char *const *choices,
                        size_t count, size_t *out)
{
    const struct flag *flag = instruction_flag(p->in, flag_name);
    auto_free char *value = flag ? word_unquote(flag->value) : NULL;
    auto_free char *shown = flag ? quote_word(value) : NULL;
    const char *suggestion;

    *out = 0;
    for (size_t i = 0; value && i < count; i++) {
        if (text_equal(value, choices[i])) {
            *out = i;
            return 0;
        }
    }
    if (!flag)
        return 0;
    suggestion = text_suggest(value, choices, count);
    return fail_at_value(p, flag,
                         parse_fail(p, NULL, "invalid %s mode %s%s%s%s", flag_name, shown,
                                    suggestion ? " (did you mean " : "",
                                    suggestion ? suggestion : "", suggestion ? "?)" : ""));
}

static int parse_run(struct parsing *p)
{
    static const char *const networks[] = {"default", "none", "host"};
    static const char *const securities[] = {"sandbox", "insecure"};
    size_t choice;
    int r = parse_mounts(p);

    command_read(p, &p->in->run.command);
    if (r == 0)
        r = parse_devices(p);
    if (r == 0)
        r = parse_choice(p, "network", networks, 3, &choice);
    if (r < 0)
        return r;
    p->in->run.network = (enum run_network)choice;
    r = parse_choice(p, "security", securities, 2, &choice);
    p->in->run.security = (enum run_security)choice;
    return r;
}

static const struct heredoc *find_heredoc(const struct instruction *in, const char *name)
{
    for (size_t i = in->heredocs.count; i-- > 0;)
        if (text_equal(in->heredocs.items[i].name, name))
            return &in->heredocs.items[i];
    return NULL;
}

/* A source is a path, or a heredoc whose text was read with the line. */
static void add_source(struct parsing *p, const struct word *word)
{
    struct copy *copy = &p->in->copy;
    struct heredoc doc = {0};
    const struct heredoc *found = NULL;
    struct copy_content *content;

    if (!p->is_json && heredoc_parse_word(word->text, &doc))
        found = find_heredoc(p->in, doc.name);
    free(doc.name);
    if (!found) {
        words_add(&copy->sources, mem_strdup(word->text), word->at);
        return;
    }
    copy->contents = array_grow(copy->contents, copy->content_count, &copy->content_capacity,
                                sizeof(*copy->contents));
    content = &copy->contents[copy->content_count++];
    content->name = mem_strdup(found->name);
    content->data = heredoc_text(found);
    content->expand = found->expand;
    content->at = word->at;
    content->line_first = found->line_first;
}

static int copy_flags(struct parsing *p)
{
    struct copy *copy = &p->in->copy;
    const struct flag *from = instruction_flag(p->in, "from");

    copy->chown = flag_word(p, "chown");
    copy->chmod = flag_word(p, "chmod");
    copy->checksum = flag_word(p, "checksum");
    copy->link = flag_toggle(p, "link");
    copy->parents = flag_toggle(p, "parents");
    copy->keep_git_dir = flag_toggle(p, "keep-git-dir");
    copy->unpack = flag_toggle(p, "unpack");
    for (size_t i = 0; i < p->in->flags.count; i++) {
        const struct flag *flag = &p->in->flags.items[i];

        if (text_equal(flag->name, "exclude") && *flag->value)
            words_add(&copy->excludes, mem_strdup(flag->value), flag->value_at);
    }
    if (!from)
        return 0;
    copy->from = (struct word){.text = flag_value(p, "from"), .at = from->value_at};
    if (!strchr(from->value, '$'))
        return 0;
    return fail_at_value(
        p, from,
        parse_fail_plainly(p, NULL,
                           "variable expansion is not supported for --from, define "
                           "a new stage with FROM using ARG from global scope as a "
                           "workaround"));
}

static int parse_copy(struct parsing *p)
{
    struct copy *copy = &p->in->copy;
    __attribute__((cleanup(words_release))) struct words words = {0};
    struct heredoc doc = {0};
    struct word *last;
    int r;

    if (p->is_json)
        words_from_json(p, &words);
    else
        words_split(p, p->args, &words);
    if (words.count < 2)
        return parse_fail(p, p->args + strlen(p->args),
                          "%s requires at least two arguments, but only one was provided. "
                          "Destination could not be determined",
                          name_of(p));
    r = copy_flags(p);
    if (r < 0)
        return r;
    last = &words.items[words.count - 1];
    if (!p->is_json && heredoc_parse_word(last->text, &doc)) {
        free(doc.name);
        p->fault = last->at;
        return parse_fail(p, NULL, "%s cannot accept a heredoc as a destination", name_of(p));
    }
    for (size_t i = 0; i + 1 < words.count; i++)
        add_source(p, &words.items[i]);
    copy->destination = (struct word){.text = STEAL(&last->text), .at = last->at};
    return 0;
}

static int parse_pairs(struct parsing *p)
{
    int r = pairs_parse(p, &p->in->pairs);

    if (p->in->kind == INSTRUCTION_ARG)
        for (size_t i = 0; i < p->in->pairs.count; i++)
            p->in->pairs.items[i].comment = description(p, p->in->pairs.items[i].name);
    return r;
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(((const struct word *)a)->text, ((const struct word *)b)->text);
}

static int parse_expose(struct parsing *p)
{
    struct words *specs = &p->in->expose.specs;

    words_split(p, p->args, specs);
    if (specs->count == 0)
        return parse_fail(p, p->args, "EXPOSE requires at least one argument");
    qsort(specs->items, specs->count, sizeof(specs->items[0]), compare_words);
    return 0;
}

static bool is_blank_text(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return *text == '\0';
}

static int parse_volume(struct parsing *p)
{
    struct words *volumes = &p->in->volumes;
    int r = json_words_parse(p);

    if (r < 0)
        return r;
    if (p->is_json)
        words_from_json(p, volumes);
    else
        words_split(p, p->args, volumes);
    if (volumes->count == 0)
        return parse_fail(p, p->args, "VOLUME requires at least one argument");
    for (size_t i = 0; i < volumes->count; i++)
        if (is_blank_text(volumes->items[i].text))
            return parse_fail(p, p->args, "VOLUME specified can not be an empty string");
    return 0;
}

static int parse_value(struct parsing *p)
{
    if (*p->args == '\0')
        return parse_fail(p, p->args, "%s requires exactly one argument", name_of(p));
    p->in->value =
        (struct word){.text = mem_strdup(p->args), .at = line_position(p->line, p->args)};
    return 0;
}

static int parse_onbuild(struct parsing *p)
{
    struct onbuild *onbuild = &p->in->onbuild;
    auto_free char *word = mem_strndup(p->args, (size_t)(line_skip_word(p->args) - p->args));
    struct str expression = {0};
    int r;

    if (*word == '\0')
        return parse_fail(p, p->args, "ONBUILD requires at least one argument");
    if (strcasecmp(word, "ONBUILD") == 0)
        return parse_fail(p, p->args, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (strcasecmp(word, "FROM") == 0 || strcasecmp(word, "MAINTAINER") == 0)
        return parse_fail(p, p->args, "%s isn't allowed as an ONBUILD trigger",
                          strcasecmp(word, "FROM") == 0 ? "FROM" : "MAINTAINER");
    r = instruction_parse(p->line, p->args, p->escape, p->source, &onbuild->trigger, &p->fault,
                          p->err);
    if (r < 0)
        return r;
    str_add(&expression, p->args);
    for (size_t i = 0; i < onbuild->trigger->heredocs.count; i++) {
        const struct heredoc *doc = &onbuild->trigger->heredocs.items[i];

        str_addf(&expression, "\n%s%s", doc->content, doc->name);
    }
    onbuild->expression = str_take(&expression);
    return 0;
}

static const struct syntax {
    const char *name;
    int (*parse)(struct parsing *p);
    bool has_heredocs;
} syntaxes[INSTRUCTION_KINDS] = {
    [INSTRUCTION_ADD] = {"ADD", parse_copy, true},
    [INSTRUCTION_ARG] = {"ARG", parse_pairs, false},
    [INSTRUCTION_CMD] = {"CMD", parse_command, false},
    [INSTRUCTION_COPY] = {"COPY", parse_copy, true},
    [INSTRUCTION_ENTRYPOINT] = {"ENTRYPOINT", parse_command, false},
    [INSTRUCTION_ENV] = {"ENV", parse_pairs, false},
    [INSTRUCTION_EXPOSE] = {"EXPOSE", parse_expose, false},
    [INSTRUCTION_FROM] = {"FROM", parse_from, false},
    [INSTRUCTION_HEALTHCHECK] = {"HEALTHCHECK", healthcheck_parse, false},
    [INSTRUCTION_LABEL] = {"LABEL", parse_pairs, false},
    [INSTRUCTION_MAINTAINER] = {"MAINTAINER", parse_value, false},
    [INSTRUCTION_ONBUILD] = {"ONBUILD", parse_onbuild, false},
    [INSTRUCTION_RUN] = {"RUN", parse_run, true},
    [INSTRUCTION_SHELL] = {"SHELL", parse_shell, false},
    [INSTRUCTION_STOPSIGNAL] = {"STOPSIGNAL", parse_value, false},
    [INSTRUCTION_USER] = {"USER", parse_value, false},
    [INSTRUCTION_VOLUME] = {"VOLUME", parse_volume, false},
    [INSTRUCTION_WORKDIR] = {"WORKDIR", parse_value, false},
};

const char *instruction_name(enum instruction_kind kind)
{
    return syntaxes[kind].name;
}

/* The nearest keyword, in the case the typo is written in. */
static int refuse_keyword(struct parsing *p, const char *keyword)
{
    const char *names[INSTRUCTION_KINDS];
    auto_free char *shown = quote_bare(keyword);
    auto_free char *upper = mem_strdup(keyword);
    auto_free char *suggestion = NULL;
    const char *found;
    bool is_lower = false;

    for (char *c = upper; *c; c++) {
        is_lower = is_lower || islower((unsigned char)*c);
        *c = (char)toupper((unsigned char)*c);
    }
    for (size_t i = 0; i < INSTRUCTION_KINDS; i++)
        names[i] = syntaxes[i].name;
    found = text_suggest(upper, names, INSTRUCTION_KINDS);
    if (!found)
        return parse_fail(p, p->text, "unknown instruction: %s", shown);
    suggestion = mem_strdup(found);
    for (char *c = suggestion; *c && is_lower; c++)
        *c = (char)tolower((unsigned char)*c);
    return parse_fail(p, p->text, "unknown instruction: %s (did you mean %s?)", shown, suggestion);
}

static int parse_keyword(struct parsing *p)
{
    const char *end = line_skip_word(p->text);

    p->in->keyword = mem_strndup(p->text, (size_t)(end - p->text));
    p->args = line_skip_blanks(end);
    for (size_t i = 0; i < INSTRUCTION_KINDS; i++) {
        if (strcasecmp(p->in->keyword, syntaxes[i].name) == 0) {
            p->in->kind = (enum instruction_kind)i;
            return 0;
        }
    }
    return refuse_keyword(p, p->in->keyword);
}

static int parse_all(struct parsing *p)
{
    const struct syntax *syntax;
    int r = parse_keyword(p);

    if (r == 0)
        r = flags_parse(p);
    if (r < 0)
        return r;
    syntax = &syntaxes[p->in->kind];
    if (syntax->has_heredocs) {
        r = json_words_parse(p);
        if (r == 0 && !p->is_json)
            r = heredocs_read(p);
    }
    return r < 0 ? r : syntax->parse(p);
}

int instruction_parse(const struct line *line, const char *text, char escape, struct source *source,
                      struct instruction **out, struct position *fault, struct error *err)
{
    auto_instruction struct instruction *in = mem_new(struct instruction);
    struct parsing p = {
        .line = line,
        .source = source,
        .in = in,
        .escape = escape,
        .text = line_skip_blanks(text),
        .fault = {line->first, 0},
        .err = err,
    };
    int r;

    in->text = mem_strdup(p.text);
    in->line_first = line->first;
    strv_copy(&in->comments, &line->comments);
    in->blank_line = line->blank;
    r = parse_all(&p);
    strv_release(&p.json);
    in->line_last = source->line > line->last && !line->is_placeless ? source->line : line->last;
    *fault = p.fault;
    if (r == 0)
        *out = STEAL(&in);
    return r;
}

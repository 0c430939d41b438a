/* check_rules.c - one function per rule or pair of rules (Dockerfile reference, "Build checks").
 *
 * Variables are followed as far as the text alone allows: what a base image sets is not known here,
 * and a word that needs it is left to the checks which the planner calls.
 */
#include <ctype.h>
#include <strings.h>

#include "builder/dockerfile/check.h"
#include "builder/dockerfile/dockerfile.h"
#include "builder/dockerfile/ignore.h"
#include "builder/dockerfile/quote.h"
#include "registry/platform.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

/* What is known of a stage so far. */
struct stage_facts {
    struct variables env; /* what its own text sets */
    bool has_shell;       /* these two are handed on to stages made FROM it */
    bool has_workdir;
};

struct checking {
    const struct dockerfile *df;
    const struct variables *args; /* given from outside; NULL for none */
    struct checks *checks;
    struct variables globals;  /* ARGs before the first FROM, as given */
    struct variables defaults; /* the same without what was given */
    struct stage_facts *facts; /* of every stage */
};

static bool has_upper(const char *text)
{
    for (; *text; text++)
        if (isupper((unsigned char)*text))
            return true;
    return false;
}

static bool has_lower(const char *text)
{
    for (; *text; text++)
        if (islower((unsigned char)*text))
            return true;
    return false;
}

/* Expands `word` as far as `env` goes; false when it is malformed or names something unknown. */
static bool expand_known(const struct checking *c, const char *word, const struct variables *env,
                         struct expand_use *use, struct str *out)
{
    struct expand_env lookup = variables_env(env);
    struct expand how = {.env = &lookup, .escape = c->df->escape};
    struct error ignored; /* the build itself reports it */

    return expand_word(&how, word, out, use, &ignored) == 0;
}

#define SUGGESTIONS_MAX 20 /* names of one instruction that get one, each costs all candidates */
#define CANDIDATES_MAX 1000

/* What `name`, the `index`th unknown one of its instruction, could have been meant to be, or
 * NULL. */
static const char *nearest(const struct variables *known, const char *name, size_t index)
{
    const char *names[CANDIDATES_MAX];
    size_t count = 0;

    for (const struct variables *v = known; v && index < SUGGESTIONS_MAX; v = v->fallback)
        for (size_t i = 0; i < v->count && count < CANDIDATES_MAX; i++)
            names[count++] = v->items[i].name;
    return text_suggest(name, names, count);
}

static void check_names(struct checking *c)
{
    auto_table struct table seen = {0};

    for (size_t i = 0; i < c->df->stage_count; i++) {
        const struct instruction *in = c->df->stages[i].from;
        const struct from *from = &in->from;
        auto_free char *name = from->name.text ? quote_word(from->name.text) : NULL;

        if (!name)
            continue;
        if (has_upper(from->name_written))
            checks_add(c->checks, CHECK_STAGE_NAME_CASING, in,
                       "Stage name '%s' should be lowercase", from->name_written);
        if (text_equal(from->name.text, "scratch") || text_equal(from->name.text, "context"))
            checks_add(c->checks, CHECK_RESERVED_STAGE_NAME, in,
                       "Stage name should not use the same name as reserved stage %s", name);
        if (table_has(&seen, from->name.text))
            checks_add(c->checks, CHECK_DUPLICATE_STAGE_NAME, in,
                       "Duplicate stage name %s, stage names should be unique", name);
        table_put(&seen, from->name.text, c);
        /* A FROM of mixed case is a matter of ConsistentInstructionCasing. */
        if ((!has_lower(in->keyword) && has_lower(from->as_written)) ||
            (!has_upper(in->keyword) && has_upper(from->as_written)))
            checks_add(c->checks, CHECK_FROM_AS_CASING, in,
                       "'%s' and '%s' keywords' casing do not match", from->as_written,
                       in->keyword);
    }
}

static void count_case(const struct instruction *in, size_t *lower, size_t *upper)
{
    *lower += !has_upper(in->keyword);
    *upper += !has_lower(in->keyword);
}

static void check_case(struct checking *c, const struct instruction *in, bool want_lower)
{
    if (want_lower ? has_upper(in->keyword) : has_lower(in->keyword))
        checks_add(c->checks, CHECK_CONSISTENT_INSTRUCTION_CASING, in,
                   "Command '%s' should match the case of the command majority (%s)", in->keyword,
                   want_lower ? "lowercase" : "uppercase");
}

static void check_casing(struct checking *c)
{
    size_t lower = 0;
    size_t upper = 0;

    for (size_t i = 0; i < c->df->stage_count; i++) {
        const struct stage *stage = &c->df->stages[i];

        count_case(stage->from, &lower, &upper);
        for (size_t j = 0; j < stage->body.count; j++)
            count_case(stage->body.items[j], &lower, &upper);
    }
    for (size_t i = 0; i < c->df->stage_count; i++) {
        const struct stage *stage = &c->df->stages[i];

        check_case(c, stage->from, lower > upper);
        for (size_t j = 0; j < stage->body.count; j++)
            check_case(c, stage->body.items[j], lower > upper);
    }
}

/* Points at the empty line, not at the instruction around it. */
static void check_blank_line(struct checking *c, const struct instruction *in)
{
    struct instruction blank = {
        .line_first = in->blank_line,
        .line_last = in->blank_line,
        .check_skip = in->check_skip,
    };

    if (in->blank_line > 0)
        checks_add(c->checks, CHECK_NO_EMPTY_CONTINUATION, &blank, "Empty continuation line");
}

/* The comment right above, when it was meant to describe something, should begin with its name. */
static void check_description(struct checking *c, const struct instruction *in)
{
    bool is_from = in->kind == INSTRUCTION_FROM;
    const char *comment = in->comments.count ? in->comments.items[in->comments.count - 1] : NULL;
    size_t size = comment ? strcspn(comment, " ") : 0;
    const char *name = is_from ? in->from.name.text : in->pairs.items[0].name;

    if (!comment || !name)
        return;
    for (size_t i = 0; i < (is_from ? 1 : in->pairs.count); i++) {
        const char *known = is_from ? name : in->pairs.items[i].name;

        if (strlen(known) == size && memcmp(known, comment, size) == 0)
            return;
    }
    if (!is_from && in->pairs.count > 1)
        name = "<arg_key>";
    checks_add(c->checks, CHECK_INVALID_DEFINITION_DESCRIPTION, in,
               "Comment for %s should follow the format: `# %s <description>`",
               instruction_name(in->kind), name);
}

static bool is_listed(const char *word, size_t size, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i]) == size && strncasecmp(word, list[i], size) == 0)
            return true;
    return false;
}

/* Whether one of the words between the underscores tells of a secret, and none takes it back. */
static bool is_secret(const char *name)
{
    static const char *const secrets[] = {"apikey", "auth",     "credential", "credentials",
                                          "key",    "password", "pword",      "passwd",
                                          "secret", "token"};
    static const char *const harmless[] = {"public", "file", "version"};
    bool found = false;

    for (;;) {
        size_t size = strcspn(name, "_");

        if (is_listed(name, size, harmless, 3))
            return false;
        found = found || is_listed(name, size, secrets, 10);
        if (name[size] == '\0')
            return found;
        name += size + 1;
    }
}

static void check_secrets(struct checking *c, const struct instruction *in)
{
    for (size_t i = 0; i < in->pairs.count; i++) {
        auto_free char *name = quote_word(in->pairs.items[i].name);

        if (is_secret(in->pairs.items[i].name))
            checks_add(c->checks, CHECK_SECRETS_USED_IN_ARG_OR_ENV, in,
                       "Do not use ARG or ENV instructions for sensitive data (%s %s)",
                       instruction_name(in->kind), name);
    }
}

static void check_port(struct checks *checks, const struct instruction *in, const char *spec)
{
    auto_free char *shown = quote_bare(spec);
    const char *slash = strrchr(spec, '/');

    if (slash && has_upper(slash + 1))
        checks_add(checks, CHECK_EXPOSE_PROTO_CASING, in,
                   "Defined protocol '%s' in EXPOSE instruction should be lowercase", shown);
    if (strchr(spec, ':'))
        checks_add(checks, CHECK_EXPOSE_INVALID_FORMAT, in,
                   "EXPOSE instruction should not define an IP address or host-port mapping, "
                   "found '%s'",
                   shown);
}

/* What holds a variable is judged once it is known, by check_expose. */
static void check_ports(struct checking *c, const struct instruction *in)
{
    for (size_t i = 0; i < in->expose.specs.count; i++)
        if (!strchr(in->expose.specs.items[i].text, '$'))
            check_port(c->checks, in, in->expose.specs.items[i].text);
}

void check_expose(struct checks *checks, const struct instruction *expose)
{
    for (size_t i = 0; i < expose->expose.specs.count; i++)
        check_port(checks, expose, expose->expose.specs.items[i].text);
}

static void check_workdir(struct checking *c, const struct instruction *in,
                          struct stage_facts *facts)
{
    auto_str struct str path = {0};
    auto_expand_use struct expand_use use = {0};
    auto_free char *shown = NULL;
    bool is_first = !facts->has_workdir;

    facts->has_workdir = true;
    if (!is_first || !expand_known(c, in->value.text, &facts->env, &use, &path) ||
        str_text(&path)[0] == '/' || use.unmatched.count > 0)
        return;
    shown = quote_word(str_text(&path));
    checks_add(c->checks, CHECK_WORKDIR_RELATIVE_PATH, in,
               "Relative workdir %s can have unexpected results if the base image changes", shown);
}

/* Puts ARG or ENV into the stage's variables; one that cannot be told from the text is
 * forgotten. */
static void follow_pairs(struct checking *c, const struct instruction *in,
                         struct stage_facts *facts)
{
    bool is_arg = in->kind == INSTRUCTION_ARG;
    auto_variables struct variables values = {0};

    for (size_t i = 0; i < in->pairs.count; i++) {
        const struct pair *pair = &in->pairs.items[i];
        const char *given = is_arg && c->args ? variables_get(c->args, pair->name) : NULL;
        const char *global = variables_get(&c->globals, pair->name); /* may have no value there */
        auto_str struct str value = {0};
        auto_expand_use struct expand_use use = {0};

        if (given)
            str_add(&value, given);
        else if (!pair->value)
            str_add(&value, global ? global : "");
        else if (!expand_known(c, pair->value, &facts->env, &use, &value))
            str_truncate(&value, 0);
        variables_set(&values, pair->name, use.unmatched.count > 0 ? NULL : str_text(&value));
    }
    variables_copy(&facts->env, &values);
}

static void check_shell_form(struct checking *c, const struct instruction *in,
                             const struct stage_facts *facts)
{
    if (!in->command.is_exec && !facts->has_shell)
        checks_add(c->checks, CHECK_JSON_ARGS_RECOMMENDED, in,
                   "JSON arguments recommended for %s to prevent unintended behavior related to "
                   "OS signals",
                   in->keyword);
}

/* The earlier one is reported, for it is the one without effect. */
static void check_once(struct checking *c, const struct instruction *in,
                       const struct instruction **last)
{
    if (*last)
        checks_add(c->checks, CHECK_MULTIPLE_INSTRUCTIONS_DISALLOWED, *last,
                   "Multiple %s instructions should not be used in the same stage because only "
                   "the last one will be used",
                   in->keyword);
    *last = in;
}

static void check_instruction(struct checking *c, const struct instruction *in,
                              struct stage_facts *facts, const struct instruction **last)
{
    check_blank_line(c, in);
    if (in->is_legacy_pair)
        checks_add(c->checks, CHECK_LEGACY_KEY_VALUE_FORMAT, in,
                   "\"%s key=value\" should be used instead of legacy \"%s key value\" format",
                   instruction_name(in->kind), instruction_name(in->kind));
    if (in->kind == INSTRUCTION_CMD || in->kind == INSTRUCTION_ENTRYPOINT)
        check_shell_form(c, in, facts);
    if (in->kind == INSTRUCTION_CMD || in->kind == INSTRUCTION_ENTRYPOINT ||
        in->kind == INSTRUCTION_HEALTHCHECK)
        check_once(c, in, &last[in->kind]);
    if (in->kind == INSTRUCTION_ARG || in->kind == INSTRUCTION_ENV) {
        check_secrets(c, in);
        follow_pairs(c, in, facts);
    }
    if (in->kind == INSTRUCTION_ARG)
        check_description(c, in);
    if (in->kind == INSTRUCTION_MAINTAINER)
        checks_add(c->checks, CHECK_MAINTAINER_DEPRECATED, in,
                   "Maintainer instruction is deprecated in favor of using label");
    if (in->kind == INSTRUCTION_SHELL)
        facts->has_shell = true;
    if (in->kind == INSTRUCTION_WORKDIR)
        check_workdir(c, in, facts);
    if (in->kind == INSTRUCTION_EXPOSE)
        check_ports(c, in);
}

/* A name that FROM uses and nobody declared. */
static void check_from_args(struct checking *c, const struct instruction *in,
                            const struct expand_use *use)
{
    for (size_t i = 0; i < use->unmatched.count; i++) {
        const char *name = use->unmatched.items[i];
        const char *near = nearest(&c->globals, name, i);

        if (variables_has(&c->globals, name)) /* declared without a value */
            continue;
        checks_add(c->checks, CHECK_UNDEFINED_ARG_IN_FROM, in,
                   "FROM argument '%s' is not declared%s%s%s", name, near ? " (did you mean " : "",
                   near ? near : "", near ? "?)" : "");
    }
}

static void check_constant_platform(struct checking *c, const struct instruction *in,
                                    const char *platform)
{
    auto_platform struct platform parsed = {0};
    auto_free char *shown = quote_word(platform);
    const char *name = in->from.name.text ? in->from.name.text : "";
    struct error ignored; /* the build itself reports it */

    if (platform_parse(platform, &parsed, &ignored) < 0 || strstr(name, parsed.os) ||
        strstr(name, parsed.architecture))
        return;
    checks_add(c->checks, CHECK_FROM_PLATFORM_FLAG_CONST_DISALLOWED, in,
               "FROM --platform flag should not use constant value %s", shown);
}

static void check_platform(struct checking *c, const struct instruction *in)
{
    const char *written = in->from.platform.text;
    auto_expand_use struct expand_use use = {0};
    auto_str struct str platform = {0};
    auto_free char *shown = quote_bare(written);

    if (!expand_known(c, written, &c->globals, &use, &platform))
        return;
    check_from_args(c, in, &use);
    if (use.matched.count + use.unmatched.count == 0)
        check_constant_platform(c, in, str_text(&platform));
    if (text_equal(written, "$TARGETPLATFORM") || text_equal(written, "${TARGETPLATFORM}"))
        checks_add(c->checks, CHECK_REDUNDANT_TARGET_PLATFORM, in,
                   "Setting platform to predefined %s in FROM is redundant as this is the default "
                   "behavior",
                   shown);
}

static void check_default_image(struct checking *c, const struct instruction *in)
{
    auto_str struct str image = {0};
    auto_reference struct reference parsed = {0};
    auto_free char *shown = quote_bare(in->from.image.text);
    struct error ignored; /* a malformed constant is reported by the build */

    if (!strchr(in->from.image.text, '$') ||
        !expand_known(c, in->from.image.text, &c->defaults, NULL, &image) ||
        (image.size > 0 && reference_parse(str_text(&image), &parsed, &ignored) == 0))
        return;
    checks_add(c->checks, CHECK_INVALID_DEFAULT_ARG_IN_FROM, in,
               "Default value for ARG %s results in empty or invalid base image name", shown);
}

/* Looks at FROM and starts the stage with what its base, if it is a stage, has handed on. */
static void check_from(struct checking *c, size_t index)
{
    const struct instruction *in = c->df->stages[index].from;
    struct stage_facts *facts = &c->facts[index];
    auto_expand_use struct expand_use use = {0};
    auto_str struct str image = {0};
    int base = -1;

    check_blank_line(c, in);
    check_description(c, in);
    if (in->from.platform.text)
        check_platform(c, in);
    check_default_image(c, in);
    if (expand_known(c, in->from.image.text, &c->globals, &use, &image)) {
        check_from_args(c, in, &use);
        base = dockerfile_find_stage(c->df, str_text(&image), index);
    }
    if (base < 0)
        return;
    facts->has_shell = c->facts[base].has_shell;
    facts->has_workdir = c->facts[base].has_workdir;
}

/* Dockerfile reference, "Automatic platform ARGs in the global scope": there without an option. */
static bool is_predefined(const char *name)
{
    static const char *const names[] = {
        "BUILDPLATFORM", "BUILDOS",        "BUILDOSVERSION", "BUILDARCH",
        "BUILDVARIANT",  "TARGETPLATFORM", "TARGETOS",       "TARGETOSVERSION",
        "TARGETARCH",    "TARGETVARIANT",  "TARGETSTAGE",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Gives the ARGs before the first FROM their values, with and without what came from outside. */
static void follow_globals(struct checking *c)
{
    c->globals.fallback = c->args;
    c->defaults.fallback = c->args;
    for (size_t i = 0; i < c->df->globals.count; i++) {
        const struct instruction *in = c->df->globals.items[i];

        check_blank_line(c, in);
        check_description(c, in);
        for (size_t j = 0; j < in->pairs.count; j++) {
            const struct pair *pair = &in->pairs.items[j];
            const char *given = c->args ? variables_get(c->args, pair->name) : NULL;
            auto_str struct str value = {0};
            auto_str struct str plain = {0};

            if (!pair->value || !expand_known(c, pair->value, &c->globals, NULL, &value) ||
                !expand_known(c, pair->value, &c->defaults, NULL, &plain)) {
                variables_set(&c->globals, pair->name, given);
                if (pair->value || !is_predefined(pair->name))
                    variables_set(&c->defaults, pair->name, "");
                continue;
            }
            variables_set(&c->globals, pair->name, given ? given : str_text(&value));
            variables_set(&c->defaults, pair->name, str_text(&plain));
        }
    }
}

void dockerfile_check(const struct dockerfile *df, const struct variables *args,
                      struct checks *checks)
{
    struct checking c = {.df = df, .args = args, .checks = checks};

    checks->config = df->check;
    c.facts = mem_alloc(df->stage_count * sizeof(*c.facts));
    check_names(&c);
    check_casing(&c);
    follow_globals(&c);
    for (size_t i = 0; i < df->stage_count; i++) {
        const struct instruction *last[INSTRUCTION_KINDS] = {0};
        const struct stage *stage = &df->stages[i];

        check_from(&c, i);
        for (size_t j = 0; j < stage->body.count; j++)
            check_instruction(&c, stage->body.items[j], &c.facts[i], last);
        variables_release(&c.facts[i].env);
    }
    free(c.facts);
    variables_release(&c.globals);
    variables_release(&c.defaults);
}

void check_undefined(struct checks *checks, const struct instruction *in,
                     const struct expand_use *use, const struct variables *known)
{
    for (size_t i = 0; i < use->unmatched.count; i++) {
        const char *name = use->unmatched.items[i];
        const char *near = nearest(known, name, i);

        if (known && variables_has(known, name))
            continue;
        checks_add(checks, CHECK_UNDEFINED_VAR, in, "Usage of undefined variable '$%s'%s%s%s", name,
                   near ? " (did you mean $" : "", near ? near : "", near ? "?)" : "");
    }
}

void check_base_platform(struct checks *checks, const struct instruction *from, const char *image,
                         const char *actual, const char *expected)
{
    auto_free char *shown_actual = quote_word(actual);
    auto_free char *shown_expected = quote_word(expected);

    checks_add(checks, CHECK_INVALID_BASE_IMAGE_PLATFORM, from,
               "Base image %s was pulled with platform %s, expected %s for current build", image,
               shown_actual, shown_expected);
}

static bool is_remote(const char *source)
{
    return strstr(source, "://") || text_starts(source, "git@");
}

void check_copy_ignored(struct checks *checks, const struct instruction *copy,
                        const struct ignore *ignore)
{
    bool is_add = copy->kind == INSTRUCTION_ADD;

    /* With a `!` somewhere there is no telling without the files. */
    if (!ignore || copy->copy.from.text || ignore_has_negation(ignore))
        return;
    for (size_t i = 0; i < copy->copy.sources.count; i++) {
        const char *source = copy->copy.sources.items[i].text;
        auto_free char *clean = path_clean(source);
        auto_free char *shown = quote_word(clean);
        const char *relative = clean + (clean[0] == '/');
        bool is_root = *relative == '\0' || text_equal(relative, ".");

        if (is_add && is_remote(source))
            continue;
        if (is_root ? ignore_has_everything(ignore) : ignore_match(ignore, relative))
            checks_add(checks, CHECK_COPY_IGNORED_FILE, copy,
                       "Attempting to %s file %s that is excluded by .dockerignore",
                       is_add ? "Add" : "Copy", shown);
    }
}

/* check.c - names of the build checks, which are on, and collecting what they find. The rules
 * themselves: see check_rules.c.
 */
#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "builder/dockerfile/check.h"
#include "builder/dockerfile/dockerfile.h"
#include "builder/dockerfile/excerpt.h"
#include "builder/dockerfile/quote.h"

#include "fs/base/banned.h"

#define BIT(rule) (UINT32_C(1) << (rule))
#define ALL (BIT(CHECK_RULES) - 1)
#define EXPERIMENTAL BIT(CHECK_INVALID_DEFINITION_DESCRIPTION)
#define EXCERPT_MAX 4096

static const struct {
    const char *name;
    const char *description;
} rules[CHECK_RULES] = {
    [CHECK_STAGE_NAME_CASING] = {"StageNameCasing", "stage names should be lower case"},
    [CHECK_FROM_AS_CASING] = {"FromAsCasing", "'AS' should have the case of its 'FROM'"},
    [CHECK_NO_EMPTY_CONTINUATION] = {"NoEmptyContinuation",
                                     "a continued line should not be followed by an empty one"},
    [CHECK_CONSISTENT_INSTRUCTION_CASING] = {"ConsistentInstructionCasing",
                                             "all instructions should be written in one case"},
    [CHECK_DUPLICATE_STAGE_NAME] = {"DuplicateStageName", "each stage name should be used once"},
    [CHECK_RESERVED_STAGE_NAME] = {"ReservedStageName",
                                   "names with a meaning of their own should not name a stage"},
    [CHECK_JSON_ARGS_RECOMMENDED] = {"JSONArgsRecommended",
                                     "CMD and ENTRYPOINT in JSON form receive signals"},
    [CHECK_MAINTAINER_DEPRECATED] = {"MaintainerDeprecated",
                                     "a label should name the author instead of MAINTAINER"},
    [CHECK_UNDEFINED_ARG_IN_FROM] = {"UndefinedArgInFrom", "FROM should use declared arguments"},
    [CHECK_WORKDIR_RELATIVE_PATH] = {"WorkdirRelativePath",
                                     "the first WORKDIR of a build should be absolute"},
    [CHECK_UNDEFINED_VAR] = {"UndefinedVar", "variables should be defined before they are used"},
    [CHECK_MULTIPLE_INSTRUCTIONS_DISALLOWED] = {"MultipleInstructionsDisallowed",
                                                "of some instructions only the last one counts"},
    [CHECK_LEGACY_KEY_VALUE_FORMAT] = {"LegacyKeyValueFormat",
                                       "name and value should be separated by '='"},
    [CHECK_INVALID_BASE_IMAGE_PLATFORM] = {"InvalidBaseImagePlatform",
                                           "the base image should be of the wanted platform"},
    [CHECK_REDUNDANT_TARGET_PLATFORM] = {"RedundantTargetPlatform",
                                         "the target platform is the default of FROM"},
    [CHECK_SECRETS_USED_IN_ARG_OR_ENV] = {"SecretsUsedInArgOrEnv",
                                          "arguments and variables stay visible in the image"},
    [CHECK_INVALID_DEFAULT_ARG_IN_FROM] = {"InvalidDefaultArgInFrom",
                                           "defaults of ARG should give a usable image name"},
    [CHECK_FROM_PLATFORM_FLAG_CONST_DISALLOWED] = {"FromPlatformFlagConstDisallowed",
                                                   "a fixed platform prevents other builds"},
    [CHECK_COPY_IGNORED_FILE] = {"CopyIgnoredFile",
                                 "a path left out by the ignore file cannot be copied"},
    [CHECK_INVALID_DEFINITION_DESCRIPTION] = {"InvalidDefinitionDescription",
                                              "the comment above a stage or an argument should "
                                              "begin with its name"},
    [CHECK_EXPOSE_PROTO_CASING] = {"ExposeProtoCasing", "protocols should be lower case"},
    [CHECK_EXPOSE_INVALID_FORMAT] = {"ExposeInvalidFormat",
                                     "EXPOSE takes ports of the container alone"},
};

const char *check_rule_name(enum check_rule rule)
{
    return rules[rule].name;
}

const char *check_rule_description(enum check_rule rule)
{
    return rules[rule].description;
}

/* "JSONArgsRecommended" is json-args-recommended there. */
char *check_rule_url(enum check_rule rule)
{
    const char *name = rules[rule].name;
    struct str url = {0};

    str_add(&url, "https://docs.docker.com/go/dockerfile/rule/");
    for (const char *c = name; *c; c++) {
        bool begins_word = isupper((unsigned char)*c) && c > name &&
                           (islower((unsigned char)c[-1]) || islower((unsigned char)c[1]));

        if (begins_word)
            str_add_char(&url, '-');
        str_add_char(&url, (char)tolower((unsigned char)*c));
    }
    str_add_char(&url, '/');
    return str_take(&url);
}

/* Names no rule has are passed over: a newer release may have it. */
static uint32_t read_rules(char *list)
{
    uint32_t mask = 0;

    if (text_equal(list, "all"))
        return ALL;
    for (char *item; (item = strsep(&list, ","));) {
        auto_free char *name = text_trim(item, strlen(item));

        for (size_t i = 0; i < CHECK_RULES; i++)
            if (text_equal(rules[i].name, name))
                mask |= BIT(i);
    }
    return mask;
}

static int read_option(const char *text, size_t size, struct check_config *out, struct error *err)
{
    auto_free char *option = text_trim(text, size);
    char *equals = strchr(option, '=');
    auto_free char *key = text_trim(option, equals ? (size_t)(equals - option) : strlen(option));
    auto_free char *value = equals ? text_trim(equals + 1, strlen(equals + 1)) : NULL;
    auto_free char *shown = quote_word(option);
    auto_free char *shown_value = value ? quote_word(value) : NULL;
    bool is_error;

    if (value && text_equal(key, "skip")) {
        out->skip |= read_rules(value);
    } else if (value && text_equal(key, "experimental")) {
        out->experimental |= read_rules(value);
    } else if (value && text_equal(key, "error")) {
        if (!text_to_bool(value, &is_error))
            return error_set(err, EINVAL,
                             "failed to parse check option %s: strconv.ParseBool: parsing %s: "
                             "invalid syntax",
                             shown, shown_value);
        out->is_error = is_error;
    } else {
        return error_set(err, EINVAL, "invalid check option %s", shown);
    }
    return 0;
}

int check_config_parse(const char *text, struct check_config *out, struct error *err)
{
    struct check_config config = {0};

    text += strspn(text, " \t");
    while (*text) {
        size_t size = strcspn(text, ";");
        int r = read_option(text, size, &config, err);

        if (r < 0)
            return r;
        text += size + (text[size] == ';');
    }
    *out = config;
    return 0;
}

void checks_release(struct checks *checks)
{
    for (size_t i = 0; i < checks->count; i++)
        free(checks->items[i].text);
    free(checks->items);
    table_release(&checks->seen);
    *checks = (struct checks){0};
}

static bool is_on(const struct checks *checks, enum check_rule rule, const struct instruction *in)
{
    uint32_t skipped = checks->config.skip | (in ? in->check_skip : 0);

    skipped |= EXPERIMENTAL & ~checks->config.experimental;
    return (skipped & BIT(rule)) == 0;
}

void checks_add(struct checks *checks, enum check_rule rule, const struct instruction *in,
                const char *fmt, ...)
{
    auto_str struct str text = {0};
    auto_free char *key = NULL;
    struct check_finding *finding;
    va_list args;

    if (!is_on(checks, rule, in))
        return;
    va_start(args, fmt);
    str_vaddf(&text, fmt, args);
    va_end(args);
    key = str_format("%d %u %s", (int)rule, in ? in->line_first : 0, str_text(&text));
    if (table_has(&checks->seen, key))
        return;
    table_put(&checks->seen, key, checks); /* any pointer but NULL */
    finding = array_add(checks);
    finding->rule = rule;
    finding->line_first = in ? in->line_first : 0;
    finding->line_last = in ? in->line_last : 0;
    finding->text = str_take(&text);
}

static int compare_findings(const void *a, const void *b)
{
    const struct check_finding *left = a;
    const struct check_finding *right = b;

    if (left->line_first != right->line_first)
        return left->line_first < right->line_first ? -1 : 1;
    if (left->rule != right->rule)
        return left->rule < right->rule ? -1 : 1;
    return strcmp(left->text, right->text);
}

void checks_sort(struct checks *checks)
{
    if (checks->count > 0)
        qsort(checks->items, checks->count, sizeof(checks->items[0]), compare_findings);
}

int checks_verdict(const struct checks *checks, struct error *err)
{
    auto_str struct str names = {0};
    uint32_t found = 0;

    if (!checks->config.is_error || checks->count == 0)
        return 0;
    for (size_t i = 0; i < checks->count; i++) {
        enum check_rule rule = checks->items[i].rule;

        if (!(found & BIT(rule)))
            str_addf(&names, "%s%s", found ? ", " : "", rules[rule].name);
        found |= BIT(rule);
    }
    return error_set(err, EINVAL, "lint violation found for rules: %s", str_text(&names));
}

/* The offset of the first line that the excerpt of `line` shows, found from an earlier place. */
static void move_to(const struct dockerfile *df, unsigned line, struct excerpt *excerpt)
{
    unsigned wanted = line > 2 ? line - 2 : 1;

    while (excerpt->from_line < wanted) {
        const char *at = df->source + excerpt->from_offset;
        const char *newline = memchr(at, '\n', df->source_size - excerpt->from_offset);

        if (!newline)
            return;
        excerpt->from_offset = (size_t)(newline + 1 - df->source);
        excerpt->from_line++;
    }
}

void checks_report(struct checks *checks, const struct dockerfile *df, struct str *out)
{
    struct excerpt excerpt = {
        .name = df->name,
        .source = df->source,
        .source_size = df->source_size,
        .from_line = 1,
    };

    checks_sort(checks); /* so that the source is read once */
    for (size_t i = 0; i < checks->count; i++) {
        const struct check_finding *finding = &checks->items[i];
        auto_free char *url = check_rule_url(finding->rule);

        str_addf(out, "\nWARNING: %s - %s\n", rules[finding->rule].name, url);
        str_add_escaped(out, finding->text, strlen(finding->text));
        str_add_char(out, '\n');
        if (finding->line_first == 0)
            continue;
        move_to(df, finding->line_first, &excerpt);
        excerpt.line_first = finding->line_first;
        excerpt.line_last = finding->line_last;
        excerpt_add(&excerpt, EXCERPT_MAX, out);
    }
}

/* build_call.c - results of --call in the words of its text form and in the keys of its JSON form. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builder/outline.h"
#include "cli/build_call.h"
#include "cli/text.h"
#include "fs/base/json.h"
#include "registry/base64.h"

#include "fs/base/banned.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *name;
    enum call_method method;
} methods[] = {
    {"build", CALL_BUILD},     {"check", CALL_CHECK},     {"lint", CALL_CHECK},
    {"outline", CALL_OUTLINE}, {"targets", CALL_TARGETS},
};

static int parse_method(const char *name, struct call *out, struct error *err)
{
    const char *names[COUNT(methods)];
    const char *near;

    for (size_t i = 0; i < COUNT(methods); i++) {
        names[i] = methods[i].name;
        if (strcmp(name, names[i]) != 0)
            continue;
        out->method = methods[i].method;
        return 0;
    }
    near = text_suggest(name, names, COUNT(names));
    (void)error_set(err, EINVAL, "unknown method '%s' for --call", name); /* returned below */
    return near == NULL ? error_hint(err, "it takes build, check, outline or targets")
                        : error_hint(err, "did you mean '%s'?", near);
}

int call_parse(const char *text, struct call *out, struct error *err)
{
    auto_free char *copy = mem_strdup(text);
    char *rest = copy;
    int r = 0;

    *out = (struct call){0};
    for (char *field; r == 0 && (field = strsep(&rest, ",")) != NULL;) {
        if (strchr(field, '=') == NULL)
            r = parse_method(field, out, err);
        else if (strcmp(field, "format=json") == 0)
            out->is_json = true;
        else if (strcmp(field, "format=text") == 0)
            out->is_json = false;
        else if (strcmp(field, "ignorestatus=true") == 0)
            out->ignores_status = true;
        else if (strcmp(field, "ignorestatus=false") != 0)
            r = error_set(err, EINVAL, "unknown field '%s' in --call '%s'", field, text);
    }
    return r;
}

/* ---- JSON ---- */

static struct json *new_position(unsigned line)
{
    struct json *position = json_new_object();

    json_put_int(position, "line", line);
    return position;
}

static struct json *new_ranges(unsigned first, unsigned last)
{
    struct json *ranges = json_new_array();
    struct json *range = json_new_object();

    if (first > 0) {
        json_put(range, "start", new_position(first));
        json_put(range, "end", new_position(last));
        json_push(ranges, range);
    } else {
        json_unref(range);
    }
    return ranges;
}

static struct json *new_location(unsigned first, unsigned last)
{
    struct json *location = json_new_object();

    json_put(location, "ranges", new_ranges(first, last));
    return location;
}

/* Bytes are base64 in the JSON of BuildKit's structures. */
static struct json *new_bytes(const char *bytes, size_t size)
{
    auto_str struct str text = {0};

    base64_encode(bytes, size, &text);
    return json_new_text(str_text(&text));
}

static struct json *new_source_text(const struct build_options *o)
{
    return new_bytes(o->dockerfile, o->dockerfile_size);
}

static void print_json(const struct json *document)
{
    auto_str struct str text = {0};

    json_write_pretty(document, &text);
    printf("%s\n", str_text(&text));
}

/* Fields that are empty are left out. */
static void put_filled(struct json *object, const char *key, const char *text)
{
    if (text[0] != '\0')
        json_put_text(object, key, text);
}

/* ---- tables ---- */

static void print_safe(const char *text, int width)
{
    auto_str struct str shown = {0};

    str_add_escaped(&shown, text, strlen(text));
    printf("%-*s", width, str_text(&shown));
}

static int width_of(const char *text, int width)
{
    auto_str struct str shown = {0};

    str_add_escaped(&shown, text, strlen(text));
    return (int)shown.size > width ? (int)shown.size : width;
}

#define GAP 3 /* blanks between columns */

/* ---- check ---- */

/* The line that an error's excerpt begins with, "Dockerfile:3"; 0 when it has none. */
static unsigned line_of(const struct error *err)
{
    size_t size = strcspn(err->detail, "\n");
    const char *colon = memrchr(err->detail, ':', size);

    return colon == NULL ? 0 : (unsigned)strtoul(colon + 1, NULL, 10);
}

static void print_findings_json(const struct build_options *o, const struct checks *checks,
                                const struct error *failure)
{
    auto_json struct json *document = json_new_object();
    struct json *warnings = json_new_array();
    struct json *sources = json_new_array();
    struct json *source = json_new_object();

    for (size_t i = 0; i < checks->count; i++) {
        const struct check_finding *f = &checks->items[i];
        struct json *warning = json_new_object();
        auto_free char *url = check_rule_url(f->rule);

        json_put_text(warning, "ruleName", check_rule_name(f->rule));
        json_put_text(warning, "description", check_rule_description(f->rule));
        json_put_text(warning, "url", url);
        json_put_text(warning, "detail", f->text);
        json_put(warning, "location", new_location(f->line_first, f->line_last));
        json_push(warnings, warning);
    }
    json_put(document, "warnings", warnings);
    json_put_text(source, "filename", o->dockerfile_name);
    json_put(source, "data", new_source_text(o));
    json_put_text(source, "language", "Dockerfile");
    json_push(sources, source);
    json_put(document, "sources", sources);
    if (failure != NULL) {
        struct json *object = json_new_object();

        json_put_text(object, "message", failure->text);
        json_put(object, "location", new_location(line_of(failure), line_of(failure)));
        json_put(document, "buildError", object);
    }
    print_json(document);
}

static int told(struct error *err)
{
    error_clear(err);
    return error_set(err, EINVAL, "%s", "");
}

static int call_check(const struct call *call, const struct build_options *o, struct error *err)
{
    auto_build_result struct build_result result = {0};
    int r = build_check(o, true, &result, err);
    size_t count = result.checks.count;

    if (r == -ECANCELED)
        return r;
    checks_sort(&result.checks);
    if (call->is_json) {
        print_findings_json(o, &result.checks, r < 0 ? err : NULL);
        return r < 0 || (count > 0 && !call->ignores_status) ? told(err) : 0;
    }
    if (count > 0)
        printf("Check complete, %zu warning%s been found!\n%s", count,
               count == 1 ? " has" : "s have", str_text(&result.report));
    else if (r == 0)
        printf("Check complete, no warnings found.\n");
    if (r < 0)
        return r;
    return count > 0 && !call->ignores_status ? told(err) : 0;
}

/* ---- outline ---- */

static struct json *new_items(const struct outline_items *list, bool has_values)
{
    struct json *array = json_new_array();

    for (size_t i = 0; i < list->count; i++) {
        const struct outline_item *item = &list->items[i];
        struct json *object = json_new_object();

        json_put_text(object, "name", item->name);
        put_filled(object, "description", item->description);
        if (has_values)
            put_filled(object, "value", item->value);
        if (item->is_required)
            json_put_bool(object, "required", true);
        json_put(object, "location", new_location(item->line_first, item->line_last));
        json_push(array, object);
    }
    return array;
}

static void print_outline_json(const struct build_options *o, const struct outline *outline)
{
    auto_json struct json *document = json_new_object();
    struct json *sources = json_new_array();

    put_filled(document, "name", outline->name);
    put_filled(document, "description", outline->description);
    if (outline->args.count > 0)
        json_put(document, "args", new_items(&outline->args, true));
    if (outline->secrets.count > 0)
        json_put(document, "secrets", new_items(&outline->secrets, false));
    if (outline->ssh.count > 0)
        json_put(document, "ssh", new_items(&outline->ssh, false));
    json_push(sources, new_source_text(o));
    json_put(document, "sources", sources);
    print_json(document);
}

static void print_args(const struct outline_items *list)
{
    int names = width_of("BUILD ARG", 0);
    int values = width_of("VALUE", 0);

    for (size_t i = 0; i < list->count; i++) {
        names = width_of(list->items[i].name, names);
        values = width_of(list->items[i].value, values);
    }
    printf("%-*s%-*sDESCRIPTION\n", names + GAP, "BUILD ARG", values + GAP, "VALUE");
    for (size_t i = 0; i < list->count; i++) {
        print_safe(list->items[i].name, names + GAP);
        print_safe(list->items[i].value, values + GAP);
        print_safe(list->items[i].description, 0);
        printf("\n");
    }
    printf("\n");
}

static void print_required(const char *title, const struct outline_items *list)
{
    int names = width_of(title, 0);

    if (list->count == 0)
        return;
    for (size_t i = 0; i < list->count; i++)
        names = width_of(list->items[i].name, names);
    printf("%-*sREQUIRED\n", names + GAP, title);
    for (size_t i = 0; i < list->count; i++) {
        print_safe(list->items[i].name, names + GAP);
        printf("%s\n", list->items[i].is_required ? "true" : "");
    }
    printf("\n");
}

static int call_outline(const struct call *call, const struct build_options *o, struct error *err)
{
    auto_outline struct outline outline = {0};
    int r = build_outline(o, &outline, err);

    if (r < 0)
        return r;
    if (call->is_json) {
        print_outline_json(o, &outline);
        return 0;
    }
    if (outline.name[0] != '\0' || outline.description[0] != '\0') {
        printf("TARGET:      ");
        print_safe(outline.name[0] == '\0' ? "(default)" : outline.name, 0);
        if (outline.description[0] != '\0') {
            printf("\nDESCRIPTION: ");
            print_safe(outline.description, 0);
        }
        printf("\n\n");
    }
    if (outline.args.count > 0)
        print_args(&outline.args);
    print_required("SECRET", &outline.secrets);
    print_required("SSH", &outline.ssh);
    return 0;
}

/* ---- targets ---- */

static void print_targets_json(const struct build_options *o, const struct targets *targets)
{
    auto_json struct json *document = json_new_object();
    struct json *array = json_new_array();
    struct json *sources = json_new_array();

    for (size_t i = 0; i < targets->count; i++) {
        const struct target *t = &targets->items[i];
        struct json *object = json_new_object();

        put_filled(object, "name", t->name);
        if (t->is_default)
            json_put_bool(object, "default", true);
        put_filled(object, "description", t->description);
        put_filled(object, "base", t->base);
        put_filled(object, "platform", t->platform);
        json_put(object, "location", new_location(t->line_first, t->line_last));
        json_push(array, object);
    }
    json_put(document, "targets", array);
    json_push(sources, new_source_text(o));
    json_put(document, "sources", sources);
    print_json(document);
}

/* A stage without a name can be asked for by its number. */
static char *target_title(const struct targets *targets, size_t index)
{
    const struct target *t = &targets->items[index];

    if (t->name[0] == '\0')
        return t->is_default ? mem_strdup("(default)") : str_format("%zu", index);
    return str_format("%s%s", t->name, t->is_default ? " (default)" : "");
}

static int call_targets(const struct call *call, const struct build_options *o, struct error *err)
{
    auto_targets struct targets targets = {0};
    int r = build_targets(o, &targets, err);
    int names = width_of("TARGET", 0);

    if (r < 0)
        return r;
    if (call->is_json) {
        print_targets_json(o, &targets);
        return 0;
    }
    for (size_t i = 0; i < targets.count; i++) {
        auto_free char *title = target_title(&targets, i);

        names = width_of(title, names);
    }
    printf("%-*sDESCRIPTION\n", names + GAP, "TARGET");
    for (size_t i = 0; i < targets.count; i++) {
        auto_free char *title = target_title(&targets, i);

        print_safe(title, names + GAP);
        print_safe(targets.items[i].description, 0);
        printf("\n");
    }
    return 0;
}

int call_run(const struct call *call, const struct build_options *o, struct error *err)
{
    switch (call->method) {
    case CALL_CHECK:
        return call_check(call, o, err);
    case CALL_OUTLINE:
        return call_outline(call, o, err);
    case CALL_TARGETS:
        return call_targets(call, o, err);
    case CALL_BUILD:
        break;
    }
    return error_set(err, EINVAL, "there is nothing to call");
}

/* ---- predictions, explanations, warnings ---- */

static void print_reasons(FILE *to, const struct strv *reasons)
{
    for (size_t i = 0; i < reasons->count; i++) {
        auto_str struct str text = {0};

        str_add_escaped(&text, reasons->items[i], strlen(reasons->items[i]));
        fprintf(to, "    %s\n", str_text(&text));
    }
}

static void print_name(FILE *to, const char *before, const char *name)
{
    auto_str struct str text = {0};

    str_add_escaped(&text, name, strlen(name));
    fprintf(to, "%s%s\n", before, str_text(&text));
}

void print_prediction(const struct build_result *result, bool explain)
{
    static const char *const words[] = {[BUILD_STEP_CACHED] = "CACHED  ",
                                        [BUILD_STEP_RAN] = "run     ",
                                        [BUILD_STEP_UNKNOWN] = "unknown "};
    size_t counts[COUNT(words)] = {0};

    for (size_t i = 0; i < result->steps.count; i++) {
        const struct build_step *step = &result->steps.items[i];

        counts[step->outcome]++;
        print_name(stdout, words[step->outcome], step->name);
        if (explain || step->outcome == BUILD_STEP_UNKNOWN)
            print_reasons(stdout, &step->reasons);
    }
    printf("%zu of %zu steps are cached, %zu would run, %zu cannot be told\n",
           counts[BUILD_STEP_CACHED], result->steps.count, counts[BUILD_STEP_RAN],
           counts[BUILD_STEP_UNKNOWN]);
}

void print_explanation(const struct build_result *result, bool is_whole)
{
    size_t count = 0;

    for (size_t i = 0; i < result->steps.count; i++) {
        const struct build_step *step = &result->steps.items[i];

        if (step->outcome == BUILD_STEP_CACHED)
            continue;
        if (count++ == 0)
            fprintf(stderr, "\nnot cached:\n");
        print_name(stderr, "  ", step->name);
        print_reasons(stderr, &step->reasons);
    }
    if (count == 0 && is_whole)
        fprintf(stderr, "\nevery step was cached\n");
}

void print_warnings(const struct build_result *result, bool is_long)
{
    const struct checks *c = &result->checks;

    if (c->count == 0)
        return;
    fprintf(stderr, "\n %zu warning%s found%s:\n", c->count, c->count == 1 ? "" : "s",
            is_long ? "" : " (use --debug to expand)");
    if (is_long) {
        fputs(str_text(&result->report), stderr);
        return;
    }
    for (size_t i = 0; i < c->count; i++) {
        auto_str struct str text = {0};
        auto_str struct str filled = {0};

        str_addf(&text, "%s: ", check_rule_name(c->items[i].rule));
        str_add_escaped(&text, c->items[i].text, strlen(c->items[i].text));
        str_addf(&text, " (line %u)", c->items[i].line_first);
        text_fill(&filled, str_text(&text), strlen(" - "),
                  text_terminal_columns(STDERR_FILENO, SIZE_MAX));
        fprintf(stderr, " - %s\n", str_text(&filled));
    }
}

/* "1" and the like, as strconv.ParseBool of Go has it. */
static bool is_switched_on(const char *name)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    const char *value = getenv(name);

    for (size_t i = 0; value != NULL && i < COUNT(yes); i++)
        if (strcmp(value, yes[i]) == 0)
            return true;
    return false;
}

void put_warnings(const struct checks *checks, struct json *document)
{
    struct json *list;

    if (checks->count == 0 || !is_switched_on("BUILDX_METADATA_WARNINGS"))
        return;
    list = json_new_array();
    for (size_t i = 0; i < checks->count; i++) {
        const struct check_finding *f = &checks->items[i];
        const char *description = check_rule_description(f->rule);
        auto_free char *url = check_rule_url(f->rule);
        auto_free char *text =
            str_format("%s: %s (line %u)", check_rule_name(f->rule), f->text, f->line_first);
        struct json *warning = json_new_object();
        struct json *detail = json_new_array();

        json_push(detail, new_bytes(description, strlen(description)));
        json_put_int(warning, "level", 1);
        json_put(warning, "short", new_bytes(text, strlen(text)));
        json_put(warning, "detail", detail);
        json_put_text(warning, "url", url);
        json_put(warning, "range", new_ranges(f->line_first, f->line_last));
        json_push(list, warning);
    }
    json_put(document, "buildx.build.warnings", list);
}

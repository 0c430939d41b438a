/* dockerfile.c - the whole file: instructions in their stages, finding a stage, placing an error.
 *
 * One instruction at a time: see instruction_parse.c. What may not stand where is decided here.
 */
#include <ctype.h>
#include <errno.h>

#include "builder/dockerfile/dockerfile_internal.h"
#include "builder/dockerfile/excerpt.h"
#include "builder/dockerfile/quote.h"
#include "fs/base/limits.h"

#include "fs/base/banned.h"

/* Stages that share a name, in order. */
struct name_list {
    size_t *items;
    size_t count;
    size_t capacity;
};

static void instructions_release(struct instructions *list)
{
    for (size_t i = 0; i < list->count; i++)
        instruction_free(list->items[i]);
    free(list->items);
}

static void free_names(void *context, const char *name, void *value)
{
    struct name_list *names = value;

    (void)context;
    (void)name;
    free(names->items);
    free(names);
}

void dockerfile_free(struct dockerfile *df)
{
    if (!df)
        return;
    instructions_release(&df->globals);
    for (size_t i = 0; i < df->stage_count; i++) {
        instruction_free(df->stages[i].from);
        instructions_release(&df->stages[i].body);
    }
    free(df->stages);
    table_each(&df->stage_names, free_names, NULL);
    table_release(&df->stage_names);
    free(df->name);
    free(df->source);
    free(df->syntax);
    free(df);
}

/* Puts the excerpt of lines `first` to `last` under the error. */
static int add_excerpt(const struct dockerfile *df, unsigned first, unsigned last,
                       const struct position *at, struct error *err)
{
    struct excerpt excerpt = {
        .name = df->name,
        .source = df->source,
        .source_size = df->source_size,
        .line_first = first,
        .line_last = last,
        .caret_line = at && at->column ? at->line : 0,
        .caret_column = at ? at->column : 0,
    };
    auto_str struct str block = {0};

    if (first == 0 || err->detail[0] != '\0')
        return -err->code;
    excerpt_add(&excerpt, sizeof(err->detail) - 1, &block);
    return error_detail(err, "%s", str_text(&block));
}

int dockerfile_locate(const struct dockerfile *df, const struct instruction *in,
                      const struct position *at, struct error *err)
{
    return add_excerpt(df, in->line_first, in->line_last, at, err);
}

static void add_instruction(struct instructions *list, struct instruction *in)
{
    *(struct instruction **)array_add(list) = in;
}

static void index_name(struct dockerfile *df, const char *name, size_t stage)
{
    struct name_list *names = table_get(&df->stage_names, name);

    if (!names) {
        names = mem_new(struct name_list);
        table_put(&df->stage_names, name, names);
    }
    *(size_t *)array_add(names) = stage;
}

static void add_stage(struct dockerfile *df, struct instruction *from)
{
    df->stages = array_grow(df->stages, df->stage_count, &df->stage_capacity, sizeof(*df->stages));
    df->stages[df->stage_count++].from = from;
    if (from->from.name.text)
        index_name(df, from->from.name.text, df->stage_count - 1);
}

/* Files an instruction where it belongs; `*in` is taken over on success. */
static int place(struct dockerfile *df, struct instruction **in, struct error *err)
{
    if ((*in)->kind == INSTRUCTION_FROM) {
        add_stage(df, STEAL(in));
    } else if (df->stage_count > 0) {
        add_instruction(&df->stages[df->stage_count - 1].body, STEAL(in));
    } else if ((*in)->kind == INSTRUCTION_ARG) {
        add_instruction(&df->globals, STEAL(in));
    } else {
        (void)error_set(err, EINVAL, "no build stage in current context");
        return error_hint(err, "a Dockerfile begins with FROM; only ARG may stand above it");
    }
    return 0;
}

/* Comments above an instruction may silence checks for it alone. */
static void read_check_comments(struct instruction *in)
{
    for (size_t i = 0; i < in->comments.count; i++) {
        const char *text = in->comments.items[i];
        struct check_config config = {0};
        struct error ignored; /* an ordinary comment that begins with the same word */

        if (strncasecmp(text, "check", strlen("check")) != 0)
            continue;
        text += strlen("check");
        text += strspn(text, " \t");
        if (*text == '=' && check_config_parse(text + 1, &config, &ignored) == 0)
            in->check_skip |= config.skip;
    }
}

static int check_count(size_t count, struct error *err)
{
    if (count <= LIMIT_DOCKERFILE_STEPS)
        return 0;
    return error_set(err, E2BIG, "the Dockerfile has more than %u instructions",
                     LIMIT_DOCKERFILE_STEPS);
}

static int parse_lines(struct dockerfile *df, unsigned directives_end, struct error *err)
{
    struct source source = {.text = df->source, .size = df->source_size};
    auto_line struct line line = {0};
    size_t count = 0;
    int r;

    while ((r = line_next(&source, df->escape, directives_end, &line, err)) > 0) {
        auto_instruction struct instruction *in = NULL;
        struct position fault = {line.first, 0};

        r = instruction_parse(&line, str_text(&line.text), df->escape, &source, &in, &fault, err);
        if (r == 0) {
            read_check_comments(in);
            fault = line_position(&line, str_text(&line.text));
            r = place(df, &in, err);
        }
        if (r == 0)
            r = check_count(++count, err);
        if (r < 0)
            return add_excerpt(df, line.first, source.line > line.last ? source.line : line.last,
                               &fault, err);
    }
    return r < 0 ? add_excerpt(df, source.line, source.line, NULL, err) : 0;
}

static int check_text(const char *text, size_t size, struct error *err)
{
    const char *nul = memchr(text, '\0', size);
    unsigned line = 1;

    if (size == 0)
        return error_set(err, EINVAL, "the Dockerfile cannot be empty");
    if (size > LIMIT_DOCKERFILE_SIZE)
        return error_set(err, E2BIG, "the Dockerfile is larger than %u bytes",
                         LIMIT_DOCKERFILE_SIZE);
    if (!nul)
        return 0;
    for (; text < nul; text++)
        line += *text == '\n';
    return error_set(err, EINVAL, "the Dockerfile holds a NUL byte on line %u, it is not a text",
                     line);
}

static int parse(struct dockerfile *df, const struct dockerfile_options *options, struct error *err)
{
    unsigned directives_end;
    struct position fault;
    int r = dockerfile_directives(df, options, &directives_end, &fault, err);

    if (r < 0)
        return add_excerpt(df, fault.line, fault.line, &fault, err);
    r = parse_lines(df, directives_end, err);
    if (r < 0)
        return r;
    if (df->stage_count == 0 && df->globals.count == 0)
        return error_set(err, EINVAL, "file with no instructions");
    if (df->stage_count == 0)
        return error_set(err, EINVAL, "dockerfile contains no stages to build");
    return 0;
}

int dockerfile_parse(const char *text, size_t size, const struct dockerfile_options *options,
                     struct dockerfile **out, struct error *err)
{
    static const struct dockerfile_options none = {0};
    static const char mark[] = "\xEF\xBB\xBF";
    auto_dockerfile struct dockerfile *df = mem_new(struct dockerfile);
    int r;

    options = options ? options : &none;
    if (size >= 3 && memcmp(text, mark, 3) == 0) {
        text += 3;
        size -= 3;
    }
    r = check_text(text, size, err);
    if (r < 0)
        return r;
    df->name = mem_strdup(options->name ? options->name : "Dockerfile");
    df->source = mem_strndup(text, size);
    df->source_size = size;
    df->escape = '\\';
    r = parse(df, options, err);
    if (r == 0)
        *out = STEAL(&df);
    return r;
}

static void mark_trigger(struct instruction *in, const struct instruction *from)
{
    in->is_trigger = true;
    in->line_first = from->line_first;
    in->line_last = from->line_last;
}

int dockerfile_parse_trigger(const struct dockerfile *df, const struct instruction *from,
                             const char *text, struct instruction **out, struct error *err)
{
    struct source source = {.text = text, .size = strlen(text)};
    auto_line struct line line = {0};
    auto_line struct line next = {0};
    auto_instruction struct instruction *in = NULL;
    struct position fault;
    int r = line_next(&source, '\\', 0, &line, err);

    line.is_placeless = true;
    line.first = from->line_first;
    if (r > 0)
        r = instruction_parse(&line, str_text(&line.text), '\\', &source, &in, &fault, err);
    if (r < 0)
        return dockerfile_locate(df, from, NULL, err);
    if (!in || line_next(&source, '\\', 0, &next, err) != 0)
        r = error_set(err, EINVAL, "onbuild trigger should be a single expression");
    else if (in->kind == INSTRUCTION_FROM || in->kind == INSTRUCTION_MAINTAINER)
        r = error_set(err, EINVAL, "%s isn't allowed as an ONBUILD trigger",
                      instruction_name(in->kind));
    else if (in->kind == INSTRUCTION_ONBUILD)
        r = error_set(err, EINVAL, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (r < 0)
        return dockerfile_locate(df, from, NULL, err);
    mark_trigger(in, from);
    *out = STEAL(&in);
    return 0;
}

/* The last of `names` before `before`, or -1. */
static int last_before(const struct name_list *names, size_t before)
{
    size_t low = 0;
    size_t high = names->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (names->items[middle] < before)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? (int)names->items[low - 1] : -1;
}

int dockerfile_find_stage(const struct dockerfile *df, const char *name, size_t before)
{
    auto_free char *lower = mem_strdup(name);
    const struct name_list *names;
    uint64_t index;

    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    names = table_get(&df->stage_names, lower);
    if (names)
        return last_before(names, before);
    if (before > df->stage_count)
        before = df->stage_count;
    return before > 0 && text_to_u64(name, before - 1, &index) ? (int)index : -1;
}

int dockerfile_target(const struct dockerfile *df, const char *target, size_t *stage,
                      struct error *err)
{
    struct strv names = {0};
    auto_free char *shown = NULL;
    const char *suggestion;
    int found;

    if (!target || *target == '\0') {
        *stage = df->stage_count - 1;
        return 0;
    }
    found = dockerfile_find_stage(df, target, df->stage_count);
    if (found >= 0) {
        *stage = (size_t)found;
        return 0;
    }
    for (size_t i = 0; i < df->stage_count; i++)
        if (df->stages[i].from->from.name.text)
            strv_add(&names, df->stages[i].from->from.name.text);
    shown = quote_word(target);
    suggestion = text_suggest(target, (const char *const *)names.items, names.count);
    (void)error_set(err, EINVAL, "target stage %s could not be found%s%s%s", shown,
                    suggestion ? " (did you mean " : "", suggestion ? suggestion : "",
                    suggestion ? "?)" : "");
    strv_release(&names);
    return -EINVAL;
}

const char *dockerfile_suggest_base(const struct dockerfile *df, size_t stage, const char *image)
{
    /* What many files start from. */
    static const char *const common[] = {"alpine", "busybox", "centos", "debian",
                                         "fedora", "golang",  "ubuntu"};
    auto_free const char **names = mem_resize(NULL, stage + 7, sizeof(*names));
    auto_free char *name = mem_strndup(image, strcspn(image, ":@"));
    const char *near;
    size_t count = 0;

    for (size_t i = 0; i < stage; i++)
        if (df->stages[i].from->from.name.text)
            names[count++] = df->stages[i].from->from.name.text;
    for (size_t i = 0; i < 7; i++)
        names[count++] = common[i];
    near = text_suggest(name, names, count);
    return near && !text_equal(near, name) ? near : NULL;
}

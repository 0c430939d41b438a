/* build_plan.c - from instructions and arguments to stages: what is needed, and what needs what. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "builder/build_context.h"

#include "fs/base/banned.h"

const char *build_arg(const struct build *b, const char *name)
{
    size_t size = strlen(name);

    if (b->is_epoch_settled && strcmp(name, "SOURCE_DATE_EPOCH") == 0)
        return b->epoch_text;
    for (size_t i = b->options->build_args == NULL ? 0 : b->options->build_args->count; i > 0;
         i--) {
        const char *pair = b->options->build_args->items[i - 1];

        if (strncmp(pair, name, size) == 0 && pair[size] == '=')
            return pair + size + 1;
    }
    return NULL;
}

static void set_platform_args(struct build *b, const char *prefix, const struct platform *p)
{
    const struct {
        const char *suffix;
        const char *value;
    } parts[] = {{"OS", p->os},
                 {"OSVERSION", p->os_version},
                 {"ARCH", p->architecture},
                 {"VARIANT", p->variant}};
    auto_str struct str whole = {0};
    auto_free char *name = str_format("%sPLATFORM", prefix);

    platform_format(p, &whole);
    variables_set(&b->globals, name, str_text(&whole));
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        auto_free char *part = str_format("%s%s", prefix, parts[i].suffix);

        variables_set(&b->globals, part, parts[i].value == NULL ? "" : parts[i].value);
    }
}

/* Platform arguments, then --build-arg over them, then the ARGs in front of the first FROM. */
static int set_globals(struct build *b, struct error *err)
{
    const char *target = b->options->target;

    if (target == NULL || target[0] == '\0')
        target = b->df->stages[b->df->stage_count - 1].from->from.name.text;
    set_platform_args(b, "BUILD", &b->build_platform);
    set_platform_args(b, "TARGET", &b->platform);
    variables_set(&b->globals, "TARGETSTAGE", target == NULL ? "default" : target);
    for (size_t i = 0; i < b->globals.count; i++) {
        const char *given = build_arg(b, b->globals.items[i].name);

        if (given != NULL)
            variables_set(&b->globals, b->globals.items[i].name, given);
    }
    for (size_t i = 0; i < b->df->globals.count; i++) {
        struct expand_env env = variables_env(&b->globals);
        auto_instruction struct instruction *arg = NULL;
        int r = instruction_expand(b->df, b->df->globals.items[i], &env, NULL, &arg, err);

        if (r < 0)
            return r;
        for (size_t k = 0; k < arg->pairs.count; k++) {
            const struct pair *pair = &arg->pairs.items[k];
            const char *given = build_arg(b, pair->name);

            if (given == NULL && pair->value == NULL && variables_has(&b->globals, pair->name))
                continue;
            variables_set(&b->globals, pair->name, given == NULL ? pair->value : given);
        }
    }
    return 0;
}

int build_stage_find(const struct build *b, const char *name, size_t before)
{
    return dockerfile_find_stage(b->df, name, before);
}

static void add_need(struct build_stage *s, size_t position)
{
    for (size_t i = 0; i < s->need_count; i++)
        if (s->needs[i] == position)
            return;
    s->needs = array_grow(s->needs, s->need_count, &s->need_capacity, sizeof(*s->needs));
    s->needs[s->need_count++] = position;
}

/* A stage that a named context has the name of is that context, whatever the Dockerfile says. */
static bool plan_context(struct build_stage *s)
{
    const char *name = s->source->from->from.name.text;

    if (name == NULL)
        return false;
    s->base_context = context_find(s->build, name, &s->build->platform);
    if (s->base_context == NULL)
        return false;
    platform_copy(&s->platform, &s->build->platform);
    s->base_name = mem_strdup(name);
    s->base_stage = -1;
    s->is_context = true;
    s->step_count = 1;
    return true;
}

static int plan_from(struct build_stage *s, struct error *err)
{
    struct build *b = s->build;
    struct expand_env env = variables_env(&b->globals);
    auto_instruction struct instruction *from = NULL;
    int r = instruction_expand(b->df, s->source->from, &env, NULL, &from, err);

    if (r < 0)
        return r;
    platform_copy(&s->platform, &b->platform);
    if (from->from.platform.text != NULL && from->from.platform.text[0] != '\0') {
        platform_release(&s->platform);
        s->platform = (struct platform){0};
        r = platform_parse(from->from.platform.text, &s->platform, err);
        if (r < 0)
            return dockerfile_locate(b->df, s->source->from, &s->source->from->from.platform.at,
                                     err);
    }
    if (from->from.image.text == NULL || from->from.image.text[0] == '\0') {
        error_set(err, EINVAL, "base name (%s) should not be blank",
                  s->source->from->from.image.text);
        return dockerfile_locate(b->df, s->source->from, &s->source->from->from.image.at, err);
    }
    s->base_name = mem_strdup(from->from.image.text);
    s->base_stage = build_stage_find(b, s->base_name, s->position);
    if (s->base_stage >= 0)
        add_need(s, (size_t)s->base_stage);
    else
        s->base_context = context_find(b, s->base_name, &s->platform);
    return 0;
}

/* A name that only a later stage has is a mistake with a clear answer. */
static int plan_ref(struct build_stage *s, const struct instruction *in,
                    const struct instruction_ref *ref, struct error *err)
{
    struct build *b = s->build;
    int position = build_stage_find(b, ref->name, s->position);
    int later = build_stage_find(b, ref->name, b->stage_count);
    uint64_t index;

    if (position >= 0) {
        add_need(s, (size_t)position);
        b->stages[position].is_referred_to = true;
        return 0;
    }
    if (context_find(b, ref->name, &s->platform) != NULL)
        return 0;
    if (later == (int)s->position)
        error_set(err, EINVAL, "circular dependency detected on stage: %s", ref->name);
    else if (later > 0)
        error_set(err, EINVAL,
                  "cannot copy from stage \"%s\", it needs to be defined before current stage "
                  "\"%s\"",
                  ref->name,
                  s->source->from->from.name.text == NULL ? s->label
                                                          : s->source->from->from.name.text);
    else if (text_to_u64(ref->name, UINT64_MAX, &index))
        error_set(err, EINVAL, "invalid stage index %s", ref->name);
    else
        return 0; /* an image */
    return ref->mount ? dockerfile_locate_mount(b->df, in, ref->mount, "from", err)
                      : dockerfile_locate(b->df, in, &ref->at, err);
}

static int plan_body(struct build_stage *s, struct error *err)
{
    for (size_t i = 0; i < s->source->body.count; i++) {
        const struct instruction *in = s->source->body.items[i];
        struct instruction_ref refs[BUILD_REFS_MAX];
        size_t count = instruction_refs(in, refs, BUILD_REFS_MAX);

        if (count > BUILD_REFS_MAX) {
            error_set(err, E2BIG, "RUN has more than %u mounts", BUILD_REFS_MAX);
            return dockerfile_locate(s->build->df, in, NULL, err);
        }
        for (size_t k = 0; k < count; k++) {
            int r = plan_ref(s, in, &refs[k], err);

            if (r < 0)
                return r;
        }
    }
    return 0;
}

static void name_stage(struct build_stage *s)
{
    const char *name = s->source->from->from.name.text;
    auto_str struct str platform = {0};

    if (name != NULL)
        s->label_text = mem_strdup(name);
    else if (s->build->stage_count > 1)
        s->label_text = str_format("stage-%zu", s->position);
    else
        s->label_text = mem_strdup("");
    if (s->build->options->is_one_of_several) {
        auto_free char *stage = s->label_text;

        platform_format(&s->build->platform, &platform);
        s->label_text =
            str_format("%s%s%s", str_text(&platform), stage[0] == '\0' ? "" : " ", stage);
    }
    s->label = s->label_text;
}

static bool is_forced(const struct build_stage *s)
{
    const struct strv *names = s->build->options->no_cache_stages;
    const char *name = s->source->from->from.name.text;

    for (size_t i = 0; names != NULL && name != NULL && i < names->count; i++)
        if (strcasecmp(names->items[i], name) == 0)
            return true;
    return s->build->options->no_cache;
}

/* Needs point backwards only, so one pass from the end marks everything. */
static void mark_one(struct build_stage *s)
{
    if (!s->is_needed)
        progress_expect(s->build->options->progress, s->step_count);
    s->is_needed = true;
}

void build_mark_needed(struct build *b, size_t position)
{
    mark_one(&b->stages[position]);
    b->first_open = 0;
    for (size_t i = position + 1; i > 0; i--) {
        const struct build_stage *s = &b->stages[i - 1];

        for (size_t k = 0; s->is_needed && k < s->need_count; k++)
            mark_one(&b->stages[s->needs[k]]);
    }
}

static void mark_target(struct build *b)
{
    build_mark_needed(b, b->target);
    for (size_t i = 0; b->all_stages && i <= b->target; i++)
        mark_one(&b->stages[i]);
    for (int i = (int)b->target; i >= 0; i = b->stages[i].base_stage)
        b->stages[i].is_exported = true;
}

static bool has_onbuild(const struct build_stage *s)
{
    for (size_t i = 0; i < s->source->body.count; i++)
        if (s->source->body.items[i]->kind == INSTRUCTION_ONBUILD)
            return true;
    return false;
}

/* A long line of stages would else hold all that each of them was. What a trigger copies from is not
 * known before its image is; so where there may be one, every stage stays. */
static void mark_givers(struct build *b)
{
    auto_free unsigned *children = mem_alloc((b->stage_count + 1) * sizeof(*children));

    for (size_t i = 0; i <= b->target; i++) {
        const struct build_stage *s = &b->stages[i];
        bool is_scratch = s->base_context == NULL && strcmp(s->base_name, "scratch") == 0;
        bool has_image = i > 0 && s->base_stage < 0 && !is_scratch;

        if (has_onbuild(s) || (s->is_needed && has_image))
            return;
    }
    for (size_t i = 0; i <= b->target; i++) {
        const struct build_stage *s = &b->stages[i];

        if (!s->is_needed)
            continue;
        if (s->base_stage >= 0)
            children[s->base_stage]++;
    }
    for (size_t i = 0; i < b->target; i++)
        b->stages[i].gives_all = children[i] == 1 && !b->stages[i].is_referred_to;
}

static bool counts_as_step(enum instruction_kind kind)
{
    return kind == INSTRUCTION_RUN || kind == INSTRUCTION_COPY || kind == INSTRUCTION_ADD ||
           kind == INSTRUCTION_WORKDIR;
}

int build_plan(struct build *b, struct error *err)
{
    int r = set_globals(b, err);

    if (r < 0)
        return r;
    b->stage_count = b->df->stage_count;
    b->stages = mem_alloc(b->stage_count * sizeof(*b->stages));
    r = dockerfile_target(b->df, b->options->target, &b->target, err);
    for (size_t i = 0; r == 0 && i < b->stage_count; i++) {
        struct build_stage *s = &b->stages[i];

        s->build = b;
        s->source = &b->df->stages[i];
        s->position = i;
        s->no_cache = is_forced(s);
        for (size_t k = 0; k < s->source->body.count; k++)
            s->step_count += counts_as_step(s->source->body.items[k]->kind);
        name_stage(s);
        if (i > b->target)
            continue; /* nothing before it can need it */
        if (plan_context(s))
            continue;
        r = plan_from(s, err);
        /* As in peers' lines, FROM is a step where an image is used. */
        if (r == 0 && s->base_stage < 0 &&
            (s->base_context != NULL || strcmp(s->base_name, "scratch") != 0))
            s->step_count++;
        if (r == 0)
            r = plan_body(s, err);
    }
    if (r < 0)
        return r;
    mark_target(b);
    mark_givers(b);
    return 0;
}

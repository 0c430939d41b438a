/* outline.c - arguments, secrets and agents of the needed stages; the stages themselves. */
#include <string.h>

#include "builder/build_internal.h"
#include "builder/outline.h"

#include "fs/base/banned.h"

static void items_release(struct outline_items *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].name);
        free(list->items[i].value);
        free(list->items[i].description);
    }
    free(list->items);
    table_release(&list->index);
}

void outline_release(struct outline *o)
{
    free(o->name);
    free(o->description);
    items_release(&o->args);
    items_release(&o->secrets);
    items_release(&o->ssh);
    *o = (struct outline){0};
}

/* The item of that name; a new one stands where `in` does. */
static struct outline_item *item_of(struct outline_items *list, const char *name,
                                    const struct instruction *in, bool *is_new)
{
    size_t place = (size_t)(uintptr_t)table_get(&list->index, name);
    struct outline_item *item;

    *is_new = place == 0;
    if (place > 0)
        return &list->items[place - 1];
    item = array_add(list);
    table_put(&list->index, name, (void *)(uintptr_t)list->count);
    *item = (struct outline_item){
        .name = mem_strdup(name),
        .value = mem_strdup(""),
        .description = mem_strdup(""),
        .line_first = in->line_first,
        .line_last = in->line_last,
    };
    return item;
}

static void replace(char **text, const char *with)
{
    if (with == NULL)
        return;
    free(*text);
    *text = mem_strdup(with);
}

struct outlining {
    struct build *b;
    struct outline *out;
    struct variables *vars; /* what the text of each stage sets, by position */
};

/* The declaration in front of the first FROM, or NULL. */
static const struct instruction *find_global(const struct build *b, const char *name,
                                             const struct pair **pair)
{
    for (size_t i = b->df->globals.count; i > 0; i--) {
        const struct instruction *in = b->df->globals.items[i - 1];

        for (size_t k = 0; k < in->pairs.count; k++)
            if (strcmp(in->pairs.items[k].name, name) == 0) {
                *pair = &in->pairs.items[k];
                return in;
            }
    }
    return NULL;
}

static int use_globals(struct outlining *o, const struct strv *names, struct error *err);

/* A global argument counts when FROM or a stage uses it, and so do those its default is made of. */
static int use_global(struct outlining *o, const char *name, struct error *err)
{
    const struct pair *pair;
    const struct instruction *in = find_global(o->b, name, &pair);
    struct expand_env env = variables_env(&o->b->globals);
    auto_expand_use struct expand_use use = {0};
    auto_instruction struct instruction *expanded = NULL;
    struct outline_item *item;
    bool is_new;
    int r;

    if (in == NULL)
        return 0; /* predefined */
    item = item_of(&o->out->args, name, in, &is_new);
    if (!is_new)
        return 0;
    replace(&item->value, variables_get(&o->b->globals, name));
    replace(&item->description, pair->comment);
    r = instruction_expand(o->b->df, in, &env, &use, &expanded, err);
    return r < 0 ? r : use_globals(o, &use.matched, err);
}

static int use_globals(struct outlining *o, const struct strv *names, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < names->count; i++)
        r = use_global(o, names->items[i], err);
    return r;
}

static int read_from(struct outlining *o, const struct build_stage *s, struct error *err)
{
    struct expand_env env = variables_env(&o->b->globals);
    auto_expand_use struct expand_use use = {0};
    auto_instruction struct instruction *from = NULL;
    int r = instruction_expand(o->b->df, s->source->from, &env, &use, &from, err);

    return r < 0 ? r : use_globals(o, &use.matched, err);
}

static int read_arg(struct outlining *o, const struct instruction *in, struct variables *vars,
                    struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < in->pairs.count; i++) {
        const struct pair *pair = &in->pairs.items[i];
        const char *given = build_arg(o->b, pair->name);
        const char *global = variables_get(&o->b->globals, pair->name);
        const char *value = given != NULL ? given : pair->value != NULL ? pair->value : global;
        struct outline_item *item;
        bool is_new;

        variables_set(vars, pair->name, value);
        if (pair->value == NULL && variables_has(&o->b->globals, pair->name)) {
            r = use_global(o, pair->name, err);
            continue;
        }
        item = item_of(&o->out->args, pair->name, in, &is_new);
        if (!is_new)
            continue;
        replace(&item->value, value);
        replace(&item->description, pair->comment);
    }
    return r;
}

static void read_run(struct outlining *o, const struct instruction *in)
{
    const struct run_mounts *mounts = &in->run.mounts;

    for (size_t i = 0; i < mounts->count; i++) {
        const struct run_mount *m = &mounts->items[i];
        struct outline_item *item;
        bool is_new;

        if (m->type != RUN_MOUNT_SECRET && m->type != RUN_MOUNT_SSH)
            continue;
        item =
            item_of(m->type == RUN_MOUNT_SSH ? &o->out->ssh : &o->out->secrets, m->id, in, &is_new);
        item->is_required = item->is_required || m->is_required;
    }
}

static int read_instruction(struct outlining *o, const struct instruction *in,
                            struct variables *vars, struct error *err)
{
    struct expand_env env = variables_env(vars);
    auto_instruction struct instruction *expanded = NULL;
    int r;

    if (in->kind != INSTRUCTION_ARG && in->kind != INSTRUCTION_ENV && in->kind != INSTRUCTION_RUN)
        return 0;
    r = instruction_expand(o->b->df, in, &env, NULL, &expanded, err);
    if (r < 0)
        return r;
    if (in->kind == INSTRUCTION_RUN)
        read_run(o, expanded);
    for (size_t i = 0; in->kind == INSTRUCTION_ENV && i < expanded->pairs.count; i++)
        variables_set(vars, expanded->pairs.items[i].name, expanded->pairs.items[i].value);
    return in->kind == INSTRUCTION_ARG ? read_arg(o, expanded, vars, err) : 0;
}

static int read_stage(struct outlining *o, const struct build_stage *s, struct error *err)
{
    struct variables *vars = &o->vars[s->position];
    int r = read_from(o, s, err);

    if (s->base_stage >= 0 && o->b->stages[s->base_stage].gives_all) {
        *vars = STEAL(&o->vars[s->base_stage]);
    } else if (s->base_stage >= 0) {
        variables_copy(vars, &o->vars[s->base_stage]);
    }
    for (size_t i = 0; r == 0 && i < s->source->body.count; i++)
        r = read_instruction(o, s->source->body.items[i], vars, err);
    return r;
}

static int compare_items(const void *a, const void *b)
{
    const struct outline_item *left = a;
    const struct outline_item *right = b;

    if (left->line_first != right->line_first)
        return left->line_first < right->line_first ? -1 : 1;
    return strcmp(left->name, right->name);
}

static void sort_items(struct outline_items *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof(list->items[0]), compare_items);
}

/* Adds what this platform has and none before it. */
static int outline_one(const struct build_options *options, void *context, struct error *err)
{
    struct outline *out = context;
    __attribute__((cleanup(cleanup_build_release))) struct build b = {0};
    struct outlining o = {.b = &b, .out = out};
    int r;

    build_init(&b, options, BUILD_MODE_READ);
    r = build_load(&b, err);
    if (r < 0)
        return r;
    o.vars = mem_alloc(b.stage_count * sizeof(*o.vars));
    for (size_t i = 0; r == 0 && i <= b.target; i++)
        if (b.stages[i].is_needed)
            r = read_stage(&o, &b.stages[i], err);
    for (size_t i = 0; i < b.stage_count; i++)
        variables_release(&o.vars[i]);
    free(o.vars);
    replace(&out->name, b.stages[b.target].source->from->from.name.text);
    replace(&out->description, b.stages[b.target].source->from->from.comment);
    return r;
}

int build_outline(const struct build_options *options, struct outline *out, struct error *err)
{
    int r;

    *out = (struct outline){.name = mem_strdup(""), .description = mem_strdup("")};
    r = build_for_each_platform(options, outline_one, out, err);
    if (r < 0) {
        outline_release(out);
        return r;
    }
    sort_items(&out->args);
    sort_items(&out->secrets);
    sort_items(&out->ssh);
    return 0;
}

/* ---- targets ---- */

void targets_release(struct targets *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->items[i].name);
        free(t->items[i].description);
        free(t->items[i].base);
        free(t->items[i].platform);
    }
    free(t->items);
    *t = (struct targets){0};
}

static char *text_or_empty(const char *text)
{
    return mem_strdup(text == NULL ? "" : text);
}

int build_targets(const struct build_options *options, struct targets *out, struct error *err)
{
    __attribute__((cleanup(cleanup_build_release))) struct build b = {0};
    int r;

    *out = (struct targets){0};
    build_init(&b, options, BUILD_MODE_READ);
    r = build_parse(&b, err);
    for (size_t i = 0; r == 0 && i < b.df->stage_count; i++) {
        const struct instruction *in = b.df->stages[i].from;
        struct target *t = array_add(out);

        *t = (struct target){
            .name = text_or_empty(in->from.name.text),
            .description = text_or_empty(in->from.comment),
            .base = text_or_empty(in->from.image.text),
            .platform = text_or_empty(in->from.platform.text),
            .is_default = i + 1 == b.df->stage_count,
            .line_first = in->line_first,
            .line_last = in->line_last,
        };
    }
    return r;
}

/* build_epoch_stage.c - SOURCE_DATE_EPOCH named after a stage: the time of the one thing that stage
 * fetches. It is `FROM scratch` with one ADD of a URL or a repository and ARGs, nothing else, so
 * that its time is known before any stage is run.
 */
#include <errno.h>
#include <string.h>

#include "builder/build_copy.h"

#include "fs/base/banned.h"

struct epoch_stage {
    struct build *build;
    const struct stage *source;
    struct variables args; /* over the global ones */
    struct instruction *add;
};

static void epoch_stage_release(struct epoch_stage *e)
{
    variables_release(&e->args);
    instruction_free(e->add);
}
DEFINE_CLEANUP_VALUE(epoch_stage_release, struct epoch_stage)

static int expand(struct epoch_stage *e, const struct instruction *in, struct instruction **out,
                  struct error *err)
{
    struct expand_env env = variables_env(&e->args);

    return instruction_expand(e->build->df, in, &env, NULL, out, err);
}

static int check_base(struct epoch_stage *e, struct error *err)
{
    const struct instruction *from = e->source->from;
    auto_instruction struct instruction *expanded = NULL;
    int r = expand(e, from, &expanded, err);

    if (r < 0 || text_equal(expanded->from.image.text, "scratch"))
        return r;
    error_set(err, EINVAL, "SOURCE_DATE_EPOCH stage must use FROM scratch");
    return dockerfile_locate(e->build->df, from, &from->from.image.at, err);
}

static int set_args(struct epoch_stage *e, const struct instruction *in, struct error *err)
{
    auto_instruction struct instruction *expanded = NULL;
    int r = expand(e, in, &expanded, err);

    for (size_t i = 0; r == 0 && i < expanded->pairs.count; i++) {
        const struct pair *pair = &expanded->pairs.items[i];
        const char *given = build_arg(e->build, pair->name);

        if (given != NULL || pair->value != NULL)
            variables_set(&e->args, pair->name, given != NULL ? given : pair->value);
    }
    return r;
}

static int take_add(struct epoch_stage *e, const struct instruction *in, struct error *err)
{
    int r;

    if (e->add != NULL)
        return error_set(err, EINVAL,
                         "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD");
    if (in->copy.sources.count != 1 || in->copy.content_count != 0)
        return error_set(err, EINVAL,
                         "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source");
    r = expand(e, in, &e->add, err);
    if (r < 0 || copy_is_address(e->add->copy.sources.items[0].text))
        return r;
    return error_set(err, EINVAL,
                     "SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD");
}

static int read_stage(struct epoch_stage *e, struct error *err)
{
    int r = check_base(e, err);

    for (size_t i = 0; r == 0 && i < e->source->body.count; i++) {
        const struct instruction *in = e->source->body.items[i];

        if (in->kind == INSTRUCTION_ARG)
            r = set_args(e, in, err);
        else if (in->kind == INSTRUCTION_ADD)
            r = take_add(e, in, err);
        else
            r = error_set(err, EINVAL,
                          "SOURCE_DATE_EPOCH stage does not meet source-only requirements: "
                          "unsupported %s instruction",
                          instruction_name(in->kind));
        if (r < 0)
            return dockerfile_locate(e->build->df, in, NULL, err);
    }
    if (r < 0 || e->add != NULL)
        return r;
    error_set(err, EINVAL, "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD");
    return dockerfile_locate(e->build->df, e->source->from, NULL, err);
}

int build_stage_time(struct build *b, size_t position, int64_t *out, struct error *err)
{
    __attribute__((cleanup(cleanup_epoch_stage_release))) struct epoch_stage e = {
        .build = b, .source = &b->df->stages[position]};
    uint32_t vertex;
    int r;

    *out = 0;
    e.args.fallback = &b->globals;
    r = read_stage(&e, err);
    if (r < 0 || b->mode == BUILD_MODE_READ)
        return r;
    vertex = progress_beginf(b->options->progress,
                             "[internal] resolve SOURCE_DATE_EPOCH source stage %s",
                             e.source->from->from.name.text);
    r = copy_remote_time(&b->stages[position], e.add, vertex, out, err);
    progress_end(b->options->progress, vertex, progress_state_of(r), err->text);
    return r;
}

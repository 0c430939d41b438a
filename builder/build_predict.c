/* build_predict.c - steps as they are told about: how each came out, why, and, for a build that is
 * only predicted, what would follow.
 */
#include <errno.h>
#include <string.h>

#include "builder/build_internal.h"
#include "fs/base/log.h"

#include "fs/base/banned.h"

void build_step_note(struct build_stage *s, const char *text, enum build_outcome outcome,
                     struct strv *reasons)
{
    struct build *b = s->build;
    struct build_step *step;

    if (b->mode != BUILD_MODE_PREDICT && !b->options->explain)
        return;
    pthread_mutex_lock(&b->lock);
    step = array_add(&b->steps);
    *step = (struct build_step){
        .name = step_name(s, text),
        .outcome = outcome,
        .stage = s->position,
        .number = s->step_number,
    };
    if (reasons != NULL) {
        step->reasons = *reasons;
        *reasons = (struct strv){0};
    }
    pthread_mutex_unlock(&b->lock);
}

/* Read once, and before this build adds rows of its own: they explain nothing. */
static int load_rows(struct build *b, struct error *err)
{
    int r = 0;

    pthread_mutex_lock(&b->lock);
    if (!b->has_explain)
        r = explain_open(b->options->store, &b->explain, err);
    b->has_explain = b->has_explain || r == 0;
    pthread_mutex_unlock(&b->lock);
    return r;
}

static const char *forced_by(const struct build_stage *s)
{
    return s->build->options->no_cache ? "--no-cache" : "--no-cache-filter";
}

static void explain(struct build_stage *s, const struct cache_entry *entry, struct strv *out)
{
    const struct explain_step step = {
        .description = entry->description,
        .inputs = entry->inputs,
        .parent = s->state.key,
        .ran_above = s->state.ran,
    };
    struct error err;
    int r;

    if (s->no_cache) {
        strv_add(out, forced_by(s));
        return;
    }
    r = load_rows(s->build, &err);
    if (r == 0)
        r = explain_miss(&s->build->explain, &step, out, &err);
    if (r < 0)
        log_warn("cannot explain '%s': %s, continuing without", entry->description, err.text);
}

/* Later steps are told that this one is above them. */
static void note_ran(struct build_stage *s, const char *text)
{
    free(s->state.ran);
    s->state.ran = mem_strdup(text);
}

bool build_step_missed(struct build_stage *s, const char *text, const struct cache_entry *entry)
{
    struct build *b = s->build;
    auto_strv struct strv reasons = {0};
    struct cache_hit made = build_made(b, &entry->key, 0);

    if (b->options->explain) {
        explain(s, entry, &reasons);
        note_ran(s, text);
    }
    build_step_note(s, text, BUILD_STEP_RAN, &reasons);
    if (b->mode != BUILD_MODE_PREDICT)
        return false;
    stage_push_layer(&s->state, &made);
    s->state.is_stale = true;
    atomic_fetch_add(&b->ran_count, 1);
    return true;
}

void build_step_unknown(struct build_stage *s, const char *text, const char *why)
{
    auto_strv struct strv reasons = {0};

    /* Where nothing is looked up there is nothing to be unsure of. */
    strv_add(&reasons, s->no_cache ? forced_by(s) : why);
    build_step_note(s, text, s->no_cache ? BUILD_STEP_RAN : BUILD_STEP_UNKNOWN, &reasons);
    s->state.is_stale = true;
    s->state.has_no_key = true;
    note_ran(s, text);
}

bool build_is_unknown(const struct build_stage *s, const struct instruction *in)
{
    struct instruction_ref refs[BUILD_REFS_MAX];
    size_t count = instruction_refs(in, refs, BUILD_REFS_MAX);

    if (s->state.has_no_key)
        return true;
    for (size_t i = 0; i < count && i < BUILD_REFS_MAX; i++) {
        int position = build_stage_find(s->build, refs[i].name, s->position);

        if (position >= 0 && s->build->stages[position].state.has_no_key)
            return true;
    }
    return false;
}

int build_predict(const struct build_options *options, struct build_result *out, struct error *err)
{
    __attribute__((cleanup(cleanup_build_release))) struct build b = {0};
    int r;

    *out = (struct build_result){0};
    build_init(&b, options, BUILD_MODE_PREDICT);
    r = build_load(&b, err);
    if (r == 0)
        r = build_run_stages(&b, err);
    build_finish(&b, out);
    return r;
}

int build_for_each_platform(const struct build_options *options, build_look *look, void *context,
                            struct error *err)
{
    struct build_options one = *options;
    int r = 0;

    if (options->platform_count <= 1)
        return look(options, context, err);
    for (size_t i = 0; r == 0 && i < options->platform_count; i++) {
        auto_str struct str name = {0};

        one.platform = &options->platforms[i];
        platform_format(one.platform, &name);
        r = look(&one, context, err);
        if (r < 0 && r != -ECANCELED)
            (void)error_wrap(err, "%s", str_text(&name)); /* r is what it returns */
    }
    return r;
}

struct checking {
    bool all_stages;
    struct build_result *out;
};

/* Goes on with the findings there are, which are kept once each. */
static int check_one(const struct build_options *options, void *context, struct error *err)
{
    const struct checking *checking = context;
    struct build_result *out = checking->out;
    __attribute__((cleanup(cleanup_build_release))) struct build b = {0};
    bool all_stages = checking->all_stages;
    int r;

    build_init(&b, options, BUILD_MODE_READ);
    b.checks = STEAL(&out->checks);
    build_result_release(out);
    b.all_stages = all_stages && (options->target == NULL || options->target[0] == '\0');
    r = build_load(&b, err);
    for (size_t i = 0; r == 0 && b.all_stages && i + 1 < b.stage_count; i++)
        r = build_run_stage(&b, i, err);
    if (r == 0)
        r = build_run_stages(&b, err);
    build_finish(&b, out);
    return r;
}

int build_check(const struct build_options *options, bool all_stages, struct build_result *out,
                struct error *err)
{
    struct checking checking = {.all_stages = all_stages, .out = out};

    *out = (struct build_result){0};
    return build_for_each_platform(options, check_one, &checking, err);
}

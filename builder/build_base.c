/* build_base.c - what FROM gives: another stage's state, nothing, or an image, fetched if need be. */
#include <errno.h>
#include <string.h>

#include "builder/build_context.h"
#include "builder/build_trace.h"
#include "builder/image/image.h"
#include "fs/base/key.h"
#include "fs/base/limits.h"
#include "fs/base/log.h"
#include "fs/store.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

/* A base of another platform than the one asked for is used, but not silently. */
static void check_platform(struct build_stage *s)
{
    struct build *b = s->build;
    auto_platform struct platform have = {0};
    auto_str struct str actual = {0};
    auto_str struct str expected = {0};

    config_platform(s->state.config, &have);
    platform_normalize(&have);
    if (platform_rank(&s->platform, &have) >= 0)
        return;
    platform_format(&have, &actual);
    platform_format(&s->platform, &expected);
    pthread_mutex_lock(&b->lock);
    check_base_platform(&b->checks, s->source->from, s->base_name, str_text(&actual),
                        str_text(&expected));
    pthread_mutex_unlock(&b->lock);
}

/* What a stage starts from. */
struct base {
    const struct reference *ref;
    const char *name; /* the reference as text */
    const struct platform *platform;
};

/* The manifest that the base's reference names in the store. */
static int find_local(struct build *b, const struct base *base, struct digest *manifest,
                      struct error *err)
{
    auto_reference_row struct reference_row row = {0};
    auto_image_row struct image_row image = {0};
    int r = store_reference_get(b->options->store, base->name, &row, err);

    if (r == 0) {
        *manifest = row.manifest;
        return 0;
    }
    if (r == -ENOENT && base->ref->has_digest) {
        r = store_image_get(b->options->store, &base->ref->digest, &image, err);
        if (r == 0)
            *manifest = base->ref->digest;
    }
    return r;
}

static bool suits(const struct image *image, const struct platform *wanted)
{
    auto_platform struct platform have = {0};

    config_platform(image->config, &have);
    platform_normalize(&have);
    return platform_rank(wanted, &have) >= 0;
}

static int load_state(struct build *b, const struct digest *manifest,
                      const struct platform *platform, struct image *image, struct error *err)
{
    int r = image_load(b->options->store, manifest, image, err);

    if (r < 0 || suits(image, platform))
        return r;
    image_release(image);
    *image = (struct image){0};
    return -ESTALE;
}

static bool is_out_of_reach(int r)
{
    return r == -ECONNREFUSED || r == -EHOSTUNREACH || r == -ETIMEDOUT || r == -ECONNRESET ||
           r == -EBUSY;
}

/* A registry that does not answer is no reason to stop when its last answer is still here; but it
 * is said what that was. */
static int use_last_known(struct build *b, const struct base *base, uint32_t vertex,
                          struct digest *manifest, const struct error *err)
{
    auto_image struct image image = {0};
    auto_free char *text = NULL;
    struct error ignored; /* the registry's is the one to be told */
    char digest[DIGEST_TEXT_SIZE];
    int r = find_local(b, base, manifest, &ignored);

    if (r == 0)
        r = load_state(b, manifest, base->platform, &image, &ignored);
    if (r < 0)
        return r;
    digest_format(manifest, digest);
    text = str_format("%s, continuing with %s as it was last, %s", err->text, base->name, digest);
    progress_warn(b->options->progress, vertex, text);
    return 0;
}

static int pull(struct build *b, const struct base *base, struct digest *manifest,
                struct error *err)
{
    uint32_t vertex =
        progress_beginf(b->options->progress, "[internal] load metadata for %s", base->name);
    struct transfer t = {.store = b->options->store,
                         .registries = b->options->registries,
                         .progress = b->options->progress,
                         .vertex = vertex};
    struct pull_result result;
    int r = transfer_pull(&t, base->ref, base->platform, &result, err);

    if (is_out_of_reach(r) && use_last_known(b, base, vertex, &result.manifest, err) == 0)
        r = 0;
    progress_end(b->options->progress, vertex, progress_state_of(r), err->text);
    if (r < 0)
        return error_wrap(err, "cannot pull '%s'", base->name);
    *manifest = result.manifest;
    return 0;
}

/* 0 with the image loaded; 1 when it has to be fetched. */
static int get_local(struct build *b, const struct base *base, struct image *image,
                     struct error *err)
{
    struct digest manifest;
    int r = -ENOENT;

    if (b->options->store != NULL &&
        (b->options->pull != BUILD_PULL_ALWAYS || base->ref->has_digest)) {
        r = find_local(b, base, &manifest, err);
        if (r == 0)
            r = load_state(b, &manifest, base->platform, image, err);
        if (r == 0 || (r != -ENOENT && r != -ESTALE))
            return r;
    }
    if (b->options->pull == BUILD_PULL_NEVER) {
        (void)error_set(err, ENOENT, "image '%s' is not in the store",
                        base->name); /* returned below */
        return error_hint(err, "`img pull %s`, or leave out --pull=never", base->name);
    }
    error_clear(err);
    return 1;
}

/* Finds or fetches; on success the image is loaded. */
static int get_image(struct build *b, const struct base *base, struct image *image, bool *is_fresh,
                     struct error *err)
{
    struct digest manifest;
    int r = get_local(b, base, image, err);

    if (r <= 0)
        return r;
    r = pull(b, base, &manifest, err);
    *is_fresh = r == 0;
    return r < 0 ? r : image_load(b->options->store, &manifest, image, err);
}

/* Two stages from one image fetch it once; others do not wait for them. */
static void begin_pull(struct build *b, const char *name)
{
    pthread_mutex_lock(&b->lock);
    while (table_has(&b->pulling, name))
        pthread_cond_wait(&b->changed, &b->lock);
    table_put(&b->pulling, name, b);
    pthread_mutex_unlock(&b->lock);
}

static void end_pull(struct build *b, const char *name)
{
    pthread_mutex_lock(&b->lock);
    table_remove(&b->pulling, name);
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

/* For modes that build nothing: what is not in the store is asked for, but not fetched. */
static int look_up(struct build *b, const struct base *base, struct image *image,
                   struct stage_state *out, struct error *err)
{
    struct transfer t = {.store = b->options->store, .registries = b->options->registries};
    int r = get_local(b, base, image, err);

    if (r <= 0)
        return r;
    out->is_stale = true; /* its layers are not here */
    r = transfer_describe(&t, base->ref, base->platform, &image->manifest, &image->config, err);
    if (r >= 0 || r == -ENOENT || r == -EACCES || r == -ECANCELED || b->mode != BUILD_MODE_READ)
        return r < 0 ? error_wrap(err, "cannot look up '%s'", base->name) : 0;
    log_warn("cannot look up '%s': %s, continuing without knowing its environment", base->name,
             err->text);
    error_clear(err);
    out->has_no_env = true;
    image->config = config_new_scratch(base->platform);
    return 0;
}

void build_loaded_state(struct build *b, const struct image *image, const char *name,
                        const struct platform *platform, struct stage_state *out)
{
    auto_str struct str platform_text = {0};
    char digest[DIGEST_TEXT_SIZE];

    platform_format(platform, &platform_text);
    image_key(&image->manifest, str_text(&platform_text), &out->key);
    digest_format(&image->manifest, digest);
    out->base = str_format("%.*s@%s", (int)strcspn(name, "@"), name, digest);
    out->time_ns = b->has_epoch ? b->now_ns : config_time(image->config);
    out->config = config_copy(image->config);
    config_set_cache(out->config, NULL);
    out->layers = mem_dup(image->layers, image->layer_count * sizeof(*image->layers));
    out->layer_count = image->layer_count;
    out->layer_capacity = image->layer_count;
    out->base_layer_count = image->layer_count;
}

int build_image_state(struct build *b, const char *text, const struct platform *platform,
                      struct stage_state *out, struct error *err)
{
    auto_reference struct reference ref = {0};
    auto_image struct image image = {0};
    auto_str struct str name = {0};
    struct base base = {.ref = &ref, .platform = platform};
    int r = registries_resolve(b->options->registries, text, &ref, err);

    if (r < 0)
        return r;
    reference_format(&ref, &name);
    base.name = str_text(&name);
    begin_pull(b, base.name);
    r = b->mode == BUILD_MODE_BUILD ? get_image(b, &base, &image, &out->is_fresh, err)
                                    : look_up(b, &base, &image, out, err);
    end_pull(b, base.name);
    if (r < 0)
        return r;
    build_trace_image(b, &ref, platform, &image.manifest);
    build_loaded_state(b, &image, base.name, platform, out);
    return r;
}

/* What a trigger copies from or mounts; the plan saw only the Dockerfile. */
static int await_refs(struct build_stage *s, const struct instruction *trigger, struct error *err)
{
    struct instruction_ref refs[BUILD_REFS_MAX];
    size_t count = instruction_refs(trigger, refs, BUILD_REFS_MAX);
    int r = 0;

    if (count > BUILD_REFS_MAX)
        return error_set(err, E2BIG, "RUN has more than %u mounts", BUILD_REFS_MAX);
    for (size_t i = 0; r == 0 && i < count; i++) {
        int position = build_stage_find(s->build, refs[i].name, s->position);

        if (position >= 0)
            r = build_stage_await(s, (size_t)position, err);
    }
    return r;
}

static int parse_triggers(struct build_stage *s, struct error *err)
{
    auto_strv struct strv texts = {0};

    config_words(s->state.config, "OnBuild", &texts);
    config_set_words(s->state.config, "OnBuild", NULL);
    for (size_t i = 0; i < texts.count; i++) {
        struct instruction *trigger;
        int r =
            dockerfile_parse_trigger(s->build->df, s->source->from, texts.items[i], &trigger, err);

        if (r < 0)
            return r;
        *array_add(&s->triggers) = trigger;
        r = await_refs(s, trigger, err);
        if (r < 0)
            return r;
        if (trigger->kind == INSTRUCTION_RUN || trigger->kind == INSTRUCTION_COPY ||
            trigger->kind == INSTRUCTION_ADD || trigger->kind == INSTRUCTION_WORKDIR) {
            s->step_count++;
            progress_expect(s->build->options->progress, 1);
        }
    }
    return 0;
}

static void scratch_state(struct build_stage *s)
{
    auto_str struct str platform = {0};

    platform_format(&s->platform, &platform);
    image_key(NULL, str_text(&platform), &s->state.key);
    s->state.config = config_new_scratch(&s->platform);
    s->state.time_ns = s->build->has_epoch ? s->build->now_ns : 0;
}

int build_suggest(const struct build_stage *s, const char *image, struct error *err)
{
    const char *near = dockerfile_suggest_base(s->build->df, s->position, image);
    struct error was = *err;

    if (near == NULL || was.code == ECANCELED)
        return -was.code;
    (void)error_set(err, was.code, "%s (did you mean %s?)", was.text, near); /* returned below */
    memcpy(err->hint, was.hint, sizeof(err->hint));
    return -was.code;
}

static void note_base(struct build_stage *s)
{
    auto_free char *text = str_format("FROM %s", s->state.base);
    auto_strv struct strv reasons = {0};

    if (s->state.is_stale)
        strv_add(&reasons, "not in the store, it will be fetched");
    build_step_note(s, text, s->state.is_stale ? BUILD_STEP_RAN : BUILD_STEP_CACHED, &reasons);
}

static int image_base(struct build_stage *s, struct error *err)
{
    struct progress *progress = s->build->options->progress;
    auto_free char *text = str_format("FROM %s", s->base_name);
    int r = s->base_context != NULL
                ? context_state(s, s->base_context, &s->state, err)
                : build_image_state(s->build, s->base_name, &s->platform, &s->state, err);

    if (r < 0) {
        (void)build_suggest(s, s->base_name, err); /* the code stays */
        return dockerfile_locate(s->build->df, s->source->from, &s->source->from->from.image.at,
                                 err);
    }
    check_platform(s);
    progress_end(progress, step_begin(s, text), s->state.is_fresh ? PROGRESS_DONE : PROGRESS_CACHED,
                 NULL);
    if (s->build->mode == BUILD_MODE_PREDICT && s->state.base != NULL)
        note_base(s);
    return 0;
}

static void load_env(struct build_stage *s)
{
    auto_strv struct strv pairs = {0};

    config_env(s->state.config, &pairs);
    for (size_t i = 0; i < pairs.count; i++) {
        char *equals = strchr(pairs.items[i], '=');

        if (equals == NULL)
            continue;
        *equals = '\0';
        variables_set(&s->env, pairs.items[i], equals + 1);
    }
    s->env.fallback = &s->args;
}

/* The other stage is done, and nobody will look at it again. */
static void take_stage(struct build_stage *s, struct build_stage *base)
{
    s->state = base->state;
    s->args = base->args;
    s->arg_names = base->arg_names;
    base->state = (struct stage_state){0};
    base->args = (struct variables){0};
    base->arg_names = (struct strv){0};
    if (base->hides_env) { /* in a new stage the ENV of its image holds again */
        load_env(s);
        return;
    }
    s->env = base->env;
    s->env.fallback = &s->args;
    base->env = (struct variables){0};
}

/* Many stages made FROM a large one: each costs what it has. */
static int copy_stage(struct build_stage *s, const struct build_stage *base, struct error *err)
{
    struct build *b = s->build;
    size_t entries = config_entry_count(base->state.config) + base->args.count;
    bool is_too_much;

    pthread_mutex_lock(&b->lock);
    b->copied_entries += entries;
    is_too_much = b->copied_entries > LIMIT_STAGE_ENTRIES;
    pthread_mutex_unlock(&b->lock);
    if (is_too_much)
        return error_set(err, E2BIG,
                         "the stages together have more than %u variables and lines of history",
                         LIMIT_STAGE_ENTRIES);
    stage_state_copy(&s->state, &base->state);
    variables_copy(&s->args, &base->args);
    strv_copy(&s->arg_names, &base->arg_names);
    return 0;
}

/* --env and --unsetlabel are about what stages start from: their instructions come later, and win. */
static void change_base(struct build_stage *s)
{
    const struct build_options *o = s->build->options;

    for (size_t i = 0; o->env != NULL && i < o->env->count; i++) {
        const char *pair = o->env->items[i];
        size_t size = strcspn(pair, "=");
        auto_free char *name = mem_strndup(pair, size);

        config_env_put(s->state.config, name, pair + size + 1);
    }
    for (size_t i = 0; o->unset_labels != NULL && i < o->unset_labels->count; i++)
        config_map_remove(s->state.config, "Labels", o->unset_labels->items[i]);
}

int build_base(struct build_stage *s, struct error *err)
{
    int r = 0;

    if (s->base_stage >= 0 && s->build->stages[s->base_stage].gives_all) {
        take_stage(s, &s->build->stages[s->base_stage]);
        build_trace_base(s);
        return parse_triggers(s, err);
    }
    if (s->base_stage >= 0) {
        r = copy_stage(s, &s->build->stages[s->base_stage], err);
    } else if (s->base_context == NULL && strcmp(s->base_name, "scratch") == 0) {
        scratch_state(s);
    } else {
        r = image_base(s, err);
    }
    if (r < 0)
        return r;
    if (s->base_stage < 0)
        change_base(s);
    load_env(s);
    build_trace_base(s);
    return parse_triggers(s, err);
}

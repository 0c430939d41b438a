/* build.c - the loop over the plan: stages on threads, and the image at the end.
 *
 * Locks are taken in the order context->lock, lock; none is held while a step runs or an image is
 * fetched.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "builder/attest/trace.h"
#include "builder/build.h"
#include "builder/build_context.h"
#include "builder/build_trace.h"
#include "builder/cache_export.h"
#include "builder/cache_remote.h"
#include "builder/image/image.h"
#include "builder/record.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/pool.h"
#include "fs/layer.h"
#include "fs/store.h"
#include "fs/view.h"

#include "fs/base/banned.h"

void build_result_release(struct build_result *r)
{
    checks_release(&r->checks);
    str_release(&r->report);
    for (size_t i = 0; i < r->steps.count; i++) {
        free(r->steps.items[i].name);
        strv_release(&r->steps.items[i].reasons);
    }
    free(r->steps.items);
    image_release(&r->image);
    *r = (struct build_result){0};
}

/* ---- sealing ---- */

struct seal_context {
    struct build_stage *stage;
    const struct cache_entry *entry;
};

static int put_row(void *context, int64_t layer, struct error *err)
{
    const struct seal_context *c = context;

    return build_cache_put(c->stage, c->entry, layer, err);
}

/* ---- digests of new layers, while later steps run ---- */

struct hash_job {
    struct build *build;
    int64_t layer;
    struct hash_job *next;
};

static int hash_layer(void *arg, struct error *err)
{
    const struct hash_job *job = arg;
    struct digest diff_id;
    uint64_t tar_size;
    int64_t layer = job->layer;
    int r = 0;

    if (job->build->options->rewrite_timestamp)
        r = build_clamp(job->build, layer, &layer, err);
    return r < 0 ? r : layer_digest(job->build->options->store, layer, &diff_id, &tar_size, err);
}

static void hash_later(struct build *b, int64_t layer)
{
    struct hash_job *job = mem_new(struct hash_job);

    job->build = b;
    job->layer = layer;
    pthread_mutex_lock(&b->lock);
    if (b->hashers == NULL)
        b->hashers = pool_new(1);
    job->next = b->hash_jobs;
    b->hash_jobs = job;
    pool_submit(b->hashers, hash_layer, job);
    pthread_mutex_unlock(&b->lock);
}

static void hashers_release(struct build *b)
{
    if (b->hashers != NULL)
        pool_cancel(b->hashers);
    pool_free(b->hashers);
    while (b->hash_jobs != NULL) {
        struct hash_job *next = b->hash_jobs->next;

        free(b->hash_jobs);
        b->hash_jobs = next;
    }
}

int build_seal(struct build_stage *s, struct view *v, const struct build_rows *rows,
               struct view_sealed *out, struct error *err)
{
    const struct seal_options options = {
        .mtime_max_ns = INT64_MAX,
        .with_row = rows->put,
        .context = rows->context,
    };
    int r = view_seal(v, &options, out, err);

    if (r == 0 && out->layer != 0 && s->is_exported)
        hash_later(s->build, out->layer);
    return r;
}

int build_seal_cached(struct build_stage *s, struct view *v, const struct cache_entry *entry,
                      struct view_sealed *out, struct error *err)
{
    struct seal_context context = {.stage = s, .entry = entry};
    const struct build_rows rows = {.put = put_row, .context = &context};

    return build_seal(s, v, &rows, out, err);
}

struct spawner *build_spawner(struct build *b, struct error *err)
{
    const struct build_options *o = b->options;
    struct spawner_volume volumes[SPAWNER_VOLUMES_MAX];
    const struct spawner_options options = {.single_id = o->single_id,
                                            .root_is_caller = o->volume_count > 0,
                                            .volumes = volumes,
                                            .volume_count = o->volume_count};

    assert(o->volume_count <= SPAWNER_VOLUMES_MAX);
    for (size_t i = 0; i < o->volume_count; i++)
        volumes[i] = o->volumes[i].source;
    pthread_mutex_lock(&b->lock);
    if (b->spawner == NULL && spawner_open(&options, &b->spawner, err) < 0)
        b->spawner = NULL;
    pthread_mutex_unlock(&b->lock);
    return b->spawner;
}

/* ---- stages ---- */

static bool is_ready(const struct build *b, const struct build_stage *s)
{
    if (!s->is_needed || s->status != STAGE_IDLE)
        return false;
    for (size_t i = 0; i < s->need_count; i++)
        if (b->stages[s->needs[i]].status != STAGE_DONE)
            return false;
    return true;
}

/* With lock held: the next stage to run, up to `last`; NULL when there is none now. */
static struct build_stage *next_stage(struct build *b, size_t last)
{
    while (b->first_open < b->stage_count &&
           (!b->stages[b->first_open].is_needed || b->stages[b->first_open].status == STAGE_DONE))
        b->first_open++;
    for (size_t i = b->first_open; !b->has_error && i <= last; i++)
        if (is_ready(b, &b->stages[i]))
            return &b->stages[i];
    return NULL;
}

/* The first failure is the build's; whatever else runs is told to end. */
static void finish_stage(struct build_stage *s, int result, const struct error *err)
{
    struct build *b = s->build;

    s->status = result < 0 ? STAGE_FAILED : STAGE_DONE;
    if (result < 0 && !b->has_error) {
        b->first_error = *err;
        b->first_result = result;
        b->has_error = true;
        atomic_store(b->stop, true);
        (void)eventfd_write(b->stop_fd, 1); /* the first write to an eventfd does not fail */
    }
    pthread_cond_broadcast(&b->changed);
}

/* With lock held: runs stages up to `goal` until that one is done or something failed. A stage that
 * waits in here has a higher position than all it runs, so no two ever wait for each other. */
static void work_until(struct build *b, size_t goal)
{
    while (!b->has_error && b->stages[goal].status != STAGE_DONE) {
        struct build_stage *s = next_stage(b, goal);
        struct error err = {0};
        int r;

        if (s == NULL) {
            pthread_cond_wait(&b->changed, &b->lock);
            continue;
        }
        s->status = STAGE_RUNNING;
        pthread_mutex_unlock(&b->lock);
        r = build_stage_run(s, &err);
        pthread_mutex_lock(&b->lock);
        finish_stage(s, r, &err);
    }
}

static void *work(void *arg)
{
    struct build *b = arg;

    pthread_mutex_lock(&b->lock);
    work_until(b, b->target);
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

int build_stage_await(struct build_stage *s, size_t position, struct error *err)
{
    struct build *b = s->build;
    bool is_done;

    pthread_mutex_lock(&b->lock);
    build_mark_needed(b, position);
    work_until(b, position);
    is_done = b->stages[position].status == STAGE_DONE;
    pthread_mutex_unlock(&b->lock);
    return is_done ? 0 : error_set(err, ECANCELED, "canceled");
}

static unsigned job_count(const struct build *b)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned jobs = b->options->jobs != 0 ? b->options->jobs : cpus > 0 ? (unsigned)cpus : 1;
    unsigned needed = 0;

    for (size_t i = 0; i < b->stage_count; i++)
        needed += b->stages[i].is_needed;
    return jobs < needed ? jobs : needed;
}

int build_run_stage(struct build *b, size_t position, struct error *err)
{
    pthread_mutex_lock(&b->lock);
    work_until(b, position);
    pthread_mutex_unlock(&b->lock);
    if (!b->has_error)
        return 0;
    *err = b->first_error;
    return b->first_result;
}

#define JOBS_MAX 64u

/* One stage needs no thread but ours; the main thread works along with the others. */
int build_run_stages(struct build *b, struct error *err)
{
    pthread_t threads[JOBS_MAX];
    unsigned jobs = job_count(b);
    unsigned started = 0;

    while (started + 1 < jobs && started < JOBS_MAX &&
           pthread_create(&threads[started], NULL, work, b) == 0)
        started++;
    work(b);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (!b->has_error)
        return 0;
    *err = b->first_error;
    return b->first_result;
}

/* ---- the image ---- */

static void set_labels(struct build *b, struct config *config)
{
    const struct strv *labels = b->options->labels;

    for (size_t i = 0; labels != NULL && i < labels->count; i++) {
        const char *pair = labels->items[i];
        const char *equals = strchr(pair, '=');
        auto_free char *name = mem_strndup(pair, strcspn(pair, "="));

        config_map_put(config, "Labels", name, json_new_text(equals == NULL ? "" : equals + 1));
    }
}

static void unset_env(struct build *b, struct config *config)
{
    const struct strv *names = b->options->unset_env;

    for (size_t i = 0; names != NULL && i < names->count; i++)
        config_env_remove(config, names->items[i]);
}

static int tag_all(struct build *b, uint32_t vertex, const struct digest *manifest,
                   struct error *err)
{
    const struct strv *tags = b->options->tags;
    int r = 0;

    for (size_t i = 0; r == 0 && tags != NULL && i < tags->count; i++) {
        auto_free char *line = str_format("naming to %s", tags->items[i]);

        r = image_tag(b->options->store, tags->items[i], manifest, err);
        if (r == 0)
            progress_status(b->options->progress, vertex, line, 0, 0, true);
    }
    return r;
}

static void say(struct build *b, uint32_t vertex, const char *what, const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];
    auto_free char *line = NULL;

    digest_format(digest, text);
    line = str_format("%s %s", what, text);
    progress_status(b->options->progress, vertex, line, 0, 0, true);
}

static int make_image(struct build *b, struct build_result *out, struct error *err)
{
    struct stage_state *state = &b->stages[b->target].state;
    const struct image_options options = {
        .annotations = b->options->annotations,
        .docker_types = b->options->docker_types,
    };
    int r = b->hashers == NULL ? 0 : pool_wait(b->hashers, err);

    if (r == 0)
        r = cache_remote_bring(b, state->layers, state->layer_count, err);
    set_labels(b, state->config);
    unset_env(b, state->config);
    config_set_created(state->config, state->time_ns);
    if (r == 0 && b->options->rewrite_timestamp)
        r = build_clamp_all(b, state, err);
    if (r == 0 && b->options->squash)
        r = build_squash(b, state, err);
    if (r == 0 && !cache_export_inline(b, state->config, state->layers, state->layer_count))
        log_warn("no layer of the image is that of a cached step, continuing without inline cache");
    if (r == 0)
        r = image_make(b->options->store, state->config, state->layers, state->layer_count,
                       &options, &out->image, err);
    if (r < 0)
        return r;
    out->manifest = out->image.manifest;
    out->config = out->image.config_digest;
    return 0;
}

static int export_image(struct build *b, struct build_result *out, struct error *err)
{
    uint32_t vertex;
    int r;

    if (b->options->no_image)
        return make_image(b, out, err);
    vertex = progress_begin(b->options->progress, "exporting to image");
    progress_status(b->options->progress, vertex, "exporting layers", 0, 0, false);
    r = make_image(b, out, err);
    if (r == 0)
        r = image_store(b->options->store, &out->image, err);
    if (r == 0) {
        progress_status(b->options->progress, vertex, "exporting layers", 0, 0, true);
        say(b, vertex, "exporting manifest", &out->manifest);
        say(b, vertex, "exporting config", &out->config);
        r = tag_all(b, vertex, &out->manifest, err);
    }
    progress_end(b->options->progress, vertex, r < 0 ? PROGRESS_ERROR : PROGRESS_DONE, err->text);
    return r;
}

/* ---- one build ---- */

void build_init(struct build *b, const struct build_options *options, enum build_mode mode)
{
    *b = (struct build){
        .options = options, .mode = mode, .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    b->stop = options->stop != NULL ? options->stop : &b->own_stop;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    platform_host(&b->build_platform);
    if (options->platform != NULL)
        platform_copy(&b->platform, options->platform);
    else
        platform_copy(&b->platform, &b->build_platform);
    b->started_ns = io_now_ns();
    b->now_ns = b->started_ns;
}

static void stage_release(struct build_stage *s)
{
    platform_release(&s->platform);
    stage_state_release(&s->state);
    variables_release(&s->env);
    variables_release(&s->args);
    strv_release(&s->arg_names);
    for (size_t i = 0; i < s->triggers.count; i++)
        instruction_free(s->triggers.items[i]);
    free(s->triggers.items);
    free(s->label_text);
    free(s->base_name);
    free(s->needs);
}

void build_release(struct build *b)
{
    spawner_close(b->spawner);
    hashers_release(b);
    if (b->stop_fd >= 0)
        close(b->stop_fd);
    for (size_t i = 0; i < b->stage_count; i++)
        stage_release(&b->stages[i]);
    free(b->stages);
    contexts_release(b);
    checks_release(&b->checks);
    variables_release(&b->globals);
    platform_release(&b->platform);
    platform_release(&b->build_platform);
    dockerfile_free(b->df);
    free(b->epoch_text);
    free(b->touched);
    cache_remote_free(b->remote);
    table_release(&b->pulling);
    explain_release(&b->explain);
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->changed);
}
int build_parse(struct build *b, struct error *err)
{
    const struct build_options *o = b->options;
    const struct dockerfile_options options = {
        .name = o->dockerfile_name,
        .syntax = build_arg(b, "BUILDKIT_SYNTAX"),
        .check = build_arg(b, "BUILDKIT_DOCKERFILE_CHECK"),
    };

    return dockerfile_parse(o->dockerfile, o->dockerfile_size, &options, &b->df, err);
}

/* Peers fetch the frontend a Dockerfile names, so it is said that nothing of the kind happens. */
static void note_syntax(const struct build *b, uint32_t vertex)
{
    auto_free char *line = NULL;

    if (b->df->syntax == NULL || b->options->is_another_platform || b->mode != BUILD_MODE_BUILD)
        return;
    line = str_format("the frontend %s is built in, nothing is fetched for it\n", b->df->syntax);
    progress_log(b->options->progress, vertex, 2, line, strlen(line));
}

/* A stage that was misspelled would be taken from the cache, and nobody told. */
static void warn_of_stages(const struct build *b, uint32_t vertex)
{
    const struct strv *names = b->options->no_cache_stages;

    for (size_t i = 0; names != NULL && i < names->count; i++) {
        auto_free char *text = str_format("--no-cache-filter: there is no stage '%s', "
                                          "continuing without it",
                                          names->items[i]);
        bool is_known = false;

        for (size_t k = 0; k < b->stage_count; k++) {
            const char *name = b->stages[k].source->from->from.name.text;

            is_known = is_known || (name != NULL && strcasecmp(name, names->items[i]) == 0);
        }
        if (!is_known)
            progress_warn(b->options->progress, vertex, text);
    }
}

int build_load(struct build *b, struct error *err)
{
    const struct build_options *o = b->options;
    uint32_t vertex = progress_beginf(o->progress, "[internal] load build definition from %s",
                                      path_base(o->dockerfile_name));
    int r = build_parse(b, err);

    if (r == 0)
        note_syntax(b, vertex);
    if (r == 0)
        r = contexts_init(b, err);
    if (r == 0)
        r = build_plan(b, err);
    if (r == 0)
        r = build_epoch(b, err);
    if (r == 0 && b->mode == BUILD_MODE_BUILD && !o->is_another_platform)
        warn_of_stages(b, vertex);
    progress_end(o->progress, vertex, r < 0 ? PROGRESS_ERROR : PROGRESS_DONE, err->text);
    if (r == 0)
        dockerfile_check(b->df, &b->globals, &b->checks);
    if (r == 0 && b->mode != BUILD_MODE_READ)
        r = cache_remote_open(b, err);
    return r;
}

/* What the next build wants to know: digests of the context, and which records were used. Neither
 * is worth failing a build for that has its image. */
static void remember(struct build *b)
{
    struct error ignored;

    contexts_remember(b);
    if (b->touched_count > 0)
        (void)store_cache_touch(b->options->store, b->touched, b->touched_count, &ignored);
}

static int compare_steps(const void *a, const void *b)
{
    const struct build_step *left = a;
    const struct build_step *right = b;

    if (left->stage != right->stage)
        return left->stage < right->stage ? -1 : 1;
    return left->number < right->number ? -1 : left->number > right->number;
}

void build_finish(struct build *b, struct build_result *out)
{
    out->has_epoch = b->has_epoch;
    out->epoch_s = b->epoch_s;
    out->cached_count = b->cached_count;
    out->step_count = b->cached_count + b->ran_count;
    out->checks = STEAL(&b->checks);
    if (b->df != NULL && out->checks.count > 0)
        checks_report(&out->checks, b->df, &out->report);
    memcpy(out->failed_step, b->failed_step, sizeof(out->failed_step));
    out->has_garbage = b->has_garbage;
    out->steps = STEAL(&b->steps);
    if (out->steps.count > 1)
        qsort(out->steps.items, out->steps.count, sizeof(out->steps.items[0]), compare_steps);
}

/* With error=true nothing is run before everything was looked at. */
static int check_first(struct build *b, struct error *err)
{
    auto_build_result struct build_result found = {0};
    struct error ignored; /* of the build itself, which will come to it */

    if (!b->checks.config.is_error)
        return 0;
    (void)build_check(b->options, false, &found, &ignored);
    if (found.checks.count == 0)
        return 0;
    checks_release(&b->checks);
    b->checks = STEAL(&found.checks);
    return checks_verdict(&b->checks, err);
}

int build_run(const struct build_options *options, struct build_result *out, struct error *err)
{
    auto_record struct record *record = record_new(options);
    struct build_options recorded = *options;
    __attribute__((cleanup(cleanup_build_release))) struct build b = {0};
    int r;

    *out = (struct build_result){0};
    recorded.progress = record_progress(record);
    build_init(&b, &recorded, BUILD_MODE_BUILD);
    b.record = record;
    build_trace_begin(&b);
    r = build_load(&b, err);
    if (r == 0)
        r = build_trace_check_globals(&b, err);
    if (r == 0)
        r = check_first(&b, err);
    if (r == 0)
        r = build_run_stages(&b, err);
    if (r == 0)
        r = checks_verdict(&b.checks, err);
    if (r == 0)
        r = export_image(&b, out, err);
    cache_remote_keep(&b);
    if (r == 0)
        r = cache_export(&b, err);
    remember(&b);
    build_finish(&b, out);
    if (options->trace != NULL)
        trace_finish(options->trace, b.target, io_now_ns());
    record_finish(record, r);
    return r;
}

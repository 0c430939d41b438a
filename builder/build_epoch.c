/* build_epoch.c - SOURCE_DATE_EPOCH: the one time of everything a build makes, and the
 * layers of an image with no file newer than it.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "builder/build_context.h"
#include "builder/dockerfile/quote.h"
#include "builder/source/source.h"
#include "fs/base/key.h"
#include "fs/layer.h"
#include "fs/store.h"

#include "fs/base/banned.h"

#define NAME "SOURCE_DATE_EPOCH"
#define EPOCH_MAX_S 253402300799u /* the last second of the year 9999 */
#define NS_PER_S 1000000000u

/* From --build-arg (the environment is one), else the default of a global ARG. */
static const char *given(const struct build *b)
{
    const char *value = build_arg(b, NAME);

    return value != NULL ? value : variables_get(&b->globals, NAME);
}

/* What stages see of it is the number, whatever it was given as. */
static void settle(struct build *b, bool has_epoch, uint64_t epoch_s)
{
    b->is_epoch_settled = true;
    b->has_epoch = has_epoch;
    b->epoch_s = (int64_t)epoch_s;
    if (has_epoch) {
        b->epoch_text = str_format("%llu", (unsigned long long)epoch_s);
        b->now_ns = b->epoch_s * NS_PER_S;
    }
    if (variables_has(&b->globals, NAME))
        variables_set(&b->globals, NAME, b->epoch_text);
}

static int stage_named(const struct build *b, const char *name)
{
    for (size_t i = 0; i < b->df->stage_count; i++) {
        const char *known = b->df->stages[i].from->from.name.text;

        if (known != NULL && strcasecmp(known, name) == 0)
            return (int)i;
    }
    return -1;
}

static int refuse(const char *value, struct error *err)
{
    auto_free char *shown = quote_bare(value);

    error_set(err, EINVAL, "invalid " NAME ": %s", shown);
    return error_hint(err,
                      "it is a number of seconds, 'context', or the name of a build context or "
                      "of a stage that fetches one thing");
}

/* `context`, or the name of a context or of a stage: the time of what is fetched. A directory has
 * none, for its files' times depend on who checked them out. */
static int time_of(struct build *b, const char *name, bool *has_time, uint64_t *seconds,
                   struct error *err)
{
    const char *context = strcmp(name, "context") == 0 ? NULL : name;
    bool is_context = context == NULL || context_find(b, context, &b->platform) != NULL;
    int position = is_context ? -1 : stage_named(b, name);
    int64_t time_ns = 0;
    int r = 0;

    if (!is_context && position < 0)
        return refuse(name, err);
    if (position >= 0)
        r = build_stage_time(b, (size_t)position, &time_ns, err);
    else if (b->mode != BUILD_MODE_READ)
        r = context_time(b, context, &time_ns, err);
    *has_time = time_ns > 0;
    *seconds = (uint64_t)time_ns / NS_PER_S;
    return r;
}

int build_epoch(struct build *b, struct error *err)
{
    const char *value = given(b);
    bool has_epoch = value != NULL && value[0] != '\0';
    uint64_t seconds = 0;
    int r = 0;

    error_clear(err);
    if (has_epoch && !text_to_u64(value, EPOCH_MAX_S, &seconds))
        r = time_of(b, value, &has_epoch, &seconds, err);
    if (r < 0)
        return r;
    settle(b, has_epoch, seconds);
    if (b->options->rewrite_timestamp && !has_epoch)
        return error_set(err, EINVAL, "rewriting timestamps needs " NAME);
    return 0;
}

/* ---- keys ---- */

bool build_key_with_epoch(const struct build *b, const struct digest *chain, struct digest *step)
{
    auto_key struct key timed = {0};
    const struct digest untimed = *chain; /* both may be the same */

    *step = untimed;
    if (!b->has_epoch)
        return false;
    key_init(&timed, "epoch");
    key_digest(&timed, "step", &untimed);
    key_number(&timed, "epoch", (uint64_t)b->epoch_s);
    key_final(&timed, step);
    return true;
}

/* ---- layers ---- */

static int find_clamped(struct build *b, const struct digest *key, int64_t *out, struct error *err)
{
    auto_cache_row struct cache_row row = {0};
    int r = store_cache_get(b->options->store, key, &row, err);

    if (r == 0)
        *out = row.layer;
    return r;
}

static int remember_clamped(struct build *b, const struct digest *key, int64_t layer,
                            struct error *err)
{
    char description[] = "timestamps rewritten";
    const struct cache_row row = {.key = *key, .layer = layer, .description = description};

    return store_cache_put(b->options->store, &row, err);
}

int build_clamp(struct build *b, int64_t layer, int64_t *out, struct error *err)
{
    struct layer_row row;
    auto_key struct key key = {0};
    struct digest digest;
    int r = store_layer_get(b->options->store, layer, &row, err);

    if (r < 0)
        return r;
    key_init(&key, "clamp");
    key_number(&key, "layer", (uint64_t)layer);
    key_number(&key, "index", row.index); /* ids of layers are used again */
    key_number(&key, "epoch", (uint64_t)b->epoch_s);
    key_final(&key, &digest);
    r = find_clamped(b, &digest, out, err);
    if (r != -ENOENT)
        return r;
    error_clear(err);
    r = layer_clamp(b->options->store, layer, b->epoch_s * NS_PER_S, out, err);
    return r == 0 && *out != layer ? remember_clamped(b, &digest, *out, err) : r;
}

int build_clamp_all(struct build *b, struct stage_state *state, struct error *err)
{
    int r = 0;

    for (size_t i = state->base_layer_count; r == 0 && i < state->layer_count; i++)
        r = build_clamp(b, state->layers[i], &state->layers[i], err);
    return r;
}

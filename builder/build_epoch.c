/* build_epoch.c - SOURCE_DATE_EPOCH: the one time of everything a build makes (FEATURES 1.8), and the
 * layers of an image with no file newer than it.
 */
#include <errno.h>
#include <string.h>

#include "builder/build_internal.h"
#include "builder/key.h"
#include "builder/source.h"
#include "fs/layer.h"
#include "fs/store.h"

#include "fs/base/banned.h"

#define NAME "SOURCE_DATE_EPOCH"
#define EPOCH_MAX_S 253402300799u /* the last second of the year 9999 */
#define NS_PER_S 1000000000ll

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

int build_epoch(struct build *b, struct error *err)
{
    const char *value = given(b);
    bool is_given = value != NULL && value[0] != '\0';
    uint64_t seconds = 0;

    /* A local context has no time of its own: the files' depend on who checked them out. One that
     * was fetched has its commit's or its Last-Modified. */
    if (is_given && strcmp(value, "context") == 0) {
        is_given = b->options->fetched != NULL && b->options->fetched->mtime_ns > 0;
        seconds = is_given ? (uint64_t)(b->options->fetched->mtime_ns / NS_PER_S) : 0;
    } else if (is_given && !text_to_u64(value, EPOCH_MAX_S, &seconds)) {
        return error_set(err, EINVAL, NAME " is neither a number of seconds nor 'context': '%s'",
                         value);
    }
    settle(b, is_given, seconds);
    if (b->options->rewrite_timestamp && !is_given)
        return error_set(err, EINVAL, "rewriting timestamps needs " NAME);
    return 0;
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

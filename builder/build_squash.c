/* build_squash.c - --squash: what this build added becomes one layer, on the base as it is. */
#include <errno.h>

#include "builder/build_internal.h"
#include "fs/base/key.h"
#include "fs/layer_squash.h"
#include "fs/store.h"

#include "fs/base/banned.h"

static int make_key(struct build *b, const struct stage_state *state, struct digest *out,
                    struct error *err)
{
    auto_key struct key key = {0};

    key_init(&key, "squash");
    key_number(&key, "below", state->base_layer_count);
    for (size_t i = 0; i < state->layer_count; i++) {
        struct layer_row row;
        int r = store_layer_get(b->options->store, state->layers[i], &row, err);

        if (r < 0)
            return r;
        key_number(&key, "layer", (uint64_t)row.id);
        key_number(&key, "index", row.index); /* ids of layers are used again */
    }
    key_final(&key, out);
    return 0;
}

struct remembered {
    struct build *build;
    const struct digest *key;
};

static int remember(void *context, int64_t layer, struct error *err)
{
    const struct remembered *m = context;
    char description[] = "layers squashed";
    const struct cache_row row = {.key = *m->key, .layer = layer, .description = description};

    return store_cache_put(m->build->options->store, &row, err);
}

/* One entry of the history stands for the layer; the others tell how it came about. */
static void set_history(struct config *config, size_t kept, size_t squashed, int64_t time_ns,
                        bool is_empty)
{
    auto_free char *comment = str_format("merge of %zu layers", squashed);
    const struct config_history entry = {.created_ns = time_ns,
                                         .created_by = "img build --squash",
                                         .comment = comment,
                                         .empty_layer = is_empty};

    config_empty_history(config, kept);
    config_add_history(config, &entry);
}

int build_squash(struct build *b, struct stage_state *state, struct error *err)
{
    size_t count = state->layer_count - state->base_layer_count;
    struct digest key;
    struct remembered context = {.build = b, .key = &key};
    struct layer_squash what = {
        .below = state->layers,
        .below_count = state->base_layer_count,
        .layers = &state->layers[state->base_layer_count],
        .count = count,
        .with_row = remember,
        .context = &context,
    };
    auto_cache_row struct cache_row row = {0};
    int64_t layer = 0;
    int r;

    if (count < 2)
        return 0;
    r = make_key(b, state, &key, err);
    if (r < 0)
        return r;
    r = store_cache_get(b->options->store, &key, &row, err);
    if (r == 0)
        layer = row.layer;
    else if (r == -ENOENT)
        r = layer_squash(b->options->store, &what, &layer, err);
    if (r < 0)
        return r;
    error_clear(err);
    state->layer_count = state->base_layer_count;
    if (layer != 0)
        state->layers[state->layer_count++] = layer;
    set_history(state->config, state->base_layer_count, count, state->time_ns, layer == 0);
    return 0;
}

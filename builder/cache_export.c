/* cache_export.c - gathers the records of a build and sends them off as an image. */
#include <errno.h>
#include <string.h>

#include "builder/build_internal.h"
#include "builder/cache_export.h"
#include "builder/cache_remote.h"
#include "builder/image/image.h"
#include "builder/image/save.h"
#include "fs/base/limits.h"
#include "fs/store.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

#define TEXT_SIZE_MAX 256u /* of a step's text, which is for people */

/* ---- gathering ---- */

struct gathering {
    struct build *build;
    struct json *records;
    struct table seen; /* keys */
    int64_t *layers;
    size_t layer_count;
    size_t layer_capacity;
    bool is_fixed;                      /* the layers are an image's: no other joins them */
    const struct cache_address *source; /* that knew every record; NULL: there is none */
    bool has_begun;
};

static void gathering_release(struct gathering *g)
{
    json_unref(g->records);
    table_release(&g->seen);
    free(g->layers);
}
DEFINE_CLEANUP_VALUE(gathering_release, struct gathering)

/* Its place among the layers; -1: it has none. */
static int64_t place_of(struct gathering *g, int64_t layer)
{
    for (size_t i = 0; i < g->layer_count; i++)
        if (g->layers[i] == layer)
            return (int64_t)i;
    if (g->is_fixed)
        return -1;
    g->layers = array_grow(g->layers, g->layer_count, &g->layer_capacity, sizeof(*g->layers));
    g->layers[g->layer_count++] = layer;
    return (int64_t)g->layer_count - 1;
}

static void add_record(struct gathering *g, const struct cache_record *record)
{
    auto_str struct str created = {0};
    auto_free char *text = mem_strndup(record->description, TEXT_SIZE_MAX);
    struct json *object;
    char digest[DIGEST_TEXT_SIZE];
    int64_t place = record->layer == 0 ? -1 : place_of(g, record->layer);

    if (record->layer != 0 && place < 0)
        return;
    object = json_new_object();
    digest_format(&record->key, digest);
    json_put_text(object, "key", digest);
    if (record->has_canonical) {
        digest_format(&record->canonical, digest);
        json_put_text(object, "as", digest);
    }
    if (place >= 0)
        json_put_int(object, "layer", place);
    time_format(record->created_ns, &created);
    json_put_text(object, "created", str_text(&created));
    json_put_text(object, "text", text);
    json_push(g->records, object);
}

static void gather_row(struct gathering *g, const struct cache_row *row)
{
    struct cache_record record = {
        .key = row->key,
        .layer = row->layer,
        .created_ns = row->created_ns,
        .description = row->description,
    };
    struct error ignored;

    record.has_canonical =
        row->extra != NULL && digest_parse(row->extra, &record.canonical, &ignored) == 0;
    add_record(g, &record);
}

/* A key whose row is gone already is one that the next build does without. */
static void gather_keys(struct gathering *g, const struct stage_state *state)
{
    for (size_t i = 0; i < state->key_count; i++) {
        const struct cache_record *known = cache_remote_find(g->build, &state->keys[i]);
        auto_cache_row struct cache_row row = {0};
        char key[DIGEST_TEXT_SIZE];
        struct error none;

        digest_format(&state->keys[i], key);
        if (table_has(&g->seen, key))
            continue;
        table_put(&g->seen, key, g);
        if (known == NULL || (g->has_begun && known->source != g->source))
            g->source = NULL;
        else
            g->source = known->source;
        g->has_begun = true;
        if (store_cache_get(g->build->options->store, &state->keys[i], &row, &none) == 0)
            gather_row(g, &row);
        else if (known != NULL)
            add_record(g, known);
    }
}

static void gather(struct gathering *g, bool is_max)
{
    struct build *b = g->build;

    g->records = json_new_array();
    for (size_t i = 0; i < b->stage_count; i++)
        if (b->stages[i].is_needed && (is_max || i == b->target))
            gather_keys(g, &b->stages[i].state);
}

/* ---- inline ---- */

static bool wants_inline(const struct build *b)
{
    const struct cache_addresses *to = b->options->cache_to;
    const char *arg = build_arg(b, "BUILDKIT_INLINE_CACHE");

    for (size_t i = 0; to != NULL && i < to->count; i++)
        if (to->items[i].type == CACHE_INLINE)
            return true;
    return arg != NULL && (strcmp(arg, "1") == 0 || strcmp(arg, "true") == 0);
}

static struct json *document_of(struct gathering *g)
{
    struct json *document = json_new_object();

    json_put(document, "records", STEAL(&g->records));
    return document;
}

bool cache_export_inline(struct build *b, struct config *config, const int64_t *layers,
                         size_t layer_count)
{
    __attribute__((cleanup(cleanup_gathering_release))) struct gathering g = {.build = b};

    if (!wants_inline(b))
        return true;
    g.layers = mem_dup(layers, layer_count * sizeof(*layers));
    g.layer_count = layer_count;
    g.is_fixed = true;
    gather(&g, false);
    if (json_count(g.records) == 0)
        return false;
    config_set_cache(config, document_of(&g));
    return true;
}

/* ---- as an image of its own ---- */

/* The store's for as long as it is under way. */
static int send_image(struct build *b, uint32_t vertex, const struct image *image,
                      const struct cache_address *to, struct error *err)
{
    auto_reference struct reference ref = {0};
    auto_image_row struct image_row known = {0};
    struct transfer t = {.store = b->options->store,
                         .registries = b->options->registries,
                         .progress = b->options->progress,
                         .vertex = vertex};
    struct push_result result;
    struct error ignored;
    bool was_there = store_image_get(t.store, &image->manifest, &known, &ignored) == 0;
    int r = reference_parse(to->ref, &ref, err);

    if (r == 0)
        r = image_store(t.store, image, err);
    if (r < 0)
        return r;
    r = transfer_push(&t, &image->manifest, &ref, 1, &to->export, &result, err);
    if (!was_there)
        (void)store_image_remove(t.store, &image->manifest, &ignored); /* prune does it else */
    return r;
}

static int save_image(struct build *b, uint32_t vertex, const struct image *image,
                      const struct cache_address *to, struct error *err)
{
    auto_strv struct strv names = {0};
    const struct save_image saved = {.image = image, .names = &names};
    const struct save_options options = {
        .export = to->export, .progress = b->options->progress, .vertex = vertex};

    strv_addf(&names, "cache:%s", to->tag);
    return save_oci_directory(b->options->store, &saved, 1, &options, to->directory, err);
}

static int export_one(struct build *b, uint32_t vertex, const struct cache_address *to,
                      struct error *err)
{
    __attribute__((cleanup(cleanup_gathering_release))) struct gathering g = {.build = b};
    auto_config struct config *config = config_new_scratch(&b->platform);
    const struct image_options options = {.docker_types = to->export.types == EXPORT_DOCKER};
    auto_image struct image image = {0};
    int r;

    progress_status(b->options->progress, vertex, "preparing build cache for export", 0, 0, false);
    gather(&g, to->is_max);
    if (g.layer_count > LIMIT_IMAGE_LAYERS)
        return error_set(err, E2BIG, "the cache has %zu layers, more than %d", g.layer_count,
                         LIMIT_IMAGE_LAYERS);
    if (to->type == CACHE_REGISTRY && g.source != NULL && text_equal(g.source->ref, to->ref)) {
        progress_status(b->options->progress, vertex, "nothing is new", 0, 0, true);
        return 0;
    }
    r = cache_remote_bring(b, g.layers, g.layer_count, err);
    if (r < 0)
        return r;
    config_set_cache(config, document_of(&g));
    r = image_make(b->options->store, config, g.layers, g.layer_count, &options, &image, err);
    progress_status(b->options->progress, vertex, "preparing build cache for export", 0, 0, true);
    if (r < 0)
        return r;
    return to->type == CACHE_REGISTRY ? send_image(b, vertex, &image, to, err)
                                      : save_image(b, vertex, &image, to, err);
}

int cache_export(struct build *b, struct error *err)
{
    const struct cache_addresses *to = b->options->cache_to;
    int r = 0;

    for (size_t i = 0; r == 0 && to != NULL && i < to->count; i++) {
        uint32_t vertex;

        if (to->items[i].type == CACHE_INLINE)
            continue;
        vertex =
            progress_beginf(b->options->progress, "exporting cache to %s",
                            to->items[i].type == CACHE_LOCAL ? "client directory" : "registry");
        r = export_one(b, vertex, &to->items[i], err);
        progress_end(b->options->progress, vertex, progress_state_of(r), err->text);
        if (r < 0 && r != -ECANCELED && to->items[i].ignore_error) {
            error_clear(err);
            r = 0;
        }
        if (r < 0)
            return error_wrap(err, "--cache-to '%s'", to->items[i].text);
    }
    return r;
}

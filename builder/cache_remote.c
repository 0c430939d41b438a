/* cache_remote.c - reads the records of other caches, and fetches their layers when needed. */
#include <errno.h>
#include <string.h>

#include "builder/build_internal.h"
#include "builder/cache_remote.h"
#include "builder/image/config.h"
#include "builder/image/image.h"
#include "builder/image/layout.h"
#include "fs/base/log.h"
#include "fs/base/pool.h"
#include "fs/store.h"
#include "registry/registries.h"

#include "fs/base/banned.h"

#define FETCHES_AT_ONCE 4u

/* A registry's image with records; it borrows the two before it. */
struct cache_source {
    struct reference ref;
    struct transfer transfer;
    struct remote_image *image;
};

struct remote_layer {
    const struct remote_image *image;
    size_t position;
    int64_t id; /* in the store; 0 until it was fetched; guarded by the build's lock */
};

struct cache_remote {
    struct cache_source **sources; /* each where the image found it */
    size_t source_count;
    struct remote_layer *layers; /* number -1 - i */
    size_t layer_count;
    size_t layer_capacity;
    struct cache_record **records;
    size_t record_count;
    size_t record_capacity;
    struct table by_key;
};

static void cache_source_free(struct cache_source *s)
{
    if (s == NULL)
        return;
    remote_image_close(s->image);
    reference_release(&s->ref);
    free(s);
}
DEFINE_CLEANUP(cache_source_free, struct cache_source *)

static void record_free(struct cache_record *record)
{
    if (record != NULL)
        free(record->description);
    free(record);
}
DEFINE_CLEANUP(record_free, struct cache_record *)

void cache_remote_free(struct cache_remote *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->record_count; i++)
        record_free(r->records[i]);
    for (size_t i = 0; i < r->source_count; i++)
        cache_source_free(r->sources[i]);
    free(r->records);
    free(r->sources);
    free(r->layers);
    table_release(&r->by_key);
    free(r);
}

/* ---- records ---- */

static int read_record(const struct json *object, size_t layer_count, struct cache_record *out,
                       int64_t *layer, struct error *err)
{
    const char *key = json_get_text(object, "key");
    const char *as = json_get_text(object, "as");
    const char *created = json_get_text(object, "created");
    const char *text = json_get_text(object, "text");
    int r = key == NULL ? error_set(err, EINVAL, "a record of the cache has no key")
                        : digest_parse(key, &out->key, err);

    if (r == 0 && as != NULL)
        r = digest_parse(as, &out->canonical, err);
    if (r < 0)
        return r;
    out->has_canonical = as != NULL;
    if (created != NULL && time_parse(created, &out->created_ns) < 0)
        return error_set(err, EINVAL, "a record of the cache has the time '%s'", created);
    *layer = -1;
    if (json_get(object, "layer") != NULL &&
        json_get_int(object, "layer", 0, (int64_t)layer_count - 1, layer) < 0)
        return error_set(err, EINVAL, "a record of the cache names a layer that is not there");
    out->description = mem_strdup(text == NULL ? "" : text);
    return 0;
}

/* `layers`: what stands for each layer of the image. The first source that knows a key has it. */
static int add_records(struct cache_remote *r, const struct json *cache,
                       const struct cache_address *address, const int64_t *layers,
                       size_t layer_count, struct error *err)
{
    const struct json *list = json_get_array(cache, "records");

    for (size_t i = 0; i < json_count(list); i++) {
        __attribute__((cleanup(cleanup_record_free))) struct cache_record *record =
            mem_new(struct cache_record);
        char key[DIGEST_TEXT_SIZE];
        int64_t layer;
        int result = read_record(json_at(list, i), layer_count, record, &layer, err);

        if (result < 0)
            return result;
        record->source = address;
        record->layer = layer < 0 ? 0 : layers[layer];
        digest_format(&record->key, key);
        if (table_has(&r->by_key, key))
            continue;
        table_put(&r->by_key, key, record);
        r->records = array_grow(r->records, r->record_count, &r->record_capacity,
                                sizeof(struct cache_record *));
        r->records[r->record_count++] = STEAL(&record);
    }
    return 0;
}

struct cache_record *cache_remote_find(const struct build *b, const struct digest *key)
{
    char text[DIGEST_TEXT_SIZE];

    if (b->remote == NULL)
        return NULL;
    digest_format(key, text);
    return table_get(&b->remote->by_key, text);
}

static int put_row(struct build *b, const struct cache_record *record, int64_t layer,
                   struct error *err)
{
    auto_cache_row struct cache_row known = {0};
    struct error none;
    char canonical[DIGEST_TEXT_SIZE];
    struct cache_row row = {
        .key = record->key,
        .layer = layer,
        .description = record->description,
        .created_ns = record->created_ns,
    };

    if (store_cache_get(b->options->store, &record->key, &known, &none) == 0)
        return 0;
    if (record->has_canonical) {
        digest_format(&record->canonical, canonical);
        row.extra = canonical;
    }
    return store_cache_put(b->options->store, &row, err);
}

void cache_remote_keep(struct build *b)
{
    auto_store_tx struct store_tx tx = {0};
    struct cache_remote *r = b->remote;
    struct error err;
    int result = 0;
    bool is_begun = false;

    for (size_t i = 0; r != NULL && result == 0 && i < r->record_count; i++) {
        const struct cache_record *record = r->records[i];
        int64_t layer = record->layer < 0 ? r->layers[-1 - record->layer].id : record->layer;

        if (!record->is_used || (layer == 0 && record->layer != 0))
            continue;
        if (!is_begun)
            result = store_begin(b->options->store, &tx, &err);
        is_begun = true;
        if (result == 0)
            result = put_row(b, record, layer, &err);
    }
    if (is_begun && result == 0)
        result = store_commit(&tx, &err);
    if (result < 0)
        log_debug("cached steps are not kept: %s", err.text);
}

/* ---- sources ---- */

static int open_registry(struct build *b, const struct cache_address *address, uint32_t vertex,
                         struct error *err)
{
    struct cache_remote *r = b->remote;
    __attribute__((cleanup(cleanup_cache_source_free))) struct cache_source *s =
        mem_new(struct cache_source);
    auto_free int64_t *numbers = NULL;
    size_t count;
    int result = registries_resolve(b->options->registries, address->ref, &s->ref, err);

    if (result < 0)
        return result;
    s->transfer = (struct transfer){.store = b->options->store,
                                    .registries = b->options->registries,
                                    .progress = b->options->progress,
                                    .vertex = vertex};
    result = remote_image_open(&s->transfer, &s->ref, &b->platform, &s->image, err);
    if (result < 0)
        return result;
    count = config_layer_count(remote_image_config(s->image));
    numbers = mem_alloc((count + 1) * sizeof(*numbers));
    for (size_t i = 0; i < count; i++) {
        r->layers = array_grow(r->layers, r->layer_count, &r->layer_capacity, sizeof(*r->layers));
        r->layers[r->layer_count++] = (struct remote_layer){.image = s->image, .position = i};
        numbers[i] = -(int64_t)r->layer_count;
    }
    result =
        add_records(r, config_cache(remote_image_config(s->image)), address, numbers, count, err);
    r->sources = mem_resize(r->sources, r->source_count + 1, sizeof(struct cache_source *));
    r->sources[r->source_count++] = STEAL(&s);
    return result;
}

/* A directory is near: all of it comes into the store, which shares what it has already. */
static int open_layout(struct build *b, const struct cache_address *address, struct error *err)
{
    struct store *store = b->options->store;
    auto_free char *name = address->digest != NULL
                               ? str_format("%s@%s", address->directory, address->digest)
                               : str_format("%s:%s", address->directory, address->tag);
    auto_reference_list struct reference_list names = {0};
    auto_image struct image image = {0};
    struct cache_remote *r = b->remote;
    size_t first = r->record_count;
    struct digest manifest;
    int result = layout_import(store, name, &b->platform, &manifest, err);

    if (result == 0)
        result = image_load(store, &manifest, &image, err);
    if (result == 0)
        result = add_records(r, config_cache(image.config), address, image.layers,
                             image.layer_count, err);
    if (result < 0)
        return result;
    /* The rows hold the layers from now on, and the image was a means. */
    for (size_t i = first; i < r->record_count; i++)
        r->records[i]->is_used = true;
    cache_remote_keep(b);
    result = store_reference_list(store, &manifest, &names, err);
    return result < 0 || names.count > 0 ? result : store_image_remove(store, &manifest, err);
}

static int open_source(struct build *b, const struct cache_address *address, struct error *err)
{
    bool is_local = address->type == CACHE_LOCAL;
    uint32_t vertex = progress_beginf(b->options->progress, "importing cache manifest from %s",
                                      is_local ? address->directory : address->ref);
    size_t before = b->remote->record_count;
    auto_free char *line = NULL;
    int r;

    if (is_local && b->mode != BUILD_MODE_BUILD)
        r = error_set(err, ENOTSUP, "a dry run does not read '%s' into the store",
                      address->directory);
    else
        r = is_local ? open_layout(b, address, err) : open_registry(b, address, vertex, err);
    line = str_format("%zu steps", b->remote->record_count - before);
    if (r == 0)
        progress_status(b->options->progress, vertex, line, 0, 0, true);
    progress_end(b->options->progress, vertex, progress_state_of(r), err->text);
    return r;
}

int cache_remote_open(struct build *b, struct error *err)
{
    const struct cache_addresses *from = b->options->cache_from;

    if (from == NULL || from->count == 0)
        return 0;
    b->remote = mem_new(struct cache_remote);
    for (size_t i = 0; i < from->count; i++) {
        int r = open_source(b, &from->items[i], err);

        if (r == -ECANCELED)
            return r;
        if (r < 0)
            log_debug("cache '%s': %s", from->items[i].text, err->text);
        error_clear(err);
    }
    return 0;
}

/* ---- layers ---- */

struct fetch_job {
    const struct remote_layer *layer;
    int64_t number;
    uint32_t vertex;
    int64_t id;
};

static int fetch_layer(void *arg, struct error *err)
{
    struct fetch_job *job = arg;

    return remote_image_layer(job->layer->image, job->layer->position, job->vertex, &job->id, err);
}

/* With the lock held: ids of those that came before, jobs for the others, each once. */
static size_t plan_jobs(struct build *b, int64_t *layers, size_t count, struct fetch_job *jobs)
{
    size_t planned = 0;

    for (size_t i = 0; i < count; i++) {
        const struct remote_layer *layer;
        size_t k = 0;

        if (layers[i] >= 0)
            continue;
        layer = &b->remote->layers[-1 - layers[i]];
        while (k < planned && jobs[k].number != layers[i])
            k++;
        if (layer->id == 0 && k == planned)
            jobs[planned++] = (struct fetch_job){.layer = layer, .number = layers[i]};
        if (layer->id != 0)
            layers[i] = layer->id;
    }
    return planned;
}

static int run_jobs(struct build *b, struct fetch_job *jobs, size_t count, struct error *err)
{
    uint32_t vertex = progress_begin(b->options->progress, "[internal] fetch cached layers");
    auto_pool struct pool *pool = pool_new(FETCHES_AT_ONCE);
    int r;

    for (size_t i = 0; i < count; i++) {
        jobs[i].vertex = vertex;
        pool_submit(pool, fetch_layer, &jobs[i]);
    }
    r = pool_wait(pool, err);
    progress_end(b->options->progress, vertex, progress_state_of(r), err->text);
    if (r >= 0 || r == -ECANCELED)
        return r;
    (void)error_wrap(err, "cannot fetch a cached layer"); /* r is what it returns */
    err->hint[0] = '\0'; /* the registry's is about names that people type */
    return error_hint(err, "build without --cache-from, or export that cache again");
}

int cache_remote_bring(struct build *b, int64_t *layers, size_t count, struct error *err)
{
    auto_free struct fetch_job *jobs = NULL;
    size_t job_count;
    int r;

    if (b->remote == NULL)
        return 0;
    jobs = mem_alloc((count + 1) * sizeof(*jobs));
    pthread_mutex_lock(&b->lock);
    job_count = plan_jobs(b, layers, count, jobs);
    pthread_mutex_unlock(&b->lock);
    if (job_count == 0)
        return 0;
    r = run_jobs(b, jobs, job_count, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < job_count; i++)
        b->remote->layers[-1 - jobs[i].number].id = jobs[i].id;
    (void)plan_jobs(b, layers, count, jobs); /* all are here */
    pthread_mutex_unlock(&b->lock);
    return 0;
}

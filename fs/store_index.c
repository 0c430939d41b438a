/* store_index.c - the indexes of layers, mapped once per process. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fs/index.h"
#include "fs/store_internal.h"

#include "fs/base/banned.h"

static struct index *cached_index(struct store *store, int64_t layer)
{
    struct index *found = NULL;

    (void)pthread_mutex_lock(&store->open_lock); /* cannot fail */
    for (size_t i = 0; i < store->indexes.count && !found; i++)
        if (store->indexes.items[i].layer == layer)
            found = store->indexes.items[i].index;
    (void)pthread_mutex_unlock(&store->open_lock);
    return found;
}

/* The mapping that stays: another thread may have been faster. */
static struct index *keep_index(struct store *store, int64_t layer, struct index *opened)
{
    struct index *known = cached_index(store, layer);

    if (known) {
        index_close(opened);
        return known;
    }
    (void)pthread_mutex_lock(&store->open_lock); /* cannot fail */
    *array_add(&store->indexes) = (struct open_index){.layer = layer, .index = opened};
    (void)pthread_mutex_unlock(&store->open_lock);
    return opened;
}

int store_index_get(struct store *store, int64_t layer, const struct index **out, struct error *err)
{
    struct index *index = cached_index(store, layer);
    char name[STORE_NAME_SIZE];
    struct layer_row row;
    int r;

    if (!index) {
        r = store_layer_get(store, layer, &row, err);
        if (r < 0)
            return r;
        store_object_name(row.index, name);
        r = index_open(store->dirs[STORE_INDEX], name, false, &index, err);
        if (r < 0)
            return error_wrap(err, "cannot read layer %" PRId64 " of '%s'", layer, store->path);
        STORE_LOCKED(store); /* between the look and the insert nobody else inserts */
        index = keep_index(store, layer, index);
    }
    *out = index;
    return 0;
}

void index_forget(struct store *store, int64_t layer)
{
    struct index *dead = NULL;

    (void)pthread_mutex_lock(&store->open_lock); /* cannot fail */
    for (size_t i = 0; i < store->indexes.count && !dead; i++) {
        if (store->indexes.items[i].layer != layer)
            continue;
        dead = store->indexes.items[i].index;
        store->indexes.items[i] = store->indexes.items[--store->indexes.count];
    }
    (void)pthread_mutex_unlock(&store->open_lock);
    index_close(dead);
}

/* ---- of layers that mean something else upon others ---- */

/* Under open_lock. */
static const struct index *find_rerouted(const struct store *store, const int64_t *layers,
                                         size_t count)
{
    for (size_t i = 0; i < store->rerouted.count; i++) {
        const struct rerouted_index *known = &store->rerouted.items[i];

        if (known->count == count && memcmp(known->layers, layers, count * sizeof(*layers)) == 0)
            return known->index;
    }
    return NULL;
}

const struct index *store_rerouted_get(struct store *store, const int64_t *layers, size_t count)
{
    const struct index *found;

    (void)pthread_mutex_lock(&store->open_lock); /* cannot fail */
    found = find_rerouted(store, layers, count);
    (void)pthread_mutex_unlock(&store->open_lock);
    return found;
}

const struct index *store_rerouted_keep(struct store *store, const int64_t *layers, size_t count,
                                        struct index *made)
{
    const struct index *known;

    (void)pthread_mutex_lock(&store->open_lock); /* cannot fail */
    known = find_rerouted(store, layers, count);
    if (!known)
        *array_add(&store->rerouted) = (struct rerouted_index){
            .layers = mem_dup(layers, count * sizeof(*layers)), .count = count, .index = made};
    (void)pthread_mutex_unlock(&store->open_lock);
    if (!known)
        return made;
    index_close(made);
    return known;
}

void indexes_close(struct store *store)
{
    for (size_t i = 0; i < store->rerouted.count; i++) {
        index_close(store->rerouted.items[i].index);
        free(store->rerouted.items[i].layers);
    }
    free(store->rerouted.items);
    store->rerouted.items = NULL;
    store->rerouted.count = store->rerouted.capacity = 0;
    for (size_t i = 0; i < store->indexes.count; i++)
        index_close(store->indexes.items[i].index);
    free(store->indexes.items);
    store->indexes.items = NULL;
    store->indexes.count = store->indexes.capacity = 0;
}

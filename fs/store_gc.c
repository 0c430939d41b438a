/* store_gc.c - the rows of a collection: forgetting roots, sweeping what they alone held. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/failpoint.h"
#include "fs/base/hash.h"
#include "fs/gc_internal.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

static int forget_context(struct store *store, const char *key, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, "DELETE FROM context WHERE key = ?1", err);

    if (r < 0)
        return r;
    sql_bind_text(&q, 1, key);
    return sql_run(&q, err);
}

int gc_forget(struct store *store, const struct usage_row *row, struct error *err)
{
    switch (row->kind) {
    case USAGE_LAYER:
        return sql_exec_i64(store, "DELETE FROM cache WHERE layer = ?1", row->layer, err);
    case USAGE_BLOB:
        return sql_exec_digest(store,
                               "DELETE FROM image WHERE manifest = ?1 AND NOT EXISTS"
                               " (SELECT 1 FROM reference WHERE reference.image = manifest)",
                               &row->key, err);
    case USAGE_CACHE:
        return sql_exec_digest(store, "DELETE FROM cache WHERE key = ?1", &row->key, err);
    case USAGE_CACHE_MOUNT:
        return sql_exec_digest(store, "DELETE FROM cache_mount WHERE id = ?1", &row->key, err);
    case USAGE_CONTEXT:
        return forget_context(store, row->description, err);
    case USAGE_LOG:
    case USAGE_PARTIAL:
        return 0; /* it has no row */
    }
    return 0;
}

static void add_dead(struct store *store, struct gc_dead *dead, const struct object *object,
                     int64_t layer)
{
    *array_add(dead) = (struct gc_dead_object){
        .object = *object,
        .layer = layer,
        .disk_bytes = object_disk_bytes(store, object),
    };
    dead->disk_bytes += dead->items[dead->count - 1].disk_bytes;
}

static int sweep_ids(struct store *store, enum object_kind kind, const char *text,
                     struct gc_dead *dead, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, text, err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        struct object object;

        object_of_id(kind, sql_u64(&q, 0), &object);
        add_dead(store, dead, &object, sql_i64(&q, 1));
    }
    return r < 0 ? r : sql_check(&q, err);
}

static int forget_blob(struct store *store, const struct object *object, struct error *err)
{
    struct digest digest;
    int r = digest_parse_hex(object->name, &digest, err);

    return r < 0 ? r : sql_exec_digest(store, "DELETE FROM blob WHERE digest = ?1", &digest, err);
}

static int sweep_blobs(struct store *store, const struct table *kept, struct gc_dead *dead,
                       struct error *err)
{
    const size_t first = dead->count;
    auto_sql struct sql q = {0};
    int r = sql_open(
        &q, store,
        "SELECT digest FROM blob WHERE NOT EXISTS (SELECT 1 FROM image WHERE manifest = digest)"
        " AND NOT EXISTS (SELECT 1 FROM image WHERE config = digest)"
        " AND NOT EXISTS (SELECT 1 FROM layer_blob WHERE layer_blob.blob = digest)"
        " AND digest NOT IN (SELECT index_digest FROM reference WHERE index_digest IS NOT NULL)",
        err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        struct digest digest = {0};
        struct object object;

        sql_digest(&q, 0, &digest);
        object_of_digest(&digest, &object);
        if (!table_has(kept, object.name))
            add_dead(store, dead, &object, 0);
    }
    if (r == 0)
        r = sql_check(&q, err);
    for (size_t i = first; r == 0 && i < dead->count; i++)
        r = forget_blob(store, &dead->items[i].object, err);
    return r;
}

int gc_sweep(struct store *store, const struct table *kept, struct gc_dead *dead, struct error *err)
{
    int r = sweep_ids(store, OBJECT_INDEX,
                      "DELETE FROM layer WHERE id NOT IN (SELECT layer FROM image_layer)"
                      " AND id NOT IN (SELECT layer FROM cache WHERE layer IS NOT NULL)"
                      " AND id NOT IN (SELECT layer FROM cache_mount_layer) RETURNING index_id, id",
                      dead, err);

    if (r == 0)
        r = sweep_ids(store, OBJECT_PACK,
                      "DELETE FROM pack WHERE id NOT IN (SELECT pack FROM layer_pack)"
                      " RETURNING id, 0",
                      dead, err);
    if (r == 0)
        r = sweep_blobs(store, kept, dead, err);
    if (r == 0)
        r = sql_exec(store,
                     "DELETE FROM checksum WHERE digest NOT IN (SELECT digest FROM blob) AND digest"
                     " NOT IN (SELECT diff_id FROM layer WHERE diff_id IS NOT NULL)",
                     err);
    if (r == 0 && FAILPOINT("gc.sweep") < 0)
        r = error_errno(err, "cannot sweep");
    return r;
}

int gc_shrink_database(struct store *store, struct error *err)
{
    return sql_exec(store, "PRAGMA incremental_vacuum", err);
}

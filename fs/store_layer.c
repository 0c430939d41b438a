/* store_layer.c - rows of layers, of the packs they need, of their compressed forms; the stacks that
 * images and cache mounts make of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/failpoint.h"
#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

/* Stored in rows: they may be added to, never renumbered. */
_Static_assert(CODEC_NONE == 1 && CODEC_GZIP == 2 && CODEC_ZSTD == 3, "formats are stored");
_Static_assert(LAYER_PULLED == 1 && LAYER_BUILT == 2, "kinds are stored");

#define LAYER_COLUMNS                                                                              \
    "SELECT id, kind, diff_id, tar_size_bytes, pack, index_id, entry_count, data_bytes,"           \
    " created_ns FROM layer "

int store_pack_size(struct store *store, uint64_t id, uint64_t *size_bytes, struct error *err)
{
    auto_sql struct sql q = {0};
    struct object object;
    int r = sql_open(&q, store, "SELECT size_bytes FROM pack WHERE id = ?1", err);

    if (r < 0)
        return r;
    sql_bind_u64(&q, 1, id);
    r = sql_step(&q, err);
    if (r < 0)
        return r;
    if (r > 0) {
        *size_bytes = sql_u64(&q, 0);
        return sql_check(&q, err);
    }
    object_of_id(OBJECT_PACK, id, &object);
    if (object_is_pending(store, &object) && object_size(store, &object, size_bytes) == 0)
        return 0;
    return error_set(err, ENOENT, "there is no pack '%s' in the store '%s'", object.name,
                     store->path);
}

static int object_missing(const struct store *store, const struct object *object, struct error *err)
{
    return error_set(err, ENOENT, "there is no '%s/%s/%s'", store->path,
                     object_dir_name(object->kind), object->name);
}

static int insert_pack(struct store *store, uint64_t id, int64_t now_ns, struct error *err)
{
    auto_sql struct sql q = {0};
    struct object object;
    uint64_t size_bytes;
    int r;

    object_of_id(OBJECT_PACK, id, &object);
    if (object_size(store, &object, &size_bytes) < 0)
        return object_missing(store, &object, err);
    r = sql_open(&q, store,
                 "INSERT INTO pack (id, size_bytes, created_ns) VALUES (?1, ?2, ?3)"
                 " ON CONFLICT DO NOTHING",
                 err);
    if (r < 0)
        return r;
    sql_bind_u64(&q, 1, id);
    sql_bind_u64(&q, 2, size_bytes);
    sql_bind_i64(&q, 3, now_ns);
    r = sql_run(&q, err);
    if (r == 0)
        object_note_row(store, &object);
    return r;
}

static int insert_row(struct store *store, const struct layer_row *row, int64_t now_ns,
                      struct error *err)
{
    auto_sql struct sql q = {0};
    struct object index;
    uint64_t index_size_bytes;
    int r;

    object_of_id(OBJECT_INDEX, row->index, &index);
    if (object_size(store, &index, &index_size_bytes) < 0)
        return object_missing(store, &index, err);
    r = sql_open(&q, store,
                 "INSERT INTO layer (kind, diff_id, tar_size_bytes, pack, index_id,"
                 " index_size_bytes, entry_count, data_bytes, created_ns)"
                 " VALUES (?1, ?2, iif(?2 IS NULL, NULL, ?3), ?4, ?5, ?6, ?7, ?8, ?9)",
                 err);
    if (r < 0)
        return r;
    sql_bind_i64(&q, 1, (int64_t)row->kind);
    sql_bind_digest(&q, 2, row->has_diff_id ? &row->diff_id : NULL);
    sql_bind_u64(&q, 3, row->tar_size_bytes);
    sql_bind_u64_or_null(&q, 4, row->pack);
    sql_bind_u64(&q, 5, row->index);
    sql_bind_u64(&q, 6, index_size_bytes);
    sql_bind_u64(&q, 7, row->entry_count);
    sql_bind_u64(&q, 8, row->data_bytes);
    sql_bind_i64(&q, 9, row->created_ns ? row->created_ns : now_ns);
    r = sql_run(&q, err);
    if (r == 0)
        object_note_row(store, &index);
    return r;
}

static int insert_uses(struct store *store, int64_t layer, const uint64_t *packs, size_t count,
                       struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store,
                     "INSERT INTO layer_pack (layer, pack) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                     err);

    for (size_t i = 0; i < count && r == 0; i++) {
        sql_bind_i64(&q, 1, layer);
        sql_bind_u64(&q, 2, packs[i]);
        r = sql_run(&q, err);
        if (r == -ENOENT)
            r = error_set(err, ENOENT, "there is no pack '%016" PRIx64 "' in the store '%s'",
                          packs[i], store->path);
    }
    return r;
}

int store_layer_insert(struct store *store, const struct layer_row *row, const uint64_t *packs,
                       size_t pack_count, int64_t *id, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int64_t now_ns = io_now_ns();
    int64_t layer = 0;
    int r = store_begin(store, &tx, err);

    if (r == 0 && row->pack != 0)
        r = insert_pack(store, row->pack, now_ns, err);
    if (r == 0)
        r = insert_row(store, row, now_ns, err);
    if (r < 0)
        return r;
    layer = sql_last_id(store);
    if (row->pack != 0)
        r = insert_uses(store, layer, &row->pack, 1, err);
    if (r == 0)
        r = insert_uses(store, layer, packs, pack_count, err);
    if (r == 0 && FAILPOINT("layer.insert") < 0)
        r = error_errno(err, "cannot insert a layer");
    if (r == 0)
        r = store_commit(&tx, err);
    if (r == 0)
        *id = layer;
    return r;
}

static int read_layer(struct sql *q, struct layer_row *out, struct error *err)
{
    int64_t kind = sql_i64(q, 1);
    int r;

    *out = (struct layer_row){
        .id = sql_i64(q, 0),
        .kind = kind == LAYER_PULLED ? LAYER_PULLED : LAYER_BUILT,
        .has_diff_id = !sql_is_null(q, 2),
        .tar_size_bytes = sql_u64(q, 3),
        .pack = sql_u64(q, 4),
        .index = sql_u64(q, 5),
        .entry_count = sql_u64(q, 6),
        .data_bytes = sql_u64(q, 7),
        .created_ns = sql_i64(q, 8),
    };
    if (out->has_diff_id)
        sql_digest(q, 2, &out->diff_id);
    r = sql_check(q, err);
    if (r == 0 && (out->id <= 0 || (kind != LAYER_PULLED && kind != LAYER_BUILT) ||
                   (kind == LAYER_PULLED && out->pack == 0)))
        r = error_set(err, EUCLEAN, "the row of layer %" PRId64 " in '%s' makes no sense", out->id,
                      q->store->path);
    return r;
}

/* The layer that a query with bound parameters finds; `what` names it when there is none. */
static int get_layer(struct sql *q, const char *what, struct layer_row *out, struct error *err)
{
    int r = sql_step(q, err);

    if (r < 0)
        return r;
    if (r == 0)
        return error_set(err, ENOENT, "there is no layer %s in the store '%s'", what,
                         q->store->path);
    return read_layer(q, out, err);
}

int store_layer_get(struct store *store, int64_t id, struct layer_row *out, struct error *err)
{
    auto_sql struct sql q = {0};
    auto_free char *what = str_format("%" PRId64, id);
    int r = sql_open(&q, store, LAYER_COLUMNS "WHERE id = ?1", err);

    if (r < 0)
        return r;
    sql_bind_i64(&q, 1, id);
    return get_layer(&q, what, out, err);
}

int store_layer_find_by_diff_id(struct store *store, const struct digest *diff_id,
                                struct layer_row *out, struct error *err)
{
    auto_sql struct sql q = {0};
    char what[DIGEST_TEXT_SIZE];
    int r = sql_open(&q, store, LAYER_COLUMNS "WHERE diff_id = ?1 ORDER BY created_ns, id LIMIT 1",
                     err);

    if (r < 0)
        return r;
    digest_format(diff_id, what);
    sql_bind_digest(&q, 1, diff_id);
    return get_layer(&q, what, out, err);
}

int store_layer_find_by_blob(struct store *store, const struct digest *blob,
                             const struct digest *diff_id, struct layer_row *out, struct error *err)
{
    auto_sql struct sql q = {0};
    char what[DIGEST_TEXT_SIZE];
    int r = sql_open(&q, store,
                     LAYER_COLUMNS "WHERE id IN (SELECT layer FROM layer_blob WHERE blob = ?1)"
                                   " AND (?2 IS NULL OR diff_id = ?2)"
                                   " ORDER BY created_ns, id LIMIT 1",
                     err);

    if (r < 0)
        return r;
    digest_format(blob, what);
    sql_bind_digest(&q, 1, blob);
    sql_bind_digest(&q, 2, diff_id);
    return get_layer(&q, what, out, err);
}

int store_layer_share_blobs(struct store *store, int64_t from, int64_t to, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_sql struct sql q = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_open(
            &q, store,
            "INSERT OR IGNORE INTO layer_blob (layer, blob, format) SELECT ?2, blob, format"
            " FROM layer_blob WHERE layer = ?1 ORDER BY rowid",
            err);
    if (r < 0)
        return r;
    sql_bind_i64(&q, 1, from);
    sql_bind_i64(&q, 2, to);
    r = sql_run(&q, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int store_layer_set_diff_id(struct store *store, int64_t id, const struct digest *diff_id,
                            uint64_t tar_size_bytes, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_sql struct sql q = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_open(&q, store, "UPDATE layer SET diff_id = ?2, tar_size_bytes = ?3 WHERE id = ?1",
                     err);
    if (r < 0)
        return r;
    sql_bind_i64(&q, 1, id);
    sql_bind_digest(&q, 2, diff_id);
    sql_bind_u64(&q, 3, tar_size_bytes);
    r = sql_run(&q, err);
    if (r == 0 && sql_changes(store) == 0)
        r = error_set(err, ENOENT, "there is no layer %" PRId64 " in the store '%s'", id,
                      store->path);
    return r < 0 ? r : store_commit(&tx, err);
}

int store_layer_blob_add(struct store *store, int64_t layer, enum codec_format format,
                         const struct digest *blob, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_sql struct sql q = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_open(&q, store,
                     "INSERT INTO layer_blob (layer, blob, format) VALUES (?1, ?2, ?3)"
                     " ON CONFLICT DO NOTHING",
                     err);
    if (r < 0)
        return r;
    sql_bind_i64(&q, 1, layer);
    sql_bind_digest(&q, 2, blob);
    sql_bind_i64(&q, 3, (int64_t)format);
    r = sql_run(&q, err);
    if (r == -ENOENT)
        r = error_set(err, ENOENT, "layer %" PRId64 " or its blob is not in the store '%s'", layer,
                      store->path);
    return r < 0 ? r : store_commit(&tx, err);
}

int store_layer_blob_find(struct store *store, int64_t layer, enum codec_format format,
                          const struct digest *wanted, struct layer_blob_row *out,
                          struct error *err)
{
    auto_sql struct sql q = {0};
    struct layer_blob_row row = {0};
    int64_t found;
    int r = sql_open(&q, store,
                     "SELECT layer_blob.format, blob.digest, blob.size_bytes FROM layer_blob"
                     " JOIN blob ON blob.digest = layer_blob.blob"
                     " WHERE layer = ?1 AND ?2 IN (0, format)"
                     " ORDER BY layer_blob.blob IS ?3 DESC, layer_blob.rowid LIMIT 1",
                     err);

    if (r < 0)
        return r;
    sql_bind_i64(&q, 1, layer);
    sql_bind_i64(&q, 2, (int64_t)format);
    sql_bind_digest(&q, 3, wanted);
    r = sql_step(&q, err);
    if (r < 0)
        return r;
    if (r == 0)
        return error_set(err, ENOENT, "layer %" PRId64 " has no compressed form", layer);
    found = sql_i64(&q, 0);
    sql_digest(&q, 1, &row.digest);
    row.size_bytes = sql_u64(&q, 2);
    r = sql_check(&q, err);
    if (r < 0)
        return r;
    if (found < CODEC_NONE || found > CODEC_ZSTD)
        return error_set(err, EUCLEAN, "a form of layer %" PRId64 " in '%s' has no known format",
                         layer, store->path);
    row.format = (enum codec_format)found;
    *out = row;
    return 0;
}

/* -- stacks -- */

int layer_stack_get(struct store *store, const struct layer_stack *stack,
                    const struct digest *owner, int64_t **layers, size_t *count, struct error *err)
{
    auto_sql struct sql q = {0};
    struct {
        int64_t *items;
        size_t count;
        size_t capacity;
    } found = {0};
    int r = sql_open(&q, store, stack->select, err);

    if (r < 0)
        return r;
    sql_bind_digest(&q, 1, owner);
    while ((r = sql_step(&q, err)) > 0 && found.count <= LIMIT_IMAGE_LAYERS)
        *array_add(&found) = sql_i64(&q, 0);
    if (r > 0)
        r = error_set(err, EUCLEAN, "%s in '%s' has more than %d layers", stack->noun, store->path,
                      LIMIT_IMAGE_LAYERS);
    if (r < 0) {
        free(found.items);
        return r;
    }
    *layers = found.items;
    *count = found.count;
    return 0;
}

int layer_stack_put(struct store *store, const struct layer_stack *stack,
                    const struct digest *owner, const int64_t *layers, size_t count,
                    struct error *err)
{
    auto_sql struct sql q = {0};
    int r;

    if (count > LIMIT_IMAGE_LAYERS)
        return error_set(err, E2BIG, "%s of %zu layers has more than %d", stack->noun, count,
                         LIMIT_IMAGE_LAYERS);
    r = sql_exec_digest(store, stack->clear, owner, err);
    if (r == 0)
        r = sql_open(&q, store, stack->insert, err);
    for (size_t i = 0; i < count && r == 0; i++) {
        sql_bind_digest(&q, 1, owner);
        sql_bind_u64(&q, 2, i);
        sql_bind_i64(&q, 3, layers[i]);
        r = sql_run(&q, err);
    }
    return r;
}

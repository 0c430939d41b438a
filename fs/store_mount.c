/* store_mount.c - rows and locks of cache mounts (RUN --mount=type=cache). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>

#include "fs/base/io.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

static const struct layer_stack mount_stack = {
    .noun = "a cache mount",
    .select = "SELECT layer FROM cache_mount_layer WHERE mount = ?1 ORDER BY position",
    .clear = "DELETE FROM cache_mount_layer WHERE mount = ?1",
    .insert = "INSERT INTO cache_mount_layer (mount, position, layer) VALUES (?1, ?2, ?3)",
};

void cache_mount_row_release(struct cache_mount_row *row)
{
    free(row->description);
    free(row->layers);
    *row = (struct cache_mount_row){0};
}

static int no_mount(struct store *store, const struct digest *id, struct error *err)
{
    char text[DIGEST_TEXT_SIZE];

    digest_format(id, text);
    return error_set(err, ENOENT, "there is no cache mount %s in the store '%s'", text,
                     store->path);
}

int store_cache_mount_get(struct store *store, const struct digest *id, struct cache_mount_row *out,
                          struct error *err)
{
    auto_cache_mount_row struct cache_mount_row row = {.id = *id};
    auto_sql struct sql q = {0};
    int r = sql_find_digest(&q, store,
                            "SELECT description, created_ns, used_ns, use_count FROM cache_mount"
                            " WHERE id = ?1",
                            id, err);

    if (r == 0)
        return no_mount(store, id, err);
    if (r < 0)
        return r;
    row.description = sql_text(&q, 0);
    row.created_ns = sql_i64(&q, 1);
    row.used_ns = sql_i64(&q, 2);
    row.use_count = sql_u64(&q, 3);
    r = sql_check(&q, err);
    if (r == 0)
        r = layer_stack_get(store, &mount_stack, id, &row.layers, &row.layer_count, err);
    if (r < 0)
        return r;
    *out = STEAL(&row);
    return 0;
}

static int put_row(struct store *store, const struct cache_mount_row *row, struct error *err)
{
    auto_sql struct sql q = {0};
    int64_t order = 0;
    int r = sql_next_use(store, &order, err);

    if (r == 0)
        r = sql_open(&q, store,
                     "INSERT INTO cache_mount (id, description, created_ns, used_ns, used_order,"
                     " use_count) VALUES (?1, ?2, ?3, ?3, ?4, 1) ON CONFLICT (id) DO UPDATE SET"
                     " description = excluded.description, used_ns = excluded.used_ns,"
                     " used_order = excluded.used_order, use_count = use_count + 1",
                     err);
    if (r < 0)
        return r;
    sql_bind_digest(&q, 1, &row->id);
    sql_bind_text(&q, 2, row->description ? row->description : "");
    sql_bind_i64(&q, 3, io_now_ns());
    sql_bind_i64(&q, 4, order);
    return sql_run(&q, err);
}

int store_cache_mount_put(struct store *store, const struct cache_mount_row *row, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = put_row(store, row, err);
    if (r == 0)
        r = layer_stack_put(store, &mount_stack, &row->id, row->layers, row->layer_count, err);
    if (r == -ENOENT)
        r = error_set(err, ENOENT, "a layer of the cache mount '%s' is not in the store '%s'",
                      row->description ? row->description : "", store->path);
    return r < 0 ? r : store_commit(&tx, err);
}

int store_cache_mount_remove(struct store *store, const struct digest *id, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_exec_digest(store, "DELETE FROM cache_mount WHERE id = ?1", id, err);
    if (r == 0 && sql_changes(store) == 0)
        r = no_mount(store, id, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int store_cache_mount_lock(struct store *store, const struct digest *id, bool exclusive, bool wait,
                           int *fd, struct error *err)
{
    char name[DIGEST_HEX_SIZE + 8] = "mount-";
    int r;

    /* A leftover of tmp/ while nobody holds it: recovery takes it away. */
    digest_format_hex(id, name + 6);
    r = locked_file_open(store->dirs[STORE_TMP], name,
                         (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB), fd);
    if (r == -EWOULDBLOCK)
        return error_set(err, EBUSY, "another step uses the cache mount");
    if (r < 0) {
        errno = -r;
        return error_errno(err, "cannot lock '%s/tmp/%s'", store->path, name);
    }
    return 0;
}

/* store_cache.c - rows of the build cache: what a step with this key gave, and when it was used. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/failpoint.h"
#include "fs/base/io.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

#define TOUCH_AGE_NS (60ll * 1000000000)

#define CACHE_COLUMNS                                                                              \
    "SELECT key, parent, layer, description, extra, run_ns, created_ns, used_ns, use_count"        \
    " FROM cache "
#define DELETE_RECORD "DELETE FROM cache WHERE key = ?1"

void cache_row_release(struct cache_row *row)
{
    free(row->description);
    free(row->extra);
    free(row->inputs);
    *row = (struct cache_row){0};
}

void cache_list_release(struct cache_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        cache_row_release(&list->items[i]);
    free(list->items);
    *list = (struct cache_list){0};
}

static int no_record(struct store *store, const struct digest *key, struct error *err)
{
    char text[DIGEST_TEXT_SIZE];

    digest_format(key, text);
    return error_set(err, ENOENT, "there is no cache record %s in the store '%s'", text,
                     store->path);
}

static int read_record(struct sql *q, struct cache_row *out, struct error *err)
{
    auto_cache_row struct cache_row row = {0};
    int r;

    sql_digest(q, 0, &row.key);
    row.has_parent = !sql_is_null(q, 1);
    if (row.has_parent)
        sql_digest(q, 1, &row.parent);
    row.layer = sql_i64(q, 2);
    row.description = sql_text(q, 3);
    row.extra = sql_text(q, 4);
    row.run_ns = sql_u64(q, 5);
    row.created_ns = sql_i64(q, 6);
    row.used_ns = sql_i64(q, 7);
    row.use_count = sql_u64(q, 8);
    r = sql_check(q, err);
    if (r < 0)
        return r;
    *out = STEAL(&row);
    return 0;
}

int store_cache_get(struct store *store, const struct digest *key, struct cache_row *out,
                    struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_find_digest(&q, store, CACHE_COLUMNS "WHERE key = ?1", key, err);

    if (r == 0)
        return no_record(store, key, err);
    return r < 0 ? r : read_record(&q, out, err);
}

int store_cache_inputs(struct store *store, const struct digest *key, char **inputs,
                       struct error *err)
{
    auto_sql struct sql q = {0};
    auto_free char *text = NULL;
    int r = sql_find_digest(&q, store, "SELECT inputs FROM cache_inputs WHERE key = ?1", key, err);

    if (r == 0)
        return no_record(store, key, err);
    if (r < 0)
        return r;
    text = sql_text(&q, 0);
    r = sql_check(&q, err);
    if (r == 0)
        *inputs = STEAL(&text);
    return r;
}

static int put_record(struct store *store, const struct cache_row *row, struct error *err)
{
    auto_sql struct sql q = {0};
    int64_t now_ns = io_now_ns();
    int64_t order = 0;
    int r = sql_next_use(store, &order, err);

    if (r == 0)
        r = sql_open(&q, store,
                     "INSERT INTO cache (key, parent, layer, description, extra, run_ns,"
                     " created_ns, used_ns, used_order, use_count)"
                     " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1)",
                     err);
    if (r < 0)
        return r;
    sql_bind_digest(&q, 1, &row->key);
    sql_bind_digest(&q, 2, row->has_parent ? &row->parent : NULL);
    sql_bind_u64_or_null(&q, 3, (uint64_t)row->layer);
    sql_bind_text(&q, 4, row->description ? row->description : "");
    sql_bind_text(&q, 5, row->extra);
    sql_bind_u64(&q, 6, row->run_ns);
    sql_bind_i64(&q, 7, row->created_ns ? row->created_ns : now_ns);
    sql_bind_i64(&q, 8, now_ns);
    sql_bind_i64(&q, 9, order);
    r = sql_run(&q, err);
    if (r == -ENOENT)
        r = error_set(err, ENOENT, "the layer of '%s' is not in the store '%s'",
                      row->description ? row->description : "", store->path);
    return r;
}

static int put_inputs(struct store *store, const struct cache_row *row, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, "INSERT INTO cache_inputs (key, inputs) VALUES (?1, ?2)", err);

    if (r < 0)
        return r;
    sql_bind_digest(&q, 1, &row->key);
    sql_bind_text(&q, 2, row->inputs);
    return sql_run(&q, err);
}

int store_cache_put(struct store *store, const struct cache_row *row, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_exec_digest(store, DELETE_RECORD, &row->key, err);
    if (r == 0)
        r = put_record(store, row, err);
    if (r == 0 && row->inputs)
        r = put_inputs(store, row, err);
    if (r == 0 && FAILPOINT("cache.put") < 0)
        r = error_errno(err, "cannot insert a cache record");
    return r < 0 ? r : store_commit(&tx, err);
}

/* Whether the last use of a key is long enough ago to be worth a write. A use in the future (the
 * clock was set back) counts as long ago. */
static int is_stale(struct store *store, const struct digest *key, int64_t now_ns, bool *stale,
                    struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store,
                     "SELECT 1 FROM cache WHERE key = ?1 AND (used_ns < ?2 OR used_ns > ?3)", err);

    if (r < 0)
        return r;
    sql_bind_digest(&q, 1, key);
    sql_bind_i64(&q, 2, now_ns - TOUCH_AGE_NS);
    sql_bind_i64(&q, 3, now_ns + TOUCH_AGE_NS);
    r = sql_step(&q, err);
    if (r < 0)
        return r;
    *stale = r > 0;
    return 0;
}

static int touch_all(struct store *store, const struct digest *keys, size_t count, int64_t now_ns,
                     struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_sql struct sql q = {0};
    int64_t order = 0;
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_next_use(store, &order, err);
    if (r == 0)
        r = sql_open(&q, store,
                     "UPDATE cache SET used_ns = ?2, used_order = ?3, use_count = use_count + 1"
                     " WHERE key = ?1",
                     err);
    for (size_t i = 0; i < count && r == 0; i++) {
        sql_bind_digest(&q, 1, &keys[i]);
        sql_bind_i64(&q, 2, now_ns);
        sql_bind_i64(&q, 3, order);
        r = sql_run(&q, err);
    }
    return r < 0 ? r : store_commit(&tx, err);
}

int store_cache_touch(struct store *store, const struct digest *keys, size_t count,
                      struct error *err)
{
    int64_t now_ns = io_now_ns();

    if (store_is_read_only(store))
        return 0;
    for (size_t i = 0; i < count; i++) {
        bool stale = false;
        int r = is_stale(store, &keys[i], now_ns, &stale, err);

        if (r < 0)
            return r;
        if (stale) /* one write at all: then all of them at no further cost */
            return touch_all(store, keys, count, now_ns, err);
    }
    return 0;
}

int store_cache_list(struct store *store, struct cache_list *out, struct error *err)
{
    auto_cache_list struct cache_list list = {0};
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, CACHE_COLUMNS "ORDER BY used_order, created_ns, key", err);

    if (r < 0)
        return r;
    while ((r = sql_step(&q, err)) > 0) {
        r = read_record(&q, array_add(&list), err);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    *out = STEAL(&list);
    return 0;
}

int store_cache_remove(struct store *store, const struct digest *key, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_exec_digest(store, DELETE_RECORD, key, err);
    if (r == 0 && sql_changes(store) == 0)
        r = no_record(store, key, err);
    return r < 0 ? r : store_commit(&tx, err);
}

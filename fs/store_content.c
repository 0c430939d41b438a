/* store_content.c - what is known about files outside and inside: stat caches, shared contents. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "fs/base/io.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

/* -- stat caches of build contexts -- */

int store_context_load(struct store *store, const char *key, struct str *out, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, "SELECT bytes FROM context WHERE key = ?1", err);

    if (r < 0)
        return r;
    sql_bind_text(&q, 1, key);
    r = sql_step(&q, err);
    if (r < 0)
        return r;
    if (r == 0)
        return error_set(err, ENOENT, "nothing is known about the context '%s'", key);
    sql_bytes(&q, 0, out);
    return 0;
}

int store_context_save(struct store *store, const char *key, const void *bytes, size_t size,
                       struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_sql struct sql q = {0};
    int64_t order = 0;
    int r;

    if (size > STORE_CONTEXT_SIZE_MAX)
        return error_set(err, E2BIG, "what is known about the context '%s' is more than %u bytes",
                         key, STORE_CONTEXT_SIZE_MAX);
    r = store_begin(store, &tx, err);
    if (r == 0)
        r = sql_next_use(store, &order, err);
    if (r == 0)
        r = sql_open(&q, store,
                     "INSERT INTO context (key, bytes, created_ns, used_ns, used_order)"
                     " VALUES (?1, ?2, ?3, ?3, ?4) ON CONFLICT (key) DO UPDATE SET"
                     " bytes = excluded.bytes, used_ns = excluded.used_ns,"
                     " used_order = excluded.used_order",
                     err);
    if (r < 0)
        return r;
    sql_bind_text(&q, 1, key);
    sql_bind_bytes(&q, 2, bytes, size);
    sql_bind_i64(&q, 3, io_now_ns());
    sql_bind_i64(&q, 4, order);
    r = sql_run(&q, err);
    return r < 0 ? r : store_commit(&tx, err);
}

/* -- files shared by content -- */

static int find_file(struct sql *q, struct file_row *file, struct error *err)
{
    int r;

    file->pack = 0;
    file->pack_offset = 0;
    sql_bind_digest(q, 1, &file->digest);
    r = sql_step(q, err);
    if (r > 0 && sql_u64(q, 0) == file->size_bytes) {
        file->pack = sql_u64(q, 1);
        file->pack_offset = sql_u64(q, 2);
        r = sql_check(q, err);
    }
    sql_reset(q);
    return r < 0 ? r : 0;
}

/* One read transaction, so that the database is not locked and unlocked for every file. It needs
 * none when a transaction is open already. */
static int begin_read(struct store *store, struct error *err)
{
    return store->depth > 0 ? 0 : sql_exec(store, "BEGIN", err);
}

static int end_read(struct store *store, int r, struct error *err)
{
    struct error second = {0};
    int end = store->depth > 0 ? 0 : sql_exec(store, "COMMIT", r < 0 ? &second : err);

    return r < 0 ? r : end;
}

static int compare_digests(const void *a, const void *b, void *files)
{
    const struct file_row *rows = files;

    return digest_compare(&rows[*(const size_t *)a].digest, &rows[*(const size_t *)b].digest);
}

/* In the order of the table each page is visited once, not once per file. Caller frees. */
static size_t *order_by_digest(const struct file_row *files, size_t count)
{
    size_t *order = mem_resize(NULL, count, sizeof(*order));

    for (size_t i = 0; i < count; i++)
        order[i] = i;
    qsort_r(order, count, sizeof(*order), compare_digests, (void *)(uintptr_t)files);
    return order;
}

int store_files_find(struct store *store, struct file_row *files, size_t count, struct error *err)
{
    STORE_LOCKED(store);
    auto_free size_t *order = order_by_digest(files, count);
    auto_sql struct sql q = {0};
    int r = begin_read(store, err);

    if (r < 0)
        return r;
    r = sql_open(&q, store, "SELECT size_bytes, pack, pack_offset FROM file WHERE digest = ?1",
                 err);
    for (size_t i = 0; i < count && r == 0; i++)
        r = find_file(&q, &files[order[i]], err);
    return end_read(store, r, err);
}

int store_files_add(struct store *store, const struct file_row *files, size_t count,
                    struct error *err)
{
    auto_free size_t *order = order_by_digest(files, count);
    auto_store_tx struct store_tx tx = {0};
    auto_sql struct sql q = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_open(&q, store,
                     "INSERT INTO file (digest, size_bytes, pack, pack_offset)"
                     " VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                     err);
    for (size_t i = 0; i < count && r == 0; i++) {
        const struct file_row *file = &files[order[i]];

        sql_bind_digest(&q, 1, &file->digest);
        sql_bind_u64(&q, 2, file->size_bytes);
        sql_bind_u64(&q, 3, file->pack);
        sql_bind_u64(&q, 4, file->pack_offset);
        r = sql_run(&q, err);
        if (r == -ENOENT)
            r = error_set(err, ENOENT, "there is no pack '%016" PRIx64 "' in the store '%s'",
                          file->pack, store->path);
    }
    return r < 0 ? r : store_commit(&tx, err);
}

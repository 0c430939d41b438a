/* store_blob.c - rows of blobs and of the places that have them. Their bytes: blob.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

#define ORIGIN_TEXT_MAX 255

int blob_row_get(struct store *store, const struct digest *digest, uint64_t *size_bytes,
                 struct error *err)
{
    auto_sql struct sql q = {0};
    char text[DIGEST_TEXT_SIZE];
    int r =
        sql_find_digest(&q, store, "SELECT size_bytes FROM blob WHERE digest = ?1", digest, err);

    if (r < 0)
        return r;
    if (r == 0) {
        digest_format(digest, text);
        return error_set(err, ENOENT, "there is no blob %s in the store '%s'", text, store->path);
    }
    *size_bytes = sql_u64(&q, 0);
    return sql_check(&q, err);
}

int blob_row_insert(struct store *store, const struct digest *digest, uint64_t size_bytes,
                    struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_sql struct sql q = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_open(&q, store,
                     "INSERT INTO blob (digest, size_bytes, created_ns) VALUES (?1, ?2, ?3)"
                     " ON CONFLICT (digest) DO UPDATE SET size_bytes = excluded.size_bytes",
                     err);
    if (r < 0)
        return r;
    sql_bind_digest(&q, 1, digest);
    sql_bind_u64(&q, 2, size_bytes);
    sql_bind_i64(&q, 3, io_now_ns());
    r = sql_run(&q, err);
    return r < 0 ? r : store_commit(&tx, err);
}

void blob_origin_list_release(struct blob_origin_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].host);
        free(list->items[i].repository);
    }
    free(list->items);
    *list = (struct blob_origin_list){0};
}

static bool fits(const char *text)
{
    size_t size = strlen(text);

    return size > 0 && size <= ORIGIN_TEXT_MAX;
}

static int write_origin(struct store *store, const char *text, const struct digest *digest,
                        const char *host, const char *repository, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_sql struct sql q = {0};
    int r = store_begin(store, &tx, err);

    if (r == 0)
        r = sql_open(&q, store, text, err);
    if (r < 0)
        return r;
    sql_bind_digest(&q, 1, digest);
    sql_bind_text(&q, 2, host);
    sql_bind_text(&q, 3, repository);
    sql_bind_i64(&q, 4, io_now_ns());
    r = sql_run(&q, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int blob_origin_add(struct store *store, const struct digest *digest, const char *host,
                    const char *repository, struct error *err)
{
    if (!fits(host) || !fits(repository))
        return error_set(err, EINVAL, "'%.80s/%.80s' is not from 1 to %d bytes each", host,
                         repository, ORIGIN_TEXT_MAX);
    return write_origin(store,
                        "INSERT INTO blob_origin (digest, host, repository, seen_ns)"
                        " VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET seen_ns ="
                        " excluded.seen_ns",
                        digest, host, repository, err);
}

int blob_origin_remove(struct store *store, const struct digest *digest, const char *host,
                       const char *repository, struct error *err)
{
    return write_origin(store,
                        "DELETE FROM blob_origin WHERE digest = ?1 AND host = ?2 AND"
                        " repository = ?3 AND ?4 IS NOT NULL",
                        digest, host, repository, err);
}

int blob_origin_list(struct store *store, const struct digest *digest, const char *host,
                     struct blob_origin_list *out, struct error *err)
{
    auto_blob_origin_list struct blob_origin_list list = {0};
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store,
                     "SELECT host, repository FROM blob_origin WHERE digest = ?1 AND"
                     " (?2 IS NULL OR host = ?2) ORDER BY seen_ns DESC, host, repository",
                     err);

    if (r < 0)
        return r;
    sql_bind_digest(&q, 1, digest);
    sql_bind_text(&q, 2, host);
    while ((r = sql_step(&q, err)) > 0) {
        struct blob_origin *origin = array_add(&list);

        origin->host = sql_text(&q, 0);
        origin->repository = sql_text(&q, 1);
    }
    if (r == 0)
        r = sql_check(&q, err);
    if (r < 0)
        return r;
    *out = STEAL(&list);
    return 0;
}

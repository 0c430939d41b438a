/* store_sums.c - rows of checksums. What they are: sums.h. */
#include <errno.h>

#include "fs/hashed_copy.h"
#include "fs/store_sql_internal.h"
#include "fs/sums.h"

#include "fs/base/banned.h"

#define SUM_SIZE 8u

int store_sums_put(struct store *store, const struct digest *digest, struct sums *s,
                   struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_sql struct sql q = {0};
    const struct str *sums = sums_final(s);
    int r;

    if (sums->size <= SUM_SIZE)
        return 0;
    r = store_begin(store, &tx, err);
    if (r == 0)
        r = sql_open(&q, store,
                     "INSERT INTO checksum (digest, sums) VALUES (?1, ?2)"
                     " ON CONFLICT (digest) DO UPDATE SET sums = excluded.sums",
                     err);
    if (r < 0)
        return r;
    sql_bind_digest(&q, 1, digest);
    sql_bind_bytes(&q, 2, sums->data, sums->size);
    r = sql_run(&q, err);
    return r < 0 ? r : store_commit(&tx, err);
}

int store_sums_get(struct store *store, const struct digest *digest, uint64_t size_bytes,
                   struct str *out, struct error *err)
{
    auto_sql struct sql q = {0};
    uint64_t blocks = size_bytes / SUMS_BLOCK_SIZE + (size_bytes % SUMS_BLOCK_SIZE != 0);
    int r = sql_find_digest(&q, store, "SELECT sums FROM checksum WHERE digest = ?1", digest, err);

    if (r < 0)
        return r;
    str_truncate(out, 0);
    if (r > 0)
        sql_bytes(&q, 0, out);
    if (r == 0 || sql_check(&q, err) < 0 || out->size != blocks * SUM_SIZE)
        return error_set(err, ENOENT, "no checksums are known");
    return 0;
}

int store_sums_remove(struct store *store, const struct digest *digest, struct error *err)
{
    return sql_exec_digest(store, "DELETE FROM checksum WHERE digest = ?1", digest, err);
}

int store_copy_checked(struct store *store, const struct digest *digest, uint64_t size_bytes,
                       struct reader *from, struct writer *to, bool *is_sound, struct error *err)
{
    auto_str struct str expected = {0};
    struct digest found;
    uint64_t total = 0;
    int r = store_sums_get(store, digest, size_bytes, &expected, err);

    if (r == 0) {
        r = sums_copy(from, to, &expected, &total, err);
        *is_sound = r > 0 && total == size_bytes;
        return r < 0 ? r : 0;
    }
    if (r != -ENOENT)
        return r;
    error_clear(err);
    r = hashed_copy(digest->algorithm, from, to, &found, &total, err);
    *is_sound = r == 0 && digest_equal(&found, digest);
    return r;
}

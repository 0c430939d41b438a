/* store_tx.c - transactions: one durable step out of several inserts.
 *
 * The outermost commit first fsyncs every directory that objects were linked into (SECURITY S1:
 * "fsync(dir) -> one transaction"), so that a group of objects costs one fsync per directory.
 */
#include <assert.h>
#include <errno.h>

#include <sqlite3.h>

#include "fs/base/failpoint.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

/* After some failures, a full disk for one, SQLite has rolled back by itself. */
static int lost(struct store *store, struct error *err)
{
    return error_set(err, EIO, "the store '%s' lost a transaction after a failure", store->path);
}

int store_begin(struct store *store, struct store_tx *tx, struct error *err)
{
    int r;

    assert(!tx->store);
    (void)pthread_mutex_lock(&store->lock); /* recursive: cannot fail; held until the end */
    if (store->depth == 0)
        r = sql_exec(store, "BEGIN IMMEDIATE", err);
    else if (sqlite3_get_autocommit(store->db))
        r = lost(store, err);
    else
        r = sql_exec(store, "SAVEPOINT inner", err);
    if (r < 0) {
        (void)pthread_mutex_unlock(&store->lock);
        return r;
    }
    *tx = (struct store_tx){.store = store, .depth = ++store->depth};
    return 0;
}

static void close_tx(struct store_tx *tx)
{
    struct store *store = tx->store;

    tx->store = NULL;
    store->depth--;
    (void)pthread_mutex_unlock(&store->lock);
}

static int commit_outer(struct store *store, struct error *err)
{
    int r;

    if (sqlite3_get_autocommit(store->db))
        return lost(store, err);
    r = object_sync_dirs(store, err);
    if (r < 0)
        return r;
    if (FAILPOINT("commit.before") < 0)
        return error_errno(err, "cannot commit to the store '%s'", store->path);
    r = sql_exec(store, "COMMIT", err);
    if (r == 0 && FAILPOINT("commit.after") < 0)
        return error_errno(err, "cannot commit to the store '%s'", store->path);
    return r;
}

int store_commit(struct store_tx *tx, struct error *err)
{
    struct store *store = tx->store;
    int r;

    assert(store && tx->depth == store->depth);
    if (tx->depth > 1) {
        r = sql_exec(store, "RELEASE inner", err);
        if (r == 0)
            pending_inner_committed(store, tx->depth);
    } else {
        r = commit_outer(store, err);
        if (r == 0)
            pending_committed(store);
    }
    if (r < 0)
        store_rollback(tx);
    else
        close_tx(tx);
    return r;
}

void store_rollback(struct store_tx *tx)
{
    struct error ignored = {0}; /* what cannot be rolled back was never committed */
    struct store *store = tx->store;

    if (!store)
        return;
    assert(tx->depth == store->depth);
    if (store->db && !sqlite3_get_autocommit(store->db)) {
        if (tx->depth == 1) {
            (void)sql_exec(store, "ROLLBACK", &ignored);
        } else {
            (void)sql_exec(store, "ROLLBACK TO inner", &ignored);
            (void)sql_exec(store, "RELEASE inner", &ignored);
        }
    }
    pending_rolled_back(store, tx->depth);
    close_tx(tx);
}

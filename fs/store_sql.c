/* store_sql.c - statements: prepared once, bound, stepped, read with suspicion, failures in words.
 *
 * Not for what the rows mean, nor for the connection: see store_connect.c.
 */
#include <errno.h>
#include <string.h>

#include <sqlite3.h>

#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

/* What the caller sees of SQLite's codes. */
static int code_to_errno(struct store *store, int code)
{
    int system = sqlite3_system_errno(store->db);

    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_SCHEMA:
        return EUCLEAN;
    case SQLITE_READONLY:
        return EROFS;
    case SQLITE_TOOBIG:
        return E2BIG;
    case SQLITE_RANGE:
        return ERANGE;
    case SQLITE_CONSTRAINT:
        return ENOENT; /* the only constraints callers can meet are references to missing rows */
    case SQLITE_NOMEM:
        return ENOMEM;
    default:
        return system > 0 ? system : EIO;
    }
}

int sql_fail(struct store *store, int code, struct error *err)
{
    int number = code_to_errno(store, code);

    switch (number) {
    case EBUSY:
        return error_set(err, EBUSY, "another process keeps the store '%s' busy", store->path);
    case ENOSPC:
    case EDQUOT:
        return error_set(err, number, "no space left for the store '%s'", store->path);
    case EUCLEAN:
        error_set(err, EUCLEAN, "the database of the store '%s' is damaged: %s", store->path,
                  sqlite3_errmsg(store->db));
        return error_hint(err, "img fsck --repair");
    case EROFS:
        return error_set(err, EROFS, "the store '%s' is read-only", store->path);
    default:
        return error_set(err, number, "the database of the store '%s' failed: %s", store->path,
                         sqlite3_errmsg(store->db));
    }
}

/* -- statements -- */

static struct statement *find_statement(struct store *store, const char *text)
{
    for (size_t i = 0; i < store->statements.count; i++)
        if (store->statements.items[i].text == text)
            return &store->statements.items[i];
    return NULL;
}

static int prepare(struct store *store, const char *text, sqlite3_stmt **out, struct error *err)
{
    int rc = sqlite3_prepare_v3(store->db, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

    return rc == SQLITE_OK ? 0 : sql_fail(store, rc, err);
}

static int take_statement(struct sql *q, struct store *store, const char *text, struct error *err)
{
    struct statement *known = find_statement(store, text);
    int r;

    if (!known || known->is_busy) {
        r = prepare(store, text, &q->stmt, err);
        if (r < 0)
            return r;
    }
    if (!known) {
        known = array_add(&store->statements);
        *known = (struct statement){.text = text, .stmt = q->stmt};
    }
    if (!known->is_busy) {
        known->is_busy = true;
        q->is_cached = true;
        q->stmt = known->stmt;
    }
    return 0;
}

int sql_open(struct sql *q, struct store *store, const char *text, struct error *err)
{
    int r;

    (void)pthread_mutex_lock(&store->lock); /* recursive: cannot fail */
    *q = (struct sql){.store = store};
    r = store->db ? take_statement(q, store, text, err)
                  : error_set(err, EUCLEAN, "the store '%s' has no usable database", store->path);
    if (r < 0) {
        q->store = NULL;
        (void)pthread_mutex_unlock(&store->lock);
    }
    return r;
}

void sql_close(struct sql *q)
{
    struct store *store = q->store;

    if (!store)
        return;
    q->store = NULL;
    if (!q->is_cached) {
        (void)sqlite3_finalize(q->stmt); /* repeats the failure sql_step told */
    } else {
        (void)sqlite3_reset(q->stmt); /* likewise */
        (void)sqlite3_clear_bindings(q->stmt);
        for (size_t i = 0; i < store->statements.count; i++)
            if (store->statements.items[i].stmt == q->stmt)
                store->statements.items[i].is_busy = false;
    }
    (void)pthread_mutex_unlock(&store->lock);
}

static void note(struct sql *q, int rc)
{
    if (rc != SQLITE_OK && q->trouble == SQLITE_OK)
        q->trouble = rc;
}

void sql_bind_i64(struct sql *q, int at, int64_t value)
{
    note(q, sqlite3_bind_int64(q->stmt, at, value));
}

void sql_bind_u64(struct sql *q, int at, uint64_t value)
{
    if (value > INT64_MAX)
        note(q, SQLITE_RANGE);
    else
        sql_bind_i64(q, at, (int64_t)value);
}

void sql_bind_u64_or_null(struct sql *q, int at, uint64_t value)
{
    if (value == 0)
        note(q, sqlite3_bind_null(q->stmt, at));
    else
        sql_bind_u64(q, at, value);
}

void sql_bind_digest(struct sql *q, int at, const struct digest *value)
{
    if (value)
        sql_bind_bytes(q, at, value->bytes, digest_size(value));
    else
        note(q, sqlite3_bind_null(q->stmt, at));
}

void sql_bind_text(struct sql *q, int at, const char *value)
{
    note(q, sqlite3_bind_text64(q->stmt, at, value, value ? strlen(value) : 0, SQLITE_STATIC,
                                SQLITE_UTF8));
}

void sql_bind_bytes(struct sql *q, int at, const void *bytes, size_t size)
{
    /* A NULL pointer would bind NULL, not emptiness. */
    note(q, sqlite3_bind_blob64(q->stmt, at, size ? bytes : "", size, SQLITE_STATIC));
}

int sql_step(struct sql *q, struct error *err)
{
    int rc = q->trouble;

    if (rc == SQLITE_RANGE)
        return error_set(err, ERANGE, "a number is too large for the store '%s'", q->store->path);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q->stmt);
    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : sql_fail(q->store, rc, err);
}

int sql_run(struct sql *q, struct error *err)
{
    int r;

    do {
        r = sql_step(q, err);
    } while (r > 0);
    sql_reset(q);
    return r;
}

void sql_reset(struct sql *q)
{
    (void)sqlite3_reset(q->stmt); /* repeats the failure sql_step told */
}

int sql_exec(struct store *store, const char *text, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, text, err);

    return r < 0 ? r : sql_run(&q, err);
}

int sql_exec_i64(struct store *store, const char *text, int64_t value, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, text, err);

    if (r < 0)
        return r;
    sql_bind_i64(&q, 1, value);
    return sql_run(&q, err);
}

int sql_exec_digest(struct store *store, const char *text, const struct digest *value,
                    struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store, text, err);

    if (r < 0)
        return r;
    sql_bind_digest(&q, 1, value);
    return sql_run(&q, err);
}

int sql_find_digest(struct sql *q, struct store *store, const char *text,
                    const struct digest *value, struct error *err)
{
    int r = sql_open(q, store, text, err);

    if (r < 0)
        return r;
    sql_bind_digest(q, 1, value);
    return sql_step(q, err);
}

static void damaged(struct sql *q, const char *what)
{
    if (!q->damage)
        q->damage = what;
}

bool sql_is_null(struct sql *q, int at)
{
    return sqlite3_column_type(q->stmt, at) == SQLITE_NULL;
}

int64_t sql_i64(struct sql *q, int at)
{
    return sqlite3_column_int64(q->stmt, at);
}

uint64_t sql_u64(struct sql *q, int at)
{
    int64_t value = sql_i64(q, at);

    if (value >= 0)
        return (uint64_t)value;
    damaged(q, "a negative number");
    return 0;
}

void sql_digest(struct sql *q, int at, struct digest *out)
{
    const void *bytes = sqlite3_column_blob(q->stmt, at);
    int size = sqlite3_column_bytes(q->stmt, at);

    if (!bytes || !digest_from_bytes(bytes, (size_t)size, out))
        damaged(q, "a digest of the wrong size");
}

char *sql_text(struct sql *q, int at)
{
    const char *text = (const char *)sqlite3_column_text(q->stmt, at);
    size_t size = (size_t)sqlite3_column_bytes(q->stmt, at);

    if (!text)
        return NULL;
    if (strlen(text) != size)
        damaged(q, "text with a zero byte in it");
    return mem_strdup(text);
}

void sql_bytes(struct sql *q, int at, struct str *out)
{
    const void *bytes = sqlite3_column_blob(q->stmt, at);

    str_truncate(out, 0);
    str_add_bytes(out, bytes ? bytes : "", (size_t)sqlite3_column_bytes(q->stmt, at));
}

int sql_check(struct sql *q, struct error *err)
{
    if (!q->damage)
        return 0;
    error_set(err, EUCLEAN, "the database of the store '%s' is damaged: a row holds %s",
              q->store->path, q->damage);
    return error_hint(err, "img fsck --repair");
}

int64_t sql_changes(struct store *store)
{
    return sqlite3_changes64(store->db);
}

int64_t sql_last_id(struct store *store)
{
    return sqlite3_last_insert_rowid(store->db);
}

int sql_next_use(struct store *store, int64_t *out, struct error *err)
{
    auto_sql struct sql q = {0};
    int r = sql_open(&q, store,
                     "SELECT 1 + max(coalesce((SELECT max(used_order) FROM cache), 0),"
                     " coalesce((SELECT max(used_order) FROM context), 0),"
                     " coalesce((SELECT max(used_order) FROM cache_mount), 0))",
                     err);

    if (r == 0)
        r = sql_step(&q, err);
    if (r < 0)
        return r;
    *out = sql_i64(&q, 0);
    return 0;
}

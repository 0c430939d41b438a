/* store_rebuild.c - a new database from what can still be read of a damaged one (SECURITY S3).
 *
 * Rows are copied table by table until reading fails; the new database refuses what breaks its types
 * and references. Whether files match is for the check that follows.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "fs/base/failpoint.h"
#include "fs/base/log.h"
#include "fs/base/stream.h"
#include "fs/fsck_internal.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

#define ASIDE_TRIES 1000

/* Parents before children. */
static const struct {
    const char *name;
    const char *columns;
} tables[] = {
    {"pack", "id, size_bytes, created_ns"},
    {"blob", "digest, size_bytes, created_ns"},
    {"blob_origin", "digest, host, repository, seen_ns"},
    {"layer", "id, kind, diff_id, tar_size_bytes, pack, index_id, index_size_bytes, entry_count,"
              " data_bytes, created_ns"},
    {"layer_pack", "layer, pack"},
    {"layer_blob", "layer, blob, format"},
    {"image", "manifest, media_type, config, size_bytes, created_ns"},
    {"image_layer", "image, position, layer"},
    {"reference", "name, image, index_digest, created_ns, updated_ns"},
    {"cache", "key, parent, layer, run_ns, created_ns, used_ns, used_order, use_count,"
              " description, extra"},
    {"cache_inputs", "key, inputs"},
    {"context", "key, created_ns, used_ns, used_order, bytes"},
    {"file", "digest, size_bytes, pack, pack_offset"},
    {"cache_mount", "id, description, created_ns, used_ns, used_order, use_count"},
    {"cache_mount_layer", "mount, position, layer"},
};

/* -- moving aside -- */

static int move_aside(struct store *store, char name[64], struct error *err)
{
    int root_fd = store->dirs[STORE_ROOT];
    char journal[64 + 8];

    for (unsigned i = 1; i < ASIDE_TRIES; i++) {
        (void)snprintf(name, 64, "img.db.damaged-%u", i);
        if (renameat2(root_fd, "img.db", root_fd, name, RENAME_NOREPLACE) < 0) {
            if (errno == EEXIST)
                continue;
            if (errno == ENOENT) { /* there was none */
                name[0] = '\0';
                return 0;
            }
            return error_errno(err, "cannot move '%s/img.db' aside", store->path);
        }
        /* A journal belongs to its database: SQLite finds it by the name. */
        (void)snprintf(journal, sizeof(journal), "%s-journal", name);
        if (renameat(root_fd, "img.db-journal", root_fd, journal) < 0 && errno != ENOENT)
            return error_errno(err, "cannot move '%s/img.db-journal' aside", store->path);
        return 0;
    }
    return error_set(err, EEXIST, "'%s' holds too many damaged databases", store->path);
}

/* -- copying rows -- */

static sqlite3 *open_damaged(struct store *store, const char *name)
{
    auto_free char *path = str_format("%s/%s", store->path, name);
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(path, &db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
                        NULL) != SQLITE_OK) {
        (void)sqlite3_close_v2(db); /* nothing can be read then */
        return NULL;
    }
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL); /* known to this version */
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, (int)STORE_CONTEXT_SIZE_MAX + (1 << 20));
    (void)sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    return db;
}

static unsigned count_columns(const char *columns)
{
    unsigned count = 1;

    for (; *columns; columns++)
        count += *columns == ',';
    return count;
}

static void copy_table(struct store *store, sqlite3 *from, const char *name, const char *columns)
{
    auto_free char *select = str_format("SELECT %s FROM %s", columns, name);
    auto_str struct str insert = {0};
    unsigned count = count_columns(columns);
    sqlite3_stmt *source = NULL;
    sqlite3_stmt *target = NULL;
    size_t copied = 0;

    str_addf(&insert, "INSERT OR IGNORE INTO %s (%s) VALUES (?", name, columns);
    for (unsigned i = 1; i < count; i++)
        str_add(&insert, ", ?");
    str_add(&insert, ")");
    if (sqlite3_prepare_v2(from, select, -1, &source, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(store->db, str_text(&insert), -1, &target, NULL) == SQLITE_OK) {
        while (sqlite3_step(source) == SQLITE_ROW) {
            for (unsigned i = 0; i < count; i++)
                (void)sqlite3_bind_value(target, (int)i + 1, sqlite3_column_value(source, (int)i));
            copied +=
                sqlite3_step(target) == SQLITE_DONE; /* else the row makes no sense: dropped */
            (void)sqlite3_reset(target);
        }
    }
    log_debug("table '%s': %zu rows brought over", name, copied);
    (void)sqlite3_finalize(source); /* where reading fails, the table ends */
    (void)sqlite3_finalize(target);
}

static int copy_tables(struct store *store, const char *name, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    sqlite3 *from = open_damaged(store, name);
    int r;

    if (!from)
        return 0;
    r = store_begin(store, &tx, err);
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && r == 0; i++)
        copy_table(store, from, tables[i].name, tables[i].columns);
    (void)sqlite3_close_v2(from); /* it was only read */
    if (r == 0 && FAILPOINT("rebuild.copy") < 0)
        r = error_errno(err, "cannot rebuild");
    return r < 0 ? r : store_commit(&tx, err);
}

/* -- blobs without rows -- */

static int adopt_blob(struct store *store, enum object_kind kind, const char *name,
                      struct error *err)
{
    auto_reader struct reader *reader = NULL;
    auto_hasher struct hasher *hasher = NULL;
    struct digest expected;
    struct digest actual;
    struct object object;
    uint64_t size_bytes = 0;
    bool has_row = true;
    char buf[16384];
    ssize_t n;
    int fd;
    int r;

    if (!object_parse_name(kind, name, &object) || object_size(store, &object, &size_bytes) < 0 ||
        digest_parse_hex(name, &expected, err) < 0)
        return 0;
    r = object_has_row(store, &object, &has_row, err);
    if (r < 0 || has_row)
        return r;
    fd = openat(object_dir(store, kind), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return 0; /* an orphan, for the check to tell of */
    reader = fd_reader_new(fd, name);
    hasher = hasher_new_as(expected.algorithm);
    while ((n = reader_read(reader, buf, sizeof(buf), err)) > 0)
        hasher_update(hasher, buf, (size_t)n);
    hasher_final(hasher, &actual);
    if (n < 0 || !digest_equal(&actual, &expected))
        return 0; /* likewise */
    return blob_row_insert(store, &expected, size_bytes, err);
}

static int adopt_blobs(struct store *store, enum object_kind kind, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    int fd = openat(object_dir(store, kind), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int r;

    if (!dir) {
        cleanup_close_fd(&fd);
        return error_errno(err, "cannot list '%s/%s'", store->path, object_dir_name(kind));
    }
    r = store_begin(store, &tx, err);
    while (r == 0 && (entry = readdir(dir)))
        r = adopt_blob(store, kind, entry->d_name, err);
    (void)closedir(dir); /* it was only read */
    return r < 0 ? r : store_commit(&tx, err);
}

int store_rebuild(struct store *store, struct error *err)
{
    char aside[64] = "";
    int r;

    sql_disconnect(store);
    r = move_aside(store, aside, err);
    if (r == 0 && FAILPOINT("rebuild.aside") < 0)
        r = error_errno(err, "cannot rebuild");
    if (r == 0)
        r = sql_connect(store, false, false, err);
    if (r == 0 && aside[0] != '\0')
        r = copy_tables(store, aside, err);
    for (unsigned kind = 0; kind < OBJECT_KIND_COUNT && r == 0; kind++)
        if (object_is_blob(kind))
            r = adopt_blobs(store, kind, err);
    return r;
}

/* store_connect.c - the one SQLite connection: its settings, its schema, its version.
 *
 * Settings are those of SECURITY S2. Measured here, journal modes other than DELETE save less than
 * a tenth of a millisecond, and WAL can lose pages in the versions Debian 12 has.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "fs/base/failpoint.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

#define APPLICATION_ID 0x696d6773 /* "imgs" */
#define USER_VERSION 2
#define SINCE_2 "CREATE TABLE checksum " /* what version 1 has not begins here */
#define TEXT_OF(number) TEXT_OF_EXPANDED(number)
#define TEXT_OF_EXPANDED(number) #number

/* Each is set, then read back: SQLite ignores what it does not know or cannot do. */
static const struct setting {
    const char *set;
    const char *get;
    const char *value;
} settings[] = {
    {"PRAGMA journal_mode = DELETE", "PRAGMA journal_mode", "delete"},
    {"PRAGMA synchronous = EXTRA", "PRAGMA synchronous", "3"},
    {"PRAGMA foreign_keys = ON", "PRAGMA foreign_keys", "1"},
    {"PRAGMA trusted_schema = OFF", "PRAGMA trusted_schema", "0"},
    {"PRAGMA cell_size_check = ON", "PRAGMA cell_size_check", "1"},
    {"PRAGMA mmap_size = 0", "PRAGMA mmap_size", "0"},
    {"PRAGMA temp_store = MEMORY", "PRAGMA temp_store", "2"},
    {"PRAGMA cache_size = -8192", "PRAGMA cache_size", "-8192"}, /* KiB: 100,000 shared contents */
};

static const struct {
    int option;
    int value;
} switches[] = {
    {SQLITE_DBCONFIG_DEFENSIVE, 1},      {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
    {SQLITE_DBCONFIG_DQS_DDL, 0},        {SQLITE_DBCONFIG_DQS_DML, 0},
    {SQLITE_DBCONFIG_ENABLE_FKEY, 1},    {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1},
};

static const struct {
    int limit;
    int value;
} limits[] = {
    {SQLITE_LIMIT_LENGTH, (int)STORE_CONTEXT_SIZE_MAX + (1 << 20)},
    {SQLITE_LIMIT_SQL_LENGTH, 64 << 10},
    {SQLITE_LIMIT_COLUMN, 64},
    {SQLITE_LIMIT_ATTACHED, 0},
};

static int prepare_once(struct store *store, const char *text, sqlite3_stmt **out,
                        struct error *err)
{
    int rc = sqlite3_prepare_v2(store->db, text, -1, out, NULL);

    return rc == SQLITE_OK ? 0 : sql_fail(store, rc, err);
}

/* The first column of the first row, as text; "" when there is none. */
static int query_text(struct store *store, const char *text, struct str *out, struct error *err)
{
    sqlite3_stmt *stmt = NULL;
    int r = prepare_once(store, text, &stmt, err);
    int rc;

    if (r < 0)
        return r;
    str_truncate(out, 0);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW && sqlite3_column_text(stmt, 0))
        str_add(out, (const char *)sqlite3_column_text(stmt, 0));
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        r = sql_fail(store, rc, err);
    (void)sqlite3_finalize(stmt); /* repeats what step told */
    return r;
}

static int not_ours(struct store *store, const char *why, struct error *err)
{
    error_set(err, EUCLEAN, "'%s/img.db' is not a database of img: %s", store->path, why);
    return error_hint(err, "img fsck --repair moves it aside and rebuilds it");
}

/* Closing a descriptor of the database would drop the locks of another store of this process; this
 * one is open on a file that did not exist before. */
static int make_file(struct store *store, const char *name, struct error *err)
{
    auto_close int fd = openat(store->dirs[STORE_ROOT], "img.db",
                               O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0 && errno != EEXIST)
        return error_errno(err, "cannot create '%s'", name);
    return 0;
}

/* SQLite names the database by its path, and its journal. */
static int check_path_length(const struct store *store, struct error *err)
{
    size_t max = (size_t)sqlite3_vfs_find(NULL)->mxPathname - strlen("/img.db-journal") - 1;
    size_t size = strlen(store->path);

    if (size <= max)
        return 0;
    error_set(err, ENAMETOOLONG, "the path of the state directory has %zu bytes, SQLite takes %zu",
              size, max);
    return error_hint(err, "choose a shorter one with --state or IMG_STATE");
}

static int open_database(struct store *store, bool check_only, struct error *err)
{
    auto_free char *name = str_format("%s/img.db", store->path);
    struct stat by_path;
    struct stat st;
    int rc;
    int r = check_path_length(store, err);

    if (r == 0 && !check_only && !store_is_read_only(store))
        r = make_file(store, name, err);
    if (r < 0)
        return r;
    r = fstatat(store->dirs[STORE_ROOT], "img.db", &st, AT_SYMLINK_NOFOLLOW);
    if (r < 0 && errno == ENOENT) {
        store->is_blank = true;
        return error_set(err, EUCLEAN, "'%s' is missing", name);
    }
    if (r < 0)
        return error_errno(err, "cannot look at '%s'", name);
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return error_set(err, EPERM, "'%s' is not a file of user %u", name, geteuid());
    rc =
        sqlite3_open_v2(name, &store->db,
                        (store_is_read_only(store) ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) |
                            SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_NOFOLLOW |
                            SQLITE_OPEN_EXRESCODE,
                        NULL);
    if (rc != SQLITE_OK)
        return sql_fail(store, rc, err);
    if (!store_is_read_only(store) && sqlite3_db_readonly(store->db, "main") != 0)
        return error_set(err, EROFS, "'%s' cannot be written", name);
    /* SQLite takes a path: see that nobody moved the directory away between the two opens. */
    if (stat(name, &by_path) < 0)
        return error_errno(err, "cannot look at '%s'", name);
    if (by_path.st_dev != st.st_dev || by_path.st_ino != st.st_ino)
        return error_set(err, EAGAIN, "'%s' was replaced while it was opened", name);
    return 0;
}

/* Settings that must be there before anything is read from a file of doubtful origin. */
static int configure(struct store *store, struct error *err)
{
    int rc = sqlite3_busy_timeout(store->db, STORE_BUSY_MS);

    for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
        int now = -1;

        rc = sqlite3_db_config(store->db, switches[i].option, switches[i].value, &now);
        if (rc == SQLITE_OK && now != switches[i].value && now != -1)
            rc = SQLITE_MISUSE;
        if (rc != SQLITE_OK)
            return sql_fail(store, rc, err);
    }
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        (void)sqlite3_limit(store->db, limits[i].limit, limits[i].value); /* gives the old value */
    return 0;
}

static int apply_settings(struct store *store, struct error *err)
{
    auto_str struct str value = {0};
    int r = 0;

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]) && r == 0; i++) {
        const struct setting *s = &settings[i];

        r = query_text(store, s->set, &value, err);
        if (r == 0 && !text_equal(str_text(&value), s->value))
            r = query_text(store, s->get, &value, err);
        if (r == 0 && !text_equal(str_text(&value), s->value))
            r = error_set(err, ENOTSUP, "this SQLite (%s) does not do '%s' for '%s'",
                          sqlite3_libversion(), s->set, store->path);
    }
    return r;
}

static int run_script(struct store *store, const char *text, struct error *err)
{
    int rc = sqlite3_exec(store->db, text, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : sql_fail(store, rc, err);
}

/* All of one moment: another process may be filling the database right now. */
static int read_version(struct store *store, struct str *application, struct str *version,
                        struct str *tables, struct error *err)
{
    int r = run_script(store, "BEGIN", err);

    if (r == 0)
        r = query_text(store, "SELECT count(*) FROM sqlite_schema", tables, err);
    if (r == 0)
        r = query_text(store, "PRAGMA application_id", application, err);
    if (r == 0)
        r = query_text(store, "PRAGMA user_version", version, err);
    return r < 0 ? r : run_script(store, "COMMIT", err); /* closing ends it otherwise */
}

enum { IS_CURRENT, IS_BLANK, IS_OLD };

/* One of these; IS_BLANK: nothing was ever put into it. */
static int check_version(struct store *store, struct error *err)
{
    auto_str struct str application = {0};
    auto_str struct str version = {0};
    auto_str struct str tables = {0};
    uint64_t number;
    int r = read_version(store, &application, &version, &tables, err);

    if (r < 0)
        return r;
    if (text_equal(str_text(&application), "0") && text_equal(str_text(&version), "0") &&
        text_equal(str_text(&tables), "0"))
        return IS_BLANK;
    if (!text_to_u64(str_text(&application), UINT32_MAX, &number) || number != APPLICATION_ID)
        return not_ours(store, "it carries another application's mark", err);
    if (!text_to_u64(str_text(&version), INT32_MAX, &number) || number == 0)
        return not_ours(store, "its version is no number of ours", err);
    if (number > USER_VERSION)
        return error_set(err, ENOTSUP,
                         "the store '%s' was made by a newer img (version %ju, this one knows %d)",
                         store->path, (uintmax_t)number, USER_VERSION);
    return number < USER_VERSION ? IS_OLD : IS_CURRENT;
}

/* The schema as SQLite keeps it is, statement by statement, the text it was made from. `*rest` is what
 * of that text the database does not have. */
static int compare_schema(struct store *store, const char **rest, struct error *err)
{
    const char *expected = store_schema();
    sqlite3_stmt *stmt = NULL;
    int r = prepare_once(
        store, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid", &stmt, err);
    int rc = r < 0 ? SQLITE_DONE : sqlite3_step(stmt);

    for (; rc == SQLITE_ROW && r == 0; rc = sqlite3_step(stmt)) {
        const char *actual = (const char *)sqlite3_column_text(stmt, 0);
        size_t size = actual ? strlen(actual) : 0;

        if (size == 0 || strncmp(expected, actual, size) != 0 ||
            strncmp(expected + size, ";\n", 2) != 0)
            r = not_ours(store, "its tables are not those of this version", err);
        else
            expected += size + 2;
    }
    if (r == 0 && rc != SQLITE_DONE && rc != SQLITE_ROW)
        r = sql_fail(store, rc, err);
    (void)sqlite3_finalize(stmt); /* repeats what step told */
    *rest = expected;
    return r;
}

static int check_schema(struct store *store, struct error *err)
{
    const char *rest;
    int r = compare_schema(store, &rest, err);

    return r == 0 && *rest != '\0' ? not_ours(store, "tables are missing", err) : r;
}

static int quick_check(struct store *store, struct error *err)
{
    auto_str struct str answer = {0};
    int r = query_text(store, "PRAGMA quick_check(1)", &answer, err);

    if (r == 0 && !text_equal(str_text(&answer), "ok")) {
        error_set(err, EUCLEAN, "the database of the store '%s' is damaged: %s", store->path,
                  str_text(&answer));
        r = error_hint(err, "img fsck --repair");
    }
    return r;
}

static int create_tables(struct store *store, struct error *err)
{
    /* Outside of the transaction: it must be there before the first page. */
    int r = run_script(store, "PRAGMA auto_vacuum = INCREMENTAL", err);

    if (r == 0)
        r = run_script(store, "BEGIN IMMEDIATE", err);
    if (r == 0)
        r = run_script(store, store_schema(), err);
    if (r == 0 && FAILPOINT("store.create") < 0)
        r = error_errno(err, "cannot make the store '%s'", store->path);
    if (r == 0)
        r = run_script(store, "PRAGMA application_id = " TEXT_OF(APPLICATION_ID), err);
    if (r == 0)
        r = run_script(store, "PRAGMA user_version = " TEXT_OF(USER_VERSION), err);
    if (r == 0)
        r = run_script(store, "COMMIT", err);
    return r;
}

/* A database of version 1 gets the statements that were added since, if it is sound as version 1. Two
 * processes may meet it: the second finds nothing left to do. */
static int add_since_1(struct store *store, struct error *err)
{
    auto_str struct str version = {0};
    const char *rest;
    int r = query_text(store, "PRAGMA user_version", &version, err);

    if (r < 0 || !text_equal(str_text(&version), "1"))
        return r;
    r = compare_schema(store, &rest, err);
    if (r == 0 && !text_starts(rest, SINCE_2))
        r = not_ours(store, "its tables are not those of version 1", err);
    if (r == 0)
        r = run_script(store, rest, err);
    if (r == 0 && FAILPOINT("store.migrate") < 0)
        r = error_errno(err, "cannot bring '%s/img.db' to version 2", store->path);
    return r < 0 ? r : run_script(store, "PRAGMA user_version = " TEXT_OF(USER_VERSION), err);
}

static int migrate(struct store *store, struct error *err)
{
    int r = run_script(store, "BEGIN IMMEDIATE", err);

    if (r == 0)
        r = add_since_1(store, err);
    return r < 0 ? r : run_script(store, "COMMIT", err); /* closing rolls back otherwise */
}

/* Several processes may meet an empty database; one of them fills it. */
static int create(struct store *store, struct error *err)
{
    int r;

    r = store_check_writable(store, err);
    if (r < 0)
        return r;
    if (flock(store->lock_fd, LOCK_EX) < 0)
        return error_errno(err, "cannot lock '%s/lock'", store->path);
    r = check_version(store, err);
    if (r == IS_BLANK)
        r = create_tables(store, err);
    (void)flock(store->lock_fd, LOCK_UN); /* closing it would do as well */
    if (r < 0)
        return r;
    store_reserve_make(store);
    if (fsync(store->dirs[STORE_ROOT]) < 0)
        return error_errno(err, "cannot make '%s' durable", store->path);
    return 0;
}

static int set_up(struct store *store, bool is_unclean, bool check_only, struct error *err)
{
    int r = open_database(store, check_only, err);
    int version;

    if (r == 0)
        r = configure(store, err);
    if (r < 0)
        return r;
    version = check_version(store, err);
    if (version == IS_BLANK && check_only) {
        store->is_blank = true;
        return not_ours(store, "it is empty", err);
    }
    r = version < 0 ? version : apply_settings(store, err);
    if (r == 0 && version == IS_BLANK)
        r = create(store, err);
    if (r == 0 && version == IS_OLD)
        r = migrate(store, err);
    if (r == 0)
        r = check_schema(store, err);
    if (r == 0 && is_unclean)
        r = quick_check(store, err);
    return r;
}

int sql_connect(struct store *store, bool is_unclean, bool check_only, struct error *err)
{
    int r = set_up(store, is_unclean, check_only, err);

    if (r == 0)
        return 0;
    sql_disconnect(store);
    if (!check_only || r != -EUCLEAN)
        return r;
    store->damage = mem_strdup(err->text);
    return 0;
}

void sql_disconnect(struct store *store)
{
    for (size_t i = 0; i < store->statements.count; i++)
        (void)sqlite3_finalize(store->statements.items[i].stmt); /* its failures were told */
    free(store->statements.items);
    store->statements.items = NULL;
    store->statements.count = 0;
    store->statements.capacity = 0;
    (void)sqlite3_close_v2(store->db); /* rolls back; NULL is allowed */
    store->db = NULL;
}

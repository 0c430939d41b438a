/* database.c - plain SQLite calls for tests. */
#include <sqlite3.h>

#include "tests/lib/database.h"
#include "tests/lib/test.h"

static int add_row(void *context, int count, char **values, char **names)
{
    struct str *out = context;

    (void)names;
    if (!out)
        return 0;
    for (int i = 0; i < count; i++)
        str_addf(out, "%s%s", i > 0 ? "|" : "", values[i] ? values[i] : "");
    str_add_char(out, '\n');
    return 0;
}

void database_run_on(struct sqlite3 *db, const char *sql, struct str *out)
{
    if (sqlite3_exec(db, sql, add_row, out, NULL) != SQLITE_OK)
        check_fail("'%s': %s", sql, sqlite3_errmsg(db));
}

void database_run(const char *path, const char *sql, struct str *out)
{
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        check_fail("cannot open '%s': %s", path, sqlite3_errmsg(db));
    database_run_on(db, sql, out);
    (void)sqlite3_close(db); /* everything was run to the end */
}

int database_config(struct sqlite3 *db, int option)
{
    int value = -1;

    if (sqlite3_db_config(db, option, -1, &value) != SQLITE_OK)
        check_fail("sqlite3_db_config(%d) failed", option);
    return value;
}

int database_limit(struct sqlite3 *db, int id)
{
    return sqlite3_limit(db, id, -1);
}

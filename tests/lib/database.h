/* database.h - looks into a SQLite file from outside of the store, and damages it on purpose.
 *
 * Failures fail the running test.
 */
#pragma once

#include "fs/base/str.h"

struct sqlite3;

/* Runs statements on the file; what they answer is added to `out` (NULL: dropped), columns joined
 * with '|', a line per row. */
void database_run(const char *path, const char *sql, struct str *out);
/* The same on an open connection. */
void database_run_on(struct sqlite3 *db, const char *sql, struct str *out);
/* What sqlite3_db_config (option) and sqlite3_limit (id) say about an open connection. */
int database_config(struct sqlite3 *db, int option);
int database_limit(struct sqlite3 *db, int id);

/* store_sql_internal.h - one SQL statement from open to close, for store*.c only.
 *
 * sql_open takes the store's lock until sql_close, so a struct sql never crosses threads. Trouble
 * while binding or reading columns is kept and told by the next sql_step or sql_check: a call site
 * binds, steps, reads and checks once. Texts are literals: their address is the cache's key.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/store_internal.h"

/* -- store_sql.c -- */

struct sql {
    struct store *store; /* NULL: not open */
    struct sqlite3_stmt *stmt;
    bool is_cached;
    int trouble;        /* first SQLite code while binding */
    const char *damage; /* what a column had wrong, NULL: nothing */
};

int sql_open(struct sql *q, struct store *store, const char *text, struct error *err);
void sql_close(struct sql *q);
DEFINE_CLEANUP_VALUE(sql_close, struct sql)
#define auto_sql CLEANUP(sql_close)

/* Parameters count from 1. */
void sql_bind_i64(struct sql *q, int at, int64_t value);
void sql_bind_u64(struct sql *q, int at, uint64_t value);         /* above INT64_MAX: trouble */
void sql_bind_u64_or_null(struct sql *q, int at, uint64_t value); /* 0 is NULL */
void sql_bind_digest(struct sql *q, int at, const struct digest *value); /* NULL is NULL */
void sql_bind_text(struct sql *q, int at,
                   const char *value); /* NULL is NULL; borrowed until step */
void sql_bind_bytes(struct sql *q, int at, const void *bytes, size_t size); /* borrowed likewise */

int sql_step(struct sql *q, struct error *err); /* 1 a row, 0 the end, -errno */
int sql_run(struct sql *q, struct error *err);  /* to the end, then ready to be bound again */
void sql_reset(struct sql *q);
/* open, bind the one parameter, run, close */
int sql_exec(struct store *store, const char *text, struct error *err);
int sql_exec_i64(struct store *store, const char *text, int64_t value, struct error *err);
int sql_exec_digest(struct store *store, const char *text, const struct digest *value,
                    struct error *err);
/* open, bind ?1, step: 1 a row to be read from `q`, 0 none, -errno. sql_close in any case. */
int sql_find_digest(struct sql *q, struct store *store, const char *text,
                    const struct digest *value, struct error *err);

/* Columns count from 0. Values are checked like input from outside (SECURITY S3). */
bool sql_is_null(struct sql *q, int at);
int64_t sql_i64(struct sql *q, int at);
uint64_t sql_u64(struct sql *q, int at); /* NULL is 0; negative is damage */
void sql_digest(struct sql *q, int at, struct digest *out);
char *sql_text(struct sql *q,
               int at); /* a copy, NULL for NULL; NUL or bad UTF-8 inside is damage */
void sql_bytes(struct sql *q, int at, struct str *out);
int sql_check(struct sql *q, struct error *err); /* -EUCLEAN when a column was damaged */

int64_t sql_changes(struct store *store); /* rows the last statement changed */
int64_t sql_last_id(struct store *store);
/* The number that a use made now gets: above all given before. */
int sql_next_use(struct store *store, int64_t *out, struct error *err);
/* Records the connection's last failure. */
int sql_fail(struct store *store, int code, struct error *err);

/* -- store_layer.c -- */

/* How a table keeps the layers, lowest first, that its owner (an image, a cache mount) stands on. */
struct layer_stack {
    const char *noun;   /* the owner, in sentences */
    const char *select; /* ?1 owner */
    const char *clear;  /* ?1 owner */
    const char *insert; /* ?1 owner, ?2 position, ?3 layer */
};
/* The caller frees `*layers`. -EUCLEAN: more than LIMIT_IMAGE_LAYERS. */
int layer_stack_get(struct store *store, const struct layer_stack *stack,
                    const struct digest *owner, int64_t **layers, size_t *count, struct error *err);
/* Replaces them, inside a transaction. -E2BIG: too many; -ENOENT: a layer has no row, err says
 * nothing that users would understand. */
int layer_stack_put(struct store *store, const struct layer_stack *stack,
                    const struct digest *owner, const int64_t *layers, size_t count,
                    struct error *err);

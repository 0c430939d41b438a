/* logs.h - what builds said, kept for a while: a directory of files for each, STATE/logs/<number>.
 *
 * The files in it are the builder's (builder/record.h). Nothing refers to them and they to nothing,
 * so they may be removed at any time, by hand as well; they are not made durable. A directory that is
 * being written is locked by its writer.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

struct store;

#define LOGS_COUNT_MAX 50u /* older ones go when a new one is made */
#define LOGS_SIZE_MAX                                                                              \
    (256ull << 20) /* bytes on disk of all; the newest is kept whatever its size */

struct log_entry {
    uint64_t number;     /* 1, 2, ...: a newer build has a greater one */
    uint64_t size_bytes; /* on disk */
    int64_t changed_ns;  /* last written */
};
struct log_list {
    struct log_entry *items; /* by number, the oldest first */
    size_t count;
    size_t capacity;
};
void log_list_release(struct log_list *list);
DEFINE_CLEANUP_VALUE(log_list_release, struct log_list)
#define auto_log_list CLEANUP(log_list_release)

/* An empty directory with the next number, after old ones were removed; its descriptor is the
 * caller's, and holds its lock. */
int logs_create(struct store *store, uint64_t *number, int *fd, struct error *err);
int logs_list(struct store *store, struct log_list *out, struct error *err);
int logs_open(struct store *store, uint64_t number, int *fd, struct error *err); /* -ENOENT */
/* Bare -errno: -EBUSY it is being written. A number that is not there is success. */
int logs_remove(struct store *store, uint64_t number);

/* gc_internal.h - the rows of a collection (store_gc.c), for gc.c. Inside its transaction. */
#pragma once

#include "fs/store_internal.h"

struct gc_dead_object {
    struct object object;
    int64_t layer; /* of an index: whose */
    uint64_t disk_bytes;
};

struct gc_dead {
    struct gc_dead_object *items;
    size_t count;
    size_t capacity;
    uint64_t disk_bytes; /* of all */
};

/* Deletes the roots that a row of store_usage stands for; named images are never touched. */
int gc_forget(struct store *store, const struct usage_row *row, struct error *err);
/* Deletes every layer, pack and blob that no row refers to, adding their files to `dead`; not the
 * blobs whose file names are in `kept`. */
int gc_sweep(struct store *store, const struct table *kept, struct gc_dead *dead,
             struct error *err);
/* Mirrors (store_mirror.c): their directory, or -1; the disk space of one; those without a record,
 * and their removal, true when all are gone. */
int mirrors_open(struct store *store);
uint64_t mirror_disk_bytes(int mirrors_fd, const struct digest *id);
int mirrors_find_dead(struct store *store, struct strv *names, uint64_t *disk_bytes,
                      struct error *err);
bool mirrors_remove(struct store *store, const struct strv *names);
/* Gives free pages of the database back; outside of any transaction. */
int gc_shrink_database(struct store *store, struct error *err);

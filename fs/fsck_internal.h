/* fsck_internal.h - what the parts of a check share: the report, and the rows (store_check.c). */
#pragma once

#include "fs/fsck.h"
#include "fs/store_internal.h"

struct fsck {
    struct store *store;
    const struct fsck_options *options;
    struct fsck_result *result;
    struct strv leftovers; /* below the store */
    size_t name_count;     /* objects, when there is no database */
};

/* Tells of a problem and counts it. */
void fsck_say(struct fsck *f, enum fsck_kind kind, bool is_repaired, const char *object,
              const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* -- fsck_content.c: rows against files -- */
int fsck_blobs(struct fsck *f, struct error *err);
int fsck_packs(struct fsck *f, struct error *err);
int fsck_layers(struct fsck *f, struct error *err);
int fsck_images(struct fsck *f, struct error *err);
int fsck_files(struct fsck *f, struct error *err);

/* -- store_check.c: rows as lists, and forgetting what is damaged with all that needs it -- */
struct check_blob {
    struct digest digest;
    uint64_t size_bytes;
};
struct check_blob_list {
    struct check_blob *items;
    size_t count;
    size_t capacity;
};
struct check_pack {
    uint64_t id;
    uint64_t size_bytes;
};
struct check_pack_list {
    struct check_pack *items;
    size_t count;
    size_t capacity;
};
struct check_layer {
    int64_t id;
    uint64_t index;
    uint64_t index_size_bytes;
};
struct check_layer_list {
    struct check_layer *items;
    size_t count;
    size_t capacity;
};
struct check_file_list {
    struct file_row *items;
    size_t count;
    size_t capacity;
};

int check_list_blobs(struct store *store, struct check_blob_list *out, struct error *err);
/* All, or those that a layer refers to (`layer` 0: all). */
int check_list_packs(struct store *store, int64_t layer, struct check_pack_list *out,
                     struct error *err);
int check_list_layers(struct store *store, struct check_layer_list *out, struct error *err);
int check_list_files(struct store *store, struct check_file_list *out, struct error *err);
/* Whether `blob` is a compressed form of `layer`. */
int check_is_form(struct store *store, int64_t layer, const struct digest *blob, bool *is_form,
                  struct error *err);

int check_forget_blob(struct store *store, const struct digest *digest, struct error *err);
int check_forget_pack(struct store *store, uint64_t id, struct error *err);
int check_forget_layer(struct store *store, int64_t id, struct error *err);
int check_forget_file(struct store *store, const struct digest *digest, struct error *err);

/* What SQLite itself finds wrong, a sentence per item; none when all is well. */
int check_database(struct store *store, bool quick, struct strv *out, struct error *err);

/* -- store_rebuild.c -- */
/* Moves the database aside as img.db.damaged-<number> (never over another), makes a new one, and
 * brings over every row that can still be read and is not refused by it. Blobs without a row that
 * match their names get one. The gc lock is held exclusively. */
int store_rebuild(struct store *store, struct error *err);

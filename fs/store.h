/* store.h - the state directory: SQLite for what is small and related, plain files for bytes.
 *
 *     img.db           rows: layers, packs, blobs, images, references, cache, files, contexts
 *     blobs/sha256/    documents and compressed layers, named by digest        (fs/blob.h)
 *     blobs/sha512/    the same
 *     packs/ index/    uncompressed bytes and one flat table per layer         (fs/pack.h, fs/index.h)
 *     tmp/ work/       what is being made; a lock tells the living from the dead
 *
 * A row exists only after its bytes are verified and durable (SECURITY S1); a file without a row is
 * garbage, never damage. Every file is the caller's own, 0600 or 0700, and carries nothing but data.
 *
 * Every call may come from any thread; a transaction belongs to the thread that began it. Never use
 * a store across fork: a child that goes on without exec must not touch it. The only door to SQLite.
 *
 * Errors any call may give: -EUCLEAN the database is damaged (hint: img fsck), -EBUSY another
 * process held it for over ten seconds, -ENOSPC, -EROFS, -EIO. Others are named where they occur.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/codec.h"

struct index;
struct store;

/* -- the directory -- */

enum store_dir {
    STORE_ROOT,
    STORE_BLOBS,
    STORE_BLOBS_SHA512,
    STORE_PACKS,
    STORE_INDEX,
    STORE_TMP,
    STORE_WORK
};

struct store_options {
    bool must_exist;   /* -ENOENT instead of making an empty store */
    bool allow_remote; /* accept a network file system, against S6 */
    bool named_temp;   /* act as if the file system had no O_TMPFILE; for tests */
};

/* IMG_STATE, else the first element of XDG_DATA_HOME + "/img", else HOME/.local/share/img; caller
 * frees. There is no fallback in a shared directory (R62): -ENOENT when none is set. */
int store_default_path(char **path, struct error *err);

/* Opens the store at `path`, making what is missing with mode 0700, and holds its gc lock shared
 * until store_close: nothing reachable or new vanishes meanwhile. Removes what dead processes left,
 * if it may write.
 * NULL options are all false. Costs a millisecond or two.
 *
 * Errors: -EPERM a directory is not ours or open to others (R62); -ENOTSUP made by a newer version
 * (nothing is written, S4); -EREMOTEIO a network file system (S6); -EUCLEAN damaged or not ours. */
int store_open(const char *path, const struct store_options *options, struct store **out,
               struct error *err);
/* The directory cannot be written to: by its mount or its mode, or because the limit on the size of
 * files is too near. What only reads works, no use is noted, and all else is -EROFS or -EFBIG. */
bool store_is_read_only(const struct store *store);
int store_check_writable(const struct store *store,
                         struct error *err); /* which of the two, if any */
void store_close(struct store *store); /* NULL is allowed; an open transaction is rolled back */
DEFINE_CLEANUP(store_close, struct store *)
#define auto_store CLEANUP(store_close)

/* Once *stop (borrowed, outlives the store) is true, long reading of layers ends with -ECANCELED. Set
 * before any thread uses the store. */
void store_set_stop(struct store *store, const atomic_bool *stop);
bool store_is_stopped(const struct store *store);

const char *store_path(const struct store *store);
int store_dir(const struct store *store, enum store_dir which); /* descriptor, borrowed */

/* This process's own directory below work/, made on the first call and removed, with all in it, by
 * store_close or, after a crash, by whoever opens the store next. The descriptor is borrowed. */
int store_work_dir(struct store *store, int *fd, struct error *err);

/* An anonymous file in tmp/, O_RDWR, 0600, that vanishes unless it is linked somewhere. */
int store_temp_file(struct store *store, int *fd, struct error *err);

/* -- transactions: group several inserts into one durable step --
 *
 *     auto_store_tx struct store_tx tx = {0};
 *     r = store_begin(store, &tx, err); ... r = store_commit(&tx, err);
 *
 * A transaction keeps other threads and processes from writing, so do slow things (hash, fsync,
 * network) before it. They nest: an inner rollback undoes the inner part alone, an inner commit is
 * durable with the outermost. Every call below that writes makes its own when none is open. */
struct store_tx {
    struct store *store; /* NULL: not open */
    unsigned depth;
};
int store_begin(struct store *store, struct store_tx *tx, struct error *err);
int store_commit(struct store_tx *tx, struct error *err); /* tx is closed, whatever the result */
void store_rollback(struct store_tx *tx);                 /* no effect when it is closed */
DEFINE_CLEANUP_VALUE(store_rollback, struct store_tx)
#define auto_store_tx CLEANUP(store_rollback)

/* -- index files: named by a random id, reserved without a row; packs are alike, see fs/pack.h -- */

#define STORE_NAME_SIZE 17                                       /* 16 hex digits and NUL */
void store_object_name(uint64_t id, char name[STORE_NAME_SIZE]); /* file name of a pack or index */
/* An empty file to build an index in; it vanishes unless adopted. */
int store_index_create(struct store *store, uint64_t *id, int *fd, struct error *err);
/* fsync, then link as index/<name>. Without a layer row naming it, it goes when the store closes. */
int store_index_adopt(struct store *store, uint64_t id, int fd, struct error *err);
/* The index of a layer, mapped; borrowed, lives until store_close. -ENOENT no such layer. */
int store_index_get(struct store *store, int64_t layer, const struct index **out,
                    struct error *err);
/* The index that stands for the last of these layers where they lie upon each other (union_reroute.c);
 * NULL: nobody made one. Borrowed as well. Any thread. */
const struct index *store_rerouted_get(struct store *store, const int64_t *layers, size_t count);
/* Takes `made`; gives the one that stays, which another thread may have made before. */
const struct index *store_rerouted_keep(struct store *store, const int64_t *layers, size_t count,
                                        struct index *made);

/* -- layers -- */

enum layer_kind {
    LAYER_PULLED = 1, /* its own pack is its uncompressed tar */
    LAYER_BUILT,      /* its tar is generated from index and packs */
};

struct layer_row {
    int64_t id; /* > 0, given by the insert */
    enum layer_kind kind;
    bool has_diff_id;
    struct digest diff_id;
    uint64_t tar_size_bytes; /* valid with diff_id */
    uint64_t pack;           /* its own pack, 0: none (no new data) */
    uint64_t index;          /* adopted index file */
    uint64_t entry_count;
    uint64_t data_bytes; /* file content in its own pack */
    int64_t created_ns;  /* 0 at insert: now */
};

/* Inserts a layer and the row of its own pack. `packs` are all other packs its extents refer to
 * (its own may be among them). -ENOENT: an object or a pack is not in the store. */
int store_layer_insert(struct store *store, const struct layer_row *row, const uint64_t *packs,
                       size_t pack_count, int64_t *id, struct error *err);
int store_layer_get(struct store *store, int64_t id, struct layer_row *out, struct error *err);
/* The oldest one. -ENOENT is not worth a sentence: err is set, callers usually go on. */
int store_layer_find_by_diff_id(struct store *store, const struct digest *diff_id,
                                struct layer_row *out, struct error *err);
/* By the digest of a compressed form: the layer need not be fetched again. The same tar is two layers
 * when its diff_id is known in two algorithms, so `diff_id` says which (NULL: any). -ENOENT. */
int store_layer_find_by_blob(struct store *store, const struct digest *blob,
                             const struct digest *diff_id, struct layer_row *out,
                             struct error *err);
/* Whatever is a compressed form of one layer is one of the other, too: they are the same tar. */
int store_layer_share_blobs(struct store *store, int64_t from, int64_t to, struct error *err);
int store_layer_set_diff_id(struct store *store, int64_t id, const struct digest *diff_id,
                            uint64_t tar_size_bytes, struct error *err);

/* Compressed forms. The blob must be in the store (-ENOENT); adding one twice is no error. */
struct layer_blob_row {
    enum codec_format format; /* never CODEC_DETECT */
    struct digest digest;
    uint64_t size_bytes;
};
int store_layer_blob_add(struct store *store, int64_t layer, enum codec_format format,
                         const struct digest *blob, struct error *err);
/* CODEC_DETECT finds any form. Of several it is `wanted` (NULL: no matter), else the one pulled or made
 * first. -ENOENT. */
int store_layer_blob_find(struct store *store, int64_t layer, enum codec_format format,
                          const struct digest *wanted, struct layer_blob_row *out,
                          struct error *err);

/* -- images and the references that point at them -- */

struct image_row {
    struct digest manifest; /* names the image; its blob and the config's are in the store */
    char *media_type;
    struct digest config;
    uint64_t size_bytes; /* as shown to people: the caller decides what it sums */
    int64_t created_ns;  /* when it entered the store; 0 at put: now */
    int64_t *layers;     /* store layer ids, bottom first */
    size_t layer_count;
};
void image_row_release(struct image_row *row);
DEFINE_CLEANUP_VALUE(image_row_release, struct image_row)
#define auto_image_row CLEANUP(image_row_release)

struct reference_row {
    char *name; /* normalised host/name:tag or host/name@digest, at most 575 bytes */
    struct digest manifest;
    bool has_index;
    struct digest index; /* multi-platform index it was resolved from; kept if it is a blob here */
    int64_t created_ns;
    int64_t updated_ns; /* when it last came to point at another manifest */
};
void reference_row_release(struct reference_row *row);
DEFINE_CLEANUP_VALUE(reference_row_release, struct reference_row)
#define auto_reference_row CLEANUP(reference_row_release)

struct image_list {
    struct image_row *items;
    size_t count;
    size_t capacity;
};
void image_list_release(struct image_list *list);
DEFINE_CLEANUP_VALUE(image_list_release, struct image_list)
#define auto_image_list CLEANUP(image_list_release)

struct reference_list {
    struct reference_row *items;
    size_t count;
    size_t capacity;
};
void reference_list_release(struct reference_list *list);
DEFINE_CLEANUP_VALUE(reference_list_release, struct reference_list)
#define auto_reference_list CLEANUP(reference_list_release)

/* An image that is there already keeps its created time. -ENOENT a blob or layer is missing;
 * -E2BIG more than LIMIT_IMAGE_LAYERS. */
int store_image_put(struct store *store, const struct image_row *row, struct error *err);
int store_image_get(struct store *store, const struct digest *manifest, struct image_row *out,
                    struct error *err); /* -ENOENT */
int store_image_list(struct store *store, struct image_list *out,
                     struct error *err); /* newest first */
/* Images whose manifest digest begins with `hex` (1 to 64 lower-case hex digits, else -EINVAL). */
int store_image_find(struct store *store, const char *hex, struct image_list *out,
                     struct error *err);
/* Forgets the image and every reference to it; bytes go with gc. -ENOENT. */
int store_image_remove(struct store *store, const struct digest *manifest, struct error *err);

/* Sets name, manifest, has_index, index of `row`; the times are the store's. -ENOENT no image. */
int store_reference_set(struct store *store, const struct reference_row *row, struct error *err);
int store_reference_get(struct store *store, const char *name, struct reference_row *out,
                        struct error *err);                                           /* -ENOENT */
int store_reference_remove(struct store *store, const char *name, struct error *err); /* -ENOENT */
/* All, or those of one image; sorted by name. */
int store_reference_list(struct store *store, const struct digest *manifest,
                         struct reference_list *out, struct error *err);

/* -- build cache: key -> layer -- */

struct cache_row {
    struct digest key;
    bool has_parent;
    struct digest parent; /* key of the step before; need not exist any more */
    int64_t layer;        /* 0: the step changed no file */
    char *description;    /* "RUN make", for du and the log; never NULL when read */
    char *extra;          /* text of the builder, e.g. JSON of the config; NULL: none */
    char *inputs;         /* what went into the key, for explanations; NULL: none */
    uint64_t run_ns;      /* how long the step took */
    int64_t created_ns;   /* 0 at put: now */
    int64_t used_ns;      /* set by put and touch */
    uint64_t use_count;
};
void cache_row_release(struct cache_row *row);
DEFINE_CLEANUP_VALUE(cache_row_release, struct cache_row)
#define auto_cache_row CLEANUP(cache_row_release)

struct cache_list {
    struct cache_row *items;
    size_t count;
    size_t capacity;
};
void cache_list_release(struct cache_list *list);
DEFINE_CLEANUP_VALUE(cache_list_release, struct cache_list)
#define auto_cache_list CLEANUP(cache_list_release)

int store_cache_get(struct store *store, const struct digest *key, struct cache_row *out,
                    struct error *err); /* -ENOENT; inputs is left NULL */
int store_cache_inputs(struct store *store, const struct digest *key, char **inputs,
                       struct error *err); /* -ENOENT also when there are none; caller frees */
/* Replaces a row of the same key. used_ns and use_count are the store's. -ENOENT no such layer. */
int store_cache_put(struct store *store, const struct cache_row *row, struct error *err);
/* Notes a use of these keys now, where the store can be written to. Rows used less than a minute ago are left alone, so that a cached
 * rebuild writes nothing; at most one transaction. Unknown keys are passed over. */
int store_cache_touch(struct store *store, const struct digest *keys, size_t count,
                      struct error *err);
int store_cache_list(struct store *store, struct cache_list *out,
                     struct error *err); /* by use, oldest first; without inputs */
int store_cache_remove(struct store *store, const struct digest *key,
                       struct error *err); /* -ENOENT */

/* Stat cache of a build context: one opaque value per key, at most STORE_CONTEXT_SIZE_MAX bytes. */
#define STORE_CONTEXT_SIZE_MAX (64u << 20)
int store_context_load(struct store *store, const char *key, struct str *out,
                       struct error *err); /* -ENOENT */
int store_context_save(struct store *store, const char *key, const void *bytes, size_t size,
                       struct error *err); /* -E2BIG */

/* -- files shared by content: where bytes with this digest are in a pack -- */

struct file_row {
    struct digest digest;
    uint64_t size_bytes;
    uint64_t pack; /* 0: not found */
    uint64_t pack_offset;
};
/* Looks up all of them by digest and size, filling pack and pack_offset; 20,000 take well under
 * 100 ms. */
int store_files_find(struct store *store, struct file_row *files, size_t count, struct error *err);
/* Packs must have rows: add after, or in one transaction with, the layer. Known digests are kept. */
int store_files_add(struct store *store, const struct file_row *files, size_t count,
                    struct error *err);

/* -- RUN --mount=type=cache: a named stack of layers that is in no image and in no key -- */

struct cache_mount_row {
    struct digest id;  /* sha256 of whatever names it, so that no name becomes a path (R65) */
    char *description; /* for people: id and target */
    int64_t *layers;   /* bottom first */
    size_t layer_count;
    int64_t created_ns;
    int64_t used_ns;
    uint64_t use_count;
};
void cache_mount_row_release(struct cache_mount_row *row);
DEFINE_CLEANUP_VALUE(cache_mount_row_release, struct cache_mount_row)
#define auto_cache_mount_row CLEANUP(cache_mount_row_release)
int store_cache_mount_get(struct store *store, const struct digest *id, struct cache_mount_row *out,
                          struct error *err); /* -ENOENT */
/* Makes or replaces it, counting one use; times and use_count are the store's. */
int store_cache_mount_put(struct store *store, const struct cache_mount_row *row,
                          struct error *err);
int store_cache_mount_remove(struct store *store, const struct digest *id,
                             struct error *err); /* -ENOENT */
/* A lock that dies with its holder: *fd is closed to release it. Waits, unless `wait` is false:
 * -EBUSY. Two holders in one process exclude each other too. */
int store_cache_mount_lock(struct store *store, const struct digest *id, bool exclusive, bool wait,
                           int *fd, struct error *err);

/* -- accounting: what du lists and prune removes -- */

enum usage_kind {
    USAGE_LAYER = 1,   /* index, pack and compressed forms */
    USAGE_BLOB,        /* a document, or bytes no layer claims */
    USAGE_CACHE,       /* a cache record whose step changed no file */
    USAGE_CACHE_MOUNT, /* layers that only it needs are counted here and not listed */
    USAGE_CONTEXT,     /* stat cache of a build context; its bytes are in img.db */
    USAGE_LOG,         /* what a build said (logs.h) */
    USAGE_PARTIAL,     /* what an interrupted download left, to be continued */
};
struct usage_row {
    enum usage_kind kind;
    char *id;            /* unique in the store: 16 hex digits, or the digest of a blob */
    char *description;   /* "RUN make", "pulled", "manifest", a context's key, ...; never NULL */
    char *parent;        /* id of the record before, or NULL */
    uint64_t size_bytes; /* on disk now, blocks counted; a shared pack counts where it was made */
    bool is_in_use;      /* a named image needs it, or somebody is writing it */
    bool is_shared;      /* more than one image or record needs it, or other layers its bytes */
    bool is_mutable;     /* cache mounts */
    int64_t created_ns;
    int64_t used_ns; /* 0: unknown */
    uint64_t use_count;
    int64_t used_order; /* greater: used later, whatever the clock said; 0: unknown */
    int64_t layer;      /* USAGE_LAYER: its row */
    uint64_t number;    /* USAGE_LOG: the build's */
    struct digest key;  /* USAGE_BLOB, USAGE_CACHE, USAGE_CACHE_MOUNT: digest, key, id;
                           USAGE_PARTIAL: digest it shall have */
};
struct usage_list {
    struct usage_row *items;
    size_t count;
    size_t capacity;
    uint64_t total_bytes;       /* of all items */
    uint64_t reclaimable_bytes; /* of those not in use */
    uint64_t database_bytes;    /* img.db without the contexts; in no item */
};
void usage_list_release(struct usage_list *list);
DEFINE_CLEANUP_VALUE(usage_list_release, struct usage_list)
#define auto_usage_list CLEANUP(usage_list_release)
int store_usage(struct store *store, struct usage_list *out, struct error *err);

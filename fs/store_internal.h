/* store_internal.h - what the parts of the store share: its state, and objects on their way in.
 *
 * An object is a file of blobs/, packs/ or index/. It becomes one by being linked, and is garbage
 * until a row names it. Meanwhile it is pending: a marker in this process's work directory names it,
 * so that whoever finds the process dead can remove it without listing anything.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/store.h"

struct sqlite3;
struct sqlite3_stmt;
struct table;

#define STORE_DIR_COUNT (STORE_WORK + 1)
#define STORE_BUSY_MS 10000

enum object_kind {
    OBJECT_BLOB = 0, /* named by a sha256 */
    OBJECT_BLOB_SHA512,
    OBJECT_PACK,
    OBJECT_INDEX,
    OBJECT_KIND_COUNT
};

struct object {
    enum object_kind kind;
    char name[DIGEST_HEX_SIZE]; /* file name in its directory */
};

struct pending {
    struct object object;
    unsigned row_depth; /* depth of the open transaction that inserted its row, 0: none yet */
};

struct statement {
    const char *text; /* the literal: compared as a pointer */
    struct sqlite3_stmt *stmt;
    bool is_busy;
};

struct open_pack {
    uint64_t id;
    int fd;
    unsigned reader_count; /* it stays open while there are any */
    bool is_dead;          /* goes with its last reader */
    uint64_t used_order;   /* greater is later */
    struct open_pack *next;
};
#define PACK_BUCKETS 256u

struct open_index {
    int64_t layer;
    struct index *index;
};

/* What union_reroute.c made of the topmost layer of a stack. */
struct rerouted_index {
    int64_t *layers; /* owned; bottom first */
    size_t count;
    struct index *index;
};

struct store {
    char *path;
    int dirs[STORE_DIR_COUNT];
    int partial_fd; /* tmp/partial */
    int gc_fd;      /* gc.lock, held shared */
    int lock_fd;    /* lock, held only while the database is made */
    bool named_temp;
    int refusal; /* why nothing is written, set once: EROFS; EFBIG no room below the limit on files */
    char *damage;            /* why there is no database, when opened for a check; else NULL */
    bool is_blank;           /* with damage: nothing was ever put into it */
    const atomic_bool *stop; /* borrowed; NULL: none */

    pthread_mutex_t lock; /* recursive; a transaction holds it */
    /* guarded by lock */
    struct sqlite3 *db;
    struct {
        struct statement *items;
        size_t count;
        size_t capacity;
    } statements;
    unsigned depth;      /* of open transactions */
    unsigned dirty_dirs; /* bit per enum object_kind: linked into, not yet fsynced */
    struct {
        struct pending *items;
        size_t count;
        size_t capacity;
    } pending;
    int work_fd; /* -1 until needed; locked */
    char work_name[STORE_NAME_SIZE];
    uint64_t temp_count; /* names of temporary files, where there is no O_TMPFILE */

    pthread_mutex_t open_lock; /* a leaf: nothing is locked under it */
    /* guarded by open_lock */
    struct {
        struct open_pack *buckets[PACK_BUCKETS]; /* by id */
        size_t count;
        size_t max; /* 0: not asked yet */
        uint64_t use_count;
    } packs;
    struct {
        struct open_index *items;
        size_t count;
        size_t capacity;
    } indexes;
    struct {
        struct rerouted_index *items;
        size_t count;
        size_t capacity;
    } rerouted;
};

static inline void store_unlock(struct store **store)
{
    (void)pthread_mutex_unlock(&(*store)->lock); /* we hold it */
}
/* Holds the store's lock until the end of the scope. */
#define STORE_LOCKED(store)                                                                        \
    __attribute__((cleanup(store_unlock), unused)) struct store *store_locked_ =                   \
        (pthread_mutex_lock(&(store)->lock), (store))

/* -- store.c -- */
enum store_open_flags {
    STORE_OPEN_CHECK = 1 << 0,     /* for fsck: no recovery; no or a bad database is no failure */
    STORE_OPEN_EXCLUSIVE = 1 << 1, /* gc lock taken exclusively, within wait_ms */
};
int store_open_with(const char *path, const struct store_options *options, unsigned flags,
                    int64_t wait_ms, struct store **out, struct error *err);
/* Turns the shared gc lock into an exclusive one, and back. -EBUSY after wait_ms (-1: never).
 * `waiting` (NULL is allowed) is called once before the first wait. */
int store_lock_exclusive(struct store *store, int64_t wait_ms, void (*waiting)(void *context),
                         void *context, struct error *err);
void store_lock_shared(struct store *store);

/* -- companions.c -- */
/* File names of the blobs that an index with a name says it has beside images (attestations and
 * signatures: their manifests, configurations, layers), whether or not they are here. */
int companions_find(struct store *store, struct table *out, struct error *err);

/* -- store_object.c -- */
int object_dir(const struct store *store, enum object_kind kind); /* -1: there is none */
const char *object_dir_name(enum object_kind kind); /* "blobs/sha256", "packs", "index" */
const char *object_noun(enum object_kind kind);     /* "blob", "pack", "index" */
bool object_is_blob(enum object_kind kind);         /* named by a digest, not by an id */
uint64_t object_new_id(void);                       /* random, 1 to INT64_MAX */
bool object_parse_name(enum object_kind kind, const char *name, struct object *out);
void object_of_id(enum object_kind kind, uint64_t id, struct object *out);
void object_of_digest(const struct digest *digest, struct object *out);
bool object_id(const struct object *object, uint64_t *id); /* packs and indexes */
/* Size of the file, which must be a regular one: 0, or -ENOENT (no sentence is set). */
int object_size(const struct store *store, const struct object *object, uint64_t *size_bytes);
/* Blocks it takes, 0 when it is not there. */
uint64_t object_disk_bytes(const struct store *store, const struct object *object);
/* fsync, marker, link. The object is pending afterwards. */
int object_adopt(struct store *store, const struct object *object, int fd, struct error *err);
int object_sync_file(const struct store *store, const struct object *object, int fd,
                     struct error *err);
/* The same for a blob that was fsynced, inside a transaction. A file of that name is kept when
 * `keep` says that it is known to be right, else replaced. `partial` names the file in tmp/partial,
 * NULL: it is a nameless one. */
int object_adopt_blob(struct store *store, const struct object *object, int fd, bool keep,
                      const char *partial, struct error *err);
void object_note_row(struct store *store, const struct object *object);
bool object_is_pending(struct store *store, const struct object *object);
/* For transactions: what ended at `depth`. */
void pending_committed(struct store *store);
void pending_inner_committed(struct store *store, unsigned depth);
void pending_rolled_back(struct store *store, unsigned depth);
int object_sync_dirs(struct store *store, struct error *err);
/* A file that only takes space, given up for a collection when there is none left. */
void store_reserve_make(struct store *store); /* if it is not there and there is space */
bool store_reserve_release(struct store *store);
/* Opens or makes a file that others may lock or remove at any time, and locks it with flock(2)'s
 * `operation`. Bare -errno, -EWOULDBLOCK with LOCK_NB. */
int locked_file_open(int dir_fd, const char *name, int operation, int *out);

/* -- store_recover.c -- */
/* Two kinds of files in a work directory name objects that go when they have no row: an empty one
 * per object on its way in, and a list of many on their way out. */
#define MARKER_PREFIX "made-" /* made-<noun>-<name> */
#define MARKER_LIST "dead"    /* lines of <noun>-<name> */
/* Writes that list, before the transaction that deletes the rows commits. */
int store_mark_dead(struct store *store, const struct str *lines, struct error *err);
void store_unmark_dead(struct store *store);
void store_recover(struct store *store); /* what dead processes left; trouble is only logged */
void store_work_retire(struct store *store);

/* Whether a row names the object. */
int object_has_row(struct store *store, const struct object *object, bool *has_row,
                   struct error *err);

/* -- store_connect.c -- */
/* With `check_only` nothing is made, and -EUCLEAN gives success, no db, and its sentence in damage. */
int sql_connect(struct store *store, bool is_unclean, bool check_only, struct error *err);
void sql_disconnect(struct store *store);
const char *store_schema(void); /* schema.sql without its comments, made at build time */

/* -- store_blob.c -- */
int blob_row_get(struct store *store, const struct digest *digest, uint64_t *size_bytes,
                 struct error *err); /* -ENOENT */
int blob_row_insert(struct store *store, const struct digest *digest, uint64_t size_bytes,
                    struct error *err); /* replaces the size */

/* -- store_layer.c -- */
/* As its row says, or, while it has none and is pending, as the file is. -ENOENT. */
int store_pack_size(struct store *store, uint64_t id, uint64_t *size_bytes, struct error *err);

/* -- pack.c -- */
void pack_forget(struct store *store,
                 uint64_t id); /* closes the cached descriptor of a dead pack */
void packs_close(struct store *store);
/* -- store_index.c -- */
void index_forget(struct store *store, int64_t layer); /* unmaps the cached index of a dead layer */
void indexes_close(struct store *store);

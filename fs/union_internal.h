/* union_internal.h - the tables behind a view, shared by the files of the union.
 *
 * Everything that exists in a view is a slot of one of two tables: inodes (number 1 is the root) and
 * names (a directory, some bytes, and the inode they mean, or none: a whiteout). Slots never move,
 * so a pointer to one is good until it is released. A lower inode gets its slot when it is first
 * looked up and keeps it, and so its number, as long as the view lives; the slot of a removed one is
 * used again when nothing refers to it any more.
 *
 * Functions in here return 0 or a bare -errno unless they say otherwise. See fs/README.md.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/base/error.h"
#include "fs/base/limits.h"
#include "fs/base/str.h"
#include "fs/index.h"
#include "fs/store.h"
#include "fs/union.h"
#include "fs/union_extent.h"
#include "fs/view.h"

#define NONE 0u                    /* no inode, no name, no cookie */
#define INODE_COUNT_MAX (1u << 24) /* 3 GiB of tables; eight times what a layer may hold */
#define NAME_COUNT_MAX (1u << 25)
#define COOKIE_BASE (1u << 30) /* see union_dir.c */

/* One directory of one layer; merged directories have several, the topmost first. */
struct dir_run {
    uint32_t layer; /* position in view.layers */
    uint32_t inode; /* of its index */
};

struct listed {
    uint32_t cookie;
    uint32_t name; /* NONE: removed */
};
struct listing { /* sorted by cookie, up or down */
    struct listed *items;
    size_t count;
    size_t capacity;
    size_t removed_count;
};

struct dir {
    struct dir_run *runs; /* owned; NULL: the inode's origin is the only one, if it has one */
    uint32_t run_count;
    struct run_map *map;   /* see union_map.c; NULL: none */
    uint32_t search_count; /* in runs, for want of a map */
    uint32_t name_total;   /* in all runs together; 0: not counted yet */
    uint32_t next_cookie;
    uint32_t name_count;  /* names that mean an inode, of those known so far */
    bool is_complete;     /* every name the layers have is in the table */
    struct listing upper; /* names the layers do not have, cookies falling */
    struct listing lower; /* the others, cookies rising; filled when it becomes complete */
};

struct xattr_item {
    struct xattr_item *next; /* by name, rising */
    uint32_t value_size;
    uint32_t name_size;
    char data[]; /* name, NUL, value */
};

enum inode_flag {
    INODE_USED = 1 << 0,
    INODE_ORIGIN = 1 << 1,        /* came from a layer: `origin` holds its metadata and content */
    INODE_DIRTY = 1 << 2,         /* in the journal */
    INODE_MOUNTPOINT = 1 << 3,    /* made for a mount, left out of the layer */
    INODE_LOWER_XATTRS = 1 << 4,  /* its extended attributes are still those of `origin` */
    INODE_LOWER_CONTENT = 1 << 5, /* its content is still that of `origin`, more than one extent */
    INODE_OWN_TARGET = 1 << 6,    /* `target` was allocated */
    INODE_GROUP = 1 << 7,         /* `origin` is a key of view.groups */
    INODE_LINKABLE = 1 << 8,      /* made without a name (O_TMPFILE): may get its first one */
};

struct inode {
    uint32_t number;
    uint32_t nlink; /* names; directories: 1, or 0 when removed */
    uint64_t lookup_count;
    mode_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t flags; /* enum inode_flag */
    int64_t atime_ns;
    int64_t mtime_ns;
    int64_t ctime_ns;
    uint64_t size_bytes;
    union {
        struct content content; /* files */
        uint64_t lower_bytes;   /* files with INODE_LOWER_CONTENT: sum of the extents */
        struct dir *dir;        /* directories; NULL until something needs it */
        const char *target;     /* symlinks */
        struct {                /* devices */
            uint32_t rdev_major;
            uint32_t rdev_minor;
        };
    };
    struct xattr_item *xattrs; /* owned; unless INODE_LOWER_XATTRS */
    struct dir_run origin;     /* with INODE_ORIGIN */
    uint32_t first_name;       /* of the names that mean this inode; NONE for the root */
    uint32_t dirty_next;       /* journal's list; also the list of free slots */
    uint32_t dirty_prev;
    uint32_t mark; /* scratch of view_changes */
};

enum name_flag {
    NAME_LOWER = 1 << 0, /* the layers below have this name in this directory */
    NAME_DIRTY = 1 << 1, /* in the journal */
    NAME_OWNED = 1 << 2, /* `text` was allocated, else it is an index's */
};

struct name {
    const char *text; /* not NUL-terminated */
    uint32_t parent;  /* inode */
    uint32_t inode;   /* NONE: a whiteout */
    uint32_t hash;
    uint32_t hash_next; /* also the list of free slots */
    uint32_t cookie;    /* its place in the directory's listings; NONE: in none */
    uint32_t next;      /* of the same inode */
    uint32_t prev;
    uint32_t dirty_next;
    uint32_t dirty_prev;
    uint8_t size;
    uint8_t flags; /* enum name_flag */
};

/* A table from 64 bits to 32; no removal of keys is needed, only of values. */
struct id_map {
    uint64_t *keys;
    uint32_t *values; /* 0: no such key */
    size_t count;
    size_t capacity; /* power of two */
};
uint32_t id_map_get(const struct id_map *m, uint64_t key); /* 0: absent */
void id_map_put(struct id_map *m, uint64_t key, uint32_t value);
void id_map_release(struct id_map *m);

#define SOURCE_SEGMENT 0u /* in view.sources, and the number pieces have: the view's own segment */

struct segment {
    uint64_t pack; /* id reserved for it */
    int fd;        /* -1 until the first byte is written */
    uint64_t end_bytes;
    _Atomic uint64_t size_bytes; /* what was written so far; any thread reads it */
};

struct journal { /* see journal.h */
    uint32_t first_name;
    uint32_t first_inode;
    size_t name_count;
    size_t inode_count;
};

/* A hard link of an upper layer to a file of a layer below it. */
struct external {
    struct dir_run link;   /* the link itself */
    struct dir_run target; /* the file; NO_LAYER: there is none */
};

struct view {
    char *label;
    struct view_options options;
    struct store *store;
    bool is_sealed;

    const struct index **layers; /* bottom first; borrowed from the store */
    size_t layer_count;
    struct dir_run *found_runs; /* scratch of lower_find, layer_count items */
    struct external *externals; /* sorted by link */
    size_t external_count;
    struct id_map groups;    /* run_key of a file with several names -> inode, or GROUP_EXPECTED */
    uint32_t map_item_count; /* of all maps */
    uint64_t search_count;   /* in indexes, for a name; tests look at it */
    struct id_map moved;     /* run_key of a lower directory that was renamed -> inode */

    struct inode **inode_chunks;
    uint32_t inode_chunk_count;
    uint32_t inode_next; /* first slot never used */
    uint32_t inode_free;
    uint32_t inode_count; /* in use */

    struct name **name_chunks;
    uint32_t name_chunk_count;
    uint32_t name_next;
    uint32_t name_free;
    uint32_t name_count;
    uint32_t *buckets; /* heads of chains by hash */
    uint32_t bucket_mask;

    uint64_t *sources; /* packs, by the numbers that pieces have */
    size_t source_count;
    size_t source_capacity;
    struct id_map source_of_pack; /* pack -> source number */
    struct segment segment;
    struct journal journal;

    _Atomic bool has_fault;
    pthread_mutex_t lock;
    struct error fault; /* guarded by lock; the first one */
};

#define NO_LAYER UINT32_MAX
#define GROUP_EXPECTED UINT32_MAX
static inline uint64_t run_key(struct dir_run run)
{
    return ((uint64_t)run.layer << 32 | run.inode) + 1; /* never 0, which marks an empty slot */
}
static inline bool run_equal(struct dir_run a, struct dir_run b)
{
    return a.layer == b.layer && a.inode == b.inode;
}

/* -- union_table.c: slots -- */

#define CHUNK_BITS 9
#define CHUNK_SIZE (1u << CHUNK_BITS)
static inline struct inode *inode_at(const struct view *v, uint32_t number)
{
    return &v->inode_chunks[number >> CHUNK_BITS][number & (CHUNK_SIZE - 1)];
}
static inline struct name *name_at(const struct view *v, uint32_t name)
{
    return &v->name_chunks[name >> CHUNK_BITS][name & (CHUNK_SIZE - 1)];
}
/* The inode with this number as it came from outside, or NULL: answer -ESTALE. */
struct inode *inode_get(const struct view *v, uint64_t ino);
/* A new inode with no name; NULL when there are INODE_COUNT_MAX, and the fault is set. */
struct inode *inode_new(struct view *v, mode_t mode, uint32_t uid, uint32_t gid);
/* Releases the slot if nothing refers to it: no name, no look-up reference. */
void inode_unuse(struct view *v, struct inode *i);
static inline bool inode_is_alive(const struct inode *i)
{
    return i->nlink > 0;
}

/* The slot of a name that is known already, whiteouts included, or NONE. */
uint32_t name_lookup_known(const struct view *v, uint32_t parent, const char *text, size_t size);
/* A slot in the hash table; the text is copied unless it is `borrowed` from an index. */
uint32_t name_new(struct view *v, uint32_t parent, const char *text, size_t size, bool borrowed);
void name_free(struct view *v, uint32_t name); /* out of the hash table; means no inode any more */
/* Makes a name mean an inode, and the opposite; counts links, knows nothing of listings. */
void name_attach(struct view *v, uint32_t name, struct inode *i);
void name_detach(struct view *v, uint32_t name);
void tables_init(struct view *v);
void tables_release(struct view *v);

/* -- union_lower.c: the layers -- */

struct run_list {
    const struct dir_run *items;
    uint32_t count;
    const struct dir *dir; /* whose runs they are, if it may have a map; or NULL */
};
struct lower_entry {
    const char *text; /* the name as an index has it */
    bool is_dir;
    struct dir_run origin;      /* where its metadata is; for links to lower layers, the target */
    const struct dir_run *runs; /* directories: in view.found_runs, until the next lower_find */
    uint32_t run_count;
};
/* The directory's runs: none when it is new. */
const struct dir_run *inode_runs(const struct inode *dir, uint32_t *count);
/* What the layers have under a name of a directory. -ENOENT, -EIO. */
int lower_find(struct view *v, struct inode *dir, const char *text, size_t size,
               struct lower_entry *out);
/* The same in the directory of these runs; `runs` has room for one of each layer, out->runs is there. */
int lower_find_in_runs(struct view *v, struct run_list dirs, const char *text, size_t size,
                       struct dir_run *runs, struct lower_entry *out);
/* The root as the layers below position `below` make it: -ENOENT when there are none. */
int lower_root_below(struct view *v, uint32_t below, struct dir_run *runs, struct lower_entry *out);
/* The root's. */
int lower_root(struct view *v, struct lower_entry *out);
int lower_get(struct view *v, struct dir_run at, struct index_inode *out);
/* Makes the name, and its inode if it has none yet. */
int lower_materialise(struct view *v, struct inode *dir, const struct lower_entry *entry,
                      size_t size, uint32_t *name);
/* The index's metadata and content put into a new inode. */
int lower_fill(struct view *v, struct inode *i, struct dir_run origin);
/* Notes where a renamed lower directory is now. */
void lower_note_moved(struct view *v, const struct inode *dir);
int lower_init(struct view *v, const int64_t *layers, struct error *err);
void lower_release(struct view *v);
int lower_damaged(struct view *v, uint32_t layer); /* sets the fault; -EIO */

/* -- union_below.c, union_reroute.c: what a layer means by the layers below it -- */

struct below_found {
    struct str path; /* clean, without a leading slash and without links; owned */
    bool is_missing; /* nothing is there */
    bool is_dir;
    struct dir_run origin; /* unless it is missing */
};
/* What `path` is in the tree of the layers below position `below`; links are followed inside its root,
 * the last one only if asked. What is not there is a path all the same, for who would make it.
 * -ELOOP, -ENAMETOOLONG, -ENOTDIR, -EIO. */
int below_find(struct view *v, uint32_t below, const char *path, bool follow_last,
               struct below_found *out);
int below_add_externals(struct view *v, uint32_t layer, struct error *err);
/* Where a layer has files below what is a symlink in the layers below it, replaces its index by one
 * that has them where the link leads. `ids` are those of all layers; a store makes it once. */
int reroute_layer(struct view *v, const int64_t *ids, uint32_t layer, struct error *err);

/* -- union_map.c -- */

struct run_search {
    const char *text;
    size_t size;
    uint32_t hash;
    uint32_t run;  /* the first that was not looked at yet */
    uint32_t item; /* of the map; UINT32_MAX: not begun */
};
struct run_search run_search_begin(const char *text, size_t size);
/* The next run, from the topmost on, that has the name, and what it has. -ENOENT, -EIO. */
int run_search_next(struct view *v, struct run_list dirs, struct run_search *s, struct dir_run *at,
                    struct index_dirent *out);
/* Notes that so many searches are to come; makes a map once they were worth it. -EIO. */
int run_map_need(struct view *v, struct dir *d, uint32_t searches);
void run_map_release(struct view *v, struct dir *d);

/* -- union_name.c -- */

/* Length of a name, or -ENAMETOOLONG, -ENOENT (empty), -EINVAL ("/" in it). */
int name_check(const char *text);
/* 0 with the name, which means an inode; -ENOENT with the whiteout of that name, or NONE. */
int name_find(struct view *v, struct inode *dir, const char *text, size_t size, uint32_t *name);
/* Adds a name to a directory, given what name_find found; removes one. Journal and listing too. */
void name_add(struct view *v, struct inode *dir, const char *text, size_t size, uint32_t whiteout,
              struct inode *i);
void name_remove(struct view *v, struct inode *dir, uint32_t name);
/* The directory's times say that a name changed. */
void dir_touch(struct view *v, struct inode *dir);
/* A directory that names can be made in: -EROFS, -ESTALE, -ENOTDIR, -ENOENT (removed). */
int dir_writable(struct view *v, uint64_t ino, struct inode **dir);
int name_allowed(const char *text, size_t size); /* -EPERM for ".wh." */

/* -- union_dir.c: listings -- */

struct dir *dir_of(struct inode *i);                               /* made if need be */
struct inode *dir_parent(const struct view *v, struct inode *dir); /* the root's is itself */
int dir_complete(struct view *v, struct inode *i); /* all its names are in the tables */
int dir_is_empty(struct view *v, struct inode *i); /* 0, -ENOTEMPTY, -EIO */
void dir_list_add(struct view *v, struct inode *dir, uint32_t name);
void dir_list_remove(struct view *v, struct inode *dir, uint32_t name);
/* Forgets the whiteouts of a directory that is being removed. */
void dir_kill(struct view *v, struct inode *i);
void dir_release(struct view *v, struct dir *d);
/* The names of a complete directory, one after the other; NONE ends. Nothing may be added or removed
 * on the way. Zeroed starts. */
struct dir_walk {
    bool in_lower;
    size_t position;
};
uint32_t dir_walk_next(const struct inode *dir, struct dir_walk *walk);
uint32_t dir_any_name(const struct inode *dir); /* of a complete directory; NONE when empty */

/* -- union_meta.c -- */

void attr_fill(const struct view *v, const struct inode *i, struct union_attr *out);
/* Something of the inode changes: -EROFS, -ESTALE. */
int inode_writable(struct view *v, uint64_t ino, struct inode **i);
/* Drops suid, sgid of executables, and capabilities. */
void inode_kill_priv(struct view *v, struct inode *i, bool suid);

/* -- union_xattr.c -- */

void xattrs_release(struct inode *i);
void xattrs_kill_capability(struct view *v, struct inode *i);
int xattrs_load(struct view *v, struct inode *i);

/* -- union_data.c, union_segment.c -- */

int content_load(struct view *v, struct inode *i); /* after it, `content` says it all */
int content_from_index(struct view *v, struct dir_run at, const struct index_inode *from,
                       struct content *out);
uint64_t inode_bytes(const struct inode *i);
void inode_drop_content(struct view *v, struct inode *i);
int inode_truncate(struct view *v, struct inode *i, uint64_t size);
/* A regular file, its pieces loaded; one that is about to change; one that did. */
int file_readable(struct view *v, uint64_t ino, struct inode **out);
int file_writable(struct view *v, uint64_t ino, struct inode **i);
void file_changed(struct view *v, struct inode *i);
ssize_t content_read(struct view *v, const struct content *c, uint64_t size, uint64_t offset,
                     void *buf, size_t count);
uint32_t source_number(struct view *v, uint64_t pack);
int source_read(struct view *v, uint32_t source, uint64_t offset, void *buf, size_t size);
/* Room for `size` bytes at the end of the segment. -ENOSPC, -EIO. */
int segment_reserve(struct view *v, uint64_t size, uint64_t *offset);
int segment_write(struct view *v, uint64_t offset, const void *buf, size_t size);
int segment_allocate(struct view *v, uint64_t size, uint64_t *offset); /* fallocate(2) */
content_freed_fn segment_free;
void segment_release(struct view *v);

/* -- view.c -- */

/* Keeps the first fault. Returns -code. */
int view_set_fault(struct view *v, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

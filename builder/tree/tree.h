/* tree.h - a read-only tree to copy from: the build context on the host, or the view of a stage or
 * image.
 *
 * Paths are relative to the tree's root, clean, "" for the root itself. Nothing ever leaves the
 * root: links are resolved inside it, host files are opened beneath a directory descriptor
 * (SECURITY R53). A host tree may be digested from several threads; a view tree belongs to one.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/base/stream.h"
#include "fs/entry.h"

struct statcache;
struct tree;
struct view;

struct tree_node {
    char *path;             /* owned */
    struct entry_meta meta; /* of a host tree: owner 0:0, whoever owns it on the host */
    char *target;           /* symlinks; owned, else NULL */
    uint64_t device;        /* identity on the host; of views 0 and the inode */
    uint64_t inode;
    uint32_t link_count; /* names of a file, inside the tree or not; 1 for all else */
    int64_t ctime_ns;
};
void tree_node_release(struct tree_node *n);
DEFINE_CLEANUP_VALUE(tree_node_release, struct tree_node)
#define auto_tree_node CLEANUP(tree_node_release)

struct tree_nodes {
    struct tree_node *items;
    size_t count;
    size_t capacity;
};
void tree_nodes_release(struct tree_nodes *l);
DEFINE_CLEANUP_VALUE(tree_nodes_release, struct tree_nodes)
#define auto_tree_nodes CLEANUP(tree_nodes_release)

/* `directory` is opened now; `cache` (borrowed, may be NULL) remembers digests of its files. */
int tree_open_host(const char *directory, struct statcache *cache, struct tree **out,
                   struct error *err);
/* Takes the view over. `label` names it in messages. */
struct tree *tree_take_view(struct view *view, const char *label);
/* A tree with nothing in it: the context of a Dockerfile read from standard input. */
struct tree *tree_new_empty(void);
void tree_close(struct tree *t);
DEFINE_CLEANUP(tree_close, struct tree *)
#define auto_tree CLEANUP(tree_close)

/* Once *stop (borrowed) is true, reading ends with -ECANCELED. */
void tree_set_stop(struct tree *t, const atomic_bool *stop);

const char *tree_label(const struct tree *t);
bool tree_is_host(const struct tree *t);

/* The node itself, links not followed; its parents must be real directories. -ENOENT, -ENOTDIR. */
int tree_stat(struct tree *t, const char *path, struct tree_node *out, struct error *err);
/* Follows every link in `path`, the last one included; ".." above the root stays at the root. The
 * result is a path without links, caller frees; it need exist only up to its last component.
 * -ELOOP beyond LIMIT_SYMLINKS. */
int tree_resolve(struct tree *t, const char *path, char **out, struct error *err);
/* The children of a directory, sorted by name in byte order. */
int tree_list(struct tree *t, const char *path, struct tree_nodes *out, struct error *err);
/* sha256 of a file's bytes; remembered for host files that did not change. */
int tree_digest(struct tree *t, const struct tree_node *n, struct digest *out, struct error *err);
/* The same without reading: false when it is not remembered. */
bool tree_digest_known(struct tree *t, const struct tree_node *n, struct digest *out);
/* Gives the file `ino` of `to` the content of n: shared extents between views, else written. */
int tree_copy_content(struct tree *t, const struct tree_node *n, struct view *to, uint64_t ino,
                      struct error *err);
/* That n still is what `content` digests, asked after it was copied. -EAGAIN when it changed, a
 * change within one tick of the file system's clock included: those its times do not show. */
int tree_check_content(struct tree *t, const struct tree_node *n, const struct digest *content,
                       struct error *err);
/* Exactly `size` bytes of a host tree's file, from any thread; -EAGAIN when it is not what n says any
 * more, -EINVAL for other trees. */
int tree_read_at(struct tree *t, const struct tree_node *n, uint64_t offset, void *buf, size_t size,
                 struct error *err);
/* The bytes of a file, as it was seen. The caller closes it, before the tree. */
int tree_open_reader(struct tree *t, const struct tree_node *n, struct reader **out,
                     struct error *err);
/* Extended attributes worth carrying (views only; those of the host stay there). */
int tree_copy_xattrs(struct tree *t, const struct tree_node *n, struct view *to, uint64_t ino,
                     struct error *err);
/* Feeds name and value of each such attribute, in name order, to fn. */
int tree_each_xattr(struct tree *t, const struct tree_node *n,
                    void (*fn)(void *context, const char *name, const void *value, size_t size),
                    void *context, struct error *err);
/* Bytes of a small file, at most size_max (-EFBIG). */
int tree_read(struct tree *t, const char *path, uint64_t size_max, struct str *out,
              struct error *err);

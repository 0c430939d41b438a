/* tree_internal.h - what a kind of tree provides; tree.c does the rest. */
#pragma once

#include "builder/tree/tree.h"

struct tree_ops {
    int (*stat)(struct tree *t, const char *path, struct tree_node *out, struct error *err);
    int (*list)(struct tree *t, const char *path, struct tree_nodes *out,
                struct error *err); /* in any order; on failure `out` is as it was */
    int (*digest)(struct tree *t, const struct tree_node *n, struct digest *out, struct error *err);
    bool (*digest_known)(struct tree *t, const struct tree_node *n,
                         struct digest *out); /* NULL: never */
    int (*copy_content)(struct tree *t, const struct tree_node *n, struct view *to, uint64_t ino,
                        struct error *err);
    int (*check_content)(struct tree *t, const struct tree_node *n, const struct digest *content,
                         struct error *err); /* NULL: it cannot change */
    int (*read_at)(struct tree *t, const struct tree_node *n, uint64_t offset, void *buf,
                   size_t size, struct error *err); /* NULL: tree_read_at is -EINVAL */
    int (*open_reader)(struct tree *t, const struct tree_node *n, struct reader **out,
                       struct error *err);
    int (*each_xattr)(struct tree *t, const struct tree_node *n,
                      void (*fn)(void *context, const char *name, const void *value, size_t size),
                      void *context, struct error *err); /* NULL: there are none */
    int (*read)(struct tree *t, const char *path, uint64_t size_max, struct str *out,
                struct error *err);
    void (*close)(struct tree *t); /* frees what the kind added, and t */
};

struct tree {
    const struct tree_ops *ops;
    char *label;
    const atomic_bool *stop; /* or NULL */
};
int tree_check_stop(const struct tree *t, struct error *err); /* -ECANCELED once it is to stop */

#define TREE_BUFFER_SIZE (1u << 20)

/* Enough for the file and the read that finds its end; a context is mostly small files. */
static inline size_t tree_buffer_size(uint64_t file_size_bytes)
{
    return file_size_bytes < TREE_BUFFER_SIZE ? (size_t)file_size_bytes + 1 : TREE_BUFFER_SIZE;
}

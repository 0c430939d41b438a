/* model.h - a filesystem in memory so plain that it is right: what the union is compared with.
 *
 * Content is an array of bytes, a directory an array of names, nothing is lazy or shared. Written
 * from the manual pages, not from the union. Nodes live until model_release.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MODEL_FILE_MAX (1u << 18)

struct mnode;
struct mname {
    char *text;
    struct mnode *node;
};
struct mxattr {
    char *name;
    uint8_t *value;
    size_t size;
};

struct mnode {
    mode_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t major;
    uint32_t minor;
    unsigned nlink; /* names; directories: 1, removed: 0 */
    bool is_linkable;
    uint8_t *bytes; /* files; also of symlinks: the target with its NUL */
    size_t size;
    struct mname *names; /* directories */
    size_t name_count;
    struct mnode *parent; /* directories */
    struct mxattr xattrs[8];
    size_t xattr_count;

    uint64_t ino; /* of the union, once known */
    unsigned handles;
    int64_t mtime_ns; /* as the union said last */
    bool is_named;    /* scratch */
};

struct model {
    struct mnode *root;
    struct mnode **nodes; /* all, dead ones too */
    size_t count;
    size_t capacity;
};

void model_init(struct model *m);
void model_release(struct model *m);
struct mnode *model_node(struct model *m, mode_t mode, uint32_t uid, uint32_t gid);
struct mname *model_find(const struct mnode *dir, const char *name);
void model_put(struct mnode *dir, const char *name, struct mnode *node); /* replaces; no checks */
void model_drop(struct mnode *dir, const char *name);                    /* if it is there */
void model_set_bytes(struct mnode *n, const void *bytes, size_t size);
/* All nodes that can be reached by name get is_named. */
void model_mark(struct model *m);

/* The calls: 0, a count, or -errno. `dir` and `node` are never NULL. */
int model_mknod(struct model *m, struct mnode *dir, const char *name, mode_t mode, uint32_t uid,
                uint32_t gid, struct mnode **out);
int model_tmpfile(struct model *m, struct mnode *dir, mode_t mode, struct mnode **out);
int model_symlink(struct model *m, struct mnode *dir, const char *name, const char *target,
                  struct mnode **out);
int model_link(struct mnode *node, struct mnode *dir, const char *name);
int model_unlink(struct mnode *dir, const char *name);
int model_rmdir(struct mnode *dir, const char *name);
int model_remove_tree(struct mnode *dir, const char *name);
int model_rename(struct mnode *dir, const char *name, struct mnode *to, const char *new_name,
                 unsigned flags);
ssize_t model_write(struct mnode *n, uint64_t offset, const void *bytes, size_t size, bool kill);
ssize_t model_copy(struct mnode *from, uint64_t from_offset, struct mnode *to, uint64_t to_offset,
                   uint64_t size);
int model_truncate(struct mnode *n, uint64_t size, bool kill);
int model_fallocate(struct mnode *n, int mode, uint64_t offset, uint64_t length);
void model_chmod(struct mnode *n, mode_t mode);
void model_chown(struct mnode *n, const uint32_t *uid, const uint32_t *gid);
int model_setxattr(struct mnode *n, const char *name, const void *value, size_t size, int flags);
int model_removexattr(struct mnode *n, const char *name);
struct mxattr *model_xattr(struct mnode *n, const char *name);

/* index.h - the flat, immutable table of one layer: what the union looks names up in.
 *
 * A file under STATE/index, mapped read-only, entries sorted by (directory, name). Every offset and
 * count is bounds-checked on use, for the file may be damaged or come from a restored cache; damage
 * is -EIO, never a crash. An open index may be read by any thread. The format is in fs/FORMAT.md.
 *
 * An index inode is a number within one index; 0 is the root directory. A dirent names an inode or
 * is a whiteout (OCI image-spec, layer.md, "Whiteouts").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/entry.h"

struct index;

enum index_flags {
    INDEX_OPAQUE = 1,   /* directory: nothing below shows through */
    INDEX_IMPLICIT = 2, /* directory that was only a parent in the tar: metadata is the lower one's,
                           or, where there is none, what the index says: 0755, 0:0, time 0 */
    INDEX_EXTERNAL_LINK = 4, /* hard link whose target is not in this layer: the link target is a
                                path (no leading slash) to be found in the layers below */
};

struct index_inode {
    struct entry_meta meta;
    uint32_t flags;        /* enum index_flags */
    uint32_t nlink;        /* names within this index; directories: 1 */
    uint32_t parent;       /* directories: inode of the parent; root: 0 */
    uint32_t child_count;  /* directories */
    uint32_t extent_count; /* files */
    uint32_t xattr_count;
};

struct index_dirent {
    const char *name; /* not NUL-terminated; borrowed from the mapping */
    size_t name_size;
    bool is_whiteout;
    uint32_t inode; /* valid unless is_whiteout */
};

/* Maps `name` in dir_fd; verifies magic, version, size and the header's checksum; that of the tables
 * only when `verify`, for it reads them all. -EIO damaged, -ENOTSUP another version, -ENOENT. */
int index_open(int dir_fd, const char *name, bool verify, struct index **out, struct error *err);
/* The same of an open file, which stays the caller's; `name` is for messages. */
int index_open_fd(int fd, const char *name, bool verify, struct index **out, struct error *err);
void index_close(struct index *x);
DEFINE_CLEANUP(index_close, struct index *)
#define auto_index CLEANUP(index_close)

/* An index that is cut short while it is mapped, and a disk that cannot read it, is a SIGBUS in whoever
 * looks at it. From this call on it ends the process with status 1 and a sentence on stderr; everything
 * that depends on the process ends with it. For programs, at their start. */
void index_guard(void);

uint32_t index_inode_count(const struct index *x);
uint64_t index_file_size_bytes(const struct index *x);
/* All return 0 or a bare -errno: -ENOENT no such name or position, -ENOTDIR, -EIO damaged. Whatever
 * the bytes are, directories form a tree in which a child's number is greater than its parent's;
 * how deep it is, only the builder has checked. */
int index_get(const struct index *x, uint32_t inode, struct index_inode *out);
int index_lookup(const struct index *x, uint32_t dir, const char *name, size_t name_size,
                 struct index_dirent *out);
int index_dirent_at(const struct index *x, uint32_t dir, uint32_t position,
                    struct index_dirent *out);
int index_extent(const struct index *x, uint32_t inode, uint32_t position, struct extent *out);
int index_xattr(const struct index *x, uint32_t inode, uint32_t position, struct xattr *out);
/* Symlink target, or path of an external link; borrowed, NUL-terminated. */
int index_target(const struct index *x, uint32_t inode, const char **out, size_t *size);
/* The `position`th name (0 <= position < nlink) of a file with nlink > 1, or of any inode: the
 * directory inode and the dirent's position in it. */
int index_name_of(const struct index *x, uint32_t inode, uint32_t position, uint32_t *dir,
                  uint32_t *dirent);
/* Appends the path of a name, as index_name_of gives it, without leading slash. -EIO also when it is
 * deeper than LIMIT_PATH_DEPTH. */
int index_add_path(const struct index *x, uint32_t dir, uint32_t dirent, struct str *out);
/* Inodes with INDEX_EXTERNAL_LINK, and directories other than the root with INDEX_IMPLICIT, in inode
 * order: what they mean is said by the layers below, and a merged tree must know it before it can say
 * how many names a file has, or where one is. Costs nothing when there are none. */
size_t index_special_count(const struct index *x);
int index_special_at(const struct index *x, size_t position, uint32_t *inode);
/* Packs that extents refer to. */
size_t index_pack_count(const struct index *x);
uint64_t index_pack_at(const struct index *x, size_t position);

/* Builds an index from entries in any order; later ones replace earlier ones of the same path as tar
 * extraction would: a file drops the directory it replaces, a directory merges with one that is
 * there, and one that replaces something else is opaque. A whiteout hides what is below and nothing
 * of its own layer (OCI image-spec, layer.md, "Whiteouts"), so next to a directory it makes that
 * opaque, in either order. Paths are relative, cleaned, without "." and ".."; missing parents become
 * implicit directories; a parent that is a symlink of this layer is followed inside the root.
 * One builder belongs to one thread. */
struct index_builder;
struct index_builder *index_builder_new(void);
void index_builder_free(struct index_builder *b);
DEFINE_CLEANUP(index_builder_free, struct index_builder *)
#define auto_index_builder CLEANUP(index_builder_free)

struct index_new_entry {
    const char *path; /* "" is the root directory itself */
    struct entry_meta meta;
    uint32_t flags;     /* INDEX_OPAQUE */
    const char *target; /* symlinks */
    const struct extent *extents;
    size_t extent_count;
    const struct xattr *xattrs;
    size_t xattr_count;
};
/* -ENAMETOOLONG, -E2BIG (limits.h), -ELOOP, -EINVAL (a parent is not a directory, ...). Nothing but
 * parents was added then. */
int index_builder_add(struct index_builder *b, const struct index_new_entry *e, struct error *err);
/* External when the target is not in here yet. A link to itself changes nothing. */
int index_builder_add_link(struct index_builder *b, const char *path, const char *target_path,
                           struct error *err);
int index_builder_add_whiteout(struct index_builder *b, const char *path, struct error *err);
int index_builder_set_opaque(struct index_builder *b, const char *dir_path, struct error *err);
/* Names so far: entries, whiteouts, implicit parents; those below a replaced directory still count. */
size_t index_builder_count(const struct index_builder *b);
/* Writes the finished table to fd (an empty file). The same entries give the same bytes, whatever
 * the order of adding. Afterwards the builder can only be freed. */
int index_builder_write(struct index_builder *b, int fd, struct error *err);

/* copy.h - puts selected entries of a tree into a view: the work of COPY and ADD.
 *
 * No mount, no process: it writes through the same view a RUN would and leaves the same journal.
 * Content goes by sharing: extents of another view, or bytes the store has already under the same
 * digest; only what is new is written.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "builder/tree/chmod.h"
#include "builder/tree/selection.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/union.h"

struct store;
struct tree;
struct view;

/* Files whose bytes stay where they are: number n of VIEW_OUTSIDE is items[n], borrowed from the
 * selections, which must live as long as the view. */
struct copy_references {
    const struct tree_node **items;
    size_t count;
    size_t capacity;
};

/* New bytes that later builds may share, noted while copying. */
struct copied_file {
    struct digest digest;
    uint64_t size_bytes;
    uint64_t ino;
};
struct copied_files {
    struct copied_file *items;
    size_t count;
    size_t capacity;
};
void copied_files_release(struct copied_files *files);
DEFINE_CLEANUP_VALUE(copied_files_release, struct copied_files)
#define auto_copied_files CLEANUP(copied_files_release)

struct copy_options {
    const char *destination; /* absolute, cleaned of variables; a trailing slash counts */
    bool several;            /* more than one source: the destination is a directory */
    bool with_parents;       /* --parents: keep the source's directories, from a /./ pivot on */
    bool set_owner;
    uint32_t uid;
    uint32_t gid;
    const struct chmod *chmod; /* or NULL */
    int64_t now_ns;            /* time of directories made on the way */
    bool unpack;               /* a source file that is a tar, packed or not, is extracted (ADD) */
    bool fixed_times;          /* what is extracted gets now_ns, whatever the archive says */
    struct copy_references *references; /* or NULL: contents are copied */
    struct copied_files *files;         /* are noted here; or NULL */
    bool keep_owner;                    /* false: 0:0 unless set_owner (sources from the context) */
};

/* Applies the selections in order. `store` is asked for bytes it has already. Errors name the path:
 * -EISDIR, -ENOTDIR, -ENOSPC, -EIO. */
int copy_apply(struct view *to, struct store *store, struct tree *from, struct selections *sources,
               const struct copy_options *options, struct error *err);
/* A file given as text (heredoc). */
int copy_text(struct view *to, const char *name, const char *data, size_t size,
              const struct copy_options *options, struct error *err);
/* mkdir -p, mode 0755: new directories belong to `cred`, and no clock shows in what the layer
 * records, for they and the one they are made in get the time `now_ns`. Bare -errno. */
int copy_make_dirs(struct view *to, const char *path, struct union_cred cred, int64_t now_ns,
                   struct union_attr *out);
/* The same for a directory that something was put into. */
int copy_touch_dir(struct view *to, uint64_t ino, int64_t now_ns);
/* After the view was sealed: where the noted bytes are now. */
int copied_files_remember(const struct copied_files *files, struct view *v, struct store *store,
                          int64_t layer, struct error *err);

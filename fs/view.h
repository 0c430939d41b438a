/* view.h - layers merged into one tree plus a journal of changes, with or without a mount.
 *
 * Opening maps the layers' indexes and makes the root inode: O(layers), not O(files). Directories
 * are merged when first looked at. All changes go to one segment file and the journal; closing
 * without sealing throws them away. See union.h for the operations and the threading rule.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/union.h"

struct store;
struct view;

/* Packs with an id from here on are not the store's but files of the caller's: what
 * union_set_content gives a file from pack VIEW_OUTSIDE + n is read by view_options.outside. A view
 * with such files serves, and keeps what is written over them, but cannot be sealed. */
#define VIEW_OUTSIDE (UINT64_MAX << 32)
struct view_outside {
    /* Exactly `size` bytes of file `number` from `offset` on; -EIO with a sentence. Called on the
     * thread that has the view. */
    int (*read)(void *context, uint64_t number, uint64_t offset, void *buf, size_t size,
                struct error *err);
    void *context;
};

struct view_options {
    const char *label;  /* names the view in messages: "step 3", an image; copied */
    bool read_only;     /* every change is -EROFS */
    bool allow_devices; /* mknod of devices is recorded as data */
    bool squash;        /* attributes show every owner as squash_uid:squash_gid; truth is kept */
    uint32_t squash_uid;
    uint32_t squash_gid;
    struct view_outside outside; /* all zero: none */
    uint64_t segment_size_max;   /* 0: as much as the disk holds; else -ENOSPC beyond it */
};

/* `layers` are store layer ids, bottom first; count 0 is an empty root (0755, 0:0, mtime 0). */
int view_open(struct store *store, const int64_t *layers, size_t count,
              const struct view_options *options, struct view **out, struct error *err);
void view_close(struct view *v); /* NULL is allowed; unsealed changes are lost */
DEFINE_CLEANUP(view_close, struct view *)
#define auto_view CLEANUP(view_close)

const char *view_label(const struct view *v);
/* The first internal fault (damaged pack, full store) since opening: its code and sentence, or 0.
 * Asked before a failed step is blamed on its command. May be called from any thread. */
int view_fault(const struct view *v, struct error *err);
bool view_is_changed(const struct view *v); /* something would be sealed, or might be */
/* New data written so far, bytes. Any thread. */
uint64_t view_segment_size_bytes(const struct view *v);

/* Makes `path` (and parents) exist for the kernel to mount on; such nodes are left out of the layer
 * unless the step itself changes them, and parents' times are kept. An existing path is kept. */
int view_add_mountpoint(struct view *v, const char *path, bool is_dir, struct error *err);

/* Path helpers for in-process use. Paths are absolute in the view; "..", links and loops stay
 * inside its root, at most LIMIT_SYMLINKS links. Bare -errno. */
int view_resolve(struct view *v, const char *path, bool follow_last, struct union_attr *out);
/* mkdir -p; new directories get this mode, owner and time; links on the way are followed. */
int view_make_dirs(struct view *v, const char *path, mode_t mode, struct union_cred cred,
                   int64_t mtime_ns, struct union_attr *out);
int view_read_file(struct view *v, const char *path, uint64_t size_max, struct str *out);
int view_remove_tree(struct view *v, uint64_t parent, const char *name); /* rm -rf of one name */

/* What the journal folds to: the changes against the lower layers, sorted by path. */
enum change_kind { CHANGE_ADD = 1, CHANGE_MODIFY, CHANGE_DELETE };
struct change {
    enum change_kind kind;
    char *path;    /* relative, owned by the list */
    uint64_t ino;  /* ADD, MODIFY */
    bool opaque;   /* directory that replaces a lower one */
    char *link_to; /* ADD, MODIFY: path of the first name of this hard-linked file, or NULL */
};
struct change_list {
    struct change *items;
    size_t count;
    size_t capacity;
};
int view_changes(struct view *v, struct change_list *out, struct error *err);
void change_list_release(struct change_list *l);
DEFINE_CLEANUP_VALUE(change_list_release, struct change_list)
#define auto_change_list CLEANUP(change_list_release)

struct view_sealed {
    int64_t layer; /* new row in the store; 0 when nothing changed */
    size_t change_count;
    uint64_t data_bytes; /* new bytes in the segment */
};
struct seal_options {
    int64_t mtime_max_ns; /* clamp of file times (rewrite-timestamp), or INT64_MAX */
    bool (*keep)(void *context, const char *path); /* NULL keeps all */
    /* What must become durable together with the layer (a cache row): called inside the transaction
     * that inserts it, after the row; `layer` is 0 when nothing changed. NULL: nothing. */
    int (*with_row)(void *context, int64_t layer, struct error *err);
    void *context;
};
/* Freezes what the journal recorded, and describes the directories above each change, for the layer
 * may be unpacked alone: index written, segment adopted as the layer's pack, both
 * durable (fsync), one row inserted in the caller's transaction when there is one, else its own.
 * The view must not be served any more; afterwards it can only be closed. The diff_id is not
 * computed here: see layer_digest. Errors: -ENOSPC, -EIO; -EFBIG the files are longer together than a
 * layer may be (LIMIT_LAYER_SIZE). */
int view_seal(struct view *v, const struct seal_options *options, struct view_sealed *out,
              struct error *err);

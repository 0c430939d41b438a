/* mount.h - a view shown to the kernel: the FUSE session and the thread that serves it.
 *
 * One of the two doors to libfuse (with fuse_ops.c). The mount itself is made by somebody else, with
 * the option text given here: in the user namespace of the step (builder/sandbox/spawner_share.c), or
 * by fusermount3 on the host for `img mount`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

struct view;
struct mount;

struct mount_options {
    bool writeback; /* kernel write-back cache */
    bool host; /* mounted in the caller's own namespace: no default_permissions; caller reads all */
    bool writable;    /* of a host mount only: not "ro"; the view takes the changes */
    const char *name; /* of a host mount only: what mount(8) shows as its source; NULL: "img" */
    bool plain; /* one thread of the normal class, see serve_sched.h; for tests and comparisons */
};

/* Option text for mount(2) of type "fuse" with this /dev/fuse descriptor number. Not for a host
 * mount, whose options mount_host gives to fusermount3. */
void mount_option_text(int fuse_fd, const struct mount_options *options, char *text, size_t size);

/* Starts a thread, confined by serve_confine.h, that serves `v` on `fuse_fd` (owned from now on, even
 * on failure). The view
 * belongs to the mount until mount_stop. Nobody else may keep the descriptor open: its last close
 * is what frees the clients when this process dies.
 * Errors: -EAGAIN no thread to be had; -EMFILE. */
int mount_serve(struct view *v, int fuse_fd, const struct mount_options *options,
                struct mount **out, struct error *err);
/* The same until unmounted, while the calling thread waits, whose signals stay its own; for
 * `img mount`. */
int mount_serve_here(struct view *v, int fuse_fd, const struct mount_options *options,
                     struct error *err);
/* Ends serving and closes the descriptor; the view is the caller's again. After the unmount nothing
 * is lost: it flushed what the kernel held. A mount that still exists is cut off: its clients get
 * ENOTCONN or ECONNABORTED, those that wait included. */
void mount_stop(struct mount *m); /* NULL is allowed */
DEFINE_CLEANUP(mount_stop, struct mount *)
#define auto_mount CLEANUP(mount_stop)

/* Requests served so far, by FUSE opcode (index), up to `count` of them; any thread. */
void mount_counts(const struct mount *m, uint64_t *counts, unsigned count);
const char *mount_opcode_name(unsigned opcode); /* "LOOKUP", or NULL */

/* A mount on a host directory, made through fusermount3. */
struct mount_host {
    int fuse_fd;  /* to be served with options->host, which takes it over */
    int guard_fd; /* while it is open, somebody waits for the end of its holders, to unmount then */
};

/* `directory` is absolute. The process that serves has to be the one that calls this, and call
 * mount_host_release when serving ended by itself; if it dies before, the mount goes with it.
 * Errors: -ENOENT the host has no fusermount3; -EPERM it refuses, the sentence says why; -EPROTO. */
int mount_host(const char *directory, const struct mount_options *options, struct mount_host *out,
               struct error *err);
void mount_host_release(struct mount_host *host); /* the mount is gone, nobody needs to wait */
/* Host mounts as the kernel lists them. */
struct mount_host_entry {
    char *name; /* as above; what could be mistaken for more than a name is "_" in it */
    char *directory;
};
struct mount_host_list {
    struct mount_host_entry *items; /* the latest last */
    size_t count;
    size_t capacity;
};
void mount_host_list_release(struct mount_host_list *list);
DEFINE_CLEANUP_VALUE(mount_host_list_release, struct mount_host_list)
#define auto_mount_host_list CLEANUP(mount_host_list_release)
/* Those that user `uid` made, in the text of a mountinfo file (proc(5)). */
void mount_host_parse(const char *text, size_t size, uid_t uid, struct mount_host_list *out);
int mount_host_find(struct mount_host_list *out, struct error *err); /* the caller's */
/* Unmounts it; the server then ends by itself. -EBUSY when refused, in use for instance; -ENOENT:
 * nothing is mounted there. */
int mount_host_undo(const char *directory, struct error *err);

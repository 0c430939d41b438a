/* mounts.h - the new mount calls, in the few shapes a step needs (fsopen(2), move_mount(2)).
 *
 * Mounts are handled by descriptor, never by a path that could be exchanged meanwhile (SECURITY
 * R15, R22). All functions return bare -errno and are async-signal-safe: they also run between
 * fork and exec.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Options of a new file system; a NULL value is a flag. */
struct mounts_option {
    const char *key;
    const char *value;
};

/* A new, detached file system; `attributes` are MOUNT_ATTR_*. */
int mounts_create(const char *type, const struct mounts_option *options, size_t option_count,
                  unsigned attributes);
/* A detached copy of the mount that holds `path` below `dir_fd` ("" for dir_fd itself), rooted
 * there; `recursive` takes what is mounted below along. The source must be attached. */
int mounts_clone(int dir_fd, const char *path, bool recursive);
/* Sets attributes on a mount, detached or not, and with `recursive` on all below. */
int mounts_set(int mount_fd, unsigned attributes, bool recursive);
/* Attaches (or moves) the mount of `from_fd` onto what `to_fd` has open. */
int mounts_attach(int from_fd, int to_fd);
/* The same by name: for mount points nobody else can reach. */
int mounts_move(int from_dir_fd, const char *from_path, int to_dir_fd, const char *to_path);
/* Opens `name` directly below `dir_fd` to mount on: no links anywhere, no other mount entered. */
int mounts_open_target(int dir_fd, const char *name, bool is_dir);

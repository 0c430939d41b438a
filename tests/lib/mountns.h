/* mountns.h - a process in a user and a mount namespace of its own, for tests that mount a view.
 *
 * Only tasks of that namespace may enter the mount, so everything a test does there is a function
 * (or a shell line) run by a child of that process; its standard output comes back as text. Root
 * of the namespace is the caller; more ids exist where the host lets us (mountns_has_ids).
 * Make it before the test's first thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/base/str.h"
#include "fs/mount.h"

struct mountns;

/* NULL when the host has no user namespaces or no /dev/fuse for us; `reason` then says which.
 * Meant for: test_need("userns", ns != NULL, reason). */
struct mountns *mountns_new(const char **reason);
void mountns_free(struct mountns *ns); /* ends its processes, and so its mounts; NULL is allowed */
DEFINE_CLEANUP(mountns_free, struct mountns *)
#define auto_mountns CLEANUP(mountns_free)

bool mountns_has_ids(const struct mountns *ns); /* 0 to 65535 exist, not 0 alone */
pid_t mountns_pid(const struct mountns *ns);

/* Opens /dev/fuse there and mounts it on `directory`; the only copy of the descriptor is `*fuse_fd`.
 * Returns 0 or -errno. */
int mountns_mount(struct mountns *ns, const char *directory, const struct mount_options *options,
                  int *fuse_fd);
int mountns_mount_tmpfs(struct mountns *ns, const char *directory);
int mountns_unmount(struct mountns *ns, const char *directory); /* lazily when `in use` */

/* Runs in a child there; returns its exit status, or 256 + the signal that ended it. What it
 * printed is added to `out` (NULL: goes to the test's own output). `argument` is copied. */
typedef int mountns_fn(const void *argument);
int mountns_run(struct mountns *ns, mountns_fn *fn, const void *argument, size_t size,
                struct str *out);
/* `sh -c line` in `directory`, standard error included in `out`. */
int mountns_shell(struct mountns *ns, const char *directory, const char *line, struct str *out);

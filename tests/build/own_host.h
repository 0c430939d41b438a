/* own_host.h - a forked process with mounts of its own, where things of the host can be missing.
 *
 * It is root of a user namespace that maps only its own id, so it works for everybody.
 */
#pragma once

#include <stddef.h>

typedef void own_host_fn(const void *argument, void *out);

/* One file of the host that has another file's content there. */
struct own_host_cover {
    const char *path; /* NULL ends a list; a path the host has not is skipped */
    const char *with;
};
#define OWN_HOST_NOTHING "/dev/null"

/* Runs `fn` in such a process, with `argument`; what it wrote to `out` (size bytes) comes back. */
void own_host_run(const struct own_host_cover *covers, own_host_fn *fn, const void *argument,
                  void *out, size_t size);
/* The same, with the process keeping no capability and an id that is not root's. */
void own_host_run_as_user(const struct own_host_cover *covers, own_host_fn *fn,
                          const void *argument, void *out, size_t size);

/* sandbox_child.h - everything a step's init needs, made ready before it is cloned. */
#pragma once

#include <stdbool.h>

#include "builder/sandbox/message.h"
#include "builder/sandbox/sandbox.h"
#include "builder/sandbox/seccomp.h"

/* Where the spawner keeps the mounts every step takes a copy of; see spawner_setup.c. */
#define TEMPLATE_ROOT "/root"         /* the step's root is attached here */
#define TEMPLATE_TREES "/trees"       /* and the other trees on /trees/0 ... */
#define TEMPLATE_SHARES "/shares"     /* those of several steps are attached to /shares/0 ... */
#define TEMPLATE_VOLUMES "/volumes"   /* the caller's volumes, on /volumes/0 ... */
#define TEMPLATE_PRIVATE "/private"   /* and its private tmpfs */
#define TEMPLATE_SYS "/sys"           /* sysfs, masked and read-only */
#define TEMPLATE_EMPTY "/empty"       /* an empty read-only tmpfs: masks directories */
#define TEMPLATE_DEVICES "/devices"   /* one bind per device node */
#define TEMPLATE_FUSE "/devices/fuse" /* never given to a step */

/* The device nodes of a step; NULL-terminated. */
struct sandbox_device {
    const char *name;
    unsigned major;
    unsigned minor;
    bool optional; /* hosts in containers may lack it */
};
extern const struct sandbox_device sandbox_devices[];

#define PRIVATE_NAME_SIZE 24

/* Borrowed by the child, which runs in a copy of the spawner's memory. */
struct sandbox_plan {
    const struct sandbox_spec *spec;
    const struct seccomp_filter *filter;
    bool is_single_id;
    int socket;                        /* to img */
    int life_read;                     /* ends when the spawner ends */
    int life_write;                    /* the spawner's end of it */
    int netns_fd;                      /* to join, or -1 to stay in the host's */
    int network_ready_fd;              /* readable once the helper is, or -1 */
    int network_said_fd;               /* what the helper printed so far, or -1 */
    int tree_fds[SANDBOX_TREES_MAX];   /* detached mounts */
    int tmpfs_fds[SANDBOX_MOUNTS_MAX]; /* detached mounts of TMPFS, else -1 */
    int dev_fd;                        /* detached mounts for /dev, /dev/pts, /dev/shm */
    int pts_fd;
    int shm_fd;
    int private_fd; /* detached tmpfs with etc files, secrets and sockets */
    char private_names[SANDBOX_MOUNTS_MAX][PRIVATE_NAME_SIZE];
    int stdin_fd; /* -1: the step's own /dev/null */
    int stdout_fd;
    int stderr_fd;
    int terminal_fd;                           /* instead of all three, or -1 */
    const char *tree_paths[SANDBOX_TREES_MAX]; /* "/trees/0" ... */
    const char *share_paths[SPAWNER_SHARES_MAX];
    const char *volume_paths[SPAWNER_VOLUMES_MAX]; /* "/volumes/0" ... */
};

extern const char *const sandbox_etc_names[ETC_COUNT]; /* in the private tmpfs */

/* Runs as pid 1 of the step, in its new mount, pid, ipc, uts and cgroup namespaces. Reports over
 * plan->socket. Async-signal-safe. */
_Noreturn void sandbox_child_run(const struct sandbox_plan *plan);

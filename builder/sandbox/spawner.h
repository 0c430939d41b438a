/* spawner.h - the small process that owns a build's user namespace and starts its steps.
 *
 *     img (caller's uid, any number of threads)
 *      `- spawner: a sealed copy of our own executable, single-threaded, container root in its own
 *         |        user and mount namespace; ends when img ends, and takes everything with it
 *         |- network helper (slirp4netns or pasta), only once a step wanted the network
 *         `- one init per running step (sandbox.h)
 *
 * Opening returns at once: id maps, namespaces, templates and the system call filter are made while
 * the caller works, and a failure among them is reported by the first sandbox_start (or by
 * spawner_wait_ready). A build that runs no step opens none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

struct spawner;

enum spawner_network_helper {
    SPAWNER_HELPER_AUTO, /* slirp4netns, else pasta */
    SPAWNER_HELPER_SLIRP4NETNS,
    SPAWNER_HELPER_PASTA,
};

/* What of the caller's own files steps may be shown (SANDBOX_MOUNT_VOLUME). */
struct spawner_volume {
    const char *source; /* absolute; its links are followed once, before the first step */
    dev_t device; /* what it was when the caller asked: anything else in its place is refused, */
    ino_t inode;  /* for a step that can write to one volume could exchange another */
};
#define SPAWNER_VOLUMES_MAX 32u

struct spawner_options {
    /* Map only the caller's own id, to root, with setgroups denied: for accounts without a
     * subordinate range. The served trees must then squash their owners (SECURITY P4, R3). */
    bool single_id;
    /* Root of the steps is the caller, not a subordinate id: what it writes to a volume is his. */
    bool root_is_caller;
    const struct spawner_volume *volumes; /* borrowed for the call; at most SPAWNER_VOLUMES_MAX */
    size_t volume_count;
    /* Start the network helper now rather than with the first step that wants it. */
    bool prepare_network;
    enum spawner_network_helper network_helper;
};

/* The very first statement of main(): when this process was started as a spawner, runs it and
 * exits; otherwise returns. Must come before any thread, allocation or output. */
void spawner_main_if_asked(int argc, char **argv);

/* Starts the spawner; usable from any thread. `options` may be NULL.
 * Errors: only what stops the process itself from starting (-ENOMEM, -EAGAIN, ...). */
int spawner_open(const struct spawner_options *options, struct spawner **out, struct error *err);
/* Waits until the namespaces are made: 0, or why they cannot be (with a hint naming the way out).
 * Any thread, any number of times. */
int spawner_wait_ready(struct spawner *sp, struct error *err);
/* Ends the spawner and every step it started, and waits for it. Sandboxes must be freed before. */
void spawner_close(struct spawner *sp); /* NULL is allowed */
DEFINE_CLEANUP(spawner_close, struct spawner *)
#define auto_spawner CLEANUP(spawner_close)

/* A FUSE file system that several steps see as one, locks included (SANDBOX_MOUNT_SHARED). `number`,
 * below SPAWNER_SHARES_MAX, is not in use. Gives its /dev/fuse, which the caller closes and must
 * serve before a step uses it. Any thread; waits like spawner_wait_ready. */
int spawner_share_tree(struct spawner *sp, unsigned number, int *fd, struct error *err);
/* Once no step uses it: has the kernel write back what it holds, and unmounts it. It must be served
 * meanwhile. A spawner that has ended took it along. */
void spawner_unshare_tree(struct spawner *sp, unsigned number);
#define SPAWNER_SHARES_MAX 64u

/* How many ids the steps can use, from 0: 65536 as a rule, 1 with single_id. Waits like
 * spawner_wait_ready; 0 when the set-up failed. */
uint64_t spawner_id_count(struct spawner *sp);
pid_t spawner_pid(const struct spawner *sp);

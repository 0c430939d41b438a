/* spawner_internal.h - the inside of the spawner process; see spawner.h for the outside.
 *
 *     spawner.c          in img: starts the process, speaks to it
 *     spawner_process.c  its main loop: one START packet, one step
 *     spawner_setup.c    user namespace, id maps, the template mount namespace
 *     spawner_network.c  network namespaces and the helper program
 *     spawner_step.c     the mounts and descriptors of one step, made before its clone
 *     spawner_share.c    file systems that several steps see at once
 *     spawner_volume.c   files of the caller's that steps are shown
 *
 * The process has one thread, so there is no locking and getpwuid(3) and friends are allowed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "builder/sandbox/message.h"
#include "builder/sandbox/sandbox_child.h"
#include "builder/sandbox/seccomp.h"
#include "builder/sandbox/spawner.h"

#define SPAWNER_ARGV0 "img-spawner"
#define SPAWNER_AGAIN "again" /* argv[1] of one that has executed itself */
#define SPAWNER_SOCKET 3      /* its only inherited descriptor besides stdio */
#define SPAWNER_ORDERS 4 /* when it has executed itself anew: a memfd with its OPTIONS packet */
#define STEP_DEFAULT_SHM_SIZE (64u << 20)

/* A network namespace and what connects it. Used by one step at a time, so that two steps cannot
 * meet on a port or an abstract socket; kept for the next step. */
struct network_slot {
    int netns_fd;
    bool is_busy;
    bool is_default; /* has, or had, a helper; else for steps without a network */
    pid_t helper;    /* 0: not running */
    int ready_fd;    /* holds the helper's word once it is ready; -1 without helper */
    int said_fd;     /* memfd with its output */
    int life_fd;     /* it ends when this closes */
};

/* The /dev, /dev/pts and /dev/shm of one step, as detached mounts. */
struct device_kit {
    int dev_fd;
    int pts_fd;
    int shm_fd;
};

struct running_step {
    pid_t pid;
    struct network_slot *slot; /* borrowed, or NULL */
};

struct spawner_state {
    struct spawner_options options;
    uint64_t id_count;
    bool
        root_is_zero; /* root of the steps is number 0 of the namespace around, as far as can be seen */
    int host_mounts_fd;      /* mount namespace with the host's programs, for the helper */
    const char *slirp4netns; /* static path, or NULL */
    const char *pasta;       /* static path, or NULL */
    int life_fds[2];         /* a pipe that ends with this process */
    int signal_fd;
    struct seccomp_filter filter;
    struct device_kit kit; /* for the next step; -1 when used up */
    char tree_paths[SANDBOX_TREES_MAX][16];
    char share_paths[SPAWNER_SHARES_MAX][16];
    char volume_paths[SPAWNER_VOLUMES_MAX][16];
    struct str volume_bytes; /* as they came */
    struct volumes_copy volumes;
    int volume_fds[SPAWNER_VOLUMES_MAX]; /* detached, until they are laid out */
    struct {
        struct network_slot **items; /* owned, each at a fixed address */
        size_t count;
        size_t capacity;
    } slots;
    struct {
        struct running_step *items;
        size_t count;
        size_t capacity;
    } steps;
};

/* Everything between exec and READY. Where the running image is not sealed yet, executes a copy of
 * it inside the new namespaces, which comes back here with `orders->id_count` set. */
int spawner_set_up(struct spawner_state *state, const struct packet *orders, struct error *err);

/* What the first slot's maker also finds out. */
struct namespace_probe {
    int sysfs_fd;    /* a detached sysfs of that network namespace, or -errno */
    int proc_result; /* 0 when a fresh procfs can be mounted, else -errno */
};
/* Makes a network namespace with its loopback up. `probe` may be NULL. */
int network_slot_new(struct spawner_state *state, struct namespace_probe *probe, struct error *err);
/* A free slot of that kind, its helper started (not yet ready). */
int network_acquire(struct spawner_state *state, enum sandbox_network network,
                    struct network_slot **out, struct error *err);
/* Learns that a child ended; true when it was a helper. */
bool network_reap(struct spawner_state *state, pid_t pid);
/* Looks for the helper programs in the host's mount namespace. */
void network_find_helpers(struct spawner_state *state);

/* A detached FUSE file system and its device, which are the caller's; the mount, or -errno. */
int fuse_make(int *device_fd);
/* Do what the order says and answer on `answer_socket`, which stays the caller's. */
void spawner_share(struct spawner_state *state, int answer_socket, uint32_t number);
void spawner_unshare(struct spawner_state *state, int answer_socket, uint32_t number);

/* Reads what state->volume_bytes says and takes a detached copy of each, in the host's mount
 * namespace. Then, in the template's, attaches them: 0 or -errno. */
int spawner_find_volumes(struct spawner_state *state, struct error *err);
int spawner_attach_volumes(struct spawner_state *state);

int device_kit_make(const struct spawner_state *state, uint64_t shm_size, struct device_kit *out,
                    struct error *err);

/* Starts the step described by `spec_fd` and answers on `step_socket`; both stay the caller's. */
void spawner_start_step(struct spawner_state *state, int step_socket, int spec_fd);

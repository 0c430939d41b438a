/* sandbox.h - one RUN step: namespaces, mounts, limits and filters around one command.
 *
 * The caller fills a sandbox_spec, makes the mount points it asks for (sandbox_mountpoints), starts
 * it, takes the descriptors out (FUSE devices to serve, pipes to read) and waits. What a step may
 * do is fixed by SECURITY section 3; nothing of the caller (descriptors, environment, terminal,
 * groups, keyring) reaches it, and nothing it started outlives it (R4-R14).
 *
 *     sandbox_start -> take tree descriptors, serve them (fs/mount.h) -> read the pipes until both
 *     end -> sandbox_wait -> stop serving, seal -> sandbox_free
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "builder/sandbox/spawner.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"

#define SANDBOX_TREES_MAX 64u             /* FUSE file systems of one step, the root included */
#define SANDBOX_MOUNTS_MAX 128u           /* RUN --mount flags of one step */
#define SANDBOX_SPEC_SIZE_MAX (64u << 20) /* arguments, environment and secrets together */

enum sandbox_network {
    SANDBOX_NETWORK_DEFAULT, /* own stack, outgoing connections through the network helper */
    SANDBOX_NETWORK_NONE,    /* own stack with a loopback alone */
    SANDBOX_NETWORK_HOST,    /* the caller's */
};

enum sandbox_security {
    SANDBOX_SECURITY_SANDBOX,           /* SECURITY section 3 */
    SANDBOX_SECURITY_NO_NEW_PRIVILEGES, /* and set-id files and file capabilities do nothing */
    SANDBOX_SECURITY_INSECURE, /* all capabilities of the user namespace, no filter, no masks */
};

#define SANDBOX_PIPES                                                                              \
    "/dev/pipes" /* where heredoc scripts are; there if something is mounted on it */

enum sandbox_mount_kind {
    SANDBOX_MOUNT_TREE,   /* `source` inside tree number `tree` */
    SANDBOX_MOUNT_TMPFS,  /* empty, at most `size` bytes (0: half the memory) */
    SANDBOX_MOUNT_FILE,   /* one file holding `bytes`, never on disk: a secret */
    SANDBOX_MOUNT_SHARED, /* `source` inside the spawner's shared tree number `tree` */
    SANDBOX_MOUNT_SOCKET, /* a listening unix socket; the caller accepts: an ssh agent */
    SANDBOX_MOUNT_VOLUME, /* number `tree` of the spawner's volumes, with all that is mounted below */
};

enum sandbox_input {
    SANDBOX_INPUT_NONE,     /* standard input is empty; the command has no terminal */
    SANDBOX_INPUT_PIPE,     /* it is a pipe, whose other end the caller takes */
    SANDBOX_INPUT_TERMINAL, /* a new pseudo-terminal is stdin, stdout and stderr, and controls the
                             * command's session; the caller takes its other side */
};

struct sandbox_mount {
    enum sandbox_mount_kind kind;
    const char *target; /* absolute, cleaned; not on or below /proc, /sys, /dev, save /dev/shm
                          * and, for a directory, SANDBOX_PIPES; see has_devices */
    bool read_only;     /* TREE, SHARED, TMPFS, FILE, VOLUME */
    size_t tree; /* TREE: index, not 0; SHARED: see spawner_share_tree; VOLUME: index. What is
                          * mounted inside the latter two must have its mount point already */
    const char *source;  /* TREE, SHARED: path in it, links stay inside; NULL or "/": all of it */
    bool source_is_file; /* TREE, SHARED, VOLUME: the source is not a directory */
    bool has_devices;    /* VOLUME: devices on it can be opened; its target may be below /dev */
    uint64_t size;       /* TMPFS: bytes */
    mode_t mode;         /* TMPFS, FILE, SOCKET: permission bits */
    uid_t uid;           /* FILE, SOCKET: owner, as the step sees it */
    gid_t gid;
    const void *bytes; /* FILE */
    size_t byte_count;
};

struct sandbox_ulimit {
    int resource;  /* RLIMIT_* */
    uint64_t soft; /* UINT64_MAX: no limit */
    uint64_t hard;
};

/* Everything is borrowed for the call. Zeroed is a valid start. */
struct sandbox_spec {
    char *const *argv; /* NULL-terminated; without a slash argv[0] is looked up in env's PATH */
    char *const *env;  /* NULL-terminated, the whole environment */
    const char *cwd;   /* absolute; must exist in the tree; NULL: "/" */
    uid_t uid;
    gid_t gid;
    const gid_t *groups; /* supplementary */
    size_t group_count;

    const char *hostname;    /* NULL: "buildkitsandbox" */
    const char *hosts;       /* /etc/hosts; NULL: localhost and the hostname */
    const char *resolv_conf; /* /etc/resolv.conf; NULL: network_resolv_conf of this network mode */

    enum sandbox_network network;
    bool network_optional; /* DEFAULT: without a working helper go on with a loopback alone and say
                            * so in sandbox_warning; else that is an error */
    enum sandbox_security security;

    size_t tree_count; /* FUSE file systems to make; tree 0 is the root; 0 counts as 1 */
    bool root_read_only;
    enum sandbox_input input;
    uint16_t rows; /* of the terminal */
    uint16_t columns;
    const struct sandbox_mount *mounts; /* placed in this order */
    size_t mount_count;

    const struct sandbox_ulimit *ulimits;
    size_t ulimit_count;
    uint64_t shm_size; /* bytes; 0: 64 MiB */
};

/* A path that must exist in a tree before the step starts, for something to be mounted on it. The
 * caller gives it to view_add_mountpoint of that tree, so that it never enters a layer (R21). */
struct sandbox_mountpoint {
    size_t tree;
    char *path; /* absolute in the tree */
    bool is_dir;
};
struct sandbox_mountpoint_list {
    struct sandbox_mountpoint *items;
    size_t count;
    size_t capacity;
};
/* Checks the spec as sandbox_start does and lists the mount points, parents first.
 * Errors: -EINVAL, -E2BIG with a sentence about the spec. */
int sandbox_mountpoints(const struct sandbox_spec *spec, struct sandbox_mountpoint_list *out,
                        struct error *err);
void sandbox_mountpoint_list_release(struct sandbox_mountpoint_list *list);
DEFINE_CLEANUP_VALUE(sandbox_mountpoint_list_release, struct sandbox_mountpoint_list)
#define auto_mountpoint_list CLEANUP(sandbox_mountpoint_list_release)

/* Whether a mount may have its target. -EINVAL with a sentence. */
int sandbox_target_check(const struct sandbox_mount *mount, struct error *err);

struct sandbox;

/* Starts a step. Any thread; steps of one spawner may run at the same time. On success the mounts
 * exist and wait to be served: the command starts as soon as the trees answer.
 *
 * Errors: those of spawner_wait_ready; -EINVAL and -E2BIG for the spec; -ENOENT when there is no
 * network helper (and network_optional is not set); -EPIPE when the spawner has ended. */
int sandbox_start(struct spawner *sp, const struct sandbox_spec *spec, struct sandbox **out,
                  struct error *err);

/* Descriptors, owned by the caller once taken (-1 the second time): the /dev/fuse of a tree; the
 * listening socket of a SOCKET mount, by its index in spec->mounts; the read ends of the command's
 * stdout and stderr, which end when no process of the step holds them; the write end of a PIPE
 * input; the other side of a TERMINAL, which reads as EIO when no process holds it (there are no
 * stdout and stderr then). */
int sandbox_take_tree_fd(struct sandbox *box, size_t tree);
int sandbox_take_socket_fd(struct sandbox *box, size_t mount);
int sandbox_take_stdout_fd(struct sandbox *box);
int sandbox_take_stderr_fd(struct sandbox *box);
int sandbox_take_stdin_fd(struct sandbox *box);
int sandbox_take_terminal_fd(struct sandbox *box);

struct sandbox_result {
    int status; /* 0-255 as the command exited, or 128 + signal */
    int signal; /* the signal that killed it, or 0 */
};

/* Readable (POLLIN) once every process of the step has ended and its mounts are gone. Borrowed. */
int sandbox_poll_fd(const struct sandbox *box);
/* Waits for that, once. 0 when the command ran, whatever its status; else a sentence saying what
 * could not be done and, where there is one, the way out:
 *     cannot start '/bin/sh': No such file or directory
 * Errors: -ENOENT, -EACCES, -ENOEXEC from exec; -ECANCELED after sandbox_kill; others by stage. */
int sandbox_wait(struct sandbox *box, struct sandbox_result *result, struct error *err);
/* What was given up for this step, a sentence, or "". After sandbox_wait; borrowed. */
const char *sandbox_warning(const struct sandbox *box);
/* Sends a signal (INT, TERM, HUP, QUIT, ...) to the command, not to what it started. Any thread. */
void sandbox_signal(struct sandbox *box, int number);
/* SIGKILL to every process of the step; any thread; returns at once. */
void sandbox_kill(struct sandbox *box);
/* Kills what still runs, waits for its end. Trees whose descriptor was taken must be served or
 * closed meanwhile. */
void sandbox_free(struct sandbox *box); /* NULL is allowed */
DEFINE_CLEANUP(sandbox_free, struct sandbox *)
#define auto_sandbox CLEANUP(sandbox_free)

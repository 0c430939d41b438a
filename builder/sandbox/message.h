/* message.h - what img, the spawner and a step's init say to each other, and how it is packed.
 *
 * All sockets are SOCK_SEQPACKET, so a packet arrives whole, with its descriptors. A spec is too
 * large for one packet and travels as a memfd. Both ends are the same executable, so packets are
 * plain structs; the decoder checks bounds all the same.
 *
 *     control socket  img -> spawner   OPTIONS + volumes memfd (once), START + step socket + spec memfd,
 *                                      SHARE and UNSHARE + a socket for the answer
 *                     spawner -> img   READY or FAILED (once)
 *     step socket     spawner -> img   STARTED + descriptors, or FAILED
 *                     init -> img      WARNING, STAGE (what failed and where), EXITED
 *     answer socket   spawner -> img   STARTED + FUSE device, or FAILED; READY once unshared
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "builder/sandbox/sandbox.h"
#include "builder/sandbox/spawner.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

enum packet_kind {
    PACKET_OPTIONS = 1,
    PACKET_START,
    PACKET_READY,
    PACKET_FAILED,
    PACKET_STARTED,
    PACKET_STAGE,
    PACKET_WARNING,
    PACKET_EXITED,
    PACKET_SHARE,
    PACKET_UNSHARE,
};

/* Where the set-up of a step was when it failed; sandbox.c has the sentence for each. */
enum sandbox_stage {
    STAGE_NETWORK_WAIT, /* text: what the helper said */
    STAGE_NETWORK_JOIN,
    STAGE_HOSTNAME,
    STAGE_ROOT,
    STAGE_TREE, /* index: tree */
    STAGE_PROC,
    STAGE_DEV,
    STAGE_SYS,
    STAGE_ETC,    /* index: enum sandbox_etc */
    STAGE_TARGET, /* index: mount; its target cannot be resolved */
    STAGE_SOURCE, /* index: mount; its source cannot be resolved */
    STAGE_MOUNT,  /* index: mount */
    STAGE_PIVOT,
    STAGE_FORK,
    STAGE_STDIO,
    STAGE_LIMIT, /* index: ulimit of the spec */
    STAGE_CWD,
    STAGE_FILTER,
    STAGE_IDS,
    STAGE_EXEC,             /* the program itself */
    STAGE_EXEC_INTERPRETER, /* the file exists, what it needs to run does not */
    STAGE_COUNT,
};

/* Files given to every step; the order of struct packet indexes and of the private tmpfs. */
enum sandbox_etc { ETC_RESOLV_CONF, ETC_HOSTS, ETC_HOSTNAME, ETC_COUNT };
extern const char *const sandbox_etc_paths[ETC_COUNT]; /* "etc/resolv.conf", ... */

struct packet {
    uint32_t kind;
    uint32_t stage;    /* STAGE, WARNING */
    uint32_t index;    /* STAGE; SHARE, UNSHARE: number */
    int32_t code;      /* STAGE, FAILED: positive errno */
    int32_t status;    /* EXITED: as from waitpid(2) */
    uint64_t id_count; /* READY; OPTIONS: not 0 when this process has its user namespace already */
    struct spawner_options options; /* OPTIONS */
    uint32_t watch_parent; /* OPTIONS: PDEATHSIG is safe, the opener is img's main thread */
    uint32_t sealed;       /* OPTIONS: the running image is a sealed memfd (R9) */
    char
        text[ERROR_TEXT_MAX]; /* FAILED; STAGE, WARNING: what the helper said; STARTED: a warning */
    char hint[ERROR_HINT_MAX]; /* FAILED */
};

#define PACKET_FDS_MAX 250u /* below the kernel's SCM_MAX_FD */

/* Bare -errno; async-signal-safe. Sending never raises SIGPIPE. Receiving gives 0 at the end of the
 * connection and 1 for a packet; `*fd_count` is the room on entry. Surplus descriptors are closed;
 * a packet of another size is -EPROTO. */
int packet_send(int socket, const struct packet *packet, const int *fds, size_t fd_count);
int packet_receive(int socket, struct packet *packet, int *fds, size_t *fd_count);
/* Moves a received FAILED packet into `err`; returns -code. */
int packet_to_error(const struct packet *packet, struct error *err);
void packet_from_error(struct packet *packet, const struct error *err);

/* A spec and the arrays it points to; its strings point into the bytes it was decoded from. */
struct spec_copy {
    struct sandbox_spec spec;
    void *arrays[6]; /* owned */
    size_t array_count;
};
void spec_encode(const struct sandbox_spec *spec, struct str *out);
/* -EPROTO for anything a spec_encode cannot have written. */
int spec_decode(const void *bytes, size_t size, struct spec_copy *out);
void spec_copy_release(struct spec_copy *copy);
DEFINE_CLEANUP_VALUE(spec_copy_release, struct spec_copy)
#define auto_spec_copy CLEANUP(spec_copy_release)

/* The volumes of spawner_options; `items` is owned, its texts point into the bytes. */
struct volumes_copy {
    struct spawner_volume *items;
    size_t count;
};
void volumes_encode(const struct spawner_volume *volumes, size_t count, struct str *out);
/* -EPROTO for anything volumes_encode cannot have written. */
int volumes_decode(const void *bytes, size_t size, struct volumes_copy *out);

/* A data memfd holding `bytes`, sealed, read from its start; or -errno. */
int message_memfd(const char *name, const void *bytes, size_t size);

/* rig.h - a store, a namespace, and a view mounted in it: what the mount tests start from.
 *
 * rig_new skips the test where the host lacks something. Everything is released by rig_free, also
 * what a test left mounted.
 */
#pragma once

#include <stdint.h>

#include "fs/mount.h"
#include "fs/store.h"
#include "fs/view.h"
#include "tests/lib/mountns.h"
#include "tests/lib/test.h"

struct rig {
    struct store *store;
    struct mountns *ns;
    struct view *view;   /* NULL: none is open */
    struct mount *mount; /* NULL: nothing is served */
    char *directory;     /* the mount point */
};

struct rig *rig_new(void);
void rig_free(struct rig *r);
DEFINE_CLEANUP(rig_free, struct rig *)
#define auto_rig CLEANUP(rig_free)

/* Opens a view over `layers` and mounts it. NULL options are all false. */
void rig_mount(struct rig *r, const int64_t *layers, size_t count,
               const struct mount_options *options);
void rig_unmount(struct rig *r); /* and stops serving; the view stays open */
/* Unmounts, seals and closes; the new layer, 0 if nothing changed. */
int64_t rig_seal(struct rig *r);

/* Requests served since the mount, by opcode. */
uint64_t rig_count(const struct rig *r, unsigned opcode);
/* Runs a shell line in the mount; it must succeed. What it printed, owned by the caller. */
char *rig_shell(struct rig *r, const char *line);

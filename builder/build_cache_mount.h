/* build_cache_mount.h - the cache mounts of a step: which one it gets, and what stays of it.
 *
 * A cache is a stack of layers under its id (store_cache_mount_put). With sharing=shared the steps
 * of one build that use it at the same time see one file system, locks included; `locked` has it
 * alone and waits; `private` takes the first of several caches of that id that nobody uses. Another
 * process waits for any of them until the steps that use it have ended. A step that mounts something
 * inside a shared cache, or a directory of one, has it alone, as if locked.
 */
#pragma once

#include "builder/build_mount.h"

struct shared_cache;

/* Takes and opens the caches of a step, in the order of their ids, so that no two steps wait for each
 * other. Ends with -ECANCELED when the build does. What was taken is given back by
 * step_cache_release, after a failure too. */
int step_caches_open(struct step_mounts *m, struct error *err);
/* After the step, no longer served: keeps what it left in a cache that it had alone. */
int step_cache_keep(struct step_mounts *m, struct step_mount *item, struct error *err);
/* Gives it back; the last user of a shared one keeps what all left in it, unless the build was
 * cancelled. */
int step_cache_release(struct step_mounts *m, struct step_mount *item, struct error *err);

unsigned shared_cache_number(const struct shared_cache *c);         /* for spawner_share_tree */
const struct view *shared_cache_view(const struct shared_cache *c); /* for view_fault alone */

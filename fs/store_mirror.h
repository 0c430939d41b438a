/* store_mirror.h - directories of the store that another program fills: git's bare repositories.
 *
 * STATE/git/<digest> is listed by du under a cache record with that digest as its key, and goes
 * when prune forgets the record. Nothing in it is needed: it only makes the next fetch cheaper.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"

struct store;
struct store_mirror;

/* Opens the directory, making it if need be, and notes a use. Waits for whoever else has it open,
 * in this process or another, until *stop (may be NULL) is true: -ECANCELED. One that its last user
 * did not close was being written to when that died: it is emptied. `description` is for people. */
int store_mirror_open(struct store *store, const struct digest *id, const char *description,
                      const atomic_bool *stop, struct store_mirror **out, struct error *err);
void store_mirror_close(struct store_mirror *m); /* NULL is allowed */
/* What writes to it was cut short: whoever opens it next finds it empty. */
void store_mirror_abandon(struct store_mirror *m);
DEFINE_CLEANUP(store_mirror_close, struct store_mirror *)
#define auto_store_mirror CLEANUP(store_mirror_close)

const char *store_mirror_path(const struct store_mirror *m); /* absolute */
bool store_mirror_is_new(const struct store_mirror *m);      /* there is nothing in it */

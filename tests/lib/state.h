/* state.h - a store in the test's directory, and things to put into it.
 *
 * Whatever fails, fails the running test. Contents are given as text, so that a test can tell the
 * bytes of one layer from another's.
 */
#pragma once

#include <stdint.h>

#include "fs/base/digest.h"
#include "fs/base/str.h"
#include "fs/store.h"

const char *state_path(void);                      /* where the store is; borrowed */
struct store *state_open(void);                    /* store_open there; the caller closes */
char *state_file(const char *name);                /* path of a file of the store; caller frees */
bool state_has(const char *name);                  /* whether the store has this file */
void state_list(const char *dir, struct str *out); /* names in a directory of the store, sorted */
void state_write(const char *name, const char *text); /* replaces a file of the store, 0600 */

/* Adopts an index of one file "file" whose `size` bytes are those of `pack`. Fails no test, for the sake
 * of children that would go on with the next one: -errno as store_index_adopt. */
int state_index_add(struct store *store, uint64_t pack, uint64_t size, uint64_t *index,
                    struct error *err);
/* A built layer of one file "file" with this content; an adopted pack and a real index. */
int64_t state_built(struct store *store, const char *content);
/* The same, its file's bytes being those of an earlier layer's pack. */
int64_t state_sharing(struct store *store, int64_t other);
/* A pulled layer: its pack is `content`, whose digest is its diff id; one blob "gz:<content>". */
int64_t state_pulled(struct store *store, const char *content);
/* An image with agreeing manifest, config and rows; `name` NULL leaves it unnamed. The layers must
 * be pulled ones. `salt` makes its config differ from others'. */
void state_image(struct store *store, const char *name, const char *salt, const int64_t *layers,
                 size_t count, struct digest *manifest);
/* A cache record whose key is the digest of `key`; layer 0: none; parent NULL: none. */
void state_cache(struct store *store, const char *key, const char *parent, int64_t layer);
struct digest state_digest(const char *text); /* of its bytes */

/* sums.h - cheap checksums of large streams, kept from the day when their digest was right.
 *
 * A pulled layer's tar, a built one's and a compressed blob are hashed once, when they enter
 * the store or are made. In the same pass each SUMS_BLOCK_SIZE of them gets an XXH3-64. They go to the
 * table `checksum` under the digest, and who only has to see that the disk still gives what was put there
 * (save, a layer about to be compressed) compares these: at memory speed, where a digest takes longer than
 * writing the copy. They protect against damage, not against whoever may write to the state: no digest
 * is ever derived from them, a stored blob that goes to a registry is compared by its digest (SECURITY R50),
 * and `img fsck` compares both.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/base/stream.h"

#define SUMS_BLOCK_SIZE (4ull << 20)

struct store;

/* Running; one thread at a time. */
struct sums;
struct sums *sums_new(void);
void sums_update(struct sums *s, const void *bytes, size_t size);
/* Ends the stream. Eight bytes for each block, the last of which may be short, least significant
 * first; nothing for an empty stream. Borrowed until `s` goes on. */
const struct str *sums_final(struct sums *s);
void sums_free(struct sums *s);
DEFINE_CLEANUP(sums_free, struct sums *)
#define auto_sums CLEANUP(sums_free)

/* Ends `s` and keeps it for the stream with this digest; streams of one block are not worth a row. */
int store_sums_put(struct store *store, const struct digest *digest, struct sums *s,
                   struct error *err);
/* The sums of a stream of `size_bytes`; -ENOENT: not known, and so is a row that cannot be right. */
int store_sums_get(struct store *store, const struct digest *digest, uint64_t size_bytes,
                   struct str *out, struct error *err);
int store_sums_remove(struct store *store, const struct digest *digest, struct error *err);

/* Copies until the end and compares with `expected`; does not finish `to`. 1: all is as it was; 0: not.
 * A block that differs ends the copy, though its bytes went to `to`. */
int sums_copy(struct reader *from, struct writer *to, const struct str *expected,
              uint64_t *total_bytes, struct error *err);
/* Copies a stream of the store, whose digest and size are known, and says whether it is still what they
 * name: by its checksums where the store has them, else by the digest. */
int store_copy_checked(struct store *store, const struct digest *digest, uint64_t size_bytes,
                       struct reader *from, struct writer *to, bool *is_sound, struct error *err);

/* key.h - the one way to make a cache key.
 *
 * A key digests named fields in order. Every field carries its name and its size, so that two
 * different lists of fields never encode alike (SECURITY R56). What went in is also kept as text,
 * one `name=value` line a field, for the explanation of a miss.
 */
#pragma once

#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/str.h"

struct key {
    struct hasher *hasher;
    struct str inputs;
};

void key_init(struct key *k, const char *kind); /* "run", "copy", ... */
void key_release(struct key *k);
DEFINE_CLEANUP_VALUE(key_release, struct key)
#define auto_key CLEANUP(key_release)

void key_text(struct key *k, const char *name, const char *value); /* NULL differs from "" */
void key_digest(struct key *k, const char *name, const struct digest *value);
void key_number(struct key *k, const char *name, uint64_t value);
void key_words(struct key *k, const char *name, const struct strv *words);
/* Goes into the inputs alone: for people, without a say in the key. */
void key_note(struct key *k, const char *name, const char *value);
void key_final(struct key *k, struct digest *out);

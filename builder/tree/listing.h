/* listing.h - what a COPY selected, as text small enough to keep beside its cache key, and how two
 * such texts differ: for the explanation of a miss, never for a decision.
 *
 * One line an entry: type, how many bytes its path shares with the one before, mode, owner, size, 64
 * bits of its content's digest, and the rest of the path. Paths are escaped for reading.
 */
#pragma once

#include <stddef.h>

#include "builder/tree/selection.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

#define LISTING_SIZE_MAX (4u << 20) /* bytes; more is not kept, and not explained by file */

/* Appends the entries, whose files are digested. What the key leaves out (`how`) is left out here
 * too. One that would grow past LISTING_SIZE_MAX is taken back as a whole. */
int listing_add(struct selections *s, struct tree *t, const struct selection_key *how,
                struct str *out, struct error *err);

/* Appends one sentence for each path that is new, gone or different, at most `max` and a line that
 * counts the others: "a.c: mode 0644 -> 0664 (content same)". Nothing when they are equal. Lines
 * that no listing_add wrote are passed over. */
void listing_compare(const char *before, const char *now, size_t max, struct strv *out);

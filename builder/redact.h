/* redact.h - takes secrets out of what a step writes, before anybody sees or keeps it.
 *
 * Whatever equals a secret, or a whole line of one, becomes "***". A secret that a step takes apart
 * or encodes is not found; one shorter than REDACT_SIZE_MIN would hide half of the output and is not
 * looked for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/str.h"

#define REDACT_SIZE_MIN 6u
#define REDACT_STREAMS 3 /* by their numbers: 1 and 2 */

struct redact {
    struct str *needles;
    size_t count;
    size_t capacity;
    struct str held[REDACT_STREAMS]; /* may be the beginning of one */
};
void redact_add(struct redact *r, const char *secret, size_t size);
/* Appends to `out` what can be shown so far; the rest comes with the next call, or redact_flush. */
void redact_feed(struct redact *r, int stream, const char *bytes, size_t size, struct str *out);
void redact_flush(struct redact *r, int stream, struct str *out);
void redact_release(struct redact *r); /* and wipes */
DEFINE_CLEANUP_VALUE(redact_release, struct redact)
#define auto_redact CLEANUP(redact_release)

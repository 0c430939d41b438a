/* ignore.h - .dockerignore and --exclude: which paths a copy does not see.
 *
 * Order matters, the last pattern that matches wins; `!` takes a path back in; a pattern that
 * matches a directory holds for everything below it (Dockerfile reference, ".dockerignore file").
 * Not for the decision which ignore file applies.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct ignore; /* immutable, so any thread may read it */

/* From the text of an ignore file; `what` names it in messages ("Dockerfile.dockerignore").
 * Errors: -EINVAL for a malformed pattern, with its line; -E2BIG above LIMIT_IGNORE_SIZE. */
int ignore_parse(const char *text, size_t size, const char *what, struct ignore **out,
                 struct error *err);
/* From expanded --exclude patterns. Errors: -EINVAL. */
int ignore_new(const struct strv *patterns, struct ignore **out, struct error *err);
void ignore_free(struct ignore *ignore);
DEFINE_CLEANUP(ignore_free, struct ignore *)
#define auto_ignore CLEANUP(ignore_free)

/* Whether `path` (relative, clean, no leading slash) is left out. NULL ignores nothing. */
bool ignore_match(const struct ignore *ignore, const char *path);
/* Whether a walk must look into the directory `dir`: it is not left out itself, or a later `!`
 * could take something below it back in. */
bool ignore_may_descend(const struct ignore *ignore, const char *dir);
bool ignore_has_negation(const struct ignore *ignore);
bool ignore_has_everything(const struct ignore *ignore); /* a pattern *, ** or a deep star */

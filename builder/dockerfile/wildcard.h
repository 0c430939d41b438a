/* wildcard.h - file name patterns: COPY sources, --exclude, .dockerignore.
 *
 * `*` and `?` and `[a-z]` and `[^a-z]` stay within one component, a backslash takes the next
 * character as it is (Go, path/filepath.Match). With `deep`, `**` stands for any number of
 * components including none, and a trailing one for everything below (Dockerfile reference,
 * ".dockerignore file"). A pattern is compiled once; matching takes time linear in the path for a
 * given pattern and cannot blow up.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

struct wildcard; /* immutable, so any thread may read it */

/* Errors: -EINVAL for a malformed class or a trailing backslash; -E2BIG above LIMIT_PATH_SIZE. */
int wildcard_new(const char *pattern, bool deep, struct wildcard **out, struct error *err);
void wildcard_free(struct wildcard *w);
DEFINE_CLEANUP(wildcard_free, struct wildcard *)
#define auto_wildcard CLEANUP(wildcard_free)

bool wildcard_is_plain(const char *pattern); /* it holds no * ? [ or backslash */

enum wildcard_result {
    WILDCARD_NO,     /* neither the path nor anything below it matches */
    WILDCARD_BELOW,  /* not the path, but something below it could */
    WILDCARD_PARENT, /* a directory above the path matches */
    WILDCARD_YES,    /* the path matches */
};
/* `path` is relative and clean, without a leading or trailing slash; "" is the root. */
enum wildcard_result wildcard_match(const struct wildcard *w, const char *path);
/* Whether the path or a directory above it matches; quicker than asking for the whole answer. */
bool wildcard_covers(const struct wildcard *w, const char *path);

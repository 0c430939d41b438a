/* expand_internal.h - patterns of ${v#p} ${v%p} ${v/p/r}, between expand.c and expand_pattern.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/error.h"
#include "fs/base/str.h"

/* Appends `value` without its shortest (or with `longest` its longest) start or end that matches.
 * In a pattern `*` is any text, `?` one character, a backslash takes * ? \ / } as they are.
 * -EINVAL "invalid pattern (p) in substitution: ..". */
int expand_trim_start(const char *pattern, const char *value, bool longest, struct str *out,
                      struct error *err);
int expand_trim_end(const char *pattern, const char *value, bool longest, struct str *out,
                    struct error *err);
/* Appends `value` with its first (or every) longest match replaced; what replacements add counts
 * against `*budget` bytes. -EINVAL as above, -E2BIG when the budget is spent. */
int expand_replace(const char *pattern, const char *replacement, const char *value, bool every,
                   size_t *budget, struct str *out, struct error *err);

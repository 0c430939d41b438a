/* expand.h - variables, quotes and escapes in a word of a Dockerfile.
 *
 * Forms: $v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?m} ${v?m} ${v#p} ${v##p} ${v%p} ${v%%p}
 * ${v/p/r} ${v//p/r}; \$v and '$v' are literal (Dockerfile reference, "Environment replacement").
 * Names are ASCII letters, digits and underscores, or one of the shell's special parameters, which are
 * never set. Not a shell: no commands, no arithmetic, no splitting except in expand_words.
 * Time is linear in the input and in what variables add, which is capped (SECURITY R57); so is the
 * depth of ${a:-${b:-..}}.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "builder/dockerfile/variables.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/hash.h"
#include "fs/base/str.h"

/* Names found and not found, each once, in order of first use. */
struct expand_use {
    struct strv matched;
    struct strv unmatched;
    struct table seen_matched; /* what the vectors hold, for speed */
    struct table seen_unmatched;
};
void expand_use_release(struct expand_use *use);
DEFINE_CLEANUP_VALUE(expand_use_release, struct expand_use)
#define auto_expand_use CLEANUP(expand_use_release)

struct expand {
    const struct expand_env *env; /* NULL: nothing is set */
    char escape;                  /* backslash or backtick */
    bool keep_quotes;             /* leave ' and " in the result */
    bool keep_escapes;            /* leave the escape character in the result */
    bool keep_unset;              /* leave $v as it is when v is not set, instead of dropping it */
    bool plain_quotes;            /* ' and " are ordinary characters (text of a heredoc) */
    size_t *fault_offset; /* set on failure: where in the word what is to blame begins; or NULL */
};

/* Appends the expansion of `word` to `out`; blanks stay. `use` may be NULL.
 * Errors: -EINVAL "failed to process "<word>": <reason>"; -E2BIG past LIMIT_EXPANSION_SIZE. */
int expand_word(const struct expand *how, const char *word, struct str *out, struct expand_use *use,
                struct error *err);
/* The same, split at blanks which are not quoted or escaped; a value brought in by a variable is
 * split too. Empty words are dropped. */
int expand_words(const struct expand *how, const char *text, struct strv *out,
                 struct expand_use *use, struct error *err);

/* expand.h - variables, quotes and escapes in a word of a Dockerfile.
 *
 * Forms: $v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?m} ${v?m} ${v#p} ${v##p} ${v%p} ${v%%p}
 * ${v/p/r} ${v//p/r}; \$v and '$v' are literal (Dockerfile reference, "Environment replacement").
 * Not a shell: no commands, no arithmetic, no splitting except in expand_words.
 * Time is linear in the input and the result, whose size is capped (SECURITY R57).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/hash.h"
#include "fs/base/str.h"

/* Where values come from. `get` returns a value borrowed until the next call, or NULL when the
 * name is not set (an empty value is set). */
struct expand_env {
    const char *(*get)(void *context, const char *name);
    void *context;
};

/* Names found and not found, each once, in order of first use. */
struct expand_use {
    struct strv matched;
    struct strv unmatched;
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
};

/* Appends the expansion of `word` to `out`; blanks stay. `use` may be NULL.
 * Errors: -EINVAL "failed to process "<word>": <reason>"; -E2BIG past LIMIT_EXPANSION_SIZE. */
int expand_word(const struct expand *how, const char *word, struct str *out, struct expand_use *use,
                struct error *err);
/* The same, split at blanks which are not quoted or escaped; a value brought in by a variable is
 * split too. Empty words are dropped. */
int expand_words(const struct expand *how, const char *text, struct strv *out,
                 struct expand_use *use, struct error *err);

/* Ordered names and values with fast look-up; setting an existing name keeps its place, as ENV
 * does. Usable as an environment, alone or as a link of a chain. */
struct variable {
    char *name;
    char *value; /* NULL: declared without a value */
};
struct variables {
    struct variable *items;
    size_t count;
    size_t capacity;
    struct table index;               /* name -> position + 1 */
    const struct variables *fallback; /* asked when a name is not in here; borrowed, NULL allowed */
};
void variables_set(struct variables *v, const char *name, const char *value);
const char *variables_get(const struct variables *v, const char *name); /* NULL when unset */
bool variables_has(const struct variables *v, const char *name);        /* declared, even so */
void variables_copy(struct variables *to, const struct variables *from);
struct expand_env variables_env(const struct variables *v);
void variables_release(struct variables *v);
DEFINE_CLEANUP_VALUE(variables_release, struct variables)
#define auto_variables CLEANUP(variables_release)

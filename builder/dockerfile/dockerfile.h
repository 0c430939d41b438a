/* dockerfile.h - a whole Dockerfile as stages of instructions, and its errors with an excerpt.
 *
 * The public face of the language: instruction.h (one instruction), expand.h (variables),
 * check.h (build checks) and ignore.h (.dockerignore) stand beside it. Parsing touches nothing but
 * the text: it opens no file and resolves no name (SECURITY R51: `# syntax=` never runs anything).
 */
#pragma once

#include <stddef.h>

#include "builder/dockerfile/check.h"
#include "builder/dockerfile/expand.h"
#include "builder/dockerfile/instruction.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/hash.h"
#include "fs/base/str.h"

struct instructions {
    struct instruction **items; /* owned */
    size_t count;
    size_t capacity;
};

struct stage {
    struct instruction *from; /* owned */
    struct instructions body; /* everything after FROM up to the next one */
};

struct dockerfile {
    char *name;         /* for messages: "Dockerfile", "build/Dockerfile.prod" */
    char *source;       /* the text, without a byte-order mark */
    size_t source_size; /* bytes */
    char escape;        /* `# escape=`: backslash or backtick */
    char *syntax;       /* the built-in frontend that `# syntax=` asked for, or NULL */
    unsigned syntax_line;
    struct check_config check; /* `# check=` */

    struct instructions globals; /* ARGs before the first FROM */
    struct stage *stages;        /* at least one */
    size_t stage_count;
    size_t stage_capacity;
    struct table stage_names; /* private: see dockerfile_find_stage */
};

struct dockerfile_options {
    const char *name;   /* for messages; NULL means "Dockerfile" */
    const char *syntax; /* --build-arg BUILDKIT_SYNTAX, overrides the directive; or NULL */
    const char *check;  /* --build-arg BUILDKIT_DOCKERFILE_CHECK, or NULL */
};

/* Parses `size` bytes, which are copied. On success the caller owns `*out` (dockerfile_free).
 *
 * Errors: -EINVAL with the sentence that BuildKit has for it, the excerpt in err->detail (header,
 * ">>>" lines, and a caret when a column is known); -E2BIG for a file above LIMIT_DOCKERFILE_SIZE,
 * a line above LIMIT_DOCKERFILE_LINE, an instruction above LIMIT_INSTRUCTION_SIZE, or more of them
 * than LIMIT_DOCKERFILE_STEPS. Time is linear in `size`. */
int dockerfile_parse(const char *text, size_t size, const struct dockerfile_options *options,
                     struct dockerfile **out, struct error *err);
void dockerfile_free(struct dockerfile *df);
DEFINE_CLEANUP(dockerfile_free, struct dockerfile *)
#define auto_dockerfile CLEANUP(dockerfile_free)

/* Parses an ONBUILD trigger found in the config of the image that `from` names; it is reported at
 * the line of `from`. The text may hold heredocs. Errors as above, and -EINVAL for a trigger that
 * may not be one (FROM, MAINTAINER, ONBUILD). */
int dockerfile_parse_trigger(const struct dockerfile *df, const struct instruction *from,
                             const char *text, struct instruction **out, struct error *err);

/* The stage of that name (any case) or index ("0"), among the first `before` ones; -1 if none. The
 * last of two with one name wins. */
int dockerfile_find_stage(const struct dockerfile *df, const char *name, size_t before);
/* The stage to build: `target` (name or index; NULL or "" the last). -EINVAL: `target stage "x"
 * could not be found (did you mean y?)`. */
int dockerfile_target(const struct dockerfile *df, const char *target, size_t *stage,
                      struct error *err);

/* What the image of stage number `stage`, which nobody has, could have been meant to be: an earlier
 * stage or a common image; NULL when nothing is near. Borrowed from `df`, or constant. */
const char *dockerfile_suggest_base(const struct dockerfile *df, size_t stage, const char *image);

/* Puts the excerpt of an instruction into err->detail, for errors found later (a failed RUN, a
 * missing source); one which is there already stays. `at`, a position taken from the instruction,
 * gets a caret; NULL for none. Returns -err->code. */
int dockerfile_locate(const struct dockerfile *df, const struct instruction *in,
                      const struct position *at, struct error *err);
/* The same with a caret under the value of the last flag of that name, which `in` has, or under the
 * field `key` of a mount of `in`; under all of the mount's value when it has no such field. */
int dockerfile_locate_flag(const struct dockerfile *df, const struct instruction *in,
                           const char *name, struct error *err);
int dockerfile_locate_mount(const struct dockerfile *df, const struct instruction *in,
                            const struct run_mount *mount, const char *key, struct error *err);

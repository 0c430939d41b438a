/* stack.h - what a name stands for when somebody wants to look inside: layers, and how a command
 * in them is run. An image, a part of one, or a step of a build that ran here, failed ones included.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct store;

struct stack {
    char *label;     /* what it is, for messages and prompts */
    int64_t *layers; /* store layer ids, bottom first */
    size_t layer_count;
    bool is_step;       /* else a whole image */
    size_t below_count; /* of a step: the layers without what it changed itself */
    struct strv env;    /* "NAME=value" */
    struct strv shell;  /* of the configuration: "/bin/sh", "-c" */
    char *user;         /* "" is root */
    char *cwd;
};
void stack_release(struct stack *s);
DEFINE_CLEANUP_VALUE(stack_release, struct stack)
#define auto_stack CLEANUP(stack_release)

/* `text` is one of
 *     IMAGE         as image_find takes it: a reference, or the beginning of an id
 *     IMAGE@step:N  what its first N instructions gave, as `img history` lists them from below
 *     ID            of a step or layer, or its beginning (4 digits or more): as a failed build, `img
 *                   logs`, `img du` or `img history` show it
 * Errors: -ENOENT nothing has that name, or a layer below the step is gone; -EEXIST the beginning
 * fits several; -EINVAL malformed. */
int stack_find(struct store *store, const char *text, struct stack *out, struct error *err);
/* What it was made on: the first `*layer_count` of its layers, and a name for them (caller frees).
 * Of a step, what was there before it. Of an image, the largest image of the store that it begins
 * with, else the layers that came from a registry. -ENOENT: there is no telling. */
int stack_find_base(struct store *store, const struct stack *s, size_t *layer_count, char **label,
                    struct error *err);

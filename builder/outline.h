/* outline.h - what can be given to a build and asked of it, read from the Dockerfile alone: `--call
 * outline` and `--call targets` (Dockerfile reference, "About parser directives"; buildx, "--call").
 *
 * Nothing is looked up: no image, no file, no store.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "builder/build.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/hash.h"

struct outline_item {
    char *name;
    char *value;       /* of an argument; "" when it has none */
    char *description; /* the comment above it, or "" */
    bool is_required;  /* secrets and agents */
    unsigned line_first;
    unsigned line_last;
};

struct outline_items {
    struct outline_item *items;
    size_t count;
    size_t capacity;
    struct table index; /* name -> place + 1, while they are gathered */
};

struct outline {
    char *name; /* of the target stage; "" when it has none */
    char *description;
    struct outline_items args; /* that the target's stages use, in order of their lines */
    struct outline_items secrets;
    struct outline_items ssh;
};
void outline_release(struct outline *o);
DEFINE_CLEANUP_VALUE(outline_release, struct outline)
#define auto_outline CLEANUP(outline_release)

/* What the stages that `options->target` needs take; of several platforms what any of them takes,
 * with the value the first has. Errors: those of the Dockerfile. */
int build_outline(const struct build_options *options, struct outline *out, struct error *err);

struct target {
    char *name; /* "" when it has none */
    char *description;
    char *base;     /* as written */
    char *platform; /* as written, or "" */
    bool is_default;
    unsigned line_first;
    unsigned line_last;
};

struct targets {
    struct target *items;
    size_t count;
    size_t capacity;
};
void targets_release(struct targets *t);
DEFINE_CLEANUP_VALUE(targets_release, struct targets)
#define auto_targets CLEANUP(targets_release)

/* Every stage of the file, in order: the same for every platform. */
int build_targets(const struct build_options *options, struct targets *out, struct error *err);

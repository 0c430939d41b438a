/* variables.h - names with values: ENV, ARG, build arguments.
 *
 * Ordered, with fast look-up; setting a name again keeps its place, as ENV does. Usable as the
 * environment of an expansion, alone or with others behind it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/hash.h"

/* Where an expansion finds values. `get` returns a value borrowed until the next call, or NULL when
 * the name is not set (an empty value is set). */
struct expand_env {
    const char *(*get)(void *context, const char *name);
    void *context;
};

struct variable {
    char *name;
    char *value; /* NULL: declared without a value */
};

struct variables {
    struct variable *items;
    size_t count;
    size_t capacity;
    struct table index; /* name -> place in items + 1 */
    const struct variables
        *fallback; /* asked for a name that has no value here; borrowed, or NULL */
};

void variables_set(struct variables *v, const char *name, const char *value);
/* The value here or further back, NULL when unset; borrowed until the name is set again. */
const char *variables_get(const struct variables *v, const char *name);
bool variables_has(const struct variables *v, const char *name); /* declared, even without value */
/* Adds everything `from` holds itself (not what is behind it); keeps its own fallback. */
void variables_copy(struct variables *to, const struct variables *from);
struct expand_env variables_env(const struct variables *v); /* valid as long as v */
void variables_release(struct variables *v);
DEFINE_CLEANUP_VALUE(variables_release, struct variables)
#define auto_variables CLEANUP(variables_release)

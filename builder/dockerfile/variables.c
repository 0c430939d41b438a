/* variables.c - an ordered vector with an index beside it. Not for expanding: see expand.c. */
#include <stdint.h>

#include "builder/dockerfile/variables.h"

#include "fs/base/banned.h"

static struct variable *find(const struct variables *v, const char *name)
{
    size_t place = (size_t)(uintptr_t)table_get(&v->index, name);

    return place > 0 ? &v->items[place - 1] : NULL;
}

void variables_set(struct variables *v, const char *name, const char *value)
{
    struct variable *item = find(v, name);
    char *copy = value ? mem_strdup(value) : NULL; /* first, for `value` may be the one replaced */

    if (!item) {
        item = array_add(v);
        item->name = mem_strdup(name);
        table_put(&v->index, name, (void *)(uintptr_t)v->count);
    }
    free(item->value);
    item->value = copy;
}

const char *variables_get(const struct variables *v, const char *name)
{
    for (; v; v = v->fallback) {
        const struct variable *item = find(v, name);

        if (item && item->value)
            return item->value;
    }
    return NULL;
}

bool variables_has(const struct variables *v, const char *name)
{
    for (; v; v = v->fallback)
        if (table_has(&v->index, name))
            return true;
    return false;
}

void variables_copy(struct variables *to, const struct variables *from)
{
    for (size_t i = 0; i < from->count; i++)
        variables_set(to, from->items[i].name, from->items[i].value);
}

static const char *get(void *context, const char *name)
{
    return variables_get(context, name);
}

struct expand_env variables_env(const struct variables *v)
{
    /* `get` only reads, so the qualifier is lost on the way through the untyped context alone. */
    return (struct expand_env){.get = get, .context = (void *)(uintptr_t)v};
}

void variables_release(struct variables *v)
{
    for (size_t i = 0; i < v->count; i++) {
        free(v->items[i].name);
        free(v->items[i].value);
    }
    free(v->items);
    table_release(&v->index);
    *v = (struct variables){0};
}

/* trace.c - see trace.h. Order never depends on which stage was faster. */
#include <stdlib.h>
#include <string.h>

#include "builder/attest/trace.h"
#include "fs/base/json.h"

#include "fs/base/banned.h"

void trace_init(struct trace *t)
{
    *t = (struct trace){0};
    pthread_mutex_init(&t->lock, NULL);
}

static void ids_release(struct trace_ids *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].id);
    free(list->items);
}

void trace_release(struct trace *t)
{
    for (size_t i = 0; i < t->materials.count; i++) {
        free(t->materials.items[i].uri);
        free(t->materials.items[i].digest);
    }
    free(t->materials.items);
    strv_release(&t->locals);
    ids_release(&t->secrets);
    ids_release(&t->ssh);
    for (size_t i = 0; i < t->steps.count; i++) {
        json_unref(t->steps.items[i].op);
        strv_release(&t->steps.items[i].inputs);
    }
    free(t->steps.items);
    for (size_t i = 0; i < t->bases.count; i++) {
        free(t->bases.items[i].source);
        free(t->bases.items[i].platform);
    }
    free(t->bases.items);
    pthread_mutex_destroy(&t->lock);
}

static int compare_material(const struct trace_material *m, const char *uri, const char *digest)
{
    int order = strcmp(m->uri, uri);

    return order != 0 ? order : strcmp(m->digest, digest);
}

void trace_add_material(struct trace *t, const char *uri, const char *digest)
{
    size_t at = 0;

    pthread_mutex_lock(&t->lock);
    while (at < t->materials.count && compare_material(&t->materials.items[at], uri, digest) < 0)
        at++;
    if (at == t->materials.count || compare_material(&t->materials.items[at], uri, digest) != 0) {
        struct trace_material *items;

        (void)array_add(&t->materials); /* room for one more; its place is `at` */
        items = t->materials.items;
        memmove(&items[at + 1], &items[at], (t->materials.count - 1 - at) * sizeof(*items));
        items[at] = (struct trace_material){.uri = mem_strdup(uri), .digest = mem_strdup(digest)};
    }
    pthread_mutex_unlock(&t->lock);
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void trace_add_local(struct trace *t, const char *name)
{
    pthread_mutex_lock(&t->lock);
    if (!strv_contains(&t->locals, name)) {
        strv_add(&t->locals, name);
        qsort(t->locals.items, t->locals.count, sizeof(char *), compare_words);
    }
    pthread_mutex_unlock(&t->lock);
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(((const struct trace_id *)a)->id, ((const struct trace_id *)b)->id);
}

void trace_add_id(struct trace *t, struct trace_ids *list, const char *id, bool is_optional)
{
    struct trace_id *found = NULL;

    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].id, id) == 0)
            found = &list->items[i];
    if (found == NULL) {
        *array_add(list) = (struct trace_id){.id = mem_strdup(id), .is_optional = is_optional};
        qsort(list->items, list->count, sizeof(*list->items), compare_ids);
    } else {
        found->is_optional = found->is_optional && is_optional;
    }
    pthread_mutex_unlock(&t->lock);
}

void trace_set_network(struct trace *t)
{
    pthread_mutex_lock(&t->lock);
    t->has_network = true;
    pthread_mutex_unlock(&t->lock);
}

void trace_set_incomplete(struct trace *t)
{
    pthread_mutex_lock(&t->lock);
    t->is_incomplete = true;
    pthread_mutex_unlock(&t->lock);
}

void trace_set_base(struct trace *t, size_t stage, struct trace_base *base)
{
    pthread_mutex_lock(&t->lock);
    while (t->bases.count <= stage)
        (void)array_add(&t->bases); /* of stages that nobody needs it stays empty */
    t->bases.items[stage] = *base;
    *base = (struct trace_base){0};
    pthread_mutex_unlock(&t->lock);
}

void trace_add_step(struct trace *t, struct trace_step *step)
{
    pthread_mutex_lock(&t->lock);
    *array_add(&t->steps) = *step;
    *step = (struct trace_step){0};
    pthread_mutex_unlock(&t->lock);
}

static int compare_steps(const void *a, const void *b)
{
    const struct trace_step *left = a;
    const struct trace_step *right = b;

    if (left->stage != right->stage)
        return left->stage < right->stage ? -1 : 1;
    return left->number < right->number ? -1 : left->number > right->number;
}

void trace_finish(struct trace *t, size_t target, int64_t finished_ns)
{
    t->target = target;
    t->finished_ns = finished_ns;
    if (t->steps.count > 1)
        qsort(t->steps.items, t->steps.count, sizeof(*t->steps.items), compare_steps);
}

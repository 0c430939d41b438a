/* view.c - opens and closes a view, and remembers the first thing that went wrong inside it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/base/cleanup.h"
#include "fs/union_internal.h"

#include "fs/base/banned.h"

/* -- faults -- */

int view_set_fault(struct view *v, int code, const char *fmt, ...)
{
    va_list args;
    char text[ERROR_TEXT_MAX];

    (void)pthread_mutex_lock(&v->lock); /* a plain mutex cannot fail to lock */
    if (!atomic_load_explicit(&v->has_fault, memory_order_relaxed)) {
        va_start(args, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        error_set(&v->fault, code, "%s", text);
        atomic_store_explicit(&v->has_fault, true, memory_order_release);
    }
    (void)pthread_mutex_unlock(&v->lock);
    return -code;
}

int view_fault(const struct view *v, struct error *err)
{
    if (!atomic_load_explicit(&v->has_fault, memory_order_acquire))
        return 0;
    *err = v->fault; /* written once, before has_fault */
    return -err->code;
}

/* -- opening -- */

static int open_layers(struct view *v, const int64_t *layers, size_t count, struct error *err)
{
    v->layers = mem_alloc(count * sizeof(const struct index *));
    for (size_t i = 0; i < count; i++) {
        int r = store_index_get(v->store, layers[i], &v->layers[i], err);

        if (r < 0)
            return r;
        v->layer_count++;
    }
    return lower_init(v, layers, err);
}

static int make_root(struct view *v)
{
    struct inode *root = inode_new(v, S_IFDIR | 0755, 0, 0);
    struct lower_entry entry;
    int r = lower_root(v, &entry);

    root->nlink = 1;
    root->lookup_count = 1; /* never forgotten */
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    r = lower_fill(v, root, entry.origin);
    if (r == 0 && !S_ISDIR(root->mode))
        r = lower_damaged(v, entry.origin.layer);
    if (r == 0 && entry.run_count > 1) {
        dir_of(root)->runs = mem_dup(entry.runs, entry.run_count * sizeof(*entry.runs));
        root->dir->run_count = entry.run_count;
    }
    return r;
}

int view_open(struct store *store, const int64_t *layers, size_t count,
              const struct view_options *options, struct view **out, struct error *err)
{
    auto_view struct view *v = mem_new(struct view);
    int r;

    if (pthread_mutex_init(&v->lock, NULL) != 0)
        abort(); /* only for want of memory */
    v->store = store;
    if (options)
        v->options = *options;
    v->label = mem_strdup(v->options.label ? v->options.label : "a view");
    v->options.label = v->label;
    v->segment.fd = -1;
    tables_init(v);
    v->sources = array_grow(NULL, 0, &v->source_capacity, sizeof(*v->sources));
    v->sources[v->source_count++] = VIEW_SEGMENT;
    if (count > LIMIT_IMAGE_LAYERS)
        return error_set(err, E2BIG, "'%s' has %zu layers, more than %d", v->label, count,
                         LIMIT_IMAGE_LAYERS);
    r = open_layers(v, layers, count, err);
    if (r < 0)
        return r;
    r = make_root(v);
    if (r < 0)
        return view_fault(v, err);
    *out = STEAL(&v);
    return 0;
}

void view_close(struct view *v)
{
    int saved = errno;

    if (!v)
        return;
    tables_release(v);
    lower_release(v);
    segment_release(v);
    id_map_release(&v->source_of_pack);
    free(v->sources);
    free(v->layers);
    free(v->label);
    (void)pthread_mutex_destroy(&v->lock); /* nobody waits for it any more */
    free(v);
    errno = saved;
}

/* -- questions -- */

const char *view_label(const struct view *v)
{
    return v->label;
}

bool view_is_changed(const struct view *v)
{
    return v->journal.name_count > 0 || v->journal.inode_count > 0;
}

uint64_t view_segment_size_bytes(const struct view *v)
{
    return atomic_load_explicit(&v->segment.size_bytes, memory_order_relaxed);
}

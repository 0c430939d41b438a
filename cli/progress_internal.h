/* progress_internal.h - a renderer: takes events under the lock, draws, ends. */
#pragma once

#include <pthread.h>

#include "cli/progress.h"

struct renderer {
    struct progress progress; /* first: what the builder sees */
    pthread_mutex_t lock;     /* guards everything of the kind that embeds this */
    void (*event)(struct renderer *r, const struct progress_event *e); /* lock held */
    void (*close)(struct renderer *r);                                 /* frees r */
};

struct renderer *renderer_plain_new(void);
struct renderer *renderer_tty_new(void);
struct renderer *renderer_json_new(void);

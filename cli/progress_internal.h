/* progress_internal.h - a renderer: takes events under the lock, draws, ends. */
#pragma once

#include <pthread.h>

#include "cli/progress.h"
#include "fs/base/str.h"

struct renderer {
    struct progress progress; /* first: what the builder sees */
    pthread_mutex_t lock;     /* guards everything of the kind that embeds this */
    void (*event)(struct renderer *r, const struct progress_event *e); /* lock held */
    void (*close)(struct renderer *r);                                 /* frees r */
};

/* One line of a step's output as a terminal would show it in the end: what a carriage return went
 * over is left out, tabs stay, all else that could move a cursor is escaped (SECURITY R58). */
void progress_line(struct str *out, const char *line, size_t size);

struct renderer *renderer_plain_new(void);
struct renderer *renderer_tty_new(void);
struct renderer *renderer_json_new(void);

/* progress_internal.h - a renderer: takes events under the lock, draws, ends. */
#pragma once

#include <pthread.h>

#include "cli/progress.h"
#include "fs/base/str.h"

#define PROGRESS_STALL_NS (60ull * 1000000000u) /* silence worth a line */

struct renderer {
    struct progress progress; /* first: what the builder sees */
    void (*event)(struct renderer *r, const struct progress_event *e); /* lock held */
    void (*tick)(
        struct renderer *r); /* lock held; every tick_ms from the first event on, or NULL */
    void (*close)(struct renderer *r); /* frees r; no thread of ours runs any more */
    const char *title;                 /* "Building" */
    unsigned tick_ms;

    pthread_mutex_t lock; /* guards what is below and everything of the kind that embeds this */
    pthread_cond_t wake;
    pthread_t thread;
    bool has_thread;
    bool is_closing;
};

#define PROGRESS_LINE_MAX 65536u /* bytes without a newline that become a line of their own */

/* One line of a step's output as a terminal would show it in the end, without colours: what was gone
 * over or cleared is left out, and so are control sequences; tabs stay, all else that is not text is
 * escaped (SECURITY R58). */
void progress_line(struct str *out, const char *line, size_t size);

/* Moves bytes from `*rest` to `partial`: true when that holds a line now (without its newline), which
 * the caller shows and truncates; false when the line goes on in a later event. */
bool progress_take_line(struct str *partial, const char **rest, const char *end);

/* "1m5s": for how long nothing was heard. */
void progress_add_silence(struct str *out, uint64_t silent_ns);

struct renderer *renderer_plain_new(void);
struct renderer *renderer_tty_new(void);
struct renderer *renderer_json_new(void);

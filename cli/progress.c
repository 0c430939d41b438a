/* progress.c - which renderer, and its lock. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/progress.h"
#include "cli/progress_internal.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

static void emit(struct progress *p, const struct progress_event *event)
{
    struct renderer *r = (struct renderer *)(void *)p;

    pthread_mutex_lock(&r->lock);
    r->event(r, event);
    pthread_mutex_unlock(&r->lock);
}

int progress_open(const char *mode, struct progress **out, struct error *err)
{
    struct renderer *r;

    if (mode == NULL)
        mode = getenv("BUILDKIT_PROGRESS");
    if (mode == NULL || mode[0] == '\0')
        mode = "auto";
    *out = NULL;
    if (text_equal(mode, "quiet") || text_equal(mode, "none"))
        return 0;
    if (!text_equal(mode, "auto") && !text_equal(mode, "plain"))
        return error_set(err, EINVAL, "unknown progress mode '%s': auto, plain or quiet", mode);
    r = renderer_plain_new();
    r->progress.emit = emit;
    pthread_mutex_init(&r->lock, NULL);
    *out = &r->progress;
    return 0;
}

void progress_close(struct progress *p)
{
    struct renderer *r = (struct renderer *)(void *)p;

    if (r == NULL)
        return;
    pthread_mutex_destroy(&r->lock);
    r->close(r);
}

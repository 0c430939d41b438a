/* progress.c - which renderer, and its lock. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

void progress_line(struct str *out, const char *line, size_t size)
{
    const char *end = line + size;
    const char *start;

    while (end > line && end[-1] == '\r')
        end--;
    start = memrchr(line, '\r', (size_t)(end - line));
    for (line = start == NULL ? line : start + 1; line < end;) {
        const char *tab = memchr(line, '\t', (size_t)(end - line));
        const char *stop = tab == NULL ? end : tab;

        str_add_escaped(out, line, (size_t)(stop - line));
        if (tab != NULL)
            str_add_char(out, '\t');
        line = stop + (tab != NULL);
    }
}

/* A terminal that can move its cursor. */
static bool is_live(void)
{
    const char *term = getenv("TERM");
    const char *ci = getenv("CI");

    return isatty(STDERR_FILENO) == 1 && term != NULL && strcmp(term, "dumb") != 0 &&
           (ci == NULL || ci[0] == '\0');
}

static struct renderer *make_live(void)
{
    return is_live() ? renderer_tty_new() : renderer_plain_new();
}

static const struct {
    const char *name;
    struct renderer *(*make)(void); /* NULL: nothing is shown */
} modes[] = {
    {"auto", make_live}, {"plain", renderer_plain_new},  {"tty", renderer_tty_new}, {"quiet", NULL},
    {"none", NULL},      {"rawjson", renderer_json_new},
};

int progress_open(const char *mode, struct progress **out, struct error *err)
{
    struct renderer *r;
    size_t i = 0;

    if (mode == NULL)
        mode = getenv("BUILDKIT_PROGRESS");
    if (mode == NULL || mode[0] == '\0')
        mode = "auto";
    while (i < sizeof(modes) / sizeof(modes[0]) && strcmp(modes[i].name, mode) != 0)
        i++;
    if (i == sizeof(modes) / sizeof(modes[0]))
        return error_set(err, EINVAL,
                         "unknown progress mode '%s': auto, plain, tty, quiet or rawjson", mode);
    *out = NULL;
    if (modes[i].make == NULL)
        return 0;
    r = modes[i].make();
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
    r->close(r);
}

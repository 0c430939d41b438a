/* progress.c - which renderer, its lock and its clock. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/progress.h"
#include "cli/progress_internal.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

static void *tick_loop(void *arg)
{
    struct renderer *r = arg;

    pthread_mutex_lock(&r->lock);
    while (!r->is_closing) {
        struct timespec until;

        r->tick(r);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)(r->tick_ms % 1000) * 1000000;
        until.tv_sec += r->tick_ms / 1000 + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&r->wake, &r->lock, &until); /* late is as good */
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void emit(struct progress *p, const struct progress_event *event)
{
    struct renderer *r = (struct renderer *)(void *)p;

    pthread_mutex_lock(&r->lock);
    r->event(r, event);
    if (r->tick != NULL && !r->has_thread)
        r->has_thread = pthread_create(&r->thread, NULL, tick_loop, r) == 0;
    pthread_mutex_unlock(&r->lock);
}

void progress_add_silence(struct str *out, uint64_t silent_ns)
{
    uint64_t seconds = silent_ns / 1000000000;

    str_addf(out, "%llum%llus", (unsigned long long)(seconds / 60),
             (unsigned long long)(seconds % 60));
}

/* Behind the control sequence (ECMA-48, 5.4 and 5.6) or the two-character escape that begins at
 * `at`, which is an ESC; NULL when none does, or not all of it is there. */
static const char *sequence_end(const char *at, const char *end)
{
    const char *c = at + 1;
    bool is_control = c < end && *c == '[';

    if (c < end && *c == ']') { /* an operating system command, xterm's way: to BEL or ESC \ */
        for (c++; c < end; c++)
            if (*c == '\a' || (*c == '\\' && c[-1] == '\033'))
                return c + 1;
        return NULL;
    }
    c += is_control;
    while (is_control && c < end && *c >= '0' && *c <= '?')
        c++;
    while (c < end && *c >= ' ' && *c <= '/')
        c++;
    return c < end && *c >= (is_control ? '@' : '0') && *c <= '~' ? c + 1 : NULL;
}

/* What a sequence does to the line it is in: "" or "0" and "1" are the same column (ECMA-48, 8.3.9). */
static bool moves_home(const char *at, size_t size)
{
    return at[size - 1] == 'G' && (size == 3 || (size == 4 && (at[2] == '0' || at[2] == '1')));
}

static bool clears_line(const char *at, size_t size, bool is_home)
{
    bool is_rest = size == 3 || (size == 4 && at[2] == '0');

    return at[1] == '[' && at[size - 1] == 'K' &&
           ((size == 4 && at[2] == '2') || (is_rest && is_home));
}

void progress_line(struct str *out, const char *line, size_t size)
{
    const char *end = line + size;
    size_t begin = out->size;
    bool is_home = false; /* what comes next goes over what is there */

    while (line < end) {
        const char *stop = *line == '\033' ? sequence_end(line, end) : NULL;

        if (*line == '\r') {
            is_home = true;
            line++;
            continue;
        }
        if (stop != NULL) {
            if (clears_line(line, (size_t)(stop - line), is_home))
                str_truncate(out, begin);
            is_home |= line[1] == '[' && moves_home(line, (size_t)(stop - line));
            line = stop;
            continue;
        }
        if (is_home)
            str_truncate(out, begin);
        is_home = false;
        for (stop = line + 1; *line != '\t' && stop < end && strchr("\r\t\033", *stop) == NULL;)
            stop++;
        if (*line == '\t')
            str_add_char(out, '\t');
        else
            str_add_escaped(out, line, (size_t)(stop - line));
        line = stop;
    }
}

bool progress_take_line(struct str *partial, const char **rest, const char *end)
{
    const char *newline = memchr(*rest, '\n', (size_t)(end - *rest));
    const char *stop = newline == NULL ? end : newline;

    str_add_bytes(partial, *rest, (size_t)(stop - *rest));
    *rest = stop + (newline != NULL);
    return newline != NULL || partial->size >= PROGRESS_LINE_MAX;
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

/* A mode from the environment is a wish, one from the command line an order. */
static int check_terminal(const char **mode, bool is_order, struct error *err)
{
    if (strcmp(*mode, "tty") != 0 || isatty(STDERR_FILENO) == 1)
        return 0;
    if (is_order)
        return error_set(err, ENOTTY,
                         "progress mode 'tty' needs a terminal, which standard error is not");
    *mode = "plain";
    return 0;
}

static void start(struct renderer *r)
{
    pthread_condattr_t attributes;

    r->progress.emit = emit;
    r->title = "Building";
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&r->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

int progress_open(const char *mode, struct progress **out, struct error *err)
{
    bool is_order = mode != NULL && mode[0] != '\0';
    struct renderer *r;
    size_t i = 0;
    int result;

    if (!is_order)
        mode = getenv("BUILDKIT_PROGRESS");
    if (mode == NULL || mode[0] == '\0')
        mode = "auto";
    result = check_terminal(&mode, is_order, err);
    if (result < 0)
        return result;
    while (i < sizeof(modes) / sizeof(modes[0]) && strcmp(modes[i].name, mode) != 0)
        i++;
    if (i == sizeof(modes) / sizeof(modes[0]))
        return error_set(err, EINVAL,
                         "unknown progress mode '%s': auto, plain, tty, quiet or rawjson", mode);
    *out = NULL;
    if (modes[i].make == NULL)
        return 0;
    r = modes[i].make();
    start(r);
    *out = &r->progress;
    return 0;
}

void progress_set_title(struct progress *p, const char *title)
{
    struct renderer *r = (struct renderer *)(void *)p;

    if (r != NULL)
        r->title = title;
}

void progress_close(struct progress *p)
{
    struct renderer *r = (struct renderer *)(void *)p;

    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    r->is_closing = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    if (r->has_thread)
        pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->wake);
    r->close(r);
}

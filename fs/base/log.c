/* log.c - one line per call, written whole. Not for results and not for errors. */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

static atomic_bool debug_on;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void (*line_sink)(void *context, const char *line); /* guarded by lock */
static void *line_context;                                 /* guarded by lock */

void log_set_debug(bool on)
{
    atomic_store(&debug_on, on);
}

bool log_is_debug(void)
{
    return atomic_load_explicit(&debug_on, memory_order_relaxed);
}

void log_set_sink(void (*sink)(void *context, const char *line), void *context)
{
    pthread_mutex_lock(&lock);
    line_sink = sink;
    line_context = context;
    pthread_mutex_unlock(&lock);
}

/* The lock is held over the sink, so that no call to an old one outlives log_set_sink. */
static void put_line(struct str *line)
{
    pthread_mutex_lock(&lock);
    if (line_sink) {
        line_sink(line_context, str_text(line));
    } else {
        str_add_char(line, '\n');
        (void)io_write_full(STDERR_FILENO, line->data, line->size); /* no one left to tell */
    }
    pthread_mutex_unlock(&lock);
}

static void __attribute__((format(printf, 2, 0)))
log_line(const char *level, const char *fmt, va_list args)
{
    auto_str struct str text = {0};
    auto_str struct str line = {0};

    str_vaddf(&text, fmt, args);
    str_add(&line, level);
    str_add_escaped(&line, str_text(&text), text.size); /* names in it may come from an image */
    put_line(&line);
}

void log_debug(const char *fmt, ...)
{
    va_list args;

    if (!log_is_debug())
        return;
    va_start(args, fmt);
    log_line("debug: ", fmt, args);
    va_end(args);
}

void log_warn(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_line("warning: ", fmt, args);
    va_end(args);
}

/* progress.c - numbering and time-stamping of events; drawing them is the command line's. */
#include <errno.h>
#include <stdatomic.h>

#include "fs/base/io.h"
#include "fs/base/progress.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

static atomic_uint last_vertex;

static void emit(struct progress *p, struct progress_event *event)
{
    if (p == NULL)
        return;
    event->time_ns = io_ticks_ns();
    p->emit(p, event);
}

static uint32_t begin(struct progress *p, const char *name, bool was_expected)
{
    uint32_t vertex = atomic_fetch_add(&last_vertex, 1) + 1;

    emit(p,
         &(struct progress_event){
             .kind = PROGRESS_BEGIN, .vertex = vertex, .text = name, .was_expected = was_expected});
    return vertex;
}

uint32_t progress_begin(struct progress *p, const char *name)
{
    return begin(p, name, false);
}

void progress_expect(struct progress *p, uint64_t count)
{
    emit(p, &(struct progress_event){.kind = PROGRESS_EXPECT, .total = count});
}

uint32_t progress_begin_expected(struct progress *p, const char *name)
{
    return begin(p, name, true);
}

uint32_t progress_beginf(struct progress *p, const char *fmt, ...)
{
    auto_str struct str name = {0};
    va_list args;

    va_start(args, fmt);
    str_vaddf(&name, fmt, args);
    va_end(args);
    return progress_begin(p, str_text(&name));
}

void progress_log(struct progress *p, uint32_t vertex, int stream, const void *bytes, size_t size)
{
    emit(
        p,
        &(struct progress_event){
            .kind = PROGRESS_LOG, .vertex = vertex, .text = bytes, .size = size, .stream = stream});
}

void progress_status(struct progress *p, uint32_t vertex, const char *item, uint64_t current,
                     uint64_t total, bool completed)
{
    emit(p, &(struct progress_event){.kind = PROGRESS_STATUS,
                                     .vertex = vertex,
                                     .text = item,
                                     .current = current,
                                     .total = total,
                                     .completed = completed});
}

void progress_warn(struct progress *p, uint32_t vertex, const char *text)
{
    emit(p, &(struct progress_event){.kind = PROGRESS_WARNING, .vertex = vertex, .text = text});
}

enum progress_state progress_state_of(int result)
{
    return result == -ECANCELED ? PROGRESS_CANCELED : result < 0 ? PROGRESS_ERROR : PROGRESS_DONE;
}

void progress_end(struct progress *p, uint32_t vertex, enum progress_state state,
                  const char *error_text)
{
    emit(p, &(struct progress_event){
                .kind = PROGRESS_END, .vertex = vertex, .state = state, .text = error_text});
}

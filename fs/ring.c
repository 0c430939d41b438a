/* ring.c - one lock, one condition: buffers are large, so hand-overs are few. */
#include <assert.h>

#include "fs/ring.h"

#include "fs/base/banned.h"

void ring_init(struct ring *r, size_t buffer_count, size_t buffer_size)
{
    assert(buffer_count <= RING_BUFFERS_MAX);
    *r = (struct ring){.buffer_count = buffer_count, .buffer_size = buffer_size};
    for (size_t i = 0; i < buffer_count; i++)
        r->buffers[i] = mem_alloc(buffer_size);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
}

void ring_release(struct ring *r)
{
    for (size_t i = 0; i < r->buffer_count; i++)
        free(r->buffers[i]);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
}

uint8_t *ring_fill_begin(struct ring *r)
{
    uint8_t *buffer = NULL;

    pthread_mutex_lock(&r->lock);
    while (r->filled == r->buffer_count && !r->is_broken)
        pthread_cond_wait(&r->changed, &r->lock);
    if (!r->is_broken)
        buffer = r->buffers[(r->first + r->filled) % r->buffer_count];
    pthread_mutex_unlock(&r->lock);
    return buffer;
}

void ring_fill_end(struct ring *r, size_t size)
{
    assert(size <= r->buffer_size);
    pthread_mutex_lock(&r->lock);
    r->sizes[(r->first + r->filled) % r->buffer_count] = size;
    r->filled++;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void ring_close(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->is_closed = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

const uint8_t *ring_empty_begin(struct ring *r, size_t *size)
{
    const uint8_t *buffer = NULL;

    pthread_mutex_lock(&r->lock);
    while (r->filled == 0 && !r->is_closed && !r->is_broken)
        pthread_cond_wait(&r->changed, &r->lock);
    if (r->filled > 0 && !r->is_broken) {
        buffer = r->buffers[r->first];
        *size = r->sizes[r->first];
    }
    pthread_mutex_unlock(&r->lock);
    return buffer;
}

void ring_empty_end(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->first = (r->first + 1) % r->buffer_count;
    r->filled--;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void ring_break(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->is_broken = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

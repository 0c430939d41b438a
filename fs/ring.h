/* ring.h - a bounded queue of buffers between two threads, one that fills and one that empties.
 *
 * Whoever is faster waits for the other, so memory is bounded. Either side may break the ring, which
 * wakes and turns away both.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"

#define RING_BUFFERS_MAX 8u

struct ring {
    size_t buffer_count;
    size_t buffer_size; /* bytes */
    uint8_t *buffers[RING_BUFFERS_MAX];

    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t sizes[RING_BUFFERS_MAX]; /* guarded by lock, as all below */
    size_t first;                   /* the oldest filled buffer */
    size_t filled;
    bool is_closed; /* nothing more will be filled */
    bool is_broken;
};

void ring_init(struct ring *r, size_t buffer_count, size_t buffer_size);
void ring_release(struct ring *r);

/* Filling side. The buffer, buffer_size long, is the caller's until ring_fill_end; NULL: broken. */
uint8_t *ring_fill_begin(struct ring *r);
void ring_fill_end(struct ring *r, size_t size);
void ring_close(struct ring *r);

/* Emptying side. NULL: closed and empty, or broken. */
const uint8_t *ring_empty_begin(struct ring *r, size_t *size);
void ring_empty_end(struct ring *r);

void ring_break(struct ring *r); /* either side, or a third thread */

/* hashed_copy.c - this thread reads and writes; the other one hashes the buffers it was given. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "fs/hashed_copy.h"
#include "fs/ring.h"

#include "fs/base/banned.h"

#define BUFFER_COUNT 4u
#define BUFFER_SIZE ((size_t)1 << 20)

struct copy {
    struct ring ring;
    struct hasher *hasher;
};

static void *hash_thread(void *arg)
{
    struct copy *c = arg;
    const uint8_t *bytes;
    size_t size;

    while ((bytes = ring_empty_begin(&c->ring, &size))) {
        hasher_update(c->hasher, bytes, size);
        ring_empty_end(&c->ring);
    }
    return NULL;
}

static int start_thread(struct copy *c, pthread_t *thread)
{
    sigset_t all;
    sigset_t before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited: signals are not for helpers */
    r = pthread_create(thread, NULL, hash_thread, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

/* The buffer stays as it is until this thread asks for it again: the other one only reads it. */
static int copy_all(struct copy *c, struct reader *from, struct writer *to, uint64_t *total,
                    struct error *err)
{
    ssize_t n;

    do {
        uint8_t *buffer = ring_fill_begin(&c->ring);
        int r;

        n = reader_read_most(from, buffer, BUFFER_SIZE, err);
        if (n <= 0)
            return (int)n;
        ring_fill_end(&c->ring, (size_t)n);
        *total += (uint64_t)n;
        r = writer_write(to, buffer, (size_t)n, err);
        if (r < 0)
            return r;
    } while ((size_t)n == BUFFER_SIZE);
    return 0;
}

/* What fits one buffer is not worth a thread; `buffer` holds the first `size` bytes. */
static int copy_small(struct copy *c, const uint8_t *buffer, size_t size, struct writer *to,
                      struct error *err)
{
    hasher_update(c->hasher, buffer, size);
    return size == 0 ? 0 : writer_write(to, buffer, size, err);
}

static int copy_large(struct copy *c, struct reader *from, struct writer *to, size_t first,
                      uint64_t *total, struct error *err)
{
    pthread_t thread;
    int r = start_thread(c, &thread);

    if (r != 0) {
        errno = r;
        return error_errno(err, "cannot start a thread");
    }
    ring_fill_end(&c->ring, first); /* it was read into the ring's first buffer */
    *total = first;
    r = writer_write(to, c->ring.buffers[0], first, err);
    if (r == 0)
        r = copy_all(c, from, to, total, err);
    ring_close(&c->ring);
    pthread_join(thread, NULL);
    return r;
}

int hashed_copy(enum digest_algorithm algorithm, struct reader *from, struct writer *to,
                struct digest *found, uint64_t *total_bytes, struct error *err)
{
    struct copy c = {.hasher = hasher_new_as(algorithm)};
    uint64_t total = 0;
    ssize_t first;
    int r;

    ring_init(&c.ring, BUFFER_COUNT, BUFFER_SIZE);
    first = reader_read_most(from, ring_fill_begin(&c.ring), BUFFER_SIZE, err);
    if (first < 0)
        r = (int)first;
    else if ((size_t)first < BUFFER_SIZE)
        r = copy_small(&c, c.ring.buffers[0], (size_t)first, to, err);
    else
        r = copy_large(&c, from, to, (size_t)first, &total, err);
    if (r == 0) {
        hasher_final(c.hasher, found);
        *total_bytes = total > 0 ? total : (uint64_t)first;
    }
    ring_release(&c.ring);
    hasher_free(c.hasher);
    return r;
}

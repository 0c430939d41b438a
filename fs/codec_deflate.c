/* codec_deflate.c - deflates independent 1 MiB pieces, in parallel, and writes them in order.
 *
 * Pieces go round a ring of slots: the caller fills one, any worker deflates it, the caller writes it
 * out when its turn comes. So memory is bounded, order is kept, and the bytes do not depend on how
 * many workers there are.
 *
 * Who names no level gets a careful beginning and a fast rest: what most layers hold is squeezed well,
 * and nobody waits for the gigabytes of the others, where the fast way takes a sixth of the time of
 * level 6 and an eighth more room.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>

#include <zstd.h>

#include "fs/codec.h"
#include "fs/codec_internal.h"

#include "fs/base/banned.h"

#define PIECE_SIZE ((size_t)1 << 20)
#define THREADS_MAX 8u
#define GZIP_LEVEL_DEFAULT 6
#define CAREFUL_PIECES 16u /* by default; what comes after them is deflated fast */
#define GZIP_LEVEL_MIN 0   /* stored */
#define GZIP_LEVEL_MAX 12
#define ZSTD_LEVEL_DEFAULT 3
#define ZSTD_LEVEL_MIN 1
#define ZSTD_LEVEL_MAX 22

/* One thread's compressor. */
struct compressor {
    struct member_maker *gzip;
    ZSTD_CCtx *zstd;
};

enum slot_state { SLOT_FREE, SLOT_FILLED, SLOT_BUSY, SLOT_DONE };

struct slot {
    enum slot_state state; /* guarded by the ring's lock */
    uint8_t *in;           /* PIECE_SIZE */
    size_t in_size;
    bool is_fast; /* beyond the careful beginning */
    uint8_t *out; /* out_capacity */
    size_t out_size;
};

struct deflate_writer {
    struct writer base; /* first: the writer is the object */
    struct writer *to;  /* borrowed */
    enum codec_format format;
    int level;
    bool has_fast_rest;
    size_t piece_count;  /* handed over so far */
    size_t out_capacity; /* of each slot: what a piece can grow to */
    bool has_output;     /* at least one member or frame was begun */

    struct compressor own; /* of the calling thread, when there are no workers */
    pthread_t threads[THREADS_MAX];
    size_t thread_count;

    struct slot slots[THREADS_MAX + 1];
    size_t slot_count;
    size_t filling; /* the slot that write fills */
    size_t writing; /* the oldest slot not written out */

    pthread_mutex_t lock;
    pthread_cond_t work; /* a slot was filled, or stop */
    pthread_cond_t done; /* a slot is done */
    size_t taking;       /* guarded by lock: the next slot for a worker */
    bool is_stopping;    /* guarded by lock */
};

/* -- one piece -- */

static void compressor_init(struct compressor *c, const struct deflate_writer *d)
{
    if (d->format == CODEC_GZIP) {
        c->gzip = member_maker_new(d->level);
        return;
    }
    c->zstd = ZSTD_createCCtx();
    if (!c->zstd)
        abort(); /* out of memory, as mem_alloc would */
    (void)ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, d->level);
}

static void compressor_release(struct compressor *c)
{
    member_maker_free(c->gzip);
    ZSTD_freeCCtx(c->zstd);
}

static void compress_slot(const struct deflate_writer *d, struct compressor *c, struct slot *s)
{
    if (d->format == CODEC_GZIP) {
        s->out_size = s->is_fast
                          ? member_make_fast(c->gzip, s->in, s->in_size, s->out, d->out_capacity)
                          : member_make(c->gzip, s->in, s->in_size, s->out, d->out_capacity);
        return;
    }
    s->out_size = ZSTD_compress2(c->zstd, s->out, d->out_capacity, s->in, s->in_size);
    assert(!ZSTD_isError(s->out_size));
}

/* -- workers -- */

/* Waits for the next filled slot, in order; NULL when there is nothing more to do. */
static struct slot *take_slot(struct deflate_writer *d)
{
    struct slot *s = NULL;

    pthread_mutex_lock(&d->lock);
    while (!d->is_stopping && d->slots[d->taking].state != SLOT_FILLED)
        pthread_cond_wait(&d->work, &d->lock);
    if (!d->is_stopping) {
        s = &d->slots[d->taking];
        s->state = SLOT_BUSY;
        d->taking = (d->taking + 1) % d->slot_count;
    }
    pthread_mutex_unlock(&d->lock);
    return s;
}

static void *worker(void *arg)
{
    const struct sched_param none = {0};
    struct deflate_writer *d = arg;
    struct compressor c = {0};
    struct slot *s;

    /* Who waits for what is made here (a hash, a connection) is to run as soon as it can. */
    (void)sched_setscheduler(0, SCHED_BATCH, &none);
    compressor_init(&c, d);
    while ((s = take_slot(d))) {
        compress_slot(d, &c, s);
        pthread_mutex_lock(&d->lock);
        s->state = SLOT_DONE;
        pthread_cond_signal(&d->done);
        pthread_mutex_unlock(&d->lock);
    }
    compressor_release(&c);
    return NULL;
}

static int start_workers(struct deflate_writer *d, unsigned threads, struct error *err)
{
    sigset_t all;
    sigset_t before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* workers inherit it: signals are not for them */
    for (; d->thread_count < threads; d->thread_count++) {
        int r = pthread_create(&d->threads[d->thread_count], NULL, worker, d);

        if (r != 0 && d->thread_count > 0)
            break; /* fewer do the same work */
        if (r != 0) {
            pthread_sigmask(SIG_SETMASK, &before, NULL);
            errno = r;
            return error_errno(err, "cannot start a thread to compress");
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return 0;
}

/* -- the calling thread -- */

/* Waits until the oldest slot is done, writes it out and frees it. */
static int write_oldest(struct deflate_writer *d, struct error *err)
{
    struct slot *s = &d->slots[d->writing];

    pthread_mutex_lock(&d->lock);
    while (s->state != SLOT_DONE)
        pthread_cond_wait(&d->done, &d->lock);
    s->state = SLOT_FREE;
    pthread_mutex_unlock(&d->lock);
    s->in_size = 0;
    d->writing = (d->writing + 1) % d->slot_count;
    return writer_write(d->to, s->out, s->out_size, err);
}

/* Hands the slot being filled over, or deflates it here when there are no workers. */
static int end_slot(struct deflate_writer *d, struct error *err)
{
    struct slot *s = &d->slots[d->filling];

    d->has_output = true;
    s->is_fast = d->has_fast_rest && d->piece_count++ >= CAREFUL_PIECES;
    if (d->thread_count == 0) {
        compress_slot(d, &d->own, s);
        s->in_size = 0;
        return writer_write(d->to, s->out, s->out_size, err);
    }
    pthread_mutex_lock(&d->lock);
    s->state = SLOT_FILLED;
    pthread_cond_signal(&d->work);
    pthread_mutex_unlock(&d->lock);
    d->filling = (d->filling + 1) % d->slot_count;
    return d->filling == d->writing ? write_oldest(d, err) : 0; /* the ring is full */
}

static int deflate_write(struct writer *w, const void *buf, size_t size, struct error *err)
{
    struct deflate_writer *d = (struct deflate_writer *)w;
    const uint8_t *from = buf;

    while (size > 0) {
        struct slot *s = &d->slots[d->filling];
        size_t part = PIECE_SIZE - s->in_size;
        int r;

        if (part > size)
            part = size;
        memcpy(s->in + s->in_size, from, part);
        s->in_size += part;
        from += part;
        size -= part;
        if (s->in_size < PIECE_SIZE)
            break;
        r = end_slot(d, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int deflate_finish(struct writer *w, struct error *err)
{
    struct deflate_writer *d = (struct deflate_writer *)w;
    int r = 0;

    if (d->slots[d->filling].in_size > 0 || !d->has_output)
        r = end_slot(d, err); /* an empty stream is one empty member */
    while (r == 0 && d->writing != d->filling)
        r = write_oldest(d, err);
    return r;
}

static void deflate_close(struct writer *w)
{
    struct deflate_writer *d = (struct deflate_writer *)w;

    pthread_mutex_lock(&d->lock);
    d->is_stopping = true;
    pthread_cond_broadcast(&d->work);
    pthread_mutex_unlock(&d->lock);
    for (size_t i = 0; i < d->thread_count; i++)
        pthread_join(d->threads[i], NULL);
    for (size_t i = 0; i < d->slot_count; i++) {
        free(d->slots[i].in);
        free(d->slots[i].out);
    }
    compressor_release(&d->own);
    pthread_cond_destroy(&d->done);
    pthread_cond_destroy(&d->work);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

/* -- plain -- */

struct plain_writer {
    struct writer base;
    struct writer *to; /* borrowed */
};

static int plain_write(struct writer *w, const void *buf, size_t size, struct error *err)
{
    return writer_write(((struct plain_writer *)w)->to, buf, size, err);
}

static void plain_close(struct writer *w)
{
    free((struct plain_writer *)w);
}

static struct writer *plain_writer_new(struct writer *to)
{
    struct plain_writer *p = mem_new(struct plain_writer);

    p->base = (struct writer){plain_write, NULL, plain_close};
    p->to = to;
    return &p->base;
}

/* -- opening -- */

static int choose_level(enum codec_format format, int level, int *out, struct error *err)
{
    int min = format == CODEC_GZIP ? GZIP_LEVEL_MIN : ZSTD_LEVEL_MIN;
    int max = format == CODEC_GZIP ? GZIP_LEVEL_MAX : ZSTD_LEVEL_MAX;

    if (level == -1)
        level = format == CODEC_GZIP ? GZIP_LEVEL_DEFAULT : ZSTD_LEVEL_DEFAULT;
    if (level < min || level > max)
        return error_set(err, EINVAL, "%s has levels %d to %d, not %d", codec_name(format), min,
                         max, level);
    *out = level;
    return 0;
}

int deflate_writer_new(enum codec_format format, int level, unsigned threads, struct writer *to,
                       struct writer **out, struct error *err)
{
    auto_writer struct writer *w = NULL;
    bool is_default = level == -1;
    struct deflate_writer *d;
    int r;

    assert(format != CODEC_DETECT);
    if (format == CODEC_NONE) {
        *out = plain_writer_new(to);
        return 0;
    }
    r = choose_level(format, level, &level, err);
    if (r < 0)
        return r;
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    d = mem_new(struct deflate_writer);
    w = &d->base;
    d->base = (struct writer){deflate_write, deflate_finish, deflate_close};
    d->to = to;
    d->format = format;
    d->level = level;
    d->has_fast_rest = is_default && format == CODEC_GZIP;
    d->out_capacity =
        format == CODEC_ZSTD ? ZSTD_compressBound(PIECE_SIZE) : member_bound(PIECE_SIZE);
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->work, NULL);
    pthread_cond_init(&d->done, NULL);
    d->slot_count = threads > 1 ? threads + 1 : 1;
    for (size_t i = 0; i < d->slot_count; i++) {
        d->slots[i].in = mem_alloc(PIECE_SIZE);
        d->slots[i].out = mem_alloc(d->out_capacity);
    }
    if (threads > 1) {
        r = start_workers(d, threads, err);
        if (r < 0)
            return r;
    } else {
        compressor_init(&d->own, d);
    }
    *out = STEAL(&w);
    return 0;
}

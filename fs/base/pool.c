/* pool.c - the worker threads of pool.h. Not for work that must keep an order. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "fs/base/pool.h"

#include "fs/base/banned.h"

struct job {
    struct job *next;
    int (*fn)(void *arg, struct error *err);
    void *arg;
};

struct pool {
    size_t thread_max;
    pthread_t *threads; /* owned; touched by submit, under lock, and by free */
    pthread_mutex_t lock;
    pthread_cond_t work;  /* a job was queued, or the pool stops */
    pthread_cond_t quiet; /* nothing is queued or running */
    /* guarded by lock */
    struct job *first;
    struct job **last; /* where the next one is hung */
    size_t queued_count;
    size_t running_count;
    size_t thread_count;
    size_t idle_count;
    bool is_stopping;
    struct error failure;
};

struct pool *pool_new(size_t thread_count)
{
    struct pool *p = mem_new(struct pool);

    p->thread_max = thread_count ? thread_count : 1;
    p->threads = mem_alloc(p->thread_max * sizeof(*p->threads));
    p->last = &p->first;
    if (pthread_mutex_init(&p->lock, NULL) != 0 || pthread_cond_init(&p->work, NULL) != 0 ||
        pthread_cond_init(&p->quiet, NULL) != 0)
        abort(); /* only ever for want of memory */
    return p;
}

/* Lock held. */
static void drop_queued(struct pool *p)
{
    while (p->first) {
        struct job *job = p->first;

        p->first = job->next;
        free(job);
    }
    p->last = &p->first;
    p->queued_count = 0;
}

/* Lock held. */
static void tell_if_quiet(struct pool *p)
{
    if (p->queued_count == 0 && p->running_count == 0)
        pthread_cond_broadcast(&p->quiet);
}

/* Lock held. The first failure is the cause; those after it are often its consequences. */
static void fail(struct pool *p, const struct error *err)
{
    if (p->failure.code == 0)
        p->failure = *err;
    drop_queued(p);
}

/* Lock held, and given up while the job runs. */
static void run_job(struct pool *p, int (*fn)(void *arg, struct error *err), void *arg)
{
    struct error err = {0};
    int r;

    p->running_count++;
    pthread_mutex_unlock(&p->lock);
    r = fn(arg, &err);
    if (r < 0 && err.code == 0)
        error_set(&err, -r, "a background job failed");
    pthread_mutex_lock(&p->lock);
    p->running_count--;
    if (r < 0)
        fail(p, &err);
    tell_if_quiet(p);
}

static void *serve(void *arg)
{
    struct pool *p = arg;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct job *job = p->first;

        if (job) {
            struct job copy = *job;

            p->first = job->next;
            if (!p->first)
                p->last = &p->first;
            p->queued_count--;
            free(job);
            run_job(p, copy.fn, copy.arg);
        } else if (p->is_stopping) {
            break;
        } else {
            p->idle_count++;
            pthread_cond_wait(&p->work, &p->lock);
            p->idle_count--;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Lock held. A thread inherits the mask of its maker, so all signals are blocked around this. */
static void start_thread(struct pool *p)
{
    sigset_t all;
    sigset_t before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&p->threads[p->thread_count], NULL, serve, p) == 0)
        p->thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void pool_submit(struct pool *p, int (*fn)(void *arg, struct error *err), void *arg)
{
    struct job *job;

    pthread_mutex_lock(&p->lock);
    if (p->failure.code != 0 || p->is_stopping) {
        pthread_mutex_unlock(&p->lock);
        return;
    }
    if (p->queued_count >= p->idle_count && p->thread_count < p->thread_max)
        start_thread(p);
    if (p->thread_count == 0) {
        run_job(p, fn, arg);
    } else {
        job = mem_new(struct job);
        job->fn = fn;
        job->arg = arg;
        *p->last = job;
        p->last = &job->next;
        p->queued_count++;
        pthread_cond_signal(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
}

int pool_wait(struct pool *p, struct error *err)
{
    int code;

    pthread_mutex_lock(&p->lock);
    while (p->queued_count > 0 || p->running_count > 0)
        pthread_cond_wait(&p->quiet, &p->lock);
    code = p->failure.code;
    if (code != 0)
        *err = p->failure;
    error_clear(&p->failure);
    pthread_mutex_unlock(&p->lock);
    return -code;
}

void pool_cancel(struct pool *p)
{
    struct error cancelled = {0};

    error_set(&cancelled, ECANCELED, "cancelled");
    pthread_mutex_lock(&p->lock);
    fail(p, &cancelled);
    tell_if_quiet(p);
    pthread_mutex_unlock(&p->lock);
}

void pool_free(struct pool *p)
{
    int saved = errno;

    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    drop_queued(p);
    p->is_stopping = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->thread_count; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->quiet);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
    errno = saved;
}

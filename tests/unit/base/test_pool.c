/* test_pool.c - jobs run, failures stop what follows, nothing outlives the pool. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/pool.h"
#include "tests/lib/test.h"

struct gate {
    sem_t entered;
    sem_t open;
    atomic_int ran;
    int result;
    struct pool *pool;
};

static void gate_init(struct gate *g, struct pool *p)
{
    memset(g, 0, sizeof(*g));
    g->pool = p;
    check_ok(sem_init(&g->entered, 0, 0));
    check_ok(sem_init(&g->open, 0, 0));
}

static int count(void *arg, struct error *err)
{
    struct gate *g = arg;

    (void)err;
    atomic_fetch_add(&g->ran, 1);
    return 0;
}

static int pass_gate(void *arg, struct error *err)
{
    struct gate *g = arg;

    sem_post(&g->entered);
    while (sem_wait(&g->open) < 0) {
        /* interrupted */
    }
    atomic_fetch_add(&g->ran, 1);
    return g->result ? error_set(err, g->result, "gate") : 0;
}

TEST(pool, every_job_runs_once)
{
    auto_pool struct pool *p = pool_new(4);
    struct gate g;

    gate_init(&g, p);
    for (int i = 0; i < 1000; i++)
        pool_submit(p, count, &g);
    check_ok(pool_wait(p, &test_err));
    check_int(g.ran, 1000);
}

TEST(pool, waiting_for_nothing_returns)
{
    auto_pool struct pool *p = pool_new(0);

    check_ok(pool_wait(p, &test_err));
    pool_free(NULL);
}

/* Both jobs are inside at the same time, or this would wait for ever. */
TEST(pool, jobs_run_at_once)
{
    auto_pool struct pool *p = pool_new(2);
    struct gate g;

    gate_init(&g, p);
    pool_submit(p, pass_gate, &g);
    pool_submit(p, pass_gate, &g);
    sem_wait(&g.entered);
    sem_wait(&g.entered);
    sem_post(&g.open);
    sem_post(&g.open);
    check_ok(pool_wait(p, &test_err));
    check_int(g.ran, 2);
}

TEST(pool, after_a_failure_queued_jobs_are_dropped)
{
    auto_pool struct pool *p = pool_new(1);
    struct error err = {0};
    struct gate g;

    gate_init(&g, p);
    g.result = ENOSPC;
    pool_submit(p, pass_gate, &g);
    sem_wait(&g.entered);
    for (int i = 0; i < 10; i++)
        pool_submit(p, count, &g);
    sem_post(&g.open);
    check_int(pool_wait(p, &err), -ENOSPC);
    check_error(&err, ENOSPC, "gate");
    check_int(g.ran, 1);
}

TEST(pool, after_waiting_for_a_failure_it_works_again)
{
    auto_pool struct pool *p = pool_new(2);
    struct error err = {0};
    struct gate g;

    gate_init(&g, p);
    g.result = EIO;
    sem_post(&g.open);
    pool_submit(p, pass_gate, &g);
    check_int(pool_wait(p, &err), -EIO);
    pool_submit(p, count, &g);
    check_ok(pool_wait(p, &err));
    check_int(g.ran, 2);
}

static int fail_silently(void *arg, struct error *err)
{
    (void)arg;
    (void)err;
    return -ENOENT;
}

TEST(pool, a_failure_without_a_sentence_is_still_one)
{
    auto_pool struct pool *p = pool_new(1);
    struct error err = {0};

    pool_submit(p, fail_silently, NULL);
    check_int(pool_wait(p, &err), -ENOENT);
    check_error(&err, ENOENT, "a background job failed");
}

TEST(pool, cancelling_drops_what_has_not_begun)
{
    auto_pool struct pool *p = pool_new(1);
    struct error err = {0};
    struct gate g;

    gate_init(&g, p);
    pool_submit(p, pass_gate, &g);
    sem_wait(&g.entered);
    pool_submit(p, count, &g);
    pool_cancel(p);
    pool_submit(p, count, &g);
    sem_post(&g.open);
    check_int(pool_wait(p, &err), -ECANCELED);
    check_int(g.ran, 1);
}

TEST(pool, freeing_waits_for_what_runs)
{
    struct pool *p = pool_new(1);
    struct gate g;

    gate_init(&g, p);
    pool_submit(p, pass_gate, &g);
    sem_wait(&g.entered);
    pool_submit(p, count, &g);
    sem_post(&g.open);
    pool_free(p);
    check_true(g.ran == 1 || g.ran == 2);
}

static int submit_more(void *arg, struct error *err)
{
    struct gate *g = arg;

    if (atomic_fetch_add(&g->ran, 1) < 9)
        pool_submit(g->pool, submit_more, g);
    (void)err;
    return 0;
}

TEST(pool, waiting_includes_jobs_that_jobs_submit)
{
    auto_pool struct pool *p = pool_new(2);
    struct gate g;

    gate_init(&g, p);
    pool_submit(p, submit_more, &g);
    check_ok(pool_wait(p, &test_err));
    check_int(g.ran, 10);
}

static int look_at_mask(void *arg, struct error *err)
{
    struct gate *g = arg;
    sigset_t mask;

    (void)err;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    g->ran = sigismember(&mask, SIGINT) + sigismember(&mask, SIGCHLD) + sigismember(&mask, SIGALRM);
    return 0;
}

TEST(pool, workers_block_signals_and_the_caller_does_not)
{
    auto_pool struct pool *p = pool_new(1);
    struct gate g;
    sigset_t mask;

    gate_init(&g, p);
    pool_submit(p, look_at_mask, &g);
    check_ok(pool_wait(p, &test_err));
    check_int(g.ran, 3);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    check_int(sigismember(&mask, SIGINT), 0);
}

static void *do_nothing(void *arg)
{
    return arg;
}

/* setrlimit(2), RLIMIT_NPROC: root is not bound by it, so the child is somebody else. */
static int run_without_threads(void)
{
    struct rlimit none = {0, 0};
    auto_pool struct pool *p = pool_new(4);
    struct error err = {0};
    struct gate g;
    pthread_t probe;

    if (geteuid() == 0 && setresuid(54321, 54321, 54321) < 0)
        return 77;
    if (setrlimit(RLIMIT_NPROC, &none) < 0)
        return 77;
    if (pthread_create(&probe, NULL, do_nothing, NULL) == 0)
        return 77;
    memset(&g, 0, sizeof(g));
    for (int i = 0; i < 3; i++)
        pool_submit(p, count, &g);
    return pool_wait(p, &err) == 0 && g.ran == 3 ? 0 : 1;
}

TEST(pool, jobs_run_even_when_no_thread_can_be_started)
{
    int status;
    pid_t child = fork();

    check_ok(child);
    if (child == 0)
        _exit(run_without_threads());
    check_int(waitpid(child, &status, 0), child);
    check_true(WIFEXITED(status));
    test_need("nproc", WEXITSTATUS(status) != 77, "the limit of threads does not bind");
    check_int(WEXITSTATUS(status), 0);
}

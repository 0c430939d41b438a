/* test_serve_sched.c - when a serving thread goes idle, whom it follows, and when it comes back.
 *
 * Each claim runs in a thread of its own, for a thread that has become SCHED_IDLE stays it.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/serve_sched.h"
#include "tests/lib/test.h"

#define HOLD_NS UINT64_C(50000000) /* back to the normal class for 50 ms to 2 s */

static void in_thread(void *(*fn)(void *), void *context)
{
    pthread_t thread;

    check_int(pthread_create(&thread, NULL, fn, context), 0);
    check_int(pthread_join(thread, NULL), 0);
}

/* Failed checks jump to the main thread's test, so threads only take notes. */
struct notes {
    bool is_change; /* what the last tick said */
    bool is_off;
    int policy;
    int cpu_count;
    bool is_own_cpu;
    uint64_t hold_ns; /* the next one */
    uint64_t tick_count;
};

static void note(struct notes *n, const struct serve_sched *s)
{
    cpu_set_t set;

    n->is_off = s->off;
    n->policy = sched_getscheduler(0);
    n->cpu_count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
    n->is_own_cpu = s->cpu >= 0 && CPU_ISSET((size_t)s->cpu, &set);
}

static void *switched_off(void *context)
{
    struct notes *n = context;
    struct serve_sched s;

    serve_sched_init(&s, true);
    serve_sched_enter(&s, SERVE_PLAIN);
    for (int i = 0; i < 1000; i++)
        n->is_change |= serve_sched_tick(&s, getpid());
    note(n, &s);
    serve_sched_release(&s);
    return NULL;
}

TEST(serve_sched, switched_off_it_stays_plain)
{
    struct notes n = {0};

    in_thread(switched_off, &n);
    check_false(n.is_change);
    check_int(n.policy, SCHED_OTHER);
}

static void *wait_for_calm(void *context)
{
    struct notes *n = context;
    struct serve_sched s;

    serve_sched_init(&s, false);
    serve_sched_enter(&s, SERVE_PLAIN);
    while (!s.off && !serve_sched_tick(&s, getpid()))
        n->tick_count++;
    note(n, &s);
    serve_sched_release(&s);
    return NULL;
}

/* A thread that does not wait for its CPU is not where its clients are. */
TEST(serve_sched, a_plain_lane_that_never_waits_hands_over)
{
    struct notes n = {0};

    in_thread(wait_for_calm, &n);
    test_need("schedstat", !n.is_off, "/proc/thread-self/schedstat is not readable");
    check_int(n.policy, SCHED_OTHER);
}

static void *follow_self(void *context)
{
    struct notes *n = context;
    struct serve_sched s;

    serve_sched_init(&s, false);
    serve_sched_enter(&s, SERVE_IDLE);
    n->is_change = serve_sched_tick(&s, gettid());
    note(n, &s);
    serve_sched_release(&s);
    return NULL;
}

TEST(serve_sched, the_idle_lane_keeps_to_the_cpu_of_its_client)
{
    struct notes n = {0};

    in_thread(follow_self, &n);
    test_need("schedstat", !n.is_off, "/proc/thread-self/schedstat is not readable");
    check_false(n.is_change);
    check_int(n.policy, SCHED_IDLE);
    check_int(n.cpu_count, 1);
    check_true(n.is_own_cpu);
}

static void *follow_nobody(void *context)
{
    struct notes *n = context;
    struct serve_sched s;

    serve_sched_init(&s, false);
    serve_sched_enter(&s, SERVE_IDLE);
    while (!s.off && !(n->is_change = serve_sched_tick(&s, 0x3fffffff))) /* nobody's number */
        n->tick_count++;
    n->hold_ns = s.hold_ns;
    note(n, &s);
    serve_sched_release(&s);
    return NULL;
}

/* Another pid namespace, or hidepid: following is impossible, and waiting elsewhere is worse. */
TEST(serve_sched, a_client_that_cannot_be_seen_ends_the_idle_lane)
{
    struct notes n = {0};

    in_thread(follow_nobody, &n);
    test_need("schedstat", !n.is_off, "/proc/thread-self/schedstat is not readable");
    check_true(n.is_change);
    check_true(n.tick_count > 0); /* one that is gone already is no reason */
    check_int(n.hold_ns, 2 * HOLD_NS);
}

static void *come_back(void *context)
{
    struct notes *n = context;
    struct serve_sched s;
    uint64_t held_till_ns;

    serve_sched_init(&s, false);
    serve_sched_enter(&s, SERVE_IDLE);
    while (!s.off && !serve_sched_tick(&s, 0x3fffffff))
        continue;
    held_till_ns = s.held_till_ns;
    serve_sched_enter(&s, SERVE_PLAIN);
    while (!s.off && !serve_sched_tick(&s, getpid()))
        n->tick_count++;
    n->is_change = io_ticks_ns() >= held_till_ns;
    serve_sched_enter(&s, SERVE_IDLE);
    while (!s.off && !serve_sched_tick(&s, 0x3fffffff))
        continue;
    n->hold_ns = s.hold_ns;
    note(n, &s);
    serve_sched_release(&s);
    return NULL;
}

TEST(serve_sched, the_next_attempt_waits_for_the_hold_which_doubles)
{
    struct notes n = {0};

    in_thread(come_back, &n);
    test_need("schedstat", !n.is_off, "/proc/thread-self/schedstat is not readable");
    check_true(n.is_change);
    check_int(n.hold_ns, 4 * HOLD_NS);
}

/* What /proc/loadavg says while the plain lane is held. */
struct load {
    const char *text;
    uint64_t hold_ns;
    struct notes notes;
};

static void *hold_on(void *context)
{
    struct load *l = context;
    struct serve_sched s;

    serve_sched_init(&s, false);
    s.load_fd = memfd_create("loadavg", MFD_CLOEXEC);
    (void)!write(s.load_fd, l->text, strlen(l->text));
    serve_sched_enter(&s, SERVE_PLAIN);
    s.held_till_ns = io_ticks_ns() + l->hold_ns;
    while (!s.off && !serve_sched_tick(&s, getpid()))
        continue;
    l->notes.is_change = io_ticks_ns() < s.held_till_ns;
    note(&l->notes, &s);
    serve_sched_release(&s);
    return NULL;
}

/* proc_loadavg(5): the fourth field is runnable tasks, a slash, all tasks. */
TEST(serve_sched, the_hold_ends_when_nobody_else_wants_a_cpu)
{
    struct load l = {.text = "6.00 7.79 5.97 1/152 1899\n", .hold_ns = 600 * HOLD_NS};

    in_thread(hold_on, &l);
    test_need("schedstat", !l.notes.is_off, "/proc/thread-self/schedstat is not readable");
    check_true(l.notes.is_change);
}

TEST(serve_sched, the_hold_lasts_while_somebody_else_does)
{
    static const char *const others[] = {"0.00 0.00 0.00 2/152 1899\n", "0.00 1/1 0.00\n", ""};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct load l = {.text = others[i], .hold_ns = HOLD_NS};

        in_thread(hold_on, &l);
        test_need("schedstat", !l.notes.is_off, "/proc/thread-self/schedstat is not readable");
        check_false(l.notes.is_change);
    }
}

static atomic_bool is_done;

static void *burn(void *context)
{
    cpu_set_t set;

    (void)context;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
    while (!atomic_load(&is_done))
        continue;
    return NULL;
}

static void *starve(void *context)
{
    struct notes *n = context;
    struct serve_sched s;
    cpu_set_t set;

    serve_sched_init(&s, false);
    serve_sched_enter(&s, SERVE_IDLE);
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
    /* Requests that are nobody's: where the client is does not matter here. */
    while (!s.off && !(n->is_change = serve_sched_tick(&s, 0)))
        n->tick_count++;
    note(n, &s);
    serve_sched_release(&s);
    return NULL;
}

/* Measured: a static SCHED_IDLE thread starves 20 to 100 times under load. */
TEST(serve_sched, a_busy_cpu_ends_the_idle_lane)
{
    struct notes n = {0};
    pthread_t hog;

    atomic_store(&is_done, false);
    check_int(pthread_create(&hog, NULL, burn, NULL), 0);
    in_thread(starve, &n);
    atomic_store(&is_done, true);
    check_int(pthread_join(hog, NULL), 0);
    test_need("schedstat", !n.is_off, "/proc/thread-self/schedstat is not readable");
    check_true(n.is_change);
}

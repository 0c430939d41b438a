/* serve_sched.h - on which CPU and in which class a thread serves its clients' requests.
 *
 * A request served on the CPU of the task that made it costs a third to a sixth of one that wakes
 * another, idle CPU. A serving thread in SCHED_IDLE, kept on its client's CPU, gets that: the client
 * preempts it at once, and when the client waits, the thread is there and still runnable. But where
 * somebody else wants that CPU, such a thread starves. So this watches how long requests are late
 * while the thread waits for a CPU (/proc/thread-self/schedstat), and tells when to change. Having
 * starved, the plain lane is held for 50 ms to 2 s, but no longer than somebody else wants a CPU.
 *
 * An ordinary user may enter SCHED_IDLE but never leave it (sched(7), RLIMIT_NICE). Hence two
 * lanes, each a thread of its own, only one of which serves at a time; this decides, mount.c hands
 * over. Without /proc, or when the client is not visible there, service stays in the plain lane.
 * Guarded by the lock of the connection.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum serve_lane {
    SERVE_PLAIN, /* SCHED_OTHER, on any CPU */
    SERVE_IDLE,  /* SCHED_IDLE, on the CPU of the client */
};

struct serve_sched {
    bool off;              /* never leave the plain lane */
    enum serve_lane lane;  /* the one that serves */
    int stat_fd;           /* schedstat of the serving thread, or -1 */
    int load_fd;           /* /proc/loadavg, or -1 */
    int cpu;               /* where the idle lane is kept, or -1 */
    unsigned count;        /* requests in this lane */
    unsigned blind_count;  /* of those, while nobody could be followed */
    unsigned alone_count;  /* looks, the last ones in a row, at which nobody else wanted a CPU */
    bool is_blind;         /* why the idle lane was left last: nobody could be followed */
    uint64_t entered_ns;   /* monotonic time, as all below: when this lane took over */
    uint64_t seen_ns;      /* last request */
    uint64_t looked_ns;    /* last look at the delay */
    uint64_t delay_ns;     /* not a time: what the thread had waited for a CPU by then */
    uint64_t period_ns;    /* start of the period in which late service is added up */
    uint64_t starved_ns;   /* not a time: that sum */
    uint64_t hold_ns;      /* not a time: how long to stay plain after the next starving */
    uint64_t held_till_ns; /* end of the current hold, unless nobody else is left before */
};

void serve_sched_init(struct serve_sched *s, bool off);
void serve_sched_release(struct serve_sched *s);
/* The calling thread serves in `lane` from now on. */
void serve_sched_enter(struct serve_sched *s, enum serve_lane lane);
/* The idle lane starves, as somebody else could see: stay plain for a while. */
void serve_sched_starved(struct serve_sched *s);
/* After each request of task `client` (0: nobody's). True when the other lane shall serve. */
bool serve_sched_tick(struct serve_sched *s, pid_t client);

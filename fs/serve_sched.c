/* serve_sched.c - watches the run delay of the serving thread; see the header for why. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/cleanup.h"
#include "fs/base/io.h"
#include "fs/serve_sched.h"

#include "fs/base/banned.h"

#define NS_PER_MS UINT64_C(1000000)
#define LOOK_PLAIN 64u          /* requests between two looks */
#define LOOK_IDLE 16u           /* so that little harmless waiting is behind a late request */
#define FOLLOW 64u              /* requests between two looks at the client's CPU */
#define LOOK_FIRST 2u           /* a short step shall not spend itself on the slow way */
#define BLIND_MAX 8u            /* requests whose clients are not visible, before giving up */
#define LATE_NS (1 * NS_PER_MS) /* a request that comes later than this may have waited */
#define PERIOD_NS (32 * NS_PER_MS)
#define CALM_PART 16u   /* waited for less than 1/16 of the time: go idle */
#define STARVED_PART 6u /* late for more than 1/6 of the period: go plain */
#define HOLD_MIN_NS (50 * NS_PER_MS)
#define HOLD_MAX_NS (2000 * NS_PER_MS)
#define ALONE_MIN 8u      /* looks at which nobody else wanted a CPU: no reason to hold on */
#define STAT_CPU_FIELD 39 /* proc(5), /proc/pid/stat: "processor" */

void serve_sched_init(struct serve_sched *s, bool off)
{
    *s = (struct serve_sched){
        .off = off, .stat_fd = -1, .load_fd = -1, .cpu = -1, .hold_ns = HOLD_MIN_NS};
}

void serve_sched_release(struct serve_sched *s)
{
    cleanup_close_fd(&s->stat_fd);
    cleanup_close_fd(&s->load_fd);
}

/* The second number: nanoseconds spent runnable but not running. */
static bool read_delay(int fd, uint64_t *delay_ns)
{
    char text[96];
    ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
    char *end;

    if (size <= 0)
        return false;
    text[size] = '\0';
    (void)strtoull(text, &end, 10);
    if (*end != ' ')
        return false;
    *delay_ns = strtoull(end, NULL, 10);
    return true;
}

/* Does nobody but this thread want a CPU? The fourth field of /proc/loadavg begins with the number of
 * runnable tasks, and the client waits for this one. */
static bool is_alone(int fd)
{
    char text[96];
    ssize_t size = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
    char *at = text;

    if (size <= 0)
        return false;
    text[size] = '\0';
    for (int field = 1; at && field < 4; field++)
        at = strchr(at + 1, ' ');
    return at && strtoul(at, NULL, 10) <= 1;
}

/* The CPU a task ran on last, or -1 when it is not visible. */
static int cpu_of(pid_t pid)
{
    char text[1024];
    auto_close int fd = -1;
    ssize_t size;
    char *at;

    (void)snprintf(text, sizeof(text), "/proc/%d/stat", pid);
    fd = open(text, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size = read(fd, text, sizeof(text) - 1);
    if (size <= 0)
        return -1;
    text[size] = '\0';
    at = strrchr(text, ')'); /* the second field, a name that may hold spaces, ends here */
    for (int field = 2; at && field < STAT_CPU_FIELD; field++)
        at = strchr(at + 1, ' ');
    return at ? (int)strtol(at + 1, NULL, 10) : -1;
}

/* False when the client is not visible, its CPU not known or not ours to use. */
static bool follow(struct serve_sched *s, pid_t client)
{
    int cpu = cpu_of(client);
    cpu_set_t set;

    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return false;
    if (cpu == s->cpu)
        return true;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        return false;
    s->cpu = cpu;
    return true;
}

void serve_sched_enter(struct serve_sched *s, enum serve_lane lane)
{
    static const struct sched_param none = {0};

    s->lane = lane;
    s->cpu = -1;
    s->count = 0;
    s->blind_count = 0;
    s->alone_count = 0;
    if (s->off)
        return;
    cleanup_close_fd(&s->stat_fd);
    if (s->load_fd < 0) /* without it, holds last their time */
        s->load_fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    s->stat_fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (s->stat_fd < 0 || !read_delay(s->stat_fd, &s->delay_ns) ||
        (lane == SERVE_IDLE && sched_setscheduler(0, SCHED_IDLE, &none) < 0)) {
        s->off = true;
        return;
    }
    s->entered_ns = io_ticks_ns();
    s->seen_ns = s->entered_ns;
    s->looked_ns = s->entered_ns;
    s->period_ns = s->entered_ns;
    s->starved_ns = 0;
}

/* What the thread waited for a CPU since the last look. */
static uint64_t look(struct serve_sched *s, uint64_t now_ns)
{
    uint64_t before_ns = s->delay_ns;

    /* It was readable before, so it is; a failure looks like no delay. */
    (void)read_delay(s->stat_fd, &s->delay_ns);
    s->looked_ns = now_ns;
    return s->delay_ns - before_ns;
}

/* The hold is for those who starved this thread. It ends before its time when they are gone, as after
 * a parallel compile: what follows is often single programs that work on many files. */
static bool is_held(struct serve_sched *s, uint64_t now_ns)
{
    if (now_ns >= s->held_till_ns)
        return false;
    s->alone_count = is_alone(s->load_fd) ? s->alone_count + 1 : 0;
    return s->is_blind || s->alone_count < ALONE_MIN;
}

/* Hardly ever waiting means that another, idle CPU is woken for every request. */
static bool tick_plain(struct serve_sched *s)
{
    bool is_calm;
    uint64_t wall_ns;
    uint64_t now_ns;

    if (s->count % LOOK_PLAIN != LOOK_FIRST)
        return false;
    now_ns = io_ticks_ns();
    wall_ns = now_ns - s->looked_ns;
    is_calm = look(s, now_ns) * CALM_PART < wall_ns;
    return !is_held(s, now_ns) && is_calm;
}

/* The client runs on this thread's CPU, so waiting as such is how it should be. It is harmful when
 * a request was late and the thread was waiting for most of that time. A client that computes that
 * long between two requests looks the same, but it does not care who serves it then. */
static bool is_starved(struct serve_sched *s, uint64_t now_ns)
{
    uint64_t gap_ns = now_ns - s->seen_ns;
    uint64_t wall_ns = now_ns - s->period_ns;
    uint64_t waited_ns;

    if (gap_ns > LATE_NS) {
        waited_ns = look(s, now_ns);
        if (waited_ns > gap_ns / 2)
            s->starved_ns += waited_ns < gap_ns ? waited_ns : gap_ns;
        if (s->starved_ns * STARVED_PART > (wall_ns > PERIOD_NS ? wall_ns : PERIOD_NS))
            return true;
    } else if (s->count % LOOK_IDLE == 0) {
        (void)look(s, now_ns);
    }
    if (wall_ns > PERIOD_NS) {
        s->period_ns = now_ns;
        s->starved_ns = 0;
    }
    return false;
}

void serve_sched_starved(struct serve_sched *s)
{
    uint64_t now_ns = io_ticks_ns();

    /* Starving that comes back soon makes the next attempt later. */
    if (now_ns - s->entered_ns > 8 * s->hold_ns)
        s->hold_ns = HOLD_MIN_NS;
    s->held_till_ns = now_ns + s->hold_ns;
    s->hold_ns = s->hold_ns < HOLD_MAX_NS / 2 ? 2 * s->hold_ns : HOLD_MAX_NS;
}

static bool tick_idle(struct serve_sched *s, pid_t client)
{
    uint64_t now_ns = io_ticks_ns();
    bool leave = is_starved(s, now_ns);

    s->seen_ns = now_ns;
    /* A client may be gone by now; that none can be seen is another thing. */
    if (!leave && client > 0 && (s->cpu < 0 || s->count % FOLLOW == 0))
        leave = !follow(s, client) && s->cpu < 0 && ++s->blind_count == BLIND_MAX;
    s->is_blind = s->blind_count == BLIND_MAX;
    if (leave)
        serve_sched_starved(s);
    return leave;
}

bool serve_sched_tick(struct serve_sched *s, pid_t client)
{
    if (s->off)
        return false;
    s->count++;
    return s->lane == SERVE_PLAIN ? tick_plain(s) : tick_idle(s, client);
}

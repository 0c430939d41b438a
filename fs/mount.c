/* mount.c - the loop that takes requests from the kernel, its threads and its end.
 *
 * Two lanes, a thread each: the plain one, and the idle one, which is started when it is first
 * needed. `turn` says whose it is to serve; serve_sched.c decides. A starving thread cannot help
 * itself, so while the idle lane serves, the plain one watches and takes its turn back if a request
 * waits for nothing. Not for what a request means: see fuse_ops.c.
 */
#define FUSE_USE_VERSION 314 /* of libfuse's interface */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fuse_lowlevel.h>

#include "fs/base/log.h"
#include "fs/fuse_internal.h"
#include "fs/mount.h"
#include "fs/serve_confine.h"
#include "fs/serve_sched.h"
#include "fs/view.h"

#include "fs/base/banned.h"

#define LANE_COUNT 2
#define WATCH_MS 4 /* how long a request may wait without any being answered */

struct mount_lane {
    struct mount *mount;
    enum serve_lane lane;
    struct fuse_buffers buffers;
    int turn_fd; /* eventfd; readable: look at `turn` and `is_over` */
    pthread_t thread;
    atomic_bool is_started; /* thread is set */
};

struct mount {
    struct fuse_face face;
    struct fuse_session *session; /* owns the descriptor */
    int fd;
    int stop_fd;             /* eventfd; readable: stop serving, for a thread that waits */
    int end_fd;              /* /dev/null, which takes the descriptor's place in the end */
    atomic_bool is_stopping; /* as stop_fd, for a thread that is busy */

    struct serve_sched sched;  /* guarded by face.lock */
    _Atomic uint64_t answered; /* requests so far */
    atomic_uint turn;          /* even: the plain lane's, odd: the idle lane's */
    atomic_bool is_over;       /* nobody's any more */
    struct mount_lane lanes[LANE_COUNT];
};

void mount_option_text(int fuse_fd, const struct mount_options *options, char *text, size_t size)
{
    (void)options; /* all that differs is agreed on with the kernel later, in INIT */
    (void)snprintf(text, size,
                   "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
                   fuse_fd);
}

/* False when serving has to end. */
static bool wait_for_request(const struct mount *m)
{
    struct pollfd fds[2] = {
        {.fd = m->fd, .events = POLLIN},
        {.fd = m->stop_fd, .events = POLLIN},
    };

    if (poll(fds, 2, -1) < 0)
        return errno == EINTR;
    return fds[1].revents == 0;
}

static bool has_turn(const struct mount_lane *lane)
{
    return atomic_load(&lane->mount->turn) % LANE_COUNT == (unsigned)lane->lane;
}

enum received { RECEIVED_REQUEST, RECEIVED_NOTHING, RECEIVED_END };

/* Takes the next request, or nothing when it is not this lane's turn any more. */
static enum received receive(struct mount_lane *lane)
{
    struct mount *m = lane->mount;

    for (;;) {
        /* Not read(2) of the C library, which in a program with threads spends more on being a
         * cancellation point than a short read itself takes. */
        ssize_t size = syscall(SYS_read, m->fd, lane->buffers.request, FUSE_REQUEST_MAX);

        if (size > 0) {
            lane->buffers.request_size = (size_t)size;
            return RECEIVED_REQUEST;
        }
        if (size < 0 && errno == EAGAIN) {
            if (!has_turn(lane))
                return RECEIVED_NOTHING;
            if (!wait_for_request(m))
                return RECEIVED_END;
            continue;
        }
        /* ENOENT: the request was taken back before it was read. */
        if (size < 0 && (errno == EINTR || errno == ENOENT))
            continue;
        /* ENODEV is the unmount; ECONNABORTED an abort through fusectl. */
        if (size < 0 && errno != ENODEV && errno != ECONNABORTED)
            log_warn("cannot take requests for '%s': %s, ending its service",
                     view_label(m->face.view), strerror(errno));
        return RECEIVED_END;
    }
}

/* Answers the request in the face. False when there was no sense in it. */
static bool answer(struct mount *m)
{
    struct fuse_face *f = &m->face;
    uint32_t opcode;

    if (!fuse_shim_is_sound(f)) {
        log_warn("malformed request for '%s', ending its service", view_label(f->view));
        return false;
    }
    opcode = fuse_face_header(f)->opcode;
    if (opcode < FUSE_OPCODE_COUNT)
        atomic_fetch_add_explicit(&f->counts[opcode], 1, memory_order_relaxed);
    f->at->reply_size = 0;
    f->at->reply_ino = 0;
    if (!fuse_shim_answer(f))
        fuse_ops_serve(f, m->session);
    atomic_fetch_add_explicit(&m->answered, 1, memory_order_relaxed);
    return true;
}

static void signal_fd(int fd)
{
    uint64_t one = 1;

    (void)!write(fd, &one, sizeof(one)); /* cannot fail: the counter is far from full */
}

static bool lane_start(struct mount_lane *lane);

/* Gives the turn to the other lane; the lock is held. */
static void lane_yield(struct mount_lane *lane)
{
    struct mount *m = lane->mount;
    struct mount_lane *other = &m->lanes[lane->lane == SERVE_PLAIN ? SERVE_IDLE : SERVE_PLAIN];

    if (!atomic_load(&other->is_started) && !lane_start(other)) {
        m->sched.off = true; /* no thread to be had: this one goes on as it is */
        return;
    }
    atomic_fetch_add(&m->turn, 1);
    signal_fd(other->turn_fd);
}

/* Sends what `answer` left to send. */
static void deliver(struct mount_lane *lane)
{
    struct fuse_face *f = &lane->mount->face;
    const struct fuse_buffers *b = &lane->buffers;

    if (fuse_shim_send(b, lane->mount->fd) || b->reply_ino == 0)
        return;
    (void)pthread_mutex_lock(&f->lock);
    union_forget(f->view, b->reply_ino, 1);
    (void)pthread_mutex_unlock(&f->lock);
}

/* Serves for one turn. A request that was taken is answered in any case. False at the end. */
static bool serve(struct mount_lane *lane)
{
    struct mount *m = lane->mount;
    unsigned turn = atomic_load(&m->turn);
    bool is_sound = true;

    (void)pthread_mutex_lock(&m->face.lock);
    serve_sched_enter(&m->sched, lane->lane);
    (void)pthread_mutex_unlock(&m->face.lock);
    while (is_sound && atomic_load(&m->turn) == turn) {
        enum received received = RECEIVED_END;

        if (!atomic_load_explicit(&m->is_stopping, memory_order_relaxed))
            received = receive(lane);
        if (received != RECEIVED_REQUEST)
            return received == RECEIVED_NOTHING;
        (void)pthread_mutex_lock(&m->face.lock);
        m->face.at = &lane->buffers;
        is_sound = answer(m);
        if (is_sound && atomic_load(&m->turn) == turn &&
            serve_sched_tick(&m->sched, (pid_t)fuse_face_header(&m->face)->pid))
            lane_yield(lane);
        (void)pthread_mutex_unlock(&m->face.lock);
        if (is_sound)
            deliver(lane);
    }
    return is_sound;
}

/* Waits until there is a reason to look whose turn it is, and no longer than that time. True when
 * there is a request for somebody, if that is a reason. */
static bool wait_for_turn(const struct mount_lane *lane, int timeout_ms, bool or_request)
{
    struct pollfd fds[2] = {
        {.fd = lane->turn_fd, .events = POLLIN},
        {.fd = or_request ? lane->mount->fd : -1, .events = POLLIN},
    };
    uint64_t count;

    if (poll(fds, 2, timeout_ms) <= 0)
        return false;
    if (fds[0].revents != 0)
        (void)!read(lane->turn_fd, &count, sizeof(count)); /* says nothing more */
    return fds[1].revents != 0;
}

/* A lane that starves on a busy CPU is let on the others. */
static void lane_hurry(struct mount_lane *lane)
{
    cpu_set_t all;

    if (!atomic_load(&lane->is_started))
        return;
    memset(&all, 0xff, sizeof(all));
    (void)pthread_setaffinity_np(lane->thread, sizeof(all), &all);
}

/* One look of the plain lane at the idle one: does a request wait while none is answered? */
static void watch(struct mount_lane *plain)
{
    struct mount *m = plain->mount;
    struct mount_lane *idle = &m->lanes[SERVE_IDLE];
    uint64_t answered;
    unsigned turn;

    if (!wait_for_turn(plain, -1, true))
        return;
    turn = atomic_load(&m->turn);
    answered = atomic_load(&m->answered);
    (void)wait_for_turn(plain, WATCH_MS, false);
    if (atomic_load(&m->answered) != answered || !wait_for_turn(plain, 0, true))
        return;
    lane_hurry(idle); /* it may hold the lock */
    (void)pthread_mutex_lock(&m->face.lock);
    if (!has_turn(plain) && atomic_load(&m->turn) == turn) {
        serve_sched_starved(&m->sched);
        atomic_fetch_add(&m->turn, 1);
    }
    (void)pthread_mutex_unlock(&m->face.lock);
}

static void end_service(struct mount *m)
{
    /* Closes the connection, whose number stays taken: who waits for an answer, or comes later,
     * learns now that there will be none. */
    (void)dup3(m->end_fd, m->fd, O_CLOEXEC);
    atomic_store(&m->is_over, true);
    for (size_t i = 0; i < LANE_COUNT; i++)
        signal_fd(m->lanes[i].turn_fd);
}

/* A filter is the second wall, behind the checks of what a request says: without it serving goes on,
 * but not silently. */
static void confine(void)
{
    static atomic_flag is_told = ATOMIC_FLAG_INIT;
    int r = serve_confine();

    if (r < 0 && !atomic_flag_test_and_set(&is_told))
        log_warn("cannot filter the system calls of what serves files: %s, continuing without",
                 strerror(-r));
}

/* Serves whenever it is this lane's turn, until serving is over. */
static void *lane_run(void *context)
{
    struct mount_lane *lane = context;
    struct mount *m = lane->mount;

    if (lane->lane == SERVE_PLAIN) /* which starts the idle one, and hands its filter on */
        confine();
    while (!atomic_load(&m->is_over)) {
        if (has_turn(lane)) {
            if (!serve(lane))
                end_service(m);
        } else if (lane->lane == SERVE_PLAIN) {
            watch(lane);
        } else {
            (void)wait_for_turn(lane, -1, false);
        }
    }
    return NULL;
}

/* Serving threads take no signal: those belong to the main thread. */
static bool lane_start(struct mount_lane *lane)
{
    sigset_t all;
    sigset_t before;
    int r;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&lane->thread, NULL, lane_run, lane);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0) {
        (void)pthread_setname_np(lane->thread, "img-fuse");
        atomic_store(&lane->is_started, true);
    }
    return r == 0;
}

static void mount_free(struct mount *m)
{
    if (m->session)
        fuse_session_destroy(m->session); /* closes the descriptor */
    serve_sched_release(&m->sched);
    (void)pthread_mutex_destroy(&m->face.lock);
    cleanup_close_fd(&m->stop_fd);
    cleanup_close_fd(&m->end_fd);
    for (size_t i = 0; i < LANE_COUNT; i++) {
        cleanup_close_fd(&m->lanes[i].turn_fd);
        fuse_buffers_release(&m->lanes[i].buffers);
    }
    free(m);
}

static int mount_new(struct view *v, int fuse_fd, const struct mount_options *options,
                     struct mount **out, struct error *err)
{
    struct mount *m = mem_new(struct mount);
    bool has_all;
    int flags;
    int r;

    m->fd = fuse_fd;
    m->face = (struct fuse_face){.view = v, .writeback = options->writeback, .host = options->host};
    (void)pthread_mutex_init(&m->face.lock, NULL);
    serve_sched_init(&m->sched, options->plain);
    m->stop_fd = eventfd(0, EFD_CLOEXEC);
    m->end_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    has_all = m->stop_fd >= 0 && m->end_fd >= 0;
    for (size_t i = 0; i < LANE_COUNT; i++) {
        m->lanes[i] = (struct mount_lane){
            .mount = m,
            .lane = (enum serve_lane)i,
            .turn_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        };
        has_all &= m->lanes[i].turn_fd >= 0 && fuse_buffers_init(&m->lanes[i].buffers);
    }
    flags = fcntl(fuse_fd, F_GETFL);
    if (!has_all || flags < 0 || fcntl(fuse_fd, F_SETFL, flags | O_NONBLOCK) < 0)
        r = error_errno(err, "cannot serve '%s'", view_label(v));
    else
        r = fuse_ops_session(&m->face, fuse_fd, &m->session, err);
    if (r < 0) {
        mount_free(m);
        cleanup_close_fd(&fuse_fd);
        return r;
    }
    *out = m;
    return 0;
}

int mount_serve(struct view *v, int fuse_fd, const struct mount_options *options,
                struct mount **out, struct error *err)
{
    struct mount *m;
    int r = mount_new(v, fuse_fd, options, &m, err);

    if (r < 0)
        return r;
    /* Said before it is true, because the other lane may look before this thread comes to say it. */
    atomic_store(&m->lanes[SERVE_PLAIN].is_started, true);
    if (!lane_start(&m->lanes[SERVE_PLAIN])) {
        mount_free(m);
        return error_set(err, EAGAIN, "cannot start a thread to serve '%s'", view_label(v));
    }
    *out = m;
    return 0;
}

/* Waits for the end of serving. */
static void join(struct mount *m)
{
    /* The plain lane may still be starting the idle one, never the other way round. */
    (void)pthread_join(m->lanes[SERVE_PLAIN].thread, NULL);
    if (atomic_load(&m->lanes[SERVE_IDLE].is_started))
        (void)pthread_join(m->lanes[SERVE_IDLE].thread, NULL);
}

int mount_serve_here(struct view *v, int fuse_fd, const struct mount_options *options,
                     struct error *err)
{
    struct mount *m;
    int r = mount_serve(v, fuse_fd, options, &m, err);

    if (r < 0)
        return r;
    join(m);
    mount_free(m);
    return 0;
}

void mount_stop(struct mount *m)
{
    if (!m)
        return;
    atomic_store(&m->is_stopping, true);
    signal_fd(m->stop_fd);
    lane_hurry(&m->lanes[SERVE_IDLE]);
    join(m);
    mount_free(m);
}

void mount_counts(const struct mount *m, uint64_t *counts, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        counts[i] = i < FUSE_OPCODE_COUNT
                        ? atomic_load_explicit(&m->face.counts[i], memory_order_relaxed)
                        : 0;
}

const char *mount_opcode_name(unsigned opcode)
{
    static const char *const names[FUSE_OPCODE_COUNT] = {
        [FUSE_LOOKUP] = "LOOKUP",
        [FUSE_FORGET] = "FORGET",
        [FUSE_GETATTR] = "GETATTR",
        [FUSE_SETATTR] = "SETATTR",
        [FUSE_READLINK] = "READLINK",
        [FUSE_SYMLINK] = "SYMLINK",
        [FUSE_MKNOD] = "MKNOD",
        [FUSE_MKDIR] = "MKDIR",
        [FUSE_UNLINK] = "UNLINK",
        [FUSE_RMDIR] = "RMDIR",
        [FUSE_RENAME] = "RENAME",
        [FUSE_LINK] = "LINK",
        [FUSE_OPEN] = "OPEN",
        [FUSE_READ] = "READ",
        [FUSE_WRITE] = "WRITE",
        [FUSE_STATFS] = "STATFS",
        [FUSE_RELEASE] = "RELEASE",
        [FUSE_FSYNC] = "FSYNC",
        [FUSE_SETXATTR] = "SETXATTR",
        [FUSE_GETXATTR] = "GETXATTR",
        [FUSE_LISTXATTR] = "LISTXATTR",
        [FUSE_REMOVEXATTR] = "REMOVEXATTR",
        [FUSE_FLUSH] = "FLUSH",
        [FUSE_INIT] = "INIT",
        [FUSE_OPENDIR] = "OPENDIR",
        [FUSE_READDIR] = "READDIR",
        [FUSE_RELEASEDIR] = "RELEASEDIR",
        [FUSE_FSYNCDIR] = "FSYNCDIR",
        [FUSE_GETLK] = "GETLK",
        [FUSE_SETLK] = "SETLK",
        [FUSE_SETLKW] = "SETLKW",
        [FUSE_ACCESS] = "ACCESS",
        [FUSE_CREATE] = "CREATE",
        [FUSE_INTERRUPT] = "INTERRUPT",
        [FUSE_BMAP] = "BMAP",
        [FUSE_DESTROY] = "DESTROY",
        [FUSE_IOCTL] = "IOCTL",
        [FUSE_POLL] = "POLL",
        [FUSE_NOTIFY_REPLY] = "NOTIFY_REPLY",
        [FUSE_BATCH_FORGET] = "BATCH_FORGET",
        [FUSE_FALLOCATE] = "FALLOCATE",
        [FUSE_READDIRPLUS] = "READDIRPLUS",
        [FUSE_RENAME2] = "RENAME2",
        [FUSE_LSEEK] = "LSEEK",
        [FUSE_COPY_FILE_RANGE] = "COPY_FILE_RANGE",
        [FUSE_SETUPMAPPING] = "SETUPMAPPING",
        [FUSE_REMOVEMAPPING] = "REMOVEMAPPING",
        [FUSE_SYNCFS] = "SYNCFS",
        [FUSE_TMPFILE] = "TMPFILE",
        [FUSE_OPCODE_STATX] = "STATX",
    };

    return opcode < FUSE_OPCODE_COUNT ? names[opcode] : NULL;
}

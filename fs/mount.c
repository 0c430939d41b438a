/* mount.c - the loop that takes requests from the kernel, its threads and its end.
 *
 * One thread serves at a time; which of two it is, serve_sched.c decides. The second is started
 * when it is first needed. Not for what a request means: see fuse_ops.c.
 */
#define FUSE_USE_VERSION 314 /* of libfuse's interface */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <fuse_lowlevel.h>

#include "fs/base/log.h"
#include "fs/fuse_internal.h"
#include "fs/mount.h"
#include "fs/serve_sched.h"
#include "fs/view.h"

#include "fs/base/banned.h"

#define LANE_COUNT 2

struct mount_lane {
    struct mount *mount;
    enum serve_lane lane;
    sem_t turn; /* posted: this lane serves, or has to end */
    pthread_t thread;
    atomic_bool is_started; /* thread is set */
};

struct mount {
    struct fuse_face face;
    struct fuse_session *session; /* owns the descriptor */
    int fd;
    int stop_fd;             /* eventfd; readable: stop serving, for a thread that waits */
    atomic_bool is_stopping; /* the same, for one that is busy */

    struct serve_sched sched; /* of the thread that serves */
    struct mount_lane lanes[LANE_COUNT];
    atomic_bool is_over; /* no lane serves any more */
};

enum serve_end { SERVE_OVER, SERVE_OTHER_LANE };

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

/* Takes the next request into the face. False when there will be none. */
static bool receive(struct mount *m)
{
    for (;;) {
        ssize_t size = read(m->fd, m->face.request, FUSE_REQUEST_MAX);

        if (size > 0) {
            m->face.request_size = (size_t)size;
            return true;
        }
        if (size < 0 && errno == EAGAIN) {
            if (!wait_for_request(m))
                return false;
            continue;
        }
        /* ENOENT: the request was taken back before it was read. */
        if (size < 0 && (errno == EINTR || errno == ENOENT))
            continue;
        /* ENODEV is the unmount; ECONNABORTED an abort through fusectl. */
        if (size < 0 && errno != ENODEV && errno != ECONNABORTED)
            log_warn("cannot take requests for '%s': %s, ending its service",
                     view_label(m->face.view), strerror(errno));
        return false;
    }
}

static void answer(struct mount *m)
{
    struct fuse_face *f = &m->face;
    uint32_t opcode = fuse_face_header(f)->opcode;

    if (opcode < FUSE_OPCODE_COUNT)
        atomic_fetch_add_explicit(&f->counts[opcode], 1, memory_order_relaxed);
    if (!fuse_shim_answer(f, m->fd))
        fuse_ops_serve(f, m->session);
}

static enum serve_end serve(struct mount *m, enum serve_lane lane)
{
    serve_sched_enter(&m->sched, lane);
    while (!atomic_load_explicit(&m->is_stopping, memory_order_relaxed) && receive(m)) {
        if (!fuse_shim_is_sound(&m->face)) {
            log_warn("malformed request for '%s', ending its service", view_label(m->face.view));
            return SERVE_OVER;
        }
        answer(m);
        if (serve_sched_tick(&m->sched, (pid_t)fuse_face_header(&m->face)->pid))
            return SERVE_OTHER_LANE;
    }
    return SERVE_OVER;
}

static void *lane_main(void *context);

/* Serving threads take no signal: those belong to the main thread. */
static bool lane_start(struct mount_lane *lane)
{
    sigset_t all;
    sigset_t before;
    int r;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&lane->thread, NULL, lane_main, lane);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0) {
        (void)pthread_setname_np(lane->thread, "img-fuse");
        atomic_store(&lane->is_started, true);
    }
    return r == 0;
}

static struct mount_lane *lane_other(struct mount_lane *lane)
{
    return &lane->mount->lanes[lane->lane == SERVE_PLAIN ? SERVE_IDLE : SERVE_PLAIN];
}

/* Serves whenever it is this lane's turn, until serving is over. */
static void lane_run(struct mount_lane *lane)
{
    struct mount *m = lane->mount;
    struct mount_lane *other = lane_other(lane);
    enum serve_end end = SERVE_OTHER_LANE;

    while (end != SERVE_OVER) {
        while (sem_wait(&lane->turn) < 0)
            continue; /* EINTR */
        if (atomic_load(&m->is_over))
            return;
        end = serve(m, lane->lane);
        if (end == SERVE_OTHER_LANE && !atomic_load(&other->is_started) && !lane_start(other)) {
            m->sched.off = true; /* no thread to be had: this one goes on as it is */
            end = serve(m, lane->lane);
        }
        if (end == SERVE_OVER) {
            /* Closes the connection, whose number stays taken: who waits for an answer, or comes
             * later, learns now that there will be none. */
            (void)dup3(m->stop_fd, m->fd, O_CLOEXEC);
            atomic_store(&m->is_over, true);
        }
        if (atomic_load(&other->is_started))
            (void)sem_post(&other->turn);
    }
}

static void *lane_main(void *context)
{
    lane_run(context);
    return NULL;
}

static void mount_free(struct mount *m)
{
    for (size_t i = 0; i < LANE_COUNT; i++)
        (void)sem_destroy(&m->lanes[i].turn);
    if (m->session)
        fuse_session_destroy(m->session); /* closes the descriptor */
    serve_sched_release(&m->sched);
    cleanup_close_fd(&m->stop_fd);
    free(m->face.request);
    free(m->face.reply);
    free(m);
}

static int mount_new(struct view *v, int fuse_fd, const struct mount_options *options,
                     struct mount **out, struct error *err)
{
    struct mount *m = mem_new(struct mount);
    int flags;
    int r;

    m->fd = fuse_fd;
    m->face = (struct fuse_face){
        .view = v,
        .writeback = options->writeback,
        .host = options->host,
        .request = mem_alloc(FUSE_REQUEST_MAX),
        .reply = mem_alloc(FUSE_TRANSFER_MAX),
    };
    serve_sched_init(&m->sched, options->plain);
    for (size_t i = 0; i < LANE_COUNT; i++) {
        m->lanes[i].mount = m;
        m->lanes[i].lane = (enum serve_lane)i;
        (void)sem_init(&m->lanes[i].turn, 0, 0);
    }
    m->stop_fd = eventfd(0, EFD_CLOEXEC);
    flags = fcntl(fuse_fd, F_GETFL);
    if (m->stop_fd < 0 || flags < 0 || fcntl(fuse_fd, F_SETFL, flags | O_NONBLOCK) < 0)
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
    (void)sem_post(&m->lanes[SERVE_PLAIN].turn);
    if (!lane_start(&m->lanes[SERVE_PLAIN])) {
        mount_free(m);
        return error_set(err, EAGAIN, "cannot start a thread to serve '%s'", view_label(v));
    }
    *out = m;
    return 0;
}

int mount_serve_here(struct view *v, int fuse_fd, const struct mount_options *options,
                     struct error *err)
{
    struct mount *m;
    int r = mount_new(v, fuse_fd, options, &m, err);

    if (r < 0)
        return r;
    (void)sem_post(&m->lanes[SERVE_PLAIN].turn);
    atomic_store(&m->lanes[SERVE_PLAIN].is_started, true);
    lane_run(&m->lanes[SERVE_PLAIN]);
    if (atomic_load(&m->lanes[SERVE_IDLE].is_started))
        (void)pthread_join(m->lanes[SERVE_IDLE].thread, NULL);
    mount_free(m);
    return 0;
}

/* A lane that starves on a busy CPU is let on the others, so that its end need not be waited for. */
static void lane_hurry(struct mount_lane *lane)
{
    cpu_set_t all;

    if (!atomic_load(&lane->is_started))
        return;
    memset(&all, 0xff, sizeof(all));
    (void)pthread_setaffinity_np(lane->thread, sizeof(all), &all);
}

void mount_stop(struct mount *m)
{
    uint64_t one = 1;

    if (!m)
        return;
    atomic_store(&m->is_stopping, true);
    (void)!write(m->stop_fd, &one, sizeof(one)); /* cannot fail: the counter is far from full */
    lane_hurry(&m->lanes[SERVE_IDLE]);
    /* The plain lane may still be starting the idle one, never the other way round. */
    (void)pthread_join(m->lanes[SERVE_PLAIN].thread, NULL);
    if (atomic_load(&m->lanes[SERVE_IDLE].is_started))
        (void)pthread_join(m->lanes[SERVE_IDLE].thread, NULL);
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

/* mount_run.c - two processes: this one serves the view; the other makes the namespaces and the
 * mount, then becomes the command. They speak in the spawner's packets.
 *
 *     child   unshares its user namespace, says so          (OPTIONS; not for one with the power)
 *     parent  writes the id maps, answers                   (READY)
 *     child   mounts, hands over the descriptor             (STARTED)
 *     parent  serves it                                     (READY)
 *     child   becomes the command: end of the socket
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builder/mount_run.h"
#include "builder/sandbox/idmap.h"
#include "builder/sandbox/message.h"
#include "builder/sandbox/userns.h"
#include "builder/stack.h"
#include "fs/mount.h"
#include "fs/view.h"

#include "fs/base/banned.h"

/* ---- the command's side ---- */

static int say(int socket_fd, enum packet_kind kind, const int *fd)
{
    struct packet packet;

    memset(&packet, 0, sizeof(packet));
    packet.kind = kind;
    return packet_send(socket_fd, &packet, fd, fd != NULL ? 1 : 0);
}

/* Says it and waits until the parent has done its part; it knows itself why it could not. */
static void ask(int socket_fd, enum packet_kind kind, const int *fd)
{
    struct packet answer;

    if (say(socket_fd, kind, fd) < 0 || packet_receive(socket_fd, &answer, NULL, NULL) <= 0 ||
        answer.kind != PACKET_READY)
        _exit(1);
}

static int become_root_of_namespace(int socket_fd, struct error *err)
{
    if (unshare(CLONE_NEWUSER) < 0)
        return userns_refused(errno, err);
    ask(socket_fd, PACKET_OPTIONS, NULL);
    /* His groups stay: they are his right to his files. */
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return error_errno(err, "cannot become root of the user namespace");
    return unshare(CLONE_NEWNS) < 0 ? userns_powerless(errno, err) : 0;
}

static int make_namespaces(int socket_fd, struct error *err)
{
    int r = 0;

    /* Who is root already keeps his ids, unless a container took that power from him. */
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
        r = become_root_of_namespace(socket_fd, err);
    /* The command sees what the host mounts later, the host nothing of ours. */
    if (r == 0 && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        r = error_errno(err, "cannot make the mounts private");
    return r;
}

/* The device is opened here, in the user namespace that mounts, or the kernel refuses the mount. */
static int make_mount(const struct mount_run_options *options, int socket_fd, struct error *err)
{
    auto_close int fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    const struct mount_options mount_options = {0};
    unsigned long flags = MS_NOSUID | MS_NODEV | (options->writable ? 0 : MS_RDONLY);
    char text[256];

    if (fuse_fd < 0)
        return fuse_refused(errno, err);
    mount_option_text(fuse_fd, &mount_options, text, sizeof(text));
    if (mount("img", options->directory, "fuse", flags, text) < 0)
        return error_errno(err, "cannot mount on '%s'", options->directory);
    ask(socket_fd, PACKET_STARTED, &fuse_fd);
    return 0;
}

/* execvp(3) answers EACCES for a name that is nowhere, if it may not look into all of PATH. */
static bool is_somewhere(const char *name)
{
    const char *path = getenv("PATH");
    auto_free char *copy = mem_strdup(path != NULL ? path : "/bin:/usr/bin");
    char *save = NULL;
    bool found = strchr(name, '/') != NULL;

    for (char *dir = strtok_r(copy, ":", &save); dir != NULL && !found;
         dir = strtok_r(NULL, ":", &save)) {
        auto_free char *candidate = path_join(dir, name);

        found = access(candidate, F_OK) == 0;
    }
    return found;
}

static void restore_signals(const sigset_t *before)
{
    (void)signal(SIGPIPE, SIG_DFL); /* ignored by us; cannot fail for these */
    (void)signal(SIGXFSZ, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGQUIT, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, before, NULL);
}

static _Noreturn void run_command(const struct mount_run_options *options, int socket_fd,
                                  pid_t parent, const sigset_t *before)
{
    struct packet packet;
    struct error err = {0};
    int r;

    /* The signal is not sent for a parent that was gone before we asked for it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(1);
    r = make_namespaces(socket_fd, &err);
    if (r == 0)
        r = make_mount(options, socket_fd, &err);
    if (r == 0 && setenv(MOUNT_RUN_VARIABLE, options->directory, 1) < 0)
        r = error_errno(&err, "cannot set a variable");
    if (r == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of ids cleared it */
        restore_signals(before);
        execvp(options->argv[0], options->argv);
        if (errno == EACCES && !is_somewhere(options->argv[0]))
            errno = ENOENT;
        error_errno(&err, "cannot start '%s'", options->argv[0]);
    }
    packet_from_error(&packet, &err);
    (void)packet_send(socket_fd, &packet, NULL, 0); /* the parent is gone: nobody left to tell */
    _exit(1);
}

/* ---- this side ---- */

struct run {
    pid_t pid;
    int pid_fd;
    int signal_fd;
    int socket_fd;
    sigset_t before;
    struct view *view;
    struct mount *mount;
};

static void run_release(struct run *run)
{
    struct signalfd_siginfo late;

    cleanup_close_fd(&run->socket_fd);
    if (run->pid > 0) {
        (void)kill(run->pid, SIGKILL); /* ours until it is waited for */
        while (waitpid(run->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    mount_stop(run->mount);
    view_close(run->view);
    cleanup_close_fd(&run->pid_fd);
    /* What came too late must not end us now. */
    while (run->signal_fd >= 0 && read(run->signal_fd, &late, sizeof(late)) == sizeof(late))
        continue;
    cleanup_close_fd(&run->signal_fd);
    (void)sigprocmask(SIG_SETMASK, &run->before, NULL);
}
DEFINE_CLEANUP_VALUE(run_release, struct run)

/* As system(3) and sudo(8) have it: ^C and ^\ of the terminal are the command's business. */
static int take_signals(struct run *run, struct error *err)
{
    sigset_t ours;

    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGQUIT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &ours, NULL) < 0)
        return error_errno(err, "cannot block signals");
    run->signal_fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    return run->signal_fd < 0 ? error_errno(err, "cannot watch for signals") : 0;
}

static int start(struct run *run, const struct mount_run_options *options, struct error *err)
{
    pid_t parent = getpid();
    int sockets[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return error_errno(err, "cannot make a socket pair");
    run->pid = fork();
    if (run->pid == 0) {
        close(sockets[0]);
        run_command(options, sockets[1], parent, &run->before);
    }
    close(sockets[1]);
    run->socket_fd = sockets[0];
    if (run->pid < 0)
        return error_errno(err, "cannot fork");
    run->pid_fd = (int)syscall(SYS_pidfd_open, run->pid, 0);
    return run->pid_fd < 0 ? error_errno(err, "cannot watch the command") : 0;
}

/* One packet of the child's; 0 at the end of the socket, which an execution is. */
static int hear(struct run *run, struct packet *packet, int *fd, struct error *err)
{
    size_t count = 1;
    int r = packet_receive(run->socket_fd, packet, fd, &count);

    if (r > 0 && packet->kind == PACKET_FAILED)
        return packet_to_error(packet, err);
    if (r < 0)
        return error_set(err, -r, "cannot hear from the command: %s", strerror(-r));
    if (r > 0 && count == 0)
        *fd = -1;
    return r;
}

/* Whether the owners of an image's files may lack an id, which makes them nobody's to open. */
static bool is_narrow(const struct id_ranges *uids, const struct id_ranges *gids)
{
    return id_ranges_total(uids) < ID_COUNT_WANTED || id_ranges_total(gids) < ID_COUNT_WANTED;
}

static int answer_maps(struct run *run, bool *squash, struct error *err)
{
    struct id_map map;
    int r;

    id_map_plan_caller(&map);
    r = id_map_write(&map, run->pid, err);
    if (r < 0 && map.way == ID_MAP_HELPER) {
        /* There are ids, but not here: in a container, or without setuid programs. */
        struct error ignored = {0};

        (void)id_map_plan(true, &map, &ignored); /* a single id needs nothing */
        if (id_map_write(&map, run->pid, &ignored) == 0) {
            error_clear(err);
            r = 0;
        }
    }
    *squash = is_narrow(&map.uids, &map.gids);
    if (r == 0 && say(run->socket_fd, PACKET_READY, NULL) < 0)
        r = error_set(err, EPIPE, "the command ended early");
    return r;
}

/* Without ids for them the kernel must see every file as the caller's; the true owners stay data. */
static int open_view(struct run *run, struct store *store, const struct stack *stack, bool writable,
                     bool squash, struct error *err)
{
    const struct view_options options = {
        .label = stack->label,
        .read_only = !writable,
        .squash = squash,
    };

    return view_open(store, stack->layers, stack->layer_count, &options, &run->view, err);
}

/* Root, but of a user namespace that somebody else made. */
static bool has_few_ids(void)
{
    struct id_ranges uids;
    struct id_ranges gids;

    return id_ranges_own(&uids, &gids) < 0 || is_narrow(&uids, &gids);
}

/* From the first packet to the execution. */
static int attend(struct run *run, struct store *store, const struct stack *stack, bool writable,
                  bool *is_unstartable, struct error *err)
{
    const struct mount_options mount_options = {0};
    bool squash = false;
    struct packet packet;
    int fd = -1;
    int r = hear(run, &packet, &fd, err);

    if (r > 0 && packet.kind == PACKET_OPTIONS) {
        r = answer_maps(run, &squash, err);
        if (r == 0)
            r = hear(run, &packet, &fd, err);
    } else if (r > 0) {
        squash = has_few_ids();
    }
    if (r == 0 || (r > 0 && (packet.kind != PACKET_STARTED || fd < 0)))
        return error_set(err, EPIPE, "the command's process ended early");
    if (r < 0)
        return r;
    r = open_view(run, store, stack, writable, squash, err);
    if (r < 0) {
        close(fd);
        return r;
    }
    r = mount_serve(run->view, fd, &mount_options, &run->mount, err);
    if (r == 0 && say(run->socket_fd, PACKET_READY, NULL) < 0)
        r = error_set(err, EPIPE, "the command's process ended early");
    if (r < 0)
        return r;
    r = hear(run, &packet, &fd, err);
    *is_unstartable = r < 0;
    return r;
}

static int wait_for_end(struct run *run, struct mount_run_result *result, struct error *err)
{
    struct pollfd events[] = {{.fd = run->signal_fd, .events = POLLIN},
                              {.fd = run->pid_fd, .events = POLLIN}};
    int status;

    for (;;) {
        struct signalfd_siginfo info;

        if (poll(events, 2, -1) < 0 && errno != EINTR)
            return error_errno(err, "cannot wait for the command");
        if (events[1].revents != 0)
            break;
        if (events[0].revents == 0 || read(run->signal_fd, &info, sizeof(info)) != sizeof(info))
            continue;
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGHUP)
            (void)kill(run->pid, (int)info.ssi_signo); /* not waited for yet, so it is still his */
    }
    if (waitpid(run->pid, &status, 0) < 0)
        return error_errno(err, "cannot wait for the command");
    run->pid = 0;
    result->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return 0;
}

int mount_run(struct store *store, const struct stack *stack,
              const struct mount_run_options *options, struct mount_run_result *result,
              struct error *err)
{
    __attribute__((cleanup(cleanup_run_release))) struct run run = {
        .pid_fd = -1, .signal_fd = -1, .socket_fd = -1};
    struct error fault = {0};
    int r = sigprocmask(SIG_SETMASK, NULL, &run.before) < 0 ? error_errno(err, "no signal mask")
                                                            : take_signals(&run, err);

    if (r == 0)
        r = start(&run, options, err);
    if (r == 0)
        r = attend(&run, store, stack, options->writable, &result->is_unstartable, err);
    if (r == 0)
        r = wait_for_end(&run, result, err);
    if (run.view != NULL && view_fault(run.view, &fault) < 0) {
        *err = fault;
        return -fault.code;
    }
    return r;
}

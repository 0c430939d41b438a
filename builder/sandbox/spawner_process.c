/* spawner_process.c - the spawner's life: set up, then one step per START until img is gone. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builder/sandbox/spawner_internal.h"
#include "fs/base/io.h"

#include "fs/base/banned.h"

static struct running_step *find_step(struct spawner_state *state, pid_t pid)
{
    for (size_t i = 0; i < state->steps.count; i++)
        if (state->steps.items[i].pid == pid)
            return &state->steps.items[i];
    return NULL;
}

static void reap(struct spawner_state *state)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
        struct running_step *step = find_step(state, pid);

        if (!step) {
            (void)network_reap(state, pid); /* whoever else it was, nobody waits for it */
            continue;
        }
        if (step->slot)
            step->slot->is_busy = false;
        *step = state->steps.items[--state->steps.count];
    }
}

/* Between two steps, so that the next one finds its /dev ready. Failing costs nothing: the step
 * tries again and reports. */
static void refill(struct spawner_state *state)
{
    struct error ignored;

    error_clear(&ignored);
    if (state->kit.dev_fd < 0)
        (void)device_kit_make(state, STEP_DEFAULT_SHM_SIZE, &state->kit, &ignored);
}

/* False when img is gone. */
static bool take_order(struct spawner_state *state)
{
    struct packet packet;
    int fds[2] = {-1, -1};
    size_t count = 2;
    int r = packet_receive(SPAWNER_SOCKET, &packet, fds, &count);

    if (r <= 0)
        return false;
    if (packet.kind == PACKET_START && count == 2)
        spawner_start_step(state, fds[0], fds[1]);
    if (packet.kind == PACKET_SHARE && count == 1)
        spawner_share(state, fds[0], packet.index);
    if (packet.kind == PACKET_UNSHARE && count == 1)
        spawner_unshare(state, fds[0], packet.index);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    refill(state);
    return true;
}

/* Ends every step and the helpers, and waits until the kernel has cleared them away. */
static _Noreturn void end(struct spawner_state *state)
{
    for (size_t i = 0; i < state->steps.count; i++)
        (void)kill(state->steps.items[i].pid, SIGKILL); /* not reaped, so it is still ours */
    for (size_t i = 0; i < state->slots.count; i++)
        if (state->slots.items[i]->helper > 0)
            (void)kill(state->slots.items[i]->helper, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        continue;
    _exit(0);
}

static _Noreturn void serve(struct spawner_state *state)
{
    struct pollfd events[] = {{.fd = SPAWNER_SOCKET, .events = POLLIN},
                              {.fd = state->signal_fd, .events = POLLIN}};

    for (;;) {
        struct signalfd_siginfo info;

        if (poll(events, 2, -1) < 0 && errno != EINTR)
            end(state);
        if (events[1].revents != 0 && read(state->signal_fd, &info, sizeof(info)) == sizeof(info)) {
            if (info.ssi_signo != SIGCHLD)
                end(state);
            reap(state);
        }
        if (events[0].revents != 0 && !take_order(state))
            end(state);
    }
}

/* Answers every order with the reason why there will be no step. */
static _Noreturn void refuse(const struct packet *reason)
{
    struct packet packet;
    int fds[2] = {-1, -1};
    size_t count = 2;

    while (packet_receive(SPAWNER_SOCKET, &packet, fds, &count) > 0) {
        if (count > 0)
            (void)packet_send(fds[0], reason, NULL, 0); /* img gave up waiting: as well */
        for (size_t i = 0; i < count; i++)
            close(fds[i]);
        count = 2;
    }
    _exit(0);
}

static int prepare_process(struct spawner_state *state)
{
    sigset_t all;

    sigfillset(&all);
    if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
        return -errno;
    state->signal_fd = signalfd(-1, &all, SFD_CLOEXEC);
    if (state->signal_fd < 0 || pipe2(state->life_fds, O_CLOEXEC) < 0)
        return -errno;
    return fcntl(SPAWNER_SOCKET, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

/* Set again after every change of ids, which clears it. It fires when the *thread* that started us
 * ends, so it is used for img's main thread alone; the end of the socket tells the rest. */
static void watch_parent(const struct packet *options)
{
    if (options->watch_parent)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a valid signal: cannot fail */
}

/* All of `fd` from where it is. */
static int read_rest(int fd, struct str *out)
{
    char buffer[4096];
    ssize_t n;

    while ((n = read(fd, buffer, sizeof(buffer))) > 0)
        str_add_bytes(out, buffer, (size_t)n);
    return n < 0 ? -errno : 0;
}

/* The packet and, behind it, the volumes: in two pieces from img, in one file from ourselves. */
static int read_orders(bool again, struct packet *packet, struct str *volumes)
{
    auto_close int fd = again ? SPAWNER_ORDERS : -1;
    size_t count = 1;

    if (again && io_read_full(fd, packet, sizeof(*packet)) < 0)
        return -EPIPE;
    if (!again && packet_receive(SPAWNER_SOCKET, packet, &fd, &count) <= 0)
        return -EPIPE;
    return fd < 0 ? -EPIPE : read_rest(fd, volumes);
}

static _Noreturn void run(bool again)
{
    struct spawner_state state = {
        .kit = {-1, -1, -1}, .host_mounts_fd = -1, .life_fds = {-1, -1}, .signal_fd = -1};
    struct packet orders;
    struct packet word = {.kind = PACKET_READY};
    struct error err;
    int r;

    error_clear(&err);
    if (read_orders(again, &orders, &state.volume_bytes) < 0 || orders.kind != PACKET_OPTIONS)
        _exit(1);
    state.options = orders.options;
    watch_parent(&orders);
    r = prepare_process(&state);
    if (r < 0)
        error_set(&err, -r, "cannot prepare the spawner: %s", strerror(-r));
    else
        r = spawner_set_up(&state, &orders, &err);
    watch_parent(&orders);
    word.id_count = state.id_count;
    if (r < 0)
        packet_from_error(&word, &err);
    if (packet_send(SPAWNER_SOCKET, &word, NULL, 0) < 0)
        _exit(1);
    if (r < 0)
        refuse(&word);
    refill(&state);
    if (state.options.prepare_network) {
        struct network_slot *slot = NULL;

        /* Without a helper the step that wants it says so. */
        if (network_acquire(&state, SANDBOX_NETWORK_DEFAULT, &slot, &err) == 0)
            slot->is_busy = false;
    }
    serve(&state);
}

void spawner_main_if_asked(int argc, char **argv)
{
    bool again = argc == 2 && strcmp(argv[1], SPAWNER_AGAIN) == 0;
    int type = 0;
    socklen_t size = sizeof(type);

    if (argc < 1 || strcmp(argv[0], SPAWNER_ARGV0) != 0)
        return;
    if ((argc != 1 && !again) ||
        getsockopt(SPAWNER_SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        type != SOCK_SEQPACKET) {
        dprintf(STDERR_FILENO, "img: '%s' is not a command; img starts it by itself\n", argv[0]);
        _exit(2);
    }
    run(again);
}

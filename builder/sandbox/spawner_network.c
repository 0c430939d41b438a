/* spawner_network.c - network namespaces of steps, and slirp4netns or pasta beside them.
 *
 * The helper is started for the first step that wants a network, never before unless asked, and
 * runs as the build's container root in the host's network namespace: a third user, without access
 * to the caller's files (SECURITY R45, R66). Where root is the caller there is what the helper does
 * itself, before it reads a packet: it goes to an empty root of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builder/sandbox/mounts.h"
#include "builder/sandbox/network.h"
#include "builder/sandbox/spawner_internal.h"
#include "fs/base/io.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define SLOTS_MAX 64u /* more steps at once would be a bug: jobs are bounded by the caller */

void network_find_helpers(struct spawner_state *state)
{
    if (state->options.network_helper != SPAWNER_HELPER_PASTA)
        state->slirp4netns = network_program(SPAWNER_HELPER_SLIRP4NETNS);
    if (state->options.network_helper != SPAWNER_HELPER_SLIRP4NETNS)
        state->pasta = network_program(SPAWNER_HELPER_PASTA);
}

/* ---- a namespace ---- */

static int bring_loopback_up(void)
{
    auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request;

    if (fd < 0)
        return -errno;
    memset(&request, 0, sizeof(request));
    memcpy(request.ifr_name, "lo", 3);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

/* Lets every id of the step ping without CAP_NET_RAW (SECURITY section 3). */
static void allow_ping(uint64_t id_count)
{
    auto_close int fd = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY | O_CLOEXEC);
    auto_free char *range = str_format("0 %ju", (uintmax_t)(id_count > 0 ? id_count - 1 : 0));

    if (fd >= 0 && write(fd, range, strlen(range)) < 0)
        return; /* no ping in steps; everything else works */
}

/* In a child, which is pid 1 of a pid namespace of its own: makes the namespace and hands it over,
 * with a sysfs that belongs to it. */
static _Noreturn void make_namespace(int socket_fd, uint64_t id_count, bool is_probe)
{
    const unsigned attributes =
        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY;
    struct packet packet = {.kind = PACKET_STARTED};
    int fds[2] = {-1, -1};
    size_t count = 1;
    int proc_fd;

    if (unshare(CLONE_NEWNET) < 0)
        packet.code = errno;
    else
        packet.code = -bring_loopback_up();
    if (packet.code == 0) {
        allow_ping(id_count);
        fds[0] = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        if (fds[0] < 0)
            packet.code = errno;
    }
    if (packet.code == 0 && is_probe) {
        fds[1] = mounts_create("sysfs", NULL, 0, attributes);
        packet.status = fds[1];
        count = fds[1] < 0 ? 1 : 2;
        proc_fd = mounts_create("proc", NULL, 0, 0);
        packet.index = proc_fd < 0 ? (uint32_t)-proc_fd : 0;
    }
    _exit(packet_send(socket_fd, &packet, fds, packet.code == 0 ? count : 0) < 0);
}

static struct network_slot *add_slot(struct spawner_state *state, int netns_fd)
{
    struct network_slot *slot = mem_new(struct network_slot);

    *slot =
        (struct network_slot){.netns_fd = netns_fd, .ready_fd = -1, .said_fd = -1, .life_fd = -1};
    *array_add(&state->slots) = slot;
    return slot;
}

int network_slot_new(struct spawner_state *state, struct namespace_probe *probe, struct error *err)
{
    struct packet packet;
    int fds[2] = {-1, -1};
    size_t fd_count = 2;
    int sockets[2];
    pid_t pid;
    int r;

    if (state->slots.count >= SLOTS_MAX)
        return error_set(err, EAGAIN, "more than %u steps want a network at once", SLOTS_MAX);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return error_errno(err, "cannot make a socket pair");
    pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | (unsigned long)SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        make_namespace(sockets[1], state->id_count, probe != NULL);
    close(sockets[1]);
    r = pid < 0 ? -errno : packet_receive(sockets[0], &packet, fds, &fd_count);
    close(sockets[0]);
    if (pid > 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    if (r > 0 && packet.code != 0)
        r = -packet.code;
    if (r <= 0 || fd_count == 0) {
        errno = r < 0 ? -r : EPIPE;
        return error_errno(err, "cannot make a network namespace");
    }
    (void)add_slot(state, fds[0]);
    if (probe) {
        probe->sysfs_fd = fd_count > 1 ? fds[1] : packet.status;
        probe->proc_result = -(int)packet.index;
    }
    return 0;
}

/* ---- the helper ---- */

struct helper_fds {
    int ready_read;
    int ready_write;
    int life_read;
    int life_write;
    int said;
};

static void helper_fds_release(struct helper_fds *fds)
{
    cleanup_close_fd(&fds->ready_read);
    cleanup_close_fd(&fds->ready_write);
    cleanup_close_fd(&fds->life_read);
    cleanup_close_fd(&fds->life_write);
    cleanup_close_fd(&fds->said);
}
DEFINE_CLEANUP_VALUE(helper_fds_release, struct helper_fds)

static int open_helper_fds(struct helper_fds *fds)
{
    int ready[2];
    int life[2];

    if (pipe2(ready, O_CLOEXEC) < 0)
        return -errno;
    fds->ready_read = ready[0];
    fds->ready_write = ready[1];
    if (pipe2(life, O_CLOEXEC) < 0)
        return -errno;
    fds->life_read = life[0];
    fds->life_write = life[1];
    fds->said = memfd_create("network-helper", MFD_CLOEXEC);
    return fds->said < 0 ? -errno : 0;
}

static const char *slirp_arguments(struct strv *argv, const struct spawner_state *state,
                                   const struct helper_fds *fds, int netns_fd)
{
    strv_add(argv, "slirp4netns");
    strv_add(argv, "--configure");
    strv_add(argv, "--mtu=65520");
    strv_add(argv, "--disable-host-loopback");
    strv_add(argv, "--enable-sandbox");
    strv_add(argv, "--enable-seccomp");
    strv_add(argv, "--cidr=10.0.2.0/24");
    strv_addf(argv, "--ready-fd=%d", fds->ready_write);
    strv_addf(argv, "--exit-fd=%d", fds->life_read);
    strv_add(argv, "--netns-type=path");
    strv_addf(argv, "/proc/self/fd/%d", netns_fd);
    strv_add(argv, "tap0");
    return state->slirp4netns;
}

/* The same addresses as slirp4netns gives; nothing spliced in either direction (R45). */
static const char *pasta_arguments(struct strv *argv, const struct spawner_state *state,
                                   const struct helper_fds *fds, int netns_fd)
{
    static const char *const fixed[] = {
        "pasta",         "--foreground",
        "--stderr",      "--quiet",
        "--config-net",  "--ipv4-only",
        "--address",     NETWORK_ADDRESS,
        "--netmask",     "24",
        "--gateway",     NETWORK_GATEWAY,
        "--dns-forward", NETWORK_NAMESERVER,
        "--no-map-gw",   "--ns-ifname",
        "tap0",          "-t",
        "none",          "-u",
        "none",          "-T",
        "none",          "-U",
        "none",          "--netns-only",
    };

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        strv_add(argv, fixed[i]);
    strv_addf(argv, "--pid=/proc/self/fd/%d", fds->ready_write);
    strv_addf(argv, "--netns=/proc/self/fd/%d", netns_fd);
    return state->pasta;
}

static _Noreturn void exec_helper(const struct spawner_state *state, const char *program,
                                  char *const *argv, const struct helper_fds *fds, int netns_fd)
{
    static const char no_tun[] = "cannot open '/dev/net/tun'";
    static const char no_start[] = "cannot be started";
    char *no_environment[] = {NULL};
    const char *said = no_tun;
    sigset_t none;
    int tun;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* the life pipe says the same */
    if (setns(state->host_mounts_fd, CLONE_NEWNS) < 0)
        _exit(127);
    (void)dup2(fds->said, STDOUT_FILENO);
    (void)dup2(fds->said, STDERR_FILENO);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (tun >= 0) {
        close(tun);
        said = no_start;
        (void)fcntl(netns_fd, F_SETFD, 0);
        (void)fcntl(fds->ready_write, F_SETFD, 0);
        (void)fcntl(fds->life_read, F_SETFD, 0);
        execve(program, argv, no_environment);
    }
    dprintf(STDERR_FILENO, "%s: %s", said, strerror(errno));
    _exit(127);
}

static int start_helper(struct spawner_state *state, struct network_slot *slot, struct error *err)
{
    __attribute__((cleanup(cleanup_helper_fds_release))) struct helper_fds fds = {-1, -1, -1, -1,
                                                                                  -1};
    auto_strv struct strv argv = {0};
    const char *program;
    pid_t pid;
    int r;

    if (!state->slirp4netns && !state->pasta) {
        error_set(err, ENOENT,
                  "a step wants the network, and neither slirp4netns nor pasta is "
                  "installed");
        return error_hint(err, "install slirp4netns or passt, or build with --network=none or "
                               "--network=host");
    }
    r = open_helper_fds(&fds);
    if (r < 0)
        return error_set(err, -r, "cannot make a pipe: %s", strerror(-r));
    program = state->slirp4netns ? slirp_arguments(&argv, state, &fds, slot->netns_fd)
                                 : pasta_arguments(&argv, state, &fds, slot->netns_fd);
    pid = fork();
    if (pid == 0)
        exec_helper(state, program, strv_argv(&argv), &fds, slot->netns_fd);
    if (pid < 0)
        return error_errno(err, "cannot start '%s'", program);
    slot->helper = pid;
    slot->ready_fd = steal_fd(&fds.ready_read);
    slot->life_fd = steal_fd(&fds.life_write);
    slot->said_fd = steal_fd(&fds.said);
    return 0;
}

/* ---- the pool ---- */

static struct network_slot *find_free(struct spawner_state *state, bool is_default)
{
    struct network_slot *fresh = NULL;

    for (size_t i = 0; i < state->slots.count; i++) {
        struct network_slot *slot = state->slots.items[i];

        if (slot->is_busy)
            continue;
        if (slot->is_default == is_default)
            return slot;
        if (is_default && !fresh)
            fresh = slot; /* can be given a helper; the other way round is impossible */
    }
    return fresh;
}

int network_acquire(struct spawner_state *state, enum sandbox_network network,
                    struct network_slot **out, struct error *err)
{
    bool is_default = network == SANDBOX_NETWORK_DEFAULT;
    struct network_slot *slot = find_free(state, is_default);
    int r;

    if (!slot) {
        r = network_slot_new(state, NULL, err);
        if (r < 0)
            return r;
        slot = state->slots.items[state->slots.count - 1];
    }
    if (is_default && slot->helper == 0) {
        r = start_helper(state, slot, err);
        if (r < 0)
            return r;
        slot->is_default = true;
    }
    slot->is_busy = true;
    *out = slot;
    return 0;
}

bool network_reap(struct spawner_state *state, pid_t pid)
{
    for (size_t i = 0; i < state->slots.count; i++) {
        struct network_slot *slot = state->slots.items[i];

        if (slot->helper != pid)
            continue;
        slot->helper = 0; /* the next step that wants this slot gets a new one */
        cleanup_close_fd(&slot->ready_fd);
        cleanup_close_fd(&slot->said_fd);
        cleanup_close_fd(&slot->life_fd);
        return true;
    }
    return false;
}

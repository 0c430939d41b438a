/* sandbox.c - img's end of a step: asking for it, waiting for it, and saying what went wrong. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builder/sandbox/message.h"
#include "builder/sandbox/network.h"
#include "builder/sandbox/sandbox.h"
#include "builder/sandbox/sandbox_spec.h"
#include "builder/sandbox/spawner_client.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define DEFAULT_HOSTNAME "buildkitsandbox" /* what Dockerfiles in the wild have seen so far */

struct sandbox {
    int socket;
    int pidfd;
    int stdout_fd;
    int stderr_fd;
    int stdin_fd;
    int terminal_fd;
    int tree_fds[SANDBOX_TREES_MAX];
    int socket_fds[SANDBOX_MOUNTS_MAX];
    size_t tree_count;
    size_t mount_count;
    atomic_bool is_killed;
    bool is_done;
    /* what messages name */
    char *program;
    char *cwd;
    struct strv targets;
    struct strv limits;
    char *warning; /* or NULL */
};

/* ---- start ---- */

static char *default_hosts(const char *hostname)
{
    return str_format("127.0.0.1\tlocalhost %s\n::1\tlocalhost ip6-localhost ip6-loopback\n",
                      hostname);
}

/* The description as a sealed memfd. What is secret in it is wiped from our memory again. */
static int describe(const struct sandbox_spec *spec, struct error *err)
{
    struct sandbox_spec full = *spec;
    auto_free char *hosts = NULL;
    auto_str struct str resolv = {0};
    auto_str struct str bytes = {0};
    int fd;

    if (!full.hostname)
        full.hostname = DEFAULT_HOSTNAME;
    if (!full.hosts)
        full.hosts = hosts = default_hosts(full.hostname);
    if (!full.resolv_conf) {
        network_resolv_conf(full.network, &resolv);
        full.resolv_conf = str_text(&resolv);
    }
    if (!full.cwd)
        full.cwd = "/";
    if (full.tree_count == 0)
        full.tree_count = 1;
    spec_encode(&full, &bytes);
    if (bytes.size > SANDBOX_SPEC_SIZE_MAX)
        return error_set(err, E2BIG,
                         "the step's arguments, environment and secrets exceed %u bytes",
                         SANDBOX_SPEC_SIZE_MAX);
    fd = message_memfd("step", bytes.data, bytes.size);
    explicit_bzero(bytes.data, bytes.size);
    if (fd < 0)
        return error_set(err, -fd, "cannot describe the step: %s", strerror(-fd));
    return fd;
}

/* As --ulimit calls it. */
static const char *limit_name(int resource)
{
    static const char *const names[] = {
        [RLIMIT_CPU] = "cpu",
        [RLIMIT_FSIZE] = "fsize",
        [RLIMIT_DATA] = "data",
        [RLIMIT_STACK] = "stack",
        [RLIMIT_CORE] = "core",
        [RLIMIT_RSS] = "rss",
        [RLIMIT_NPROC] = "nproc",
        [RLIMIT_NOFILE] = "nofile",
        [RLIMIT_MEMLOCK] = "memlock",
        [RLIMIT_AS] = "as",
        [RLIMIT_LOCKS] = "locks",
        [RLIMIT_NICE] = "nice",
        [RLIMIT_SIGPENDING] = "sigpending",
        [RLIMIT_MSGQUEUE] = "msgqueue",
        [RLIMIT_RTPRIO] = "rtprio",
        [RLIMIT_RTTIME] = "rttime",
    };
    size_t count = sizeof(names) / sizeof(names[0]);

    return resource >= 0 && (size_t)resource < count ? names[resource] : "unknown";
}

static struct sandbox *sandbox_new(const struct sandbox_spec *spec)
{
    struct sandbox *box = mem_new(struct sandbox);

    box->socket = box->pidfd = box->stdout_fd = box->stderr_fd = -1;
    box->stdin_fd = box->terminal_fd = -1;
    box->tree_count = spec->tree_count ? spec->tree_count : 1;
    box->mount_count = spec->mount_count;
    for (size_t i = 0; i < SANDBOX_TREES_MAX; i++)
        box->tree_fds[i] = -1;
    for (size_t i = 0; i < SANDBOX_MOUNTS_MAX; i++)
        box->socket_fds[i] = -1;
    box->program = mem_strdup(spec->argv[0]);
    box->cwd = mem_strdup(spec->cwd ? spec->cwd : "/");
    for (size_t i = 0; i < spec->mount_count; i++)
        strv_add(&box->targets, spec->mounts[i].target);
    for (size_t i = 0; i < spec->ulimit_count; i++)
        strv_add(&box->limits, limit_name(spec->ulimits[i].resource));
    return box;
}

/* The order is that of send_started() in spawner_step.c. */
static int take_fds(struct sandbox *box, const struct sandbox_spec *spec, const int *fds,
                    size_t count)
{
    size_t next = 0;
    bool has_terminal = spec->input == SANDBOX_INPUT_TERMINAL;
    bool has_pipe = spec->input == SANDBOX_INPUT_PIPE;
    size_t wanted = (has_terminal ? 2u : 3u) + (has_pipe ? 1u : 0u) + box->tree_count;

    for (size_t i = 0; i < spec->mount_count; i++)
        wanted += spec->mounts[i].kind == SANDBOX_MOUNT_SOCKET;
    if (count != wanted) {
        for (size_t i = 0; i < count; i++)
            close(fds[i]);
        return -EPROTO;
    }
    box->pidfd = fds[next++];
    if (has_terminal) {
        box->terminal_fd = fds[next++];
    } else {
        box->stdout_fd = fds[next++];
        box->stderr_fd = fds[next++];
    }
    if (has_pipe)
        box->stdin_fd = fds[next++];
    for (size_t i = 0; i < box->tree_count; i++)
        box->tree_fds[i] = fds[next++];
    for (size_t i = 0; i < spec->mount_count; i++)
        if (spec->mounts[i].kind == SANDBOX_MOUNT_SOCKET)
            box->socket_fds[i] = fds[next++];
    return 0;
}

static int wait_for_start(struct sandbox *box, struct spawner *sp, const struct sandbox_spec *spec,
                          struct error *err)
{
    struct packet packet;
    int fds[PACKET_FDS_MAX];
    size_t count = PACKET_FDS_MAX;
    int r = packet_receive(box->socket, &packet, fds, &count);

    if (r > 0 && packet.kind == PACKET_FAILED)
        return packet_to_error(&packet, err);
    if (r > 0 && packet.kind == PACKET_STARTED) {
        box->warning = packet.text[0] ? mem_strdup(packet.text) : NULL;
        r = take_fds(box, spec, fds, count);
    } else if (r >= 0)
        r = -EPIPE;
    if (r == 0)
        return 0;
    if (spawner_wait_ready(sp, err) < 0)
        return -err->code; /* it ended while setting up */
    return error_set(err, -r, "the spawner ended unexpectedly");
}

int sandbox_start(struct spawner *sp, const struct sandbox_spec *spec, struct sandbox **out,
                  struct error *err)
{
    auto_sandbox struct sandbox *box = NULL;
    auto_close int step_end = -1;
    auto_close int spec_fd = -1;
    int sockets[2];
    int r = sandbox_spec_check(spec, err);

    if (r < 0)
        return r;
    spec_fd = describe(spec, err);
    if (spec_fd < 0)
        return spec_fd;
    box = sandbox_new(spec);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return error_errno(err, "cannot make a socket pair");
    box->socket = sockets[0];
    step_end = sockets[1];
    r = spawner_send_start(sp, step_end, spec_fd);
    if (r < 0) {
        if (spawner_wait_ready(sp, err) < 0)
            return -err->code;
        return error_set(err, EPIPE, "the spawner ended unexpectedly");
    }
    cleanup_close_fd(&step_end); /* or its end would never be seen */
    r = wait_for_start(box, sp, spec, err);
    if (r < 0)
        return r;
    *out = STEAL(&box);
    return 0;
}

int sandbox_take_tree_fd(struct sandbox *box, size_t tree)
{
    return tree < box->tree_count ? steal_fd(&box->tree_fds[tree]) : -1;
}

int sandbox_take_socket_fd(struct sandbox *box, size_t mount)
{
    return mount < box->mount_count ? steal_fd(&box->socket_fds[mount]) : -1;
}

int sandbox_take_stdout_fd(struct sandbox *box)
{
    return steal_fd(&box->stdout_fd);
}

int sandbox_take_stderr_fd(struct sandbox *box)
{
    return steal_fd(&box->stderr_fd);
}

int sandbox_take_stdin_fd(struct sandbox *box)
{
    return steal_fd(&box->stdin_fd);
}

int sandbox_take_terminal_fd(struct sandbox *box)
{
    return steal_fd(&box->terminal_fd);
}

/* ---- what went wrong ---- */

static int explain_exec(const struct sandbox *box, const struct packet *p, struct error *err)
{
    int code = p->code;
    bool is_path = strchr(box->program, '/') != NULL;

    if (p->stage == STAGE_EXEC_INTERPRETER) {
        error_set(err, ENOENT, "cannot start '%s': its interpreter or dynamic linker is missing",
                  box->program);
        return error_hint(err, "the image lacks the '#!' program or C library it was made for");
    }
    if (code == ENOENT && !is_path) {
        error_set(err, code, "cannot start '%s': no such program in PATH", box->program);
        return -code;
    }
    error_set(err, code, "cannot start '%s': %s", box->program, strerror(code));
    if (code == ENOENT && strcmp(path_base(box->program), "sh") == 0)
        return error_hint(err, "the base image has no shell; use the exec form, RUN "
                               "[\"program\", \"argument\"]");
    if (code == ENOEXEC)
        return error_hint(err, "it is a program for another architecture, which the host runs once "
                               "qemu is in binfmt_misc with flag F, or a script without '#!'");
    return -code;
}

static int explain_network(const struct packet *p, struct error *err)
{
    auto_free char *said = mem_strdup(p->text);
    char *last = said;

    /* The last line tells why; those before tell what was tried. */
    for (size_t size = strlen(said); size > 0 && said[size - 1] == '\n'; size--)
        said[size - 1] = '\0';
    if (strrchr(said, '\n'))
        last = strrchr(said, '\n') + 1;
    error_set(err, p->code, "the network helper did not start: %s",
              last[0] ? last : "it did not say why");
    if (strstr(last, "/dev/net/tun"))
        return error_hint(err, "run as root: modprobe tun; chmod 0666 /dev/net/tun; or build with "
                               "--network=none or --network=host");
    return error_hint(err, "build with --network=none or --network=host");
}

static const char *named(const struct strv *names, uint32_t index)
{
    return index < names->count ? names->items[index] : "?";
}

static int explain_root(const struct packet *p, const char *what, struct error *err)
{
    error_set(err, p->code, "cannot mount '%s' for the step: %s", what, strerror(p->code));
    if (p->code == ELOOP || p->code == ENOTDIR || p->code == EPERM)
        return error_hint(err, "the base image has something else in its place");
    return -p->code;
}

static int explain_etc(const struct packet *p, struct error *err)
{
    auto_free char *path = str_format("/%s", sandbox_etc_paths[p->index % ETC_COUNT]);

    return explain_root(p, path, err);
}

static int explain_stage(const struct sandbox *box, const struct packet *p, struct error *err)
{
    const char *cause = strerror(p->code);

    switch ((enum sandbox_stage)p->stage) {
    case STAGE_NETWORK_WAIT:
        return explain_network(p, err);
    case STAGE_NETWORK_JOIN:
        return error_set(err, p->code, "cannot enter the step's network namespace: %s", cause);
    case STAGE_HOSTNAME:
        return error_set(err, p->code, "cannot set the step's hostname: %s", cause);
    case STAGE_ROOT:
        return explain_root(p, "/", err);
    case STAGE_PROC:
        return explain_root(p, "/proc", err);
    case STAGE_DEV:
        return explain_root(p, "/dev", err);
    case STAGE_SYS:
        return explain_root(p, "/sys", err);
    case STAGE_ETC:
        return explain_etc(p, err);
    case STAGE_TREE:
        return error_set(err, p->code, "cannot mount tree %u of the step: %s", p->index, cause);
    case STAGE_TARGET:
        return error_set(err, p->code, "cannot use mount target '%s': %s",
                         named(&box->targets, p->index), cause);
    case STAGE_SOURCE:
        return error_set(err, p->code, "cannot use the source of mount '%s': %s",
                         named(&box->targets, p->index), cause);
    case STAGE_MOUNT:
        return error_set(err, p->code, "cannot mount '%s': %s", named(&box->targets, p->index),
                         cause);
    case STAGE_PIVOT:
        return error_set(err, p->code, "cannot enter the step's root: %s", cause);
    case STAGE_FORK:
        return error_set(err, p->code, "cannot start a process in the step: %s", cause);
    case STAGE_STDIO:
        return error_set(err, p->code, "cannot connect the step's input and output: %s", cause);
    case STAGE_LIMIT:
        error_set(err, p->code, "cannot set the limit '%s' of the step: %s",
                  named(&box->limits, p->index), cause);
        return p->code == EPERM ? error_hint(err, "it is above the limit img itself was started "
                                                  "with (ulimit -H)")
                                : -p->code;
    case STAGE_CWD:
        return error_set(err, p->code, "cannot enter working directory '%s': %s", box->cwd, cause);
    case STAGE_FILTER:
        return error_set(err, p->code, "cannot load the system call filter: %s", cause);
    case STAGE_IDS:
        return error_set(err, p->code, "cannot become the step's user: %s", cause);
    case STAGE_EXEC:
    case STAGE_EXEC_INTERPRETER:
        return explain_exec(box, p, err);
    case STAGE_COUNT:
        break;
    }
    return error_set(err, EPROTO, "a step failed in an unknown way");
}

/* ---- wait ---- */

int sandbox_poll_fd(const struct sandbox *box)
{
    return box->pidfd;
}

static void wait_for_end(struct sandbox *box)
{
    struct pollfd event = {.fd = box->pidfd, .events = POLLIN};

    while (!box->is_done) {
        if (poll(&event, 1, -1) > 0)
            box->is_done = true;
    }
}

int sandbox_wait(struct sandbox *box, struct sandbox_result *result, struct error *err)
{
    struct packet packet;
    int r;

    wait_for_end(box);
    /* Everybody who could send has ended, so this never blocks. The first word counts. */
    r = packet_receive(box->socket, &packet, NULL, NULL);
    if (r > 0 && packet.kind == PACKET_WARNING) {
        struct error warning;

        error_clear(&warning);
        (void)explain_network(&packet, &warning); /* the only thing that may be given up */
        free(box->warning);
        box->warning = mem_strdup(warning.text);
        r = packet_receive(box->socket, &packet, NULL, NULL);
    }
    if (r > 0 && packet.kind == PACKET_STAGE)
        return explain_stage(box, &packet, err);
    if (r > 0 && packet.kind == PACKET_EXITED) {
        bool is_signal = WIFSIGNALED(packet.status);

        result->signal = is_signal ? WTERMSIG(packet.status) : 0;
        result->status = is_signal ? 128 + result->signal : WEXITSTATUS(packet.status);
        return 0;
    }
    if (atomic_load(&box->is_killed))
        return error_set(err, ECANCELED, "the step was stopped");
    return error_set(err, EPIPE, "the step's init was killed");
}

const char *sandbox_warning(const struct sandbox *box)
{
    return box->warning ? box->warning : "";
}

void sandbox_signal(struct sandbox *box, int number)
{
    /* Init is in a user namespace we own, which gives the right; it may have ended. */
    (void)syscall(SYS_pidfd_send_signal, box->pidfd, number, NULL, 0);
}

void sandbox_kill(struct sandbox *box)
{
    atomic_store(&box->is_killed, true);
    sandbox_signal(box, SIGKILL);
}

void sandbox_free(struct sandbox *box)
{
    if (!box)
        return;
    /* An unserved tree must not keep its clients waiting. */
    for (size_t i = 0; i < box->tree_count; i++)
        cleanup_close_fd(&box->tree_fds[i]);
    if (box->pidfd >= 0 && !box->is_done) {
        sandbox_kill(box);
        wait_for_end(box);
    }
    for (size_t i = 0; i < box->mount_count; i++)
        cleanup_close_fd(&box->socket_fds[i]);
    cleanup_close_fd(&box->stdin_fd);
    cleanup_close_fd(&box->terminal_fd);
    cleanup_close_fd(&box->stdout_fd);
    cleanup_close_fd(&box->stderr_fd);
    cleanup_close_fd(&box->pidfd);
    cleanup_close_fd(&box->socket);
    free(box->program);
    free(box->cwd);
    free(box->warning);
    strv_release(&box->targets);
    strv_release(&box->limits);
    free(box);
}

/* spawner.c - img's end: starting the spawner process and waiting for its word. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builder/sandbox/spawner.h"
#include "builder/sandbox/spawner_client.h"
#include "builder/sandbox/spawner_internal.h"
#include "fs/base/io.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3; Debian 12's headers are older */
#endif

struct spawner {
    pid_t pid;
    int socket;
    pthread_mutex_t lock;
    /* guarded by lock */
    bool is_settled;    /* the spawner's word about its set-up has come */
    struct packet word; /* READY or FAILED */
};

/* ---- the executable ---- */

static int copy_to_memfd(int from)
{
    auto_close int fd = memfd_create("img", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    struct stat st;

    if (fd < 0 && errno == EINVAL) /* older than 6.3 */
        fd = memfd_create("img", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || fstat(from, &st) < 0)
        return -errno;
    for (off_t done = 0; done < st.st_size;) {
        ssize_t n = sendfile(fd, from, &done, (size_t)(st.st_size - done));

        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
    }
    if (fchmod(fd, 0555) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return -errno;
    return steal_fd(&fd);
}

/* A copy nobody can write: the file of a running step's init is reachable from inside the step as
 * /proc/1/exe (SECURITY R9, CVE-2019-5736). Where the host forbids executable memfds, the file
 * itself is run; the spawner then puts a read-only mount around it. */
static int open_executable(bool *is_sealed, struct error *err)
{
    auto_close int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int copy;

    if (exe < 0)
        return error_errno(err, "cannot open '/proc/self/exe'");
    copy = copy_to_memfd(exe);
    *is_sealed = copy >= 0;
    if (copy >= 0)
        return copy;
    if (copy == -EACCES) /* vm.memfd_noexec=2 */
        return steal_fd(&exe);
    return error_set(err, -copy, "cannot copy the img executable: %s", strerror(-copy));
}

/* The spawner gets nothing of the caller's environment but what its dynamic linker and the
 * sanitizers may need: /proc/1/environ is in every step's sight. */
static void select_environment(struct strv *out)
{
    for (char **e = environ; e && *e; e++) {
        auto_free char *name = mem_strndup(*e, strcspn(*e, "="));

        if (text_starts(name, "LD_") || text_ends(name, "SAN_OPTIONS"))
            strv_add(out, *e);
    }
}

/* In the vforked child: shares memory with the caller, so only system calls on its own descriptor
 * table. `result` is the way to tell what failed. */
static _Noreturn void become_spawner(int exe_fd, int socket_fd, char *const *env,
                                     volatile int *result)
{
    char *argv[] = {(char *)(uintptr_t)SPAWNER_ARGV0, NULL};
    int null_fd = open("/dev/null", O_RDWR);

    /* The two descriptors may lie anywhere, even on the numbers wanted. */
    int high_socket = fcntl(socket_fd, F_DUPFD_CLOEXEC, 10);
    int high_exe = fcntl(exe_fd, F_DUPFD_CLOEXEC, 10);

    if (null_fd < 0 || high_socket < 0 || high_exe < 0 || dup2(null_fd, 0) < 0 ||
        dup2(null_fd, 1) < 0 || dup2(null_fd, 2) < 0 || dup2(high_socket, SPAWNER_SOCKET) < 0)
        goto failed;
    if (fcntl(0, F_SETFD, 0) < 0 || fcntl(1, F_SETFD, 0) < 0 || fcntl(2, F_SETFD, 0) < 0 ||
        close_range(SPAWNER_SOCKET + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        goto failed;
    (void)setsid();     /* the terminal's signals are img's business */
    if (chdir("/") < 0) /* keep no directory of the caller busy */
        goto failed;
    syscall(SYS_execveat, high_exe, "", argv, env, AT_EMPTY_PATH);
failed:
    *result = -errno;
    _exit(127);
}

static int start_process(struct spawner *sp, int socket_fd, bool *is_sealed, struct error *err)
{
    auto_close int exe_fd = open_executable(is_sealed, err);
    auto_strv struct strv env = {0};
    sigset_t all;
    sigset_t before;
    volatile int result = 0;
    pid_t pid;

    if (exe_fd < 0)
        return exe_fd;
    select_environment(&env);
    /* A handler of ours must not run in the child, which borrows our memory. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = vfork();
    if (pid == 0)
        become_spawner(exe_fd, socket_fd, strv_argv(&env), &result);
    if (pid < 0)
        result = -errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result < 0) {
        if (pid > 0)
            (void)waitpid(pid, NULL, 0); /* it has exited */
        return error_set(err, -result, "cannot start the spawner: %s", strerror(-result));
    }
    sp->pid = pid;
    return 0;
}

/* ---- lifecycle ---- */

/* The volumes as a sealed memfd; no pointer goes to another process. */
static int describe_volumes(struct spawner_options *options, struct error *err)
{
    auto_str struct str bytes = {0};
    int fd;

    volumes_encode(options->volumes, options->volume_count, &bytes);
    options->volumes = NULL;
    options->volume_count = 0;
    fd = message_memfd("volumes", bytes.data, bytes.size);
    return fd < 0 ? error_set(err, -fd, "cannot describe the volumes: %s", strerror(-fd)) : fd;
}

int spawner_open(const struct spawner_options *options, struct spawner **out, struct error *err)
{
    struct packet packet = {.kind = PACKET_OPTIONS};
    auto_close int child_end = -1;
    auto_close int volumes = -1;
    auto_spawner struct spawner *sp = mem_new(struct spawner);
    bool is_sealed = false;
    int sockets[2];
    int r;

    sp->socket = -1;
    pthread_mutex_init(&sp->lock, NULL);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return error_errno(err, "cannot make a socket pair");
    sp->socket = sockets[0];
    child_end = sockets[1];
    r = start_process(sp, child_end, &is_sealed, err);
    if (r < 0)
        return r;
    if (options)
        packet.options = *options;
    volumes = describe_volumes(&packet.options, err);
    if (volumes < 0)
        return volumes;
    packet.watch_parent = syscall(SYS_gettid) == getpid();
    packet.sealed = is_sealed;
    r = packet_send(sp->socket, &packet, &volumes, 1);
    if (r < 0)
        return error_set(err, -r, "cannot speak to the spawner: %s", strerror(-r));
    *out = STEAL(&sp);
    return 0;
}

/* With the lock held. */
static void settle(struct spawner *sp)
{
    int r;

    if (sp->is_settled)
        return;
    r = packet_receive(sp->socket, &sp->word, NULL, NULL);
    if (r <= 0) {
        struct error gone;

        error_clear(&gone);
        error_set(&gone, EPIPE, "the spawner ended before it was ready");
        packet_from_error(&sp->word, &gone);
    }
    sp->is_settled = true;
}

int spawner_wait_ready(struct spawner *sp, struct error *err)
{
    int r = 0;

    pthread_mutex_lock(&sp->lock);
    settle(sp);
    if (sp->word.kind != PACKET_READY)
        r = packet_to_error(&sp->word, err);
    pthread_mutex_unlock(&sp->lock);
    return r;
}

uint64_t spawner_id_count(struct spawner *sp)
{
    uint64_t count;

    pthread_mutex_lock(&sp->lock);
    settle(sp);
    count = sp->word.kind == PACKET_READY ? sp->word.id_count : 0;
    pthread_mutex_unlock(&sp->lock);
    return count;
}

pid_t spawner_pid(const struct spawner *sp)
{
    return sp->pid;
}

int spawner_send_start(struct spawner *sp, int step_socket, int spec_fd)
{
    const struct packet packet = {.kind = PACKET_START};
    const int fds[] = {step_socket, spec_fd};

    return packet_send(sp->socket, &packet, fds, 2); /* the kernel keeps packets apart */
}

/* Sends an order and waits for the answer to it: 1 and the packet, else as packet_receive. */
static int ask(struct spawner *sp, const struct packet *order, struct packet *answer, int *fd)
{
    auto_close int ours = -1;
    auto_close int theirs = -1;
    size_t count = fd == NULL ? 0 : 1;
    int sockets[2];
    int r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return -errno;
    ours = sockets[0];
    theirs = sockets[1];
    r = packet_send(sp->socket, order, &theirs, 1);
    if (r < 0)
        return r;
    cleanup_close_fd(&theirs); /* or the end of the spawner would never be seen */
    return packet_receive(ours, answer, fd, fd == NULL ? NULL : &count);
}

int spawner_share_tree(struct spawner *sp, unsigned number, int *fd, struct error *err)
{
    const struct packet order = {.kind = PACKET_SHARE, .index = number};
    struct packet answer = {0};
    int device = -1;
    int r = spawner_wait_ready(sp, err);

    if (r < 0)
        return r;
    r = ask(sp, &order, &answer, &device);
    if (r > 0 && answer.kind == PACKET_FAILED)
        return packet_to_error(&answer, err);
    if (r <= 0 || answer.kind != PACKET_STARTED || device < 0)
        return error_set(err, EPIPE, "the spawner ended unexpectedly");
    *fd = device;
    return 0;
}

void spawner_unshare_tree(struct spawner *sp, unsigned number)
{
    const struct packet order = {.kind = PACKET_UNSHARE, .index = number};
    struct packet answer;

    (void)ask(sp, &order, &answer, NULL); /* no answer: it is gone, and so is the mount */
}

void spawner_close(struct spawner *sp)
{
    if (!sp)
        return;
    cleanup_close_fd(&sp->socket);
    while (sp->pid > 0 && waitpid(sp->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    pthread_mutex_destroy(&sp->lock);
    free(sp);
}

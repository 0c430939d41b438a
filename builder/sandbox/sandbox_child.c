/* sandbox_child.c - a step's init: from a fresh clone to its root, its devices and its own filters.
 *
 * Everything was prepared by the spawner; nothing here allocates, locks or prints. A failure is one
 * STAGE packet to img, and the end. The command itself starts in sandbox_exec.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builder/sandbox/mounts.h"
#include "builder/sandbox/sandbox_child.h"
#include "builder/sandbox/sandbox_exec.h"
#include "fs/base/io.h"

#include "fs/base/banned.h"

const char *const sandbox_etc_names[ETC_COUNT] = {"resolv", "hosts", "hostname"};

/* SECURITY section 3: what of /proc nobody may read, and what nobody may write. */
static const char *const proc_masked[] = {
    "acpi",          "asound", "interrupts",  "kcore",      "keys",
    "latency_stats", "scsi",   "sched_debug", "timer_list", "timer_stats",
};
static const char *const proc_read_only[] = {"bus", "fs", "irq", "sys", "sysrq-trigger"};
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void report(const struct sandbox_plan *plan, enum packet_kind kind, enum sandbox_stage stage,
                   size_t index, int error)
{
    static struct packet packet; /* every field is set anew */

    packet.kind = kind;
    packet.stage = (uint32_t)stage;
    packet.index = (uint32_t)index;
    packet.code = error < 0 ? -error : error;
    if (stage == STAGE_NETWORK_WAIT && plan->network_said_fd >= 0) {
        ssize_t n = pread(plan->network_said_fd, packet.text, sizeof(packet.text) - 1, 0);

        packet.text[n > 0 ? n : 0] = '\0';
    }
    (void)packet_send(plan->socket, &packet, NULL, 0); /* img is gone: nobody left to tell */
}

_Noreturn void sandbox_child_fail(const struct sandbox_plan *plan, enum sandbox_stage stage,
                                  size_t index, int error)
{
    report(plan, PACKET_STAGE, stage, index, error);
    _exit(1);
}

/* ---- the pieces of the root ---- */

static int mask_one(int proc_fd, const char *name)
{
    auto_close int target = mounts_open_target(proc_fd, name, false);
    auto_close int cover = -1;
    struct stat st;

    if (target == -ENOENT)
        return 0; /* this kernel has no such file */
    if (target < 0)
        return target;
    if (fstat(target, &st) < 0)
        return -errno;
    cover = S_ISDIR(st.st_mode) ? mounts_clone(AT_FDCWD, TEMPLATE_EMPTY, false)
                                : mounts_clone(AT_FDCWD, TEMPLATE_DEVICES "/null", false);
    if (cover < 0)
        return cover;
    return mounts_attach(cover, target);
}

static int freeze_one(int proc_fd, const char *name)
{
    auto_close int target = mounts_open_target(proc_fd, name, false);
    auto_close int cover = -1;
    int r;

    if (target == -ENOENT)
        return 0;
    if (target < 0)
        return target;
    cover = mounts_clone(target, "", true);
    if (cover < 0)
        return cover;
    r = mounts_set(cover, MOUNT_ATTR_RDONLY, true);
    if (r < 0)
        return r;
    return mounts_attach(cover, target);
}

/* The masks are placed on the descriptor of a procfs we have just made, so no link in the image can
 * send them elsewhere (R15: CVE-2025-31133, CVE-2025-52565). */
static int put_proc(const struct sandbox_plan *plan, int root_fd)
{
    const unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    auto_close int proc_fd = mounts_create("proc", NULL, 0, attributes);
    auto_close int target = mounts_open_target(root_fd, "proc", true);
    struct statfs fs;
    int r;

    if (proc_fd < 0)
        return proc_fd;
    if (target < 0)
        return target;
    r = mounts_attach(proc_fd, target);
    if (r < 0)
        return r;
    if (fstatfs(proc_fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
        return -EXDEV;
    if (plan->spec->security == SANDBOX_SECURITY_INSECURE)
        return 0;
    for (size_t i = 0; i < COUNT_OF(proc_masked) && r == 0; i++)
        r = mask_one(proc_fd, proc_masked[i]);
    for (size_t i = 0; i < COUNT_OF(proc_read_only) && r == 0; i++)
        r = freeze_one(proc_fd, proc_read_only[i]);
    return r;
}

static int attach_named(int mount_fd, int dir_fd, const char *name)
{
    auto_close int target = mounts_open_target(dir_fd, name, true);

    return target < 0 ? target : mounts_attach(mount_fd, target);
}

/* The message queue file system belongs to the ipc namespace, so it cannot be made beforehand. */
static int put_mqueue(int dev_fd)
{
    const unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    auto_close int fd = mounts_create("mqueue", NULL, 0, attributes);

    if (fd == -ENODEV) /* the kernel has none */
        return 0;
    return fd < 0 ? fd : attach_named(fd, dev_fd, "mqueue");
}

static int put_devices(int dev_fd)
{
    auto_close int from_fd = open(TEMPLATE_DEVICES, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (from_fd < 0)
        return -errno;
    for (const struct sandbox_device *d = sandbox_devices; d->name; d++) {
        auto_close int target = mounts_open_target(dev_fd, d->name, false);
        auto_close int device = -1;
        int r;

        if (target == -ENOENT && d->optional)
            continue;
        if (target < 0)
            return target;
        device = mounts_clone(from_fd, d->name, false);
        if (device < 0)
            return device;
        r = mounts_attach(device, target);
        if (r < 0)
            return r;
    }
    return 0;
}

static int put_dev(const struct sandbox_plan *plan, int root_fd)
{
    int r = attach_named(plan->dev_fd, root_fd, "dev");

    if (r == 0)
        r = put_devices(plan->dev_fd);
    if (r == 0)
        r = attach_named(plan->pts_fd, plan->dev_fd, "pts");
    if (r == 0)
        r = attach_named(plan->shm_fd, plan->dev_fd, "shm");
    if (r == 0)
        r = put_mqueue(plan->dev_fd);
    return r;
}

/* This namespace's own copy of the template, masks included, is moved as it is. */
static int put_sys(int root_fd)
{
    auto_close int target = mounts_open_target(root_fd, "sys", true);
    auto_close int from_fd = open(TEMPLATE_SYS, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (target < 0)
        return target;
    if (from_fd < 0)
        return -errno;
    return mounts_attach(from_fd, target);
}

/* A link of the image may lead into a file system whose masks must stay on top (R15). */
static int check_reached(int target)
{
    struct statfs fs;

    if (fstatfs(target, &fs) < 0)
        return -errno;
    return fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ? -EPERM : 0;
}

/* Links of the image are followed inside its root: /etc/resolv.conf often is one. */
static int put_etc(const struct sandbox_plan *plan, int root_fd, size_t index)
{
    auto_close int target = io_open_in_root(root_fd, sandbox_etc_paths[index], O_PATH, 0);
    auto_close int file = -1;
    int r;

    if (target < 0)
        return target;
    r = check_reached(target);
    if (r < 0)
        return r;
    file = mounts_clone(plan->private_fd, sandbox_etc_names[index], false);
    if (file < 0)
        return file;
    r = mounts_set(file, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, false);
    return r < 0 ? r : mounts_attach(file, target);
}

/* ---- RUN --mount ---- */

static int open_source(const struct sandbox_plan *plan, size_t index)
{
    const struct sandbox_mount *m = &plan->spec->mounts[index];

    switch (m->kind) {
    case SANDBOX_MOUNT_TREE: {
        const char *source = m->source ? m->source : "/";
        auto_close int fd = io_open_in_root(plan->tree_fds[m->tree], source, O_PATH, 0);

        return fd < 0 ? fd : mounts_clone(fd, "", false);
    }
    case SANDBOX_MOUNT_SHARED: {
        const char *source = m->source ? m->source : "/";
        auto_close int root = open(plan->share_paths[m->tree], O_PATH | O_DIRECTORY | O_CLOEXEC);
        auto_close int fd = root < 0 ? -errno : io_open_in_root(root, source, O_PATH, 0);

        return fd < 0 ? fd : mounts_clone(fd, "", false);
    }
    case SANDBOX_MOUNT_VOLUME:
        return mounts_clone(AT_FDCWD, plan->volume_paths[m->tree], true);
    case SANDBOX_MOUNT_TMPFS:
        return fcntl(plan->tmpfs_fds[index], F_DUPFD_CLOEXEC, 0);
    case SANDBOX_MOUNT_FILE:
    case SANDBOX_MOUNT_SOCKET:
        return mounts_clone(plan->private_fd, plan->private_names[index], false);
    }
    return -EINVAL;
}

static void put_mount(const struct sandbox_plan *plan, int root_fd, size_t index)
{
    const struct sandbox_mount *m = &plan->spec->mounts[index];
    unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    auto_close int target = -1;
    auto_close int source = open_source(plan, index);
    int r;

    if (source < 0)
        sandbox_child_fail(plan, STAGE_SOURCE, index, source);
    target = io_open_in_root(root_fd, m->target, O_PATH, 0);
    if (target < 0)
        sandbox_child_fail(plan, STAGE_TARGET, index, target);
    r = check_reached(target);
    if (r < 0)
        sandbox_child_fail(plan, STAGE_TARGET, index, r);
    if (m->read_only)
        attributes |= MOUNT_ATTR_RDONLY;
    if (m->has_devices)
        attributes &= ~(unsigned)MOUNT_ATTR_NODEV;
    if (m->kind == SANDBOX_MOUNT_TREE || m->kind == SANDBOX_MOUNT_SHARED)
        attributes &= ~(unsigned)MOUNT_ATTR_NOSUID; /* a cache or a stage may hold su */
    r = mounts_set(source, attributes, m->kind == SANDBOX_MOUNT_VOLUME);
    if (r == 0)
        r = mounts_attach(source, target);
    if (r < 0)
        sandbox_child_fail(plan, STAGE_MOUNT, index, r);
}

/* ---- the root ---- */

static int put_root(const struct sandbox_plan *plan)
{
    int root_fd = plan->tree_fds[0];
    int r = mounts_move(root_fd, "", AT_FDCWD, TEMPLATE_ROOT);

    if (r == 0)
        r = mounts_move(plan->private_fd, "", AT_FDCWD, TEMPLATE_PRIVATE);
    if (r == 0 && plan->spec->root_read_only)
        r = mounts_set(root_fd, MOUNT_ATTR_RDONLY, false);
    return r;
}

/* pivot_root(2): with "." for both, the old root ends on top of the new one and is unmounted from
 * there. Nothing of the host is reachable afterwards, by no number of "..". */
static int enter_root(int root_fd)
{
    if (fchdir(root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return -errno;
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

static void build_root(const struct sandbox_plan *plan)
{
    const struct sandbox_spec *spec = plan->spec;
    int root_fd = plan->tree_fds[0];
    int r = put_root(plan);

    if (r < 0)
        sandbox_child_fail(plan, STAGE_ROOT, 0, r);
    for (size_t i = 1; i < spec->tree_count; i++) {
        r = mounts_move(plan->tree_fds[i], "", AT_FDCWD, plan->tree_paths[i]);
        if (r < 0)
            sandbox_child_fail(plan, STAGE_TREE, i, r);
    }
    r = put_proc(plan, root_fd);
    if (r < 0)
        sandbox_child_fail(plan, STAGE_PROC, 0, r);
    r = put_dev(plan, root_fd);
    if (r < 0)
        sandbox_child_fail(plan, STAGE_DEV, 0, r);
    r = put_sys(root_fd);
    if (r < 0)
        sandbox_child_fail(plan, STAGE_SYS, 0, r);
    for (size_t i = 0; i < ETC_COUNT; i++) {
        r = put_etc(plan, root_fd, i);
        if (r < 0)
            sandbox_child_fail(plan, STAGE_ETC, i, r);
    }
    for (size_t i = 0; i < spec->mount_count; i++)
        put_mount(plan, root_fd, i);
    r = enter_root(root_fd);
    if (r < 0)
        sandbox_child_fail(plan, STAGE_PIVOT, 0, r);
}

/* ---- init ---- */

/* Dies with the spawner. The signal is not sent for a parent that was gone before we asked for it;
 * the pipe tells that. */
static void follow_spawner(const struct sandbox_plan *plan)
{
    struct pollfd life = {.fd = plan->life_read, .events = POLLIN};

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        _exit(1);
    close(plan->life_write);
    if (poll(&life, 1, 0) != 0)
        _exit(1);
}

static void wait_for_network(const struct sandbox_plan *plan)
{
    struct pollfd ready = {.fd = plan->network_ready_fd, .events = POLLIN};

    if (plan->network_ready_fd < 0)
        return;
    /* The helper leaves its word in the pipe; an end without a word is its death. */
    while (poll(&ready, 1, -1) < 0 && errno == EINTR)
        continue;
    if ((ready.revents & POLLIN) != 0)
        return;
    if (!plan->spec->network_optional)
        sandbox_child_fail(plan, STAGE_NETWORK_WAIT, 0, ECONNREFUSED);
    report(plan, PACKET_WARNING, STAGE_NETWORK_WAIT, 0, ECONNREFUSED);
}

static void report_exit(const struct sandbox_plan *plan, int status)
{
    static struct packet packet;

    packet.kind = PACKET_EXITED;
    packet.status = status;
    (void)packet_send(plan->socket, &packet, NULL, 0); /* img is gone: nobody left to tell */
}

/* Reaps everything; true once the command itself has ended. */
static bool reap(const struct sandbox_plan *plan, pid_t command)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == command) {
            report_exit(plan, status);
            return true;
        }
    }
    return false;
}

/* When this returns, init ends, and the kernel kills whatever the command left behind (R7). */
static void serve_as_init(const struct sandbox_plan *plan, pid_t command, int signals)
{
    struct pollfd events[] = {{.fd = signals, .events = POLLIN}, {.fd = plan->socket}};

    for (;;) {
        struct signalfd_siginfo info;

        if (poll(events, COUNT_OF(events), -1) < 0 && errno != EINTR)
            return;
        if (events[1].revents != 0) /* img is gone */
            return;
        if (events[0].revents == 0 || read(signals, &info, sizeof(info)) != sizeof(info))
            continue;
        if (info.ssi_signo != SIGCHLD)
            (void)kill(command, (int)info.ssi_signo); /* it may have ended this moment */
        else if (reap(plan, command))
            return;
    }
}

static void close_stdio(const struct sandbox_plan *plan)
{
    const int fds[] = {plan->stdin_fd, plan->stdout_fd, plan->stderr_fd, plan->terminal_fd};

    for (size_t i = 0; i < COUNT_OF(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

_Noreturn void sandbox_child_run(const struct sandbox_plan *plan)
{
    sigset_t all;
    int signals;
    pid_t command;

    follow_spawner(plan);
    (void)prctl(PR_SET_NAME, "img-init"); /* for ps(1) */
    if (plan->netns_fd >= 0 && setns(plan->netns_fd, CLONE_NEWNET) < 0)
        sandbox_child_fail(plan, STAGE_NETWORK_JOIN, 0, errno);
    if (sethostname(plan->spec->hostname, strlen(plan->spec->hostname)) < 0)
        sandbox_child_fail(plan, STAGE_HOSTNAME, 0, errno);
    build_root(plan);
    wait_for_network(plan);
    sigfillset(&all);
    signals = signalfd(-1, &all, SFD_CLOEXEC);
    if (signals < 0 || sigprocmask(SIG_SETMASK, &all, NULL) < 0)
        sandbox_child_fail(plan, STAGE_FORK, 0, errno);
    command = fork();
    if (command < 0)
        sandbox_child_fail(plan, STAGE_FORK, 0, errno);
    if (command == 0)
        sandbox_exec(plan);
    /* Whatever holds a pipe's end is now a process of the step. */
    close_stdio(plan);
    sandbox_drop_capabilities();
    serve_as_init(plan, command, signals);
    _exit(0);
}

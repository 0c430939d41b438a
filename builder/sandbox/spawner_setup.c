/* spawner_setup.c - the build's user namespace and the mount namespace every step copies.
 *
 *     caller's namespaces
 *      `- user namespace, ids mapped (idmap.c)
 *          |- mount namespace A: the host's tree, kept for the network helper's programs
 *          `- mount namespace B: a tmpfs with only what steps take copies of. Steps clone B, so
 *             their cost does not depend on the host's mounts, and no host path but the volumes
 *             that the caller named is ever in them.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builder/sandbox/idmap.h"
#include "builder/sandbox/mounts.h"
#include "builder/sandbox/spawner_internal.h"
#include "builder/sandbox/userns.h"
#include "fs/base/io.h"

#include "fs/base/banned.h"

const struct sandbox_device sandbox_devices[] = {
    {.name = "null", .major = 1, .minor = 3},
    {.name = "zero", .major = 1, .minor = 5},
    {.name = "full", .major = 1, .minor = 7},
    {.name = "random", .major = 1, .minor = 8},
    {.name = "urandom", .major = 1, .minor = 9},
    {.name = "tty", .major = 5, .minor = 0, .optional = true},
    {.name = NULL},
};
#define DEVICES_MAX 8
#define FUSE_MAJOR 10u
#define FUSE_MINOR 229u

/* What is carried from A to B, as detached mounts. */
struct template
{
    int devices[DEVICES_MAX]; /* as in sandbox_devices; -1: the host has none */
    int fuse;
    int proc;
    int sys;
    int empty;
    int stage; /* B's root */
};

static void template_release(struct template *t)
{
    for (size_t i = 0; i < DEVICES_MAX; i++)
        cleanup_close_fd(&t->devices[i]);
    cleanup_close_fd(&t->fuse);
    cleanup_close_fd(&t->proc);
    cleanup_close_fd(&t->sys);
    cleanup_close_fd(&t->empty);
    cleanup_close_fd(&t->stage);
}
DEFINE_CLEANUP_VALUE(template_release, struct template)

/* ---- user namespace ---- */

/* The child that stays behind in the caller's namespace to write the maps. */
static _Noreturn void write_maps(const struct id_map *map, int socket_fd)
{
    struct packet packet;
    struct error err;
    pid_t target = getppid();

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* only shortens its life */
    error_clear(&err);
    if (packet_receive(socket_fd, &packet, NULL, NULL) <= 0)
        _exit(1);
    (void)id_map_write(map, target, &err); /* its outcome travels in err */
    packet_from_error(&packet, &err);
    _exit(packet_send(socket_fd, &packet, NULL, 0) < 0);
}

static int talk_to_map_writer(struct spawner_state *state, int socket_fd, struct error *err)
{
    struct packet packet = {.kind = PACKET_OPTIONS};
    int r;

    if (unshare(CLONE_NEWUSER) < 0)
        return userns_refused(errno, err);
    r = packet_send(socket_fd, &packet, NULL, 0);
    if (r < 0)
        return error_set(err, EPIPE, "the id map writer ended early");
    r = seccomp_filter_build(&state->filter, err); /* while others work */
    if (r < 0)
        return r;
    r = packet_receive(socket_fd, &packet, NULL, NULL);
    if (r <= 0)
        return error_set(err, EPIPE, "the id map writer ended early");
    return packet.code != 0 ? packet_to_error(&packet, err) : 0;
}

static int make_user_namespace(struct spawner_state *state, const struct id_map *map,
                               struct error *err)
{
    int sockets[2];
    pid_t writer;
    int r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return error_errno(err, "cannot make a socket pair");
    writer = fork();
    if (writer == 0) {
        close(sockets[0]);
        write_maps(map, sockets[1]);
    }
    close(sockets[1]);
    r = writer < 0 ? error_errno(err, "cannot fork") : talk_to_map_writer(state, sockets[0], err);
    close(sockets[0]);
    if (writer > 0)
        while (waitpid(writer, NULL, 0) < 0 && errno == EINTR)
            continue;
    return r;
}

static int become_root(const struct id_map *map, struct error *err)
{
    /* Denied with a single id (R3), where the caller's groups stay, without names. */
    if (map->way != ID_MAP_SINGLE && setgroups(0, NULL) < 0)
        return error_errno(err, "cannot drop the supplementary groups");
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return error_errno(err, "cannot become root of the user namespace");
    return 0;
}

/* Whoever has executed itself anew has its map alone to go by. */
static int look_at_root(struct spawner_state *state, struct error *err)
{
    struct id_ranges uids;
    struct id_ranges gids;
    int r = id_ranges_own(&uids, &gids);

    if (r < 0)
        return error_set(err, -r, "cannot read '/proc/self/uid_map': %s", strerror(-r));
    for (size_t i = 0; i < uids.count; i++)
        state->root_is_zero |= uids.items[i].inside == 0 && uids.items[i].outside == 0;
    return 0;
}

/* From here on nobody may trace this process or its children, or open their executable (R9). */
static int protect_process(struct error *err)
{
    return prctl(PR_SET_DUMPABLE, 0) < 0 ? error_errno(err, "cannot protect the process") : 0;
}

/* ---- /dev/net/tun ---- */

/* The network helper runs as a subordinate id and opens /dev/net/tun, which minimal systems leave
 * to root. Started as root, we put a node of our own in its place, in a mount namespace nobody else
 * sees. Every failure leaves things as they were, and the helper says what it misses. */
static void open_tun_for_helper(void)
{
    static const struct mounts_option options[] = {{"mode", "0755"}, {"size", "4k"}};
    auto_close int fd = -1;
    struct stat st;

    if (geteuid() != 0 || stat("/dev/net/tun", &st) < 0 || !S_ISCHR(st.st_mode) ||
        (st.st_mode & 0006) == 0006)
        return;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return;
    fd = mounts_create("tmpfs", options, 2, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    if (fd < 0 || mknodat(fd, "tun", S_IFCHR | 0666, st.st_rdev) < 0 ||
        fchmodat(fd, "tun", 0666, 0) < 0)
        return;
    (void)mounts_move(fd, "", AT_FDCWD, "/dev/net"); /* see above */
}

/* ---- mount namespace A: collecting ---- */

static int clone_device(const char *name, unsigned major_wanted, unsigned minor_wanted)
{
    auto_free char *path = str_format("/dev/%s", name);
    auto_close int fd = mounts_clone(AT_FDCWD, path, false);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISCHR(st.st_mode) || major(st.st_rdev) != major_wanted ||
        minor(st.st_rdev) != minor_wanted)
        return -ENODEV;
    return steal_fd(&fd);
}

static int collect_devices(struct template *t, struct error *err)
{
    for (size_t i = 0; sandbox_devices[i].name; i++) {
        const struct sandbox_device *d = &sandbox_devices[i];

        t->devices[i] = clone_device(d->name, d->major, d->minor);
        if (t->devices[i] < 0 && !d->optional)
            return error_set(err, -t->devices[i], "cannot use '/dev/%s': %s", d->name,
                             strerror(-t->devices[i]));
    }
    t->fuse = clone_device("fuse", FUSE_MAJOR, FUSE_MINOR);
    return t->fuse < 0 ? fuse_refused(-t->fuse, err) : 0;
}

/* The host's procfs stays visible in B, for the kernel mounts a fresh one for a step only where a
 * whole one can be seen already (mount_namespaces(7)). */
static int collect_proc(struct template *t, struct error *err)
{
    t->proc = mounts_clone(AT_FDCWD, "/proc", true);
    if (t->proc < 0)
        return error_set(err, -t->proc, "cannot use '/proc': %s", strerror(-t->proc));
    return 0;
}

/* A step's procfs is mounted long after this; asking now gives every build an early answer. */
static int check_proc(int result, struct error *err)
{
    if (result == 0)
        return 0;
    error_set(err, -result, "cannot mount a fresh /proc: %s", strerror(-result));
    return error_hint(err, "parts of this /proc are masked; in a container run with "
                           "--security-opt systempaths=unconfined (Kubernetes: procMount: "
                           "Unmasked)");
}

static int mask_directory(int dir_fd, const char *name, int empty_fd)
{
    auto_close int target = mounts_open_target(dir_fd, name, true);
    auto_close int cover = -1;

    if (target == -ENOENT)
        return 0;
    if (target < 0)
        return target;
    cover = mounts_clone(empty_fd, "", false);
    return cover < 0 ? cover : mounts_attach(cover, target);
}

/* In B, where both are attached. */
static int mask_sys(int sys_fd, int empty_fd)
{
    char name[64];
    int r = mask_directory(sys_fd, "firmware", empty_fd);

    if (r == 0)
        r = mask_directory(sys_fd, "devices/virtual/powercap", empty_fd);
    for (unsigned cpu = 0; r == 0; cpu++) {
        auto_close int cpu_fd = -1;

        (void)snprintf(name, sizeof(name), "devices/system/cpu/cpu%u", cpu); /* always fits */
        cpu_fd = mounts_open_target(sys_fd, name, true);
        if (cpu_fd < 0)
            break;
        r = mask_directory(cpu_fd, "thermal_throttle", empty_fd);
    }
    return r;
}

/* sysfs belongs to a network namespace; the first slot's serves every step, host network included:
 * what it shows of the network is a loopback. */
static int collect_sys(struct spawner_state *state, struct template *t, struct error *err)
{
    struct namespace_probe probe;
    int r = network_slot_new(state, &probe, err);

    if (r < 0)
        return r;
    t->sys = probe.sysfs_fd;
    r = check_proc(probe.proc_result, err);
    if (r < 0 || t->sys >= 0)
        return r;
    /* The host's is covered in part, as in a container: take it as it is. */
    t->sys = mounts_clone(AT_FDCWD, "/sys", true);
    if (t->sys >= 0)
        r = mounts_set(t->sys,
                       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                       true);
    if (t->sys < 0 || r < 0)
        return error_set(err, EPERM, "cannot mount /sys: %s", strerror(t->sys < 0 ? -t->sys : -r));
    return 0;
}

static int collect(struct spawner_state *state, struct template *t, struct error *err)
{
    static const struct mounts_option stage_options[] = {{"mode", "0755"}, {"size", "1m"}};
    static const struct mounts_option empty_options[] = {{"mode", "0555"}, {"size", "4k"}};
    int r;

    /* Nothing we mount may travel to the host, and nothing of the host's to us (R5). */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_errno(err, "cannot make the mounts private");
    state->host_mounts_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (state->host_mounts_fd < 0)
        return error_errno(err, "cannot open '/proc/self/ns/mnt'");
    network_find_helpers(state);
    r = collect_devices(t, err);
    if (r == 0)
        r = collect_proc(t, err);
    if (r == 0)
        r = collect_sys(state, t, err);
    if (r == 0)
        r = spawner_find_volumes(state, err);
    if (r < 0)
        return r;
    t->stage = mounts_create("tmpfs", stage_options, 2, MOUNT_ATTR_NOSUID);
    t->empty =
        mounts_create("tmpfs", empty_options, 2,
                      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (t->stage < 0 || t->empty < 0)
        return error_set(err, EPERM, "cannot mount a tmpfs: %s",
                         strerror(t->stage < 0 ? -t->stage : -t->empty));
    return 0;
}

/* ---- mount namespace B: laying out ---- */

static int enter_stage(int stage_fd)
{
    if (unshare(CLONE_NEWNS) < 0)
        return -errno;
    /* Any directory does; the whole tree it hangs in is dropped two calls later. */
    if (move_mount(stage_fd, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    if (fchdir(stage_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return -errno;
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

static int attach_dir(int mount_fd, const char *path)
{
    if (mkdir(path, 0755) < 0)
        return -errno;
    return mount_fd < 0 ? 0 : mounts_move(mount_fd, "", AT_FDCWD, path);
}

static int attach_device(int mount_fd, const char *name)
{
    auto_free char *path = str_format(TEMPLATE_DEVICES "/%s", name);
    auto_close int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    return file < 0 ? -errno : mounts_move(mount_fd, "", AT_FDCWD, path);
}

static int lay_out(struct spawner_state *state, struct template *t)
{
    int r = enter_stage(t->stage);

    if (r == 0)
        r = attach_dir(t->proc, "/proc");
    if (r == 0)
        r = attach_dir(t->sys, TEMPLATE_SYS);
    if (r == 0)
        r = attach_dir(t->empty, TEMPLATE_EMPTY);
    if (r == 0)
        r = attach_dir(-1, TEMPLATE_ROOT);
    if (r == 0)
        r = attach_dir(-1, TEMPLATE_PRIVATE);
    if (r == 0)
        r = attach_dir(-1, TEMPLATE_TREES);
    if (r == 0)
        r = attach_dir(-1, TEMPLATE_DEVICES);
    if (r == 0)
        r = attach_dir(-1, TEMPLATE_SHARES);
    for (size_t i = 0; i < SPAWNER_SHARES_MAX && r == 0; i++) {
        (void)snprintf(state->share_paths[i], sizeof(state->share_paths[i]), TEMPLATE_SHARES "/%zu",
                       i); /* always fits */
        r = attach_dir(-1, state->share_paths[i]);
    }
    if (r == 0)
        r = attach_dir(-1, TEMPLATE_VOLUMES);
    if (r == 0)
        r = spawner_attach_volumes(state);
    for (size_t i = 0; i < SANDBOX_TREES_MAX && r == 0; i++) {
        (void)snprintf(state->tree_paths[i], sizeof(state->tree_paths[i]), TEMPLATE_TREES "/%zu",
                       i); /* always fits */
        r = attach_dir(-1, state->tree_paths[i]);
    }
    for (size_t i = 0; sandbox_devices[i].name && r == 0; i++)
        if (t->devices[i] >= 0)
            r = attach_device(t->devices[i], sandbox_devices[i].name);
    if (r == 0)
        r = attach_device(t->fuse, "fuse");
    return r < 0 ? r : mask_sys(t->sys, t->empty);
}

/* Asked here once, so that the first step need not find out. */
static int check_fuse(struct error *err)
{
    auto_close int fd = open(TEMPLATE_FUSE, O_RDWR | O_CLOEXEC);

    return fd < 0 ? fuse_refused(errno, err) : 0;
}

/* ---- our own image ---- */

/* Where executable memfds are forbidden (vm.memfd_noexec=2), init runs from a file on a read-only
 * mount that exists nowhere else: opening /proc/1/exe for writing answers EROFS (R9). */
static int copy_image(void)
{
    static const struct mounts_option options[] = {{"mode", "0755"}, {"size", "256m"}};
    auto_close int mount_fd = mounts_create("tmpfs", options, 2, MOUNT_ATTR_NODEV);
    auto_close int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    auto_close int to = -1;
    struct stat st;
    int r;

    if (mount_fd < 0)
        return mount_fd;
    if (from < 0 || fstat(from, &st) < 0)
        return -errno;
    to = openat(mount_fd, "img", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0555);
    if (to < 0)
        return -errno;
    r = io_copy_range(from, 0, to, 0, (uint64_t)st.st_size);
    if (r < 0)
        return r;
    cleanup_close_fd(&to); /* a file open for writing cannot be executed */
    r = mounts_set(mount_fd, MOUNT_ATTR_RDONLY, false);
    if (r < 0)
        return r;
    to = openat(mount_fd, "img", O_PATH | O_CLOEXEC);
    return to < 0 ? -errno : steal_fd(&to);
}

static int execute_copy(struct spawner_state *state, const struct packet *orders, struct error *err)
{
    char name[] = SPAWNER_ARGV0;
    char again[] = SPAWNER_AGAIN;
    char *argv[] = {name, again, NULL};
    struct packet packet = *orders;
    auto_str struct str bytes = {0};
    auto_close int image = copy_image();
    auto_close int said = -1;

    if (image < 0)
        return error_set(err, -image, "cannot copy the img executable: %s", strerror(-image));
    packet.id_count = state->id_count;
    packet.sealed = true;
    str_add_bytes(&bytes, &packet, sizeof(packet));
    str_add_bytes(&bytes, state->volume_bytes.data, state->volume_bytes.size);
    said = message_memfd("orders", bytes.data, bytes.size);
    if (said < 0 || dup2(said, SPAWNER_ORDERS) < 0 || fcntl(SPAWNER_SOCKET, F_SETFD, 0) < 0)
        return error_errno(err, "cannot pass on the orders");
    syscall(SYS_execveat, image, "", argv, environ, AT_EMPTY_PATH);
    return error_errno(err, "cannot execute a copy of img");
}

/* ---- all of it ---- */

static int enter_namespaces(struct spawner_state *state, struct error *err)
{
    struct id_map map;
    int r = id_map_plan(state->options.single_id, &map, err);

    if (r == 0 && state->options.root_is_caller)
        r = id_map_add_caller(&map, err);
    if (r < 0)
        return r;
    open_tun_for_helper();
    r = make_user_namespace(state, &map, err);
    if (r == 0)
        r = become_root(&map, err);
    if (r < 0)
        return r;
    state->id_count = id_ranges_total(&map.uids);
    return unshare(CLONE_NEWNS) < 0 ? userns_powerless(errno, err) : 0;
}

int spawner_set_up(struct spawner_state *state, const struct packet *orders, struct error *err)
{
    __attribute__((cleanup(cleanup_template_release))) struct template t = {
        .devices = {-1, -1, -1, -1, -1, -1, -1, -1},
        .fuse = -1,
        .proc = -1,
        .sys = -1,
        .empty = -1,
        .stage = -1,
    };
    int r = 0;

    state->id_count = orders->id_count;
    if (state->id_count == 0)
        r = enter_namespaces(state, err);
    if (r == 0 && !orders->sealed)
        r = execute_copy(state, orders, err); /* comes back only when it failed */
    if (r == 0)
        r = look_at_root(state, err);
    if (r == 0)
        r = protect_process(err);
    if (r == 0)
        r = collect(state, &t, err);
    if (r < 0)
        return r;
    r = lay_out(state, &t);
    if (r < 0)
        return error_set(err, -r, "cannot lay out the steps' mount namespace: %s", strerror(-r));
    r = check_fuse(err);
    if (r == 0 && state->filter.count == 0)
        r = seccomp_filter_build(&state->filter, err);
    return r;
}

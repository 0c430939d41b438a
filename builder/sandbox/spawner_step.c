/* spawner_step.c - one step up to its clone: descriptors, file systems, private files.
 *
 * What can be made outside the step's own pid and ipc namespaces is made here, where a failure has
 * a sentence; sandbox_child.c only puts it in place.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "builder/sandbox/mounts.h"
#include "builder/sandbox/sandbox_spec.h"
#include "builder/sandbox/spawner_internal.h"
#include "fs/base/io.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define SOCKET_BACKLOG 16

/* Everything a step needs until its init runs. */
struct step {
    struct sandbox_plan plan;
    struct spec_copy spec;
    void *spec_bytes; /* mapping of the memfd */
    size_t spec_size;
    struct network_slot *slot;
    int stdin_write;
    int stdout_read;
    int stderr_read;
    int terminal; /* img's side */
    int fuse_fds[SANDBOX_TREES_MAX];
    int socket_fds[SANDBOX_MOUNTS_MAX];
    struct error warning; /* code 0: none */
};

/* ---- devices ---- */

static int create_file(int dir_fd, const char *name, mode_t mode)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);

    return fd < 0 ? -errno : fd;
}

static int fill_dev(int dev_fd)
{
    static const char *const dirs[] = {"pts", "shm", "mqueue"};
    static const char *const links[][2] = {{"/proc/self/fd", "fd"},
                                           {"/proc/self/fd/0", "stdin"},
                                           {"/proc/self/fd/1", "stdout"},
                                           {"/proc/self/fd/2", "stderr"},
                                           {"pts/ptmx", "ptmx"}};

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        if (mkdirat(dev_fd, dirs[i], 0755) < 0)
            return -errno;
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        if (symlinkat(links[i][0], dev_fd, links[i][1]) < 0)
            return -errno;
    for (const struct sandbox_device *d = sandbox_devices; d->name; d++) {
        auto_free char *source = str_format(TEMPLATE_DEVICES "/%s", d->name);
        auto_close int fd = -1;

        if (d->optional && access(source, F_OK) < 0)
            continue;
        fd = create_file(dev_fd, d->name, 0600);
        if (fd < 0)
            return fd;
    }
    return 0;
}

static int make_shm(uint64_t size)
{
    auto_free char *text = str_format("%ju", (uintmax_t)size);
    const struct mounts_option options[] = {{"mode", "1777"}, {"size", text}};

    return mounts_create("tmpfs", options, 2,
                         MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

static void device_kit_release(struct device_kit *kit)
{
    cleanup_close_fd(&kit->dev_fd);
    cleanup_close_fd(&kit->pts_fd);
    cleanup_close_fd(&kit->shm_fd);
}

int device_kit_make(const struct spawner_state *state, uint64_t shm_size, struct device_kit *out,
                    struct error *err)
{
    static const struct mounts_option dev_options[] = {{"mode", "0755"}, {"size", "64m"}};
    static const struct mounts_option pts_options[] = {
        {"newinstance", NULL}, {"ptmxmode", "0666"}, {"mode", "0620"}, {"gid", "5"}};
    size_t pts_count = state->id_count > 5 ? 4 : 3; /* gid 5 is "tty" everywhere, if it exists */
    struct device_kit kit = {-1, -1, -1};
    int r;

    kit.dev_fd = mounts_create("tmpfs", dev_options, 2, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    kit.pts_fd =
        mounts_create("devpts", pts_options, pts_count, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    kit.shm_fd = make_shm(shm_size);
    r = kit.dev_fd < 0 ? kit.dev_fd : kit.pts_fd < 0 ? kit.pts_fd : kit.shm_fd < 0 ? kit.shm_fd : 0;
    if (r == 0)
        r = fill_dev(kit.dev_fd);
    if (r < 0) {
        device_kit_release(&kit);
        return error_set(err, -r, "cannot make the step's /dev: %s", strerror(-r));
    }
    *out = kit;
    return 0;
}

/* A mount point and its parents in a tmpfs of our own; `may_exist`: one that is there will do. */
static int make_point(int tmpfs_fd, const char *name, bool is_dir, bool may_exist)
{
    auto_free char *path = mem_strdup(name);
    auto_close int file = -1;
    int r;

    for (char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdirat(tmpfs_fd, path, 0755) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    if (is_dir)
        r = mkdirat(tmpfs_fd, path, 0755) < 0 ? -errno : 0;
    else
        r = file = create_file(tmpfs_fd, path, 0644);
    return r == -EEXIST && may_exist ? 0 : r < 0 ? r : 0;
}

/* Our own /dev holds the mount points that steps may ask for in it. What it has anyway is not for
 * others to cover. */
static int make_dev_points(const struct step *step, struct error *err)
{
    const struct sandbox_spec *spec = &step->spec.spec;

    for (size_t i = 0; i < spec->mount_count; i++) {
        const struct sandbox_mount *m = &spec->mounts[i];
        int r = 0;

        if (strcmp(m->target, SANDBOX_PIPES) == 0)
            r = make_point(step->plan.dev_fd, path_base(SANDBOX_PIPES), true, true);
        else if (m->has_devices && text_starts(m->target, "/dev/") &&
                 sandbox_mount_container(spec, i) == SANDBOX_NO_MOUNT)
            r = make_point(step->plan.dev_fd, m->target + strlen("/dev/"), sandbox_mount_is_dir(m),
                           false);
        if (r < 0)
            return error_set(err, -r, "cannot make '%s': %s", m->target, strerror(-r));
    }
    return 0;
}

static int take_devices(struct spawner_state *state, struct step *step, struct error *err)
{
    uint64_t size = step->spec.spec.shm_size;
    struct device_kit kit = state->kit;

    state->kit = (struct device_kit){-1, -1, -1};
    if (kit.dev_fd >= 0 && size != 0 && size != STEP_DEFAULT_SHM_SIZE) {
        cleanup_close_fd(&kit.shm_fd);
        kit.shm_fd = make_shm(size);
        if (kit.shm_fd < 0) {
            error_set(err, -kit.shm_fd, "cannot make a /dev/shm of %ju bytes: %s", (uintmax_t)size,
                      strerror(-kit.shm_fd));
            device_kit_release(&kit);
            return -err->code;
        }
    } else if (kit.dev_fd < 0) {
        int r = device_kit_make(state, size ? size : STEP_DEFAULT_SHM_SIZE, &kit, err);

        if (r < 0)
            return r;
    }
    step->plan.dev_fd = kit.dev_fd;
    step->plan.pts_fd = kit.pts_fd;
    step->plan.shm_fd = kit.shm_fd;
    return make_dev_points(step, err);
}

/* ---- trees ---- */

static int make_tree(struct step *step, size_t index)
{
    int mount_fd = fuse_make(&step->fuse_fds[index]);

    if (mount_fd < 0)
        return mount_fd;
    step->plan.tree_fds[index] = mount_fd;
    return 0;
}

static int make_trees(struct step *step, struct error *err)
{
    for (size_t i = 0; i < step->spec.spec.tree_count; i++) {
        int r = make_tree(step, i);

        if (r < 0)
            return error_set(err, -r, "cannot mount a fuse file system: %s", strerror(-r));
    }
    return 0;
}

/* ---- private files ---- */

static int make_file(int dir_fd, const char *name, const struct sandbox_mount *m)
{
    auto_close int fd = create_file(dir_fd, name, 0600);
    int r;

    if (fd < 0)
        return fd;
    r = io_write_full(fd, m->bytes, m->byte_count);
    if (r < 0)
        return r;
    if (fchown(fd, m->uid, m->gid) < 0 || fchmod(fd, m->mode & 0777) < 0)
        return -errno;
    return 0;
}

/* bind(2) takes only a path; a working directory nobody else knows makes it a safe one. */
static int bind_in(int dir_fd, int socket_fd, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int r;

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", name); /* short */
    if (fchdir(dir_fd) < 0)
        return -errno;
    r = bind(socket_fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    if (chdir("/") < 0 && r == 0)
        r = -errno;
    return r;
}

static int make_socket(int dir_fd, const char *name, const struct sandbox_mount *m, int *out)
{
    auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return -errno;
    r = bind_in(dir_fd, fd, name);
    if (r < 0)
        return r;
    if (fchmodat(dir_fd, name, m->mode & 0777, 0) < 0 ||
        fchownat(dir_fd, name, m->uid, m->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        listen(fd, SOCKET_BACKLOG) < 0)
        return -errno;
    *out = steal_fd(&fd);
    return 0;
}

/* Mount points of later mounts inside this tmpfs; nobody else can make them. */
static int make_inner_dirs(int tmpfs_fd, const struct sandbox_spec *spec, size_t index)
{
    int r = 0;

    for (size_t i = index + 1; r == 0 && i < spec->mount_count; i++)
        if (sandbox_mount_container(spec, i) == index)
            r = make_point(tmpfs_fd,
                           spec->mounts[i].target + strlen(spec->mounts[index].target) + 1,
                           sandbox_mount_is_dir(&spec->mounts[i]), true);
    return r;
}

static int make_tmpfs(struct step *step, size_t index)
{
    const struct sandbox_mount *m = &step->spec.spec.mounts[index];
    auto_free char *size = str_format("%ju", (uintmax_t)m->size);
    auto_free char *mode = str_format("%04o", m->mode ? m->mode & 07777 : 01777);
    const struct mounts_option options[] = {{"mode", mode}, {"size", size}};
    int fd = mounts_create("tmpfs", options, m->size ? 2 : 1, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);

    if (fd < 0)
        return fd;
    step->plan.tmpfs_fds[index] = fd;
    return make_inner_dirs(fd, &step->spec.spec, index);
}

static int make_mount(const struct spawner_state *state, struct step *step, size_t index)
{
    const struct sandbox_mount *m = &step->spec.spec.mounts[index];
    char *name = step->plan.private_names[index];

    (void)snprintf(name, PRIVATE_NAME_SIZE, "m%zu", index); /* at most SANDBOX_MOUNTS_MAX */
    switch (m->kind) {
    case SANDBOX_MOUNT_FILE:
        return make_file(step->plan.private_fd, name, m);
    case SANDBOX_MOUNT_SOCKET:
        return make_socket(step->plan.private_fd, name, m, &step->socket_fds[index]);
    case SANDBOX_MOUNT_TMPFS:
        return make_tmpfs(step, index);
    case SANDBOX_MOUNT_TREE:
    case SANDBOX_MOUNT_SHARED:
        return 0;
    case SANDBOX_MOUNT_VOLUME:
        return m->tree < state->volumes.count ? 0 : -EINVAL;
    }
    return -EINVAL;
}

static int make_private(const struct spawner_state *state, struct step *step, struct error *err)
{
    static const struct mounts_option options[] = {{"mode", "0700"}, {"size", "128m"}};
    const struct sandbox_spec *spec = &step->spec.spec;
    const char *const texts[ETC_COUNT] = {spec->resolv_conf, spec->hosts, spec->hostname};
    int r = mounts_create("tmpfs", options, 2,
                          MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);

    if (r < 0)
        return error_set(err, -r, "cannot mount a tmpfs: %s", strerror(-r));
    step->plan.private_fd = r;
    r = 0;
    for (size_t i = 0; i < ETC_COUNT && r == 0; i++) {
        auto_free char *line = i == ETC_HOSTNAME ? str_format("%s\n", texts[i]) : NULL;
        const char *text = line ? line : texts[i];
        const struct sandbox_mount file = {.mode = 0644, .bytes = text, .byte_count = strlen(text)};

        r = make_file(step->plan.private_fd, sandbox_etc_names[i], &file);
    }
    if (r < 0)
        return error_set(err, -r, "cannot write the step's '/etc/hosts': %s", strerror(-r));
    for (size_t i = 0; i < spec->mount_count; i++) {
        r = make_mount(state, step, i);
        if (r < 0)
            return error_set(err, -r, "cannot make what is mounted on '%s': %s",
                             spec->mounts[i].target, strerror(-r));
    }
    return 0;
}

/* ---- the step ---- */

static int make_pipe(int *read_end, int *write_end)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    *read_end = fds[0];
    *write_end = fds[1];
    return 0;
}

/* A terminal of the step's own devpts: nothing that is typed into it by force (TIOCSTI) gets out of
 * the step, and the step sees its name (pty(7), ioctl_tty(2)). */
static int make_terminal(struct step *step)
{
    const struct sandbox_spec *spec = &step->spec.spec;
    const struct winsize size = {.ws_row = spec->rows, .ws_col = spec->columns};
    auto_close int ours = openat(step->plan.pts_fd, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    auto_close int theirs = -1;
    int is_locked = 0;

    if (ours < 0 || ioctl(ours, TIOCSPTLCK, &is_locked) < 0)
        return -errno;
    theirs = ioctl(ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (theirs < 0 || fchown(theirs, spec->uid, (gid_t)-1) < 0 ||
        ioctl(ours, TIOCSWINSZ, &size) < 0)
        return -errno;
    step->terminal = steal_fd(&ours);
    step->plan.terminal_fd = steal_fd(&theirs);
    return 0;
}

/* All of it is made here and given to the step's user, for a program that opens /dev/stdout needs
 * permission on the pipe itself, and the caller's ids do not exist in the step. */
static int make_stdio(struct step *step, struct error *err)
{
    const struct sandbox_spec *spec = &step->spec.spec;
    int r = 0;

    if (spec->input == SANDBOX_INPUT_TERMINAL) {
        r = make_terminal(step);
        return r < 0 ? error_set(err, -r, "cannot make a terminal: %s", strerror(-r)) : 0;
    }
    if (spec->input == SANDBOX_INPUT_PIPE)
        r = make_pipe(&step->plan.stdin_fd, &step->stdin_write);
    if (r == 0)
        r = make_pipe(&step->stdout_read, &step->plan.stdout_fd);
    if (r == 0)
        r = make_pipe(&step->stderr_read, &step->plan.stderr_fd);
    if (r == 0 &&
        (fchown(step->plan.stdout_fd, spec->uid, spec->gid) < 0 ||
         fchown(step->plan.stderr_fd, spec->uid, spec->gid) < 0 ||
         (step->plan.stdin_fd >= 0 && fchown(step->plan.stdin_fd, spec->uid, spec->gid) < 0)))
        r = -errno;
    return r < 0 ? error_set(err, -r, "cannot make the pipes: %s", strerror(-r)) : 0;
}

static int read_spec(struct step *step, int spec_fd, struct error *err)
{
    struct stat st;
    int r;

    if (fstat(spec_fd, &st) < 0)
        return error_errno(err, "cannot read the step's description");
    step->spec_size = (size_t)st.st_size;
    step->spec_bytes = mmap(NULL, step->spec_size, PROT_READ, MAP_PRIVATE, spec_fd, 0);
    if (step->spec_bytes == MAP_FAILED) {
        step->spec_bytes = NULL;
        return error_errno(err, "cannot read the step's description");
    }
    r = spec_decode(step->spec_bytes, step->spec_size, &step->spec);
    if (r == 0 && step->spec.spec.mount_count > SANDBOX_MOUNTS_MAX)
        r = -EPROTO;
    if (r < 0)
        return error_set(err, -r, "cannot understand the step's description");
    return 0;
}

static void step_init(struct step *step)
{
    memset(step, 0, sizeof(*step));
    step->stdin_write = step->stdout_read = step->stderr_read = step->terminal = -1;
    step->plan.stdin_fd = step->plan.stdout_fd = step->plan.stderr_fd = -1;
    step->plan.terminal_fd = -1;
    step->plan.dev_fd = step->plan.pts_fd = step->plan.shm_fd = step->plan.private_fd = -1;
    step->plan.netns_fd = step->plan.network_ready_fd = step->plan.network_said_fd = -1;
    for (size_t i = 0; i < SANDBOX_TREES_MAX; i++)
        step->fuse_fds[i] = step->plan.tree_fds[i] = -1;
    for (size_t i = 0; i < SANDBOX_MOUNTS_MAX; i++)
        step->socket_fds[i] = step->plan.tmpfs_fds[i] = -1;
}

static void close_our_ends(struct step *step)
{
    cleanup_close_fd(&step->stdin_write);
    cleanup_close_fd(&step->stdout_read);
    cleanup_close_fd(&step->stderr_read);
    cleanup_close_fd(&step->terminal);
}

static void step_release(struct step *step)
{
    struct device_kit kit = {step->plan.dev_fd, step->plan.pts_fd, step->plan.shm_fd};

    device_kit_release(&kit);
    close_our_ends(step);
    cleanup_close_fd(&step->plan.stdin_fd);
    cleanup_close_fd(&step->plan.stdout_fd);
    cleanup_close_fd(&step->plan.stderr_fd);
    cleanup_close_fd(&step->plan.terminal_fd);
    cleanup_close_fd(&step->plan.private_fd);
    for (size_t i = 0; i < SANDBOX_TREES_MAX; i++) {
        cleanup_close_fd(&step->fuse_fds[i]);
        cleanup_close_fd(&step->plan.tree_fds[i]);
    }
    for (size_t i = 0; i < SANDBOX_MOUNTS_MAX; i++) {
        cleanup_close_fd(&step->socket_fds[i]);
        cleanup_close_fd(&step->plan.tmpfs_fds[i]);
    }
    spec_copy_release(&step->spec);
    if (step->spec_bytes)
        (void)munmap(step->spec_bytes, step->spec_size); /* cannot fail on a mapping of ours */
}
DEFINE_CLEANUP_VALUE(step_release, struct step)

/* The inside of the map is one run from 0 (idmap.c). */
static int check_ids(const struct spawner_state *state, const struct sandbox_spec *spec,
                     struct error *err)
{
    bool fits = spec->uid < state->id_count && spec->gid < state->id_count;

    for (size_t i = 0; i < spec->group_count && fits; i++)
        fits = spec->groups[i] < state->id_count;
    if (fits)
        return 0;
    error_set(err, EINVAL,
              "user %u:%u or one of its groups is not among the ids mapped here, 0 to "
              "%ju",
              spec->uid, spec->gid, (uintmax_t)state->id_count - 1);
    return error_hint(err, "give the account a larger range in /etc/subuid and /etc/subgid");
}

/* R63: files of /proc/sys belong to the real root, who needs no capability to write them. What hides
 * them from a step is no obstacle to one that may mount. */
static int check_powers(const struct spawner_state *state, const struct sandbox_spec *spec,
                        struct error *err)
{
    if (!state->root_is_zero || spec->security != SANDBOX_SECURITY_INSECURE)
        return 0;
    (void)error_set(err, EPERM, "a step that is root on the host cannot be without a sandbox");
    return error_hint(err, "run img as an ordinary user, or without --single-id, --volume and "
                           "--device");
}

static int join_network(struct spawner_state *state, struct step *step, struct error *err)
{
    const struct sandbox_spec *spec = &step->spec.spec;
    int r;

    if (spec->network == SANDBOX_NETWORK_HOST)
        return 0;
    r = network_acquire(state, spec->network, &step->slot, err);
    if (r == -ENOENT && spec->network_optional) {
        step->warning = *err;
        error_clear(err);
        r = network_acquire(state, SANDBOX_NETWORK_NONE, &step->slot, err);
    }
    if (r < 0)
        return r;
    step->plan.netns_fd = step->slot->netns_fd;
    if (step->slot->is_default) {
        step->plan.network_ready_fd = step->slot->ready_fd;
        step->plan.network_said_fd = step->slot->said_fd;
    }
    return 0;
}

static int prepare(struct spawner_state *state, struct step *step, int spec_fd, struct error *err)
{
    const struct sandbox_spec *spec = &step->spec.spec;
    int r = read_spec(step, spec_fd, err);

    if (r == 0)
        r = check_ids(state, spec, err);
    if (r == 0)
        r = check_powers(state, spec, err);
    if (r < 0)
        return r;
    r = join_network(state, step, err);
    if (r < 0)
        return r;
    r = make_trees(step, err);
    if (r == 0)
        r = make_private(state, step, err);
    if (r == 0)
        r = take_devices(state, step, err);
    return r < 0 ? r : make_stdio(step, err);
}

/* fork(2) into the new namespaces. Not clone3: containers filter it. */
static pid_t clone_init(int *pidfd)
{
    const unsigned long flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                                CLONE_NEWCGROUP | CLONE_PIDFD | (unsigned long)SIGCHLD;

    return (pid_t)syscall(SYS_clone, flags, NULL, pidfd, NULL, NULL);
}

static int launch(struct spawner_state *state, struct step *step, int step_socket, int *pidfd,
                  struct error *err)
{
    struct running_step *running;
    pid_t pid;

    step->plan.spec = &step->spec.spec;
    step->plan.filter = &state->filter;
    step->plan.is_single_id = state->id_count == 1;
    step->plan.socket = step_socket;
    step->plan.life_read = state->life_fds[0];
    step->plan.life_write = state->life_fds[1];
    for (size_t i = 0; i < SANDBOX_TREES_MAX; i++)
        step->plan.tree_paths[i] = state->tree_paths[i];
    for (size_t i = 0; i < SPAWNER_SHARES_MAX; i++)
        step->plan.share_paths[i] = state->share_paths[i];
    for (size_t i = 0; i < SPAWNER_VOLUMES_MAX; i++)
        step->plan.volume_paths[i] = state->volume_paths[i];
    pid = clone_init(pidfd);
    if (pid == 0) {
        /* Copies of img's ends: a FUSE connection lives as long as anybody holds its device, and a
         * pipe as long as anybody could read it. */
        for (size_t i = 0; i < step->spec.spec.tree_count; i++)
            cleanup_close_fd(&step->fuse_fds[i]);
        for (size_t i = 0; i < step->spec.spec.mount_count; i++)
            cleanup_close_fd(&step->socket_fds[i]);
        close_our_ends(step);
        close(SPAWNER_SOCKET);
        sandbox_child_run(&step->plan);
    }
    if (pid < 0)
        return error_errno(err, "cannot make the step's namespaces");
    running = array_add(&state->steps);
    *running = (struct running_step){.pid = pid, .slot = step->slot};
    return 0;
}

static int send_started(const struct step *step, int step_socket, int pidfd)
{
    struct packet packet = {.kind = PACKET_STARTED};
    const int ends[] = {pidfd, step->terminal, step->stdout_read, step->stderr_read,
                        step->stdin_write};
    int fds[4 + SANDBOX_TREES_MAX + SANDBOX_MOUNTS_MAX];
    size_t count = 0;

    if (step->warning.code != 0)
        memcpy(packet.text, step->warning.text, sizeof(packet.text));
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (ends[i] >= 0)
            fds[count++] = ends[i];
    for (size_t i = 0; i < step->spec.spec.tree_count; i++)
        fds[count++] = step->fuse_fds[i];
    for (size_t i = 0; i < step->spec.spec.mount_count; i++)
        if (step->spec.spec.mounts[i].kind == SANDBOX_MOUNT_SOCKET)
            fds[count++] = step->socket_fds[i];
    return packet_send(step_socket, &packet, fds, count);
}

void spawner_start_step(struct spawner_state *state, int step_socket, int spec_fd)
{
    __attribute__((cleanup(cleanup_step_release))) struct step step;
    auto_close int pidfd = -1;
    struct error err;
    int r;

    error_clear(&err);
    step_init(&step);
    r = prepare(state, &step, spec_fd, &err);
    if (r == 0)
        r = launch(state, &step, step_socket, &pidfd, &err);
    if (r == 0) {
        if (send_started(&step, step_socket, pidfd) < 0)
            (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0); /* img is gone */
        return;
    }
    if (step.slot)
        step.slot->is_busy = false;
    {
        struct packet packet;

        packet_from_error(&packet, &err);
        (void)packet_send(step_socket, &packet, NULL, 0); /* img is gone: nobody left to tell */
    }
}

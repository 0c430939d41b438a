/* spawner_volume.c - files of the caller's that steps are shown, found before the first step runs.
 *
 * Their paths are followed once, in the mount namespace that still has the host's tree, and what is
 * found must be what the caller's own process saw. From then on a volume is a mount, which no step
 * can lead elsewhere by what it writes to another one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "builder/sandbox/mounts.h"
#include "builder/sandbox/spawner_internal.h"

#include "fs/base/banned.h"

static int refuse(const struct spawner_volume *v, int code, struct error *err)
{
    error_set(err, code, "cannot use '%s' as a volume: %s", v->source, strerror(code));
    return code == EACCES
               ? error_hint(err, "it must be open to your user itself or to all: neither "
                                 "groups nor root's power over the files of others "
                                 "count in a step")
               : -code;
}

static int check(const struct spawner_volume *v, int fd, struct error *err)
{
    struct stat st;
    struct statfs fs;

    if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
        return refuse(v, errno, err);
    if (st.st_dev != v->device || st.st_ino != v->inode)
        return error_set(err, ESTALE, "volume '%s' was replaced by something else meanwhile",
                         v->source);
    if (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC)
        return error_set(err, EPERM,
                         "'%s' cannot be a volume: steps have a '/proc' and a '/sys' of "
                         "their own",
                         v->source);
    return 0;
}

int spawner_find_volumes(struct spawner_state *state, struct error *err)
{
    const struct str *bytes = &state->volume_bytes;

    if (volumes_decode(bytes->data, bytes->size, &state->volumes) < 0)
        return error_set(err, EPROTO, "cannot understand the description of the volumes");
    for (size_t i = 0; i < state->volumes.count; i++) {
        const struct spawner_volume *v = &state->volumes.items[i];
        auto_close int fd = open(v->source, O_PATH | O_CLOEXEC);
        int r = fd < 0 ? refuse(v, errno, err) : check(v, fd, err);

        if (r < 0)
            return r;
        /* What is mounted below comes along: without it the kernel would show what it covers, and
         * refuses to (mount_namespaces(7)). */
        state->volume_fds[i] = mounts_clone(fd, "", true);
        if (state->volume_fds[i] < 0)
            return refuse(v, -state->volume_fds[i], err);
    }
    return 0;
}

static int make_point(int mount_fd, const char *path)
{
    auto_close int file = -1;
    struct stat st;

    if (fstat(mount_fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return mkdir(path, 0755) < 0 ? -errno : 0;
    file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return file < 0 ? -errno : 0;
}

int spawner_attach_volumes(struct spawner_state *state)
{
    int r = 0;

    for (size_t i = 0; i < state->volumes.count && r == 0; i++) {
        char *path = state->volume_paths[i];
        auto_close int fd = state->volume_fds[i];

        (void)snprintf(path, sizeof(state->volume_paths[i]), TEMPLATE_VOLUMES "/%zu",
                       i); /* always fits */
        r = make_point(fd, path);
        if (r == 0)
            r = mounts_move(fd, "", AT_FDCWD, path);
    }
    return r;
}

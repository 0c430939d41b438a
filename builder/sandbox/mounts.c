/* mounts.c - thin wrappers that make each mount call fit on one line of its caller. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builder/sandbox/mounts.h"
#include "fs/base/cleanup.h"

#include "fs/base/banned.h"

int mounts_create(const char *type, const struct mounts_option *options, size_t option_count,
                  unsigned attributes)
{
    auto_close int context = fsopen(type, FSOPEN_CLOEXEC);
    int fd;

    if (context < 0)
        return -errno;
    for (size_t i = 0; i < option_count; i++) {
        const struct mounts_option *o = &options[i];
        unsigned command = o->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

        if (fsconfig(context, command, o->key, o->value, 0) < 0)
            return -errno;
    }
    if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    fd = fsmount(context, FSMOUNT_CLOEXEC, attributes);
    return fd < 0 ? -errno : fd;
}

int mounts_clone(int dir_fd, const char *path, bool recursive)
{
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW;
    int fd;

    if (path[0] == '\0')
        flags |= AT_EMPTY_PATH;
    if (recursive)
        flags |= AT_RECURSIVE;
    fd = open_tree(dir_fd, path, flags);
    return fd < 0 ? -errno : fd;
}

int mounts_set(int mount_fd, unsigned attributes, bool recursive)
{
    struct mount_attr change = {.attr_set = attributes};
    unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);

    return mount_setattr(mount_fd, "", flags, &change, sizeof(change)) < 0 ? -errno : 0;
}

int mounts_attach(int from_fd, int to_fd)
{
    unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;

    return move_mount(from_fd, "", to_fd, "", flags) < 0 ? -errno : 0;
}

int mounts_move(int from_dir_fd, const char *from_path, int to_dir_fd, const char *to_path)
{
    unsigned flags = from_path[0] == '\0' ? MOVE_MOUNT_F_EMPTY_PATH : 0;

    return move_mount(from_dir_fd, from_path, to_dir_fd, to_path, flags) < 0 ? -errno : 0;
}

int mounts_open_target(int dir_fd, const char *name, bool is_dir)
{
    struct open_how how = {
        .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC | (is_dir ? (unsigned)O_DIRECTORY : 0),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
    };
    long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));

    return fd < 0 ? -errno : (int)fd;
}

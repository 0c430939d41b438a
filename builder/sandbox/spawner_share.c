/* spawner_share.c - FUSE file systems: how one is made, and those that several steps see as one.
 *
 * A shared one is attached in the spawner's own mount namespace, of which each step's init begins
 * with a copy. So all steps have the same superblock: one page cache, one set of file locks.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "builder/sandbox/mounts.h"
#include "builder/sandbox/spawner_internal.h"
#include "fs/base/str.h"
#include "fs/mount.h"

#include "fs/base/banned.h"

#define FUSE_OPTIONS_MAX 12

/* "fd=7,rootmode=40000,allow_other" as the new mount calls want it; `text` is cut into pieces. */
static size_t split_options(char *text, struct mounts_option *out, size_t room)
{
    size_t count = 0;
    char *save = NULL;

    for (char *word = strtok_r(text, ",", &save); word && count < room;
         word = strtok_r(NULL, ",", &save)) {
        char *equals = strchr(word, '=');

        if (equals)
            *equals = '\0';
        out[count++] = (struct mounts_option){.key = word, .value = equals ? equals + 1 : NULL};
    }
    return count;
}

/* The device is opened here, in the user namespace that mounts, or the kernel refuses the mount;
 * and outside the step's pid namespace, so that the server sees process ids it can use. nodev:
 * SECURITY R26. */
int fuse_make(int *device_fd)
{
    const struct mount_options mount_options = {0};
    auto_close int fd = open(TEMPLATE_FUSE, O_RDWR | O_CLOEXEC);
    struct mounts_option options[FUSE_OPTIONS_MAX] = {{"source", "img"}};
    char text[256];
    size_t count;
    int mount_fd;

    if (fd < 0)
        return -errno;
    mount_option_text(fd, &mount_options, text, sizeof(text));
    count = 1 + split_options(text, options + 1, FUSE_OPTIONS_MAX - 1);
    mount_fd = mounts_create("fuse", options, count, MOUNT_ATTR_NODEV);
    if (mount_fd >= 0)
        *device_fd = steal_fd(&fd);
    return mount_fd;
}

static int share(struct spawner_state *state, uint32_t number, int *device_fd)
{
    auto_close int mount_fd = -1;

    if (number >= SPAWNER_SHARES_MAX)
        return -EINVAL;
    mount_fd = fuse_make(device_fd);
    return mount_fd < 0 ? mount_fd
                        : mounts_move(mount_fd, "", AT_FDCWD, state->share_paths[number]);
}

void spawner_share(struct spawner_state *state, int answer_socket, uint32_t number)
{
    struct packet answer = {.kind = PACKET_STARTED};
    auto_close int device_fd = -1;
    struct error err;
    int r = share(state, number, &device_fd);

    error_clear(&err);
    if (r < 0) {
        error_set(&err, -r, "cannot mount a fuse file system: %s", strerror(-r));
        packet_from_error(&answer, &err);
    }
    /* Who asked may have gone: then its end of the device closes with ours. */
    (void)packet_send(answer_socket, &answer, &device_fd, r < 0 ? 0 : 1);
}

void spawner_unshare(struct spawner_state *state, int answer_socket, uint32_t number)
{
    const struct packet answer = {.kind = PACKET_READY};
    auto_close int fd = -1;

    if (number < SPAWNER_SHARES_MAX) {
        /* An init that is just starting may still hold a copy, so the unmount alone need not write
         * back. Nothing can be written back to a server that is gone. */
        fd = open(state->share_paths[number], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            (void)syncfs(fd);
        cleanup_close_fd(&fd);
        (void)umount2(state->share_paths[number],
                      MNT_DETACH); /* it is mounted there, or never was */
    }
    (void)packet_send(answer_socket, &answer, NULL, 0); /* as above */
}

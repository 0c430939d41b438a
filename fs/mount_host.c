/* mount_host.c - mounting on a directory of the host, which an ordinary user may do only through
 * fusermount3. Builds never come here: they mount in a namespace of their own (SECURITY R25).
 *
 * The protocol is fusermount3's: a socket whose number is in _FUSE_COMMFD, over which one byte with
 * the mounted descriptor comes back. Beside the server a shell waits for its end, because a server
 * that is killed cannot unmount.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/str.h"
#include "fs/mount.h"

#include "fs/base/banned.h"

#define HELPER "fusermount3"
#define MTAB "/etc/mtab"
#define HELPER_SOCKET 3 /* its descriptor in the helper */
/* Waits for a line, or for the end of the one who would write it. fusermount3 has an option for
 * that, but as of 3.14 it works for root alone. */
#define GUARD "read -r line || exec " HELPER " -u -q -z -- \"$1\""
#define SAID_MAX 512

extern char **environ;

struct helper {
    pid_t pid;
    int said_fd; /* its standard error */
};

static int helper_start(char *const *argv, int socket_fd, struct helper *out, struct error *err)
{
    auto_strv struct strv env = {0};
    posix_spawn_file_actions_t actions;
    int pipe_fds[2];
    int r;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_errno(err, "cannot make a pipe");
    for (char **name = environ; *name; name++)
        if (!text_starts(*name, "_FUSE_COMMFD="))
            strv_add(&env, *name);
    strv_addf(&env, "_FUSE_COMMFD=%d", HELPER_SOCKET);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDERR_FILENO);
    if (socket_fd >= 0)
        (void)posix_spawn_file_actions_adddup2(&actions, socket_fd, HELPER_SOCKET);
    r = posix_spawnp(&out->pid, HELPER, &actions, NULL, argv, strv_argv(&env));
    (void)posix_spawn_file_actions_destroy(&actions);
    cleanup_close_fd(&pipe_fds[1]);
    if (r == 0) {
        out->said_fd = pipe_fds[0];
        return 0;
    }
    cleanup_close_fd(&pipe_fds[0]);
    if (r != ENOENT)
        return error_set(err, r, "cannot start '" HELPER "': %s", strerror(r));
    (void)error_set(err, ENOENT, "'" HELPER "' is not installed");
    return error_hint(err, "install the package fuse3; or look inside with 'img shell IMAGE' or "
                           "'img mount IMAGE -- COMMAND', which need nothing");
}

/* Waits for its end. Its exit status, or -errno; in `said` the first line of what it said, without
 * its name. */
static int helper_finish(struct helper *h, char *said, size_t said_size, struct error *err)
{
    size_t size = 0;
    ssize_t count = 1;
    int status;

    while (size + 1 < said_size && count != 0) {
        count = read(h->said_fd, said + size, said_size - 1 - size);
        if (count < 0 && errno != EINTR)
            break;
        size += count > 0 ? (size_t)count : 0;
    }
    said[size] = '\0';
    said[strcspn(said, "\n")] = '\0';
    if (text_starts(said, HELPER ": "))
        memmove(said, said + sizeof(HELPER ": ") - 1, strlen(said) + 2 - sizeof(HELPER ": "));
    cleanup_close_fd(&h->said_fd);
    while (waitpid(h->pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_errno(err, "cannot wait for '" HELPER "'");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Waits for the message; -EPROTO when the helper ended without one. */
static int receive_fd(int socket_fd, int *fd)
{
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *item;
    ssize_t size;

    do
        size = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    item = size <= 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (!item || item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS ||
        item->cmsg_len != CMSG_LEN(sizeof(int)))
        return -EPROTO;
    memcpy(fd, CMSG_DATA(item), sizeof(*fd));
    return 0;
}

/* Starts the guard of a mount and gives the descriptor that keeps it waiting, or -1. */
static int guard_start(const char *directory)
{
    char *argv[] = {(char[]){"sh"},
                    (char[]){"-c"},
                    (char[]){GUARD},
                    (char[]){"img-mount-guard"},
                    (char *)(uintptr_t)directory,
                    NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int sockets[2]; /* a pipe would kill who writes to a guard that is gone */
    pid_t pid;
    int r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
        return -1;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, sockets[0], STDIN_FILENO);
    (void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    (void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    (void)posix_spawn_file_actions_addchdir_np(&actions, "/");
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID); /* no ^C for it */
    r = posix_spawnp(&pid, "sh", &actions, &attributes, argv, environ);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    cleanup_close_fd(&sockets[0]);
    if (r == 0)
        return sockets[1];
    log_debug("nobody guards the mount on '%s': %s", directory, strerror(r));
    cleanup_close_fd(&sockets[1]);
    return -1;
}

/* As part of an option list, and of a line of mountinfo, without any escapes. */
static char *clean_name(const char *name)
{
    char *clean = mem_strdup(name);

    for (char *c = clean; *c != '\0'; c++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+/:@", *c) ==
            NULL)
            *c = '_';
    return clean;
}

int mount_host(const char *directory, const struct mount_options *options, struct mount_host *out,
               struct error *err)
{
    auto_free char *name = clean_name(options->name == NULL ? "img" : options->name);
    auto_free char *text =
        str_format("%snosuid,nodev,subtype=img,fsname=%s", options->writable ? "" : "ro,", name);
    char *argv[] = {
        (char[]){HELPER}, (char[]){"-o"}, text, (char[]){"--"}, (char *)(uintptr_t)directory, NULL};
    char said[SAID_MAX];
    auto_close int ours = -1;
    struct helper helper = {.said_fd = -1};
    int sockets[2];
    int fd = -1;
    int r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
        return error_errno(err, "cannot make a socket");
    ours = sockets[0];
    r = helper_start(argv, sockets[1], &helper, err);
    cleanup_close_fd(&sockets[1]);
    if (r < 0)
        return r;
    (void)receive_fd(ours, &fd); /* without one, the helper says why */
    r = helper_finish(&helper, said, sizeof(said), err);
    if (r == 0 && fd >= 0) {
        *out = (struct mount_host){.fuse_fd = fd, .guard_fd = guard_start(directory)};
        return 0;
    }
    cleanup_close_fd(&fd);
    if (r < 0)
        return r;
    return error_set(err, r > 0 ? EPERM : EPROTO, "cannot mount on '%s': %s", directory,
                     said[0] ? said : "'" HELPER "' gave no descriptor");
}

void mount_host_release(struct mount_host *host)
{
    /* A guard that is gone already has nothing to do either. */
    if (host->guard_fd >= 0)
        (void)!send(host->guard_fd, "\n", 1, MSG_NOSIGNAL);
    cleanup_close_fd(&host->guard_fd);
}

int mount_host_undo(const char *directory, struct error *err)
{
    char *argv[] = {(char[]){HELPER}, (char[]){"-u"}, (char[]){"--"}, (char *)(uintptr_t)directory,
                    NULL};
    char said[SAID_MAX];
    struct helper helper = {.said_fd = -1};
    int r = helper_start(argv, -1, &helper, err);

    if (r == 0)
        r = helper_finish(&helper, said, sizeof(said), err);
    if (r <= 0)
        return r;
    /* To a user it says that a list of mounts lacks it; for root it just tries (umount(2): EINVAL). */
    if (strstr(said, "not found in") != NULL || strstr(said, strerror(EINVAL)) != NULL) {
        (void)error_set(err, ENOENT, "cannot unmount '%s': nothing is mounted there", directory);
        return error_hint(err, "`img mount` lists what is mounted");
    }
    if (strstr(said, strerror(EBUSY)) == NULL) {
        (void)error_set(err, EBUSY, "cannot unmount '%s': %s", directory, said);
        /* Not every container image has the file in which it looks whose the mount is. */
        return strstr(said, MTAB) == NULL
                   ? -err->code
                   : error_hint(err, "as root: ln -s /proc/self/mounts " MTAB);
    }
    (void)error_set(err, EBUSY,
                    "cannot unmount '%s': a program has a file in it open, or works in it",
                    directory);
    return error_hint(err, "`fuser -vm %s` names it", directory);
}

/* ---- listing ---- */

void mount_host_list_release(struct mount_host_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].name);
        free(list->items[i].directory);
    }
    free(list->items);
    *list = (struct mount_host_list){0};
}

/* Blanks and backslashes are \040 and the like there. */
static char *unescape(const char *word)
{
    char *plain = mem_strdup(word);
    char *to = plain;

    for (const char *from = word; *from != '\0'; to++) {
        bool is_escape = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
                         from[2] <= '7' && from[3] >= '0' && from[3] <= '7';

        *to = is_escape ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'))
                        : *from;
        from += is_escape ? 4 : 1;
    }
    *to = '\0';
    return plain;
}

static bool is_owned_by(const char *options, uid_t uid)
{
    auto_free char *wanted = str_format("user_id=%u", uid);
    size_t size = strlen(wanted);

    for (const char *at = options; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, wanted, size) == 0 && (at[size] == ',' || at[size] == '\0'))
            return true;
    }
    return false;
}

#define MOUNT_WORDS 5 /* before the mount point and with it */

/* 36 35 98:0 /root /mount/point options tags... - type source options */
static void parse_line(char *line, uid_t uid, struct mount_host_list *out)
{
    char *save = NULL;
    char *words[MOUNT_WORDS + 3] = {NULL};
    char *word = strtok_r(line, " ", &save);

    for (size_t i = 0; i < MOUNT_WORDS; i++, word = strtok_r(NULL, " ", &save))
        words[i] = word;
    while (word != NULL && strcmp(word, "-") != 0)
        word = strtok_r(NULL, " ", &save);
    for (size_t i = 0; i < 3; i++)
        words[MOUNT_WORDS + i] = word = strtok_r(NULL, " ", &save);
    if (word == NULL || strcmp(words[MOUNT_WORDS], "fuse.img") != 0 || !is_owned_by(word, uid))
        return;
    *array_add(out) = (struct mount_host_entry){.name = unescape(words[MOUNT_WORDS + 1]),
                                                .directory = unescape(words[MOUNT_WORDS - 1])};
}

void mount_host_parse(const char *text, size_t size, uid_t uid, struct mount_host_list *out)
{
    auto_free char *copy = mem_strndup(text, size);
    char *save = NULL;

    for (char *line = strtok_r(copy, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        parse_line(line, uid, out);
}

#define MOUNTINFO_SIZE_MAX (64u << 20)

int mount_host_find(struct mount_host_list *out, struct error *err)
{
    auto_str struct str text = {0};
    int r = io_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_SIZE_MAX, &text, err);

    if (r == 0)
        mount_host_parse(str_text(&text), text.size, geteuid(), out);
    return r;
}

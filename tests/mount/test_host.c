/* test_host.c - a view shown in the caller's own namespace, through fusermount3: `img mount`. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/str.h"
#include "tests/mount/rig.h"

static char *made_directory(void)
{
    char *directory = str_format("%s/host", test_dir());

    if (mkdir(directory, 0755) < 0)
        check_fail("cannot make '%s': %s", directory, strerror(errno));
    return directory;
}

/* A layer with what only root of the image could read. */
static int64_t made_layer(struct rig *r)
{
    rig_mount(r, NULL, 0, NULL);
    free(rig_shell(r, "mkdir etc; echo secret > etc/shadow; chmod 0 etc/shadow; chmod 700 etc; "
                      "chown 33:33 etc/shadow 2>/dev/null; cp /usr/bin/id id; chmod 4755 id; "
                      "ln -s etc/shadow link"));
    return rig_seal(r);
}

/* Mounts and serves in a process of its own, as `img mount` does. */
static pid_t serve_host(struct rig *r, const int64_t *layer, const struct mount_options *options,
                        const char *directory)
{
    struct error mount_err = {0};
    pid_t server;
    int fds[2];

    store_close(STEAL(&r->store)); /* not to be used across fork */
    check_int(pipe2(fds, O_CLOEXEC), 0);
    server = fork();
    if (server == 0) {
        struct view_options view_options = {.label = "the image", .read_only = !options->writable};
        auto_free char *state = str_format("%s/state", test_dir());
        struct mount_host host;
        struct view *view;
        int status;

        (void)mount_host(directory, options, &host, &mount_err);
        if (write(fds[1], &mount_err, sizeof(mount_err)) != sizeof(mount_err) ||
            mount_err.code != 0 || store_open(state, NULL, &r->store, &test_err) < 0 ||
            view_open(r->store, layer, 1, &view_options, &view, &test_err) < 0)
            _exit(1);
        status = mount_serve_here(view, host.fuse_fd, options, &test_err);
        mount_host_release(&host);
        _exit(status == 0 ? 42 : 1);
    }
    cleanup_close_fd(&fds[1]);
    check_int(read(fds[0], &mount_err, sizeof(mount_err)), sizeof(mount_err));
    cleanup_close_fd(&fds[0]);
    test_need("fusermount3", mount_err.code != ENOENT && mount_err.code != EPERM, mount_err.text);
    check_text(mount_err.text, "");
    return server;
}

static char *path_in(const char *directory, const char *name)
{
    static char path[4096];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static int try_to_open(const char *directory, const char *name, int flags)
{
    int fd = open(path_in(directory, name), flags | O_CLOEXEC, 0644);

    if (fd < 0)
        return -errno;
    (void)close(fd);
    return 0;
}

static void check_ended(pid_t server)
{
    int status;

    check_int(waitpid(server, &status, 0), server);
    check_int(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 42);
}

TEST(host, the_caller_reads_everything_and_changes_nothing)
{
    auto_rig struct rig *r = rig_new();
    auto_free char *directory = made_directory();
    struct mount_options options = {.host = true};
    int64_t layer = made_layer(r);
    pid_t server = serve_host(r, &layer, &options, directory);
    struct statvfs vfs;
    struct stat st;

    check_ok(try_to_open(directory, "etc/shadow", O_RDONLY));
    check_ok(try_to_open(directory, "link", O_RDONLY));
    check_int(stat(path_in(directory, "etc/shadow"), &st), 0);
    check_int(st.st_mode, S_IFREG);
    check_int(st.st_size, 7);
    check_fails(try_to_open(directory, "new", O_CREAT | O_WRONLY), EROFS);
    check_fails(try_to_open(directory, "etc/shadow", O_WRONLY), EROFS);
    check_int(statvfs(directory, &vfs), 0);
    check_int(vfs.f_flag & (ST_NOSUID | ST_NODEV | ST_RDONLY), ST_NOSUID | ST_NODEV | ST_RDONLY);
    check_ok(mount_host_undo(directory, &test_err));
    check_ended(server);
    check_fails(try_to_open(directory, "etc/shadow", O_RDONLY), ENOENT);
}

/* `img mount --rw`: changes live as long as the server. */
TEST(host, a_writable_mount_takes_changes)
{
    auto_rig struct rig *r = rig_new();
    auto_free char *directory = made_directory();
    struct mount_options options = {.host = true, .writable = true};
    int64_t layer = made_layer(r);
    pid_t server = serve_host(r, &layer, &options, directory);

    check_ok(try_to_open(directory, "new", O_CREAT | O_WRONLY));
    check_ok(try_to_open(directory, "etc/shadow", O_WRONLY | O_TRUNC));
    check_ok(mount_host_undo(directory, &test_err));
    check_ended(server);
}

/* Nothing is left behind: the guard sees the end of the server and unmounts. */
TEST(host, a_killed_server_leaves_no_mount)
{
    auto_rig struct rig *r = rig_new();
    auto_free char *directory = made_directory();
    struct mount_options options = {.host = true};
    int64_t layer = made_layer(r);
    pid_t server = serve_host(r, &layer, &options, directory);

    check_ok(try_to_open(directory, "etc/shadow", O_RDONLY));
    check_int(kill(server, SIGKILL), 0);
    check_int(waitpid(server, NULL, 0), server);
    while (try_to_open(directory, "etc/shadow", O_RDONLY) != -ENOENT) /* ENOTCONN until then */
        (void)sched_yield();
    check_int(rmdir(directory), 0);
}

TEST(host, a_mount_in_use_is_not_undone)
{
    auto_rig struct rig *r = rig_new();
    auto_free char *directory = made_directory();
    struct mount_options options = {.host = true};
    int64_t layer = made_layer(r);
    pid_t server = serve_host(r, &layer, &options, directory);
    int fd = open(path_in(directory, "etc/shadow"), O_RDONLY | O_CLOEXEC);
    auto_free char *in_use = str_format(
        "cannot unmount '%s': a program has a file in it open, or works in it", directory);
    auto_free char *way_out = str_format("`fuser -vm %s` names it", directory);
    auto_free char *nothing =
        str_format("cannot unmount '%s': nothing is mounted there", directory);

    check_ok(fd);
    check_fails(mount_host_undo(directory, &test_err), EBUSY);
    check_error(&test_err, EBUSY, in_use);
    check_hint(&test_err, way_out);
    check_int(close(fd), 0);
    check_ok(mount_host_undo(directory, &test_err));
    check_ended(server);
    check_fails(mount_host_undo(directory, &test_err), ENOENT);
    check_error(&test_err, ENOENT, nothing);
}

TEST(host, a_missing_directory_is_named)
{
    struct mount_options options = {.host = true};
    auto_free char *directory = str_format("%s/missing", test_dir());
    struct mount_host host;
    int status = mount_host(directory, &options, &host, &test_err);

    test_need("fusermount3", status != -ENOENT, test_err.text);
    check_fails(status, EPERM);
    check_contains(test_err.text, directory);
    check_contains(test_err.text, "No such file or directory");
}

TEST(host, what_is_not_mounted_is_not_undone)
{
    auto_free char *directory = made_directory();
    auto_str struct str sentence = {0};
    int status = mount_host_undo(directory, &test_err);

    check_fails(status, ENOENT);
    test_need("fusermount3", strstr(test_err.text, "not installed") == NULL, test_err.text);
    str_addf(&sentence, "cannot unmount '%s': nothing is mounted there", directory);
    check_error(&test_err, ENOENT, str_text(&sentence));
}

TEST(host, without_fusermount3_the_way_out_is_named)
{
    struct mount_options options = {.host = true};
    auto_free char *directory = made_directory();
    auto_free char *path = mem_strdup(getenv("PATH"));
    struct mount_host host;
    int status;

    check_int(setenv("PATH", "/nonexistent", 1), 0);
    status = mount_host(directory, &options, &host, &test_err);
    check_int(setenv("PATH", path, 1), 0);
    check_fails(status, ENOENT);
    check_error(&test_err, ENOENT, "'fusermount3' is not installed");
    check_hint(&test_err, "install the package fuse3; or look inside with 'img shell IMAGE' or "
                          "'img mount IMAGE -- COMMAND', which need nothing");
}

/* As in containers whose image has no such file. A script says what the program would. */
TEST(host, a_missing_list_of_mounts_has_a_way_out)
{
    static const char script[] = "#!/bin/sh\n"
                                 "echo 'fusermount3: failed to open /etc/mtab: No such file' >&2\n"
                                 "exit 1\n";
    auto_free char *helper = str_format("%s/fusermount3", test_dir());
    auto_free char *path = mem_strdup(getenv("PATH"));
    int status;

    check_ok(io_write_file_atomic(AT_FDCWD, helper, script, sizeof(script) - 1, 0755, &test_err));
    check_int(setenv("PATH", test_dir(), 1), 0);
    status = mount_host_undo("/mnt", &test_err);
    check_int(setenv("PATH", path, 1), 0);
    check_fails(status, EBUSY);
    check_error(&test_err, EBUSY, "cannot unmount '/mnt': failed to open /etc/mtab: No such file");
    check_hint(&test_err, "as root: ln -s /proc/self/mounts /etc/mtab");
}

/* proc(5), mountinfo: tags are optional, blanks are octal; FUSE names its owner in the last options. */
TEST(host, mounts_are_found_in_the_kernels_list)
{
    static const char text[] =
        "21 1 0:20 / / rw - ext4 /dev/vda1 rw\n"
        "36 21 0:41 / /a\\040b ro,nosuid shared:7 master:1 - fuse.img host/x:1 ro,user_id=1001,group_id=1\n"
        "37 21 0:42 / /c ro - fuse.img y ro,user_id=10011\n"
        "38 21 0:43 / /d ro - fuse.other z ro,user_id=1001\n"
        "39 21 0:44 / /e ro - fuse.img\n"
        "40 21 0:45 / /f ro\n"
        "\n"
        "41 21 0:46 / /g rw - fuse.img i rw,user_id=1001";
    auto_mount_host_list struct mount_host_list mine = {0};
    auto_mount_host_list struct mount_host_list others = {0};

    mount_host_parse(text, sizeof(text) - 1, 1001, &mine);
    check_int(mine.count, 2);
    check_text(mine.items[0].name, "host/x:1");
    check_text(mine.items[0].directory, "/a b");
    check_text(mine.items[1].directory, "/g");
    mount_host_parse(text, sizeof(text) - 1, 10011, &others);
    check_int(others.count, 1);
    check_text(others.items[0].name, "y");
}

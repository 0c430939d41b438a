/* test_sandbox_mounts.c - RUN --mount: trees, tmpfs, secrets, sockets. Real mounts. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "tests/build/mirror.h"
#include "tests/build/scene.h"
#include "tests/lib/test.h"

static int run(struct scene *s, const struct sandbox_mount *mounts, size_t count, const char *line)
{
    return scene_run(s,
                     &(struct sandbox_spec){.network = SANDBOX_NETWORK_NONE,
                                            .tree_count = 2,
                                            .mounts = mounts,
                                            .mount_count = count},
                     line);
}

static void expect(struct scene *s, const struct sandbox_mount *mounts, size_t count,
                   const char *line, const char *expected)
{
    int r = run(s, mounts, count, line);

    if (r < 0)
        check_fail("%s: %s", line, s->err.text);
    check_text(str_text(&s->out), expected);
}

TEST(sandbox_mounts, a_part_of_a_tree_is_mounted)
{
    struct sandbox_mount mounts[] = {
        {.kind = SANDBOX_MOUNT_TREE, .target = "/mnt", .tree = 1, .source = "/tmp/a"},
        {.kind = SANDBOX_MOUNT_TREE,
         .target = "/etc/one",
         .tree = 1,
         .source = "tmp/a/f",
         .source_is_file = true,
         .read_only = true},
    };
    auto_scene struct scene s = scene_new(NULL);

    scene_dir(&s, "tmp/a");
    scene_file(&s, "tmp/a/f", 0644, "content\n");
    scene_file(&s, "etc/one", 0644, "");
    expect(&s, mounts, 2, "cat /mnt/f /etc/one; touch /mnt/g && echo written",
           "content\ncontent\nwritten\n");
    check_ok(run(&s, mounts, 2, "echo x > /etc/one"));
    check_contains(str_text(&s.out), "Read-only file system");
    mounts[0].read_only = true;
    check_ok(run(&s, mounts, 2, "touch /mnt/h"));
    check_contains(str_text(&s.out), "Read-only file system");
}

/* R22, CVE-2024-1753: "..", absolute links and loops in a source stay inside its tree. */
TEST(sandbox_mounts, a_source_never_leaves_its_tree)
{
    struct sandbox_mount mount = {
        .kind = SANDBOX_MOUNT_TREE, .target = "/mnt", .tree = 1, .source = "/tmp/up"};
    auto_scene struct scene s = scene_new(NULL);

    scene_link(&s, "/", "tmp/up");
    expect(&s, &mount, 1, "ls -d /mnt/bin/busybox", "/mnt/bin/busybox\n");
    mount.source = "../../../../../../../..";
    expect(&s, &mount, 1, "ls -d /mnt/bin/busybox", "/mnt/bin/busybox\n");
    mount.source = "/none";
    check_fails(run(&s, &mount, 1, "true"), ENOENT);
    check_error(&s.err, ENOENT, "cannot use the source of mount '/mnt': No such file or directory");
    scene_link(&s, "loop", "tmp/loop");
    mount.source = "/tmp/loop";
    check_fails(run(&s, &mount, 1, "true"), ELOOP);
}

/* R15, CVE-2025-52565: a target that turns out to lie in proc or sys. */
TEST(sandbox_mounts, a_target_never_leads_into_proc_or_sys)
{
    const struct sandbox_mount mount = {.kind = SANDBOX_MOUNT_TMPFS, .target = "/tmp/t"};
    auto_scene struct scene s = scene_new(NULL);

    scene_link(&s, "/proc/sys", "tmp/t");
    check_fails(run(&s, &mount, 1, "true"), EPERM);
    check_error(&s.err, EPERM, "cannot use mount target '/tmp/t': Operation not permitted");
    scene_remove(&s, "tmp/t");
    scene_link(&s, "/sys/fs", "tmp/t");
    check_fails(run(&s, &mount, 1, "true"), EPERM);
    scene_remove(&s, "tmp/t");
    scene_link(&s, "../../../mnt", "tmp/t");
    expect(&s, &mount, 1, "touch /mnt/x; ls /mnt", "x\n");
    check_false(scene_has(&s, "mnt/x"));
}

TEST(sandbox_mounts, a_tmpfs_has_its_size_and_mode)
{
    struct sandbox_mount mount = {.kind = SANDBOX_MOUNT_TMPFS, .target = "/mnt", .size = 1 << 20};
    auto_scene struct scene s = scene_new(NULL);

    expect(&s, &mount, 1,
           "stat -c %a /mnt; dd if=/dev/zero of=/mnt/x bs=1M count=2 2>/dev/null; "
           "stat -c %s /mnt/x",
           "1777\n1048576\n");
    mount.mode = 0750;
    mount.read_only = true;
    expect(&s, &mount, 1, "stat -c %a /mnt; touch /mnt/x 2>/dev/null || echo no", "750\nno\n");
    check_false(scene_has(&s, "mnt/x"));
}

/* R55: a secret is in memory alone, readable by whom it is meant for. */
TEST(sandbox_mounts, a_secret_is_a_file_of_its_owner)
{
    const struct sandbox_mount mount = {.kind = SANDBOX_MOUNT_FILE,
                                        .target = "/etc/hidden",
                                        .bytes = "a\0b\n",
                                        .byte_count = 4,
                                        .mode = 0400,
                                        .uid = 1000,
                                        .gid = 1000,
                                        .read_only = true};
    auto_scene struct scene s = scene_new(NULL);
    struct sandbox_spec spec = {.network = SANDBOX_NETWORK_NONE,
                                .mounts = &mount,
                                .mount_count = 1,
                                .uid = 1000,
                                .gid = 1000};

    scene_file(&s, "etc/hidden", 0644, "");
    scene_expect(&s, &spec, "stat -c '%u %g %a %s' /etc/hidden; cat /etc/hidden | tr '\\0' _",
                 "1000 1000 400 4\na_b\n");
    spec.uid = spec.gid = 1001;
    check_ok(scene_run(&s, &spec, "cat /etc/hidden"));
    check_contains(str_text(&s.out), "Permission denied");
    spec.uid = spec.gid = 0;
    check_ok(scene_run(&s, &spec, "echo x > /etc/hidden"));
    check_contains(str_text(&s.out), "Read-only file system");
}

TEST(sandbox_mounts, mounts_nest_and_a_tmpfs_makes_their_places)
{
    const struct sandbox_mount mounts[] = {
        {.kind = SANDBOX_MOUNT_TMPFS, .target = "/mnt"},
        {.kind = SANDBOX_MOUNT_TREE, .target = "/mnt/a/b/c", .tree = 1, .source = "/etc"},
        {.kind = SANDBOX_MOUNT_FILE,
         .target = "/mnt/a/key",
         .bytes = "k",
         .byte_count = 1,
         .mode = 0444},
        {.kind = SANDBOX_MOUNT_TMPFS, .target = "/dev/shm"},
    };
    auto_scene struct scene s = scene_new(NULL);

    expect(&s, mounts, 4, "cat /mnt/a/b/c/hosts; cat /mnt/a/key; grep -c /dev/shm /proc/mounts",
           "the image's own\nk2\n");
}

/* An ssh agent: the step connects, the caller accepts. */
TEST(sandbox_mounts, a_socket_is_answered_by_the_caller)
{
    char *const argv[] = {(char *)(uintptr_t) "/bin/guest", (char *)(uintptr_t) "connect",
                          (char *)(uintptr_t) "/etc/agent", NULL};
    const struct sandbox_mount mount = {
        .kind = SANDBOX_MOUNT_SOCKET, .target = "/etc/agent", .mode = 0600};
    auto_scene struct scene s = scene_new(NULL);
    const struct sandbox_spec spec = {
        .network = SANDBOX_NETWORK_NONE, .argv = argv, .mounts = &mount, .mount_count = 1};
    auto_sandbox struct sandbox *box = NULL;
    auto_mirror struct mirror *m = NULL;
    auto_close int listening = -1;
    auto_close int out = -1;
    auto_close int peer = -1;
    char answer[8] = "";

    scene_file(&s, "etc/agent", 0644, "");
    check_ok(sandbox_start(s.spawner, &spec, &box, &s.err));
    m = mirror_serve(s.root, sandbox_take_tree_fd(box, 0));
    listening = sandbox_take_socket_fd(box, 0);
    check_int(sandbox_take_socket_fd(box, 0), -1);
    out = sandbox_take_stdout_fd(box);
    {
        struct pollfd fds[] = {{.fd = listening, .events = POLLIN},
                               {.fd = sandbox_poll_fd(box), .events = POLLIN}};

        check_true(poll(fds, 2, -1) > 0);
        check_true(fds[0].revents != 0); /* else the step ended without connecting */
    }
    peer = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0)
        check_fail("accept: %s", strerror(errno));
    check_int(write(peer, "hello\n", 6), 6);
    close(steal_fd(&peer));
    check_ok(io_read_full(out, answer, 6));
    check_text(answer, "hello\n");
    check_ok(sandbox_wait(box, &s.result, &s.err));
}

TEST(sandbox_mounts, a_target_that_is_missing_is_named)
{
    const struct sandbox_mount mount = {.kind = SANDBOX_MOUNT_TMPFS, .target = "/none/x"};
    auto_scene struct scene s = scene_new(NULL);

    check_fails(run(&s, &mount, 1, "true"), ENOENT);
    check_error(&s.err, ENOENT, "cannot use mount target '/none/x': No such file or directory");
}

TEST(sandbox_mounts, the_root_can_be_read_only)
{
    auto_scene struct scene s = scene_new(NULL);

    check_ok(scene_run(
        &s, &(struct sandbox_spec){.network = SANDBOX_NETWORK_NONE, .root_read_only = true},
        "touch /x"));
    check_contains(str_text(&s.out), "Read-only file system");
}

/* ---- volumes ---- */

static struct spawner_volume volume_of(const char *path)
{
    struct stat st;

    check_ok(stat(path, &st));
    return (struct spawner_volume){.source = path, .device = st.st_dev, .inode = st.st_ino};
}

/* podman-build(1), "--volume": root of the step is the caller there, and what it writes is his. */
TEST(sandbox_mounts, a_volume_is_the_callers_directory)
{
    auto_free char *path = str_format("%s/vol", test_dir());
    auto_free char *made = str_format("%s/made", path);
    const struct sandbox_mount mount = {.kind = SANDBOX_MOUNT_VOLUME, .target = "/mnt"};
    struct spawner_volume volume;
    struct stat st;

    check_ok(mkdir(path, 0700));
    volume = volume_of(path);
    {
        auto_scene struct scene s = scene_new(&(struct spawner_options){
            .root_is_caller = true, .volumes = &volume, .volume_count = 1});

        expect(&s, &mount, 1, "stat -c '%u %a' /mnt; echo x > /mnt/made; stat -c %u /mnt/made",
               "0 700\n0\n");
        check_ok(stat(made, &st));
        check_int(st.st_uid, geteuid());
        check_false(scene_has(&s, "mnt/made"));
    }
}

TEST(sandbox_mounts, a_read_only_volume_is_not_written_to)
{
    auto_free char *path = str_format("%s/vol", test_dir());
    auto_free char *file = str_format("%s/file", path);
    const struct sandbox_mount mounts[] = {
        {.kind = SANDBOX_MOUNT_VOLUME, .target = "/mnt", .read_only = true},
        {.kind = SANDBOX_MOUNT_VOLUME, .target = "/etc/one", .tree = 1, .source_is_file = true},
    };
    struct spawner_volume volumes[2];

    check_ok(mkdir(path, 0755));
    check_ok(io_write_file_atomic(AT_FDCWD, file, "old\n", 4, 0644, &(struct error){0}));
    volumes[0] = volume_of(path);
    volumes[1] = volume_of(file);
    {
        auto_scene struct scene s = scene_new(&(struct spawner_options){
            .root_is_caller = true, .volumes = volumes, .volume_count = 2});

        scene_file(&s, "etc/one", 0644, "");
        check_ok(run(&s, mounts, 1, "touch /mnt/file"));
        check_contains(str_text(&s.out), "Read-only file system");
        expect(&s, mounts, 2, "cat /mnt/file /etc/one; echo new > /etc/one; cat /mnt/file",
               "old\nold\nnew\n");
    }
}

/* R67: a link of the image leads to a place in the step's own root, and never into its /proc. */
TEST(sandbox_mounts, links_of_an_image_do_not_move_a_volume)
{
    const struct sandbox_mount mount = {.kind = SANDBOX_MOUNT_VOLUME, .target = "/tmp/t"};
    auto_free char *path = str_format("%s/vol", test_dir());
    struct spawner_volume volume;

    check_ok(mkdir(path, 0755));
    volume = volume_of(path);
    {
        auto_scene struct scene s = scene_new(&(struct spawner_options){
            .root_is_caller = true, .volumes = &volume, .volume_count = 1});

        scene_link(&s, "../../../../mnt", "tmp/t");
        expect(&s, &mount, 1, "echo x > /mnt/in; ls /tmp/t/", "in\n");
        check_false(scene_has(&s, "mnt/in"));
        scene_remove(&s, "tmp/t");
        scene_link(&s, "/proc/sys", "tmp/t");
        check_fails(run(&s, &mount, 1, "true"), EPERM);
    }
}

static void refuse_volume(const struct spawner_volume *volume, int code, const char *text)
{
    const struct spawner_options options = {
        .root_is_caller = true, .volumes = volume, .volume_count = 1};
    auto_spawner struct spawner *sp = NULL;
    struct error err = {0};

    check_ok(spawner_open(&options, &sp, &err));
    check_fails(spawner_wait_ready(sp, &err), code);
    check_contains(err.text, text);
}

/* R67: what a step did to one volume does not decide where another one is. */
TEST(sandbox_mounts, a_volume_that_is_another_file_by_now_is_refused)
{
    auto_scene struct scene s = scene_new(NULL); /* skips where nothing can run */
    auto_free char *path = str_format("%s/vol", test_dir());
    struct spawner_volume volume;

    check_ok(mkdir(path, 0755));
    volume = volume_of(path);
    check_ok(rmdir(path));
    refuse_volume(&volume, ENOENT, "No such file or directory");
    check_ok(symlink("/", path));
    refuse_volume(&volume, ESTALE, "was replaced by something else meanwhile");
    volume = volume_of("/proc");
    refuse_volume(&volume, EPERM, "cannot be a volume");
}

/* R63: real root writes /proc/sys without any capability, and a step that may mount sees it whole. */
TEST(sandbox_mounts, where_root_is_the_real_one_no_step_is_without_a_sandbox)
{
    auto_free char *path = str_format("%s/vol", test_dir());
    const struct sandbox_spec insecure = {.network = SANDBOX_NETWORK_NONE,
                                          .security = SANDBOX_SECURITY_INSECURE};
    struct spawner_volume volume;

    check_ok(mkdir(path, 0755));
    volume = volume_of(path);
    {
        auto_scene struct scene s = scene_new(&(struct spawner_options){
            .root_is_caller = true, .volumes = &volume, .volume_count = 1});

        if (geteuid() != 0) {
            scene_expect(&s, &insecure, "echo runs", "runs\n");
            return;
        }
        check_fails(scene_run(&s, &insecure, "true"), EPERM);
        check_contains(s.err.text, "root on the host cannot be without a sandbox");
        check_ok(scene_run(&s, NULL, "x=/proc/sys/kernel/panic; v=$(cat $x); echo $v > $x"));
        check_contains(str_text(&s.out), "Read-only file system");
    }
}

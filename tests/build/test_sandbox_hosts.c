/* test_sandbox_hosts.c - hosts that lack something: each is told what, and the way out (R60). */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builder/sandbox/hostinfo.h"
#include "fs/base/io.h"
#include "tests/build/mirror.h"
#include "tests/build/own_host.h"
#include "tests/build/scene.h"
#include "tests/lib/test.h"

struct outcome {
    int result;
    uint64_t id_count;
    struct error err;
};

static void open_with(const struct spawner_options *options, struct outcome *out)
{
    auto_spawner struct spawner *sp = NULL;

    out->result = spawner_open(options, &sp, &out->err);
    if (out->result == 0)
        out->result = spawner_wait_ready(sp, &out->err);
    if (out->result == 0)
        out->id_count = spawner_id_count(sp);
}

static void open_single(const void *argument, void *out)
{
    (void)argument;
    open_with(&(struct spawner_options){.single_id = true}, out);
}

static void open_default(const void *argument, void *out)
{
    (void)argument;
    open_with(NULL, out);
}

static const struct own_host_cover nothing_covered[] = {{NULL, NULL}};

/* The opposite of what follows: the trick itself breaks nothing. */
TEST(sandbox_hosts, one_id_is_enough_when_asked_for)
{
    struct outcome out = {0};

    own_host_run(nothing_covered, open_single, NULL, &out, sizeof(out));
    check_text(out.err.text, "");
    check_int(out.id_count, 1);
}

/* P4: never silently. */
TEST(sandbox_hosts, one_id_is_not_enough_unless_asked_for)
{
    struct outcome out = {0};

    own_host_run(nothing_covered, open_default, NULL, &out, sizeof(out));
    check_error(&out.err, EPERM, "'/proc/self/uid_map' leaves no ids for steps");
}

/* A range next to the last of the others is proposed. */
TEST(sandbox_hosts, an_account_without_a_range_is_told_a_command_that_overlaps_nobody)
{
    auto_free char *path = str_format("%s/subuid", test_dir());
    const struct own_host_cover covers[] = {{"/etc/subuid", path}, {NULL, NULL}};
    const char text[] = "a:100000:65536\nb:300000:65536\nc:165536:1000\n";
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    struct outcome out = {0};

    test_need("uidmap", access("/usr/bin/newuidmap", X_OK) == 0, "newuidmap is missing");
    check_ok(io_write_full(fd, text, strlen(text)));
    own_host_run_as_user(covers, open_default, NULL, &out, sizeof(out));
    check_error(&out.err, ENOENT, "user '4321' has no subordinate ids in '/etc/subuid'");
    check_hint(&out.err, "run as root: usermod --add-subuids 365536-431071 --add-subgids "
                         "365536-431071 4321; or build with --single-id");
}

TEST(sandbox_hosts, missing_id_map_helpers_are_named)
{
    static const struct own_host_cover covers[] = {{"/usr/bin/newuidmap", OWN_HOST_NOTHING},
                                                   {"/usr/local/bin/newuidmap", OWN_HOST_NOTHING},
                                                   {NULL, NULL}};
    struct outcome out = {0};

    own_host_run_as_user(covers, open_default, NULL, &out, sizeof(out));
    check_error(&out.err, ENOENT, "newuidmap is not installed");
    check_hint(&out.err, "install the package 'uidmap' (on Fedora: 'shadow-utils')");
}

static void open_without_new_privileges(const void *argument, void *out)
{
    (void)argument;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        open_with(NULL, out);
}

TEST(sandbox_hosts, no_new_privileges_is_recognised)
{
    struct outcome out = {0};

    test_need("uidmap", access("/usr/bin/newuidmap", X_OK) == 0, "newuidmap is missing");
    own_host_run_as_user(nothing_covered, open_without_new_privileges, NULL, &out, sizeof(out));
    check_error(&out.err, EPERM,
                "newuidmap cannot work: this process may not gain privileges "
                "(no_new_privs)");
}

/* R2: a helper that claims success without doing anything. */
TEST(sandbox_hosts, a_helper_that_lies_is_found_out)
{
    auto_free char *path = str_format("%s/subuid", test_dir());
    const struct own_host_cover covers[] = {{"/usr/bin/newuidmap", "/bin/true"},
                                            {"/usr/bin/newgidmap", "/bin/true"},
                                            {"/etc/subuid", path},
                                            {"/etc/subgid", path},
                                            {NULL, NULL}};
    const char text[] = "4321:100000:65536\n";
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    struct outcome out = {0};

    test_need("uidmap", access("/usr/bin/newuidmap", X_OK) == 0, "newuidmap is missing");
    check_ok(io_write_full(fd, text, strlen(text)));
    own_host_run_as_user(covers, open_default, NULL, &out, sizeof(out));
    check_int(out.result, -EPERM);
    check_contains(out.err.text, "uid_map' is not the map that was asked for");
}

/* Set-user-id does nothing in a namespace without the host's root, so the real one fails there. */
TEST(sandbox_hosts, a_helper_that_refuses_is_quoted)
{
    auto_free char *path = str_format("%s/subuid", test_dir());
    const struct own_host_cover covers[] = {
        {"/etc/subuid", path}, {"/etc/subgid", path}, {NULL, NULL}};
    const char text[] = "4321:100000:65536\n";
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    struct outcome out = {0};

    test_need("uidmap", access("/usr/bin/newuidmap", X_OK) == 0, "newuidmap is missing");
    check_ok(io_write_full(fd, text, strlen(text)));
    own_host_run_as_user(covers, open_default, NULL, &out, sizeof(out));
    check_int(out.result, -EPERM);
    check_contains(out.err.text, "newuidmap' refused the id map: newuidmap: ");
    check_true(strstr(out.err.hint, "it must agree with /etc/subuid") == out.err.hint);
}

TEST(sandbox_hosts, a_missing_fuse_device_is_named)
{
    static const struct own_host_cover covers[] = {{"/dev/fuse", OWN_HOST_NOTHING}, {NULL, NULL}};
    struct outcome out = {0};

    own_host_run(covers, open_single, NULL, &out, sizeof(out));
    check_error(&out.err, ENODEV, "cannot use '/dev/fuse': No such device");
    check_hint(&out.err, "run as root: modprobe fuse; in a container add --device /dev/fuse");
}

/* As container engines do; the kernel then refuses a procfs that would show what is hidden. */
static void open_with_masked_proc(const void *argument, void *out)
{
    (void)argument;
    if (mount("none", "/proc/sys", "tmpfs", 0, NULL) == 0)
        open_single(NULL, out);
}

TEST(sandbox_hosts, a_masked_proc_is_recognised)
{
    struct outcome out = {0};

    own_host_run(nothing_covered, open_with_masked_proc, NULL, &out, sizeof(out));
    check_error(&out.err, EPERM, "cannot mount a fresh /proc: Operation not permitted");
    check_hint(&out.err, "parts of this /proc are masked; in a container run with --security-opt "
                         "systempaths=unconfined (Kubernetes: procMount: Unmasked)");
}

static void open_without_user_namespaces(const void *argument, void *out)
{
    auto_close int fd = open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);

    (void)argument;
    if (fd >= 0 && write(fd, "0", 1) == 1)
        open_single(NULL, out);
}

TEST(sandbox_hosts, exhausted_user_namespaces_are_recognised)
{
    struct outcome out = {0};

    own_host_run(nothing_covered, open_without_user_namespaces, NULL, &out, sizeof(out));
    check_error(&out.err, ENOSPC, "cannot make a user namespace: No space left on device");
    check_hint(&out.err, "user.max_user_namespaces is 0 or used up; run as root: sysctl -w "
                         "user.max_user_namespaces=15000");
}

/* ---- executable memory files forbidden ---- */

struct attempt {
    const char *root;
};

struct answer {
    int result;
    char text[256];
    struct error err;
};

static void write_own_image(const struct attempt *attempt, struct answer *out)
{
    const struct spawner_options options = {.single_id = true};
    char *argv[] = {(char *)(uintptr_t) "/bin/guest", (char *)(uintptr_t) "write",
                    (char *)(uintptr_t) "/proc/1/exe", NULL};
    const struct sandbox_spec spec = {
        .argv = argv, .env = (char *[]){NULL}, .network = SANDBOX_NETWORK_NONE};
    auto_spawner struct spawner *sp = NULL;
    auto_sandbox struct sandbox *box = NULL;
    auto_mirror struct mirror *m = NULL;
    auto_close int fd = -1;
    struct sandbox_result status;
    ssize_t n;

    out->result = spawner_open(&options, &sp, &out->err);
    if (out->result == 0)
        out->result = sandbox_start(sp, &spec, &box, &out->err);
    if (out->result < 0)
        return;
    m = mirror_serve(attempt->root, sandbox_take_tree_fd(box, 0));
    fd = sandbox_take_stdout_fd(box);
    n = read(fd, out->text, sizeof(out->text) - 1);
    out->text[n > 0 ? n : 0] = '\0';
    out->result = sandbox_wait(box, &status, &out->err);
}

/* The switch belongs to a pid namespace, so it can be thrown for one process. */
static void forbid_and_try(const void *argument, void *out)
{
    struct answer *shared = out;
    int pipe_fds[2];
    pid_t pid;

    shared->result = -ENOTSUP;
    if (unshare(CLONE_NEWPID) < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
        return;
    pid = fork();
    if (pid == 0) {
        auto_close int fd = -1;

        if (mount("proc", "/proc", "proc", 0, NULL) == 0)
            fd = open("/proc/sys/vm/memfd_noexec", O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && write(fd, "2", 1) == 1)
            write_own_image(argument, shared);
        _exit(io_write_full(pipe_fds[1], shared, sizeof(*shared)) < 0);
    }
    close(pipe_fds[1]);
    (void)io_read_full(pipe_fds[0], shared, sizeof(*shared)); /* nothing: stays ENOTSUP */
    (void)waitpid(pid, NULL, 0);
}

/* R9 with vm.memfd_noexec=2. */
TEST(sandbox_hosts, without_executable_memory_files_the_image_is_still_out_of_reach)
{
    auto_scene struct scene s = scene_new(NULL);
    const struct attempt attempt = {.root = s.root};
    static struct answer out;

    test_need("root", geteuid() == 0, "only root may set vm.memfd_noexec");
    own_host_run(nothing_covered, forbid_and_try, &attempt, &out, sizeof(out));
    test_need("memfd_noexec", out.result != -ENOTSUP, "vm.memfd_noexec cannot be set");
    check_text(out.err.text, "");
    check_int(out.result, 0);
    check_text(out.text, "Permission denied\n");
}

/* ---- img doctor ---- */

TEST(sandbox_hosts, a_host_that_runs_steps_is_found_fit)
{
    auto_scene struct scene s = scene_new(NULL); /* skips where steps cannot run */
    auto_host_report struct host_report report;

    host_probe(&report);
    for (size_t i = 0; i < report.count; i++) {
        const struct host_row *row = &report.items[i];

        check_true(row->sentence[0] != '\0');
        check_true(row->ok || row->remedy);
        if (!row->ok && !row->optional)
            check_fail("%s: %s", row->name, row->sentence);
    }
}

static void probe_into(const void *argument, void *out)
{
    auto_host_report struct host_report report;
    char *text = out;
    size_t used = 0;

    (void)argument;
    host_probe(&report);
    for (size_t i = 0; i < report.count; i++)
        used += (size_t)snprintf(text + used, 2048 - used, "%s %d\n", report.items[i].name,
                                 report.items[i].ok);
}

TEST(sandbox_hosts, a_host_without_fuse_is_found_unfit)
{
    static const struct own_host_cover covers[] = {{"/dev/fuse", OWN_HOST_NOTHING}, {NULL, NULL}};
    char out[2048] = "";

    own_host_run(covers, probe_into, NULL, out, sizeof(out));
    check_contains(out, "/dev/fuse 0\n");
    check_lacks(out, "isolation 1\n"); /* the row of /dev/fuse says why */
    check_contains(out, "kernel 1\n");
}

/* test_sandbox.c - what a step is given and what it is not (SECURITY 2a, 3). Real namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "tests/build/scene.h"
#include "tests/lib/test.h"

#define NONE .network = SANDBOX_NETWORK_NONE

static char *words(const char *text)
{
    return (char *)(uintptr_t)text;
}

TEST(sandbox, output_and_status_come_back)
{
    auto_scene struct scene s = scene_new(NULL);

    scene_expect(&s, NULL, "echo one; echo two", "one\ntwo\n");
    check_ok(scene_run(&s, NULL, "exit 7"));
    check_int(s.result.status, 7);
    check_int(s.result.signal, 0);
    check_ok(scene_run(&s, NULL, "kill -9 $$"));
    check_int(s.result.status, 128 + SIGKILL);
    check_int(s.result.signal, SIGKILL);
}

/* R12: the environment is the spec's, nothing is inherited; neither is it init's. */
TEST(sandbox, nothing_of_the_callers_environment_is_inside)
{
    char *const env[] = {words("PATH=/bin"), words("A=b"), NULL};
    auto_scene struct scene s = {0};

    setenv("SECRET_X", "1", 1);
    s = scene_new(NULL);
    scene_expect(&s, &(struct sandbox_spec){NONE, .env = env}, "env | grep -v PWD | sort",
                 "A=b\nPATH=/bin\nSHLVL=1\n");
    check_ok(scene_run(&s, NULL, "cat /proc/1/environ 2>/dev/null | grep -c SECRET_X"));
    check_text(str_text(&s.out), "0\n");
    unsetenv("SECRET_X");
}

/* R8. */
TEST(sandbox, no_descriptor_of_the_caller_is_inside)
{
    int fds[18];
    auto_scene struct scene s = {0};

    for (size_t i = 0; i < 18; i++)
        fds[i] = open("/etc/passwd", O_RDONLY); /* on purpose not close-on-exec */
    s = scene_new(NULL);
    scene_expect(&s, NULL, "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 "); /* 3 is ls's own */
    scene_expect(&s, NULL, "readlink /proc/self/fd/0", "/dev/null\n");
    for (size_t i = 0; i < 18; i++)
        close(fds[i]);
}

/* R11. */
TEST(sandbox, there_is_no_terminal)
{
    auto_scene struct scene s = scene_new(NULL);

    check_ok(scene_run(&s, NULL, "echo x > /dev/tty"));
    check_true(s.result.status != 0);
    scene_expect(&s, NULL, "cut -d' ' -f6 /proc/self/stat; cut -d' ' -f7 /proc/self/stat",
                 "2\n0\n"); /* its own session; no tty */
}

/* R4. */
TEST(sandbox, every_namespace_is_its_own)
{
    static const char *const kinds[] = {"mnt", "pid", "ipc", "uts", "cgroup", "net", "user"};
    auto_scene struct scene s = scene_new(NULL);

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        auto_free char *line = str_format("readlink /proc/self/ns/%s", kinds[i]);
        auto_free char *path = str_format("/proc/self/ns/%s", kinds[i]);
        auto_free char *first = NULL;
        char host[64] = "";

        check_true(readlink(path, host, sizeof(host) - 1) > 0);
        check_ok(scene_run(&s, NULL, line));
        first = mem_strdup(str_text(&s.out));
        first[strcspn(first, "\n")] = '\0';
        check_false(strcmp(first, host) == 0);
        check_true(strncmp(first, kinds[i], strlen(kinds[i])) == 0);
    }
    check_ok(scene_run(&s, &(struct sandbox_spec){.network = SANDBOX_NETWORK_HOST},
                       "readlink /proc/self/ns/net"));
    {
        char host[64] = "";

        check_true(readlink("/proc/self/ns/net", host, sizeof(host) - 1) > 0);
        str_truncate(&s.out, s.out.size - 1);
        check_text(str_text(&s.out), host);
    }
}

/* R5, R64: golden list of every mount; nothing is shared, no path of the host is named. */
TEST(sandbox, the_mounts_are_these_and_no_others)
{
    auto_scene struct scene s = scene_new(NULL);

    scene_expect(&s, NULL, "cut -d' ' -f5 /proc/self/mountinfo | grep -v ^/proc/ | sort",
                 "/\n/dev\n/dev/full\n/dev/mqueue\n/dev/null\n/dev/pts\n/dev/random\n/dev/shm\n"
                 "/dev/tty\n/dev/urandom\n/dev/zero\n/etc/hostname\n/etc/hosts\n"
                 "/etc/resolv.conf\n/proc\n/sys\n/sys/firmware\n");
    scene_expect(&s, NULL, "grep -c -e shared: -e master: /proc/self/mountinfo; true", "0\n");
    check_ok(scene_run(&s, NULL, "cat /proc/self/mountinfo"));
    check_lacks(str_text(&s.out), s.root);
    scene_expect(&s, NULL,
                 "cd /; for i in 1 2 3 4 5 6 7 8 9; do cd ..; done; pwd; ls -d bin/busybox",
                 "/\nbin/busybox\n");
    scene_expect(&s, NULL, "grep ' / / ' /proc/self/mountinfo | cut -d' ' -f6 | grep -c nodev",
                 "1\n");
}

/* R13. CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT
 * SETFCAP are bits 0 1 3 4 5 6 7 8 10 18 31. */
TEST(sandbox, capabilities_are_the_eleven)
{
    const char *line = "grep -e Cap -e Seccomp: -e NoNewPrivs /proc/self/status | tr -d '\\t'";
    auto_scene struct scene s = scene_new(NULL);

    scene_expect(&s, NULL, line,
                 "CapInh:0000000000000000\nCapPrm:00000000800405fb\nCapEff:00000000800405fb\n"
                 "CapBnd:00000000800405fb\nCapAmb:0000000000000000\nNoNewPrivs:0\nSeccomp:2\n");
    scene_expect(&s, &(struct sandbox_spec){NONE, .uid = 1000, .gid = 1000}, line,
                 "CapInh:0000000000000000\nCapPrm:0000000000000000\nCapEff:0000000000000000\n"
                 "CapBnd:00000000800405fb\nCapAmb:0000000000000000\nNoNewPrivs:0\nSeccomp:2\n");
    scene_expect(&s, &(struct sandbox_spec){NONE, .security = SANDBOX_SECURITY_NO_NEW_PRIVILEGES},
                 "grep NoNewPrivs /proc/self/status | tr -d '\\t'", "NoNewPrivs:1\n");
    scene_expect(&s, &(struct sandbox_spec){NONE, .security = SANDBOX_SECURITY_INSECURE},
                 "grep Seccomp: /proc/self/status | tr -d '\\t'; mount -t tmpfs x /mnt && echo ok",
                 "Seccomp:0\nok\n");
    check_ok(scene_run(&s, NULL, "mount -t tmpfs x /mnt"));
    check_true(s.result.status != 0);
}

/* R3. */
TEST(sandbox, user_and_groups_are_the_specs)
{
    static const gid_t groups[] = {27, 50};
    auto_scene struct scene s = scene_new(NULL);

    scene_expect(&s, NULL, "id", "uid=0 gid=0\n");
    scene_expect(&s, NULL, "id -G", "0\n");
    scene_expect(
        &s,
        &(struct sandbox_spec){NONE, .uid = 1000, .gid = 100, .groups = groups, .group_count = 2},
        "id -u; id -G", "1000\n100 27 50\n");
}

/* An escaped step is nobody the host knows (R1). */
TEST(sandbox, container_root_is_a_subordinate_id)
{
    auto_scene struct scene s = scene_new(NULL);
    unsigned inside = 1;
    unsigned outside = 0;

    check_ok(scene_run(&s, NULL, "cat /proc/self/uid_map"));
    check_int(sscanf(str_text(&s.out), "%u %u", &inside, &outside), 2);
    check_int(inside, 0);
    check_true(outside != 0 && outside != getuid());
}

TEST(sandbox, a_user_can_open_its_standard_streams_by_name)
{
    auto_scene struct scene s = scene_new(NULL);

    scene_expect(&s, &(struct sandbox_spec){NONE, .uid = 1000, .gid = 1000},
                 "echo a > /dev/stdout; echo b > /proc/self/fd/2", "a\nb\n");
}

/* R15. */
TEST(sandbox, the_kernels_controls_are_masked_or_read_only)
{
    auto_scene struct scene s = scene_new(NULL);

    check_ok(scene_run(&s, NULL, "echo x > /proc/sys/kernel/core_pattern"));
    check_contains(str_text(&s.out), "Read-only file system");
    check_ok(scene_run(&s, NULL,
                       "test -e /proc/sysrq-trigger || exit 0; "
                       "echo h > /proc/sysrq-trigger; exit 1"));
    check_true(s.result.status == 0 || strstr(str_text(&s.out), "Read-only file system"));
    scene_expect(&s, NULL,
                 "cat /proc/kcore /proc/keys /proc/timer_list /proc/interrupts "
                 "2>/dev/null; true",
                 "");
    scene_expect(&s, NULL, "ls /sys/firmware /proc/acpi 2>/dev/null | grep -v : | tr -d '\\n'", "");
    check_ok(scene_run(&s, NULL, "mkdir /sys/fs/cgroup/x"));
    check_true(s.result.status != 0);
}

/* R9: the file behind init cannot be opened for writing, nor read, by any name. */
TEST(sandbox, our_executable_is_out_of_reach)
{
    auto_scene struct scene s = scene_new(NULL);

    check_ok(scene_run(&s, NULL, "echo x > /proc/1/exe"));
    check_true(s.result.status != 0);
    scene_expect(&s, NULL, "cat /proc/1/exe /proc/1/environ /proc/1/maps 2>/dev/null | wc -c",
                 "0\n");
}

TEST(sandbox, etc_files_are_given_read_only_and_the_image_keeps_its_own)
{
    const struct sandbox_spec spec = {NONE, .hostname = "box", .hosts = "1.2.3.4 h\n",
                                      .resolv_conf = "nameserver 9.9.9.9\n"};
    auto_scene struct scene s = scene_new(NULL);
    auto_str struct str kept = {0};
    auto_free char *path = str_format("%s/etc/hosts", s.root);

    scene_expect(&s, &spec, "cat /etc/hosts /etc/resolv.conf /etc/hostname; hostname",
                 "1.2.3.4 h\nnameserver 9.9.9.9\nbox\nbox\n");
    check_ok(scene_run(&s, &spec, "echo x >> /etc/hosts"));
    check_contains(str_text(&s.out), "Read-only file system");
    check_ok(io_read_file(AT_FDCWD, path, 100, &kept, &test_err));
    check_text(str_text(&kept), "the image's own\n");
}

/* R7. */
TEST(sandbox, background_processes_end_with_the_step)
{
    auto_scene struct scene s = scene_new(NULL);

    scene_expect(&s, NULL, "(trap '' TERM HUP INT; sleep 1; touch /late) & echo done", "done\n");
    scene_expect(&s, NULL, "sleep 2; test ! -e /late", "");
    check_false(scene_has(&s, "late"));
}

TEST(sandbox, orphans_are_reaped)
{
    auto_scene struct scene s = scene_new(NULL);

    scene_expect(&s, NULL, "(sleep 0 & sleep 0 & ) ; sleep 0.2; ps -o stat,args | grep -c ^Z; true",
                 "0\n");
}

TEST(sandbox, a_kill_ends_everything_and_is_told_apart)
{
    char *const argv[] = {words("/bin/sh"), words("-c"), words("setsid sleep 99 & sleep 99"), NULL};
    auto_scene struct scene s = scene_new(NULL);
    const struct sandbox_spec spec = {NONE, .argv = argv};
    auto_sandbox struct sandbox *box = NULL;

    /* Its tree is never served, so the step is stuck in its very first look-up. */
    check_ok(sandbox_start(s.spawner, &spec, &box, &s.err));
    sandbox_kill(box);
    check_fails(sandbox_wait(box, &s.result, &s.err), ECANCELED);
    check_error(&s.err, ECANCELED, "the step was stopped");
}

/* ---- sentences ---- */

static int run_program(struct scene *s, const char *program)
{
    char *const argv[] = {words(program), NULL};
    char *const env[] = {words("PATH=/nowhere:/bin"), NULL};

    return scene_run_spec(s, &(struct sandbox_spec){NONE, .argv = argv, .env = env});
}

TEST(sandbox, a_command_that_cannot_start_is_explained)
{
    auto_scene struct scene s = scene_new(NULL);

    check_fails(run_program(&s, "/none/sh"), ENOENT);
    check_error(&s.err, ENOENT, "cannot start '/none/sh': No such file or directory");
    check_hint(&s.err, "the base image has no shell; use the exec form, RUN [\"program\", "
                       "\"argument\"]");
    check_fails(run_program(&s, "none"), ENOENT);
    check_error(&s.err, ENOENT, "cannot start 'none': no such program in PATH");
    scene_file(&s, "bin/plain", 0644, "x");
    check_fails(run_program(&s, "/bin/plain"), EACCES);
    check_error(&s.err, EACCES, "cannot start '/bin/plain': Permission denied");
    scene_file(&s, "bin/script", 0755, "#!/none\n");
    check_fails(run_program(&s, "script"), ENOENT);
    check_error(&s.err, ENOENT,
                "cannot start 'script': its interpreter or dynamic linker is missing");
    scene_file(&s, "bin/data", 0755, "\177ELFnot");
    check_fails(run_program(&s, "/bin/data"), ENOEXEC);
    check_error(&s.err, ENOEXEC, "cannot start '/bin/data': Exec format error");
    check_ok(run_program(&s, "true"));
}

TEST(sandbox, a_working_directory_is_entered_or_named)
{
    auto_scene struct scene s = scene_new(NULL);

    scene_expect(&s, &(struct sandbox_spec){NONE, .cwd = "/etc"}, "pwd", "/etc\n");
    check_fails(scene_run(&s, &(struct sandbox_spec){NONE, .cwd = "/none"}, "pwd"), ENOENT);
    check_error(&s.err, ENOENT,
                "cannot enter working directory '/none': No such file or directory");
}

/* R8, CVE-2024-21626: a working directory reached through a descriptor of ours. */
TEST(sandbox, a_working_directory_never_leads_out)
{
    auto_scene struct scene s = scene_new(NULL);

    for (int fd = 0; fd < 64; fd++) {
        auto_free char *cwd = str_format("/proc/self/fd/%d", fd);
        int r = scene_run(&s, &(struct sandbox_spec){NONE, .cwd = cwd}, "pwd; ls ../../../bin");

        if (r == 0)
            check_contains(str_text(&s.out), "busybox");
    }
}

/* R15: an image whose /proc, /dev or /sys is something else. */
TEST(sandbox, links_in_place_of_system_directories_are_refused)
{
    static const char *const names[] = {"proc", "dev", "sys"};
    auto_scene struct scene s = scene_new(NULL);

    for (size_t i = 0; i < 3; i++) {
        auto_free char *sentence =
            str_format("cannot mount '/%s' for the step: Not a directory", names[i]);

        scene_remove(&s, names[i]);
        scene_link(&s, "/tmp", names[i]);
        check_fails(scene_run(&s, NULL, "true"), ENOTDIR);
        check_error(&s.err, ENOTDIR, sentence);
        check_hint(&s.err, "the base image has something else in its place");
        scene_remove(&s, names[i]);
        scene_file(&s, names[i], 0644, "");
        check_fails(scene_run(&s, NULL, "true"), ENOTDIR);
        scene_remove(&s, names[i]);
        scene_dir(&s, names[i]);
    }
    scene_expect(&s, NULL, "echo ok", "ok\n");
}

/* Debian's own /etc/resolv.conf is such a link; one that leaves the root stays inside it. */
TEST(sandbox, links_to_etc_files_are_followed_inside_the_root)
{
    const struct sandbox_spec spec = {NONE, .resolv_conf = "x\n"};
    auto_scene struct scene s = scene_new(NULL);

    scene_remove(&s, "etc/resolv.conf");
    scene_file(&s, "tmp/real", 0644, "");
    scene_link(&s, "../../../../tmp/real", "etc/resolv.conf");
    scene_expect(&s, &spec, "cat /tmp/real /etc/resolv.conf", "x\nx\n");
    scene_remove(&s, "etc/resolv.conf");
    scene_link(&s, "/proc/1/environ", "etc/resolv.conf");
    check_fails(scene_run(&s, &spec, "true"), EPERM);
    check_error(&s.err, EPERM,
                "cannot mount '/etc/resolv.conf' for the step: Operation not permitted");
}

/* ---- limits ---- */

TEST(sandbox, limits_have_defaults_and_can_be_set)
{
    const struct sandbox_ulimit limits[] = {
        {.resource = RLIMIT_NOFILE, .soft = 100, .hard = 200},
        {.resource = RLIMIT_CPU, .soft = 50, .hard = UINT64_MAX},
    };
    auto_scene struct scene s = scene_new(NULL);

    scene_expect(&s, NULL, "ulimit -c; ulimit -n", "0\n1024\n");
    scene_expect(&s, &(struct sandbox_spec){NONE, .ulimits = limits, .ulimit_count = 2},
                 "ulimit -n; ulimit -H -n; ulimit -t", "100\n200\n50\n");
    check_ok(scene_run(&s, NULL, "ulimit -u; df /dev/shm | grep -o '65536 '"));
    check_contains(str_text(&s.out), "65536");
    scene_expect(&s, &(struct sandbox_spec){NONE, .shm_size = 1 << 20},
                 "df /dev/shm | grep -c ' 1024 '", "1\n");
}

/* R16: a fork bomb hits a wall; the host does not. */
TEST(sandbox, processes_are_limited)
{
    const struct sandbox_ulimit limit = {.resource = RLIMIT_NPROC, .soft = 40, .hard = 40};
    auto_scene struct scene s = scene_new(NULL);

    check_ok(scene_run(&s,
                       &(struct sandbox_spec){NONE, .uid = 1000, .gid = 1000, .ulimits = &limit,
                                              .ulimit_count = 1},
                       "i=0; while test $i -lt 100; do sleep 60 & i=$((i+1)); done"));
    check_contains(str_text(&s.out), "fork");
    check_true(s.result.status != 0);
}

TEST(sandbox, a_limit_above_our_own_is_named)
{
    const struct sandbox_ulimit limit = {.resource = RLIMIT_NOFILE, .soft = 4, .hard = 4};
    auto_scene struct scene s = scene_new(NULL);
    struct sandbox_ulimit more = limit;
    struct rlimit now;

    check_ok(getrlimit(RLIMIT_NOFILE, &now));
    test_need("a hard limit", now.rlim_max != RLIM_INFINITY, "open files are not limited");
    more.hard = now.rlim_max + 1;
    check_fails(
        scene_run(&s, &(struct sandbox_spec){NONE, .ulimits = &more, .ulimit_count = 1}, "true"),
        EPERM);
    check_error(&s.err, EPERM,
                "cannot set the limit 'nofile' of the step: Operation not permitted");
    check_hint(&s.err, "it is above the limit img itself was started with (ulimit -H)");
}

/* ---- what the filter and the missing capabilities forbid, tried for real ---- */

TEST(sandbox, forbidden_calls_fail_as_documented)
{
    auto_scene struct scene s = scene_new(NULL);

    scene_expect(&s, NULL, "guest calls",
                 "unshare Operation not permitted\nkeyctl Operation not permitted\n"
                 "mknod Operation not permitted\n"
                 "vsock Address family not supported by protocol\n"
                 "fuse No such file or directory\nchroot worked\n");
    scene_expect(&s, NULL, "guest sti", "");
}

/* Section 3: by the filter EPERM, or ENOSYS where programs probe and fall back. */
TEST(sandbox, ways_into_the_kernel_are_closed)
{
    static const char *const probed[] = {"io_uring_setup", "clone3"};
    auto_scene struct scene s = scene_new(NULL);
    size_t count = 0;

    check_ok(scene_run(&s, NULL, "guest kernel"));
    check_int(s.result.status, 0);
    for (char *rest = s.out.data, *line; (line = strtok_r(rest, "\n", &rest)); count++) {
        bool is_probed = false;
        bool is_family = strstr(line, "alg socket") || strstr(line, "packet socket");
        const char *wanted = "Operation not permitted";

        for (size_t i = 0; i < 2; i++)
            is_probed = is_probed || text_starts(line, probed[i]);
        if (is_probed)
            wanted = "Function not implemented";
        if (is_family)
            wanted = "Address family not supported by protocol";
        if (!strstr(line, wanted))
            check_fail("'%s', expected '%s'", line, wanted);
    }
    check_int(count, 28);
}

/* R9: pid 1 of a step is a copy of img. Nothing of it can be read, traced or changed, not by root. */
TEST(sandbox, pid_1_is_out_of_reach)
{
    auto_scene struct scene s = scene_new(NULL);

    check_ok(scene_run(&s, NULL, "guest init"));
    check_int(s.result.status, 0);
    check_true(strstr(str_text(&s.out), "attach ") != NULL);
    if (strstr(str_text(&s.out), "worked"))
        check_fail("%s", str_text(&s.out));
}

/* What a host acts on by itself: core dumps, hot plug, magic keys, cgroups, the kernel's own files. */
TEST(sandbox, what_the_host_acts_on_cannot_be_written)
{
    static const char *const paths[] = {"/proc/sys/kernel/core_pattern",
                                        "/proc/sys/kernel/modprobe",
                                        "/proc/sys/vm/overcommit_memory",
                                        "/proc/sys/fs/binfmt_misc/register",
                                        "/proc/sys/net/ipv4/ip_forward",
                                        "/proc/sys/user/max_user_namespaces",
                                        "/proc/sysrq-trigger",
                                        "/proc/irq/default_smp_affinity",
                                        "/sys/kernel/uevent_helper",
                                        "/sys/kernel/mm/ksm/run",
                                        "/sys/power/state",
                                        "/sys/fs/cgroup/cgroup.procs",
                                        "/sys/fs/cgroup/release_agent"};
    auto_scene struct scene s = scene_new(NULL);

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        auto_free char *line = str_format("guest write %s", paths[i]);

        check_ok(scene_run(&s, NULL, line));
        if (strstr(str_text(&s.out), "opened"))
            check_fail("%s: %s", line, str_text(&s.out));
    }
    scene_expect(&s, NULL, "guest write /dev/null", "opened\n");
}

/* R14: su and sudo work, unless they are asked not to. */
TEST(sandbox, set_id_programs_change_the_user_unless_forbidden)
{
    const struct sandbox_spec user = {NONE, .uid = 1000, .gid = 1000};
    struct sandbox_spec strict = user;
    auto_free char *path = NULL;
    auto_scene struct scene s = scene_new(NULL);

    strict.security = SANDBOX_SECURITY_NO_NEW_PRIVILEGES;
    path = str_format("%s/bin/guest", s.root);
    scene_expect(&s, &user, "guest", "1000 1000\n");
    check_ok(chmod(path, 04755));
    scene_expect(&s, &user, "guest", "1000 0\n");
    scene_expect(&s, &strict, "guest", "1000 1000\n");
}

/* Ids that were not mapped are refused before anything runs. */
TEST(sandbox, a_user_without_an_id_here_is_explained)
{
    auto_scene struct scene s = scene_new(&(struct spawner_options){.single_id = true});

    scene_expect(&s, NULL, "id -u", "0\n");
    check_fails(scene_run(&s, &(struct sandbox_spec){NONE, .uid = 1000, .gid = 1000}, "true"),
                EINVAL);
    check_error(&s.err, EINVAL,
                "user 1000:1000 or one of its groups is not among the ids mapped here, 0 to 0");
    check_hint(&s.err, "give the account a larger range in /etc/subuid and /etc/subgid");
}

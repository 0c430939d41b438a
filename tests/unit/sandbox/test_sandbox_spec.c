/* test_sandbox_spec.c - what a spec may ask for, and the mount points it needs. */
#include <errno.h>

#include "builder/sandbox/sandbox.h"
#include "fs/base/str.h"
#include "tests/lib/test.h"

static char *const argv[] = {(char *)(uintptr_t) "/bin/true", NULL};

static const char *mountpoints(const struct sandbox_mount *mounts, size_t count)
{
    static struct str out;
    auto_mountpoint_list struct sandbox_mountpoint_list list = {0};
    const struct sandbox_spec spec = {
        .argv = argv, .tree_count = 3, .mounts = mounts, .mount_count = count};

    str_truncate(&out, 0);
    str_add(&out, "");
    check_ok(sandbox_mountpoints(&spec, &list, &test_err));
    for (size_t i = 0; i < list.count; i++)
        str_addf(&out, "%zu %s%s\n", list.items[i].tree, list.items[i].path,
                 list.items[i].is_dir ? "/" : "");
    return str_text(&out);
}

#define ALWAYS "0 /proc/\n0 /dev/\n0 /sys/\n0 /etc/resolv.conf\n0 /etc/hosts\n0 /etc/hostname\n"

TEST(sandbox_spec, every_step_needs_the_same_six)
{
    check_text(mountpoints(NULL, 0), ALWAYS);
}

TEST(sandbox_spec, each_mount_adds_its_target)
{
    const struct sandbox_mount mounts[] = {
        {.kind = SANDBOX_MOUNT_TREE, .target = "/src", .tree = 1},
        {.kind = SANDBOX_MOUNT_TREE,
         .target = "/go.mod",
         .tree = 1,
         .source = "/go.mod",
         .source_is_file = true},
        {.kind = SANDBOX_MOUNT_FILE, .target = "/run/secrets/x"},
        {.kind = SANDBOX_MOUNT_SOCKET, .target = "/run/agent"},
        {.kind = SANDBOX_MOUNT_TMPFS, .target = "/tmp"},
        {.kind = SANDBOX_MOUNT_TMPFS, .target = "/dev/shm/x"},
    };

    check_text(mountpoints(mounts, 6), ALWAYS "0 /src/\n0 /go.mod\n0 /run/secrets/x\n"
                                              "0 /run/agent\n0 /tmp/\n");
}

/* The one inside lies in the other's file system; in a tmpfs nobody has to make it. */
TEST(sandbox_spec, a_mount_inside_a_mount_needs_a_place_there)
{
    const struct sandbox_mount mounts[] = {
        {.kind = SANDBOX_MOUNT_TREE, .target = "/src", .tree = 1, .source = "/a"},
        {.kind = SANDBOX_MOUNT_TREE, .target = "/src/lib/x", .tree = 2},
        {.kind = SANDBOX_MOUNT_TMPFS, .target = "/tmp"},
        {.kind = SANDBOX_MOUNT_FILE, .target = "/tmp/key"},
        {.kind = SANDBOX_MOUNT_FILE, .target = "/srcs"},
    };

    check_text(mountpoints(mounts, 5), ALWAYS "0 /src/\n1 /a/lib/x/\n0 /tmp/\n0 /srcs\n");
}

static void refused(const struct sandbox_spec *spec, int code, const char *sentence)
{
    struct sandbox_mountpoint_list list;
    struct sandbox *box;

    check_fails(sandbox_mountpoints(spec, &list, &test_err), code);
    check_error(&test_err, code, sentence);
    check_fails(sandbox_start(NULL, spec, &box, &test_err), code); /* before anything is asked */
}

static void refused_target(const char *target, const char *sentence)
{
    const struct sandbox_mount mount = {.kind = SANDBOX_MOUNT_TMPFS, .target = target};
    const struct sandbox_spec spec = {.argv = argv, .mounts = &mount, .mount_count = 1};

    refused(&spec, EINVAL, sentence);
}

/* R15, R18. */
TEST(sandbox_spec, targets_that_would_undo_the_sandbox_are_refused)
{
    refused_target("/", "nothing can be mounted on '/'");
    refused_target("/proc", "nothing can be mounted on '/proc': '/proc' belongs to the sandbox");
    refused_target("/proc/sys",
                   "nothing can be mounted on '/proc/sys': '/proc' belongs to the sandbox");
    refused_target("/sys/fs", "nothing can be mounted on '/sys/fs': '/sys' belongs to the sandbox");
    refused_target("/dev/null",
                   "nothing can be mounted on '/dev/null': '/dev' belongs to the sandbox");
    refused_target("/a/../proc", "mount target '/a/../proc' is not a clean path");
    refused_target("/proc/", "mount target '/proc/' is not a clean path");
    refused_target("//proc", "mount target '//proc' is not a clean path");
    refused_target("tmp", "mount target 'tmp' is not an absolute path");
    refused_target(NULL, "mount target '' is not an absolute path");
}

TEST(sandbox_spec, devices_that_were_named_go_below_dev_and_nowhere_else_that_is_ours)
{
    const struct sandbox_mount mounts[] = {
        {.kind = SANDBOX_MOUNT_VOLUME,
         .target = "/dev/kvm",
         .source_is_file = true,
         .has_devices = true},
        {.kind = SANDBOX_MOUNT_VOLUME, .target = "/k", .source_is_file = true, .has_devices = true},
    };
    struct sandbox_mount bad = mounts[0];
    const struct sandbox_spec spec = {.argv = argv, .mounts = &bad, .mount_count = 1};

    check_text(mountpoints(mounts, 2), ALWAYS "0 /k\n");
    bad.target = "/dev";
    refused(&spec, EINVAL, "nothing can be mounted on '/dev': '/dev' belongs to the sandbox");
    bad.target = "/sys/x";
    refused(&spec, EINVAL, "nothing can be mounted on '/sys/x': '/sys' belongs to the sandbox");
    bad.target = "/dev/kvm";
    bad.has_devices = false;
    refused(&spec, EINVAL, "nothing can be mounted on '/dev/kvm': '/dev' belongs to the sandbox");
    bad.tree = SPAWNER_VOLUMES_MAX;
    bad.target = "/v";
    refused(&spec, EINVAL, "mount '/v' names volume 32 of 32");
}

/* P3: an unknown value is an error, never "no sandbox". */
TEST(sandbox_spec, unknown_modes_are_refused)
{
    refused(&(struct sandbox_spec){.argv = argv, .security = (enum sandbox_security)3}, EINVAL,
            "unknown security mode 3");
    refused(&(struct sandbox_spec){.argv = argv, .network = (enum sandbox_network)9}, EINVAL,
            "unknown network mode 9");
    refused(
        &(struct sandbox_spec){
            .argv = argv,
            .mounts = &(struct sandbox_mount){.kind = (enum sandbox_mount_kind)7, .target = "/x"},
            .mount_count = 1},
        EINVAL, "mount '/x' is of unknown kind 7");
}

TEST(sandbox_spec, a_step_without_a_command_or_with_too_much_is_refused)
{
    char *const none[] = {NULL};

    refused(&(struct sandbox_spec){.argv = none}, EINVAL, "there is no command to start");
    refused(&(struct sandbox_spec){.argv = argv, .cwd = "x"}, EINVAL,
            "working directory 'x' is not an absolute path");
    refused(&(struct sandbox_spec){.argv = argv, .tree_count = 65}, E2BIG,
            "a step can use 64 trees, not 65");
    refused(&(struct sandbox_spec){.argv = argv,
                                   .mounts = &(struct sandbox_mount){.kind = SANDBOX_MOUNT_TREE,
                                                                     .target = "/x",
                                                                     .tree = 1},
                                   .mount_count = 1},
            EINVAL, "mount '/x' names tree 1 of 1");
    refused(&(struct sandbox_spec){.argv = argv,
                                   .mounts = &(struct sandbox_mount){.kind = SANDBOX_MOUNT_SHARED,
                                                                     .target = "/x",
                                                                     .tree = 64},
                                   .mount_count = 1},
            EINVAL, "mount '/x' names shared tree 64 of 64");
}

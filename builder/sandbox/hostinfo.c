/* hostinfo.c - one probe per row, none of which changes the host. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builder/sandbox/hostinfo.h"
#include "builder/sandbox/idmap.h"
#include "builder/sandbox/network.h"
#include "builder/sandbox/spawner.h"
#include "builder/sandbox/userns.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

/* mount_setattr(2) is the youngest call a step cannot do without. */
#define KERNEL_MAJOR 5u
#define KERNEL_MINOR 12u

struct host_row *host_report_add(struct host_report *out, const char *name, bool ok, char *sentence)
{
    struct host_row *row = array_add(out);

    row->name = name;
    row->ok = ok;
    row->sentence = sentence;
    return row;
}

struct host_row *host_report_fail(struct host_report *out, const char *name,
                                  const struct error *err)
{
    struct host_row *row = host_report_add(out, name, false, mem_strdup(err->text));

    row->remedy = err->hint[0] ? mem_strdup(err->hint) : NULL;
    return row;
}

static void probe_kernel(struct host_report *out)
{
    struct utsname names;
    unsigned major_number = 0;
    unsigned minor_number = 0;
    struct host_row *row;

    if (uname(&names) < 0 || sscanf(names.release, "%u.%u", &major_number, &minor_number) != 2) {
        host_report_add(out, "kernel", false, mem_strdup("its release is unknown"));
        return;
    }
    row = host_report_add(out, "kernel",
                          major_number > KERNEL_MAJOR ||
                              (major_number == KERNEL_MAJOR && minor_number >= KERNEL_MINOR),
                          str_format("%s %s", names.sysname, names.release));
    if (!row->ok)
        row->remedy = str_format("steps need Linux %u.%u or later", KERNEL_MAJOR, KERNEL_MINOR);
}

/* In a child, which tells by its exit status: 0, or an errno, negative numbers being of no use
 * there. What is asked second gets its errno plus POWERLESS. */
#define POWERLESS 128

static int try_namespaces(void)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        if (unshare(CLONE_NEWUSER) < 0)
            _exit(errno < POWERLESS ? errno : EPERM);
        _exit(unshare(CLONE_NEWNS) < 0 ? POWERLESS + (errno < 127 ? errno : EPERM) : 0);
    }
    if (pid < 0)
        return errno;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
}

static void probe_user_namespaces(struct host_report *out)
{
    int code = try_namespaces();
    struct error err;

    error_clear(&err);
    if (code == 0) {
        host_report_add(out, "user namespaces", true, mem_strdup("can be made, and have powers"));
        return;
    }
    if (code >= POWERLESS)
        (void)userns_powerless(code - POWERLESS, &err); /* the row is the answer */
    else
        (void)userns_refused(code, &err); /* the row is the answer */
    host_report_fail(out, "user namespaces", &err);
}

static void probe_ids(struct host_report *out)
{
    static const char *const ways[] = {
        [ID_MAP_HELPER] = "through newuidmap and newgidmap",
        [ID_MAP_DIRECT] = "written by root",
        [ID_MAP_SINGLE] = "the caller's own",
    };
    struct id_map map;
    struct error err;
    uint64_t total;
    struct host_row *row;

    error_clear(&err);
    if (id_map_plan(false, &map, &err) < 0) {
        host_report_fail(out, "subordinate ids", &err);
        return;
    }
    total = id_ranges_total(&map.uids);
    row = host_report_add(
        out, "subordinate ids", total >= ID_COUNT_WANTED,
        str_format("%ju from %u, %s", (uintmax_t)total, map.uids.items[0].outside, ways[map.way]));
    row->optional = true;
    if (!row->ok)
        row->remedy = str_format("images use ids up to %u; give the account a larger range in "
                                 "/etc/subuid and /etc/subgid",
                                 ID_COUNT_WANTED - 1);
}

static int open_device(const char *path, unsigned major_wanted, unsigned minor_wanted)
{
    auto_close int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return errno;
    if (!S_ISCHR(st.st_mode) || major(st.st_rdev) != major_wanted ||
        minor(st.st_rdev) != minor_wanted)
        return ENODEV;
    /* Root's own open says nothing about the subordinate id that will do it. */
    return geteuid() == 0 && (st.st_mode & 0006) != 0006 ? EACCES : 0;
}

static void probe_fuse(struct host_report *out)
{
    int code = open_device("/dev/fuse", 10, 229);
    struct error err;

    error_clear(&err);
    if (code == 0) {
        host_report_add(out, "/dev/fuse", true, mem_strdup("can be opened"));
        return;
    }
    (void)fuse_refused(code, &err); /* the row is the answer */
    host_report_fail(out, "/dev/fuse", &err);
}

static void probe_tun(struct host_report *out)
{
    int code = open_device("/dev/net/tun", 10, 200);
    struct host_row *row =
        host_report_add(out, "/dev/net/tun", code == 0,
                        code == 0 ? mem_strdup("can be opened")
                                  : str_format("cannot be opened: %s", strerror(code)));

    row->optional = true;
    if (code != 0)
        row->remedy = mem_strdup("for a network in steps, run as root: modprobe tun; "
                                 "chmod 0666 /dev/net/tun");
}

/* All of it together: user, mount, pid and network namespaces, maps, procfs, filter. */
static void probe_namespaces(struct host_report *out)
{
    auto_spawner struct spawner *sp = NULL;
    struct error err;

    error_clear(&err);
    if (spawner_open(NULL, &sp, &err) == 0 && spawner_wait_ready(sp, &err) == 0) {
        host_report_add(out, "isolation", true, mem_strdup("steps can be isolated: it was tried"));
        return;
    }
    for (size_t i = 0; i < out->count; i++)
        if (strcmp(out->items[i].sentence, err.text) == 0)
            return; /* said already, with the same remedy */
    host_report_fail(out, "isolation", &err);
}

static void probe_network(struct host_report *out)
{
    const char *program = network_program(SPAWNER_HELPER_AUTO);
    struct host_row *row = host_report_add(
        out, "network helper", program != NULL,
        mem_strdup(program ? program : "neither slirp4netns nor pasta is installed"));

    row->optional = true;
    if (!program)
        row->remedy = mem_strdup("install slirp4netns or passt; without, steps have no network but "
                                 "--network=host");
}

void host_probe(struct host_report *out)
{
    *out = (struct host_report){0};
    probe_kernel(out);
    probe_user_namespaces(out);
    probe_ids(out);
    probe_fuse(out);
    host_probe_confinement(out);
    probe_namespaces(out);
    probe_network(out);
    probe_tun(out);
}

void host_report_release(struct host_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->items[i].sentence);
        free(report->items[i].remedy);
    }
    free(report->items);
    *report = (struct host_report){0};
}

/* hostinfo_confine.c - what confines processes on this host, as far as it concerns steps. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "builder/sandbox/hostinfo.h"
#include "fs/base/io.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define CGROUP2_MAGIC 0x63677270u /* statfs(2), CGROUP2_SUPER_MAGIC */
#define FILE_MAX (1u << 20)

/* A small file of a pseudo filesystem without its last newline; false when it cannot be read. */
static bool read_small(const char *path, struct str *out)
{
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    char buffer[4096];
    ssize_t got;

    if (fd < 0)
        return false;
    while ((got = read(fd, buffer, sizeof(buffer))) > 0 && out->size < FILE_MAX)
        str_add_bytes(out, buffer, (size_t)got);
    if (out->size > 0 && out->data[out->size - 1] == '\n')
        str_truncate(out, out->size - 1);
    return got >= 0;
}

static void probe_apparmor(struct host_report *out)
{
    auto_str struct str label = {0};
    auto_str struct str restricted = {0};
    struct host_row *row;

    if (access("/sys/kernel/security/apparmor", F_OK) < 0 &&
        access("/sys/module/apparmor", F_OK) < 0) {
        host_report_add(out, "AppArmor", true, mem_strdup("not in this kernel"));
        return;
    }
    if (!read_small("/proc/self/attr/apparmor/current", &label) &&
        !read_small("/proc/self/attr/current", &label))
        str_add(&label, "unknown");
    (void)read_small("/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
                     &restricted); /* absent: not restricted */
    row = host_report_add(out, "AppArmor",
                          strcmp(str_text(&restricted), "1") != 0 ||
                              strcmp(str_text(&label), "unconfined") != 0,
                          str_format("this process is %s%s", str_text(&label),
                                     strcmp(str_text(&restricted), "1") == 0
                                         ? "; user namespaces of programs without a profile have "
                                           "no powers"
                                         : ""));
    /* Whether that is in the way is what the row of user namespaces says. */
    row->optional = true;
    if (!row->ok)
        row->remedy = mem_strdup("if user namespaces fail, give img a profile with 'userns,'");
}

/* The field of /proc/self/status, or -1. */
static long status_number(const char *key)
{
    auto_str struct str text = {0};
    const char *at;

    if (!read_small("/proc/self/status", &text))
        return -1;
    at = strstr(str_text(&text), key);
    return at == NULL ? -1 : strtol(at + strlen(key), NULL, 10);
}

static void probe_seccomp(struct host_report *out)
{
    long mode = status_number("\nSeccomp:\t");
    long count = status_number("\nSeccomp_filters:\t");
    struct host_row *row;

    if (mode < 0) {
        row = host_report_add(out, "seccomp", false, mem_strdup("not in this kernel"));
        row->remedy =
            mem_strdup("the kernel needs CONFIG_SECCOMP_FILTER: steps run behind a filter");
    } else if (mode == 0) {
        host_report_add(out, "seccomp", true, mem_strdup("available; nothing is filtered here"));
    } else if (count > 0) {
        host_report_add(out, "seccomp", true,
                        str_format("available; %ld filter%s of a container or service on this "
                                   "process already",
                                   count, count == 1 ? "" : "s"));
    } else {
        host_report_add(out, "seccomp", true, mem_strdup("available; this process is filtered"));
    }
}

/* Mounts on top of parts of /proc, by which containers hide them. */
static size_t count_masks(void)
{
    auto_str struct str text = {0};
    size_t count = 0;

    if (!read_small("/proc/self/mountinfo", &text))
        return 0;
    for (const char *at = strstr(str_text(&text), " /proc/"); at != NULL;
         at = strstr(at + 1, " /proc/"))
        count += !text_starts(at, " /proc/sys/fs/binfmt_misc");
    return count;
}

static void probe_proc(struct host_report *out)
{
    size_t count = count_masks();
    struct host_row *row;

    row = host_report_add(out, "/proc", count == 0,
                          count == 0 ? mem_strdup("whole: steps can have one of their own")
                                     : str_format("%zu parts are covered by other mounts", count));
    /* The kernel decides, when a spawner is opened: root is allowed more. */
    row->optional = true;
    if (count > 0)
        row->remedy = mem_strdup("if steps cannot be isolated: docker run --security-opt "
                                 "systempaths=unconfined; Kubernetes: procMount: Unmasked");
}

static void probe_cgroups(struct host_report *out)
{
    auto_str struct str path = {0};
    auto_str struct str controllers = {0};
    auto_free char *file = NULL;
    struct statfs fs;

    if (statfs("/sys/fs/cgroup", &fs) < 0 || (unsigned)fs.f_type != CGROUP2_MAGIC) {
        host_report_add(out, "cgroups", true,
                        mem_strdup("version 1 or none: img needs none; limit img itself"));
        return;
    }
    if (read_small("/proc/self/cgroup", &path) && text_starts(str_text(&path), "0::"))
        file = str_format("/sys/fs/cgroup%s/cgroup.controllers", str_text(&path) + 3);
    if (file == NULL || !read_small(file, &controllers) || controllers.size == 0)
        str_add(&controllers, "none");
    host_report_add(out, "cgroups", true,
                    str_format("version 2, controllers here: %s; limit img itself (systemd-run)",
                               str_text(&controllers)));
}

void host_probe_confinement(struct host_report *out)
{
    probe_apparmor(out);
    probe_seccomp(out);
    probe_proc(out);
    probe_cgroups(out);
}

/* userns.c - what the host's settings say about it. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "builder/sandbox/userns.h"
#include "fs/base/cleanup.h"

#include "fs/base/banned.h"

static bool file_says(const char *path, char digit)
{
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    char first = '\0';

    return fd >= 0 && read(fd, &first, 1) == 1 && first == digit;
}

int userns_refused(int code, struct error *err)
{
    error_set(err, code, "cannot make a user namespace: %s", strerror(code));
    if (code == ENOSPC || file_says("/proc/sys/user/max_user_namespaces", '0'))
        return error_hint(err, "user.max_user_namespaces is 0 or used up; run as root: sysctl -w "
                               "user.max_user_namespaces=15000");
    if (file_says("/proc/sys/kernel/unprivileged_userns_clone", '0'))
        return error_hint(err, "run as root: sysctl -w kernel.unprivileged_userns_clone=1");
    if (code == EPERM)
        return error_hint(err, "in a container, its seccomp profile must allow unshare and mount "
                               "(docker run --security-opt seccomp=unconfined)");
    return error_hint(err, "the kernel needs CONFIG_USER_NS");
}

int fuse_refused(int code, struct error *err)
{
    error_set(err, code, "cannot use '/dev/fuse': %s", strerror(code));
    if (code == EACCES || code == EPERM)
        return error_hint(err, "run as root: chmod 0666 /dev/fuse; in a container the device must "
                               "be allowed too (docker run --device /dev/fuse)");
    return error_hint(err, "run as root: modprobe fuse; in a container add --device /dev/fuse");
}

int userns_powerless(int code, struct error *err)
{
    error_set(err, code, "cannot make a mount namespace inside the user namespace: %s",
              strerror(code));
    if (file_says("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1'))
        return error_hint(err,
                          "AppArmor takes its capabilities away; put into /etc/apparmor.d/img: "
                          "'abi <abi/4.0>, profile img /usr/bin/img "
                          "flags=(unconfined) { userns, }' with the real path of img, then "
                          "run as root: apparmor_parser -r /etc/apparmor.d/img");
    return error_hint(err, "a security module or seccomp profile of the host forbids it");
}

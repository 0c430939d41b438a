/* sandbox_exec.c - from init's child to the command, in the order of SECURITY R4.
 *
 * session and stdio, limits, working directory, filter, bounding set, ids, capabilities, exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builder/sandbox/sandbox_exec.h"
#include "fs/base/limits.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define BIT(capability) (UINT64_C(1) << (capability))

/* SECURITY section 3. */
#define KEPT_CAPABILITIES                                                                          \
    (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_KILL) |  \
     BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SETFCAP) | BIT(CAP_SETGID) | BIT(CAP_SETPCAP) |           \
     BIT(CAP_SETUID) | BIT(CAP_SYS_CHROOT))

/* R16. A higher inherited limit is lowered to these, a lower one is kept. */
static const struct sandbox_ulimit default_limits[] = {
    {.resource = RLIMIT_CORE, .soft = 0, .hard = 0},
    {.resource = RLIMIT_NOFILE, .soft = 1024, .hard = 1048576}, /* select(2); what servers ask */
    {.resource = RLIMIT_NPROC, .soft = 32768, .hard = 32768},   /* a fork bomb ends here */
};

static int set_capabilities(uint64_t permitted)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    memset(data, 0, sizeof(data));
    for (unsigned i = 0; i < 2; i++) {
        data[i].permitted = (uint32_t)(permitted >> (32 * i));
        data[i].effective = data[i].permitted;
    }
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

void sandbox_drop_capabilities(void)
{
    (void)set_capabilities(BIT(CAP_KILL));
}

/* Capabilities outside the bounding set cannot come back, whatever is executed. The kernel answers
 * EINVAL for the first number it does not know. */
static int drop_bounding(void)
{
    for (unsigned long c = 0; c < 64; c++) {
        if ((KEPT_CAPABILITIES & BIT(c)) != 0)
            continue;
        if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
            return errno == EINVAL ? 0 : -errno;
    }
    return 0;
}

static int set_stdio(const struct sandbox_plan *plan)
{
    auto_close int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int in_fd = plan->stdin_fd;
    int out_fd = plan->stdout_fd;
    int err_fd = plan->stderr_fd;
    struct stat st;

    if (null_fd < 0 || fstat(null_fd, &st) < 0)
        return -errno;
    if (!S_ISCHR(st.st_mode))
        return -ENODEV;
    if (plan->terminal_fd >= 0)
        in_fd = out_fd = err_fd = plan->terminal_fd;
    else if (in_fd < 0)
        in_fd = null_fd;
    if (dup2(in_fd, STDIN_FILENO) < 0 || dup2(out_fd, STDOUT_FILENO) < 0 ||
        dup2(err_fd, STDERR_FILENO) < 0)
        return -errno;
    if (setsid() < 0) /* no controlling terminal of the caller's, and none to be had */
        return -errno;
    if (plan->terminal_fd >= 0 && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
        return -errno;
    /* A keyring is shared by all processes of a uid otherwise (R12). A kernel without keyrings, or
     * a host that filters the call, has nothing to share. */
    (void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
    return 0;
}

static int set_limit(const struct sandbox_ulimit *limit, bool clamp)
{
    struct rlimit value = {.rlim_cur = limit->soft, .rlim_max = limit->hard};
    struct rlimit now;

    if (clamp) {
        if (getrlimit((__rlimit_resource_t)limit->resource, &now) < 0)
            return -errno;
        if (value.rlim_max > now.rlim_max)
            value.rlim_max = now.rlim_max;
        if (value.rlim_cur > value.rlim_max)
            value.rlim_cur = value.rlim_max;
    }
    return setrlimit((__rlimit_resource_t)limit->resource, &value) < 0 ? -errno : 0;
}

static void set_limits(const struct sandbox_plan *plan)
{
    for (size_t i = 0; i < COUNT_OF(default_limits); i++)
        (void)set_limit(&default_limits[i], true); /* lowering a limit is always allowed */
    for (size_t i = 0; i < plan->spec->ulimit_count; i++) {
        int r = set_limit(&plan->spec->ulimits[i], false);

        if (r < 0)
            sandbox_child_fail(plan, STAGE_LIMIT, i, r);
    }
}

/* getcwd(2) of a directory outside the root starts with "(unreachable)" (R8: CVE-2024-21626). */
static int set_cwd(const char *cwd)
{
    static char where[LIMIT_PATH_SIZE];

    if (chdir(cwd) < 0 || syscall(SYS_getcwd, where, sizeof(where)) < 0)
        return -errno;
    return where[0] == '/' ? 0 : -EXDEV;
}

static int set_ids(const struct sandbox_plan *plan)
{
    const struct sandbox_spec *spec = plan->spec;

    /* With one id setgroups is denied (user_namespaces(7)); there are no other groups to have. */
    if (!plan->is_single_id && setgroups(spec->group_count, spec->groups) < 0)
        return -errno;
    if (setresgid(spec->gid, spec->gid, spec->gid) < 0 ||
        setresuid(spec->uid, spec->uid, spec->uid) < 0)
        return -errno;
    return 0;
}

static int set_privileges(const struct sandbox_plan *plan)
{
    bool insecure = plan->spec->security == SANDBOX_SECURITY_INSECURE;
    int r = insecure ? 0 : drop_bounding();

    if (r < 0)
        return r;
    r = set_ids(plan);
    if (r < 0)
        return r;
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* none were ever raised */
    if (plan->spec->uid != 0)
        return set_capabilities(0);
    return insecure ? 0 : set_capabilities(KEPT_CAPABILITIES);
}

/* ---- exec ---- */

/* Pid 1 blocked all signals and ignored none; a few may have come ignored from the caller. */
static void reset_signals(void)
{
    sigset_t none;

    for (int signo = 1; signo < NSIG; signo++) {
        struct sigaction standard = {.sa_handler = SIG_DFL};

        (void)sigaction(signo, &standard, NULL); /* KILL and STOP cannot be changed */
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ENOENT also means that the file is there and its "#!" or ELF interpreter is not. */
static enum sandbox_stage exec_stage(const char *path, int error)
{
    if (error == ENOENT && access(path, F_OK) == 0)
        return STAGE_EXEC_INTERPRETER;
    return STAGE_EXEC;
}

static const char *find_path(char *const *env)
{
    for (; *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* Writes "<directory>/<name>" of the next element of a PATH; false when it does not fit. */
static bool next_candidate(const char **path, const char *name, char *out, size_t size)
{
    size_t dir_size = strcspn(*path, ":");
    size_t name_size = strlen(name);
    const char *dir = dir_size > 0 ? *path : "."; /* an empty element is the working directory */
    size_t used = dir_size > 0 ? dir_size : 1;

    *path += dir_size + ((*path)[dir_size] == ':');
    if (used + 1 + name_size + 1 > size)
        return false;
    memcpy(out, dir, used);
    out[used] = '/';
    memcpy(out + used + 1, name, name_size + 1);
    return true;
}

static _Noreturn void exec_command(const struct sandbox_plan *plan)
{
    static char candidate[LIMIT_PATH_SIZE];
    char *const *argv = plan->spec->argv;
    char *const *env = plan->spec->env;
    int denied = 0;
    const char *path;

    if (strchr(argv[0], '/')) {
        execve(argv[0], argv, env);
        sandbox_child_fail(plan, exec_stage(argv[0], errno), 0, errno);
    }
    path = find_path(env);
    while (*path) {
        if (!next_candidate(&path, argv[0], candidate, sizeof(candidate)))
            continue;
        execve(candidate, argv, env);
        if (errno == EACCES)
            denied = EACCES; /* execvp(3): go on, but remember */
        else if (errno != ENOENT && errno != ENOTDIR)
            sandbox_child_fail(plan, STAGE_EXEC, 0, errno);
        else if (exec_stage(candidate, errno) == STAGE_EXEC_INTERPRETER)
            sandbox_child_fail(plan, STAGE_EXEC_INTERPRETER, 0, ENOENT);
    }
    sandbox_child_fail(plan, STAGE_EXEC, 0, denied ? denied : ENOENT);
}

_Noreturn void sandbox_exec(const struct sandbox_plan *plan)
{
    const struct sandbox_spec *spec = plan->spec;
    int r = set_stdio(plan);

    if (r < 0)
        sandbox_child_fail(plan, STAGE_STDIO, 0, r);
    set_limits(plan);
    umask(022);
    r = set_cwd(spec->cwd);
    if (r < 0)
        sandbox_child_fail(plan, STAGE_CWD, 0, r);
    if (spec->security == SANDBOX_SECURITY_NO_NEW_PRIVILEGES &&
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        sandbox_child_fail(plan, STAGE_FILTER, 0, errno);
    if (spec->security != SANDBOX_SECURITY_INSECURE) {
        r = seccomp_filter_load(plan->filter);
        if (r < 0)
            sandbox_child_fail(plan, STAGE_FILTER, 0, r);
    }
    r = set_privileges(plan);
    if (r < 0)
        sandbox_child_fail(plan, STAGE_IDS, 0, r);
    reset_signals();
    if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        sandbox_child_fail(plan, STAGE_EXEC, 0, errno);
    exec_command(plan);
}

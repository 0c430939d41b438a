/* idmap.c - subordinate ids and the maps of a new user namespace. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "builder/sandbox/idmap.h"
#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define ROOT_FIRST 524288u /* where Debian's useradd ends handing out by default is far above */

/* Never looked up in PATH: these programs run with more rights than we have (R2). */
static const char *const newuidmap_paths[] = {"/usr/bin/newuidmap", "/bin/newuidmap",
                                              "/usr/sbin/newuidmap", "/usr/local/bin/newuidmap",
                                              "/run/wrappers/bin/newuidmap"};
static const char *const newgidmap_paths[] = {"/usr/bin/newgidmap", "/bin/newgidmap",
                                              "/usr/sbin/newgidmap", "/usr/local/bin/newgidmap",
                                              "/run/wrappers/bin/newgidmap"};
#define PATH_COUNT (sizeof(newuidmap_paths) / sizeof(newuidmap_paths[0]))

/* ---- text ---- */

/* Takes the decimal number at *at, which must end at `stop` or at the end; else false. */
static bool take_number(const char **at, const char *end, char stop, uint64_t *out)
{
    uint64_t value = 0;
    const char *p = *at;

    while (p < end && *p >= '0' && *p <= '9' && value <= UINT32_MAX)
        value = value * 10 + (uint64_t)(*p++ - '0');
    if (p == *at || value > UINT32_MAX || (p < end && *p != stop))
        return false;
    *at = p < end ? p + 1 : p;
    *out = value;
    return true;
}

static void add_range(struct id_ranges *out, uint64_t outside, uint64_t count)
{
    uint64_t inside = id_ranges_total(out);

    if (out->count == ID_RANGES_MAX || count == 0 || outside == 0)
        return;
    if (outside + count > UINT32_MAX || inside + count > UINT32_MAX)
        return;
    out->items[out->count++] = (struct id_range){
        .inside = (uint32_t)inside, .outside = (uint32_t)outside, .count = (uint32_t)count};
}

void id_ranges_parse(const char *text, size_t size, const char *name, uid_t uid,
                     struct id_ranges *out)
{
    const char *end = text + size;
    char number[16];

    out->count = 0;
    (void)snprintf(number, sizeof(number), "%u", uid); /* ten digits at most */
    for (const char *line = text; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = newline ? newline : end;
        const char *colon = memchr(line, ':', (size_t)(line_end - line));
        uint64_t first;
        uint64_t count;

        if (colon) {
            size_t length = (size_t)(colon - line);
            const char *at = colon + 1;
            bool ours = (name && strlen(name) == length && memcmp(line, name, length) == 0) ||
                        (strlen(number) == length && memcmp(line, number, length) == 0);

            if (ours && take_number(&at, line_end, ':', &first) &&
                take_number(&at, line_end, '\n', &count))
                add_range(out, first, count);
        }
        line = newline ? newline + 1 : end;
    }
}

int id_ranges_parse_map(const char *text, size_t size, struct id_ranges *out)
{
    auto_free char *copy = mem_strndup(text, size);
    char *save = NULL;

    out->count = 0;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        struct id_range range;
        char extra;

        if (out->count == ID_RANGES_MAX)
            return -EINVAL;
        if (sscanf(line, "%u %u %u %c", &range.inside, &range.outside, &range.count, &extra) != 3)
            return -EINVAL;
        out->items[out->count++] = range;
    }
    return 0;
}

uint64_t id_ranges_total(const struct id_ranges *ranges)
{
    uint64_t total = 0;

    for (size_t i = 0; i < ranges->count; i++)
        total += ranges->items[i].count;
    return total;
}

int id_ranges_own(struct id_ranges *uids, struct id_ranges *gids)
{
    const struct {
        const char *path;
        struct id_ranges *out;
    } files[] = {{"/proc/self/uid_map", uids}, {"/proc/self/gid_map", gids}};
    int r = 0;

    for (size_t i = 0; r == 0 && i < 2; i++) {
        auto_str struct str text = {0};
        struct error ignored = {0};

        r = io_read_file(AT_FDCWD, files[i].path, LIMIT_PASSWD_SIZE, &text, &ignored);
        if (r == 0)
            r = id_ranges_parse_map(str_text(&text), text.size, files[i].out);
    }
    return r;
}

bool id_ranges_choose(const struct id_ranges *available, struct id_ranges *out)
{
    uint64_t best_first = 0;
    uint64_t best_count = 0;

    for (size_t i = 0; i < available->count; i++) {
        uint64_t first = available->items[i].inside;
        uint64_t end = first + available->items[i].count;

        if (first <= ROOT_FIRST && end >= (uint64_t)ROOT_FIRST + ID_COUNT_WANTED) {
            best_first = ROOT_FIRST;
            best_count = ID_COUNT_WANTED;
            break;
        }
        if (first == 0)
            first = 1; /* root of this namespace stays out */
        if (end > first && end - first > best_count) {
            best_first = first;
            best_count = end - first;
        }
    }
    out->count = 0;
    add_range(out, best_first, best_count < ID_COUNT_WANTED ? best_count : ID_COUNT_WANTED);
    return out->count > 0;
}

bool id_ranges_contain(const struct id_ranges *available, const struct id_ranges *wanted)
{
    for (size_t i = 0; i < wanted->count; i++) {
        uint64_t first = wanted->items[i].outside;
        uint64_t end = first + wanted->items[i].count;
        bool found = false;

        for (size_t k = 0; k < available->count; k++) {
            uint64_t start = available->items[k].inside;

            if (first >= start && end <= start + available->items[k].count)
                found = true;
        }
        if (!found)
            return false;
    }
    return true;
}

/* ---- planning ---- */

static bool has_capability(unsigned capability)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    memset(data, 0, sizeof(data));
    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    return (data[capability / 32].effective >> (capability % 32) & 1) != 0;
}

static const char *find_program(const char *const *paths)
{
    for (size_t i = 0; i < PATH_COUNT; i++)
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    return NULL;
}

/* The account's login name, as newuidmap will look it up; caller frees; NULL when it has none. */
static char *account_name(uid_t uid)
{
    struct passwd *entry = getpwuid(uid); /* the spawner has one thread */

    return entry && entry->pw_name ? mem_strdup(entry->pw_name) : NULL;
}

/* Where a new range of 65536 ids would not overlap any other account's. */
static uint64_t free_range(const char *text, size_t size)
{
    const char *end = text + size;
    uint64_t next = 100000;

    for (const char *line = text; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = newline ? newline : end;
        const char *at = memchr(line, ':', (size_t)(line_end - line));
        uint64_t first;
        uint64_t count;

        if (at++ && take_number(&at, line_end, ':', &first) &&
            take_number(&at, line_end, '\n', &count) && first + count > next)
            next = first + count;
        line = newline ? newline + 1 : end;
    }
    return next;
}

static int read_ranges(const char *path, const char *name, uid_t uid, struct id_ranges *out,
                       struct error *err)
{
    auto_str struct str text = {0};
    int r = io_read_file(AT_FDCWD, path, LIMIT_PASSWD_SIZE, &text, err);

    if (r < 0 && r != -ENOENT)
        return r;
    error_clear(err);
    id_ranges_parse(str_text(&text), text.size, name, uid, out);
    if (out->count == 0) {
        uint64_t first = free_range(str_text(&text), text.size);
        auto_free char *who = name ? mem_strdup(name) : str_format("%u", uid);

        error_set(err, ENOENT, "user '%s' has no subordinate ids in '%s'", who, path);
        return error_hint(err,
                          "run as root: usermod --add-subuids %ju-%ju --add-subgids %ju-%ju %s; "
                          "or build with --single-id",
                          (uintmax_t)first, (uintmax_t)first + ID_COUNT_WANTED - 1,
                          (uintmax_t)first, (uintmax_t)first + ID_COUNT_WANTED - 1, who);
    }
    return 0;
}

static int plan_single(struct id_map *out)
{
    out->way = ID_MAP_SINGLE;
    out->uids.items[0] = (struct id_range){.inside = 0, .outside = geteuid(), .count = 1};
    out->gids.items[0] = (struct id_range){.inside = 0, .outside = getegid(), .count = 1};
    out->uids.count = 1;
    out->gids.count = 1;
    return 0;
}

static int choose_for_root(const char *map_path, const char *sub_path, struct id_ranges *out,
                           struct error *err)
{
    auto_str struct str text = {0};
    struct error ignored;
    struct id_ranges available;
    int r;

    r = io_read_file(AT_FDCWD, map_path, LIMIT_PASSWD_SIZE, &text, err);
    if (r < 0)
        return r;
    r = id_ranges_parse_map(str_text(&text), text.size, &available);
    error_clear(&ignored);
    if (r == 0 && read_ranges(sub_path, "root", 0, out, &ignored) == 0 &&
        id_ranges_contain(&available, out))
        return 0; /* the administrator's own choice for root */
    if (r < 0 || !id_ranges_choose(&available, out))
        return error_set(err, EPERM, "'%s' leaves no ids for steps", map_path);
    return 0;
}

static int plan_direct(struct id_map *out, struct error *err)
{
    int r;

    out->way = ID_MAP_DIRECT;
    r = choose_for_root("/proc/self/uid_map", "/etc/subuid", &out->uids, err);
    if (r < 0)
        return r;
    return choose_for_root("/proc/self/gid_map", "/etc/subgid", &out->gids, err);
}

static int plan_helper(struct id_map *out, struct error *err)
{
    uid_t uid = getuid();
    auto_free char *name = account_name(uid);
    int r;

    out->way = ID_MAP_HELPER;
    out->newuidmap = find_program(newuidmap_paths);
    out->newgidmap = find_program(newgidmap_paths);
    if (!out->newuidmap || !out->newgidmap) {
        error_set(err, ENOENT, "%s is not installed", out->newuidmap ? "newgidmap" : "newuidmap");
        return error_hint(err, "install the package 'uidmap' (on Fedora: 'shadow-utils')");
    }
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
        error_set(err, EPERM,
                  "newuidmap cannot work: this process may not gain privileges "
                  "(no_new_privs)");
        return error_hint(
            err, "in a Kubernetes pod set allowPrivilegeEscalation: true, or try --single-id");
    }
    r = read_ranges("/etc/subuid", name, uid, &out->uids, err);
    if (r < 0)
        return r;
    return read_ranges("/etc/subgid", name, uid, &out->gids, err);
}

int id_map_plan(bool single_id, struct id_map *out, struct error *err)
{
    memset(out, 0, sizeof(*out));
    if (single_id)
        return plan_single(out);
    if (geteuid() == 0 && has_capability(CAP_SETUID) && has_capability(CAP_SETGID))
        return plan_direct(out, err);
    return plan_helper(out, err);
}

static bool put_caller_first(struct id_ranges *ranges, uint32_t id)
{
    if (ranges->count >= ID_RANGES_MAX)
        return false;
    for (size_t i = ranges->count; i > 0; i--) {
        ranges->items[i] = ranges->items[i - 1];
        ranges->items[i].inside++;
    }
    ranges->items[0] = (struct id_range){.inside = 0, .outside = id, .count = 1};
    ranges->count++;
    return true;
}

int id_map_add_caller(struct id_map *map, struct error *err)
{
    if (map->way == ID_MAP_SINGLE ||
        (put_caller_first(&map->uids, geteuid()) && put_caller_first(&map->gids, getegid())))
        return 0;
    return error_set(err, E2BIG, "the account has more than %u ranges of subordinate ids",
                     ID_RANGES_MAX - 1);
}

void id_map_plan_caller(struct id_map *out)
{
    struct error ignored = {0};

    memset(out, 0, sizeof(*out));
    if (plan_helper(out, &ignored) == 0 && id_map_add_caller(out, &ignored) == 0)
        return;
    memset(out, 0, sizeof(*out));
    (void)plan_single(out); /* cannot fail */
}

/* ---- writing ---- */

/* newuidmap or newgidmap at work. */
struct helper {
    const char *program;
    pid_t pid;
    int said_fd; /* its stderr */
};

/* With an empty environment. */
static int start_helper(const char *program, pid_t target, const struct id_ranges *ranges,
                        struct helper *out, struct error *err)
{
    auto_strv struct strv argv = {0};
    int pipe_fds[2];
    pid_t child;

    strv_add(&argv, program);
    strv_addf(&argv, "%d", target);
    for (size_t i = 0; i < ranges->count; i++) {
        strv_addf(&argv, "%u", ranges->items[i].inside);
        strv_addf(&argv, "%u", ranges->items[i].outside);
        strv_addf(&argv, "%u", ranges->items[i].count);
    }
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_errno(err, "cannot make a pipe");
    child = fork();
    if (child == 0) {
        char *no_environment[] = {NULL};

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* only ever shortens its life */
        (void)dup2(pipe_fds[1], STDERR_FILENO); /* its words are a comfort, not a need */
        execve(program, strv_argv(&argv), no_environment);
        _exit(127);
    }
    close(pipe_fds[1]);
    *out = (struct helper){.program = program, .pid = child, .said_fd = pipe_fds[0]};
    return child < 0 ? error_errno(err, "cannot start '%s'", program) : 0;
}

static int finish_helper(struct helper *h, struct error *err)
{
    auto_close int said_fd = h->said_fd;
    char said[256] = "";
    ssize_t n = read(said_fd, said, sizeof(said) - 1);
    int status = 0;

    said[n > 0 ? n : 0] = '\0';
    said[strcspn(said, "\n")] = '\0';
    while (waitpid(h->pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_errno(err, "cannot wait for '%s'", h->program);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    error_set(err, EPERM, "'%s' refused the id map: %s", h->program,
              said[0] ? said : "it did not say why");
    return error_hint(err,
                      "it must agree with /etc/subuid and /etc/subgid and be setuid root; in a "
                      "container its file capability does it instead (setcap cap_setuid=ep "
                      "newuidmap, cap_setgid=ep newgidmap), or --single-id");
}

/* Side by side: they are a third of a build's start. */
static int run_helpers(const struct id_map *map, pid_t pid, struct error *err)
{
    struct helper uid_helper;
    struct helper gid_helper;
    struct error second;
    int r = start_helper(map->newuidmap, pid, &map->uids, &uid_helper, err);
    int r2;

    if (r < 0)
        return r;
    error_clear(&second);
    r2 = start_helper(map->newgidmap, pid, &map->gids, &gid_helper, &second);
    if (r2 == 0)
        r2 = finish_helper(&gid_helper, &second);
    r = finish_helper(&uid_helper, err);
    if (r == 0 && r2 < 0) {
        *err = second;
        return r2;
    }
    return r;
}

static int write_text(pid_t pid, const char *name, const char *text, struct error *err)
{
    auto_free char *path = str_format("/proc/%d/%s", pid, name);
    auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return error_errno(err, "cannot open '%s'", path);
    n = write(fd, text, strlen(text)); /* one write: the kernel takes a map whole or not at all */
    if (n != (ssize_t)strlen(text))
        return error_errno(err, "cannot write '%s'", path);
    return 0;
}

static int write_direct(pid_t pid, const char *name, const struct id_ranges *ranges,
                        struct error *err)
{
    auto_str struct str text = {0};

    for (size_t i = 0; i < ranges->count; i++)
        str_addf(&text, "%u %u %u\n", ranges->items[i].inside, ranges->items[i].outside,
                 ranges->items[i].count);
    return write_text(pid, name, str_text(&text), err);
}

/* A helper that lies about its success must not give us a namespace with other ids. */
static int check_map(pid_t pid, const char *name, const struct id_ranges *ranges, struct error *err)
{
    auto_free char *path = str_format("/proc/%d/%s", pid, name);
    auto_str struct str text = {0};
    struct id_ranges actual;
    int r = io_read_file(AT_FDCWD, path, LIMIT_PASSWD_SIZE, &text, err);

    if (r < 0)
        return r;
    if (id_ranges_parse_map(str_text(&text), text.size, &actual) < 0 ||
        id_ranges_total(&actual) != id_ranges_total(ranges))
        return error_set(err, EPERM, "'%s' is not the map that was asked for", path);
    for (size_t i = 0; i < ranges->count; i++) {
        bool found = false;

        /* The kernel may list the ranges in another order. */
        for (size_t k = 0; k < actual.count; k++)
            if (memcmp(&actual.items[k], &ranges->items[i], sizeof(actual.items[k])) == 0)
                found = true;
        if (!found)
            return error_set(err, EPERM, "'%s' is not the map that was asked for", path);
    }
    return 0;
}

int id_map_write(const struct id_map *map, pid_t pid, struct error *err)
{
    int r = 0;

    switch (map->way) {
    case ID_MAP_SINGLE:
        /* user_namespaces(7): without it a process could drop a group that denies it something. */
        r = write_text(pid, "setgroups", "deny", err);
        if (r < 0)
            return r;
        __attribute__((fallthrough));
    case ID_MAP_DIRECT:
        r = write_direct(pid, "uid_map", &map->uids, err);
        if (r == 0)
            r = write_direct(pid, "gid_map", &map->gids, err);
        break;
    case ID_MAP_HELPER:
        r = run_helpers(map, pid, err);
        break;
    }
    if (r < 0)
        return r;
    r = check_map(pid, "uid_map", &map->uids, err);
    if (r < 0)
        return r;
    return check_map(pid, "gid_map", &map->gids, err);
}

/* test_io_open.c - names from outside cannot leave their root (SECURITY R18, R19, R20).
 *
 * Some 9,000 names with five sets of flags are resolved three ways: by openat2, by our own walk
 * (openat2 is taken away with a seccomp filter, as some hosts do), and by a process confined to the
 * root with chroot. A way writes one line per name and set; the texts must be the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "tests/lib/test.h"

#define SKIPPED 77

struct run {
    int (*open)(int root_fd, const char *path, int flags, mode_t mode);
    int filter_errno; /* what openat2 answers; 0: it works */
    bool is_confined; /* the process has chroot'ed to root_fd */
    int (*body)(const struct run *run, int root_fd, int out_fd);
};

/* What links point to, as seen from below "root". */
static const struct {
    const char *name;
    const char *target; /* NULL: a directory; "": a file; else a link */
} layout[] = {
    {"secret", ""},
    {"outside", NULL},
    {"outside/f", ""},
    {"root", NULL},
    {"root/d", NULL},
    {"root/d/f", ""},
    {"root/d/sub", NULL},
    {"root/d/up", ".."},
    {"root/d/out", "../../outside"},
    {"root/d/abs", "/d/f"},
    {"root/f", ""},
    {"root/abs", "/d"},
    {"root/rel", "d"},
    {"root/relf", "d/f"},
    {"root/slash", "d/"},
    {"root/slashf", "f/"},
    {"root/dots", "./d/.././d//sub/.."},
    {"root/root", "/"},
    {"root/up", ".."},
    {"root/closed", NULL},
    {"root/closed/f", ""},
    {"root/loop", "loop"},
    {"root/loop1", "loop2"},
    {"root/loop2", "d/../loop1"},
    {"root/dangling", "missing"},
    {"root/absent", "/d/absent"},
    {"root/ups", "../../../../../secret"},
    {"root/caf\xe9", ""},
};

static void make_layout(void)
{
    int dir = test_dir_fd();

    for (size_t i = 0; i < sizeof(layout) / sizeof(layout[0]); i++) {
        const char *target = layout[i].target;

        if (!target)
            check_ok(mkdirat(dir, layout[i].name, 0755));
        else if (*target)
            check_ok(symlinkat(target, dir, layout[i].name));
        else
            check_ok(mknodat(dir, layout[i].name, S_IFREG | 0644, 0));
    }
    check_ok(fchmodat(dir, "root/closed", 0600, 0)); /* may be listed, not entered */
    /* path_resolution(7): 40 links in a row are followed, one more is not. */
    /* Linux follows 40 links in a path, and counts some of them twice when it has to begin again:
     * 30 are followed and 41 are not, whatever else it does. */
    check_ok(symlinkat("f", dir, "root/chain1"));
    for (int i = 2; i <= 41; i++) {
        auto_free char *name = str_format("root/chain%d", i);
        auto_free char *target = str_format("chain%d", i - 1);

        check_ok(symlinkat(target, dir, name));
    }
}

static void put_result(struct str *out, int root_fd, const char *path, int flags, int fd)
{
    struct stat st;

    (void)root_fd;
    str_addf(out, "%s %#x: ", path, (unsigned)flags);
    if (fd < 0)
        str_addf(out, "%s\n", strerrorname_np(-fd));
    else if (fstat(fd, &st) == 0)
        str_addf(out, "%o %ju\n", st.st_mode & S_IFMT, (uintmax_t)st.st_ino);
}

static void try_name(const struct run *run, struct str *out, int root_fd, const char *path)
{
    static const int flags[] = {O_PATH, O_PATH | O_NOFOLLOW, O_RDONLY, O_RDONLY | O_NOFOLLOW,
                                O_RDONLY | O_DIRECTORY | O_NOFOLLOW};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        auto_close int fd = run->open(root_fd, path, flags[i], 0);

        put_result(out, root_fd, path, flags[i], fd);
    }
}

static const char *const words[] = {"d",      "f",    "sub",  "abs",      "rel", "slash", "slashf",
                                    "dots",   "root", "up",   "out",      "..",  ".",     "loop2",
                                    "absent", "ups",  "relf", "dangling", "",    "none",  "closed"};
#define WORD_COUNT (sizeof(words) / sizeof(words[0]))

static void try_combinations(const struct run *run, struct str *out, int root_fd)
{
    for (size_t i = 0; i < WORD_COUNT * WORD_COUNT * WORD_COUNT; i++) {
        const char *first = words[i % WORD_COUNT];
        const char *second = words[i / WORD_COUNT % WORD_COUNT];
        const char *third = words[i / WORD_COUNT / WORD_COUNT];
        auto_free char *plain = str_format("%s/%s/%s", first, second, third);

        try_name(run, out, root_fd, plain);
    }
    for (size_t i = 0; i < WORD_COUNT * WORD_COUNT; i++) {
        auto_free char *plain = str_format("%s/%s", words[i % WORD_COUNT], words[i / WORD_COUNT]);
        auto_free char *slashes = str_format("/%s//", plain);

        try_name(run, out, root_fd, plain);
        try_name(run, out, root_fd, slashes);
    }
}

/* SECURITY R20, one by one. */
static void try_corners(const struct run *run, struct str *out, int root_fd)
{
    static const char *const corners[] = {
        "",
        ".",
        "/",
        "//",
        "/.",
        "..",
        "/..",
        "f/",
        "f/.",
        "f/..",
        "rel/",
        "rel/.",
        "relf/",
        "slash/",
        "loop",
        "loop/",
        "loop1",
        "chain30",
        "chain41",
        "chain30/",
        "dangling/",
        "d/up/up",
        "d/up/..",
        "caf\xe9",
        "d/sub/../../..",
        "d/up/d/up/f",
        "...",
        "root/root/f",
        "missing/..",
        "up/root/d",
        "d/./././f",
        "d/out/f",
        "ups",
        "/ups",
    };
    char name[4200];

    for (size_t i = 0; i < sizeof(corners) / sizeof(corners[0]); i++)
        try_name(run, out, root_fd, corners[i]);
    for (size_t size = 254; size <= 256; size++) {
        memset(name, 'n', size);
        name[size] = '\0';
        try_name(run, out, root_fd, name);
    }
    for (size_t size = 4094; size <= 4097; size++) {
        for (size_t i = 0; i < size; i++)
            name[i] = i % 2 ? '/' : '.';
        name[size] = '\0';
        try_name(run, out, root_fd, name);
    }
}

static int resolve_all(const struct run *run, int root_fd, int out_fd)
{
    auto_str struct str out = {0};

    try_combinations(run, &out, root_fd);
    try_corners(run, &out, root_fd);
    return io_write_full(out_fd, out.data, out.size) == 0 ? 0 : 1;
}

static int plain_open(int root_fd, const char *path, int flags, mode_t mode)
{
    int fd = openat(root_fd, path, flags | O_CLOEXEC, mode);

    return fd < 0 ? -errno : fd;
}

static int take_openat2_away(int code)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)code & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int confine(int root_fd)
{
    if (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0)
        return -1;
    return fchdir(root_fd) < 0 || chroot(".") < 0 ? -1 : 0;
}

static int child_main(const struct run *run, int out_fd)
{
    auto_close int root_fd = openat(test_dir_fd(), "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (root_fd < 0)
        return 1;
    if (run->is_confined && confine(root_fd) < 0)
        return SKIPPED;
    if (run->filter_errno && take_openat2_away(run->filter_errno) < 0)
        return SKIPPED;
    return run->body(run, root_fd, out_fd);
}

/* Runs in a process of its own, because filters and chroot stay. */
static void collect(const struct run *run, struct str *out)
{
    auto_close int out_fd = openat(test_dir_fd(), "results", O_RDWR | O_CREAT | O_TRUNC, 0600);
    int status;
    pid_t child = fork();

    check_ok(out_fd);
    check_ok(child);
    if (child == 0)
        _exit(child_main(run, out_fd));
    check_int(waitpid(child, &status, 0), child);
    check_true(WIFEXITED(status));
    test_need("userns", WEXITSTATUS(status) != SKIPPED, "chroot or seccomp is not allowed");
    check_int(WEXITSTATUS(status), 0);
    check_ok(io_read_file(test_dir_fd(), "results", 1u << 30, out, &test_err));
}

static void check_same(const struct run *a, const struct run *b)
{
    auto_str struct str first = {0};
    auto_str struct str second = {0};

    collect(a, &first);
    collect(b, &second);
    check_true(first.size > 1000);
    check_text(str_text(&first), str_text(&second));
}

TEST(io_open, in_root_is_what_a_process_with_that_root_sees)
{
    struct run openat2_run = {.open = io_open_in_root, .body = resolve_all};
    struct run oracle = {.open = plain_open, .is_confined = true, .body = resolve_all};

    make_layout();
    check_same(&openat2_run, &oracle);
}

TEST(io_open, in_root_without_openat2_is_the_same)
{
    struct run missing = {.open = io_open_in_root, .filter_errno = ENOSYS, .body = resolve_all};
    struct run denied = {.open = io_open_in_root, .filter_errno = EPERM, .body = resolve_all};
    struct run oracle = {.open = plain_open, .is_confined = true, .body = resolve_all};

    make_layout();
    check_same(&missing, &oracle);
    check_same(&denied, &oracle);
}

TEST(io_open, beneath_without_openat2_is_the_same)
{
    struct run openat2_run = {.open = io_open_beneath, .body = resolve_all};
    struct run missing = {.open = io_open_beneath, .filter_errno = ENOSYS, .body = resolve_all};

    make_layout();
    check_same(&missing, &openat2_run);
}

static int root_dir(void)
{
    int fd = openat(test_dir_fd(), "root", O_PATH | O_DIRECTORY | O_CLOEXEC);

    check_ok(fd);
    return fd;
}

/* openat2(2), RESOLVE_BENEATH. */
TEST(io_open, beneath_refuses_what_leaves)
{
    static const char *const leaving[] = {"/", "/f", "..", "d/../..", "abs", "ups", "root", "up/x"};
    auto_close int root = -1;

    make_layout();
    root = root_dir();
    for (size_t i = 0; i < sizeof(leaving) / sizeof(leaving[0]); i++)
        check_fails(io_open_beneath(root, leaving[i], O_RDONLY, 0), EXDEV);
}

/* Restoring a step's own layout may only create inside. */
static int create_all(const struct run *run, int root_fd, int out_fd)
{
    static const char *const names[] = {
        "new",      "new/",    "d/new",   "abs/new", "none/new", "f",         "d",
        "dangling", "absent",  "loop",    "ups",     "d/out",    "rel/",      "slashf",
        "/new",     "../new",  "up/new",  "f/new",   ".",        "..",        "d/",
        "d/up/new", "chain30", "chain41", "relf",    "d/out/f",  "d/out/new",
    };
    static const int flags[] = {O_CREAT | O_WRONLY, O_CREAT | O_EXCL | O_WRONLY,
                                O_CREAT | O_WRONLY | O_NOFOLLOW};
    auto_str struct str out = {0};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t j = 0; j < sizeof(flags) / sizeof(flags[0]); j++) {
            auto_close int fd = run->open(root_fd, names[i], flags[j], 0640);
            struct stat st;

            /* Not the inode, which differs for a new file, but whether it is new: who else has
             * that mode? */
            str_addf(&out, "%s %#x: ", names[i], (unsigned)flags[j]);
            if (fd < 0)
                str_addf(&out, "%s\n", strerrorname_np(-fd));
            else if (fstat(fd, &st) == 0)
                str_addf(&out, "%o\n", st.st_mode);
            (void)unlinkat(root_fd, "new", 0); /* each of these may be there or not */
            (void)unlinkat(root_fd, "d/new", 0);
            (void)unlinkat(root_fd, "missing", 0);
            (void)unlinkat(root_fd, "d/absent", 0);
        }
    }
    return io_write_full(out_fd, out.data, out.size) == 0 ? 0 : 1;
}

TEST(io_open, creating_in_root_is_what_a_process_with_that_root_does)
{
    struct run openat2_run = {.open = io_open_in_root, .body = create_all};
    struct run missing = {.open = io_open_in_root, .filter_errno = ENOSYS, .body = create_all};
    struct run oracle = {.open = plain_open, .is_confined = true, .body = create_all};

    make_layout();
    check_ok(unlinkat(test_dir_fd(), "root/ups", 0)); /* a confined process would create it too */
    check_same(&openat2_run, &oracle);
    check_same(&missing, &oracle);
}

TEST(io_open, creating_beneath_without_openat2_is_the_same)
{
    struct run openat2_run = {.open = io_open_beneath, .body = create_all};
    struct run missing = {.open = io_open_beneath, .filter_errno = ENOSYS, .body = create_all};

    make_layout();
    check_same(&missing, &openat2_run);
}

/* proc(5): /proc/self/root and fd/N lead anywhere, not to where their text says. */
TEST(io_open, links_of_proc_that_are_no_paths_are_refused)
{
    auto_close int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

    check_fails(io_open_in_root(proc, "root", O_RDONLY, 0), ELOOP);
    check_fails(io_open_in_root(proc, "exe", O_RDONLY, 0), ELOOP);
    check_fails(io_open_beneath(proc, "cwd/x", O_RDONLY, 0), ELOOP);
}

static int open_proc(const struct run *run, int root_fd, int out_fd)
{
    auto_close int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

    (void)root_fd;
    (void)out_fd;
    return run->open(proc, "root", O_RDONLY, 0) == -ELOOP &&
                   run->open(proc, "exe", O_RDONLY, 0) == -ELOOP
               ? 0
               : 1;
}

TEST(io_open, links_of_proc_are_refused_without_openat2_too)
{
    struct run missing = {.open = io_open_in_root, .filter_errno = ENOSYS, .body = open_proc};
    auto_str struct str nothing = {0};

    make_layout();
    collect(&missing, &nothing);
}

TEST(io_open, descriptors_are_closed_on_exec)
{
    auto_close int root = -1;
    auto_close int fd = -1;

    make_layout();
    root = root_dir();
    fd = io_open_in_root(root, "d/sub/../up/f", O_RDONLY, 0);
    check_ok(fd);
    check_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    check_int(fd, root + 1);
}

/* The lowest descriptor that is free, before and after. */
static int count_fds(const struct run *run, int root_fd, int out_fd)
{
    int before = dup(root_fd);
    int fd = run->open(root_fd, "d/sub/../up/rel/f", O_RDONLY, 0);
    int lost = run->open(root_fd, "d/sub/none/x", O_RDONLY, 0);
    bool is_right = fd >= 0 && lost == -ENOENT && (fcntl(fd, F_GETFD) & FD_CLOEXEC);

    (void)out_fd;
    close(before);
    close(fd);
    return is_right && dup(root_fd) == before ? 0 : 1;
}

TEST(io_open, the_walk_leaves_no_descriptor_open)
{
    struct run missing = {.open = io_open_in_root, .filter_errno = ENOSYS, .body = count_fds};
    auto_str struct str nothing = {0};

    make_layout();
    collect(&missing, &nothing);
}

struct racer {
    int dir;
    atomic_bool stop;
};

/* Exchanges a directory and a file with links to the outside, and moves a directory out and in. */
static void *race(void *arg)
{
    struct racer *r = arg;

    while (!r->stop) {
        (void)renameat2(r->dir, "root/rel", r->dir, "root/d", RENAME_EXCHANGE);
        (void)renameat2(r->dir, "root/f", r->dir, "root/leak", RENAME_EXCHANGE);
        (void)renameat2(r->dir, "root/d/sub", r->dir, "outside/sub", 0);
        (void)renameat2(r->dir, "outside/sub", r->dir, "root/d/sub", 0);
        (void)renameat2(r->dir, "root/rel", r->dir, "root/d", RENAME_EXCHANGE);
    }
    return NULL;
}

static bool is_outside(int fd, const struct stat secret[2])
{
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return false;
    return st.st_ino == secret[0].st_ino || st.st_ino == secret[1].st_ino;
}

static int open_in_a_race(const struct run *run, int root_fd, int out_fd)
{
    static const char *const names[] = {
        "d/f", "rel/f", "d/sub/../../secret", "d/sub/../f", "rel/sub/../../secret", "f", "leak"};
    struct racer racer = {.dir = test_dir_fd()};
    struct stat secret[2];
    pthread_t thread;
    int escapes = 0;
    int opened = 0;

    (void)out_fd;
    if (fstatat(racer.dir, "secret", &secret[0], 0) < 0 ||
        fstatat(racer.dir, "outside/f", &secret[1], 0) < 0 || unlinkat(root_fd, "rel", 0) < 0 ||
        symlinkat("../outside", root_fd, "rel") < 0 ||
        symlinkat("../secret", root_fd, "leak") < 0 ||
        pthread_create(&thread, NULL, race, &racer) != 0)
        return 1;
    for (int i = 0; i < 30000; i++) {
        auto_close int fd = run->open(root_fd, names[i % 7], O_RDONLY, 0);

        escapes += is_outside(fd, secret);
        opened += fd >= 0;
    }
    racer.stop = true;
    pthread_join(thread, NULL);
    return escapes == 0 && opened > 0 ? 0 : 1;
}

/* SECURITY R18: a directory that becomes a link, or moves away, between two components. */
TEST(io_open, no_race_leads_outside)
{
    struct run runs[] = {
        {.open = io_open_in_root, .body = open_in_a_race},
        {.open = io_open_beneath, .body = open_in_a_race},
        {.open = io_open_in_root, .filter_errno = ENOSYS, .body = open_in_a_race},
        {.open = io_open_beneath, .filter_errno = ENOSYS, .body = open_in_a_race},
    };

    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        auto_str struct str nothing = {0};

        make_layout();
        collect(&runs[i], &nothing);
        check_ok(io_remove_tree(test_dir_fd(), "root"));
        check_ok(io_remove_tree(test_dir_fd(), "outside"));
        check_ok(io_remove_tree(test_dir_fd(), "secret"));
    }
}

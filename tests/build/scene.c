/* scene.c - directories, pipes and mirrors around one step. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "tests/build/mirror.h"
#include "tests/build/scene.h"
#include "tests/lib/test.h"

static const char *const applets[] = {
    "sh",   "cat",  "echo", "id",       "ls",       "touch", "sleep", "env", "ps",
    "grep", "kill", "pwd",  "readlink", "stat",     "mkdir", "mount", "nc",  "ip",
    "dd",   "true", "wc",   "sort",     "hostname", "su",    "rm",    "df",  "tr",
    "cut",  "test", "mv",   "ln",       "chown",    "ulimit"};

/* The program of a test is its own spawner; this runs before main. */
__attribute__((constructor)) static void be_the_spawner(int argc, char **argv)
{
    spawner_main_if_asked(argc, argv);
}

static int root_fd(const struct scene *s)
{
    int fd = open(s->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    check_true(fd >= 0);
    return fd;
}

void scene_file(struct scene *s, const char *path, mode_t mode, const char *text)
{
    auto_close int dir = root_fd(s);
    auto_close int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    check_true(fd >= 0);
    check_ok(io_write_full(fd, text, strlen(text)));
    check_ok(fchmod(fd, mode));
}

void scene_dir(struct scene *s, const char *path)
{
    auto_close int dir = root_fd(s);

    check_ok(mkdirat(dir, path, 0755));
}

void scene_link(struct scene *s, const char *target, const char *path)
{
    auto_close int dir = root_fd(s);

    check_ok(symlinkat(target, dir, path));
}

void scene_remove(struct scene *s, const char *path)
{
    auto_close int dir = root_fd(s);

    check_ok(io_remove_tree(dir, path));
}

bool scene_has(struct scene *s, const char *path)
{
    auto_close int dir = root_fd(s);

    return faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void add_program(struct scene *s, const char *from_path, const char *to_path)
{
    auto_close int from = open(from_path, O_RDONLY | O_CLOEXEC);
    auto_close int dir = root_fd(s);
    auto_close int to = openat(dir, to_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    struct stat st;

    if (from < 0)
        test_need("busybox", false, from_path);
    check_ok(fstat(from, &st));
    check_ok(io_copy_range(from, 0, to, 0, (uint64_t)st.st_size));
    check_ok(fchmod(to, 0755));
}

static void add_programs(struct scene *s)
{
    add_program(s, "/bin/busybox", "bin/busybox");
    add_program(s, GUEST_PATH, "bin/guest");
    for (size_t i = 0; i < sizeof(applets) / sizeof(applets[0]); i++) {
        auto_free char *path = str_format("bin/%s", applets[i]);

        scene_link(s, "busybox", path);
    }
}

struct scene scene_new(const struct spawner_options *options)
{
    static const char *const dirs[] = {"bin", "dev", "proc", "sys", "etc", "tmp", "mnt"};
    struct scene s = {.root = str_format("%s/root", test_dir())};

    check_ok(mkdir(s.root, 0755));
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        scene_dir(&s, dirs[i]);
    scene_file(&s, "etc/resolv.conf", 0644, "the image's own\n");
    scene_file(&s, "etc/hosts", 0644, "the image's own\n");
    scene_file(&s, "etc/hostname", 0644, "the image's own\n");
    add_programs(&s);
    check_ok(spawner_open(options, &s.spawner, &s.err));
    if (spawner_wait_ready(s.spawner, &s.err) < 0)
        test_need("userns", false, s.err.text);
    return s;
}

void scene_release(struct scene *s)
{
    spawner_close(s->spawner);
    str_release(&s->out);
    free(s->root);
    free(s->warning);
}

static void collect(struct scene *s, int out_fd, int err_fd)
{
    struct pollfd fds[] = {{.fd = out_fd, .events = POLLIN}, {.fd = err_fd, .events = POLLIN}};

    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        check_true(poll(fds, 2, -1) > 0);
        for (size_t i = 0; i < 2; i++) {
            char buffer[4096];
            ssize_t n;

            if (fds[i].fd < 0 || fds[i].revents == 0)
                continue;
            n = read(fds[i].fd, buffer, sizeof(buffer));
            if (n > 0) {
                str_add_bytes(&s->out, buffer, (size_t)n);
            } else {
                close(fds[i].fd);
                fds[i].fd = -1;
            }
        }
    }
}

int scene_run_spec(struct scene *s, const struct sandbox_spec *spec)
{
    struct mirror *mirrors[SANDBOX_TREES_MAX] = {NULL};
    size_t tree_count = spec->tree_count ? spec->tree_count : 1;
    struct sandbox *box = NULL;
    int r;

    str_truncate(&s->out, 0);
    str_add(&s->out, "");
    error_clear(&s->err);
    s->result = (struct sandbox_result){0};
    r = sandbox_start(s->spawner, spec, &box, &s->err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < tree_count; i++)
        mirrors[i] = mirror_serve(s->root, sandbox_take_tree_fd(box, i));
    collect(s, sandbox_take_stdout_fd(box), sandbox_take_stderr_fd(box));
    r = sandbox_wait(box, &s->result, &s->err);
    for (size_t i = 0; i < tree_count; i++)
        mirror_stop(mirrors[i]);
    free(s->warning);
    s->warning = mem_strdup(sandbox_warning(box));
    sandbox_free(box);
    return r;
}

int scene_run(struct scene *s, const struct sandbox_spec *spec, const char *line)
{
    static char *const env[] = {(char *)(uintptr_t) "PATH=/bin", NULL};
    char *argv[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c",
                    (char *)(uintptr_t)line, NULL};
    struct sandbox_spec full = {.network = SANDBOX_NETWORK_NONE};

    if (spec)
        full = *spec;
    full.argv = argv;
    if (!full.env)
        full.env = env;
    return scene_run_spec(s, &full);
}

void scene_expect(struct scene *s, const struct sandbox_spec *spec, const char *line,
                  const char *expected)
{
    int r = scene_run(s, spec, line);

    if (r < 0)
        check_fail("%s: %s", line, s->err.text);
    check_text(str_text(&s->out), expected);
    check_int(s->result.status, 0);
}

/* test_sandbox_life.c - what a step leaves behind (nothing), whoever dies first (SECURITY R6). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "tests/build/mirror.h"
#include "tests/build/scene.h"
#include "tests/lib/test.h"

/* Processes whose command line holds `marker`. */
static size_t count_processes(const char *marker)
{
    size_t count = 0;
    DIR *dir = opendir("/proc");

    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        auto_free char *path = str_format("/proc/%s/cmdline", e->d_name);
        auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
        char text[4096];
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

        for (ssize_t i = 0; i < n; i++)
            if (text[i] == '\0')
                text[i] = ' ';
        text[n > 0 ? n : 0] = '\0';
        if (e->d_name[0] >= '0' && e->d_name[0] <= '9' && strstr(text, marker))
            count++;
    }
    closedir(dir);
    return count;
}

static void wait_until_there(const char *marker, size_t count)
{
    while (count_processes(marker) < count)
        (void)poll(NULL, 0, 10);
}

/* Orphans become ours, so that none can be overlooked. */
static void adopt_orphans(void)
{
    check_ok(prctl(PR_SET_CHILD_SUBREAPER, 1));
}

/* Waits until the scene's own spawner is our only child: everything else has ended. */
static void wait_for_all_but(pid_t spawner)
{
    auto_free char *path = str_format("/proc/self/task/%d/children", getpid());
    auto_free char *alone = str_format("%d ", spawner);

    for (;;) {
        auto_str struct str children = {0};
        siginfo_t info;

        check_ok(io_read_file(AT_FDCWD, path, 1 << 20, &children, &test_err));
        if (strcmp(str_text(&children), alone) == 0)
            return;
        check_ok(waitid(P_ALL, 0, &info, WEXITED));
        check_true(info.si_pid != spawner);
    }
}

struct shared {
    _Atomic pid_t spawner;
    _Atomic int failed;
};

static struct shared *share(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* Stands for img: runs a step that leaves children in sessions of their own. */
static _Noreturn void be_img(struct scene *s, struct shared *shared, const char *line)
{
    char *argv[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c",
                    (char *)(uintptr_t)line, NULL};
    char *env[] = {(char *)(uintptr_t) "PATH=/bin", NULL};
    const struct sandbox_spec spec = {.argv = argv, .env = env, .network = SANDBOX_NETWORK_NONE};
    struct spawner *sp;
    struct sandbox *box;
    struct error err;

    if (spawner_open(NULL, &sp, &err) < 0 || sandbox_start(sp, &spec, &box, &err) < 0) {
        shared->failed = 1;
        _exit(1);
    }
    shared->spawner = spawner_pid(sp);
    (void)mirror_serve(s->root, sandbox_take_tree_fd(box, 0));
    for (;;)
        pause();
}

static pid_t start_img(struct scene *s, struct shared *shared, const char *line)
{
    pid_t pid = fork();

    if (pid == 0)
        be_img(s, shared, line);
    return pid;
}

/* Nothing of it may outlive img, not even what has its own session and ignores signals. */
TEST(sandbox_life, kill_of_img_leaves_no_process_and_no_mount)
{
    auto_scene struct scene s = scene_new(NULL);
    struct shared *shared = share();
    auto_free char *marker = str_format("sleep %d", 100000 + getpid());
    auto_free char *line =
        str_format("trap '' TERM HUP INT; setsid %s & (setsid %s &) ; %s", marker, marker, marker);
    auto_str struct str mounts = {0};
    pid_t img;

    adopt_orphans();
    img = start_img(&s, shared, line);
    wait_until_there(marker, 3);
    check_ok(kill(img, SIGKILL));
    wait_for_all_but(spawner_pid(s.spawner));
    check_int(count_processes(marker), 0);
    check_ok(io_read_file(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &mounts, &test_err));
    check_lacks(str_text(&mounts), " - fuse img "); /* as steps' trees are called */
    check_int(shared->failed, 0);
}

/* At any instant: from before the spawner runs to long after the step does. */
TEST(sandbox_life, kill_of_img_at_any_instant_leaves_nothing)
{
    auto_scene struct scene s = scene_new(NULL);
    struct shared *shared = share();

    adopt_orphans();
    for (int i = 0; i < 40; i++) {
        pid_t img = start_img(&s, shared, "setsid sleep 99 & sleep 99");

        (void)poll(NULL, 0, i); /* milliseconds */
        check_ok(kill(img, SIGKILL));
    }
    wait_for_all_but(spawner_pid(s.spawner));
    check_int(shared->failed, 0);
}

TEST(sandbox_life, a_dead_spawner_takes_the_step_along_and_is_reported)
{
    auto_scene struct scene s = scene_new(NULL);
    auto_free char *seconds = str_format("%d", 200000 + getpid());
    auto_free char *marker = str_format("sleep %s", seconds);
    char *argv[] = {(char *)(uintptr_t) "/bin/sleep", seconds, NULL};
    const struct sandbox_spec spec = {
        .argv = argv, .network = SANDBOX_NETWORK_NONE, .env = (char *[]){NULL}};
    struct sandbox *box = NULL;
    struct mirror *m;

    check_ok(sandbox_start(s.spawner, &spec, &box, &s.err));
    m = mirror_serve(s.root, sandbox_take_tree_fd(box, 0));
    wait_until_there(marker, 1);
    check_ok(kill(spawner_pid(s.spawner), SIGKILL));
    check_fails(sandbox_wait(box, &s.result, &s.err), EPIPE);
    check_error(&s.err, EPIPE, "the step's init was killed");
    mirror_stop(m);
    sandbox_free(box);
    check_int(count_processes(marker), 0);
    check_fails(sandbox_start(s.spawner, &spec, &box, &s.err), EPIPE);
    check_error(&s.err, EPIPE, "the spawner ended unexpectedly");
}

/* Wait returns only when the step's last process is gone: what follows seals the tree. */
TEST(sandbox_life, after_the_wait_nothing_of_the_step_runs)
{
    auto_scene struct scene s = scene_new(NULL);
    auto_free char *marker = str_format("sleep %d", 300000 + getpid());
    auto_free char *line = str_format("for i in 1 2 3 4 5; do setsid %s & done; true", marker);

    for (int i = 0; i < 20; i++) {
        check_ok(scene_run(&s, NULL, line));
        check_int(count_processes(marker), 0);
    }
}

/* What every descriptor refers to, one line each, but for files the mirror has open: the kernel may
 * end a connection before it has sent every RELEASE. */
static char *list_fds(void)
{
    auto_strv struct strv lines = {0};
    DIR *dir = opendir("/proc/self/fd");

    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        auto_free char *path = str_format("/proc/self/fd/%s", e->d_name);
        char target[256] = "";

        if (readlink(path, target, sizeof(target) - 1) < 0 || strstr(target, "busybox"))
            continue;
        strv_addf(&lines, "%s %s", e->d_name, target);
    }
    closedir(dir);
    return strv_join(&lines, "\n");
}

TEST(sandbox_life, no_descriptor_is_left_open)
{
    auto_scene struct scene s = scene_new(NULL);
    auto_free char *before = NULL;
    auto_free char *after = NULL;

    check_ok(scene_run(&s, NULL, "true"));
    before = list_fds();
    check_ok(scene_run(&s, NULL, "true"));
    check_true(scene_run(&s, &(struct sandbox_spec){.cwd = "/none"}, "true") < 0);
    after = list_fds();
    check_text(after, before);
}

/* ---- threads ---- */

static void *open_spawner(void *out)
{
    struct error err;

    return spawner_open(NULL, out, &err) < 0 ? out : NULL;
}

/* PDEATHSIG would follow the thread. */
TEST(sandbox_life, a_spawner_outlives_the_thread_that_opened_it)
{
    auto_scene struct scene s = scene_new(NULL);
    struct spawner *sp = NULL;
    pthread_t thread;

    check_int(pthread_create(&thread, NULL, open_spawner, &sp), 0);
    check_int(pthread_join(thread, NULL), 0);
    check_true(sp != NULL);
    spawner_close(s.spawner);
    s.spawner = sp;
    scene_expect(&s, NULL, "echo ok", "ok\n");
}

struct worker {
    struct scene scene;
    int failed;
    pthread_t thread;
};

static void *run_steps(void *argument)
{
    struct worker *w = argument;

    for (int i = 0; i < 8; i++) {
        auto_free char *line = str_format("ip addr show lo | grep -c UP; echo %d; "
                                          "/bin/guest connect @taken",
                                          i);
        auto_free char *expected = str_format("1\n%d\nConnection refused\n", i);

        if (scene_run(&w->scene, NULL, line) < 0 || strcmp(str_text(&w->scene.out), expected) != 0)
            w->failed++;
    }
    return NULL;
}

TEST(sandbox_life, steps_run_side_by_side)
{
    auto_scene struct scene s = scene_new(NULL);
    struct worker workers[4];

    for (size_t i = 0; i < 4; i++) {
        workers[i] = (struct worker){.scene = {.spawner = s.spawner, .root = s.root}};
        check_int(pthread_create(&workers[i].thread, NULL, run_steps, &workers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        check_int(pthread_join(workers[i].thread, NULL), 0);
        if (workers[i].failed > 0)
            check_fail("%s %s", workers[i].scene.err.text, str_text(&workers[i].scene.out));
        str_release(&workers[i].scene.out);
        free(workers[i].scene.warning);
    }
}

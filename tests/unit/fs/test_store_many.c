/* test_store_many.c - writers, a collector and a checker on one store at once, some of them killed
 * (SECURITY S8, S13). Nothing is lost that a writer was told is there, and nobody hears of locks.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/fsck.h"
#include "fs/gc.h"
#include "fs/index.h"
#include "fs/pack.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

#define WRITERS 5
#define ROUNDS 30
#define ROUNDS_MAX (20 * ROUNDS) /* as long as the collector waits for its turns */
#define TURNS 3u
#define CONTENTS 4 /* fewer than rounds: writers bring the same layers */

/* Children must not run the checks of test.h: a failed one would go on with the next test. */
static _Noreturn void give_up(const char *what, const struct error *err)
{
    (void)fprintf(stderr, "%s: %s\n", what, err->text);
    _exit(1);
}

static int add_layer(struct store *store, const char *text, int64_t *layer, struct error *err)
{
    struct layer_row row = {.kind = LAYER_PULLED, .has_diff_id = true};
    auto_close int fd = -1;
    int r;

    row.diff_id = state_digest(text);
    row.tar_size_bytes = strlen(text);
    if (store_layer_find_by_diff_id(store, &row.diff_id, &row, err) == 0) {
        *layer = row.id;
        return 0;
    }
    r = pack_create(store, &row.pack, &fd, err);
    if (r == 0)
        r = io_write_full(fd, text, strlen(text));
    if (r == 0)
        r = pack_adopt(store, row.pack, fd, err);
    if (r == 0)
        r = state_index_add(store, row.pack, strlen(text), &row.index, err);
    return r < 0 ? r : store_layer_insert(store, &row, NULL, 0, layer, err);
}

/* The layer's digest stands for itself in the manifest: it is not compressed. */
static int add_image(struct store *store, const char *name, const char *text, int64_t layer,
                     struct error *err)
{
    struct image_row image = {
        .media_type = (char *)(uintptr_t) "m", .layers = &layer, .layer_count = 1};
    struct digest diff_id = state_digest(text);
    auto_free char *name_copy = mem_strdup(name);
    struct reference_row reference = {.name = name_copy};
    auto_str struct str document = {0};
    char hex[DIGEST_TEXT_SIZE];
    int r;

    digest_format(&diff_id, hex);
    str_addf(&document, "{\"rootfs\":{\"diff_ids\":[\"%s\"]}}", hex);
    r = blob_put(store, document.data, document.size, &image.config, err);
    if (r < 0)
        return r;
    str_truncate(&document, 0);
    str_addf(&document, "{\"layers\":[{\"digest\":\"%s\"}],\"config\":{\"digest\":\"", hex);
    digest_format(&image.config, hex);
    str_addf(&document, "%s\"}}", hex);
    r = blob_put(store, document.data, document.size, &image.manifest, err);
    if (r == 0)
        r = store_image_put(store, &image, err);
    reference.manifest = image.manifest;
    return r < 0 ? r : store_reference_set(store, &reference, err);
}

/* What this process just put there must be there, collector or not. */
static int read_back(struct store *store, const char *name, const char *text, struct error *err)
{
    auto_reference_row struct reference_row reference = {0};
    auto_image_row struct image_row image = {0};
    auto_str struct str document = {0};
    struct layer_row row;
    char buf[64] = "";
    int r = store_reference_get(store, name, &reference, err);

    if (r == 0)
        r = store_image_get(store, &reference.manifest, &image, err);
    if (r == 0)
        r = blob_read(store, &image.config, 1 << 20, &document, err);
    if (r == 0)
        r = store_layer_get(store, image.layers[0], &row, err);
    if (r == 0)
        r = pack_read(store, row.pack, 0, buf, strlen(text), err);
    if (r == 0 && strcmp(buf, text) != 0)
        r = error_set(err, EIO, "'%s' holds '%s' instead of '%s'", name, buf, text);
    return r;
}

static void write_round(int writer, int round)
{
    auto_store struct store *store = NULL;
    auto_free char *name = str_format("h/%d:%d", writer, round % 3);
    auto_free char *text = str_format("content %d", (writer + round) % CONTENTS);
    struct error err = {0};
    int64_t layer = 0;
    int r = store_open(state_path(), NULL, &store, &err);

    if (r == 0)
        r = add_layer(store, text, &layer, &err);
    if (r == 0)
        r = add_image(store, name, text, layer, &err);
    if (r == 0)
        r = read_back(store, name, text, &err);
    if (r == 0 && round % 4 == 3)
        r = store_reference_remove(store, name, &err);
    if (r < 0)
        give_up("writer", &err);
}

static _Atomic unsigned *turn_count; /* of the collector; shared by all processes */

/* Every fifth round is killed somewhere in the middle. */
static void write_rounds(int writer)
{
    unsigned seed = (unsigned)writer;

    for (int round = 0; round < ROUNDS || (atomic_load(turn_count) < TURNS && round < ROUNDS_MAX);
         round++) {
        pid_t pid;
        int status = 0;

        if (round % 5 != 4) {
            write_round(writer, round);
            continue;
        }
        pid = fork();
        if (pid == 0) {
            struct itimerval timer = {.it_value = {.tv_usec = 1 + rand_r(&seed) % 5000}};

            (void)setitimer(ITIMER_REAL, &timer, NULL); /* SIGALRM ends it like SIGKILL */
            write_round(writer, round);
            _exit(0);
        }
        (void)waitpid(pid, &status, 0);
        (void)rand_r(&seed);
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
            _exit(1);
    }
}

static void collect_until_told(int stop_fd)
{
    char byte;

    while (read(stop_fd, &byte, 1) < 0) { /* it does not block */
        auto_gc_report struct gc_report report = {0};
        struct gc_options options = {.all = true, .wait_ms = 2000};
        auto_store struct store *store = NULL;
        struct error err = {0};
        int r = store_open(state_path(), NULL, &store, &err);

        if (r == 0)
            r = gc_run(store, &options, &report, &err);
        if (r < 0 && r != -EBUSY)
            give_up("collector", &err);
        atomic_fetch_add(turn_count, r == 0);
    }
    if (atomic_load(turn_count) < TURNS) /* commands that overlap must not keep it out */
        give_up("collector", &(struct error){.text = "it hardly ever had its turn"});
}

static void note(void *context, const struct fsck_problem *problem)
{
    struct error *err = context;

    if (problem->kind != FSCK_LEFTOVER) /* of those killed */
        error_set(err, EIO, "%s: %s", problem->object, problem->text);
}

static void check_until_told(int stop_fd)
{
    char byte;

    while (read(stop_fd, &byte, 1) < 0) { /* it does not block */
        struct error problem = {0};
        struct error err = {0};
        struct fsck_options options = {.report = note, .context = &problem};
        struct fsck_result result;
        int r = fsck_run(state_path(), &options, &result, &err);

        if (r < 0)
            give_up("checker", &err);
        if (problem.code != 0)
            give_up("found", &problem);
    }
}

static pid_t start(void (*fn)(int argument), int argument)
{
    pid_t pid = fork();

    check_ok(pid);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* who is told to stop by nobody stays for ever */
        fn(argument);
        _exit(0);
    }
    return pid;
}

TEST(store_many, writers_a_collector_and_a_checker_get_along)
{
    struct fsck_options options = {.repair = true};
    struct fsck_result result = {0};
    pid_t pids[WRITERS + 2];
    int stop[2];
    int status;

    turn_count =
        mmap(NULL, sizeof(*turn_count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check_true(turn_count != MAP_FAILED);
    store_close(state_open());
    check_ok(pipe2(stop, O_CLOEXEC | O_NONBLOCK));
    for (int i = 0; i < WRITERS; i++)
        pids[i] = start(write_rounds, i);
    pids[WRITERS] = start(collect_until_told, stop[0]);
    pids[WRITERS + 1] = start(check_until_told, stop[0]);
    for (int i = 0; i < WRITERS; i++) {
        check_ok(waitpid(pids[i], &status, 0));
        check_int(status, 0);
    }
    check_int(write(stop[1], "xx", 2), 2);
    for (int i = WRITERS; i < WRITERS + 2; i++) {
        check_ok(waitpid(pids[i], &status, 0));
        check_int(status, 0);
    }
    check_ok(close(stop[0]));
    check_ok(close(stop[1]));
    store_close(state_open()); /* recovers */
    check_ok(fsck_run(state_path(), &options, &result, &test_err));
    check_int(result.problem_count, 0);
}

/* test_store_crash.c - killed, out of space or failing at any moment, the store stays right.
 *
 * One piece of work that uses all of it is interrupted at every system call of ours, at every
 * failpoint, at random times, and on disks of every small size (SECURITY S10, S11). Afterwards a
 * repairing check must find nothing to do, and the same work must succeed and give the same digests.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/failpoint.h"
#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/fsck.h"
#include "fs/gc.h"
#include "fs/index.h"
#include "fs/pack.h"
#include "tests/lib/fault.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

#define CONTENT_SIZE 20000

/* What a killed process wrote is in the kernel's memory, fsynced or not; so nothing is lost by using
 * a file system that has no disk, and a quarter of an hour is won. */
__attribute__((constructor)) static void work_in_memory(void)
{
    if (access("/dev/shm", W_OK | X_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1); /* else the default one */
}

/* -- the work: a small pull and a small build, without the network and the step -- */

static void fill(char *content, char c)
{
    memset(content, c, CONTENT_SIZE);
}

static int add_pack(struct store *store, char c, uint64_t *pack, struct error *err)
{
    auto_free char *content = mem_alloc(CONTENT_SIZE);
    auto_close int fd = -1;
    int r = pack_create(store, pack, &fd, err);

    if (r < 0)
        return r;
    fill(content, c);
    r = io_write_full(fd, content, CONTENT_SIZE);
    if (r < 0)
        return error_set(err, -r, "cannot write");
    return pack_adopt(store, *pack, fd, err);
}

static int add_layer(struct store *store, char c, enum layer_kind kind, struct layer_row *row,
                     struct error *err)
{
    auto_free char *content = mem_alloc(CONTENT_SIZE);
    int r = add_pack(store, c, &row->pack, err);

    if (r == 0)
        r = state_index_add(store, row->pack, CONTENT_SIZE, &row->index, err);
    fill(content, c);
    row->kind = kind;
    row->has_diff_id = kind == LAYER_PULLED;
    row->tar_size_bytes = CONTENT_SIZE;
    digest_of(content, CONTENT_SIZE, &row->diff_id);
    return r;
}

/* The compressed form arrives in two parts, as after a broken connection. */
static int add_blob(struct store *store, struct digest *digest, struct error *err)
{
    static const char bytes[] = "compressed";
    struct blob_writer_options options = {
        .digest = digest, .size_bytes = sizeof(bytes) - 1, .resume = true};
    auto_blob_writer struct blob_writer *w = NULL;
    int r;

    digest_of(bytes, sizeof(bytes) - 1, digest);
    for (int part = 0; part < 2; part++) {
        uint64_t at;
        uint64_t end;

        blob_writer_abort(STEAL(&w));
        r = blob_writer_open(store, &options, &w, err);
        if (r < 0)
            return r;
        at = blob_writer_size_bytes(w); /* what an earlier process left counts */
        end = part == 0 && at < 4 ? 4 : sizeof(bytes) - 1;
        r = blob_writer_write(w, bytes + at, end - at, err);
        if (r < 0)
            return r;
    }
    return blob_writer_commit(STEAL(&w), NULL, NULL, err);
}

static int pull(struct store *store, int64_t *layer, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    struct layer_row row = {0};
    struct digest blob;
    int r;

    *layer = 0;
    digest_of("compressed", 10, &blob);
    if (store_layer_find_by_blob(store, &blob, NULL, &row, err) == 0) {
        *layer = row.id;
        return 0;
    }
    r = add_blob(store, &blob, err);
    if (r == 0)
        r = add_layer(store, 'p', LAYER_PULLED, &row, err);
    if (r == 0)
        r = store_begin(store, &tx, err);
    if (r == 0)
        r = store_layer_insert(store, &row, NULL, 0, layer, err);
    if (r == 0)
        r = store_layer_blob_add(store, *layer, CODEC_GZIP, &blob, err);
    return r < 0 ? r : store_commit(&tx, err);
}

static int build(struct store *store, const char *key, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_cache_row struct cache_row known = {0};
    struct cache_row record = {.key = state_digest(key)};
    struct layer_row row = {0};
    int r;

    if (store_cache_get(store, &record.key, &known, err) == 0)
        return 0;
    r = add_layer(store, key[0], LAYER_BUILT, &row, err);
    if (r == 0)
        r = store_begin(store, &tx, err);
    if (r == 0)
        r = store_layer_insert(store, &row, NULL, 0, &record.layer, err);
    if (r == 0)
        r = store_cache_put(store, &record, err);
    return r < 0 ? r : store_commit(&tx, err);
}

static int tag(struct store *store, int64_t layer, struct error *err)
{
    struct image_row image = {
        .media_type = (char *)(uintptr_t) "m", .layers = &layer, .layer_count = 1};
    struct reference_row reference = {.name = (char *)(uintptr_t) "h/a:1"};
    auto_str struct str text = {0};
    char diff_id[DIGEST_TEXT_SIZE];
    struct layer_blob_row form;
    struct layer_row row;
    int r = store_layer_get(store, layer, &row, err);

    if (r == 0)
        r = store_layer_blob_find(store, layer, CODEC_GZIP, NULL, &form, err);
    if (r < 0)
        return r;
    digest_format(&row.diff_id, diff_id);
    str_addf(&text, "{\"rootfs\":{\"diff_ids\":[\"%s\"]}}", diff_id);
    r = blob_put(store, str_text(&text), text.size, &image.config, err);
    if (r < 0)
        return r;
    digest_format(&image.config, diff_id);
    str_truncate(&text, 0);
    str_addf(&text, "{\"config\":{\"digest\":\"%s\"},", diff_id);
    digest_format(&form.digest, diff_id);
    str_addf(&text, "\"layers\":[{\"digest\":\"%s\"}]}", diff_id);
    r = blob_put(store, str_text(&text), text.size, &image.manifest, err);
    if (r == 0)
        r = store_image_put(store, &image, err);
    reference.manifest = image.manifest;
    return r < 0 ? r : store_reference_set(store, &reference, err);
}

static int work_in(struct store *store, struct error *err)
{
    struct gc_options options = {.wait_ms = 0};
    auto_gc_report struct gc_report report = {0};
    int64_t layer = 0;
    int r = pull(store, &layer, err);

    if (r == 0)
        r = build(store, "garbage", err);
    if (r == 0)
        r = tag(store, layer, err);
    if (r == 0)
        r = gc_run(store, &options, &report, err); /* takes the garbage */
    if (r == 0)
        r = build(store, "kept", err);
    return r < 0 ? r : store_context_save(store, "/src", "bytes", 5, err);
}

static int work(struct error *err)
{
    auto_store struct store *store = NULL;
    int r = store_open(state_path(), NULL, &store, err);

    return r < 0 ? r : work_in(store, err);
}

/* -- what must hold afterwards -- */

static void print_problem(void *context, const struct fsck_problem *problem)
{
    str_addf(context, "%s %s: %s\n", fsck_kind_name(problem->kind), problem->object, problem->text);
}

/* Opening recovers; then there is nothing to repair, not even a file without a row. */
static void check_sound(void)
{
    auto_str struct str said = {0};
    struct fsck_options options = {.repair = true, .report = print_problem, .context = &said};
    struct fsck_result result;

    store_close(state_open());
    check_ok(fsck_run(state_path(), &options, &result, &test_err));
    check_text(str_text(&said), "");
}

static void check_done(void)
{
    auto_store struct store *store = NULL;
    auto_reference_row struct reference_row row = {0};
    auto_cache_row struct cache_row record = {0};
    struct digest key = state_digest("kept");
    char text[DIGEST_TEXT_SIZE];

    check_ok(work(&test_err));
    check_sound();
    store = state_open();
    check_ok(store_reference_get(store, "h/a:1", &row, &test_err));
    digest_format(&row.manifest, text);
    /* by python3's hashlib, over the documents that tag() writes */
    check_text(text, "sha256:32dc9c737fcd0c6e06f9c55be7d05d3807e88be2b90e80085027fc828011fd0b");
    check_ok(store_cache_get(store, &key, &record, &test_err));
}

static void start_anew(void)
{
    check_ok(io_remove_tree(test_dir_fd(), "state"));
}

/* A second kind of start: what is there already must survive, too. */
static void start_from_done(void)
{
    start_anew();
    check_ok(work(&test_err));
}

/* Runs the work in a child after `prepare`; true when it was killed, a failure when it failed. */
static bool killed_at_work(void (*prepare)(const void *how), const void *how)
{
    struct error err = {0};
    int status = 0;
    pid_t pid = fork();

    check_ok(pid);
    if (pid == 0) {
        prepare(how);
        if (work(&err) < 0) {
            (void)fprintf(stderr, "%s\n", err.text);
            _exit(1);
        }
        _exit(0);
    }
    check_ok(waitpid(pid, &status, 0));
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        check_fail("the work failed by itself");
    return WIFSIGNALED(status);
}

/* -- killed -- */

static void kill_at_call(const void *how)
{
    fault_kill(FAULT_ANY, *(const uint64_t *)how);
}

TEST(store_crash, killed_at_any_call_of_a_first_use)
{
    (void)state_path();
    for (uint64_t nth = 1;; nth++) {
        start_anew();
        if (!killed_at_work(kill_at_call, &nth))
            return;
        check_sound();
        check_done();
    }
}

TEST(store_crash, killed_at_any_call_of_a_later_use)
{
    (void)state_path();
    for (uint64_t nth = 1;; nth++) {
        start_from_done();
        if (!killed_at_work(kill_at_call, &nth))
            return;
        check_sound();
        check_done();
    }
}

static void kill_at_point(const void *how)
{
    failpoint_set(how);
}

TEST(store_crash, killed_at_any_failpoint_however_often_it_is_passed)
{
    static const char *const points[] = {
        "store.create", "blob.write",    "blob.fsync", "blob.link", "pack.fsync",
        "pack.link",    "index.fsync",   "index.link", "dir.fsync", "commit.before",
        "commit.after", "layer.insert",  "image.put",  "cache.put", "gc.sweep",
        "gc.unlink",    "recover.remove"};

    (void)state_path();
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        unsigned hits = 0;

        for (;; hits++) {
            auto_free char *spec = str_format("%s@%u=kill", points[i], hits + 1);

            start_anew();
            if (!killed_at_work(kill_at_point, spec))
                break;
            check_sound();
            check_done();
        }
        if (hits == 0)
            check_fail("the work never passes '%s'", points[i]);
    }
}

static void kill_after(const void *how)
{
    struct itimerval timer = {.it_value = {.tv_usec = *(const suseconds_t *)how}};

    check_ok(setitimer(ITIMER_REAL, &timer, NULL)); /* SIGALRM ends the process like SIGKILL */
}

/* Also inside SQLite, which the calls above do not see. */
TEST(store_crash, killed_at_random_times)
{
    unsigned seed = 20240229;

    (void)state_path();
    for (int i = 0; i < 60; i++) {
        suseconds_t us = 1 + rand_r(&seed) % 20000;

        if (i % 3 == 0)
            start_anew();
        (void)killed_at_work(kill_after, &us);
        check_sound();
    }
    check_done();
}

/* Recovery itself is killed: the next one goes on. */
TEST(store_crash, killed_while_recovering)
{
    (void)state_path();
    for (uint64_t nth = 1;; nth++) {
        start_anew();
        check_true(killed_at_work(kill_at_point, "layer.insert=kill"));
        if (!killed_at_work(kill_at_call, &nth))
            return;
        check_sound();
    }
}

/* -- failing -- */

static void check_failing(enum fault_call call, int code, bool lasting)
{
    (void)state_path();
    for (uint64_t nth = 1;; nth++) {
        struct error err = {0};
        bool was_hit;

        start_anew();
        if (lasting)
            fault_fail_from(call, nth, code);
        else
            fault_fail(call, nth, code);
        (void)work(&err); /* some failures do not matter */
        was_hit = fault_was_hit();
        fault_clear();
        if (!was_hit)
            return;
        check_sound();
        check_done();
    }
}

TEST(store_crash, a_write_that_finds_no_space)
{
    check_failing(FAULT_WRITE, ENOSPC, false);
    check_failing(FAULT_WRITE, EDQUOT, true);
}

TEST(store_crash, an_fsync_that_fails)
{
    check_failing(FAULT_SYNC, EIO, false);
    check_failing(FAULT_SYNC, ENOSPC, true);
}

TEST(store_crash, a_link_or_rename_that_fails)
{
    check_failing(FAULT_RENAME, ENOSPC, false);
    check_failing(FAULT_RENAME, EIO, true);
}

TEST(store_crash, a_removal_that_fails)
{
    check_failing(FAULT_UNLINK, EIO, false);
}

TEST(store_crash, a_directory_that_cannot_be_made)
{
    check_failing(FAULT_MKDIR, ENOSPC, false);
}

TEST(store_crash, an_opening_that_fails)
{
    check_failing(FAULT_OPEN, EMFILE, false);
}

/* A short write or read is no failure at all. */
TEST(store_crash, short_reads_and_writes_make_no_difference)
{
    static const enum fault_call calls[] = {FAULT_READ, FAULT_WRITE};

    (void)state_path();
    for (size_t i = 0; i < 2; i++) {
        for (uint64_t nth = 1;; nth++) {
            bool was_hit;

            start_anew();
            fault_shorten(calls[i], nth);
            check_ok(work(&test_err));
            was_hit = fault_was_hit();
            fault_clear();
            if (!was_hit)
                break;
            check_sound();
        }
    }
}

/* -- a full disk, the real thing -- */

static int write_map(const char *file, const char *text)
{
    auto_close int fd = open(file, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? -errno : io_write_full(fd, text, strlen(text));
}

/* user_namespaces(7): without privilege one id each, and no setgroups before the gid map. */
static int become_root(void)
{
    auto_free char *uid_map = str_format("0 %u 1", geteuid());
    auto_free char *gid_map = str_format("0 %u 1", getegid());

    if (unshare(CLONE_NEWUSER) < 0)
        return -errno;
    if (write_map("/proc/self/uid_map", uid_map) < 0 ||
        write_map("/proc/self/setgroups", "deny") < 0)
        return -EPERM;
    return write_map("/proc/self/gid_map", gid_map);
}

/* A tmpfs of this size over the test's directory, in namespaces of our own. */
static int mount_small(uint64_t size)
{
    auto_free char *options = str_format("size=%ju,mode=0700", (uintmax_t)size);
    int r = geteuid() == 0 ? 0 : become_root();

    if (r < 0)
        return r;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", test_dir(), "tmpfs", 0, options) < 0)
        return -errno;
    return 0;
}

enum outcome { OUTCOME_DONE, OUTCOME_NO_SPACE, OUTCOME_NO_MOUNT, OUTCOME_WRONG };

static int remount(uint64_t size)
{
    auto_free char *options = str_format("size=%ju", (uintmax_t)size);

    return mount("tmpfs", test_dir(), "tmpfs", MS_REMOUNT, options) < 0 ? -errno : 0;
}

/* Works until the disk is full, then again with enough space. */
static enum outcome work_on_small_disk(uint64_t size)
{
    struct fsck_options options = {.repair = true};
    struct fsck_result result = {0};
    struct error err = {0};
    enum outcome outcome = OUTCOME_DONE;
    int r;

    if (mount_small(size) < 0)
        return OUTCOME_NO_MOUNT;
    r = work(&err);
    if (r == -ENOSPC)
        outcome = OUTCOME_NO_SPACE;
    else if (r < 0)
        outcome = OUTCOME_WRONG;
    if (outcome == OUTCOME_WRONG)
        (void)fprintf(stderr, "with %ju bytes: %s (%d)\n", (uintmax_t)size, err.text, -r);
    if (outcome != OUTCOME_NO_SPACE)
        return outcome;
    if (remount(size + (16 << 20)) < 0)
        return OUTCOME_NO_MOUNT;
    r = work(&err);
    if (r == 0)
        r = fsck_run(state_path(), &options, &result, &err);
    if (r < 0 || result.problem_count > 0) {
        (void)fprintf(stderr, "after %ju bytes: %s, %zu problems\n", (uintmax_t)size, err.text,
                      result.problem_count);
        return OUTCOME_WRONG;
    }
    return outcome;
}

/* Has a child mount a disk of this size and work on it; skips the test where it may not. */
static enum outcome outcome_of(enum outcome (*work_on)(uint64_t disk_size), uint64_t disk_size)
{
    int status = 0;
    pid_t pid;

    (void)state_path(); /* made by this process, which removes it */
    pid = fork();
    check_ok(pid);
    if (pid == 0)
        _exit((int)work_on(disk_size));
    check_ok(waitpid(pid, &status, 0));
    check_true(WIFEXITED(status));
    test_need("userns", WEXITSTATUS(status) != OUTCOME_NO_MOUNT, "no tmpfs may be mounted here");
    return (enum outcome)WEXITSTATUS(status);
}

TEST(store_crash, a_disk_of_any_small_size_fills_up_cleanly)
{
    size_t full_count = 0;
    bool is_done = false;

    for (uint64_t size = 64 << 10; !is_done; size += 32 << 10) {
        enum outcome outcome = outcome_of(work_on_small_disk, size);

        check_true(outcome != OUTCOME_WRONG);
        is_done = outcome == OUTCOME_DONE;
        full_count += outcome == OUTCOME_NO_SPACE;
    }
    check_true(full_count > 4);
}

static int fill_up(void)
{
    auto_free char *name = path_join(test_dir(), "filler");
    auto_free char *bytes = mem_alloc(4096);
    auto_close int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    while (fd >= 0 && write(fd, bytes, 4096) > 0) {
        /* to the last page */
    }
    return fd < 0 ? -1 : 0;
}

/* A collection is what one does about a full disk: it must not need space of its own. */
static enum outcome collect_on_full_disk(uint64_t disk_size)
{
    struct gc_options options = {0};
    struct gc_report report = {0};
    struct error err = {0};
    struct store *store = NULL;
    int r;

    if (mount_small(disk_size) < 0)
        return OUTCOME_NO_MOUNT;
    if (work(&err) < 0 || fill_up() < 0)
        return OUTCOME_WRONG;
    r = store_open(state_path(), NULL, &store, &err);
    if (r == 0 && build(store, "another", &err) != -ENOSPC)
        return OUTCOME_WRONG;
    if (r == 0)
        r = gc_run(store, &options, &report, &err);
    (void)fprintf(stderr, "%s%s", r < 0 ? err.text : "", r < 0 ? "\n" : "");
    return r == 0 && report.freed_bytes > CONTENT_SIZE && state_has("reserve") ? OUTCOME_DONE
                                                                               : OUTCOME_WRONG;
}

TEST(store_crash, a_collection_works_on_a_disk_full_to_the_last_byte)
{
    check_int(outcome_of(collect_on_full_disk, 8 << 20), OUTCOME_DONE);
}

static enum outcome use_read_only(uint64_t disk_size)
{
    const struct gc_options options = {.all = true};
    auto_gc_report struct gc_report report = {0};
    auto_usage_list struct usage_list used = {0};
    auto_store struct store *store = NULL;
    auto_free char *sentence = NULL;
    struct error err = {0};

    if (mount_small(disk_size) < 0)
        return OUTCOME_NO_MOUNT;
    if (work(&err) < 0)
        return OUTCOME_WRONG;
    if (mount(NULL, test_dir(), NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
        return OUTCOME_NO_MOUNT;
    if (store_open(state_path(), NULL, &store, &err) < 0 || !store_is_read_only(store) ||
        store_usage(store, &used, &err) < 0 || used.count == 0)
        return OUTCOME_WRONG;
    if (build(store, "another", &err) != -EROFS || gc_run(store, &options, &report, &err) != -EROFS)
        return OUTCOME_WRONG;
    sentence = str_format("the store '%s' is read-only", state_path());
    return strcmp(err.text, sentence) == 0 ? OUTCOME_DONE : OUTCOME_WRONG;
}

/* S15. What is on it can be read. */
TEST(store_crash, a_read_only_disk_is_named)
{
    check_int(outcome_of(use_read_only, 8 << 20), OUTCOME_DONE);
}

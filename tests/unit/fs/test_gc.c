/* test_gc.c - what a collection takes, what it leaves, and what it says about both. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/failpoint.h"
#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/gc.h"
#include "fs/pack.h"
#include "tests/lib/database.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

#define MINUTE_NS (60ll * 1000000000)

static void run_sql(const char *sql)
{
    auto_free char *db = state_file("img.db");

    database_run(db, sql, NULL);
}

static bool has_layer(struct store *store, int64_t layer)
{
    struct layer_row row;

    return store_layer_get(store, layer, &row, &test_err) == 0;
}

static bool has_record(struct store *store, const char *key)
{
    auto_cache_row struct cache_row row = {0};
    struct digest digest = state_digest(key);

    return store_cache_get(store, &digest, &row, &test_err) == 0;
}

/* Blocks of all objects, as du(1) would count them. */
static uint64_t disk_bytes(void)
{
    static const char *const dirs[] = {"blobs/sha256", "packs", "index", "tmp/partial"};
    uint64_t sum = 0;

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        auto_str struct str names = {0};
        char *rest;

        state_list(dirs[i], &names);
        rest = names.data;
        while (rest && *rest) {
            size_t size = strcspn(rest, "\n");
            auto_free char *name = str_format("%s/%.*s", dirs[i], (int)size, rest);
            auto_free char *file = state_file(name);
            struct stat st;

            check_ok(lstat(file, &st));
            sum += (uint64_t)st.st_blocks * 512;
            rest += size + 1;
        }
    }
    return sum;
}

static void collect(struct store *store, const struct gc_options *options, struct gc_report *report)
{
    gc_report_release(report);
    check_ok(gc_run(store, options, report, &test_err));
}

static bool was_removed(const struct gc_report *report, const char *description)
{
    for (size_t i = 0; i < report->removed.count; i++)
        if (strcmp(report->removed.items[i].description, description) == 0)
            return true;
    return false;
}

/* Makes a file of the store look an hour old, past the grace of ten minutes. */
static void age(const char *name)
{
    auto_free char *file = state_file(name);
    struct timespec times[2] = {{.tv_sec = io_now_ns() / 1000000000 - 3600}, {0}};

    times[1] = times[0];
    check_ok(utimensat(AT_FDCWD, file, times, AT_SYMLINK_NOFOLLOW));
}

/* -- what stays -- */

TEST(gc, a_named_image_keeps_all_it_needs)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {.all = true};
    int64_t layers[2] = {state_pulled(store, "one"), state_pulled(store, "two")};
    struct digest manifest;
    uint64_t before;

    state_image(store, "h/a:1", "", layers, 2, &manifest);
    before = disk_bytes();
    collect(store, &options, &report);
    check_int(report.removed.count, 0);
    check_int(report.freed_bytes, 0);
    check_int(disk_bytes(), before);
    check_int(report.kept_bytes, before);
    check_true(has_layer(store, layers[0]) && has_layer(store, layers[1]));
}

TEST(gc, the_index_a_name_was_resolved_from_stays_with_it)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {0};
    struct reference_row reference = {.name = (char *)(uintptr_t) "h/a:1", .has_index = true};

    state_image(store, NULL, "", NULL, 0, &reference.manifest);
    check_ok(blob_put(store, "index", 5, &reference.index, &test_err));
    check_ok(store_reference_set(store, &reference, &test_err));
    collect(store, &options, &report);
    check_true(blob_exists(store, &reference.index));
    check_ok(store_reference_remove(store, "h/a:1", &test_err));
    collect(store, &options, &report);
    check_false(blob_exists(store, &reference.index));
    check_true(was_removed(&report, "index") || was_removed(&report, "unclaimed bytes"));
}

/* A document that names `config` and `layer`, and the entry of an index for it. */
static struct digest put_manifest(struct store *store, const char *config_type,
                                  const struct digest *config, const struct digest *layer)
{
    struct digest manifest;
    char names[2][DIGEST_TEXT_SIZE];
    auto_free char *text = NULL;

    digest_format(config, names[0]);
    digest_format(layer, names[1]);
    text = str_format("{\"config\": {\"mediaType\": \"%s\", \"digest\": \"%s\"},"
                      " \"layers\": [{\"digest\": \"%s\"}]}",
                      config_type, names[0], names[1]);
    check_ok(blob_put(store, text, strlen(text), &manifest, &test_err));
    return manifest;
}

static struct digest put_text(struct store *store, const char *text)
{
    struct digest digest;

    check_ok(blob_put(store, text, strlen(text), &digest, &test_err));
    return digest;
}

#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"

/* OCI image-spec, "Image Index": what has no platform, or an unknown one, is no image. */
TEST(gc, what_a_named_index_has_beside_images_stays_with_it)
{
    static const char *const platforms[] = {"{\"os\": \"unknown\", \"architecture\": \"unknown\"}",
                                            "null", "{\"os\": \"linux\"}", "{\"os\": \"linux\"}"};
    static const char *const types[] = {CONFIG_TYPE, CONFIG_TYPE,
                                        "application/vnd.oci.empty.v1+json", CONFIG_TYPE};
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {.all = true};
    struct reference_row row = {.name = (char *)(uintptr_t) "h/a:1", .has_index = true};
    auto_str struct str index = {0};
    struct digest blobs[4][3];

    str_add(&index, "{\"manifests\": [1, {\"digest\": \"sha512:00\"}");
    for (size_t i = 0; i < 4; i++) {
        auto_free char *config = str_format("config %zu", i);
        auto_free char *layer = str_format("layer %zu", i);
        char name[DIGEST_TEXT_SIZE];

        blobs[i][0] = put_text(store, config);
        blobs[i][1] = put_text(store, layer);
        blobs[i][2] = put_manifest(store, types[i], &blobs[i][0], &blobs[i][1]);
        digest_format(&blobs[i][2], name);
        str_addf(&index, ", {\"digest\": \"%s\", \"platform\": %s}", name, platforms[i]);
    }
    str_add(&index, "]}");
    row.index = put_text(store, str_text(&index));
    state_image(store, NULL, "", NULL, 0, &row.manifest);
    check_ok(store_reference_set(store, &row, &test_err));
    collect(store, &options, &report);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++) /* the last is an image that was removed */
            check_int(blob_exists(store, &blobs[i][j]), i < 3);
    check_int(report.kept_bytes, disk_bytes());
    collect(store, &options, &report);
    check_int(report.removed.count, 0);
    check_ok(store_reference_remove(store, "h/a:1", &test_err));
    collect(store, &options, &report);
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 3; j++)
            check_false(blob_exists(store, &blobs[i][j]));
    check_int(disk_bytes(), 0);
}

TEST(gc, cache_records_of_a_named_images_layers_stay_unless_all_go)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {0};
    int64_t layer = state_pulled(store, "one");

    state_image(store, "h/a:1", "", &layer, 1, NULL);
    state_cache(store, "meta", NULL, 0);
    state_cache(store, "made", "meta", layer);
    collect(store, &options, &report);
    check_true(has_record(store, "made") && has_record(store, "meta"));
    options.all = true;
    collect(store, &options, &report);
    check_false(has_record(store, "made") || has_record(store, "meta"));
    check_true(has_layer(store, layer));
}

/* A pack lives as long as one layer points into it, whoever brought it. */
TEST(gc, a_pack_stays_while_another_layer_shares_it)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {0};
    int64_t owner = state_pulled(store, "shared bytes");
    int64_t user = state_sharing(store, owner);
    struct layer_row row;
    char byte;

    check_ok(store_layer_get(store, owner, &row, &test_err));
    state_cache(store, "owner", NULL, owner);
    state_cache(store, "user", NULL, user);
    run_sql("DELETE FROM cache WHERE description = 'RUN owner'");
    options.select = NULL;
    options.unused_since_ns = 1; /* records are younger: only garbage goes */
    collect(store, &options, &report);
    check_false(has_layer(store, owner));
    check_true(has_layer(store, user));
    check_ok(pack_read(store, row.pack, 0, &byte, 1, &test_err));
    options.unused_since_ns = 0;
    collect(store, &options, &report);
    check_false(has_layer(store, user));
    check_fails(pack_read(store, row.pack, 0, &byte, 1, &test_err), ENOENT);
    check_int(disk_bytes(), 0);
}

/* -- what goes -- */

TEST(gc, frees_exactly_what_it_says)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {0};
    int64_t kept = state_pulled(store, "kept");
    int64_t dead = state_pulled(store, "dead");
    uint64_t before;

    state_image(store, "h/a:1", "", &kept, 1, NULL);
    state_image(store, NULL, "unnamed", &dead, 1, NULL);
    state_cache(store, "made", NULL, state_built(store, "built"));
    before = disk_bytes();
    collect(store, &options, &report);
    check_true(report.freed_bytes > 0);
    check_int(before - disk_bytes(), report.freed_bytes);
    check_int(report.removed.total_bytes, report.freed_bytes);
    check_int(report.kept_bytes, disk_bytes());
    check_true(was_removed(&report, "RUN made"));
    check_true(was_removed(&report, "pulled"));
    check_true(was_removed(&report, "manifest"));
    check_true(was_removed(&report, "config"));
}

TEST(gc, a_dry_run_says_the_same_and_changes_nothing)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report dry = {0};
    auto_gc_report struct gc_report real = {0};
    struct gc_options options = {.dry_run = true};
    int64_t dead = state_pulled(store, "dead");
    uint64_t before;

    state_image(store, NULL, "unnamed", &dead, 1, NULL);
    state_cache(store, "made", NULL, state_built(store, "built"));
    state_write("packs/00000000000000aa", "orphan");
    age("packs/00000000000000aa");
    before = disk_bytes();
    collect(store, &options, &dry);
    check_int(disk_bytes(), before);
    check_true(has_record(store, "made"));
    options.dry_run = false;
    collect(store, &options, &real);
    check_int(real.freed_bytes, dry.freed_bytes);
    check_int(real.removed.count, dry.removed.count);
    check_int(real.orphan_count, 1);
    check_int(dry.orphan_count, 1);
    check_int(real.kept_bytes, dry.kept_bytes);
}

TEST(gc, contexts_and_cache_mounts_go_too)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {0};
    int64_t layer = state_built(store, "mounted");
    struct cache_mount_row row = {.id = state_digest("m"),
                                  .description = (char *)(uintptr_t) "apt",
                                  .layers = &layer,
                                  .layer_count = 1};
    auto_str struct str bytes = {0};

    check_ok(store_cache_mount_put(store, &row, &test_err));
    check_ok(store_context_save(store, "/src", "bytes", 5, &test_err));
    collect(store, &options, &report);
    check_true(was_removed(&report, "apt") && was_removed(&report, "/src"));
    check_int(report.removed.count, 2); /* the layer is part of the mount */
    check_false(has_layer(store, layer));
    check_fails(store_context_load(store, "/src", &bytes, &test_err), ENOENT);
    check_int(disk_bytes(), 0);
}

static bool only_made(void *context, const struct usage_row *row)
{
    (void)context;
    return row->kind == USAGE_LAYER && strcmp(row->description, "RUN made") == 0;
}

TEST(gc, a_selection_limits_what_is_forgotten)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {.select = only_made};

    state_cache(store, "made", NULL, state_built(store, "a"));
    state_cache(store, "other", NULL, state_built(store, "b"));
    collect(store, &options, &report);
    check_false(has_record(store, "made"));
    check_true(has_record(store, "other"));
    check_int(report.removed.count, 1);
}

TEST(gc, until_keeps_what_was_used_since)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {0};

    state_cache(store, "old", NULL, state_built(store, "a"));
    state_cache(store, "new", NULL, state_built(store, "b"));
    run_sql("UPDATE cache SET used_ns = used_ns - 3600000000000 WHERE description = 'RUN old'");
    options.unused_since_ns = io_now_ns() - 30 * MINUTE_NS;
    collect(store, &options, &report);
    check_false(has_record(store, "old"));
    check_true(has_record(store, "new"));
}

/* S15: a clock that was wrong once does not keep things for ever, nor drop what is in use. */
TEST(gc, a_use_in_the_future_counts_as_now)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {0};

    state_cache(store, "future", NULL, state_built(store, "a"));
    run_sql("UPDATE cache SET used_ns = used_ns + 86400000000000");
    options.unused_since_ns = io_now_ns() - MINUTE_NS;
    collect(store, &options, &report);
    check_true(has_record(store, "future"));
    options.unused_since_ns = io_now_ns() + MINUTE_NS;
    collect(store, &options, &report);
    check_false(has_record(store, "future"));
}

TEST(gc, a_size_to_keep_takes_the_longest_unused_first)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {0};
    struct digest first = state_digest("first");

    state_cache(store, "first", NULL, state_built(store, "a"));
    state_cache(store, "second", NULL, state_built(store, "b"));
    state_cache(store, "third", NULL, state_built(store, "c"));
    run_sql("UPDATE cache SET used_ns = 1"); /* the clock has no say in the order */
    check_ok(store_cache_touch(store, &first, 1, &test_err));
    options.keep_bytes = disk_bytes() - 1;
    collect(store, &options, &report);
    check_false(has_record(store, "second"));
    check_true(has_record(store, "first") && has_record(store, "third"));
    options.keep_bytes = disk_bytes();
    collect(store, &options, &report);
    check_int(report.removed.count, 0);
    options.keep_bytes = 1;
    collect(store, &options, &report);
    check_int(disk_bytes(), 0);
}

/* What is forgotten may be shared and free nothing: then more has to go. */
TEST(gc, a_size_to_keep_is_reached_although_bytes_are_shared)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {0};
    int64_t owner = state_built(store, "shared bytes");
    int64_t user = state_sharing(store, owner);
    uint64_t all;

    state_cache(store, "owner", NULL, owner);
    state_cache(store, "user", NULL, user);
    state_cache(store, "last", NULL, state_built(store, "x"));
    all = disk_bytes();
    options.keep_bytes = all / 2;
    collect(store, &options, &report);
    check_true(disk_bytes() <= options.keep_bytes);
    check_true(has_record(store, "last"));
}

/* -- files without rows -- */

/* S8 */
TEST(gc, a_file_without_a_row_has_ten_minutes)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {.all = true};

    state_write("packs/00000000000000aa", "young");
    state_write("index/00000000000000bb", "old");
    state_write("blobs/sha256/"
                "0000000000000000000000000000000000000000000000000000000000000000",
                "old");
    state_write("packs/README", "not an object's name");
    age("index/00000000000000bb");
    age("blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000");
    age("packs/README");
    collect(store, &options, &report);
    check_int(report.orphan_count, 2);
    check_true(state_has("packs/00000000000000aa"));
    check_false(state_has("index/00000000000000bb"));
    check_true(state_has("packs/README"));
    age("packs/00000000000000aa");
    collect(store, &options, &report);
    check_false(state_has("packs/00000000000000aa"));
}

TEST(gc, an_object_this_process_is_about_to_insert_stays)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {0};
    auto_str struct str name = {0};
    auto_free char *path = NULL;
    auto_close int fd = -1;
    uint64_t id = 0;

    check_ok(pack_create(store, &id, &fd, &test_err));
    check_ok(pack_adopt(store, id, fd, &test_err));
    state_list("packs", &name);
    path = str_format("packs/%.16s", str_text(&name));
    age(path);
    collect(store, &options, &report);
    check_true(state_has(path));
}

#define PARTIAL_A "tmp/partial/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PARTIAL_B "tmp/partial/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

TEST(gc, old_downloads_go_and_fresh_ones_only_when_all_go)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    auto_usage_list struct usage_list usage = {0};
    struct gc_options options = {.dry_run = true};
    auto_free char *file = state_file(PARTIAL_A);
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    uint64_t before;

    state_write(PARTIAL_A, "bytes");
    state_write(PARTIAL_B, "bytes");
    check_ok(utimensat(AT_FDCWD, file, times, 0));
    check_ok(store_usage(store, &usage, &test_err));
    check_int(usage.count, 2);
    check_int(usage.items[0].kind, USAGE_PARTIAL);
    check_int(usage.reclaimable_bytes, usage.total_bytes);
    before = disk_bytes();
    collect(store, &options, &report);
    check_int(report.removed.count, 1);
    check_true(state_has(PARTIAL_A));
    options.dry_run = false;
    collect(store, &options, &report);
    check_int(report.removed.count, 1);
    check_text(report.removed.items[0].id, "aaaaaaaaaaaaaaaa");
    check_int(report.freed_bytes, before - disk_bytes());
    check_false(state_has(PARTIAL_A));
    check_true(state_has(PARTIAL_B));
    options.all = true;
    collect(store, &options, &report);
    check_false(state_has(PARTIAL_B));
}

TEST(gc, a_store_that_has_to_shrink_gives_downloads_first)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {.keep_bytes = 1};

    state_write(PARTIAL_A, "bytes");
    collect(store, &options, &report);
    check_false(state_has(PARTIAL_A));
    check_int(report.kept_bytes, 0);
}

TEST(gc, a_download_under_way_is_in_use)
{
    auto_store struct store *store = state_open();
    auto_usage_list struct usage_list usage = {0};
    struct digest digest = state_digest("hello");
    const struct blob_writer_options options = {.digest = &digest, .size_bytes = 5, .resume = true};
    struct blob_writer *w = NULL;

    check_ok(blob_writer_open(store, &options, &w, &test_err));
    check_ok(blob_writer_write(w, "hel", 3, &test_err));
    check_ok(store_usage(store, &usage, &test_err));
    check_int(usage.count, 1);
    check_true(usage.items[0].is_in_use);
    check_int(usage.reclaimable_bytes, 0);
    blob_writer_abort(w);
}

/* -- others -- */

static void hold_store(void)
{
    struct store *store = state_open();

    (void)raise(SIGSTOP);
    store_close(store);
}

static bool was_told;

static void tell(void *context)
{
    pid_t pid = *(pid_t *)context;

    was_told = true;
    check_ok(kill(pid, SIGCONT)); /* the other one ends */
}

/* S5: exclusive, non-blocking, then waits with a message. */
TEST(gc, waits_for_other_processes_if_asked)
{
    struct gc_options options = {0};
    auto_gc_report struct gc_report report = {0};
    auto_store struct store *store = NULL;
    auto_free char *sentence = NULL;
    int status = 0;
    pid_t pid;

    store_close(state_open());
    pid = fork();
    check_ok(pid);
    if (pid == 0) {
        hold_store();
        _exit(0);
    }
    check_ok(waitpid(pid, &status, WUNTRACED));
    store = state_open();
    check_fails(gc_run(store, &options, &report, &test_err), EBUSY);
    sentence = str_format("the store '%s' is in use by another process", state_path());
    check_error(&test_err, EBUSY, sentence);
    options.wait_ms = -1;
    options.waiting = tell;
    options.context = &pid;
    check_ok(gc_run(store, &options, &report, &test_err));
    check_true(was_told);
    check_ok(waitpid(pid, &status, 0));
}

TEST(gc, holds_the_shared_lock_again_afterwards)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    struct gc_options options = {0};
    auto_free char *name = state_file("gc.lock");
    auto_close int fd = open(name, O_RDONLY | O_CLOEXEC);

    collect(store, &options, &report);
    check_int(flock(fd, LOCK_EX | LOCK_NB), -1);
    check_ok(flock(fd, LOCK_SH | LOCK_NB));
}

static const char *point;

static void die_in_gc(void)
{
    struct gc_report report = {0};
    struct gc_options options = {0};
    struct store *store = state_open();

    failpoint_set(point);
    (void)gc_run(store, &options, &report, &test_err);
}

/* S8: killed GC is harmless, wherever it was. */
TEST(gc, killed_anywhere_it_is_finished_by_the_next)
{
    static const char *const points[] = {"gc.sweep=kill", "commit.before=kill", "commit.after=kill",
                                         "gc.unlink=kill", "gc.unlink@3=kill"};

    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        auto_store struct store *store = state_open();
        auto_gc_report struct gc_report report = {0};
        auto_usage_list struct usage_list list = {0};
        struct gc_options options = {0};
        auto_free char *salt = str_format("%zu", i);
        int64_t kept = state_pulled(store, "kept");
        int status = 0;
        pid_t pid;

        state_image(store, "h/a:1", "", &kept, 1, NULL);
        state_cache(store, salt, NULL, state_built(store, "dead"));
        state_cache(store, "more", NULL, state_built(store, "dead too"));
        store_close(STEAL(&store));
        point = points[i];
        pid = fork();
        check_ok(pid);
        if (pid == 0) {
            die_in_gc();
            _exit(0);
        }
        check_ok(waitpid(pid, &status, 0));
        check_true(WIFSIGNALED(status));
        store = state_open();
        check_ok(store_usage(store, &list, &test_err));
        check_int(list.total_bytes, disk_bytes()); /* no file without a row */
        collect(store, &options, &report);
        check_int(report.kept_bytes, disk_bytes());
        check_false(has_record(store, salt));
    }
}

/* -- accounting -- */

TEST(gc, usage_counts_every_block_once)
{
    auto_store struct store *store = state_open();
    auto_usage_list struct usage_list list = {0};
    int64_t owner = state_pulled(store, "one");
    int64_t user = state_sharing(store, owner);
    int64_t mounted = state_built(store, "mounted");
    struct cache_mount_row mount = {.id = state_digest("m"), .layers = &mounted, .layer_count = 1};

    state_image(store, "h/a:1", "", &owner, 1, NULL);
    state_cache(store, "base", NULL, 0);
    state_cache(store, "made", "base", user);
    check_ok(store_cache_mount_put(store, &mount, &test_err));
    check_ok(store_usage(store, &list, &test_err));
    check_int(list.total_bytes, disk_bytes());
    check_true(list.database_bytes > 0);
    check_true(list.reclaimable_bytes > 0 && list.reclaimable_bytes < list.total_bytes);
    check_int(list.count, 6); /* two layers, two documents, one record, one mount */
}

TEST(gc, usage_tells_who_needs_what)
{
    auto_store struct store *store = state_open();
    auto_usage_list struct usage_list list = {0};
    int64_t owner = state_pulled(store, "one");

    state_image(store, "h/a:1", "", &owner, 1, NULL);
    state_cache(store, "base", NULL, 0);
    state_cache(store, "made", "base", state_sharing(store, owner));
    check_ok(store_usage(store, &list, &test_err));
    for (size_t i = 0; i < list.count; i++) {
        const struct usage_row *row = &list.items[i];

        if (strcmp(row->description, "pulled") == 0) {
            check_int(row->kind, USAGE_LAYER);
            check_true(row->is_in_use && row->is_shared && !row->is_mutable);
            check_text(row->parent, NULL);
        } else if (strcmp(row->description, "RUN made") == 0) {
            check_false(row->is_in_use || row->is_shared);
            /* the first 16 digits of the parent record's key: sha256 of "base", by sha256sum(1) */
            check_text(row->parent, "cae662172fd450bb");
            check_int(row->use_count, 1);
        } else if (strcmp(row->description, "manifest") == 0) {
            check_true(row->is_in_use);
        }
    }
}

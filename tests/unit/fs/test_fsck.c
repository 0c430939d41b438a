/* test_fsck.c - each kind of planted damage is found, named, repaired, and then gone (S9). */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/failpoint.h"
#include "fs/base/hash.h"
#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/fsck.h"
#include "fs/layer.h"
#include "fs/pack.h"
#include "tests/lib/database.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

static void run_sql(const char *sql)
{
    auto_free char *db = state_file("img.db");

    database_run(db, sql, NULL);
}

static void note(void *context, const struct fsck_problem *problem)
{
    str_addf(context, "%s %s: %s%s\n", fsck_kind_name(problem->kind), problem->object,
             problem->text, problem->is_repaired ? " (repaired)" : "");
}

static struct fsck_result run_fsck(bool quick, bool repair, struct str *out)
{
    struct fsck_options options = {
        .quick = quick, .repair = repair, .report = note, .context = out};
    struct fsck_result result = {0};

    str_truncate(out, 0);
    check_ok(fsck_run(state_path(), &options, &result, &test_err));
    return result;
}

static void check_clean(void)
{
    auto_str struct str out = {0};
    struct fsck_result result = run_fsck(false, false, &out);

    check_text(str_text(&out), "");
    check_int(result.problem_count, 0);
}

/* Found without repair, found and repaired, then clean. Returns what the repair said. */
static char *check_repaired(bool is_quick_enough)
{
    auto_str struct str out = {0};
    struct fsck_result result = run_fsck(true, false, &out);

    if (!is_quick_enough)
        check_text(str_text(&out), "");
    result = run_fsck(false, false, &out);
    check_true(result.problem_count > 0);
    check_int(result.repaired_count, 0);
    result = run_fsck(false, true, &out);
    check_int(result.repaired_count, result.problem_count);
    check_clean();
    return str_take(&out);
}

/* A store with an image of two layers, a built layer with a record, a shared content. */
static void make_store(void)
{
    struct store *store = state_open();
    int64_t layers[2] = {state_pulled(store, "one"), state_pulled(store, "two")};
    struct file_row file = {.digest = state_digest("built"), .size_bytes = 5};
    struct layer_row row;
    int64_t built;

    state_image(store, "h/a:1", "", layers, 2, NULL);
    built = state_built(store, "built");
    state_cache(store, "made", NULL, built);
    check_ok(store_layer_get(store, built, &row, &test_err));
    file.pack = row.pack;
    check_ok(store_files_add(store, &file, 1, &test_err));
    store_close(store);
    check_clean();
}

static bool has_image(void)
{
    auto_store struct store *store = state_open();
    auto_reference_row struct reference_row row = {0};

    return store_reference_get(store, "h/a:1", &row, &test_err) == 0;
}

static bool has_record(void)
{
    auto_store struct store *store = state_open();
    auto_cache_row struct cache_row row = {0};
    struct digest key = state_digest("made");

    return store_cache_get(store, &key, &row, &test_err) == 0;
}

/* File of the pack or index of the layer whose content this is, below the store. */
static char *object_of(const char *column, const char *content)
{
    auto_free char *db = state_file("img.db");
    auto_free char *sql = str_format(
        "SELECT printf('%%016x', %s) FROM layer WHERE data_bytes = %zu ORDER BY id LIMIT 1", column,
        strlen(content));
    auto_str struct str out = {0};

    database_run(db, sql, &out);
    check_int(out.size, STORE_NAME_SIZE);
    str_truncate(&out, STORE_NAME_SIZE - 1);
    return str_format("%s/%s", strcmp(column, "pack") == 0 ? "packs" : "index", str_text(&out));
}

static void unlink_in_store(const char *name)
{
    auto_free char *file = state_file(name);

    check_ok(unlink(file));
}

static void flip_last_byte(const char *name)
{
    auto_free char *file = state_file(name);
    auto_close int fd = open(file, O_RDWR | O_CLOEXEC);
    struct stat st;
    char byte;

    check_ok(fd);
    check_ok(fstat(fd, &st));
    check_ok(io_pread_full(fd, &byte, 1, (uint64_t)st.st_size - 1));
    byte ^= 1;
    check_ok(io_pwrite_full(fd, &byte, 1, (uint64_t)st.st_size - 1));
}

/* sha256 of "gz:one", by sha256sum(1) */
#define GZ_ONE "blobs/sha256/e66cfd97706a47476a382ae82b944a64af6ec55929f868e966522bb917a3791a"

TEST(fsck, a_sound_store_is_clean)
{
    auto_str struct str out = {0};
    struct fsck_result result;

    make_store();
    result = run_fsck(false, false, &out);
    check_int(result.problem_count, 0);
    check_true(result.checked_bytes > 0 && result.object_count > 10);
    result = run_fsck(true, true, &out);
    check_text(str_text(&out), "");
    check_true(has_image() && has_record());
}

TEST(fsck, without_a_store_it_does_not_run)
{
    struct fsck_options options = {0};
    struct fsck_result result;
    auto_free char *file = path_join(test_dir(), "kept");

    check_fails(fsck_run(state_path(), &options, &result, &test_err), ENOENT);
    check_ok(mkdir(file, 0755));
    check_fails(fsck_run(test_dir(), &options, &result, &test_err), ENOENT);
    check_int(access(state_path(), F_OK), -1);
}

TEST(fsck, a_newer_store_is_left_alone)
{
    struct fsck_options options = {.repair = true};
    struct fsck_result result;

    make_store();
    run_sql("PRAGMA user_version = 3");
    check_fails(fsck_run(state_path(), &options, &result, &test_err), ENOTSUP);
}

/* An older program with --repair must not throw away what it only does not know. */
TEST(fsck, an_index_of_a_newer_version_is_left_alone)
{
    struct fsck_options options = {.repair = true};
    auto_free char *index = NULL;
    auto_free char *file = NULL;
    auto_close int fd = -1;
    struct fsck_result result;
    uint32_t version = htole32(3);
    uint8_t header[208];
    uint64_t checksum;

    make_store();
    index = object_of("index_id", "built");
    file = state_file(index);
    fd = open(file, O_RDWR | O_CLOEXEC);
    check_ok(fd);
    check_ok(io_pwrite_full(fd, &version, sizeof(version), 8));
    check_ok(io_pread_full(fd, header, sizeof(header), 0));
    checksum = htole64(hash64(header, sizeof(header), 0));
    check_ok(io_pwrite_full(fd, &checksum, sizeof(checksum), sizeof(header)));
    check_fails(fsck_run(state_path(), &options, &result, &test_err), ENOTSUP);
    check_contains(test_err.text, "has version 3, but only 1 to 2 are known");
    check_true(has_record());
}

/* -- twelve kinds of damage and more -- */

TEST(fsck, finds_a_missing_blob)
{
    auto_free char *said = NULL;

    make_store();
    unlink_in_store(GZ_ONE);
    said = check_repaired(true);
    check_contains(said, "missing blob sha256:");
    check_contains(said, "there is no such file (repaired)");
    check_false(has_image()); /* its manifest names what is gone */
    check_true(has_record());
}

TEST(fsck, finds_a_blob_of_another_size)
{
    auto_free char *said = NULL;

    make_store();
    state_write(GZ_ONE, "gz:on");
    said = check_repaired(true);
    check_contains(said, ": it has 5 bytes instead of 6 (repaired)");
    check_false(state_has(GZ_ONE));
}

TEST(fsck, finds_a_blob_with_other_bytes_unless_quick)
{
    auto_free char *said = NULL;

    make_store();
    flip_last_byte(GZ_ONE);
    said = check_repaired(false);
    check_contains(said, "content blob sha256:");
    check_contains(said, ": its bytes do not match its digest (repaired)");
}

TEST(fsck, finds_a_missing_pack)
{
    auto_free char *said = NULL;
    auto_free char *pack = NULL;

    make_store();
    pack = object_of("pack", "one");
    unlink_in_store(pack);
    said = check_repaired(true);
    check_contains(said, "missing pack ");
    check_false(has_image());
    check_true(has_record());
}

TEST(fsck, finds_a_cut_pack_and_forgets_what_was_built_on_it)
{
    auto_free char *said = NULL;
    auto_free char *pack = NULL;

    make_store();
    pack = object_of("pack", "built");
    state_write(pack, "buil");
    said = check_repaired(true);
    check_contains(said, ": it has 4 bytes instead of 5 (repaired)");
    check_false(has_record());
    check_true(has_image());
}

TEST(fsck, finds_a_pulled_pack_with_other_bytes)
{
    auto_free char *said = NULL;
    auto_free char *pack = NULL;

    make_store();
    pack = object_of("pack", "one");
    flip_last_byte(pack);
    said = check_repaired(false);
    check_contains(said, "content layer ");
    check_false(has_image());
}

TEST(fsck, finds_a_built_pack_with_other_bytes_once_its_diff_id_is_known)
{
    auto_store struct store *store = NULL;
    auto_free char *said = NULL;
    auto_free char *pack = NULL;
    struct layer_row row;
    struct digest diff_id;
    struct digest key = state_digest("made");
    auto_cache_row struct cache_row record = {0};
    uint64_t size = 0;

    make_store();
    run_sql("DELETE FROM file");
    store = state_open();
    check_ok(store_cache_get(store, &key, &record, &test_err));
    check_ok(layer_digest(store, record.layer, &diff_id, &size, &test_err));
    check_ok(store_layer_get(store, record.layer, &row, &test_err));
    check_true(row.has_diff_id);
    store_close(STEAL(&store));
    check_clean();
    pack = object_of("pack", "built");
    flip_last_byte(pack);
    said = check_repaired(false);
    check_true(strncmp(said, "content layer ", strlen("content layer ")) == 0);
    check_false(has_record());
}

TEST(fsck, finds_a_shared_content_with_other_bytes)
{
    auto_free char *said = NULL;

    make_store();
    run_sql("UPDATE file SET size_bytes = 4");
    said = check_repaired(false);
    check_contains(said, "content file sha256:");
}

TEST(fsck, finds_a_shared_content_beyond_its_pack)
{
    auto_free char *said = NULL;

    make_store();
    run_sql("UPDATE file SET pack_offset = 9223372036854775807");
    said = check_repaired(true);
    check_contains(said, ": it lies beyond the end of pack ");
}

TEST(fsck, finds_a_missing_index)
{
    auto_free char *said = NULL;
    auto_free char *index = NULL;

    make_store();
    index = object_of("index_id", "built");
    unlink_in_store(index);
    said = check_repaired(true);
    check_contains(said, "missing layer ");
    check_false(has_record());
    check_true(has_image());
}

TEST(fsck, finds_an_index_with_other_bytes)
{
    auto_free char *said = NULL;
    auto_free char *index = NULL;

    make_store();
    index = object_of("index_id", "built");
    flip_last_byte(index);
    said = check_repaired(false);
    check_contains(said, "content layer ");
    check_false(has_record());
}

TEST(fsck, finds_a_layer_that_uses_a_pack_it_does_not_hold)
{
    auto_free char *said = NULL;

    make_store();
    run_sql("DELETE FROM layer_pack WHERE layer = (SELECT layer FROM cache)");
    said = check_repaired(false);
    check_contains(said, "closure layer ");
    check_false(has_record());
}

TEST(fsck, finds_an_image_whose_layers_are_others_than_its_manifests)
{
    auto_free char *said = NULL;

    make_store();
    run_sql("DELETE FROM image_layer WHERE position = 1");
    said = check_repaired(true);
    check_contains(said, ": manifest, config and rows have 2, 2 and 1 layers (repaired)");
    check_false(has_image());
}

TEST(fsck, finds_an_image_whose_diff_ids_are_swapped)
{
    auto_free char *said = NULL;

    make_store();
    run_sql("UPDATE image_layer SET layer = 3 - layer");
    said = check_repaired(true);
    check_contains(said, ": its config names another diff id for layer 0 (repaired)");
}

TEST(fsck, finds_an_image_with_another_config)
{
    auto_free char *said = NULL;

    make_store();
    run_sql("UPDATE image SET config = manifest");
    said = check_repaired(true);
    check_contains(said, ": its manifest names another config (repaired)");
}

TEST(fsck, finds_a_document_that_is_none)
{
    struct store *store = state_open();
    struct image_row row = {.media_type = (char *)(uintptr_t) "t"};
    auto_free char *said = NULL;

    check_ok(blob_put(store, "no json", 7, &row.manifest, &test_err));
    row.config = row.manifest;
    check_ok(store_image_put(store, &row, &test_err));
    store_close(store);
    said = check_repaired(true);
    check_contains(said, "closure image sha256:");
}

TEST(fsck, finds_files_without_rows)
{
    auto_str struct str out = {0};
    struct fsck_result result;

    make_store();
    state_write("packs/00000000000000aa", "x");
    state_write("index/README", "x");
    result = run_fsck(false, false, &out);
    check_int(result.problem_count, 0); /* young: a live process may be about to insert them */
    result = run_fsck(false, true, &out);
    check_text(str_text(&out), "orphan packs/00000000000000aa: no row knows it (repaired)\n"
                               "orphan index/README: no row knows it (repaired)\n");
    check_int(result.repaired_count, 2);
    check_clean();
}

TEST(fsck, finds_what_dead_processes_left)
{
    auto_free char *dir = NULL;
    auto_free char *said = NULL;

    make_store();
    dir = state_file("work/dead");
    check_ok(mkdir(dir, 0700));
    state_write("tmp/leftover", "x");
    said = check_repaired(true);
    check_text(said, "leftover work/dead: a dead process left it (repaired)\n"
                     "leftover tmp/leftover: a dead process left it (repaired)\n");
}

TEST(fsck, lets_what_live_processes_use_be)
{
    auto_store struct store *store = NULL;
    auto_str struct str out = {0};
    int fd = -1;

    make_store();
    store = state_open();
    check_ok(store_work_dir(store, &fd, &test_err));
    (void)run_fsck(true, false, &out);
    check_text(str_text(&out), "");
}

TEST(fsck, finds_directories_open_to_others)
{
    auto_free char *packs = NULL;
    auto_free char *said = NULL;

    make_store();
    packs = state_file("packs");
    check_ok(chmod(packs, 0755));
    said = check_repaired(true);
    check_text(said, "mode packs: its mode is 0755 instead of 0700 (repaired)\n");
    check_true(has_image());
}

/* R38 */
TEST(fsck, finds_files_others_may_use)
{
    auto_free char *file = NULL;
    auto_free char *db = NULL;
    auto_free char *said = NULL;

    make_store();
    file = state_file(GZ_ONE);
    db = state_file("img.db");
    check_ok(chmod(file, 04755));
    check_ok(chmod(db, 0640));
    said = check_repaired(true);
    check_contains(said, ": its mode is 4755 instead of 0600 (repaired)\n");
    check_contains(said, "mode img.db: its mode is 0640 instead of 0600 (repaired)\n");
    check_true(has_image());
}

TEST(fsck, tells_of_files_of_another_user)
{
    auto_free char *file = NULL;
    auto_str struct str out = {0};
    struct fsck_result result;

    test_need("root", geteuid() == 0, "only root can give a file away");
    make_store();
    file = state_file(GZ_ONE);
    check_ok(chown(file, 12345, (gid_t)-1));
    result = run_fsck(true, true, &out);
    check_int(result.problem_count, 1);
    check_int(result.repaired_count, 0);
    check_contains(str_text(&out), "it belongs to user 12345");
}

/* -- the database -- */

TEST(fsck, finds_rows_that_refer_to_nothing)
{
    auto_free char *said = NULL;

    make_store();
    run_sql("PRAGMA foreign_keys = OFF; DELETE FROM pack WHERE id ="
            " (SELECT pack FROM layer WHERE id = (SELECT layer FROM cache))");
    said = check_repaired(true);
    check_contains(said, "database img.db: a row refers to nothing in table ");
    check_true(has_image());
    check_false(has_record());
    check_true(state_has("img.db.damaged-1"));
}

TEST(fsck, a_foreign_schema_gives_its_rows_and_nothing_else)
{
    auto_free char *said = NULL;

    make_store();
    run_sql("CREATE TRIGGER t AFTER INSERT ON blob BEGIN DELETE FROM layer; END");
    said = check_repaired(true);
    check_contains(said, "database img.db: ");
    check_true(has_image() && has_record());
}

TEST(fsck, a_damaged_page_costs_what_was_on_it)
{
    auto_free char *db = NULL;
    auto_free char *said = NULL;
    auto_str struct str page = {0};
    auto_close int fd = -1;

    make_store();
    db = state_file("img.db");
    database_run(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'cache'", &page);
    fd = open(db, O_WRONLY | O_CLOEXEC);
    check_ok(io_pwrite_full(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8,
                            (strtoull(str_text(&page), NULL, 10) - 1) * 4096));
    said = check_repaired(true);
    check_contains(said, "database img.db: ");
    check_true(has_image());
    check_false(has_record());
}

TEST(fsck, without_a_database_blobs_are_known_again)
{
    auto_free char *said = NULL;
    auto_store struct store *store = NULL;
    struct digest blob = state_digest("gz:one");

    make_store();
    unlink_in_store("img.db");
    said = check_repaired(true);
    check_contains(said, "/img.db' is missing (repaired)\n");
    store = state_open();
    check_true(blob_exists(store, &blob));
}

/* A process killed before it made the tables leaves this; opening makes them. */
TEST(fsck, a_store_that_was_only_begun_is_clean_unless_it_has_objects)
{
    auto_str struct str out = {0};

    store_close(state_open());
    unlink_in_store("img.db");
    check_clean();
    state_write("img.db", "");
    check_clean();
    state_write("packs/0000000000000001", "x");
    check_int(run_fsck(false, false, &out).problem_count, 1);
    check_contains(str_text(&out), "it is empty\n");
}

TEST(fsck, junk_instead_of_a_database_is_moved_aside)
{
    auto_free char *said = NULL;

    make_store();
    state_write("img.db", "junk that is longer than a header of one hundred bytes, which is what "
                          "SQLite wants to see before it says that this is not a database");
    said = check_repaired(true);
    state_write("img.db", "junk again");
    free(said);
    said = check_repaired(true);
    check_true(state_has("img.db.damaged-1"));
    check_true(state_has("img.db.damaged-2"));
}

static void die_in_rebuild(void)
{
    auto_str struct str out = {0};

    (void)run_fsck(false, true, &out);
}

TEST(fsck, a_rebuild_that_was_killed_is_done_again)
{
    static const char *const points[] = {"rebuild.aside=kill", "store.create=kill",
                                         "rebuild.copy=kill", "commit.before=kill"};

    make_store();
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        auto_str struct str out = {0};
        struct fsck_result result;
        int status = 0;
        pid_t pid;

        state_write("img.db", "junk again");
        pid = fork();
        check_ok(pid);
        if (pid == 0) {
            failpoint_set(points[i]);
            die_in_rebuild();
            _exit(0);
        }
        check_ok(waitpid(pid, &status, 0));
        check_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        result = run_fsck(false, true, &out);
        check_int(result.repaired_count, result.problem_count);
        check_clean();
    }
}

TEST(fsck, repair_wants_the_store_for_itself)
{
    struct fsck_options options = {.repair = true};
    auto_store struct store *store = NULL;
    struct fsck_result result;

    make_store();
    store = state_open();
    check_fails(fsck_run(state_path(), &options, &result, &test_err), EBUSY);
    options.repair = false;
    check_ok(fsck_run(state_path(), &options, &result, &test_err));
}

/* test_store.c - the directory, its locks, its database and its recovery. Rows:
 * test_store_rows.c; transactions: test_store_transaction.c. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/failpoint.h"
#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/pack.h"
#include "fs/store_internal.h"
#include "tests/lib/database.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

/* sqlite3.h; its numbers are part of its file format or ABI. */
#define DBCONFIG_ENABLE_FKEY 1002
#define DBCONFIG_ENABLE_TRIGGER 1003
#define DBCONFIG_ENABLE_LOAD_EXTENSION 1005
#define DBCONFIG_DEFENSIVE 1010
#define DBCONFIG_DQS_DML 1013
#define DBCONFIG_DQS_DDL 1014
#define DBCONFIG_ENABLE_VIEW 1015
#define LIMIT_LENGTH 0
#define LIMIT_SQL_LENGTH 1
#define LIMIT_COLUMN 2
#define LIMIT_ATTACHED 7

static long fake_fs_type; /* 0: tell the truth */

/* Stands in for the C library's: a network file system is more than a unit test can mount. */
int fstatfs(int fd, struct statfs *st)
{
    auto_free char *path = str_format("/proc/self/fd/%d", fd);
    int r = statfs(path, st);

    if (r == 0 && fake_fs_type != 0)
        st->f_type = fake_fs_type;
    return r;
}

static int flock_errno; /* 0: do it */

/* Likewise: a file system without locks. */
int flock(int fd, int operation)
{
    if (flock_errno != 0) {
        errno = flock_errno;
        return -1;
    }
    return (int)syscall(SYS_flock, fd, operation);
}

static int try_open(void)
{
    auto_store struct store *store = NULL;

    return store_open(state_path(), NULL, &store, &test_err);
}

static void make_and_close(void)
{
    store_close(state_open());
}

static mode_t mode_of(const char *name)
{
    auto_free char *file = state_file(name);
    struct stat st;

    check_ok(lstat(file, &st));
    return st.st_mode & 07777;
}

static struct digest hash_of(const char *name)
{
    auto_free char *file = state_file(name);
    auto_str struct str bytes = {0};
    struct digest digest;

    check_ok(io_read_file(AT_FDCWD, file, 1 << 30, &bytes, &test_err));
    digest_of(str_text(&bytes), bytes.size, &digest);
    return digest;
}

/* Runs fn in a child that shares nothing with us; gives its exit status, or 256 + signal. */
static int in_child(void (*fn)(void))
{
    pid_t pid = fork();
    int status = 0;

    check_ok(pid);
    if (pid == 0) {
        fn();
        _exit(0);
    }
    check_ok(waitpid(pid, &status, 0));
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* -- where -- */

static void check_default(const char *state, const char *data, const char *home,
                          const char *expected)
{
    auto_free char *path = NULL;

    check_ok(state ? setenv("IMG_STATE", state, 1) : unsetenv("IMG_STATE"));
    check_ok(data ? setenv("XDG_DATA_HOME", data, 1) : unsetenv("XDG_DATA_HOME"));
    check_ok(home ? setenv("HOME", home, 1) : unsetenv("HOME"));
    if (expected) {
        check_ok(store_default_path(&path, &test_err));
        check_text(path, expected);
    } else {
        check_fails(store_default_path(&path, &test_err), ENOENT);
    }
}

/* XDG base directory specification: XDG_DATA_HOME's first element, else HOME; IMG_STATE is ours and
 * comes first. */
TEST(store, the_default_path_follows_the_environment)
{
    check_default("/s", "/d", "/h", "/s");
    check_default(NULL, "/d:/e", "/h", "/d/img");
    check_default(NULL, NULL, "/h", "/h/.local/share/img");
    check_default("", "", "/h/", "/h/.local/share/img");
    check_default(NULL, "relative", "/h", "/h/.local/share/img");
}

/* R62: no fallback to a predictable name in a shared directory. */
TEST(store, without_an_environment_there_is_no_default_path)
{
    check_default(NULL, NULL, NULL, NULL);
    check_error(&test_err, ENOENT,
                "neither IMG_STATE, XDG_DATA_HOME nor HOME says where the state is");
    check_hint(&test_err, "img --state DIR");
    check_default(NULL, NULL, "relative", NULL);
}

/* -- whose -- */

/* R38, R62: directories 0700, files 0600, whatever the umask. */
TEST(store, opening_makes_everything_private)
{
    static const char *const dirs[] = {"",    "blobs", "blobs/sha256", "packs",
                                       "tmp", "index", "tmp/partial",  "work"};
    static const char *const files[] = {"img.db", "gc.lock", "lock"};
    mode_t old = umask(0);
    struct digest digest;
    struct store *store = state_open();

    check_ok(blob_put(store, "x", 1, &digest, &test_err));
    store_close(store);
    (void)umask(old);
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        check_int(mode_of(dirs[i]), 0700);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        check_int(mode_of(files[i]), 0600);
    /* sha256 of "x", by sha256sum(1) */
    check_int(mode_of("blobs/sha256/"
                      "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"),
              0600);
}

TEST(store, a_directory_open_to_others_is_refused)
{
    auto_free char *sentence = NULL;

    make_and_close();
    check_ok(chmod(state_path(), 0750));
    check_fails(try_open(), EPERM);
    sentence = str_format("cannot use the state directory: '%s' is open to other users (mode 0750)",
                          state_path());
    check_error(&test_err, EPERM, sentence);
    check_ok(chmod(state_path(), 0700));
    check_ok(try_open());
}

TEST(store, a_subdirectory_open_to_others_is_refused)
{
    auto_free char *packs = NULL;

    make_and_close();
    packs = state_file("packs");
    check_ok(chmod(packs, 0701));
    check_fails(try_open(), EPERM);
}

TEST(store, a_link_in_place_of_a_directory_is_refused)
{
    auto_free char *tmp = NULL;
    auto_free char *elsewhere = path_join(test_dir(), "elsewhere");
    auto_free char *link = path_join(test_dir(), "link");
    struct store *store = NULL;

    make_and_close();
    check_ok(symlink(state_path(), link));
    check_fails(store_open(link, NULL, &store, &test_err), ENOTDIR);
    tmp = state_file("tmp/partial");
    check_ok(rmdir(tmp));
    check_ok(mkdir(elsewhere, 0700));
    check_ok(symlink(elsewhere, tmp));
    check_fails(try_open(), ENOTDIR);
}

TEST(store, a_directory_of_another_user_is_refused)
{
    test_need("root", geteuid() == 0, "only root can give a directory away");
    make_and_close();
    check_ok(chown(state_path(), 12345, (gid_t)-1));
    check_fails(try_open(), EPERM);
}

TEST(store, a_database_that_is_a_link_is_refused)
{
    auto_free char *db = NULL;
    auto_free char *moved = path_join(test_dir(), "moved.db");

    make_and_close();
    db = state_file("img.db");
    check_ok(rename(db, moved));
    check_ok(symlink(moved, db));
    check_fails(try_open(), EPERM);
}

TEST(store, must_exist_makes_nothing)
{
    struct store_options options = {.must_exist = true};
    struct store *store = NULL;

    check_fails(store_open(state_path(), &options, &store, &test_err), ENOENT);
    check_int(access(state_path(), F_OK), -1);
}

/* S6: statfs(2) gives 0x6969 for NFS. */
TEST(store, a_network_file_system_is_refused_unless_allowed)
{
    struct store_options options = {.allow_remote = true};
    auto_free char *sentence = NULL;
    auto_store struct store *store = NULL;

    fake_fs_type = 0x6969;
    check_fails(try_open(), EREMOTEIO);
    sentence = str_format("the state directory '%s' is on NFS, where locks cannot be relied on",
                          state_path());
    check_error(&test_err, EREMOTEIO, sentence);
    check_hint(&test_err, "put it on a local disk with --state or IMG_STATE");
    check_ok(store_open(state_path(), &options, &store, &test_err));
    fake_fs_type = 0xEF53; /* ext4 */
    check_ok(try_open());
    fake_fs_type = 0;
}

/* flock(2): ENOLCK, as NFS without its lock daemon gives. */
TEST(store, a_file_system_without_locks_is_refused)
{
    auto_free char *sentence = NULL;

    make_and_close();
    flock_errno = ENOLCK;
    check_fails(try_open(), ENOLCK);
    flock_errno = 0;
    sentence = str_format("cannot lock '%s/gc.lock': No locks available", state_path());
    check_error(&test_err, ENOLCK, sentence);
    check_hint(&test_err, "put the state on a local disk with --state or IMG_STATE");
}

/* -- the database -- */

/* S2, the whole list. */
TEST(store, every_setting_is_as_required)
{
    static const char *const pragmas[][2] = {
        {"journal_mode", "delete\n"},       {"synchronous", "3\n"},     {"foreign_keys", "1\n"},
        {"trusted_schema", "0\n"},          {"cell_size_check", "1\n"}, {"mmap_size", "0\n"},
        {"busy_timeout", "10000\n"},        {"temp_store", "2\n"},      {"auto_vacuum", "2\n"},
        {"application_id", "1768777587\n"}, {"user_version", "2\n"},
    };
    auto_store struct store *store = state_open();

    for (size_t i = 0; i < sizeof(pragmas) / sizeof(pragmas[0]); i++) {
        auto_free char *sql = str_format("PRAGMA %s", pragmas[i][0]);
        auto_str struct str value = {0};

        database_run_on(store->db, sql, &value);
        check_text(str_text(&value), pragmas[i][1]);
    }
    check_int(database_config(store->db, DBCONFIG_DEFENSIVE), 1);
    check_int(database_config(store->db, DBCONFIG_ENABLE_FKEY), 1);
    check_int(database_config(store->db, DBCONFIG_ENABLE_LOAD_EXTENSION), 0);
    check_int(database_config(store->db, DBCONFIG_ENABLE_TRIGGER), 0);
    check_int(database_config(store->db, DBCONFIG_ENABLE_VIEW), 0);
    check_int(database_config(store->db, DBCONFIG_DQS_DML), 0);
    check_int(database_config(store->db, DBCONFIG_DQS_DDL), 0);
    check_int(database_limit(store->db, LIMIT_ATTACHED), 0);
    check_int(database_limit(store->db, LIMIT_LENGTH), (64 << 20) + (1 << 20));
    check_int(database_limit(store->db, LIMIT_SQL_LENGTH), 64 << 10);
    check_int(database_limit(store->db, LIMIT_COLUMN), 64);
}

static void check_refused_schema(const char *sql)
{
    auto_free char *db = NULL;

    make_and_close();
    db = state_file("img.db");
    database_run(db, sql, NULL);
    check_fails(try_open(), EUCLEAN);
    check_hint(&test_err, "img fsck --repair moves it aside and rebuilds it");
    check_ok(unlink(db));
}

/* S3: a database that came from elsewhere does not get to run anything of its own. */
TEST(store, a_schema_that_differs_in_anything_is_refused)
{
    check_refused_schema("CREATE TRIGGER t AFTER INSERT ON blob BEGIN DELETE FROM layer; END");
    check_refused_schema("CREATE VIEW v AS SELECT 1");
    check_refused_schema("CREATE TABLE extra (a)");
    check_refused_schema("DROP INDEX cache_by_layer");
    check_refused_schema("ALTER TABLE file ADD COLUMN more TEXT");
    check_refused_schema("PRAGMA application_id = 7");
    check_refused_schema("PRAGMA user_version = 0");
}

TEST(store, a_file_that_is_no_database_is_refused)
{
    make_and_close();
    state_write("img.db", "this is not a database, but it is long enough to be looked at as one, "
                          "for a database header has one hundred bytes and this has some more");
    check_fails(try_open(), EUCLEAN);
}

/* S4: an older program meeting a newer store says so and writes nothing. */
TEST(store, a_newer_version_is_refused_and_left_alone)
{
    auto_free char *sentence = NULL;
    auto_free char *db = NULL;
    struct digest before;
    struct digest after;

    make_and_close();
    db = state_file("img.db");
    database_run(db, "PRAGMA user_version = 3; CREATE TABLE new (a)", NULL);
    before = hash_of("img.db");
    check_fails(try_open(), ENOTSUP);
    sentence = str_format("the store '%s' was made by a newer img (version 3, this one knows 2)",
                          state_path());
    check_error(&test_err, ENOTSUP, sentence);
    after = hash_of("img.db");
    check_true(digest_equal(&before, &after));
    check_false(state_has("img.db-journal"));
}

/* Overwrites the root page of a table. */
static void damage_table(const char *table)
{
    auto_free char *db = state_file("img.db");
    auto_free char *sql = str_format("SELECT rootpage FROM sqlite_schema WHERE name = '%s'", table);
    auto_str struct str page = {0};
    auto_close int fd = -1;

    database_run(db, sql, &page);
    fd = open(db, O_WRONLY | O_CLOEXEC);
    check_ok(fd);
    check_ok(io_pwrite_full(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8,
                            (strtoull(str_text(&page), NULL, 10) - 1) * 4096));
}

TEST(store, a_damaged_page_is_met_with_a_sentence)
{
    struct cache_row row = {0};
    auto_store struct store *store = NULL;
    struct digest key = state_digest("k");

    make_and_close();
    damage_table("sqlite_autoindex_cache_1");
    store = state_open(); /* the schema is on other pages */
    check_fails(store_cache_get(store, &key, &row, &test_err), EUCLEAN);
    check_hint(&test_err, "img fsck --repair");
}

/* S3: quick_check after unclean shutdown. SQLite does not look at such pages by itself. */
TEST(store, after_an_unclean_end_the_pages_are_looked_at)
{
    make_and_close();
    damage_table("cache_mount");
    check_ok(try_open());
    state_write("img.db-journal", "");
    check_fails(try_open(), EUCLEAN);
}

/* What a program of version 1 left: version 2 only added to it. */
static char *make_version_1(const char *more)
{
    auto_free char *sql = str_format("DROP TABLE checksum; PRAGMA user_version = 1; %s", more);
    auto_free char *db = NULL;

    make_and_close();
    db = state_file("img.db");
    database_run(db, sql, NULL);
    return STEAL(&db);
}

static void check_version_of(const char *db, const char *expected)
{
    auto_str struct str found = {0};

    database_run(db,
                 "PRAGMA user_version; SELECT count(*) FROM sqlite_schema WHERE name ="
                 " 'checksum'",
                 &found);
    check_text(str_text(&found), expected);
}

/* FORMAT.md, "Versions": a newer program migrates an older database in one transaction. */
TEST(store, a_database_of_version_1_is_brought_to_version_2)
{
    auto_free char *db = make_version_1("");

    check_ok(try_open());
    check_version_of(db, "2\n1\n");
    check_ok(try_open());
}

TEST(store, what_is_not_quite_version_1_is_refused_and_left_alone)
{
    auto_free char *db = make_version_1("DROP INDEX cache_mount_layer_by_layer");

    check_fails(try_open(), EUCLEAN);
    check_version_of(db, "1\n0\n");
}

static void die_while_migrating(void)
{
    failpoint_set("store.migrate=kill");
    store_close(state_open());
}

TEST(store, a_migration_that_was_killed_is_done_again)
{
    auto_free char *db = make_version_1("");

    check_int(in_child(die_while_migrating), 256 + SIGKILL);
    check_version_of(db, "1\n0\n");
    check_ok(try_open());
    check_version_of(db, "2\n1\n");
}

static void die_while_creating(void)
{
    failpoint_set("store.create=kill");
    store_close(state_open());
}

TEST(store, a_creation_that_was_killed_is_done_again)
{
    (void)state_path();
    check_int(in_child(die_while_creating), 256 + SIGKILL);
    check_true(state_has("img.db"));
    check_ok(try_open());
}

static void open_once(void)
{
    struct store *store = NULL;
    struct error err = {0};
    struct digest digest;
    char text[32];

    for (int i = 0; i < 5; i++) {
        (void)snprintf(text, sizeof(text), "%d-%d", getpid(), i);
        if (store_open(state_path(), NULL, &store, &err) < 0 ||
            blob_put(store, text, strlen(text), &digest, &err) < 0) {
            (void)fprintf(stderr, "%s\n", err.text);
            _exit(1);
        }
        store_close(store);
    }
}

/* S13: SQLITE_BUSY does not reach the user. */
TEST(store, processes_that_make_and_write_one_store_at_once_all_succeed)
{
    pid_t pids[6];

    (void)state_path();
    for (size_t i = 0; i < 6; i++) {
        pids[i] = fork();
        check_ok(pids[i]);
        if (pids[i] == 0) {
            open_once();
            _exit(0);
        }
    }
    for (size_t i = 0; i < 6; i++) {
        int status = 0;

        check_ok(waitpid(pids[i], &status, 0));
        check_int(status, 0);
    }
}

/* -- locks and recovery -- */

TEST(store, an_open_store_holds_the_gc_lock_shared)
{
    auto_store struct store *store = state_open();
    auto_store struct store *second = state_open();
    auto_free char *name = state_file("gc.lock");
    auto_close int fd = open(name, O_RDONLY | O_CLOEXEC);

    check_ok(fd);
    check_int(flock(fd, LOCK_EX | LOCK_NB), -1);
    check_ok(flock(fd, LOCK_SH | LOCK_NB));
    check_ok(flock(fd, LOCK_UN));
    store_close(STEAL(&store));
    check_int(flock(fd, LOCK_EX | LOCK_NB), -1);
    store_close(STEAL(&second));
    check_ok(flock(fd, LOCK_EX | LOCK_NB));
}

static void leave_work_behind(void)
{
    struct store *store = state_open();
    auto_close int fd = -1;
    int dir_fd = -1;

    check_ok(store_work_dir(store, &dir_fd, &test_err));
    check_ok(mkdirat(dir_fd, "sub", 0700));
    fd = openat(dir_fd, "sub/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    check_ok(fd);
    (void)raise(SIGKILL);
}

/* S7 */
TEST(store, what_a_dead_process_left_goes_with_the_next_opening)
{
    auto_str struct str left = {0};

    (void)state_path();
    check_int(in_child(leave_work_behind), 256 + SIGKILL);
    state_list("work", &left);
    check_int(left.size, STORE_NAME_SIZE);
    check_ok(try_open());
    str_truncate(&left, 0);
    state_list("work", &left);
    check_text(str_text(&left), "");
}

TEST(store, what_a_live_process_uses_survives_a_hundred_openings)
{
    auto_store struct store *store = state_open();
    int dir_fd = -1;

    check_ok(store_work_dir(store, &dir_fd, &test_err));
    check_ok(mkdirat(dir_fd, "sub", 0700));
    for (int i = 0; i < 100; i++)
        check_ok(try_open());
    check_ok(faccessat(dir_fd, "sub", F_OK, 0));
}

TEST(store, closing_removes_the_work_directory)
{
    struct store *store = state_open();
    auto_str struct str left = {0};
    int dir_fd = -1;

    check_ok(store_work_dir(store, &dir_fd, &test_err));
    check_ok(mkdirat(dir_fd, "sub", 0700));
    store_close(store);
    state_list("work", &left);
    check_text(str_text(&left), "");
}

TEST(store, recovery_follows_no_link)
{
    auto_free char *outside = path_join(test_dir(), "outside");
    auto_free char *kept = path_join(test_dir(), "outside/kept");
    auto_free char *work = NULL;
    auto_free char *tmp = NULL;

    make_and_close();
    check_ok(mkdir(outside, 0700));
    check_ok(mkdir(kept, 0700));
    work = state_file("work/link");
    tmp = state_file("tmp/link");
    check_ok(symlink(outside, work));
    check_ok(symlink(outside, tmp));
    check_ok(try_open());
    check_ok(access(kept, F_OK));
}

static void die_with_objects(void)
{
    struct store *store = state_open();
    auto_close int fd = -1;
    uint64_t id = 0;

    check_ok(pack_create(store, &id, &fd, &test_err));
    check_ok(io_write_full(fd, "bytes", 5));
    check_ok(pack_adopt(store, id, fd, &test_err));
    cleanup_close_fd(&fd);
    check_ok(store_index_create(store, &id, &fd, &test_err));
    check_ok(store_index_adopt(store, id, fd, &test_err));
    (void)state_built(store, "has a row");
    (void)raise(SIGKILL);
}

/* S10: disk use returns to what rows account for, without a collection. */
TEST(store, objects_a_dead_process_gave_no_row_go_with_the_next_opening)
{
    auto_str struct str left = {0};

    (void)state_path();
    check_int(in_child(die_with_objects), 256 + SIGKILL);
    state_list("packs", &left);
    state_list("index", &left);
    check_int(left.size, 4 * STORE_NAME_SIZE);
    check_ok(try_open());
    str_truncate(&left, 0);
    state_list("packs", &left);
    state_list("index", &left);
    check_int(left.size, 2 * STORE_NAME_SIZE);
}

TEST(store, objects_without_a_row_go_when_the_store_closes)
{
    struct store *store = state_open();
    auto_str struct str left = {0};
    auto_close int fd = -1;
    uint64_t id = 0;

    check_ok(pack_create(store, &id, &fd, &test_err));
    check_ok(pack_adopt(store, id, fd, &test_err));
    state_list("packs", &left);
    check_int(left.size, STORE_NAME_SIZE);
    store_close(store);
    str_truncate(&left, 0);
    state_list("packs", &left);
    check_text(str_text(&left), "");
}

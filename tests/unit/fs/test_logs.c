/* test_logs.c - the directories of build logs: numbers, bounds, locks. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/gc.h"
#include "fs/logs.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

static uint64_t made(struct store *store)
{
    auto_close int fd = -1;
    uint64_t number;

    check_ok(logs_create(store, &number, &fd, &test_err));
    return number;
}

TEST(logs, numbers_rise_and_are_not_used_twice)
{
    auto_store struct store *store = state_open();
    auto_log_list struct log_list logs = {0};
    int fd;

    check_ok(logs_list(store, &logs, &test_err));
    check_int(logs.count, 0);
    check_fails(logs_open(store, 1, &fd, &test_err), ENOENT);
    for (uint64_t i = 1; i <= 12; i++)
        check_int(made(store), i);
    check_ok(logs_remove(store, 3));
    check_ok(logs_remove(store, 3));
    check_int(made(store), 13);
    check_ok(logs_list(store, &logs, &test_err));
    check_int(logs.count, 12);
    check_int(logs.items[0].number, 1);
    check_int(logs.items[2].number, 4);
    check_int(logs.items[11].number, 13);
}

TEST(logs, the_oldest_go_when_there_are_many)
{
    auto_store struct store *store = state_open();
    auto_log_list struct log_list logs = {0};

    for (unsigned i = 0; i < LOGS_COUNT_MAX + 5; i++)
        (void)made(store);
    check_ok(logs_list(store, &logs, &test_err));
    check_int(logs.count, LOGS_COUNT_MAX);
    check_int(logs.items[0].number, 6);
}

TEST(logs, the_oldest_go_when_they_are_large)
{
    auto_store struct store *store = state_open();
    auto_log_list struct log_list logs = {0};

    for (unsigned i = 0; i < 3; i++) {
        auto_close int dir_fd = -1;
        auto_close int fd = -1;
        uint64_t number;

        check_ok(logs_create(store, &number, &dir_fd, &test_err));
        fd = openat(dir_fd, "1.log", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        check_ok(posix_fallocate(fd, 0, (off_t)(LOGS_SIZE_MAX / 2 + 4096)));
    }
    check_ok(logs_list(store, &logs, &test_err));
    check_int(logs.count, 2);
    check_true(logs.items[0].size_bytes > LOGS_SIZE_MAX / 2);
    check_int(made(store), 4);
    log_list_release(&logs);
    check_ok(logs_list(store, &logs, &test_err));
    check_int(logs.items[0].number, 3);
}

TEST(logs, one_that_is_being_written_stays)
{
    auto_store struct store *store = state_open();
    auto_close int fd = -1;
    uint64_t number;

    check_ok(logs_create(store, &number, &fd, &test_err));
    check_fails(logs_remove(store, number), EBUSY);
    cleanup_close_fd(&fd);
    check_ok(logs_remove(store, number));
}

TEST(logs, what_has_another_name_is_left_alone)
{
    auto_store struct store *store = state_open();
    auto_log_list struct log_list logs = {0};
    auto_free char *other = state_file("logs/007x");

    (void)made(store);
    check_ok(mkdir(other, 0700));
    check_ok(logs_list(store, &logs, &test_err));
    check_int(logs.count, 1);
    check_int(made(store), 2);
    check_true(state_has("logs/007x"));
}

/* gc.h: a dry run changes nothing and says the same. */
TEST(logs, a_collection_takes_them_unless_it_is_dry)
{
    auto_store struct store *store = state_open();
    auto_log_list struct log_list logs = {0};

    for (unsigned dry = 2; dry-- > 0;) {
        const struct gc_options options = {.dry_run = dry != 0};
        auto_gc_report struct gc_report report = {0};

        if (dry != 0)
            (void)made(store);
        check_ok(gc_run(store, &options, &report, &test_err));
        check_int(report.removed.count, 1);
        check_text(report.removed.items[0].id, "log-1");
        check_int(report.freed_bytes, report.removed.total_bytes);
        log_list_release(&logs);
        check_ok(logs_list(store, &logs, &test_err));
        check_int(logs.count, dry);
    }
}

/* test_store_transaction.c - what is written together: nested, by threads, by other processes. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/failpoint.h"
#include "fs/blob.h"
#include "fs/store.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

static void put(struct store *store, const char *key)
{
    state_cache(store, key, NULL, 0);
}

static bool has(struct store *store, const char *key)
{
    auto_cache_row struct cache_row row = {0};
    struct digest digest = state_digest(key);

    return store_cache_get(store, &digest, &row, &test_err) == 0;
}

TEST(store_transaction, an_inner_rollback_undoes_the_inner_part_alone)
{
    auto_store struct store *store = state_open();
    struct store_tx outer = {0};
    struct store_tx inner = {0};

    check_ok(store_begin(store, &outer, &test_err));
    put(store, "before");
    check_ok(store_begin(store, &inner, &test_err));
    put(store, "inside");
    store_rollback(&inner);
    check_ok(store_begin(store, &inner, &test_err));
    put(store, "after");
    check_ok(store_commit(&inner, &test_err));
    check_ok(store_commit(&outer, &test_err));
    check_true(has(store, "before"));
    check_false(has(store, "inside"));
    check_true(has(store, "after"));
}

TEST(store_transaction, an_outer_rollback_undoes_what_was_committed_inside)
{
    auto_store struct store *store = state_open();
    struct store_tx outer = {0};

    check_ok(store_begin(store, &outer, &test_err));
    put(store, "inside");
    store_rollback(&outer);
    store_rollback(&outer); /* no effect */
    check_false(has(store, "inside"));
}

TEST(store_transaction, a_transaction_left_open_is_rolled_back)
{
    struct store *store = state_open();
    auto_store struct store *again = NULL;

    {
        auto_store_tx struct store_tx tx = {0};

        check_ok(store_begin(store, &tx, &test_err));
        put(store, "scope");
    }
    check_false(has(store, "scope"));
    {
        struct store_tx tx = {0};

        check_ok(store_begin(store, &tx, &test_err));
        put(store, "close");
        store_close(store);
    }
    again = state_open();
    check_false(has(again, "close"));
}

struct writer_thread {
    struct store *store;
    int number;
    int result;
};

static void *write_rows(void *argument)
{
    struct writer_thread *t = argument;
    struct error err = {0};

    for (int i = 0; i < 25 && t->result == 0; i++) {
        auto_free char *text = str_format("%d/%d", t->number, i);
        auto_store_tx struct store_tx tx = {0};
        struct cache_row row = {.description = text};
        struct digest digest;

        digest_of(text, strlen(text), &row.key);
        t->result = store_begin(t->store, &tx, &err);
        if (t->result == 0)
            t->result = store_cache_put(t->store, &row, &err);
        if (t->result == 0)
            t->result = blob_put(t->store, text, strlen(text), &digest, &err);
        if (t->result == 0)
            t->result = store_commit(&tx, &err);
    }
    return NULL;
}

TEST(store_transaction, threads_write_through_one_store)
{
    auto_store struct store *store = state_open();
    auto_cache_list struct cache_list list = {0};
    struct writer_thread args[4] = {0};
    pthread_t threads[4];

    for (int i = 0; i < 4; i++) {
        args[i] = (struct writer_thread){.store = store, .number = i};
        check_int(pthread_create(&threads[i], NULL, write_rows, &args[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        check_int(pthread_join(threads[i], NULL), 0);
        check_int(args[i].result, 0);
    }
    check_ok(store_cache_list(store, &list, &test_err));
    check_int(list.count, 100);
}

static void hold_the_database(void)
{
    struct store *store = state_open();
    struct store_tx tx = {0};

    check_ok(store_begin(store, &tx, &test_err));
    put(store, "held");
    (void)raise(SIGSTOP); /* the parent looks meanwhile */
    check_ok(store_commit(&tx, &test_err));
    store_close(store);
}

/* A reader is not kept out by a writer that has not begun to commit (DELETE mode). */
TEST(store_transaction, a_transaction_of_another_process_is_not_seen_before_it_commits)
{
    auto_store struct store *store = NULL;
    int status = 0;
    pid_t pid;

    store_close(state_open()); /* there is one */
    pid = fork();
    check_ok(pid);
    if (pid == 0) {
        hold_the_database();
        _exit(0);
    }
    check_ok(waitpid(pid, &status, WUNTRACED));
    check_true(WIFSTOPPED(status));
    store = state_open();
    check_false(has(store, "held"));
    check_ok(kill(pid, SIGCONT));
    check_ok(waitpid(pid, &status, 0));
    check_int(status, 0);
    check_true(has(store, "held"));
}

/* S15 */
TEST(store_transaction, a_full_disk_at_commit_leaves_the_store_usable)
{
    auto_store struct store *store = state_open();
    struct store_tx tx = {0};

    check_ok(store_begin(store, &tx, &test_err));
    put(store, "lost");
    failpoint_set("commit.before=ENOSPC");
    check_fails(store_commit(&tx, &test_err), ENOSPC);
    failpoint_set(NULL);
    check_false(has(store, "lost"));
    put(store, "kept");
    check_true(has(store, "kept"));
}

/* test_blob.c - bytes by digest: verified before they are visible, and again when read. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/failpoint.h"
#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/store_internal.h"
#include "tests/lib/database.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

/* sha256 of "hello", by sha256sum(1). */
#define HELLO_HEX "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

static struct digest hello(void)
{
    struct digest digest;

    check_ok(digest_parse_hex(HELLO_HEX, &digest, &test_err));
    return digest;
}

static struct blob_writer *writer_for(struct store *store, const struct digest *digest,
                                      uint64_t size, bool resume)
{
    struct blob_writer_options options = {
        .what = "layer 1", .digest = digest, .size_bytes = size, .resume = resume};
    struct blob_writer *w = NULL;

    check_ok(blob_writer_open(store, &options, &w, &test_err));
    return w;
}

static void check_nothing_left(void)
{
    auto_str struct str names = {0};

    state_list("blobs/sha256", &names);
    state_list("tmp/partial", &names);
    check_text(str_text(&names), "");
}

/* -- writing -- */

TEST(blob, is_named_by_the_digest_of_its_bytes)
{
    auto_store struct store *store = state_open();
    auto_str struct str bytes = {0};
    struct digest expected = hello();
    struct digest actual;
    uint64_t size = 0;
    struct blob_writer *w = writer_for(store, NULL, UINT64_MAX, false);

    check_ok(blob_writer_write(w, "hel", 3, &test_err));
    check_int(blob_writer_size_bytes(w), 3);
    check_ok(blob_writer_write(w, "lo", 2, &test_err));
    check_false(blob_exists(store, &expected));
    check_ok(blob_writer_commit(w, &actual, &size, &test_err));
    check_true(digest_equal(&actual, &expected));
    check_int(size, 5);
    check_true(state_has("blobs/sha256/" HELLO_HEX));
    check_ok(blob_stat(store, &expected, &size, &test_err));
    check_int(size, 5);
    check_ok(blob_read(store, &expected, 5, &bytes, &test_err));
    check_text(str_text(&bytes), "hello");
}

/* R33: nothing is published that is not what was promised. */
TEST(blob, of_another_digest_is_refused)
{
    auto_store struct store *store = state_open();
    struct digest digest = hello();
    struct blob_writer *w = writer_for(store, &digest, UINT64_MAX, false);

    check_ok(blob_writer_write(w, "hellO", 5, &test_err));
    check_fails(blob_writer_commit(w, NULL, NULL, &test_err), EBADMSG);
    /* sha256 of "hellO", by sha256sum(1) */
    check_error(&test_err, EBADMSG,
                "layer 1 has digest "
                "sha256:04a6f55face2f46be8c23f627d539827615851e10751b63ec59db6d2c706b770"
                " instead of sha256:" HELLO_HEX);
    check_nothing_left();
}

TEST(blob, one_byte_short_is_refused)
{
    auto_store struct store *store = state_open();
    struct digest digest = hello();
    struct blob_writer *w = writer_for(store, &digest, 5, false);

    check_ok(blob_writer_write(w, "hell", 4, &test_err));
    check_fails(blob_writer_commit(w, NULL, NULL, &test_err), EBADMSG);
    check_error(&test_err, EBADMSG, "layer 1 has 4 bytes instead of 5");
    check_nothing_left();
}

TEST(blob, one_byte_too_many_is_refused_at_once)
{
    auto_store struct store *store = state_open();
    struct blob_writer *w = writer_for(store, NULL, 5, false);

    check_ok(blob_writer_write(w, "hello", 5, &test_err));
    check_fails(blob_writer_write(w, "!", 1, &test_err), EFBIG);
    check_error(&test_err, EFBIG, "layer 1 has more than the 5 bytes it should have");
    blob_writer_abort(w);
    check_nothing_left();
}

TEST(blob, of_an_absurd_size_is_refused_before_a_byte)
{
    auto_store struct store *store = state_open();
    struct blob_writer_options options = {.size_bytes = UINT64_MAX - 1};
    struct blob_writer *w = NULL;

    check_fails(blob_writer_open(store, &options, &w, &test_err), EFBIG);
}

TEST(blob, aborted_leaves_nothing)
{
    auto_store struct store *store = state_open();
    struct blob_writer *w = writer_for(store, NULL, UINT64_MAX, false);

    check_ok(blob_writer_write(w, "hello", 5, &test_err));
    blob_writer_abort(w);
    blob_writer_abort(NULL);
    check_nothing_left();
}

TEST(blob, may_be_empty)
{
    auto_store struct store *store = state_open();
    auto_str struct str bytes = {0};
    struct digest digest;

    check_ok(blob_put(store, "", 0, &digest, &test_err));
    check_ok(blob_read(store, &digest, 0, &bytes, &test_err));
    check_int(bytes.size, 0);
}

TEST(blob, put_twice_is_one_blob)
{
    auto_store struct store *store = state_open();
    struct blob_writer *w = writer_for(store, NULL, UINT64_MAX, false);
    auto_str struct str names = {0};
    struct digest digest;

    check_ok(blob_writer_write(w, "hello", 5, &test_err));
    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    check_ok(blob_writer_commit(w, &digest, NULL, &test_err));
    state_list("blobs/sha256", &names);
    check_text(str_text(&names), HELLO_HEX "\n");
}

/* A crash may leave a file without a row; its bytes were never trusted. */
TEST(blob, a_file_without_a_row_is_replaced)
{
    auto_store struct store *store = state_open();
    auto_str struct str bytes = {0};
    struct digest digest;

    state_write("blobs/sha256/" HELLO_HEX, "junk!");
    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    check_ok(blob_read(store, &digest, 5, &bytes, &test_err));
    check_text(str_text(&bytes), "hello");
}

TEST(blob, a_known_one_whose_file_is_gone_or_cut_is_repaired_by_writing_it_again)
{
    auto_store struct store *store = state_open();
    auto_free char *file = NULL;
    auto_str struct str bytes = {0};
    struct digest digest;

    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    file = state_file("blobs/sha256/" HELLO_HEX);
    check_ok(unlink(file));
    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    check_ok(blob_read(store, &digest, 5, &bytes, &test_err));
    check_ok(truncate(file, 2));
    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    check_ok(blob_read(store, &digest, 5, &bytes, &test_err));
    check_text(str_text(&bytes), "hello");
}

TEST(blob, works_without_nameless_files_too)
{
    struct store_options options = {.named_temp = true};
    auto_str struct str names = {0};
    struct store *store = NULL;
    struct digest digest;

    check_ok(store_open(state_path(), &options, &store, &test_err));
    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    check_true(blob_exists(store, &digest));
    blob_writer_abort(writer_for(store, NULL, UINT64_MAX, false));
    store_close(store);
    state_list("work", &names);
    check_text(str_text(&names), "");
    store = state_open();
    check_true(blob_exists(store, &digest));
    store_close(store);
}

TEST(blob, can_be_written_as_a_stream)
{
    auto_store struct store *store = state_open();
    struct blob_writer *w = writer_for(store, NULL, UINT64_MAX, false);
    struct digest expected = hello();
    struct digest digest;

    check_ok(writer_write(blob_writer_stream(w), "hello", 5, &test_err));
    writer_close(blob_writer_stream(w)); /* borrowed: nothing happens */
    check_ok(blob_writer_commit(w, &digest, NULL, &test_err));
    check_true(digest_equal(&digest, &expected));
}

TEST(blob, rolled_back_is_not_there)
{
    auto_store struct store *store = state_open();
    struct store_tx tx = {0};
    auto_str struct str names = {0};
    struct digest digest;

    check_ok(store_begin(store, &tx, &test_err));
    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    store_rollback(&tx);
    check_false(blob_exists(store, &digest));
    store_close(STEAL(&store)); /* takes the file along */
    state_list("blobs/sha256", &names);
    check_text(str_text(&names), "");
}

TEST(blob, rolled_back_and_put_again_stays)
{
    struct store *store = state_open();
    struct store_tx tx = {0};
    struct digest digest;

    check_ok(store_begin(store, &tx, &test_err));
    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    store_rollback(&tx);
    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    store_close(store);
    store = state_open();
    check_true(blob_exists(store, &digest));
    store_close(store);
}

/* S1: a failed fsync is final for the file. */
TEST(blob, that_cannot_be_made_durable_is_not_there)
{
    static const char *const points[] = {"blob.fsync=EIO", "blob.link=ENOSPC", "dir.fsync=EIO",
                                         "commit.before=ENOSPC"};
    auto_store struct store *store = state_open();
    struct digest expected = hello();
    struct digest digest;

    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        failpoint_set(points[i]);
        check_true(blob_put(store, "hello", 5, &digest, &test_err) < 0);
        failpoint_set(NULL);
        check_false(blob_exists(store, &expected));
    }
    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    check_true(blob_exists(store, &expected));
}

/* -- continuing -- */

TEST(blob, an_interrupted_one_is_continued)
{
    auto_store struct store *store = state_open();
    struct digest digest = hello();
    struct blob_writer *w = writer_for(store, &digest, 5, true);
    auto_str struct str names = {0};
    char buf[3];

    check_int(blob_writer_size_bytes(w), 0);
    check_ok(blob_writer_write(w, "hel", 3, &test_err));
    blob_writer_abort(w);
    store_close(STEAL(&store));
    store = state_open(); /* recovery lets it be */
    w = writer_for(store, &digest, 5, true);
    check_int(blob_writer_size_bytes(w), 3);
    check_ok(blob_writer_read(w, 0, buf, 3, &test_err));
    check_bytes(buf, sizeof(buf), "hel", 3);
    check_ok(blob_writer_write(w, "lo", 2, &test_err));
    check_ok(blob_writer_commit(w, NULL, NULL, &test_err));
    check_true(blob_exists(store, &digest));
    state_list("tmp/partial", &names);
    check_text(str_text(&names), "");
}

TEST(blob, a_short_one_can_be_continued_after_a_failed_commit)
{
    auto_store struct store *store = state_open();
    struct digest digest = hello();
    struct blob_writer *w = writer_for(store, &digest, 5, true);

    check_ok(blob_writer_write(w, "hel", 3, &test_err));
    check_fails(blob_writer_commit(w, NULL, NULL, &test_err), EBADMSG);
    w = writer_for(store, &digest, 5, true);
    check_int(blob_writer_size_bytes(w), 3);
    blob_writer_abort(w);
}

TEST(blob, a_continued_one_that_does_not_match_starts_anew)
{
    auto_store struct store *store = state_open();
    struct digest digest = hello();
    struct blob_writer *w;

    state_write("tmp/partial/" HELLO_HEX, "HEL");
    w = writer_for(store, &digest, 5, true);
    check_int(blob_writer_size_bytes(w), 3);
    check_ok(blob_writer_write(w, "lo", 2, &test_err));
    check_fails(blob_writer_commit(w, NULL, NULL, &test_err), EBADMSG);
    check_nothing_left();
    w = writer_for(store, &digest, 5, true);
    check_int(blob_writer_size_bytes(w), 0);
    check_ok(blob_writer_write(w, "hello", 5, &test_err));
    check_ok(blob_writer_commit(w, NULL, NULL, &test_err));
}

TEST(blob, a_partial_one_that_is_too_long_starts_anew)
{
    auto_store struct store *store = state_open();
    struct digest digest = hello();
    struct blob_writer *w;

    state_write("tmp/partial/" HELLO_HEX, "hello, hello");
    w = writer_for(store, &digest, 5, true);
    check_int(blob_writer_size_bytes(w), 0);
    check_ok(blob_writer_write(w, "hello", 5, &test_err));
    check_ok(blob_writer_commit(w, NULL, NULL, &test_err));
}

TEST(blob, two_cannot_continue_the_same_one)
{
    auto_store struct store *store = state_open();
    struct digest digest = hello();
    struct blob_writer_options options = {
        .what = "layer 1", .digest = &digest, .size_bytes = 5, .resume = true};
    struct blob_writer *w = writer_for(store, &digest, 5, true);
    struct blob_writer *second = NULL;

    check_fails(blob_writer_open(store, &options, &second, &test_err), EBUSY);
    check_error(&test_err, EBUSY, "another process is fetching layer 1");
    check_true(state_has("tmp/partial/" HELLO_HEX));
    blob_writer_abort(w);
    check_ok(blob_writer_open(store, &options, &second, &test_err));
    blob_writer_abort(second);
}

/* A crash between the two names of a file must not let the blob be written to. */
TEST(blob, a_partial_file_that_became_a_blob_is_not_touched)
{
    auto_store struct store *store = state_open();
    auto_free char *blob = NULL;
    auto_free char *partial = NULL;
    auto_str struct str bytes = {0};
    struct digest digest;
    struct blob_writer *w;

    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    blob = state_file("blobs/sha256/" HELLO_HEX);
    partial = state_file("tmp/partial/" HELLO_HEX);
    check_ok(link(blob, partial));
    w = writer_for(store, &digest, 5, true);
    check_int(blob_writer_size_bytes(w), 0);
    check_ok(blob_writer_write(w, "HELLO", 5, &test_err));
    blob_writer_abort(w);
    check_ok(blob_read(store, &digest, 5, &bytes, &test_err));
}

/* A commit moves the file; who waited makes another of that name before the first one is done with it. */
TEST(blob, who_waited_keeps_a_file_of_its_own)
{
    auto_store struct store *store = state_open();
    struct digest digest = hello();
    struct blob_writer *first = writer_for(store, &digest, 5, true);
    struct blob_writer *second;
    auto_free char *partial = state_file("tmp/partial/" HELLO_HEX);
    auto_free char *moved = state_file("tmp/moved");

    check_ok(blob_writer_write(first, "hell", 4, &test_err));
    check_ok(rename(partial, moved));
    second = writer_for(store, &digest, 5, true);
    check_ok(blob_writer_write(second, "hello", 5, &test_err));
    blob_writer_discard(first);
    check_true(state_has("tmp/partial/" HELLO_HEX));
    check_ok(blob_writer_commit(second, NULL, NULL, &test_err));
    check_true(blob_exists(store, &digest));
}

TEST(blob, continuing_what_is_there_already_is_no_error)
{
    auto_store struct store *store = state_open();
    struct digest digest = hello();
    struct blob_writer *w = writer_for(store, &digest, 5, true);
    struct digest put;

    check_ok(blob_put(store, "hello", 5, &put, &test_err));
    check_ok(blob_writer_write(w, "hello", 5, &test_err));
    check_ok(blob_writer_commit(w, NULL, NULL, &test_err));
    check_true(blob_exists(store, &digest));
    check_false(state_has("tmp/partial/" HELLO_HEX));
}

TEST(blob, a_link_among_the_partial_ones_is_refused)
{
    auto_store struct store *store = state_open();
    struct digest digest = hello();
    struct blob_writer_options options = {.digest = &digest, .size_bytes = 5, .resume = true};
    auto_free char *partial = state_file("tmp/partial/" HELLO_HEX);
    struct blob_writer *w = NULL;

    check_ok(symlink("/etc/passwd", partial));
    check_fails(blob_writer_open(store, &options, &w, &test_err), ELOOP);
}

/* -- reading -- */

TEST(blob, unknown_is_not_found)
{
    auto_store struct store *store = state_open();
    struct digest digest = hello();
    auto_str struct str bytes = {0};
    auto_free char *sentence = NULL;
    struct reader *reader = NULL;
    uint64_t size;
    int fd;

    check_fails(blob_read(store, &digest, 100, &bytes, &test_err), ENOENT);
    sentence = str_format("there is no blob sha256:%s in the store '%s'", HELLO_HEX, state_path());
    check_error(&test_err, ENOENT, sentence);
    check_fails(blob_open(store, &digest, &reader, &size, &test_err), ENOENT);
    check_fails(blob_fd(store, &digest, &fd, &size, &test_err), ENOENT);
    check_fails(blob_stat(store, &digest, &size, &test_err), ENOENT);
    check_false(blob_exists(store, &digest));
}

TEST(blob, larger_than_allowed_is_not_read)
{
    auto_store struct store *store = state_open();
    auto_str struct str bytes = {0};
    struct digest digest;

    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    check_fails(blob_read(store, &digest, 4, &bytes, &test_err), EFBIG);
}

static ssize_t read_to_the_end(struct reader *reader)
{
    char buf[2];
    ssize_t n;

    while ((n = reader_read(reader, buf, sizeof(buf), &test_err)) > 0) {
        /* the verdict comes with the end */
    }
    return n;
}

TEST(blob, changed_bytes_are_noticed_at_the_end)
{
    auto_store struct store *store = state_open();
    auto_reader struct reader *good = NULL;
    auto_reader struct reader *bad = NULL;
    auto_str struct str bytes = {0};
    struct digest digest;
    uint64_t size = 0;

    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    check_ok(blob_open(store, &digest, &good, &size, &test_err));
    check_int(size, 5);
    check_int(read_to_the_end(good), 0);
    check_int(reader_read(good, &size, 1, &test_err), 0);
    state_write("blobs/sha256/" HELLO_HEX, "hellO");
    check_ok(blob_open(store, &digest, &bad, &size, &test_err));
    check_int(read_to_the_end(bad), -EIO);
    check_error(&test_err, EIO, "blob sha256:" HELLO_HEX " is damaged in the store");
    check_fails(blob_read(store, &digest, 5, &bytes, &test_err), EIO);
}

TEST(blob, a_cut_or_missing_file_is_damage_at_once)
{
    auto_store struct store *store = state_open();
    struct reader *reader = NULL;
    struct digest digest;
    uint64_t size;
    auto_free char *file = state_file("blobs/sha256/" HELLO_HEX);

    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    check_ok(truncate(file, 4));
    check_fails(blob_open(store, &digest, &reader, &size, &test_err), EIO);
    check_fails(blob_stat(store, &digest, &size, &test_err), EIO);
    check_ok(unlink(file));
    check_fails(blob_open(store, &digest, &reader, &size, &test_err), EIO);
    check_false(blob_exists(store, &digest));
    check_ok(mkfifo(file, 0600)); /* must not wait for a writer */
    check_fails(blob_open(store, &digest, &reader, &size, &test_err), EIO);
}

TEST(blob, a_file_cut_while_it_is_read_is_damage)
{
    auto_store struct store *store = state_open();
    auto_reader struct reader *reader = NULL;
    auto_free char *file = state_file("blobs/sha256/" HELLO_HEX);
    struct digest digest;
    uint64_t size;

    check_ok(blob_put(store, "hello", 5, &digest, &test_err));
    check_ok(blob_open(store, &digest, &reader, &size, &test_err));
    check_ok(truncate(file, 3));
    check_int(read_to_the_end(reader), -EIO);
}

/* -- many at once -- */

static void *put_blobs(void *store)
{
    struct error err = {0};
    struct digest digest;

    for (int i = 0; i < 20; i++) {
        auto_free char *text = str_format("text %d", i);

        if (blob_put(store, text, strlen(text), &digest, &err) < 0)
            return mem_strdup(err.text);
    }
    return NULL;
}

TEST(blob, the_same_ones_may_be_put_by_several_threads_and_stores)
{
    auto_store struct store *first = state_open();
    auto_store struct store *second = state_open();
    pthread_t threads[4];
    void *failure = NULL;

    for (size_t i = 0; i < 4; i++)
        check_int(pthread_create(&threads[i], NULL, put_blobs, i % 2 ? first : second), 0);
    for (size_t i = 0; i < 4; i++) {
        check_int(pthread_join(threads[i], &failure), 0);
        check_text(failure, NULL);
    }
}

/* -- origins -- */

TEST(blob, origins_are_listed_latest_first)
{
    auto_store struct store *store = state_open();
    auto_blob_origin_list struct blob_origin_list list = {0};
    struct digest digest = hello();

    check_ok(blob_origin_add(store, &digest, "h:5000", "a", &test_err));
    check_ok(blob_origin_add(store, &digest, "h:5000", "b", &test_err));
    check_ok(blob_origin_add(store, &digest, "other", "c", &test_err));
    check_ok(blob_origin_add(store, &digest, "h:5000", "a", &test_err));
    check_ok(blob_origin_list(store, &digest, "h:5000", &list, &test_err));
    check_int(list.count, 2);
    check_text(list.items[0].repository, "a");
    check_text(list.items[1].repository, "b");
    blob_origin_list_release(&list);
    check_ok(blob_origin_remove(store, &digest, "h:5000", "a", &test_err));
    check_ok(blob_origin_list(store, &digest, NULL, &list, &test_err));
    check_int(list.count, 2);
    check_text(list.items[0].host, "other");
}

TEST(blob, an_origin_without_a_name_is_refused)
{
    auto_store struct store *store = state_open();
    auto_free char *name = mem_alloc(257);
    struct digest digest = hello();

    memset(name, 'n', 256);
    check_fails(blob_origin_add(store, &digest, "", "a", &test_err), EINVAL);
    check_fails(blob_origin_add(store, &digest, "h", "", &test_err), EINVAL);
    check_fails(blob_origin_add(store, &digest, "h", name, &test_err), EINVAL);
}

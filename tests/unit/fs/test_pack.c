/* test_pack.c - files of bytes that extents point into. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/pack.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

static uint64_t pack_of(struct store *store, int64_t layer)
{
    struct layer_row row;

    check_ok(store_layer_get(store, layer, &row, &test_err));
    return row.pack;
}

static char *file_of(uint64_t pack)
{
    auto_free char *name = NULL;
    char hex[STORE_NAME_SIZE];

    store_object_name(pack, hex);
    name = str_format("packs/%s", hex);
    return state_file(name);
}

static void check_content(struct store *store, uint64_t pack, const char *expected)
{
    char buf[32] = "";

    check_ok(pack_read(store, pack, 0, buf, strlen(expected), &test_err));
    check_text(buf, expected);
}

static size_t count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;

    check_true(dir != NULL);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count;
}

TEST(pack, is_opened_read_only_and_read_at_any_offset)
{
    auto_store struct store *store = state_open();
    uint64_t pack = pack_of(store, state_built(store, "content"));
    auto_close int fd = -1;
    char buf[4] = "";

    check_ok(pack_open(store, pack, &fd, &test_err));
    check_int(write(fd, "x", 1), -1);
    check_int(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    check_ok(pack_read(store, pack, 3, buf, 4, &test_err));
    check_bytes(buf, sizeof(buf), "tent", 4);
    check_fails(pack_read(store, pack, 4, buf, 4, &test_err), EIO);
    check_contains(test_err.text, "at byte 4: it is truncated or damaged");
    check_fails(pack_read(store, pack, UINT64_MAX, buf, 4, &test_err), EIO);
}

#define MANY 100u

/* getrlimit(2): whoever may open 64 files reads a hundred packs, again and again. */
TEST(pack, any_number_is_read_through_few_descriptors)
{
    auto_store struct store *store = state_open();
    uint64_t packs[MANY];
    struct rlimit before;
    struct rlimit low;
    size_t at_first;

    for (size_t i = 0; i < MANY; i++) {
        auto_free char *text = str_format("pack %zu", i);

        packs[i] = pack_of(store, state_built(store, text));
    }
    check_ok(getrlimit(RLIMIT_NOFILE, &before));
    low = (struct rlimit){.rlim_cur = 64, .rlim_max = before.rlim_max};
    check_ok(setrlimit(RLIMIT_NOFILE, &low));
    at_first = count_descriptors();
    for (size_t i = 0; i < 3 * MANY; i++) {
        auto_free char *text = str_format("pack %zu", i * 7 % MANY);

        check_content(store, packs[i * 7 % MANY], text);
    }
    check_int(count_descriptors(), at_first + 16); /* pack.h: a quarter */
    check_ok(setrlimit(RLIMIT_NOFILE, &before));
}

/* Others may use up the descriptors meanwhile: those kept open for later are given up. */
TEST(pack, is_read_when_no_descriptor_is_left)
{
    auto_store struct store *store = state_open();
    uint64_t first = pack_of(store, state_built(store, "first"));
    uint64_t second = pack_of(store, state_built(store, "second"));
    int taken[64];
    size_t count = 0;
    struct rlimit before;
    struct rlimit low;

    check_ok(getrlimit(RLIMIT_NOFILE, &before));
    low = (struct rlimit){.rlim_cur = 64, .rlim_max = before.rlim_max};
    check_ok(setrlimit(RLIMIT_NOFILE, &low));
    check_content(store, first, "first");
    while (count < 64 && (taken[count] = dup(0)) >= 0)
        count++;
    check_int(errno, EMFILE);
    check_content(store, second, "second");
    check_content(store, first, "first");
    while (count > 0)
        (void)close(taken[--count]);
    check_ok(setrlimit(RLIMIT_NOFILE, &before));
}

struct reader_of_packs {
    struct store *store;
    const uint64_t *packs;
    unsigned seed;
};

static void *read_packs(void *arg)
{
    struct reader_of_packs *r = arg;
    struct error err = {0};

    for (size_t i = 0; i < 2000; i++) {
        size_t at = (size_t)rand_r(&r->seed) % 20;
        char expected[32];
        char buf[32] = "";

        (void)snprintf(expected, sizeof(expected), "pack %02zu", at);
        if (pack_read(r->store, r->packs[at], 0, buf, 7, &err) < 0 || strcmp(buf, expected) != 0)
            return r;
    }
    return NULL;
}

/* Twenty packs, ten descriptors, four threads: none may lose the one it reads from. */
TEST(pack, threads_read_while_others_close)
{
    auto_store struct store *store = state_open();
    struct reader_of_packs readers[4];
    pthread_t threads[4];
    uint64_t packs[20];
    struct rlimit before;
    struct rlimit low;
    bool is_wrong = false;

    for (size_t i = 0; i < 20; i++) {
        auto_free char *text = str_format("pack %02zu", i);

        packs[i] = pack_of(store, state_built(store, text));
    }
    check_ok(getrlimit(RLIMIT_NOFILE, &before));
    low = (struct rlimit){.rlim_cur = 40, .rlim_max = before.rlim_max};
    check_ok(setrlimit(RLIMIT_NOFILE, &low)); /* asked once */
    check_content(store, packs[0], "pack 00");
    check_ok(setrlimit(RLIMIT_NOFILE, &before));
    for (unsigned i = 0; i < 4; i++) {
        readers[i] = (struct reader_of_packs){store, packs, i};
        check_int(pthread_create(&threads[i], NULL, read_packs, &readers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        void *result;

        check_int(pthread_join(threads[i], &result), 0);
        is_wrong = is_wrong || result != NULL;
    }
    check_false(is_wrong);
}

TEST(pack, that_nobody_made_is_not_found)
{
    auto_store struct store *store = state_open();
    char byte;
    int fd = -1;

    check_fails(pack_open(store, 5, &fd, &test_err), ENOENT);
    check_fails(pack_read(store, 5, 0, &byte, 1, &test_err), ENOENT);
}

TEST(pack, can_be_read_between_adoption_and_row)
{
    auto_store struct store *store = state_open();
    auto_close int fd = -1;
    uint64_t id = 0;
    char byte;

    check_ok(pack_create(store, &id, &fd, &test_err));
    check_ok(io_write_full(fd, "abc", 3));
    check_fails(pack_read(store, id, 0, &byte, 1, &test_err), ENOENT);
    check_ok(pack_adopt(store, id, fd, &test_err));
    check_content(store, id, "abc");
}

TEST(pack, not_adopted_leaves_nothing)
{
    auto_store struct store *store = state_open();
    auto_str struct str names = {0};
    auto_close int fd = -1;
    uint64_t id = 0;

    check_ok(pack_create(store, &id, &fd, &test_err));
    check_true(id > 0 && id <= INT64_MAX);
    check_ok(io_write_full(fd, "abc", 3));
    cleanup_close_fd(&fd);
    state_list("packs", &names);
    state_list("work", &names);
    check_text(str_text(&names), "");
}

/* pread beyond a cut would be a short read, never SIGBUS; a cut one is not even opened. */
TEST(pack, of_the_wrong_size_is_damage)
{
    auto_store struct store *store = state_open();
    uint64_t pack = pack_of(store, state_built(store, "content"));
    auto_free char *file = file_of(pack);
    char byte;

    check_ok(truncate(file, 6));
    check_fails(pack_read(store, pack, 0, &byte, 1, &test_err), EIO);
    check_ok(truncate(file, 8));
    check_fails(pack_read(store, pack, 0, &byte, 1, &test_err), EIO);
    check_ok(unlink(file));
    check_fails(pack_read(store, pack, 0, &byte, 1, &test_err), EIO);
    check_ok(symlink("/etc/passwd", file));
    check_fails(pack_read(store, pack, 0, &byte, 1, &test_err), ELOOP);
}

/* R38: nobody else on the host can read or run what is in an image. */
TEST(pack, is_private_and_plain)
{
    auto_store struct store *store = state_open();
    mode_t old = umask(0);
    auto_free char *file = file_of(pack_of(store, state_built(store, "content")));
    struct stat st;

    (void)umask(old);
    check_ok(lstat(file, &st));
    check_int(st.st_mode, S_IFREG | 0600);
    check_int(st.st_uid, geteuid());
    check_int(st.st_nlink, 1);
}

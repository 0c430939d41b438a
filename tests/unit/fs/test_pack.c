/* test_pack.c - files of bytes that extents point into. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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

TEST(pack, is_read_through_one_descriptor)
{
    auto_store struct store *store = state_open();
    uint64_t pack = pack_of(store, state_built(store, "content"));
    char buf[7];
    int first = -1;
    int second = -1;

    check_ok(pack_fd(store, pack, &first, &test_err));
    check_ok(pack_fd(store, pack, &second, &test_err));
    check_int(first, second);
    check_ok(io_pread_full(first, buf, sizeof(buf), 0));
    check_bytes(buf, sizeof(buf), "content", 7);
    check_int(write(first, "x", 1), -1); /* read-only */
    check_int(fcntl(first, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(pack, many_can_be_open_at_once)
{
    auto_store struct store *store = state_open();
    uint64_t packs[200];
    int fds[200];

    for (size_t i = 0; i < 200; i++) {
        auto_free char *text = str_format("pack %zu", i);

        packs[i] = pack_of(store, state_built(store, text));
        check_ok(pack_fd(store, packs[i], &fds[i], &test_err));
    }
    for (size_t i = 0; i < 200; i++) {
        int fd = -1;

        check_ok(pack_fd(store, packs[i], &fd, &test_err));
        check_int(fd, fds[i]);
    }
}

TEST(pack, that_nobody_made_is_not_found)
{
    auto_store struct store *store = state_open();
    uint64_t size = 0;
    int fd = -1;

    check_fails(pack_fd(store, 5, &fd, &test_err), ENOENT);
    check_fails(pack_size(store, 5, &size, &test_err), ENOENT);
}

TEST(pack, can_be_read_between_adoption_and_row)
{
    auto_store struct store *store = state_open();
    auto_close int fd = -1;
    uint64_t id = 0;
    uint64_t size = 0;
    int read_fd = -1;

    check_ok(pack_create(store, &id, &fd, &test_err));
    check_ok(io_write_full(fd, "abc", 3));
    check_fails(pack_fd(store, id, &read_fd, &test_err), ENOENT);
    check_ok(pack_adopt(store, id, fd, &test_err));
    check_ok(pack_fd(store, id, &read_fd, &test_err));
    check_ok(pack_size(store, id, &size, &test_err));
    check_int(size, 3);
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
    int fd = -1;

    check_ok(truncate(file, 6));
    check_fails(pack_fd(store, pack, &fd, &test_err), EIO);
    check_ok(truncate(file, 8));
    check_fails(pack_fd(store, pack, &fd, &test_err), EIO);
    check_ok(unlink(file));
    check_fails(pack_fd(store, pack, &fd, &test_err), EIO);
    check_ok(symlink("/etc/passwd", file));
    check_fails(pack_fd(store, pack, &fd, &test_err), ELOOP);
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

/* test_cleanup.c - scope-bound release, hand-over and small allocations. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/cleanup.h"
#include "tests/lib/test.h"

TEST(cleanup, close_runs_at_scope_exit_and_keeps_errno)
{
    int number;

    {
        auto_close int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        auto_close int bad = 1 << 20; /* not open: close(2) answers EBADF */

        check_ok(fd);
        number = fd;
        (void)bad;
        errno = E2BIG;
    }
    check_int(errno, E2BIG);
    check_int(fcntl(number, F_GETFD), -1);
}

TEST(cleanup, steal_hands_over_and_leaves_nothing)
{
    char *kept;
    int kept_fd;

    {
        auto_free char *text = mem_strdup("kept");
        auto_close int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        kept = STEAL(&text);
        kept_fd = steal_fd(&fd);
        check_true(text == NULL);
        check_int(fd, -1);
    }
    check_text(kept, "kept");
    check_ok(fcntl(kept_fd, F_GETFD));
    check_ok(close(kept_fd));
    free(kept);
}

TEST(cleanup, allocations_are_zeroed_and_never_null)
{
    auto_free uint64_t *number = mem_new(uint64_t);
    auto_free void *nothing = mem_alloc(0);
    auto_free void *still_nothing = mem_resize(NULL, 0, 8);

    check_int(*number, 0);
    check_true(nothing != NULL);
    check_true(still_nothing != NULL);
}

/* One sentence, status 1 as of any other failure, and no signal that would leave a core. */
TEST(cleanup, without_memory_the_process_ends_with_a_sentence)
{
    volatile size_t huge = SIZE_MAX / 2;
    char said[64] = "";
    int status = 0;
    int fds[2];
    pid_t pid;

    check_ok(pipe2(fds, O_CLOEXEC));
    pid = fork();
    check_ok(pid);
    if (pid == 0) {
        (void)dup2(fds[1], STDERR_FILENO);
        (void)mem_resize(NULL, huge, 4);
        _exit(0);
    }
    close(fds[1]);
    check_ok(waitpid(pid, &status, 0));
    check_ok(read(fds[0], said, sizeof(said) - 1));
    close(fds[0]);
    check_true(WIFEXITED(status));
    check_int(WEXITSTATUS(status), 1);
    check_text(said, "img: out of memory\n");
}

TEST(cleanup, try_refuses_what_overflows)
{
    volatile size_t huge = SIZE_MAX / 2; /* volatile: the compiler would warn about the constant */
    auto_free void *p = mem_try(huge, 4);
    auto_free uint8_t *small = mem_try(3, 1);

    check_true(p == NULL);
    check_int(small[0] | small[1] | small[2], 0);
}

TEST(cleanup, strndup_stops_at_the_nul_or_the_length)
{
    auto_free char *cut = mem_strndup("abcdef", 3);
    auto_free char *whole = mem_strndup("ab", 9);

    check_text(cut, "abc");
    check_text(whole, "ab");
}

TEST(cleanup, an_array_keeps_its_items_and_zeroes_the_new_one)
{
    struct {
        int *items;
        size_t count;
        size_t capacity;
    } array = {0};

    for (int i = 0; i < 1000; i++) {
        int *item = array_add(&array);

        check_int(*item, 0);
        *item = i + 1;
    }
    check_int(array.count, 1000);
    for (int i = 0; i < 1000; i++)
        check_int(array.items[i], i + 1);
    free(array.items);
}

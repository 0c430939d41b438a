/* test_spawn.c - what a helper program inherits: posix_spawn(3), signal(7), setsid(2). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/cleanup.h"
#include "fs/base/io.h"
#include "fs/base/spawn.h"
#include "fs/base/str.h"
#include "tests/lib/test.h"

/* What `script` prints when a shell runs it; caller frees. */
static char *said(const char *script, const char *const *environment, enum spawn_apart apart)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct str out = {0};
    char bytes[512];
    ssize_t got;
    int ends[2];
    int status;
    pid_t pid;

    check_int(pipe2(ends, O_CLOEXEC), 0);
    check_ok(spawn_program(argv, environment, (const int[3]){null, ends[1], 2}, apart, &pid));
    close(ends[1]);
    while ((got = read(ends[0], bytes, sizeof(bytes))) > 0)
        str_add_bytes(&out, bytes, (size_t)got);
    close(ends[0]);
    check_int(waitpid(pid, &status, 0), pid);
    check_int(status, 0);
    return str_take(&out);
}

/* The shell's own directory listing has one more while it lists. */
TEST(spawn, nothing_but_three_descriptors_is_inherited)
{
    int leaked = open("/dev/null", O_RDONLY); /* not close-on-exec */
    auto_free char *out = NULL;

    check_true(leaked > 2);
    out = said("for i in 3 4 5 6 7 8 9; do test ! -e /proc/$$/fd/$i || echo $i; done; echo end",
               NULL, SPAWN_GROUP);
    close(leaked);
    check_text(out, "end\n");
}

TEST(spawn, signals_are_neither_blocked_nor_ignored)
{
    auto_free char *out = NULL;
    uint64_t ignored;
    sigset_t blocked;
    sigset_t before;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    check_int(sigprocmask(SIG_BLOCK, &blocked, &before), 0);
    check_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    /* grep(1) is a child of the shell and has what that had */
    out = said("exec grep -E '^Sig(Blk|Ign)' /proc/self/status", NULL, SPAWN_GROUP);
    check_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    check_int(sigprocmask(SIG_SETMASK, &before, NULL), 0);
    check_true(text_starts(out, "SigBlk:\t0000000000000000\nSigIgn:\t"));
    ignored = strtoull(strstr(out, "SigIgn:\t") + 8, NULL, 16);
    /* 32 and 33 are the C library's own (nptl(7)): it ignores them in what it spawns */
    check_int(ignored & ~UINT64_C(0x180000000), 0);
}

/* proc(5): fields 1, 5 and 6 of stat are the process, its group and its session. */
TEST(spawn, it_leads_a_group_or_a_session)
{
    const char *script = "read pid name state parent group session rest < /proc/self/stat; "
                         "test $pid = $group && echo group; test $pid != $session || echo session";
    auto_free char *group = said(script, NULL, SPAWN_GROUP);
    auto_free char *session = said(script, NULL, SPAWN_SESSION);

    check_text(group, "group\n");
    check_text(session, "group\nsession\n");
}

TEST(spawn, the_environment_is_ours_or_the_one_given)
{
    const char *const given[] = {"IMG_TEST_GIVEN=yes", NULL};
    const char *script = "echo ${IMG_TEST_OURS:-none} ${IMG_TEST_GIVEN:-none}";
    auto_free char *ours = NULL;
    auto_free char *theirs = NULL;

    check_int(setenv("IMG_TEST_OURS", "yes", 1), 0);
    ours = said(script, NULL, SPAWN_GROUP);
    theirs = said(script, given, SPAWN_GROUP);
    check_text(ours, "yes none\n");
    check_text(theirs, "none yes\n");
}

TEST(spawn, a_program_that_is_not_there_is_an_error)
{
    const char *const argv[] = {"img-no-such-program", NULL};
    pid_t pid;

    check_fails(spawn_program(argv, NULL, (const int[3]){0, 1, 2}, SPAWN_GROUP, &pid), ENOENT);
}

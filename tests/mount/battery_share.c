/* battery_share.c - one file seen by several processes, descriptors and mappings, and far offsets. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/mount/battery.h"

#define GIB (1L << 30)
#define PAGE 4096L
#define APPENDERS 4
#define LINES 500
#define LINE_SIZE 37 /* so that lines cross pages */

/* How a child that runs `fn` ended: its exit status, or minus the signal's number. */
static int child_status(int (*fn)(void))
{
    int status = 0;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        (void)signal(SIGBUS, SIG_DFL);
        _exit(fn());
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return 255;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void case_far_offsets(void)
{
    char bytes[8] = {0};
    struct stat st;
    loff_t from = 5 * GIB;
    loff_t to = 7 * GIB;
    char *there;
    int fd = TRY_FD(open("f", O_CREAT | O_RDWR, 0644));

    TRY(pwrite(fd, "end", 3, 5 * GIB));
    TRY(size_of("f"));
    TRY(lseek(fd, 0, SEEK_DATA));
    TRY(lseek(fd, 5 * GIB, SEEK_HOLE));
    TRY(pread(fd, bytes, 5, 5 * GIB - 2));
    battery_say("%d %d '%s'", bytes[0], bytes[1], bytes + 2);
    there = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 5 * GIB);
    if (there == MAP_FAILED)
        battery_say("no mapping: %s", strerrorname_np(errno));
    else
        memcpy(there, "END", 3);
    TRY(copy_file_range(fd, &from, fd, &to, 3, 0));
    TRY(size_of("f"));
    TRY(pread(fd, bytes, 8, 7 * GIB));
    battery_say("'%.3s'", bytes);
    TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * GIB, 2 * GIB));
    TRY(lseek(fd, 0, SEEK_DATA));
    TRY(fstat(fd, &st));
    battery_say("sparse: %d", st.st_blocks * 512 < GIB);
    TRY(ftruncate(fd, 100 * GIB));
    TRY(ftruncate(fd, 4 * GIB + 1));
    TRY(size_of("f"));
    TRY(pread(fd, bytes, 8, 4 * GIB));
    TRY(ftruncate(fd, INT64_MAX));
    TRY(pwrite(fd, "x", 1, INT64_MAX));
    TRY(pwrite(fd, "x", 1, INT64_MAX - 1));
    TRY(lseek(fd, INT64_MAX, SEEK_SET));
    TRY(write(fd, "x", 1));
    TRY(ftruncate(fd, -1));
    TRY(ftruncate(fd, 0)); /* a layer could not hold it */
}

static int append_lines(void)
{
    char line[LINE_SIZE];
    int fd = open("log", O_WRONLY | O_APPEND | O_CLOEXEC);

    memset(line, 'a' + getpid() % 26, sizeof(line));
    line[sizeof(line) - 1] = '\n';
    for (int i = 0; i < LINES; i++)
        if (write(fd, line, sizeof(line)) != (ssize_t)sizeof(line))
            return 1;
    return 0;
}

/* POSIX write: with O_APPEND nothing comes between finding the end and writing there. */
static void case_appending_together(void)
{
    char line[LINE_SIZE];
    pid_t pids[APPENDERS];
    int whole_count = 0;
    int fd;

    make_file("log", "");
    fflush(stdout);
    for (int i = 0; i < APPENDERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(append_lines());
    }
    for (int i = 0; i < APPENDERS; i++)
        (void)waitpid(pids[i], NULL, 0);
    TRY(size_of("log"));
    fd = TRY_FD(open("log", O_RDONLY));
    while (read(fd, line, sizeof(line)) == (ssize_t)sizeof(line)) {
        bool is_whole = line[LINE_SIZE - 1] == '\n';

        for (int i = 1; i < LINE_SIZE - 1; i++)
            is_whole &= line[i] == line[0];
        whole_count += is_whole;
    }
    battery_say("%d whole lines", whole_count);
}

static int change_by_mapping(void)
{
    int fd = open("f", O_RDWR | O_CLOEXEC);
    char *bytes = mmap(NULL, (size_t)PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (bytes == MAP_FAILED)
        return 1;
    memcpy(bytes, "child", 5);
    return 0;
}

static char *shared_bytes;

static int look_beyond(void)
{
    return shared_bytes[PAGE] == 0 ? 0 : 1;
}

static void case_mapping_together(void)
{
    char bytes[6] = {0};
    int fd;

    make_file("f", "0123456789");
    fd = TRY_FD(open("f", O_RDWR));
    TRY(ftruncate(fd, 2 * PAGE));
    shared_bytes = mmap(NULL, 2 * (size_t)PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared_bytes == MAP_FAILED) {
        battery_say("no mapping: %s", strerrorname_np(errno));
        return;
    }
    TRY(child_status(change_by_mapping));
    battery_say("'%.10s'", shared_bytes);
    TRY(pread(fd, bytes, 5, 0));
    battery_say("'%s'", bytes);
    battery_say("read: %d", child_status(look_beyond));
    TRY(ftruncate(fd, 5));
    battery_say("cut off: %d", child_status(look_beyond));
    TRY(ftruncate(fd, 2 * PAGE));
    battery_say("back: %d, then '%.10s'", child_status(look_beyond), shared_bytes);
    TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 2));
    battery_say("%d %d %c", shared_bytes[1], shared_bytes[2], shared_bytes[3]);
    memcpy(shared_bytes, "write", 5);
    TRY(pwrite(fd, "TT", 2, 2));
    battery_say("'%.5s'", shared_bytes);
    TRY(munmap(shared_bytes, 2 * (size_t)PAGE));
    say_content("f");
}

static void case_vectors(void)
{
    char one[3] = {0};
    char two[8] = {0};
    char text[] = "abcdef";
    const struct iovec out[3] = {{text, 2}, {text, 0}, {text + 2, 4}};
    const struct iovec in[2] = {{one, 2}, {two, 7}};
    int fd = TRY_FD(open("f", O_CREAT | O_RDWR, 0644));

    TRY(writev(fd, out, 3));
    TRY(preadv(fd, in, 2, 1));
    battery_say("'%s' '%s'", one, two);
    TRY(pwritev2(fd, out, 3, 0, RWF_APPEND));
    TRY(pwritev2(fd, out, 1, 3, RWF_SYNC));
    TRY(pwritev2(fd, out, 1, 5, RWF_DSYNC));
    TRY(pwritev(fd, out, 3, -1));
    say_content("f");
    TRY(lseek(fd, 0, SEEK_CUR));
}

/* What O_PATH opens is a place: it can be named and asked about, not read or changed. */
static void case_paths(void)
{
    char place[64];
    struct stat st;
    int fd;

    make_file("f", "content");
    TRY(symlink("f", "s"));
    fd = TRY_FD(open("f", O_PATH));
    TRY(fstat(fd, &st));
    TRY(read(fd, place, 1));
    TRY(fchmod(fd, 0600));
    TRY(ftruncate(fd, 0));
    (void)snprintf(place, sizeof(place), "/proc/self/fd/%d", fd);
    TRY(chmod(place, 0640));
    say_mode("f");
    TRY(linkat(AT_FDCWD, place, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW));
    TRY(links_of("f"));
    TRY_FD(open(place, O_WRONLY | O_APPEND));
    TRY(fchownat(fd, "", 7, 8, AT_EMPTY_PATH));
    say_mode("linked");
    TRY(rename("f", "moved"));
    TRY(unlink("linked"));
    TRY(unlink("moved"));
    TRY(fstat(fd, &st));
    battery_say("links %d", (int)st.st_nlink);
    TRY_FD(open(place, O_RDONLY));
    fd = TRY_FD(open("s", O_PATH | O_NOFOLLOW));
    TRY(readlinkat(fd, "", place, sizeof(place)));
    TRY(fchmodat(AT_FDCWD, "s", 0600, AT_SYMLINK_NOFOLLOW));
}

static void case_pipes(void)
{
    char bytes[32] = {0};
    loff_t offset = 3;
    int ends[2];
    int fd = TRY_FD(open("f", O_CREAT | O_RDWR, 0644));

    TRY(pipe2(ends, O_CLOEXEC));
    TRY(write(ends[1], "through a pipe", 14));
    TRY(splice(ends[0], NULL, fd, &offset, 100, 0));
    say_content("f");
    offset = 3;
    TRY(splice(fd, &offset, ends[1], NULL, 7, 0));
    TRY(read(ends[0], bytes, sizeof(bytes)));
    battery_say("'%s' at %ld", bytes, (long)offset);
}

static void case_making_durable(void)
{
    int fd = TRY_FD(open("f", O_CREAT | O_RDWR | O_SYNC, 0644));
    int dir = TRY_FD(open(".", O_RDONLY | O_DIRECTORY));

    TRY(write(fd, "now", 3));
    TRY(fsync(fd));
    TRY(fdatasync(fd));
    TRY(syncfs(fd));
    TRY(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
    TRY(fsync(dir));
    TRY(syncfs(dir));
    TRY(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
    TRY(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED));
    say_content("f");
    TRY(readahead(fd, 0, (size_t)PAGE));
    TRY(ftruncate(dir, 0));
    TRY(read(dir, &fd, 1));
}

const struct battery_case *battery_share_cases(void)
{
    static const struct battery_case cases[] = {
        {"far offsets", case_far_offsets},
        {"appending together", case_appending_together},
        {"mapping together", case_mapping_together},
        {"vectors", case_vectors},
        {"paths", case_paths},
        {"pipes", case_pipes},
        {"making durable", case_making_durable},
        {NULL, NULL},
    };

    return cases;
}

/* battery_data.c - bytes: write, truncate, holes, mapping, copying, locks, executing. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/mount/battery.h"

#define MIB (1L << 20)
#define PAGE 4096

static void case_writing(void)
{
    struct iovec parts[2] = {{(void *)(uintptr_t) "one", 3}, {(void *)(uintptr_t) "two", 3}};
    char bytes[16] = {0};
    int fd = TRY_FD(open("f", O_CREAT | O_RDWR, 0644));
    int end = TRY_FD(open("f", O_WRONLY | O_APPEND));

    TRY(pwrite(fd, "tail", 4, 10));
    say_content("f");
    TRY(writev(fd, parts, 2));
    TRY(write(end, "!", 1));
    TRY(lseek(end, 0, SEEK_CUR));
    TRY(pwrite(end, "?", 1, 0));
    say_content("f");
    TRY(pread(fd, bytes, sizeof(bytes), 12));
    TRY(pread(fd, bytes, sizeof(bytes), 100));
    TRY(pread(fd, bytes, sizeof(bytes), -1));
    TRY(pwrite(fd, "x", 1, -1));
    TRY(write(fd, "", 0));
    TRY(lseek(fd, -1, SEEK_SET));
    TRY(lseek(fd, 5, SEEK_END));
    TRY(write(fd, "z", 1));
    TRY(size_of("f"));
    TRY(fsync(fd));
    TRY(fdatasync(fd));
    TRY(syncfs(fd));
    TRY(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
}

static void case_truncating(void)
{
    int fd;

    make_file("f", "0123456789");
    TRY(truncate("f", 4));
    TRY(truncate("f", 8));
    say_content("f");
    fd = TRY_FD(open("f", O_RDONLY));
    TRY(ftruncate(fd, 0));
    TRY(truncate("f", -1));
    TRY(truncate("missing", 0));
    TRY(mkdir("d", 0755));
    TRY(truncate("d", 0));
    fd = TRY_FD(open("f", O_RDWR));
    TRY(ftruncate(fd, 6L << 30));
    TRY(size_of("f"));
    TRY(pwrite(fd, "far", 3, 5L << 30));
    TRY(ftruncate(fd, (5L << 30) + 2));
    TRY(lseek(fd, -2, SEEK_END));
    {
        char bytes[8] = {0};

        TRY(read(fd, bytes, sizeof(bytes)));
        battery_say("'%s'", bytes);
    }
    TRY(ftruncate(fd, 0));
    TRY(write(fd, "x", 1));
    TRY(size_of("f"));
}

static void case_holes(void)
{
    struct stat st;
    int fd = TRY_FD(open("f", O_CREAT | O_RDWR, 0644));

    TRY(pwrite(fd, "data", 4, 4 * MIB));
    TRY(ftruncate(fd, 8 * MIB));
    TRY(lseek(fd, 0, SEEK_HOLE));
    TRY(lseek(fd, 0, SEEK_DATA));
    TRY(lseek(fd, 4 * MIB + 1, SEEK_DATA));
    TRY(lseek(fd, 5 * MIB, SEEK_DATA));
    TRY(lseek(fd, 5 * MIB, SEEK_HOLE));
    TRY(lseek(fd, 8 * MIB, SEEK_HOLE));
    TRY(lseek(fd, 9 * MIB, SEEK_DATA));
    TRY(lseek(fd, -1, SEEK_DATA));
    TRY(fstat(fd, &st));
    battery_say("sparse: %d", st.st_blocks * 512 < 2 * MIB);
}

static void case_allocating(void)
{
    char bytes[PAGE] = {0};
    int fd = TRY_FD(open("f", O_CREAT | O_RDWR, 0644));
    int reader = TRY_FD(open("f", O_RDONLY));

    memset(bytes, 'a', sizeof(bytes));
    for (int i = 0; i < 8; i++)
        if (write(fd, bytes, sizeof(bytes)) != sizeof(bytes))
            battery_say("short write");
    TRY(fallocate(fd, 0, 0, 10 * PAGE));
    TRY(size_of("f"));
    TRY(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 20 * PAGE));
    TRY(size_of("f"));
    TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE + 1, 2 * PAGE));
    TRY(pread(fd, bytes, 3, PAGE));
    battery_say("%d %d %d", bytes[0], bytes[1], bytes[2]);
    TRY(pread(fd, bytes, 3, 3 * PAGE));
    battery_say("%d %d %d", bytes[0], bytes[1], bytes[2]);
    TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE));
    TRY(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE));
    TRY(fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, PAGE));
    TRY(fallocate(fd, 0, 0, 0));
    TRY(fallocate(fd, 0, -1, 1));
    TRY(fallocate(reader, 0, 0, 1));
    TRY(posix_fallocate(fd, 0, 30 * PAGE));
    TRY(size_of("f"));
}

/* tmpfs has no such mode; where there is one, it makes zeros of what was there. */
static void case_zeroing(void)
{
    char bytes[16] = {0};
    char zeros[4] = {0};
    int fd;

    make_file("f", "0123456789");
    fd = TRY_FD(open("f", O_RDWR));
    TRY(fallocate(fd, FALLOC_FL_ZERO_RANGE, 2, 4));
    TRY(pwrite(fd, zeros, 4, 2));
    say_content("f");
    TRY(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 8, 100));
    TRY(pwrite(fd, zeros, 2, 8));
    say_content("f");
    TRY(fallocate(fd, FALLOC_FL_UNSHARE_RANGE, 0, 10));
    TRY(pread(fd, bytes, sizeof(bytes), 0));
}

static void case_mapping(void)
{
    char bytes[8] = {0};
    char *shared;
    char *own;
    int fd;

    make_file("f", "0123456789");
    fd = TRY_FD(open("f", O_RDWR));
    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (shared == MAP_FAILED || own == MAP_FAILED) {
        battery_say("no mapping: %s", strerrorname_np(errno));
        return;
    }
    memcpy(shared, "abc", 3);
    TRY(pread(fd, bytes, 5, 0));
    battery_say("'%s'", bytes);
    TRY(pwrite(fd, "XYZ", 3, 4));
    battery_say("'%.10s'", shared);
    memcpy(own, "mine", 4);
    TRY(msync(shared, PAGE, MS_SYNC));
    say_content("f");
    TRY(ftruncate(fd, 20));
    TRY(munmap(shared, PAGE));
    TRY(munmap(own, PAGE));
    TRY(close(fd));
    say_content("f");
}

static void case_mapping_beyond_the_end(void)
{
    pid_t pid;
    int status = 0;

    make_file("f", "short");
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        int fd = open("f", O_RDWR | O_CLOEXEC);
        volatile char *bytes = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);

        (void)signal(SIGBUS, SIG_DFL);
        _exit(bytes[PAGE]);
    }
    (void)waitpid(pid, &status, 0);
    battery_say("signal %d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void case_a_mapped_unlinked_file(void)
{
    char *bytes;
    int fd = TRY_FD(open("f", O_CREAT | O_RDWR, 0600));

    TRY(ftruncate(fd, 4 * PAGE));
    bytes = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        battery_say("no mapping: %s", strerrorname_np(errno));
        return;
    }
    TRY(unlink("f"));
    TRY(close(fd));
    memset(bytes, 'm', 4 * PAGE);
    TRY(msync(bytes, 4 * PAGE, MS_SYNC));
    battery_say("%c", bytes[3 * PAGE]);
    TRY(munmap(bytes, 4 * PAGE));
}

static void case_copying(void)
{
    char bytes[64];
    loff_t from = 2;
    loff_t to = 1;
    int in;
    int out;
    int end;

    make_file("in", "0123456789");
    make_file("out", "abcdefghij");
    in = TRY_FD(open("in", O_RDWR));
    out = TRY_FD(open("out", O_RDWR));
    end = TRY_FD(open("out", O_WRONLY | O_APPEND));
    TRY(copy_file_range(in, &from, out, &to, 4, 0));
    battery_say("at %ld and %ld", (long)from, (long)to);
    say_content("out");
    from = 8;
    to = 20;
    TRY(copy_file_range(in, &from, out, &to, 100, 0));
    say_content("out");
    from = 10;
    TRY(copy_file_range(in, &from, out, &to, 1, 0));
    from = 0;
    to = 2;
    TRY(copy_file_range(in, &from, in, &to, 4, 0));
    TRY(copy_file_range(in, &from, end, NULL, 4, 0));
    to = 6;
    TRY(copy_file_range(in, &from, in, &to, 4, 0));
    say_content("in");
    TRY(pwrite(in, "changed", 7, 0));
    say_content("out");
    TRY(sendfile(out, in, NULL, 5));
    say_content("out");
    TRY(ioctl(out, FICLONE, in));
    TRY(ioctl(out, TIOCGWINSZ, bytes));
}

static void case_direct(void)
{
    void *bytes = NULL;
    int fd = TRY_FD(open("f", O_CREAT | O_RDWR | O_DIRECT, 0644));

    if (fd < 0 || posix_memalign(&bytes, PAGE, 2 * PAGE) != 0)
        return;
    memset(bytes, 'd', 2 * PAGE);
    TRY(pwrite(fd, bytes, 2 * PAGE, 0));
    memset(bytes, 0, 2 * PAGE);
    TRY(pread(fd, bytes, 2 * PAGE, PAGE));
    battery_say("%d", *(char *)bytes);
    TRY(size_of("f"));
    say_content("f");
    free(bytes);
}

static int try_in_child(int (*fn)(void))
{
    int status;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0)
        _exit(fn());
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int lock_record(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1};
    int fd = open("f", O_RDWR | O_CLOEXEC);

    return fcntl(fd, F_SETLK, &lock) < 0 ? errno : 0;
}

static int lock_open_file(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 4};
    int fd = open("f", O_RDWR | O_CLOEXEC);

    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? errno : 0;
}

static int lock_whole(void)
{
    int fd = open("f", O_RDWR | O_CLOEXEC);

    return flock(fd, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
}

static void case_locks(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
    int fd;

    make_file("f", "0123456789");
    fd = TRY_FD(open("f", O_RDWR));
    TRY(fcntl(fd, F_SETLK, &lock));
    TRY(try_in_child(lock_record));
    lock.l_start = 4;
    lock.l_type = F_UNLCK;
    TRY(fcntl(fd, F_SETLK, &lock));
    TRY(try_in_child(lock_record));
    TRY(try_in_child(lock_open_file));
    lock.l_start = 0;
    TRY(fcntl(fd, F_SETLK, &lock));
    lock.l_type = F_WRLCK;
    TRY(fcntl(fd, F_OFD_SETLK, &lock));
    TRY(try_in_child(lock_open_file));
    TRY(try_in_child(lock_record));
    TRY(flock(fd, LOCK_SH));
    TRY(try_in_child(lock_whole));
    TRY(flock(fd, LOCK_UN));
    TRY(try_in_child(lock_whole));
}

static void case_watching(void)
{
    _Alignas(struct inotify_event) char bytes[4096];
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    ssize_t size;

    TRY(mkdir("d", 0755));
    TRY(inotify_add_watch(fd, "d", IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVE | IN_ATTRIB));
    make_file("d/f", "x");
    TRY(chmod("d/f", 0600));
    TRY(rename("d/f", "d/g"));
    TRY(unlink("d/g"));
    size = read(fd, bytes, sizeof(bytes));
    for (ssize_t at = 0; at < size;) {
        struct inotify_event *event = (void *)(bytes + at);

        battery_say("%x %s", event->mask, event->len ? event->name : "");
        at += (ssize_t)(sizeof(*event) + event->len);
    }
}

static void run_line(const char *line)
{
    int status;

    fflush(stdout);
    status = system(line);
    battery_say("%s: %d", line, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void case_executing(void)
{
    int executed[2]; /* closed by it */
    char byte;
    pid_t pid;

    make_file("script", "#!/bin/sh\necho ran $1\n");
    run_line("./script here 2>/dev/null");
    TRY(chmod("script", 0755));
    run_line("./script here");
    run_line("cp /bin/sleep sleep");
    fflush(stdout);
    TRY(pipe2(executed, O_CLOEXEC));
    pid = fork();
    if (pid == 0) {
        execl("./sleep", "sleep", "60", (char *)NULL);
        _exit(1);
    }
    (void)close(executed[1]);
    TRY(read(executed[0], &byte, 1));
    TRY_FD(open("sleep", O_WRONLY));
    TRY(rename("sleep", "renamed"));
    TRY(unlink("renamed"));
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

const struct battery_case *battery_data_cases(void)
{
    static const struct battery_case cases[] = {
        {"writing", case_writing},
        {"truncating", case_truncating},
        {"holes", case_holes},
        {"allocating", case_allocating},
        {"zeroing", case_zeroing},
        {"mapping", case_mapping},
        {"mapping beyond the end", case_mapping_beyond_the_end},
        {"a mapped unlinked file", case_a_mapped_unlinked_file},
        {"copying", case_copying},
        {"direct", case_direct},
        {"locks", case_locks},
        {"watching", case_watching},
        {"executing", case_executing},
        {NULL, NULL},
    };

    return cases;
}

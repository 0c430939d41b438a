/* battery_attrs.c - modes, owners, times, and what another user may not do. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/mount/battery.h"

#define USER 1000u

static void case_modes(void)
{
    make_file("f", "");
    TRY(mkdir("d", 0755));
    TRY(symlink("f", "s"));
    TRY(chmod("f", 07777));
    TRY(mode_of("f"));
    TRY(chmod("f", 0));
    TRY(mode_of("f"));
    TRY(chmod("d", 01777));
    TRY(mode_of("d"));
    TRY(chmod("s", 0640));
    TRY(mode_of("f"));
    TRY(fchmodat(AT_FDCWD, "s", 0600, AT_SYMLINK_NOFOLLOW));
    TRY(chmod("missing", 0));
    TRY(chmod("d", 02755));
    TRY(mkdir("d/e", 0700));
    TRY(mode_of("d/e"));
    make_file("d/f", "");
    TRY(mode_of("d/f"));
}

static void case_owners(void)
{
    make_file("f", "");
    TRY(mkdir("d", 0755));
    TRY(symlink("f", "s"));
    TRY(chmod("f", 06755));
    TRY(chown("f", 33, 44));
    say_mode("f");
    TRY(chmod("f", 06755));
    TRY(chown("f", (uid_t)-1, 55));
    say_mode("f");
    TRY(chmod("f", 02644));
    TRY(chown("f", 1, 1));
    say_mode("f");
    TRY(chmod("f", 04755));
    TRY(chown("f", (uid_t)-1, (gid_t)-1));
    say_mode("f");
    TRY(chown("s", 7, 7));
    say_mode("f");
    TRY(lchown("s", 8, 9));
    say_mode("s");
    say_mode("f");
    TRY(chmod("d", 06755));
    TRY(chown("d", 65535, 65535));
    say_mode("d");
    TRY(chown("missing", 0, 0));
    TRY(chmod("d", 02775));
    make_file("d/f", "");
    TRY(mkdir("d/e", 0755));
    TRY(mknod("d/p", S_IFIFO | 0644, 0));
    TRY(symlink("x", "d/s"));
    say_mode("d/f");
    say_mode("d/e");
    say_mode("d/p");
    say_mode("d/s");
}

static void say_times(const char *path)
{
    struct stat st;

    if (lstat(path, &st) == 0)
        battery_say("%s: %ld.%09ld %ld.%09ld", path, (long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
                    (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void case_times_set(void)
{
    struct timespec times[2] = {{1, 1}, {2000000000, 999999999}};

    make_file("f", "");
    TRY(symlink("f", "s"));
    TRY(mkdir("d", 0755));
    TRY(utimensat(AT_FDCWD, "f", times, 0));
    say_times("f");
    times[0] = (struct timespec){-1, 500000000};
    times[1] = (struct timespec){4102444800, 0}; /* the year 2100 */
    TRY(utimensat(AT_FDCWD, "d", times, 0));
    say_times("d");
    times[0].tv_nsec = UTIME_OMIT;
    times[1] = (struct timespec){77, 7};
    TRY(utimensat(AT_FDCWD, "f", times, 0));
    say_times("f");
    times[0] = (struct timespec){88, 8};
    times[1].tv_nsec = UTIME_OMIT;
    TRY(utimensat(AT_FDCWD, "s", times, AT_SYMLINK_NOFOLLOW));
    TRY(utimensat(AT_FDCWD, "s", times, 0));
    say_times("f");
    times[0].tv_nsec = UTIME_OMIT;
    TRY(utimensat(AT_FDCWD, "f", times, 0));
    say_times("f");
    times[0].tv_nsec = 1000000000;
    TRY(utimensat(AT_FDCWD, "f", times, 0));
    TRY(chmod("f", 0600));
    TRY(chown("f", 5, 5));
    TRY(rename("f", "g"));
    TRY(link("g", "h"));
    say_times("g");
}

struct stamps {
    struct timespec mtime;
    struct timespec ctime;
};

static struct stamps stamps_of(const char *path)
{
    struct stat st = {0};

    (void)lstat(path, &st);
    return (struct stamps){st.st_mtim, st.st_ctim};
}

static bool is_later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

/* The clock of time stamps moves in ticks, so an old stamp is set first, by setting mtime; ctime is
 * told to be later by waiting until the clock has moved. */
static void wait_a_tick(void)
{
    struct timespec start;
    struct timespec now;

    /* Two: a time that tmpfs gave may be finer than the clock, and so ahead of its next tick. */
    for (int i = 0; i < 2; i++) {
        (void)clock_gettime(CLOCK_REALTIME_COARSE, &start);
        do
            (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
        while (!is_later(now, start));
    }
}

static void say_moved(const char *what, const char *path, struct stamps before)
{
    struct stamps after = stamps_of(path);

    battery_say("%s: %s%s%s", what, path, is_later(after.mtime, before.mtime) ? " mtime" : "",
                is_later(after.ctime, before.ctime) ? " ctime" : "");
}

#define MOVED(path, action)                                                                        \
    do {                                                                                           \
        struct stamps before_ = stamps_of(path);                                                   \
        struct stamps above_ = stamps_of(".");                                                     \
        wait_a_tick();                                                                             \
        battery_report(#action, (long)(action));                                                   \
        say_moved("  moves", path, before_);                                                       \
        say_moved("  and", ".", above_);                                                           \
    } while (0)

static void case_times_moved(void)
{
    int fd;

    make_file("f", "x");
    make_file("other", "x");
    TRY(mkdir("d", 0755));
    fd = TRY_FD(open("f", O_RDWR));
    MOVED("f", write(fd, "y", 1));
    MOVED("f", write(fd, "", 0));
    MOVED("f", chmod("f", 0600));
    MOVED("f", chown("f", 0, 0));
    MOVED("f", link("f", "g"));
    MOVED("f", unlink("g"));
    MOVED("f", rename("f", "h"));
    MOVED("h", rename("h", "f"));
    MOVED("f", truncate("f", 5));
    MOVED("f", truncate("f", 5));
    MOVED("f", ftruncate(fd, 5));
    MOVED("f", close(open("f", O_WRONLY | O_TRUNC)));
    MOVED("f", close(open("f", O_WRONLY | O_TRUNC)));
    MOVED("f", utimensat(AT_FDCWD, "f", NULL, 0));
    MOVED("f", close(open("f", O_RDONLY)));
    MOVED("d", close(open("d/new", O_CREAT | O_WRONLY, 0600)));
    MOVED("d", unlink("d/new"));
    MOVED("d", mkdir("d/sub", 0755));
    MOVED("d", rename("d/sub", "d/sub2"));
    MOVED("d", rmdir("d/sub2"));
    MOVED("d", rename("other", "d/other"));
    MOVED("d", symlink("x", "d/s"));
}

static void write_and_truncate(void)
{
    int fd = TRY_FD(open("w", O_WRONLY));

    TRY(write(fd, "x", 1));
    say_mode("w");
    TRY(truncate("t", 1));
    say_mode("t");
    TRY_FD(open("o", O_WRONLY | O_TRUNC));
    say_mode("o");
}

/* Bits that a write by others must take away, and root's must not (write(2), "Errors"). */
static void case_killed_bits(void)
{
    static const char *const names[] = {"w", "t", "o"};
    int fd;

    for (size_t i = 0; i < 3; i++) {
        make_file(names[i], "content");
        TRY(chmod(names[i], 06777));
    }
    as_user(USER, write_and_truncate);
    for (size_t i = 0; i < 3; i++)
        TRY(chmod(names[i], 06777));
    fd = TRY_FD(open("w", O_WRONLY));
    TRY(write(fd, "y", 1));
    say_mode("w");
    TRY(ftruncate(fd, 2));
    say_mode("w");
    TRY(chmod("w", 02767)); /* no execution by the group: mandatory locking, not a privilege */
    as_user(USER, write_and_truncate);
}

static void be_curious(void)
{
    struct timespec times[2] = {{1, 0}, {1, 0}};

    TRY_FD(open("private", O_RDONLY));
    TRY_FD(open("readable", O_RDONLY));
    TRY_FD(open("readable", O_WRONLY));
    TRY_FD(open("new", O_CREAT | O_WRONLY, 0644));
    TRY(mkdir("new", 0755));
    TRY(unlink("readable"));
    TRY(rename("readable", "new"));
    TRY(link("private", "sticky/link"));
    TRY(chmod("readable", 0777));
    TRY(chown("readable", USER, USER));
    TRY(truncate("readable", 0));
    TRY(utimensat(AT_FDCWD, "readable", times, 0));
    TRY(utimensat(AT_FDCWD, "readable", NULL, 0));
    TRY(utimensat(AT_FDCWD, "writable", NULL, 0));
    TRY(utimensat(AT_FDCWD, "writable", times, 0));
    TRY(access("private", R_OK));
    TRY(access("readable", R_OK));
    TRY(access("readable", X_OK));
    TRY(size_of("closed/f"));
    TRY_FD(open("closed", O_RDONLY));
    say_names("blind");
    say_content("blind/f");
    TRY(unlink("sticky/theirs"));
    TRY(rename("sticky/theirs", "sticky/mine"));
    make_file("sticky/own", "x");
    say_mode("sticky/own");
    TRY(chmod("sticky/own", 06755));
    TRY(mode_of("sticky/own"));
    TRY(chown("sticky/own", 0, (gid_t)-1));
    TRY(chown("sticky/own", (uid_t)-1, 0));
    TRY(unlink("sticky/own"));
    TRY(mkdir("shared/by-user", 0755));
    say_mode("shared/by-user");
    make_file("shared/file", "x");
    TRY(chmod("shared/file", 02775));
    say_mode("shared/file");
}

static void case_permissions(void)
{
    make_file("private", "secret");
    TRY(chmod("private", 0600));
    make_file("readable", "text");
    make_file("writable", "text");
    TRY(chmod("writable", 0666));
    TRY(mkdir("closed", 0700));
    make_file("closed/f", "");
    TRY(mkdir("blind", 0755));
    make_file("blind/f", "seen");
    TRY(chmod("blind", 0711));
    TRY(mkdir("sticky", 0755));
    TRY(chmod("sticky", 01777));
    make_file("sticky/theirs", "");
    TRY(mkdir("shared", 0755));
    TRY(chown("shared", 0, 55));
    TRY(chmod("shared", 02777));
    as_user(USER, be_curious);
    TRY(access("private", X_OK));
    TRY(access("closed", X_OK));
}

static void run_id(void)
{
    fflush(stdout);
    if (system("./id -u; ./id-of-user -u") != 0)
        battery_say("cannot run");
}

static void case_set_user_id(void)
{
    if (system("cp /usr/bin/id id; cp /usr/bin/id id-of-user") != 0)
        battery_say("cannot copy");
    TRY(chown("id-of-user", 33, 33));
    TRY(chmod("id", 04755));
    TRY(chmod("id-of-user", 04755));
    as_user(USER, run_id);
}

/* statx(2) says what stat(2) says, and of everything basic. */
static void case_statx(void)
{
    struct timespec times[2] = {{5, 6}, {7, 8}};
    struct statx x;
    struct stat st;

    make_file("f", "content");
    TRY(utimensat(AT_FDCWD, "f", times, 0));
    TRY(link("f", "g"));
    TRY(lstat("f", &st));
    TRY(statx(AT_FDCWD, "f", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &x));
    battery_say("basic: %d", (x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    battery_say("%o %u %u:%u %llu bytes", x.stx_mode, x.stx_nlink, x.stx_uid, x.stx_gid,
                (unsigned long long)x.stx_size);
    battery_say("times %lld.%u %lld.%u", (long long)x.stx_atime.tv_sec, x.stx_atime.tv_nsec,
                (long long)x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec);
    battery_say("same: %d %d %d", x.stx_ino == st.st_ino, x.stx_ctime.tv_sec == st.st_ctim.tv_sec,
                x.stx_blocks == (uint64_t)st.st_blocks);
    TRY(statx(AT_FDCWD, "missing", 0, STATX_BASIC_STATS, &x));
    TRY(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_SIZE, &x));
    TRY(statx(AT_FDCWD, ".", 0, STATX_TYPE, &x));
    battery_say("%d", S_ISDIR(x.stx_mode));
}

/* The space that is told is there, and gets less by what is written. */
static void case_statvfs(void)
{
    static char bytes[4 << 20];
    struct statvfs before;
    struct statvfs after;
    int fd;

    TRY(statvfs(".", &before));
    battery_say("names of %lu, blocks: %d, free: %d, files: %d", before.f_namemax,
                before.f_blocks > 0 && before.f_frsize > 0,
                before.f_bavail <= before.f_bfree && before.f_bfree <= before.f_blocks,
                before.f_ffree <= before.f_files);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    fd = TRY_FD(open("f", O_CREAT | O_WRONLY, 0600));
    TRY(write(fd, bytes, sizeof(bytes)));
    TRY(fsync(fd));
    TRY(fstatvfs(fd, &after));
    battery_say("the same size: %d", after.f_blocks == before.f_blocks);
}

const struct battery_case *battery_attr_cases(void)
{
    static const struct battery_case cases[] = {
        {"modes", case_modes},
        {"owners", case_owners},
        {"times that are set", case_times_set},
        {"times that move", case_times_moved},
        {"bits that are killed", case_killed_bits},
        {"permissions", case_permissions},
        {"set user id", case_set_user_id},
        {"statx", case_statx},
        {"statvfs", case_statvfs},
        {NULL, NULL},
    };

    return cases;
}

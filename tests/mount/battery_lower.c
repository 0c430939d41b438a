/* battery_lower.c - the same operations on a tree that was there before: the layers of a view. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/battery.h"

#define CASES_MAX 12

void battery_make_lower(void)
{
    static const char *const directories[] = {"d", "d/sub", "d/sub/deep", "empty"};
    char name[32];

    for (int i = 0; i < CASES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "t%d", i);
        if (mkdir(name, 0755) < 0 || chdir(name) < 0)
            _exit(1);
        for (size_t k = 0; k < sizeof(directories) / sizeof(directories[0]); k++)
            if (mkdir(directories[k], 0755) < 0)
                _exit(1);
        make_file("f", "lower content");
        make_file("d/in", "inside");
        make_file("d/sub/deep/leaf", "leaf");
        make_file("hard1", "linked");
        make_file("script", "#!/bin/sh\necho lower\n");
        if (link("hard1", "hard2") < 0 || link("hard1", "d/hard3") < 0 || symlink("f", "s") < 0 ||
            symlink("d", "to-d") < 0 || mkfifo("p", 0600) < 0 || chmod("script", 0755) < 0 ||
            setxattr("f", "user.a", "one", 3, 0) < 0 || chdir("..") < 0)
            _exit(1);
    }
}

static void case_lower_reading(void)
{
    char value[8];

    say_names(".");
    say_names("d");
    say_content("f");
    say_content("s");
    say_content("to-d/sub/deep/leaf");
    TRY(links_of("hard1"));
    TRY(same_inode("hard1", "hard2"));
    TRY(same_inode("hard1", "d/hard3"));
    TRY(getxattr("f", "user.a", value, sizeof(value)));
    say_mode("script");
    TRY(system("./script"));
}

static void case_lower_writing(void)
{
    struct stat before;
    struct stat after;
    int fd;

    TRY(lstat("f", &before));
    fd = TRY_FD(open("f", O_RDWR));
    TRY(pwrite(fd, "UPPER", 5, 3));
    say_content("f");
    TRY(pwrite(fd, "far", 3, 20));
    say_content("f");
    TRY(ftruncate(fd, 5));
    TRY(ftruncate(fd, 9));
    say_content("f");
    TRY(lstat("f", &after));
    battery_say("same inode: %d", before.st_ino == after.st_ino);
    TRY_FD(open("script", O_WRONLY | O_TRUNC));
    TRY(size_of("script"));
}

static void case_lower_links(void)
{
    int fd = TRY_FD(open("hard2", O_WRONLY | O_APPEND));

    TRY(write(fd, "+", 1));
    say_content("hard1");
    say_content("d/hard3");
    TRY(unlink("hard1"));
    TRY(links_of("hard2"));
    TRY(link("hard2", "d/sub/hard4"));
    TRY(links_of("d/hard3"));
    TRY(chmod("d/hard3", 0600));
    TRY(mode_of("d/sub/hard4"));
    TRY(rename("hard2", "d/hard3"));
    say_names(".");
    say_names("d");
}

static void case_lower_removing(void)
{
    TRY(rmdir("d"));
    TRY(unlink("d/in"));
    TRY_FD(open("d/in", O_RDONLY));
    TRY(rmdir("d/sub/deep"));
    TRY(unlink("d/sub/deep/leaf"));
    TRY(rmdir("d/sub/deep"));
    TRY(rmdir("d/sub"));
    TRY(unlink("d/hard3"));
    TRY(rmdir("d"));
    TRY(links_of("hard1"));
    TRY(mkdir("d", 0700));
    say_names("d");
    make_file("d/in", "new inside");
    say_content("d/in");
    TRY(unlink("s"));
    TRY(unlink("p"));
    say_names(".");
}

static void case_lower_renaming(void)
{
    TRY(rename("d", "moved"));
    say_content("moved/sub/deep/leaf");
    say_names("moved");
    TRY(size_of("d"));
    TRY(mkdir("d", 0755));
    say_names("d");
    TRY(rename("moved/sub", "d/sub"));
    say_content("d/sub/deep/leaf");
    TRY(rename("d", "empty"));
    TRY(rename("empty", "moved"));
    TRY(rename("f", "hard1"));
    say_content("hard1");
    TRY(links_of("hard2"));
    TRY(rename("hard2", "f"));
    say_content("f");
    TRY(renameat2(AT_FDCWD, "f", AT_FDCWD, "moved", RENAME_EXCHANGE));
    say_names(".");
    say_names("f");
    TRY(rename("s", "renamed-link"));
    say_content("renamed-link");
}

static void case_lower_attributes(void)
{
    char value[8];

    TRY(chmod("f", 04711));
    TRY(chown("f", 3, 4));
    say_mode("f");
    TRY(setxattr("f", "user.b", "two", 3, 0));
    TRY(removexattr("f", "user.a"));
    TRY(getxattr("f", "user.a", value, sizeof(value)));
    TRY(getxattr("f", "user.b", value, sizeof(value)));
    TRY(chmod("d", 0711));
    TRY(lchown("s", 5, 6));
    say_mode("d");
    say_mode("s");
    say_content("f");
    say_names("d");
}

static void case_lower_mapping(void)
{
    int fd = TRY_FD(open("f", O_RDWR));
    char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (shared == MAP_FAILED) {
        battery_say("no mapping: %s", strerrorname_np(errno));
        return;
    }
    battery_say("'%.13s'", shared);
    memcpy(shared + 6, "MAPPED", 6);
    TRY(munmap(shared, 4096));
    say_content("f");
    TRY(close(fd));
    say_content("s");
}

static void case_lower_open_and_removed(void)
{
    char bytes[32] = {0};
    int fd = TRY_FD(open("f", O_RDWR));
    int dir = TRY_FD(open("d", O_RDONLY | O_DIRECTORY));

    TRY(unlink("f"));
    TRY(pwrite(fd, "gone", 4, 0));
    TRY(pread(fd, bytes, sizeof(bytes), 0));
    battery_say("'%s'", bytes);
    make_file("f", "again");
    say_content("f");
    TRY(rename("d", "e"));
    TRY_FD(openat(dir, "in", O_RDONLY));
    TRY(mkdirat(dir, "made", 0755));
    say_names("e");
}

/* Names of the layers, of the step, and none at all where a layer's was removed. */
static void case_lower_rename_flags(void)
{
    make_file("new", "new");
    TRY(renameat2(AT_FDCWD, "new", AT_FDCWD, "f", RENAME_NOREPLACE));
    TRY(renameat2(AT_FDCWD, "f", AT_FDCWD, "hard1", RENAME_NOREPLACE));
    TRY(renameat2(AT_FDCWD, "new", AT_FDCWD, "f", RENAME_EXCHANGE));
    say_content("f");
    say_content("new");
    TRY(unlink("hard1"));
    TRY(renameat2(AT_FDCWD, "new", AT_FDCWD, "hard1", RENAME_EXCHANGE));
    TRY(renameat2(AT_FDCWD, "new", AT_FDCWD, "hard1", RENAME_NOREPLACE));
    say_content("hard1");
    TRY(links_of("hard2"));
    TRY(renameat2(AT_FDCWD, "d/sub", AT_FDCWD, "empty", RENAME_EXCHANGE));
    say_names("empty");
    say_names("d/sub");
    TRY(renameat2(AT_FDCWD, "d", AT_FDCWD, "d/sub", RENAME_EXCHANGE));
    TRY(renameat2(AT_FDCWD, "d", AT_FDCWD, "s", RENAME_EXCHANGE));
    say_content("s/in");
    TRY(readlink("d", (char[8]){0}, 8));
    TRY(renameat2(AT_FDCWD, "s", AT_FDCWD, "to-d", RENAME_NOREPLACE));
    say_names(".");
}

/* A directory made anew hides all that layers had of its name (OCI image-spec, "Opaque Whiteout"). */
static void case_lower_opaque(void)
{
    TRY(rename("d", "old"));
    TRY(mkdir("d", 0755));
    TRY(rename("old/in", "d/in"));
    TRY(rename("old/sub/deep", "d/sub"));
    say_names("d");
    say_content("d/sub/leaf");
    TRY(renameat2(AT_FDCWD, "old", AT_FDCWD, "d", RENAME_EXCHANGE));
    say_names("d");
    say_names("old");
    TRY(size_of("d/in"));
    TRY(link("d/hard3", "d/in"));
    TRY(rename("hard2", "d/sub/deep"));
    TRY(links_of("hard1"));
    TRY(rename("old/sub", "d/sub"));
    TRY(rename("old/in", "d/in"));
    TRY(rmdir("old"));
    TRY(rename("old/sub", "empty"));
    TRY(rmdir("old"));
    TRY(symlink("empty", "old"));
    say_content("old/leaf");
    say_names("d/sub");
}

static void case_lower_space(void)
{
    char bytes[32] = {0};
    loff_t from = 0;
    loff_t to = 3;
    int fd = TRY_FD(open("f", O_RDWR));
    int out = TRY_FD(open("d/in", O_RDWR));

    TRY(lseek(fd, 0, SEEK_DATA));
    TRY(lseek(fd, 0, SEEK_HOLE));
    TRY(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100));
    TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
    say_content("f");
    TRY(copy_file_range(fd, &from, out, &to, 13, 0));
    say_content("d/in");
    TRY(pwrite(fd, "changed", 7, 0));
    say_content("d/in");
    TRY(fallocate(fd, 0, 10, 10));
    TRY(pread(fd, bytes, sizeof(bytes), 10));
    battery_say("%c%c%c %d", bytes[0], bytes[1], bytes[2], bytes[3]);
    TRY(ftruncate(fd, 4));
    TRY(write(TRY_FD(open("f", O_WRONLY | O_APPEND)), "+", 1));
    say_content("f");
    TRY(truncate("hard1", 3));
    say_content("hard2");
    TRY_FD(open("d/hard3", O_RDONLY | O_TRUNC));
    TRY(size_of("hard1"));
}

const struct battery_case *battery_lower_cases(void)
{
    static const struct battery_case cases[] = {
        {"t0", case_lower_reading},      {"t1", case_lower_writing},
        {"t2", case_lower_links},        {"t3", case_lower_removing},
        {"t4", case_lower_renaming},     {"t5", case_lower_attributes},
        {"t6", case_lower_mapping},      {"t7", case_lower_open_and_removed},
        {"t8", case_lower_rename_flags}, {"t9", case_lower_opaque},
        {"t10", case_lower_space},       {NULL, NULL},
    };

    return cases;
}

/* battery_names.c - names: open, mkdir, link, rename, symlink, mknod, listing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/battery.h"

static void case_long_names(void)
{
    char name[300];

    memset(name, 'n', sizeof(name));
    name[255] = '\0';
    TRY(mkdir(name, 0755));
    TRY(rename(name, "short"));
    TRY(rename("short", name));
    TRY(rmdir(name));
    name[255] = 'n';
    name[256] = '\0';
    TRY(mkdir(name, 0755));
    TRY(size_of(name));
    TRY(symlink("x", name));
    TRY_FD(open(name, O_CREAT | O_WRONLY, 0644));
    make_file("a", "");
    TRY(rename("a", name));
    TRY(link("a", name));
}

/* Any byte but "/" and NUL, the longest name there is. */
static void case_every_byte(void)
{
    char name[256];
    char back[256];
    size_t size = 0;
    struct dirent *entry;
    bool is_listed = false;
    DIR *dir;

    for (int byte = 1; byte < 256; byte++)
        if (byte != '/')
            name[size++] = (char)byte;
    name[size++] = 'x'; /* 255 bytes */
    name[size] = '\0';
    make_file(name, "content");
    dir = opendir(".");
    while ((entry = readdir(dir)))
        is_listed = is_listed || strcmp(entry->d_name, name) == 0;
    (void)closedir(dir);
    battery_say("%zu bytes, listed: %d", size, is_listed);
    TRY(size_of(name));
    TRY(symlink(name, "link"));
    TRY(readlink("link", back, sizeof(back)));
    TRY(rename(name, "plain"));
    TRY(link("plain", name));
    TRY(unlink(name));
    TRY(size_of(name));
}

static void case_odd_names(void)
{
    static const char *const names[] = {" ",    "\n",  "\xff\xfe", "-rf",
                                        "a\tb", "...", "\xc3\xa9", "*"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        TRY(mkdir(names[i], 0700));
        TRY(rmdir(names[i]));
    }
    TRY(mkdir("", 0755));
    TRY(mkdir(".", 0755));
    TRY(mkdir("..", 0755));
    TRY(rmdir("."));
    TRY(rmdir("missing/"));
    TRY(unlink("."));
    TRY(mkdir("d/", 0755));
    TRY(rmdir("d/"));
    make_file("f", "");
    TRY_FD(open("f/", O_RDONLY));
    TRY_FD(open("f/x", O_RDONLY));
    TRY_FD(open("g/", O_CREAT | O_WRONLY, 0644));
    TRY(unlink("f/"));
}

static void case_open_flags(void)
{
    int fd;

    make_file("f", "12345");
    TRY(mkdir("d", 0755));
    TRY(symlink("f", "to-f"));
    TRY(symlink("new", "to-new"));
    TRY_FD(open("f", O_CREAT | O_EXCL | O_WRONLY, 0644));
    TRY_FD(open("missing", O_RDONLY));
    TRY_FD(open("d", O_WRONLY));
    TRY_FD(open("d", O_RDONLY | O_CREAT, 0644));
    TRY_FD(open("f", O_RDONLY | O_DIRECTORY));
    TRY_FD(open("to-f", O_RDONLY | O_NOFOLLOW));
    TRY_FD(open("to-new", O_CREAT | O_EXCL | O_WRONLY, 0644));
    TRY_FD(open("to-new", O_CREAT | O_WRONLY, 0644));
    TRY(size_of("new"));
    TRY_FD(open("f", O_RDONLY | O_TRUNC));
    TRY(size_of("f"));
    fd = TRY_FD(open("none", O_CREAT | O_RDWR, 0));
    TRY(write(fd, "abc", 3));
    TRY(mode_of("none"));
    TRY(size_of("none"));
    fd = TRY_FD(open("f", O_PATH));
    TRY(read(fd, &fd, 1));
    fd = TRY_FD(open("f", O_WRONLY));
    TRY(read(fd, &fd, 1));
    fd = TRY_FD(open("f", O_RDONLY));
    TRY(write(fd, "x", 1));
}

static void case_umask(void)
{
    mode_t before = umask(027);

    TRY_FD(open("f", O_CREAT | O_WRONLY, 0666));
    TRY(mkdir("d", 0777));
    TRY(mknod("p", S_IFIFO | 0666, 0));
    TRY(mode_of("f"));
    TRY(mode_of("d"));
    TRY(mode_of("p"));
    umask(0);
    TRY_FD(open("g", O_CREAT | O_WRONLY, 06777));
    TRY(mkdir("e", 01777));
    TRY(mode_of("g"));
    TRY(mode_of("e"));
    umask(before);
}

static void case_directories(void)
{
    TRY(mkdir("d", 0755));
    TRY(mkdir("d", 0755));
    TRY(mkdir("d/e", 0755));
    TRY(mkdir("missing/e", 0755));
    make_file("f", "");
    TRY(mkdir("f", 0755));
    TRY(mkdir("f/e", 0755));
    TRY(rmdir("d"));
    TRY(rmdir("f"));
    TRY(unlink("d"));
    TRY(unlink("missing"));
    TRY(rmdir("missing"));
    TRY(rmdir("d/."));
    TRY(rmdir("d/e/.."));
    TRY(rmdir("d/e"));
    TRY(rmdir("d"));
    say_names(".");
}

static void case_links(void)
{
    int fd;

    make_file("a", "one");
    TRY(link("a", "b"));
    TRY(links_of("a"));
    TRY(same_inode("a", "b"));
    make_file("b", "changed");
    say_content("a");
    TRY(link("a", "b"));
    TRY(link("missing", "c"));
    TRY(mkdir("d", 0755));
    TRY(link("d", "e"));
    TRY(link("a", "missing/c"));
    TRY(symlink("a", "s"));
    TRY(link("s", "t"));
    TRY(same_inode("s", "t"));
    TRY(linkat(AT_FDCWD, "s", AT_FDCWD, "u", AT_SYMLINK_FOLLOW));
    TRY(links_of("a"));
    TRY(unlink("a"));
    TRY(links_of("b"));
    TRY(link("b", "a"));
    TRY(unlink("a"));
    TRY(unlink("u"));
    fd = TRY_FD(open("b", O_RDWR));
    TRY(unlink("b"));
    TRY(linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH));
    say_names(".");
    TRY(mknod("p", S_IFIFO | 0600, 0));
    TRY(link("p", "q"));
    TRY(links_of("q"));
}

static void case_rename_files(void)
{
    int fd;
    char bytes[8] = {0};

    make_file("a", "a");
    make_file("b", "bb");
    fd = TRY_FD(open("b", O_RDONLY));
    TRY(rename("a", "b"));
    TRY(size_of("a"));
    say_content("b");
    TRY(read(fd, bytes, sizeof(bytes)));
    battery_say("still '%s'", bytes);
    TRY(rename("missing", "b"));
    TRY(rename("b", "missing/b"));
    TRY(link("b", "c"));
    TRY(rename("b", "c"));
    say_names(".");
    TRY(unlink("c"));
    TRY(mkdir("d", 0755));
    TRY(rename("b", "d"));
    TRY(rename("d", "b"));
    TRY(rename("b", "d/b"));
    TRY(rename("d/b", "b/"));
    TRY(rename("d/b", "new/"));
    TRY(rename("d/b", "b"));
    TRY(rename("b", "b"));
    TRY(symlink("b", "s"));
    TRY(rename("s", "b"));
    say_names(".");
}

static void case_rename_directories(void)
{
    TRY(mkdir("a", 0755));
    TRY(mkdir("a/in", 0755));
    make_file("a/in/f", "x");
    TRY(rename("a", "b"));
    say_content("b/in/f");
    TRY(rename("b", "b/in/c"));
    TRY(rename("b/in", "b"));
    TRY(mkdir("e", 0755));
    TRY(rename("b", "e"));
    say_names("e");
    TRY(mkdir("g", 0755));
    make_file("g/full", "");
    TRY(rename("e", "g"));
    TRY(rename("e/in", "g/in"));
    say_names("g");
    TRY(rename(".", "h"));
    TRY(rename("g/in/.", "h"));
    TRY(rename("g", ".."));
    TRY(chdir("g/in"));
    TRY(rename("../../g", "../../h"));
    TRY(size_of("f"));
    TRY(chdir("../.."));
    say_names("h/in");
}

static void case_rename_flags(void)
{
    make_file("a", "a");
    make_file("b", "bb");
    TRY(mkdir("d", 0755));
    make_file("d/in", "");
    TRY(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
    TRY(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
    TRY(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE));
    say_content("b");
    say_content("c");
    TRY(renameat2(AT_FDCWD, "c", AT_FDCWD, "d", RENAME_EXCHANGE));
    say_names(".");
    say_names("c");
    TRY(renameat2(AT_FDCWD, "c", AT_FDCWD, "missing", RENAME_EXCHANGE));
    TRY(renameat2(AT_FDCWD, "c", AT_FDCWD, "c/in", RENAME_EXCHANGE));
    TRY(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE | RENAME_NOREPLACE));
    TRY(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", 64));
}

/* Overlays use it; a step that could would forge what only a removal may leave (SECURITY R27). */
static void case_rename_whiteout(void)
{
    make_file("w", "w");
    TRY(renameat2(AT_FDCWD, "w", AT_FDCWD, "moved", RENAME_WHITEOUT));
}

static void case_symlinks(void)
{
    char target[4200];
    char back[4200];

    TRY(symlink("somewhere/else", "s"));
    TRY(readlink("s", back, sizeof(back)));
    TRY(readlink("s", back, 4));
    TRY(size_of("s"));
    TRY(mode_of("s"));
    TRY(symlink("again", "s"));
    TRY(symlink("", "empty"));
    memset(target, 't', sizeof(target));
    target[4095] = '\0';
    TRY(symlink(target, "long"));
    TRY(readlink("long", back, sizeof(back)));
    target[4095] = 't';
    target[4096] = '\0';
    TRY(symlink(target, "longer"));
    TRY(symlink("loop", "loop"));
    TRY_FD(open("loop", O_RDONLY));
    TRY(symlink(".", "dot"));
    make_file("f", "x");
    say_content("dot/dot/dot/f");
    TRY(readlink("f", back, sizeof(back)));
    TRY(unlink("dot"));
    TRY(rmdir("s"));
    TRY(unlink("s"));
}

static void case_special_files(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "sock"};
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char bytes[16] = {0};

    TRY(mknod("p", S_IFIFO | 0640, 0));
    say_mode("p");
    TRY_FD(open("p", O_WRONLY | O_NONBLOCK));
    TRY_FD(open("p", O_RDONLY | O_NONBLOCK));
    TRY(mknod("s", S_IFSOCK | 0600, 0));
    say_mode("s");
    TRY_FD(open("s", O_RDONLY));
    TRY(mknod("f", S_IFREG | 0600, 0));
    say_mode("f");
    TRY(mknod("f", S_IFIFO | 0600, 0));
    TRY(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
    TRY(mknod("disk", S_IFBLK | 0666, makedev(8, 0)));
    TRY(connect(client, (struct sockaddr *)&address, sizeof(address)));
    TRY(bind(server, (struct sockaddr *)&address, sizeof(address)));
    TRY(bind(client, (struct sockaddr *)&address, sizeof(address)));
    TRY(listen(server, 1));
    TRY(connect(client, (struct sockaddr *)&address, sizeof(address)));
    TRY(write(client, "hello", 5));
    TRY(read(TRY_FD(accept4(server, NULL, NULL, SOCK_CLOEXEC)), bytes, sizeof(bytes)));
    battery_say("'%s'", bytes);
    TRY(rename("sock", "moved"));
    TRY(rename("moved", "sock"));
    TRY(unlink("sock"));
    TRY(mkdir("d", 0755));
    TRY(truncate("p", 0));
    say_names(".");
}

/* What a listing shows of names that come and go under it is open, but those that stay are shown
 * once, and places remembered stay good (POSIX readdir, seekdir). */
static void case_listing(void)
{
    char name[32];
    char after[64] = "";
    unsigned count = 0;
    unsigned odd = 0;
    struct dirent *entry;
    long place = 0;
    DIR *dir;

    for (int i = 0; i < 600; i++) {
        (void)snprintf(name, sizeof(name), "file-%03d", i);
        make_file(name, "");
    }
    dir = opendir(".");
    while ((entry = readdir(dir))) {
        struct stat st;

        count++;
        if (count == 300) {
            place = telldir(dir);
            entry = readdir(dir);
            (void)snprintf(after, sizeof(after), "%.60s", entry->d_name);
            count++;
        }
        if (lstat(entry->d_name, &st) == 0 && strcmp(entry->d_name, "..") != 0)
            odd += entry->d_ino != st.st_ino;
    }
    battery_say("%u names, %u with another inode", count, odd);
    seekdir(dir, place);
    entry = readdir(dir);
    battery_say("the same place: %d", entry && strcmp(entry->d_name, after) == 0);
    make_file("new", "");
    rewinddir(dir);
    for (count = 0; readdir(dir); count++)
        continue;
    battery_say("%u names after a rewind", count);
    (void)closedir(dir);
}

static void case_listing_while_removing(void)
{
    char name[32];
    unsigned removed = 0;
    struct dirent *entry;
    DIR *dir;

    TRY(mkdir("d", 0755));
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof(name), "d/file-%04d", i);
        make_file(name, "");
    }
    dir = opendir("d");
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.' && unlinkat(dirfd(dir), entry->d_name, 0) == 0)
            removed++;
    (void)closedir(dir);
    battery_say("removed %u", removed);
    TRY(rmdir("d"));
}

static void case_removed_directory(void)
{
    int fd;

    TRY(mkdir("d", 0755));
    fd = TRY_FD(open("d", O_RDONLY | O_DIRECTORY));
    TRY(chdir("d"));
    TRY(rmdir("../d"));
    TRY_FD(open("f", O_CREAT | O_WRONLY, 0644));
    TRY(mkdir("e", 0755));
    TRY(symlink("x", "s"));
    TRY_FD(openat(fd, ".", O_RDONLY));
    say_names(".");
    TRY(size_of("f"));
    TRY(chdir(".."));
    TRY(fchdir(fd));
}

static void case_anonymous_files(void)
{
    char path[64];
    struct stat st;
    int fd = TRY_FD(open(".", O_TMPFILE | O_RDWR, 0640));

    TRY(write(fd, "anonymous", 9));
    TRY(fstat(fd, &st));
    battery_say("%o, %ld links", st.st_mode, (long)st.st_nlink);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    TRY(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    say_content("named");
    TRY(links_of("named"));
    TRY(linkat(AT_FDCWD, path, AT_FDCWD, "twice", AT_SYMLINK_FOLLOW));
    TRY(links_of("named"));
    fd = TRY_FD(open(".", O_TMPFILE | O_EXCL | O_RDWR, 0600));
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    TRY(linkat(AT_FDCWD, path, AT_FDCWD, "never", AT_SYMLINK_FOLLOW));
    TRY_FD(open(".", O_TMPFILE | O_RDONLY, 0600));
    TRY_FD(open("missing", O_TMPFILE | O_RDWR, 0600));
}

/* linkat(2), AT_EMPTY_PATH; what it was in the meantime is kept. */
static void case_anonymous_file_with_all(void)
{
    struct stat st;
    char value[8] = {0};
    int fd = TRY_FD(open(".", O_TMPFILE | O_RDWR, 0600));

    TRY(pwrite(fd, "far", 3, 100000));
    TRY(fsetxattr(fd, "user.a", "kept", 4, 0));
    TRY(fchmod(fd, 04711));
    TRY(ftruncate(fd, 100002));
    TRY(linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
    TRY(lstat("named", &st));
    battery_say("%o, %ld bytes, %ld links", st.st_mode, (long)st.st_size, (long)st.st_nlink);
    TRY(getxattr("named", "user.a", value, sizeof(value)));
    TRY(linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
    TRY(unlink("named"));
    TRY(linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH)); /* what had a name and lost it is gone */
}

static void case_unlinked_files(void)
{
    struct stat st;
    char bytes[32] = {0};
    int fd;

    make_file("f", "content");
    fd = TRY_FD(open("f", O_RDWR));
    TRY(unlink("f"));
    TRY(fstat(fd, &st));
    battery_say("%ld links, %ld bytes", (long)st.st_nlink, (long)st.st_size);
    make_file("f", "another");
    TRY(pread(fd, bytes, sizeof(bytes), 0));
    TRY(pwrite(fd, "more", 4, 7));
    TRY(pread(fd, bytes, sizeof(bytes), 0));
    battery_say("'%s'", bytes);
    TRY(ftruncate(fd, 3));
    TRY(fchmod(fd, 0600));
    TRY(fstat(fd, &st));
    battery_say("%o, %ld bytes", st.st_mode, (long)st.st_size);
    say_content("f");
}

const struct battery_case *battery_name_cases(void)
{
    static const struct battery_case cases[] = {
        {"long names", case_long_names},
        {"odd names", case_odd_names},
        {"every byte", case_every_byte},
        {"flags of open", case_open_flags},
        {"umask", case_umask},
        {"directories", case_directories},
        {"links", case_links},
        {"rename of files", case_rename_files},
        {"rename of directories", case_rename_directories},
        {"flags of rename", case_rename_flags},
        {"rename with a whiteout", case_rename_whiteout},
        {"symlinks", case_symlinks},
        {"special files", case_special_files},
        {"listing", case_listing},
        {"listing while removing", case_listing_while_removing},
        {"a removed directory", case_removed_directory},
        {"anonymous files", case_anonymous_files},
        {"an anonymous file with all", case_anonymous_file_with_all},
        {"unlinked files", case_unlinked_files},
        {NULL, NULL},
    };

    return cases;
}

/* battery.c - what the cases of the battery share. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/mount/battery.h"

long battery_report(const char *expression, long value)
{
    if (value < 0)
        printf("%s: %s\n", expression, strerrorname_np(errno));
    else
        printf("%s: %ld\n", expression, value);
    return value;
}

int battery_report_fd(const char *expression, int fd)
{
    printf("%s: %s\n", expression, fd < 0 ? strerrorname_np(errno) : "open");
    return fd;
}

void battery_say(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
}

static _Noreturn void give_up(const char *what, const char *path)
{
    printf("cannot %s '%s': %s\n", what, path, strerror(errno));
    fflush(stdout);
    _exit(1);
}

void make_file(const char *path, const char *content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || write(fd, content, strlen(content)) != (ssize_t)strlen(content) ||
        fchmod(fd, 0644) < 0 || close(fd) < 0)
        give_up("write", path);
}

long size_of(const char *path)
{
    struct stat st;

    return lstat(path, &st) < 0 ? -1 : (long)st.st_size;
}

long mode_of(const char *path)
{
    struct stat st;

    return lstat(path, &st) < 0 ? -1 : (long)(st.st_mode & 07777);
}

long links_of(const char *path)
{
    struct stat st;

    return lstat(path, &st) < 0 ? -1 : (long)st.st_nlink;
}

bool same_inode(const char *a, const char *b)
{
    struct stat first;
    struct stat second;

    return lstat(a, &first) == 0 && lstat(b, &second) == 0 && first.st_ino == second.st_ino &&
           first.st_dev == second.st_dev;
}

void say_mode(const char *path)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        printf("%s: %s\n", path, strerrorname_np(errno));
    else
        printf("%s: %06o %u:%u\n", path, st.st_mode, st.st_uid, st.st_gid);
}

void say_content(const char *path)
{
    char bytes[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

    if (size < 0) {
        printf("%s: %s\n", path, strerrorname_np(errno));
    } else {
        for (ssize_t i = 0; i < size; i++)
            if (bytes[i] == '\0')
                bytes[i] = '.';
        printf("%s: '%.*s' of %ld\n", path, (int)size, bytes, size_of(path));
    }
    if (fd >= 0)
        (void)close(fd);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char type_letter(unsigned char type)
{
    switch (type) {
    case DT_REG:
        return 'f';
    case DT_DIR:
        return 'd';
    case DT_LNK:
        return 'l';
    case DT_FIFO:
        return 'p';
    case DT_SOCK:
        return 's';
    default:
        return '?';
    }
}

void say_names(const char *directory)
{
    char *names[512];
    size_t count = 0;
    struct dirent *entry;
    DIR *dir = opendir(directory);

    if (!dir) {
        printf("%s: %s\n", directory, strerrorname_np(errno));
        return;
    }
    while (count < 512 && (entry = readdir(dir)))
        if (asprintf(&names[count], "%s=%c", entry->d_name, type_letter(entry->d_type)) > 0)
            count++;
    (void)closedir(dir);
    qsort(names, count, sizeof(names[0]), by_name);
    printf("%s:", directory);
    for (size_t i = 0; i < count; i++) {
        printf(" %s", names[i]);
        free(names[i]);
    }
    printf("\n");
}

void as_user(unsigned id, void (*fn)(void))
{
    pid_t pid;
    int status;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
            give_up("become", "another user");
        fn();
        fflush(stdout);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
        printf("the other user's part failed\n");
}

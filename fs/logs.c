/* logs.c - the directories of build logs: numbering, bounds, locks. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/logs.h"
#include "fs/store_internal.h"

#include "fs/base/banned.h"

#define NAME_MAX_SIZE 21 /* 64 bits in decimal, and a NUL */
#define NUMBER_MAX 999999999999ull
#define TRIES 100 /* others may take a number at the same time */

void log_list_release(struct log_list *list)
{
    free(list->items);
    *list = (struct log_list){0};
}

/* -1 and -ENOENT in *code when there are none yet. */
static int open_top(const struct store *store, bool create, struct error *err)
{
    int fd;

    if (!create && faccessat(store->dirs[STORE_ROOT], "logs", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, ENOENT, "there are no logs in '%s'", store->path);
    fd = io_open_private_dir(store->dirs[STORE_ROOT], "logs", create, err);
    return fd < 0 ? error_wrap(err, "cannot use '%s/logs'", store->path) : fd;
}

static void name_of(uint64_t number, char name[NAME_MAX_SIZE])
{
    (void)snprintf(name, NAME_MAX_SIZE, "%ju", (uintmax_t)number); /* always fits */
}

/* Its own blocks and those of the files in it. */
static void measure(int top_fd, const char *name, struct log_entry *out)
{
    auto_close int fd = openat(top_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int list_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = list_fd < 0 ? NULL : fdopendir(list_fd);
    const struct dirent *entry;

    if (dir == NULL) {
        cleanup_close_fd(&list_fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        int64_t changed_ns;
        struct stat st;

        if (strcmp(entry->d_name, "..") == 0 ||
            fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        out->size_bytes += (uint64_t)st.st_blocks * 512;
        changed_ns = io_time_ns(st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        if (changed_ns > out->changed_ns)
            out->changed_ns = changed_ns;
    }
    (void)closedir(dir); /* it was only read */
}

static int compare_entries(const void *a, const void *b)
{
    uint64_t x = ((const struct log_entry *)a)->number;
    uint64_t y = ((const struct log_entry *)b)->number;

    return x < y ? -1 : x > y;
}

static int list(const struct store *store, int top_fd, struct log_list *out, struct error *err)
{
    int fd = fcntl(top_fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (dir == NULL) {
        cleanup_close_fd(&fd);
        return error_errno(err, "cannot list '%s/logs'", store->path);
    }
    rewinddir(dir); /* the descriptor shares its place with the one it was made of */
    while ((entry = readdir(dir)) != NULL) {
        struct log_entry found = {0};

        /* What has another name is not ours. */
        if (!text_to_u64(entry->d_name, NUMBER_MAX, &found.number) || found.number == 0)
            continue;
        measure(top_fd, entry->d_name, &found);
        *array_add(out) = found;
    }
    (void)closedir(dir); /* it was only read */
    if (out->count > 1)
        qsort(out->items, out->count, sizeof(*out->items), compare_entries);
    return 0;
}

int logs_list(struct store *store, struct log_list *out, struct error *err)
{
    auto_log_list struct log_list found = {0};
    auto_close int top_fd = open_top(store, false, err);
    int r = top_fd < 0 ? top_fd : list(store, top_fd, &found, err);

    if (r == -ENOENT) {
        error_clear(err);
        return 0;
    }
    if (r < 0)
        return r;
    *out = STEAL(&found);
    return 0;
}

int logs_open(struct store *store, uint64_t number, int *fd, struct error *err)
{
    auto_close int top_fd = open_top(store, false, err);
    char name[NAME_MAX_SIZE];

    if (top_fd < 0)
        return top_fd;
    name_of(number, name);
    *fd = openat(top_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0 && errno == ENOENT)
        return error_set(err, ENOENT, "there is no log of a build %s", name);
    return *fd < 0 ? error_errno(err, "cannot open '%s/logs/%s'", store->path, name) : 0;
}

static int remove_one(int top_fd, uint64_t number)
{
    auto_close int fd = -1;
    char name[NAME_MAX_SIZE];

    name_of(number, name);
    fd = openat(top_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    return io_remove_tree(top_fd, name);
}

int logs_remove(struct store *store, uint64_t number)
{
    struct error ignored = {0};
    auto_close int top_fd = open_top(store, false, &ignored);

    if (top_fd < 0)
        return top_fd == -ENOENT ? 0 : top_fd;
    return remove_one(top_fd, number);
}

/* Makes room for one more. */
static void remove_old(int top_fd, const struct log_list *logs)
{
    size_t left = logs->count;
    uint64_t size = 0;

    for (size_t i = 0; i < logs->count; i++)
        size += logs->items[i].size_bytes;
    for (size_t i = 0; i < logs->count && (left >= LOGS_COUNT_MAX || size > LOGS_SIZE_MAX); i++) {
        int r = remove_one(top_fd, logs->items[i].number);

        if (r < 0 && r != -EBUSY)
            log_debug("cannot remove the log %ju: %s", (uintmax_t)logs->items[i].number,
                      strerror(-r));
        size -= logs->items[i].size_bytes;
        left--;
    }
}

int logs_create(struct store *store, uint64_t *number, int *fd, struct error *err)
{
    auto_log_list struct log_list logs = {0};
    auto_close int top_fd = open_top(store, true, err);
    auto_close int made = -1;
    char name[NAME_MAX_SIZE];
    int r = top_fd < 0 ? top_fd : list(store, top_fd, &logs, err);

    if (r < 0)
        return r;
    remove_old(top_fd, &logs);
    *number = logs.count == 0 ? 1 : logs.items[logs.count - 1].number + 1;
    for (unsigned tries = 0; tries < TRIES; tries++) {
        name_of(*number, name);
        if (mkdirat(top_fd, name, 0700) == 0)
            break;
        if (errno != EEXIST)
            return error_errno(err, "cannot make '%s/logs/%s'", store->path, name);
        ++*number;
    }
    made = openat(top_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (made < 0 || flock(made, LOCK_SH | LOCK_NB) < 0)
        return error_errno(err, "cannot use '%s/logs/%s'", store->path, name);
    *fd = steal_fd(&made);
    return 0;
}

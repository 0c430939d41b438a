/* store_mirror.c - STATE/git: directories that are locked while they are used, and collected. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/gc_internal.h"
#include "fs/store_mirror.h"

#include "fs/base/banned.h"

#define DIR_NAME "git"
#define BUSY_NAME "img-busy"
#define LOCK_POLL_MS 50 /* a lock gives no event to wait for together with others */

struct store_mirror {
    char *path;
    int fd; /* of the directory, locked */
    bool is_new;
    bool is_abandoned;
};

void store_mirror_close(struct store_mirror *m)
{
    if (m == NULL)
        return;
    if (m->fd >= 0) {
        if (!m->is_abandoned)
            (void)unlinkat(m->fd, BUSY_NAME, 0); /* left behind, it empties the mirror: no harm */
        close(m->fd);
    }
    free(m->path);
    free(m);
}

void store_mirror_abandon(struct store_mirror *m)
{
    m->is_abandoned = true;
}

const char *store_mirror_path(const struct store_mirror *m)
{
    return m->path;
}

bool store_mirror_is_new(const struct store_mirror *m)
{
    return m->is_new;
}

static int lock_mirror(const struct store_mirror *m, const atomic_bool *stop, struct error *err)
{
    while (flock(m->fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_errno(err, "cannot lock '%s'", m->path);
        if (stop != NULL && atomic_load(stop))
            return error_set(err, ECANCELED, "canceled");
        (void)poll(NULL, 0, LOCK_POLL_MS); /* cut short by a signal, it looks sooner */
    }
    return 0;
}

/* Removes all in it; the directory itself is locked and stays. */
static int empty(const struct store_mirror *m, struct error *err)
{
    int own = openat(m->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    const struct dirent *d;
    int r = 0;

    if (dir == NULL) {
        r = error_errno(err, "cannot list '%s'", m->path);
        cleanup_close_fd(&own);
        return r;
    }
    while (r == 0 && (d = readdir(dir)) != NULL)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            r = io_remove_tree(m->fd, d->d_name);
    (void)closedir(dir); /* it was only read */
    return r < 0 ? error_set(err, -r, "cannot empty '%s': %s", m->path, strerror(-r)) : 0;
}

static int begin_use(struct store_mirror *m, struct error *err)
{
    auto_close int busy = -1;
    struct stat st;
    int r = 0;

    if (fstatat(m->fd, BUSY_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0)
        r = empty(m, err);
    if (r < 0)
        return r;
    m->is_new = fstatat(m->fd, "HEAD", &st, AT_SYMLINK_NOFOLLOW) < 0;
    busy = openat(m->fd, BUSY_NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return busy < 0 ? error_errno(err, "cannot write to '%s'", m->path) : 0;
}

static int note_use(struct store *store, const struct digest *id, const char *description,
                    struct error *err)
{
    auto_cache_row struct cache_row row = {0};
    int r = store_cache_get(store, id, &row, err);

    if (r == 0)
        return store_cache_touch(store, id, 1, err);
    if (r != -ENOENT)
        return r;
    error_clear(err);
    cache_row_release(&row);
    row = (struct cache_row){.key = *id, .description = str_format("mirror of %s", description)};
    return store_cache_put(store, &row, err);
}

int store_mirror_open(struct store *store, const struct digest *id, const char *description,
                      const atomic_bool *stop, struct store_mirror **out, struct error *err)
{
    auto_store_mirror struct store_mirror *m = mem_new(struct store_mirror);
    auto_close int parent = io_open_private_dir(store->dirs[STORE_ROOT], DIR_NAME, true, err);
    auto_free char *root = realpath(store->path, NULL);
    char name[DIGEST_HEX_SIZE];
    int r;

    m->fd = -1;
    if (parent < 0)
        return parent;
    if (root == NULL)
        return error_errno(err, "cannot find '%s'", store->path);
    digest_format_hex(id, name);
    m->path = str_format("%s/" DIR_NAME "/%s", root, name);
    m->fd = io_open_private_dir(parent, name, true, err);
    r = m->fd < 0 ? m->fd : lock_mirror(m, stop, err);
    if (r == 0)
        r = begin_use(m, err);
    if (r == 0)
        r = note_use(store, id, description, err);
    if (r == 0)
        *out = STEAL(&m);
    return r;
}

/* ---- accounting and collection ---- */

static uint64_t count_blocks(int dir_fd, const char *name, unsigned depth)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *d;
    uint64_t total = 0;
    struct stat st;

    if (dir == NULL) {
        cleanup_close_fd(&fd);
        return 0;
    }
    if (fstat(fd, &st) == 0)
        total = (uint64_t)st.st_blocks * 512;
    while ((d = readdir(dir)) != NULL) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
            fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISDIR(st.st_mode))
            total += depth == 0 ? 0 : count_blocks(fd, d->d_name, depth - 1);
        else
            total += (uint64_t)st.st_blocks * 512;
    }
    (void)closedir(dir); /* it was only read */
    return total;
}

#define MIRROR_DEPTH_MAX 64u /* of directories; refs of a repository nest as their names do */

int mirrors_open(struct store *store)
{
    return openat(store->dirs[STORE_ROOT], DIR_NAME,
                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

uint64_t mirror_disk_bytes(int mirrors_fd, const struct digest *id)
{
    char name[DIGEST_HEX_SIZE];

    digest_format_hex(id, name);
    return mirrors_fd < 0 ? 0 : count_blocks(mirrors_fd, name, MIRROR_DEPTH_MAX);
}

int mirrors_find_dead(struct store *store, struct strv *names, uint64_t *disk_bytes,
                      struct error *err)
{
    int fd = mirrors_open(store);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *d;
    int r = 0;

    if (dir == NULL) {
        cleanup_close_fd(&fd);
        return 0;
    }
    while (r == 0 && (d = readdir(dir)) != NULL) {
        auto_cache_row struct cache_row row = {0};
        struct error ignored;
        struct digest id;

        if (digest_parse_hex(d->d_name, &id, &ignored) < 0)
            continue;
        r = store_cache_get(store, &id, &row, err);
        if (r != -ENOENT)
            continue;
        error_clear(err);
        r = 0;
        strv_add(names, d->d_name);
        *disk_bytes += count_blocks(fd, d->d_name, MIRROR_DEPTH_MAX);
    }
    (void)closedir(dir); /* it was only read */
    return r;
}

bool mirrors_remove(struct store *store, const struct strv *names)
{
    auto_close int fd = names->count == 0 ? -1 : mirrors_open(store);
    bool is_complete = true;

    for (size_t i = 0; i < names->count; i++)
        is_complete = (fd >= 0 && io_remove_tree(fd, names->items[i]) == 0) && is_complete;
    return is_complete;
}

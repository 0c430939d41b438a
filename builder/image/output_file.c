/* output_file.c - nameless, then linked; else a name of its own, then renamed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/image/output_file.h"
#include "fs/base/io.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define WRITEBACK_SIZE (16ull << 20)
#define TRIES 16

static int write_bytes(struct writer *w, const void *bytes, size_t size, struct error *err)
{
    struct output_file *f = (struct output_file *)(void *)w;
    int r = io_write_full(f->fd, bytes, size);

    if (r < 0) {
        errno = -r;
        return error_errno(err, "cannot write '%s'", f->path);
    }
    f->size += size;
    if (f->dir_fd < 0 || f->size - f->started < WRITEBACK_SIZE)
        return 0;
    /* The disk begins now, so that the fsync at the end is short; where the hint is not known, that
     * takes longer. */
    (void)sync_file_range(f->fd, (off64_t)f->started, (off64_t)(f->size - f->started),
                          SYNC_FILE_RANGE_WRITE);
    f->started = f->size;
    return 0;
}

static char *random_name(const char *name)
{
    uint64_t number = 0;

    (void)!getrandom(&number, sizeof(number), 0); /* O_EXCL and another try do the rest */
    return str_format(".%s.%012llx", name, (unsigned long long)number & 0xffffffffffff);
}

static int open_temporary(struct output_file *f, struct error *err)
{
    f->fd = openat(f->dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    for (unsigned i = 0; f->fd < 0 && i < TRIES; i++) {
        free(f->temporary);
        f->temporary = random_name(f->name);
        f->fd = openat(f->dir_fd, f->temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
        if (f->fd < 0 && errno != EEXIST)
            break;
    }
    if (f->fd >= 0)
        return 0;
    error_errno(err, "cannot write '%s'", f->path);
    free(STEAL(&f->temporary)); /* it was not made */
    return -err->code;
}

static int open_path(struct output_file *f, struct error *err)
{
    auto_free char *dir = path_join(f->path, "..");
    struct stat st;

    if (stat(f->path, &st) == 0 && !S_ISREG(st.st_mode)) {
        if (S_ISDIR(st.st_mode))
            return error_set(err, EISDIR, "cannot write '%s': it is a directory", f->path);
        f->fd = open(f->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return f->fd < 0 ? error_errno(err, "cannot write '%s'", f->path) : 0;
    }
    f->name = path_base(f->path);
    /* A relative path without a slash has its directory in "."; path_join knows. */
    f->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->dir_fd < 0)
        return error_errno(err, "cannot write '%s'", f->path);
    return open_temporary(f, err);
}

int output_file_open(struct output_file *out, const char *path, struct error *err)
{
    int r;

    *out = (struct output_file){.writer.write = write_bytes, .fd = -1, .dir_fd = -1};
    if (path == NULL || strcmp(path, "-") == 0) {
        out->path = mem_strdup("standard output");
        out->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        r = out->fd < 0 ? error_errno(err, "cannot use standard output") : 0;
    } else {
        out->path = path_clean(path);
        r = open_path(out, err);
    }
    if (r < 0)
        output_file_release(out);
    return r;
}

int output_file_open_at(struct output_file *out, int dir_fd, const char *name, struct error *err)
{
    auto_free char *dir = path_join(name, "..");
    int r;

    *out = (struct output_file){.writer.write = write_bytes, .fd = -1, .dir_fd = -1};
    out->path = mem_strdup(name);
    out->name = path_base(out->path);
    out->dir_fd = io_open_beneath(dir_fd, dir, O_RDONLY | O_DIRECTORY, 0);
    if (out->dir_fd < 0)
        r = error_set(err, -out->dir_fd, "cannot write '%s': %s", name, strerror(-out->dir_fd));
    else
        r = open_temporary(out, err);
    if (r < 0)
        output_file_release(out);
    return r;
}

/* Gives a nameless file a name: its own if that is free, else one to be renamed. 1: it has its own. */
static int link_nameless(struct output_file *f)
{
    char self[32];

    snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
    if (linkat(AT_FDCWD, self, f->dir_fd, f->name, AT_SYMLINK_FOLLOW) == 0)
        return 1;
    for (unsigned i = 0; errno == EEXIST && i < TRIES; i++) {
        free(f->temporary);
        f->temporary = random_name(f->name);
        if (linkat(AT_FDCWD, self, f->dir_fd, f->temporary, AT_SYMLINK_FOLLOW) == 0)
            return 0;
    }
    free(STEAL(&f->temporary));
    return -errno;
}

int output_file_finish(struct output_file *f, struct error *err)
{
    int r = 0;

    if (f->dir_fd >= 0) {
        if (fsync(f->fd) < 0)
            return error_errno(err, "cannot write '%s'", f->path);
        if (f->temporary == NULL)
            r = link_nameless(f);
        if (r == 0 && renameat(f->dir_fd, f->temporary, f->dir_fd, f->name) < 0)
            r = -errno;
        if (r < 0)
            return error_set(err, -r, "cannot write '%s': %s", f->path, strerror(-r));
        free(STEAL(&f->temporary));
        if (fsync(f->dir_fd) < 0)
            return error_errno(err, "cannot make '%s' durable", f->path);
    }
    if (close(steal_fd(&f->fd)) < 0 && errno != EINTR) /* some tell of a failed write only now */
        return error_errno(err, "cannot write '%s'", f->path);
    return 0;
}

int output_file_put(const char *path, const void *bytes, size_t size, struct error *err)
{
    auto_free char *named = str_format("%s%s", strcmp(path, "-") == 0 ? "./" : "", path);
    auto_output_file struct output_file file;
    int r = output_file_open(&file, named, err);

    if (r < 0)
        return r; /* nothing to release, and releasing it does no harm */
    r = writer_write(&file.writer, bytes, size, err);
    return r < 0 ? r : output_file_finish(&file, err);
}

void output_file_release(struct output_file *f)
{
    if (f->temporary != NULL)
        (void)unlinkat(f->dir_fd, f->temporary, 0); /* nothing better to do */
    free(STEAL(&f->temporary));
    cleanup_close_fd(&f->fd);
    cleanup_close_fd(&f->dir_fd);
    free(STEAL(&f->path));
}

/* mirror.c - the high-level libfuse API over plain *at calls. */
#define FUSE_USE_VERSION 35

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fuse.h>

#include "tests/build/mirror.h"

/* libfuse's high-level half drops a few bytes per aborted connection; they are not ours. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfuse3";
}

struct mirror {
    int root_fd;
    struct fuse *fuse;
    pthread_t thread;
};

static int root_fd(void)
{
    return ((struct mirror *)fuse_get_context()->private_data)->root_fd;
}

static const char *relative(const char *path)
{
    return path[1] ? path + 1 : ".";
}

static int answer(long result)
{
    return result < 0 ? -errno : 0;
}

static int op_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    (void)fi;
    if (fstatat(root_fd(), relative(path), st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    st->st_uid = 0;
    st->st_gid = 0;
    return 0;
}

static int op_readlink(const char *path, char *target, size_t size)
{
    ssize_t n = readlinkat(root_fd(), relative(path), target, size - 1);

    if (n < 0)
        return -errno;
    target[n] = '\0';
    return 0;
}

static int op_mkdir(const char *path, mode_t mode)
{
    return answer(mkdirat(root_fd(), relative(path), mode));
}

static int op_unlink(const char *path)
{
    return answer(unlinkat(root_fd(), relative(path), 0));
}

static int op_rmdir(const char *path)
{
    return answer(unlinkat(root_fd(), relative(path), AT_REMOVEDIR));
}

static int op_symlink(const char *target, const char *path)
{
    return answer(symlinkat(target, root_fd(), relative(path)));
}

static int op_rename(const char *from, const char *to, unsigned flags)
{
    return answer(renameat2(root_fd(), relative(from), root_fd(), relative(to), flags));
}

static int op_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
    (void)fi;
    return answer(fchmodat(root_fd(), relative(path), mode, 0));
}

static int op_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
    (void)path;
    (void)uid;
    (void)gid;
    (void)fi;
    return 0;
}

static int op_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
    auto_close int fd = openat(root_fd(), relative(path), O_WRONLY | O_CLOEXEC);

    (void)fi;
    return fd < 0 ? -errno : answer(ftruncate(fd, size));
}

static int op_open(const char *path, struct fuse_file_info *fi)
{
    int fd = openat(root_fd(), relative(path), (fi->flags & ~O_NOFOLLOW) | O_CLOEXEC);

    fi->fh = (uint64_t)fd;
    return answer(fd);
}

static int op_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
    int fd = openat(root_fd(), relative(path), fi->flags | O_CREAT | O_CLOEXEC, mode);

    fi->fh = (uint64_t)fd;
    return answer(fd);
}

static int op_read(const char *path, char *buf, size_t size, off_t at, struct fuse_file_info *fi)
{
    ssize_t n = pread((int)fi->fh, buf, size, at);

    (void)path;
    return n < 0 ? -errno : (int)n;
}

static int op_write(const char *path, const char *buf, size_t size, off_t at,
                    struct fuse_file_info *fi)
{
    ssize_t n = pwrite((int)fi->fh, buf, size, at);

    (void)path;
    return n < 0 ? -errno : (int)n;
}

static int op_release(const char *path, struct fuse_file_info *fi)
{
    (void)path;
    return answer(close((int)fi->fh));
}

static int op_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t offset,
                      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
    DIR *dir = fdopendir(openat(root_fd(), relative(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC));

    (void)offset;
    (void)fi;
    (void)flags;
    if (!dir)
        return -errno;
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        (void)fill(buf, e->d_name, NULL, 0, 0);
    return answer(closedir(dir));
}

static void *op_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    (void)connection;
    config->kernel_cache = 1;
    config->entry_timeout = config->attr_timeout = config->negative_timeout = 3600;
    return fuse_get_context()->private_data;
}

static void *serve(void *argument)
{
    struct mirror *m = argument;

    (void)fuse_loop(m->fuse); /* ends with the mount */
    return NULL;
}

struct mirror *mirror_serve(const char *directory, int fuse_fd)
{
    static const struct fuse_operations operations = {
        .getattr = op_getattr,
        .readlink = op_readlink,
        .mkdir = op_mkdir,
        .unlink = op_unlink,
        .rmdir = op_rmdir,
        .symlink = op_symlink,
        .rename = op_rename,
        .chmod = op_chmod,
        .chown = op_chown,
        .truncate = op_truncate,
        .open = op_open,
        .create = op_create,
        .read = op_read,
        .write = op_write,
        .release = op_release,
        .readdir = op_readdir,
        .init = op_init,
    };
    char name[] = "mirror";
    char *argv[] = {name, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    struct mirror *m = mem_new(struct mirror);
    char where[32];

    m->root_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    m->fuse = fuse_new(&args, &operations, sizeof(operations), m);
    fuse_opt_free_args(&args);
    (void)snprintf(where, sizeof(where), "/dev/fd/%d", fuse_fd);
    fuse_opt_free_args(&args);
    if (!m->fuse || fuse_mount(m->fuse, where) < 0)
        abort();
    if (pthread_create(&m->thread, NULL, serve, m) != 0)
        abort();
    return m;
}

void mirror_stop(struct mirror *m)
{
    if (!m)
        return;
    pthread_join(m->thread, NULL);
    fuse_destroy(m->fuse);
    close(m->root_fd);
    free(m);
}

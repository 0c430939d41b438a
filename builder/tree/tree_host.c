/* tree_host.c - a directory of the host as a tree.
 *
 * Every open goes beneath one directory descriptor and follows no link: a path that was resolved and
 * then swapped for a link is an error, never an escape.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "builder/tree/statcache.h"
#include "builder/tree/tree.h"
#include "builder/tree/tree_internal.h"
#include "fs/base/io.h"
#include "fs/union.h"
#include "fs/view.h"

#include "fs/base/banned.h"

struct host_tree {
    struct tree tree;
    int fd;
    struct statcache *cache; /* borrowed, may be NULL */
    int64_t opened_ns;       /* wall clock */
};

static struct host_tree *host_of(struct tree *t)
{
    return (struct host_tree *)(void *)t;
}

static int64_t timespec_ns(const struct timespec *ts)
{
    return io_time_ns(ts->tv_sec, ts->tv_nsec);
}

static int read_link(int dir_fd, const char *name, char **out)
{
    char target[PATH_MAX];
    ssize_t size = readlinkat(dir_fd, name, target, sizeof(target));

    if (size < 0)
        return -errno;
    if ((size_t)size == sizeof(target))
        return -ENAMETOOLONG;
    *out = mem_strndup(target, (size_t)size);
    return 0;
}

/* Fills all but the path. `dir_fd` and `name` serve to read a link. */
static int node_from_stat(int dir_fd, const char *name, const struct stat *st,
                          struct tree_node *out)
{
    out->meta = (struct entry_meta){
        .type = entry_type_from_mode(st->st_mode),
        .mode = st->st_mode & 07777,
        .mtime_ns = timespec_ns(&st->st_mtim),
        .size_bytes = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
        .rdev_major = major(st->st_rdev),
        .rdev_minor = minor(st->st_rdev),
    };
    out->device = st->st_dev;
    out->inode = st->st_ino;
    out->link_count = S_ISREG(st->st_mode) ? (uint32_t)st->st_nlink : 1;
    out->ctime_ns = timespec_ns(&st->st_ctim);
    if (!S_ISLNK(st->st_mode))
        return 0;
    out->meta.mode = 0777;
    return read_link(dir_fd, name, &out->target);
}

static int report(struct tree *t, const char *path, int code, struct error *err)
{
    if (code == -ENOENT)
        return error_set(err, ENOENT, "\"/%s\": not found", path);
    return error_set(err, -code, "cannot read '%s' in %s: %s", path, t->label, strerror(-code));
}

static int host_stat(struct tree *t, const char *path, struct tree_node *out, struct error *err)
{
    struct host_tree *h = host_of(t);
    auto_free char *parent = mem_strdup(path);
    char *slash = strrchr(parent, '/');
    const char *name = slash == NULL ? path : path + (slash - parent) + 1;
    auto_close int parent_fd = -1;
    struct tree_node node = {0};
    struct stat st;
    int dir_fd = h->fd;
    int r;

    if (slash != NULL) {
        *slash = '\0';
        parent_fd = io_open_beneath(h->fd, parent, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
        if (parent_fd < 0)
            return report(t, path, parent_fd, err);
        dir_fd = parent_fd;
    }
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
        return report(t, path, -errno, err);
    r = node_from_stat(dir_fd, name, &st, &node);
    if (r < 0)
        return report(t, path, r, err);
    node.path = mem_strdup(path);
    *out = node;
    return 0;
}

static int add_child(struct tree_nodes *list, int dir_fd, const char *dir, const char *name)
{
    struct tree_node *node;
    struct stat st;

    /* A name may vanish between readdir and here: then it is not in the context. */
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    node = array_add(list);
    node->path = dir[0] == '\0' ? mem_strdup(name) : str_format("%s/%s", dir, name);
    return node_from_stat(dir_fd, name, &st, node);
}

static int host_list(struct tree *t, const char *path, struct tree_nodes *out, struct error *err)
{
    struct host_tree *h = host_of(t);
    auto_tree_nodes struct tree_nodes list = {0};
    int fd = io_open_beneath(h->fd, path[0] == '\0' ? "." : path,
                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    const struct dirent *d;
    DIR *dir;
    int r = 0;

    if (fd < 0)
        return report(t, path, fd, err);
    dir = fdopendir(fd);
    if (dir == NULL) {
        r = -errno;
        close(fd);
        return report(t, path, r, err);
    }
    for (errno = 0; r == 0 && (d = readdir(dir)) != NULL; errno = 0)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            r = add_child(&list, fd, path, d->d_name);
    if (r == 0)
        r = -errno; /* what could not be listed would be missing from key and image alike */
    closedir(dir);
    if (r < 0)
        return report(t, path, r, err);
    *out = STEAL(&list);
    return 0;
}

/* Bytes read between two looks at the same ctime are those the digest names. */
static int check_unchanged(struct host_tree *h, const struct tree_node *n, int fd,
                           struct error *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return report(&h->tree, n->path, -errno, err);
    if (timespec_ns(&st.st_ctim) != n->ctime_ns || (uint64_t)st.st_size != n->meta.size_bytes)
        return error_set(err, EAGAIN, "'%s' in %s changed while it was read", n->path,
                         h->tree.label);
    return 0;
}

/* Opens a file that was seen before and checks that it is still that file. */
static int open_file(struct host_tree *h, const struct tree_node *n, struct error *err)
{
    auto_close int fd = io_open_beneath(h->fd, n->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    struct stat st;
    int r;

    if (fd < 0)
        return report(&h->tree, n->path, fd, err);
    if (fstat(fd, &st) < 0)
        return report(&h->tree, n->path, -errno, err);
    if (!S_ISREG(st.st_mode) || st.st_ino != n->inode || st.st_dev != n->device)
        return error_set(err, EAGAIN, "'%s' in %s was replaced while it was read", n->path,
                         h->tree.label);
    r = check_unchanged(h, n, fd, err);
    return r < 0 ? r : steal_fd(&fd);
}

static int hash_file(struct host_tree *h, const struct tree_node *n, struct digest *out,
                     struct error *err)
{
    auto_close int fd = open_file(h, n, err);
    size_t size = tree_buffer_size(n->meta.size_bytes);
    auto_free char *buffer = mem_alloc(size);
    auto_hasher struct hasher *hasher = hasher_new();
    int r;

    if (fd < 0)
        return fd;
    for (;;) {
        ssize_t got = read(fd, buffer, size);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return report(&h->tree, n->path, -errno, err);
        if (got == 0)
            break;
        hasher_update(hasher, buffer, (size_t)got);
        r = tree_check_stop(&h->tree, err);
        if (r < 0)
            return r;
    }
    r = check_unchanged(h, n, fd, err);
    if (r < 0)
        return r;
    hasher_final(hasher, out);
    return 0;
}

static struct statcache_key cache_key(const struct tree_node *n)
{
    return (struct statcache_key){
        .device = n->device,
        .inode = n->inode,
        .size_bytes = n->meta.size_bytes,
        .mtime_ns = n->meta.mtime_ns,
        .ctime_ns = n->ctime_ns,
    };
}

static bool host_digest_known(struct tree *t, const struct tree_node *n, struct digest *out)
{
    struct host_tree *h = host_of(t);
    const struct statcache_key key = cache_key(n);

    return h->cache != NULL && statcache_find(h->cache, &key, out);
}

static int host_digest(struct tree *t, const struct tree_node *n, struct digest *out,
                       struct error *err)
{
    struct host_tree *h = host_of(t);
    const struct statcache_key key = cache_key(n);
    int64_t now_ns = io_now_ns();
    int r = hash_file(h, n, out, err);

    if (r == 0 && h->cache != NULL)
        statcache_add(h->cache, &key, out, now_ns);
    return r;
}

/* The view knows which disk is full or broken, if that is the reason. */
static int not_written(struct view *to, const char *path, int code, struct error *err)
{
    if (view_fault(to, err) < 0)
        return error_wrap(err, "cannot write '%s' into the layer", path);
    return error_set(err, -code, "cannot write '%s' into the layer: %s", path, strerror(-code));
}

static int host_copy_content(struct tree *t, const struct tree_node *n, struct view *to,
                             uint64_t ino, struct error *err)
{
    struct host_tree *h = host_of(t);
    auto_close int fd = open_file(h, n, err);
    size_t size = tree_buffer_size(n->meta.size_bytes);
    auto_free char *buffer = mem_alloc(size);
    uint64_t offset = 0;
    int r;

    if (fd < 0)
        return fd;
    while (offset < n->meta.size_bytes) {
        ssize_t got = read(fd, buffer, size);
        ssize_t put;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return report(t, n->path, -errno, err);
        if (got == 0)
            return error_set(err, EAGAIN, "'%s' in %s changed while it was read", n->path,
                             t->label);
        put = union_write(to, ino, offset, buffer, (size_t)got, false);
        if (put < 0)
            return not_written(to, n->path, (int)put, err);
        offset += (uint64_t)got;
        r = tree_check_stop(t, err);
        if (r < 0)
            return r;
    }
    return check_unchanged(h, n, fd, err);
}

/* Equal times prove equal bytes only for a file that was left alone for a tick before we came. */
static int host_check_content(struct tree *t, const struct tree_node *n,
                              const struct digest *content, struct error *err)
{
    struct host_tree *h = host_of(t);
    const struct statcache_key key = cache_key(n);
    auto_close int fd = open_file(h, n, err);
    struct digest now;
    int r;

    if (fd < 0)
        return fd;
    if (statcache_is_settled(&key, h->opened_ns))
        return 0;
    r = hash_file(h, n, &now, err);
    if (r == 0 && !digest_equal(&now, content))
        r = error_set(err, EAGAIN, "'%s' in %s changed while it was read", n->path, t->label);
    return r;
}

static int host_read(struct tree *t, const char *path, uint64_t size_max, struct str *out,
                     struct error *err)
{
    struct host_tree *h = host_of(t);
    auto_close int fd = io_open_beneath(h->fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    auto_free char *bytes = NULL;
    struct stat st;
    int r;

    if (fd < 0)
        return report(t, path, fd, err);
    if (fstat(fd, &st) < 0)
        return report(t, path, -errno, err);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "'%s' in %s is not a regular file", path, t->label);
    if ((uint64_t)st.st_size > size_max)
        return error_set(err, EFBIG, "'%s' in %s is larger than %llu bytes", path, t->label,
                         (unsigned long long)size_max);
    bytes = mem_alloc((size_t)st.st_size + 1);
    r = io_read_full(fd, bytes, (size_t)st.st_size);
    if (r < 0)
        return report(t, path, r, err);
    str_add_bytes(out, bytes, (size_t)st.st_size);
    return 0;
}

/* Looks at the file before and after, as whoever digested it did: bytes that do not belong to the
 * digest are never passed on as if they did. */
static int host_read_at(struct tree *t, const struct tree_node *n, uint64_t offset, void *buf,
                        size_t size, struct error *err)
{
    struct host_tree *h = host_of(t);
    auto_close int fd = open_file(h, n, err);
    int r;

    if (fd < 0)
        return fd;
    r = io_pread_full(fd, buf, size, offset);
    return r < 0 ? report(t, n->path, r, err) : check_unchanged(h, n, fd, err);
}

static void host_close(struct tree *t)
{
    struct host_tree *h = host_of(t);

    close(h->fd);
    free(h);
}

static int host_open_reader(struct tree *t, const struct tree_node *n, struct reader **out,
                            struct error *err)
{
    int fd = open_file(host_of(t), n, err);

    if (fd < 0)
        return fd;
    *out = fd_reader_new(fd, n->path);
    return 0;
}

static const struct tree_ops host_ops = {
    .stat = host_stat,
    .list = host_list,
    .digest = host_digest,
    .digest_known = host_digest_known,
    .copy_content = host_copy_content,
    .read_at = host_read_at,
    .check_content = host_check_content,
    .open_reader = host_open_reader,
    .read = host_read,
    .close = host_close,
};

bool tree_is_host(const struct tree *t)
{
    return t->ops == &host_ops;
}

int tree_open_host(const char *directory, struct statcache *cache, struct tree **out,
                   struct error *err)
{
    auto_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct host_tree *h;

    if (fd < 0)
        return error_errno(err, "cannot open the build context '%s'", directory);
    h = mem_new(struct host_tree);
    h->tree.ops = &host_ops;
    h->tree.label = str_format("the build context '%s'", directory);
    h->fd = steal_fd(&fd);
    h->cache = cache;
    h->opened_ns = io_now_ns();
    *out = &h->tree;
    return 0;
}

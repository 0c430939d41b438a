/* unpack.c - writes a tree below one directory descriptor, following no link. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/tree/unpack.h"
#include "fs/base/hash.h"
#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/base/str.h"
#include "fs/union.h"
#include "fs/view.h"

#include "fs/base/banned.h"

#define BUFFER_SIZE (1u << 20)

struct unpack {
    struct view *view;
    struct unpack_options options;
    char *buffer;
    struct unpack_result *result;
    struct table links; /* inode of a file with several names, as text -> place in paths + 1 */
    struct strv paths;  /* their first names */
    int root_fd;
};

struct child {
    char *name;
    struct union_attr attr;
};
struct children {
    struct child *items;
    size_t count;
    size_t capacity;
};

static void children_release(struct children *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->items[i].name);
    free(c->items);
}
DEFINE_CLEANUP_VALUE(children_release, struct children)

static bool add_child(void *context, const char *name, size_t name_size, uint64_t next,
                      const struct union_attr *attr)
{
    struct child *c;

    (void)next; /* one call lists it all */
    if ((name_size == 1 && name[0] == '.') || (name_size == 2 && memcmp(name, "..", 2) == 0))
        return true;
    c = array_add((struct children *)context);
    c->name = mem_strndup(name, name_size);
    c->attr = *attr;
    return true;
}

static int set_times(const struct unpack *u, int dir_fd, const char *name,
                     const struct union_attr *attr)
{
    int64_t mtime_ns = u->options.set_time ? u->options.mtime_ns : attr->mtime_ns;
    const struct timespec mtime = io_time_split(mtime_ns);
    const struct timespec times[2] = {mtime, mtime};

    return utimensat(dir_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int write_file(struct unpack *u, int dir_fd, const struct child *c)
{
    auto_close int fd =
        openat(dir_fd, c->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    uint64_t offset = 0;
    int r = 0;

    if (fd < 0)
        return -errno;
    while (r == 0 && offset < c->attr.size_bytes) {
        int64_t data = union_lseek(u->view, c->attr.ino, (int64_t)offset, SEEK_DATA);
        ssize_t got;

        if (data == -ENXIO)
            break; /* a hole to the end */
        if (data < 0)
            return (int)data;
        offset = (uint64_t)data;
        got = union_read(u->view, c->attr.ino, offset, u->buffer, BUFFER_SIZE);
        if (got <= 0)
            return got == 0 ? -EIO : (int)got;
        r = io_pwrite_full(fd, u->buffer, (size_t)got, offset);
        offset += (uint64_t)got;
    }
    if (r == 0 && ftruncate(fd, (off_t)c->attr.size_bytes) < 0)
        r = -errno;
    if (r == 0 && fchmod(fd, c->attr.mode & 0777) < 0)
        r = -errno;
    u->result->size_bytes += c->attr.size_bytes;
    return r;
}

static int make_link(struct unpack *u, int dir_fd, const struct child *c, const char *path)
{
    auto_free char *ino = str_format("%llx", (unsigned long long)c->attr.ino);
    size_t place = (size_t)(uintptr_t)table_get(&u->links, ino);

    if (place > 0)
        return linkat(u->root_fd, u->paths.items[place - 1], dir_fd, c->name, 0) < 0 ? -errno : 1;
    strv_add(&u->paths, path);
    table_put(&u->links, ino, (void *)(uintptr_t)u->paths.count);
    return 0;
}

static int write_leaf(struct unpack *u, int dir_fd, const struct child *c, const char *path)
{
    const char *target;
    int r = 0;

    if (S_ISREG(c->attr.mode)) {
        if (c->attr.nlink > 1)
            r = make_link(u, dir_fd, c, path);
        if (r != 0)
            return r < 0 ? r : 0;
        r = write_file(u, dir_fd, c);
    } else if (S_ISLNK(c->attr.mode)) {
        r = union_readlink(u->view, c->attr.ino, &target);
        if (r == 0 && symlinkat(target, dir_fd, c->name) < 0)
            r = -errno;
    } else if (S_ISFIFO(c->attr.mode)) {
        r = mkfifoat(dir_fd, c->name, c->attr.mode & 0777) < 0 ? -errno : 0;
    } else {
        u->result->skipped_count++;
        return 0;
    }
    return r < 0 ? r : set_times(u, dir_fd, c->name, &c->attr);
}

static int write_dir(struct unpack *u, int dir_fd, const struct union_attr *attr, const char *path,
                     unsigned depth, struct error *err);

/* What has the name goes, unless it is a directory where there shall be one. */
static int clear_name(struct unpack *u, int dir_fd, const struct child *c)
{
    struct stat st;

    if (!u->options.merge)
        return 0;
    if (fstatat(dir_fd, c->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (S_ISDIR(st.st_mode) && S_ISDIR(c->attr.mode))
        return 0;
    return io_remove_tree(dir_fd, c->name);
}

/* Opened without following a link: nobody swaps one in between. */
static int open_child_dir(struct unpack *u, int dir_fd, const struct child *c)
{
    int fd;

    if (mkdirat(dir_fd, c->name, 0700) < 0 && (errno != EEXIST || !u->options.merge))
        return -errno;
    fd = openat(dir_fd, c->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && u->options.merge && /* an earlier one of ours, mode 0 */
        fchmodat(dir_fd, c->name, 0700, AT_SYMLINK_NOFOLLOW) == 0)
        fd = openat(dir_fd, c->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (u->options.merge)
        (void)fchmod(fd, 0700); /* where it matters, writing into it says why */
    return fd;
}

static int delete_others(int dir_fd, const struct children *list, const char *path,
                         struct error *err)
{
    auto_close int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    auto_strv struct strv others = {0};
    auto_table struct table wanted = {0};
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *d;

    for (size_t i = 0; i < list->count; i++)
        table_put(&wanted, list->items[i].name, &wanted);
    if (dir == NULL)
        return error_errno(err, "cannot read the directory '%s'", path);
    (void)steal_fd(&fd); /* the stream has it */
    while ((d = readdir(dir)) != NULL)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 &&
            !table_has(&wanted, d->d_name))
            strv_add(&others, d->d_name);
    closedir(dir);
    for (size_t i = 0; i < others.count; i++) {
        int r = io_remove_tree(dir_fd, others.items[i]);

        if (r < 0)
            return error_set(err, -r, "cannot remove '%s/%s': %s", path, others.items[i],
                             strerror(-r));
    }
    return 0;
}

static int write_child(struct unpack *u, int dir_fd, const struct child *c, const char *dir,
                       unsigned depth, struct error *err)
{
    auto_free char *path = str_format("%s%s%s", dir, dir[0] == '\0' ? "" : "/", c->name);
    auto_close int fd = -1;
    int r;

    u->result->entry_count++;
    r = clear_name(u, dir_fd, c);
    if (r < 0)
        return error_set(err, -r, "cannot replace '%s': %s", path, strerror(-r));
    if (!S_ISDIR(c->attr.mode)) {
        r = write_leaf(u, dir_fd, c, path);
        return r < 0 ? error_set(err, -r, "cannot write '%s': %s", path, strerror(-r)) : 0;
    }
    fd = open_child_dir(u, dir_fd, c);
    if (fd < 0)
        return error_set(err, -fd, "cannot make the directory '%s': %s", path, strerror(-fd));
    r = write_dir(u, fd, &c->attr, path, depth + 1, err);
    if (r == 0 &&
        (fchmod(fd, c->attr.mode & 0777) < 0 || set_times(u, dir_fd, c->name, &c->attr) < 0))
        r = error_errno(err, "cannot set the mode of '%s'", path);
    return r;
}

static int write_dir(struct unpack *u, int dir_fd, const struct union_attr *attr, const char *path,
                     unsigned depth, struct error *err)
{
    __attribute__((cleanup(cleanup_children_release))) struct children list = {0};
    int r = union_readdir(u->view, attr->ino, 0, true, add_child, &list);

    if (r < 0)
        return error_set(err, -r, "cannot read '/%s' of the image: %s", path, strerror(-r));
    if (depth > LIMIT_PATH_DEPTH)
        return error_set(err, ELOOP, "'%.64s…' is nested too deeply", path);
    if (u->options.delete_others)
        r = delete_others(dir_fd, &list, path, err);
    for (size_t i = 0; r == 0 && i < list.count; i++)
        r = write_child(u, dir_fd, &list.items[i], path, depth, err);
    return r;
}

/* Made if need be; unless it is to be merged with, it is empty: whatever it holds was not meant. */
static int open_directory(const char *directory, bool may_be_filled, struct error *err)
{
    auto_close int fd = -1;
    auto_close int list_fd = -1;
    const struct dirent *d;
    DIR *dir;
    bool is_empty = true;
    int r = io_make_dirs(directory, 0755, err);

    if (r < 0)
        return r;
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    list_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    dir = list_fd < 0 ? NULL : fdopendir(list_fd);
    if (dir == NULL)
        return error_errno(err, "cannot open '%s'", directory);
    (void)steal_fd(&list_fd); /* the stream has it */
    while ((d = readdir(dir)) != NULL)
        is_empty = is_empty && (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0);
    closedir(dir);
    if (!is_empty && !may_be_filled)
        return error_set(err, ENOTEMPTY, "'%s' is not empty", directory);
    return steal_fd(&fd);
}

int unpack_view(struct view *v, const char *directory, const struct unpack_options *options,
                struct unpack_result *out, struct error *err)
{
    auto_close int fd = open_directory(directory, options != NULL && options->merge, err);
    struct unpack u = {.view = v, .result = out, .root_fd = fd};
    struct union_attr root;
    int r;

    *out = (struct unpack_result){0};
    if (options != NULL)
        u.options = *options;
    if (fd < 0)
        return fd;
    r = union_getattr(v, UNION_ROOT, &root);
    if (r < 0)
        return error_set(err, -r, "cannot read the image: %s", strerror(-r));
    u.buffer = mem_alloc(BUFFER_SIZE);
    r = write_dir(&u, fd, &root, "", 0, err);
    if (r == -EIO && view_fault(v, err) < 0)
        r = -err->code;
    table_release(&u.links);
    strv_release(&u.paths);
    free(u.buffer);
    return r;
}

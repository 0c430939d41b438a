/* io_dir.c - makes, checks and removes directories of our own. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"

#include "fs/base/banned.h"

/* Each level of a removal holds one descriptor. What lies deeper is first moved up to the top. */
#define REMOVE_DEPTH_MAX 64

struct removal {
    int top_fd;      /* borrowed: the tree that goes away */
    uint64_t number; /* names for what was moved up */
    int failure;     /* the first one, as -errno */
};

static int check_private(int fd, const char *path, struct error *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return error_errno(err, "cannot look at '%s'", path);
    if (st.st_uid != geteuid())
        return error_set(err, EPERM, "'%s' belongs to user %u, not to user %u", path, st.st_uid,
                         geteuid());
    if ((st.st_mode & 077) != 0) {
        auto_free char *link = str_format("/proc/self/fd/%d", fd);
        char whole[PATH_MAX] = "";
        ssize_t size = readlink(link, whole, sizeof(whole) - 1);

        error_set(err, EPERM, "'%s' is open to other users (mode %04o)", path, st.st_mode & 07777u);
        /* a command that works wherever it is typed */
        return error_hint(err, "chmod -R go= '%s'", size > 0 ? whole : path);
    }
    return 0;
}

int io_open_private_dir(int dir_fd, const char *path, bool create, struct error *err)
{
    auto_close int fd = -1;
    int r;

    if (create && mkdirat(dir_fd, path, 0700) < 0 && errno != EEXIST)
        return error_errno(err, "cannot create '%s'", path);
    fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, "cannot open the directory '%s'", path);
    r = check_private(fd, path, err);
    if (r < 0)
        return r;
    return steal_fd(&fd);
}

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int io_make_dirs(const char *path, mode_t mode, struct error *err)
{
    auto_free char *prefix = path_clean(path);
    int code;

    for (char *end = prefix;; end++) {
        char kept = *end;

        if ((kept != '/' && kept != '\0') || end == prefix)
            continue;
        *end = '\0';
        code = mkdir(prefix, mode) < 0 ? errno : 0; /* looking for it would change errno */
        if (code != 0 && !is_dir(prefix)) {
            errno = code == EEXIST ? ENOTDIR : code;
            return error_errno(err, "cannot create the directory '%s'", prefix);
        }
        *end = kept;
        if (kept == '\0')
            return 0;
    }
}

static void note(struct removal *job, int failure)
{
    if (job->failure == 0)
        job->failure = failure;
}

/* Opens a directory for emptying it, taking back permissions its owner may have given up. Never a
 * mount point (-EBUSY): what is mounted there is not ours to remove. */
static int open_for_removal(int dir_fd, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    auto_close int fd = openat(dir_fd, name, flags);
    struct statx stx;

    if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, 0700, AT_SYMLINK_NOFOLLOW) == 0)
        fd = openat(dir_fd, name, flags);
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_MODE, &stx) < 0)
        return -errno;
    if (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT)
        return -EBUSY;
    if ((stx.stx_mode & 0700) != 0700)
        (void)fchmod(fd, 0700); /* if not ours, the removals below say so */
    return steal_fd(&fd);
}

static size_t remove_entries(struct removal *job, int fd, unsigned depth);

/* Too deep to descend: the directory continues its life, and ends it, at the top of the tree. */
static bool move_up(struct removal *job, int dir_fd, const char *name)
{
    char moved[32];

    for (;;) {
        (void)snprintf(moved, sizeof(moved), ".img-removed-%ju", (uintmax_t)job->number++);
        if (renameat2(dir_fd, name, job->top_fd, moved, RENAME_NOREPLACE) == 0)
            return true;
        if (errno != EEXIST) {
            note(job, -errno);
            return false;
        }
    }
}

/* True when `name` is gone from dir_fd. */
static bool remove_dir(struct removal *job, int dir_fd, const char *name, unsigned depth)
{
    auto_close int fd = -1;

    if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return true;
    fd = open_for_removal(dir_fd, name);
    if (fd < 0) {
        note(job, fd);
        return false;
    }
    if (depth >= REMOVE_DEPTH_MAX)
        return move_up(job, dir_fd, name);
    while (remove_entries(job, fd, depth + 1) > 0) {
        /* Again: some filesystems skip entries while a directory shrinks, and moved-up
         * directories may have arrived. */
    }
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0)
        return true;
    note(job, -errno);
    return false;
}

static bool remove_entry(struct removal *job, int dir_fd, const struct dirent *entry,
                         unsigned depth)
{
    if (entry->d_type == DT_DIR)
        return remove_dir(job, dir_fd, entry->d_name, depth);
    if (unlinkat(dir_fd, entry->d_name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno == EISDIR || errno == EPERM) /* unlink(2): either may mean a directory */
        return remove_dir(job, dir_fd, entry->d_name, depth);
    note(job, -errno);
    return false;
}

/* One pass over a directory; returns how many entries are gone. */
static size_t remove_entries(struct removal *job, int fd, unsigned depth)
{
    int list_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = list_fd < 0 ? NULL : fdopendir(list_fd);
    const struct dirent *entry;
    size_t gone = 0;

    if (!dir) {
        note(job, -errno);
        cleanup_close_fd(&list_fd);
        return 0;
    }
    while ((entry = readdir(dir))) {
        const char *name = entry->d_name;

        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        if (remove_entry(job, fd, entry, depth))
            gone++;
    }
    (void)closedir(dir); /* it was only read */
    return gone;
}

int io_remove_tree(int dir_fd, const char *name)
{
    struct removal job = {.top_fd = -1};
    auto_close int top_fd = -1;

    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    top_fd = open_for_removal(dir_fd, name);
    if (top_fd < 0)
        return top_fd == -ENOENT ? 0 : top_fd;
    job.top_fd = top_fd;
    while (remove_entries(&job, top_fd, 1) > 0) {
        /* until a pass finds nothing: see remove_dir */
    }
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return job.failure ? job.failure : -errno;
}

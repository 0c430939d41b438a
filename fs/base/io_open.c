/* io_open.c - the one place that resolves names from outside (SECURITY R18, R19).
 *
 * The kernel does it with openat2(2). Where that call is missing or filtered, or keeps being
 * disturbed by renames elsewhere, walk() takes one component at a time, expanding symbolic links
 * itself and never letting the kernel follow one. It goes back for ".." to the descriptor it came
 * through, so a directory moved away meanwhile cannot carry the walk out of the root.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/limits.h"

#include "fs/base/banned.h"

#define AGAIN_MAX 32 /* openat2(2) may answer EAGAIN for as long as somebody renames */

struct walk {
    int root_fd;     /* borrowed */
    bool is_in_root; /* else beneath */
    int flags;       /* of open(2), for the last component */
    mode_t mode;
    int *dirs; /* owned descriptors below the root, the current one last */
    size_t count;
    size_t capacity;
    struct str rest; /* what is still to be resolved */
    size_t position; /* in rest */
    unsigned links;  /* expanded so far */
};

static atomic_bool openat2_missing;

static void walk_release(struct walk *w)
{
    while (w->count > 0)
        cleanup_close_fd(&w->dirs[--w->count]);
    free(w->dirs);
    str_release(&w->rest);
}
DEFINE_CLEANUP_VALUE(walk_release, struct walk)

static int current(const struct walk *w)
{
    return w->count > 0 ? w->dirs[w->count - 1] : w->root_fd;
}

static void push(struct walk *w, int fd)
{
    if (w->count == w->capacity) {
        w->capacity = w->capacity ? w->capacity * 2 : 16;
        w->dirs = mem_resize(w->dirs, w->capacity, sizeof(*w->dirs));
    }
    w->dirs[w->count++] = fd;
}

/* Every lookup needs search permission, also that of "." and "..", which never reach the kernel. */
static int check_search(const struct walk *w)
{
    auto_close int fd = openat(current(w), ".", O_PATH | O_CLOEXEC);

    return fd < 0 ? -errno : 0;
}

static int go_up(struct walk *w)
{
    int r = check_search(w);

    if (r < 0)
        return r;
    if (w->count > 0)
        cleanup_close_fd(&w->dirs[--w->count]);
    else if (!w->is_in_root)
        return -EXDEV;
    return 0;
}

/* An absolute path, or an absolute link, starts again from the root. */
static int go_to_root(struct walk *w)
{
    if (!w->is_in_root)
        return -EXDEV;
    while (w->count > 0)
        cleanup_close_fd(&w->dirs[--w->count]);
    return 0;
}

/* Puts the target of the link behind `fd` in front of what is left; the slash that followed the
 * link's name, if any, comes between. */
static int expand_link(struct walk *w, int fd, bool has_slash)
{
    char target[LIMIT_PATH_SIZE];
    struct str rest = {0};
    struct statfs fs;
    ssize_t size;

    if (w->links++ >= LIMIT_SYMLINKS)
        return -ELOOP;
    /* Links in proc may lead to objects that no path reaches. openat2 refuses only those; their
     * text cannot be told from a plain link's, so here all are refused. */
    if (fstatfs(fd, &fs) < 0)
        return -errno;
    if (fs.f_type == PROC_SUPER_MAGIC)
        return -ELOOP;
    size = readlinkat(fd, "", target, sizeof(target));
    if (size < 0)
        return -errno;
    if (size == 0)
        return -ENOENT;
    if ((size_t)size == sizeof(target))
        return -ENAMETOOLONG;
    str_add_bytes(&rest, target, (size_t)size);
    if (has_slash)
        str_add_char(&rest, '/');
    str_add(&rest, str_text(&w->rest) + w->position);
    str_release(&w->rest);
    w->rest = rest;
    w->position = 0;
    return target[0] == '/' ? go_to_root(w) : 0;
}

/* Opens what is not a link (or is not to be followed). A link that took its place meanwhile makes
 * open fail: O_NOFOLLOW. */
static int open_last(const struct walk *w, const char *name, int extra_flags)
{
    int flags = w->flags | extra_flags | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(current(w), name, flags, w->mode);

    return fd < 0 ? -errno : fd;
}

static bool is_link(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISLNK(st.st_mode);
}

/* One component that is a name. 0: go on; 1: done, the result is in *out. */
static int step_name(struct walk *w, const char *name, bool is_last, bool has_slash, int *out)
{
    bool is_created = is_last && (w->flags & O_CREAT);
    bool is_followed = has_slash || !(w->flags & O_NOFOLLOW);
    auto_close int fd = -1;

    if (is_created && has_slash)
        return -EISDIR; /* open(2): a directory cannot be created by open */
    if (is_created && (w->flags & O_EXCL))
        is_followed = false; /* open(2), O_EXCL: a link is a file that exists */
    fd = openat(current(w), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && !(errno == ENOENT && is_created))
        return -errno;
    if (fd >= 0 && is_link(fd) && (!is_last || is_followed))
        return expand_link(w, fd, has_slash);
    if (is_last) {
        *out = open_last(w, name, has_slash ? O_DIRECTORY : 0);
        return *out < 0 ? *out : 1;
    }
    push(w, steal_fd(&fd));
    return 0;
}

static int step(struct walk *w, int *out)
{
    const char *text = str_text(&w->rest) + w->position;
    size_t size = strcspn(text, "/");
    size_t slashes = strspn(text + size, "/");
    bool is_last = text[size + slashes] == '\0';
    auto_free char *name = mem_strndup(text, size);
    int r;

    w->position += size + slashes;
    if (strcmp(name, "..") == 0)
        r = go_up(w);
    else if (strcmp(name, ".") == 0 || size == 0)
        r = check_search(w);
    else
        return step_name(w, name, is_last, slashes > 0, out);
    if (r < 0 || !is_last)
        return r;
    *out = open_last(w, ".", 0);
    return *out < 0 ? *out : 1;
}

static int walk(int root_fd, const char *path, int flags, mode_t mode, bool is_in_root)
{
    __attribute__((cleanup(cleanup_walk_release))) struct walk w = {
        .root_fd = root_fd,
        .is_in_root = is_in_root,
        .flags = flags,
        .mode = mode,
    };
    int fd = -1;
    int r = 0;

    if (path[0] == '\0')
        return -ENOENT;
    if (strlen(path) >= LIMIT_PATH_SIZE)
        return -ENAMETOOLONG;
    if (path[0] == '/')
        r = go_to_root(&w);
    str_add(&w.rest, path);
    while (r == 0) {
        w.position += strspn(str_text(&w.rest) + w.position, "/");
        r = step(&w, &fd);
    }
    return r < 0 ? r : fd;
}

static int resolve(int root_fd, const char *path, int flags, mode_t mode, uint64_t how_to)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? mode & 07777 : 0,
        .resolve = how_to | RESOLVE_NO_MAGICLINKS,
    };

    for (int i = 0; i < AGAIN_MAX && !atomic_load(&openat2_missing); i++) {
        long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));

        if (fd >= 0)
            return (int)fd;
        if (errno == ENOSYS)
            atomic_store(&openat2_missing, true);
        else if (errno == EPERM)
            break; /* a filter's refusal, or the file's: the walk will meet the latter again */
        else if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
    return walk(root_fd, path, flags, (mode_t)how.mode, how_to == RESOLVE_IN_ROOT);
}

int io_open_beneath(int root_fd, const char *path, int flags, mode_t mode)
{
    return resolve(root_fd, path, flags, mode, RESOLVE_BENEATH);
}

int io_open_in_root(int root_fd, const char *path, int flags, mode_t mode)
{
    return resolve(root_fd, path, flags, mode, RESOLVE_IN_ROOT);
}

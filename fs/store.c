/* store.c - opens and closes the state directory: where it is, whose it is, who else uses it.
 *
 * Lock order (SECURITY S5): the directory, gc.lock, lock, the database. gc.lock is held shared for
 * the life of the process, lock only while the database is made. The directory's own lock is a
 * turnstile in front of gc.lock, without which commands that overlap could keep a collection waiting
 * for ever; it is closed for moments only, so that nobody waits behind it for a long build.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/store_internal.h"

#include "fs/base/banned.h"

#define LOCK_POLL_MS 10
#define DATABASE_GROWTH (1u << 20) /* of one command, in common cases */
#define TURN_CLOSED_MS 200         /* out of every */
#define TURN_PERIOD_MS 600

int store_default_path(char **path, struct error *err)
{
    const char *state = getenv("IMG_STATE");
    const char *data = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");

    if (state && *state) {
        *path = mem_strdup(state);
        return 0;
    }
    if (data && *data == '/') { /* basedir-spec: relative paths are ignored */
        auto_free char *first = mem_strndup(data, strcspn(data, ":"));

        *path = path_join(first, "img");
        return 0;
    }
    if (home && *home == '/') {
        *path = path_join(home, ".local/share/img");
        return 0;
    }
    error_set(err, ENOENT, "neither IMG_STATE, XDG_DATA_HOME nor HOME says where the state is");
    return error_hint(err, "img --state DIR");
}

void store_set_stop(struct store *store, const atomic_bool *stop)
{
    store->stop = stop;
}

bool store_is_stopped(const struct store *store)
{
    return store->stop != NULL && atomic_load(store->stop);
}

const char *store_path(const struct store *store)
{
    return store->path;
}

int store_dir(const struct store *store, enum store_dir which)
{
    return store->dirs[which];
}

bool store_is_read_only(const struct store *store)
{
    return store->refusal != 0;
}

int store_check_writable(const struct store *store, struct error *err)
{
    if (store->refusal == EFBIG) {
        error_set(err, EFBIG, "the limit on the size of files is too small for the store '%s'",
                  store->path);
        return error_hint(err, "raise it: ulimit -f");
    }
    return store->refusal == 0
               ? 0
               : error_set(err, store->refusal, "the store '%s' is read-only", store->path);
}

/* A database that finds no room to grow in the middle of a change cannot take it back either. */
static bool has_room_for_rows(int root_fd)
{
    struct rlimit limit;
    struct stat st;

    if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return true;
    if (fstatat(root_fd, "img.db", &st, AT_SYMLINK_NOFOLLOW) < 0)
        st.st_size = 0;
    return limit.rlim_cur >= (rlim_t)st.st_size + DATABASE_GROWTH;
}

/* -- whose and where -- */

static const struct {
    unsigned magic; /* statfs(2) */
    const char *name;
} remote_types[] = {
    {0x6969, "NFS"},      {0x517B, "SMB"},     {0xFE534D42, "SMB"},    {0xFF534D42, "CIFS"},
    {0x5346414F, "AFS"},  {0x6B414653, "AFS"}, {0x0BD00BD0, "Lustre"}, {0x47504653, "GPFS"},
    {0x00C36400, "Ceph"}, {0x01021997, "9p"},  {0x65735546, "FUSE"},   {0x73757245, "Coda"},
};

static int check_local(const struct store *store, struct error *err)
{
    struct statfs fs;

    if (fstatfs(store->dirs[STORE_ROOT], &fs) < 0)
        return error_errno(err, "cannot look at '%s'", store->path);
    for (size_t i = 0; i < sizeof(remote_types) / sizeof(remote_types[0]); i++) {
        if ((unsigned)fs.f_type != remote_types[i].magic)
            continue;
        error_set(err, EREMOTEIO,
                  "the state directory '%s' is on %s, where locks cannot be relied on", store->path,
                  remote_types[i].name);
        return error_hint(err, "put it on a local disk with --state or IMG_STATE");
    }
    return 0;
}

static int open_subdir(struct store *store, int parent_fd, const char *name, const char *shown,
                       int *out, struct error *err)
{
    int fd = io_open_private_dir(parent_fd, name, !store_is_read_only(store), err);

    if (fd < 0)
        return error_wrap(err, "cannot use '%s/%s'", store->path, shown);
    *out = fd;
    return 0;
}

/* Directories in a directory: the root is made durable with the database, this one by nobody else. */
static int open_blobs(struct store *store, struct error *err)
{
    auto_close int blobs_fd = -1;
    bool has_sha512;
    bool is_new;
    int r = open_subdir(store, store->dirs[STORE_ROOT], "blobs", "blobs", &blobs_fd, err);

    if (r < 0)
        return r;
    has_sha512 = faccessat(blobs_fd, "sha512", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    is_new = !has_sha512 || faccessat(blobs_fd, "sha256", F_OK, AT_SYMLINK_NOFOLLOW) < 0;
    r = open_subdir(store, blobs_fd, "sha256", "blobs/sha256", &store->dirs[STORE_BLOBS], err);
    /* Older stores lack it, and one that cannot be written to goes on without. */
    if (r == 0 && (has_sha512 || !store_is_read_only(store)))
        r = open_subdir(store, blobs_fd, "sha512", "blobs/sha512", &store->dirs[STORE_BLOBS_SHA512],
                        err);
    if (r == 0 && is_new && !store_is_read_only(store) && fsync(blobs_fd) < 0)
        return error_errno(err, "cannot make '%s/blobs' durable", store->path);
    return r;
}

static int open_dirs(struct store *store, struct error *err)
{
    int root_fd = store->dirs[STORE_ROOT];
    int r = open_blobs(store, err);

    if (r == 0)
        r = open_subdir(store, root_fd, "packs", "packs", &store->dirs[STORE_PACKS], err);
    if (r == 0)
        r = open_subdir(store, root_fd, "index", "index", &store->dirs[STORE_INDEX], err);
    if (r == 0)
        r = open_subdir(store, root_fd, "tmp", "tmp", &store->dirs[STORE_TMP], err);
    if (r == 0)
        r = open_subdir(store, store->dirs[STORE_TMP], "partial", "tmp/partial", &store->partial_fd,
                        err);
    if (r == 0)
        r = open_subdir(store, root_fd, "work", "work", &store->dirs[STORE_WORK], err);
    return r;
}

/* The directory above must list a new store before anything in it counts as durable. */
static int sync_new_root(const char *path, int root_fd, struct error *err)
{
    auto_close int parent_fd = openat(root_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (parent_fd < 0 && errno == EACCES)
        return 0; /* then somebody else made it, long ago */
    if (parent_fd < 0 || fsync(parent_fd) < 0)
        return error_errno(err, "cannot make '%s' durable", path);
    return 0;
}

static int open_root(struct store *store, const char *path, bool must_exist, struct error *err)
{
    bool is_new = access(path, F_OK) < 0;
    int fd;
    int r;

    if (is_new && must_exist)
        return error_set(err, ENOENT, "there is no store at '%s'", path);
    if (is_new) {
        r = io_make_dirs(path, 0700, err);
        if (r < 0)
            return r;
    }
    fd = io_open_private_dir(AT_FDCWD, path, false, err);
    if (fd < 0)
        return error_wrap(err, "cannot use the state directory");
    store->dirs[STORE_ROOT] = fd;
    free(store->path);
    store->path = realpath(path, NULL); /* SQLite takes no path with a link in it */
    if (!store->path) {
        store->path = mem_strdup(path);
        return error_errno(err, "cannot find '%s'", path);
    }
    store->refusal = faccessat(fd, ".", W_OK, AT_EACCESS) < 0 ? EROFS
                     : has_room_for_rows(fd)                  ? 0
                                                              : EFBIG;
    return is_new ? sync_new_root(path, fd, err) : 0;
}

/* -- locks -- */

static int open_lock(struct store *store, const char *name, int *out, struct error *err)
{
    /* flock(2) asks for no right to write. */
    int flags = store_is_read_only(store) ? O_RDONLY : O_RDWR | O_CREAT;
    auto_close int fd = openat(store->dirs[STORE_ROOT], name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return error_errno(err, "cannot open '%s/%s'", store->path, name);
    *out = steal_fd(&fd);
    return 0;
}

static int lock_failed(const struct store *store, struct error *err)
{
    error_errno(err, "cannot lock '%s/gc.lock'", store->path);
    if (err->code == ENOLCK || err->code == EOPNOTSUPP)
        error_hint(err, "put the state on a local disk with --state or IMG_STATE");
    return -err->code;
}

static int lock_wait(int fd, int operation)
{
    int r;

    do {
        r = flock(fd, operation);
    } while (r < 0 && errno == EINTR);
    return r;
}

static int take_shared(struct store *store, struct error *err)
{
    int root_fd = store->dirs[STORE_ROOT];
    int r = lock_wait(root_fd, LOCK_SH);

    if (r == 0)
        r = lock_wait(store->gc_fd, LOCK_SH | LOCK_NB);
    if (r < 0 && errno == EWOULDBLOCK) {
        log_warn("waiting until the store '%s' is cleaned up", store->path);
        r = lock_wait(store->gc_fd, LOCK_SH);
    }
    if (r < 0)
        return lock_failed(store, err);
    (void)lock_wait(root_fd, LOCK_UN); /* cannot fail for a lock we hold */
    return 0;
}

/* Closes the turnstile for a part of the time, opens it for the rest. */
static void turn(const struct store *store, uint64_t passed_ms, bool *is_closed)
{
    bool want = passed_ms % TURN_PERIOD_MS < TURN_CLOSED_MS;

    if (want && !*is_closed) /* another collection may hold it: then it does the work for us */
        *is_closed = flock(store->dirs[STORE_ROOT], LOCK_EX | LOCK_NB) == 0;
    else if (!want && *is_closed)
        *is_closed = lock_wait(store->dirs[STORE_ROOT], LOCK_UN) != 0;
}

static int wait_exclusive(struct store *store, int64_t wait_ms, void (*waiting)(void *context),
                          void *context, bool *is_closed, struct error *err)
{
    uint64_t start = io_ticks_ns();
    bool was_told = false;

    /* flock(2) has no timeout, and a signal for one would belong to the whole program. */
    while (flock(store->gc_fd, LOCK_EX | LOCK_NB) < 0) {
        uint64_t passed_ms = (io_ticks_ns() - start) / 1000000;
        int code = errno;

        if (code != EWOULDBLOCK && code != EINTR)
            return lock_failed(store, err);
        if (wait_ms >= 0 && passed_ms >= (uint64_t)wait_ms) {
            store_lock_shared(store); /* a failed conversion has lost the shared lock */
            return error_set(err, EBUSY, "the store '%s' is in use by another process",
                             store->path);
        }
        if (!was_told && waiting)
            waiting(context);
        was_told = true;
        turn(store, passed_ms, is_closed);
        (void)poll(NULL, 0, LOCK_POLL_MS);
    }
    return 0;
}

int store_lock_exclusive(struct store *store, int64_t wait_ms, void (*waiting)(void *context),
                         void *context, struct error *err)
{
    bool is_closed = false;
    int r;

    assert(store->depth == 0);
    r = wait_exclusive(store, wait_ms, waiting, context, &is_closed, err);
    if (is_closed)
        (void)lock_wait(store->dirs[STORE_ROOT], LOCK_UN); /* cannot fail for a lock we hold */
    return r;
}

void store_lock_shared(struct store *store)
{
    (void)lock_wait(store->gc_fd, LOCK_SH); /* what it could once, it can again */
}

static int take_gc_lock(struct store *store, unsigned flags, int64_t wait_ms, struct error *err)
{
    int r = open_lock(store, "gc.lock", &store->gc_fd, err);

    if (r < 0)
        return r;
    if (flags & STORE_OPEN_EXCLUSIVE)
        return store_lock_exclusive(store, wait_ms, NULL, NULL, err);
    return take_shared(store, err);
}

/* -- open and close -- */

static struct store *new_store(void)
{
    struct store *store = mem_new(struct store);
    pthread_mutexattr_t attr;

    for (size_t i = 0; i < STORE_DIR_COUNT; i++)
        store->dirs[i] = -1;
    store->partial_fd = -1;
    store->gc_fd = -1;
    store->lock_fd = -1;
    store->work_fd = -1;
    (void)pthread_mutexattr_init(&attr); /* these cannot fail on Linux */
    (void)pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    (void)pthread_mutex_init(&store->lock, &attr);
    (void)pthread_mutexattr_destroy(&attr);
    (void)pthread_mutex_init(&store->open_lock, NULL);
    return store;
}

static int open_all(struct store *store, const char *path, const struct store_options *options,
                    unsigned flags, int64_t wait_ms, struct error *err)
{
    bool check_only = (flags & STORE_OPEN_CHECK) != 0;
    bool is_unclean;
    int r = open_root(store, path, options->must_exist, err);

    if (r == 0 && !options->allow_remote)
        r = check_local(store, err);
    if (r == 0)
        r = take_gc_lock(store, flags, wait_ms, err);
    if (r == 0)
        r = open_lock(store, "lock", &store->lock_fd, err);
    if (r == 0)
        r = open_dirs(store, err);
    if (r < 0)
        return r;
    /* A journal means a writer at work or one that died: in doubt, look at the pages. */
    is_unclean = faccessat(store->dirs[STORE_ROOT], "img.db-journal", F_OK, 0) == 0;
    r = sql_connect(store, is_unclean, check_only, err);
    if (r < 0)
        return r;
    if (!check_only && !store_is_read_only(store))
        store_recover(store);
    return 0;
}

int store_open_with(const char *path, const struct store_options *options, unsigned flags,
                    int64_t wait_ms, struct store **out, struct error *err)
{
    static const struct store_options defaults = {0};
    auto_store struct store *store = new_store();
    int r;

    if (!options)
        options = &defaults;
    store->path = mem_strdup(path);
    store->named_temp = options->named_temp;
    r = open_all(store, path, options, flags, wait_ms, err);
    if (r < 0)
        return r;
    *out = STEAL(&store);
    return 0;
}

int store_open(const char *path, const struct store_options *options, struct store **out,
               struct error *err)
{
    return store_open_with(path, options, 0, 0, out, err);
}

void store_close(struct store *store)
{
    int saved = errno;

    if (!store)
        return;
    while (store->depth > 0) {
        struct store_tx tx = {.store = store, .depth = store->depth};

        store_rollback(&tx);
    }
    store_work_retire(store);
    indexes_close(store);
    packs_close(store);
    sql_disconnect(store);
    free(store->pending.items);
    for (size_t i = 0; i < STORE_DIR_COUNT; i++)
        cleanup_close_fd(&store->dirs[i]);
    cleanup_close_fd(&store->partial_fd);
    cleanup_close_fd(&store->lock_fd);
    cleanup_close_fd(&store->gc_fd); /* last: until here nobody may collect */
    (void)pthread_mutex_destroy(&store->open_lock);
    (void)pthread_mutex_destroy(&store->lock);
    free(store->damage);
    free(store->path);
    free(store);
    errno = saved;
}

/* store_object.c - how a file becomes an object: fsync, marker, link, and only then a row.
 *
 * Not for what is in it: blob.c has hashed it, the maker of an index or pack knows it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/failpoint.h"
#include "fs/base/io.h"
#include "fs/store_internal.h"

#include "fs/base/banned.h"

static const struct {
    enum store_dir dir;
    const char *dir_name;
    const char *noun;
    const char *fsync_point;
    const char *link_point;
} kinds[OBJECT_KIND_COUNT] = {
    [OBJECT_BLOB] = {STORE_BLOBS, "blobs/sha256", "blob", "blob.fsync", "blob.link"},
    [OBJECT_BLOB_SHA512] = {STORE_BLOBS_SHA512, "blobs/sha512", "blob", "blob.fsync", "blob.link"},
    [OBJECT_PACK] = {STORE_PACKS, "packs", "pack", "pack.fsync", "pack.link"},
    [OBJECT_INDEX] = {STORE_INDEX, "index", "index", "index.fsync", "index.link"},
};

#define MARKER_SIZE (DIGEST_HEX_SIZE + 16) /* what stands before the name fits */
#define RESERVE_NAME "reserve"
#define RESERVE_SIZE (1 << 20)
#define WORK_TRIES 100

int object_dir(const struct store *store, enum object_kind kind)
{
    return store->dirs[kinds[kind].dir];
}

const char *object_dir_name(enum object_kind kind)
{
    return kinds[kind].dir_name;
}

const char *object_noun(enum object_kind kind)
{
    return kinds[kind].noun;
}

bool object_is_blob(enum object_kind kind)
{
    return kind == OBJECT_BLOB || kind == OBJECT_BLOB_SHA512;
}

static uint64_t random_number(void)
{
    uint64_t number = 0;

    while (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number)) {
        /* EINTR before the kernel's pool is ready; nothing else can happen */
    }
    return number;
}

uint64_t object_new_id(void)
{
    uint64_t id;

    do {
        id = random_number() & INT64_MAX; /* SQLite's integers are signed */
    } while (id == 0);
    return id;
}

void store_object_name(uint64_t id, char name[STORE_NAME_SIZE])
{
    (void)snprintf(name, STORE_NAME_SIZE, "%016" PRIx64, id);
}

void object_of_id(enum object_kind kind, uint64_t id, struct object *out)
{
    assert(!object_is_blob(kind));
    *out = (struct object){.kind = kind};
    store_object_name(id, out->name);
}

void object_of_digest(const struct digest *digest, struct object *out)
{
    *out = (struct object){.kind = digest->algorithm == DIGEST_SHA512 ? OBJECT_BLOB_SHA512
                                                                      : OBJECT_BLOB};
    digest_format_hex(digest, out->name);
}

bool object_parse_name(enum object_kind kind, const char *name, struct object *out)
{
    struct error ignored; /* whether it is a name is all that counts */
    struct digest digest;

    if (object_is_blob(kind)) {
        if (digest_parse_hex(name, &digest, &ignored) < 0)
            return false;
        object_of_digest(&digest, out);
        return out->kind == kind;
    }
    if (strlen(name) != STORE_NAME_SIZE - 1 || name[strspn(name, "0123456789abcdef")] != '\0')
        return false;
    *out = (struct object){.kind = kind};
    memcpy(out->name, name, STORE_NAME_SIZE);
    return true;
}

bool object_id(const struct object *object, uint64_t *id)
{
    *id = strtoull(object->name, NULL, 16);
    return *id > 0 && *id <= INT64_MAX;
}

int object_size(const struct store *store, const struct object *object, uint64_t *size_bytes)
{
    struct stat st;

    if (fstatat(object_dir(store, object->kind), object->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -ENOENT;
    *size_bytes = (uint64_t)st.st_size;
    return 0;
}

uint64_t object_disk_bytes(const struct store *store, const struct object *object)
{
    struct stat st;

    if (fstatat(object_dir(store, object->kind), object->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return (uint64_t)st.st_blocks * 512;
}

/* -- the work directory: its flock says that this process lives -- */

/* 1 when the directory is ours, 0 when another process took it for a dead one's. */
static int claim_work_dir(struct store *store, const char *name, int *out)
{
    auto_close int fd =
        openat(store->dirs[STORE_WORK], name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? 0 : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_nlink == 0)
        return 0;
    *out = steal_fd(&fd);
    return 1;
}

static int make_work_dir(struct store *store, struct error *err)
{
    int r = store_check_writable(store, err);

    if (r < 0)
        return r;
    for (int i = 0; i < WORK_TRIES; i++) {
        char name[STORE_NAME_SIZE];

        store_object_name(random_number(), name);
        if (mkdirat(store->dirs[STORE_WORK], name, 0700) < 0) {
            if (errno == EEXIST)
                continue;
            return error_errno(err, "cannot create a directory in '%s/work'", store->path);
        }
        r = claim_work_dir(store, name, &store->work_fd);
        if (r > 0) {
            memcpy(store->work_name, name, sizeof(name));
            return 0;
        }
        if (r < 0) {
            errno = -r;
            return error_errno(err, "cannot lock '%s/work/%s'", store->path, name);
        }
    }
    return error_set(err, EBUSY, "cannot keep a directory in '%s/work'", store->path);
}

int store_work_dir(struct store *store, int *fd, struct error *err)
{
    STORE_LOCKED(store);
    int r = store->work_fd < 0 ? make_work_dir(store, err) : 0;

    if (r == 0)
        *fd = store->work_fd;
    return r;
}

/* Where the file system knows no nameless files, the name goes with the work directory. */
static int named_temp_file(struct store *store, int *fd, struct error *err)
{
    STORE_LOCKED(store);
    char name[32];
    int dir_fd;
    int r = store_work_dir(store, &dir_fd, err);

    if (r < 0)
        return r;
    (void)snprintf(name, sizeof(name), "temp-%" PRIu64, store->temp_count++);
    *fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        return error_errno(err, "cannot create a file in '%s/work'", store->path);
    return 0;
}

int store_temp_file(struct store *store, int *fd, struct error *err)
{
    int made;
    int r = store_check_writable(store, err);

    if (r < 0)
        return r;
    if (store->named_temp)
        return named_temp_file(store, fd, err);
    made = openat(store->dirs[STORE_TMP], ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (made < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        return named_temp_file(store, fd, err);
    if (made < 0)
        return error_errno(err, "cannot create a file in '%s/tmp'", store->path);
    *fd = made;
    return 0;
}

/* Blocks for the journal of a collection on a disk that is full to the last byte. */
void store_reserve_make(struct store *store)
{
    auto_close int fd = openat(store->dirs[STORE_ROOT], RESERVE_NAME,
                               O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd >= 0 && fallocate(fd, 0, 0, RESERVE_SIZE) < 0)
        (void)unlinkat(store->dirs[STORE_ROOT], RESERVE_NAME, 0); /* another day, then */
}

bool store_reserve_release(struct store *store)
{
    return unlinkat(store->dirs[STORE_ROOT], RESERVE_NAME, 0) == 0;
}

int locked_file_open(int dir_fd, const char *name, int operation, int *out)
{
    for (;;) {
        auto_close int fd =
            openat(dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
        struct stat named;
        struct stat st;

        if (fd < 0)
            return -errno;
        if (flock(fd, operation) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (fstat(fd, &st) < 0)
            return -errno;
        if (!S_ISREG(st.st_mode))
            return -EINVAL;
        /* Who held it before may have removed or renamed it: then the lock means nothing. */
        if (fstatat(dir_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_ino == st.st_ino &&
            named.st_dev == st.st_dev) {
            *out = steal_fd(&fd);
            return 0;
        }
    }
}

/* -- pending objects; the store's lock is held -- */

static void marker_name(const struct object *object, char name[MARKER_SIZE])
{
    (void)snprintf(name, MARKER_SIZE, MARKER_PREFIX "%s-%s", kinds[object->kind].noun,
                   object->name);
}

static struct pending *find_pending(struct store *store, const struct object *object)
{
    for (size_t i = 0; i < store->pending.count; i++) {
        struct pending *p = &store->pending.items[i];

        if (p->object.kind == object->kind && strcmp(p->object.name, object->name) == 0)
            return p;
    }
    return NULL;
}

static int add_pending(struct store *store, const struct object *object, struct error *err)
{
    char name[MARKER_SIZE];
    int dir_fd;
    int r;

    if (find_pending(store, object))
        return 0;
    r = store_work_dir(store, &dir_fd, err);
    if (r < 0)
        return r;
    marker_name(object, name);
    if (mknodat(dir_fd, name, S_IFREG | 0600, 0) < 0 && errno != EEXIST)
        return error_errno(err, "cannot create a file in '%s/work'", store->path);
    *array_add(&store->pending) = (struct pending){.object = *object};
    return 0;
}

static void remove_pending(struct store *store, size_t at)
{
    char name[MARKER_SIZE];

    marker_name(&store->pending.items[at].object, name);
    (void)unlinkat(store->work_fd, name, 0); /* goes with the directory otherwise */
    store->pending.items[at] = store->pending.items[--store->pending.count];
}

void object_note_row(struct store *store, const struct object *object)
{
    struct pending *p = find_pending(store, object);

    if (p)
        p->row_depth = store->depth;
}

bool object_is_pending(struct store *store, const struct object *object)
{
    STORE_LOCKED(store);

    return find_pending(store, object) != NULL;
}

void pending_committed(struct store *store)
{
    for (size_t i = store->pending.count; i-- > 0;)
        if (store->pending.items[i].row_depth > 0)
            remove_pending(store, i);
}

void pending_inner_committed(struct store *store, unsigned depth)
{
    for (size_t i = 0; i < store->pending.count; i++)
        if (store->pending.items[i].row_depth == depth)
            store->pending.items[i].row_depth = depth - 1;
}

void pending_rolled_back(struct store *store, unsigned depth)
{
    for (size_t i = 0; i < store->pending.count; i++)
        if (store->pending.items[i].row_depth >= depth)
            store->pending.items[i].row_depth = 0;
}

int object_sync_dirs(struct store *store, struct error *err)
{
    for (unsigned kind = 0; kind < OBJECT_KIND_COUNT; kind++) {
        if (!(store->dirty_dirs & (1u << kind)))
            continue;
        if (fsync(object_dir(store, kind)) < 0 || FAILPOINT("dir.fsync") < 0)
            return error_errno(err, "cannot make '%s/%s' durable", store->path,
                               kinds[kind].dir_name);
        store->dirty_dirs &= ~(1u << kind);
    }
    return 0;
}

/* -- linking -- */

/* Gives the file behind `fd`, named or nameless, a name of its own. Bare -errno. */
static int link_fd(int fd, int dir_fd, const char *name)
{
    char path[32];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, path, dir_fd, name, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != ENOENT) /* ENOENT: no /proc here, or nothing left to link */
        return -errno;
    return linkat(fd, "", dir_fd, name, AT_EMPTY_PATH) == 0 ? 0 : -errno;
}

int object_sync_file(const struct store *store, const struct object *object, int fd,
                     struct error *err)
{
    /* Final for this file: what a failed fsync did not write may be gone, a second one would lie. */
    if (fsync(fd) < 0 || FAILPOINT(kinds[object->kind].fsync_point) < 0)
        return error_errno(err, "cannot write %s '%s' to '%s'", kinds[object->kind].noun,
                           object->name, store->path);
    return 0;
}

static int link_failed(const struct store *store, const struct object *object, int r,
                       struct error *err)
{
    errno = -r;
    return error_errno(err, "cannot create '%s/%s/%s'", store->path, kinds[object->kind].dir_name,
                       object->name);
}

int object_adopt(struct store *store, const struct object *object, int fd, struct error *err)
{
    int r = object_sync_file(store, object, fd, err);

    if (r < 0)
        return r;
    STORE_LOCKED(store);
    r = add_pending(store, object, err);
    if (r < 0)
        return r;
    r = link_fd(fd, object_dir(store, object->kind), object->name);
    if (r == 0 && FAILPOINT(kinds[object->kind].link_point) < 0)
        r = -errno;
    if (r < 0)
        return link_failed(store, object, r, err);
    store->dirty_dirs |= 1u << object->kind;
    return 0;
}

/* A partial download moves, so that it never shares an inode with a blob; others are linked. */
static int name_blob(const struct store *store, const struct object *object, int fd,
                     const char *partial)
{
    int dir_fd = object_dir(store, object->kind);
    int r;

    if (!partial)
        return link_fd(fd, dir_fd, object->name);
    if (renameat2(store->partial_fd, partial, dir_fd, object->name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL) /* EINVAL: a file system without RENAME_NOREPLACE */
        return -errno;
    r = link_fd(fd, dir_fd, object->name);
    if (r == 0)
        (void)unlinkat(store->partial_fd, partial, 0); /* whoever resumes it looks at st_nlink */
    return r;
}

/* A file of this name is there, without a row: the leftover of a crash. Only ours is verified. */
static int replace_blob(const struct store *store, const struct object *object, int fd,
                        const char *partial)
{
    int dir_fd = object_dir(store, object->kind);

    if (unlinkat(dir_fd, object->name, 0) < 0 && errno != ENOENT)
        return -errno;
    return name_blob(store, object, fd, partial);
}

int object_adopt_blob(struct store *store, const struct object *object, int fd, bool keep,
                      const char *partial, struct error *err)
{
    int r;

    assert(store->depth > 0); /* recovery removes files without rows under the same lock */
    r = add_pending(store, object, err);
    if (r < 0)
        return r;
    r = name_blob(store, object, fd, partial);
    if (r == -EEXIST && !keep)
        r = replace_blob(store, object, fd, partial);
    else if (r == -EEXIST)
        r = 0;
    if (r == 0 && FAILPOINT(kinds[object->kind].link_point) < 0)
        r = -errno;
    if (r < 0)
        return link_failed(store, object, r, err);
    store->dirty_dirs |= 1u << object->kind;
    object_note_row(store, object);
    return 0;
}

int store_index_create(struct store *store, uint64_t *id, int *fd, struct error *err)
{
    int r = store_temp_file(store, fd, err);

    if (r == 0)
        *id = object_new_id();
    return r;
}

int store_index_adopt(struct store *store, uint64_t id, int fd, struct error *err)
{
    struct object object;

    object_of_id(OBJECT_INDEX, id, &object);
    return object_adopt(store, &object, fd, err);
}

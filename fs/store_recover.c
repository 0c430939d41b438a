/* store_recover.c - removes what dead processes left in work/ and tmp/ (SECURITY S7).
 *
 * Dead means that a lock can be taken; age says nothing. Cost grows with the leftovers, never with
 * the store: the objects such a process had linked without a row are named by its markers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/failpoint.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/store_sql_internal.h"

#include "fs/base/banned.h"

#define PARTIAL_AGE_MAX_S (7 * 86400)
#define MARKER_LIST_SIZE_MAX (64u << 20) /* half a million objects */

/* Names in a directory, without "." and "..". */
static int list_names(int dir_fd, struct strv *names)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!dir) {
        int code = errno;

        cleanup_close_fd(&fd);
        return -code;
    }
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            strv_add(names, entry->d_name);
    (void)closedir(dir); /* it was only read */
    return 0;
}

int object_has_row(struct store *store, const struct object *object, bool *has_row,
                   struct error *err)
{
    static const char *const texts[OBJECT_KIND_COUNT] = {
        [OBJECT_BLOB] = "SELECT 1 FROM blob WHERE digest = ?1",
        [OBJECT_BLOB_SHA512] = "SELECT 1 FROM blob WHERE digest = ?1",
        [OBJECT_PACK] = "SELECT 1 FROM pack WHERE id = ?1",
        [OBJECT_INDEX] = "SELECT 1 FROM layer WHERE index_id = ?1",
    };
    auto_sql struct sql q = {0};
    struct digest digest;
    uint64_t id = 0;
    int r = sql_open(&q, store, texts[object->kind], err);

    if (r < 0)
        return r;
    if (object_is_blob(object->kind)) {
        r = digest_parse_hex(object->name, &digest, err);
        if (r < 0)
            return r;
        sql_bind_digest(&q, 1, &digest);
    } else if (object_id(object, &id)) {
        sql_bind_u64(&q, 1, id);
    }
    r = sql_step(&q, err);
    if (r < 0)
        return r;
    *has_row = r > 0;
    return 0;
}

/* "<noun>-<name>"; blobs of both algorithms are one noun, told apart by the size of the name. */
static bool parse_object(const char *text, struct object *out)
{
    for (unsigned kind = 0; kind < OBJECT_KIND_COUNT; kind++) {
        size_t size = strlen(object_noun(kind));

        if (strncmp(text, object_noun(kind), size) == 0 && text[size] == '-' &&
            object_parse_name(kind, text + size + 1, out))
            return true;
    }
    return false;
}

static int remove_without_row(struct store *store, const struct object *object, struct error *err)
{
    bool has_row = true;
    int r = object_has_row(store, object, &has_row, err);

    if (r < 0 || has_row)
        return r;
    if (unlinkat(object_dir(store, object->kind), object->name, 0) < 0 && errno != ENOENT)
        return error_errno(err, "cannot remove '%s/%s/%s'", store->path,
                           object_dir_name(object->kind), object->name);
    log_debug("removed '%s/%s', left without a row", object_dir_name(object->kind), object->name);
    return 0;
}

static int recover_list(struct store *store, int fd, struct error *err)
{
    auto_str struct str lines = {0};
    struct object object;
    int r = io_read_file(fd, MARKER_LIST, MARKER_LIST_SIZE_MAX, &lines, err);

    for (char *line = lines.data; r == 0 && line && *line;) {
        char *end = line + strcspn(line, "\n");
        bool is_last = *end == '\0';

        *end = '\0';
        if (parse_object(line, &object))
            r = remove_without_row(store, &object, err);
        line = is_last ? end : end + 1;
    }
    return r;
}

static bool is_marker(const char *name)
{
    return text_starts(name, MARKER_PREFIX) || strcmp(name, MARKER_LIST) == 0;
}

static int recover_marker(struct store *store, int fd, const char *name, struct error *err)
{
    struct object object;

    if (strcmp(name, MARKER_LIST) == 0)
        return recover_list(store, fd, err);
    if (!parse_object(name + strlen(MARKER_PREFIX), &object))
        return 0;
    return remove_without_row(store, &object, err);
}

/* Removes the objects without a row that the markers in work directory `fd` name. */
static int recover_markers(struct store *store, int fd, struct error *err)
{
    auto_store_tx struct store_tx tx = {0};
    auto_strv struct strv names = {0};
    int r = list_names(fd, &names);

    if (r < 0) {
        errno = -r;
        return error_errno(err, "cannot list a directory of '%s/work'", store->path);
    }
    for (size_t i = 0; i < names.count && r == 0; i++) {
        if (!is_marker(names.items[i]))
            continue;
        /* A writer links a blob and inserts its row in one transaction: so look in one, too. */
        if (!tx.store)
            r = store_begin(store, &tx, err);
        if (r == 0)
            r = recover_marker(store, fd, names.items[i], err);
    }
    return r;
}

int store_mark_dead(struct store *store, const struct str *lines, struct error *err)
{
    auto_close int fd = -1;
    int dir_fd = -1;
    int r = store_work_dir(store, &dir_fd, err);

    if (r < 0)
        return r;
    fd = openat(dir_fd, MARKER_LIST, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_errno(err, "cannot create '%s/work/%s/" MARKER_LIST "'", store->path,
                           store->work_name);
    r = io_write_full(fd, lines->data, lines->size);
    if (r < 0) {
        errno = -r;
        return error_errno(err, "cannot write '%s/work/%s/" MARKER_LIST "'", store->path,
                           store->work_name);
    }
    return 0;
}

void store_unmark_dead(struct store *store)
{
    if (store->work_fd >= 0)
        (void)unlinkat(store->work_fd, MARKER_LIST, 0); /* goes with the directory otherwise */
}

static int remove_work_dir(struct store *store, const char *name, int fd, struct error *err)
{
    int r = recover_markers(store, fd, err);

    if (r == 0 && FAILPOINT("recover.remove") < 0)
        r = error_errno(err, "cannot remove '%s/work/%s'", store->path, name);
    if (r < 0)
        return r; /* the markers are still there for the next one */
    r = io_remove_tree(store->dirs[STORE_WORK], name);
    if (r < 0) {
        errno = -r;
        return error_errno(err, "cannot remove '%s/work/%s'", store->path, name);
    }
    return 0;
}

/* Opens a leftover and takes its lock; -1 when it lives or is gone. */
static int lock_leftover(int dir_fd, const char *name)
{
    /* O_NONBLOCK: a fifo must not hold us up. */
    auto_close int fd =
        openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -1;
    return steal_fd(&fd);
}

static int recover_work(struct store *store, const char *name, struct error *err)
{
    int work_fd = store->dirs[STORE_WORK];
    auto_close int fd = lock_leftover(work_fd, name);
    struct stat st;

    if (fd < 0)
        return 0;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        return remove_work_dir(store, name, fd, err);
    if (unlinkat(work_fd, name, 0) < 0 && errno != ENOENT)
        return error_errno(err, "cannot remove '%s/work/%s'", store->path, name);
    return 0;
}

/* Nothing but partial/ has a name in tmp/ while it lives, unless it is locked. */
static int recover_temp(struct store *store, const char *name, struct error *err)
{
    int tmp_fd = store->dirs[STORE_TMP];
    auto_close int fd = -1;
    int r;

    if (strcmp(name, "partial") == 0)
        return 0;
    fd = lock_leftover(tmp_fd, name);
    if (fd < 0)
        return 0;
    r = io_remove_tree(tmp_fd, name);
    if (r < 0) {
        errno = -r;
        return error_errno(err, "cannot remove '%s/tmp/%s'", store->path, name);
    }
    return 0;
}

/* A download that nobody has gone on with for a week is no use any more. */
static int recover_partial(struct store *store, const char *name, struct error *err)
{
    auto_close int fd = -1;
    struct stat st;

    if (fstatat(store->partial_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        st.st_mtim.tv_sec > io_now_ns() / 1000000000 - PARTIAL_AGE_MAX_S)
        return 0;
    fd = lock_leftover(store->partial_fd, name);
    if (fd >= 0 && unlinkat(store->partial_fd, name, 0) < 0 && errno != ENOENT)
        return error_errno(err, "cannot remove '%s/tmp/partial/%s'", store->path, name);
    return 0;
}

static void recover_dir(struct store *store, int dir_fd,
                        int (*recover)(struct store *store, const char *name, struct error *err))
{
    auto_strv struct strv names = {0};
    struct error err = {0};
    int r = list_names(dir_fd, &names);

    if (r < 0)
        return; /* nothing can be removed then; whoever needs the directory will say so */
    for (size_t i = 0; i < names.count; i++) {
        r = recover(store, names.items[i], &err);
        if (r < 0)
            log_warn("%s, continuing without it", err.text);
        if (r == -EBUSY)
            return; /* one wait for the database is enough */
    }
}

void store_recover(struct store *store)
{
    recover_dir(store, store->dirs[STORE_WORK], recover_work);
    recover_dir(store, store->dirs[STORE_TMP], recover_temp);
    recover_dir(store, store->partial_fd, recover_partial);
}

void store_work_retire(struct store *store)
{
    struct error err = {0};

    if (store->work_fd < 0)
        return;
    /* On failure it stays, unlocked: the next one to open the store tries again. */
    if (!store->db || remove_work_dir(store, store->work_name, store->work_fd, &err) < 0)
        log_debug("left '%s/work/%s': %s", store->path, store->work_name, err.text);
    cleanup_close_fd(&store->work_fd);
}

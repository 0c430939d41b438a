/* fsck.c - the order of a check: directories, database, leftovers, contents, what nobody knows.
 *
 * The checks of rows against files are in fsck_content.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/fsck_internal.h"

#include "fs/base/banned.h"

#define GRACE_NS (600ll * 1000000000) /* S8: what a live process may still give a row */
#define SENTENCE_SIZE 512

const char *fsck_kind_name(enum fsck_kind kind)
{
    switch (kind) {
    case FSCK_DATABASE:
        return "database";
    case FSCK_MISSING:
        return "missing";
    case FSCK_SIZE:
        return "size";
    case FSCK_CONTENT:
        return "content";
    case FSCK_CLOSURE:
        return "closure";
    case FSCK_ORPHAN:
        return "orphan";
    case FSCK_LEFTOVER:
        return "leftover";
    case FSCK_MODE:
        return "mode";
    }
    return "unknown";
}

void fsck_say(struct fsck *f, enum fsck_kind kind, bool is_repaired, const char *object,
              const char *fmt, ...)
{
    struct fsck_problem problem = {.kind = kind, .object = object, .is_repaired = is_repaired};
    char text[SENTENCE_SIZE];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args); /* cut if need be */
    va_end(args);
    problem.text = text;
    f->result->problem_count++;
    f->result->repaired_count += is_repaired;
    if (f->options->report)
        f->options->report(f->options->context, &problem);
}

/* -- directories: before the store is opened, for it refuses those of others -- */

static void check_dir(struct fsck *f, int root_fd, const char *name)
{
    auto_close int fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool is_repaired;
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        return; /* opening makes it */
    if (fd < 0 || fstat(fd, &st) < 0) {
        fsck_say(f, FSCK_MODE, false, name, "it cannot be opened as a directory");
        return;
    }
    f->result->object_count++;
    if (st.st_uid != geteuid()) {
        fsck_say(f, FSCK_MODE, false, name, "it belongs to user %u", st.st_uid);
        return;
    }
    if ((st.st_mode & 07777) == 0700)
        return;
    is_repaired = f->options->repair && fchmod(fd, 0700) == 0;
    fsck_say(f, FSCK_MODE, is_repaired, name, "its mode is %04o instead of 0700",
             st.st_mode & 07777u);
}

static int check_dirs(struct fsck *f, const char *path, struct error *err)
{
    static const char *const names[] = {".",     "blobs", "blobs/sha256", "blobs/sha512", "packs",
                                        "index", "tmp",   "work",         "tmp/partial",  "logs"};
    auto_close int root_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (root_fd < 0 && errno != ENOENT)
        return error_errno(err, "cannot open the state directory '%s'", path);
    /* Any directory could be asked about; only a store gets locks and directories. */
    if (root_fd < 0 || (faccessat(root_fd, "img.db", F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
                        faccessat(root_fd, "blobs/sha256", F_OK, AT_SYMLINK_NOFOLLOW) < 0))
        return error_set(err, ENOENT, "there is no store at '%s'", path);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        check_dir(f, root_fd, names[i]);
    return 0;
}

/* -- the database -- */

static int rebuild(struct fsck *f, const char *why, struct error *err)
{
    int r = f->options->repair ? store_rebuild(f->store, err) : 0;

    fsck_say(f, FSCK_DATABASE, f->options->repair && r == 0, "img.db", "%s", why);
    return r;
}

/* -- names in a directory -- */

typedef int name_fn(struct fsck *f, int dir_fd, const char *dir_name, const char *name,
                    struct error *err);

static int each_name(struct fsck *f, int dir_fd, const char *dir_name, name_fn *fn,
                     struct error *err)
{
    int fd = dir_fd < 0 ? -1 : openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int r = 0;

    if (dir_fd < 0)
        return 0; /* an older store that cannot be written to */
    if (!dir) {
        cleanup_close_fd(&fd);
        return error_errno(err, "cannot list '%s/%s'", f->store->path, dir_name);
    }
    while (r == 0 && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = fn(f, dir_fd, dir_name, entry->d_name, err);
    (void)closedir(dir); /* it was only read */
    return r;
}

/* -- the database again -- */

static int count_name(struct fsck *f, int dir_fd, const char *dir_name, const char *name,
                      struct error *err)
{
    (void)dir_fd, (void)dir_name, (void)name, (void)err;
    f->name_count++;
    return 0;
}

/* As a process leaves it that was killed before it made the tables: opening makes them. */
static bool is_not_begun(struct fsck *f)
{
    struct error ignored = {0}; /* what cannot be listed is not known to be empty */
    int r = 0;

    for (unsigned kind = 0; kind < OBJECT_KIND_COUNT && r == 0; kind++)
        r = each_name(f, object_dir(f->store, kind), object_dir_name(kind), count_name, &ignored);
    return f->store->is_blank && r == 0 && f->name_count == 0;
}

static int check_database_pages(struct fsck *f, struct error *err)
{
    auto_strv struct strv findings = {0};
    int r;

    if (!f->store->db && is_not_begun(f))
        return 0;
    if (!f->store->db)
        return rebuild(f, f->store->damage, err);
    r = check_database(f->store, f->options->quick, &findings, err);
    if (r < 0 || findings.count == 0)
        return r;
    return rebuild(f, findings.items[0], err);
}

/* -- leftovers -- */

/* What can be locked belongs to nobody alive. */
static int find_leftover(struct fsck *f, int dir_fd, const char *dir_name, const char *name,
                         struct error *err)
{
    auto_close int fd =
        openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    (void)err;
    if (dir_fd == f->store->dirs[STORE_TMP] && strcmp(name, "partial") == 0)
        return 0;
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
        strv_addf(&f->leftovers, "%s/%s", dir_name, name);
    return 0;
}

/* A mere opening of the store would remove them. */
static int check_leftovers(struct fsck *f, struct error *err)
{
    int r = each_name(f, f->store->dirs[STORE_WORK], "work", find_leftover, err);

    if (r == 0)
        r = each_name(f, f->store->dirs[STORE_TMP], "tmp", find_leftover, err);
    if (r == 0 && f->options->repair && f->leftovers.count > 0)
        store_recover(f->store);
    for (size_t i = 0; i < f->leftovers.count && r == 0; i++) {
        const char *name = f->leftovers.items[i];
        bool is_there = faccessat(f->store->dirs[STORE_ROOT], name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;

        fsck_say(f, FSCK_LEFTOVER, f->options->repair && !is_there, name, "a dead process left it");
    }
    return r;
}

/* -- files nobody knows, or everybody may touch -- */

static bool is_young(const struct stat *st)
{
    int64_t changed_ns = io_time_ns(st->st_ctim.tv_sec, st->st_ctim.tv_nsec);

    return changed_ns > io_now_ns() - GRACE_NS;
}

static int kind_of_dir(const struct fsck *f, int dir_fd)
{
    for (unsigned kind = 0; kind < OBJECT_KIND_COUNT; kind++)
        if (object_dir(f->store, kind) == dir_fd)
            return (int)kind;
    return -1;
}

/* Alone with the store (repair) every file without a row is an orphan; else young ones may be
 * about to get theirs. */
static int check_orphan(struct fsck *f, int dir_fd, const char *dir_name, const char *name,
                        struct error *err)
{
    int kind = kind_of_dir(f, dir_fd);
    char path[SENTENCE_SIZE];
    struct object object;
    bool is_repaired = false;
    bool has_row = false;
    struct stat st;
    int r = 0;

    if (kind >= 0 && object_parse_name((enum object_kind)kind, name, &object))
        r = object_has_row(f->store, &object, &has_row, err);
    if (r < 0 || has_row)
        return r;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        (!f->options->repair && is_young(&st)))
        return 0;
    if (f->options->repair)
        is_repaired = io_remove_tree(dir_fd, name) == 0;
    (void)snprintf(path, sizeof(path), "%s/%s", dir_name, name);
    fsck_say(f, FSCK_ORPHAN, is_repaired, path, "no row knows it");
    return 0;
}

static int check_mode(struct fsck *f, int dir_fd, const char *dir_name, const char *name,
                      struct error *err)
{
    char path[SENTENCE_SIZE];
    bool is_repaired = false;
    struct stat st;

    (void)err;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return 0; /* gone meanwhile; or a directory, seen to elsewhere */
    f->result->object_count++;
    (void)snprintf(path, sizeof(path), "%s%s%s", dir_name, *dir_name ? "/" : "", name);
    if (st.st_uid != geteuid()) {
        fsck_say(f, FSCK_MODE, false, path, "it belongs to user %u", st.st_uid);
        return 0;
    }
    if ((st.st_mode & 07777 & ~0600u) == 0)
        return 0;
    if (f->options->repair)
        is_repaired = fchmodat(dir_fd, name, 0600, AT_SYMLINK_NOFOLLOW) == 0;
    fsck_say(f, FSCK_MODE, is_repaired, path, "its mode is %04o instead of 0600",
             st.st_mode & 07777u);
    return 0;
}

/* A download is named by the digest it shall have; nothing else belongs among them. */
static int check_partial(struct fsck *f, int dir_fd, const char *dir_name, const char *name,
                         struct error *err)
{
    char path[SENTENCE_SIZE];
    bool is_repaired = false;
    struct error ignored; /* whether it is a name is all that counts */
    struct digest digest;
    struct stat st;

    if (digest_parse_hex(name, &digest, &ignored) == 0 &&
        (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISREG(st.st_mode)))
        return check_mode(f, dir_fd, dir_name, name, err);
    if (f->options->repair)
        is_repaired = io_remove_tree(dir_fd, name) == 0;
    (void)snprintf(path, sizeof(path), "%s/%s", dir_name, name);
    fsck_say(f, FSCK_ORPHAN, is_repaired, path, "it is no download");
    return 0;
}

static int check_names(struct fsck *f, struct error *err)
{
    int r = 0;

    for (unsigned kind = 0; kind < OBJECT_KIND_COUNT && r == 0; kind++) {
        int dir_fd = object_dir(f->store, kind);

        r = each_name(f, dir_fd, object_dir_name(kind), check_orphan, err);
        if (r == 0)
            r = each_name(f, dir_fd, object_dir_name(kind), check_mode, err);
    }
    if (r == 0)
        r = each_name(f, f->store->partial_fd, "tmp/partial", check_partial, err);
    return r < 0 ? r : each_name(f, f->store->dirs[STORE_ROOT], "", check_mode, err);
}

static int check_store(struct fsck *f, struct error *err)
{
    int r = check_database_pages(f, err);

    if (r < 0 || !f->store->db)
        return r; /* without rows nothing can be compared */
    r = check_leftovers(f, err);
    if (r == 0)
        r = fsck_blobs(f, err);
    if (r == 0)
        r = fsck_packs(f, err);
    if (r == 0)
        r = fsck_layers(f, err);
    if (r == 0)
        r = fsck_images(f, err);
    if (r == 0)
        r = fsck_files(f, err);
    return r < 0 ? r : check_names(f, err);
}

int fsck_run(const char *path, const struct fsck_options *options, struct fsck_result *result,
             struct error *err)
{
    struct store_options store_options = {.must_exist = true, .allow_remote = true};
    auto_store struct store *store = NULL;
    struct fsck f = {.options = options, .result = result};
    unsigned flags = STORE_OPEN_CHECK | (options->repair ? STORE_OPEN_EXCLUSIVE : 0u);
    int r;

    *result = (struct fsck_result){0};
    r = check_dirs(&f, path, err);
    /* Nothing opens a store whose directories are wrong, so nothing more can be said. */
    if (r < 0 || result->problem_count > result->repaired_count)
        return r;
    r = store_open_with(path, &store_options, flags, options->wait_ms, &store, err);
    if (r == 0 && options->repair)
        r = store_check_writable(store, err);
    if (r < 0)
        return r;
    f.store = store;
    r = check_store(&f, err);
    strv_release(&f.leftovers);
    return r;
}

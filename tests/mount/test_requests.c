/* test_requests.c - how many requests an operation costs, the true measure of this filesystem's
 * speed: unlike times, the numbers are the same on every machine.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/rig.h"

#define OPCODES 64

/* Requests since the last call, as "LOOKUP 1, CREATE 1", FORGETs left out: those come whenever the
 * kernel likes. */
struct meter {
    const struct rig *rig;
    uint64_t before[OPCODES];
    char text[512];
};

static const char *spent(struct meter *m)
{
    uint64_t now[OPCODES];
    size_t size = 0;

    mount_counts(m->rig->mount, now, OPCODES);
    m->text[0] = '\0';
    for (unsigned i = 0; i < OPCODES; i++) {
        uint64_t count = now[i] - m->before[i];

        if (count == 0 || i == FUSE_FORGET || i == FUSE_BATCH_FORGET)
            continue;
        size += (size_t)snprintf(m->text + size, sizeof(m->text) - size, "%s%s %ju",
                                 size ? ", " : "", mount_opcode_name(i), (uintmax_t)count);
    }
    memcpy(m->before, now, sizeof(now));
    return m->text;
}

struct paths {
    char directory[512];
};

/* Runs `fn` in the mount and tells what it spent. */
static const char *cost(struct meter *m, mountns_fn *fn)
{
    struct paths paths = {0};

    (void)snprintf(paths.directory, sizeof(paths.directory), "%s", m->rig->directory);
    check_int(mountns_run(m->rig->ns, fn, &paths, sizeof(paths), NULL), 0);
    return spent(m);
}

static int enter(const void *argument)
{
    const struct paths *paths = argument;

    return chdir(paths->directory) < 0 ? 1 : 0;
}

#define IN_MOUNT(name)                                                                             \
    static int name##_there(void);                                                                 \
    static int name(const void *argument)                                                          \
    {                                                                                              \
        return enter(argument) != 0 ? 1 : name##_there();                                          \
    }                                                                                              \
    static int name##_there(void)

/* What the kernel asks once in the life of a connection is asked here, and what later tests use is
 * made and known. */
IN_MOUNT(settle)
{
    struct stat st;
    char bytes[16];
    int fd = open("known", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || dir < 0 || close(open("known", O_RDONLY | O_CLOEXEC)) < 0 ||
        write(fd, "0123456789", 10) != 10 || pread(fd, bytes, 4, 0) != 4 || fsync(fd) < 0 ||
        close(fd) < 0 || fsync(dir) < 0 || close(dir) < 0 || mkdir("d", 0755) < 0 ||
        mkdir("e", 0755) < 0 || symlink("known", "s") < 0 ||
        readlink("s", bytes, sizeof(bytes)) < 0 || stat("absent", &st) == 0 ||
        stat("e/absent", &st) == 0 || access("known", R_OK) < 0)
        return 1;
    for (char name[] = "d/0"; name[2] <= '9'; name[2]++)
        if (close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)) < 0 || stat(name, &st) < 0)
            return 1;
    return stat("known", &st) < 0 || stat(".", &st) < 0 || stat("d", &st) < 0 || stat("e", &st) < 0;
}

static void start(struct meter *m, struct rig *r, const struct mount_options *options)
{
    *m = (struct meter){.rig = r};
    rig_mount(r, NULL, 0, options);
    (void)cost(m, settle);
}

#define COSTS(claim, fn, expected)                                                                 \
    TEST(requests, claim)                                                                          \
    {                                                                                              \
        auto_rig struct rig *r = rig_new();                                                        \
        struct meter m;                                                                            \
                                                                                                   \
        start(&m, r, NULL);                                                                        \
        check_text(cost(&m, fn), expected);                                                        \
        rig_unmount(r);                                                                            \
    }

IN_MOUNT(create)
{
    int fd = open("e/new", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

    return fd < 0 || write(fd, "small", 5) != 5 || close(fd) < 0;
}
/* A name is looked up before it is made. GETXATTR: a first write has to know whether there are file
 * capabilities to take away. No OPEN, no FLUSH, no RELEASE. */
COSTS(a_small_new_file_costs_four, create, "LOOKUP 1, WRITE 1, GETXATTR 1, CREATE 1")

IN_MOUNT(create_two)
{
    int fd = open("e/second", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

    return create_there() != 0 || fd < 0 || write(fd, "small", 5) != 5 || close(fd) < 0;
}
/* Once a directory has changed, the kernel asks for its mode again before it allows the next
 * change (default_permissions). */
COSTS(the_next_one_costs_five, create_two, "LOOKUP 2, GETATTR 1, WRITE 2, GETXATTR 2, CREATE 2")

IN_MOUNT(make_empty)
{
    return close(open("e/empty", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
}
COSTS(an_empty_file_costs_two, make_empty, "LOOKUP 1, CREATE 1")

IN_MOUNT(make_directory)
{
    return mkdir("e/new", 0755);
}
COSTS(a_directory_costs_two, make_directory, "LOOKUP 1, MKDIR 1")

IN_MOUNT(make_link)
{
    return symlink("x", "e/new");
}
COSTS(a_symlink_costs_two, make_link, "LOOKUP 1, SYMLINK 1")

IN_MOUNT(make_hard_link)
{
    return link("d/1", "e/new");
}
COSTS(a_hard_link_costs_two, make_hard_link, "LOOKUP 1, LINK 1")

IN_MOUNT(stat_known)
{
    struct stat st;

    for (int i = 0; i < 100; i++)
        if (stat("known", &st) < 0 || access("known", R_OK) < 0)
            return 1;
    return 0;
}
COSTS(a_known_name_costs_nothing, stat_known, "")

IN_MOUNT(stat_absent)
{
    struct stat st;

    for (int i = 0; i < 100; i++)
        if (stat("e/absent", &st) == 0)
            return 1;
    return 0;
}
COSTS(a_known_miss_costs_nothing, stat_absent, "")

IN_MOUNT(stat_new_miss)
{
    struct stat st;

    return stat("e/other", &st) == 0 || stat("e/other", &st) == 0;
}
COSTS(a_new_miss_costs_one, stat_new_miss, "LOOKUP 1")

IN_MOUNT(follow_link)
{
    struct stat st;
    char bytes[16];

    for (int i = 0; i < 100; i++)
        if (stat("s", &st) < 0 || readlink("s", bytes, sizeof(bytes)) < 0)
            return 1;
    return 0;
}
COSTS(a_known_link_costs_nothing, follow_link, "")

IN_MOUNT(read_known)
{
    char bytes[16];

    for (int i = 0; i < 100; i++) {
        int fd = open("known", O_RDONLY | O_CLOEXEC);

        if (fd < 0 || read(fd, bytes, 4) != 4 || close(fd) < 0)
            return 1;
    }
    return 0;
}
/* What was read stays in the page cache from one open to the next. */
COSTS(a_file_read_before_costs_nothing, read_known, "")

static int list(const char *directory)
{
    int count = 0;
    DIR *dir = opendir(directory);

    while (dir && readdir(dir))
        count++;
    return !dir || closedir(dir) < 0 ? -1 : count;
}

IN_MOUNT(list_twice)
{
    return list("d") != 12 || list("d") != 12 || list("d") != 12;
}
/* One for the names with their attributes, one that finds the end; then they are known. Reading a
 * directory may have moved its time of access, so that is asked for once more. */
COSTS(a_listing_is_asked_for_once, list_twice, "GETATTR 1, READDIRPLUS 2")

IN_MOUNT(make_long_directory)
{
    char name[32];

    if (mkdir("long", 0755) < 0)
        return 1;
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof(name), "long/%d", i);
        if (close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)) < 0)
            return 1;
    }
    return 0;
}

IN_MOUNT(look_at_long_directory)
{
    struct dirent *entry;
    struct stat st;
    DIR *dir = opendir("long");
    char *names[2002];
    size_t count = 0;

    while (dir && count < 2002 && (entry = readdir(dir)))
        names[count++] = strdup(entry->d_name);
    for (size_t i = 0; i < count; i++)
        if (fstatat(dirfd(dir), names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
            return 1;
    return count != 2002 || closedir(dir) < 0;
}

/* Names far behind in a listing have been told with their attributes too. */
TEST(requests, a_listed_directory_has_no_name_left_to_look_up)
{
    auto_rig struct rig *r = rig_new();
    struct meter m;
    int64_t layer;
    uint64_t listings;

    start(&m, r, NULL);
    (void)cost(&m, make_long_directory);
    layer = rig_seal(r);
    m = (struct meter){.rig = r};
    rig_mount(r, &layer, 1, NULL);
    (void)cost(&m, look_at_long_directory);
    check_int(rig_count(r, FUSE_LOOKUP), 1); /* of the directory */
    listings = rig_count(r, FUSE_READDIRPLUS);
    check_true(listings > 1 && listings < 20);
    rig_unmount(r);
}

IN_MOUNT(change_mode)
{
    return chmod("d/1", 0600);
}
COSTS(a_chmod_costs_one, change_mode, "SETATTR 1")

IN_MOUNT(set_times)
{
    return utimensat(AT_FDCWD, "d/1", NULL, 0);
}
COSTS(setting_times_costs_one, set_times, "SETATTR 1")

IN_MOUNT(change_owner)
{
    return chown("d/1", 1, 1);
}
/* A chown takes file capabilities away, so the kernel wants to know whether there are any. */
COSTS(a_chown_costs_two, change_owner, "SETATTR 1, GETXATTR 1")

IN_MOUNT(rename_one)
{
    return rename("d/1", "d/new");
}
COSTS(a_rename_costs_two, rename_one, "LOOKUP 1, RENAME 1")

IN_MOUNT(replace_one)
{
    return rename("d/1", "d/2");
}
/* The kernel looks a name that a rename is to replace up anew, known or not. */
COSTS(a_rename_onto_a_known_name_costs_two, replace_one, "LOOKUP 1, RENAME 1")

IN_MOUNT(remove_one)
{
    return unlink("d/1");
}
COSTS(an_unlink_costs_one, remove_one, "UNLINK 1")

IN_MOUNT(remove_two)
{
    return unlink("d/1") < 0 || unlink("d/2") < 0;
}
/* As with creating: the directory has changed, so its mode is asked for. */
COSTS(the_next_unlink_costs_two, remove_two, "GETATTR 1, UNLINK 2")

IN_MOUNT(remove_directory)
{
    return rmdir("e");
}
COSTS(an_rmdir_costs_one, remove_directory, "RMDIR 1")

IN_MOUNT(write_in_pieces)
{
    static char piece[4096];
    int fd = open("known", O_WRONLY | O_CLOEXEC);

    memset(piece, 'p', sizeof(piece)); /* a page that is not there yet would split a request */
    for (int i = 0; i < 64; i++)
        if (write(fd, piece, sizeof(piece)) != sizeof(piece))
            return 1;
    return close(fd);
}
/* One request a write, and one GETXATTR for all of them: FUSE_HANDLE_KILLPRIV_V2. */
COSTS(each_write_costs_one, write_in_pieces, "WRITE 64, GETXATTR 1")

IN_MOUNT(write_much)
{
    static char piece[4 << 20];
    int fd = open("known", O_WRONLY | O_CLOEXEC);

    memset(piece, 'p', sizeof(piece)); /* pages that are not there yet would split the requests */
    return write(fd, piece, sizeof(piece)) != sizeof(piece) || close(fd) < 0;
}
/* Requests carry 1 MiB. */
COSTS(four_mebibytes_cost_four_writes, write_much, "WRITE 4, GETXATTR 1")

IN_MOUNT(truncate_by_open)
{
    return close(open("d/1", O_WRONLY | O_TRUNC | O_CLOEXEC));
}
/* File capabilities again. */
COSTS(truncation_by_open_costs_two, truncate_by_open, "SETATTR 1, GETXATTR 1")

IN_MOUNT(read_new_page)
{
    static char page[4096];
    int fd = open("e/page", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644);

    memset(page, 'p', sizeof(page)); /* a page that is not there yet would split a request */
    return fd < 0 || write(fd, page, sizeof(page)) != sizeof(page) ||
           pread(fd, page, sizeof(page), 0) != sizeof(page) || close(fd) < 0;
}
/* A page that was written as a whole is in the page cache, */
COSTS(a_page_just_written_is_not_read, read_new_page, "LOOKUP 1, WRITE 1, GETXATTR 1, CREATE 1")

IN_MOUNT(read_new_piece)
{
    char bytes[16];
    int fd = open("e/piece", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644);

    return fd < 0 || write(fd, "small", 5) != 5 || pread(fd, bytes, 5, 0) != 5 || close(fd) < 0;
}
/* and a piece of one is not. */
COSTS(a_piece_of_a_page_just_written_is_read, read_new_piece,
      "LOOKUP 1, READ 1, WRITE 1, GETXATTR 1, CREATE 1")

/* -- what programs do with each file -- */

IN_MOUNT(unpack_as_tar)
{
    int fd = open("e/new", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    return fd < 0 || write(fd, "small", 5) != 5 || futimens(fd, NULL) < 0 || fchown(fd, 0, 0) < 0 ||
           fchmod(fd, 0644) < 0 || close(fd) < 0;
}
/* GETXATTR: before the write, and because a chown takes file capabilities away. */
COSTS(a_file_unpacked_by_tar_costs_eight, unpack_as_tar,
      "LOOKUP 1, SETATTR 3, WRITE 1, GETXATTR 2, CREATE 1")

IN_MOUNT(unpack_as_dpkg)
{
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    struct stat st;
    int fd;

    if (lstat("e/f", &st) == 0 || lstat("e/f.dpkg-tmp", &st) == 0 ||
        lstat("e/f.dpkg-new", &st) == 0)
        return 1;
    fd = open("e/f.dpkg-new", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    return fd < 0 || write(fd, "small", 5) != 5 || fchown(fd, 0, 0) < 0 || fchmod(fd, 0644) < 0 ||
           fsync(fd) < 0 || close(fd) < 0 || utimensat(AT_FDCWD, "e/f.dpkg-new", times, 0) < 0 ||
           rename("e/f.dpkg-new", "e/f") < 0;
}
/* No FSYNC. What is made with O_EXCL, and what a rename is to replace, the kernel looks up anew;
 * the directory's mode it asks for once more, after the file was made. */
COSTS(a_file_unpacked_by_dpkg_costs_fourteen, unpack_as_dpkg,
      "LOOKUP 5, GETATTR 1, SETATTR 3, RENAME 1, WRITE 1, GETXATTR 2, CREATE 1")

/* -- files of the layers below -- */

IN_MOUNT(make_below)
{
    int fd;

    if (mkdir("below", 0755) < 0 || mkdir("below/dir", 0755) < 0)
        return 1;
    fd = open("below/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    return fd < 0 || write(fd, "0123456789", 10) != 10 || close(fd) < 0;
}

IN_MOUNT(settle_below)
{
    struct stat st;
    int fd = open("known", O_RDONLY | O_CLOEXEC);

    return fd < 0 || close(fd) < 0 || list("d") != 12 || stat("below", &st) < 0;
}

#define COSTS_BELOW(claim, fn, expected)                                                           \
    TEST(requests, claim)                                                                          \
    {                                                                                              \
        auto_rig struct rig *r = rig_new();                                                        \
        struct meter m;                                                                            \
        int64_t layer;                                                                             \
                                                                                                   \
        start(&m, r, NULL);                                                                        \
        (void)cost(&m, make_below);                                                                \
        layer = rig_seal(r);                                                                       \
        m = (struct meter){.rig = r};                                                              \
        rig_mount(r, &layer, 1, NULL);                                                             \
        (void)cost(&m, settle_below);                                                              \
        check_text(cost(&m, fn), expected);                                                        \
        rig_unmount(r);                                                                            \
    }

static int read_file(const char *path)
{
    char bytes[16];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 || read(fd, bytes, sizeof(bytes)) != 10 || close(fd) < 0;
}

IN_MOUNT(read_below)
{
    return read_file("below/file");
}
COSTS_BELOW(a_cold_read_costs_two, read_below, "LOOKUP 1, READ 1")

IN_MOUNT(read_below_and_stat)
{
    struct stat st;

    for (int i = 0; i < 100; i++)
        if (read_file("below/file") != 0 || stat("below/file", &st) < 0)
            return 1;
    return 0;
}
/* The kernel takes it that a READ moves the time of access, so it asks once for the attributes. */
COSTS_BELOW(a_stat_after_a_cold_read_costs_one, read_below_and_stat, "LOOKUP 1, GETATTR 1, READ 1")

IN_MOUNT(append_below)
{
    int fd = open("below/file", O_WRONLY | O_APPEND | O_CLOEXEC);

    return fd < 0 || write(fd, "x", 1) != 1 || close(fd) < 0;
}
/* Nothing is copied up, and nothing is read. */
COSTS_BELOW(an_append_to_a_lower_file_costs_three, append_below, "LOOKUP 1, WRITE 1, GETXATTR 1")

IN_MOUNT(change_mode_below)
{
    return chmod("below/file", 0600);
}
COSTS_BELOW(a_chmod_of_a_lower_file_costs_two, change_mode_below, "LOOKUP 1, SETATTR 1")

IN_MOUNT(change_owner_below)
{
    return lchown("below/file", 1, 1);
}
COSTS_BELOW(a_chown_of_a_lower_file_costs_three, change_owner_below,
            "LOOKUP 1, SETATTR 1, GETXATTR 1")

IN_MOUNT(rename_below)
{
    return rename("below/file", "below/other");
}
COSTS_BELOW(a_rename_of_a_lower_file_costs_three, rename_below, "LOOKUP 2, RENAME 1")

IN_MOUNT(rename_directory_below)
{
    return rename("below/dir", "below/other");
}
COSTS_BELOW(a_rename_of_a_lower_directory_costs_the_same, rename_directory_below,
            "LOOKUP 2, RENAME 1")

IN_MOUNT(remove_below)
{
    return unlink("below/file");
}
COSTS_BELOW(an_unlink_of_a_lower_file_costs_two, remove_below, "LOOKUP 1, UNLINK 1")

IN_MOUNT(link_below)
{
    return link("below/file", "below/other");
}
COSTS_BELOW(a_link_to_a_lower_file_costs_three, link_below, "LOOKUP 2, LINK 1")

IN_MOUNT(walk_below)
{
    struct stat st;

    return list("below") != 4 || lstat("below/file", &st) < 0 || lstat("below/dir", &st) < 0 ||
           list("below/dir") != 2;
}
/* Two for each directory, nothing for what it holds. */
COSTS_BELOW(a_walk_costs_two_for_each_directory, walk_below, "READDIRPLUS 4")

IN_MOUNT(ask_what_is_not_there)
{
    struct statx stx;
    int fd = open("known", O_RDWR | O_CLOEXEC);

    for (int i = 0; i < 10; i++)
        if (fsync(fd) < 0 || access("known", R_OK) < 0 ||
            statx(AT_FDCWD, "known", 0, STATX_BTIME, &stx) < 0)
            return 1;
    return close(fd);
}
/* ENOSYS is said once: to FLUSH, FSYNC, OPEN and OPENDIR while settling, to STATX here. */
COSTS(what_is_not_supported_is_asked_once, ask_what_is_not_there, "STATX 1")

IN_MOUNT(use_every_operation_that_stays)
{
    int fd = open("known", O_RDWR | O_CLOEXEC);
    int out = open("out", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    loff_t from = 0;
    loff_t to = 0;

    if (fd < 0 || out < 0)
        return 1;
    for (int i = 0; i < 3; i++)
        if (lseek(fd, 0, SEEK_DATA) != 0 || fallocate(out, 0, 0, 4096 * (i + 1)) < 0 ||
            copy_file_range(fd, &from, out, &to, 2, 0) != 2 ||
            renameat2(AT_FDCWD, "out", AT_FDCWD, "known", RENAME_EXCHANGE) < 0 ||
            close(open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) < 0 ||
            setxattr("known", "user.a", "b", 1, 0) < 0 || removexattr("known", "user.a") < 0)
            return 1;
    return 0;
}
/* The opposite: none of these may ever be answered ENOSYS, which would end it for good. */
TEST(requests, what_is_supported_is_asked_every_time)
{
    auto_rig struct rig *r = rig_new();
    struct meter m;

    start(&m, r, NULL);
    (void)cost(&m, use_every_operation_that_stays);
    check_int(rig_count(r, FUSE_LSEEK), 3);
    check_int(rig_count(r, FUSE_FALLOCATE), 3);
    check_int(rig_count(r, FUSE_COPY_FILE_RANGE), 3);
    check_int(rig_count(r, FUSE_TMPFILE), 3);
    check_int(rig_count(r, FUSE_SETXATTR), 3);
    check_int(rig_count(r, FUSE_REMOVEXATTR), 3);
    rig_unmount(r);
}

static int sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? -1 : close(fd);
}

IN_MOUNT(write_in_pieces_and_flush)
{
    return write_in_pieces_there() != 0 || sync_file("known") < 0;
}
/* With the write-back cache many small writes are one request. */
TEST(requests, the_writeback_cache_gathers_writes)
{
    auto_rig struct rig *r = rig_new();
    struct mount_options options = {.writeback = true};
    struct meter m;
    uint64_t before;

    start(&m, r, &options);
    before = rig_count(r, FUSE_WRITE);
    (void)cost(&m, write_in_pieces_and_flush);
    check_true(rig_count(r, FUSE_WRITE) - before < 8); /* how many is up to the flusher */
    rig_unmount(r);
}

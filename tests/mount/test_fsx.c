/* test_fsx.c - random reads, writes, mappings, truncations and holes on one file of a mounted view,
 * every byte compared with a copy in memory (SECURITY R30).
 *
 * The numbers come from a fixed seed. IMG_FSX_OPS=1000000 runs more than the usual 20,000.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/mount/rig.h"

#define SIZE_MAX_BYTES (512u << 10)
#define PIECE_MAX (80u << 10)
#define PAGE 4096u
#define LOWER_BYTES 200000u

struct order {
    char path[512];
    unsigned seed;
    unsigned long count;
};

struct model {
    int fd;
    const char *path;
    uint64_t random;
    size_t size;
    uint8_t bytes[SIZE_MAX_BYTES];
    uint8_t scratch[SIZE_MAX_BYTES];
    char last[160]; /* what was done last, for the message */
};

static uint32_t pick(struct model *m, uint32_t below)
{
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(m->random >> 33) % below;
}

static _Noreturn void fail(const struct model *m, const char *what)
{
    printf("%s: %s (%s)\n", m->last, what, strerror(errno));
    fflush(stdout);
    _exit(1);
}

#define DO(m, ...) (void)snprintf((m)->last, sizeof((m)->last), __VA_ARGS__)

/* The model's file has size `end` now; what was beyond its old end is zero. */
static void grow(struct model *m, size_t end)
{
    if (end > m->size)
        memset(m->bytes + m->size, 0, end - m->size);
    m->size = end > m->size ? end : m->size;
}

static void fill(struct model *m, uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(pick(m, 255) + 1);
}

static void do_write(struct model *m)
{
    size_t at = pick(m, SIZE_MAX_BYTES - PIECE_MAX);
    size_t size = 1 + pick(m, pick(m, 4) ? 5000 : PIECE_MAX);

    DO(m, "write %zu at %zu", size, at);
    grow(m, at);
    fill(m, m->scratch, size);
    if (pwrite(m->fd, m->scratch, size, (off_t)at) != (ssize_t)size)
        fail(m, "short");
    grow(m, at + size);
    memcpy(m->bytes + at, m->scratch, size);
}

static void do_append(struct model *m)
{
    size_t size = 1 + pick(m, 3000);
    int fd;

    if (m->size + size > SIZE_MAX_BYTES)
        return;
    DO(m, "append %zu to %zu", size, m->size);
    fill(m, m->scratch, size);
    fd = open(m->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0 || write(fd, m->scratch, size) != (ssize_t)size || close(fd) < 0)
        fail(m, "short");
    memcpy(m->bytes + m->size, m->scratch, size);
    m->size += size;
}

static void do_read(struct model *m)
{
    size_t at = pick(m, SIZE_MAX_BYTES);
    size_t size = 1 + pick(m, PIECE_MAX);
    size_t expected = at >= m->size ? 0 : m->size - at < size ? m->size - at : size;
    ssize_t count;

    DO(m, "read %zu at %zu of %zu", size, at, m->size);
    if (pick(m, 3) == 0) /* from the server, not from the page cache */
        (void)posix_fadvise(m->fd, 0, 0, POSIX_FADV_DONTNEED);
    count = pread(m->fd, m->scratch, size, (off_t)at);
    if (count != (ssize_t)expected)
        fail(m, "another count");
    if (memcmp(m->scratch, m->bytes + at, expected) != 0)
        fail(m, "other bytes");
}

static void do_truncate(struct model *m)
{
    size_t size = pick(m, 8) ? pick(m, SIZE_MAX_BYTES) : 0;

    DO(m, "truncate %zu to %zu", m->size, size);
    if (ftruncate(m->fd, (off_t)size) < 0)
        fail(m, "failed");
    grow(m, size);
    m->size = size;
}

static void do_map(struct model *m)
{
    size_t at = pick(m, SIZE_MAX_BYTES) / PAGE * PAGE;
    size_t size;
    uint8_t *map;

    if (at >= m->size)
        return;
    size = 1 + pick(m, (uint32_t)(m->size - at < PIECE_MAX ? m->size - at : PIECE_MAX));
    DO(m, "map %zu at %zu of %zu", size, at, m->size);
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, (off_t)at);
    if (map == MAP_FAILED)
        fail(m, "failed");
    if (memcmp(map, m->bytes + at, size) != 0)
        fail(m, "other bytes");
    if (pick(m, 2)) {
        fill(m, map, size);
        memcpy(m->bytes + at, map, size);
    }
    if ((pick(m, 2) && msync(map, size, MS_SYNC) < 0) || munmap(map, size) < 0)
        fail(m, "not written back");
}

static void do_punch(struct model *m)
{
    static const int modes[] = {
        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_KEEP_SIZE,
        0,
    };
    int mode = modes[pick(m, 5)];
    size_t at = pick(m, SIZE_MAX_BYTES - PIECE_MAX);
    size_t size = 1 + pick(m, PIECE_MAX);

    DO(m, "fallocate %d of %zu at %zu of %zu", mode, size, at, m->size);
    if (fallocate(m->fd, mode, (off_t)at, (off_t)size) < 0)
        fail(m, "failed");
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && at < m->size)
        memset(m->bytes + at, 0, m->size - at < size ? m->size - at : size);
    if (!(mode & FALLOC_FL_KEEP_SIZE))
        grow(m, at + size);
}

static void do_copy(struct model *m)
{
    loff_t from = pick(m, SIZE_MAX_BYTES - PIECE_MAX);
    loff_t to = pick(m, SIZE_MAX_BYTES - PIECE_MAX);
    size_t size = 1 + pick(m, PIECE_MAX);
    ssize_t count;

    if ((size_t)from >= m->size || llabs(from - to) < (long long)size)
        return;
    if (size > m->size - (size_t)from)
        size = m->size - (size_t)from;
    DO(m, "copy %zu from %lld to %lld of %zu", size, (long long)from, (long long)to, m->size);
    memcpy(m->scratch, m->bytes + from, size);
    grow(m, (size_t)to);
    for (size_t done = 0; done < size; done += (size_t)count) {
        count = copy_file_range(m->fd, &from, m->fd, &to, size - done, 0);
        if (count <= 0)
            fail(m, "short");
    }
    grow(m, (size_t)to);
    memcpy(m->bytes + to - size, m->scratch, size);
}

static void do_reopen(struct model *m)
{
    DO(m, "close and open");
    if (close(m->fd) < 0)
        fail(m, "failed");
    m->fd = open(m->path, O_RDWR | O_CLOEXEC);
    if (m->fd < 0)
        fail(m, "failed");
}

/* Where the file says that there is a hole, the model must have zeros. */
static void do_seek(struct model *m)
{
    off_t hole = lseek(m->fd, (off_t)pick(m, SIZE_MAX_BYTES), SEEK_HOLE);
    off_t data;

    DO(m, "seek the data behind the hole at %lld of %zu", (long long)hole, m->size);
    if (hole < 0 || (size_t)hole >= m->size)
        return;
    data = lseek(m->fd, hole, SEEK_DATA);
    if (data < 0)
        data = (off_t)m->size;
    for (off_t i = hole; i < data; i++)
        if (m->bytes[i] != 0)
            fail(m, "data in a hole");
}

static void compare_all(struct model *m)
{
    struct stat st;

    if (fstat(m->fd, &st) < 0 || (size_t)st.st_size != m->size)
        fail(m, "another size afterwards");
    if (pread(m->fd, m->scratch, SIZE_MAX_BYTES, 0) != (ssize_t)m->size ||
        memcmp(m->scratch, m->bytes, m->size) != 0)
        fail(m, "other bytes afterwards");
}

static void open_model(struct model *m)
{
    ssize_t size;

    m->fd = open(m->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    size = m->fd < 0 ? -1 : pread(m->fd, m->bytes, SIZE_MAX_BYTES, 0);
    if (size < 0)
        fail(m, "cannot open");
    m->size = (size_t)size;
}

static int run_random(const void *argument)
{
    static void (*const operations[])(struct model *) = {
        do_write, do_write, do_append, do_read, do_read, do_read,   do_truncate,
        do_map,   do_map,   do_punch,  do_copy, do_seek, do_reopen,
    };
    static struct model m;
    const struct order *order = argument;

    m.path = order->path;
    m.random = order->seed;
    open_model(&m);
    for (unsigned long i = 0; i < order->count; i++) {
        operations[pick(&m, sizeof(operations) / sizeof(operations[0]))](&m);
        if (i % 100 == 99)
            compare_all(&m);
    }
    (void)posix_fadvise(m.fd, 0, 0, POSIX_FADV_DONTNEED);
    compare_all(&m);
    return 0;
}

static void run(struct rig *r, unsigned seed)
{
    const char *count = getenv("IMG_FSX_OPS");
    struct order order = {.seed = seed, .count = count ? strtoul(count, NULL, 10) : 20000};
    auto_str struct str out = {0};
    int status;

    (void)snprintf(order.path, sizeof(order.path), "%s/file", r->directory);
    status = mountns_run(r->ns, run_random, &order, sizeof(order), &out);
    check_text(str_text(&out), "");
    check_int(status, 0);
    check_int(view_fault(r->view, &test_err), 0);
}

TEST(fsx, random_changes_of_a_new_file_are_exact)
{
    auto_rig struct rig *r = rig_new();

    rig_mount(r, NULL, 0, NULL);
    run(r, 1);
    rig_unmount(r);
}

/* SECURITY R32. */
TEST(fsx, random_changes_with_the_writeback_cache_are_exact)
{
    auto_rig struct rig *r = rig_new();
    struct mount_options options = {.writeback = true};

    rig_mount(r, NULL, 0, &options);
    run(r, 2);
    rig_unmount(r);
}

static int64_t seal_random_file(struct rig *r)
{
    auto_free char *line = str_format("head -c %u /dev/urandom > file", LOWER_BYTES);

    rig_mount(r, NULL, 0, NULL);
    free(rig_shell(r, line));
    return rig_seal(r);
}

/* Copy on write by extent, and SECURITY R31: the layer below keeps its bytes. */
TEST(fsx, random_changes_of_a_file_below_are_exact_and_leave_it_alone)
{
    auto_rig struct rig *r = rig_new();
    int64_t layer = seal_random_file(r);
    auto_free char *before = NULL;
    auto_free char *after = NULL;

    rig_mount(r, &layer, 1, NULL);
    before = rig_shell(r, "sha256sum file");
    run(r, 3);
    rig_unmount(r);
    view_close(STEAL(&r->view));
    rig_mount(r, &layer, 1, NULL);
    after = rig_shell(r, "sha256sum file");
    check_text(after, before);
    rig_unmount(r);
}

/* What was sealed is what was written. */
TEST(fsx, a_sealed_file_is_the_one_that_was_written)
{
    auto_rig struct rig *r = rig_new();
    int64_t layers[2] = {seal_random_file(r), 0};
    auto_free char *before = NULL;
    auto_free char *after = NULL;

    rig_mount(r, layers, 1, NULL);
    run(r, 4);
    before = rig_shell(r, "sha256sum file; stat -c '%s %a' file");
    layers[1] = rig_seal(r);
    check_true(layers[1] > 0);
    rig_mount(r, layers, 2, NULL);
    after = rig_shell(r, "sha256sum file; stat -c '%s %a' file");
    check_text(after, before);
    rig_unmount(r);
}

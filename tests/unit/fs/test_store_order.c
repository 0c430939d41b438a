/* test_store_order.c - the order of system calls that makes rows imply files (SECURITY S1).
 *
 * strace(1) writes down what the work of a first pull does; its log is then held against the rule:
 * a file is fsynced before it is named, its directory before the database, and a file goes only
 * after the database that forgot it was made durable.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/gc.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

#define LOG_ENVIRONMENT "IMG_TEST_TRACED"

/* What is traced; in the traced process alone. */
TEST(store_order, work_to_be_traced)
{
    struct gc_options options = {0};
    auto_gc_report struct gc_report report = {0};
    auto_store struct store *store = NULL;
    int64_t layer;

    if (!getenv(LOG_ENVIRONMENT))
        return;
    store = state_open();
    layer = state_pulled(store, "pulled");
    state_image(store, "h/a:1", "", &layer, 1, NULL);
    state_cache(store, "made", NULL, state_built(store, "built"));
    check_ok(gc_run(store, &options, &report, &test_err));
    check_int(report.removed.count, 1);
}

struct traced {
    bool is_synced[1024]; /* descriptors fsynced since they were opened */
    char dirty[8][256];   /* directories linked into, not yet fsynced */
    size_t dirty_count;
    size_t link_count;
    size_t database_syncs;
    size_t unlink_count;
    size_t syncs_at_unlink; /* database syncs seen by the first removal of an object */
    bool is_over;           /* the test library removes its directory, by path */
};

static bool is_object_dir(const char *path)
{
    return text_ends(path, "/packs") || text_ends(path, "/index") ||
           text_ends(path, "/blobs/sha256");
}

/* "9</path>" of strace -y: the number, and the path into `path`. */
static long parse_fd(const char *text, char path[256])
{
    const char *open = strchr(text, '<');
    size_t size = open ? strcspn(open + 1, ">") : 0;

    path[0] = '\0';
    if (open && size < 256) {
        memcpy(path, open + 1, size);
        path[size] = '\0';
    }
    return strtol(text, NULL, 10);
}

static void on_sync(struct traced *t, const char *arguments)
{
    char path[256];
    long fd = parse_fd(arguments, path);

    check_true(fd >= 0 && fd < 1024);
    t->is_synced[fd] = true;
    for (size_t i = 0; i < t->dirty_count; i++)
        if (strcmp(t->dirty[i], path) == 0)
            memmove(t->dirty[i], t->dirty[--t->dirty_count], sizeof(t->dirty[i]));
    if (!text_ends(path, "/img.db"))
        return;
    t->database_syncs++;
    if (t->dirty_count > 0)
        check_fail("the database became durable before '%s'", t->dirty[0]);
}

static void on_link(struct traced *t, const char *arguments)
{
    const char *source = strstr(arguments, "\"/proc/self/fd/");
    const char *target = source ? strchr(source, ',') : NULL;
    char path[256];
    long fd;

    check_true(target != NULL);
    (void)parse_fd(target + 2, path);
    if (!is_object_dir(path))
        return;
    fd = strtol(source + strlen("\"/proc/self/fd/"), NULL, 10);
    if (!t->is_synced[fd])
        check_fail("a file was named before it was durable: %s", arguments);
    check_true(t->dirty_count < 8);
    (void)snprintf(t->dirty[t->dirty_count++], sizeof(t->dirty[0]), "%s", path);
    t->link_count++;
}

static void on_unlink(struct traced *t, const char *arguments)
{
    char path[256];

    (void)parse_fd(arguments, path);
    if (t->is_over || !is_object_dir(path))
        return;
    if (t->unlink_count++ == 0)
        t->syncs_at_unlink = t->database_syncs;
}

static void on_close(struct traced *t, const char *arguments)
{
    long fd = strtol(arguments, NULL, 10);

    if (fd >= 0 && fd < 1024)
        t->is_synced[fd] = false;
}

static void follow(struct traced *t, const char *line)
{
    static const struct {
        const char *call;
        void (*fn)(struct traced *t, const char *arguments);
    } calls[] = {{"fsync(", on_sync},
                 {"fdatasync(", on_sync},
                 {"linkat(", on_link},
                 {"unlinkat(", on_unlink},
                 {"close(", on_close}};

    line += strspn(line, "0123456789 ");
    if (text_starts(line, "unlinkat(AT_FDCWD"))
        t->is_over = true;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (text_starts(line, calls[i].call) && !strstr(line, ") = -1"))
            calls[i].fn(t, line + strlen(calls[i].call));
}

static bool trace(const char *log)
{
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    int status = 0;
    pid_t pid;

    check_ok(size);
    self[size] = '\0';
    check_ok(setenv(LOG_ENVIRONMENT, "1", 1));
    pid = fork();
    check_ok(pid);
    if (pid == 0) {
        int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

        (void)dup2(null_fd, STDOUT_FILENO);
        (void)dup2(null_fd, STDERR_FILENO);
        (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* it cannot under ptrace(2) */
        (void)execlp("strace", "strace", "-f", "-y", "-s", "200", "-o", log, "-e",
                     "trace=fsync,fdatasync,linkat,unlinkat,close", self, "work_to_be_traced",
                     (char *)NULL);
        _exit(127);
    }
    check_ok(waitpid(pid, &status, 0));
    check_ok(unsetenv(LOG_ENVIRONMENT));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return false;
    check_int(status, 0);
    return true;
}

TEST(store_order, a_row_comes_after_its_file_and_goes_before_it)
{
    auto_free char *log = path_join(test_dir(), "log");
    auto_str struct str text = {0};
    struct traced t = {0};
    char *rest = NULL;

    test_need("strace", trace(log), "strace is not installed");
    check_ok(io_read_file(AT_FDCWD, log, 1 << 30, &text, &test_err));
    for (char *line = strtok_r(text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        follow(&t, line);
    check_true(t.link_count >= 7);     /* two packs, two indexes, layer, config, manifest */
    check_true(t.database_syncs >= 7); /* and a collection */
    check_int(t.unlink_count, 2);      /* the built layer's pack and index */
    check_true(t.syncs_at_unlink >= 7);
    check_int(t.dirty_count, 0);
}

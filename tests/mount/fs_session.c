/* fs_session.c - runs a command in a mounted view, for measuring the filesystem alone.
 *
 *     fs-session STATE DIRECTORY [--lower LAYER] [--writeback] [--plain] [--seal] COMMAND...
 *     fs-session STATE --import < TAR
 *
 * The second makes a layer of a tar and prints its number. The first mounts a view of the store at STATE on DIRECTORY in namespaces of its own and runs COMMAND there.
 * With --seal the changes become a layer, whose number is printed. The last line on standard error is
 * JSON: milliseconds of mounting, of COMMAND and of sealing. COMMAND may
 * write a byte to descriptor FS_SESSION_ASK and then reads from FS_SESSION_TELL, both named in its
 * environment, one line of JSON: requests by name since the mount, CPU seconds of serving, context
 * switches, memory. A tool of bench-fs, not of users.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "fs/base/str.h"
#include "fs/layer.h"
#include "fs/store.h"
#include "fs/view.h"
#include "tests/lib/mountns.h"

#define OPCODES 64

struct session {
    const char *state;
    const char *directory;
    int64_t lower; /* 0: none */
    struct mount_options options;
    bool seal;
    char **command;
};

static int usage(void)
{
    fprintf(stderr, "usage: fs-session STATE DIRECTORY [--lower LAYER] [--writeback] [--plain] "
                    "[--seal] COMMAND...\n       fs-session STATE --import < TAR\n");
    return 2;
}

static bool parse(int argc, char **argv, struct session *s)
{
    int i = 3;

    if (argc < 4)
        return false;
    s->state = argv[1];
    s->directory = argv[2];
    for (; i < argc && text_starts(argv[i], "--"); i++) {
        if (text_equal(argv[i], "--writeback"))
            s->options.writeback = true;
        else if (text_equal(argv[i], "--plain"))
            s->options.plain = true;
        else if (text_equal(argv[i], "--seal"))
            s->seal = true;
        else if (text_equal(argv[i], "--lower") && i + 1 < argc)
            s->lower = strtoll(argv[++i], NULL, 10);
        else
            return false;
    }
    s->command = argv + i;
    return i < argc;
}

static struct session session; /* the process in the namespaces is a fork of this one */

static int run_command(const void *argument)
{
    (void)argument;
    if (chdir(session.directory) < 0)
        return 126;
    execvp(session.command[0], session.command);
    fprintf(stderr, "cannot run '%s': %s\n", session.command[0], strerror(errno));
    return 127;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* The most this program held, in KiB; not ru_maxrss, which begins with that of what started it. */
static long peak_kib(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    long kib = 0;

    while (status && kib == 0 && fgets(line, sizeof(line), status))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    if (status)
        (void)fclose(status);
    return kib;
}

static void report(const struct mount *m, FILE *out)
{
    uint64_t counts[OPCODES];
    struct rusage usage;
    const char *comma = "";

    mount_counts(m, counts, OPCODES);
    fprintf(out, "{\"requests\": {");
    for (unsigned i = 0; i < OPCODES; i++) {
        if (counts[i] == 0 || !mount_opcode_name(i))
            continue;
        fprintf(out, "%s\"%s\": %ju", comma, mount_opcode_name(i), (uintmax_t)counts[i]);
        comma = ", ";
    }
    (void)getrusage(RUSAGE_SELF, &usage);
    fprintf(out, "}, \"user_s\": %.6f, \"system_s\": %.6f, \"rss_kib\": %ld, \"switches\": %ld}\n",
            seconds(usage.ru_utime), seconds(usage.ru_stime), peak_kib(),
            usage.ru_nvcsw + usage.ru_nivcsw);
    (void)fflush(out);
}

/* The two pipes between COMMAND and the thread that answers it. */
struct questions {
    int ask[2], tell[2];
    const struct mount *mount;
};

static int open_questions(struct questions *q)
{
    char ask[16], tell[16];

    if (pipe(q->ask) < 0 || pipe(q->tell) < 0) /* inherited by COMMAND, so not closed on exec */
        return -1;
    (void)snprintf(ask, sizeof(ask), "%d", q->ask[1]);
    (void)snprintf(tell, sizeof(tell), "%d", q->tell[0]);
    return setenv("FS_SESSION_ASK", ask, 1) < 0 || setenv("FS_SESSION_TELL", tell, 1) < 0 ? -1 : 0;
}

static void *answer(void *argument)
{
    const struct questions *q = argument;
    FILE *out = fdopen(q->tell[1], "w");
    char byte;

    while (out && read(q->ask[0], &byte, 1) == 1 && byte == '?')
        report(q->mount, out);
    return NULL;
}

static double now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int seal(struct view *view, struct error *err)
{
    struct seal_options options = {.mtime_max_ns = INT64_MAX};
    struct view_sealed sealed;
    int r = view_seal(view, &options, &sealed, err);

    if (r == 0)
        printf("%jd\n", (intmax_t)sealed.layer);
    return r;
}

static int import(const char *state, struct error *err)
{
    const struct layer_ingest_options options = {.what = "standard input",
                                                 .blob_size_bytes = UINT64_MAX};
    static char buffer[1 << 16];
    auto_store struct store *store = NULL;
    auto_layer_ingest struct layer_ingest *in = NULL;
    int64_t layer;
    ssize_t n;
    int r = store_open(state, NULL, &store, err);

    if (r == 0)
        r = layer_ingest_open(store, &options, &in, err);
    while (r == 0 && (n = read(STDIN_FILENO, buffer, sizeof(buffer))) > 0)
        r = layer_ingest_write(in, buffer, (size_t)n, err);
    if (r == 0)
        r = layer_ingest_commit(STEAL(&in), &layer, err);
    if (r == 0)
        printf("%jd\n", (intmax_t)layer);
    return r;
}

static int run(struct error *err)
{
    struct view_options view_options = {.label = session.directory};
    struct questions questions;
    const char *reason;
    bool asked = open_questions(&questions) == 0;
    auto_mountns struct mountns *ns = mountns_new(&reason);
    auto_store struct store *store = NULL;
    auto_view struct view *view = NULL;
    struct mount *mount;
    pthread_t answering;
    double times[4];
    int status = 0;
    int fd;
    int r;

    if (!asked)
        return error_errno(err, "cannot make a pipe");
    if (!ns)
        return error_set(err, ENOTSUP, "%s", reason);
    r = store_open(session.state, NULL, &store, err);
    times[0] = now_ms();
    if (r == 0)
        r = view_open(store, &session.lower, session.lower ? 1 : 0, &view_options, &view, err);
    if (r < 0)
        return r;
    r = mountns_mount(ns, session.directory, &session.options, &fd);
    if (r < 0)
        return error_set(err, -r, "cannot mount on '%s'", session.directory);
    r = mount_serve(view, fd, &session.options, &mount, err);
    if (r < 0)
        return r;
    times[1] = now_ms();
    questions.mount = mount;
    r = pthread_create(&answering, NULL, answer, &questions);
    if (r == 0) {
        status = mountns_run(ns, run_command, NULL, 0, NULL);
        (void)!write(questions.ask[1], "", 1); /* ends the thread: COMMAND is no more */
        (void)pthread_join(answering, NULL);
    }
    times[2] = now_ms();
    (void)mountns_unmount(ns, session.directory);
    mount_stop(mount);
    times[3] = now_ms();
    if (r != 0)
        return error_set(err, r, "cannot start a thread");
    r = view_fault(view, err);
    if (r == 0 && session.seal)
        r = seal(view, err);
    fprintf(stderr, "{\"mount_ms\": %.3f, \"command_ms\": %.3f, \"seal_ms\": %.3f}\n",
            times[1] - times[0], times[2] - times[1], now_ms() - times[3]);
    return r < 0 ? r : status;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    int r;

    if (argc == 3 && text_equal(argv[2], "--import"))
        r = import(argv[1], &err);
    else if (parse(argc, argv, &session))
        r = run(&err);
    else
        return usage();
    if (r < 0)
        fprintf(stderr, "fs-session: %s\n", err.text);
    return r < 0 ? 1 : r;
}

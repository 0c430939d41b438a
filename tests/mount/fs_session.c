/* fs_session.c - runs a command in a mounted view, for measuring the filesystem alone.
 *
 *     fs-session STATE DIRECTORY [--lower LAYER] [--writeback] [--plain] [--seal] COMMAND...
 *
 * Mounts a view of the store at STATE on DIRECTORY in namespaces of its own and runs COMMAND there.
 * With --seal the changes become a layer, whose number is printed. Afterwards, one line of JSON on
 * standard error: requests by name and the CPU seconds of serving. A tool of bench-fs, not of users.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fs/base/str.h"
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
                    "[--seal] COMMAND...\n");
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

static void report(const struct mount *m)
{
    uint64_t counts[OPCODES];
    struct rusage usage;
    const char *comma = "";

    mount_counts(m, counts, OPCODES);
    fprintf(stderr, "{\"requests\": {");
    for (unsigned i = 0; i < OPCODES; i++) {
        if (counts[i] == 0 || !mount_opcode_name(i))
            continue;
        fprintf(stderr, "%s\"%s\": %ju", comma, mount_opcode_name(i), (uintmax_t)counts[i]);
        comma = ", ";
    }
    (void)getrusage(RUSAGE_SELF, &usage);
    fprintf(stderr,
            "}, \"user_s\": %.3f, \"system_s\": %.3f, \"rss_kib\": %ld, \"switches\": %ld}\n",
            seconds(usage.ru_utime), seconds(usage.ru_stime), usage.ru_maxrss,
            usage.ru_nvcsw + usage.ru_nivcsw);
}

static int run(struct error *err)
{
    struct view_options view_options = {.label = session.directory};
    const char *reason;
    auto_mountns struct mountns *ns = mountns_new(&reason);
    auto_store struct store *store = NULL;
    auto_view struct view *view = NULL;
    struct mount *mount;
    int status;
    int fd;
    int r;

    if (!ns)
        return error_set(err, ENOTSUP, "%s", reason);
    r = store_open(session.state, NULL, &store, err);
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
    status = mountns_run(ns, run_command, NULL, 0, NULL);
    (void)mountns_unmount(ns, session.directory);
    report(mount);
    mount_stop(mount);
    r = view_fault(view, err);
    if (r == 0 && session.seal) {
        struct seal_options seal = {.mtime_max_ns = INT64_MAX};
        struct view_sealed sealed;

        r = view_seal(view, &seal, &sealed, err);
        if (r == 0)
            printf("%jd\n", (intmax_t)sealed.layer);
    }
    return r < 0 ? r : status;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    int r;

    if (!parse(argc, argv, &session))
        return usage();
    r = run(&err);
    if (r < 0)
        fprintf(stderr, "fs-session: %s\n", err.text);
    return r < 0 ? 1 : r;
}

/* battery_main.c - the battery as a program that a step can run: no C library, no test around it.
 *
 *     battery compare OURS TMPFS     every case in both directories; exit 1 where the answers differ
 *     battery lower DIRECTORY        makes the tree that the cases on lower layers start from
 *     battery change OURS TMPFS      those cases; DIRECTORY was made by an earlier step
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/mount/battery.h"

#define OUTPUT_MAX (256u << 10)

static int fail(const char *what)
{
    (void)fprintf(stderr, "battery: %s: %s\n", what, strerror(errno));
    return 1;
}

/* What the case prints in a directory of its own. */
static char *output_of(const struct battery_case *c, const char *directory, bool is_there)
{
    static char text[2][OUTPUT_MAX];
    static unsigned turn;
    char *to = text[turn++ % 2];
    int out = memfd_create("output", MFD_CLOEXEC);
    ssize_t size;
    pid_t pid;
    int status;

    fflush(stdout);
    pid = out < 0 ? -1 : fork();
    if (pid == 0) {
        umask(022);
        if (dup2(out, STDOUT_FILENO) < 0 || chdir(directory) < 0 ||
            (!is_there && mkdir(c->name, 0755) < 0) || chdir(c->name) < 0)
            _exit(fail(c->name));
        c->run();
        fflush(stdout);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
        exit(fail(c->name));
    size = pread(out, to, OUTPUT_MAX - 1, 0);
    if (size <= 0)
        exit(fail("a case said nothing"));
    to[size] = '\0';
    (void)close(out);
    return to;
}

static size_t run_table(const struct battery_case *cases, const char *ours, const char *theirs,
                        bool is_there)
{
    size_t difference_count = 0;
    size_t count = 0;

    for (; cases[count].name; count++)
        difference_count +=
            battery_compare(cases[count].name, output_of(&cases[count], ours, is_there),
                            output_of(&cases[count], theirs, is_there), false);
    printf("%zu cases, %zu differences\n", count, difference_count);
    return difference_count;
}

static int make_lower(const char *directory)
{
    umask(022);
    if (chdir(directory) < 0)
        return fail(directory);
    battery_make_lower();
    return 0;
}

static int change(const char *ours, const char *theirs)
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(make_lower(theirs));
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
        return 1;
    return run_table(battery_lower_cases(), ours, theirs, true) > 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "lower") == 0)
        return make_lower(argv[2]);
    if (argc == 4 && strcmp(argv[1], "change") == 0)
        return change(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "compare") == 0)
        return run_table(battery_name_cases(), argv[2], argv[3], false) +
                   run_table(battery_data_cases(), argv[2], argv[3], false) +
                   run_table(battery_share_cases(), argv[2], argv[3], false) +
                   run_table(battery_attr_cases(), argv[2], argv[3], false) +
                   run_table(battery_xattr_cases(), argv[2], argv[3], false) >
               0;
    (void)fprintf(stderr, "usage: battery compare|change OURS TMPFS, battery lower DIRECTORY\n");
    return 2;
}

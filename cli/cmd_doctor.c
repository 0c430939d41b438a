/* cmd_doctor.c - img doctor: can this host build, and if not, what would make it. */
#include <errno.h>
#include <stdio.h>

#include "builder/hostinfo.h"
#include "cli/commands.h"
#include "fs/store.h"

#include "fs/base/banned.h"

static void print_row(const char *name, const char *mark, const char *sentence, const char *remedy)
{
    printf("%-7s %-24s %s\n", mark, name, sentence);
    if (remedy != NULL)
        printf("        %-24s -> %s\n", "", remedy);
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    __attribute__((cleanup(cleanup_host_report_release))) struct host_report report = {0};
    struct error state = {0};
    struct store *store;
    size_t failed = 0;

    (void)values, (void)operands; /* no options */
    host_probe(&report);
    for (size_t i = 0; i < report.count; i++) {
        const struct host_row *row = &report.items[i];

        print_row(row->name,
                  row->ok         ? "ok"
                  : row->optional ? "warning"
                                  : "FAILED",
                  row->sentence, row->ok ? NULL : row->remedy);
        failed += !row->ok && !row->optional;
    }
    if (program_store(p, &store, &state) < 0) {
        print_row("state directory", "FAILED", state.text,
                  state.hint[0] != '\0' ? state.hint : NULL);
        failed++;
    } else {
        print_row("state directory", "ok", store_path(store), NULL);
    }
    if (failed > 0)
        return error_set(err, ENOTSUP,
                         "this host cannot run build steps: %zu requirement%s not met", failed,
                         failed == 1 ? " is" : "s are");
    return 0;
}

const struct subcommand cmd_doctor = {
    .name = "doctor",
    .operands = "",
    .summary = "Tell whether this host can build, and what is missing.",
    .run = run,
};

/* cmd_fsck.c - img fsck: is the store whole? */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "fs/fsck.h"
#include "fs/store.h"

#include "fs/base/banned.h"

#define WAIT_MS (10 * 60 * 1000) /* for other img processes to end */

struct fsck_flags {
    bool quick;
    bool repair;
};

static const struct option fsck_options[] = {
    {.name = "quick",
     .offset = offsetof(struct fsck_flags, quick),
     .help = "compare sizes, do not read contents"},
    {.name = "repair",
     .offset = offsetof(struct fsck_flags, repair),
     .help = "forget what is damaged and all that depends on it"},
};

/* What a killed process leaves makes no store worse; the next command or a prune removes it. */
static bool is_harmless(const struct fsck_problem *problem)
{
    return problem->kind == FSCK_LEFTOVER || problem->kind == FSCK_ORPHAN;
}

static void print_problem(void *context, const struct fsck_problem *problem)
{
    size_t *harmless_count = context;
    bool is_to_stay = is_harmless(problem) && !problem->is_repaired;

    *harmless_count += is_to_stay;
    printf("%s: %s: %s%s\n", fsck_kind_name(problem->kind), problem->object, problem->text,
           problem->is_repaired ? " (repaired)"
           : is_to_stay         ? " (harmless)"
                                : "");
}

static int run_fsck(struct program *p, const void *values, const struct strv *operands,
                    struct error *err)
{
    const struct fsck_flags *f = values;
    size_t harmless_count = 0;
    const struct fsck_options o = {.quick = f->quick,
                                   .repair = f->repair,
                                   .report = print_problem,
                                   .context = &harmless_count,
                                   .wait_ms = WAIT_MS};
    auto_free char *path = NULL;
    struct fsck_result result;
    size_t left;
    int r = 0;

    (void)operands; /* none are accepted */
    if (p->state == NULL)
        r = store_default_path(&path, err);
    if (r == 0)
        r = fsck_run(p->state != NULL ? p->state : path, &o, &result, err);
    if (r < 0)
        return r;
    result.problem_count -= harmless_count;
    left = result.problem_count - result.repaired_count;
    printf("%zu objects checked, %zu problems, %zu repaired\n", result.object_count,
           result.problem_count, result.repaired_count);
    if (left == 0)
        return 0;
    error_set(err, EUCLEAN, "the store has %zu problem%s", left, left == 1 ? "" : "s");
    return f->repair ? -EUCLEAN : error_hint(err, "`img fsck --repair` forgets what is damaged");
}

const struct subcommand cmd_fsck = {
    .name = "fsck",
    .operands = "",
    .summary = "Prove that the store is whole.",
    .options = fsck_options,
    .option_count = sizeof(fsck_options) / sizeof(fsck_options[0]),
    .options_size = sizeof(struct fsck_flags),
    .run = run_fsck,
};

/* build_outcome.c - see build_outcome.h. */
#include <stdio.h>

#include "cli/build_call.h"
#include "cli/build_outcome.h"
#include "cli/progress.h"
#include "fs/base/log.h"
#include "fs/gc.h"
#include "fs/store.h"

#include "fs/base/banned.h"

void build_outcome_begin(const struct build_flags *f, const struct output_plan *plan)
{
    for (size_t i = 0; !f->quiet && i < plan->names.count; i++)
        fprintf(stderr, "Building %s\n", plan->names.items[i]);
}

const char *build_progress_mode(const struct build_flags *f)
{
    if (f->quiet)
        return "quiet";
    if (f->progress == NULL && text_equal(f->compat.log_format, "json"))
        return "rawjson";
    return f->no_console ? "plain" : f->progress;
}

int build_open_progress(const struct build_flags *f, struct progress **out, struct error *err)
{
    return progress_open(build_progress_mode(f), out, err);
}

void build_outcome_names(const struct build_flags *f, const struct output_plan *plan,
                         const char *id)
{
    if (!plan->uses_stdout && (f->quiet || (plan->stores_image && plan->names.count == 0)))
        printf("%s\n", id);
    for (size_t i = 0; !f->quiet && i < plan->names.count; i++)
        fprintf(stderr, "Successfully built %s\n", plan->names.items[i]);
}

void build_outcome_done(struct program *p, const struct build_flags *f,
                        const struct output_plan *plan, const struct build_result *result)
{
    char config[DIGEST_TEXT_SIZE];

    digest_format(&result->config, config);
    if (f->explain)
        print_explanation(result, true);
    if (!f->quiet)
        print_warnings(result, p->debug);
    build_outcome_names(f, plan, config);
}

/* The command that works as it stands. A hint that is there already says more about the cause. */
static void hint_failed(const struct program *p, const struct build_result *result,
                        struct error *err)
{
    auto_free char *said = err->hint[0] != '\0' ? str_format("%s; ", err->hint) : mem_strdup("");
    const char *id = result->failed_step;

    if (id[0] == '\0')
        return;
    err->hint[0] = '\0'; /* the first one wins */
    if (p->state != NULL)
        (void)error_hint(err,
                         "%slook inside with `img --state '%s' shell %s`; mount %s -- COMMAND and "
                         "logs %s work likewise",
                         said, p->state, id, id, id);
    else
        (void)error_hint(err,
                         "%slook inside with `img shell %s` or `img mount %s -- COMMAND`; "
                         "`img logs %s` has all it printed",
                         said, id, id, id);
}

static bool select_none(void *context, const struct usage_row *row)
{
    (void)context, (void)row;
    return false;
}

/* An earlier failed step's files go now rather than with the next prune, or failing again and again
 * would fill the disk. Unless somebody else uses the store: then the next one takes them along. */
static void collect_garbage(struct store *store, const struct build_result *result)
{
    const struct gc_options nothing = {.select = select_none};
    auto_gc_report struct gc_report report = {0};
    struct error ignored = {0};

    if (result->has_garbage && gc_run(store, &nothing, &report, &ignored) < 0)
        log_debug("left for the next collection: %s", ignored.text);
}

int build_outcome_failed(struct program *p, const struct build_flags *f,
                         const struct build_options *o, const struct build_result *result,
                         struct error *err)
{
    hint_failed(p, result, err);
    collect_garbage(o->store, result);
    if (f->explain)
        print_explanation(result, false);
    if (result->checks.config.is_error)
        print_warnings(result, p->debug);
    return error_wrap(err, "failed to build");
}

/* cmd_prune.c - img prune: gives back what nothing needs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "cli/commands.h"
#include "cli/text.h"
#include "cli/usage.h"
#include "fs/gc.h"

#include "fs/base/banned.h"

#define WAIT_MS (10 * 60 * 1000) /* for other img processes to end */

struct prune_flags {
    struct strv filters;
    const char *format;
    const char *max_used;
    const char *min_free;
    const char *reserved;
    bool all;
    bool dry_run;
    bool force;
    bool verbose;
};

#define FIELD(name) .offset = offsetof(struct prune_flags, name)
#define BYTES(field) .kind = OPTION_TEXT, FIELD(field), .argument = "BYTES"

static const struct option options[] = {
    {.name = "all",
     .letter = 'a',
     FIELD(all),
     .help = "also forget cached steps of images that stay"},
    {.name = "dry-run", FIELD(dry_run), .help = "show what would go"},
    {.name = "filter",
     .kind = OPTION_LIST,
     FIELD(filters),
     .argument = "KEY=VALUE",
     .help = "only records that match; until=24h: unused for that long"},
    {.name = "force", .letter = 'f', FIELD(force), .help = "ask nothing, as always"},
    {.name = "format",
     .kind = OPTION_TEXT,
     FIELD(format),
     .argument = "FORMAT",
     .help = "table, json, 'table TEMPLATE' or a Go template, as of img du"},
    {.name = "max-used-space",
     BYTES(max_used),
     .help = "stop once the store is this small (10GB, 500MiB)"},
    {.name = "min-free-space",
     BYTES(min_free),
     .help = "remove only what it takes to have this much free on the disk"},
    {.name = "reserved-space", BYTES(reserved), .help = "never go below this size"},
    {.name = "keep-storage", BYTES(reserved), .help = "the same, by its former name"},
    {.name = "verbose", FIELD(verbose), .help = "all that is known of each record"},
    {.name = "builder", .kind = OPTION_TEXT, .argument = "NAME", .ignored = "there is one builder"},
};

static void tell_waiting(void *context)
{
    (void)context;
    fprintf(stderr, "waiting for other img processes to end...\n");
}

static bool select_row(void *context, const struct usage_row *row)
{
    return usage_matches(context, row);
}

static int parse_bytes(const char *text, uint64_t *out, struct error *err)
{
    *out = 0;
    return text == NULL ? 0 : parse_size(text, out, err);
}

/* How far below what is free now the wish lies; 0 when it is met. */
static int missing_bytes(struct store *store, uint64_t wanted, uint64_t *out, struct error *err)
{
    struct statvfs vfs;
    uint64_t free_bytes;

    if (fstatvfs(store_dir(store, STORE_ROOT), &vfs) < 0)
        return error_errno(err, "cannot ask how much is free below '%s'", store_path(store));
    free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    *out = wanted > free_bytes ? wanted - free_bytes : 0;
    return 0;
}

/* BuildKit's rule: the smaller of the two limits, but never below what is reserved. */
static int set_limits(const struct prune_flags *f, struct store *store, struct gc_options *o,
                      struct error *err)
{
    auto_usage_list struct usage_list list = {0};
    uint64_t max_used;
    uint64_t min_free;
    uint64_t reserved;
    uint64_t missing;
    uint64_t total;
    int r = parse_bytes(f->max_used, &max_used, err);

    if (r == 0)
        r = parse_bytes(f->min_free, &min_free, err);
    if (r == 0)
        r = parse_bytes(f->reserved, &reserved, err);
    if (r < 0 || (f->max_used == NULL && f->min_free == NULL && f->reserved == NULL))
        return r;
    r = store_usage(store, &list, err);
    if (r == 0)
        r = missing_bytes(store, min_free, &missing, err);
    if (r < 0)
        return r;
    total = list.total_bytes;
    o->keep_bytes = f->max_used != NULL ? max_used : f->min_free != NULL ? total : 0;
    if (f->min_free != NULL && (missing >= total || total - missing < o->keep_bytes))
        o->keep_bytes = missing >= total ? 0 : total - missing;
    if (o->keep_bytes < reserved)
        o->keep_bytes = reserved;
    /* 0 stands for "no limit", which removes the same but one byte. */
    o->keep_bytes += o->keep_bytes == 0;
    return 0;
}

static int show(const struct prune_flags *f, struct format *format, const struct gc_report *report,
                struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < report->removed.count; i++) {
        if (f->verbose)
            usage_print_long(&report->removed.items[i]);
        else
            r = format_row(format, usage_json(&report->removed.items[i], format_is_narrow(format)),
                           err);
    }
    if (r < 0 || !format_is_table(format))
        return r;
    if (!f->verbose)
        format_end(format);
    usage_print_total(f->dry_run ? "Would reclaim:" : "Reclaimed:", report->freed_bytes);
    usage_print_total("Total:", report->kept_bytes);
    return 0;
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct prune_flags *f = values;
    auto_gc_report struct gc_report report = {0};
    auto_usage_filters struct usage_filters filters = {0};
    auto_format struct format *format = NULL;
    struct gc_options o = {
        .all = f->all,
        .dry_run = f->dry_run,
        .select = select_row,
        .waiting = tell_waiting,
        .context = &filters,
        .wait_ms = WAIT_MS,
    };
    struct store *store;
    int r = format_open(&usage_spec, f->format, true, &format, err);

    (void)operands; /* none are accepted */
    if (r == 0 && f->verbose && f->format != NULL)
        r = error_set(err, EINVAL, "--verbose has a form of its own: leave out --format");
    if (r == 0)
        r = usage_filters_parse(&f->filters, &filters, err);
    o.unused_since_ns = filters.until_ns;
    if (r == 0)
        r = program_store(p, &store, err);
    if (r == 0)
        r = set_limits(f, store, &o, err);
    if (r == 0)
        r = gc_run(store, &o, &report, err);
    return r < 0 ? r : show(f, format, &report, err);
}

const struct subcommand cmd_prune = {
    .name = "prune",
    .operands = "",
    .summary = "Remove cached steps, images without a name, and bytes nothing needs.",
    .details =
        "Nothing a named image needs is removed. With a limit, what was used longest ago goes\n"
        "first. Filters and the fields of FORMAT are those of img du.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct prune_flags),
    .run = run,
};

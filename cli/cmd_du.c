/* cmd_du.c - img du: what the store holds and how much of it could go. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/usage.h"

#include "fs/base/banned.h"

struct du_flags {
    struct strv filters;
    const char *format;
    bool verbose;
};

static const struct option options[] = {
    {.name = "filter",
     .letter = 'f',
     .kind = OPTION_LIST,
     .offset = offsetof(struct du_flags, filters),
     .argument = "KEY=VALUE",
     .help = "show records that match (also !=, ~=; until=24h)"},
    {.name = "format",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct du_flags, format),
     .argument = "FORMAT",
     .help = "table, pretty, json, 'table TEMPLATE' or a Go template"},
    {.name = "verbose",
     .offset = offsetof(struct du_flags, verbose),
     .help = "all that is known of each record"},
    {.name = "builder", .kind = OPTION_TEXT, .argument = "NAME", .ignored = "there is one builder"},
};

static int compute_images(struct store *store, size_t *count, uint64_t *size_bytes,
                          struct error *err)
{
    auto_image_list struct image_list list = {0};
    int r = store_image_list(store, &list, err);

    *count = list.count;
    *size_bytes = 0;
    for (size_t i = 0; i < list.count; i++)
        *size_bytes += list.items[i].size_bytes;
    return r;
}

/* What is on the disk, then what the images would take if each stood alone. */
static int print_totals(struct store *store, const struct usage_list *list, struct error *err)
{
    auto_str struct str size = {0};
    uint64_t shared_bytes = 0;
    uint64_t logical_bytes;
    size_t count;
    int r = compute_images(store, &count, &logical_bytes, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < list->count; i++)
        shared_bytes += list->items[i].is_shared ? list->items[i].size_bytes : 0;
    usage_print_total("Shared:", shared_bytes);
    usage_print_total("Private:", list->total_bytes - shared_bytes);
    usage_print_total("Database:", list->database_bytes);
    usage_print_total("Reclaimable:", list->reclaimable_bytes);
    usage_print_total("Total:", list->total_bytes + list->database_bytes);
    str_add_size_binary(&size, logical_bytes);
    if (count > 0)
        printf("%-14s%s in %zu image%s, if each stood alone\n", "Images:", str_text(&size), count,
               count == 1 ? "" : "s");
    return 0;
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct du_flags *f = values;
    auto_usage_list struct usage_list list = {0};
    auto_usage_filters struct usage_filters filters = {0};
    auto_format struct format *format = NULL;
    bool is_long = f->verbose || p->debug || text_equal(f->format, "pretty");
    struct store *store;
    int r;

    (void)operands; /* none are accepted */
    r = format_open(&usage_spec, text_equal(f->format, "pretty") ? NULL : f->format, true, &format,
                    err);
    if (r == 0)
        r = usage_filters_parse(&f->filters, &filters, err);
    if (r == 0 && is_long && !format_is_table(format))
        r = error_set(err, EINVAL, "--verbose has a form of its own: leave out --format");
    if (r == 0)
        r = program_store(p, &store, err);
    if (r == 0)
        r = store_usage(store, &list, err);
    for (size_t i = 0; r == 0 && i < list.count; i++) {
        const struct usage_row *row = &list.items[i];

        if (!usage_matches(&filters, row) ||
            (filters.until_ns != 0 && !usage_is_older(row, filters.until_ns)))
            continue;
        if (is_long)
            usage_print_long(row);
        else
            r = format_row(format, usage_json(row, format_is_narrow(format)), err);
    }
    if (r < 0)
        return r;
    if (!is_long)
        format_end(format);
    return format_is_table(format) && f->filters.count == 0 ? print_totals(store, &list, err) : 0;
}

const struct subcommand cmd_du = {
    .name = "du",
    .aliases = "df",
    .operands = "",
    .summary = "Show what the store holds and how much of it could go.",
    .details =
        "Sizes are blocks on the disk; what several records share is counted once, where it\n"
        "was made. FORMAT may ask for .ID .Parents .CreatedAt .CreatedSince .Mutable\n"
        ".Reclaimable .Shared .Size .SizeBytes .Description .UsageCount .LastUsedAt\n"
        ".LastUsedSince and .Type. A star behind an id marks what a step may still change.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct du_flags),
    .run = run,
};

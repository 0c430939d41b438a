/* cmd_ls.c - img ls: the images of the store by name. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/text.h"
#include "fs/store.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

struct ls_flags {
    struct strv filters;
    bool quiet;
};

static const struct option options[] = {
    {.name = "filter",
     .letter = 'f',
     .kind = OPTION_LIST,
     .offset = offsetof(struct ls_flags, filters),
     .argument = "reference=PATTERN",
     .help = "show names that match"},
    {.name = "quiet",
     .letter = 'q',
     .offset = offsetof(struct ls_flags, quiet),
     .help = "print digests alone"},
};

static bool matches(const struct ls_flags *f, const char *name, struct error *err, int *result)
{
    for (size_t i = 0; i < f->filters.count; i++) {
        const char *filter = f->filters.items[i];

        if (!text_starts(filter, "reference=")) {
            *result =
                error_set(err, EINVAL, "unknown filter '%s': reference=PATTERN is known", filter);
            return false;
        }
        if (fnmatch(filter + strlen("reference="), name, 0) != 0)
            return false;
    }
    return true;
}

static int print_row(struct store *store, const struct reference_row *row, bool quiet,
                     struct error *err)
{
    auto_image_row struct image_row image = {0};
    auto_reference struct reference ref = {0};
    auto_str struct str name = {0};
    auto_str struct str size = {0};
    auto_str struct str created = {0};
    auto_str struct str updated = {0};
    char digest[DIGEST_TEXT_SIZE];
    int r = store_image_get(store, &row->manifest, &image, err);

    if (r < 0)
        return r;
    digest_format(&row->manifest, digest);
    if (quiet) {
        printf("%s\n", digest);
        return 0;
    }
    if (reference_parse(row->name, &ref, err) == 0)
        reference_familiar(&ref, &name);
    else
        str_add(&name, row->name);
    str_add_size_binary(&size, image.size_bytes);
    format_age(image.created_ns, &created);
    format_age(row->updated_ns, &updated);
    printf("%-50s %-10s %-24s %-24s %s\n", str_text(&name), str_text(&size), str_text(&created),
           str_text(&updated), digest);
    return 0;
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct ls_flags *f = values;
    auto_reference_list struct reference_list list = {0};
    struct store *store;
    int r = program_store(p, &store, err);

    (void)operands; /* none are accepted */
    if (r == 0)
        r = store_reference_list(store, NULL, &list, err);
    if (r < 0)
        return r;
    if (!f->quiet)
        printf("%-50s %-10s %-24s %-24s %s\n", "NAME", "SIZE", "CREATED AT", "UPDATED AT",
               "DIGEST");
    for (size_t i = 0; r == 0 && i < list.count; i++)
        if (matches(f, list.items[i].name, err, &r))
            r = print_row(store, &list.items[i], f->quiet, err);
    return r;
}

const struct subcommand cmd_ls = {
    .name = "ls",
    .aliases = "images list",
    .operands = "",
    .summary = "List the images.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct ls_flags),
    .run = run,
};

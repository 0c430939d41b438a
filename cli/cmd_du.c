/* cmd_du.c - img du, prune and fsck: what the store holds, gives back, and whether it is whole. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/text.h"
#include "fs/base/json.h"
#include "fs/fsck.h"
#include "fs/gc.h"
#include "fs/store.h"

#include "fs/base/banned.h"

#define WAIT_MS (10 * 60 * 1000)

/* ---- filters: key=value, key!=value, key~=value ---- */

static const char *kind_name(enum usage_kind kind)
{
    static const char *const names[] = {
        [USAGE_LAYER] = "regular",        [USAGE_BLOB] = "internal",
        [USAGE_CACHE] = "frontend",       [USAGE_CACHE_MOUNT] = "exec.cachemount",
        [USAGE_CONTEXT] = "source.local", [USAGE_PARTIAL] = "internal"};

    return names[kind];
}

/* The text a key stands for; NULL for an unknown key. */
static const char *value_of(const struct usage_row *row, const char *key)
{
    const struct {
        const char *key;
        const char *value;
    } values[] = {
        {"id", row->id},
        {"parents", row->parent == NULL ? "" : row->parent},
        {"description", row->description},
        {"inuse", row->is_in_use ? "true" : "false"},
        {"mutable", row->is_mutable ? "true" : "false"},
        {"immutable", row->is_mutable ? "false" : "true"},
        {"shared", row->is_shared ? "true" : "false"},
        {"private", row->is_shared ? "false" : "true"},
        {"type", kind_name(row->kind)},
    };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        if (strcmp(values[i].key, key) == 0)
            return values[i].value;
    return NULL;
}

static int check_filters(const struct strv *filters, int64_t *until_ns, struct error *err)
{
    static char empty[] = "";
    const struct usage_row none = {.kind = USAGE_LAYER, .id = empty, .description = empty};

    for (size_t i = 0; i < filters->count; i++) {
        const char *text = filters->items[i];
        size_t size = strcspn(text, "=!~");
        auto_free char *key = mem_strndup(text, size);

        if (strcmp(key, "until") == 0 && text[size] == '=') {
            int r = parse_age(text + size + 1, until_ns, err);

            if (r < 0)
                return r;
            continue;
        }
        if (value_of(&none, key) == NULL)
            return error_set(err, EINVAL,
                             "unknown filter '%s': id, parents, description, inuse, mutable, "
                             "immutable, shared, private, type and until are known",
                             text);
    }
    return 0;
}

static bool matches_one(const struct usage_row *row, const char *text)
{
    size_t size = strcspn(text, "=!~");
    auto_free char *key = mem_strndup(text, size);
    const char *value = value_of(row, key);
    const char *wanted = text + size;

    if (value == NULL)
        return true; /* until, which the collector handles */
    if (*wanted == '\0')
        return strcmp(value, "true") == 0;
    if (wanted[0] == '=')
        return strcmp(value, wanted + 1) == 0;
    if (wanted[1] != '=')
        return false;
    return wanted[0] == '!' ? strcmp(value, wanted + 2) != 0 : strstr(value, wanted + 2) != NULL;
}

static bool matches(void *context, const struct usage_row *row)
{
    const struct strv *filters = context;

    for (size_t i = 0; i < filters->count; i++)
        if (!matches_one(row, filters->items[i]))
            return false;
    return true;
}

/* ---- du ---- */

struct du_flags {
    struct strv filters;
    const char *format;
    bool verbose;
};

static const struct option du_options[] = {
    {.name = "filter",
     .letter = 'f',
     .kind = OPTION_LIST,
     .offset = offsetof(struct du_flags, filters),
     .argument = "KEY=VALUE",
     .help = "show records that match (also !=, ~=)"},
    {.name = "format",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct du_flags, format),
     .argument = "table|json",
     .help = "one line a record, or one JSON object a line"},
    {.name = "verbose",
     .offset = offsetof(struct du_flags, verbose),
     .help = "all that is known of each record"},
};

static void print_size(const char *label, uint64_t size_bytes)
{
    auto_str struct str size = {0};

    str_add_size_binary(&size, size_bytes);
    printf("%s%s\n", label, str_text(&size));
}

static void print_table_row(const struct usage_row *row)
{
    auto_str struct str id = {0};
    auto_str struct str size = {0};
    auto_str struct str description = {0};

    str_addf(&id, "%s%s", row->id, row->is_mutable ? "*" : "");
    str_add_size_binary(&size, row->size_bytes);
    str_add_escaped(&description, row->description, strlen(row->description));
    printf("%-28s %-12s %-12s %s\n", str_text(&id), row->is_in_use ? "false" : "true",
           str_text(&size), str_text(&description));
}

static void print_long_row(const struct usage_row *row)
{
    auto_str struct str size = {0};
    auto_str struct str used = {0};
    auto_str struct str created = {0};
    auto_str struct str description = {0};

    str_add_size_binary(&size, row->size_bytes);
    str_add_escaped(&description, row->description, strlen(row->description));
    format_age(row->created_ns, &created);
    if (row->used_ns != 0)
        format_age(row->used_ns, &used);
    printf("ID:           %s\nParent:       %s\nCreated at:   %s\nMutable:      %s\n"
           "Reclaimable:  %s\nShared:       %s\nSize:         %s\nDescription:  %s\n"
           "Usage count:  %llu\nLast used:    %s\nType:         %s\n\n",
           row->id, row->parent == NULL ? "" : row->parent, str_text(&created),
           row->is_mutable ? "true" : "false", row->is_in_use ? "false" : "true",
           row->is_shared ? "true" : "false", str_text(&size), str_text(&description),
           (unsigned long long)row->use_count, str_text(&used), kind_name(row->kind));
}

static void print_json_row(const struct usage_row *row)
{
    auto_json struct json *object = json_new_object();
    auto_str struct str text = {0};

    json_put_text(object, "ID", row->id);
    json_put_text(object, "Parents", row->parent == NULL ? "" : row->parent);
    json_put_text(object, "Description", row->description);
    json_put_text(object, "Type", kind_name(row->kind));
    json_put_int(object, "Size", (int64_t)row->size_bytes);
    json_put_bool(object, "Reclaimable", !row->is_in_use);
    json_put_bool(object, "Shared", row->is_shared);
    json_put_bool(object, "Mutable", row->is_mutable);
    json_put_int(object, "UsageCount", (int64_t)row->use_count);
    json_write(object, &text);
    printf("%s\n", str_text(&text));
}

static int run_du(struct program *p, const void *values, const struct strv *operands,
                  struct error *err)
{
    const struct du_flags *f = values;
    __attribute__((cleanup(cleanup_usage_list_release))) struct usage_list list = {0};
    auto_strv struct strv filters = {0};
    bool json = f->format != NULL && strcmp(f->format, "json") == 0;
    bool is_long = f->verbose || p->debug;
    struct store *store;
    int64_t until_ns = 0;
    int r;

    (void)operands; /* none are accepted */
    if (f->format != NULL && !json && strcmp(f->format, "table") != 0)
        return error_set(err, EINVAL, "unknown format '%s': table or json", f->format);
    strv_copy(&filters, &f->filters);
    r = check_filters(&filters, &until_ns, err);
    if (r == 0 && until_ns != 0)
        r = error_set(err, EINVAL, "the filter 'until' is for img prune");
    if (r == 0)
        r = program_store(p, &store, err);
    if (r == 0)
        r = store_usage(store, &list, err);
    if (r < 0)
        return r;
    if (!json && !is_long)
        printf("%-28s %-12s %-12s %s\n", "ID", "RECLAIMABLE", "SIZE", "DESCRIPTION");
    for (size_t i = 0; i < list.count; i++) {
        if (!matches(&filters, &list.items[i]))
            continue;
        if (json)
            print_json_row(&list.items[i]);
        else if (is_long)
            print_long_row(&list.items[i]);
        else
            print_table_row(&list.items[i]);
    }
    if (!json && filters.count == 0) {
        print_size("Reclaimable:\t", list.reclaimable_bytes);
        print_size("Total:\t\t", list.total_bytes + list.database_bytes);
    }
    return 0;
}

const struct subcommand cmd_du = {
    .name = "du",
    .operands = "",
    .summary = "Show what the store holds and how much of it could go.",
    .options = du_options,
    .option_count = sizeof(du_options) / sizeof(du_options[0]),
    .options_size = sizeof(struct du_flags),
    .run = run_du,
};

/* ---- prune ---- */

struct prune_flags {
    struct strv filters;
    const char *keep;
    bool all;
    bool dry_run;
    bool force;
};

#define FIELD(name) .offset = offsetof(struct prune_flags, name)

static const struct option prune_options[] = {
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
    {.name = "force", .letter = 'f', FIELD(force), .ignored = "img prune never asks"},
    {.name = "max-used-space",
     .kind = OPTION_TEXT,
     FIELD(keep),
     .argument = "BYTES",
     .help = "stop once the store is this small (10GB, 500MiB)"},
    {.name = "keep-storage", .kind = OPTION_TEXT, FIELD(keep), .argument = "BYTES"},
};

static void tell_waiting(void *context)
{
    (void)context;
    fprintf(stderr, "waiting for other img processes to end...\n");
}

static int run_prune(struct program *p, const void *values, const struct strv *operands,
                     struct error *err)
{
    const struct prune_flags *f = values;
    __attribute__((cleanup(cleanup_gc_report_release))) struct gc_report report = {0};
    auto_strv struct strv filters = {0};
    struct gc_options options = {
        .all = f->all,
        .dry_run = f->dry_run,
        .select = matches,
        .waiting = tell_waiting,
        .context = &filters,
        .wait_ms = WAIT_MS,
    };
    struct store *store;
    int r;

    (void)operands; /* none are accepted */
    strv_copy(&filters, &f->filters);
    r = check_filters(&filters, &options.unused_since_ns, err);
    if (r == 0 && f->keep != NULL)
        r = parse_size(f->keep, &options.keep_bytes, err);
    if (r == 0)
        r = program_store(p, &store, err);
    if (r == 0)
        r = gc_run(store, &options, &report, err);
    if (r < 0)
        return r;
    printf("%-28s %-12s %-12s %s\n", "ID", "RECLAIMABLE", "SIZE", "DESCRIPTION");
    for (size_t i = 0; i < report.removed.count; i++)
        print_table_row(&report.removed.items[i]);
    print_size(f->dry_run ? "Would reclaim:\t" : "Reclaimed:\t", report.freed_bytes);
    print_size("Total:\t\t", report.kept_bytes);
    return 0;
}

const struct subcommand cmd_prune = {
    .name = "prune",
    .operands = "",
    .summary = "Remove cached steps, images without a name, and bytes nothing needs.",
    .options = prune_options,
    .option_count = sizeof(prune_options) / sizeof(prune_options[0]),
    .options_size = sizeof(struct prune_flags),
    .run = run_prune,
};

/* ---- fsck ---- */

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

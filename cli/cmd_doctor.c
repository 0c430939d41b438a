/* cmd_doctor.c - img doctor: can this host build, and if not, what would make it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "builder/sandbox/hostinfo.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/registry_flags.h"
#include "cli/text.h"
#include "fs/store.h"
#include "registry/client.h"

#include "fs/base/banned.h"

#define SPACE_WANTED (2ull << 30) /* a base, a compiler and what it makes */

struct doctor_flags {
    struct registry_flags registry;
    const char *format;
    const char *host;
    bool offline;
    bool quiet;
};

#define FIELD(name) .offset = offsetof(struct doctor_flags, name)

static const struct option options[] = {
    {.name = "format",
     .kind = OPTION_TEXT,
     FIELD(format),
     .argument = "FORMAT",
     .help = "json, 'table TEMPLATE' or a Go template"},
    {.name = "offline", FIELD(offline), .help = "do not ask a registry"},
    {.name = "quiet", .letter = 'q', FIELD(quiet), .help = "show only what is not as it should be"},
    {.name = "registry",
     .kind = OPTION_TEXT,
     FIELD(host),
     .argument = "HOST",
     .help = "the registry to ask (default docker.io)"},
    REGISTRY_OPTIONS(struct doctor_flags, registry),
};

static const struct format_column columns[] = {
    {"Status", "STATUS"}, {"Name", "WHAT"}, {"Found", "FOUND"}, {"Remedy", "REMEDY"}};

static const struct format_spec spec = {.columns = columns,
                                        .column_count = sizeof(columns) / sizeof(columns[0]),
                                        .table = "{{.Status}}\\t{{.Name}}\\t{{.Found}}"};

/* ---- what is not the host's but ours to use ---- */

static void probe_state(struct program *p, struct host_report *out)
{
    auto_str struct str size = {0};
    struct error err = {0};
    struct host_row *row;
    struct store *store;
    struct statfs fs;
    uint64_t free_bytes;

    if (program_store(p, &store, &err) < 0) {
        host_report_fail(out, "state directory", &err);
        return;
    }
    if (fstatfs(store_dir(store, STORE_ROOT), &fs) < 0) {
        (void)error_errno(&err, "cannot look at '%s'", store_path(store)); /* the row says it */
        host_report_fail(out, "state directory", &err);
        return;
    }
    if (store_check_writable(store, &err) < 0) {
        row = host_report_add(out, "state directory", false,
                              str_format("%s: nothing can be built or pulled", err.text));
        row->optional = true;
        row->remedy = mem_strdup("see to that, or choose another place with --state");
        return;
    }
    free_bytes = (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize;
    str_add_size_binary(&size, free_bytes);
    row = host_report_add(
        out, "state directory", free_bytes >= SPACE_WANTED,
        str_format("%s, on a local disk, %s free", store_path(store), str_text(&size)));
    row->optional = true;
    if (!row->ok)
        row->remedy = mem_strdup("make room (img prune), or choose another place with --state");
}

/* A HEAD as a pull would send it, through mirrors and proxies, with credentials. That there is no
 * such image, or that it wants a login, is an answer too. */
static int ask_registry(struct program *p, const struct doctor_flags *f, const char *host,
                        struct error *err)
{
    struct registries_options o = {0};
    auto_free char *name = str_format("%s/library/hello-world:latest", host);
    auto_reference struct reference ref = {0};
    auto_descriptor struct descriptor found = {0};
    auto_registry struct registry *registry = NULL;
    int r = registry_flags_apply(&f->registry, &o, err);

    o.http.attempts_max = 1;
    o.http.connect_timeout_ms = 5000;
    o.http.stall_timeout_ms = 10000;
    if (r == 0)
        r = reference_parse(name, &ref, err);
    if (r == 0)
        r = registry_open(program_registries(p, &o), &ref, REGISTRY_PULL, &registry, err);
    if (r == 0)
        r = registry_manifest_head(registry, "latest", &found, err);
    return r == -ENOENT || r == -EACCES ? 0 : r;
}

static void probe_registry(struct program *p, const struct doctor_flags *f, struct host_report *out)
{
    const char *host = f->host != NULL ? f->host : "docker.io";
    struct error err = {0};
    struct host_row *row;

    if (ask_registry(p, f, host, &err) == 0) {
        host_report_add(out, "registry", true, str_format("%s answers", host));
        return;
    }
    row = host_report_fail(out, "registry", &err);
    row->optional = true;
    if (row->remedy == NULL)
        row->remedy = mem_strdup("set HTTPS_PROXY, name a mirror in registries.conf, or try "
                                 "--registry HOST");
}

/* ---- showing it ---- */

static const char *status_of(const struct host_row *row)
{
    return row->ok ? "ok" : row->optional ? "warning" : "FAILED";
}

static int show_row(const struct host_row *row, struct format *format, struct error *err)
{
    struct json *object = json_new_object();

    json_put_text(object, "Status", status_of(row));
    json_put_text(object, "Name", row->name);
    json_put_text(object, "Found", row->sentence);
    json_put_text(object, "Remedy", row->remedy == NULL ? "" : row->remedy);
    return format_row(format, object, err);
}

#define FOUND_COLUMN 26 /* behind status and name */

static void print_row(const struct host_row *row, bool with_colour)
{
    const char *colour = row->ok ? "32" : row->optional ? "33" : "31";
    size_t width = text_terminal_columns(STDOUT_FILENO, SIZE_MAX);
    auto_str struct str found = {0};
    auto_str struct str lines = {0};

    str_add_escaped(&found, row->sentence, strlen(row->sentence));
    if (with_colour)
        printf("\033[%sm%-8s\033[0m", colour, status_of(row));
    else
        printf("%-8s", status_of(row));
    text_fill(&lines, str_text(&found), FOUND_COLUMN, width);
    if (row->remedy != NULL && !row->ok) {
        str_addf(&lines, "\n%*s-> ", FOUND_COLUMN, "");
        text_fill(&lines, row->remedy, FOUND_COLUMN + 3, width);
    }
    printf("%-17s %s\n", row->name, str_text(&lines));
}

static int show(const struct doctor_flags *f, const struct host_report *report,
                struct format *format, struct error *err)
{
    bool with_colour = text_wants_colour(STDOUT_FILENO);
    int r = 0;

    for (size_t i = 0; r == 0 && i < report->count; i++) {
        if (f->quiet && report->items[i].ok)
            continue;
        if (f->format != NULL)
            r = show_row(&report->items[i], format, err);
        else
            print_row(&report->items[i], with_colour);
    }
    if (r == 0)
        format_end(format);
    return r;
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct doctor_flags *f = values;
    auto_host_report struct host_report report = {0};
    auto_format struct format *format = NULL;
    size_t failed = 0;
    int r = format_open(&spec, f->format, f->format != NULL, &format, err);

    (void)operands; /* none are accepted */
    if (r < 0)
        return r;
    host_probe(&report);
    probe_state(p, &report);
    if (!f->offline)
        probe_registry(p, f, &report);
    r = show(f, &report, format, err);
    for (size_t i = 0; i < report.count; i++)
        failed += !report.items[i].ok && !report.items[i].optional;
    if (r < 0 || failed == 0)
        return r;
    return error_set(err, ENOTSUP, "this host cannot run build steps: %zu requirement%s not met",
                     failed, failed == 1 ? " is" : "s are");
}

const struct subcommand cmd_doctor = {
    .name = "doctor",
    .operands = "",
    .summary = "Tell whether this host can build, and what is missing.",
    .details =
        "One row for each thing a step needs, found out by trying it. What is FAILED keeps\n"
        "steps from running and makes the exit status 1; a warning means that a build works\n"
        "with less. The way out stands below its row. FORMAT may ask for .Status .Name\n"
        ".Found and .Remedy.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct doctor_flags),
    .run = run,
};

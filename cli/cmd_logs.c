/* cmd_logs.c - img logs: what builds and their steps said, from the records that are kept. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builder/failed.h"
#include "builder/image/config.h"
#include "builder/image/image.h"
#include "builder/record.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/progress_internal.h"
#include "cli/text.h"
#include "fs/base/io.h"
#include "fs/base/json.h"
#include "fs/logs.h"

#include "fs/base/banned.h"

#define STEP_DIGITS_MIN 4u
#define BUILD_NUMBER_MAX 99999999u

struct logs_flags {
    const char *format;
    const char *tail;
};

#define FIELD(name) .offset = offsetof(struct logs_flags, name)

static const struct option logs_options[] = {
    {.name = "format",
     .kind = OPTION_TEXT,
     FIELD(format),
     .argument = "text|json",
     .help = "how to print the list, or what is known of a build (default text)"},
    {.name = "tail",
     .letter = 'n',
     .kind = OPTION_TEXT,
     FIELD(tail),
     .argument = "LINES",
     .help = "print the last lines of each step alone"},
    {.name = "follow", .letter = 'f', .refused = "a build shows its output itself while it runs"},
};

static void add_seconds(struct str *out, int64_t ns)
{
    str_addf(out, "%lld.%llds", (long long)(ns / 1000000000), (long long)(ns / 100000000 % 10));
}

/* -- the bytes of a step -- */

/* To a terminal line by line, nothing of which moves a cursor (SECURITY R58); else as they are. */
struct printing {
    bool is_terminal;
    struct str line;   /* not ended yet */
    uint64_t tail_max; /* lines; 0: all */
    struct str *tail;  /* a ring of them */
    uint64_t tail_count;
};

static void printing_release(struct printing *p)
{
    for (uint64_t i = 0; p->tail != NULL && i < p->tail_max; i++)
        str_release(&p->tail[i]);
    free(p->tail);
    str_release(&p->line);
}
DEFINE_CLEANUP_VALUE(printing_release, struct printing)

static void put_line(const struct printing *p, const char *line, size_t size)
{
    auto_str struct str shown = {0};
    bool has_newline = size > 0 && line[size - 1] == '\n';

    if (!p->is_terminal) {
        fwrite(line, 1, size, stdout);
        return;
    }
    progress_line(&shown, line, size - has_newline);
    printf("%s\n", str_text(&shown));
}

static void end_line(struct printing *p)
{
    if (p->line.size == 0)
        return;
    if (p->tail_max == 0) {
        put_line(p, str_text(&p->line), p->line.size);
    } else {
        struct str *slot = &p->tail[p->tail_count++ % p->tail_max];

        str_truncate(slot, 0);
        str_add_bytes(slot, p->line.data, p->line.size);
    }
    str_truncate(&p->line, 0);
}

static int take_bytes(void *context, const char *bytes, size_t size, uint64_t missing,
                      struct error *err)
{
    struct printing *p = context;
    const char *end = bytes + size;

    (void)err; /* a failure to write is found at the end */
    if (missing > 0) {
        auto_str struct str left_out = {0};

        str_add_size_decimal(&left_out, missing);
        str_addf(&p->line, "\n[%s of the log were not kept]\n", str_text(&left_out));
        end_line(p);
    }
    while (bytes < end) {
        const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
        const char *stop = newline == NULL ? end : newline + 1;

        str_add_bytes(&p->line, bytes, (size_t)(stop - bytes));
        if (newline != NULL)
            end_line(p);
        bytes = stop;
    }
    return 0;
}

static int print_log(struct store *store, uint64_t number, uint32_t vertex, uint64_t tail_max,
                     struct error *err)
{
    __attribute__((cleanup(cleanup_printing_release))) struct printing p = {
        .is_terminal = isatty(STDOUT_FILENO) == 1, .tail_max = tail_max};
    int r;

    if (tail_max > 0)
        p.tail = mem_alloc(tail_max * sizeof(*p.tail));
    r = recorded_read(store, number, vertex, take_bytes, &p, err);
    end_line(&p);
    for (uint64_t i = p.tail_count > tail_max ? p.tail_count - tail_max : 0;
         tail_max > 0 && i < p.tail_count; i++)
        put_line(&p, str_text(&p.tail[i % tail_max]), p.tail[i % tail_max].size);
    return r;
}

/* -- one build -- */

static void add_outcome(struct str *out, bool has_ended, enum progress_state state)
{
    static const char *const names[] = {[PROGRESS_DONE] = "done",
                                        [PROGRESS_CACHED] = "cached",
                                        [PROGRESS_ERROR] = "failed",
                                        [PROGRESS_CANCELED] = "canceled"};

    str_add(out, has_ended ? names[state] : "not finished");
}

static void print_head(const struct recorded_step *s)
{
    auto_str struct str name = {0};
    auto_str struct str outcome = {0};

    str_add_escaped(&name, s->name, strlen(s->name));
    add_outcome(&outcome, s->has_ended, s->state);
    if (s->has_ended && s->state != PROGRESS_CACHED) {
        str_add(&outcome, ", ");
        add_seconds(&outcome, s->end_ns - s->begin_ns);
    }
    if (s->key[0] != '\0')
        str_addf(&outcome, ", %.*s", STEP_ID_SIZE - 1, s->key);
    printf("==> %s (%s)\n", str_text(&name), str_text(&outcome));
}

static struct json *step_json(const struct recorded_step *s)
{
    struct json *step = json_new_object();

    json_put_text(step, "name", s->name);
    json_put_text(step, "state", s->has_ended ? record_state_name(s->state) : "unfinished");
    if (s->key[0] != '\0')
        json_put_text(step, "id", s->key);
    if (s->text[0] != '\0')
        json_put_text(step, "error", s->text);
    if (s->has_ended)
        json_put_int(step, "duration_ns", s->end_ns - s->begin_ns);
    json_put_int(step, "log_size", (int64_t)s->log_bytes);
    return step;
}

static struct json *build_json(const struct recorded *b, bool with_steps)
{
    struct json *build = json_new_object();
    auto_str struct str time = {0};

    time_format(b->time_ns, &time);
    json_put_int(build, "build", (int64_t)b->number);
    json_put_text(build, "started", str_text(&time));
    json_put_text(build, "state", b->has_finished ? record_state_name(b->state) : "unfinished");
    if (b->has_finished)
        json_put_int(build, "duration_ns", b->end_ns);
    json_put_text(build, "context", b->context);
    json_put_text(build, "dockerfile", b->dockerfile);
    json_put_text(build, "target", b->target);
    json_put(build, "tags", json_new_strv(&b->tags));
    if (with_steps) {
        struct json *steps = json_new_array();

        for (size_t i = 0; i < b->count; i++)
            json_push(steps, step_json(&b->items[i]));
        json_put(build, "steps", steps);
    }
    return build;
}

static int print_json(struct json *document)
{
    auto_str struct str text = {0};

    json_write_pretty(document, &text);
    json_unref(document);
    printf("%s\n", str_text(&text));
    return 0;
}

static int show_build(struct store *store, uint64_t number, bool is_json, uint64_t tail,
                      struct error *err)
{
    auto_recorded struct recorded b = {0};
    int r = recorded_load(store, number, &b, err);

    if (r < 0)
        return r;
    if (is_json)
        return print_json(build_json(&b, true));
    for (size_t i = 0; r == 0 && i < b.count; i++) {
        auto_str struct str text = {0};

        print_head(&b.items[i]);
        r = print_log(store, number, b.items[i].vertex, tail, err);
        str_add_escaped(&text, b.items[i].text, strlen(b.items[i].text));
        if (text.size > 0)
            printf("ERROR: %s\n", str_text(&text));
    }
    return r;
}

static int show_step(struct store *store, const char *hex, bool is_json, uint64_t tail,
                     struct error *err)
{
    auto_recorded struct recorded b = {0};
    size_t position;
    int r = recorded_find_step(store, hex, &b, &position, err);

    if (r == -ENOENT)
        return error_hint(err, "`img logs` lists the builds whose logs are kept");
    if (r < 0)
        return r;
    if (is_json)
        return print_json(step_json(&b.items[position]));
    return print_log(store, b.number, b.items[position].vertex, tail, err);
}

/* -- the list -- */

static const struct format_column columns[] = {{"Build", "BUILD"},
                                               {"Started", "STARTED"},
                                               {"Outcome", "OUTCOME"},
                                               {"Duration", "DURATION"},
                                               {"Image", "IMAGE"}};

static const struct format_spec spec = {
    .columns = columns,
    .column_count = sizeof(columns) / sizeof(columns[0]),
    .table = "{{.Build}}\\t{{.Started}}\\t{{.Outcome}}\\t{{.Duration}}\\t{{.Image}}",
    .cut = 5,
};

/* The names the build gave, as `img ls` shows them; else where its context was. */
static void add_names(const struct recorded *b, struct str *out)
{
    for (size_t i = 0; i < b->tags.count; i++) {
        auto_free char *name = image_familiar_name(b->tags.items[i]);

        str_addf(out, "%s%s", i > 0 ? "," : "", name);
    }
    if (b->tags.count == 0)
        str_add(out, b->context);
}

static int add_row(const struct recorded *b, struct format *format, struct error *err)
{
    struct json *row = json_new_object();
    auto_str struct str age = {0};
    auto_str struct str outcome = {0};
    auto_str struct str duration = {0};
    auto_str struct str what = {0};

    format_age(b->time_ns, &age);
    add_outcome(&outcome, b->has_finished, b->state);
    if (b->has_finished)
        add_seconds(&duration, b->end_ns);
    add_names(b, &what);
    json_put_int(row, "Build", (int64_t)b->number);
    json_put_text(row, "Started", str_text(&age));
    json_put_text(row, "Outcome", str_text(&outcome));
    json_put_text(row, "Duration", str_text(&duration));
    json_put_text(row, "Image", str_text(&what));
    return format_row(format, row, err);
}

static int show_list(struct store *store, bool is_json, struct error *err)
{
    auto_log_list struct log_list logs = {0};
    auto_format struct format *format = NULL;
    struct json *document = is_json ? json_new_array() : NULL;
    int r = logs_list(store, &logs, err);

    if (r == 0)
        r = format_open(&spec, NULL, true, &format, err);
    for (size_t i = logs.count; r == 0 && i > 0; i--) {
        auto_recorded struct recorded b = {0};
        struct error ignored = {0};

        /* A build that has just begun has written nothing yet; or it is gone by now. */
        if (recorded_load(store, logs.items[i - 1].number, &b, &ignored) < 0)
            continue;
        if (is_json)
            json_push(document, build_json(&b, false));
        else
            r = add_row(&b, format, err);
    }
    if (r == 0 && !is_json)
        format_end(format);
    return is_json ? (r < 0 ? (json_unref(document), r) : print_json(document)) : r;
}

static int run_logs(struct program *p, const void *values, const struct strv *operands,
                    struct error *err)
{
    const struct logs_flags *f = values;
    bool is_json = f->format != NULL && strcmp(f->format, "json") == 0;
    const char *name = operands->count > 0 ? operands->items[0] : NULL;
    uint64_t tail = 0;
    uint64_t number;
    struct store *store;
    int r = 0;

    if (f->format != NULL && !is_json && strcmp(f->format, "text") != 0)
        r = error_set(err, EINVAL, "--format takes text or json, not '%s'", f->format);
    else if (f->tail != NULL && (!text_to_u64(f->tail, 1000000, &tail) || tail == 0))
        r = error_set(err, EINVAL, "--tail takes a number of lines, not '%s'", f->tail);
    if (r == 0)
        r = program_store(p, &store, err);
    if (r < 0)
        return r;
    if (name == NULL)
        return show_list(store, is_json, err);
    if (text_to_u64(name, BUILD_NUMBER_MAX, &number)) {
        r = show_build(store, number, is_json, tail, err);
        if (r != -ENOENT || strlen(name) < STEP_DIGITS_MIN)
            return r;
        error_clear(err); /* then it is the beginning of an id that happens to have no letter */
    }
    if (strlen(name) < STEP_DIGITS_MIN || name[strspn(name, "0123456789abcdef")] != '\0')
        return error_set(err, EINVAL, "'%s' is neither the number of a build nor the id of a step",
                         name);
    return show_step(store, name, is_json, tail, err);
}

const struct subcommand cmd_logs = {
    .name = "logs",
    .operands = "[BUILD|STEP]",
    .operands_max = 1,
    .summary = "Show what builds and their steps printed.",
    .details =
        "Without an operand the builds whose logs are kept, the latest first; BUILD is a number of\n"
        "that list, STEP the id of a step (or its beginning) as a failed build or img logs BUILD\n"
        "shows it. The logs of the last 50 builds in which a step ran are kept, 256 MiB at most,\n"
        "and of a step at most 32 MiB, half from its beginning; secrets given to a step are masked.\n"
        "img prune removes them.",
    .options = logs_options,
    .option_count = sizeof(logs_options) / sizeof(logs_options[0]),
    .options_size = sizeof(struct logs_flags),
    .run = run_logs,
};

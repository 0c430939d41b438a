/* cmd_diff.c - img diff: which paths two images or steps do not have in common. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/stack.h"
#include "cli/commands.h"
#include "fs/base/json.h"
#include "fs/compare.h"
#include "fs/view.h"

#include "fs/base/banned.h"

struct diff_flags {
    const char *format;
    bool exit_code;
    bool quiet;
    bool times;
};

#define FIELD(name) .offset = offsetof(struct diff_flags, name)

static const struct option diff_options[] = {
    {.name = "exit-code", FIELD(exit_code), .help = "exit with 1 when anything differs"},
    {.name = "format",
     .kind = OPTION_TEXT,
     FIELD(format),
     .argument = "text|json",
     .help = "how to print it (default text)"},
    {.name = "quiet", .letter = 'q', FIELD(quiet), .help = "print paths alone"},
    {.name = "times", FIELD(times), .help = "a file whose time alone is another has changed, too"},
};

struct total {
    size_t count;
    uint64_t size_bytes;
};

struct diff {
    const struct diff_flags *flags;
    struct json *changes; /* with --format json */
    struct total added;
    struct total changed; /* sizes as they are now */
    struct total removed;
};

static const struct {
    uint32_t what;
    const char *name;
} fields[] = {
    {COMPARE_TYPE, "type"},     {COMPARE_MODE, "mode"},       {COMPARE_OWNER, "owner"},
    {COMPARE_SIZE, "size"},     {COMPARE_CONTENT, "content"}, {COMPARE_TARGET, "target"},
    {COMPARE_DEVICE, "device"}, {COMPARE_XATTRS, "xattrs"},   {COMPARE_TIME, "time"},
};
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

static uint64_t size_of(const struct union_attr *attr)
{
    return S_ISREG(attr->mode) ? attr->size_bytes : 0;
}

static void count(struct diff *diff, const struct difference *d)
{
    struct total *total = d->kind == CHANGE_ADD      ? &diff->added
                          : d->kind == CHANGE_DELETE ? &diff->removed
                                                     : &diff->changed;

    total->count++;
    total->size_bytes += size_of(d->kind == CHANGE_DELETE ? &d->before : &d->after);
}

/* -- text -- */

static void add_size(struct str *out, const struct union_attr *attr)
{
    if (S_ISREG(attr->mode))
        str_add_size_decimal(out, attr->size_bytes);
    else
        str_add_char(out, '-');
}

static void print_text(struct diff *diff, const struct difference *d)
{
    const struct union_attr *now = d->kind == CHANGE_DELETE ? &d->before : &d->after;
    auto_str struct str size = {0};
    auto_str struct str path = {0};

    str_add_char(&path, '/');
    str_add_escaped(&path, d->path, strlen(d->path));
    if (S_ISDIR(now->mode) && d->path[0] != '\0')
        str_add_char(&path, '/');
    if (diff->flags->quiet) {
        printf("%s\n", str_text(&path));
        return;
    }
    if (d->kind == CHANGE_MODIFY && (d->what & COMPARE_SIZE) != 0) {
        add_size(&size, &d->before);
        str_add(&size, " -> ");
    }
    add_size(&size, now);
    if (d->target != NULL) {
        str_add(&path, " -> ");
        str_add_escaped(&path, d->target, strlen(d->target));
    }
    printf("%c %18s  %s",
           d->kind == CHANGE_ADD      ? 'A'
           : d->kind == CHANGE_DELETE ? 'D'
                                      : 'C',
           str_text(&size), str_text(&path));
    for (size_t i = 0, shown = 0; d->kind == CHANGE_MODIFY && i < FIELD_COUNT; i++)
        if ((d->what & fields[i].what) != 0)
            printf("%s%s", shown++ == 0 ? "  (" : ", ", fields[i].name);
    printf("%s\n", d->kind == CHANGE_MODIFY ? ")" : "");
}

static void print_totals(const struct diff *diff)
{
    const struct {
        const char *name;
        const struct total *total;
    } rows[] = {{"added", &diff->added}, {"changed", &diff->changed}, {"removed", &diff->removed}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        auto_str struct str size = {0};

        str_add_size_decimal(&size, rows[i].total->size_bytes);
        fprintf(stderr, "%s%zu %s (%s)%s", i == 0 ? "" : ", ", rows[i].total->count, rows[i].name,
                str_text(&size), i == 2 ? "\n" : "");
    }
}

/* -- JSON -- */

static const char *type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "symlink";
    case S_IFCHR:
        return "char";
    case S_IFBLK:
        return "block";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    default:
        return "file";
    }
}

static struct json *state_json(const struct union_attr *attr)
{
    struct json *state = json_new_object();
    auto_free char *mode = str_format("%04o", attr->mode & 07777);

    json_put_text(state, "type", type_name(attr->mode));
    json_put_text(state, "mode", mode);
    json_put_int(state, "uid", attr->uid);
    json_put_int(state, "gid", attr->gid);
    json_put_int(state, "size", (int64_t)size_of(attr));
    return state;
}

static void add_json(struct diff *diff, const struct difference *d)
{
    struct json *change = json_new_object();
    struct json *what = json_new_array();
    auto_free char *path = str_format("/%s", d->path);

    json_put_text(change, "path", path);
    json_put_text(change, "kind",
                  d->kind == CHANGE_ADD      ? "added"
                  : d->kind == CHANGE_DELETE ? "removed"
                                             : "changed");
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if ((d->what & fields[i].what) != 0)
            json_push(what, json_new_text(fields[i].name));
    if (d->kind == CHANGE_MODIFY)
        json_put(change, "what", what);
    else
        json_unref(what);
    if (d->kind != CHANGE_ADD)
        json_put(change, "before", state_json(&d->before));
    if (d->kind != CHANGE_DELETE)
        json_put(change, "after", state_json(&d->after));
    json_push(diff->changes, change);
}

static void print_json(struct diff *diff, const char *from, const char *to)
{
    auto_json struct json *document = json_new_object();
    auto_str struct str text = {0};
    const struct {
        const char *name;
        const struct total *total;
    } rows[] = {{"added", &diff->added}, {"changed", &diff->changed}, {"removed", &diff->removed}};

    json_put_text(document, "from", from);
    json_put_text(document, "to", to);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json *total = json_new_object();

        json_put_int(total, "count", (int64_t)rows[i].total->count);
        json_put_int(total, "size", (int64_t)rows[i].total->size_bytes);
        json_put(document, rows[i].name, total);
    }
    json_put(document, "changes", STEAL(&diff->changes));
    json_write_pretty(document, &text);
    printf("%s\n", str_text(&text));
}

static void take(void *context, const struct difference *d)
{
    struct diff *diff = context;

    count(diff, d);
    if (diff->changes != NULL)
        add_json(diff, d);
    else
        print_text(diff, d);
}

/* -- the command -- */

/* A is the first of two operands, or what the only one was made on. */
static int find_both(struct store *store, const struct strv *operands, struct stack *a,
                     struct stack *b, struct error *err)
{
    size_t base_count;
    int r = stack_find(store, operands->items[operands->count - 1], b, err);

    if (r < 0)
        return r;
    if (operands->count == 2)
        return stack_find(store, operands->items[0], a, err);
    r = stack_find_base(store, b, &base_count, &a->label, err);
    if (r == 0) {
        a->layers = mem_dup(b->layers, base_count * sizeof(*b->layers));
        a->layer_count = base_count;
    }
    return r;
}

static int open_view(struct store *store, const struct stack *s, struct view **out,
                     struct error *err)
{
    const struct view_options options = {.label = s->label, .read_only = true};

    return view_open(store, s->layers, s->layer_count, &options, out, err);
}

static int run_diff(struct program *p, const void *values, const struct strv *operands,
                    struct error *err)
{
    const struct diff_flags *f = values;
    const struct compare_options options = {.times = f->times};
    bool is_json = f->format != NULL && strcmp(f->format, "json") == 0;
    struct diff diff = {.flags = f};
    auto_stack struct stack a = {0};
    auto_stack struct stack b = {0};
    auto_view struct view *before = NULL;
    auto_view struct view *after = NULL;
    struct store *store;
    int r = 0;

    if (f->format != NULL && !is_json && strcmp(f->format, "text") != 0)
        r = error_set(err, EINVAL, "--format takes text or json, not '%s'", f->format);
    if (r == 0)
        r = program_store(p, &store, err);
    if (r == 0)
        r = find_both(store, operands, &a, &b, err);
    if (r == 0)
        r = open_view(store, &a, &before, err);
    if (r == 0)
        r = open_view(store, &b, &after, err);
    if (r < 0)
        return r;
    if (is_json)
        diff.changes = json_new_array();
    r = view_compare(before, after, &options, take, &diff, err);
    if (r == 0 && is_json)
        print_json(&diff, a.label, b.label);
    else if (r == 0 && !f->quiet)
        print_totals(&diff);
    json_unref(diff.changes);
    if (r == 0 && f->exit_code && diff.added.count + diff.changed.count + diff.removed.count > 0)
        p->status = 1;
    return r;
}

const struct subcommand cmd_diff = {
    .name = "diff",
    .operands = "[FROM] IMAGE|STEP",
    .operands_min = 1,
    .operands_max = 2,
    .summary = "List the paths that differ between two images or steps, or from the base.",
    .details =
        "A is added, C changed, D removed, with the size of a file. With one operand an image is\n"
        "compared with the image it was made from, a step with what was there before it. Times do\n"
        "not count unless --times is given. Layers in common are not read.\n"
        "\n"
        "STEP is an id that a failed build, img logs, img du or img history show, or the beginning\n"
        "of one; IMAGE@step:N is what the first N instructions of an image gave.",
    .options = diff_options,
    .option_count = sizeof(diff_options) / sizeof(diff_options[0]),
    .options_size = sizeof(struct diff_flags),
    .run = run_diff,
};

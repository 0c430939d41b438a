/* cmd_ls.c - img ls: the images of the store by name. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builder/image/image.h"
#include "builder/image/image_index.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/text.h"
#include "fs/base/io.h"
#include "fs/store.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

struct ls_flags {
    struct strv filters;
    const char *format;
    const char *sort;
    bool all;
    bool json;
    bool no_heading;
    bool no_trunc;
    bool quiet;
};

#define FIELD(name) .offset = offsetof(struct ls_flags, name)

static const struct option options[] = {
    {.name = "all",
     .letter = 'a',
     FIELD(all),
     .help = "show images without a name, and each of a name for several platforms"},
    {.name = "digests", .ignored = "digests are always shown"},
    {.name = "filter",
     .letter = 'f',
     .kind = OPTION_LIST,
     FIELD(filters),
     .argument = "KEY=VALUE",
     .help = "reference=PATTERN, label=KEY[=VALUE], dangling=true, before=, since=, until="},
    {.name = "format",
     .kind = OPTION_TEXT,
     FIELD(format),
     .argument = "FORMAT",
     .help = "table, json, 'table TEMPLATE' or a Go template"},
    {.name = "json", FIELD(json), .help = "print one JSON list"},
    {.name = "noheading", .letter = 'n', FIELD(no_heading), .help = "no line of titles"},
    {.name = "no-trunc", FIELD(no_trunc), .help = "do not shorten ids and digests"},
    {.name = "quiet", .letter = 'q', FIELD(quiet), .help = "print digests alone"},
    {.name = "sort",
     .kind = OPTION_TEXT,
     FIELD(sort),
     .argument = "FIELD",
     .help = "by created, id, repository (default), size or tag"},
    {.name = "tree", .refused = "--all has a line for the image of each platform"},
    {.name = "history", .refused = "former names are not kept"},
};

static const struct format_column columns[] = {
    {"Name", "NAME"},
    {"Repository", "REPOSITORY"},
    {"Tag", "TAG"},
    {"ID", "IMAGE ID"},
    {"Digest", "DIGEST"},
    {"Size", "SIZE"},
    {"VirtualSize", "SIZE"},
    {"SizeBytes", "BYTES"},
    {"Created", "CREATED"},
    {"CreatedAt", "CREATED AT"},
    {"CreatedSince", "CREATED"},
    {"StoredAt", "CREATED AT"},
    {"StoredSince", "CREATED AT"},
    {"UpdatedAt", "UPDATED AT"},
    {"UpdatedSince", "UPDATED AT"},
    {"Labels", "LABELS"},
    {"Platform", "PLATFORM"},
    {"Dangling", "DANGLING"},
};

static const struct format_spec spec = {
    .columns = columns,
    .column_count = sizeof(columns) / sizeof(columns[0]),
    .table = "{{.Name}}\\t{{.Size}}\\t{{.StoredSince}}\\t{{.UpdatedSince}}\\t{{.Digest}}",
    .drops = {4},
    .cut = 1,
};

/* ---- what there is ---- */

struct item {
    struct image_row *image; /* of the list */
    const char *name;        /* canonical, NULL: dangling */
    bool is_member;          /* name@digest, which the index of another name keeps */
    int64_t updated_ns;
    int64_t created_ns;    /* by the image's own account; 0 unless asked for */
    struct config *config; /* owned; NULL unless asked for */
};

struct listing {
    struct image_list images;
    struct reference_list names;
    struct {
        struct item *items;
        size_t count;
        size_t capacity;
    } rows;
};

static void listing_release(struct listing *l)
{
    for (size_t i = 0; i < l->rows.count; i++)
        config_free(l->rows.items[i].config);
    free(l->rows.items);
    image_list_release(&l->images);
    reference_list_release(&l->names);
}
DEFINE_CLEANUP_VALUE(listing_release, struct listing)

static struct image_row *find_image(const struct listing *l, const struct digest *manifest)
{
    for (size_t i = 0; i < l->images.count; i++)
        if (digest_equal(&l->images.items[i].manifest, manifest))
            return &l->images.items[i];
    return NULL;
}

static struct item *find_member(struct listing *l, const char *repository,
                                const struct digest *manifest)
{
    char digest[DIGEST_TEXT_SIZE];
    auto_free char *name = NULL;

    digest_format(manifest, digest);
    name = str_format("%s@%s", repository, digest);
    for (size_t i = 0; i < l->rows.count; i++)
        if (l->rows.items[i].name != NULL && strcmp(l->rows.items[i].name, name) == 0)
            return &l->rows.items[i];
    return NULL;
}

/* What names like "app@sha256:..." are there for: they keep the images of an index. */
static int mark_members(struct store *store, struct listing *l, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < l->names.count; i++) {
        const struct reference_row *row = &l->names.items[i];
        auto_image_index_images struct image_index_images found = {0};
        auto_reference struct reference ref = {0};
        auto_str struct str repository = {0};

        if (!row->has_index || strchr(row->name, '@') != NULL)
            continue;
        r = image_index_images(store, &row->index, row->name, &found, err);
        if (r == 0)
            r = reference_parse(row->name, &ref, err);
        if (r == 0)
            reference_format_name(&ref, &repository);
        for (size_t k = 0; r == 0 && k < found.count; k++) {
            struct item *member = find_member(l, str_text(&repository), &found.items[k]);

            if (member != NULL)
                member->is_member = true;
        }
    }
    return r;
}

/* Names in their order, then what has none. */
static int load(struct store *store, struct listing *l, struct error *err)
{
    int r = store_image_list(store, &l->images, err);

    if (r == 0)
        r = store_reference_list(store, NULL, &l->names, err);
    for (size_t i = 0; r == 0 && i < l->names.count; i++) {
        struct image_row *image = find_image(l, &l->names.items[i].manifest);

        if (image != NULL)
            *array_add(&l->rows) = (struct item){.image = image,
                                                 .name = l->names.items[i].name,
                                                 .updated_ns = l->names.items[i].updated_ns};
    }
    for (size_t i = 0; r == 0 && i < l->images.count; i++) {
        struct image_row *image = &l->images.items[i];
        bool has_name = false;

        for (size_t k = 0; k < l->names.count; k++)
            has_name |= digest_equal(&l->names.items[k].manifest, &image->manifest);
        if (!has_name)
            *array_add(&l->rows) = (struct item){.image = image, .updated_ns = image->created_ns};
    }
    return r < 0 ? r : mark_members(store, l, err);
}

static int load_config(struct store *store, struct item *item, struct error *err)
{
    auto_image struct image image = {0};
    int r = image_load(store, &item->image->manifest, &image, err);

    if (r < 0)
        return r;
    item->config = STEAL(&image.config);
    item->created_ns = config_time(item->config);
    return 0;
}

/* ---- filters ---- */

struct filters {
    struct strv references; /* any of them */
    struct strv labels;     /* all of them */
    bool has_dangling;
    bool dangling;
    int64_t before_ns; /* created before; 0: whenever */
    int64_t since_ns;  /* created after; 0: whenever */
    bool needs_config;
};

static void filters_release(struct filters *f)
{
    strv_release(&f->references);
    strv_release(&f->labels);
}
DEFINE_CLEANUP_VALUE(filters_release, struct filters)

static int image_time(struct store *store, const char *name, int64_t *out, struct error *err)
{
    auto_image struct image image = {0};
    struct digest manifest;
    int r = image_find(store, name, &manifest, NULL, err);

    if (r == 0)
        r = image_load(store, &manifest, &image, err);
    if (r == 0)
        *out = config_time(image.config);
    return r;
}

static int add_filter(struct store *store, const char *text, struct filters *f, struct error *err)
{
    size_t size = strcspn(text, "=");
    auto_free char *key = mem_strndup(text, size);
    const char *value = text[size] == '=' ? text + size + 1 : "";

    if (strcmp(key, "reference") == 0) {
        strv_add(&f->references, value);
        return 0;
    }
    if (strcmp(key, "dangling") == 0) {
        f->has_dangling = true;
        f->dangling = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
        if (f->dangling || strcmp(value, "false") == 0 || strcmp(value, "0") == 0)
            return 0;
        return error_set(err, EINVAL, "the filter 'dangling' is true or false, not '%s'", value);
    }
    f->needs_config = true;
    if (strcmp(key, "label") == 0 || strcmp(key, "label!") == 0) {
        strv_addf(&f->labels, "%s%s", key[5] == '!' ? "!" : "=", value);
        return 0;
    }
    if (strcmp(key, "before") == 0)
        return image_time(store, value, &f->before_ns, err);
    if (strcmp(key, "since") == 0 || strcmp(key, "after") == 0)
        return image_time(store, value, &f->since_ns, err);
    if (strcmp(key, "until") == 0)
        return parse_age(value, &f->before_ns, err);
    error_set(err, EINVAL, "unknown filter '%s'", text);
    return error_hint(err, "known are reference=PATTERN, dangling=true, label=KEY[=VALUE], "
                           "before=IMAGE, since=IMAGE and until=24h");
}

static bool fits(const struct reference *ref, const char *pattern,
                 void (*form)(const struct reference *ref, struct str *out))
{
    auto_str struct str text = {0};

    form(ref, &text);
    return fnmatch(pattern, str_text(&text), FNM_PATHNAME) == 0;
}

/* A pattern is tried on the name as it is shown, with and without its tag, as docker does; the
 * canonical form is found by writing it out. */
static bool matches_reference(const char *name, const char *pattern)
{
    auto_reference struct reference ref = {0};
    struct error ignored;

    if (strcmp(pattern, name) == 0)
        return true;
    if (reference_parse(name, &ref, &ignored) < 0)
        return false;
    return fits(&ref, pattern, reference_familiar) ||
           fits(&ref, pattern, reference_familiar_name) ||
           (strpbrk(pattern, "*?[") == NULL && fits(&ref, pattern, reference_format_name));
}

/* "=key", "=key=value", or the same with "!" in front for the opposite. */
static bool matches_label(const struct config *config, const char *wanted)
{
    const char *equals = strchr(wanted + 1, '=');
    auto_free char *key = mem_strndup(wanted + 1, strcspn(wanted + 1, "="));
    const struct json *labels =
        json_get_object(json_get_object(config_json(config), "config"), "Labels");
    const char *value = json_get_text(labels, key);
    bool found = value != NULL && (equals == NULL || strcmp(value, equals + 1) == 0);

    return found == (wanted[0] == '=');
}

static bool is_wanted(const struct ls_flags *flags, const struct filters *f,
                      const struct item *item)
{
    bool by_name = f->references.count == 0;

    if (item->is_member && !flags->all)
        return false;
    if (f->has_dangling ? f->dangling != (item->name == NULL) : item->name == NULL && !flags->all)
        return false;
    for (size_t i = 0; item->name != NULL && i < f->references.count; i++)
        by_name |= matches_reference(item->name, f->references.items[i]);
    if (!by_name || (f->before_ns != 0 && item->created_ns >= f->before_ns) ||
        (f->since_ns != 0 && item->created_ns <= f->since_ns))
        return false;
    for (size_t i = 0; i < f->labels.count; i++)
        if (!matches_label(item->config, f->labels.items[i]))
            return false;
    return true;
}

/* ---- rows ---- */

static void put_age(struct json *row, const char *key, int64_t time_ns)
{
    auto_str struct str age = {0};
    auto_free char *name = str_format("%sSince", key);
    auto_free char *at = str_format("%sAt", key);
    auto_str struct str time = {0};

    if (time_ns != 0) {
        format_age(time_ns, &age);
        time_format(time_ns, &time);
    }
    json_put_text(row, at, str_text(&time));
    json_put_text(row, name, str_text(&age));
}

static void put_name(struct json *row, const char *name)
{
    auto_reference struct reference ref = {0};
    auto_str struct str familiar = {0};
    auto_str struct str repository = {0};
    struct error ignored;

    if (name == NULL || reference_parse(name, &ref, &ignored) < 0) {
        json_put_text(row, "Name", name == NULL ? "<none>" : name);
        json_put_text(row, "Repository", "<none>");
        json_put_text(row, "Tag", "<none>");
        return;
    }
    reference_familiar(&ref, &familiar);
    reference_familiar_name(&ref, &repository);
    json_put_text(row, "Name", str_text(&familiar));
    json_put_text(row, "Repository", str_text(&repository));
    json_put_text(row, "Tag", ref.tag == NULL ? "<none>" : ref.tag);
}

static void put_config(struct json *row, const struct item *item)
{
    auto_platform struct platform platform = {0};
    auto_str struct str text = {0};
    const struct json *labels =
        json_get_object(json_get_object(config_json(item->config), "config"), "Labels");

    config_platform(item->config, &platform);
    platform_format(&platform, &text);
    json_put_text(row, "Platform", str_text(&text));
    json_put(row, "Labels", labels == NULL ? json_new_object() : json_clone(labels));
    json_put_int(row, "Created", item->created_ns / 1000000000);
    put_age(row, "Created", item->created_ns);
}

/* How much of ids and digests is shown. */
struct lengths {
    size_t id;     /* of the text without its algorithm; 0: all, with it */
    size_t digest; /* of the text with it */
};

static struct json *make_row(const struct item *item, const struct lengths *lengths)
{
    struct json *row = json_new_object();
    auto_str struct str size = {0};
    char id[DIGEST_TEXT_SIZE];
    char digest[DIGEST_TEXT_SIZE];
    char *digits;

    digest_format(&item->image->config, id);
    digits = strchr(id, ':') + 1;
    digest_format(&item->image->manifest, digest);
    digest[lengths->digest] = '\0';
    if (lengths->id > 0)
        digits[lengths->id] = '\0';
    str_add_size_binary(&size, item->image->size_bytes);
    put_name(row, item->name);
    json_put_text(row, "ID", lengths->id > 0 ? digits : id);
    json_put_text(row, "Digest", digest);
    json_put_text(row, "Size", str_text(&size));
    json_put_text(row, "VirtualSize", str_text(&size));
    json_put_int(row, "SizeBytes", (int64_t)item->image->size_bytes);
    put_age(row, "Stored", item->image->created_ns);
    put_age(row, "Updated", item->updated_ns);
    json_put_bool(row, "Dangling", item->name == NULL);
    if (item->config != NULL)
        put_config(row, item);
    return row;
}

/* ---- order ---- */

static int by_size(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;

    return (x->image->size_bytes < y->image->size_bytes) -
           (x->image->size_bytes > y->image->size_bytes);
}

static int by_created(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;

    return (x->created_ns < y->created_ns) - (x->created_ns > y->created_ns);
}

static int by_id(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;

    return digest_compare(&x->image->config, &y->image->config);
}

static const char *tag_of(const struct item *item)
{
    const char *colon = item->name == NULL ? NULL : strrchr(item->name, ':');

    return colon == NULL ? "" : colon + 1;
}

static int by_tag(const void *a, const void *b)
{
    return strcmp(tag_of(a), tag_of(b));
}

static int sort_rows(struct listing *l, const char *key, struct error *err)
{
    static const struct {
        const char *name;
        int (*compare)(const void *a, const void *b);
    } orders[] = {{"created", by_created}, {"id", by_id},   {"repository", NULL},
                  {"size", by_size},       {"tag", by_tag}, {"name", NULL}};

    for (size_t i = 0; key != NULL && i < sizeof(orders) / sizeof(orders[0]); i++) {
        if (strcmp(orders[i].name, key) != 0)
            continue;
        if (orders[i].compare != NULL && l->rows.count > 0)
            qsort(l->rows.items, l->rows.count, sizeof(*l->rows.items), orders[i].compare);
        return 0;
    }
    return key == NULL
               ? 0
               : error_set(err, EINVAL, "cannot sort by '%s': created, id, repository, size or tag",
                           key);
}

/* ---- the command ---- */

#define ID_LENGTH 12u
#define DIGEST_LENGTH DIGEST_SHORT_SIZE

/* On a terminal the table has short digests, so that it fits; into a pipe goes all. */
static struct lengths choose_lengths(const struct ls_flags *f, const struct format *format)
{
    bool is_short = !f->no_trunc && format_is_narrow(format);

    return (struct lengths){.id = f->no_trunc ? 0 : ID_LENGTH,
                            .digest = is_short ? DIGEST_LENGTH : DIGEST_TEXT_SIZE - 1};
}

static bool wants_config(const struct ls_flags *f, const struct format *format)
{
    static const char *const fields[] = {"Labels", "Platform", "Created", "CreatedAt",
                                         "CreatedSince"};

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (format_wants(format, fields[i]))
            return true;
    return f->json || (f->sort != NULL && strcmp(f->sort, "created") == 0);
}

static int show(const struct ls_flags *f, const struct filters *filters, const struct listing *l,
                struct format *format, struct error *err)
{
    const struct lengths lengths = choose_lengths(f, format);
    auto_json struct json *list = json_new_array();
    int r = 0;

    if (f->no_trunc)
        format_keep_whole(format);
    for (size_t i = 0; r == 0 && i < l->rows.count; i++) {
        const struct item *item = &l->rows.items[i];
        char digest[DIGEST_TEXT_SIZE];

        if (!is_wanted(f, filters, item))
            continue;
        digest_format(&item->image->manifest, digest);
        if (f->quiet)
            printf("%s\n", digest);
        else if (f->json)
            json_push(list, make_row(item, &lengths));
        else
            r = format_row(format, make_row(item, &lengths), err);
    }
    if (r < 0 || f->quiet)
        return r;
    if (f->json)
        format_print_json(list);
    else
        format_end(format);
    return 0;
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct ls_flags *f = values;
    __attribute__((cleanup(cleanup_listing_release))) struct listing l = {0};
    __attribute__((cleanup(cleanup_filters_release))) struct filters filters = {0};
    auto_format struct format *format = NULL;
    struct store *store;
    int r = 0;

    if (f->json && f->format != NULL)
        return error_set(err, EINVAL, "--json and --format are two answers to one question");
    r = format_open(&spec, f->format, !f->no_heading, &format, err);
    if (r == 0)
        r = program_store(p, &store, err);
    for (size_t i = 0; r == 0 && i < f->filters.count; i++)
        r = add_filter(store, f->filters.items[i], &filters, err);
    strv_add_all(&filters.references, operands);
    if (r == 0)
        r = load(store, &l, err);
    if (r == 0 && (filters.needs_config || wants_config(f, format)))
        for (size_t i = 0; r == 0 && i < l.rows.count; i++)
            r = load_config(store, &l.rows.items[i], err);
    if (r == 0)
        r = sort_rows(&l, f->sort, err);
    return r < 0 ? r : show(f, &filters, &l, format, err);
}

const struct subcommand cmd_ls = {
    .name = "ls",
    .aliases = "images list",
    .operands = "[PATTERN]",
    .operands_max = 1,
    .summary = "List the images.",
    .details =
        "FORMAT may ask for .Name .Repository .Tag .ID .Digest .Size .SizeBytes .Created\n"
        ".CreatedAt .CreatedSince (by the image itself) .StoredAt .StoredSince (when it came\n"
        "here) .UpdatedAt .UpdatedSince (when the name last moved) .Labels .Platform and\n"
        ".Dangling. On a terminal digests are shortened; --no-trunc shows all of them.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct ls_flags),
    .run = run,
};

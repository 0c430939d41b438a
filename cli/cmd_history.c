/* cmd_history.c - img history: the steps an image was made by. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "builder/image/image.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/text.h"
#include "fs/layer.h"

#include "fs/base/banned.h"

struct history_flags {
    const char *format;
    const char *human;
    bool no_trunc;
    bool quiet;
};

#define FIELD(name) .offset = offsetof(struct history_flags, name)

static const struct option options[] = {
    {.name = "format",
     .kind = OPTION_TEXT,
     FIELD(format),
     .argument = "FORMAT",
     .help = "table, json, 'table TEMPLATE' or a Go template"},
    {.name = "human",
     .kind = OPTION_TEXT,
     FIELD(human),
     .argument = "true|false",
     .fallback = "true",
     .help = "sizes and ages for people; false: bytes and times"},
    {.name = "no-trunc", FIELD(no_trunc), .help = "do not shorten anything"},
    {.name = "quiet", .letter = 'q', FIELD(quiet), .help = "print diff ids alone"},
    {.name = "platform",
     .kind = OPTION_TEXT,
     .argument = "OS/ARCH",
     .refused = "an image of one platform is kept, not all of an index"},
};

static const struct format_column columns[] = {
    {"ID", "LAYER"},
    {"Layer", "LAYER"},
    {"CreatedSince", "CREATED"},
    {"CreatedAt", "CREATED AT"},
    {"CreatedBy", "CREATED BY"},
    {"Size", "SIZE"},
    {"SizeBytes", "BYTES"},
    {"Comment", "COMMENT"},
    {"Empty", "EMPTY"},
};

static const struct format_spec spec = {
    .columns = columns,
    .column_count = sizeof(columns) / sizeof(columns[0]),
    .table = "{{.Layer}}\\t{{.CreatedSince}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}",
    .drops = {5},
    .cut = 3,
};

#define CREATED_BY_WIDTH 60u

/* Cut to what a table has room for, not into the middle of a character. */
static void shorten(struct str *text, size_t columns_max)
{
    if (text_columns(str_text(text), text->size) <= columns_max)
        return;
    str_truncate(text, text_fit(str_text(text), columns_max - 1));
    str_add(text, "…");
}

struct entry {
    const struct json *json;
    const char *layer; /* diff id, or "<none>" */
    uint64_t size_bytes;
};

static struct json *make_row(const struct entry *e, bool is_human, bool is_short)
{
    struct json *row = json_new_object();
    const char *created_by = json_get_text(e->json, "created_by");
    const char *comment = json_get_text(e->json, "comment");
    const char *created = json_get_text(e->json, "created");
    auto_free char *layer = mem_strndup(e->layer, is_short ? DIGEST_SHORT_SIZE : strlen(e->layer));
    auto_str struct str text = {0};
    auto_str struct str age = {0};
    auto_str struct str size = {0};
    int64_t created_ns;

    str_add(&text, created_by == NULL ? "" : created_by);
    if (is_short)
        shorten(&text, CREATED_BY_WIDTH);
    if (created != NULL && !is_human)
        str_add(&age, created);
    else if (created != NULL && time_parse(created, &created_ns) == 0)
        format_age(created_ns, &age);
    if (is_human)
        str_add_size_decimal(&size, e->size_bytes);
    else
        str_addf(&size, "%llu", (unsigned long long)e->size_bytes);
    json_put_text(row, "ID", layer);
    json_put_text(row, "Layer", layer);
    json_put_text(row, "CreatedSince", str_text(&age));
    json_put_text(row, "CreatedAt", created == NULL ? "" : created);
    json_put_text(row, "CreatedBy", str_text(&text));
    json_put_text(row, "Size", str_text(&size));
    json_put_int(row, "SizeBytes", (int64_t)e->size_bytes);
    json_put_text(row, "Comment", comment == NULL ? "" : comment);
    json_put_bool(row, "Empty", json_get_bool(e->json, "empty_layer", false));
    return row;
}

/* The last entry first, as docker shows them. */
static int show(struct store *store, const struct image *image, const struct history_flags *f,
                struct format *format, struct error *err)
{
    const struct json *history = json_get_array(config_json(image->config), "history");
    bool is_short = !f->no_trunc && !text_equal(f->format, "json");
    size_t layer = image->layer_count;

    if (f->no_trunc)
        format_keep_whole(format);
    for (size_t i = json_count(history); i > 0; i--) {
        struct entry e = {.json = json_at(history, i - 1)};
        char id[DIGEST_TEXT_SIZE] = "<none>";
        struct digest diff_id;
        int r = 0;

        if (!json_get_bool(e.json, "empty_layer", false) && layer > 0) {
            r = layer_digest(store, image->layers[--layer], &diff_id, &e.size_bytes, err);
            if (r < 0)
                return r;
            digest_format(&diff_id, id);
        }
        e.layer = id;
        if (f->quiet)
            printf("%.*s\n", (int)(f->no_trunc ? sizeof(id) : DIGEST_SHORT_SIZE), id);
        else
            r = format_row(format, make_row(&e, !text_equal(f->human, "false"), is_short), err);
        if (r < 0)
            return r;
    }
    if (!f->quiet)
        format_end(format);
    return 0;
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct history_flags *f = values;
    auto_format struct format *format = NULL;
    auto_image struct image image = {0};
    struct digest manifest;
    struct store *store;
    int r = format_open(&spec, f->format, true, &format, err);

    if (r == 0 && f->human != NULL && strcmp(f->human, "true") != 0 &&
        strcmp(f->human, "false") != 0)
        r = error_set(err, EINVAL, "--human is true or false, not '%s'", f->human);
    if (r == 0)
        r = program_store(p, &store, err);
    if (r == 0)
        r = image_find(store, operands->items[0], &manifest, NULL, err);
    if (r == 0)
        r = image_load(store, &manifest, &image, err);
    return r < 0 ? r : show(store, &image, f, format, err);
}

const struct subcommand cmd_history = {
    .name = "history",
    .operands = "IMAGE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show the steps an image was made by, the last one first.",
    .details =
        "FORMAT may ask for .ID or .Layer (the diff id) .CreatedSince .CreatedAt .CreatedBy\n"
        ".Size .SizeBytes .Comment and .Empty. Sizes are those of the layers' tar.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct history_flags),
    .run = run,
};

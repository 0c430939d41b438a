/* cmd_history.c - img history and img inspect: what an image says of itself. */
#include <stdio.h>
#include <string.h>

#include "builder/image.h"
#include "cli/commands.h"
#include "cli/text.h"
#include "fs/layer.h"

#include "fs/base/banned.h"

struct history_flags {
    bool no_trunc;
    bool quiet;
};

static const struct option history_options[] = {
    {.name = "no-trunc",
     .offset = offsetof(struct history_flags, no_trunc),
     .help = "do not shorten anything"},
    {.name = "quiet",
     .letter = 'q',
     .offset = offsetof(struct history_flags, quiet),
     .help = "print diff ids alone"},
};

static int load(struct program *p, const char *name, struct image *out, struct store **store,
                struct error *err)
{
    struct digest manifest;
    int r = program_store(p, store, err);

    if (r == 0)
        r = image_find(*store, name, &manifest, NULL, err);
    return r < 0 ? r : image_load(*store, &manifest, out, err);
}

#define CREATED_BY_WIDTH 60u

static void print_entry(const struct json *entry, const char *id, uint64_t size_bytes,
                        const struct history_flags *f)
{
    const char *created_by = json_get_text(entry, "created_by");
    const char *created = json_get_text(entry, "created");
    auto_str struct str text = {0};
    auto_str struct str age = {0};
    auto_str struct str size = {0};
    int64_t created_ns;

    str_add_escaped(&text, created_by == NULL ? "" : created_by,
                    created_by == NULL ? 0 : strlen(created_by));
    if (!f->no_trunc && text.size > CREATED_BY_WIDTH) {
        size_t kept = CREATED_BY_WIDTH - 1;

        while (((unsigned char)text.data[kept] & 0xc0) == 0x80)
            kept--; /* not into the middle of a character */
        str_truncate(&text, kept);
        str_add(&text, "…");
    }
    if (created != NULL && time_parse(created, &created_ns) == 0)
        format_age(created_ns, &age);
    str_add_size_decimal(&size, size_bytes);
    printf("%-*s  %-20s %-*s %s\n", f->no_trunc ? 71 : 19, id, str_text(&age),
           (int)CREATED_BY_WIDTH, str_text(&text), str_text(&size));
}

static int run_history(struct program *p, const void *values, const struct strv *operands,
                       struct error *err)
{
    const struct history_flags *f = values;
    auto_image struct image image = {0};
    const struct json *history;
    struct store *store;
    size_t layer;
    int r = load(p, operands->items[0], &image, &store, err);

    if (r < 0)
        return r;
    history = json_get_array(config_json(image.config), "history");
    layer = image.layer_count;
    if (!f->quiet)
        printf("%-*s  %-20s %-*s %s\n", f->no_trunc ? 71 : 19, "LAYER", "CREATED",
               (int)CREATED_BY_WIDTH, "CREATED BY", "SIZE");
    for (size_t i = json_count(history); i > 0; i--) {
        const struct json *entry = json_at(history, i - 1);
        char id[DIGEST_TEXT_SIZE] = "<none>";
        uint64_t size_bytes = 0;
        struct digest diff_id;

        if (!json_get_bool(entry, "empty_layer", false) && layer > 0) {
            r = layer_digest(store, image.layers[--layer], &diff_id, &size_bytes, err);
            if (r < 0)
                return r;
            digest_format(&diff_id, id);
        }
        if (!f->no_trunc && strlen(id) > 19)
            id[19] = '\0';
        if (f->quiet)
            printf("%s\n", id);
        else
            print_entry(entry, id, size_bytes, f);
    }
    return 0;
}

const struct subcommand cmd_history = {
    .name = "history",
    .operands = "IMAGE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show the steps an image was made by, the last one first.",
    .options = history_options,
    .option_count = sizeof(history_options) / sizeof(history_options[0]),
    .options_size = sizeof(struct history_flags),
    .run = run_history,
};

static int run_inspect(struct program *p, const void *values, const struct strv *operands,
                       struct error *err)
{
    auto_image struct image image = {0};
    auto_json struct json *document = json_new_object();
    auto_json struct json *manifest = NULL;
    auto_str struct str text = {0};
    char id[DIGEST_TEXT_SIZE];
    char digest[DIGEST_TEXT_SIZE];
    struct store *store;
    int r = load(p, operands->items[0], &image, &store, err);

    (void)values; /* no options */
    if (r == 0)
        r = json_parse(str_text(&image.bytes), image.bytes.size, image.bytes.size, "the manifest",
                       &manifest, err);
    if (r < 0)
        return r;
    digest_format(&image.config_digest, id);
    digest_format(&image.manifest, digest);
    json_put_text(document, "id", id);
    json_put_text(document, "digest", digest);
    json_put_int(document, "size", (int64_t)image.size_bytes);
    json_put(document, "manifest", STEAL(&manifest));
    json_put(document, "image", json_clone(config_json(image.config)));
    json_write_pretty(document, &text);
    printf("%s\n", str_text(&text));
    return 0;
}

const struct subcommand cmd_inspect = {
    .name = "inspect",
    .operands = "IMAGE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Print an image's manifest and configuration as JSON.",
    .run = run_inspect,
};

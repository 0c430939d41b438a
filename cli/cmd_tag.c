/* cmd_tag.c - img tag, untag and rm: names of images. */
#include <errno.h>
#include <stdio.h>

#include "builder/image.h"
#include "cli/commands.h"
#include "fs/store.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

static int canonical(const char *text, struct str *out, struct error *err)
{
    auto_reference struct reference ref = {0};
    int r = reference_parse(text, &ref, err);

    if (r == 0)
        reference_format(&ref, out);
    return r;
}

static int run_tag(struct program *p, const void *values, const struct strv *operands,
                   struct error *err)
{
    struct digest manifest;
    struct store *store;
    int r = program_store(p, &store, err);

    (void)values; /* no options */
    if (r == 0)
        r = image_find(store, operands->items[0], &manifest, NULL, err);
    for (size_t i = 1; r == 0 && i < operands->count; i++) {
        auto_str struct str name = {0};

        r = canonical(operands->items[i], &name, err);
        if (r == 0)
            r = image_tag(store, str_text(&name), &manifest, err);
        if (r == 0)
            printf("Successfully tagged %s as %s\n", operands->items[0], operands->items[i]);
    }
    return r;
}

const struct subcommand cmd_tag = {
    .name = "tag",
    .operands = "SOURCE TARGET...",
    .operands_min = 2,
    .operands_max = SIZE_MAX,
    .summary = "Give an image another name.",
    .run = run_tag,
};

static int run_untag(struct program *p, const void *values, const struct strv *operands,
                     struct error *err)
{
    struct store *store;
    int r = program_store(p, &store, err);

    (void)values; /* no options */
    for (size_t i = 0; r == 0 && i < operands->count; i++) {
        auto_str struct str name = {0};

        r = canonical(operands->items[i], &name, err);
        if (r == 0)
            r = store_reference_remove(store, str_text(&name), err);
        if (r == -ENOENT)
            return error_set(err, ENOENT, "no such name: '%s'", operands->items[i]);
        if (r == 0)
            printf("Untagged %s\n", operands->items[i]);
    }
    return r;
}

const struct subcommand cmd_untag = {
    .name = "untag",
    .operands = "NAME...",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .summary = "Take a name away from an image; the image stays.",
    .run = run_untag,
};

/* A name goes alone while the image has others; an id takes the image with all its names. */
static int remove_one(struct store *store, const char *text, struct error *err)
{
    auto_reference_list struct reference_list names = {0};
    auto_free char *name = NULL;
    struct digest manifest;
    int r = image_find(store, text, &manifest, &name, err);

    if (r < 0)
        return r;
    printf("Removing %s...\n", text);
    if (name == NULL)
        return store_image_remove(store, &manifest, err);
    r = store_reference_remove(store, name, err);
    if (r == 0)
        r = store_reference_list(store, &manifest, &names, err);
    return r < 0 || names.count > 0 ? r : store_image_remove(store, &manifest, err);
}

static int run_rm(struct program *p, const void *values, const struct strv *operands,
                  struct error *err)
{
    struct store *store;
    int r = program_store(p, &store, err);

    (void)values; /* no options */
    for (size_t i = 0; r == 0 && i < operands->count; i++) {
        r = remove_one(store, operands->items[i], err);
        if (r == 0)
            printf("Successfully removed %s\n", operands->items[i]);
    }
    return r;
}

const struct subcommand cmd_rm = {
    .name = "rm",
    .aliases = "rmi",
    .operands = "IMAGE...",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .summary = "Remove images. Their bytes go with `img prune`, or when nothing else needs them.",
    .run = run_rm,
};

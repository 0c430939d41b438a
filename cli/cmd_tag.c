/* cmd_tag.c - img tag, untag and rm: names of images. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "builder/image/image.h"
#include "builder/image/image_index.h"
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

/* What cannot be done does not keep the rest from being done; every failure is told in the end. */
struct failures {
    struct error first;
    struct str text;
};

static void add_failure(struct failures *f, const struct error *err)
{
    if (f->text.size == 0)
        f->first = *err;
    else
        str_add(&f->text, "; ");
    str_add(&f->text, err->text);
}

static int finish_failures(struct failures *f, struct error *err)
{
    if (f->text.size == 0)
        return 0;
    *err = f->first;
    (void)error_set(err, f->first.code, "%s", str_text(&f->text)); /* returned below */
    return f->first.hint[0] == '\0' ? -err->code : error_hint(err, "%s", f->first.hint);
}

/* A name that stands for several platforms stands for them under its new name too. */
static int tag(struct store *store, const struct digest *manifest,
               const struct reference_row *source, const char *name, struct error *err)
{
    return source->has_index ? image_index_tag(store, name, source, err)
                             : image_tag(store, name, manifest, err);
}

static int run_tag(struct program *p, const void *values, const struct strv *operands,
                   struct error *err)
{
    auto_strv struct strv names = {0};
    auto_reference_row struct reference_row source = {0};
    auto_free char *source_name = NULL;
    struct error ignored; /* an id has no row */
    struct digest manifest;
    struct store *store;
    int r = program_store(p, &store, err);

    (void)values; /* no options */
    if (r == 0)
        r = image_find(store, operands->items[0], &manifest, &source_name, err);
    if (r == 0 && source_name != NULL)
        (void)store_reference_get(store, source_name, &source, &ignored);
    /* All are looked at before the first is given. */
    for (size_t i = 1; r == 0 && i < operands->count; i++) {
        auto_str struct str name = {0};

        r = canonical(operands->items[i], &name, err);
        if (r == 0 && strchr(str_text(&name), '@') != NULL)
            r = error_set(err, EINVAL, "invalid name '%s': it cannot hold a digest",
                          operands->items[i]);
        strv_add(&names, str_text(&name));
    }
    for (size_t i = 1; r == 0 && i < operands->count; i++) {
        r = tag(store, &manifest, &source, names.items[i - 1], err);
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

static int untag_one(struct store *store, const char *text, struct error *err)
{
    auto_str struct str name = {0};
    int r = canonical(text, &name, err);

    if (r == 0)
        r = store_reference_remove(store, str_text(&name), err);
    return r == -ENOENT ? error_set(err, ENOENT, "no such name: '%s'", text) : r;
}

static int run_untag(struct program *p, const void *values, const struct strv *operands,
                     struct error *err)
{
    struct failures failures = {0};
    struct store *store;
    int r = program_store(p, &store, err);

    (void)values; /* no options */
    for (size_t i = 0; r == 0 && i < operands->count; i++) {
        if (untag_one(store, operands->items[i], err) < 0)
            add_failure(&failures, err);
        else
            printf("Untagged %s\n", operands->items[i]);
    }
    if (r == 0)
        r = finish_failures(&failures, err);
    str_release(&failures.text);
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

struct rm_flags {
    bool all;
    bool force;
};

static const struct option rm_options[] = {
    {.name = "all",
     .letter = 'a',
     .offset = offsetof(struct rm_flags, all),
     .help = "remove every image"},
    {.name = "force",
     .letter = 'f',
     .offset = offsetof(struct rm_flags, force),
     .help = "an image that is not there is no error"},
};

static bool is_pattern(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

/* Names that match, as people know them; a name without a tag in the pattern means every tag. */
static int add_matches(struct store *store, const char *pattern, struct strv *out,
                       struct error *err)
{
    auto_reference_list struct reference_list list = {0};
    size_t before = out->count;
    int r = store_reference_list(store, NULL, &list, err);

    for (size_t i = 0; r == 0 && i < list.count; i++) {
        const char *name = list.items[i].name;
        auto_free char *familiar = image_familiar_name(name);

        if ((fnmatch(pattern, familiar, 0) == 0 || fnmatch(pattern, name, 0) == 0) &&
            !strv_contains(out, familiar))
            strv_add(out, familiar);
    }
    if (r == 0 && out->count == before)
        return error_set(err, ENOENT, "no image matches '%s'", pattern);
    return r;
}

static int add_all(struct store *store, struct strv *out, struct error *err)
{
    auto_image_list struct image_list list = {0};
    int r = store_image_list(store, &list, err);

    for (size_t i = 0; r == 0 && i < list.count; i++) {
        char text[DIGEST_TEXT_SIZE];

        digest_format(&list.items[i].manifest, text);
        strv_add(out, text);
    }
    return r;
}

/* A name goes alone while the image has others; an id takes the image with all its names. */
static int remove_one(struct store *store, const char *text, struct error *err)
{
    auto_reference_list struct reference_list names = {0};
    auto_reference_row struct reference_row row = {0};
    auto_free char *name = NULL;
    struct digest manifest;
    int r = image_find(store, text, &manifest, &name, err);

    if (r < 0)
        return r;
    printf("Removing %s...\n", text);
    if (name == NULL)
        return store_image_remove(store, &manifest, err);
    r = store_reference_get(store, name, &row, err);
    if (r == 0)
        r = store_reference_remove(store, name, err);
    if (r == 0 && row.has_index)
        r = image_index_forget(store, name, &row.index, err);
    if (r == 0)
        r = store_reference_list(store, &manifest, &names, err);
    if (r < 0 || names.count > 0)
        return r;
    r = store_image_remove(store, &manifest, err);
    if (r != -ENOENT) /* it may have gone with the index */
        return r;
    error_clear(err);
    return 0;
}

static int expand(struct store *store, const struct rm_flags *f, const struct strv *operands,
                  struct strv *out, struct failures *failures, struct error *err)
{
    int r = f->all ? add_all(store, out, err) : 0;

    for (size_t i = 0; r == 0 && i < operands->count; i++) {
        if (!is_pattern(operands->items[i])) {
            strv_add(out, operands->items[i]);
            continue;
        }
        r = add_matches(store, operands->items[i], out, err);
        if (r == -ENOENT) {
            r = 0;
            if (!f->force)
                add_failure(failures, err);
        }
    }
    return r;
}

static int run_rm(struct program *p, const void *values, const struct strv *operands,
                  struct error *err)
{
    const struct rm_flags *f = values;
    auto_strv struct strv names = {0};
    struct failures failures = {0};
    struct store *store;
    int r;

    p->status = f->all == (operands->count > 0) ? EXIT_USAGE : 0;
    if (p->status != 0)
        return error_set(err, EINVAL, f->all ? "--all takes no images" : "name an image, or --all");
    r = program_store(p, &store, err);
    if (r == 0)
        r = expand(store, f, operands, &names, &failures, err);
    for (size_t i = 0; r == 0 && i < names.count; i++) {
        int one = remove_one(store, names.items[i], err);

        if (one == 0)
            printf("Successfully removed %s\n", names.items[i]);
        else if (one != -ENOENT || !f->force)
            add_failure(&failures, err);
    }
    if (r == 0)
        r = finish_failures(&failures, err);
    str_release(&failures.text);
    return r;
}

const struct subcommand cmd_rm = {
    .name = "rm",
    .aliases = "rmi",
    .operands = "[IMAGE...]",
    .operands_max = SIZE_MAX,
    .summary = "Remove images. Their bytes go with `img prune`, or when nothing else needs them.",
    .details = "IMAGE is a name, the beginning of an id, or a pattern of names (`'app:*'`). A name "
               "goes alone while the image has others; an id takes the image with all its names. "
               "What cannot be removed does not keep the rest.",
    .options = rm_options,
    .option_count = sizeof(rm_options) / sizeof(rm_options[0]),
    .options_size = sizeof(struct rm_flags),
    .run = run_rm,
};

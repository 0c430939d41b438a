/* cmd_load.c - img load: images out of an archive that img, docker, podman, skopeo or buildah wrote. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "builder/image/image.h"
#include "builder/image/load.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

struct load_flags {
    struct strv tags;
    const char *input;
    const char *platform;
    const char *progress;
    bool quiet;
};

#define FIELD(name) .offset = offsetof(struct load_flags, name)

static const struct option options[] = {
    {.name = "input",
     .letter = 'i',
     .kind = OPTION_TEXT,
     FIELD(input),
     .argument = "FILE",
     .help = "read FILE (or the layout in a directory) instead of standard input"},
    {.name = "platform",
     .kind = OPTION_TEXT,
     FIELD(platform),
     .argument = "OS/ARCH",
     .help = "which image of several to load (default: all, if all are there)"},
    {.name = "progress",
     .kind = OPTION_TEXT,
     FIELD(progress),
     .argument = "auto|plain|tty|quiet|rawjson",
     .help = "how progress is shown"},
    {.name = "quiet", .letter = 'q', FIELD(quiet), .help = "show no progress"},
    {.name = "tag",
     .letter = 't',
     .kind = OPTION_LIST,
     FIELD(tags),
     .argument = "NAME[:TAG]",
     .help = "also give the image this name; for archives that hold one image"},
};

static int add_tags(struct store *store, const struct load_flags *f, struct loaded_images *images,
                    struct error *err)
{
    int r = 0;

    if (f->tags.count > 0 && images->count != 1)
        return error_set(err, EINVAL, "--tag names one image, and the archive has %zu",
                         images->count);
    for (size_t i = 0; r == 0 && i < f->tags.count; i++) {
        auto_reference struct reference ref = {0};
        auto_str struct str name = {0};

        r = reference_parse(f->tags.items[i], &ref, err);
        if (r < 0)
            return r;
        reference_format(&ref, &name);
        r = load_tag(store, &images->items[0], str_text(&name), err);
        if (r == 0 && !strv_contains(&images->items[0].names, str_text(&name)))
            strv_add(&images->items[0].names, str_text(&name));
    }
    return r;
}

/* docker's words, which scripts cut at the colon. */
static void show(const struct loaded_images *images)
{
    for (size_t i = 0; i < images->count; i++) {
        const struct loaded_image *image = &images->items[i];
        char id[DIGEST_TEXT_SIZE];

        for (size_t k = 0; k < image->names.count; k++) {
            auto_free char *name = image_familiar_name(image->names.items[k]);

            printf("Loaded image: %s\n", name);
        }
        digest_format(&image->config, id);
        if (image->names.count == 0)
            printf("Loaded image ID: %s\n", id);
    }
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct load_flags *f = values;
    const char *path = operands->count > 0 ? operands->items[0] : f->input;
    auto_platform struct platform platform = {0};
    auto_loaded_images struct loaded_images images = {0};
    auto_progress struct progress *progress = NULL;
    struct load_options o = {.path = path == NULL || strcmp(path, "-") == 0 ? NULL : path};
    struct store *store;
    int r = 0;

    if (operands->count > 0 && f->input != NULL)
        return error_set(err, EINVAL, "give the archive once: '%s' or --input '%s'",
                         operands->items[0], f->input);
    if (o.path == NULL && isatty(STDIN_FILENO) == 1)
        return error_set(err, EINVAL, "requested load from stdin, but stdin is a terminal");
    if (f->platform != NULL) {
        r = platform_parse(f->platform, &platform, err);
        o.platform = &platform;
    }
    if (r == 0)
        r = program_store(p, &store, err);
    if (r == 0)
        r = progress_open(f->quiet ? "quiet" : f->progress, &progress, err);
    if (r < 0)
        return r;
    o.progress = progress;
    progress_set_title(progress, "Loading");
    r = load_images(store, &o, &images, err);
    progress_close(STEAL(&progress));
    if (r == 0)
        r = add_tags(store, f, &images, err);
    show(&images);
    return r;
}

const struct subcommand cmd_load = {
    .name = "load",
    .operands = "[FILE]",
    .operands_max = 1,
    .summary = "Load images from a docker archive or an OCI layout, a tar or a directory.",
    .details = "Reads what docker save, podman save, skopeo, buildah, buildx and img save write, "
               "compressed or not, from FILE, a directory or standard input, and prints the names "
               "of what it loaded. Every digest is checked, nothing is unpacked.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct load_flags),
    .run = run,
};

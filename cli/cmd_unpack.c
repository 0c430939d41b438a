/* cmd_unpack.c - img unpack: an image's files in a directory. */
#include <stdio.h>

#include "builder/image/image.h"
#include "builder/tree/unpack.h"
#include "cli/commands.h"
#include "fs/base/log.h"
#include "fs/view.h"

#include "fs/base/banned.h"

struct unpack_flags {
    const char *output;
};

static const struct option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = OPTION_TEXT,
     .offset = offsetof(struct unpack_flags, output),
     .argument = "DIR",
     .help = "directory to make (default rootfs)"},
};

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct unpack_flags *f = values;
    const char *directory = f->output != NULL ? f->output : "rootfs";
    const struct view_options view_options = {.label = operands->items[0], .read_only = true};
    auto_image struct image image = {0};
    auto_view struct view *view = NULL;
    struct unpack_result result;
    struct digest manifest;
    struct store *store;
    int r = program_store(p, &store, err);

    if (r == 0)
        r = image_find(store, operands->items[0], &manifest, NULL, err);
    if (r == 0)
        r = image_load(store, &manifest, &image, err);
    if (r == 0)
        r = view_open(store, image.layers, image.layer_count, &view_options, &view, err);
    if (r == 0)
        r = unpack_view(view, directory, NULL, &result, err);
    if (r < 0)
        return r;
    if (result.skipped_count > 0)
        log_warn("%llu device files and sockets were left out",
                 (unsigned long long)result.skipped_count);
    printf("Successfully unpacked rootfs for %s to: %s\n", operands->items[0], directory);
    return 0;
}

const struct subcommand cmd_unpack = {
    .name = "unpack",
    .operands = "IMAGE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Write an image's files into a directory, as files of the caller.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct unpack_flags),
    .run = run,
};

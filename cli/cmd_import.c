/* cmd_import.c - img import: a root filesystem as a tar becomes an image. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "builder/image/image.h"
#include "builder/import.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "fs/base/io.h"
#include "registry/reference.h"
#include "registry/registries.h"

#include "fs/base/banned.h"

struct import_flags {
    struct strv changes;
    const char *message;
    const char *platform;
};

#define FIELD(name) .offset = offsetof(struct import_flags, name)

static const struct option options[] = {
    {.name = "change",
     .letter = 'c',
     .kind = OPTION_LIST,
     FIELD(changes),
     .argument = "INSTRUCTION",
     .help = "apply a Dockerfile instruction that only records, such as 'CMD [\"sh\"]'"},
    {.name = "message",
     .letter = 'm',
     .kind = OPTION_TEXT,
     FIELD(message),
     .argument = "TEXT",
     .help = "comment of the image's history (default: Imported from FILE)"},
    {.name = "platform",
     .kind = OPTION_TEXT,
     FIELD(platform),
     .argument = "OS/ARCH",
     .help = "platform of the image (default: this host's)"},
};

static int parse_name(const char *text, struct str *out, struct error *err)
{
    auto_reference struct reference ref = {0};
    int r = reference_parse(text, &ref, err);

    if (r == 0 && ref.has_digest)
        r = error_set(err, EINVAL, "invalid name '%s': it cannot hold a digest", text);
    if (r == 0)
        reference_format(&ref, out);
    return r;
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct import_flags *f = values;
    const struct registries_options registries = {.http.cancelled = program_stop_flag()};
    const char *source = strcmp(operands->items[0], "-") == 0 ? NULL : operands->items[0];
    struct import_options o = {
        .source = source,
        .message = f->message,
        .changes = &f->changes,
        .created_ns = io_now_ns(),
    };
    auto_platform struct platform platform = {0};
    auto_str struct str name = {0};
    struct digest manifest;
    struct digest config;
    struct store *store;
    char text[DIGEST_TEXT_SIZE];
    int r = 0;

    if (source == NULL && isatty(STDIN_FILENO) == 1)
        return error_set(err, EINVAL, "requested import from stdin, but stdin is a terminal");
    if (operands->count > 1)
        r = parse_name(operands->items[1], &name, err);
    if (r == 0 && f->platform != NULL) {
        r = platform_parse(f->platform, &platform, err);
        o.platform = &platform;
    }
    if (r == 0)
        r = program_store(p, &store, err);
    if (r < 0)
        return r;
    o.registries = program_registries(p, &registries);
    r = import_image(store, &o, &manifest, &config, err);
    if (r == 0 && name.size > 0)
        r = image_tag(store, str_text(&name), &manifest, err);
    if (r < 0)
        return r;
    digest_format(&config, text);
    printf("%s\n", text);
    return 0;
}

const struct subcommand cmd_import = {
    .name = "import",
    .operands = "FILE|URL|- [NAME[:TAG]]",
    .operands_min = 1,
    .operands_max = 2,
    .summary = "Make an image of a root filesystem in a tar, and print its id.",
    .details =
        "The tar may be packed with gzip, bzip2, xz or zstd. It becomes the one layer of the "
        "image as it is: owners, modes, devices and capabilities are kept, nothing is "
        "unpacked.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct import_flags),
    .run = run,
};

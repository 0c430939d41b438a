/* cmd_save.c - img save: images in one archive, on standard output or in a file, or as a layout. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "builder/image/image.h"
#include "builder/image/output_file.h"
#include "builder/image/save.h"
#include "cli/commands.h"
#include "cli/compression.h"

#include "fs/base/banned.h"

struct save_flags {
    const char *format;
    const char *output;
    const char *platform;
    struct compression_flags compression;
    bool compress;
};

#define FIELD(name) .offset = offsetof(struct save_flags, name)

static const struct option options[] = {
    COMPRESSION_OPTIONS(struct save_flags, compression),
    {.name = "compress", FIELD(compress), .help = "compress the layers of a docker archive too"},
    {.name = "format",
     .kind = OPTION_TEXT,
     FIELD(format),
     .argument = "FORMAT",
     .help = "docker (default; also docker-archive), oci (also oci-archive), or oci-dir"},
    {.name = "output",
     .letter = 'o',
     .kind = OPTION_TEXT,
     FIELD(output),
     .argument = "FILE",
     .help = "write to FILE, or the directory of oci-dir, instead of standard output"},
    {.name = "platform",
     .kind = OPTION_TEXT,
     FIELD(platform),
     .argument = "OS/ARCH",
     .help = "refuse images of another platform"},
};

enum format { FORMAT_DOCKER, FORMAT_OCI, FORMAT_OCI_DIR };

static int parse_format(const char *text, enum format *out, struct error *err)
{
    static const struct {
        const char *name;
        enum format format;
    } formats[] = {
        {"docker", FORMAT_DOCKER},   {"docker-archive", FORMAT_DOCKER}, {"oci", FORMAT_OCI},
        {"oci-archive", FORMAT_OCI}, {"oci-dir", FORMAT_OCI_DIR},
    };

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (text == NULL || strcmp(text, formats[i].name) == 0) {
            *out = formats[i].format;
            return 0;
        }
    return error_set(err, EINVAL, "unknown format '%s': docker-archive, oci-archive or oci-dir",
                     text);
}

/* The images asked for, each once, with all the names it was asked for by. */
struct saved {
    struct save_image *items; /* point into the two arrays below */
    struct image *images;
    struct strv *names;
    size_t count;
};

static void saved_release(struct saved *s)
{
    for (size_t i = 0; i < s->count; i++) {
        image_release(&s->images[i]);
        strv_release(&s->names[i]);
    }
    free(s->items);
    free(s->images);
    free(s->names);
}
DEFINE_CLEANUP_VALUE(saved_release, struct saved)

static int check_platform(const struct image *image, const char *name, const char *wanted,
                          struct error *err)
{
    auto_platform struct platform want = {0};
    auto_platform struct platform have = {0};
    auto_str struct str text = {0};
    int r = wanted == NULL ? 0 : platform_parse(wanted, &want, err);

    if (wanted == NULL || r < 0)
        return r;
    config_platform(image->config, &have);
    platform_normalize(&have);
    if (platform_rank(&want, &have) >= 0)
        return 0;
    platform_format(&have, &text);
    return error_set(err, ENOENT, "'%s' is an image for %s, not for %s", name, str_text(&text),
                     wanted);
}

static int add_image(struct store *store, const char *text, const char *platform, struct saved *s,
                     struct error *err)
{
    auto_free char *name = NULL;
    struct digest manifest;
    size_t at = 0;
    int r = image_find(store, text, &manifest, &name, err);

    if (r < 0)
        return r;
    while (at < s->count && !digest_equal(&s->images[at].manifest, &manifest))
        at++;
    if (at == s->count) {
        r = image_load(store, &manifest, &s->images[at], err);
        if (r < 0)
            return r;
        s->items[at] = (struct save_image){.image = &s->images[at], .names = &s->names[at]};
        s->count++;
    }
    if (name != NULL && !strv_contains(&s->names[at], name))
        strv_add(&s->names[at], name);
    return check_platform(&s->images[at], text, platform, err);
}

static int find_images(struct store *store, const struct save_flags *f, const struct strv *operands,
                       struct saved *s, struct error *err)
{
    int r = 0;

    s->items = mem_alloc(operands->count * sizeof(*s->items));
    s->images = mem_alloc(operands->count * sizeof(*s->images));
    s->names = mem_alloc(operands->count * sizeof(*s->names));
    for (size_t i = 0; r == 0 && i < operands->count; i++)
        r = add_image(store, operands->items[i], f->platform, s, err);
    return r;
}

static int save_archive(struct store *store, const struct save_flags *f, const struct saved *s,
                        enum format format, const struct save_options *o, struct error *err)
{
    auto_output_file struct output_file file = {.fd = -1, .dir_fd = -1};
    int r = output_file_open(&file, f->output, err);

    if (r < 0)
        return r;
    r = format == FORMAT_OCI ? save_oci(store, s->items, s->count, o, &file.writer, err)
                             : save_docker(store, s->items, s->count, o, &file.writer, err);
    return r < 0 ? r : output_file_finish(&file, err);
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct save_flags *f = values;
    bool to_stdout = f->output == NULL || strcmp(f->output, "-") == 0;
    __attribute__((cleanup(cleanup_saved_release))) struct saved saved = {0};
    struct save_options o = {0};
    enum format format;
    struct store *store;
    int r = parse_format(f->format, &format, err);

    if (r == 0)
        r = compression_parse(&f->compression, &o.export, err);
    if (r < 0)
        return r;
    o.export.types = EXPORT_OCI;
    o.compress_docker =
        f->compress || o.export.format == CODEC_GZIP || o.export.format == CODEC_ZSTD;
    if (format == FORMAT_OCI_DIR && to_stdout)
        return error_set(err, EINVAL, "a layout is a directory: name it with -o");
    if (to_stdout && isatty(STDOUT_FILENO) == 1)
        return error_set(err, EINVAL,
                         "cowardly refusing to save to a terminal. Use the -o flag or redirect");
    r = program_store(p, &store, err);
    if (r == 0)
        r = find_images(store, f, operands, &saved, err);
    if (r < 0)
        return r;
    if (format == FORMAT_OCI_DIR)
        return save_oci_directory(store, saved.items, saved.count, &o, f->output, err);
    return save_archive(store, f, &saved, format, &o, err);
}

const struct subcommand cmd_save = {
    .name = "save",
    .operands = "IMAGE...",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .summary = "Write images as an archive that docker load, podman load, skopeo and others read.",
    .details =
        "Several images go into one archive, and what they share is in it once. A file "
        "appears under its name when it is whole. oci-dir adds to a layout that is there: an "
        "image of the same name is replaced. Layers of docker archives are plain tars unless "
        "a compression is asked for; those of OCI archives are the blobs a push would send.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct save_flags),
    .run = run,
};

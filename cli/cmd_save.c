/* cmd_save.c - img save: images in one archive, on standard output or in a file, or as a layout. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "builder/image/image.h"
#include "builder/image/image_index.h"
#include "builder/image/output_file.h"
#include "builder/image/save.h"
#include "cli/commands.h"
#include "cli/compression.h"
#include "fs/store.h"

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
     .help = "which image of several; refuse images of another platform"},
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

/* One entry of what is written: an image, or an index and its images. */
struct entry {
    struct digest digest; /* of the manifest, or of the index */
    struct image *images;
    size_t image_count;
    struct str document; /* of the index */
    struct save_index index;
    struct strv names; /* that it was asked for by */
};

/* What was asked for, each once. */
struct saved {
    struct save_image *items; /* point into entries */
    struct entry *entries;
    size_t count;
};

static void saved_release(struct saved *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct entry *e = &s->entries[i];

        for (size_t k = 0; k < e->image_count; k++)
            image_release(&e->images[k]);
        free(e->images);
        str_release(&e->document);
        strv_release(&e->names);
    }
    free(s->items);
    free(s->entries);
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

/* Room for as many images; they are filled in by the caller. */
static void begin_entry(struct saved *s, const struct digest *digest, size_t image_count)
{
    struct entry *e = &s->entries[s->count++];

    e->digest = *digest;
    e->images = mem_alloc(image_count * sizeof(*e->images));
}

static int add_image(struct store *store, const char *text, const struct digest *manifest,
                     const char *platform, struct saved *s, struct error *err)
{
    struct entry *e = &s->entries[s->count];
    int r;

    begin_entry(s, manifest, 1);
    r = image_load(store, manifest, &e->images[0], err);
    if (r < 0)
        return r;
    e->image_count = 1;
    s->items[s->count - 1] = (struct save_image){.image = &e->images[0], .names = &e->names};
    return check_platform(&e->images[0], text, platform, err);
}

static int add_index(struct store *store, const struct image_index_images *found, struct saved *s,
                     struct error *err)
{
    struct entry *e = &s->entries[s->count];
    int r = 0;

    begin_entry(s, &found->index, found->count);
    while (r == 0 && e->image_count < found->count) {
        r = image_load(store, &found->items[e->image_count], &e->images[e->image_count], err);
        e->image_count += r == 0;
    }
    str_add_bytes(&e->document, str_text(&found->document), found->document.size);
    e->index = (struct save_index){.document = &e->document,
                                   .digest = &e->digest,
                                   .images = e->images,
                                   .count = e->image_count};
    s->items[s->count - 1] = (struct save_image){.index = &e->index, .names = &e->names};
    return r;
}

/* A name of several platforms is all of them, unless one is asked for, or not all are here, or the
 * archive is docker's, which holds one: then that of this host, as everywhere. */
static int add(struct store *store, const char *text, const struct save_flags *f, bool is_oci,
               struct saved *s, struct error *err)
{
    auto_reference_row struct reference_row row = {0};
    auto_image_index_images struct image_index_images found = {0};
    auto_free char *name = NULL;
    struct digest manifest;
    const struct digest *wanted = &manifest;
    size_t at = 0;
    int r = image_find(store, text, &manifest, &name, err);

    if (r == 0 && name != NULL)
        r = store_reference_get(store, name, &row, err);
    if (r == 0 && row.has_index)
        r = image_index_images(store, &row.index, text, &found, err);
    if (r < 0)
        return r;
    if (f->platform != NULL && found.count > 0)
        r = image_index_choose(&found, f->platform, text, &manifest, err);
    else if (is_oci && found.count > 0 && found.is_whole)
        wanted = &found.index;
    while (at < s->count && !digest_equal(&s->entries[at].digest, wanted))
        at++;
    if (r == 0 && at == s->count)
        r = wanted == &manifest ? add_image(store, text, &manifest, f->platform, s, err)
                                : add_index(store, &found, s, err);
    if (r == 0 && name != NULL && !strv_contains(&s->entries[at].names, name))
        strv_add(&s->entries[at].names, name);
    return r;
}

static int find_images(struct store *store, const struct save_flags *f, const struct strv *operands,
                       bool is_oci, struct saved *s, struct error *err)
{
    int r = 0;

    s->items = mem_alloc(operands->count * sizeof(*s->items));
    s->entries = mem_alloc(operands->count * sizeof(*s->entries));
    for (size_t i = 0; r == 0 && i < operands->count; i++)
        r = add(store, operands->items[i], f, is_oci, s, err);
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
        r = find_images(store, f, operands, format != FORMAT_DOCKER, &saved, err);
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
        "a compression is asked for; those of OCI archives are the blobs a push would send. An OCI form holds all images of a "
        "name that stands for several platforms, docker's the one for this host.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct save_flags),
    .run = run,
};

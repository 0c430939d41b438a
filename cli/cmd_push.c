/* cmd_push.c - img push, and the push after a build. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "builder/image.h"
#include "builder/transfer.h"
#include "cli/commands.h"
#include "cli/progress.h"

#include "fs/base/banned.h"

struct push_flags {
    struct strv insecure;
    const char *compression;
    const char *level;
    const char *progress;
    bool force;
    bool quiet;
};

#define FIELD(name) .offset = offsetof(struct push_flags, name)

static const struct option options[] = {
    {.name = "compression",
     .kind = OPTION_TEXT,
     FIELD(compression),
     .argument = "gzip|zstd",
     .help = "how new layers are compressed (default gzip)"},
    {.name = "compression-level",
     .kind = OPTION_TEXT,
     FIELD(level),
     .argument = "N",
     .help = "compression level (gzip 1-9, zstd 1-19)"},
    {.name = "force-compression",
     FIELD(force),
     .help = "compress again layers that have another form"},
    {.name = "insecure-registry",
     .kind = OPTION_LIST,
     FIELD(insecure),
     .argument = "HOST",
     .help = "allow plain HTTP and unverified TLS for HOST"},
    {.name = "progress",
     .kind = OPTION_TEXT,
     FIELD(progress),
     .argument = "MODE",
     .help = "auto, plain, tty, quiet or rawjson"},
    {.name = "quiet", .letter = 'q', FIELD(quiet), .help = "print the digest alone"},
};

static int push(struct program *p, const char *text, const char *mode,
                const struct export_options *push_options, struct push_result *result,
                struct error *err)
{
    auto_reference struct reference ref = {0};
    auto_progress struct progress *progress = NULL;
    auto_str struct str name = {0};
    struct transfer t = {.registries = program_registries(p, NULL)};
    struct digest manifest;
    int r = reference_parse(text, &ref, err);

    if (r == 0 && ref.has_digest)
        r = error_set(err, EINVAL, "cannot push to '%s': a push needs a tag, not a digest", text);
    if (r == 0)
        r = program_store(p, &t.store, err);
    if (r == 0)
        r = image_find(t.store, text, &manifest, NULL, err);
    if (r == 0)
        r = progress_open(mode, &progress, err);
    if (r < 0)
        return r;
    reference_format(&ref, &name);
    t.progress = progress;
    t.vertex = progress_beginf(progress, "pushing %s", str_text(&name));
    r = transfer_push(&t, &manifest, &ref, push_options, result, err);
    progress_end(progress, t.vertex, r < 0 ? PROGRESS_ERROR : PROGRESS_DONE, err->text);
    return r < 0 ? error_wrap(err, "cannot push '%s'", str_text(&name)) : 0;
}

int push_image(struct program *p, const char *name, const char *progress_mode, struct error *err)
{
    const struct export_options o = {.level = -1};
    struct push_result result;

    return push(p, name, progress_mode, &o, &result, err);
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct push_flags *f = values;
    const struct registries_options registries = {.insecure = &f->insecure};
    struct export_options o = {.level = -1, .force = f->force};
    struct push_result result;
    char digest[DIGEST_TEXT_SIZE];
    uint64_t level;
    int r;

    if (f->compression != NULL && strcmp(f->compression, "gzip") != 0 &&
        strcmp(f->compression, "zstd") != 0)
        return error_set(err, EINVAL, "unknown compression '%s': gzip or zstd", f->compression);
    o.zstd = f->compression != NULL && strcmp(f->compression, "zstd") == 0;
    if (f->level != NULL) {
        if (!text_to_u64(f->level, o.zstd ? 19 : 9, &level) || level == 0)
            return error_set(err, EINVAL, "invalid compression level '%s'", f->level);
        o.level = (int)level;
    }
    (void)program_registries(p, &registries); /* the first call decides the options */
    if (!f->quiet)
        fprintf(stderr, "Pushing %s...\n", operands->items[0]);
    r = push(p, operands->items[0], f->quiet ? "quiet" : f->progress, &o, &result, err);
    if (r < 0)
        return r;
    digest_format(&result.manifest, digest);
    if (!f->quiet)
        fprintf(stderr, "Successfully pushed %s\n", operands->items[0]);
    printf("%s\n", digest);
    return 0;
}

const struct subcommand cmd_push = {
    .name = "push",
    .operands = "NAME[:TAG]",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Push an image to a registry.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct push_flags),
    .run = run,
};

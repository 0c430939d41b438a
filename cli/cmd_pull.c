/* cmd_pull.c - img pull. */
#include <errno.h>
#include <stdio.h>

#include "builder/transfer.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/registry_flags.h"

#include "fs/base/banned.h"

struct pull_flags {
    struct registry_flags registry;
    const char *platform;
    const char *progress;
    bool quiet;
};

#define FIELD(name) .offset = offsetof(struct pull_flags, name)

static const struct option options[] = {
    {.name = "platform",
     .kind = OPTION_TEXT,
     FIELD(platform),
     .argument = "OS/ARCH",
     .help = "platform to choose (default: this host's)"},
    {.name = "progress",
     .kind = OPTION_TEXT,
     FIELD(progress),
     .argument = "MODE",
     .help = "auto, plain, tty, quiet or rawjson"},
    {.name = "quiet", .letter = 'q', FIELD(quiet), .help = "print the digest alone"},
    REGISTRY_OPTIONS(struct pull_flags, registry),
    CREDS_OPTION(struct pull_flags, registry),
};

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct pull_flags *f = values;
    struct registries_options registries = {0};
    auto_platform struct platform platform = {0};
    auto_reference struct reference ref = {0};
    auto_progress struct progress *progress = NULL;
    auto_str struct str name = {0};
    auto_str struct str size = {0};
    struct transfer t = {0};
    struct pull_result result;
    char digest[DIGEST_TEXT_SIZE];
    int fd;
    int r = registry_flags_apply(&f->registry, &registries, err);

    if (r < 0)
        return r;
    t.registries = program_registries(p, &registries);
    r = registries_resolve(t.registries, operands->items[0], &ref, err);
    if (r == 0)
        r = registry_flags_set_creds(&f->registry, t.registries, &ref, err);
    if (r == 0 && f->platform != NULL)
        r = platform_parse(f->platform, &platform, err);
    if (r == 0)
        r = program_store(p, &t.store, err);
    if (r == 0)
        r = program_cancel_fd(p, &fd, err);
    if (r == 0)
        r = progress_open(f->quiet ? "quiet" : f->progress, &progress, err);
    if (r < 0)
        return r;
    reference_format(&ref, &name);
    if (!f->quiet)
        fprintf(stderr, "Pulling %s...\n", str_text(&name));
    t.progress = progress;
    t.vertex = progress_beginf(progress, "pulling %s", str_text(&name));
    r = transfer_pull(&t, &ref, f->platform == NULL ? NULL : &platform, &result, err);
    progress_end(progress, t.vertex, progress_state_of(r), err->text);
    progress_close(STEAL(&progress));
    if (r < 0)
        return r == -ECANCELED ? r : error_wrap(err, "cannot pull '%s'", str_text(&name));
    digest_format(&result.manifest, digest);
    str_add_size_binary(&size, result.size_bytes);
    if (f->quiet)
        printf("%s\n", digest);
    else
        printf("Pulled: %s\nSize: %s\n", digest, str_text(&size));
    return 0;
}

const struct subcommand cmd_pull = {
    .name = "pull",
    .operands = "NAME[:TAG|@DIGEST]",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Pull an image from a registry.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct pull_flags),
    .run = run,
};

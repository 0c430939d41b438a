/* cmd_pull.c - img pull. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builder/image/config.h"
#include "builder/image/image.h"
#include "builder/transfer.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/registry_flags.h"
#include "fs/store.h"
#include "registry/client.h"

#include "fs/base/banned.h"

struct pull_flags {
    struct registry_flags registry;
    const char *arch;
    const char *os;
    const char *platform;
    const char *policy;
    const char *progress;
    const char *variant;
    bool all_platforms;
    bool all_tags;
    bool quiet;
};

#define FIELD(name) .offset = offsetof(struct pull_flags, name)
#define TEXT(field) .kind = OPTION_TEXT, FIELD(field)

static const struct option options[] = {
    {.name = "all-platforms",
     FIELD(all_platforms),
     .help = "pull the images of every platform, and what else their index names"},
    {.name = "all-tags",
     .letter = 'a',
     FIELD(all_tags),
     .help = "pull every tag that the repository has"},
    {.name = "arch", TEXT(arch), .argument = "ARCH", .help = "architecture to choose"},
    {.name = "os", TEXT(os), .argument = "OS", .help = "operating system to choose"},
    {.name = "platform",
     TEXT(platform),
     .argument = "OS/ARCH",
     .help = "platform to choose (default: this host's)"},
    {.name = "policy",
     TEXT(policy),
     .argument = "always|missing|newer|never",
     .help = "when to ask the registry (default always; what is unchanged is not fetched)"},
    {.name = "progress",
     TEXT(progress),
     .argument = "auto|plain|tty|quiet|rawjson",
     .help = "how progress is shown"},
    {.name = "quiet", .letter = 'q', FIELD(quiet), .help = "print the digest alone"},
    {.name = "variant", TEXT(variant), .argument = "VARIANT", .help = "variant, as v7 of arm"},
    REGISTRY_OPTIONS(struct pull_flags, registry),
    CREDS_OPTION(struct pull_flags, registry),
};

enum policy { POLICY_ALWAYS, POLICY_MISSING, POLICY_NEVER };

struct pulling {
    const struct pull_flags *flags;
    struct transfer t;
    enum policy policy;
    struct platform platform;
    bool has_platform;
    struct str output; /* results, printed when the display has been closed */
};

static void pulling_release(struct pulling *p)
{
    platform_release(&p->platform);
    str_release(&p->output);
}
DEFINE_CLEANUP_VALUE(pulling_release, struct pulling)

/* --platform, or the parts that podman has options for. */
static int read_platform(const struct pull_flags *f, struct pulling *out, struct error *err)
{
    auto_platform struct platform host = {0};
    auto_str struct str text = {0};

    if (f->platform == NULL && f->os == NULL && f->arch == NULL && f->variant == NULL)
        return 0;
    if (f->platform != NULL && (f->os != NULL || f->arch != NULL || f->variant != NULL))
        return error_set(err, EINVAL, "--platform and --os, --arch, --variant exclude each other");
    platform_host(&host);
    str_addf(&text, "%s/%s", f->os != NULL ? f->os : host.os,
             f->arch != NULL ? f->arch : host.architecture);
    if (f->variant != NULL)
        str_addf(&text, "/%s", f->variant);
    out->has_platform = true;
    return platform_parse(f->platform != NULL ? f->platform : str_text(&text), &out->platform, err);
}

/* "newer" is "always": what the registry has not changed is never fetched again. */
static int read_policy(const char *text, enum policy *out, struct error *err)
{
    if (text == NULL || strcmp(text, "always") == 0 || strcmp(text, "newer") == 0)
        *out = POLICY_ALWAYS;
    else if (strcmp(text, "missing") == 0)
        *out = POLICY_MISSING;
    else if (strcmp(text, "never") == 0)
        *out = POLICY_NEVER;
    else
        return error_set(err, EINVAL, "unknown policy '%s': always, missing, newer or never", text);
    return 0;
}

/* What was asked for, and what the image is for; true when the one suits the other. */
static bool compare_platforms(const struct pulling *p, const struct image *image,
                              struct platform *wanted, struct platform *have)
{
    if (p->has_platform)
        platform_copy(wanted, &p->platform);
    else
        platform_host(wanted);
    config_platform(image->config, have);
    platform_normalize(have);
    return platform_rank(wanted, have) >= 0;
}

/* The store has it under this name, for the platform that is wanted. */
static bool find_local(struct pulling *p, const char *name, struct pull_result *out)
{
    auto_image struct image image = {0};
    auto_platform struct platform wanted = {0};
    auto_platform struct platform have = {0};
    struct error ignored; /* then it has not */

    if (image_find(p->t.store, name, &out->manifest, NULL, &ignored) < 0 ||
        image_load(p->t.store, &out->manifest, &image, &ignored) < 0)
        return false;
    out->size_bytes = image.size_bytes;
    return compare_platforms(p, &image, &wanted, &have);
}

/* A name without an index stands for one image, which is taken whatever it is for. */
static int warn_of_platform(struct pulling *p, const char *name, const struct digest *manifest,
                            struct error *err)
{
    auto_image struct image image = {0};
    auto_platform struct platform wanted = {0};
    auto_platform struct platform have = {0};
    auto_str struct str wanted_text = {0};
    auto_str struct str have_text = {0};
    auto_free char *text = NULL;
    int r = image_load(p->t.store, manifest, &image, err);

    if (r < 0 || compare_platforms(p, &image, &wanted, &have))
        return r;
    platform_format(&wanted, &wanted_text);
    platform_format(&have, &have_text);
    text = str_format("'%s' is an image for %s, not for %s%s, and there is no other", name,
                      str_text(&have_text), p->has_platform ? "" : "this host's ",
                      str_text(&wanted_text));
    progress_warn(p->t.progress, p->t.vertex, text);
    return 0;
}

static int fetch(struct pulling *p, const struct reference *ref, const char *name,
                 struct pull_result *out, struct error *err)
{
    int r;

    if (!p->flags->quiet)
        fprintf(stderr, "Pulling %s...\n", name);
    p->t.vertex = progress_beginf(p->t.progress, "pulling %s", name);
    r = transfer_pull(&p->t, ref, p->has_platform ? &p->platform : NULL, out, err);
    if (r == 0 && p->flags->all_platforms && out->has_index)
        r = transfer_pull_index(&p->t, ref, &out->index, err);
    if (r == 0 && !out->has_index)
        r = warn_of_platform(p, name, &out->manifest, err);
    progress_end(p->t.progress, p->t.vertex, progress_state_of(r), err->text);
    return r < 0 && r != -ECANCELED ? error_wrap(err, "cannot pull '%s'", name) : r;
}

static int pull_one(struct pulling *p, const struct reference *ref, struct error *err)
{
    auto_str struct str name = {0};
    auto_str struct str size = {0};
    struct pull_result result = {0};
    char digest[DIGEST_TEXT_SIZE];
    bool is_here;
    int r = 0;

    reference_format(ref, &name);
    is_here = p->policy != POLICY_ALWAYS && find_local(p, str_text(&name), &result);
    if (!is_here && p->policy == POLICY_NEVER)
        return error_set(err, ENOENT, "image '%s' is not in the store", str_text(&name));
    if (!is_here)
        r = fetch(p, ref, str_text(&name), &result, err);
    if (r < 0)
        return r;
    digest_format(&result.manifest, digest);
    str_add_size_binary(&size, result.size_bytes);
    if (p->flags->quiet)
        str_addf(&p->output, "%s\n", digest);
    else
        str_addf(&p->output, "Pulled: %s\nSize: %s\n", digest, str_text(&size));
    return 0;
}

static int pull_all_tags(struct pulling *p, const struct reference *ref, struct error *err)
{
    auto_registry struct registry *registry = NULL;
    auto_strv struct strv tags = {0};
    int r = registry_open(p->t.registries, ref, REGISTRY_PULL, &registry, err);

    if (r == 0)
        r = registry_tags(registry, &tags, err);
    for (size_t i = 0; r == 0 && i < tags.count; i++) {
        auto_reference struct reference one = {0};

        reference_copy(&one, ref);
        free(one.tag);
        one.tag = mem_strdup(tags.items[i]);
        r = pull_one(p, &one, err);
    }
    return r;
}

static int pull(struct pulling *p, const char *text, struct error *err)
{
    auto_reference struct reference ref = {0};
    auto_reference struct reference bare = {0};
    int r = registries_resolve(p->t.registries, text, &ref, err);

    if (r == 0 && p->flags->all_tags)
        r = reference_parse_name(text, &bare, err);
    if (r == 0 && p->flags->all_tags && (bare.tag != NULL || bare.has_digest))
        r = error_set(err, EINVAL, "--all-tags wants a name without a tag, not '%s'", text);
    if (r == 0)
        r = registry_flags_set_creds(&p->flags->registry, p->t.registries, &ref, err);
    if (r < 0)
        return r;
    return p->flags->all_tags ? pull_all_tags(p, &ref, err) : pull_one(p, &ref, err);
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct pull_flags *f = values;
    struct registries_options registries = {0};
    auto_progress struct progress *progress = NULL;
    __attribute__((cleanup(cleanup_pulling_release))) struct pulling pulling = {.flags = f};
    int fd;
    int r = registry_flags_apply(&f->registry, &registries, err);

    if (r == 0)
        r = registry_flags_check(&f->registry, err);

    if (r == 0)
        r = read_platform(f, &pulling, err);
    if (r == 0)
        r = read_policy(f->policy, &pulling.policy, err);
    if (r == 0)
        r = program_store(p, &pulling.t.store, err);
    if (r == 0)
        r = program_cancel_fd(p, &fd, err);
    if (r == 0)
        r = progress_open(f->quiet ? "quiet" : f->progress, &progress, err);
    if (r < 0)
        return r;
    pulling.t.registries = program_registries(p, &registries);
    pulling.t.progress = progress;
    progress_set_title(progress, "Pulling");
    for (size_t i = 0; r == 0 && i < operands->count; i++)
        r = pull(&pulling, operands->items[i], err);
    progress_close(STEAL(&progress));
    fputs(str_text(&pulling.output), stdout);
    return r;
}

const struct subcommand cmd_pull = {
    .name = "pull",
    .operands = "NAME[:TAG|@DIGEST]...",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .summary = "Pull images from registries.",
    .details =
        "A pull that was interrupted, even killed, goes on where it was when it is started "
        "again within a week; until then `img du` lists what it has. Layers that another "
        "process is fetching are waited for. A tag that has not moved costs the registry one "
        "HEAD request. Where a name stands for one image and not for several, that image is "
        "pulled; when it is for another platform there is a warning.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct pull_flags),
    .run = run,
};

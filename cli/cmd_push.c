/* cmd_push.c - img push, and the push after a build. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builder/image/image.h"
#include "builder/image/image_index.h"
#include "builder/transfer.h"
#include "cli/commands.h"
#include "cli/compression.h"
#include "cli/progress.h"
#include "cli/registry_flags.h"
#include "fs/store.h"

#include "fs/base/banned.h"

struct push_flags {
    struct registry_flags registry;
    struct compression_flags compression;
    const char *progress;
    bool all_tags;
    bool quiet;
};

#define FIELD(name) .offset = offsetof(struct push_flags, name)

static const struct option options[] = {
    {.name = "all-tags",
     .letter = 'a',
     FIELD(all_tags),
     .help = "push every tag of NAME that the store has"},
    COMPRESSION_OPTIONS(struct push_flags, compression),
    {.name = "progress",
     .kind = OPTION_TEXT,
     FIELD(progress),
     .argument = "auto|plain|tty|quiet|rawjson",
     .help = "how progress is shown"},
    {.name = "quiet", .letter = 'q', FIELD(quiet), .help = "print the digest alone"},
    REGISTRY_OPTIONS(struct push_flags, registry),
    CREDS_OPTION(struct push_flags, registry),
};

/* What is pushed under which name. */
struct target {
    struct reference ref;
    struct digest manifest;
    struct digest index; /* when has_index: that the name was pulled as */
    bool has_index;
    bool is_done;
};

struct targets {
    struct target *items;
    size_t count;
    size_t capacity;
};

static void targets_release(struct targets *list)
{
    for (size_t i = 0; i < list->count; i++)
        reference_release(&list->items[i].ref);
    free(list->items);
}
DEFINE_CLEANUP_VALUE(targets_release, struct targets)

static int add_target(struct store *store, const char *text, struct targets *out, struct error *err)
{
    auto_reference_row struct reference_row row = {0};
    auto_reference struct reference ref = {0};
    auto_free char *name = NULL;
    struct error ignored; /* an id has no row */
    struct digest manifest;
    int r = reference_parse(text, &ref, err);

    if (r == 0 && ref.has_digest)
        r = error_set(err, EINVAL, "cannot push to '%s': a push needs a tag, not a digest", text);
    if (r == 0)
        r = image_find(store, text, &manifest, &name, err);
    if (r < 0)
        return r;
    if (name != NULL)
        (void)store_reference_get(store, name, &row, &ignored);
    *array_add(out) = (struct target){
        .ref = ref, .manifest = manifest, .has_index = row.has_index, .index = row.index};
    ref = (struct reference){0};
    return 0;
}

/* Every tag of the repository that the store has. */
static int add_all_tags(struct store *store, const char *text, struct targets *out,
                        struct error *err)
{
    auto_reference_list struct reference_list list = {0};
    auto_reference struct reference name = {0};
    size_t before = out->count;
    int r = reference_parse_name(text, &name, err);

    if (r == 0 && (name.tag != NULL || name.has_digest))
        r = error_set(err, EINVAL, "--all-tags wants a name without a tag, not '%s'", text);
    if (r == 0)
        r = store_reference_list(store, NULL, &list, err);
    for (size_t i = 0; r == 0 && i < list.count; i++) {
        auto_reference struct reference ref = {0};

        r = reference_parse(list.items[i].name, &ref, err);
        if (r == 0 && !ref.has_digest && text_equal(ref.host, name.host) &&
            text_equal(ref.repository, name.repository))
            r = add_target(store, list.items[i].name, out, err);
    }
    if (r == 0 && out->count == before)
        return error_set(err, ENOENT, "there is no tag of '%s' in the store", text);
    return r;
}

static int push_index(struct transfer *t, const struct digest *index, const struct reference *refs,
                      size_t count, const struct export_options *form_options,
                      struct push_result *result, struct error *err)
{
    struct digest form = *index;
    int r = 0;

    if (form_options->force)
        r = image_index_recompress(t->store, index, form_options, &form, err);
    return r < 0 ? r : transfer_push_index(t, &form, refs, count, result, err);
}

/* The first that is left, together with all tags that the same image gets in the same repository:
 * its blobs are looked at once. */
static int push_next(struct transfer *t, struct targets *targets,
                     const struct export_options *push_options, struct push_result *result,
                     struct error *err)
{
    auto_free struct reference *refs = mem_alloc((targets->count + 1) * sizeof(*refs));
    struct target *first = targets->items;
    auto_str struct str name = {0};
    size_t count = 0;
    int r;

    while (first->is_done)
        first++;
    for (struct target *i = first; i < targets->items + targets->count; i++) {
        if (i->is_done || !digest_equal(&i->manifest, &first->manifest) ||
            i->has_index != first->has_index ||
            (i->has_index && !digest_equal(&i->index, &first->index)) ||
            !text_equal(i->ref.host, first->ref.host) ||
            !text_equal(i->ref.repository, first->ref.repository))
            continue;
        refs[count++] = i->ref; /* borrowed */
        i->is_done = true;
        str_add(&name, count > 1 ? ", " : "");
        reference_format(&i->ref, &name);
    }
    t->vertex = progress_beginf(t->progress, "pushing %s", str_text(&name));
    if (first->has_index && transfer_index_is_whole(t, &first->index))
        r = push_index(t, &first->index, refs, count, push_options, result, err);
    else
        r = transfer_push(t, &first->manifest, refs, count, push_options, result, err);
    progress_end(t->progress, t->vertex, progress_state_of(r), err->text);
    return r < 0 && r != -ECANCELED ? error_wrap(err, "cannot push '%s'", str_text(&name)) : r;
}

static bool is_left(const struct targets *targets)
{
    for (size_t i = 0; i < targets->count; i++)
        if (!targets->items[i].is_done)
            return true;
    return false;
}

static int push_targets(struct program *p, struct targets *targets, const char *mode,
                        const struct export_options *push_options, struct push_result *result,
                        struct error *err)
{
    auto_progress struct progress *progress = NULL;
    struct transfer t = {.registries = program_registries(p, NULL)};
    int fd;
    int r = program_store(p, &t.store, err);

    if (r == 0)
        r = program_cancel_fd(p, &fd, err);
    if (r == 0)
        r = progress_open(mode, &progress, err);
    t.progress = progress;
    progress_set_title(progress, "Pushing");
    while (r == 0 && is_left(targets))
        r = push_next(&t, targets, push_options, result, err);
    return r;
}

int push_images(struct program *p, const struct strv *names, const char *progress_mode,
                const struct export_options *o, struct push_result *out, struct error *err)
{
    __attribute__((cleanup(cleanup_targets_release))) struct targets targets = {0};
    struct store *store;
    int r = program_store(p, &store, err);

    for (size_t i = 0; r == 0 && i < names->count; i++)
        r = add_target(store, names->items[i], &targets, err);
    return r < 0 ? r : push_targets(p, &targets, progress_mode, o, out, err);
}

/* The operands as targets; several of them may be of different registries. */
static int collect_targets(struct program *p, const struct push_flags *f,
                           const struct strv *operands, struct targets *out, struct error *err)
{
    struct store *store;
    int r = program_store(p, &store, err);

    for (size_t i = 0; r == 0 && i < operands->count; i++)
        r = f->all_tags ? add_all_tags(store, operands->items[i], out, err)
                        : add_target(store, operands->items[i], out, err);
    for (size_t i = 1; r == 0 && f->registry.creds != NULL && i < out->count; i++)
        if (!text_equal(out->items[i].ref.host, out->items[0].ref.host))
            return error_set(err, EINVAL, "--creds is for one registry, not for '%s' and '%s'",
                             out->items[0].ref.host, out->items[i].ref.host);
    return r;
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct push_flags *f = values;
    struct registries_options registries = {0};
    __attribute__((cleanup(cleanup_targets_release))) struct targets targets = {0};
    struct export_options o = {0};
    struct push_result result;
    char digest[DIGEST_TEXT_SIZE];
    int r = registry_flags_apply(&f->registry, &registries, err);

    if (r == 0)
        r = registry_flags_check(&f->registry, err);

    if (r == 0)
        r = compression_parse(&f->compression, &o, err);
    if (r < 0)
        return r;
    (void)program_registries(p, &registries); /* the first call decides the options */
    r = collect_targets(p, f, operands, &targets, err);
    if (r == 0)
        r = registry_flags_set_creds(&f->registry, p->registries, &targets.items[0].ref, err);
    for (size_t i = 0; r == 0 && !f->quiet && i < operands->count; i++)
        fprintf(stderr, "Pushing %s...\n", operands->items[i]);
    if (r == 0)
        r = push_targets(p, &targets, f->quiet ? "quiet" : f->progress, &o, &result, err);
    if (r < 0)
        return r;
    digest_format(&result.manifest, digest);
    for (size_t i = 0; !f->quiet && i < operands->count; i++)
        fprintf(stderr, "Successfully pushed %s\n", operands->items[i]);
    printf("%s\n", digest);
    return 0;
}

const struct subcommand cmd_push = {
    .name = "push",
    .operands = "NAME[:TAG]...",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .summary = "Push images to their registries.",
    .details =
        "A name that was pulled with --all-platforms is pushed with all of them, its index to "
        "the byte, unless --force-compression makes other images of them; one that was pulled for one "
        "platform is pushed as that image. Layers that "
        "the registry has, in this or a neighbouring repository, are not sent. A large layer that "
        "must be compressed first is sent meanwhile. "
        "Several tags of one repository are pushed together.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct push_flags),
    .run = run,
};

/* cmd_save.c - img save: images as one tar, on standard output or in a file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/image.h"
#include "builder/save.h"
#include "cli/commands.h"

#include "fs/base/banned.h"

struct save_flags {
    const char *format;
    const char *output;
};

static const struct option options[] = {
    {.name = "format",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct save_flags, format),
     .argument = "docker|oci",
     .help = "form of the archive (default docker)"},
    {.name = "output",
     .letter = 'o',
     .kind = OPTION_TEXT,
     .offset = offsetof(struct save_flags, output),
     .argument = "FILE",
     .help = "write to FILE instead of standard output"},
};

/* A file appears under its name when it is whole (SECURITY S14). */
struct target {
    char *temporary; /* NULL for standard output */
    const char *path;
    int fd;
};

static void target_release(struct target *t)
{
    if (t->temporary != NULL) {
        unlink(t->temporary);
        free(t->temporary);
    }
    if (t->fd >= 0)
        close(t->fd);
}
DEFINE_CLEANUP_VALUE(target_release, struct target)

static int open_target(const struct save_flags *f, struct target *t, struct error *err)
{
    if (f->output == NULL || strcmp(f->output, "-") == 0) {
        if (isatty(STDOUT_FILENO) == 1)
            return error_set(
                err, EINVAL,
                "cowardly refusing to save to a terminal. Use the -o flag or redirect");
        t->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        return t->fd < 0 ? error_errno(err, "cannot use standard output") : 0;
    }
    t->path = f->output;
    t->temporary = str_format("%s.XXXXXX", f->output);
    t->fd = mkostemp(t->temporary, O_CLOEXEC);
    if (t->fd >= 0)
        return 0;
    error_errno(err, "cannot write '%s'", f->output);
    free(STEAL(&t->temporary));
    return -err->code;
}

static int finish_target(struct target *t, struct error *err)
{
    if (t->temporary == NULL)
        return 0;
    if (fchmod(t->fd, 0644) < 0 || fsync(t->fd) < 0 || rename(t->temporary, t->path) < 0)
        return error_errno(err, "cannot write '%s'", t->path);
    free(STEAL(&t->temporary));
    return 0;
}

static int find_images(struct store *store, const struct strv *names, struct save_image *images,
                       struct strv *canonical, struct error *err)
{
    for (size_t i = 0; i < names->count; i++) {
        char *name;
        int r = image_find(store, names->items[i], &images[i].manifest, &name, err);

        if (r < 0)
            return r;
        if (name != NULL)
            strv_take(canonical, name);
        images[i].name = name;
    }
    return 0;
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct save_flags *f = values;
    const struct export_options export_options = {.level = -1};
    bool is_oci = f->format != NULL && strcmp(f->format, "oci") == 0;
    __attribute__((cleanup(cleanup_target_release))) struct target target = {.fd = -1};
    auto_free struct save_image *images = mem_alloc(operands->count * sizeof(*images));
    auto_strv struct strv names = {0};
    auto_writer struct writer *to = NULL;
    struct store *store;
    int r;

    if (f->format != NULL && !is_oci && strcmp(f->format, "docker") != 0)
        return error_set(err, EINVAL, "unknown format '%s': docker or oci", f->format);
    r = open_target(f, &target, err);
    if (r == 0)
        r = program_store(p, &store, err);
    if (r == 0)
        r = find_images(store, operands, images, &names, err);
    if (r < 0)
        return r;
    to = fd_writer_new(fcntl(target.fd, F_DUPFD_CLOEXEC, 3),
                       target.path == NULL ? "standard output" : target.path);
    r = is_oci ? save_oci(store, images, operands->count, &export_options, to, err)
               : save_docker(store, images, operands->count, to, err);
    if (r == 0)
        r = writer_finish(to, err);
    return r < 0 ? r : finish_target(&target, err);
}

const struct subcommand cmd_save = {
    .name = "save",
    .operands = "IMAGE...",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .summary = "Write images as a tar that docker load, skopeo and others read.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .options_size = sizeof(struct save_flags),
    .run = run,
};

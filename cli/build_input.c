/* build_input.c - finds the Dockerfile and the context, wherever they are. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/build_input.h"
#include "fs/base/io.h"
#include "fs/base/limits.h"

#include "fs/base/banned.h"

void build_input_release(struct build_input *in)
{
    str_release(&in->dockerfile);
    str_release(&in->ignore_text);
    source_release(&in->source);
    free(in->name);
    free(in->ignore_name);
    free(in->context_uri);
    free(in->context_digest);
    free(in->dockerfile_uri);
    free(in->dockerfile_digest);
}

static bool exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

/* A directory that is there is never taken for an address. */
static bool is_address(const char *context)
{
    return !exists(context) && (source_is_url(context) || git_address_is_context(context));
}

bool build_input_is_remote(const char *context, const char *file)
{
    return is_address(context) || (file != NULL && source_is_url(file));
}

/* Text of a file or of standard input. */
static int read_whole(const char *path, struct str *out, struct error *err)
{
    char buffer[65536];
    auto_close int fd = -1;
    int from = STDIN_FILENO;

    if (strcmp(path, "-") != 0) {
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return error_errno(err, "failed to read dockerfile: open %s", path);
        from = fd;
    }
    for (;;) {
        ssize_t got = read(from, buffer, sizeof(buffer));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, "cannot read '%s'", path);
        if (got == 0)
            return 0;
        str_add_bytes(out, buffer, (size_t)got);
        if (out->size > LIMIT_DOCKERFILE_SIZE)
            return error_set(err, EFBIG, "'%s' is larger than %u MiB", path,
                             LIMIT_DOCKERFILE_SIZE >> 20);
    }
}

/* ---- the context ---- */

static int fetch_context(struct fetch *f, const struct build_input_options *o,
                         struct build_input *in, struct error *err)
{
    bool is_git = git_address_is_context(o->context);
    auto_free char *shown = source_shown(o->context);
    int r;

    f->vertex = is_git ? progress_beginf(f->progress, "[internal] load git source %s", shown)
                       : progress_begin(f->progress, "[internal] load remote build context");
    r = source_context(f, o->context, o->keep_git_dir, &in->source, err);
    in->is_fetched = r == 0;
    if (r == 0) {
        in->context_uri = mem_strdup(shown);
        in->context_digest = source_digest_text(&in->source);
    }
    if (r == 0 && in->source.name != NULL)
        r = source_read_file(f, &in->source, in->source.name, &in->dockerfile, err);
    progress_end(f->progress, f->vertex,
                 r == -ECANCELED         ? PROGRESS_CANCELED
                 : r < 0                 ? PROGRESS_ERROR
                 : in->source.was_cached ? PROGRESS_CACHED
                                         : PROGRESS_DONE,
                 err->text);
    return r;
}

static int read_context(struct fetch *f, const struct build_input_options *o,
                        struct build_input *in, struct error *err)
{
    auto_reader struct reader *from = NULL;
    int fd;
    int r;

    if (is_address(o->context))
        return fetch_context(f, o, in, err);
    if (strcmp(o->context, "-") != 0) {
        in->directory = o->context;
        return 0;
    }
    fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return error_errno(err, "cannot read standard input");
    from = fd_reader_new(fd, "standard input");
    r = source_stream(f, from, &in->source, &in->dockerfile, err);
    in->is_fetched = r == 0;
    return r;
}

/* ---- the Dockerfile ---- */

/* A file "<Dockerfile>.dockerignore" beside the Dockerfile wins over the context's own. */
static int find_ignore(struct build_input *in, struct error *err)
{
    auto_free char *beside = str_format("%s.dockerignore", in->name);

    if (!exists(beside))
        return 0;
    in->has_ignore = true;
    in->ignore_name = mem_strdup(path_base(beside));
    return io_read_file(AT_FDCWD, beside, LIMIT_DOCKERFILE_SIZE, &in->ignore_text, err);
}

/* --file is relative to where we are, as docker has it, else to the context, as podman has it. */
static char *host_path(const char *context, const char *file)
{
    auto_free char *path = file != NULL ? mem_strdup(file) : path_join(context, "Dockerfile");
    auto_free char *other = path_join(context, file != NULL ? file : "dockerfile");

    return exists(path) || !exists(other) ? STEAL(&path) : STEAL(&other);
}

static int read_host(const char *file, struct build_input *in, struct error *err)
{
    int r;

    in->name = host_path(in->directory, file);
    r = read_whole(in->name, &in->dockerfile, err);
    return r < 0 ? r : find_ignore(in, err);
}

static int read_fetched(struct fetch *f, const char *file, struct build_input *in,
                        struct error *err)
{
    const char *name = file == NULL ? "Dockerfile" : file;
    int r = source_read_file(f, &in->source, name, &in->dockerfile, err);

    if (r == -ENOENT && file == NULL) {
        r = source_read_file(f, &in->source, "dockerfile", &in->dockerfile, err);
        name = r == 0 ? "dockerfile" : name;
    }
    if (r == -ENOENT)
        return error_set(err, ENOENT, "the build context has no '%s'", name);
    in->name = mem_strdup(name);
    return r < 0 ? error_wrap(err, "failed to read dockerfile") : 0;
}

static int download(struct fetch *f, const char *url, struct build_input *in, struct error *err)
{
    const struct http_source from = {.url = url, .size_max = LIMIT_DOCKERFILE_SIZE};
    auto_source struct source source = {0};
    int r;

    f->vertex = progress_begin(f->progress, "[internal] load remote Dockerfile");
    r = source_http(f, &from, &source, err);
    if (r == 0)
        r = source_read_file(f, &source, source.name, &in->dockerfile, err);
    progress_end(f->progress, f->vertex, r < 0 ? PROGRESS_ERROR : PROGRESS_DONE, err->text);
    if (r == 0) {
        in->dockerfile_uri = source_shown(url);
        in->dockerfile_digest = source_digest_text(&source);
    }
    in->name = STEAL(&source.name);
    return r;
}

int build_input_load(struct fetch *f, const struct build_input_options *o, struct build_input *out,
                     struct error *err)
{
    auto_build_input struct build_input in = {0};
    bool from_stdin = o->file != NULL && strcmp(o->file, "-") == 0;
    int r = 0;

    if (from_stdin && strcmp(o->context, "-") == 0)
        return error_set(err, EINVAL, "can't use stdin for both build context and dockerfile");
    r = read_context(f, o, &in, err);
    if (r < 0)
        return r;
    if (in.is_fetched && in.source.name != NULL) {
        if (o->file != NULL)
            return error_set(err, EINVAL,
                             "ambiguous Dockerfile source: both '%s' and --file are one",
                             o->context);
        in.is_fetched = false; /* its context is empty */
        in.dockerfile_uri = STEAL(&in.context_uri);
        in.dockerfile_digest = STEAL(&in.context_digest);
    } else if (from_stdin) {
        r = read_whole("-", &in.dockerfile, err);
    } else if (o->file != NULL && source_is_url(o->file)) {
        r = download(f, o->file, &in, err);
    } else if (in.is_fetched) {
        r = read_fetched(f, o->file, &in, err);
    } else {
        r = read_host(o->file, &in, err);
    }
    if (r < 0)
        return r;
    *out = STEAL(&in);
    return 0;
}

void build_input_apply(const struct build_input *in, struct build_options *o)
{
    o->dockerfile = str_text(&in->dockerfile);
    o->dockerfile_size = in->dockerfile.size;
    o->dockerfile_name = in->name == NULL ? "Dockerfile" : path_base(in->name);
    o->ignore_name = in->ignore_name;
    o->ignore_text = in->has_ignore ? str_text(&in->ignore_text) : NULL;
    o->context = in->directory;
    o->fetched = in->is_fetched ? &in->source : NULL;
    o->context_origin = (struct build_origin){.uri = in->context_uri, .digest = in->context_digest};
    o->dockerfile_origin =
        (struct build_origin){.uri = in->dockerfile_uri, .digest = in->dockerfile_digest};
}

/* import.c - the stream to a layer, the layer to an image, and the changes on top of it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "builder/build.h"
#include "builder/image/image.h"
#include "builder/import.h"
#include "fs/archive.h"
#include "fs/base/limits.h"
#include "fs/codec.h"
#include "fs/layer.h"
#include "fs/store.h"
#include "registry/http.h"

#include "fs/base/banned.h"

#define COPY_SIZE ((size_t)256 << 10)
#define BASE_NAME "import.invalid/base" /* RFC 6761: never a host */

/* ---- where the bytes come from ---- */

static bool is_url(const char *text)
{
    return strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
}

/* To a nameless file first: whoever unpacks it wants to pull, and HTTP pushes. */
static int download(struct store *store, const char *url, int *fd, struct error *err)
{
    auto_http struct http *http = http_new(NULL);
    auto_http_response struct http_response answer = {0};
    auto_writer struct writer *sink = NULL;
    auto_close int file = -1;
    struct http_request request = {.method = "GET", .url = url, .sink_size_max = LIMIT_LAYER_SIZE};
    int r = store_temp_file(store, &file, err);

    if (r < 0)
        return r;
    sink = fd_writer_new(fcntl(file, F_DUPFD_CLOEXEC, 3), "download");
    request.sink = sink;
    r = http_request(http, &request, &answer, err);
    if (r == 0 && answer.status / 100 != 2)
        r = error_set(err, EIO, "the server answered with status %u", answer.status);
    if (r < 0)
        return error_wrap(err, "cannot download '%s'", url);
    if (lseek(file, 0, SEEK_SET) < 0)
        return error_errno(err, "cannot read what was downloaded");
    *fd = steal_fd(&file);
    return 0;
}

static int open_source(struct store *store, const char *source, struct reader **out,
                       struct error *err)
{
    int fd = -1;
    int r = 0;

    if (source == NULL)
        fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    else if (is_url(source))
        r = download(store, source, &fd, err);
    else
        fd = open(source, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (r < 0)
        return r;
    if (fd < 0)
        return error_errno(err, "cannot open '%s'", source == NULL ? "standard input" : source);
    *out = fd_reader_new(fd, source == NULL ? "standard input" : source);
    return 0;
}

/* ---- a layer ---- */

/* What was read to see what it is, then the rest. */
struct rewound {
    struct reader base; /* first: the reader is the object */
    struct reader *from;
    const uint8_t *at;
    size_t left;
};

static ssize_t rewound_read(struct reader *base, void *buf, size_t size, struct error *err)
{
    struct rewound *r = (struct rewound *)base;

    if (r->left == 0)
        return reader_read(r->from, buf, size, err);
    if (size > r->left)
        size = r->left;
    memcpy(buf, r->at, size);
    r->at += size;
    r->left -= size;
    return (ssize_t)size;
}

static int ingest(struct store *store, struct reader *from, const char *what, bool keep_blob,
                  int64_t *layer, struct error *err)
{
    const struct layer_ingest_options options = {
        .what = what, .blob_size_bytes = UINT64_MAX, .keep_blob = keep_blob};
    auto_layer_ingest struct layer_ingest *in = NULL;
    auto_free uint8_t *buffer = mem_alloc(COPY_SIZE);
    ssize_t n = 1;
    int r = layer_ingest_open(store, &options, &in, err);

    while (r == 0 && n > 0) {
        n = reader_read(from, buffer, COPY_SIZE, err);
        if (n > 0)
            r = layer_ingest_write(in, buffer, (size_t)n, err);
    }
    if (r < 0 || n < 0)
        return r < 0 ? r : (int)n;
    return layer_ingest_commit(STEAL(&in), layer, err);
}

static int make_layer(struct store *store, const char *source, int64_t *layer, struct error *err)
{
    const char *what = source == NULL ? "standard input" : source;
    auto_free uint8_t *head = mem_alloc(COPY_SIZE);
    auto_reader struct reader *from = NULL;
    auto_reader struct reader *unpacked = NULL;
    struct rewound whole = {.base.read = rewound_read, .at = head};
    bool is_codec;
    ssize_t n;
    int r = open_source(store, source, &from, err);

    if (r < 0)
        return r;
    n = reader_read_most(from, head, COPY_SIZE, err);
    if (n <= 0)
        return n < 0 ? (int)n : error_set(err, EBADMSG, "'%s' is empty", what);
    whole.from = from;
    whole.left = (size_t)n;
    /* The ingest knows these itself and keeps their bytes; the rest is unpacked on the way. */
    is_codec = codec_sniff(head, whole.left) != CODEC_NONE;
    if (!is_codec)
        unpacked = archive_unpack(&whole.base);
    return ingest(store, is_codec ? &whole.base : unpacked, what, is_codec, layer, err);
}

/* ---- the changes ---- */

static int check_change(const char *text, struct error *err)
{
    static const char *const names[] = {"CMD",         "ENTRYPOINT", "ENV",     "EXPOSE",
                                        "HEALTHCHECK", "LABEL",      "ONBUILD", "SHELL",
                                        "STOPSIGNAL",  "USER",       "VOLUME",  "WORKDIR"};
    size_t size = strcspn(text, " \t");
    auto_free char *word = mem_strndup(text, size);

    if (strpbrk(text, "\r\n") != NULL || strstr(text, "<<") == text)
        return error_set(err, EINVAL, "a change is one line: '%.64s…'", text);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(word, names[i]) == 0)
            return 0;
    return error_set(err, EINVAL, "%s is not a valid change command", word);
}

/* Builds them as a Dockerfile would: there is one meaning of an instruction. */
static int build_changes(struct store *store, const struct import_options *o,
                         const struct digest *base, struct build_result *result, struct error *err)
{
    auto_str struct str text = {0};
    char digest[DIGEST_TEXT_SIZE];
    const struct strv none = {0};
    struct build_options options = {
        .store = store,
        .registries = o->registries,
        .dockerfile_name = "--change",
        .build_args = &none,
        .platform = o->platform,
        .pull = BUILD_PULL_NEVER,
        .cancel_fd = -1,
        .no_image = true,
    };

    digest_format(base, digest);
    str_addf(&text, "FROM " BASE_NAME "@%s\n", digest);
    for (size_t i = 0; i < o->changes->count; i++)
        str_addf(&text, "%s\n", o->changes->items[i]);
    options.dockerfile = str_text(&text);
    options.dockerfile_size = text.size;
    return build_run(&options, result, err);
}

/* ---- the image ---- */

static void add_history(const struct import_options *o, struct config *config)
{
    const char *source = o->source == NULL ? "-" : o->source;
    auto_free char *comment =
        o->message != NULL ? mem_strdup(o->message) : str_format("Imported from %s", source);
    const struct config_history history = {
        .created_ns = o->created_ns, .created_by = "", .comment = comment};

    config_clear_history(config);
    config_add_history(config, &history);
    config_set_created(config, o->created_ns);
}

static bool is_there(struct store *store, const struct digest *manifest)
{
    auto_image_row struct image_row row = {0};
    struct error ignored;

    return store_image_get(store, manifest, &row, &ignored) == 0;
}

/* The changes need an image to begin with, which goes when they are made. */
static int commit_changed(struct store *store, const struct import_options *o,
                          const struct image *base, struct image *out, struct error *err)
{
    const struct image_options options = {.docker_types = true};
    auto_build_result struct build_result result = {0};
    bool was_there = is_there(store, &base->manifest);
    struct error ignored;
    int r = image_store(store, base, err);

    if (r == 0)
        r = build_changes(store, o, &base->manifest, &result, err);
    if (r == 0) {
        /* One entry, as other tools have it; WORKDIR may have added a layer, which has none. */
        add_history(o, result.image.config);
        r = image_make(store, result.image.config, result.image.layers, result.image.layer_count,
                       &options, out, err);
    }
    if (!was_there)
        (void)store_image_remove(store, &base->manifest, &ignored); /* else a prune will */
    return r;
}

int import_image(struct store *store, const struct import_options *o, struct digest *manifest,
                 struct digest *config_digest, struct error *err)
{
    const struct image_options options = {.docker_types = true};
    auto_platform struct platform host = {0};
    auto_config struct config *config = NULL;
    auto_image struct image base = {0};
    auto_image struct image changed = {0};
    const struct image *image = &base;
    int64_t layer;
    int r;

    platform_host(&host);
    config = config_new_scratch(o->platform != NULL ? o->platform : &host);
    for (size_t i = 0; i < o->changes->count; i++) {
        r = check_change(o->changes->items[i], err);
        if (r < 0)
            return r;
    }
    r = make_layer(store, o->source, &layer, err);
    if (r < 0)
        return r;
    add_history(o, config);
    r = image_make(store, config, &layer, 1, &options, &base, err);
    if (r == 0 && o->changes->count > 0) {
        r = commit_changed(store, o, &base, &changed, err);
        image = &changed;
    }
    if (r == 0)
        r = image_store(store, image, err);
    if (r < 0)
        return r;
    *manifest = image->manifest;
    *config_digest = image->config_digest;
    return 0;
}

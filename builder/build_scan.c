/* build_scan.c - the protocol as a Dockerfile: the generator's own command, with the result's files
 * bound below /run/src, and what it leaves in /run/out copied out of it. */
#include <errno.h>
#include <string.h>

#include "builder/attest/spdx.h"
#include "builder/build_scan.h"
#include "builder/image/image.h"
#include "builder/tree/tree.h"
#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "fs/store.h"
#include "fs/view.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

#define SOURCE_NAME "core" /* BuildKit's name of the main target */
#define SUFFIX ".spdx.json"

/* ---- two builds ---- */

/* The options of the build at hand, for another Dockerfile on this host. */
static struct build_options options_for(const struct build_done *done, const struct str *text)
{
    const struct build_options *o = done->options;

    return (struct build_options){
        .store = o->store,
        .registries = o->registries,
        .progress = o->progress,
        .dockerfile = str_text(text),
        .dockerfile_size = text->size,
        .dockerfile_name = "sbom-generator",
        .extra_hosts = o->extra_hosts,
        .pull = o->pull,
        .network = o->network,
        .single_id = o->single_id,
        .no_new_privileges = o->no_new_privileges,
        .no_image = true,
        .jobs = o->jobs,
        .cancel_fd = o->cancel_fd,
        .stop = o->stop,
    };
}

/* What the generator's image runs, as the words of an exec form. */
static int read_command(const struct build_done *done, const char *generator, struct strv *out,
                        struct error *err)
{
    auto_build_result struct build_result result = {0};
    auto_str struct str text = {0};
    struct build_options options;
    int r;

    str_addf(&text, "FROM %s\n", generator);
    options = options_for(done, &text);
    r = build_run(&options, &result, err);
    if (r < 0)
        return r;
    config_words(result.image.config, "Entrypoint", out);
    config_words(result.image.config, "Cmd", out);
    return out->count > 0 ? 0 : error_set(err, EINVAL, "it has no ENTRYPOINT and no CMD");
}

static void write_dockerfile(const char *generator, const struct strv *command, struct str *out)
{
    auto_json struct json *words = json_new_strv(command);

    str_addf(out,
             "FROM %s AS generator\n"
             "ENV BUILDKIT_SCAN_SOURCE=/run/src/" SOURCE_NAME "\n"
             "ENV BUILDKIT_SCAN_DESTINATION=/run/out\n"
             "WORKDIR /run/out\n"
             "WORKDIR /\n"
             "RUN --mount=type=bind,from=" SOURCE_NAME ",target=/run/src/" SOURCE_NAME " ",
             generator);
    json_write(words, out);
    str_add(out, "\nFROM scratch\nCOPY --from=generator /run/out /\n");
}

/* ---- the result as an image that nothing is run for ---- */

/* Its files alone: no ONBUILD, no platform that this host is not, and no name. `*was_there`: it is not
 * ours to take away. */
static int store_files(const struct build_done *done, struct digest *manifest, bool *was_there,
                       struct error *err)
{
    struct store *store = done->options->store;
    const struct image *result = &done->result->image;
    const struct image_options options = {0};
    auto_platform struct platform host = {0};
    auto_config struct config *config = NULL;
    auto_image struct image image = {0};
    auto_image_row struct image_row row = {0};
    struct error ignored; /* it is not there */
    int r;

    platform_host(&host);
    config = config_new_scratch(&host);
    r = image_make(store, config, result->layers, result->layer_count, &options, &image, err);
    if (r < 0)
        return r;
    *manifest = image.manifest;
    *was_there = store_image_get(store, manifest, &row, &ignored) == 0;
    return image_store(store, &image, err);
}

/* ---- what was written ---- */

static bool is_spdx(const struct json *j)
{
    const char *version = json_get_text(j, "spdxVersion");

    return version != NULL && text_starts(version, "SPDX-");
}

/* Scanners write statements, whose subject is not known to them yet, or SPDX alone. */
static int add_document(const char *name, const struct json *j, struct predicates *out,
                        struct error *err)
{
    const char *type = json_get_text(j, "_type");
    struct json *document = NULL;
    auto_free char *scan = mem_strndup(name, strlen(name) - strlen(SUFFIX));

    if (is_spdx(j))
        document = json_clone(j);
    else if (type != NULL && text_starts(type, "https://in-toto.io/Statement/") &&
             text_equal(json_get_text(j, "predicateType"), SPDX_TYPE) &&
             is_spdx(json_get_object(j, "predicate")))
        document = json_clone(json_get_object(j, "predicate"));
    if (document == NULL)
        return error_set(err, EINVAL, "'%s' is neither SPDX nor a statement of it", name);
    *array_add(out) = (struct predicate){
        .type = SPDX_TYPE,
        .document = document,
        .filename = strcmp(scan, SOURCE_NAME) == 0 ? mem_strdup("sbom.spdx.json")
                                                   : str_format("sbom-%s.spdx.json", scan),
    };
    return 0;
}

static int read_document(struct tree *tree, const struct tree_node *n, struct predicates *out,
                         struct error *err)
{
    auto_json struct json *j = NULL;
    auto_str struct str text = {0};
    int r = tree_read(tree, n->path, LIMIT_PACKAGE_DATABASE, &text, err);

    if (r == 0)
        r = json_parse(str_text(&text), text.size, LIMIT_PACKAGE_DATABASE, n->path, &j, err);
    return r < 0 ? r : add_document(n->path, j, out, err);
}

static int read_documents(struct store *store, const struct image *image, struct predicates *out,
                          struct error *err)
{
    const struct view_options options = {.label = "what it wrote", .read_only = true};
    auto_tree_nodes struct tree_nodes nodes = {0};
    auto_tree struct tree *tree = NULL;
    struct view *view;
    size_t before = out->count;
    int r = view_open(store, image->layers, image->layer_count, &options, &view, err);

    if (r < 0)
        return r;
    tree = tree_take_view(view, "what it wrote");
    r = tree_list(tree, "", &nodes, err);
    for (size_t i = 0; r == 0 && i < nodes.count; i++)
        if (nodes.items[i].meta.type == ENTRY_FILE && text_ends(nodes.items[i].path, SUFFIX))
            r = read_document(tree, &nodes.items[i], out, err);
    if (r == 0 && out->count == before)
        r = error_set(err, EINVAL, "it wrote no *" SUFFIX " to $BUILDKIT_SCAN_DESTINATION");
    return r;
}

/* ---- all of it ---- */

static int scan(const struct build_done *done, const char *generator, const struct digest *files,
                struct predicates *out, struct error *err)
{
    auto_build_result struct build_result result = {0};
    auto_strv struct strv command = {0};
    auto_str struct str text = {0};
    char digest[DIGEST_TEXT_SIZE];
    auto_free char *address = NULL;
    struct build_context context = {.name = SOURCE_NAME};
    struct build_options options;
    int r = read_command(done, generator, &command, err);

    if (r < 0)
        return r;
    digest_format(files, digest);
    context.value = address = str_format("docker-image://" SOURCE_NAME "@%s", digest);
    write_dockerfile(generator, &command, &text);
    options = options_for(done, &text);
    options.pull = BUILD_PULL_MISSING; /* it was looked for just now */
    options.contexts = &context;
    options.context_count = 1;
    r = build_run(&options, &result, err);
    return r < 0 ? r : read_documents(done->options->store, &result.image, out, err);
}

int build_scan(const struct build_done *done, const char *generator, struct predicates *out,
               struct error *err)
{
    struct store *store = done->options->store;
    struct error ignored;  /* one that stays is a dangling image, which a prune takes */
    bool was_there = true; /* until it is known that it was not */
    struct digest files;
    int r = store_files(done, &files, &was_there, err);

    if (r == 0)
        r = scan(done, generator, &files, out, err);
    if (r != -ECANCELED && r < 0)
        (void)error_wrap(err, "sbom generator '%s'", generator); /* the code stays */
    if (!was_there)
        (void)store_image_remove(store, &files, &ignored);
    return r;
}

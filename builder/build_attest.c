/* build_attest.c - see build_attest.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "builder/attest/packages.h"
#include "builder/attest/provenance.h"
#include "builder/attest/purl.h"
#include "builder/attest/spdx.h"
#include "builder/attest/statement.h"
#include "builder/attest/trace.h"
#include "builder/build_attest.h"
#include "builder/build_scan.h"
#include "builder/image/image_index.h"
#include "builder/tree/copy.h"
#include "builder/tree/tree.h"
#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "fs/view.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

#define NS_PER_S 1000000000ll

/* SOURCE_DATE_EPOCH, or the end of the build. */
static int64_t statement_time(const struct build_done *done)
{
    return done->result->has_epoch ? done->result->epoch_s * NS_PER_S : done->trace->finished_ns;
}

/* A view of its own, which the tree takes. */
static int open_result(const struct build_done *done, struct tree **out, struct error *err)
{
    const struct image *image = &done->result->image;
    const struct view_options options = {.label = "the result", .read_only = true};
    struct view *view;
    int r =
        view_open(done->options->store, image->layers, image->layer_count, &options, &view, err);

    if (r == 0)
        *out = tree_take_view(view, "the result");
    return r;
}

static void add_provenance(const struct build_done *done, const struct attest_options *wanted,
                           const struct image *image, struct predicates *out)
{
    const struct provenance_choice how = {
        .mode = wanted->provenance.mode,
        .version = wanted->provenance.version,
        .builder_id = wanted->provenance.builder_id,
        .is_reproducible = wanted->provenance.is_reproducible,
    };
    const char *filename = wanted->provenance.filename;

    *array_add(out) = (struct predicate){
        .type = provenance_type(how.version),
        .document = build_provenance(done, &how, image),
        .filename = mem_strdup(filename == NULL ? "provenance.json" : filename),
    };
}

/* `names` may be NULL or empty. */
static char *result_name(const struct strv *names)
{
    auto_reference struct reference ref = {0};
    auto_str struct str name = {0};
    struct error ignored; /* it is canonical, so it can be read */

    if (names == NULL || names->count == 0 || reference_parse(names->items[0], &ref, &ignored) < 0)
        return mem_strdup("image");
    reference_familiar(&ref, &name);
    return str_take(&name);
}

static int list_packages(const struct build_done *done, const struct strv *names,
                         struct predicates *out, struct error *err)
{
    const struct image *image = &done->result->image;
    auto_packages struct packages packages = {0};
    auto_tree struct tree *tree = NULL;
    auto_free char *name = result_name(names);
    char version[DIGEST_TEXT_SIZE];
    const struct spdx about = {
        .name = name,
        .version = version,
        .program = IMG_VERSION,
        .created_ns = statement_time(done),
    };
    int r = open_result(done, &tree, err);

    if (r == 0)
        r = packages_scan(tree, config_working_dir(image->config), &packages, err);
    if (r < 0)
        return error_wrap(err, "cannot list what the image holds");
    digest_format(&image->config_digest, version);
    *array_add(out) = (struct predicate){.type = SPDX_TYPE,
                                         .document = spdx_new(&about, &packages),
                                         .filename = mem_strdup("sbom.spdx.json")};
    return 0;
}

static int add_sbom(const struct build_done *done, const struct attest_options *wanted,
                    const struct strv *names, struct predicates *out, struct error *err)
{
    if (!wanted->has_sbom)
        return 0;
    return wanted->generator != NULL ? build_scan(done, wanted->generator, out, err)
                                     : list_packages(done, names, out, err);
}

/* ---- beside an image ---- */

static void image_subjects(const struct attest_image *what, struct subjects *out)
{
    auto_platform struct platform platform = {0};

    config_platform(what->image->config, &platform);
    platform_normalize(&platform);
    for (size_t i = 0; i < what->names->count; i++) {
        auto_reference struct reference ref = {0};
        auto_str struct str uri = {0};
        struct error ignored; /* it is canonical, so it can be read */

        if (reference_parse(what->names->items[i], &ref, &ignored) == 0)
            purl_of_image(&ref, &platform, &uri);
        subjects_add(out, str_text(&uri), &what->image->manifest);
    }
    if (out->count == 0)
        subjects_add(out, "_", &what->image->manifest);
}

int build_attest_image(const struct build_done *done, const struct attest_options *wanted,
                       const struct attest_image *what, struct image_index *index,
                       struct error *err)
{
    auto_predicates struct predicates predicates = {0};
    auto_subjects struct subjects subjects = {0};
    const struct descriptor image = {.media_type = what->image->document.media_type,
                                     .digest = what->image->manifest,
                                     .size_bytes = what->image->bytes.size};
    const struct attestation_options options = {
        .image = &image, .subjects = &subjects, .as_artifact = what->as_artifact};
    auto_json struct json *entry = json_new_object();
    int r;

    if (!attest_is_wanted(wanted))
        return 0;
    r = add_sbom(done, wanted, what->names, &predicates, err);
    if (wanted->has_provenance)
        add_provenance(done, wanted, what->image, &predicates);
    image_subjects(what, &subjects);
    if (r == 0)
        r = attestation_store(done->options->store, &predicates, &options, entry, err);
    if (r == 0)
        image_index_push(index, STEAL(&entry));
    return r < 0 ? error_wrap(err, "cannot store the attestations") : 0;
}

/* ---- among files ---- */

static int file_subjects(struct tree *tree, const char *path, unsigned depth, struct subjects *out,
                         struct error *err)
{
    auto_tree_nodes struct tree_nodes list = {0};
    int r = depth > LIMIT_PATH_DEPTH ? error_set(err, ELOOP, "'%.64s…' is nested too deeply", path)
                                     : tree_list(tree, path, &list, err);

    for (size_t i = 0; r == 0 && i < list.count; i++) {
        const struct tree_node *n = &list.items[i];
        struct digest digest;

        if (n->meta.type == ENTRY_DIR)
            r = file_subjects(tree, n->path, depth + 1, out, err);
        if (n->meta.type != ENTRY_FILE)
            continue;
        r = tree_digest(tree, n, &digest, err);
        if (r == 0)
            subjects_add(out, n->path, &digest);
    }
    return r;
}

static int result_subjects(const struct build_done *done, struct subjects *out, struct error *err)
{
    auto_tree struct tree *tree = NULL;
    int r = open_result(done, &tree, err);

    return r < 0 ? r : file_subjects(tree, "", 0, out, err);
}

/* "provenance.json" for one of several platforms: "provenance.linux_arm64.json". */
static char *file_name(const struct predicate *p, const char *platform)
{
    const char *dot = strrchr(p->filename, '.');
    size_t size = dot == NULL ? strlen(p->filename) : (size_t)(dot - p->filename);

    return platform == NULL
               ? mem_strdup(p->filename)
               : str_format("%.*s.%s%s", (int)size, p->filename, platform, dot == NULL ? "" : dot);
}

static int add_file(const struct build_done *done, const struct predicate *p, const char *platform,
                    const struct subjects *subjects, struct view *view, struct error *err)
{
    const struct copy_options options = {
        .destination = "/",
        .now_ns =
            done->result->has_epoch ? done->result->epoch_s * NS_PER_S : done->trace->finished_ns,
    };
    auto_free char *name = file_name(p, platform);
    auto_free char *path = str_format("/%s", name);
    auto_str struct str bytes = {0};
    struct union_attr attr;

    if (view_resolve(view, path, false, &attr) == 0)
        return error_set(err, EEXIST,
                         "the result has a file '%s' of its own: the attestation cannot have its "
                         "name",
                         path);
    statement_write(p, subjects, &bytes);
    return copy_text(view, name, str_text(&bytes), bytes.size, &options, err);
}

int build_attest_files(const struct build_done *done, const struct attest_options *wanted,
                       const char *platform, struct view *view, struct error *err)
{
    auto_predicates struct predicates predicates = {0};
    auto_subjects struct subjects subjects = {0};
    int r;

    if (!attest_has_files(wanted))
        return 0;
    r = add_sbom(done, wanted, NULL, &predicates, err);
    if (wanted->has_provenance && !wanted->provenance.is_inline_only)
        add_provenance(done, wanted, NULL, &predicates);
    if (r == 0)
        r = result_subjects(done, &subjects, err);
    for (size_t i = 0; r == 0 && i < predicates.count; i++)
        r = add_file(done, &predicates.items[i], platform, &subjects, view, err);
    return r;
}

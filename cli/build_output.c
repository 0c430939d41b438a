/* build_output.c - from flags to outputs, and each output done. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/build_attest.h"
#include "builder/image/output_file.h"
#include "builder/image/save.h"
#include "builder/transfer.h"
#include "builder/tree/tree_tar.h"
#include "builder/tree/unpack.h"
#include "cli/build_call.h"
#include "cli/build_metadata.h"
#include "cli/build_output.h"
#include "cli/build_output_internal.h"
#include "cli/commands.h"
#include "fs/base/io.h"
#include "fs/base/json.h"
#include "fs/base/log.h"
#include "fs/base/progress.h"
#include "fs/view.h"
#include "registry/descriptor.h"
#include "registry/registries.h"

#include "fs/base/banned.h"

#define NS_PER_S 1000000000ll

void output_plan_release(struct output_plan *plan)
{
    output_list_release(&plan->list);
    output_annotations_release(&plan->annotations);
    strv_release(&plan->names);
    strv_release(&plan->insecure);
    str_release(&plan->pushed_digest);
}

/* ---- the plan ---- */

bool output_is_image(const struct output *o)
{
    return o->type == OUTPUT_IMAGE || (o->type == OUTPUT_DOCKER && o->dest == NULL);
}

/* As it came out of the build: nothing about it is asked for that others would not have. */
static bool is_plain(const struct output *o)
{
    return output_is_image(o) && !o->has_compression && !o->has_types &&
           o->annotations.manifest.count == 0;
}

static struct output *add_image(struct output_plan *plan)
{
    struct output *o = array_add(&plan->list);

    o->type = OUTPUT_IMAGE;
    o->export.level = -1;
    return o;
}

/* --push and --load are short for an output of their own, unless one of that kind is there. */
static void add_short_forms(const struct output_flags *f, struct output_plan *plan)
{
    struct output *image = NULL;

    for (size_t i = 0; i < plan->list.count; i++)
        if (output_is_image(&plan->list.items[i]))
            image = &plan->list.items[i];
    if (image == NULL && (plan->list.count == 0 || f->push || f->load))
        image = add_image(plan);
    if (image != NULL && f->push) {
        image->type = OUTPUT_IMAGE;
        image->push = true;
    }
}

static int finish_output(const struct output_flags *f, const struct strv *tags, struct output *o,
                         struct output_plan *plan, struct error *err)
{
    struct export_options common = {.level = -1};
    int r = compression_parse(&f->compression, &common, err);
    bool is_given =
        f->compression.format != NULL || f->compression.level != NULL || f->compression.force;

    if (r < 0)
        return r;
    if (is_given && !o->has_compression && o->type != OUTPUT_LOCAL && o->type != OUTPUT_TAR) {
        common.types = o->export.types;
        o->export = common;
        o->has_compression = true;
    }
    for (size_t i = 0; i < tags->count; i++)
        if (!strv_contains(&o->names, tags->items[i]))
            strv_add(&o->names, tags->items[i]);
    if (o->push && o->names.count == 0)
        return error_set(err, EINVAL, "tag is needed when pushing to registry");
    plan->rewrites_timestamps = plan->rewrites_timestamps || o->rewrite_timestamp;
    if (o->dest == NULL || strcmp(o->dest, "-") != 0)
        return 0;
    if (plan->uses_stdout)
        return error_set(err, EINVAL, "only one output can go to standard output");
    plan->uses_stdout = true;
    if (isatty(STDOUT_FILENO) == 1)
        return error_set(err, EINVAL,
                         "dest file is required for this output: refusing to write to console");
    return 0;
}

/* What only one of the two can have: an image for one platform, an index over several or over one and its
 * attestations. */
static int check_shape(const struct output_plan *plan, const struct output *o,
                       enum output_shape shape, struct error *err)
{
    bool is_index = shape != OUTPUT_ONE;
    bool has_index = o->annotations.index.count > 0 || plan->annotations.index.count > 0;
    bool has_entry =
        o->annotations.index_entry.count > 0 || plan->annotations.index_entry.count > 0;

    if (has_entry && (!is_index || o->type != OUTPUT_OCI))
        return error_set(err, EINVAL,
                         "index-descriptor annotations: there is nothing above an index but the "
                         "index.json of type=oci with several platforms");
    if (!is_index && has_index)
        return error_set(err, EINVAL, "index annotations not supported for single platform export");
    if (!is_index || o->type != OUTPUT_DOCKER || o->dest == NULL)
        return 0;
    if (shape == OUTPUT_ATTESTED) {
        (void)error_set(err, ENOTSUP,
                        "type=docker holds no attestations: a docker archive knows no index");
        return error_hint(err, "use type=oci, or leave out --provenance, --sbom and --attest");
    }
    (void)error_set(err, ENOTSUP,
                    "type=docker holds one platform: a docker archive knows no index"); /* below */
    return error_hint(err, "use type=oci, push the index (--push), or build the platforms apart");
}

int output_plan_make(const struct output_flags *f, const struct strv *tags, const char *platform,
                     enum output_shape shape, struct output_plan *out, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < f->annotations.count; i++)
        r = output_annotation_parse(f->annotations.items[i], platform, &out->annotations, err);
    for (size_t i = 0; r == 0 && i < f->outputs.count; i++)
        r = output_parse(f->outputs.items[i], platform, &out->list, err);
    if (r == 0)
        add_short_forms(f, out);
    for (size_t i = 0; r == 0 && i < out->list.count; i++) {
        r = finish_output(f, tags, &out->list.items[i], out, err);
        if (r == 0)
            r = check_shape(out, &out->list.items[i], shape, err);
    }
    for (size_t i = 0; r == 0 && i < out->list.count; i++) {
        struct output *o = &out->list.items[i];

        if (!is_plain(o))
            continue;
        out->stores_image = true;
        for (size_t k = 0; k < o->names.count; k++)
            if (!strv_contains(&out->names, o->names.items[k]))
                strv_add(&out->names, o->names.items[k]);
    }
    return r;
}

void output_plan_allow_insecure(struct output_plan *plan, struct registries_options *o)
{
    if (o->insecure != NULL)
        strv_copy(&plan->insecure, o->insecure);
    for (size_t i = 0; i < plan->list.count; i++)
        for (size_t k = 0; plan->list.items[i].is_insecure && k < plan->list.items[i].names.count;
             k++) {
            const char *name = plan->list.items[i].names.items[k];

            strv_take(&plan->insecure, mem_strndup(name, strcspn(name, "/")));
        }
    o->insecure = &plan->insecure;
}

void output_plan_apply(const struct output_plan *plan, struct build_options *o)
{
    o->annotations = &plan->annotations.manifest;
    o->tags = &plan->names;
    o->no_image = !plan->stores_image;
    o->rewrite_timestamp = o->rewrite_timestamp || plan->rewrites_timestamps;
}

/* ---- one output ---- */

/* The image with what this output alone has: its annotations and media types. */
int output_job_image(const struct output_job *j, struct image *out, struct error *err)
{
    const struct image *image = &j->result->image;
    const struct output *o = j->output;
    auto_config struct config *config = config_copy(image->config);
    auto_strv struct strv annotations = {0};
    const struct image_options options = {
        .annotations = &annotations,
        .docker_types = o->has_types ? o->export.types == EXPORT_DOCKER : j->options->docker_types,
    };

    strv_add_all(&annotations, &j->plan->annotations.manifest);
    strv_add_all(&annotations, &o->annotations.manifest);
    return image_make(j->options->store, config, image->layers, image->layer_count, &options, out,
                      err);
}

void output_document_note(struct output_document *d, const struct str *bytes,
                          const char *media_type)
{
    if (d->media_type != NULL)
        return;
    digest_of(str_text(bytes), bytes->size, &d->digest);
    d->size_bytes = bytes->size;
    d->media_type = media_type;
}

/* The metadata file tells of the first image that left the build in a form of its own. */
static void note_manifest(const struct output_job *j, const struct str *bytes,
                          const char *media_type)
{
    if (!j->plan->stores_image)
        output_document_note(&j->plan->exported, bytes,
                             strcmp(media_type, MEDIA_DOCKER_MANIFEST) == 0
                                 ? MEDIA_DOCKER_MANIFEST
                                 : MEDIA_OCI_MANIFEST); /* theirs may end with an image */
}

char *output_platform_name(const struct config *config)
{
    auto_platform struct platform platform = {0};
    auto_str struct str text = {0};
    char *name;

    config_platform(config, &platform);
    platform_normalize(&platform);
    platform_format(&platform, &text);
    name = str_take(&text);
    for (char *at = strchr(name, '/'); at != NULL; at = strchr(at, '/'))
        *at = '_';
    return name;
}

static int export_directory(const struct output_job *j, struct view *view, const char *directory,
                            struct error *err)
{
    const struct unpack_options options = {
        .merge = true,
        .delete_others = j->output->delete_others,
        .set_time = j->result->has_epoch,
        .mtime_ns = j->result->epoch_s * NS_PER_S,
    };
    struct unpack_result result;
    auto_str struct str line = {0};
    int r = unpack_view(view, directory, &options, &result, err);

    if (r < 0)
        return r;
    if (result.skipped_count > 0)
        log_warn("%llu device files and sockets were left out",
                 (unsigned long long)result.skipped_count);
    str_add(&line, "copying files ");
    str_add_size_decimal(&line, result.size_bytes);
    progress_status(j->options->progress, j->vertex, str_text(&line), 0, 0, true);
    return 0;
}

int output_job_open(const struct output_job *j, const char *platform, struct view **out,
                    struct error *err)
{
    const struct image *image = &j->result->image;
    bool has_files = j->attest != NULL && attest_has_files(j->attest);
    const struct view_options options = {.label = "the result", .read_only = !has_files};
    auto_view struct view *view = NULL;
    int r = view_open(j->options->store, image->layers, image->layer_count, &options, &view, err);

    if (r == 0 && has_files)
        r = build_attest_files(j->done, j->attest, platform, view, err);
    if (r == 0)
        *out = STEAL(&view);
    return r;
}

int64_t output_job_time(const struct output_job *j)
{
    return j->result->has_epoch ? j->result->epoch_s * NS_PER_S : TREE_TIMES_OWN;
}

int output_job_directory(const struct output_job *j, const char *below, const char *platform,
                         struct error *err)
{
    const char *dest = j->output->dest;
    auto_free char *path = below == NULL ? mem_strdup(dest) : str_format("%s/%s", dest, below);
    auto_view struct view *view = NULL;
    int r = output_job_open(j, platform, &view, err);

    if (r == 0 && below != NULL && mkdir(dest, 0777) < 0 && errno != EEXIST)
        return error_errno(err, "cannot make '%s'", dest);
    return r < 0 ? r : export_directory(j, view, path, err);
}

/* With platform-split=true one platform has a directory of its own too. */
static int export_tree(const struct output_job *j, struct error *err)
{
    auto_output_file struct output_file file = {.fd = -1, .dir_fd = -1};
    auto_view struct view *view = NULL;
    auto_free char *platform = NULL;
    struct tree_tar_options options = {.mtime_ns = output_job_time(j)};
    int r;

    if (j->output->is_split)
        platform = output_platform_name(j->result->image.config);
    if (j->output->type == OUTPUT_LOCAL)
        return output_job_directory(j, platform, NULL, err);
    options.directory = platform;
    r = output_job_open(j, NULL, &view, err);
    if (r == 0)
        r = output_file_open(&file, j->output->dest, err);
    if (r == 0)
        r = tree_tar_write(STEAL(&view), &options, &file.writer, err);
    return r < 0 ? r : output_file_finish(&file, err);
}

static int export_archive(const struct output_job *j, struct error *err)
{
    const struct output *o = j->output;
    auto_output_file struct output_file file = {.fd = -1, .dir_fd = -1};
    auto_image struct image image = {0};
    auto_str struct str manifest = {0};
    const char *media_type;
    auto_strv struct strv notes = {0};
    struct save_options options = {
        .export = o->export,
        .compress_docker = o->export.format == CODEC_GZIP || o->export.format == CODEC_ZSTD,
        .progress = j->options->progress,
        .vertex = j->vertex,
    };
    const struct save_image saved = {
        .image = &image, .names = &o->names, .entry_annotations = &notes};
    int r = output_job_image(j, &image, err);

    if (!o->has_types)
        options.export.types = EXPORT_OCI;
    strv_add_all(&notes, &j->plan->annotations.descriptor);
    strv_add_all(&notes, &o->annotations.descriptor);
    if (r == 0 && o->type == OUTPUT_OCI)
        r = save_oci_manifest(j->options->store, &image, &options.export, &manifest, &media_type,
                              err);
    if (r == 0 && o->type == OUTPUT_OCI)
        note_manifest(j, &manifest, media_type);
    if (r == 0 && o->is_directory)
        return save_oci_directory(j->options->store, &saved, 1, &options, o->dest, err);
    if (r == 0)
        r = output_file_open(&file, o->dest, err);
    if (r < 0)
        return r;
    r = o->type == OUTPUT_OCI
            ? save_oci(j->options->store, &saved, 1, &options, &file.writer, err)
            : save_docker(j->options->store, &saved, 1, &options, &file.writer, err);
    return r < 0 ? r : output_file_finish(&file, err);
}

/* An image of the store beside the plain one. */
static int export_image(const struct output_job *j, struct error *err)
{
    struct store *store = j->options->store;
    auto_image struct image image = {0};
    auto_image struct image compressed = {0};
    auto_str struct str manifest = {0};
    const struct image *stored = &image;
    const char *media_type;
    int r = output_job_image(j, &image, err);

    if (r == 0 && j->output->has_compression) {
        r = save_oci_manifest(store, &image, &j->output->export, &manifest, &media_type, err);
        if (r == 0)
            r = image_make_of(&(struct image_documents){&manifest, media_type, &image.manifest,
                                                        &image.config_bytes},
                              image.layers, image.layer_count, &compressed, err);
        stored = &compressed;
    }
    if (r == 0)
        r = image_store(store, stored, err);
    if (r == 0)
        note_manifest(j, &stored->bytes, stored->document.media_type);
    for (size_t i = 0; r == 0 && i < j->output->names.count; i++)
        r = image_tag(store, j->output->names.items[i], &stored->manifest, err);
    return r;
}

/* BuildKit's words, which people look for in logs. */
const char *output_vertex_name(const struct output *o)
{
    switch (o->type) {
    case OUTPUT_LOCAL:
        return "exporting to client directory";
    case OUTPUT_TAR:
        return "exporting to client tarball";
    case OUTPUT_OCI:
        return "exporting to oci image format";
    case OUTPUT_DOCKER:
        return o->dest == NULL ? "exporting to image" : "exporting to docker image format";
    case OUTPUT_IMAGE:
    default:
        return "exporting to image";
    }
}

static int export_one(struct output_job *j, struct error *err)
{
    const struct output *o = j->output;
    struct progress *progress = j->options->progress;
    int r;

    if (is_plain(o))
        return 0; /* the build did it */
    j->vertex = progress_begin(progress, output_vertex_name(o));
    if (output_is_image(o))
        r = export_image(j, err);
    else if (o->type == OUTPUT_LOCAL || o->type == OUTPUT_TAR)
        r = export_tree(j, err);
    else
        r = export_archive(j, err);
    progress_end(progress, j->vertex, r < 0 ? PROGRESS_ERROR : PROGRESS_DONE, err->text);
    return r;
}

int output_plan_export(struct output_plan *plan, const struct build_options *o,
                       const struct build_result *result, struct error *err)
{
    struct output_job job = {.plan = plan, .options = o, .result = result};
    int r = 0;

    for (size_t i = 0; r == 0 && i < plan->list.count; i++) {
        job.output = &plan->list.items[i];
        r = export_one(&job, err);
    }
    return r;
}

/* ---- what is said of it ---- */

/* BuildKit's keys. A push may have compressed layers, and so have another manifest. */
static void add_image_keys(const struct output_plan *plan, const struct build_result *result,
                           struct json *document)
{
    const struct image *image = &result->image;
    const struct output_document own = {.media_type = image->document.media_type,
                                        .digest = result->manifest,
                                        .size_bytes = image->bytes.size};
    const struct output_document *d = plan->exported.media_type != NULL ? &plan->exported : &own;
    struct json *descriptor = json_new_object();
    auto_platform struct platform platform = {0};
    char text[DIGEST_TEXT_SIZE];

    digest_format(&result->config, text);
    json_put_text(document, "containerimage.config.digest", text);
    config_platform(image->config, &platform);
    descriptor_put(descriptor, d->media_type, &d->digest, d->size_bytes);
    descriptor_put_platform(descriptor, &platform);
    if (plan->pushed_digest.size == 0)
        json_put(document, "containerimage.descriptor", descriptor);
    else
        json_unref(descriptor); /* the registry's is another, of which only this is known: */
    digest_format(&d->digest, text);
    json_put_text(document, "containerimage.digest",
                  plan->pushed_digest.size > 0 ? str_text(&plan->pushed_digest) : text);
}

/* A directory or a tar of files has no name. */
static bool is_tree(const struct output *o)
{
    return o->type == OUTPUT_LOCAL || o->type == OUTPUT_TAR;
}

int output_metadata_write(const struct output_plan *plan, struct json *document,
                          const struct checks *checks, const char *path, struct error *err)
{
    auto_strv struct strv all = {0};
    auto_free char *names = NULL;
    auto_str struct str text = {0};

    for (size_t i = 0; i < plan->list.count; i++) {
        const struct output *o = &plan->list.items[i];

        for (size_t k = 0; !is_tree(o) && k < o->names.count; k++)
            if (!strv_contains(&all, o->names.items[k]))
                strv_add(&all, o->names.items[k]);
    }
    names = strv_join(&all, ",");
    if (all.count > 0)
        json_put_text(document, "image.name", names);
    put_warnings(checks, document);
    json_write_pretty(document, &text);
    str_add_char(&text, '\n');
    return output_file_put(path, str_text(&text), text.size, err);
}

static int write_metadata(const struct output_plan *plan, const char *path,
                          const struct build_done *done, struct error *err)
{
    auto_json struct json *document = json_new_object();
    bool has_image = false;

    for (size_t i = 0; i < plan->list.count; i++)
        has_image = has_image || !is_tree(&plan->list.items[i]);
    if (has_image)
        add_image_keys(plan, done->result, document);
    if (done->trace != NULL)
        build_metadata_put(done, false, document);
    return output_metadata_write(plan, document, &done->result->checks, path, err);
}

int output_plan_push(struct program *p, struct output_plan *plan, const char *progress_mode,
                     struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < plan->list.count; i++) {
        const struct output *o = &plan->list.items[i];
        struct push_result result;
        char digest[DIGEST_TEXT_SIZE];

        if (!o->push)
            continue;
        r = push_images(p, &o->names, progress_mode, &o->export, &result, err);
        if (r < 0)
            return r;
        digest_format(&result.manifest, digest);
        str_truncate(&plan->pushed_digest, 0);
        str_add(&plan->pushed_digest, digest);
    }
    return r;
}

int output_plan_finish(struct program *p, struct output_plan *plan, const struct output_flags *f,
                       const char *progress_mode, const struct build_done *done, struct error *err)
{
    char config[DIGEST_TEXT_SIZE];
    int r = output_plan_push(p, plan, progress_mode, err);

    digest_format(&done->result->config, config);
    if (r == 0 && f->iidfile != NULL)
        r = output_file_put(f->iidfile, config, strlen(config), err);
    if (r == 0 && f->metadata_file != NULL)
        r = write_metadata(plan, f->metadata_file, done, err);
    return r;
}

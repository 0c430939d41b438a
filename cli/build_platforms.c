/* build_platforms.c - see build_platforms.h. What one platform shares with this: build_output.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "builder/attest/trace.h"
#include "builder/build_attest.h"
#include "builder/image/image_index.h"
#include "builder/image/output_file.h"
#include "builder/image/save.h"
#include "builder/tree/tree.h"
#include "builder/tree/tree_tar.h"
#include "cli/build_call.h"
#include "cli/build_metadata.h"
#include "cli/build_outcome.h"
#include "cli/build_output_internal.h"
#include "cli/build_platforms.h"
#include "cli/progress.h"
#include "fs/base/hash.h"
#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "fs/base/progress.h"
#include "fs/view.h"
#include "registry/descriptor.h"

#include "fs/base/banned.h"

struct built {
    struct build_result result;
    struct trace trace;
    struct build_done done;
    struct output_plan plan; /* with the annotations that are for this platform */
};

struct platforms {
    const struct build_flags *f;
    struct build_request *q;
    struct build_options *o;
    struct built *items; /* one for each platform */
    size_t count;
    char *invocation_id;
    /* The first index that an output made: what --iidfile and --metadata-file tell of. */
    struct output_document index;
};

static void platforms_release(struct platforms *s)
{
    for (size_t i = 0; i < s->count; i++) {
        build_result_release(&s->items[i].result);
        output_plan_release(&s->items[i].plan);
        trace_release(&s->items[i].trace);
    }
    free(s->items);
    free(s->invocation_id);
}
DEFINE_CLEANUP_VALUE(platforms_release, struct platforms)

/* ---- building ---- */

static int build_all(struct program *p, struct platforms *s, struct error *err)
{
    for (size_t i = 0; i < s->q->platforms.count; i++) {
        struct built *one = &s->items[s->count++];
        auto_str struct str platform = {0};
        int r;

        trace_init(&one->trace);
        one->done = (struct build_done){.options = s->o,
                                        .result = &one->result,
                                        .trace = &one->trace,
                                        .invocation_id = s->invocation_id};
        s->o->trace = build_wants_trace(s->f, s->q) ? &one->trace : NULL;
        s->o->platform = &s->q->platforms.items[i];
        s->o->is_another_platform = i > 0;
        platform_format(s->o->platform, &platform);
        r = output_plan_make(&s->f->output, &s->q->tags, str_text(&platform),
                             build_request_shape(s->q), &one->plan, err);
        if (r < 0)
            return r;
        s->o->annotations = &one->plan.annotations.manifest;
        r = build_run(s->o, &one->result, err);
        if (r < 0)
            return r == -ECANCELED ? r : build_outcome_failed(p, s->f, s->o, &one->result, err);
    }
    return 0;
}

static struct output_job job_of(const struct platforms *s, size_t platform, size_t output,
                                uint32_t vertex)
{
    struct built *one = &s->items[platform];

    return (struct output_job){.plan = &one->plan,
                               .output = &one->plan.list.items[output],
                               .options = s->o,
                               .result = &one->result,
                               .done = &one->done,
                               .attest = &s->q->attest,
                               .vertex = vertex};
}

/* ---- an index ---- */

/* An index over one image for each platform, in their last form, and attestations of them. */
struct indexed {
    struct image *images; /* one for each platform */
    size_t count;
    struct image_index index;
};

static void indexed_release(struct indexed *x)
{
    for (size_t i = 0; i < x->count; i++)
        image_release(&x->images[i]);
    free(x->images);
    image_index_release(&x->index);
}
DEFINE_CLEANUP_VALUE(indexed_release, struct indexed)
#define auto_indexed CLEANUP(indexed_release)

/* The layers get their last form now: the index names it, and attestations are about it. */
static int add_image(const struct output_job *job, const struct export_options *form,
                     struct indexed *out, struct error *err)
{
    auto_strv struct strv notes = {0};
    auto_image struct image image = {0};
    struct image *last = &out->images[out->count++];
    int r = output_job_image(job, &image, err);

    *last = (struct image){0};
    strv_add_all(&notes, &job->plan->annotations.descriptor);
    strv_add_all(&notes, &job->output->annotations.descriptor);
    if (r == 0)
        r = image_index_form(job->options->store, &image, form, last, err);
    if (r == 0)
        image_index_note(&out->index, last, &notes);
    return r;
}

static int make_indexed(const struct platforms *s, size_t output, const struct export_options *form,
                        struct indexed *out, struct error *err)
{
    int r = 0;

    out->images = mem_alloc(s->count * sizeof(*out->images));
    while (r == 0 && out->count < s->count) {
        const struct output_job job = job_of(s, out->count, output, 0);

        r = add_image(&job, form, out, err);
    }
    for (size_t i = 0; r == 0 && i < s->count; i++) {
        const struct output *o = &s->items[i].plan.list.items[output];
        const struct attest_image what = {
            .image = &out->images[i], .names = &o->names, .as_artifact = o->as_artifact};

        r = build_attest_image(&s->items[i].done, &s->q->attest, &what, &out->index, err);
    }
    return r;
}

static void index_annotations(const struct output_job *job, struct strv *out)
{
    strv_add_all(out, &job->plan->annotations.index);
    strv_add_all(out, &job->output->annotations.index);
}

static bool has_docker_types(const struct platforms *s, const struct output *o)
{
    return o->has_types ? o->export.types == EXPORT_DOCKER : s->o->docker_types;
}

/* ---- an index of the store ---- */

static void tell_of_index(const struct platforms *s, const struct output *o,
                          const struct digest *digest, uint32_t vertex)
{
    char text[DIGEST_TEXT_SIZE];
    auto_str struct str line = {0};

    digest_format(digest, text);
    str_addf(&line, "exporting manifest list %s", text);
    progress_status(s->o->progress, vertex, str_text(&line), 0, 0, true);
    for (size_t i = 0; i < o->names.count; i++) {
        str_truncate(&line, 0);
        str_addf(&line, "naming to %s", o->names.items[i]);
        progress_status(s->o->progress, vertex, str_text(&line), 0, 0, true);
    }
}

static int export_image(struct platforms *s, size_t output, uint32_t vertex, struct error *err)
{
    const struct output_job first = job_of(s, 0, output, vertex);
    const struct output *o = first.output;
    auto_indexed struct indexed made = {0};
    auto_strv struct strv notes = {0};
    const struct image_index_options options = {
        .names = &o->names, .annotations = &notes, .docker_types = has_docker_types(s, o)};
    struct digest digest;
    int r = make_indexed(s, output, &o->export, &made, err);

    index_annotations(&first, &notes);
    for (size_t i = 0; r == 0 && i < made.count; i++)
        r = image_store(s->o->store, &made.images[i], err);
    if (r == 0)
        r = image_index_commit(s->o->store, &options, &made.index, &digest, err);
    if (r < 0)
        return r;
    output_document_note(&s->index, &made.index.bytes,
                         options.docker_types ? MEDIA_DOCKER_LIST : MEDIA_OCI_INDEX);
    tell_of_index(s, o, &digest, vertex);
    return 0;
}

/* ---- an index in a layout ---- */

static int export_layout(struct platforms *s, size_t output, uint32_t vertex, struct error *err)
{
    const struct output_job first = job_of(s, 0, output, vertex);
    const struct output *o = first.output;
    auto_indexed struct indexed made = {0};
    auto_output_file struct output_file file = {.fd = -1, .dir_fd = -1};
    auto_strv struct strv notes = {0};
    auto_strv struct strv entry_notes = {0};
    struct save_options options = {
        .export = o->export, .progress = s->o->progress, .vertex = vertex};
    const struct image_index_options how = {
        .annotations = &notes, .docker_types = o->has_types && o->export.types == EXPORT_DOCKER};
    int r;

    if (!o->has_types)
        options.export.types = EXPORT_OCI;
    r = make_indexed(s, output, &options.export, &made, err);
    if (r < 0)
        return r;
    index_annotations(&first, &notes);
    strv_add_all(&entry_notes, &first.plan->annotations.index_entry);
    strv_add_all(&entry_notes, &o->annotations.index_entry);
    image_index_write(&made.index, &how);
    output_document_note(&s->index, &made.index.bytes,
                         how.docker_types ? MEDIA_DOCKER_LIST : MEDIA_OCI_INDEX);
    const struct save_index index = {
        .document = &made.index.bytes, .images = made.images, .count = made.count};
    const struct save_image saved = {
        .index = &index, .names = &o->names, .entry_annotations = &entry_notes};

    if (o->is_directory)
        return save_oci_directory(s->o->store, &saved, 1, &options, o->dest, err);
    r = output_file_open(&file, o->dest, err);
    if (r == 0)
        r = save_oci(s->o->store, &saved, 1, &options, &file.writer, err);
    return r < 0 ? r : output_file_finish(&file, err);
}

/* ---- files ---- */

/* Paths that are no directories, of the platforms before this one. */
struct overlap {
    struct table seen; /* path -> place + 1 of its platform */
    const struct platforms *s;
};

static int note_files(struct overlap *w, struct tree *tree, const char *path, size_t platform,
                      unsigned depth, struct error *err)
{
    auto_tree_nodes struct tree_nodes list = {0};
    int r = depth > LIMIT_PATH_DEPTH ? error_set(err, ELOOP, "'%.64s…' is nested too deeply", path)
                                     : tree_list(tree, path, &list, err);

    for (size_t i = 0; r == 0 && i < list.count; i++) {
        const struct tree_node *n = &list.items[i];
        size_t other = (size_t)(uintptr_t)table_get(&w->seen, n->path);
        size_t kind = n->meta.type == ENTRY_DIR ? w->s->count : platform;

        if (other > 0 && (other - 1 != kind || kind < w->s->count))
            return error_set(err, EEXIST,
                             "platform-split=false: the files of two platforms would be one: '/%s'",
                             n->path);
        table_put(&w->seen, n->path, (void *)(uintptr_t)(kind + 1));
        if (n->meta.type == ENTRY_DIR)
            r = note_files(w, tree, n->path, platform, depth + 1, err);
    }
    return r;
}

/* Directories of all platforms are one; a file that two have would be that of the last alone. */
static int check_overlap(const struct platforms *s, size_t output, struct error *err)
{
    struct overlap w = {.s = s};
    int r = 0;

    for (size_t i = 0; r == 0 && i < s->count; i++) {
        struct output_job job = job_of(s, i, output, 0);
        struct view *view = NULL;
        auto_tree struct tree *tree = NULL;

        job.attest = NULL; /* their files have names of their own */
        r = output_job_open(&job, NULL, &view, err);
        if (r < 0)
            break;
        tree = tree_take_view(view, "the result");
        r = note_files(&w, tree, "", i, 0, err);
    }
    table_release(&w.seen);
    return r;
}

static int export_tree(struct platforms *s, size_t output, uint32_t vertex, struct error *err)
{
    const struct output_job first = job_of(s, 0, output, vertex);
    const struct output *o = first.output;
    bool is_split = o->has_split ? o->is_split : s->count > 1;
    auto_output_file struct output_file file = {.fd = -1, .dir_fd = -1};
    int r = is_split ? 0 : check_overlap(s, output, err);

    if (r == 0 && o->type == OUTPUT_TAR)
        r = output_file_open(&file, o->dest, err);
    for (size_t i = 0; r == 0 && i < s->count; i++) {
        const struct output_job job = job_of(s, i, output, vertex);
        auto_free char *platform = output_platform_name(job.result->image.config);
        const char *directory = is_split ? platform : NULL;
        const char *suffix = is_split || s->count == 1 ? NULL : platform;
        const struct tree_tar_options options = {.mtime_ns = output_job_time(&job),
                                                 .directory = directory,
                                                 .has_more = i + 1 < s->count};
        auto_view struct view *view = NULL;

        if (o->type == OUTPUT_LOCAL) {
            r = output_job_directory(&job, directory, suffix, err);
            continue;
        }
        r = output_job_open(&job, suffix, &view, err);
        if (r == 0)
            r = tree_tar_write(STEAL(&view), &options, &file.writer, err);
    }
    return r < 0 || o->type == OUTPUT_LOCAL ? r : output_file_finish(&file, err);
}

static int export_all(struct platforms *s, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < s->q->plan.list.count; i++) {
        const struct output *o = &s->q->plan.list.items[i];
        uint32_t vertex = progress_begin(s->o->progress, output_vertex_name(o));

        if (output_is_image(o))
            r = export_image(s, i, vertex, err);
        else if (o->type == OUTPUT_OCI)
            r = export_layout(s, i, vertex, err);
        else
            r = export_tree(s, i, vertex, err);
        progress_end(s->o->progress, vertex, progress_state_of(r), err->text);
    }
    return r;
}

/* ---- what is said of it ---- */

/* --iidfile has an id whatever was written: then that of the index which was not needed. */
static struct digest index_id(const struct platforms *s)
{
    auto_image_index struct image_index index = {0};
    const struct strv none = {0};
    const struct image_index_options options = {.annotations = &none,
                                                .docker_types = s->o->docker_types};
    struct output_document unwritten = s->index;

    if (s->count == 1 && s->index.media_type == NULL)
        return s->items[0].result.config;
    for (size_t i = 0; i < s->count; i++)
        image_index_note(&index, &s->items[i].result.image, NULL);
    image_index_write(&index, &options);
    output_document_note(&unwritten, &index.bytes,
                         options.docker_types ? MEDIA_DOCKER_LIST : MEDIA_OCI_INDEX);
    return unwritten.digest;
}

/* As docker buildx has it: the index stands where else the image does. */
static int write_metadata(const struct platforms *s, const char *path, struct error *err)
{
    auto_json struct json *document = json_new_object();
    const struct output_document *index = &s->index;
    char digest[DIGEST_TEXT_SIZE];

    if (index->media_type != NULL) {
        struct json *descriptor = json_new_object();

        descriptor_put(descriptor, index->media_type, &index->digest, index->size_bytes);
        json_put(document, "containerimage.descriptor", descriptor);
        digest_format(&index->digest, digest);
        json_put_text(document, "containerimage.digest", digest);
    }
    for (size_t i = 0; i < s->count && s->o->trace != NULL; i++)
        build_metadata_put(&s->items[i].done, s->count > 1, document);
    return output_metadata_write(&s->q->plan, document, &s->items[0].result.checks, path, err);
}

/* What was said for one platform is not said again for the next. */
static void print_all_warnings(const struct program *p, const struct platforms *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct build_result *result = &s->items[i].result;
        bool is_new = true;

        for (size_t k = 0; k < i; k++)
            is_new = is_new &&
                     !text_equal(str_text(&result->report), str_text(&s->items[k].result.report));
        if (s->f->explain)
            print_explanation(result, true);
        if (is_new && !s->f->quiet)
            print_warnings(result, p->debug);
    }
}

static int finish(struct program *p, struct platforms *s, struct error *err)
{
    const struct output_flags *f = &s->f->output;
    const struct digest id = index_id(s);
    char text[DIGEST_TEXT_SIZE];
    int r = output_plan_push(p, &s->q->plan, build_progress_mode(s->f), err);

    digest_format(&id, text);
    if (r == 0 && f->iidfile != NULL)
        r = output_file_put(f->iidfile, text, strlen(text), err);
    if (r == 0 && f->metadata_file != NULL)
        r = write_metadata(s, f->metadata_file, err);
    if (r == 0)
        r = build_compat_finish(&s->f->compat, &id, err);
    if (r < 0)
        return r;
    print_all_warnings(p, s);
    build_outcome_names(s->f, &s->q->plan, text);
    return 0;
}

int build_platforms_run(struct program *p, const struct build_flags *f, struct build_request *q,
                        struct build_options *o, struct progress **progress, struct error *err)
{
    __attribute__((cleanup(cleanup_platforms_release))) struct platforms s = {
        .f = f, .q = q, .o = o};
    int r = *progress != NULL ? 0 : build_open_progress(f, progress, err);

    if (r < 0)
        return r;
    s.items = mem_alloc(q->platforms.count * sizeof(*s.items));
    s.invocation_id = build_invocation_id();
    o->progress = *progress;
    o->no_image = true;
    build_outcome_begin(f, &q->plan);
    r = build_all(p, &s, err);
    if (r == 0)
        r = export_all(&s, err);
    progress_close(STEAL(progress));
    return r < 0 ? r : finish(p, &s, err);
}

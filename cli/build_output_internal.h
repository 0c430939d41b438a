/* build_output_internal.h - the parts of an output that one platform and several share. */
#pragma once

#include <stdint.h>

#include "cli/build_output.h"

struct attest_options;
struct build_done;
struct json;
struct view;

/* One output of one built image. */
struct output_job {
    struct output_plan *plan;
    const struct output *output;
    const struct build_options *options;
    const struct build_result *result;
    const struct build_done *done;       /* of the same, for attestations */
    const struct attest_options *attest; /* NULL: none are wanted */
    uint32_t vertex;
};

/* An image of the store, not a file. */
bool output_is_image(const struct output *o);
/* BuildKit's words, which people look for in logs. */
const char *output_vertex_name(const struct output *o);
/* BuildKit's name of a directory for one platform: "linux_arm_v7". Caller frees. */
char *output_platform_name(const struct config *config);

/* The image with what this output alone has: its annotations and media types. */
int output_job_image(const struct output_job *j, struct image *out, struct error *err);
/* The files of the image and what attests to them; the caller closes. With a `platform`, which may be
 * NULL, that is in the attestations' names. */
int output_job_open(const struct output_job *j, const char *platform, struct view **out,
                    struct error *err);
int64_t output_job_time(const struct output_job *j); /* of files, as tree_tar_write takes it */
/* Fills the directory of type=local, or `below` (one component) in it when that is not NULL. `platform` as
 * above. */
int output_job_directory(const struct output_job *j, const char *below, const char *platform,
                         struct error *err);

/* Sends every name that is to be pushed. */
int output_plan_push(struct program *p, struct output_plan *plan, const char *progress_mode,
                     struct error *err);
/* Writes --metadata-file: the document, to which it adds the names given to images and, if
 * BUILDX_METADATA_WARNINGS asks for them, the findings. */
int output_metadata_write(const struct output_plan *plan, struct json *document,
                          const struct checks *checks, const char *path, struct error *err);

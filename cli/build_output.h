/* build_output.h - where a build's result goes: --output, --push, --load, and what is said of it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "builder/build.h"
#include "builder/output.h"
#include "cli/compression.h"
#include "cli/main.h"

struct build_done;

struct output_flags {
    struct strv outputs;
    struct strv annotations;
    struct compression_flags compression;
    const char *iidfile;
    const char *metadata_file;
    bool push;
    bool load;
};

/* A manifest or index that an output left: what --iidfile and --metadata-file tell of. */
struct output_document {
    const char *media_type; /* NULL: none yet */
    struct digest digest;
    uint64_t size_bytes;
};
/* The first one noted stays. */
void output_document_note(struct output_document *d, const struct str *bytes,
                          const char *media_type);

/* One image, one whose attestations stand beside it in an index, or one for each platform in an index. */
enum output_shape { OUTPUT_ONE, OUTPUT_ATTESTED, OUTPUT_SEVERAL };

struct output_plan {
    struct output_list list;
    struct output_annotations annotations; /* of --annotation */
    struct strv names; /* those that the build itself gives the image it stores */
    bool stores_image; /* the build itself stores one, as it came out */
    bool uses_stdout;  /* something is written there, so nothing else may be */
    bool rewrites_timestamps;
    struct strv insecure; /* hosts that an output allows plain HTTP for, and those of the options */
    struct output_document exported; /* after output_plan_export: of the first archive or image */
    struct str pushed_digest;        /* after a push: what the registry has */
};
void output_plan_release(struct output_plan *plan);

/* What the flags ask for. `tags` are the canonical names of --tag, `platform` the image's, or the
 * one of several that the plan is for. -EINVAL. */
int output_plan_make(const struct output_flags *f, const struct strv *tags, const char *platform,
                     enum output_shape shape, struct output_plan *out, struct error *err);
struct registries_options;
/* Adds the hosts that outputs call insecure. The plan must outlive the registries. */
void output_plan_allow_insecure(struct output_plan *plan, struct registries_options *o);
/* Hands these to build_run. The plan must outlive the build. */
void output_plan_apply(const struct output_plan *plan, struct build_options *o);
/* After the build: archives, directories, further images. */
int output_plan_export(struct output_plan *plan, const struct build_options *o,
                       const struct build_result *result, struct error *err);
/* After that: pushes, then --iidfile and --metadata-file. */
int output_plan_finish(struct program *p, struct output_plan *plan, const struct output_flags *f,
                       const char *progress_mode, const struct build_done *done, struct error *err);

/* build_outcome.h - what people are told of a build while it runs and when it has ended. */
#pragma once

#include "builder/build.h"
#include "cli/build_request.h"
#include "cli/main.h"
#include "fs/base/error.h"

struct progress;

/* "Building NAME" for each name the image gets, unless --quiet. */
void build_outcome_begin(const struct build_flags *f, const struct output_plan *plan);
/* --progress, --quiet, --no-console and --log-format as one word; NULL: automatic. */
const char *build_progress_mode(const struct build_flags *f);
int build_open_progress(const struct build_flags *f, struct progress **out, struct error *err);
/* "Successfully built NAME" for each, unless --quiet; or `id` on standard output: for --quiet, and
 * where an image has no name. */
void build_outcome_names(const struct build_flags *f, const struct output_plan *plan,
                         const char *id);
/* Of one image, with its warnings. */
void build_outcome_done(struct program *p, const struct build_flags *f,
                        const struct output_plan *plan, const struct build_result *result);
/* Adds to the error of a build how to look into its step, tidies up, and returns it. */
int build_outcome_failed(struct program *p, const struct build_flags *f,
                         const struct build_options *o, const struct build_result *result,
                         struct error *err);

/* build_call.h - what `img build` tells instead of, or besides, an image: --call, --dry-run,
 * --explain. Standard output takes what was asked for.
 */
#pragma once

#include <stdbool.h>

#include "builder/build.h"
#include "fs/base/error.h"

struct json;

enum call_method { CALL_BUILD, CALL_CHECK, CALL_OUTLINE, CALL_TARGETS };

struct call {
    enum call_method method;
    bool is_json;
    bool ignores_status; /* findings are no failure */
};
/* "check", "outline,format=json", ... -EINVAL with a suggestion. */
int call_parse(const char *text, struct call *out, struct error *err);
/* Any method but CALL_BUILD. An error with an empty text has been told already. */
int call_run(const struct call *call, const struct build_options *o, struct error *err);

/* The plan with what the cache has of it, on standard output. */
void print_prediction(const struct build_result *result, bool explain);
/* Why the steps that were run were not cached, on standard error. A build that failed is not `is_whole`:
 * that all others were cached is not said. */
void print_explanation(const struct build_result *result, bool is_whole);
/* " 2 warnings found:" and one line each, on standard error; the whole report when `is_long`. */
void print_warnings(const struct build_result *result, bool is_long);
/* Adds what was found to a metadata document, when BUILDX_METADATA_WARNINGS asks for it (docker
 * buildx, "--metadata-file"): BuildKit's VertexWarning, one for each finding. */
void put_warnings(const struct checks *checks, struct json *document);

/* build_request.h - what the options of `img build` come to, before anything is built. */
#pragma once

#include <stdbool.h>

#include "builder/attest_options.h"
#include "builder/build.h"
#include "builder/cache_address.h"
#include "cli/build_compat.h"
#include "cli/build_input.h"
#include "cli/build_output.h"
#include "cli/registry_flags.h"
#include "cli/step_flags.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "registry/registries.h"

/* As typed: the option table of cmd_build.c fills it. */
struct build_flags {
    struct strv tags;
    struct strv build_args;
    struct strv labels;
    struct output_flags output;
    struct strv no_cache_filter;
    struct strv cache_from;
    struct strv cache_to;
    struct strv add_hosts;
    struct strv allow;
    struct registry_flags registry;
    struct build_compat compat;
    struct strv secrets;
    struct strv ssh;
    struct strv volumes;
    struct strv devices;
    struct strv contexts;
    struct strv attests;
    const char *provenance;
    const char *sbom;
    const char *file;
    const char *target;
    struct strv platforms;
    const char *progress;
    const char *pull;
    const char *network;
    const char *jobs;
    const char *format;
    const char *epoch;
    const char *call;
    bool check;
    bool dry_run;
    bool explain;
    bool no_cache;
    bool no_console;
    bool quiet;
    bool single_id;
    bool no_new_privileges;
    bool rewrite_timestamp;
    bool squash;
};

/* All that the options come to; what build_options points at. */
struct build_request {
    struct registries_options registries;
    struct build_compat_result compat;
    struct strv hosts; /* of --add-host */
    struct strv no_cache_stages;
    struct cache_addresses cache_from;
    struct cache_addresses cache_to;
    struct build_context *contexts;
    struct strv context_names;
    struct {
        struct platform *items;
        size_t count;
        size_t capacity;
    } platforms; /* none: the host's */
    struct strv args;
    struct strv tags;
    struct secrets secrets;
    struct ssh_given ssh;
    struct volumes volumes;
    struct attest_options attest;
    struct output_plan plan;
    struct build_input input;
};
void build_request_release(struct build_request *q);
DEFINE_CLEANUP_VALUE(build_request_release, struct build_request)
#define auto_build_request CLEANUP(build_request_release)

/* Reads the options and the environment; nothing is opened but the files of secrets. Fills the fields
 * of `o` that need neither store nor context. -EINVAL, -ENOTSUP for what cannot be meant. */
int build_request_make(const struct build_flags *f, struct build_request *q,
                       struct build_options *o, struct error *err);
/* Hands the rest to `o`. The request must outlive the build. */
void build_request_apply(const struct build_flags *f, const struct build_request *q,
                         struct build_options *o);
/* What its images come as. */
enum output_shape build_request_shape(const struct build_request *q);
/* The value that "NAME=VALUE" lines give, the last one wins; NULL: none does. */
const char *build_arg_value(const struct strv *args, const char *name);

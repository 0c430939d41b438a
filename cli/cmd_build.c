/* cmd_build.c - img build: its options, and one run of it. What they come to: build_request.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builder/attest/trace.h"
#include "builder/build.h"
#include "builder/build_attest.h"
#include "cli/build_call.h"
#include "cli/build_metadata.h"
#include "cli/build_outcome.h"
#include "cli/build_platforms.h"
#include "cli/build_request.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "fs/base/io.h"
#include "fs/store.h"

#include "fs/base/banned.h"

#define FIELD(name) .offset = offsetof(struct build_flags, name)
#define TEXT(field) .kind = OPTION_TEXT, FIELD(field)
#define LIST(field) .kind = OPTION_LIST, FIELD(field)

static const struct option options[] = {
    {.name = "add-host",
     LIST(add_hosts),
     .argument = "NAME:IP",
     .help = "add a line to /etc/hosts of RUN"},
    {.name = "allow",
     LIST(allow),
     .argument = "ENTITLEMENT",
     .help = "allow network.host or security.insecure"},
    {.name = "annotation",
     LIST(output.annotations),
     .argument = "[TYPE:]KEY=VALUE",
     .help = "add an annotation to the manifest, or to its manifest-descriptor"},
    {.name = "attest",
     LIST(attests),
     .argument = "type=TYPE[,KEY=VALUE]",
     .help = "attach an attestation to the image: type=provenance or type=sbom"},
    {.name = "build-arg",
     LIST(build_args),
     .argument = "NAME[=VALUE]",
     .help = "set a build-time variable"},
    {.name = "build-context",
     LIST(contexts),
     .argument = "NAME=VALUE",
     .help = "another context: a directory, docker-image://REF, oci-layout://DIR, git or a URL"},
    {.name = "cache-from",
     LIST(cache_from),
     .argument = "NAME|type=TYPE,KEY=VALUE",
     .help = "use steps that others built: of a registry (ref) or local (src)"},
    {.name = "cache-to",
     LIST(cache_to),
     .argument = "NAME|type=TYPE[,KEY=VALUE]",
     .help = "export the steps for others: registry (ref), local (dest) or inline; mode=min|max"},
    {.name = "call",
     TEXT(call),
     .argument = "METHOD[,format=json]",
     .help =
         "instead of building: check the Dockerfile, its outline (arguments, secrets) or targets"},
    {.name = "check", FIELD(check), .help = "the same as --call check"},
    {.name = "device",
     LIST(devices),
     .argument = "PATH[:CONTAINER]",
     .help = "show RUN a device of the host, or a directory of devices: /dev/kvm"},
    {.name = "dry-run",
     FIELD(dry_run),
     .help = "print the plan and which steps are cached; run nothing"},
    {.name = "explain",
     FIELD(explain),
     .help = "say for each step that is not cached which input changed"},
    COMPRESSION_OPTIONS(struct build_flags, output.compression),
    {.name = "file",
     .letter = 'f',
     TEXT(file),
     .argument = "PATH|URL|-",
     .help = "the Dockerfile (default Dockerfile of the context, - for standard input)"},
    {.name = "format",
     TEXT(format),
     .argument = "oci|docker",
     .help = "media types of the image (default oci)"},
    {.name = "iidfile",
     TEXT(output.iidfile),
     .argument = "FILE",
     .help = "write the image id to FILE"},
    {.name = "jobs",
     .letter = 'j',
     TEXT(jobs),
     .argument = "N",
     .help = "stages built at once (default one a CPU; 0: all)"},
    {.name = "label", LIST(labels), .argument = "KEY=VALUE", .help = "set a label of the image"},
    {.name = "load",
     FIELD(output.load),
     .help = "keep the image in the store, whatever --output says"},
    {.name = "metadata-file",
     TEXT(output.metadata_file),
     .argument = "FILE",
     .help = "write digests of the result to FILE as JSON"},
    {.name = "network",
     TEXT(network),
     .argument = "default|none|host",
     .help = "network of RUN (default: its own, outgoing only)"},
    {.name = "no-cache", FIELD(no_cache), .help = "use no cached step"},
    {.name = "no-cache-filter",
     LIST(no_cache_filter),
     .argument = "STAGE[,...]",
     .help = "use no cached step of STAGE"},
    {.name = "no-console", FIELD(no_console), .help = "plain lines instead of a live display"},
    {.name = "no-new-privileges",
     FIELD(no_new_privileges),
     .help = "set-id programs of RUN gain nothing"},
    {.name = "platform",
     LIST(platforms),
     .argument = "OS/ARCH[,...]",
     .help = "platforms of the image (default: DOCKER_DEFAULT_PLATFORM, or this host's)"},
    {.name = "progress",
     TEXT(progress),
     .argument = "auto|plain|tty|quiet|rawjson",
     .help = "how progress is shown (BUILDKIT_PROGRESS)"},
    {.name = "provenance",
     TEXT(provenance),
     .argument = "BOOL|KEY=VALUE[,...]",
     .fallback = "true",
     .help = "attach how the image was built: mode=min|max (default min)"},
    {.name = "pull",
     TEXT(pull),
     .argument = "missing|always|never",
     .fallback = "always",
     .help = "when to fetch base images (default missing; alone always)"},
    {.name = "output",
     .letter = 'o',
     LIST(output.outputs),
     .argument = "DIR|-|type=TYPE[,KEY=VALUE]",
     .help = "where the result goes: local, tar, oci, docker, image or registry"},
    {.name = "push", FIELD(output.push), .help = "push every tag after the build"},
    {.name = "quiet", .letter = 'q', FIELD(quiet), .help = "print the image id alone"},
    {.name = "rewrite-timestamp",
     FIELD(rewrite_timestamp),
     .help = "no file of a new layer is newer than SOURCE_DATE_EPOCH"},
    {.name = "sbom",
     TEXT(sbom),
     .argument = "BOOL|KEY=VALUE[,...]",
     .fallback = "true",
     .help = "attach a list of the packages in the image"},
    {.name = "secret",
     LIST(secrets),
     .argument = "id=ID[,src=FILE|env=NAME]",
     .help = "a secret for RUN --mount=type=secret"},
    {.name = "single-id",
     FIELD(single_id),
     .help = "run with one mapped id, for accounts without subordinate ids"},
    {.name = "source-date-epoch",
     TEXT(epoch),
     .argument = "SECONDS",
     .help = "time of the image, as --build-arg SOURCE_DATE_EPOCH (SOURCE_DATE_EPOCH)"},
    {.name = "squash",
     FIELD(squash),
     .help = "make one layer of all that the build adds to its base"},
    {.name = "ssh",
     LIST(ssh),
     .argument = "ID[=SOCKET|KEY]",
     .help = "an ssh agent, or keys, for RUN --mount=type=ssh (default: SSH_AUTH_SOCK)"},
    {.name = "tag",
     .letter = 't',
     LIST(tags),
     .argument = "NAME[:TAG]",
     .help = "name the image; may be repeated"},
    {.name = "target",
     TEXT(target),
     .argument = "STAGE",
     .help = "build up to this stage (default: the last)"},
    {.name = "volume",
     .letter = 'v',
     LIST(volumes),
     .argument = "PATH:CONTAINER[:OPTIONS]",
     .help = "show RUN a directory or file of the host: rw (default) or ro"},
    REGISTRY_OPTIONS(struct build_flags, registry),
    {.name = "creds",
     .kind = OPTION_TEXT,
     .argument = "USER:PASSWORD",
     .refused = "a build may need several registries; use img login or --authfile"},
    BUILD_COMPAT_OPTIONS(struct build_flags, compat),
};

static int load_input(const struct build_flags *f, const char *context, struct build_options *o,
                      struct progress *progress, struct build_input *in, struct error *err)
{
    const char *keep = build_arg_value(o->build_args, "BUILDKIT_CONTEXT_KEEP_GIT_DIR");
    const struct build_input_options what = {
        .context = context,
        .file = f->file,
        .keep_git_dir = keep != NULL && (strcmp(keep, "1") == 0 || strcmp(keep, "true") == 0),
    };
    struct fetch fetch = {
        .store = o->store,
        .http = registries_http(o->registries),
        .progress = progress,
        .secrets = o->secrets,
        .secret_count = o->secret_count,
        .ssh = o->ssh,
        .ssh_count = o->ssh_count,
        .agent = getenv("SSH_AUTH_SOCK"), /* the caller typed the address, no Dockerfile did */
        .stop = o->stop,
        .now_ns = io_now_ns(),
    };
    int r = build_input_load(&fetch, &what, in, err);

    if (r == 0)
        build_input_apply(in, o);
    return r;
}

/* Each platform as if it were built first: what one would leave for the next is not known. */
static int predict(const struct build_flags *f, const struct build_request *q,
                   struct build_options *o, struct error *err)
{
    const size_t count = q->platforms.count > 1 ? q->platforms.count : 1;
    int r = 0;

    for (size_t i = 0; r == 0 && i < count; i++) {
        auto_build_result struct build_result result = {0};
        auto_str struct str heading = {0};

        if (count > 1) {
            o->platform = &q->platforms.items[i];
            platform_format(o->platform, &heading);
        }
        r = build_predict(o, &result, err);
        if (r == 0 && count > 1)
            printf("%s%s\n", i > 0 ? "\n" : "", str_text(&heading));
        if (r == 0)
            print_prediction(&result, f->explain);
    }
    return r;
}

static int run_call(const struct build_flags *f, const struct build_request *q,
                    struct build_options *o, struct error *err)
{
    struct call call = {.method = f->check ? CALL_CHECK : CALL_BUILD};
    int r = f->call == NULL ? 0 : call_parse(f->call, &call, err);

    if (r < 0)
        return r;
    o->explain = f->explain;
    o->platforms = q->platforms.items;
    o->platform_count = q->platforms.count;
    if (call.method != CALL_BUILD)
        return call_run(&call, o, err);
    return f->dry_run ? predict(f, q, o, err) : 1;
}

static int build(struct program *p, const struct build_flags *f, struct build_request *q,
                 struct build_options *o, struct progress **progress, struct error *err)
{
    auto_build_result struct build_result result = {0};
    auto_trace struct trace trace;
    auto_free char *id = build_invocation_id();
    const struct build_done done = {
        .options = o, .result = &result, .trace = &trace, .invocation_id = id};
    int r = *progress != NULL ? 0 : build_open_progress(f, progress, err);

    trace_init(&trace);
    if (r < 0)
        return r;
    o->progress = *progress;
    o->trace = build_wants_trace(f, q) ? &trace : NULL;
    build_outcome_begin(f, &q->plan);
    r = build_run(o, &result, err);
    if (r == 0)
        r = output_plan_export(&q->plan, o, &result, err);
    progress_close(STEAL(progress));
    if (r < 0)
        return r == -ECANCELED ? r : build_outcome_failed(p, f, o, &result, err);
    r = output_plan_finish(p, &q->plan, &f->output, build_progress_mode(f), &done, err);
    if (r == 0)
        r = build_compat_finish(&f->compat, &result.manifest, err);
    if (r == 0)
        build_outcome_done(p, f, &q->plan, &result);
    return r;
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct build_flags *f = values;
    const char *context = operands->count == 0 ? "." : operands->items[0];
    auto_build_request struct build_request q = {0};
    auto_progress struct progress *progress = NULL;
    struct build_options o = {.cancel_fd = -1, .stop = program_stop_flag()};
    int r = build_request_make(f, &q, &o, err);

    if (r == 0)
        r = program_store(p, &o.store, err);
    if (r == 0)
        r = program_cancel_fd(p, &o.cancel_fd, err);
    if (r < 0)
        return r;
    output_plan_allow_insecure(&q.plan, &q.registries);
    o.registries = program_registries(p, &q.registries);
    build_request_apply(f, &q, &o);
    if (build_input_is_remote(context, f->file))
        r = build_open_progress(f, &progress, err);
    if (r == 0)
        r = load_input(f, context, &o, progress, &q.input, err);
    if (r < 0)
        return r;
    build_compat_ignore(&q.compat, &o);
    if (f->check || f->call != NULL || f->dry_run)
        progress_close(STEAL(&progress));
    r = run_call(f, &q, &o, err);
    if (r <= 0)
        return r;
    return build_request_shape(&q) != OUTPUT_ONE ? build_platforms_run(p, f, &q, &o, &progress, err)
                                                 : build(p, f, &q, &o, &progress, err);
}

const struct subcommand cmd_build = {
    .name = "build",
    .aliases = "bud",
    .operands = "[PATH|URL|-]",
    .operands_max = 1,
    .summary =
        "Build an image from a Dockerfile and a context: a directory, a git repository, a URL "
        "of an archive or Dockerfile, or either on standard input (-). "
        "Without one the context is the current directory.",
    .details =
        "--check and --call end with status 1 when they find something. --dry-run reads the "
        "context, mounts nothing and starts no process; with --explain it says why a step would "
        "run. Of several platforms each is checked and outlined, and foretold by what is cached now.\n\n--output may be repeated: type=local (dest, mode=copy|delete) and type=tar (dest) write "
        "the files, type=oci (dest, tar=false) and type=docker (dest) an archive, type=image and "
        "type=registry (push, registry.insecure) keep or push an image; all but the first two take "
        "name, compression, compression-level, force-compression, oci-mediatypes, "
        "rewrite-timestamp and annotation.KEY. With several platforms the image is an index, "
        "stored, pushed or in an OCI layout; type=local and type=tar give each a directory of its "
        "own (unless platform-split=false), and an archive of type=docker, which knows no index, "
        "is refused. DIR alone is type=local, - a tar on standard output. Without an image among them none is stored.\n\n"
        "--provenance, --sbom and --attest attach documents to the image, or put them among its files; none is "
        "attached unless one is asked for, and a push of one platform stays a plain manifest. With "
        "one it is an index of the image and its attestations, which types of "
        "docker cannot hold; oci-artifact=true of an output gives those a subject, so that registries "
        "list them as referrers. Fields of provenance are mode=min|max, version=v1|v0.2, builder-id, "
        "filename (provenance.json), reproducible and inline-only (nothing among files). mode=min names the base images, repositories and "
        "URLs with their digests and the times; mode=max adds what was given to the build (build "
        "arguments, labels, ids of secrets), the Dockerfile and every step. Secrets and proxies are "
        "in neither. An sbom (SPDX 2.3) lists the packages that the databases of dpkg and apk, Python's dist-info and node_modules "
        "of the image name; of rpm it says that it was not read, and what was copied in without a package manager is not found. generator=IMAGE has another image make it, by BuildKit's scanner "
        "protocol: its command is run as a step would be, with the result's files at "
        "$BUILDKIT_SCAN_SOURCE, and leaves its lists in $BUILDKIT_SCAN_DESTINATION. --metadata-file has the provenance that BUILDX_METADATA_PROVENANCE says: min, "
        "max or disabled.\n\n--cache-from and --cache-to may be repeated: "
        "type=registry (ref), type=local (src, dest, tag, digest) and, to alone, type=inline, which "
        "puts the records into the image; mode=min has the image's own steps, mode=max those of the "
        "stages it copies from too. What cannot be imported is told of and passed over.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .foreign = build_foreign_options,
    .options_size = sizeof(struct build_flags),
    .run = run,
};

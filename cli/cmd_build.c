/* cmd_build.c - img build: options to build_options, then the outcome to people. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builder/build.h"
#include "builder/cache_address.h"
#include "builder/image/image_index.h"
#include "cli/build_call.h"
#include "cli/build_compat.h"
#include "cli/build_input.h"
#include "cli/build_output.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/registry_flags.h"
#include "cli/step_flags.h"
#include "fs/base/io.h"
#include "fs/base/json.h"
#include "fs/base/limits.h"
#include "fs/base/log.h"
#include "fs/gc.h"
#include "fs/store.h"
#include "registry/proxy_args.h"
#include "registry/reference.h"
#include "registry/registries.h"

#include "fs/base/banned.h"

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
    struct strv contexts;
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
     .help = "stages built at once (default one a CPU)"},
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
     .argument = "STAGE",
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
    {.name = "pull",
     TEXT(pull),
     .argument = "POLICY",
     .fallback = "always",
     .help = "when to fetch base images: missing (default), always, never"},
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
    REGISTRY_OPTIONS(struct build_flags, registry),
    {.name = "creds",
     .kind = OPTION_TEXT,
     .argument = "USER:PASSWORD",
     .refused = "a build may need several registries; use img login or --authfile"},
    BUILD_COMPAT_OPTIONS(struct build_flags, compat),
};

/* NAME alone takes the value from the environment; unset there means not given. */
static void collect_args(const struct strv *given, struct strv *out)
{
    for (size_t i = 0; i < given->count; i++) {
        const char *pair = given->items[i];

        if (strchr(pair, '=') != NULL)
            strv_add(out, pair);
        else if (getenv(pair) != NULL)
            strv_addf(out, "%s=%s", pair, getenv(pair));
    }
}

static int collect_tags(const struct strv *given, struct strv *out, struct error *err)
{
    for (size_t i = 0; i < given->count; i++) {
        auto_reference struct reference ref = {0};
        auto_str struct str name = {0};
        int r = reference_parse(given->items[i], &ref, err);

        if (r == 0 && ref.has_digest)
            r = error_set(err, EINVAL, "invalid tag '%s': a tag cannot hold a digest",
                          given->items[i]);
        if (r < 0)
            return r;
        reference_format(&ref, &name);
        strv_add(out, str_text(&name));
    }
    return 0;
}

static int choose(const char *what, const char *value, const char *const *names, size_t count,
                  int *out, struct error *err)
{
    auto_str struct str known = {0};

    for (size_t i = 0; i < count; i++)
        if (value == NULL || strcmp(value, names[i]) == 0) {
            *out = (int)i;
            return 0;
        }
    str_add(&known, names[0]);
    for (size_t i = 1; i < count; i++)
        str_addf(&known, "%s%s", i + 1 < count ? ", " : " or ", names[i]);
    return error_set(err, EINVAL, "--%s takes %s, not '%s'", what, str_text(&known), value);
}

static int set_enums(const struct build_flags *f, struct build_options *o, struct error *err)
{
    static const char *const pulls[] = {"missing", "always",    "never", "true",
                                        "false",   "ifmissing", "newer", "ifnewer"};
    static const char *const networks[] = {"default", "none",  "host",       "bridge",
                                           "private", "pasta", "slirp4netns"};
    static const char *const formats[] = {"oci", "docker"};
    int pull = 0;
    int network = 0;
    int format = 0;
    int r = choose("pull", f->pull, pulls, 8, &pull, err);

    if (r == 0)
        r = choose("network", f->network, networks, 7, &network, err);
    if (r == 0)
        r = choose("format", f->format, formats, 2, &format, err);
    if (r < 0)
        return r;
    /* "always" asks for the digest alone when nothing is newer. */
    o->pull = pull == 1 || pull == 3 || pull >= 6 ? BUILD_PULL_ALWAYS
              : pull == 2                         ? BUILD_PULL_NEVER
                                                  : BUILD_PULL_MISSING;
    o->network = network == 1   ? BUILD_NETWORK_NONE
                 : network == 2 ? BUILD_NETWORK_HOST
                                : BUILD_NETWORK_DEFAULT;
    o->docker_types = format == 1;
    for (size_t i = 0; i < f->allow.count; i++) {
        if (strcmp(f->allow.items[i], "network.host") == 0)
            o->allow_network_host = true;
        else if (strcmp(f->allow.items[i], "security.insecure") == 0)
            o->allow_insecure = true;
        else
            return error_set(err, EINVAL, "unknown entitlement '%s'", f->allow.items[i]);
    }
    return 0;
}

static const char *arg_value(const struct strv *args, const char *name)
{
    size_t size = strlen(name);

    for (size_t i = args->count; i > 0; i--)
        if (strncmp(args->items[i - 1], name, size) == 0 && args->items[i - 1][size] == '=')
            return args->items[i - 1] + size + 1;
    return NULL;
}

/* The environment's is a build argument like any other, unless one was given. */
static void add_epoch(const struct build_flags *f, struct strv *args)
{
    const char *value = f->epoch;

    if (value == NULL && arg_value(args, "SOURCE_DATE_EPOCH") == NULL)
        value = getenv("SOURCE_DATE_EPOCH");
    if (value != NULL && value[0] != '\0')
        strv_addf(args, "SOURCE_DATE_EPOCH=%s", value);
}

static int set_numbers(const struct build_flags *f, struct build_options *o, struct error *err)
{
    uint64_t number;

    o->rewrite_timestamp |= f->rewrite_timestamp;
    o->squash = f->squash;
    if (f->jobs != NULL) {
        if (!text_to_u64(f->jobs, 64, &number) || number == 0)
            return error_set(err, EINVAL, "--jobs takes a number from 1 to 64, not '%s'", f->jobs);
        o->jobs = (unsigned)number;
    }
    return 0;
}

static void announce(struct program *p, const struct build_flags *f,
                     const struct build_result *result, const struct output_plan *plan)
{
    char config[DIGEST_TEXT_SIZE];

    digest_format(&result->config, config);
    if (f->explain)
        print_explanation(result, true);
    if (!f->quiet)
        print_warnings(result, p->debug);
    if (!plan->uses_stdout && (f->quiet || (plan->stores_image && plan->names.count == 0)))
        printf("%s\n", config);
    for (size_t i = 0; !f->quiet && i < plan->names.count; i++)
        fprintf(stderr, "Successfully built %s\n", plan->names.items[i]);
}

/* NAME=VALUE; what VALUE may be is the builder's business. */
static int collect_contexts(const struct strv *given, struct strv *names, struct build_context *out,
                            struct error *err)
{
    for (size_t i = 0; i < given->count; i++) {
        const char *equals = strchr(given->items[i], '=');

        if (equals == NULL || equals == given->items[i] || equals[1] == '\0')
            return error_set(err, EINVAL, "invalid build context '%s': NAME=VALUE is expected",
                             given->items[i]);
        strv_take(names, mem_strndup(given->items[i], (size_t)(equals - given->items[i])));
        out[i] = (struct build_context){.name = names->items[i], .value = equals + 1};
    }
    return 0;
}

static int load_input(const struct build_flags *f, const char *context, struct build_options *o,
                      struct progress *progress, struct build_input *in, struct error *err)
{
    const char *keep = arg_value(o->build_args, "BUILDKIT_CONTEXT_KEEP_GIT_DIR");
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

static int run_call(const struct build_flags *f, struct build_options *o, struct error *err)
{
    auto_build_result struct build_result result = {0};
    struct call call = {.method = f->check ? CALL_CHECK : CALL_BUILD};
    int r = f->call == NULL ? 0 : call_parse(f->call, &call, err);

    if (r < 0)
        return r;
    o->explain = f->explain;
    if (call.method != CALL_BUILD)
        return call_run(&call, o, err);
    if (!f->dry_run)
        return 1;
    r = build_predict(o, &result, err);
    if (r == 0)
        print_prediction(&result, f->explain);
    return r;
}

/* The command that works as it stands. A hint that is there already says more about the cause. */
static void hint_failed(const struct program *p, const struct build_result *result,
                        struct error *err)
{
    auto_free char *said = err->hint[0] != '\0' ? str_format("%s; ", err->hint) : mem_strdup("");
    const char *id = result->failed_step;

    if (id[0] == '\0')
        return;
    err->hint[0] = '\0'; /* the first one wins */
    if (p->state != NULL)
        (void)error_hint(err,
                         "%slook inside with `img --state '%s' shell %s`; mount %s -- COMMAND and "
                         "logs %s work likewise",
                         said, p->state, id, id, id);
    else
        (void)error_hint(err,
                         "%slook inside with `img shell %s` or `img mount %s -- COMMAND`; "
                         "`img logs %s` has all it printed",
                         said, id, id, id);
}

static bool select_none(void *context, const struct usage_row *row)
{
    (void)context, (void)row;
    return false;
}

/* An earlier failed step's files go now rather than with the next prune, or failing again and again
 * would fill the disk. Unless somebody else uses the store: then the next one takes them along. */
static void collect_garbage(struct store *store, const struct build_result *result)
{
    const struct gc_options nothing = {.select = select_none};
    auto_gc_report struct gc_report report = {0};
    struct error ignored = {0};

    if (result->has_garbage && gc_run(store, &nothing, &report, &ignored) < 0)
        log_debug("left for the next collection: %s", ignored.text);
}

static const char *progress_mode(const struct build_flags *f)
{
    if (f->quiet)
        return "quiet";
    if (f->progress == NULL && text_equal(f->compat.log_format, "json"))
        return "rawjson";
    return f->no_console ? "plain" : f->progress;
}

static int open_progress(const struct build_flags *f, struct progress **out, struct error *err)
{
    return progress_open(progress_mode(f), out, err);
}

static int plan_outputs(const struct build_flags *f, const struct strv *tags,
                        const struct platform *platform, bool is_several, struct output_plan *out,
                        struct error *err)
{
    auto_platform struct platform host = {0};
    auto_str struct str text = {0};

    platform_host(&host);
    platform_format(platform != NULL ? platform : &host, &text);
    return output_plan_make(&f->output, tags, str_text(&text), is_several, out, err);
}

/* ---- the command ---- */

/* All that the options come to; what build_options points at. */
struct request {
    struct registries_options registries;
    struct build_compat_result compat;
    struct strv hosts; /* of --add-host */
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
    struct output_plan plan;
    struct build_input input;
};

static void request_release(struct request *q)
{
    build_input_release(&q->input);
    output_plan_release(&q->plan);
    ssh_given_release(&q->ssh);
    secrets_release(&q->secrets);
    strv_release(&q->tags);
    strv_release(&q->args);
    for (size_t i = 0; i < q->platforms.count; i++)
        platform_release(&q->platforms.items[i]);
    free(q->platforms.items);
    strv_release(&q->context_names);
    free(q->contexts);
    cache_addresses_release(&q->cache_from);
    cache_addresses_release(&q->cache_to);
    build_compat_release(&q->compat);
    strv_release(&q->hosts);
}
DEFINE_CLEANUP_VALUE(request_release, struct request)

/* "linux/amd64,linux/arm64"; one that was named already is built once. */
static int add_platforms(const char *text, struct request *q, struct error *err)
{
    auto_free char *copy = mem_strdup(text);
    char *save = NULL;

    for (char *one = strtok_r(copy, ",", &save); one != NULL; one = strtok_r(NULL, ",", &save)) {
        auto_platform struct platform platform = {0};
        bool is_known = false;
        int r = platform_parse(one, &platform, err);

        if (r < 0)
            return r;
        for (size_t i = 0; i < q->platforms.count; i++)
            is_known = is_known || platform_equal(&q->platforms.items[i], &platform);
        if (is_known)
            continue;
        *(struct platform *)array_add(&q->platforms) = platform;
        platform = (struct platform){0};
    }
    return 0;
}

static int collect_platforms(const struct build_flags *f, struct request *q,
                             struct build_options *o, struct error *err)
{
    const char *usual = getenv("DOCKER_DEFAULT_PLATFORM");
    int r = 0;

    for (size_t i = 0; r == 0 && i < f->platforms.count; i++)
        r = add_platforms(f->platforms.items[i], q, err);
    if (q->compat.platform != NULL)
        r = add_platforms(q->compat.platform, q, err);
    else if (f->platforms.count == 0 && usual != NULL && usual[0] != '\0')
        r = add_platforms(usual, q, err);
    if (r < 0)
        return r;
    o->is_one_of_several = q->platforms.count > 1;
    if (q->platforms.count > 0)
        o->platform = &q->platforms.items[0];
    for (size_t i = 0; o->is_one_of_several && i < q->cache_to.count; i++)
        if (q->cache_to.items[i].type != CACHE_INLINE)
            return error_set(err, ENOTSUP,
                             "--cache-to '%s' holds one platform: for several use type=inline",
                             q->cache_to.items[i].text);
    return 0;
}

/* The image is the same without: a service that only other builders talk to is no reason to stop. */
static int collect_caches(const struct strv *given, enum cache_use use, struct cache_addresses *out,
                          struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < given->count; i++) {
        r = cache_address_parse(given->items[i], use, out, err);
        if (r != -ENOTSUP)
            continue;
        log_warn("%s, continuing without it", err->text);
        error_clear(err);
        r = 0;
    }
    return r;
}

static int collect(const struct build_flags *f, struct request *q, struct build_options *o,
                   struct error *err)
{
    int r = set_enums(f, o, err);

    q->contexts = mem_alloc((f->contexts.count + 1) * sizeof(*q->contexts));
    if (r == 0)
        r = build_compat_apply(&f->compat, f->platforms.count > 0 ? f->platforms.items[0] : NULL,
                               f->pull, &q->args, o, &q->compat, err);
    collect_args(&f->build_args, &q->args);
    add_epoch(f, &q->args);
    if (r == 0)
        r = registry_flags_apply(&f->registry, &q->registries, err);
    if (r == 0 && !text_equal(f->compat.http_proxy, "false"))
        r = proxy_args_add(&q->args, err);
    if (r == 0)
        r = set_numbers(f, o, err);
    if (r == 0)
        r = hosts_collect(&f->add_hosts, &q->hosts, err);
    if (r == 0)
        r = collect_caches(&f->cache_from, CACHE_IMPORT, &q->cache_from, err);
    if (r == 0)
        r = collect_caches(&f->cache_to, CACHE_EXPORT, &q->cache_to, err);
    if (r == 0)
        r = collect_tags(&f->tags, &q->tags, err);
    if (r == 0)
        r = secrets_collect(&f->secrets, &q->secrets, err);
    if (r == 0)
        r = ssh_collect(&f->ssh, &q->ssh, err);
    if (r == 0)
        r = collect_platforms(f, q, o, err);
    if (r == 0)
        r = collect_contexts(&f->contexts, &q->context_names, q->contexts, err);
    return r < 0 ? r
                 : plan_outputs(f, &q->tags, o->platform, q->platforms.count > 1, &q->plan, err);
}

static void set_options(const struct build_flags *f, const struct request *q,
                        struct build_options *o)
{
    o->contexts = q->contexts;
    o->context_count = f->contexts.count;
    o->target = f->target;
    o->build_args = &q->args;
    o->labels = &f->labels;
    output_plan_apply(&q->plan, o);
    o->no_cache_stages = &f->no_cache_filter;
    o->cache_from = &q->cache_from;
    o->cache_to = &q->cache_to;
    o->extra_hosts = &q->hosts;
    o->secrets = q->secrets.items;
    o->secret_count = q->secrets.count;
    o->ssh = q->ssh.items;
    o->ssh_count = q->ssh.count;
    o->no_cache = o->no_cache || f->no_cache;
    o->single_id = f->single_id;
    o->no_new_privileges = f->no_new_privileges;
}

static int failed(struct program *p, const struct build_flags *f, const struct build_options *o,
                  const struct build_result *result, struct error *err)
{
    hint_failed(p, result, err);
    collect_garbage(o->store, result);
    if (f->explain)
        print_explanation(result, false);
    if (result->checks.config.is_error)
        print_warnings(result, p->debug);
    return error_wrap(err, "failed to build");
}

static int build(struct program *p, const struct build_flags *f, struct request *q,
                 struct build_options *o, struct progress **progress, struct error *err)
{
    auto_build_result struct build_result result = {0};
    int r = *progress != NULL ? 0 : open_progress(f, progress, err);

    if (r < 0)
        return r;
    o->progress = *progress;
    for (size_t i = 0; !f->quiet && i < q->plan.names.count; i++)
        fprintf(stderr, "Building %s\n", q->plan.names.items[i]);
    r = build_run(o, &result, err);
    if (r == 0)
        r = output_plan_export(&q->plan, o, &result, err);
    progress_close(STEAL(progress));
    if (r < 0)
        return r == -ECANCELED ? r : failed(p, f, o, &result, err);
    r = output_plan_finish(p, &q->plan, &f->output, progress_mode(f), &result, err);
    if (r == 0)
        r = build_compat_finish(&f->compat, &result.manifest, err);
    if (r == 0)
        announce(p, f, &result, &q->plan);
    return r;
}

static int build_one(const struct build_flags *f, struct request *q, struct build_options *o,
                     struct image_index *index, struct program *p, struct error *err)
{
    auto_build_result struct build_result result = {0};
    int r = build_run(o, &result, err);

    if (r == 0)
        r = output_plan_add(&q->plan, o, &result, index, err);
    if (r < 0)
        return r == -ECANCELED ? r : failed(p, f, o, &result, err);
    if (!f->quiet)
        print_warnings(&result, p->debug);
    return 0;
}

/* One after the other, each with the cache of those before it; then the index over all. */
static int build_several(struct program *p, const struct build_flags *f, struct request *q,
                         struct build_options *o, struct progress **progress, struct error *err)
{
    auto_image_index struct image_index index = {0};
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];
    int r = *progress != NULL ? 0 : open_progress(f, progress, err);

    o->progress = *progress;
    o->no_image = true;
    for (size_t i = 0; !f->quiet && i < q->plan.names.count; i++)
        fprintf(stderr, "Building %s\n", q->plan.names.items[i]);
    for (size_t i = 0; r == 0 && i < q->platforms.count; i++) {
        o->platform = &q->platforms.items[i];
        r = build_one(f, q, o, &index, p, err);
    }
    progress_close(STEAL(progress));
    if (r < 0 || index.count == 0)
        return r;
    r = output_plan_finish_index(p, &q->plan, &f->output, progress_mode(f), o, &index, &digest,
                                 err);
    if (r == 0)
        r = build_compat_finish(&f->compat, &digest, err);
    if (r < 0)
        return r;
    digest_format(&digest, text);
    if (f->quiet || q->plan.names.count == 0)
        printf("%s\n", text);
    for (size_t i = 0; !f->quiet && i < q->plan.names.count; i++)
        fprintf(stderr, "Successfully built %s\n", q->plan.names.items[i]);
    return 0;
}

static int run(struct program *p, const void *values, const struct strv *operands,
               struct error *err)
{
    const struct build_flags *f = values;
    const char *context = operands->items[0];
    __attribute__((cleanup(cleanup_request_release))) struct request q = {0};
    auto_progress struct progress *progress = NULL;
    struct build_options o = {.cancel_fd = -1, .stop = program_stop_flag()};
    int r = collect(f, &q, &o, err);

    if (r == 0)
        r = program_store(p, &o.store, err);
    if (r == 0)
        r = program_cancel_fd(p, &o.cancel_fd, err);
    if (r < 0)
        return r;
    output_plan_allow_insecure(&q.plan, &q.registries);
    o.registries = program_registries(p, &q.registries);
    set_options(f, &q, &o);
    if (build_input_is_remote(context, f->file))
        r = open_progress(f, &progress, err);
    if (r == 0)
        r = load_input(f, context, &o, progress, &q.input, err);
    if (r < 0)
        return r;
    build_compat_ignore(&q.compat, &o);
    if (f->check || f->call != NULL || f->dry_run)
        progress_close(STEAL(&progress));
    r = run_call(f, &o, err);
    if (r <= 0)
        return r;
    return q.platforms.count > 1 ? build_several(p, f, &q, &o, &progress, err)
                                 : build(p, f, &q, &o, &progress, err);
}

const struct subcommand cmd_build = {
    .name = "build",
    .aliases = "bud",
    .operands = "PATH|URL|-",
    .operands_min = 1,
    .operands_max = 1,
    .summary =
        "Build an image from a Dockerfile and a context: a directory, a git repository, a URL "
        "of an archive or Dockerfile, or either on standard input (-).",
    .details =
        "--check and --call end with status 1 when they find something. --dry-run reads the "
        "context, mounts nothing and starts no process; with --explain it says why a step would "
        "run.\n\n--output may be repeated: type=local (dest, mode=copy|delete) and type=tar (dest) write "
        "the files, type=oci (dest, tar=false) and type=docker (dest) an archive, type=image and "
        "type=registry (push, registry.insecure) keep or push an image; all but the first two take "
        "name, compression, compression-level, force-compression, oci-mediatypes, "
        "rewrite-timestamp and annotation.KEY. With several platforms an index is stored and pushed, "
        "type=local gives each a directory of its own (unless platform-split=false), and other files "
        "hold one platform. DIR alone is type=local, - a tar on standard output. "
        "Without an image among them none is stored.\n\n--cache-from and --cache-to may be repeated: "
        "type=registry (ref), type=local (src, dest, tag, digest) and, to alone, type=inline, which "
        "puts the records into the image; mode=min has the image's own steps, mode=max those of the "
        "stages it copies from too. What cannot be imported is told of and passed over.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .foreign = build_foreign_options,
    .options_size = sizeof(struct build_flags),
    .run = run,
};

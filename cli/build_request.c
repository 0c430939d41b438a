/* build_request.c - each option read, checked and put where the builder looks for it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/build_request.h"
#include "fs/base/limits.h"
#include "fs/base/log.h"
#include "registry/proxy_args.h"
#include "registry/reference.h"

#include "fs/base/banned.h"

#define JOBS_MAX 64

void build_request_release(struct build_request *q)
{
    build_input_release(&q->input);
    output_plan_release(&q->plan);
    attest_options_release(&q->attest);
    ssh_given_release(&q->ssh);
    volumes_release(&q->volumes);
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
    strv_release(&q->no_cache_stages);
}

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

/* A word an option takes and what it means; the last one has no name. */
struct choice {
    const char *name;
    int value;
};

/* The words of other builders too. "always" asks for the digest alone when nothing is newer. */
static const struct choice pulls[] = {
    {"missing", BUILD_PULL_MISSING},
    {"always", BUILD_PULL_ALWAYS},
    {"never", BUILD_PULL_NEVER},
    {"true", BUILD_PULL_ALWAYS},
    {"false", BUILD_PULL_MISSING},
    {"ifmissing", BUILD_PULL_MISSING},
    {"newer", BUILD_PULL_ALWAYS},
    {"ifnewer", BUILD_PULL_ALWAYS},
    {0},
};
static const struct choice networks[] = {
    {"default", BUILD_NETWORK_DEFAULT},     {"none", BUILD_NETWORK_NONE},
    {"host", BUILD_NETWORK_HOST},           {"bridge", BUILD_NETWORK_DEFAULT},
    {"private", BUILD_NETWORK_DEFAULT},     {"pasta", BUILD_NETWORK_DEFAULT},
    {"slirp4netns", BUILD_NETWORK_DEFAULT}, {0},
};
static const struct choice formats[] = {{"oci", false}, {"docker", true}, {0}};

/* Without a value `*out` stays. */
static int choose(const char *option, const char *value, const struct choice *choices, int *out,
                  struct error *err)
{
    const struct choice *c = choices;
    auto_str struct str known = {0};

    if (value == NULL)
        return 0;
    for (; c->name != NULL && strcmp(value, c->name) != 0; c++)
        str_addf(&known, "%s%s", c == choices ? "" : c[1].name != NULL ? ", " : " or ", c->name);
    if (c->name == NULL)
        return error_set(err, EINVAL, "--%s takes %s, not '%s'", option, str_text(&known), value);
    *out = c->value;
    return 0;
}

static int set_enums(const struct build_flags *f, struct build_options *o, struct error *err)
{
    int pull = BUILD_PULL_MISSING;
    int network = BUILD_NETWORK_DEFAULT;
    int is_docker = false;
    int r = choose("pull", f->pull, pulls, &pull, err);

    if (r == 0)
        r = choose("network", f->network, networks, &network, err);
    if (r == 0)
        r = choose("format", f->format, formats, &is_docker, err);
    if (r < 0)
        return r;
    o->pull = (enum build_pull)pull;
    o->network = (enum build_network)network;
    o->docker_types = is_docker;
    for (size_t i = 0; i < f->allow.count; i++) {
        if (strcmp(f->allow.items[i], "network.host") == 0)
            o->allow_network_host = true;
        else if (strcmp(f->allow.items[i], "security.insecure") == 0)
            o->allow_insecure = true;
        else
            return error_set(err, EINVAL,
                             "unknown entitlement '%s': network.host or security.insecure",
                             f->allow.items[i]);
    }
    return 0;
}

const char *build_arg_value(const struct strv *args, const char *name)
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

    if (value == NULL && build_arg_value(args, "SOURCE_DATE_EPOCH") == NULL)
        value = getenv("SOURCE_DATE_EPOCH");
    if (value != NULL && value[0] != '\0')
        strv_addf(args, "SOURCE_DATE_EPOCH=%s", value);
}

/* "a,b" as docker buildx has it. */
static void collect_stages(const struct strv *given, struct strv *out)
{
    for (size_t i = 0; i < given->count; i++) {
        auto_free char *copy = mem_strdup(given->items[i]);
        char *save = NULL;

        for (char *name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save))
            strv_add(out, name);
    }
}

static int set_numbers(const struct build_flags *f, struct build_options *o, struct error *err)
{
    uint64_t number;

    o->rewrite_timestamp |= f->rewrite_timestamp;
    o->squash = f->squash;
    if (f->jobs != NULL) {
        if (!text_to_u64(f->jobs, JOBS_MAX, &number))
            return error_set(err, EINVAL,
                             "--jobs takes a number from 1 to %d, or 0 for all, not '%s'", JOBS_MAX,
                             f->jobs);
        o->jobs = number == 0 ? JOBS_MAX : (unsigned)number;
    }
    return 0;
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

static int plan_outputs(const struct build_flags *f, const struct strv *tags,
                        const struct platform *platform, enum output_shape shape,
                        struct output_plan *out, struct error *err)
{
    auto_platform struct platform host = {0};
    auto_str struct str text = {0};

    platform_host(&host);
    platform_format(platform != NULL ? platform : &host, &text);
    return output_plan_make(&f->output, tags, str_text(&text), shape, out, err);
}

/* "linux/amd64,linux/arm64"; one that was named already is built once. */
static int add_platforms(const char *text, struct build_request *q, struct error *err)
{
    auto_free char *copy = mem_strdup(text);
    char *save = NULL;

    for (char *one = strtok_r(copy, ",", &save); one != NULL; one = strtok_r(NULL, ",", &save)) {
        auto_platform struct platform platform = {0};
        bool is_known = false;
        int r = 0;

        if (strcmp(one, "local") == 0) /* docker buildx: the builder's own */
            platform_host(&platform);
        else
            r = platform_parse(one, &platform, err);
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

static int collect_platforms(const struct build_flags *f, struct build_request *q,
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

enum output_shape build_request_shape(const struct build_request *q)
{
    if (q->platforms.count > 1)
        return OUTPUT_SEVERAL;
    return attest_is_wanted(&q->attest) ? OUTPUT_ATTESTED : OUTPUT_ONE;
}

/* Attestations stand beside an image in an index of images for platforms, so its own is named. */
static int collect_attests(const struct build_flags *f, struct build_request *q,
                           struct build_options *o, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < f->attests.count; i++)
        r = attest_parse(f->attests.items[i], &q->attest, err);
    if (r == 0 && f->provenance != NULL)
        r = attest_parse_short("provenance", f->provenance, &q->attest, err);
    if (r == 0 && f->sbom != NULL)
        r = attest_parse_short("sbom", f->sbom, &q->attest, err);
    if (r < 0 || !attest_is_wanted(&q->attest))
        return r;
    o->has_sbom = q->attest.has_sbom;
    if (q->platforms.count == 0) {
        platform_host(array_add(&q->platforms));
        o->platform = &q->platforms.items[0];
    }
    return 0;
}

static int check_types(const struct build_request *q, const struct build_options *o,
                       struct error *err)
{
    const char *asked = o->docker_types ? "--format docker" : NULL;

    for (size_t i = 0; i < q->plan.list.count; i++)
        if (q->plan.list.items[i].has_types && q->plan.list.items[i].export.types == EXPORT_DOCKER)
            asked = "oci-mediatypes=false";
    return asked == NULL
               ? 0
               : error_set(err, EINVAL,
                           "%s: attestations are kept in an OCI index, with OCI images", asked);
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

int build_request_make(const struct build_flags *f, struct build_request *q,
                       struct build_options *o, struct error *err)
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
    if (r == 0)
        r = registry_flags_check(&f->registry, err);
    if (r == 0 && !text_equal(f->compat.http_proxy, "false"))
        r = proxy_args_add(&q->args, err);
    if (r == 0)
        r = set_numbers(f, o, err);
    if (r == 0)
        r = hosts_collect(&f->add_hosts, &q->hosts, err);
    collect_stages(&f->no_cache_filter, &q->no_cache_stages);
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
        r = volumes_collect(&f->volumes, &f->devices, &q->volumes, err);
    if (r == 0)
        r = collect_platforms(f, q, o, err);
    if (r == 0)
        r = collect_contexts(&f->contexts, &q->context_names, q->contexts, err);
    if (r == 0)
        r = collect_attests(f, q, o, err);
    if (r == 0)
        r = plan_outputs(f, &q->tags, o->platform, build_request_shape(q), &q->plan, err);
    return r < 0 || !attest_is_wanted(&q->attest) ? r : check_types(q, o, err);
}

void build_request_apply(const struct build_flags *f, const struct build_request *q,
                         struct build_options *o)
{
    o->contexts = q->contexts;
    o->context_count = f->contexts.count;
    o->target = f->target;
    o->build_args = &q->args;
    o->labels = &f->labels;
    output_plan_apply(&q->plan, o);
    o->no_cache_stages = &q->no_cache_stages;
    o->cache_from = &q->cache_from;
    o->cache_to = &q->cache_to;
    o->extra_hosts = &q->hosts;
    o->secrets = q->secrets.items;
    o->secret_count = q->secrets.count;
    o->ssh = q->ssh.items;
    o->ssh_count = q->ssh.count;
    o->volumes = q->volumes.items;
    o->volume_count = q->volumes.count;
    o->no_cache = o->no_cache || f->no_cache;
    o->single_id = f->single_id;
    o->no_new_privileges = f->no_new_privileges;
}

/* provenance.c - the documents; their build definition is in provenance_steps.c. */
#include <string.h>

#include "builder/attest/provenance.h"
#include "builder/attest/provenance_internal.h"
#include "builder/attest/statement.h"
#include "builder/attest/trace.h"
#include "builder/image/config.h"
#include "fs/base/json.h"
#include "registry/platform.h"

#include "fs/base/banned.h"

/* What describes the fields; a consumer goes by it. */
#define BUILD_TYPE_V1                                                                              \
    "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"
#define BUILD_TYPE_V02 "https://mobyproject.org/buildkit@v1"
#define EXTENSION_V02 "https://mobyproject.org/buildkit@v1#"

const char *provenance_type(enum provenance_version version)
{
    return version == PROVENANCE_V1 ? PROVENANCE_TYPE_V1 : PROVENANCE_TYPE_V02;
}

static bool is_private(const char *arg)
{
    return text_starts(arg, "build-arg:") || text_starts(arg, "label:");
}

static bool is_complete(const struct provenance *p)
{
    if (p->lacks_args)
        return false;
    if (p->mode == PROVENANCE_MAX)
        return true;
    for (size_t i = 0; i < p->args->count; i++)
        if (is_private(p->args->items[i]))
            return false;
    return p->trace->secrets.count == 0 && p->trace->ssh.count == 0;
}

static bool has_all_materials(const struct provenance *p)
{
    return p->trace->locals.count == 0 && !p->trace->is_incomplete;
}

static struct json *new_ids(const struct trace_ids *list)
{
    struct json *out = json_new_array();

    for (size_t i = 0; i < list->count; i++) {
        struct json *one = json_new_object();

        json_put_text(one, "id", list->items[i].id);
        if (list->items[i].is_optional)
            json_put_bool(one, "optional", true);
        json_push(out, one);
    }
    return out;
}

static struct json *new_request(const struct provenance *p)
{
    const struct trace *t = p->trace;
    bool is_max = p->mode == PROVENANCE_MAX;
    struct json *request = json_new_object();
    struct json *args = json_new_object();
    struct json *locals = json_new_array();

    for (size_t i = 0; i < p->args->count; i++) {
        const char *pair = p->args->items[i];
        auto_free char *key = mem_strndup(pair, strcspn(pair, "="));

        if (is_max || !is_private(pair))
            json_put_text(args, key, pair + strlen(key) + (pair[strlen(key)] == '='));
    }
    json_put_text(request, "frontend", "dockerfile.v0");
    json_put(request, "args", args);
    if (is_max && t->secrets.count > 0)
        json_put(request, "secrets", new_ids(&t->secrets));
    if (is_max && t->ssh.count > 0)
        json_put(request, "ssh", new_ids(&t->ssh));
    for (size_t i = 0; i < t->locals.count; i++) {
        struct json *local = json_new_object();

        json_put_text(local, "name", t->locals.items[i]);
        json_push(locals, local);
    }
    json_put(request, "locals", locals);
    return request;
}

static struct json *new_config_source(const struct provenance *p, const char *path_key)
{
    struct json *source = json_new_object();

    json_put_text(source, "uri", p->config_uri);
    if (p->config_digest != NULL)
        json_put(source, "digest", digest_set_new(p->config_digest));
    json_put_text(source, path_key, p->entry_point);
    return source;
}

static struct json *new_materials(const struct provenance *p)
{
    struct json *list = json_new_array();

    for (size_t i = 0; i < p->trace->materials.count; i++) {
        const struct trace_material *m = &p->trace->materials.items[i];
        struct json *one = json_new_object();

        json_put_text(one, "uri", m->uri);
        json_put(one, "digest", digest_set_new(m->digest));
        json_push(list, one);
    }
    return list;
}

static char *builder_platform(void)
{
    auto_platform struct platform host = {0};
    auto_str struct str text = {0};

    platform_host(&host);
    platform_format(&host, &text);
    return str_take(&text);
}

static void put_time(struct json *into, const char *key, int64_t time_ns)
{
    auto_str struct str text = {0};

    time_format(time_ns, &text);
    json_put_text(into, key, str_text(&text));
}

/* The Dockerfile and which of its lines are which step. */
static struct json *new_extension(const struct provenance *p)
{
    struct json *out = json_new_object();

    if (p->mode == PROVENANCE_MAX)
        provenance_put_source(p, out);
    return out;
}

/* Nothing but a network or the caller's own files makes a build depend on more than its materials. */
static bool is_hermetic(const struct provenance *p)
{
    return has_all_materials(p) && !p->trace->has_network;
}

/* ---- v1 ---- */

static struct json *new_definition(const struct provenance *p)
{
    struct json *definition = json_new_object();
    struct json *external = json_new_object();
    struct json *internal = json_new_object();
    auto_free char *platform = builder_platform();

    json_put_text(definition, "buildType", BUILD_TYPE_V1);
    json_put(external, "configSource", new_config_source(p, "path"));
    json_put(external, "request", new_request(p));
    json_put(definition, "externalParameters", external);
    json_put_text(internal, "builderPlatform", platform);
    if (p->mode == PROVENANCE_MAX)
        json_put(internal, "buildConfig", provenance_build_config(p));
    json_put(definition, "internalParameters", internal);
    json_put(definition, "resolvedDependencies", new_materials(p));
    return definition;
}

static struct json *new_builder(const struct provenance *p, bool with_version)
{
    struct json *builder = json_new_object();
    struct json *version = json_new_object();

    json_put_text(builder, "id", p->builder_id == NULL ? "" : p->builder_id);
    json_put_text(version, "img", p->program);
    if (with_version)
        json_put(builder, "version", json_ref(version));
    json_unref(version);
    return builder;
}

static struct json *new_run(const struct provenance *p)
{
    struct json *run = json_new_object();
    struct json *metadata = json_new_object();
    struct json *completeness = json_new_object();

    json_put(run, "builder", new_builder(p, true));
    json_put_text(metadata, "invocationId", p->invocation_id);
    put_time(metadata, "startedOn", p->trace->started_ns);
    put_time(metadata, "finishedOn", p->trace->finished_ns);
    json_put(metadata, "buildkit_metadata", new_extension(p));
    if (is_hermetic(p))
        json_put_bool(metadata, "buildkit_hermetic", true);
    json_put_bool(completeness, "request", is_complete(p));
    json_put_bool(completeness, "resolvedDependencies", has_all_materials(p));
    json_put(metadata, "buildkit_completeness", completeness);
    json_put_bool(metadata, "buildkit_reproducible", p->is_reproducible);
    json_put(run, "metadata", metadata);
    return run;
}

static struct json *new_v1(const struct provenance *p)
{
    struct json *predicate = json_new_object();

    json_put(predicate, "buildDefinition", new_definition(p));
    json_put(predicate, "runDetails", new_run(p));
    return predicate;
}

/* ---- v0.2 ---- */

static struct json *new_invocation(const struct provenance *p)
{
    struct json *invocation = json_new_object();
    struct json *environment = json_new_object();
    auto_free char *platform = builder_platform();

    json_put(invocation, "configSource", new_config_source(p, "entryPoint"));
    json_put(invocation, "parameters", new_request(p));
    json_put_text(environment, "platform", platform);
    json_put(invocation, "environment", environment);
    return invocation;
}

static struct json *new_metadata(const struct provenance *p)
{
    struct json *metadata = json_new_object();
    struct json *completeness = json_new_object();

    json_put_text(metadata, "buildInvocationID", p->invocation_id);
    put_time(metadata, "buildStartedOn", p->trace->started_ns);
    put_time(metadata, "buildFinishedOn", p->trace->finished_ns);
    json_put_bool(completeness, "parameters", is_complete(p));
    json_put_bool(completeness, "environment", true);
    json_put_bool(completeness, "materials", has_all_materials(p));
    json_put(metadata, "completeness", completeness);
    json_put_bool(metadata, "reproducible", p->is_reproducible);
    if (is_hermetic(p))
        json_put_bool(metadata, EXTENSION_V02 "hermetic", true);
    json_put(metadata, EXTENSION_V02 "metadata", new_extension(p));
    return metadata;
}

static struct json *new_v02(const struct provenance *p)
{
    struct json *predicate = json_new_object();

    json_put(predicate, "builder", new_builder(p, false));
    json_put_text(predicate, "buildType", BUILD_TYPE_V02);
    json_put(predicate, "invocation", new_invocation(p));
    if (p->mode == PROVENANCE_MAX)
        json_put(predicate, "buildConfig", provenance_build_config(p));
    json_put(predicate, "metadata", new_metadata(p));
    json_put(predicate, "materials", new_materials(p));
    return predicate;
}

struct json *provenance_new(const struct provenance *p)
{
    return p->version == PROVENANCE_V1 ? new_v1(p) : new_v02(p);
}

/* SLSA provenance v1 and v0.2, as BuildKit fills it (docs/attestations/slsa-definitions.md): which fields
 * there are, and what never gets into the smaller one. */
#include <string.h>

#include "builder/attest/provenance.h"
#include "builder/attest/trace.h"
#include "fs/base/json.h"
#include "tests/lib/test.h"

struct facts {
    struct trace trace;
    struct strv args;
    struct provenance p;
};

static void facts_release(struct facts *f)
{
    trace_release(&f->trace);
    strv_release(&f->args);
}
DEFINE_CLEANUP_VALUE(facts_release, struct facts)
#define auto_facts CLEANUP(facts_release)

/* Two stages, the second made from the first, which has an image below it. */
static void facts_init(struct facts *f)
{
    struct trace *t = &f->trace;
    struct trace_base base = {.source = mem_strdup("docker-image://x:1"),
                              .platform = mem_strdup("linux/arm64"),
                              .line_first = 1,
                              .line_last = 1,
                              .layer_count = 1};
    struct trace_base above = {
        .is_stage = true, .platform = mem_strdup("linux/arm64"), .line_first = 3, .line_last = 3};
    struct trace_step last = {.stage = 1, .op = json_new_object(), .line_first = 4, .line_last = 5};
    struct trace_step first = {
        .stage = 0, .op = json_new_object(), .line_first = 2, .line_last = 2};

    trace_init(t);
    t->started_ns = 1700000000000000000;
    trace_add_material(t, "pkg:docker/x@1", "sha256:ab");
    trace_add_material(t, "https://h/a.git#main", "sha1:cd");
    trace_add_material(t, "pkg:docker/x@1", "sha256:ab");
    trace_set_base(t, 1, &above);
    trace_set_base(t, 0, &base);
    strv_add(&last.inputs, TRACE_STAGE "0");
    strv_add(&last.inputs, "local://context");
    json_put_text(last.op, "exec", "last");
    json_put_text(first.op, "file", "first");
    trace_add_step(t, &last); /* stages end in any order */
    trace_add_step(t, &first);
    trace_add_id(t, &t->secrets, "token", true);
    trace_finish(t, 1, 1700000001500000000);
    strv_add(&f->args, "build-arg:KEY=value=1");
    strv_add(&f->args, "label:a=b");
    strv_add(&f->args, "target=app");
    f->p = (struct provenance){.trace = t,
                               .program = "1.2",
                               .invocation_id = "id",
                               .entry_point = "Dockerfile",
                               .args = &f->args,
                               .dockerfile = "FROM x:1\n",
                               .dockerfile_size = 9};
}

static char *written(const struct json *j)
{
    auto_str struct str text = {0};

    json_write(j, &text);
    return str_take(&text);
}

static void check_part(const struct json *whole, const char *path, const char *expected)
{
    auto_free char *copy = mem_strdup(path);
    const struct json *at = whole;
    auto_free char *text = NULL;
    char *save = NULL;

    for (char *key = strtok_r(copy, "/", &save); key != NULL; key = strtok_r(NULL, "/", &save))
        at = json_get(at, key);
    check_true(at != NULL || expected == NULL);
    text = at == NULL ? NULL : written(at);
    check_text(text, expected);
}

TEST(provenance, the_small_one_holds_nothing_that_was_given)
{
    auto_facts struct facts f = {0};
    auto_json struct json *j = NULL;
    auto_free char *text = NULL;

    facts_init(&f);
    j = provenance_new(&f.p);
    text = written(j);
    check_lacks(text, "KEY");
    check_lacks(text, "token");
    check_lacks(text, "llbDefinition");
    check_lacks(text, "infos");
    check_part(j, "buildDefinition/externalParameters/request/args", "{\"target\":\"app\"}");
    check_part(j, "runDetails/metadata/buildkit_completeness",
               "{\"request\":false,\"resolvedDependencies\":true}");
}

TEST(provenance, materials_are_sorted_and_each_there_once)
{
    auto_facts struct facts f = {0};
    auto_json struct json *j = NULL;

    facts_init(&f);
    j = provenance_new(&f.p);
    check_part(j, "buildDefinition/buildType",
               "\"https://github.com/moby/buildkit/blob/master/docs/attestations/"
               "slsa-definitions.md\"");
    check_part(j, "buildDefinition/externalParameters/configSource", "{\"path\":\"Dockerfile\"}");
    check_part(j, "buildDefinition/resolvedDependencies",
               "[{\"uri\":\"https://h/a.git#main\",\"digest\":{\"sha1\":\"cd\"}},"
               "{\"uri\":\"pkg:docker/x@1\",\"digest\":{\"sha256\":\"ab\"}}]");
}

TEST(provenance, times_and_the_builder_are_told)
{
    auto_facts struct facts f = {0};
    auto_json struct json *j = NULL;

    facts_init(&f);
    f.p.builder_id = "https://ci/run/7";
    f.p.is_reproducible = true;
    j = provenance_new(&f.p);
    check_part(j, "runDetails",
               "{\"builder\":{\"id\":\"https://ci/run/7\",\"version\":{\"img\":\"1.2\"}},"
               "\"metadata\":{\"invocationId\":\"id\",\"startedOn\":\"2023-11-14T22:13:20Z\","
               "\"finishedOn\":\"2023-11-14T22:13:21.5Z\",\"buildkit_metadata\":{},"
               "\"buildkit_hermetic\":true,\"buildkit_completeness\":{\"request\":false,"
               "\"resolvedDependencies\":true},\"buildkit_reproducible\":true}}");
}

/* Without a network and without files of the caller's there is nothing but the materials. */
TEST(provenance, a_build_with_a_network_or_a_local_context_is_not_hermetic)
{
    auto_facts struct facts f = {0};
    auto_json struct json *with_network = NULL;
    auto_json struct json *with_local = NULL;

    facts_init(&f);
    trace_set_network(&f.trace);
    with_network = provenance_new(&f.p);
    check_part(with_network, "runDetails/metadata/buildkit_hermetic", NULL);
    f.trace.has_network = false;
    trace_add_local(&f.trace, "dockerfile");
    trace_add_local(&f.trace, "context");
    with_local = provenance_new(&f.p);
    check_part(with_local, "runDetails/metadata/buildkit_hermetic", NULL);
    check_part(with_local, "runDetails/metadata/buildkit_completeness",
               "{\"request\":false,\"resolvedDependencies\":false}");
    check_part(with_local, "buildDefinition/externalParameters/request/locals",
               "[{\"name\":\"context\"},{\"name\":\"dockerfile\"}]");
}

TEST(provenance, the_large_one_has_arguments_ids_and_steps)
{
    auto_facts struct facts f = {0};
    auto_json struct json *j = NULL;

    facts_init(&f);
    f.p.mode = PROVENANCE_MAX;
    j = provenance_new(&f.p);
    check_part(j, "buildDefinition/externalParameters/request",
               "{\"frontend\":\"dockerfile.v0\",\"args\":{\"build-arg:KEY\":\"value=1\","
               "\"label:a\":\"b\",\"target\":\"app\"},\"secrets\":[{\"id\":\"token\",\"optional\":"
               "true}],\"locals\":[]}");
    /* Sources first, then steps in the order of the file, whichever stage ended first. */
#define PLATFORM "\"platform\":{\"Architecture\":\"arm64\",\"OS\":\"linux\"}"
    check_part(j, "buildDefinition/internalParameters/buildConfig/llbDefinition",
               "[{\"id\":\"step0\",\"op\":{\"Op\":{\"source\":{\"identifier\":"
               "\"docker-image://x:1\"}}," PLATFORM "}},"
               "{\"id\":\"step1\",\"op\":{\"Op\":{\"source\":{\"identifier\":"
               "\"local://context\"}}}},"
               "{\"id\":\"step2\",\"op\":{\"Op\":{\"file\":\"first\"}," PLATFORM
               "},\"inputs\":[\"step0:0\"]},"
               "{\"id\":\"step3\",\"op\":{\"Op\":{\"exec\":\"last\"}," PLATFORM
               "},\"inputs\":[\"step2:0\",\"step2:0\",\"step1:0\"]}]");
    check_part(j, "runDetails/metadata/buildkit_metadata/source/infos",
               "[{\"filename\":\"Dockerfile\",\"language\":\"Dockerfile\",\"data\":"
               "\"RlJPTSB4OjEK\"}]"); /* base64 of the text */
    check_part(j, "runDetails/metadata/buildkit_metadata/source/locations/step3",
               "{\"locations\":[{\"ranges\":[{\"start\":{\"line\":4},\"end\":{\"line\":5}}]}]}");
    check_part(j, "runDetails/metadata/buildkit_completeness/request", "true");
}

/* Proxies, which may hold passwords, are left out: then it does not say that all is there. */
TEST(provenance, what_was_left_out_makes_it_incomplete)
{
    auto_facts struct facts f = {0};
    auto_json struct json *j = NULL;

    facts_init(&f);
    f.p.mode = PROVENANCE_MAX;
    f.p.lacks_args = true;
    j = provenance_new(&f.p);
    check_part(j, "runDetails/metadata/buildkit_completeness/request", "false");
}

TEST(provenance, version_0_2_has_its_own_names)
{
    auto_facts struct facts f = {0};
    auto_json struct json *j = NULL;

    facts_init(&f);
    f.p.version = PROVENANCE_V02;
    f.p.config_uri = "https://h/a.git#main";
    f.p.config_digest = "sha1:cd";
    j = provenance_new(&f.p);
    check_part(j, "buildType", "\"https://mobyproject.org/buildkit@v1\"");
    check_part(j, "invocation/configSource",
               "{\"uri\":\"https://h/a.git#main\",\"digest\":{\"sha1\":\"cd\"},\"entryPoint\":"
               "\"Dockerfile\"}");
    check_part(j, "builder", "{\"id\":\"\"}");
    check_part(j, "metadata/completeness",
               "{\"parameters\":false,\"environment\":true,\"materials\":true}");
    check_part(j, "materials",
               "[{\"uri\":\"https://h/a.git#main\",\"digest\":{\"sha1\":\"cd\"}},{\"uri\":"
               "\"pkg:docker/x@1\",\"digest\":{\"sha256\":\"ab\"}}]");
}

TEST(provenance, layers_are_those_of_the_image_up_to_each_step)
{
    auto_facts struct facts f = {0};
    auto_json struct json *j = NULL;
    auto_json struct json *squashed = NULL;
    char type[] = "t";
    struct descriptor layers[] = {{.media_type = type, .size_bytes = 1},
                                  {.media_type = type, .size_bytes = 2}};
    struct descriptors list = {.items = layers, .count = 2};

    facts_init(&f);
    f.p.mode = PROVENANCE_MAX;
    f.p.layers = &list;
    f.trace.steps.items[0].layer_count = 1; /* changed nothing */
    f.trace.steps.items[1].layer_count = 2;
#define ONE "{\"mediaType\":\"t\",\"digest\":\"sha256:" ZEROS "\",\"size\":1}"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define TWO "{\"mediaType\":\"t\",\"digest\":\"sha256:" ZEROS "\",\"size\":2}"
    j = provenance_new(&f.p);
    check_part(j, "runDetails/metadata/buildkit_metadata/layers",
               "{\"step3:0\":[[" ONE "," TWO "]],\"step2:0\":[[" ONE "]],\"step0:0\":[[" ONE "]]}");
    list.count = 1; /* the layers were made into one: they are those of no step */
    squashed = provenance_new(&f.p);
    check_part(squashed, "runDetails/metadata/buildkit_metadata/layers", NULL);
}

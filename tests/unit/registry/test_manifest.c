/* test_manifest.c - which documents are manifests, what they hold, and which image of an index runs. */
#include <errno.h>
#include <string.h>

#include "fs/base/limits.h"
#include "registry/manifest.h"
#include "tests/lib/test.h"

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"

#define CONFIG "{\"mediaType\":\"" MEDIA_OCI_CONFIG "\",\"digest\":\"" D1 "\",\"size\":7}"
#define LAYER "{\"mediaType\":\"" MEDIA_OCI_LAYER_GZIP "\",\"digest\":\"" D2 "\",\"size\":32654}"
#define IMAGE                                                                                      \
    "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"config\":" CONFIG             \
    ",\"layers\":[" LAYER "]}"
#define ENTRY(arch)                                                                                \
    "{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"" D1 "\",\"size\":5,\"platform\":{"    \
    "\"os\":\"linux\",\"architecture\":\"" arch "\"}}"
#define INDEX(entries)                                                                             \
    "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":[" entries "]}"

static int parse(const char *text, const char *media_type, struct manifest *out, struct error *err)
{
    return manifest_parse(text, strlen(text), media_type, "manifest of 'x'", out, err);
}

static void check_refused(const char *text, const char *media_type, int code, const char *sentence)
{
    auto_manifest struct manifest m = {0};
    struct error err = {0};

    check_fails(parse(text, media_type, &m, &err), code);
    check_error(&err, code, sentence);
}

/* OCI image-spec, manifest.md */
TEST(manifest, an_image_has_a_config_and_layers)
{
    auto_manifest struct manifest m = {0};
    char digest[DIGEST_TEXT_SIZE];

    check_ok(parse(IMAGE, MEDIA_OCI_MANIFEST "; charset=utf-8", &m, &test_err));
    check_int(m.kind, MANIFEST_IMAGE);
    check_text(m.media_type, MEDIA_OCI_MANIFEST);
    check_text(m.config.media_type, MEDIA_OCI_CONFIG);
    check_int(m.config.size_bytes, 7);
    check_int(m.layers.count, 1);
    check_int(m.layers.items[0].size_bytes, 32654);
    digest_format(&m.layers.items[0].digest, digest);
    check_text(digest, D2);
    check_false(m.has_subject);
}

TEST(manifest, an_index_has_manifests_with_platforms)
{
    auto_manifest struct manifest m = {0};

    check_ok(parse(INDEX(ENTRY("amd64") "," ENTRY("arm64")), MEDIA_OCI_INDEX, &m, &test_err));
    check_int(m.kind, MANIFEST_INDEX);
    check_int(m.manifests.count, 2);
    check_true(m.manifests.items[1].has_platform);
    check_text(m.manifests.items[1].platform.architecture, "arm64");
}

TEST(manifest, an_empty_index_is_one)
{
    auto_manifest struct manifest m = {0};

    check_ok(parse(INDEX(""), NULL, &m, &test_err));
    check_int(m.manifests.count, 0);
}

/* The OCI mediaType is optional; then the registry's word or the shape decides. */
TEST(manifest, the_shape_decides_when_nobody_says)
{
    auto_manifest struct manifest image = {0};
    auto_manifest struct manifest index = {0};

    check_ok(parse("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[]}",
                   "application/json; charset=utf-8", &image, &test_err));
    check_text(image.media_type, MEDIA_OCI_MANIFEST);
    check_ok(parse("{\"schemaVersion\":2,\"manifests\":[]}", NULL, &index, &test_err));
    check_text(index.media_type, MEDIA_OCI_INDEX);
}

TEST(manifest, subject_type_and_annotations_are_read)
{
    auto_manifest struct manifest m = {0};

    check_ok(parse("{\"schemaVersion\":2,\"artifactType\":\"a/b\",\"config\":" CONFIG
                   ",\"layers\":[],\"subject\":" LAYER ",\"annotations\":{\"k\":\"v\"}}",
                   MEDIA_OCI_MANIFEST, &m, &test_err));
    check_true(m.has_subject);
    check_int(m.subject.size_bytes, 32654);
    check_text(m.artifact_type, "a/b");
    check_text(annotations_get(&m.annotations, "k"), "v");
    check_text(annotations_get(&m.annotations, "other"), NULL);
}

/* SECURITY R34, CVE-2021-41190: what two readers could read as two things is refused. */
TEST(manifest, ambiguous_documents_are_refused)
{
    check_refused("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[],\"manifests\":[]}",
                  MEDIA_OCI_MANIFEST, EINVAL,
                  "manifest of 'x': it is a manifest and an index at once");
    check_refused("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[],\"manifests\":[]}",
                  MEDIA_OCI_INDEX, EINVAL,
                  "manifest of 'x': it is an index and a manifest at once");
    check_refused("{\"schemaVersion\":2,\"manifests\":[],\"config\":" CONFIG "}", NULL, EINVAL,
                  "manifest of 'x': it is an index and a manifest at once");
    check_refused("{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", NULL, EINVAL,
                  "manifest of 'x': it is an index and a manifest at once");
    check_refused(IMAGE, MEDIA_OCI_INDEX, EINVAL,
                  "manifest of 'x': it calls itself '" MEDIA_OCI_MANIFEST
                  "', but the registry calls it '" MEDIA_OCI_INDEX "'");
    check_refused(INDEX(""), MEDIA_DOCKER_LIST, EINVAL,
                  "manifest of 'x': it calls itself '" MEDIA_OCI_INDEX
                  "', but the registry calls it '" MEDIA_DOCKER_LIST "'");
    check_refused("{\"schemaVersion\":2,\"manifests\":[],\"fsLayers\":[]}", MEDIA_DOCKER_LIST,
                  EINVAL, "manifest of 'x': it is an index and a manifest at once");
}

TEST(manifest, a_document_must_have_the_shape_of_its_type)
{
    check_refused("{\"schemaVersion\":2,\"manifests\":[]}", MEDIA_OCI_MANIFEST, EINVAL,
                  "manifest of 'x': it is a manifest and an index at once");
    check_refused("{\"schemaVersion\":2}", MEDIA_OCI_MANIFEST, EINVAL,
                  "manifest of 'x': it has no 'config'");
    check_refused("{\"schemaVersion\":2,\"config\":" CONFIG "}", MEDIA_OCI_MANIFEST, EINVAL,
                  "manifest of 'x': it has no 'layers'");
    check_refused("{\"schemaVersion\":2}", MEDIA_OCI_INDEX, EINVAL,
                  "manifest of 'x': it has no 'manifests'");
    check_refused("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":{}}", NULL, EINVAL,
                  "manifest of 'x': 'layers' is not a list");
    check_refused("[]", NULL, EINVAL, "manifest of 'x': it is not a JSON object");
}

TEST(manifest, schema_1_is_refused_in_words)
{
    static const char sentence[] =
        "manifest of 'x': it is in the Docker schema 1 format, which was withdrawn; push it again "
        "with a newer tool";

    check_refused("{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, ENOTSUP, sentence);
    check_refused("{\"schemaVersion\":2,\"fsLayers\":[]}",
                  "application/vnd.docker.distribution.manifest.v1+prettyjws", ENOTSUP, sentence);
}

TEST(manifest, other_media_types_are_named)
{
    check_refused("{\"schemaVersion\":2}", "text/html", ENOTSUP,
                  "manifest of 'x': 'text/html' is neither an image manifest nor an index");
    check_refused("{\"schemaVersion\":2,\"mediaType\":\"a\\u001b[31mb\"}", NULL, ENOTSUP,
                  "manifest of 'x': 'a\\x1b[31mb' is neither an image manifest nor an index");
}

/* SECURITY R33: digests and sizes before anything is asked for by them. */
TEST(manifest, a_bad_descriptor_is_named_by_its_place)
{
#define WITH_LAYER(layer)                                                                          \
    "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER "," layer "]}"
    auto_manifest struct manifest m = {0};
    static const char *const layers[] = {
        "{\"mediaType\":\"a\",\"digest\":\"sha256:../../x\",\"size\":1}",
        "{\"mediaType\":\"a\",\"digest\":\"sha999:" D1 "\",\"size\":1}",
        "{\"mediaType\":\"a\",\"size\":1}",
        "{\"digest\":\"" D1 "\",\"size\":1}",
    };

    for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
        auto_free char *text = str_format(
            "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER ",%s]}", layers[i]);
        struct error err = {0};

        check_fails(parse(text, NULL, &m, &err), EINVAL);
        check_true(strstr(err.text, "manifest of 'x': entry 2 of 'layers': ") == err.text);
    }
    check_refused(WITH_LAYER("{\"mediaType\":\"a\",\"digest\":\"" D1 "\",\"size\":-1}"), NULL,
                  EINVAL,
                  "manifest of 'x': entry 2 of 'layers': its size is not a number of bytes below 1 "
                  "TiB");
    check_refused(WITH_LAYER("{\"mediaType\":\"a\",\"digest\":\"" D1 "\",\"size\":1.5}"), NULL,
                  EINVAL,
                  "manifest of 'x': entry 2 of 'layers': its size is not a number of bytes below 1 "
                  "TiB");
    check_refused(WITH_LAYER("{\"mediaType\":\"a\",\"digest\":\"" D1 "\",\"size\":\"1\"}"), NULL,
                  EINVAL,
                  "manifest of 'x': entry 2 of 'layers': its size is not a number of bytes below 1 "
                  "TiB");
    check_refused(WITH_LAYER("{\"mediaType\":\"a\",\"digest\":\"" D1 "\"}"), NULL, EINVAL,
                  "manifest of 'x': entry 2 of 'layers': it has no size");
    check_refused(WITH_LAYER("7"), NULL, EINVAL,
                  "manifest of 'x': entry 2 of 'layers': it is not an object");
}

/* SECURITY R35 */
TEST(manifest, layers_have_a_largest_count)
{
    auto_str struct str text = {0};
    auto_manifest struct manifest m = {0};

    str_add(&text, "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER);
    for (int i = 1; i < LIMIT_IMAGE_LAYERS; i++)
        str_add(&text, "," LAYER);

    str_add(&text, "]}");
    check_ok(manifest_parse(str_text(&text), text.size, NULL, "m", &m, &test_err));
    check_int(m.layers.count, LIMIT_IMAGE_LAYERS);
    str_truncate(&text, text.size - 2);
    str_add(&text, "," LAYER "]}");
    check_refused(str_text(&text), NULL, EINVAL,
                  "manifest of 'x': it has 1025 layers, more than 1024");
}

TEST(manifest, documents_have_a_largest_size)
{
    auto_str struct str text = {0};
    auto_manifest struct manifest m = {0};

    str_add(&text, "{\"schemaVersion\":2,\"x\":\"");
    while (text.size < LIMIT_MANIFEST_SIZE)
        str_add(&text, "0123456789abcdef0123456789abcdef");
    str_add(&text, "\"}");
    check_fails(manifest_parse(text.data, text.size, NULL, "m", &m, &test_err), E2BIG);
}

TEST(manifest, keys_said_twice_and_deep_nests_are_refused)
{
    auto_str struct str deep = {0};
    auto_manifest struct manifest m = {0};

    for (int i = 0; i < 100; i++)
        str_add(&deep, "[");
    check_fails(parse(str_text(&deep), NULL, &m, &test_err), EINVAL);
    check_fails(parse("{\"schemaVersion\":2,\"schemaVersion\":2}", NULL, &m, &test_err), EINVAL);
    check_fails(parse("", NULL, &m, &test_err), EINVAL);
    check_fails(parse(IMAGE "x", NULL, &m, &test_err), EINVAL);
}

static void check_chooses(const char *index_text, const char *wanted, int expected)
{
    auto_manifest struct manifest index = {0};
    auto_platform struct platform want = {0};
    const struct descriptor *chosen;

    check_ok(parse(index_text, MEDIA_OCI_INDEX, &index, &test_err));
    check_ok(platform_parse(wanted, &want, &test_err));
    check_ok(manifest_choose(&index, &want, "'x'", &chosen, &test_err));
    check_int(chosen - index.manifests.items, expected);
}

#define ARM(variant)                                                                               \
    "{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"" D1 "\",\"size\":5,\"platform\":{"    \
    "\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"" variant "\"}}"

TEST(manifest, the_best_platform_is_chosen)
{
    check_chooses(INDEX(ENTRY("arm64") "," ENTRY("amd64")), "linux/amd64", 1);
    check_chooses(INDEX(ENTRY("arm64") "," ENTRY("x86_64")), "linux/amd64", 1);
    check_chooses(INDEX(ARM("v5") "," ARM("v6")), "linux/arm/v7", 1);
    check_chooses(INDEX(ARM("v5") "," ARM("v6") "," ARM("v7")), "linux/arm/v6", 1);
    check_chooses(INDEX(ENTRY("amd64") "," ENTRY("amd64")), "linux/amd64", 0);
}

/* BuildKit lists attestations as unknown/unknown. */
TEST(manifest, attestations_are_never_chosen)
{
    auto_manifest struct manifest index = {0};
    auto_platform struct platform want = {0};
    const struct descriptor *chosen;
    struct error err = {0};

    check_ok(parse(INDEX("{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"" D1
                         "\",\"size\":5,\"platform\":{\"os\":\"unknown\",\"architecture\":"
                         "\"unknown\"}}"),
                   NULL, &index, &test_err));
    check_ok(platform_parse("linux/amd64", &want, &test_err));
    check_fails(manifest_choose(&index, &want, "'x'", &chosen, &err), ENOENT);
    check_error(&err, ENOENT, "'x' has no image for linux/amd64");
    check_hint(&err, "");
}

TEST(manifest, a_miss_lists_what_there_is)
{
    auto_manifest struct manifest index = {0};
    auto_platform struct platform want = {0};
    const struct descriptor *chosen;
    struct error err = {0};

    check_ok(parse(INDEX(ENTRY("amd64") "," ENTRY("arm64") "," ENTRY("amd64")), NULL, &index,
                   &test_err));
    check_ok(platform_parse("linux/s390x", &want, &test_err));
    check_fails(manifest_choose(&index, &want, "'x'", &chosen, &err), ENOENT);
    check_error(&err, ENOENT, "'x' has no image for linux/s390x");
    check_hint(&err, "it has linux/amd64, linux/arm64; choose one with --platform");
}

TEST(manifest, a_single_entry_without_platform_will_do)
{
#define PLAIN "{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"" D1 "\",\"size\":5}"
    auto_manifest struct manifest two = {0};
    auto_platform struct platform want = {0};
    const struct descriptor *chosen;

    check_chooses(INDEX(ENTRY("arm64") "," PLAIN), "linux/amd64", 1);
    check_chooses(INDEX(PLAIN "," ENTRY("amd64")), "linux/amd64", 1);
    check_ok(parse(INDEX(PLAIN "," PLAIN), NULL, &two, &test_err));
    check_ok(platform_parse("linux/amd64", &want, &test_err));
    check_fails(manifest_choose(&two, &want, "'x'", &chosen, &test_err), ENOENT);
}

TEST(media_type, layers_say_how_they_are_compressed)
{
    static const struct {
        const char *media_type;
        enum layer_compression compression;
    } rows[] = {
        {MEDIA_OCI_LAYER, LAYER_UNCOMPRESSED},
        {MEDIA_OCI_LAYER_GZIP, LAYER_GZIP},
        {MEDIA_OCI_LAYER_ZSTD, LAYER_ZSTD},
        {MEDIA_DOCKER_LAYER_GZIP, LAYER_GZIP},
        {MEDIA_DOCKER_LAYER, LAYER_UNCOMPRESSED},
        {"APPLICATION/vnd.docker.image.rootfs.diff.tar.gzip; x=y", LAYER_GZIP},
        {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", LAYER_GZIP},
        {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", LAYER_GZIP},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum layer_compression compression;

        check_ok(media_type_layer_compression(rows[i].media_type, &compression, &test_err));
        check_int(compression, rows[i].compression);
    }
}

TEST(media_type, what_is_no_layer_is_named)
{
    enum layer_compression compression;
    struct error err = {0};

    check_fails(media_type_layer_compression(NULL, &compression, &err), ENOTSUP);
    check_fails(media_type_layer_compression(MEDIA_OCI_CONFIG, &compression, &err), ENOTSUP);
    check_fails(media_type_layer_compression("application/x-helm", &compression, &err), ENOTSUP);
    check_error(&err, ENOTSUP, "'application/x-helm' is not a layer of files that can be applied");
}

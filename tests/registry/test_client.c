/* test_client.c - the client against a real docker-registry: what one half stores the other reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "registry/client.h"
#include "tests/lib/blobs.h"
#include "tests/lib/registry_process.h"
#include "tests/lib/test.h"

#define NEED_REGISTRY                                                                              \
    test_need("docker-registry", registry_process_available(),                                     \
              "docker-registry, htpasswd and openssl are not all installed")

/* Nobody's credentials but the test's. */
static struct registries *make_registries(const char *authfile)
{
    auto_free char *path = str_format("%s/%s", test_dir(), authfile ? authfile : "none.json");
    struct registries_options options = {
        .http = {.attempts_max = 3, .retry_delay_ms = 10, .connect_timeout_ms = 5000},
        .authfile = path,
        .config_file = "/dev/null",
    };

    return registries_new(&options);
}

static struct registry *open_repository(struct registries *all, const struct registry_process *p,
                                        const char *repository, enum registry_use use)
{
    auto_free char *text = str_format("%s/%s", registry_process_host(p), repository);
    auto_reference struct reference ref = {0};
    struct registry *r;

    check_ok(reference_parse(text, &ref, &test_err));
    check_ok(registry_open(all, &ref, use, &r, &test_err));
    return r;
}

static enum blob_put_result put_blob(struct registry *r, const struct str *bytes,
                                     struct digest *digest)
{
    enum blob_put_result result;
    struct memory_source source;
    struct blob_put put;

    memory_source_init(&source, bytes->data, bytes->size);
    digest_of(bytes->data, bytes->size, digest);
    put = (struct blob_put){.digest = *digest, .size_bytes = bytes->size, .source = &source.source};
    check_ok(registry_blob_put(r, &put, &result, &test_err));
    return result;
}

static void make_manifest(const struct digest *config, size_t config_size,
                          const struct digest *layer, size_t layer_size, struct str *out)
{
    char config_text[DIGEST_TEXT_SIZE];
    char layer_text[DIGEST_TEXT_SIZE];

    digest_format(config, config_text);
    digest_format(layer, layer_text);
    str_addf(out,
             "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST
             "\",\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG
             "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER
             "\",\"digest\":\"%s\",\"size\":%zu}]}",
             config_text, config_size, layer_text, layer_size);
}

/* Pushes an image of one layer; *manifest_digest names it. */
static void push_image(struct registry *r, const char *tag, uint64_t seed, size_t layer_size,
                       struct digest *layer_digest, struct digest *manifest_digest)
{
    auto_str struct str layer = {0};
    auto_str struct str config = {0};
    auto_str struct str manifest = {0};
    struct digest config_digest;

    make_blob(seed, layer_size, &layer);
    str_add(&config, "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
                     "\"diff_ids\":[]}}");
    put_blob(r, &layer, layer_digest);
    put_blob(r, &config, &config_digest);
    make_manifest(&config_digest, config.size, layer_digest, layer.size, &manifest);
    digest_of(manifest.data, manifest.size, manifest_digest);
    check_ok(
        registry_manifest_put(r, tag, MEDIA_OCI_MANIFEST, manifest.data, manifest.size, &test_err));
}

static void check_pulls(struct registry *r, const char *tag, uint64_t seed, size_t layer_size)
{
    auto_keeping_sink struct keeping_sink sink;
    auto_descriptor struct descriptor head = {0};
    auto_document struct document document = {0};
    auto_manifest struct manifest m = {0};
    auto_str struct str layer = {0};
    struct blob_get get = {0};

    keeping_sink_init(&sink);
    make_blob(seed, layer_size, &layer);
    check_ok(registry_manifest_head(r, tag, &head, &test_err));
    check_ok(registry_manifest_get(r, tag, &document, &test_err));
    check_true(digest_equal(&head.digest, &document.digest));
    check_int(head.size_bytes, document.bytes.size);
    check_text(head.media_type, MEDIA_OCI_MANIFEST);
    check_ok(manifest_parse(document.bytes.data, document.bytes.size, document.media_type, tag, &m,
                            &test_err));
    get.digest = m.layers.items[0].digest;
    get.size_bytes = m.layers.items[0].size_bytes;
    get.sink = &sink.writer;
    check_ok(registry_blob_get(r, &get, &test_err));
    check_true(sink.bytes.size == layer.size &&
               memcmp(sink.bytes.data, layer.data, layer.size) == 0);
}

TEST(client, what_was_pushed_is_pulled)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries(NULL);
    auto_registry struct registry *push = NULL;
    auto_registry struct registry *pull = NULL;
    struct digest layer;
    struct digest manifest;

    NEED_REGISTRY;
    p = registry_process_start(NULL);
    push = open_repository(all, p, "me/app", REGISTRY_PUSH);
    pull = open_repository(all, p, "me/app", REGISTRY_PULL);
    push_image(push, "1", 1, 3 << 20, &layer, &manifest);
    check_pulls(pull, "1", 1, 3 << 20);
}

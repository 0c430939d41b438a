/* fuzz_manifest.c - a document is at most one kind of manifest, within its limits. */
#include <assert.h>
#include <errno.h>

#include "fs/base/limits.h"
#include "registry/manifest.h"
#include "tests/fuzz/fuzz.h"

static void check_descriptor(const struct descriptor *d)
{
    auto_descriptor struct descriptor copy = {0};
    enum layer_compression compression;
    struct error err = {0};

    assert(d->media_type && d->size_bytes <= LIMIT_LAYER_SIZE);
    if (media_type_layer_compression(d->media_type, &compression, &err) < 0)
        assert(err.code == ENOTSUP && err.text[0] != '\0');
    descriptor_copy(&copy, d);
    assert(digest_equal(&copy.digest, &d->digest) && copy.urls.count == d->urls.count);
}

static void check_manifest(const struct manifest *m)
{
    assert(media_type_is_index(m->media_type) == (m->kind == MANIFEST_INDEX));
    assert(m->kind == MANIFEST_INDEX || m->manifests.count == 0);
    assert(m->kind == MANIFEST_IMAGE || (m->layers.count == 0 && !m->config.media_type));
    assert(m->layers.count <= LIMIT_IMAGE_LAYERS && m->manifests.count <= LIMIT_INDEX_ENTRIES);
    for (size_t i = 0; i < m->layers.count; i++)
        check_descriptor(&m->layers.items[i]);
    for (size_t i = 0; i < m->manifests.count; i++)
        check_descriptor(&m->manifests.items[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {NULL, MEDIA_OCI_INDEX, MEDIA_OCI_MANIFEST, "text/plain"};
    auto_platform struct platform want = {0};
    struct error err = {0};

    if (platform_parse("linux/arm/v7", &want, &err) < 0)
        return 0;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        auto_manifest struct manifest m = {0};
        const struct descriptor *chosen;

        if (manifest_parse((const char *)data, size, types[i], "input", &m, &err) < 0) {
            assert(err.code != 0 && err.text[0] != '\0' && !m.media_type);
            continue;
        }
        check_manifest(&m);
        if (m.kind == MANIFEST_INDEX && manifest_choose(&m, &want, "input", &chosen, &err) == 0)
            assert(chosen >= m.manifests.items && chosen < m.manifests.items + m.manifests.count);
    }
    return 0;
}

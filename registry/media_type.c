/* media_type.c - the media types there are and what each says, as one table. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "registry/manifest.h"

#include "fs/base/banned.h"

enum media_kind { MEDIA_UNKNOWN, MEDIA_INDEX, MEDIA_MANIFEST, MEDIA_CONFIG, MEDIA_LAYER };

struct media_row {
    const char *name;
    enum media_kind kind;
    enum layer_compression compression; /* MEDIA_LAYER */
};

#define OCI_FOREIGN "application/vnd.oci.image.layer.nondistributable.v1.tar"
#define DOCKER_FOREIGN "application/vnd.docker.image.rootfs.foreign.diff.tar"

static const struct media_row rows[] = {
    {MEDIA_OCI_INDEX, MEDIA_INDEX, LAYER_UNCOMPRESSED},
    {MEDIA_DOCKER_LIST, MEDIA_INDEX, LAYER_UNCOMPRESSED},
    {MEDIA_OCI_MANIFEST, MEDIA_MANIFEST, LAYER_UNCOMPRESSED},
    {MEDIA_DOCKER_MANIFEST, MEDIA_MANIFEST, LAYER_UNCOMPRESSED},
    {MEDIA_OCI_CONFIG, MEDIA_CONFIG, LAYER_UNCOMPRESSED},
    {MEDIA_DOCKER_CONFIG, MEDIA_CONFIG, LAYER_UNCOMPRESSED},
    {MEDIA_OCI_LAYER, MEDIA_LAYER, LAYER_UNCOMPRESSED},
    {MEDIA_OCI_LAYER_GZIP, MEDIA_LAYER, LAYER_GZIP},
    {MEDIA_OCI_LAYER_ZSTD, MEDIA_LAYER, LAYER_ZSTD},
    {MEDIA_DOCKER_LAYER, MEDIA_LAYER, LAYER_UNCOMPRESSED},
    {MEDIA_DOCKER_LAYER_GZIP, MEDIA_LAYER, LAYER_GZIP},
    {MEDIA_DOCKER_LAYER_ZSTD, MEDIA_LAYER, LAYER_ZSTD},
    {OCI_FOREIGN, MEDIA_LAYER, LAYER_UNCOMPRESSED},
    {OCI_FOREIGN "+gzip", MEDIA_LAYER, LAYER_GZIP},
    {OCI_FOREIGN "+zstd", MEDIA_LAYER, LAYER_ZSTD},
    {DOCKER_FOREIGN, MEDIA_LAYER, LAYER_UNCOMPRESSED},
    {DOCKER_FOREIGN ".gzip", MEDIA_LAYER, LAYER_GZIP},
};

static const struct media_row *find_row(const char *media_type)
{
    size_t length;

    if (!media_type)
        return NULL;
    length = strcspn(media_type, "; \t");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strlen(rows[i].name) == length && strncasecmp(rows[i].name, media_type, length) == 0)
            return &rows[i];
    }
    return NULL;
}

static bool is_kind(const char *media_type, enum media_kind kind)
{
    const struct media_row *row = find_row(media_type);

    return row && row->kind == kind;
}

bool media_type_is_index(const char *media_type)
{
    return is_kind(media_type, MEDIA_INDEX);
}

bool media_type_is_manifest(const char *media_type)
{
    return is_kind(media_type, MEDIA_MANIFEST);
}

bool media_type_is_config(const char *media_type)
{
    return is_kind(media_type, MEDIA_CONFIG);
}

int media_type_layer_compression(const char *media_type, enum layer_compression *out,
                                 struct error *err)
{
    const struct media_row *row = find_row(media_type);
    auto_str struct str shown = {0};

    if (!row || row->kind != MEDIA_LAYER) {
        str_add_escaped(&shown, media_type ? media_type : "", media_type ? strlen(media_type) : 0);
        return error_set(err, ENOTSUP, "'%.128s' is not a layer of files that can be applied",
                         str_text(&shown));
    }
    *out = row->compression;
    return 0;
}

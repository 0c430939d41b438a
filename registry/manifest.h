/* manifest.h - manifests and indexes as structs, and what a media type says.
 *
 * OCI image-spec manifest.md, image-index.md, descriptor.md; Docker "Image Manifest V 2, Schema 2".
 * Everything parsed here came from outside: sizes, counts, depth and shapes are bounded (SECURITY
 * R33-R35). The bytes themselves are the truth and are kept by the caller: nothing here writes a
 * document.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "registry/platform.h"

#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_OCI_LAYER_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define MEDIA_OCI_LAYER_ZSTD "application/vnd.oci.image.layer.v1.tar+zstd"
#define MEDIA_OCI_EMPTY "application/vnd.oci.empty.v1+json"
#define MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar"
#define MEDIA_DOCKER_LAYER_GZIP "application/vnd.docker.image.rootfs.diff.tar.gzip"
#define MEDIA_DOCKER_LAYER_ZSTD "application/vnd.docker.image.rootfs.diff.tar.zstd"

enum layer_compression { LAYER_UNCOMPRESSED, LAYER_GZIP, LAYER_ZSTD };

/* Media types are compared without parameters and without regard to case. NULL is nothing of these.
 */
bool media_type_is_index(const char *media_type);
bool media_type_is_manifest(const char *media_type); /* an image manifest, not an index */
bool media_type_is_config(const char *media_type); /* of a runnable image; artifacts have others */
/* -ENOTSUP, naming the media type, when it is no layer that can be applied. */
int media_type_layer_compression(const char *media_type, enum layer_compression *out,
                                 struct error *err);

struct annotation {
    char *key;
    char *value;
};

struct annotations {
    struct annotation *items;
    size_t count;
    size_t capacity;
};
const char *annotations_get(const struct annotations *list, const char *key); /* borrowed or NULL */

struct descriptor {
    char *media_type; /* never NULL after a parse */
    struct digest digest;
    uint64_t size_bytes;
    bool has_platform;
    struct platform platform; /* normalised; valid when has_platform */
    char *artifact_type;      /* or NULL */
    struct strv urls;         /* where foreign layers live; never followed unless asked for */
    struct annotations annotations;
};
void descriptor_copy(struct descriptor *to, const struct descriptor *from);
void descriptor_release(struct descriptor *d);
DEFINE_CLEANUP_VALUE(descriptor_release, struct descriptor)
#define auto_descriptor CLEANUP(descriptor_release)

struct descriptors {
    struct descriptor *items;
    size_t count;
    size_t capacity;
};

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX };

struct manifest {
    enum manifest_kind kind;
    char *media_type;             /* what the document is; given or inferred from its shape */
    struct descriptor config;     /* MANIFEST_IMAGE */
    struct descriptors layers;    /* MANIFEST_IMAGE; bottom first; at most LIMIT_IMAGE_LAYERS */
    struct descriptors manifests; /* MANIFEST_INDEX; may be empty */
    bool has_subject;
    struct descriptor subject;
    char *artifact_type; /* or NULL */
    struct annotations annotations;
};

/* Parses one document. `media_type` is what the registry or the index said it is (parameters
 * ignored), or NULL when nobody said; `what` names it in messages ("manifest of 'debian:12'"). On
 * success the caller owns `*out`.
 *
 * Errors: -EINVAL malformed, a limit passed, both kinds of document at once, or a document that is
 * not what `media_type` says; -ENOTSUP schema 1 or a media type that is no manifest; -E2BIG above
 * LIMIT_MANIFEST_SIZE. */
int manifest_parse(const char *bytes, size_t size, const char *media_type, const char *what,
                   struct manifest *out, struct error *err);

/* The entry of an index that suits `want` best (platform_rank; the first of equals), borrowed from
 * `index`. Entries for unknown/unknown (attestations) never match. An entry without a platform
 * matches only when no other does and it is the only candidate. -ENOENT lists the platforms there
 * are; `what` names the image. */
int manifest_choose(const struct manifest *index, const struct platform *want, const char *what,
                    const struct descriptor **out, struct error *err);

void manifest_release(struct manifest *m);
DEFINE_CLEANUP_VALUE(manifest_release, struct manifest)
#define auto_manifest CLEANUP(manifest_release)

/* image.h - a config and its layers, what a reference points at.
 *
 * A local image names its pulled layers by the compressed blobs they came as, and the layers built
 * here by their uncompressed tar (OCI image-spec, layer.md, "+tar"): compression waits for somebody
 * who asks for compressed bytes (push, an OCI archive). The config, and so the image id, is the same
 * before and after.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "builder/image/config.h"
#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "registry/manifest.h"

struct store;

struct image {
    struct digest manifest; /* digest of the manifest document */
    struct digest config_digest;
    struct config *config;
    struct manifest document; /* parsed */
    struct str bytes;         /* the manifest, to the byte */
    struct str config_bytes;  /* the configuration, to the byte */
    int64_t *layers;          /* store layer ids, bottom first */
    size_t layer_count;
    uint64_t size_bytes;
    int64_t stored_ns;
};
void image_release(struct image *image);
DEFINE_CLEANUP_VALUE(image_release, struct image)
#define auto_image CLEANUP(image_release)

/* What a user typed: a reference, or a prefix of at least 4 hex digits of an image or manifest
 * digest. On success *manifest names the image; *name, when given, is the canonical reference or
 * NULL (caller frees). Errors: -ENOENT no such image; -EEXIST the prefix fits several. */
int image_find(struct store *store, const char *text, struct digest *manifest, char **name,
               struct error *err);
/* Loads manifest and config, verified. -ENOENT, -EIO. */
int image_load(struct store *store, const struct digest *manifest, struct image *out,
               struct error *err);

struct image_options {
    const struct strv *annotations; /* "key=value", or NULL */
    bool docker_types;              /* docker media types instead of OCI's */
};
/* An image over these layers, not stored yet: writes rootfs into `config` (diff_ids are computed where
 * not known yet) and makes the documents. Deterministic for the same config and layers. */
int image_make(struct store *store, struct config *config, const int64_t *layers,
               size_t layer_count, const struct image_options *options, struct image *out,
               struct error *err);
/* The same for a configuration that somebody else wrote and that stays as it is, to the byte: its
 * diff_ids must be those of the layers already (-EINVAL). */
int image_make_from(struct store *store, const struct str *config, const int64_t *layers,
                    size_t layer_count, const struct image_options *options, struct image *out,
                    struct error *err);
struct image_documents {
    const struct str *manifest;
    const char *media_type;
    const struct digest *known; /* what somebody calls the manifest, kept if it is right; or NULL */
    const struct str *config;
};
/* The same for documents that somebody else wrote and the caller has found to belong together. */
int image_make_of(const struct image_documents *from, const int64_t *layers, size_t layer_count,
                  struct image *out, struct error *err);
/* Makes it one of the store's: documents and row, in one transaction. One that is there is kept. */
int image_store(struct store *store, const struct image *image, struct error *err);
/* Points `name` (canonical) at an image. */
int image_tag(struct store *store, const char *name, const struct digest *manifest,
              struct error *err);

/* A canonical name as people know it ("debian:12"); caller frees. */
char *image_familiar_name(const char *name);

/* The key that the first step of a stage goes on from: an image by its manifest, or scratch (NULL).
 * `platform` is the one that the stage is built for. */
void image_key(const struct digest *manifest, const char *platform, struct digest *out);

/* How the descriptor of a layer looks in a manifest. */
void layer_descriptor(enum layer_compression compression, bool docker_types,
                      const struct digest *digest, uint64_t size_bytes, struct json *into);
/* A manifest document over these descriptors (an array, taken over); config is `config_size` bytes. */
void manifest_write(const struct digest *config, uint64_t config_size, struct json *layers,
                    const struct strv *annotations, bool docker_types, struct str *out);

/* export.h - an image as other tools take it: which blobs stand for its layers, and its manifest. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "builder/image/image.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/codec.h"
#include "registry/manifest.h"

struct blob_follower;
struct store;

enum export_types { EXPORT_STORED, EXPORT_OCI, EXPORT_DOCKER }; /* media types: as stored, or so */

struct export_options {
    unsigned threads;         /* for compression; 0: one a CPU */
    int level;                /* -1: the default */
    enum codec_format format; /* of layers that have no compressed form; CODEC_DETECT: gzip */
    bool force;               /* compress again what has another form */
    enum export_types types;
    struct blob_follower *follower; /* sees a blob while it is made; or NULL */
};

struct export_layer {
    struct digest digest;
    uint64_t size_bytes;
    enum layer_compression compression;
};

/* The blob that stands for a layer of the image: the one its manifest names, as far as that is what the
 * options ask for, else another that the store has, or one made and kept now. */
int export_layer_find(struct store *store, const struct image *image, size_t position,
                      const struct export_options *options, struct export_layer *out,
                      struct error *err);
/* The manifest over these blobs: the stored one, to the byte, when it already names them. */
void export_manifest(const struct image *image, uint64_t config_size,
                     const struct export_layer *layers, const struct export_options *options,
                     struct str *out, const char **media_type);
/* "gzip", "zstd" or "uncompressed"; NULL: CODEC_DETECT, which is gzip where nothing was compressed
 * yet. NULL for a level: -1, the default. -EINVAL. */
int export_format_parse(const char *text, enum codec_format *out, struct error *err);
int export_level_parse(const char *text, enum codec_format format, int *out, struct error *err);

/* save.h - images as docker's archive, or as an OCI layout in a tar or a directory.
 *
 * The bytes depend on the images and names alone. Docker's form holds uncompressed layers unless
 * asked otherwise, the OCI form the blobs a push would send, under OCI media types (OCI image-spec,
 * image-layout.md). All that is written is verified on the way; damaged bytes are an error.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "builder/image/export.h"
#include "builder/image/image.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/base/stream.h"

struct progress;
struct store;

struct save_image {
    const struct image *image;            /* need not be stored */
    const struct strv *names;             /* canonical references; may be empty */
    const struct strv *entry_annotations; /* "key=value" for its entries of index.json; or NULL */
};
struct save_options {
    struct export_options export;
    bool compress_docker;      /* docker's form holds compressed layers too */
    struct progress *progress; /* may be NULL */
    uint32_t vertex;
};

int save_docker(struct store *store, const struct save_image *images, size_t count,
                const struct save_options *options, struct writer *to, struct error *err);
int save_oci(struct store *store, const struct save_image *images, size_t count,
             const struct save_options *options, struct writer *to, struct error *err);
/* An OCI layout in `directory`, which is made if need be. One that is there is added to: an image of
 * the same name is replaced, others stay. -EEXIST the directory holds something else. */
int save_oci_directory(struct store *store, const struct save_image *images, size_t count,
                       const struct save_options *options, const char *directory,
                       struct error *err);
/* The manifest that the OCI form holds for an image: layers compressed where they were not. */
int save_oci_manifest(struct store *store, const struct image *image,
                      const struct export_options *options, struct str *out,
                      const char **media_type, struct error *err);

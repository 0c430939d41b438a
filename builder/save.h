/* save.h - images as one tar: docker's archive, or an OCI layout.
 *
 * The bytes depend on the images and names alone. Docker's form holds uncompressed layers, the OCI
 * form the blobs a push would send (OCI image-spec, image-layout.md).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "builder/export.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/stream.h"

struct store;

struct save_image {
    struct digest manifest;
    const char *name; /* canonical reference, or NULL for none */
};

int save_docker(struct store *store, const struct save_image *images, size_t count,
                struct writer *to, struct error *err);
int save_oci(struct store *store, const struct save_image *images, size_t count,
             const struct export_options *options, struct writer *to, struct error *err);

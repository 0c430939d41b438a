/* image_index.h - images for several platforms under one name.
 *
 * OCI image-spec, image-index.md. What is added is put into the form that a push would send, so that
 * the index names what every registry is given.
 */
#pragma once

#include <stddef.h>

#include "builder/image/export.h"
#include "builder/image/image.h"
#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct json;
struct store;

struct image_index {
    struct json *entries; /* of "manifests" */
    struct digest *manifests;
    size_t count;
    size_t capacity;
    size_t
        host; /* the one that names stand for where one image is meant: the host's, else the first */
    struct str bytes; /* after image_index_commit: the document */
};
void image_index_release(struct image_index *x);
DEFINE_CLEANUP_VALUE(image_index_release, struct image_index)
#define auto_image_index CLEANUP(image_index_release)

/* Stores the image with layers compressed as `options` say. Its platform is that of its configuration. */
int image_index_add(struct store *store, const struct image *image,
                    const struct export_options *options, struct image_index *x, struct error *err);
struct image_index_options {
    const struct strv *names;       /* canonical references that the index gets */
    const struct strv *annotations; /* "key=value" of the index */
    bool docker_types;
};
/* Stores the index and points the names at it; each image is kept under name@digest. */
int image_index_commit(struct store *store, const struct image_index_options *options,
                       struct image_index *x, struct digest *digest, struct error *err);
/* The name of an index was taken away: those that its images were kept under go too, unless another
 * tag of the repository points at the index. An index that is not here any more took nothing along. */
int image_index_forget(struct store *store, const char *name, const struct digest *index,
                       struct error *err);

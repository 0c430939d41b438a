/* image_index.h - images for several platforms under one name.
 *
 * OCI image-spec, image-index.md. What is added is put into the form that a push would send, so that
 * the index names what every registry is given.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "builder/image/export.h"
#include "builder/image/image.h"
#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "registry/manifest.h"

struct json;
struct reference_row;
struct store;

struct image_index {
    struct json *entries; /* of "manifests" */
    struct digest *manifests;
    size_t count;
    size_t capacity;
    size_t
        host; /* the one that names stand for where one image is meant: the host's, else the first */
    struct str bytes; /* after image_index_write or _commit: the document */
};
void image_index_release(struct image_index *x);
DEFINE_CLEANUP_VALUE(image_index_release, struct image_index)
#define auto_image_index CLEANUP(image_index_release)

/* Appends the image as it is, under the platform of its configuration, without storing it.
 * `annotations` ("key=value", or NULL) are those of its entry. */
void image_index_note(struct image_index *x, const struct image *image,
                      const struct strv *annotations);
/* Appends a descriptor that is no image's; takes it. */
void image_index_push(struct image_index *x, struct json *entry);
/* The image with layers compressed as `options` say: what a push would send. It is not stored, its
 * layers are. */
int image_index_form(struct store *store, const struct image *image,
                     const struct export_options *options, struct image *out, struct error *err);
struct image_index_options {
    const struct strv *names;       /* canonical references that the index gets */
    const struct strv *annotations; /* "key=value" of the index */
    bool docker_types;
};
/* The document over what was appended, as x->bytes; nothing is stored. */
void image_index_write(struct image_index *x, const struct image_index_options *options);
/* Stores the index and points the names at it; each image is kept under name@digest. */
int image_index_commit(struct store *store, const struct image_index_options *options,
                       struct image_index *x, struct digest *digest, struct error *err);
/* Points a canonical name at an index that is a blob of the store, and at images[host] where one image
 * is meant; each of the images, which are stored, is kept under name@digest. */
int image_index_name(struct store *store, const char *name, const struct digest *index,
                     const struct digest *images, size_t count, size_t host, struct error *err);
/* Which images of an index the store has. */
struct image_index_images {
    struct digest index;
    struct str document; /* the index, to the byte */
    struct manifest parsed;
    struct digest *items; /* of the images that are here, in the order of the index */
    size_t count;
    bool is_whole; /* none is missing; nor are attestations */
};
void image_index_images_release(struct image_index_images *x);
DEFINE_CLEANUP_VALUE(image_index_images_release, struct image_index_images)
#define auto_image_index_images CLEANUP(image_index_images_release)
/* An index that is not in the store has none. `what` names it in messages. */
int image_index_images(struct store *store, const struct digest *index, const char *what,
                       struct image_index_images *out, struct error *err);
/* The image for `platform` among those that are here. -EINVAL, -ENOENT. */
int image_index_choose(const struct image_index_images *x, const char *platform, const char *what,
                       struct digest *out, struct error *err);
/* The index over the same images with layers compressed as `options` say, as blobs of the store; the index
 * itself when they are so already. Entries keep what else they say. -ENOTSUP when something else in it, an
 * attestation, is about images that would become others. */
int image_index_recompress(struct store *store, const struct digest *index,
                           const struct export_options *options, struct digest *out,
                           struct error *err);
/* A second name for an index that has one: what it keeps, its copy keeps too. */
int image_index_tag(struct store *store, const char *name, const struct reference_row *source,
                    struct error *err);
/* The name of an index was taken away: those that its images were kept under go too, unless another
 * tag of the repository points at the index. An index that is not here any more took nothing along. */
int image_index_forget(struct store *store, const char *name, const struct digest *index,
                       struct error *err);

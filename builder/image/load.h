/* load.h - images out of an archive or a layout that another tool wrote.
 *
 * Read are docker's archive (`docker save`, skopeo's docker-archive, buildx's type=docker) and the OCI
 * layout as a tar or a directory (OCI image-spec, image-layout.md). An archive that is both is taken
 * as the OCI layout, which keeps the manifest's digest. An index whose images are all there is loaded
 * whole, unless one platform is asked for. Every digest that a document names is checked;
 * an image appears when all of it is there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/progress.h"
#include "fs/base/str.h"
#include "registry/platform.h"

struct store;

struct load_options {
    const char *path;                /* file or directory; NULL: standard input */
    const struct platform *platform; /* of an image that has several; NULL: the host's */
    struct progress *progress;       /* may be NULL */
};

struct loaded_image {
    struct digest manifest;
    struct digest config;
    bool has_index; /* its names stand for all images of an index, this one where one is meant */
    struct digest index;
    struct strv names; /* canonical references it was given; may be empty */
};
struct loaded_images {
    struct loaded_image *items;
    size_t count;
    size_t capacity;
};
void loaded_images_release(struct loaded_images *l);
DEFINE_CLEANUP_VALUE(loaded_images_release, struct loaded_images)
#define auto_loaded_images CLEANUP(loaded_images_release)

/* Gives it a further name, canonical; all of it when it is an index. */
int load_tag(struct store *store, const struct loaded_image *image, const char *name,
             struct error *err);
/* `out` has what was loaded, also when a later image fails. -EINVAL it is no such archive, or a
 * document is malformed; -EBADMSG bytes are not what a digest says; -ENOENT a file is missing. */
int load_images(struct store *store, const struct load_options *options, struct loaded_images *out,
                struct error *err);

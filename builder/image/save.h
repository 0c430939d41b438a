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

/* Images for several platforms, and the index that names them. */
struct save_index {
    const struct str *document;  /* kept to the byte while it names what is written */
    const struct digest *digest; /* what it is called; NULL: it is new */
    const struct image *images;  /* as the document names them; they need not be stored */
    size_t count;
};
struct save_image {
    const struct image *image;            /* need not be stored */
    const struct save_index *index;       /* instead of one image; the OCI forms alone have it */
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
/* The index that the OCI forms hold: that of `what`, or where a layer, and so a manifest, gets another
 * form, one that names the new ones. What it names besides images (attestations) is written along
 * when the store has it; of an index that changed it is left out with a warning, for it is about
 * other digests. */
int save_oci_index(struct store *store, const struct save_index *what,
                   const struct export_options *options, struct str *out, const char **media_type,
                   struct error *err);
/* The manifest that the OCI form holds for an image: layers compressed where they were not. */
int save_oci_manifest(struct store *store, const struct image *image,
                      const struct export_options *options, struct str *out,
                      const char **media_type, struct error *err);

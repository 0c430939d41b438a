/* layout.h - an OCI image layout, a directory of the host, as an image of the store.
 *
 * OCI image-spec, image-layout.md. Every file is opened beneath the directory and its digest and
 * size are checked; what the store has already is not read.
 */
#pragma once

#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "registry/platform.h"

struct store;

/* Where a layout has a blob: "blobs/sha256/<hex>" or "blobs/sha512/<hex>". */
#define LAYOUT_PATH_SIZE (sizeof("blobs/") + DIGEST_TEXT_SIZE)
void layout_blob_path(const struct digest *digest, char path[LAYOUT_PATH_SIZE]);
bool layout_parse_blob_path(const char *path, struct digest *out); /* false: it is none */

/* `text`: DIR[:TAG][@DIGEST]; without both the entry named "latest", or the only one. *manifest
 * names the image for the platform.
 *
 * Errors: -ENOENT no such directory, tag or platform; -EBADMSG a digest or size is wrong; -EINVAL
 * a document is malformed. */
int layout_import(struct store *store, const char *text, const struct platform *platform,
                  struct digest *manifest, struct error *err);

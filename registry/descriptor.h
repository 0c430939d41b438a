/* descriptor.h - how documents name others (OCI image-spec, "Descriptor", "Image Index"): writing.
 * manifest.h reads them. Keys keep their order, for the bytes of a document make its digest.
 */
#pragma once

#include <stdint.h>

#include "fs/base/digest.h"

struct json;
struct platform;
struct strv;

/* "mediaType", "digest" and "size", which every descriptor has. */
void descriptor_put(struct json *descriptor, const char *media_type, const struct digest *digest,
                    uint64_t size_bytes);
/* "platform": its architecture, operating system and, if it has one, variant. */
void descriptor_put_platform(struct json *descriptor, const struct platform *platform);
/* Pairs "key=value" as members of an object of annotations; NULL: none. */
void annotations_put(struct json *annotations, const struct strv *pairs);
/* "annotations" of a descriptor or document, unless the object is empty. Takes it. */
void document_put_annotations(struct json *document, struct json *annotations);
/* An image index of these descriptors, an array, which it takes. Never NULL. */
struct json *index_document_new(const char *media_type, struct json *manifests);

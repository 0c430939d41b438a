/* descriptor.c - see descriptor.h. */
#include <string.h>

#include "fs/base/json.h"
#include "fs/base/str.h"
#include "registry/descriptor.h"
#include "registry/platform.h"

#include "fs/base/banned.h"

void descriptor_put(struct json *descriptor, const char *media_type, const struct digest *digest,
                    uint64_t size_bytes)
{
    char text[DIGEST_TEXT_SIZE];

    digest_format(digest, text);
    json_put_text(descriptor, "mediaType", media_type);
    json_put_text(descriptor, "digest", text);
    json_put_int(descriptor, "size", (int64_t)size_bytes);
}

void descriptor_put_platform(struct json *descriptor, const struct platform *platform)
{
    struct json *object = json_new_object();

    json_put_text(object, "architecture", platform->architecture);
    json_put_text(object, "os", platform->os);
    json_put_text(object, "variant", platform->variant);
    json_put(descriptor, "platform", object);
}

void annotations_put(struct json *annotations, const struct strv *pairs)
{
    for (size_t i = 0; pairs && i < pairs->count; i++) {
        const char *value = strchr(pairs->items[i], '=');
        auto_free char *key = mem_strndup(pairs->items[i], strcspn(pairs->items[i], "="));

        json_put_text(annotations, key, value ? value + 1 : "");
    }
}

void document_put_annotations(struct json *document, struct json *annotations)
{
    if (json_count(annotations) > 0)
        json_put(document, "annotations", annotations);
    else
        json_unref(annotations);
}

struct json *index_document_new(const char *media_type, struct json *manifests)
{
    struct json *index = json_new_object();

    json_put_int(index, "schemaVersion", 2);
    json_put_text(index, "mediaType", media_type);
    json_put(index, "manifests", manifests);
    return index;
}

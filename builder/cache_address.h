/* cache_address.h - what --cache-from and --cache-to name: "type=registry,ref=a/b:cache,mode=max".
 *
 * The words are BuildKit's. A bare reference is type=registry. A field that means nothing here is an
 * error, never ignored.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "builder/image/export.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"

enum cache_type { CACHE_REGISTRY, CACHE_LOCAL, CACHE_INLINE };

struct cache_address {
    enum cache_type type;
    char *text;        /* as it was given, for messages */
    char *ref;         /* REGISTRY */
    char *directory;   /* LOCAL: an OCI layout */
    char *tag;         /* LOCAL: of the entry in it; "latest" unless given */
    char *digest;      /* LOCAL, importing: of the manifest, instead of the tag; or NULL */
    bool is_max;       /* exporting: all steps, not those of the image's own stage alone */
    bool ignore_error; /* exporting */
    struct export_options export;
};

struct cache_addresses {
    struct cache_address *items;
    size_t count;
    size_t capacity;
};
void cache_addresses_release(struct cache_addresses *a);
DEFINE_CLEANUP_VALUE(cache_addresses_release, struct cache_addresses)
#define auto_cache_addresses CLEANUP(cache_addresses_release)

enum cache_use { CACHE_IMPORT, CACHE_EXPORT };

/* Appends what `text` says. -EINVAL names the field; -ENOTSUP a type that needs a service nobody but
 * BuildKit talks to (gha, s3, azblob): then nothing was appended. */
int cache_address_parse(const char *text, enum cache_use use, struct cache_addresses *out,
                        struct error *err);

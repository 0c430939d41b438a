/* output.h - what `build -o` asks for: "type=oci,dest=app.tar,compression=zstd".
 *
 * The words are BuildKit's. A field that means nothing to its type is an error, never ignored.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "builder/image/export.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

enum output_type { OUTPUT_LOCAL, OUTPUT_TAR, OUTPUT_OCI, OUTPUT_DOCKER, OUTPUT_IMAGE };

/* "key=value" lines for what an annotation can be put on. */
struct output_annotations {
    struct strv manifest;
    struct strv descriptor; /* of the manifest, in an index */
    struct strv index;
    struct strv index_entry; /* of the index's own descriptor, in the index.json of a layout */
};
void output_annotations_release(struct output_annotations *a);

struct output {
    enum output_type type;
    char *dest;             /* file or directory; "-" standard output; NULL: the store */
    struct strv names;      /* canonical references, from name=; empty: those of --tag */
    bool push;              /* IMAGE */
    bool is_directory;      /* OCI: tar=false */
    bool has_split;         /* LOCAL, TAR: platform-split was given */
    bool is_split;          /* and is true: a directory for each platform, also for one */
    bool delete_others;     /* LOCAL: mode=delete */
    bool rewrite_timestamp; /* asked for here */
    bool is_insecure;       /* registry.insecure */
    bool has_compression;   /* some field of `export` was given */
    bool has_types;         /* oci-mediatypes was given */
    bool as_artifact;       /* oci-artifact: how attestations are kept, if there are any */
    struct export_options export;
    struct output_annotations annotations;
};
void output_release(struct output *o);
DEFINE_CLEANUP_VALUE(output_release, struct output)

struct output_list {
    struct output *items;
    size_t count;
    size_t capacity;
};
void output_list_release(struct output_list *list);

/* Appends what `text` says: a directory, "-" for a tar on standard output, or comma separated fields
 * (quoted as CSV where a value holds a comma). `platform` ("linux/amd64") is the image's, for
 * annotations that are for one. -EINVAL names the field. */
int output_parse(const char *text, const char *platform, struct output_list *out,
                 struct error *err);
/* --annotation: "KEY=VALUE", or "TYPE[PLATFORM],...:KEY=VALUE" with manifest, manifest-descriptor,
 * index and index-descriptor for types. One for another platform is passed over. */
int output_annotation_parse(const char *text, const char *platform, struct output_annotations *out,
                            struct error *err);

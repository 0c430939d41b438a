/* provenance.h - how an image was built, as a predicate of in-toto attestations.
 *
 * SLSA provenance v1 (slsa.dev/spec/v1.1/provenance) and v0.2, with the fields that BuildKit has for
 * a Dockerfile (BuildKit, docs/attestations/slsa-definitions.md), so that what reads one reads the other.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "registry/manifest.h"

struct json;
struct strv;
struct trace;

#define PROVENANCE_TYPE_V1 "https://slsa.dev/provenance/v1"
#define PROVENANCE_TYPE_V02 "https://slsa.dev/provenance/v0.2"

/* MIN holds nothing that was given to the build: no build arguments, labels, ids of secrets, steps. */
enum provenance_mode { PROVENANCE_MIN, PROVENANCE_MAX };
enum provenance_version { PROVENANCE_V1, PROVENANCE_V02 };

struct provenance {
    const struct trace *trace; /* finished */
    enum provenance_mode mode;
    enum provenance_version version;
    const char *builder_id;    /* NULL: none */
    const char *program;       /* version of img */
    bool is_reproducible;      /* as the caller claims */
    const char *invocation_id; /* one for all platforms of a build */
    const char *entry_point;   /* "Dockerfile" */
    const char *config_uri;    /* of the context that the Dockerfile came with, or NULL */
    const char *config_digest; /* "sha1:<hex>" of a commit, "sha256:<hex>" of an archive, or NULL */
    const struct strv *args;   /* "build-arg:A=1", "label:a=b", "target=x" */
    bool lacks_args;           /* some were left out */
    const char *dockerfile;    /* the text, with its size in bytes */
    size_t dockerfile_size;
    const struct descriptors
        *layers; /* of the manifest that it is about; NULL: it is about files */
};
const char *provenance_type(enum provenance_version version);
/* The predicate; the caller's. The same facts give the same bytes. */
struct json *provenance_new(const struct provenance *p);

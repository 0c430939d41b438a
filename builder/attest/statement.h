/* statement.h - an in-toto statement: what is said (a predicate) of what (subjects, by digest).
 *
 * in-toto attestation framework, "Statement"; BuildKit, docs/attestations/attestation-storage.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "registry/manifest.h"

struct json;
struct store;

#define MEDIA_IN_TOTO "application/vnd.in-toto+json"
#define MEDIA_ATTESTATION "application/vnd.docker.attestation.manifest.v1+json"

struct subject {
    char *name; /* a package URL, or a path; "_" where the digest says it all */
    struct digest digest;
};
struct subjects {
    struct subject *items;
    size_t count;
    size_t capacity;
};
void subjects_add(struct subjects *list, const char *name, const struct digest *digest);
void subjects_release(struct subjects *list);
DEFINE_CLEANUP_VALUE(subjects_release, struct subjects)
#define auto_subjects CLEANUP(subjects_release)

/* {"sha256": "<hex>"} of "sha256:<hex>". */
struct json *digest_set_new(const char *digest);

struct predicate {
    const char *type;      /* a URI; constant */
    struct json *document; /* owned */
    char *filename;        /* of the statement among files: "provenance.json"; owned */
};
struct predicates {
    struct predicate *items;
    size_t count;
    size_t capacity;
};
void predicates_release(struct predicates *list);
DEFINE_CLEANUP_VALUE(predicates_release, struct predicates)
#define auto_predicates CLEANUP(predicates_release)

/* The statement's bytes. */
void statement_write(const struct predicate *p, const struct subjects *subjects, struct str *out);

struct attestation_options {
    const struct descriptor *image; /* that they are about: media type, digest, size */
    const struct subjects *subjects;
    bool as_artifact; /* OCI image-spec, "Guidelines for Artifact Usage", with a subject */
};
/* An attestation manifest over statements with these predicates, with all that it names, as blobs of the
 * store. `entry` is its descriptor for an index, an object to be filled. */
int attestation_store(struct store *store, const struct predicates *predicates,
                      const struct attestation_options *options, struct json *entry,
                      struct error *err);

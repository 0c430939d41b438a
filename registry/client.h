/* client.h - one repository on one registry: its manifests and its blobs.
 *
 * OCI distribution-spec 1.1 and Docker Registry HTTP API V2. Speaks bytes and digests; knows no
 * store and no layer. A `struct registry` may be used by several threads at once; each call blocks
 * its thread. Credentials, tokens, mirrors and connections are shared through `struct registries`.
 *
 * Errors common to all calls: -EACCES the registry wants (other) credentials, hint "img login
 * HOST"; -ENOENT there is no such repository, manifest or blob; -EBADMSG bytes do not match their
 * digest or size; -EBUSY the registry keeps answering 429; -EREMOTEIO any other refusal, with the
 * registry's own words; -ECANCELED; and those of http_request.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/base/stream.h"
#include "registry/http.h"
#include "registry/manifest.h"
#include "registry/reference.h"
#include "registry/registries.h"

struct registry;

/* PULL asks tokens for reading and may be answered by a mirror; PUSH reads and writes the registry
 * itself. */
enum registry_use { REGISTRY_PULL, REGISTRY_PUSH };

/* Of `ref` only host and repository count. No network yet. -EPERM the host is blocked in
 * registries.conf. */
int registry_open(struct registries *all, const struct reference *ref, enum registry_use use,
                  struct registry **out, struct error *err);
void registry_close(struct registry *r);
DEFINE_CLEANUP(registry_close, struct registry *)
#define auto_registry CLEANUP(registry_close)

/* A manifest or index exactly as the registry has it. */
struct document {
    struct str bytes;
    char *media_type; /* Content-Type without parameters, or the document's own mediaType */
    struct digest digest;
};
void document_release(struct document *d);
DEFINE_CLEANUP_VALUE(document_release, struct document)
#define auto_document CLEANUP(document_release)

/* What `name` (a tag, or a digest) points at: media type, digest, size. One HEAD, which
 * registries do not count against pull limits; a GET where HEAD gives no digest. The caller owns
 * `*out`. */
int registry_manifest_head(struct registry *r, const char *name, struct descriptor *out,
                           struct error *err);
/* The document itself, index or image manifest, hashed and (by digest) compared; its shape is
 * checked as manifest_parse does, so ambiguous documents and schema 1 end here. At most
 * LIMIT_MANIFEST_SIZE bytes. */
int registry_manifest_get(struct registry *r, const char *name, struct document *out,
                          struct error *err);
/* Stores `bytes` under `name`; blobs and child manifests must be there already. With a `subject` in
 * the document the referrers fallback tag is kept up where the registry does not do it itself. */
int registry_manifest_put(struct registry *r, const char *name, const char *media_type,
                          const void *bytes, size_t size, struct error *err);
/* The same for a document that has a digest, which the registry shall know it by as well as by the tag
 * `name` (distribution-spec, "Pushing Manifests", with a digest and tags). A tag alone makes it a
 * sha256, so that others are put by digest first. A registry that has no other algorithm gets it by
 * the tag alone; d->digest is then the sha256 that it has there. */
int registry_document_put(struct registry *r, const char *name, struct document *d,
                          struct error *err);
/* -ENOTSUP when the registry does not allow deletion. */
int registry_manifest_delete(struct registry *r, const char *name, struct error *err);

/* Sets *size_bytes and returns 1 when the blob is there, 0 when it is not. */
int registry_blob_exists(struct registry *r, const struct digest *digest, uint64_t *size_bytes,
                         struct error *err);

struct blob_get {
    struct digest digest;
    uint64_t size_bytes; /* from the descriptor; more or fewer bytes are an error */
    uint64_t offset;     /* where to start: what an earlier run has already; at most size_bytes */
    /* A borrowed hasher that has seen the bytes before `offset`. NULL with an offset: nothing is
     * hashed here and the sink's owner alone checks the digest. */
    struct hasher *prefix;
    bool sink_hashes;    /* the sink's owner checks the digest anyway: hash nothing here */
    struct writer *sink; /* gets the bytes in order, each once; finish is not called */
    /* Absolute, offset included; may be NULL. */
    void (*on_progress)(void *context, uint64_t done_bytes);
    void (*on_silence)(void *context, unsigned silent_ms); /* as in http_request; may be NULL */
    void *context;
};
/* Streams a blob. An interrupted transfer is taken up again with Range where it stopped, from the
 * same or another mirror, as long as it makes progress; a server without ranges is read again from
 * 0 and what the sink has is skipped (and compared by digest). -EBADMSG wrong digest or size: the
 * sink has got bytes which must be thrown away. */
int registry_blob_get(struct registry *r, const struct blob_get *what, struct error *err);
/* A small blob into memory, checked: configs. -EFBIG when size_bytes is above size_max. */
int registry_blob_read(struct registry *r, const struct digest *digest, uint64_t size_bytes,
                       size_t size_max, struct str *out, struct error *err);

enum blob_put_result { BLOB_EXISTED, BLOB_MOUNTED, BLOB_UPLOADED };

struct blob_put {
    struct digest digest; /* of the whole blob; the caller vouches for it (SECURITY R50) */
    uint64_t size_bytes;
    struct body_source *source;    /* opened once or more, from any offset */
    const struct strv *mount_from; /* repositories on the same host that may have it, best first */
    bool skip_check;               /* the caller knows it is missing: no HEAD */
    /* May step back when a part is sent again; may be NULL. */
    void (*on_progress)(void *context, uint64_t done_bytes);
    void (*on_silence)(void *context, unsigned silent_ms); /* as in http_request; may be NULL */
    void *context;
};
/* Makes sure the registry has the blob: HEAD, mount, then upload (one PUT, or PATCH chunks for big
 * blobs), taken up again where the registry says it stopped. */
int registry_blob_put(struct registry *r, const struct blob_put *what, enum blob_put_result *out,
                      struct error *err);

/* A blob that is sent while it is made, so that its digest comes last; what the registry has
 * already is sent for nothing. One thread at a time. After a failure it can only be freed, and
 * registry_blob_put still be tried: some registries take whole blobs only. */
struct blob_growing;
/* Of `what` digest, size, mount_from and skip_check mean nothing yet; the rest is borrowed, and its
 * source need have no more bytes than were told of. No network. */
struct blob_growing *registry_blob_grow_new(struct registry *r, const struct blob_put *what);
/* There are `size_bytes` now: sends what is new in chunks, and what is too little for one waits. */
int registry_blob_grow(struct blob_growing *g, uint64_t size_bytes, struct error *err);
/* That was all of it: sends the rest, and has the registry compare the digest. */
int registry_blob_grow_end(struct blob_growing *g, const struct digest *digest, uint64_t size_bytes,
                           struct error *err);
void registry_blob_grow_free(
    struct blob_growing *g); /* takes back what has no end; NULL: nothing */

int registry_tags(struct registry *r, struct strv *out, struct error *err); /* all pages */
/* Manifests whose subject is `digest`, from the referrers API or the fallback tag; an index.
 * artifact_type filters when not NULL. */
int registry_referrers(struct registry *r, const struct digest *digest, const char *artifact_type,
                       struct manifest *out, struct error *err);

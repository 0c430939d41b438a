/* transfer.h - pull and push: the only bridge between the store and a registry.
 *
 * Layers move in parallel, a few at a time; nothing is visible in the store before its digest and
 * size are verified, and a layer the store has, under its blob digest or its diff_id, is not
 * fetched. What an interrupted pull has of a layer is kept apart, and the next one, in this process
 * or a later one, asks the registry for the rest alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "builder/image/export.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/progress.h"
#include "registry/platform.h"
#include "registry/reference.h"
#include "registry/registries.h"

struct store;

struct transfer {
    struct store *store;
    struct registries *registries;
    struct progress *progress; /* may be NULL */
    uint32_t vertex;           /* that statuses belong to */
};

struct pull_result {
    struct digest manifest; /* of the image for the platform */
    struct digest index;    /* what the reference points at, when has_index */
    bool has_index;
    bool was_there; /* nothing had to be fetched but the manifest */
    uint64_t size_bytes;
};
/* The manifest and configuration of the image for the platform; fetches no layer and stores nothing.
 * The caller owns `*config`. */
struct config;
int transfer_describe(struct transfer *t, const struct reference *ref,
                      const struct platform *platform, struct digest *manifest,
                      struct config **config, struct error *err);
/* An image whose layers are fetched one by one, when somebody needs them. Nothing is stored by
 * opening it. `t` and `ref` have to outlive it; a layer may be asked for by any thread, each with a
 * vertex of its own. */
struct remote_image;
int remote_image_open(struct transfer *t, const struct reference *ref,
                      const struct platform *platform, struct remote_image **out,
                      struct error *err);
void remote_image_close(struct remote_image *image);
DEFINE_CLEANUP(remote_image_close, struct remote_image *)
#define auto_remote_image CLEANUP(remote_image_close)
const struct digest *remote_image_manifest(const struct remote_image *image);
/* Its diff_ids are as many as there are layers. Borrowed. */
const struct config *remote_image_config(const struct remote_image *image);
int remote_image_layer(const struct remote_image *image, size_t position, uint32_t vertex,
                       int64_t *layer, struct error *err);
/* Fetches the image and points the reference at it. */
int transfer_pull(struct transfer *t, const struct reference *ref, const struct platform *platform,
                  struct pull_result *out, struct error *err);

struct push_result {
    struct digest manifest; /* as the registry has it */
    uint64_t size_bytes;    /* of the manifest */
};
/* Pushes the image `manifest` of the store to `refs`, one or more tags of one repository: its blobs
 * once, its manifest once a tag. */
int transfer_push(struct transfer *t, const struct digest *manifest, const struct reference *refs,
                  size_t ref_count, const struct export_options *options, struct push_result *out,
                  struct error *err);
/* Pushes an index to the byte: everything it names, at any platform, has to be in the store. Blobs go
 * first, then the manifests by their digests, then the index under each of `refs`. */
int transfer_push_index(struct transfer *t, const struct digest *index,
                        const struct reference *refs, size_t ref_count, struct push_result *out,
                        struct error *err);
bool transfer_index_is_whole(struct transfer *t, const struct digest *index);
/* Fetches what the stored index `index` of `ref` names: images as transfer_pull does, by their
 * digests, attestations and other artifacts as bare blobs. */
int transfer_pull_index(struct transfer *t, const struct reference *ref, const struct digest *index,
                        struct error *err);
/* Shared by both directions: a line that says that a transfer stands still. */
void transfer_tell_silence(const struct transfer *t, const char *name, unsigned silent_ms);

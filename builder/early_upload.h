/* early_upload.h - a layer goes to its registry while it is compressed.
 *
 * What is made so far is read back from the file that grows, so neither waits for the other. The digest,
 * by which a registry is asked for a blob, is known at the end only: then it is asked, and if it has the
 * blob sending stops. So what is sent for nothing is what fits through while compressing, and layers of a
 * few MiB are never sent early. Whatever goes wrong, the blob can still be sent as any other.
 */
#pragma once

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/layer.h"
#include "registry/client.h"

struct early_upload;

/* `registry` and what `hooks` points at are borrowed; of `hooks` only on_progress, on_silence and
 * context count. They are called from a thread of its own. */
struct early_upload *early_upload_new(struct registry *registry, const struct blob_put *hooks);
/* To be given to whoever makes the blob; borrowed. */
struct blob_follower *early_upload_follower(struct early_upload *e);
/* The blob is made. True when the registry has it. False: nothing was sent or it was for nothing, and
 * registry_blob_put is due. */
bool early_upload_end(struct early_upload *e, const struct digest *digest, uint64_t size_bytes);
void early_upload_free(struct early_upload *e); /* stops sending; NULL is allowed */
DEFINE_CLEANUP(early_upload_free, struct early_upload *)
#define auto_early_upload CLEANUP(early_upload_free)

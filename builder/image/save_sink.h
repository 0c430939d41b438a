/* save_sink.h - where `save` puts named files: into a tar, or below a directory.
 *
 * A name is written once; later calls with it do nothing. In a directory each file appears when it
 * is whole and durable.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/base/stream.h"

struct save_sink;
struct store;

struct save_sink *save_sink_new_tar(struct writer *to); /* `to` is borrowed */
/* Makes the directory, or takes one that is empty or an OCI layout; -EEXIST for any other. */
int save_sink_open_directory(const char *path, struct save_sink **out, struct error *err);
void save_sink_free(struct save_sink *s);
DEFINE_CLEANUP(save_sink_free, struct save_sink *)
#define auto_save_sink CLEANUP(save_sink_free)

int save_sink_directory(struct save_sink *s, const char *path, struct error *err);
int save_sink_bytes(struct save_sink *s, const char *path, const void *bytes, size_t size,
                    struct error *err);
/* The blob, or the tar of the layer, verified; -EIO when it is damaged or not of this size. */
int save_sink_blob(struct save_sink *s, struct store *store, const char *path,
                   const struct digest *digest, uint64_t size_bytes, struct error *err);
int save_sink_layer(struct save_sink *s, struct store *store, const char *path, int64_t layer,
                    uint64_t size_bytes, struct error *err);
/* A file that was there before; -ENOENT also from a tar. */
int save_sink_read(struct save_sink *s, const char *path, uint64_t size_max, struct str *out,
                   struct error *err);
int save_sink_finish(struct save_sink *s, struct error *err); /* the end of a tar */

/* layer_internal.h - how a tar entry becomes an entry of an index, and an index a tar. */
#pragma once

#include <stdint.h>

#include "fs/index.h"
#include "fs/tar.h"

struct reader;
struct store;

/* Adds one entry of a layer's tar, whose bytes are in `pack`: a whiteout by its name (OCI image-spec,
 * layer.md, "Whiteouts"), else what it is. aufs's own files (".wh..wh.*") are left out. The builder's
 * errors, and -EINVAL for whiteouts that name nothing or have something below them. */
int layer_add_tar_entry(struct index_builder *b, uint64_t pack, const struct tar_entry *e,
                        struct error *err);

/* The tar of an index, generated: the bytes depend on the index and the packs' contents alone. `x` is
 * borrowed, `what` names the layer in messages and is copied. */
struct reader *layer_generate_tar(struct store *store, const struct index *x, const char *what);

/* layer_entry.h - how an entry of a layer's tar becomes an entry of an index. */
#pragma once

#include <stdint.h>

#include "fs/index.h"
#include "fs/tar.h"

/* Adds one entry of a layer's tar, whose bytes are in `pack`: a whiteout by its name (OCI image-spec,
 * layer.md, "Whiteouts"), else what it is. aufs's own files (".wh..wh.*") are left out. The builder's
 * errors, and -EINVAL for whiteouts that name nothing or have something below them. */
int layer_add_tar_entry(struct index_builder *b, uint64_t pack, const struct tar_entry *e,
                        struct error *err);

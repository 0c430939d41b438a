/* layer_internal.h - the tar of a layer that was built here. */
#pragma once

#include "fs/index.h"

struct reader;
struct store;

/* The tar of an index, generated: the bytes depend on the index and the packs' contents alone. `x` is
 * borrowed, `what` names the layer in messages and is copied. */
struct reader *layer_generate_tar(struct store *store, const struct index *x, const char *what);

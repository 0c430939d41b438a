/* cache_export.h - steps for others: --cache-to.
 *
 * The form is that of cache_remote.h: an image whose layers are those of the steps and whose
 * configuration holds their records. min: the steps that the image was made by; max: all that the
 * build went through, of the stages it copied from too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/error.h"

struct build;
struct config;

/* Puts the records of the target's own steps into `config`, as far as their layers are among
 * `layers`, when an inline cache was asked for; false: it was, and there are none. */
bool cache_export_inline(struct build *b, struct config *config, const int64_t *layers,
                         size_t layer_count);
/* Exports to all registries and directories of options->cache_to. */
int cache_export(struct build *b, struct error *err);

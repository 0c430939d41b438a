/* unpack.h - a view as plain files of the caller in a host directory.
 *
 * Everything belongs to the caller; set-id bits, devices and foreign owners do not become real
 * (SECURITY R38, R59). The true owners, modes and devices are written beside it on request.
 */
#pragma once

#include <stdint.h>

#include "fs/base/error.h"

struct view;

struct unpack_result {
    uint64_t entry_count;
    uint64_t size_bytes;
    uint64_t skipped_count; /* devices and sockets, which the caller cannot make */
};
/* `directory` must not exist or be empty (-ENOTEMPTY). On failure what was written stays for the
 * caller to look at or remove. */
int unpack_view(struct view *v, const char *directory, struct unpack_result *out,
                struct error *err);

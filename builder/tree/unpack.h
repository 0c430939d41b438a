/* unpack.h - a view as plain files of the caller in a host directory.
 *
 * Everything belongs to the caller; set-id bits, devices and foreign owners do not become real
 * (SECURITY R38, R59). The true owners, modes and devices are written beside it on request.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/error.h"

struct view;

struct unpack_result {
    uint64_t entry_count;
    uint64_t size_bytes;
    uint64_t skipped_count; /* devices and sockets, which the caller cannot make */
};
struct unpack_options {
    bool merge;         /* into a directory that holds something: a name that is there is replaced,
                           directories are filled; no link in it is followed */
    bool delete_others; /* with merge: names that the view does not have go */
    bool set_time;      /* every entry has the time mtime_ns */
    int64_t mtime_ns;
};

/* Unless it is to merge (options NULL: it is not), `directory` must not exist or be empty
 * (-ENOTEMPTY). On failure what was written stays for the
 * caller to look at or remove. */
int unpack_view(struct view *v, const char *directory, const struct unpack_options *options,
                struct unpack_result *out, struct error *err);

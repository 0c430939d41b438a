/* tar_text.h - a tar as text, one line per entry, as our reader and as libarchive see it.
 *
 *     PATH TYPE MODE UID:GID MTIME [SIZE] [-> TARGET] [=> HARD LINK] [MAJOR,MINOR] [NAME="VALUE" ...]
 *
 * In the order of the tar. Times have nine decimals when they have any. A sparse file's pieces follow
 * as "[offset+length ...]".
 */
#pragma once

#include "fs/base/error.h"
#include "fs/base/str.h"

/* The reader under test, fed `chunk` bytes at a time. */
int tar_text(const void *tar, size_t size, size_t chunk, struct str *out, struct error *err);
/* libarchive, from the same bytes; fails the test when it refuses them. */
void tar_text_oracle(const void *tar, size_t size, struct str *out);

/* hashed_copy.h - copies one stream into another and says what it copied.
 *
 * The digest is taken on a second thread while this one reads and writes, so that a copy whose bytes
 * are verified takes as long as the slower of the two and not their sum.
 */
#pragma once

#include <stdint.h>

#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/stream.h"

/* Copies until the end; does not finish `to`. Memory: 4 MiB, less for less. On failure `found`, of
 * that algorithm, and `total_bytes` are not set. */
int hashed_copy(enum digest_algorithm algorithm, struct reader *from, struct writer *to,
                struct digest *found, uint64_t *total_bytes, struct error *err);

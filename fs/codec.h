/* codec.h - gzip, zstd and plain: inflate a stream, deflate a stream, and nothing of tar.
 *
 * The only door to ISA-L, libdeflate, zlib and libzstd. Inflating streams with bounded memory and
 * refuses bombs (SECURITY R40). Deflating cuts independent 1 MiB members (gzip, RFC 1952 2.2) or
 * frames (zstd), so that it runs in parallel and its bytes depend on the input and level alone.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/stream.h"

enum codec_format { CODEC_DETECT = 0, CODEC_NONE, CODEC_GZIP, CODEC_ZSTD };

const char *codec_name(enum codec_format format); /* "uncompressed", "gzip", "zstd" */
enum codec_format codec_sniff(const void *bytes, size_t size); /* by magic; NONE when unknown */

/* Inflate: push compressed bytes in, inflated bytes go to `to` (borrowed). finish checks the end. */
int inflate_writer_new(enum codec_format format, struct writer *to, struct writer **out,
                       struct error *err);
/* Deflate on `threads` threads; level -1 is the default (gzip 6, zstd 3). */
int deflate_writer_new(enum codec_format format, int level, unsigned threads, struct writer *to,
                       struct writer **out, struct error *err);

/* codec.h - gzip, zstd and plain: inflate a stream, deflate a stream, and nothing of tar.
 *
 * The only door to ISA-L, libdeflate and libzstd. Inflating streams with bounded memory and
 * refuses bombs (SECURITY R40). Deflating cuts independent members of at most 1 MiB (gzip, RFC 1952
 * 2.2) or frames (zstd), so that it runs in parallel, and its bytes depend on the input, the level and the
 * libraries' versions alone: neither on threads nor on the machine, with the one exception below.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/stream.h"

enum codec_format { CODEC_DETECT = 0, CODEC_NONE, CODEC_GZIP, CODEC_ZSTD };

const char *codec_name(enum codec_format format); /* "uncompressed", "gzip", "zstd" */
#define CODEC_SNIFF_SIZE 4u                       /* bytes that codec_sniff wants to see */
enum codec_format codec_sniff(const void *bytes, size_t size); /* by magic; NONE when unknown */

/* -- inflating: gzip of any number of members, zstd of any number of frames --
 *
 * Errors of all calls: -EBADMSG damaged, or something else behind the last member; -EFBIG a bomb: more
 * than LIMIT_LAYER_SIZE, or than LIMIT_INFLATE_RATIO times its size. Memory: 90 KiB for gzip; for
 * zstd the window, as a rule 2 to 8 MiB and at most 128 MiB, for whoever compressed decides how far back
 * the data may point; a greater one is -EFBIG. */
struct inflater;
struct inflater *inflater_new(enum codec_format format);
/* Of all inflaters told so, one at a time has a window of more than 8 MiB: another one waits, in
 * inflater_run, until that one is freed. So it must not wait for the freeing itself. */
void inflater_take_turns(struct inflater *i);
void inflater_free(struct inflater *i);
DEFINE_CLEANUP(inflater_free, struct inflater *)
#define auto_inflater CLEANUP(inflater_free)
/* Moves *in and *in_size behind what was read and answers how many bytes were put to out, at most
 * out_size. 0 means that all input was read and no output is left. */
ssize_t inflater_run(struct inflater *i, const uint8_t **in, size_t *in_size, void *out,
                     size_t out_size, struct error *err);
/* -EBADMSG when the input so far is cut short. Under CODEC_DETECT no input at all is a whole, empty
 * stream, and one to three bytes are refused. */
int inflater_finish(struct inflater *i, struct error *err);
enum codec_format inflater_format(const struct inflater *i); /* DETECT until it is known */

/* The same as a writer: push compressed bytes in, inflated bytes go to `to` (borrowed, not
 * finished). finish checks the end. */
struct writer *inflate_writer_new(enum codec_format format, struct writer *to);

/* -- deflating -- */

/* On `threads` threads (at most 8 are used; 1 or 0: on the caller's own). Levels: gzip 0 (stored) to 12,
 * zstd 1 to 22; -1 is the default: of zstd 3, of gzip 6 for the first 16 MiB and then the fastest there
 * is. That is ISA-L's level 1, with equal bytes on every x86-64 that has SSE4.2 (since 2009), and
 * libdeflate's level 1, with equal bytes on all others. Bytes go to `to` (borrowed, not finished) in
 * order, from the calling thread. Memory: about 2.1 MiB for each thread and one more, and what the level
 * asks for. -EINVAL: a level the format does not have. */
int deflate_writer_new(enum codec_format format, int level, unsigned threads, struct writer *to,
                       struct writer **out, struct error *err);

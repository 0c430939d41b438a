/* blobs.h - bytes for transfer tests: made from a seed, kept in memory, read back from any offset.
 */
#pragma once

#include "fs/base/digest.h"
#include "fs/base/str.h"
#include "fs/base/stream.h"
#include "registry/http.h"

/* `size` bytes that no compressor shrinks, the same for the same seed. */
void make_blob(uint64_t seed, size_t size, struct str *out);

/* A sink that keeps what it gets, or fails after so many bytes. */
struct keeping_sink {
    struct writer writer;
    struct str bytes;
    size_t fail_after; /* 0: never */
};
void keeping_sink_init(struct keeping_sink *sink);
void keeping_sink_release(struct keeping_sink *sink);
DEFINE_CLEANUP_VALUE(keeping_sink_release, struct keeping_sink)
#define auto_keeping_sink CLEANUP(keeping_sink_release)

/* A source over borrowed bytes that counts how often it was opened. */
struct memory_source {
    struct body_source source;
    const char *bytes;
    size_t size;
    unsigned open_count;
};
void memory_source_init(struct memory_source *source, const void *bytes, size_t size);

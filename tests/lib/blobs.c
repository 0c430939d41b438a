/* blobs.c - bytes for transfer tests. */
#include <errno.h>

#include "tests/lib/blobs.h"

#include "fs/base/banned.h"

/* xorshift64*: any generator does, the bytes only have to differ. */
void make_blob(uint64_t seed, size_t size, struct str *out)
{
    uint64_t state = seed * 2654435769u + 88172645463325252u;

    while (out->size < size) {
        uint64_t word;

        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        word = state * 2685821657736338717u;
        str_add_bytes(out, &word, size - out->size < 8 ? size - out->size : 8);
    }
}

static int keep(struct writer *w, const void *buf, size_t size, struct error *err)
{
    struct keeping_sink *sink = (struct keeping_sink *)w;

    if (sink->fail_after > 0 && sink->bytes.size + size > sink->fail_after)
        return error_set(err, ENOSPC, "the sink is full");
    str_add_bytes(&sink->bytes, buf, size);
    return 0;
}

void keeping_sink_init(struct keeping_sink *sink)
{
    *sink = (struct keeping_sink){.writer = {.write = keep}};
}

void keeping_sink_release(struct keeping_sink *sink)
{
    str_release(&sink->bytes);
}

static int open_memory(struct body_source *s, uint64_t offset, struct reader **out,
                       struct error *err)
{
    struct memory_source *source = (struct memory_source *)s;

    (void)err;
    source->open_count++;
    *out = memory_reader_new(source->bytes + offset, source->size - (size_t)offset);
    return 0;
}

void memory_source_init(struct memory_source *source, const void *bytes, size_t size)
{
    *source = (struct memory_source){.source = {.open = open_memory}, .bytes = bytes, .size = size};
}

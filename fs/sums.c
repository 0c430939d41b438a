/* sums.c - XXH3 of blocks while a stream passes. Where they are kept: store_sums.c. */
#include <endian.h>
#include <string.h>

#include "fs/base/hash.h"
#include "fs/sums.h"

#include "fs/base/banned.h"

#define COPY_SIZE ((size_t)256 << 10) /* stays in the cache between reading, summing and writing */

struct sums {
    struct hash_stream *block;
    uint64_t block_bytes; /* of the block at hand */
    struct str done;
};

struct sums *sums_new(void)
{
    struct sums *s = mem_new(struct sums);

    s->block = hash_stream_new();
    return s;
}

void sums_free(struct sums *s)
{
    if (!s)
        return;
    hash_stream_free(s->block);
    str_release(&s->done);
    free(s);
}

static void end_block(struct sums *s)
{
    uint64_t sum = htole64(hash_stream_final(s->block));

    str_add_bytes(&s->done, &sum, sizeof(sum));
    hash_stream_reset(s->block);
    s->block_bytes = 0;
}

void sums_update(struct sums *s, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;

    while (size > 0) {
        uint64_t room = SUMS_BLOCK_SIZE - s->block_bytes;
        size_t part = size < room ? size : (size_t)room;

        hash_stream_update(s->block, from, part);
        s->block_bytes += part;
        from += part;
        size -= part;
        if (s->block_bytes == SUMS_BLOCK_SIZE)
            end_block(s);
    }
}

const struct str *sums_final(struct sums *s)
{
    if (s->block_bytes > 0)
        end_block(s);
    return &s->done;
}

/* Whether what is complete agrees; there may be more to come. */
static bool begins(const struct str *expected, const struct str *sums)
{
    return sums->size <= expected->size &&
           (sums->size == 0 || memcmp(expected->data, sums->data, sums->size) == 0);
}

int sums_copy(struct reader *from, struct writer *to, const struct str *expected,
              uint64_t *total_bytes, struct error *err)
{
    auto_sums struct sums *sums = sums_new();
    auto_free uint8_t *buffer = mem_alloc(COPY_SIZE);
    uint64_t total = 0;
    ssize_t n;

    while ((n = reader_read_most(from, buffer, COPY_SIZE, err)) > 0) {
        int r;

        sums_update(sums, buffer, (size_t)n);
        r = writer_write(to, buffer, (size_t)n, err);
        if (r < 0)
            return r;
        total += (uint64_t)n;
        if (!begins(expected, &sums->done))
            return 0;
    }
    if (n < 0)
        return (int)n;
    *total_bytes = total;
    return sums_final(sums)->size == expected->size && begins(expected, &sums->done);
}

/* codec_member.c - makes gzip members of one piece, carefully or fast.
 *
 * Careful is libdeflate, whose bytes are the same everywhere. Fast is ISA-L's level 1, which takes a third
 * of the time of libdeflate's and some 6 % more room. ISA-L finds matches by the processor's own CRC32
 * instruction: wherever there is one (SSE4.2) its levels 0 to 2 give the same bytes, with whatever
 * vectors, and where there is none others. There, and on other architectures, libdeflate does it.
 */
#include <assert.h>
#include <stdlib.h>

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>

#include "fs/base/cleanup.h"
#include "fs/codec_internal.h"

#include "fs/base/banned.h"

#define LEVEL_STORED 0
#define LEVEL_FAST 1
#define START_SIZE 8u /* what ISA-L gets by itself */
/* How much ISA-L looks at before it chooses codes: more is faster, and coarser. */
#define FAST_BUFFER_SIZE ISAL_DEF_LVL1_LARGE

struct member_maker {
    struct libdeflate_compressor *usual;
    struct libdeflate_compressor *stored;
    struct libdeflate_compressor *portable; /* fast without ISA-L; NULL: not needed yet */
    struct isal_zstream *isal;              /* NULL: not needed yet */
    uint8_t isal_buffer[];                  /* FAST_BUFFER_SIZE */
};

bool member_is_fast_by_isal(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("sse4.2");
#else
    return false;
#endif
}

static struct libdeflate_compressor *libdeflate_at(int level)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(level);

    if (!c)
        abort(); /* out of memory, as mem_alloc would */
    return c;
}

struct member_maker *member_maker_new(int level)
{
    struct member_maker *m = mem_alloc(sizeof(*m) + FAST_BUFFER_SIZE);

    m->usual = libdeflate_at(level);
    m->stored = libdeflate_at(LEVEL_STORED);
    m->portable = NULL;
    m->isal = NULL;
    return m;
}

void member_maker_free(struct member_maker *m)
{
    if (!m)
        return;
    libdeflate_free_compressor(m->usual);
    libdeflate_free_compressor(m->stored);
    libdeflate_free_compressor(m->portable);
    free(m->isal);
    free(m);
}

static bool is_dense_at(const uint8_t *in, size_t size, size_t at)
{
    size_t left = size - at;

    return codec_is_dense(in + at, left < CODEC_DENSE_SIZE ? left : CODEC_DENSE_SIZE);
}

/* A member for all that is alike: what does not compress is stored, which costs next to nothing. */
static size_t make_alike(struct member_maker *m, struct libdeflate_compressor *usual,
                         const uint8_t *in, size_t in_size, uint8_t *out, size_t capacity)
{
    bool is_dense = is_dense_at(in, in_size, 0);
    size_t out_size = 0;
    size_t start = 0;
    size_t end;

    do {
        bool was_dense = is_dense;
        size_t size;

        for (end = start; end < in_size && is_dense == was_dense;) {
            end = in_size - end > CODEC_DENSE_SIZE ? end + CODEC_DENSE_SIZE : in_size;
            is_dense = is_dense_at(in, in_size, end);
        }
        size = libdeflate_gzip_compress(was_dense ? m->stored : usual, in + start, end - start,
                                        out + out_size, capacity - out_size);
        assert(size > 0); /* the bound has room for any piece */
        out_size += size;
        start = end;
    } while (start < in_size);
    return out_size;
}

/* Has ISA-L take `size` more bytes, all of which it must; there is room for what comes of them. */
static void isal_take(struct isal_zstream *z, size_t size)
{
    int r;

    z->avail_in = (uint32_t)size;
    r = isal_deflate(z);
    assert(r == COMP_OK && z->avail_in == 0);
}

/* One member. ISA-L sees by itself, block by block, what does not compress, and is through with it
 * sooner than any look beforehand.
 *
 * The first bytes go in by themselves. Where nothing came before, ISA-L 2.30 takes the hash of the third
 * byte not from the data but from the address of its stream, so that one piece in thousands came out in
 * other, no less valid bytes. Bytes at the end of what is flushed go another way, which has no such slip:
 * as long as they are at most 16. Then something has come before. */
static size_t make_by_isal(struct member_maker *m, const uint8_t *in, size_t in_size, uint8_t *out,
                           size_t capacity)
{
    union {
        const uint8_t *mine;
        uint8_t *its; /* it only reads them */
    } from = {in};
    struct isal_zstream *z;

    if (!m->isal)
        m->isal = mem_new(struct isal_zstream);
    z = m->isal;
    isal_deflate_init(z);
    z->level = LEVEL_FAST;
    z->level_buf = m->isal_buffer;
    z->level_buf_size = FAST_BUFFER_SIZE;
    z->gzip_flag = IGZIP_GZIP;
    z->next_in = from.its;
    z->next_out = out;
    z->avail_out = (uint32_t)capacity;
    if (in_size > START_SIZE) {
        z->flush = SYNC_FLUSH;
        isal_take(z, START_SIZE);
        in_size -= START_SIZE;
        z->flush = NO_FLUSH;
    }
    z->end_of_stream = 1;
    isal_take(z, in_size);
    assert(z->internal_state.state == ZSTATE_END);
    return z->total_out;
}

size_t member_bound(size_t in_size)
{
    size_t parts = (in_size + CODEC_DENSE_SIZE - 1) / CODEC_DENSE_SIZE;

    /* NULL: whatever the level. */
    return libdeflate_gzip_compress_bound(NULL, CODEC_DENSE_SIZE) * parts;
}

size_t member_make(struct member_maker *m, const uint8_t *in, size_t in_size, uint8_t *out,
                   size_t capacity)
{
    return make_alike(m, m->usual, in, in_size, out, capacity);
}

size_t member_make_fast(struct member_maker *m, const uint8_t *in, size_t in_size, uint8_t *out,
                        size_t capacity)
{
    if (member_is_fast_by_isal())
        return make_by_isal(m, in, in_size, out, capacity);
    if (!m->portable)
        m->portable = libdeflate_at(LEVEL_FAST);
    return make_alike(m, m->portable, in, in_size, out, capacity);
}

/* fuzz_inflate.c - compressed bytes inflate the same in any pieces, or are refused. */
#include <assert.h>
#include <stdlib.h>

#include "fs/base/hash.h"
#include "fs/codec.h"
#include "tests/fuzz/fuzz.h"

#define OUT_MAX ((size_t)4 << 20) /* enough to see a difference */

struct run {
    uint64_t hash;
    size_t size;
    int result;
};

static struct run inflate(const uint8_t *data, size_t size, size_t in_piece, size_t out_piece)
{
    auto_inflater struct inflater *i = inflater_new(CODEC_DETECT);
    auto_hash_stream struct hash_stream *h = hash_stream_new();
    auto_free uint8_t *out = mem_alloc(out_piece);
    struct run run = {0};
    struct error err = {0};
    ssize_t n = 0;

    for (size_t at = 0; n >= 0 && at < size && run.size < OUT_MAX; at += in_piece) {
        const uint8_t *in = data + at;
        size_t left = size - at < in_piece ? size - at : in_piece;

        while ((n = inflater_run(i, &in, &left, out, out_piece, &err)) > 0 && run.size < OUT_MAX) {
            assert((size_t)n <= out_piece);
            hash_stream_update(h, out, (size_t)n);
            run.size += (size_t)n;
        }
        assert(n != 0 || left == 0);
    }
    run.result = n < 0 ? (int)n : run.size >= OUT_MAX ? 1 : inflater_finish(i, &err);
    assert((run.result < 0) == (err.code != 0));
    run.hash = hash_stream_final(h);
    return run;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t piece = size > 0 ? data[size / 2] % 31 + 1 : 1;
    struct run whole = inflate(data, size, size + 1, 65536);
    struct run pieces = inflate(data, size, piece, piece * 7);

    assert(whole.result == pieces.result);
    if (whole.result == 0)
        assert(whole.size == pieces.size && whole.hash == pieces.hash);
    return 0;
}

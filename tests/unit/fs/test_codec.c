/* test_codec.c - gzip and zstd both ways, against zlib and libzstd's one-shot calls as oracles. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include <zlib.h>
#include <zstd.h>

#include "fs/base/limits.h"
#include "fs/base/str.h"
#include "fs/codec.h"
#include "fs/codec_internal.h"
#include "tests/lib/test.h"

/* -- streams into memory -- */

struct memory_writer {
    struct writer base;
    struct str bytes;
    uint64_t total;
    bool is_counting; /* keep nothing */
    size_t fail_after;
};

static int memory_write(struct writer *w, const void *buf, size_t size, struct error *err)
{
    struct memory_writer *m = (struct memory_writer *)w;

    if (m->fail_after > 0 && m->total + size > m->fail_after)
        return error_set(err, ENOSPC, "full");
    m->total += size;
    if (!m->is_counting)
        str_add_bytes(&m->bytes, buf, size);
    return 0;
}

static struct memory_writer memory(void)
{
    return (struct memory_writer){.base = {.write = memory_write}};
}

/* Text that compresses about as well as a real layer. */
static void make_text(struct str *out, size_t size, unsigned seed)
{
    while (out->size < size) {
        seed = seed * 1103515245 + 12345;
        str_addf(out, "%u usr/share/doc/package-%u/copyright\n", seed >> 16, seed % 97);
    }
    str_truncate(out, size);
}

/* One gzip member made by zlib. */
static void zlib_gzip(const void *bytes, size_t size, struct str *out)
{
    z_stream z = {0};
    auto_free uint8_t *buffer = NULL;
    union {
        const void *mine;
        Bytef *its;
    } from = {bytes};
    uLong bound;

    check_int(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    bound = deflateBound(&z, size) + 64;
    buffer = mem_alloc(bound);
    z.next_in = from.its;
    z.avail_in = (uInt)size;
    z.next_out = buffer;
    z.avail_out = (uInt)bound;
    check_int(deflate(&z, Z_FINISH), Z_STREAM_END);
    str_add_bytes(out, buffer, z.total_out);
    deflateEnd(&z);
}

/* All members, as RFC 1952 readers do; counts them. */
static size_t zlib_gunzip(const struct str *in, struct str *out)
{
    z_stream z = {0};
    uint8_t buffer[65536];
    union {
        const char *mine;
        Bytef *its;
    } from = {in->data};
    size_t members = 0;

    check_int(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
    z.next_in = from.its;
    z.avail_in = (uInt)in->size;
    while (z.avail_in > 0) {
        int r;

        do {
            z.next_out = buffer;
            z.avail_out = sizeof(buffer);
            r = inflate(&z, Z_NO_FLUSH);
            check_true(r == Z_OK || r == Z_STREAM_END);
            str_add_bytes(out, buffer, sizeof(buffer) - z.avail_out);
        } while (r != Z_STREAM_END);
        members++;
        check_int(inflateReset(&z), Z_OK);
    }
    inflateEnd(&z);
    return members;
}

static int inflate_all(enum codec_format format, const void *bytes, size_t size, size_t chunk,
                       struct memory_writer *to, struct error *err)
{
    auto_writer struct writer *w = inflate_writer_new(format, &to->base);
    const uint8_t *at = bytes;

    while (size > 0) {
        size_t part = chunk < size ? chunk : size;
        int r = writer_write(w, at, part, err);

        if (r < 0)
            return r;
        at += part;
        size -= part;
    }
    return writer_finish(w, err);
}

static void check_inflates(enum codec_format format, const struct str *in, size_t chunk,
                           const struct str *expected)
{
    struct memory_writer m = memory();

    check_ok(inflate_all(format, str_text(in), in->size, chunk, &m, &test_err));
    check_bytes(str_text(&m.bytes), m.bytes.size, str_text(expected), expected->size);
    str_release(&m.bytes);
}

static void check_refused(enum codec_format format, const void *bytes, size_t size, int code,
                          const char *sentence)
{
    struct memory_writer m = memory();
    struct error err = {0};

    check_fails(inflate_all(format, bytes, size, SIZE_MAX, &m, &err), code);
    check_error(&err, code, sentence);
    str_release(&m.bytes);
}

/* -- inflating -- */

TEST(codec, gzip_of_any_number_of_members_inflates_whatever_the_chunks)
{
    auto_str struct str text = {0};
    auto_str struct str gz = {0};
    auto_str struct str twice = {0};

    make_text(&text, 300000, 1);
    zlib_gzip(text.data, text.size, &gz);
    check_inflates(CODEC_GZIP, &gz, SIZE_MAX, &text);
    check_inflates(CODEC_DETECT, &gz, 1, &text);
    check_inflates(CODEC_DETECT, &gz, 4097, &text);
    zlib_gzip("", 0, &gz);
    zlib_gzip(text.data, text.size, &gz);
    str_add_bytes(&twice, text.data, text.size);
    str_add_bytes(&twice, text.data, text.size);
    check_inflates(CODEC_GZIP, &gz, SIZE_MAX, &twice);
    check_inflates(CODEC_GZIP, &gz, 1, &twice);
    check_inflates(CODEC_GZIP, &gz, 13, &twice);
}

/* RFC 1952 2.3: FEXTRA, FNAME, FCOMMENT and FHCRC may all be there. */
TEST(codec, gzip_headers_with_every_optional_field_are_read)
{
    auto_str struct str text = {0};
    auto_str struct str plain = {0};
    auto_str struct str gz = {0};
    uLong crc;

    make_text(&text, 5000, 2);
    zlib_gzip(text.data, text.size, &plain);
    str_add_bytes(&gz, "\x1f\x8b\x08\x1e\0\0\0\0\0\x03", 10);
    str_add_bytes(&gz, "\x03\0abc", 5);
    str_add_bytes(&gz, "a name\0a comment", 17);
    crc = crc32(0, (const Bytef *)gz.data, (uInt)gz.size);
    str_add_char(&gz, (char)(crc & 0xFF));
    str_add_char(&gz, (char)(crc >> 8 & 0xFF));
    str_add_bytes(&gz, plain.data + 10, plain.size - 10);
    check_inflates(CODEC_GZIP, &gz, SIZE_MAX, &text);
    check_inflates(CODEC_GZIP, &gz, 1, &text);
    gz.data[12] ^= 1; /* part of FEXTRA: the header's own checksum sees it */
    check_refused(CODEC_GZIP, gz.data, gz.size, EBADMSG, "its gzip data is damaged");
    gz.data[12] ^= 1;
    gz.data[3] |= 0x20; /* a reserved flag */
    check_refused(CODEC_GZIP, gz.data, gz.size, EBADMSG, "its gzip data is damaged");
}

TEST(codec, zstd_of_any_number_of_frames_inflates_whatever_the_chunks)
{
    auto_str struct str text = {0};
    auto_str struct str twice = {0};
    auto_str struct str zst = {0};
    auto_free char *frame = NULL;
    size_t size;

    make_text(&text, 300000, 3);
    frame = mem_alloc(ZSTD_compressBound(text.size));
    size = ZSTD_compress(frame, ZSTD_compressBound(text.size), text.data, text.size, 3);
    check_false(ZSTD_isError(size));
    str_add_bytes(&zst, "\x52\x2A\x4D\x18\x03\0\0\0xyz", 11); /* RFC 8878 3.1.2: to be skipped */
    str_add_bytes(&zst, frame, size);
    check_inflates(CODEC_DETECT, &zst, SIZE_MAX, &text);
    str_add_bytes(&zst, frame, size);
    str_add_bytes(&twice, text.data, text.size);
    str_add_bytes(&twice, text.data, text.size);
    check_inflates(CODEC_ZSTD, &zst, SIZE_MAX, &twice);
    check_inflates(CODEC_ZSTD, &zst, 1, &twice);
    check_inflates(CODEC_DETECT, &zst, 1000, &twice);
}

/* As `zstd --long=LOG` reading a pipe: the frame says its window, not its size. */
static void zstd_long(const struct str *text, int window_log, struct str *out)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    size_t capacity = ZSTD_compressBound(text->size) + 64;
    auto_free char *frame = mem_alloc(capacity);
    ZSTD_inBuffer in = {text->data, text->size, 0};
    ZSTD_inBuffer none = {NULL, 0, 0};
    ZSTD_outBuffer to = {frame, capacity, 0};

    check_false(ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, 1)));
    check_false(ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log)));
    check_false(ZSTD_isError(ZSTD_compressStream2(c, &to, &in, ZSTD_e_continue)));
    check_int(ZSTD_compressStream2(c, &to, &none, ZSTD_e_end), 0);
    ZSTD_freeCCtx(c);
    str_add_bytes(out, frame, to.pos);
}

/* Also where the header of a frame comes in two pieces, and behind frames with usual windows. */
TEST(codec, zstd_with_a_wide_window_inflates_whatever_the_chunks)
{
    const size_t chunks[] = {SIZE_MAX, 1, 5, 6, 7, 1000};
    auto_str struct str text = {0};
    auto_str struct str thrice = {0};
    auto_str struct str zst = {0};

    make_text(&text, 300000, 4);
    zstd_long(&text, 19, &zst);
    zstd_long(&text, 27, &zst);
    zstd_long(&text, 24, &zst);
    for (int i = 0; i < 3; i++)
        str_add_bytes(&thrice, text.data, text.size);
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++)
        check_inflates(CODEC_ZSTD, &zst, chunks[i], &thrice);
    check_inflates(CODEC_DETECT, &zst, 4097, &thrice);
}

struct turn {
    const struct str *zst;
    atomic_int *inside;
    atomic_int *most; /* inside at once */
};

static void *inflate_in_turn(void *arg)
{
    const struct turn *t = arg;
    auto_inflater struct inflater *i = inflater_new(CODEC_ZSTD);
    auto_free uint8_t *out = mem_alloc(1000);
    const uint8_t *in = (const uint8_t *)t->zst->data;
    size_t left = t->zst->size;
    struct error err = {0};
    bool has_begun = false;

    inflater_take_turns(i);
    while (inflater_run(i, &in, &left, out, 1000, &err) > 0) {
        int now = has_begun ? atomic_load(t->inside) : atomic_fetch_add(t->inside, 1) + 1;

        has_begun = true;
        if (now > atomic_load(t->most))
            atomic_store(t->most, now);
        sched_yield();
    }
    atomic_fetch_sub(t->inside, 1);
    return NULL;
}

static int most_at_once(int window_log)
{
    auto_str struct str text = {0};
    auto_str struct str zst = {0};
    atomic_int inside = 0;
    atomic_int most = 0;
    struct turn turn = {&zst, &inside, &most};
    pthread_t threads[3];

    make_text(&text, 3000000, 5);
    zstd_long(&text, window_log, &zst);
    for (size_t i = 0; i < 3; i++)
        check_int(pthread_create(&threads[i], NULL, inflate_in_turn, &turn), 0);
    for (size_t i = 0; i < 3; i++)
        check_int(pthread_join(threads[i], NULL), 0);
    check_int(inside, 0);
    return most;
}

/* So that the memory of a pull is that of one such window and not of four. */
TEST(codec, wide_windows_are_had_one_at_a_time)
{
    check_int(most_at_once(27), 1);
}

TEST(codec, what_is_not_compressed_passes)
{
    auto_str struct str text = {0};
    auto_str struct str empty = {0};

    make_text(&text, 300000, 4);
    check_inflates(CODEC_DETECT, &text, 1, &text);
    check_inflates(CODEC_DETECT, &text, SIZE_MAX, &text);
    check_inflates(CODEC_NONE, &text, 777, &text);
    check_inflates(CODEC_DETECT, &empty, 1, &empty);
    check_refused(CODEC_DETECT, "\x1f\x8b\x08", 3, EBADMSG, "it ends after 3 bytes");
}

TEST(codec, data_cut_short_anywhere_is_refused)
{
    auto_str struct str text = {0};
    auto_str struct str gz = {0};
    char zst[4096];
    size_t size;

    make_text(&text, 2000, 5);
    zlib_gzip(text.data, text.size, &gz);
    for (size_t i = 0; i < gz.size; i++)
        check_refused(CODEC_GZIP, gz.data, i, EBADMSG, "its gzip data ends too early");
    size = ZSTD_compress(zst, sizeof(zst), text.data, text.size, 3);
    check_false(ZSTD_isError(size));
    for (size_t i = 0; i < size; i++)
        check_refused(CODEC_ZSTD, zst, i, EBADMSG, "its zstd data ends too early");
}

TEST(codec, a_wrong_checksum_or_rubbish_behind_the_end_is_refused)
{
    auto_str struct str gz = {0};

    zlib_gzip("content", 7, &gz);
    gz.data[gz.size - 6] ^= 1; /* CRC */
    check_refused(CODEC_GZIP, gz.data, gz.size, EBADMSG, "its gzip data is damaged");
    gz.data[gz.size - 6] ^= 1;
    gz.data[gz.size - 2] ^= 1; /* size */
    check_refused(CODEC_GZIP, gz.data, gz.size, EBADMSG, "its gzip data is damaged");
    gz.data[gz.size - 2] ^= 1;
    str_add(&gz, "rubbish that is longer than a header");
    check_refused(CODEC_GZIP, gz.data, gz.size, EBADMSG, "its gzip data is damaged");
    check_refused(CODEC_ZSTD, "rubbish", 7, EBADMSG, "its zstd data is damaged");
}

/* SECURITY R40. */
TEST(codec, bombs_are_refused)
{
    auto_str struct str gz = {0};
    auto_free char *zeros = mem_alloc(16u << 20);
    auto_free char *frame = mem_alloc(1u << 20);
    auto_str struct str zst = {0};
    struct memory_writer m = memory();
    size_t size;

    for (int i = 0; i < 8; i++) /* 1030:1, the most that deflate can do */
        zlib_gzip(zeros, 16u << 20, &gz);
    m.is_counting = true;
    check_fails(inflate_all(CODEC_GZIP, gz.data, gz.size, 65536, &m, &test_err), EFBIG);
    check_error(&test_err, EFBIG, "its gzip data inflates to more than 1000 times its size");
    check_true(m.total <= LIMIT_INFLATE_FREE + (64u << 20));
    size = ZSTD_compress(frame, 1u << 20, zeros, 16u << 20, 3);
    check_false(ZSTD_isError(size));
    for (int i = 0; i < 8; i++)
        str_add_bytes(&zst, frame, size);
    m = memory();
    m.is_counting = true;
    check_fails(inflate_all(CODEC_ZSTD, zst.data, zst.size, SIZE_MAX, &m, &test_err), EFBIG);
    /* RFC 8878 3.1.1.1.2: a window of 2^31, with its magic and a frame header only */
    check_refused(CODEC_ZSTD, "\x28\xB5\x2F\xFD\x00\xA8\x01\x00\x00", 9, EFBIG,
                  "its zstd data needs a window of more than 128 MiB");
}

TEST(codec, many_tiny_members_cost_no_more_than_their_bytes)
{
    auto_str struct str gz = {0};
    auto_str struct str all = {0};
    struct memory_writer m = memory();

    zlib_gzip("", 0, &gz);
    for (int i = 0; i < 200000; i++)
        str_add_bytes(&all, gz.data, gz.size);
    check_ok(inflate_all(CODEC_GZIP, all.data, all.size, 65536, &m, &test_err));
    check_int(m.total, 0);
}

/* -- deflating -- */

static void deflate_all(enum codec_format format, int level, unsigned threads, size_t chunk,
                        const struct str *text, struct str *out)
{
    struct memory_writer m = memory();
    auto_writer struct writer *w = NULL;

    check_ok(deflate_writer_new(format, level, threads, &m.base, &w, &test_err));
    for (size_t at = 0; at < text->size; at += chunk)
        check_ok(writer_write(w, text->data + at, text->size - at < chunk ? text->size - at : chunk,
                              &test_err));
    check_ok(writer_finish(w, &test_err));
    *out = m.bytes;
}

TEST(codec, gzip_is_cut_into_members_of_one_mebibyte)
{
    static const size_t sizes[] = {0, 1, 1u << 20, (1u << 20) + 1, (5u << 20) + 77};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        auto_str struct str text = {0};
        auto_str struct str gz = {0};
        auto_str struct str back = {0};
        size_t members = sizes[i] == 0 ? 1 : (sizes[i] + (1u << 20) - 1) >> 20;

        make_text(&text, sizes[i], 6);
        deflate_all(CODEC_GZIP, -1, 2, 100000, &text, &gz);
        check_int(zlib_gunzip(&gz, &back), members);
        check_bytes(str_text(&back), back.size, str_text(&text), text.size);
        check_inflates(CODEC_GZIP, &gz, 100000, &text);
    }
}

/* Bytes that no compressor can do anything with. */
static void make_noise(struct str *out, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        str_add_char(out, (char)(seed >> 32));
    }
}

/* Text, noise, text: the noise is stored in members of its own, the text is not the worse for
 * it. */
TEST(codec, what_does_not_compress_is_stored_and_the_rest_compressed)
{
    auto_str struct str text = {0};
    auto_str struct str noise = {0};
    auto_str struct str mixed = {0};
    auto_str struct str gz = {0};
    auto_str struct str text_gz = {0};
    auto_str struct str back = {0};

    make_text(&text, 512u << 10, 9);
    make_noise(&noise, 256u << 10, 88172645463325252u);
    str_add_bytes(&mixed, text.data, 256u << 10);
    str_add_bytes(&mixed, noise.data, noise.size);
    str_add_bytes(&mixed, text.data + (256u << 10), 256u << 10);
    deflate_all(CODEC_GZIP, -1, 1, SIZE_MAX, &text, &text_gz);
    deflate_all(CODEC_GZIP, -1, 2, SIZE_MAX, &mixed, &gz);
    check_int(zlib_gunzip(&gz, &back), 3);
    check_bytes(back.data, back.size, mixed.data, mixed.size);
    check_true(gz.size <= text_gz.size + noise.size + (8u << 10));
    check_true(memmem(gz.data, gz.size, noise.data, 16u << 10) != NULL);
    check_inflates(CODEC_GZIP, &gz, 4097, &mixed);
}

/* All its bytes are equally frequent, and still it is worth it. */
TEST(codec, noise_that_repeats_is_compressed)
{
    auto_str struct str once = {0};
    auto_str struct str noise = {0};
    auto_str struct str gz = {0};

    make_noise(&once, 4099, 7);
    while (noise.size < 1u << 20)
        str_add_bytes(&noise, once.data, once.size);
    deflate_all(CODEC_GZIP, 1, 1, SIZE_MAX, &noise, &gz);
    check_true(gz.size < noise.size / 20);
}

/* Builds can be repeated: the same bytes on every machine, in every run. */
TEST(codec, the_bytes_do_not_depend_on_threads_or_chunks)
{
    static const enum codec_format formats[] = {CODEC_GZIP, CODEC_ZSTD, CODEC_NONE};
    auto_str struct str text = {0};

    make_text(&text, (7u << 20) + 5, 7);
    for (size_t f = 0; f < 3; f++) {
        auto_str struct str one = {0};
        auto_str struct str two = {0};
        auto_str struct str many = {0};

        deflate_all(formats[f], 1, 1, 1u << 20, &text, &one);
        deflate_all(formats[f], 1, 2, 4096, &text, &two);
        deflate_all(formats[f], 1, 100, SIZE_MAX, &text, &many);
        check_bytes(str_text(&two), two.size, str_text(&one), one.size);
        check_bytes(str_text(&many), many.size, str_text(&one), one.size);
        check_inflates(formats[f], &one, 1u << 16, &text);
    }
}

TEST(codec, a_higher_level_is_smaller)
{
    auto_str struct str text = {0};
    auto_str struct str fast = {0};
    auto_str struct str usual = {0};
    auto_str struct str six = {0};

    make_text(&text, 1u << 20, 8);
    deflate_all(CODEC_GZIP, 1, 1, SIZE_MAX, &text, &fast);
    deflate_all(CODEC_GZIP, -1, 1, SIZE_MAX, &text, &usual);
    deflate_all(CODEC_GZIP, 6, 1, SIZE_MAX, &text, &six);
    check_true(usual.size < fast.size);
    check_bytes(usual.data, usual.size, six.data, six.size);
}

/* What most layers hold is squeezed well, and the rest of large ones fast, whatever the threads and
 * chunks: members of one MiB, the first sixteen those of level 6. */
TEST(codec, by_default_the_beginning_is_careful_and_the_rest_is_fast)
{
    const size_t beginning = 16u << 20;
    auto_str struct str text = {0};
    auto_str struct str usual = {0};
    auto_str struct str alone = {0};
    auto_str struct str careful = {0};
    auto_str struct str all_careful = {0};
    auto_str struct str back = {0};
    struct str part;

    make_text(&text, beginning, 9);
    make_noise(&text, 3u << 19, 9);
    make_text(&text, beginning + (5u << 20) + 5, 11);
    deflate_all(CODEC_GZIP, -1, 2, 1u << 20, &text, &usual);
    deflate_all(CODEC_GZIP, -1, 1, 77777, &text, &alone);
    deflate_all(CODEC_GZIP, 6, 2, 1u << 20, &text, &all_careful);
    part = (struct str){.data = text.data, .size = beginning};
    deflate_all(CODEC_GZIP, 6, 2, 1u << 20, &part, &careful);
    check_bytes(usual.data, careful.size, careful.data, careful.size);
    check_bytes(alone.data, alone.size, usual.data, usual.size);
    check_true(usual.size > all_careful.size);
    check_true(usual.size - careful.size < (all_careful.size - careful.size) * 3 / 2);
    check_true(zlib_gunzip(&usual, &back) >= 22);
    check_bytes(back.data, back.size, text.data, text.size);
    check_inflates(CODEC_GZIP, &usual, 4097, &text);
}

/* The sizes of 300 pieces in which the four bytes at `at` come again, and nothing else that is dense. */
static size_t fast_sizes(size_t at)
{
    struct member_maker *m = member_maker_new(6);
    uint64_t seed = 88172645463325252u;
    size_t sum = 0;

    for (unsigned round = 0; round < 300; round++) {
        uint8_t out[1 << 17];
        uint8_t piece[900];

        check_true(member_bound(sizeof(piece)) <= sizeof(out));
        memset(piece, 'a', sizeof(piece));
        for (size_t i = 0; i < 300; i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            piece[i] = (uint8_t)(seed >> 32);
        }
        memcpy(piece + 200, piece + at, 4);
        sum += member_make_fast(m, piece, sizeof(piece), out, sizeof(out));
    }
    member_maker_free(m);
    return sum;
}

/* What repeats is told by its distance (RFC 1951 2). From the third byte on it was found or not by where
 * the library's state lay: bytes that depended on the process. */
TEST(codec, fast_members_find_what_repeats_from_their_beginning_on)
{
    size_t usual = fast_sizes(60);

    for (size_t at = 0; at < 5; at++) {
        size_t size = fast_sizes(at);

        check_true(size < usual + 100 && usual < size + 100);
    }
    check_true(usual + 150 < fast_sizes(200)); /* the opposite: on itself, so nothing repeats */
}

/* RFC 1952 2.2: a member grows by its header, its end and five bytes for each stored block at most. */
TEST(codec, what_is_made_fast_hardly_grows)
{
    auto_str struct str text = {0};
    auto_str struct str gz = {0};
    auto_str struct str back = {0};

    make_text(&text, 16u << 20, 9);
    deflate_all(CODEC_GZIP, -1, 2, SIZE_MAX, &text, &gz);
    make_noise(&text, (1u << 20) + 1, 3);
    {
        const size_t before = gz.size;

        str_release(&gz);
        deflate_all(CODEC_GZIP, -1, 2, SIZE_MAX, &text, &gz);
        check_true(gz.size - before < (1u << 20) + 4096);
    }
    zlib_gunzip(&gz, &back);
    check_bytes(back.data, back.size, text.data, text.size);
}

TEST(codec, levels_outside_the_format_are_refused)
{
    struct memory_writer m = memory();
    struct writer *w = NULL;

    check_fails(deflate_writer_new(CODEC_GZIP, 13, 1, &m.base, &w, &test_err), EINVAL);
    check_error(&test_err, EINVAL, "gzip has levels 0 to 12, not 13");
    check_fails(deflate_writer_new(CODEC_ZSTD, 0, 1, &m.base, &w, &test_err), EINVAL);
    check_error(&test_err, EINVAL, "zstd has levels 1 to 22, not 0");
}

TEST(codec, a_full_disk_stops_compressing)
{
    auto_str struct str text = {0};
    struct memory_writer m = memory();
    auto_writer struct writer *w = NULL;
    int r = 0;

    make_text(&text, 8u << 20, 9);
    m.fail_after = 100000;
    check_ok(deflate_writer_new(CODEC_GZIP, 1, 2, &m.base, &w, &test_err));
    for (int i = 0; i < 8 && r == 0; i++)
        r = writer_write(w, text.data + ((size_t)i << 20), 1u << 20, &test_err);
    if (r == 0)
        r = writer_finish(w, &test_err);
    check_fails(r, ENOSPC);
    str_release(&m.bytes);
}

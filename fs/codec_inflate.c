/* codec_inflate.c - inflates gzip with ISA-L and zstd with libzstd, one bounded piece at a time.
 *
 * ISA-L needs a fifth of zlib's time. It checks the CRC and size at the end of each member; the
 * header is read in codec_gzip.c.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include <isa-l/igzip_lib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "fs/base/limits.h"
#include "fs/codec.h"
#include "fs/codec_internal.h"

#include "fs/base/banned.h"

#define PIECE_MAX ((size_t)1 << 30) /* ISA-L counts in 32 bits */
#define OUT_SIZE ((size_t)128 << 10)
#define WINDOW_LOG_USUAL 23      /* 8 MiB, what every decoder should have (RFC 8878 3.1.1.1.2) */
#define ZSTD_HEADER_SIZE_MAX 18u /* RFC 8878 3.1.1.1, magic included */

/* Layers are inflated several at a time; those with wide windows are not. */
static pthread_mutex_t wide_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wide_free = PTHREAD_COND_INITIALIZER;
static bool wide_taken; /* guarded by wide_lock */

struct inflater {
    enum codec_format format;
    uint8_t head[CODEC_SNIFF_SIZE]; /* first bytes, until the format is known */
    size_t head_size;
    size_t head_used; /* how many of them went to the decoder */
    struct inflate_state *gzip;
    struct gzip_header header; /* of the member being read */
    ZSTD_DCtx *zstd;
    uint8_t frame[ZSTD_HEADER_SIZE_MAX]; /* how the frame being read begins */
    size_t frame_size;
    bool takes_turns;
    bool has_turn;  /* to have a wide window */
    bool has_more;  /* zstd: it may hold output back although all input was read */
    bool is_inside; /* a member or frame has begun and is not complete */
    bool has_begun; /* there was at least one */
    uint64_t in_bytes;
    uint64_t out_bytes;
};

static void start(struct inflater *i, enum codec_format format)
{
    i->format = format;
    if (format == CODEC_GZIP) {
        i->gzip = mem_new(struct inflate_state);
    } else if (format == CODEC_ZSTD) {
        i->zstd = ZSTD_createDCtx();
        if (!i->zstd)
            abort(); /* as mem_new would */
        (void)ZSTD_DCtx_setParameter(i->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_USUAL);
    }
}

void inflater_take_turns(struct inflater *i)
{
    i->takes_turns = true;
}

static void take_turn(struct inflater *i)
{
    pthread_mutex_lock(&wide_lock);
    while (wide_taken)
        pthread_cond_wait(&wide_free, &wide_lock);
    wide_taken = true;
    pthread_mutex_unlock(&wide_lock);
    i->has_turn = true;
}

static void end_turn(struct inflater *i)
{
    pthread_mutex_lock(&wide_lock);
    wide_taken = false;
    pthread_cond_signal(&wide_free);
    pthread_mutex_unlock(&wide_lock);
    i->has_turn = false;
}

struct inflater *inflater_new(enum codec_format format)
{
    struct inflater *i = mem_new(struct inflater);

    start(i, format);
    return i;
}

void inflater_free(struct inflater *i)
{
    if (!i)
        return;
    free(i->gzip);
    ZSTD_freeDCtx(i->zstd);
    if (i->has_turn)
        end_turn(i);
    free(i);
}

enum codec_format inflater_format(const struct inflater *i)
{
    return i->format;
}

static int damaged(const struct inflater *i, struct error *err)
{
    return error_set(err, EBADMSG, "its %s data is damaged", codec_name(i->format));
}

/* One call of a decoder: reads from *in, writes to out, answers how much it wrote. */
static ssize_t run_gzip(struct inflater *i, const uint8_t **in, size_t *in_size, uint8_t *out,
                        size_t out_size, struct error *err)
{
    struct inflate_state *z = i->gzip;
    uint32_t given = (uint32_t)(*in_size < PIECE_MAX ? *in_size : PIECE_MAX);
    uint32_t room = (uint32_t)(out_size < PIECE_MAX ? out_size : PIECE_MAX);
    union { /* the library's pointer is not const, though it only reads */
        const uint8_t *mine;
        uint8_t *its;
    } from = {.mine = *in};
    int r;

    if (i->header.part != GZIP_BODY) { /* another member may follow the last, RFC 1952 2.2 */
        if (*in_size == 0)
            return 0;
        i->is_inside = true;
        i->has_begun = true;
        if (!gzip_header_read(&i->header, in, in_size))
            return damaged(i, err);
        if (i->header.part == GZIP_BODY) {
            isal_inflate_init(z);
            z->crc_flag = ISAL_GZIP_NO_HDR_VER;
        }
        return 0; /* to be called again */
    }
    z->next_in = from.its;
    z->avail_in = given;
    z->next_out = out;
    z->avail_out = room;
    r = isal_inflate(z);
    if (r < 0 || r == ISAL_NEED_DICT)
        return damaged(i, err);
    if (z->block_state == ISAL_BLOCK_FINISH) {
        i->is_inside = false;
        i->header = (struct gzip_header){0};
    }
    *in += given - z->avail_in;
    *in_size -= given - z->avail_in;
    return (ssize_t)(room - z->avail_out);
}

/* Begins the frame again, with as wide a window as there may be. */
static void widen(struct inflater *i)
{
    ZSTD_inBuffer from = {i->frame, i->frame_size, 0};
    ZSTD_outBuffer none = {NULL, 0, 0};

    if (i->takes_turns && !i->has_turn)
        take_turn(i);
    (void)ZSTD_DCtx_reset(i->zstd, ZSTD_reset_session_only);
    (void)ZSTD_DCtx_setParameter(i->zstd, ZSTD_d_windowLogMax, LIMIT_ZSTD_WINDOW_LOG);
    if (i->frame_size >
        0) /* was read without complaint before; the rest of the header is to come */
        (void)ZSTD_decompressStream(i->zstd, &none, &from);
}

static bool is_too_wide(size_t result)
{
    return ZSTD_isError(result) &&
           ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge;
}

/* Remembers how the frame begins, as long as there is more of it. */
static void note_frame(struct inflater *i, const uint8_t *bytes, size_t size, bool has_more)
{
    size_t room = sizeof(i->frame) - i->frame_size;

    if (size > room)
        size = room;
    if (size > 0)
        memcpy(i->frame + i->frame_size, bytes, size);
    i->frame_size = has_more ? i->frame_size + size : 0;
}

static ssize_t run_zstd(struct inflater *i, const uint8_t **in, size_t *in_size, uint8_t *out,
                        size_t out_size, struct error *err)
{
    ZSTD_inBuffer from = {*in, *in_size, 0};
    ZSTD_outBuffer to = {out, out_size, 0};
    size_t r;

    if (*in_size == 0 && !i->has_more)
        return 0;
    r = ZSTD_decompressStream(i->zstd, &to, &from);
    if (is_too_wide(r)) {
        widen(i);
        from.pos = 0;
        r = ZSTD_decompressStream(i->zstd, &to, &from);
    }
    if (is_too_wide(r))
        return error_set(err, EFBIG, "its zstd data needs a window of more than %u MiB",
                         (1u << LIMIT_ZSTD_WINDOW_LOG) >> 20);
    if (ZSTD_isError(r))
        return damaged(i, err);
    note_frame(i, *in, from.pos, r != 0);
    i->has_begun = true;
    i->is_inside = r != 0;
    i->has_more = to.pos == to.size && r != 0;
    *in += from.pos;
    *in_size -= from.pos;
    return (ssize_t)to.pos;
}

static ssize_t run_plain(const uint8_t **in, size_t *in_size, uint8_t *out, size_t out_size)
{
    size_t size = *in_size < out_size ? *in_size : out_size;

    if (size > 0)
        memcpy(out, *in, size);
    *in += size;
    *in_size -= size;
    return (ssize_t)size;
}

static ssize_t run_format(struct inflater *i, const uint8_t **in, size_t *in_size, uint8_t *out,
                          size_t out_size, struct error *err)
{
    switch (i->format) {
    case CODEC_GZIP:
        return run_gzip(i, in, in_size, out, out_size, err);
    case CODEC_ZSTD:
        return run_zstd(i, in, in_size, out, out_size, err);
    case CODEC_NONE:
        return run_plain(in, in_size, out, out_size);
    case CODEC_DETECT:
    default:
        assert(!"the format is known here");
        return -EINVAL;
    }
}

/* True once the format is known. */
static bool detect(struct inflater *i, const uint8_t **in, size_t *in_size)
{
    while (i->format == CODEC_DETECT && *in_size > 0) {
        i->head[i->head_size++] = **in;
        (*in)++;
        (*in_size)--;
        if (i->head_size == sizeof(i->head))
            start(i, codec_sniff(i->head, i->head_size));
    }
    return i->format != CODEC_DETECT;
}

static int check_bomb(const struct inflater *i, struct error *err)
{
    if (i->out_bytes > LIMIT_LAYER_SIZE)
        return error_set(err, EFBIG, "its %s data inflates to more than %llu GiB",
                         codec_name(i->format), (unsigned long long)(LIMIT_LAYER_SIZE >> 30));
    if (i->out_bytes > LIMIT_INFLATE_FREE && i->out_bytes / LIMIT_INFLATE_RATIO > i->in_bytes)
        return error_set(err, EFBIG, "its %s data inflates to more than %u times its size",
                         codec_name(i->format), LIMIT_INFLATE_RATIO);
    return 0;
}

ssize_t inflater_run(struct inflater *i, const uint8_t **in, size_t *in_size, void *out,
                     size_t out_size, struct error *err)
{
    size_t given = *in_size;
    size_t done = 0;

    if (!detect(i, in, in_size))
        return 0;
    while (done < out_size) {
        bool is_head = i->head_used < i->head_size; /* what was sniffed goes first */
        const uint8_t *from = is_head ? i->head + i->head_used : *in;
        size_t before = is_head ? i->head_size - i->head_used : *in_size;
        size_t left = before;
        ssize_t n = run_format(i, &from, &left, (uint8_t *)out + done, out_size - done, err);

        if (n < 0)
            return n;
        if (n == 0 && left == before)
            break;
        done += (size_t)n;
        if (is_head) {
            i->head_used += before - left;
        } else {
            *in = from;
            *in_size = left;
        }
    }
    i->in_bytes += given - *in_size;
    i->out_bytes += done;
    return check_bomb(i, err) < 0 ? -err->code : (ssize_t)done;
}

int inflater_finish(struct inflater *i, struct error *err)
{
    if (i->format == CODEC_DETECT)
        return i->head_size == 0 ? 0
                                 : error_set(err, EBADMSG, "it ends after %zu bytes", i->head_size);
    if (i->format != CODEC_NONE && (i->is_inside || !i->has_begun))
        return error_set(err, EBADMSG, "its %s data ends too early", codec_name(i->format));
    return 0;
}

/* -- as a writer -- */

struct inflate_writer {
    struct writer base; /* first: the writer is the object */
    struct writer *to;  /* borrowed */
    struct inflater *inflater;
    uint8_t *out; /* OUT_SIZE */
};

static int inflate_write(struct writer *w, const void *buf, size_t size, struct error *err)
{
    struct inflate_writer *iw = (struct inflate_writer *)w;
    const uint8_t *in = buf;

    for (;;) {
        ssize_t n = inflater_run(iw->inflater, &in, &size, iw->out, OUT_SIZE, err);
        int r;

        if (n <= 0)
            return (int)n;
        r = writer_write(iw->to, iw->out, (size_t)n, err);
        if (r < 0)
            return r;
    }
}

static int inflate_finish(struct writer *w, struct error *err)
{
    return inflater_finish(((struct inflate_writer *)w)->inflater, err);
}

static void inflate_close(struct writer *w)
{
    struct inflate_writer *iw = (struct inflate_writer *)w;

    inflater_free(iw->inflater);
    free(iw->out);
    free(iw);
}

struct writer *inflate_writer_new(enum codec_format format, struct writer *to)
{
    struct inflate_writer *iw = mem_new(struct inflate_writer);

    iw->base = (struct writer){inflate_write, inflate_finish, inflate_close};
    iw->to = to;
    iw->inflater = inflater_new(format);
    iw->out = mem_alloc(OUT_SIZE);
    return &iw->base;
}

/* compression.c - words to export options. */
#include <errno.h>
#include <string.h>

#include "cli/compression.h"

#include "fs/base/banned.h"

#define GZIP_LEVEL_MAX 9u
#define ZSTD_LEVEL_MAX 22u

int compression_parse_format(const char *text, enum codec_format *out, struct error *err)
{
    static const enum codec_format formats[] = {CODEC_NONE, CODEC_GZIP, CODEC_ZSTD};

    *out = CODEC_DETECT;
    for (size_t i = 0; text != NULL && i < sizeof(formats) / sizeof(formats[0]); i++)
        if (strcmp(text, codec_name(formats[i])) == 0)
            *out = formats[i];
    if (text != NULL && *out == CODEC_DETECT)
        return error_set(err, EINVAL, "unknown compression '%s': gzip, zstd or uncompressed", text);
    return 0;
}

int compression_parse_level(const char *text, enum codec_format format, int *out, struct error *err)
{
    uint64_t max = format == CODEC_ZSTD ? ZSTD_LEVEL_MAX : GZIP_LEVEL_MAX;
    uint64_t level;

    *out = -1;
    if (text == NULL)
        return 0;
    if (format == CODEC_NONE)
        return error_set(err, EINVAL, "what is not compressed has no compression level");
    if (!text_to_u64(text, max, &level))
        return error_set(err, EINVAL, "invalid compression level '%s': %s has 0 to %u", text,
                         format == CODEC_ZSTD ? "zstd" : "gzip", (unsigned)max);
    if (format != CODEC_ZSTD || level > 0) /* zstd calls its default level 0 */
        *out = (int)level;
    return 0;
}

int compression_parse(const struct compression_flags *f, struct export_options *out,
                      struct error *err)
{
    int r = compression_parse_format(f->format, &out->format, err);

    if (r == 0)
        r = compression_parse_level(f->level, out->format, &out->level, err);
    out->force = f->force;
    return r;
}

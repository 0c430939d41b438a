/* codec.c - names and magic of the compressed forms a layer can have. */
#include <string.h>

#include "fs/codec.h"

#include "fs/base/banned.h"

const char *codec_name(enum codec_format format)
{
    switch (format) {
    case CODEC_NONE:
        return "uncompressed";
    case CODEC_GZIP:
        return "gzip";
    case CODEC_ZSTD:
        return "zstd";
    case CODEC_DETECT:
    default:
        return "unknown";
    }
}

enum codec_format codec_sniff(const void *bytes, size_t size)
{
    static const uint8_t gzip[] = {0x1F, 0x8B, 8};          /* RFC 1952 2.3.1, deflate */
    static const uint8_t zstd[] = {0x28, 0xB5, 0x2F, 0xFD}; /* RFC 8878 3.1.1 */
    static const uint8_t skippable[] = {0x2A, 0x4D, 0x18};  /* RFC 8878 3.1.2, after 0x5? */
    const uint8_t *b = bytes;

    if (size >= sizeof(gzip) && memcmp(b, gzip, sizeof(gzip)) == 0)
        return CODEC_GZIP;
    if (size >= sizeof(zstd) && memcmp(b, zstd, sizeof(zstd)) == 0)
        return CODEC_ZSTD;
    if (size >= 1 + sizeof(skippable) && (b[0] & 0xF0) == 0x50 &&
        memcmp(b + 1, skippable, sizeof(skippable)) == 0)
        return CODEC_ZSTD;
    return CODEC_NONE;
}

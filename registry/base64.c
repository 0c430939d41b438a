/* base64.c - three bytes in four letters. */
#include <stdint.h>
#include <string.h>

#include "registry/base64.h"

#include "fs/base/banned.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *bytes, size_t size, struct str *out)
{
    const uint8_t *in = bytes;

    for (size_t i = 0; i < size; i += 3) {
        size_t count = size - i < 3 ? size - i : 3;
        uint32_t group = (uint32_t)in[i] << 16;

        if (count > 1)
            group |= (uint32_t)in[i + 1] << 8;
        if (count > 2)
            group |= in[i + 2];
        str_add_char(out, letters[group >> 18]);
        str_add_char(out, letters[group >> 12 & 63]);
        str_add_char(out, count > 1 ? letters[group >> 6 & 63] : '=');
        str_add_char(out, count > 2 ? letters[group & 63] : '=');
    }
}

bool base64_decode(const char *text, struct str *out)
{
    size_t length = strlen(text);
    size_t before = out->size;
    uint32_t group = 0;
    size_t padding = 0;

    while (padding < 2 && length > 0 && text[length - 1] == '=') {
        length--;
        padding++;
    }
    if (length % 4 == 1 || (padding > 0 && (length + padding) % 4 != 0))
        return false;
    for (size_t i = 0; i < length; i++) {
        const char *letter = strchr(letters, text[i]);

        if (!letter) {
            str_truncate(out, before);
            return false;
        }
        group = group << 6 | (uint32_t)(letter - letters);
        if (i % 4 == 0)
            continue;
        str_add_char(out, (char)(group >> (6 - 2 * (i % 4)) & 0xff));
    }
    return true;
}

/* escape.c - text from outside made safe to show: the escapes of str.h (SECURITY R58).
 *
 * A terminal obeys C0 and C1 controls, DEL included; the C1 set also arrives as the UTF-8 sequences
 * c2 80 to c2 9f. Directional overrides do no harm to a terminal but make a line read differently
 * from what it is, so they are treated alike.
 */
#include <stdint.h>

#include "fs/base/str.h"

#include "fs/base/banned.h"

/* How many bytes a character has that starts like this; 0: none does. */
static size_t length_of(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xC2) /* a continuation, or an overlong form of ASCII */
        return 0;
    if (first < 0xE0)
        return 2;
    if (first < 0xF0)
        return 3;
    return first < 0xF5 ? 4 : 0;
}

size_t text_decode(const char *text, size_t size, uint32_t *out)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *bytes = (const uint8_t *)text;
    size_t length = length_of(bytes[0]);
    uint32_t value;

    if (length == 0 || length > size)
        return 0;
    value = length == 1 ? bytes[0] : bytes[0] & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (bytes[i] & 0x3F);
    }
    if (value < smallest[length] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return 0;
    *out = value;
    return length;
}

/* What a reader cannot see or a terminal would obey. */
static bool is_plain(uint32_t c)
{
    if (c < 0x20 || (c >= 0x7F && c < 0xA0))
        return false;
    if (c >= 0x200B && c <= 0x200F) /* zero width, left-to-right and right-to-left marks */
        return false;
    if (c >= 0x2028 && c <= 0x202E) /* line and paragraph separators, embeddings, overrides */
        return false;
    if (c >= 0x2060 && c <= 0x206F) /* invisible operators, isolates */
        return false;
    return c != 0xAD && c != 0xFEFF && !(c >= 0xFFF9 && c <= 0xFFFB) && (c & 0xFFFE) != 0xFFFE;
}

static void add_hex(struct str *s, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        str_addf(s, "\\x%02x", bytes[i]);
}

void str_add_escaped(struct str *s, const char *text, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t plain = 0; /* bytes seen and not added yet */

    for (size_t i = 0; i < size;) {
        uint32_t c = 0;
        size_t length = text_decode(text + i, size - i, &c);

        if (length > 0 && is_plain(c)) {
            i += length;
            plain += length;
            continue;
        }
        str_add_bytes(s, bytes + i - plain, plain);
        plain = 0;
        length = length ? length : 1;
        if (c == '\n')
            str_add(s, "\\n");
        else
            add_hex(s, bytes + i, length);
        i += length;
    }
    str_add_bytes(s, bytes + size - plain, plain);
}

static const char *short_escape(uint32_t c)
{
    static const struct {
        char c;
        char text[3];
    } escapes[] = {{'"', "\\\""}, {'\\', "\\\\"}, {'\a', "\\a"}, {'\b', "\\b"}, {'\f', "\\f"},
                   {'\n', "\\n"}, {'\r', "\\r"},  {'\t', "\\t"}, {'\v', "\\v"}};

    for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++)
        if ((uint32_t)escapes[i].c == c)
            return escapes[i].text;
    return NULL;
}

/* `length` 0: a byte that is not UTF-8, and c is 0. */
static void add_quoted_char(struct str *s, const uint8_t *bytes, size_t length, uint32_t c)
{
    const char *escape = length > 0 ? short_escape(c) : NULL;

    if (escape)
        str_add(s, escape);
    else if (is_plain(c))
        str_add_bytes(s, bytes, length);
    else if (length <= 1)
        add_hex(s, bytes, 1);
    else
        str_addf(s, c > 0xFFFF ? "\\U%08x" : "\\u%04x", c);
}

void str_add_quoted(struct str *s, const char *text)
{
    size_t size = strlen(text);

    str_add_char(s, '"');
    for (size_t i = 0; i < size;) {
        uint32_t c = 0;
        size_t length = text_decode(text + i, size - i, &c);

        add_quoted_char(s, (const uint8_t *)text + i, length, c);
        i += length > 0 ? length : 1;
    }
    str_add_char(s, '"');
}

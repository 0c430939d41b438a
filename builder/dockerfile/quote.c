/* quote.c - shortening and escaping of words for messages. */
#include "builder/dockerfile/quote.h"
#include "fs/base/str.h"

#include "fs/base/banned.h"

#define SHOWN_MAX 240

/* The first bytes of a long text and three dots, not splitting a UTF-8 sequence. */
static char *shorten(const char *text)
{
    size_t size = strnlen(text, SHOWN_MAX + 1);

    if (size <= SHOWN_MAX)
        return mem_strdup(text);
    for (size = SHOWN_MAX; size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80;)
        size--;
    return str_format("%.*s...", (int)size, text);
}

char *quote_word(const char *text)
{
    auto_free char *shown = shorten(text);
    struct str out = {0};

    str_add_quoted(&out, shown);
    return str_take(&out);
}

char *quote_bare(const char *text)
{
    auto_free char *shown = shorten(text);
    struct str out = {0};

    str_add_escaped(&out, shown, strlen(shown));
    return str_take(&out);
}

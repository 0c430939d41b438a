/* fuzz_text.c - escaped text commands no terminal; a clean path is clean; numbers keep bounds. */
#include <assert.h>

#include "fs/base/str.h"
#include "tests/fuzz/fuzz.h"

/* Valid UTF-8 without controls. */
static void check_harmless(const struct str *s)
{
    for (size_t i = 0; i < s->size;) {
        uint32_t c = 0;
        size_t length = text_decode(s->data + i, s->size - i, &c);

        assert(length > 0 && c >= 0x20 && c != 0x7F && !(c >= 0x80 && c < 0xA0));
        i += length;
    }
}

static void check_path(const char *path)
{
    auto_free char *clean = path_clean(path);
    auto_free char *again = path_clean(clean);
    auto_free char *below = path_join("/root", path[0] == '/' ? path + strspn(path, "/") : path);

    assert(strcmp(clean, again) == 0);
    assert((clean[0] == '/') == (path[0] == '/') && clean[0] != '\0');
    assert(!strstr(clean, "//") && !strstr(clean, "/./"));
    assert(strlen(clean) == 1 || !text_ends(clean, "/"));
    assert(below[0] == '/' && !strstr(below, "/../"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = mem_strndup((const char *)data, size);
    auto_str struct str escaped = {0};
    auto_str struct str quoted = {0};
    uint64_t value = 0;

    str_add_escaped(&escaped, (const char *)data, size);
    check_harmless(&escaped);
    str_add_quoted(&quoted, text);
    check_harmless(&quoted);
    check_path(text);
    assert(!text_to_u64(text, 1000, &value) || value <= 1000);
    assert(text_distance(text, text) == 0 || strlen(text) > 64);
    return 0;
}

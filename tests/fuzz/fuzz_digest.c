/* fuzz_digest.c - a digest that parses is the very text that printing it gives. */
#include <assert.h>

#include "fs/base/digest.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = mem_strndup((const char *)data, size);
    char printed[DIGEST_TEXT_SIZE];
    struct error err = {0};
    struct digest d;

    if (digest_parse(text, &d, &err) == 0) {
        digest_format(&d, printed);
        assert(strcmp(printed, text) == 0);
    } else {
        assert(err.code != 0 && err.text[0] != '\0');
    }
    if (digest_parse_hex(text, &d, &err) == 0) {
        digest_format_hex(&d, printed);
        assert(strcmp(printed, text) == 0);
    }
    return 0;
}

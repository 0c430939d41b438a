/* fuzz_challenge.c - any WWW-Authenticate value is read without harm, and reading it again after
 * other values finds the same or something stronger.
 */
#include <assert.h>

#include "registry/base64.h"
#include "registry/challenge.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = mem_strndup((const char *)data, size);
    auto_challenge struct challenge once = {0};
    auto_challenge struct challenge after = {0};
    auto_str struct str plain = {0};
    auto_str struct str coded = {0};
    auto_str struct str again = {0};

    challenge_read(text, &once);
    challenge_read("Basic realm=\"x\"", &after);
    challenge_read(text, &after);
    assert(after.kind >= once.kind && after.kind >= CHALLENGE_BASIC);
    assert(once.kind != CHALLENGE_BEARER || once.realm);
    if (base64_decode(text, &plain)) {
        base64_encode(plain.data, plain.size, &coded);
        assert(base64_decode(str_text(&coded), &again));
        assert(plain.size == again.size);
    }
    return 0;
}

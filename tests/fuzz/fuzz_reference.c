/* fuzz_reference.c - a name that is taken has one canonical form and one short form, both of which
 * mean the same again; so has a platform.
 */
#include <assert.h>
#include <string.h>

#include "registry/platform.h"
#include "registry/reference.h"
#include "tests/fuzz/fuzz.h"

static void check_formats_as(const struct reference *ref, const char *expected)
{
    auto_str struct str text = {0};

    reference_format(ref, &text);
    assert(text_equal(str_text(&text), expected));
}

static void check_reference(const char *text)
{
    auto_reference struct reference ref = {0};
    auto_reference struct reference canonical = {0};
    auto_reference struct reference familiar = {0};
    auto_str struct str full = {0};
    auto_str struct str shown = {0};
    struct error err = {0};

    if (reference_parse(text, &ref, &err) < 0) {
        assert(err.code != 0 && err.text[0] != '\0' && !ref.host);
        return;
    }
    reference_format(&ref, &full);
    reference_familiar(&ref, &shown);
    assert(reference_parse(str_text(&full), &canonical, &err) == 0);
    assert(reference_parse(str_text(&shown), &familiar, &err) == 0);
    check_formats_as(&canonical, str_text(&full));
    check_formats_as(&familiar, str_text(&full));
    assert(!ref.tag || reference_is_tag(ref.tag));
    assert(!strstr(ref.repository, "..") && ref.repository[0] != '/');
}

static void check_platform(const char *text)
{
    auto_platform struct platform p = {0};
    auto_platform struct platform again = {0};
    auto_str struct str second = {0};
    auto_str struct str shown = {0};
    struct error err = {0};

    if (platform_parse(text, &p, &err) < 0)
        return;
    platform_format(&p, &shown);
    assert(platform_parse(str_text(&shown), &again, &err) == 0);
    platform_format(&again, &second);
    assert(text_equal(str_text(&shown), str_text(&second)) && platform_rank(&p, &again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = mem_strndup((const char *)data, size);
    auto_free char *host = NULL;
    struct error err = {0};

    check_reference(text);
    check_platform(text);
    (void)reference_parse_host(text, &host, &err);
    return 0;
}

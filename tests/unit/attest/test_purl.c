/* Package URLs (ECMA-427), and images as BuildKit names them (docs/attestations/slsa-definitions.md). */
#include "builder/attest/purl.h"
#include "registry/platform.h"
#include "registry/reference.h"
#include "tests/lib/test.h"

static void check_image(const char *name, const char *platform, const char *expected)
{
    auto_reference struct reference ref = {0};
    auto_platform struct platform where = {0};
    auto_str struct str out = {0};

    check_ok(reference_parse(name, &ref, &test_err));
    check_ok(platform_parse(platform, &where, &test_err));
    purl_of_image(&ref, &where, &out);
    check_text(str_text(&out), expected);
}

TEST(purl, an_image_is_named_as_docker_shows_it)
{
    check_image("docker.io/library/alpine:3.17", "linux/amd64",
                "pkg:docker/alpine@3.17?platform=linux%2Famd64");
    check_image("me/app", "linux/arm/v7", "pkg:docker/me/app@latest?platform=linux%2Farm%2Fv7");
    check_image("localhost:5000/a/b/c:1", "linux/amd64",
                "pkg:docker/localhost:5000/a/b/c@1?platform=linux%2Famd64");
}

TEST(purl, a_digest_is_a_qualifier)
{
#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    check_image("alpine@" D, "linux/amd64",
                "pkg:docker/alpine?digest=" D "&platform=linux%2Famd64");
}

/* ECMA-427, "Character encoding": all but letters, digits, ".-_~" and ":". */
TEST(purl, what_has_a_meaning_is_encoded)
{
    auto_str struct str out = {0};

    purl_format(&(struct purl){.type = "deb",
                               .space = "/a b//c/",
                               .name = "lib@x/y?z#",
                               .version = "1:2+3~rc-1%",
                               .qualifiers = (struct purl_qualifier[]){{"arch", ""},
                                                                       {"distro", "\xc3\xa4&="}},
                               .qualifier_count = 2},
                &out);
    check_text(str_text(&out),
               "pkg:deb/a%20b/c/lib%40x%2Fy%3Fz%23@1:2%2B3~rc-1%25?distro=%C3%A4%26%3D");
}

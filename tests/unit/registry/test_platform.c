/* test_platform.c - names of platforms, and which image runs where. */
#include <errno.h>

#include "registry/platform.h"
#include "tests/lib/test.h"

static void check_reads_as(const char *text, const char *canonical)
{
    auto_platform struct platform p = {0};
    auto_str struct str out = {0};

    check_ok(platform_parse(text, &p, &test_err));
    platform_format(&p, &out);
    check_text(str_text(&out), canonical);
}

static int rank(const char *want_text, const char *have_text)
{
    auto_platform struct platform want = {0};
    auto_platform struct platform have = {0};

    check_ok(platform_parse(want_text, &want, &test_err));
    check_ok(platform_parse(have_text, &have, &test_err));
    return platform_rank(&want, &have);
}

/* OCI image-index.md: GOOS, GOARCH and the variant table. */
TEST(platform, spellings_become_one)
{
    check_reads_as("linux/amd64", "linux/amd64");
    check_reads_as("Linux/X86_64", "linux/amd64");
    check_reads_as("linux/aarch64", "linux/arm64");
    check_reads_as("linux/arm64/v8", "linux/arm64");
    check_reads_as("linux/arm64/8", "linux/arm64");
    check_reads_as("linux/arm", "linux/arm/v7");
    check_reads_as("linux/armhf", "linux/arm/v7");
    check_reads_as("linux/armel", "linux/arm/v6");
    check_reads_as("linux/arm/7", "linux/arm/v7");
    check_reads_as("linux/amd64/v1", "linux/amd64");
    check_reads_as("linux/amd64/v3", "linux/amd64/v3");
    check_reads_as("linux/i386", "linux/386");
    check_reads_as("windows/amd64", "windows/amd64");
    check_reads_as("macos/arm64", "darwin/arm64");
}

TEST(platform, one_word_takes_the_rest_from_the_host)
{
    auto_platform struct platform host = {0};
    auto_str struct str text = {0};

    platform_host(&host);
    check_text(host.os, "linux");
    platform_format(&host, &text);
    check_reads_as("linux", str_text(&text));
    check_reads_as("s390x", "linux/s390x");
    check_reads_as("arm64", "linux/arm64");
}

TEST(platform, other_texts_are_refused)
{
    static const char *const texts[] = {
        "",       "/",         "linux/", "/amd64", "linux/amd64/v1/x", "linux//v7", "linux/am d64",
        "nosuch", "linux/a\nb"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        auto_platform struct platform p = {0};

        check_fails(platform_parse(texts[i], &p, &test_err), EINVAL);
    }
}

TEST(platform, arm_falls_back_to_lower_variants_only)
{
    check_int(rank("linux/arm/v7", "linux/arm/v7"), 0);
    check_int(rank("linux/arm/v7", "linux/arm/v6"), 1);
    check_int(rank("linux/arm/v7", "linux/arm/v5"), 2);
    check_int(rank("linux/arm/v6", "linux/arm/v7"), -1);
    check_int(rank("linux/arm64", "linux/arm/v7"), -1);
}

TEST(platform, amd64_levels_fall_back_to_the_baseline)
{
    check_int(rank("linux/amd64", "linux/amd64"), 0);
    check_int(rank("linux/amd64/v3", "linux/amd64/v3"), 0);
    check_int(rank("linux/amd64/v3", "linux/amd64/v2"), 1);
    check_int(rank("linux/amd64/v3", "linux/amd64"), 2);
    check_int(rank("linux/amd64", "linux/amd64/v2"), -1);
}

TEST(platform, another_system_never_matches)
{
    check_int(rank("linux/amd64", "windows/amd64"), -1);
    check_int(rank("linux/amd64", "linux/386"), -1);
    check_int(rank("linux/arm64", "linux/arm64/vX"), -1);
}

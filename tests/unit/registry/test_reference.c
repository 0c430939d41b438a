/* test_reference.c - what an image name means, and which texts are none. */
#include <errno.h>
#include <string.h>

#include "fs/base/str.h"
#include "registry/reference.h"
#include "tests/lib/test.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void check_reads_as(const char *text, const char *canonical, const char *familiar)
{
    auto_reference struct reference ref = {0};
    auto_reference struct reference again = {0};
    auto_str struct str full = {0};
    auto_str struct str shown = {0};

    check_ok(reference_parse(text, &ref, &test_err));
    reference_format(&ref, &full);
    reference_familiar(&ref, &shown);
    check_text(str_text(&full), canonical);
    check_text(str_text(&shown), familiar);
    check_ok(reference_parse(str_text(&shown), &again, &test_err));
    str_truncate(&full, 0);
    reference_format(&again, &full);
    check_text(str_text(&full), canonical);
}

static void check_refused(const char *text)
{
    auto_reference struct reference ref = {0};
    struct error err = {0};

    if (reference_parse(text, &ref, &err) != -EINVAL)
        check_fail("'%s' was taken for a reference", text);
    check_true(strlen(err.text) > 0);
}

/* docker's "familiar" names: Hub and library/ are left out, the tag is "latest" when nobody said.
 */
TEST(reference, a_short_name_is_on_the_hub)
{
    check_reads_as("debian", "docker.io/library/debian:latest", "debian:latest");
    check_reads_as("debian:12", "docker.io/library/debian:12", "debian:12");
    check_reads_as("me/app", "docker.io/me/app:latest", "me/app:latest");
    check_reads_as("docker.io/debian", "docker.io/library/debian:latest", "debian:latest");
    check_reads_as("docker.io/library/debian", "docker.io/library/debian:latest", "debian:latest");
    check_reads_as("index.docker.io/me/app:1", "docker.io/me/app:1", "me/app:1");
    check_reads_as("library/debian", "docker.io/library/debian:latest", "debian:latest");
    check_reads_as("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest");
}

/* A first part with '.', ':', upper case or the name localhost is a host. */
TEST(reference, a_first_part_that_looks_like_a_host_is_one)
{
    check_reads_as("localhost/x", "localhost/x:latest", "localhost/x:latest");
    check_reads_as("localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest");
    check_reads_as("127.0.0.1:5000/me/app:1", "127.0.0.1:5000/me/app:1", "127.0.0.1:5000/me/app:1");
    check_reads_as("ghcr.io/a/b/c:v1.0", "ghcr.io/a/b/c:v1.0", "ghcr.io/a/b/c:v1.0");
    check_reads_as("Example/x", "Example/x:latest", "Example/x:latest");
    check_reads_as("GHCR.io/a", "ghcr.io/a:latest", "ghcr.io/a:latest");
    check_reads_as("a/b", "docker.io/a/b:latest", "a/b:latest");
}

TEST(reference, ipv6_hosts_are_taken)
{
    check_reads_as("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest");
    check_reads_as("[2001:db8::1]/x:1", "[2001:db8::1]/x:1", "[2001:db8::1]/x:1");
    check_refused("[::1/x");
    check_refused("[::zz]/x");
    check_refused("[fe80::1%eth0]/x");
    check_refused("[]/x");
    check_refused("[::1]:5000");
}

/* name:tag@digest keeps both; a digest alone gets no tag. */
TEST(reference, a_digest_is_kept_beside_the_tag)
{
    check_reads_as("debian@sha256:" HEX64, "docker.io/library/debian@sha256:" HEX64,
                   "debian@sha256:" HEX64);
    check_reads_as("debian:12@sha256:" HEX64, "docker.io/library/debian:12@sha256:" HEX64,
                   "debian:12@sha256:" HEX64);
    check_reads_as("h:1/debian:12@sha256:" HEX64, "h:1/debian:12@sha256:" HEX64,
                   "h:1/debian:12@sha256:" HEX64);
    check_reads_as("debian:12@sha512:" HEX64 HEX64,
                   "docker.io/library/debian:12@sha512:" HEX64 HEX64,
                   "debian:12@sha512:" HEX64 HEX64);
}

TEST(reference, the_manifest_is_asked_for_by_digest_when_there_is_one)
{
    auto_reference struct reference tagged = {0};
    auto_reference struct reference pinned = {0};
    auto_str struct str a = {0};
    auto_str struct str b = {0};

    check_ok(reference_parse("debian:12", &tagged, &test_err));
    check_ok(reference_parse("debian:12@sha256:" HEX64, &pinned, &test_err));
    reference_manifest_name(&tagged, &a);
    reference_manifest_name(&pinned, &b);
    check_text(str_text(&a), "12");
    check_text(str_text(&b), "sha256:" HEX64);
}

TEST(reference, without_a_tag_parse_name_leaves_it_open)
{
    auto_reference struct reference ref = {0};

    check_ok(reference_parse_name("debian", &ref, &test_err));
    check_text(ref.tag, NULL);
}

/* distribution-spec: [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* between slashes. */
TEST(reference, separators_stand_between_words)
{
    check_reads_as("a.b", "docker.io/library/a.b:latest", "a.b:latest");
    check_reads_as("a__b", "docker.io/library/a__b:latest", "a__b:latest");
    check_reads_as("a----b/c_d", "docker.io/a----b/c_d:latest", "a----b/c_d:latest");
    check_refused("a..b");
    check_refused("a___b");
    check_refused("a._b");
    check_refused("-a");
    check_refused("a-");
    check_refused("a/-b");
    check_refused("a//b");
    check_refused("/a");
    check_refused("a/");
    check_refused("h.io/");
    check_refused(".a");
    check_refused("../a");
    check_refused("a/../b");
}

TEST(reference, tags_have_their_own_alphabet_and_length)
{
    char longest[200];

    check_reads_as("a:_", "docker.io/library/a:_", "a:_");
    check_reads_as("a:V1.0-rc_2", "docker.io/library/a:V1.0-rc_2", "a:V1.0-rc_2");
    check_refused("a:");
    check_refused("a:.x");
    check_refused("a:-x");
    check_refused("a:x y");
    check_refused("a:x+y");
    check_refused("a:1:2");
    memcpy(longest, "a:", 2);
    memset(longest + 2, 'x', 128);
    longest[130] = '\0';
    check_true(reference_is_tag(longest + 2));
    memset(longest + 2, 'x', 129);
    longest[131] = '\0';
    check_refused(longest);
}

/* SECURITY R33: sha256 and sha512 alone, lower case, exact length. */
TEST(reference, other_digests_are_refused)
{
    check_refused("a@sha256:0123");
    check_refused("a@sha256:" HEX64 "0");
    check_refused("a@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef");
    check_refused("a@sha999:" HEX64);
    check_refused("a@" HEX64);
    check_refused("a@sha256:../../../../../../../../../../../../../../../../../../../../x");
    check_refused("a@");
    check_refused("a@sha256:" HEX64 "@sha256:" HEX64);
}

TEST(reference, hosts_must_be_hosts)
{
    check_refused("h.io:/x");
    check_refused("h.io:0/x");
    check_refused("h.io:65536/x");
    check_refused("h.io:80a/x");
    check_refused("-h.io/x");
    check_refused("h-.io/x");
    check_refused("h..io/x");
    check_refused(".io/x");
    check_refused("user:pass@h.io/x");
    check_refused("h_x.io/x");
}

/* Host and repository together: 255 bytes. */
TEST(reference, the_name_has_a_longest_length)
{
    auto_reference struct reference ref = {0};
    char name[400];

    memset(name, 'a', sizeof(name));
    memcpy(name, "h.io/", 5);
    name[255] = '\0';
    check_ok(reference_parse(name, &ref, &test_err));
    name[255] = 'a';
    name[256] = '\0';
    check_refused(name);
}

TEST(reference, a_bare_id_is_no_name)
{
    auto_reference struct reference ref = {0};
    struct error err = {0};

    check_fails(reference_parse(HEX64, &ref, &err), EINVAL);
    check_error(&err, EINVAL, "invalid reference '" HEX64 "': 64 hex digits are an id, not a name");
    check_reads_as("x/" HEX64, "docker.io/x/" HEX64 ":latest", "x/" HEX64 ":latest");
    check_reads_as("docker.io/library/" HEX64 ":1", "docker.io/library/" HEX64 ":1",
                   "docker.io/library/" HEX64 ":1");
}

/* OCI image-spec, descriptor.md, "Registered algorithms": a sound name of something not supported. */
TEST(reference, another_digest_algorithm_is_refused_by_name)
{
    auto_reference struct reference ref = {0};
    struct error err = {0};

    check_fails(reference_parse("a@sha384:" HEX64, &ref, &err), EINVAL);
    check_error(&err, EINVAL,
                "invalid reference 'a@sha384:" HEX64
                "': digests of 'sha384' are not supported, those of sha256 and sha512 are");
    check_fails(reference_parse("a@sha256:00", &ref, &err), EINVAL);
    check_error(&err, EINVAL,
                "invalid reference 'a@sha256:00': 'sha256:00' is not sha256 and 64 lower-case hex "
                "digits");
    check_fails(reference_parse("a@sha512:" HEX64, &ref, &err), EINVAL);
    check_error(&err, EINVAL,
                "invalid reference 'a@sha512:" HEX64 "': 'sha512:" HEX64
                "' is not sha512 and 128 lower-case hex digits");
}

/* The familiar form must not be read as something else. */
TEST(reference, a_hub_namespace_like_a_host_keeps_its_host)
{
    check_reads_as("docker.io/localhost/x", "docker.io/localhost/x:latest",
                   "docker.io/localhost/x:latest");
}

TEST(reference, upper_case_gets_a_hint)
{
    auto_reference struct reference ref = {0};
    struct error err = {0};

    check_fails(reference_parse("MyApp:V1", &ref, &err), EINVAL);
    check_error(&err, EINVAL,
                "invalid reference 'MyApp:V1': a repository name is lower case letters and digits, "
                "with single '.', '_', '-' or '/' between them");
    check_hint(&err, "write 'myapp:V1'");
}

TEST(reference, a_url_gets_a_hint)
{
    auto_reference struct reference ref = {0};
    struct error err = {0};

    check_fails(reference_parse("https://h.io/x:1", &ref, &err), EINVAL);
    check_error(&err, EINVAL, "invalid reference 'https://h.io/x:1': a URL is not an image name");
    check_hint(&err, "write 'h.io/x:1'");
}

TEST(reference, nothing_and_control_bytes_are_refused)
{
    check_refused("");
    check_refused(":");
    check_refused("@");
    check_refused(":1");
    check_refused("a\nb");
    check_refused("a\x1b[31m");
    check_refused("a b");
    check_refused("\xc3\xa4");
}

TEST(reference, login_hosts_are_made_canonical)
{
    static const char *const pairs[][2] = {
        {"docker.io", "docker.io"},
        {"index.docker.io", "docker.io"},
        {"registry-1.docker.io", "docker.io"},
        {"https://index.docker.io/v1/", "docker.io"},
        {"https://GHCR.io/v2/", "ghcr.io"},
        {"localhost:5000", "localhost:5000"},
        {"http://[::1]:5000", "[::1]:5000"},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        auto_free char *host = NULL;

        check_ok(reference_parse_host(pairs[i][0], &host, &test_err));
        check_text(host, pairs[i][1]);
    }
}

TEST(reference, a_login_host_that_is_none_is_refused)
{
    static const char *const texts[] = {"", "a b", "https://", "user@h.io", "h.io:x", "a/b@c"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) - 1; i++) {
        auto_free char *host = NULL;

        check_fails(reference_parse_host(texts[i], &host, &test_err), EINVAL);
        check_text(host, NULL);
    }
}

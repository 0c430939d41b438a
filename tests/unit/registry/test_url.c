/* test_url.c - where a URL leads and who may be told a password (SECURITY R43, R44). */
#include <errno.h>
#include <string.h>

#include "registry/url.h"
#include "tests/lib/test.h"

static void check_reads_as(const char *text, const char *canonical)
{
    auto_url struct url u = {0};
    auto_str struct str out = {0};

    check_ok(url_parse(text, &u, &test_err));
    url_format(&u, &out);
    check_text(str_text(&out), canonical);
}

static void check_resolves(const char *base_text, const char *location, const char *expected)
{
    auto_url struct url base = {0};
    auto_url struct url u = {0};
    auto_str struct str out = {0};

    check_ok(url_parse(base_text, &base, &test_err));
    check_ok(url_resolve(&base, location, &u, &test_err));
    url_format(&u, &out);
    check_text(str_text(&out), expected);
}

TEST(url, the_parts_are_made_canonical)
{
    check_reads_as("https://H.io", "https://h.io/");
    check_reads_as("https://h.io:443/a?b=c", "https://h.io/a?b=c");
    check_reads_as("HTTP://h.io:80/", "http://h.io/");
    check_reads_as("http://h.io:443/x", "http://h.io:443/x");
    check_reads_as("https://[::1]:5000/v2/", "https://[::1]:5000/v2/");
    check_reads_as("https://h.io/a b#frag", "https://h.io/a%20b");
    check_reads_as("https://h.io?x=1", "https://h.io/?x=1");
}

TEST(url, what_is_not_plain_http_is_refused)
{
    static const char *const texts[] = {
        "",
        "h.io/x",
        "ftp://h.io/",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://u:p@h.io/",
        "https://u@h.io/",
        "https://h.io:0/",
        "https://h.io:99999/",
        "https://h.io:8a/",
        "https://[::1/",
        "https://[zz]/",
        "https://h io/",
        "https://h.io/a\nb",
        "https://h.io\\@evil.io/",
        "https://-h.io/",
        "https://.h.io/",
        "https://h%2eio/",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        auto_url struct url u = {0};

        if (url_parse(texts[i], &u, &test_err) != -EINVAL)
            check_fail("'%s' was taken for a URL", texts[i]);
    }
}

/* SECURITY R49: neither userinfo nor a signed query reaches a message. */
TEST(url, a_refusal_shows_no_secret)
{
    auto_url struct url u = {0};
    struct error err = {0};

    check_fails(url_parse("https://user:hunter2@h.io/x?sig=hunter3", &u, &err), EINVAL);
    check_error(&err, EINVAL, "bad URL 'h.io/x': credentials do not belong in a URL");
}

/* RFC 3986 5.2; distribution-spec allows relative upload locations. */
TEST(url, locations_are_resolved_against_the_request)
{
    check_resolves("https://h.io:5000/v2/x/blobs/uploads/", "/v2/x/blobs/uploads/1?s=2",
                   "https://h.io:5000/v2/x/blobs/uploads/1?s=2");
    check_resolves("https://h.io/a/b?q", "c", "https://h.io/a/c");
    check_resolves("https://h.io/a/b?q", "?z=1", "https://h.io/a/b?z=1");
    check_resolves("https://h.io/a", "//cdn.io/x", "https://cdn.io/x");
    check_resolves("https://h.io/a", "http://cdn.io/x", "http://cdn.io/x");
    check_resolves("http://[::1]:5/a", "/b", "http://[::1]:5/b");
    check_resolves("https://h.io/a/b", "c?u=http://x/", "https://h.io/a/c?u=http://x/");
}

TEST(url, origins_differ_by_scheme_host_or_port)
{
    auto_url struct url a = {0};
    auto_url struct url b = {0};
    static const char *const others[] = {"http://h.io/", "https://h.io:444/", "https://x.h.io/"};

    check_ok(url_parse("https://h.io/a", &a, &test_err));
    check_ok(url_parse("https://h.io:443/b", &b, &test_err));
    check_true(url_same_origin(&a, &b));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        auto_url struct url c = {0};

        check_ok(url_parse(others[i], &c, &test_err));
        check_false(url_same_origin(&a, &c));
    }
}

TEST(url, query_values_are_encoded)
{
    auto_str struct str s = {0};

    str_add(&s, "https://h.io/token");
    url_add_query(&s, "scope", "repository:a/b:pull,push");
    url_add_query(&s, "x", "&= \xc3\xa4");
    check_text(str_text(&s),
               "https://h.io/token?scope=repository%3Aa%2Fb%3Apull%2Cpush&x=%26%3D%20%C3%A4");
}

TEST(host, loopback_is_known_by_name_and_number)
{
    check_true(host_is_loopback("localhost"));
    check_true(host_is_loopback("a.localhost"));
    check_true(host_is_loopback("127.0.0.1"));
    check_true(host_is_loopback("127.9.9.9"));
    check_true(host_is_loopback("[::1]"));
    check_false(host_is_loopback("localhost.evil.io"));
    check_false(host_is_loopback("127.0.0.1.evil.io"));
    check_false(host_is_loopback("128.0.0.1"));
    check_false(host_is_loopback("[::2]"));
    check_false(host_is_loopback("127.1"));
}

/* SECURITY R44: loopback, link-local and metadata addresses in every spelling a resolver takes. */
TEST(host, local_literals_are_seen_through_their_spelling)
{
    static const char *const local[] = {
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0.0.0.0",
        "0",
        "169.254.169.254",
        "0xa9fea9fe",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
    };
    static const char *const other[] = {"h.io", "10.0.0.1", "8.8.8.8", "[2001:db8::1]", "127.io"};

    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        if (!host_is_local_literal(local[i]))
            check_fail("'%s' passed for a remote host", local[i]);
    }
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
        check_false(host_is_local_literal(other[i]));
}

TEST(host, the_same_site_shares_a_registrable_domain)
{
    check_true(host_same_site("registry-1.docker.io", "auth.docker.io"));
    check_true(host_same_site("registry.gitlab.com", "gitlab.com"));
    check_true(host_same_site("127.0.0.1", "127.0.0.1"));
    check_true(host_same_site("r.example.co.uk", "auth.example.co.uk"));
    check_true(host_same_site("registry.abc.de", "git.abc.de"));
    check_false(host_same_site("docker.io", "evil.io"));
    check_false(host_same_site("a.example.co.uk", "b.other.co.uk"));
    check_false(host_same_site("a.azurecr.io", "b.azurecr.io"));
    check_false(host_same_site("1.2.3.4", "9.2.3.4"));
    check_false(host_same_site("docker.io", "notdocker.io"));
    check_false(host_same_site("io", "docker.io"));
    check_false(host_same_site("a.s3.amazonaws.com", "b.s3.amazonaws.com"));
}

TEST(host, patterns_match_hosts_ports_networks_and_wildcards)
{
    check_true(host_matches("h.io", "h.io"));
    check_true(host_matches("h.io", "h.io:5000"));
    check_true(host_matches("h.io:5000", "h.io:5000"));
    check_false(host_matches("h.io:5000", "h.io"));
    check_false(host_matches("h.io:5000", "h.io:5001"));
    check_true(host_matches("*.h.io", "a.b.h.io:1"));
    check_false(host_matches("*.h.io", "h.io"));
    check_false(host_matches("*.h.io", "xh.io"));
    check_true(host_matches("10.0.0.0/8", "10.1.2.3:5000"));
    check_false(host_matches("10.0.0.0/8", "11.1.2.3"));
    check_true(host_matches("0.0.0.0/0", "11.1.2.3"));
    check_true(host_matches("fd00::/8", "[fd12::1]:5000"));
    check_false(host_matches("fd00::/8", "[fe80::1]"));
    check_false(host_matches("10.0.0.0/8", "h.io"));
    check_true(host_matches("*", "anything"));
}

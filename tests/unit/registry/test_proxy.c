/* test_proxy.c - which proxy the environment asks for, and who goes around it. */
#include <stdlib.h>

#include "registry/proxy.h"
#include "tests/lib/test.h"

static void clean_environment(void)
{
    static const char *const names[] = {"http_proxy",  "HTTP_PROXY", "https_proxy",
                                        "HTTPS_PROXY", "all_proxy",  "ALL_PROXY",
                                        "no_proxy",    "NO_PROXY",   "REQUEST_METHOD"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
}

static void check_proxy(const char *url_text, const char *expected)
{
    auto_url struct url url = {0};
    auto_str struct str proxy = {0};

    check_ok(url_parse(url_text, &url, &test_err));
    proxy_for(&url, &proxy);
    check_text(str_text(&proxy), expected);
}

TEST(proxy, each_scheme_has_its_own)
{
    clean_environment();
    check_proxy("https://h.io/", "");
    setenv("https_proxy", "http://p:1", 1);
    setenv("http_proxy", "http://q:2", 1);
    check_proxy("https://h.io/", "http://p:1");
    check_proxy("http://h.io/", "http://q:2");
}

TEST(proxy, upper_case_stands_in_for_lower_case)
{
    clean_environment();
    setenv("HTTPS_PROXY", "http://upper:1", 1);
    check_proxy("https://h.io/", "http://upper:1");
    setenv("https_proxy", "http://lower:1", 1);
    check_proxy("https://h.io/", "http://lower:1");
}

TEST(proxy, one_for_all_comes_last)
{
    clean_environment();
    setenv("ALL_PROXY", "socks5h://s:1080", 1);
    check_proxy("https://h.io/", "socks5h://s:1080");
    setenv("https_proxy", "http://p:1", 1);
    check_proxy("https://h.io/", "http://p:1");
    check_proxy("http://h.io/", "socks5h://s:1080");
}

/* CVE-2016-5385 ("httpoxy") */
TEST(proxy, a_cgi_request_cannot_name_one)
{
    clean_environment();
    setenv("HTTP_PROXY", "http://evil:1", 1);
    check_proxy("http://h.io/", "http://evil:1");
    setenv("REQUEST_METHOD", "GET", 1);
    check_proxy("http://h.io/", "");
}

TEST(proxy, loopback_goes_around_it)
{
    clean_environment();
    setenv("http_proxy", "http://p:1", 1);
    check_proxy("http://127.0.0.1:5000/", "");
    check_proxy("http://localhost:5000/", "");
    check_proxy("http://[::1]:5000/", "");
}

static void check_bypass(const char *list, const char *url_text, bool expected)
{
    auto_url struct url url = {0};

    check_ok(url_parse(url_text, &url, &test_err));
    if (proxy_is_bypassed(list, &url) != expected)
        check_fail("no_proxy '%s' %s '%s'", list, expected ? "does not cover" : "covers", url_text);
}

TEST(proxy, exceptions_are_domains_hosts_networks_and_ports)
{
    check_bypass("d.io", "https://d.io/", true);
    check_bypass("d.io", "https://a.d.io/", true);
    check_bypass("d.io", "https://ad.io/", false);
    check_bypass(".d.io", "https://a.d.io/", true);
    check_bypass(".d.io", "https://d.io/", true);
    check_bypass("*.d.io", "https://a.d.io/", true);
    check_bypass("*", "https://a.d.io/", true);
    check_bypass("x, d.io y", "https://d.io/", true);
    check_bypass("D.IO", "https://d.io/", true);
    check_bypass("d.io:5000", "https://d.io:5000/", true);
    check_bypass("d.io:5000", "https://d.io/", false);
    check_bypass("10.0.0.0/8", "https://10.1.2.3/", true);
    check_bypass("10.0.0.0/8", "https://11.1.2.3/", false);
    check_bypass("10.1.2.3", "https://10.1.2.3:5000/", true);
    check_bypass("fd00::/8", "https://[fd01::1]/", true);
    check_bypass("fd01::1", "https://[fd01::1]/", true);
    check_bypass("", "https://d.io/", false);
    check_bypass(",, ,", "https://d.io/", false);
}

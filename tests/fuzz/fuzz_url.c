/* fuzz_url.c - a URL that is taken reads back as itself, names no user, and the questions about its
 * host have answers that agree. A second line is resolved against the first.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "registry/proxy.h"
#include "registry/url.h"
#include "tests/fuzz/fuzz.h"

static void check_url(const struct url *url)
{
    auto_url struct url again = {0};
    auto_str struct str text = {0};
    auto_str struct str safe = {0};
    struct error err = {0};

    url_format(url, &text);
    url_format_safe(url, &safe);
    assert(url_parse(str_text(&text), &again, &err) == 0);
    assert(url_same_origin(url, &again) && text_equal(url->path, again.path));
    assert(!strpbrk(str_text(&text), " \r\n\t\"<>\\^`{|}"));
    assert(!memchr(str_text(&text), '@', strcspn(str_text(&text) + 8, "/") + 8));
    assert(!strchr(str_text(&safe), '?') && url->port != 0 && url->path[0] == '/');
}

static void check_host(const char *host, const char *pattern)
{
    uint16_t port;
    auto_free char *name = host_split(pattern, &port);

    assert(!host_is_loopback(host) || host_is_local_literal(host) || strstr(host, "localhost"));
    assert(host_same_site(host, host));
    assert(host_same_site(host, name) == host_same_site(name, host));
    assert(host_matches("*", host));
    (void)host_matches(pattern, host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = mem_strndup((const char *)data, size);
    char *second = strchr(text, '\n');
    auto_url struct url url = {0};
    auto_url struct url next = {0};
    struct error err = {0};

    if (second)
        *second++ = '\0';
    if (url_parse(text, &url, &err) < 0) {
        assert(err.code == EINVAL && !strchr(err.text, '?'));
        return 0;
    }
    check_url(&url);
    check_host(url.host, second ? second : "x");
    if (second && url_resolve(&url, second, &next, &err) == 0)
        check_url(&next);
    (void)proxy_is_bypassed(second ? second : "", &url);
    return 0;
}

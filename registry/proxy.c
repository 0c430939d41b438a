/* proxy.c - reads the proxy variables the way curl, Go and Python agree upon. */
#include <stdlib.h>
#include <string.h>

#include "registry/proxy.h"

#include "fs/base/banned.h"

static const char *variable(const char *lower, const char *upper)
{
    const char *value = secure_getenv(lower);

    if (!value || value[0] == '\0')
        value = upper ? secure_getenv(upper) : NULL;
    return value && value[0] != '\0' ? value : NULL;
}

static bool covers(const char *item, const struct url *url)
{
    auto_str struct str host_port = {0};
    auto_free char *bracketed = NULL;
    auto_free char *host = NULL;
    uint16_t port;

    str_addf(&host_port, "%s:%u", url->host, url->port);
    if (strchr(item, '/'))
        return host_matches(item, str_text(&host_port));
    /* An IPv6 address is usually written without its brackets here. */
    if (item[0] != '[' && strchr(item, ':') != strrchr(item, ':'))
        item = bracketed = str_format("[%s]", item);
    if (text_starts(item, "*."))
        item++;
    host = host_split(item, &port);
    if (port != 0 && port != url->port)
        return false;
    if (host[0] == '.')
        return text_ends(url->host, host) || text_equal(url->host, host + 1);
    if (text_equal(url->host, host))
        return true;
    return host[0] != '\0' && text_ends(url->host, host) &&
           url->host[strlen(url->host) - strlen(host) - 1] == '.';
}

bool proxy_is_bypassed(const char *list, const struct url *url)
{
    while (*list != '\0') {
        size_t length = strcspn(list, ", \t");
        auto_free char *item = mem_strndup(list, length);

        if (text_equal(item, "*") || (length > 0 && covers(item, url)))
            return true;
        list += length;
        list += strspn(list, ", \t");
    }
    return false;
}

void proxy_for(const struct url *url, struct str *out)
{
    const char *skip = variable("no_proxy", "NO_PROXY");
    const char *proxy;

    if (host_is_loopback(url->host) || (skip && proxy_is_bypassed(skip, url)))
        return;
    if (url->is_https)
        proxy = variable("https_proxy", "HTTPS_PROXY");
    else
        proxy = variable("http_proxy", secure_getenv("REQUEST_METHOD") ? NULL : "HTTP_PROXY");
    if (!proxy)
        proxy = variable("all_proxy", "ALL_PROXY");
    if (proxy)
        str_add(out, proxy);
}

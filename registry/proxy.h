/* proxy.h - which proxy a request goes through, by the environment.
 *
 * http_proxy, https_proxy, all_proxy and no_proxy, lower case first, then upper case. HTTP_PROXY is
 * ignored where REQUEST_METHOD is set, since a CGI caller could have sent it (httpoxy).
 */
#pragma once

#include "fs/base/str.h"
#include "registry/url.h"

/* Adds the proxy's URL (http, https, socks4, socks4a, socks5, socks5h; may hold userinfo, which is
 * never printed) to `out`, or nothing for a direct connection. Loopback hosts never use a proxy. */
void proxy_for(const struct url *url, struct str *out);

/* `list`: hosts, domains (".d.io", "d.io" and "*.d.io" cover what is below), networks, "host:port"
 * or "*", separated by commas or spaces. */
bool proxy_is_bypassed(const char *list, const struct url *url);

/* proxy_args.h - the proxies of docker's config.json, which docker hands to every build as arguments.
 *
 * docker(1), "Configure the Docker client to use a proxy": the keys httpProxy, httpsProxy, noProxy,
 * ftpProxy and allProxy of proxies.default. They say nothing about how registries are reached; that
 * is the environment's part (proxy.h).
 */
#pragma once

#include "fs/base/error.h"
#include "fs/base/str.h"

/* Adds "HTTP_PROXY=..", "http_proxy=.." and so on to `out`, without those whose name (in either
 * case) is in `out` already. The values may hold userinfo: they are never printed (SECURITY R49).
 * -EINVAL names a config.json that cannot be understood. */
int proxy_args_add(struct strv *out, struct error *err);

/* registries_internal.h - where a repository can be reached: what client.c asks of registries.c. */
#pragma once

#include "registry/auth.h"
#include "registry/credentials.h"
#include "registry/registries.h"
#include "registry/registries_conf.h"
#include "registry/url.h"

struct auth *registries_auth(struct registries *all);               /* borrowed */
struct credentials *registries_credentials(struct registries *all); /* borrowed */

/* registries.conf, read when first asked for; borrowed. -EINVAL names the file and line. */
int registries_config(struct registries *all, const struct registries_conf **out,
                      struct error *err);

/* How to talk to `host` ("docker.io", "h.io:5000"): https, except that hosts inside this machine
 * and insecure ones are asked once which scheme they speak. A 401 met on the way is learned from,
 * with `repository` for the credentials. The caller owns *out; its path is "/". */
int registries_origin(struct registries *all, const char *host, const char *repository,
                      struct url *out, struct error *err);

/* buildkit_conf.h - mirrors and trust as buildkitd.toml has them.
 *
 * BuildKit "buildkitd.toml", the tables [registry."host"]: mirrors ("host[:port][/path]"), http,
 * insecure, ca and keypair. The user's file ($XDG_CONFIG_HOME or ~/.config, /buildkit/buildkitd.toml),
 * else /etc/buildkit's. Whoever has rules for the same host in registries.conf is taken at those.
 */
#pragma once

#include "fs/base/error.h"
#include "registry/registries_conf.h"

/* Adds the rules there are. A file that cannot be understood is warned of and passed over. */
int buildkit_conf_read(struct registries_conf *conf, struct error *err);
/* One file's text; -EINVAL "name:line: ..". */
int buildkit_conf_parse(const char *text, const char *name, struct registries_conf *conf,
                        struct error *err);

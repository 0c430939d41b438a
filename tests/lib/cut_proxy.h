/* cut_proxy.h - a loopback port in front of another one that cuts connections in the middle. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"

struct cut_proxy;

/* Forwards to 127.0.0.1:port. The first `cut_count` connections over which more than `up_bytes` are
 * sent, or more than `down_bytes` received (0: never), are reset there. */
struct cut_proxy *cut_proxy_start(uint16_t port, unsigned cut_count, size_t up_bytes,
                                  size_t down_bytes);
void cut_proxy_stop(struct cut_proxy *p);
DEFINE_CLEANUP(cut_proxy_stop, struct cut_proxy *)
#define auto_cut_proxy CLEANUP(cut_proxy_stop)
const char *cut_proxy_host(const struct cut_proxy *p); /* "127.0.0.1:PORT" */
unsigned cut_proxy_cuts(struct cut_proxy *p);          /* connections cut so far */

/* network.h - what a step's network looks like, and the helper program that provides it.
 *
 * A step with the default network lives in a network namespace of its own whose only way out is
 * slirp4netns or pasta (user-mode TCP/IP; no privilege). Both are told to show the same addresses,
 * so that a step sees the same files whichever is installed. Not for the registry client.
 */
#pragma once

#include <stdbool.h>

#include "builder/sandbox/sandbox.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

#define NETWORK_ADDRESS "10.0.2.100"
#define NETWORK_GATEWAY "10.0.2.2"
#define NETWORK_NAMESERVER "10.0.2.3"

/* Adds the /etc/resolv.conf a step with this network gets: with HOST the host's own text; with
 * DEFAULT the helper's name server and the host's search and options lines; with NONE no server. */
void network_resolv_conf(enum sandbox_network network, struct str *out);
/* The same from a given host file. */
void network_resolv_conf_from(enum sandbox_network network, const char *host, size_t host_size,
                              struct str *out);
/* Where that helper is installed, a static path, or NULL; AUTO: whichever comes first. */
const char *network_program(enum spawner_network_helper helper);

/* ssh.h - the caller's ssh agent as a step sees it: RUN --mount=type=ssh.
 *
 * A step speaks to us, never to the agent itself: what it asks is read message by message
 * (draft-miller-ssh-agent), and only listing keys and signing with them reaches the agent. Adding,
 * removing and locking keys and all extensions are answered with a failure (SECURITY R55).
 */
#pragma once

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

struct ssh_proxy; /* owns one thread */

/* Serves `listen_fd` (owned from now on, even on failure) until ssh_proxy_stop; `agent` is the path
 * of the agent's socket. Errors: -ENAMETOOLONG; -EAGAIN no thread to be had. */
int ssh_proxy_start(int listen_fd, const char *agent, struct ssh_proxy **out, struct error *err);
void ssh_proxy_stop(struct ssh_proxy *p); /* at once, an agent that waits for its user included */

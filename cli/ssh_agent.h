/* ssh_agent.h - an agent for key files given with --ssh: steps and git are shown a socket, never a key.
 *
 * It is ssh-agent(1), started as the parent of a program of ours that ends with us, so that it ends too
 * whatever becomes of us; keys reach it through ssh-add(1) and are never written anywhere.
 */
#pragma once

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

struct ssh_agent;

/* Errors: -ENOENT no such program; -EIO it ended. */
int ssh_agent_start(struct ssh_agent **out, struct error *err);
const char *ssh_agent_socket(const struct ssh_agent *a);
/* The private key in a file, whatever its mode. -EINVAL: ssh-add does not take it, in its own words. */
int ssh_agent_add(struct ssh_agent *a, const char *path, struct error *err);
void ssh_agent_stop(struct ssh_agent *a); /* it is gone afterwards; NULL is allowed */
DEFINE_CLEANUP(ssh_agent_stop, struct ssh_agent *)
#define auto_ssh_agent CLEANUP(ssh_agent_stop)

/* spawner_client.h - the part of img's end that only sandbox.c may use. */
#pragma once

#include "builder/sandbox/spawner.h"

/* Asks for a step; both descriptors stay the caller's. Bare -errno. Any thread. */
int spawner_send_start(struct spawner *sp, int step_socket, int spec_fd);

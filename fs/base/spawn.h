/* spawn.h - starts a helper program: clean signals, three descriptors, and out of the way of ^C.
 *
 * For programs of the host that work for us and whose answers we read (credential helpers,
 * ssh-agent). Steps are started by builder/sandbox alone.
 */
#pragma once

#include <sys/types.h>

enum spawn_apart {
    SPAWN_GROUP,   /* a process group of its own, which can be killed with what it started */
    SPAWN_SESSION, /* a session of its own: no terminal is there to ask */
};

/* Runs argv[0], looked up in PATH, with no signal blocked or ignored. `fds` become 0, 1 and 2; all
 * must be above 2 or in their place already; nothing else is inherited. `environment` NULL: ours.
 *
 * Any thread. Returns 0, or -errno: -ENOENT there is no such program. */
int spawn_program(const char *const *argv, const char *const *environment, const int fds[3],
                  enum spawn_apart apart, pid_t *pid);

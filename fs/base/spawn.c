/* spawn.c - posix_spawn(3) with all that a helper should not inherit taken away. */
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <unistd.h>

#include "fs/base/spawn.h"

#include "fs/base/banned.h"

int spawn_program(const char *const *argv, const char *const *environment, const int fds[3],
                  enum spawn_apart apart, pid_t *pid)
{
    const short how = apart == SPAWN_SESSION ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;
    int r;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; i++)
        posix_spawn_file_actions_adddup2(&actions, fds[i], i);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes,
                             (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | how));
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    /* posix_spawn(3) changes neither list, it is only declared as if it did. */
    r = posix_spawnp(pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv,
                     environment ? (char *const *)(uintptr_t)environment : environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

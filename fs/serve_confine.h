/* serve_confine.h - what a thread that serves a mount gives up before the first request (SECURITY
 * R28): whoever found a fault in the server would hold the caller's files, not the caller's rights to
 * start programs, to reach the network, other processes or the kernel's rarer parts.
 */
#pragma once

/* Confines the calling thread, and the threads it starts from then on, for good: system calls that
 * a file server does not need fail with EPERM, those that this table does not know yet with ENOSYS,
 * and those of another architecture end the process. Threads that run already are as they were, and
 * no_new_privs is set for this one alone: they may start newuidmap(1) as before.
 * Bare -errno, and then nothing but no_new_privs has changed: -EINVAL or -ENOSYS the kernel has no
 * filters, -EOPNOTSUPP there is no table for this architecture. */
int serve_confine(void);

/* failpoint.h - named places where a test lets the program die, fail or stop (SECURITY S10).
 *
 * Compiled only with -Dtests; elsewhere FAILPOINT(name) is the constant 0. A specification is
 * "name=action", any number of them separated by commas; "name@3=action" acts on the third hit.
 * Actions: "kill" (SIGKILL to oneself), "stop" (SIGSTOP, for a test that waits for it), or the name
 * of an errno ("ENOSPC"), with which the place then fails. Read from IMG_FAILPOINT, once, unless
 * failpoint_set came first. Hits may come from any thread; failpoint_set may not.
 */
#pragma once

#ifdef IMG_FAILPOINTS
/* 0, or -1 with errno set. */
#define FAILPOINT(name) failpoint_hit(name)
int failpoint_hit(const char *name);
void failpoint_set(const char *spec); /* copied; NULL disarms all */
#else
#define FAILPOINT(name) 0
#endif

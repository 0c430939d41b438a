/* progress.h - renders what builder/progress.h tells: plain lines, a live display, JSON, or nothing.
 *
 * All on standard error. Text of steps and images is escaped on a terminal (SECURITY R58).
 */
#pragma once

#include "builder/progress.h"
#include "fs/base/cleanup.h"
#include "fs/base/error.h"

/* mode: NULL or "auto", "plain", "tty", "quiet" ("none"), "rawjson". -EINVAL for another one. */
int progress_open(const char *mode, struct progress **out, struct error *err);
/* Draws what is left to draw, restores the terminal. NULL is allowed. */
void progress_close(struct progress *p);
DEFINE_CLEANUP(progress_close, struct progress *)
#define auto_progress CLEANUP(progress_close)

/* progress.h - renders what fs/base/progress.h tells: plain lines, a live display, JSON, or nothing.
 *
 * All on standard error. Text of steps and images is escaped (SECURITY R58). Environment:
 * BUILDKIT_PROGRESS is the default of the mode; CI, TERM=dumb and a standard error that is no
 * terminal make "auto" plain; NO_COLOR, BUILDKIT_COLORS and BUILDKIT_TTY_LOG_LINES are for the live
 * display; PROGRESS_NO_TRUNC=0 shortens names, and GITHUB_ACTIONS and GITLAB_CI fold steps, in
 * plain lines.
 */
#pragma once

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/progress.h"

/* mode: NULL or "auto", "plain", "tty", "quiet" ("none"), "rawjson". -EINVAL for another one, and
 * for "tty" without a terminal. */
int progress_open(const char *mode, struct progress **out, struct error *err);
/* What the live display says it is doing, instead of "Building"; static text. NULL is allowed. */
void progress_set_title(struct progress *p, const char *title);
/* Draws what is left to draw, restores the terminal. NULL is allowed. */
void progress_close(struct progress *p);
DEFINE_CLEANUP(progress_close, struct progress *)
#define auto_progress CLEANUP(progress_close)

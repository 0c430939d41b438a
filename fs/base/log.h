/* log.h - levels on stderr, for what is not a result and not an error.
 *
 * Library code never prints results. log_debug may stand anywhere; log_warn only where the decision
 * to go on is taken, and it says so. No secret is ever logged (SECURITY R49).
 */
#pragma once

#include <stdbool.h>

void log_set_debug(bool on); /* before the first thread */
bool log_is_debug(void);
/* Where lines go instead of stderr, e.g. a progress display; NULL restores stderr. A line starts
 * with its level ("debug: ", "warning: "), has no newline, and its control bytes are escaped. The
 * sink is called by one thread at a time, any of them; it must not log. Once this returns, the old
 * sink is not running and will not be called. */
void log_set_sink(void (*sink)(void *context, const char *line), void *context);
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

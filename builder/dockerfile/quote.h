/* quote.h - words of a Dockerfile inside a message: safe for a terminal and short enough to leave
 * room for the reason.
 */
#pragma once

#include "fs/base/cleanup.h"

char *quote_word(const char *text); /* Go's %q, shortened; caller frees */
char *quote_bare(const char *text); /* escaped and shortened, without quotes; caller frees */

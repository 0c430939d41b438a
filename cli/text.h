/* text.h - how commands word what several of them show. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/str.h"

/* "9 seconds ago", "About an hour ago": the wall clock's distance to then_ns. */
void format_age(int64_t then_ns, struct str *out);

/* Columns that `size` bytes of UTF-8 take on a terminal: two for wide characters, none for those
 * that combine with the one before. */
size_t text_columns(const char *text, size_t size);
/* How many bytes from the start of `text` fit into `columns`. */
size_t text_fit(const char *text, size_t columns);

/* Columns of the terminal at the other end of `fd`, or `otherwise` when there is none or it does not say. */
size_t text_terminal_columns(int fd, size_t otherwise);
/* Whether colours mean something there, and nobody said NO_COLOR. */
bool text_wants_colour(int fd);
/* Appends `text` with its lines filled anew to at most `columns`, broken at blanks only; what stands
 * between backticks, a command to be copied, stays on one line if a line can hold it. The first line is
 * taken to go on at column `indent`, where all others begin. Paragraphs are told apart by an empty line;
 * no newline is added at the end. SIZE_MAX columns: nothing is broken. */
void text_fill(struct str *out, const char *text, size_t indent, size_t columns);

struct error;
/* "24h", "90m", "2h30m", "7d", seconds, or a date 2006-01-02[T15:04:05Z]: that time, or that long ago.
 * -EINVAL; more than a thousand years are no length of time. */
int parse_age(const char *text, int64_t *then_ns, struct error *err);
/* "500ms", "2s", "1m30s", seconds. -EINVAL likewise. */
int parse_duration(const char *text, uint64_t *ms, struct error *err);
/* "500", "10GB" (decimal), "64MiB" (binary), "1g" (binary, as docker has it). */
int parse_size(const char *text, uint64_t *size_bytes, struct error *err);

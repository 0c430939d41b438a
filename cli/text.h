/* text.h - how commands word what several of them show. */
#pragma once

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

struct error;
/* "24h", "90m", "2h30m", seconds, or a date 2006-01-02[T15:04:05Z]: that time, or that long ago. */
int parse_age(const char *text, int64_t *then_ns, struct error *err);
/* "500ms", "2s", "1m30s", seconds. */
int parse_duration(const char *text, uint64_t *ms, struct error *err);
/* "500", "10GB" (decimal), "64MiB" (binary), "1g" (binary, as docker has it). */
int parse_size(const char *text, uint64_t *size_bytes, struct error *err);

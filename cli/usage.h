/* usage.h - records of the store as du and prune show, filter and name them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cli/format.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "fs/store.h"

/* key=value, key!=value, key~=part, or key alone for one that is true. -EINVAL names the keys. */
struct usage_filters {
    struct strv texts;
    int64_t until_ns; /* from until=: only what was last used before; 0: whenever */
};
int usage_filters_parse(const struct strv *texts, struct usage_filters *out, struct error *err);
void usage_filters_release(struct usage_filters *f);
DEFINE_CLEANUP_VALUE(usage_filters_release, struct usage_filters)
#define auto_usage_filters CLEANUP(usage_filters_release)
/* All filters but until=, which the collector applies by its own clock. */
bool usage_matches(const struct usage_filters *f, const struct usage_row *row);
bool usage_is_older(const struct usage_row *row, int64_t than_ns); /* last used before */

extern const struct format_spec usage_spec;
struct json *usage_json(const struct usage_row *row, bool is_narrow); /* ids cut to 19 bytes */
void usage_print_long(const struct usage_row *row); /* one field a line, then an empty line */
/* "Total:" and such, the values below each other. */
void usage_print_total(const char *label, uint64_t size_bytes);

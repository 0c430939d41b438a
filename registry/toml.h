/* toml.h - the part of TOML that registries.conf is written in, as JSON values.
 *
 * TOML 1.0: comments, [table], [[array of tables]], dotted and quoted keys, basic and literal
 * strings on one line, booleans, integers, arrays (over several lines), inline tables. Floats,
 * dates and multi-line strings are refused by name.
 */
#pragma once

#include "fs/base/error.h"
#include "fs/base/json.h"

/* `name` is put in front of messages as "name:line: ". -EINVAL; -E2BIG above 1 MiB. */
int toml_parse(const char *text, const char *name, struct json **out, struct error *err);

/* fields.h - "type=registry,ref=a/b,\"name=x,y\"": values of options that hold several, as docker
 * writes them (one line of CSV, RFC 4180).
 */
#pragma once

#include <stdbool.h>

#include "fs/base/error.h"
#include "fs/base/str.h"

/* Appends the fields of `text`, quotes taken off. -EINVAL; `what` names the value: "output". */
int fields_split(const char *text, const char *what, struct strv *out, struct error *err);
/* The value of a field "key=value"; "" for a bare key; NULL for another key. */
const char *fields_value(const char *field, const char *key);
/* true, false, 1, 0, t, f; "" is true, for a bare key says yes. */
int fields_bool(const char *key, const char *value, bool *out, struct error *err);

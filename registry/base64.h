/* base64.h - RFC 4648 section 4, for the "auth" fields of credential files and Basic authorization.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/str.h"

void base64_encode(const void *bytes, size_t size, struct str *out);
/* Padding may be missing, white space and anything else may not: false leaves `out` as it was. */
bool base64_decode(const char *text, struct str *out);

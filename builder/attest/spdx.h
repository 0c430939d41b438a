/* spdx.h - packages as an SPDX 2.3 document (spdx.github.io/spdx-spec/v2.3).
 */
#pragma once

#include <stdint.h>

struct json;
struct packages;

#define SPDX_TYPE "https://spdx.dev/Document"

struct spdx {
    const char *name;    /* of what holds the packages */
    const char *version; /* of it: a digest */
    const char *program; /* version of img */
    int64_t created_ns;
};
/* A document that describes one container, which contains the packages; the caller's. The same packages,
 * name, version and time give the same bytes. */
struct json *spdx_new(const struct spdx *about, const struct packages *list);

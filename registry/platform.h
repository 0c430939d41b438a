/* platform.h - os/architecture/variant: parse, print, and which of several suits a wish.
 *
 * OCI image-spec, image-index.md, "platform object"; GOOS and GOARCH names.
 */
#pragma once

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

struct platform {
    char *os;           /* "linux" */
    char *architecture; /* "amd64" */
    char *variant;      /* "v8", or NULL */
    char *os_version;   /* only windows images have one; NULL when absent */
};

/* "linux/arm64/v8", "linux/arm64", "arm64" or "linux" (the rest from the host). Aliases are made
 * canonical: x86_64 and x86-64 -> amd64, aarch64 -> arm64, armhf -> arm/v7, armel -> arm/v6, i386
 * -> 386; arm64/v8 and amd64/v1 lose their variant, arm without a variant is v7. -EINVAL names the
 * text. */
int platform_parse(const char *text, struct platform *out, struct error *err);
void platform_host(struct platform *out); /* of the running kernel, from uname(2) */
/* Canonical form in place, by the same aliases; for values read from a document. */
void platform_normalize(struct platform *p);
void platform_format(const struct platform *p, struct str *out); /* "linux/arm/v7" */

/* How well `have` runs on `want`: 0 is exact, larger is worse, -1 not at all. arm falls back to
 * lower variants (v7, v6, v5), amd64/v3 to v2 and v1; arm64 runs no arm image. os_version is not
 * looked at. */
int platform_rank(const struct platform *want, const struct platform *have);
bool platform_equal(const struct platform *a, const struct platform *b);

void platform_copy(struct platform *to, const struct platform *from);
void platform_release(struct platform *p);
DEFINE_CLEANUP_VALUE(platform_release, struct platform)
#define auto_platform CLEANUP(platform_release)

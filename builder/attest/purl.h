/* purl.h - package URLs: a name for a package of any kind (ECMA-427, "Package-URL").
 *
 *     pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12
 */
#pragma once

#include <stddef.h>

#include "fs/base/str.h"

struct platform;
struct reference;

struct purl_qualifier {
    const char *key;
    const char *value; /* NULL or "": left out */
};

struct purl {
    const char *type;  /* "deb" */
    const char *space; /* "debian", segments parted by slashes; NULL: none */
    const char *name;
    const char *version;                     /* NULL: none */
    const struct purl_qualifier *qualifiers; /* sorted by key */
    size_t qualifier_count;
};
/* Everything but letters, digits, ".-_~:" is percent-encoded, byte by byte. */
void purl_format(const struct purl *purl, struct str *out);
/* An image as BuildKit names it: pkg:docker/NAME@TAG?digest=DIGEST&platform=PLATFORM, the name as
 * docker shows it. `platform` may be NULL. */
void purl_of_image(const struct reference *ref, const struct platform *platform, struct str *out);

/* reference.h - the name of an image: host/repository:tag@digest.
 *
 * Implements distribution-spec, "Pulling manifests" (names and tags) with the rules every
 * docker-like tool adds: "debian" means docker.io/library/debian:latest. Text only; nothing here
 * opens a socket.
 */
#pragma once

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

#define REFERENCE_TEXT_MAX 255 /* host and repository together; what registries and docker accept */
#define REFERENCE_TAG_MAX 128

/* Every text is canonical: the host is never empty and lower case ("docker.io" for the Hub in all
 * its spellings, "[::1]:5000" for IPv6), the repository always carries "library/" where it belongs.
 */
struct reference {
    char *host;       /* host or host:port */
    char *repository; /* path without the host; never empty */
    char *tag;        /* NULL only when the text had a digest and no tag */
    bool has_digest;
    struct digest digest; /* valid when has_digest; it decides, the tag is then only remembered */
};

/* Parses what a user typed or a FROM line holds. A text with neither tag nor digest gets the tag
 * "latest". On success the caller owns `*out` (reference_release).
 *
 * Errors: -EINVAL, the sentence says what is wrong with `text` (upper case, bad tag, too long, a
 * bare 64-digit id, a URL, an unknown digest algorithm) and a hint gives the corrected form when
 * there is one. */
int reference_parse(const char *text, struct reference *out, struct error *err);

/* Like reference_parse, but a missing tag stays NULL: for commands where "name" means every tag. */
int reference_parse_name(const char *text, struct reference *out, struct error *err);

/* "docker.io/library/debian:12@sha256:..": the key under which images are stored. */
void reference_format(const struct reference *ref, struct str *out);
/* As docker shows it: "debian:12"; other hosts keep their name. Parses back to the same reference.
 */
void reference_familiar(const struct reference *ref, struct str *out);
/* The two parts without tag and digest: canonical "docker.io/library/debian", familiar "debian". */
void reference_format_name(const struct reference *ref, struct str *out);
void reference_familiar_name(const struct reference *ref, struct str *out);

/* What goes into /v2/<repository>/manifests/<this>: the digest when there is one, else the tag. */
void reference_manifest_name(const struct reference *ref, struct str *out);
/* The host that answers for `host`: "registry-1.docker.io" for "docker.io", else the host itself.
 * Borrowed. */
const char *reference_api_host(const char *host);
/* Canonical form of a host a user typed for login ("index.docker.io", "https://ghcr.io/v2/"):
 * caller frees *out. -EINVAL when it is no host. */
int reference_parse_host(const char *text, char **out, struct error *err);

bool reference_is_tag(const char *text); /* [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127} */
void reference_copy(struct reference *to, const struct reference *from);
void reference_release(struct reference *ref); /* leaves it zeroed */
DEFINE_CLEANUP_VALUE(reference_release, struct reference)
#define auto_reference CLEANUP(reference_release)

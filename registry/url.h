/* url.h - absolute http and https URLs: parse, resolve a Location, compare origins, ask what a host
 * is.
 *
 * RFC 3986, narrowed to what registries send: no userinfo, no other scheme, no control bytes.
 * Everything here decides where credentials may go (SECURITY R43, R44), so it is strict and has no
 * opinion about DNS.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"

#define URL_SIZE_MAX 16384u /* signed storage URLs reach 4 KiB */

struct url {
    bool is_https;
    char *host;    /* lower case; an IPv6 literal keeps its brackets */
    uint16_t port; /* always set */
    char *path;    /* begins with '/'; carries the query; no fragment */
};

/* -EINVAL; the sentence shows the URL without query and userinfo. The caller owns `*out`
 * (url_release). */
int url_parse(const char *text, struct url *out, struct error *err);
/* Like url_parse for a Location header (RFC 9110 10.2.2): absolute, "//host/..", "/path", "path" or
 * "?query". */
int url_resolve(const struct url *base, const char *location, struct url *out, struct error *err);
void url_format(const struct url *u, struct str *out);
/* "https://host:port/path" without query, for people and logs. */
void url_format_safe(const struct url *u, struct str *out);
/* "host", or "host:port" where the port is not the scheme's own. */
void url_format_host(const struct url *u, struct str *out);
bool url_same_origin(const struct url *a, const struct url *b); /* scheme, host and port */
void url_add_query(struct str *url, const char *name,
                   const char *value);                   /* "?" or "&", percent-encoded */
void url_add_encoded(struct str *out, const char *text); /* application/x-www-form-urlencoded */
/* RFC 3986 2.1, reversed: a stray percent sign stays, a NUL ends the text. Caller frees. */
char *url_decode(const char *text, size_t size);
void url_release(struct url *u);
DEFINE_CLEANUP_VALUE(url_release, struct url)
#define auto_url CLEANUP(url_release)

/* `host` without port; brackets allowed. */
bool host_is_loopback(const char *host); /* localhost, *.localhost, 127.0.0.0/8, ::1 */
/* An address literal, in any spelling a resolver takes, inside this machine or its link: loopback,
 * unspecified, link-local (the metadata services) or IPv4 inside IPv6 of these. Names are never. */
bool host_is_local_literal(const char *host);
/* May `other` be trusted with what was meant for `host`: equal, or names below the same registrable
 * domain. There is no public suffix list here; the rule errs on the strict side for shared hosting
 * domains. */
bool host_same_site(const char *host, const char *other);
/* `pattern`: host, host:port, "10.0.0.0/8", "*.domain" or "*"; `host_port` as url_format_host gives
 * it. */
bool host_matches(const char *pattern, const char *host_port);
/* "host:port", "[::1]:5000", "host" -> host (caller frees); *port is 0 when there is none. */
char *host_split(const char *host_port, uint16_t *port);

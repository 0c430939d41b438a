/* digest.h - sha256, the name of some bytes: parse, print, compare, hash a stream.
 *
 * The only door to OpenSSL's digests. SHA-256 decides identity wherever bytes can come from outside
 * (OCI image-spec, descriptor.md, "Digests"). Other algorithms are refused by name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

#define DIGEST_SIZE 32
#define DIGEST_HEX_SIZE 65  /* 64 hex digits and NUL */
#define DIGEST_TEXT_SIZE 72 /* "sha256:" + 64 hex digits + NUL */

struct digest {
    uint8_t bytes[DIGEST_SIZE];
};

/* "sha256:<64 lower-case hex>" exactly. -EINVAL otherwise; the sentence names the text. */
int digest_parse(const char *text, struct digest *out, struct error *err);
int digest_parse_hex(const char *hex, struct digest *out, struct error *err);
void digest_format(const struct digest *d, char text[DIGEST_TEXT_SIZE]);
void digest_format_hex(const struct digest *d, char hex[DIGEST_HEX_SIZE]);
bool digest_equal(const struct digest *a, const struct digest *b);
int digest_compare(const struct digest *a, const struct digest *b); /* memcmp order */
void digest_of(const void *bytes, size_t size, struct digest *out);

struct hasher; /* one running sha256; not shared between threads */
struct hasher *hasher_new(void);
void hasher_update(struct hasher *h, const void *bytes, size_t size);
void hasher_final(struct hasher *h, struct digest *out); /* h may be used again, from empty */
void hasher_reset(struct hasher *h);
void hasher_free(struct hasher *h);
DEFINE_CLEANUP(hasher_free, struct hasher *)
#define auto_hasher CLEANUP(hasher_free)

/* Length-prefixed fields, so that two different lists of fields never hash alike (R56, F15). */
void hasher_field(struct hasher *h, const char *tag, const void *bytes, size_t size);
void hasher_field_text(struct hasher *h, const char *tag, const char *text); /* NULL != "" */
void hasher_field_u64(struct hasher *h, const char *tag, uint64_t value);

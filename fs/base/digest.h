/* digest.h - the name of some bytes: parse, print, compare, hash a stream.
 *
 * The only door to OpenSSL's digests. Two algorithms decide identity wherever bytes can come from
 * outside: those that the OCI image-spec registers (descriptor.md, "Registered algorithms"). What is
 * made here has sha256; sha512 is for what others named so. Other algorithms are refused by name.
 * The same bytes under two algorithms are two digests, which are never equal.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

/* Room for every algorithm. */
#define DIGEST_SIZE_MAX 64   /* sha512 */
#define DIGEST_HEX_SIZE 129  /* 128 hex digits and NUL */
#define DIGEST_TEXT_SIZE 136 /* "sha512:" + 128 hex digits + NUL */
#define DIGEST_SHORT_SIZE 19 /* "sha256:" + 12 hex digits: enough for people */

enum digest_algorithm { DIGEST_SHA256 = 0, DIGEST_SHA512 };

struct digest {
    enum digest_algorithm algorithm;
    uint8_t bytes[DIGEST_SIZE_MAX]; /* digest_size() of them, then zeros */
};

/* "sha256:<64 lower-case hex>" or "sha512:<128>" exactly. -EINVAL otherwise; the sentence names the
 * text and, when it is the algorithm that is wrong, those that are allowed. */
int digest_parse(const char *text, struct digest *out, struct error *err);
/* Begins with "sha256:" or "sha512:", whatever follows. */
bool digest_has_algorithm(const char *text);
/* The digits alone, whose number tells the algorithm. */
int digest_parse_hex(const char *hex, struct digest *out, struct error *err);
/* As rows have them: 32 or 64 bytes, which tell the algorithm. False for any other size. */
bool digest_from_bytes(const void *bytes, size_t size, struct digest *out);
size_t digest_size(const struct digest *d);                         /* in bytes */
const char *digest_algorithm_name(enum digest_algorithm algorithm); /* "sha256" */
void digest_format(const struct digest *d, char text[DIGEST_TEXT_SIZE]);
void digest_format_hex(const struct digest *d, char hex[DIGEST_HEX_SIZE]);
bool digest_equal(const struct digest *a, const struct digest *b);
int digest_compare(const struct digest *a, const struct digest *b); /* memcmp order */
/* The beginning of an id as people type it: hex digits, with "sha256:" or "sha512:" in front or not.
 * Returns how many digits there are, 0: it is no such text. */
size_t digest_prefix_digits(const char *prefix);
/* Whether `d` begins so. Without an algorithm, that of `d` may be any. */
bool digest_has_prefix(const struct digest *d, const char *prefix);
void digest_of(const void *bytes, size_t size, struct digest *out); /* sha256 */
void digest_of_as(enum digest_algorithm algorithm, const void *bytes, size_t size,
                  struct digest *out);
/* Whether these bytes are those that `d` names. */
bool digest_matches(const struct digest *d, const void *bytes, size_t size);
/* *out is `known` (NULL: none) if it names these bytes, else their sha256: whoever writes a document
 * again that had a name keeps it. */
void digest_of_kept(const struct digest *known, const void *bytes, size_t size, struct digest *out);

struct hasher;                   /* one running digest; not shared between threads */
struct hasher *hasher_new(void); /* sha256 */
struct hasher *hasher_new_as(enum digest_algorithm algorithm);
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

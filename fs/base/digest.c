/* digest.c - sha256 and sha512 through OpenSSL's EVP. Not for speed-only hashes: see hash.c.
 *
 * OpenSSL can fail only for want of memory or of the algorithm itself; no caller could go on
 * without names, so both abort here instead of adding an error to every call.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>

#include <openssl/evp.h>

#include "fs/base/digest.h"

#include "fs/base/banned.h"

#define HEX_DIGITS "0123456789abcdef"
#define ALLOWED "sha256 and sha512 are"

/* The allow-list (SECURITY R33). */
static struct {
    const char *name;
    const char *evp_name;
    size_t size;
    EVP_MD *evp; /* written once */
} algorithms[] = {
    [DIGEST_SHA256] = {"sha256", "SHA256", 32, NULL},
    [DIGEST_SHA512] = {"sha512", "SHA512", 64, NULL},
};
#define ALGORITHM_COUNT (sizeof(algorithms) / sizeof(algorithms[0]))

struct hasher {
    EVP_MD_CTX *context;
    enum digest_algorithm algorithm;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Looking an algorithm up costs more than hashing a short text, so it is done once. */
static void fetch(void)
{
    for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
        algorithms[i].evp = EVP_MD_fetch(NULL, algorithms[i].evp_name, NULL);
        if (!algorithms[i].evp)
            abort();
    }
}

static const EVP_MD *evp_of(enum digest_algorithm algorithm)
{
    if (pthread_once(&once, fetch) != 0)
        abort();
    return algorithms[algorithm].evp;
}

size_t digest_size(const struct digest *d)
{
    return algorithms[d->algorithm].size;
}

const char *digest_algorithm_name(enum digest_algorithm algorithm)
{
    return algorithms[algorithm].name;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* Exactly the digits of this algorithm. */
static bool parse_hex(const char *hex, enum digest_algorithm algorithm, struct digest *out)
{
    struct digest d = {.algorithm = algorithm};
    size_t size = digest_size(&d);

    for (size_t i = 0; i < size; i++) {
        int high = hex_value(hex[2 * i]);
        int low = high < 0 ? -1 : hex_value(hex[2 * i + 1]); /* never beyond a NUL */

        if (low < 0)
            return false;
        d.bytes[i] = (uint8_t)(high << 4 | low);
    }
    if (hex[2 * size] != '\0')
        return false;
    *out = d;
    return true;
}

/* What follows "sha256:" or "sha512:"; NULL: `text` begins otherwise. */
static const char *skip_algorithm(const char *text, enum digest_algorithm *out)
{
    for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
        size_t size = strlen(algorithms[i].name);

        if (strncmp(text, algorithms[i].name, size) == 0 && text[size] == ':') {
            *out = (enum digest_algorithm)i;
            return text + size + 1;
        }
    }
    return NULL;
}

bool digest_has_algorithm(const char *text)
{
    enum digest_algorithm ignored;

    return skip_algorithm(text, &ignored) != NULL;
}

/* The text is from outside and of any length; a sentence quotes its beginning. */
static int refuse(const char *text, struct error *err)
{
    const char *colon = strchr(text, ':');
    enum digest_algorithm algorithm = DIGEST_SHA256;

    if (skip_algorithm(text, &algorithm))
        return error_set(err, EINVAL, "'%.160s' is not %s and %zu lower-case hex digits", text,
                         algorithms[algorithm].name, 2 * algorithms[algorithm].size);
    if (colon)
        return error_set(err, EINVAL, "'%.160s' is not a digest: '%.*s' is not supported, " ALLOWED,
                         text, (int)(colon - text > 32 ? 32 : colon - text), text);
    return error_set(err, EINVAL, "'%.160s' is not a digest of sha256 or sha512", text);
}

int digest_parse_hex(const char *hex, struct digest *out, struct error *err)
{
    for (size_t i = 0; i < ALGORITHM_COUNT; i++)
        if (parse_hex(hex, (enum digest_algorithm)i, out))
            return 0;
    return error_set(err, EINVAL, "'%.160s' is not a digest in hexadecimal", hex);
}

int digest_parse(const char *text, struct digest *out, struct error *err)
{
    enum digest_algorithm algorithm;
    const char *hex = skip_algorithm(text, &algorithm);

    return hex && parse_hex(hex, algorithm, out) ? 0 : refuse(text, err);
}

bool digest_from_bytes(const void *bytes, size_t size, struct digest *out)
{
    for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
        if (size != algorithms[i].size)
            continue;
        *out = (struct digest){.algorithm = (enum digest_algorithm)i};
        memcpy(out->bytes, bytes, size);
        return true;
    }
    return false;
}

void digest_format_hex(const struct digest *d, char hex[DIGEST_HEX_SIZE])
{
    size_t size = digest_size(d);

    for (size_t i = 0; i < size; i++) {
        hex[2 * i] = HEX_DIGITS[d->bytes[i] >> 4];
        hex[2 * i + 1] = HEX_DIGITS[d->bytes[i] & 15];
    }
    hex[2 * size] = '\0';
}

void digest_format(const struct digest *d, char text[DIGEST_TEXT_SIZE])
{
    const char *name = algorithms[d->algorithm].name;
    size_t size = strlen(name);

    memcpy(text, name, size);
    text[size] = ':';
    digest_format_hex(d, text + size + 1);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return a->algorithm == b->algorithm && memcmp(a->bytes, b->bytes, digest_size(a)) == 0;
}

int digest_compare(const struct digest *a, const struct digest *b)
{
    int order = memcmp(a->bytes, b->bytes, DIGEST_SIZE_MAX);

    return order != 0 ? order : (int)a->algorithm - (int)b->algorithm;
}

size_t digest_prefix_digits(const char *prefix)
{
    enum digest_algorithm algorithm = DIGEST_SHA512; /* without a name: the longest */
    const char *hex = skip_algorithm(prefix, &algorithm);
    size_t count;

    hex = hex ? hex : prefix;
    count = strspn(hex, HEX_DIGITS);
    return hex[count] == '\0' && count <= 2 * algorithms[algorithm].size ? count : 0;
}

bool digest_has_prefix(const struct digest *d, const char *prefix)
{
    enum digest_algorithm algorithm = d->algorithm;
    const char *hex = skip_algorithm(prefix, &algorithm);
    char own[DIGEST_HEX_SIZE];

    digest_format_hex(d, own);
    hex = hex ? hex : prefix;
    return algorithm == d->algorithm && strncmp(own, hex, strlen(hex)) == 0;
}

void digest_of_as(enum digest_algorithm algorithm, const void *bytes, size_t size,
                  struct digest *out)
{
    *out = (struct digest){.algorithm = algorithm};
    if (EVP_Digest(bytes, size, out->bytes, NULL, evp_of(algorithm), NULL) != 1)
        abort();
}

void digest_of(const void *bytes, size_t size, struct digest *out)
{
    digest_of_as(DIGEST_SHA256, bytes, size, out);
}

bool digest_matches(const struct digest *d, const void *bytes, size_t size)
{
    struct digest found;

    digest_of_as(d->algorithm, bytes, size, &found);
    return digest_equal(&found, d);
}

void digest_of_kept(const struct digest *known, const void *bytes, size_t size, struct digest *out)
{
    if (known && digest_matches(known, bytes, size))
        *out = *known;
    else
        digest_of(bytes, size, out);
}

struct hasher *hasher_new_as(enum digest_algorithm algorithm)
{
    struct hasher *h = mem_new(struct hasher);

    h->algorithm = algorithm;
    h->context = EVP_MD_CTX_new();
    if (!h->context)
        abort();
    hasher_reset(h);
    return h;
}

struct hasher *hasher_new(void)
{
    return hasher_new_as(DIGEST_SHA256);
}

void hasher_reset(struct hasher *h)
{
    if (EVP_DigestInit_ex(h->context, evp_of(h->algorithm), NULL) != 1)
        abort();
}

void hasher_update(struct hasher *h, const void *bytes, size_t size)
{
    if (EVP_DigestUpdate(h->context, bytes, size) != 1)
        abort();
}

void hasher_final(struct hasher *h, struct digest *out)
{
    unsigned size = 0;

    *out = (struct digest){.algorithm = h->algorithm};
    if (EVP_DigestFinal_ex(h->context, out->bytes, &size) != 1 || size != digest_size(out))
        abort();
    hasher_reset(h);
}

void hasher_free(struct hasher *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->context);
    free(h);
}

static void update_u64(struct hasher *h, uint64_t value)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(value >> (8 * i)); /* one order on every machine */
    hasher_update(h, bytes, sizeof(bytes));
}

/* tag size, tag, kind, size, bytes: every part says where it ends, so no two lists run together. */
static void add_field(struct hasher *h, const char *tag, char kind, const void *bytes, size_t size)
{
    size_t tag_size = strlen(tag);

    update_u64(h, tag_size);
    hasher_update(h, tag, tag_size);
    hasher_update(h, &kind, 1);
    update_u64(h, size);
    hasher_update(h, bytes, size);
}

void hasher_field(struct hasher *h, const char *tag, const void *bytes, size_t size)
{
    add_field(h, tag, 'b', bytes, size);
}

void hasher_field_text(struct hasher *h, const char *tag, const char *text)
{
    if (text)
        add_field(h, tag, 't', text, strlen(text));
    else
        add_field(h, tag, '0', "", 0);
}

void hasher_field_u64(struct hasher *h, const char *tag, uint64_t value)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    add_field(h, tag, 'u', bytes, sizeof(bytes));
}

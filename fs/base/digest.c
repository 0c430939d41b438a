/* digest.c - sha256 through OpenSSL's EVP. Not for speed-only hashes: see hash.c.
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

#define PREFIX "sha256:"
#define PREFIX_SIZE (sizeof(PREFIX) - 1)

struct hasher {
    EVP_MD_CTX *context;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256; /* written once */

/* Looking the algorithm up costs more than hashing a short text, so it is done once. */
static void fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!sha256)
        abort();
}

static const EVP_MD *algorithm(void)
{
    if (pthread_once(&once, fetch) != 0)
        abort();
    return sha256;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

static bool parse_hex(const char *hex, struct digest *out)
{
    struct digest d;

    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        int high = hex_value(hex[2 * i]);
        int low = high < 0 ? -1 : hex_value(hex[2 * i + 1]); /* never beyond a NUL */

        if (low < 0)
            return false;
        d.bytes[i] = (uint8_t)(high << 4 | low);
    }
    if (hex[DIGEST_HEX_SIZE - 1] != '\0')
        return false;
    *out = d;
    return true;
}

/* The text is from outside and of any length; a sentence quotes its beginning. */
static int refuse(const char *text, struct error *err)
{
    const char *colon = strchr(text, ':');

    if (colon && strncmp(text, PREFIX, PREFIX_SIZE) != 0)
        return error_set(err, EINVAL, "'%.128s' is not a sha256 digest: '%.*s' is not supported",
                         text, (int)(colon - text > 32 ? 32 : colon - text), text);
    return error_set(err, EINVAL, "'%.128s' is not a sha256 digest", text);
}

int digest_parse_hex(const char *hex, struct digest *out, struct error *err)
{
    if (!parse_hex(hex, out))
        return error_set(err, EINVAL, "'%.128s' is not a sha256 digest in hexadecimal", hex);
    return 0;
}

int digest_parse(const char *text, struct digest *out, struct error *err)
{
    if (strncmp(text, PREFIX, PREFIX_SIZE) != 0 || !parse_hex(text + PREFIX_SIZE, out))
        return refuse(text, err);
    return 0;
}

void digest_format_hex(const struct digest *d, char hex[DIGEST_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        hex[2 * i] = digits[d->bytes[i] >> 4];
        hex[2 * i + 1] = digits[d->bytes[i] & 15];
    }
    hex[DIGEST_HEX_SIZE - 1] = '\0';
}

void digest_format(const struct digest *d, char text[DIGEST_TEXT_SIZE])
{
    memcpy(text, PREFIX, PREFIX_SIZE);
    digest_format_hex(d, text + PREFIX_SIZE);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}

int digest_compare(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_SIZE);
}

void digest_of(const void *bytes, size_t size, struct digest *out)
{
    if (EVP_Digest(bytes, size, out->bytes, NULL, algorithm(), NULL) != 1)
        abort();
}

struct hasher *hasher_new(void)
{
    struct hasher *h = mem_new(struct hasher);

    h->context = EVP_MD_CTX_new();
    if (!h->context)
        abort();
    hasher_reset(h);
    return h;
}

void hasher_reset(struct hasher *h)
{
    if (EVP_DigestInit_ex(h->context, algorithm(), NULL) != 1)
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

    if (EVP_DigestFinal_ex(h->context, out->bytes, &size) != 1 || size != DIGEST_SIZE)
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

/* reference.c - the grammar of image names. Not for what a name points at: see client.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "registry/reference.h"

#include "fs/base/banned.h"

#define HUB_HOST "docker.io"
#define HUB_API_HOST "registry-1.docker.io"
#define HUB_LIBRARY "library/"
#define ID_DIGITS 64u          /* of a whole image id, which no repository may be called */
#define ALGORITHM_SIZE_MAX 32u /* of its name, to be quoted */

/* The locale must not decide what a name may hold. */
static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_lower(c) || is_upper(c) || is_digit(c);
}

static void lower_in_place(char *text)
{
    for (; *text != '\0'; text++) {
        if (is_upper(*text))
            *text = (char)(*text - 'A' + 'a');
    }
}

bool reference_is_tag(const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length > REFERENCE_TAG_MAX)
        return false;
    if (!is_alnum(text[0]) && text[0] != '_')
        return false;
    for (size_t i = 1; i < length; i++) {
        if (!is_alnum(text[i]) && !strchr("._-", text[i]))
            return false;
    }
    return true;
}

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* for one part between slashes. */
static bool is_path_part(const char *part, size_t length)
{
    size_t i = 0;

    for (;;) {
        size_t word = i;
        size_t separator;

        while (i < length && (is_lower(part[i]) || is_digit(part[i])))
            i++;
        if (i == word)
            return false;
        if (i == length)
            return true;
        separator = i;
        while (i < length && part[i] == part[separator] && strchr("._-", part[i]))
            i++;
        if (i == separator || (part[separator] == '.' && i - separator > 1) ||
            (part[separator] == '_' && i - separator > 2))
            return false;
    }
}

static bool is_repository(const char *path)
{
    for (;;) {
        size_t length = strcspn(path, "/");

        if (!is_path_part(path, length))
            return false;
        if (path[length] == '\0')
            return true;
        path += length + 1;
    }
}

/* RFC 952 and 1123 labels, as every registry client draws the line. */
static bool is_host_name(const char *name, size_t length)
{
    size_t label = 0;

    if (length == 0)
        return false;
    for (size_t i = 0; i <= length; i++) {
        if (i == length || name[i] == '.') {
            if (i == label || name[label] == '-' || name[i - 1] == '-')
                return false;
            label = i + 1;
        } else if (!is_alnum(name[i]) && name[i] != '-') {
            return false;
        }
    }
    return true;
}

static bool is_ipv6(const char *text, size_t length)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (length >= sizeof(copy))
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return inet_pton(AF_INET6, copy, &address) == 1;
}

static bool is_port(const char *text)
{
    uint64_t port;

    return text_to_u64(text, UINT16_MAX, &port) && port > 0;
}

/* host, host:port, [ipv6] or [ipv6]:port */
static bool is_host(const char *host)
{
    const char *end;

    if (host[0] == '[') {
        end = strchr(host, ']');
        if (!end || !is_ipv6(host + 1, (size_t)(end - host) - 1))
            return false;
        end++;
    } else {
        end = host + strcspn(host, ":");
        if (!is_host_name(host, (size_t)(end - host)))
            return false;
    }
    return *end == '\0' || (*end == ':' && is_port(end + 1));
}

static bool is_hex_id(const char *text)
{
    size_t length = strspn(text, "0123456789abcdef");

    return length == ID_DIGITS && text[length] == '\0';
}

/* The first part is a host when it could not be the name of a repository on the Hub. */
static bool first_part_is_host(const char *name, size_t length)
{
    static const char local[] = "localhost";

    for (size_t i = 0; i < length; i++) {
        if (name[i] == '.' || name[i] == ':' || is_upper(name[i]))
            return true;
    }
    return length == sizeof(local) - 1 && memcmp(name, local, length) == 0;
}

/* Lower case, for host names have none; but a host known by its upper case alone ("Example/x")
 * keeps it, since "example/x" is a repository on the Hub. */
static char *canonical_host(const char *host, size_t length)
{
    char *copy = mem_strndup(host, length);

    lower_in_place(copy);
    if (text_equal(copy, "index." HUB_HOST)) {
        free(copy);
        return mem_strdup(HUB_HOST);
    }
    if (!first_part_is_host(copy, length))
        memcpy(copy, host, length);
    return copy;
}

/* Splits "host/path" and fills in what is left out for the Hub. */
static void split_name(const char *name, struct reference *ref)
{
    const char *slash = strchr(name, '/');
    size_t length = slash ? (size_t)(slash - name) : 0;

    if (slash && first_part_is_host(name, length)) {
        ref->host = canonical_host(name, length);
        name = slash + 1;
    } else {
        ref->host = mem_strdup(HUB_HOST);
    }
    if (text_equal(ref->host, HUB_HOST) && !strchr(name, '/'))
        ref->repository = str_format(HUB_LIBRARY "%s", name);
    else
        ref->repository = mem_strdup(name);
}

static int refuse_digest(const char *digest, const char *whole, struct error *err)
{
    size_t length = strcspn(digest, ":");

    if (digest[length] == ':' && length <= ALGORITHM_SIZE_MAX && !digest_has_algorithm(digest))
        return error_set(err, EINVAL,
                         "invalid reference '%s': digests of '%.*s' are not supported, those of "
                         "sha256 and sha512 are",
                         whole, (int)length, digest);
    return error_set(err, EINVAL, "invalid reference '%s': '%s' is not %s lower-case hex digits",
                     whole, digest,
                     text_starts(digest, "sha512:") ? "sha512 and 128" : "sha256 and 64");
}

/* Cuts ":tag" and "@digest" off `text`, which becomes the bare name. */
static int cut_suffixes(char *text, const char *whole, struct reference *ref, struct error *err)
{
    char *at = strchr(text, '@');
    char *slash;
    char *colon;

    if (at) {
        *at = '\0';
        if (digest_parse(at + 1, &ref->digest, err) < 0)
            return refuse_digest(at + 1, whole, err);
        ref->has_digest = true;
    }
    slash = strrchr(text, '/');
    colon = strrchr(slash ? slash : text, ':');
    /* "[::1]" has colons of its own; they end before the bracket. */
    if (!colon || strchr(colon, ']'))
        return 0;
    *colon = '\0';
    if (!reference_is_tag(colon + 1))
        return error_set(
            err, EINVAL,
            "invalid reference '%s': '%s' is not a tag (letters, digits, '_', '.', '-'; at "
            "most %d, not starting with '.' or '-')",
            whole, colon + 1, REFERENCE_TAG_MAX);
    ref->tag = mem_strdup(colon + 1);
    return 0;
}

static int hint_lower_case(const struct reference *ref, struct error *err)
{
    auto_reference struct reference lower = {0};
    auto_str struct str text = {0};

    reference_copy(&lower, ref);
    lower_in_place(lower.repository);
    reference_familiar(&lower, &text);
    if (is_repository(lower.repository))
        error_hint(err, "write '%s'", str_text(&text));
    return -err->code;
}

static int check_name(const char *whole, const char *name, const struct reference *ref,
                      struct error *err)
{
    if (!is_host(ref->host))
        return error_set(err, EINVAL, "invalid reference '%s': '%s' is not a host name", whole,
                         ref->host);
    if (!is_repository(ref->repository)) {
        error_set(
            err, EINVAL,
            "invalid reference '%s': a repository name is lower case letters and digits, with "
            "single '.', '_', '-' or '/' between them",
            whole);
        return hint_lower_case(ref, err);
    }
    if (strlen(ref->host) + 1 + strlen(ref->repository) > REFERENCE_TEXT_MAX)
        return error_set(err, EINVAL,
                         "invalid reference '%.64s...': the name is longer than %d bytes", whole,
                         REFERENCE_TEXT_MAX);
    if (is_hex_id(name))
        return error_set(err, EINVAL, "invalid reference '%s': 64 hex digits are an id, not a name",
                         whole);
    return 0;
}

static int check_text_is_a_name(const char *text, struct error *err)
{
    auto_str struct str shown = {0};
    const char *scheme = strstr(text, "://");

    if (text[0] == '\0')
        return error_set(err, EINVAL, "an image reference is empty");
    str_add_escaped(&shown, text, strlen(text));
    if (!text_equal(str_text(&shown), text))
        return error_set(err, EINVAL, "invalid reference '%.128s': control or non-text bytes",
                         str_text(&shown));
    if (scheme) {
        error_set(err, EINVAL, "invalid reference '%s': a URL is not an image name", text);
        return error_hint(err, "write '%s'", scheme + 3);
    }
    return 0;
}

int reference_parse_name(const char *text, struct reference *out, struct error *err)
{
    auto_reference struct reference ref = {0};
    auto_free char *name = NULL;
    int r;

    r = check_text_is_a_name(text, err);
    if (r < 0)
        return r;
    name = mem_strdup(text);
    r = cut_suffixes(name, text, &ref, err);
    if (r < 0)
        return r;
    split_name(name, &ref);
    r = check_name(text, name, &ref, err);
    if (r < 0)
        return r;
    *out = STEAL(&ref);
    return 0;
}

int reference_parse(const char *text, struct reference *out, struct error *err)
{
    int r = reference_parse_name(text, out, err);

    if (r == 0 && !out->tag && !out->has_digest)
        out->tag = mem_strdup("latest");
    return r;
}

int reference_parse_host(const char *text, char **out, struct error *err)
{
    auto_free char *host = NULL;
    const char *start = text;

    if (text_starts(text, "https://") || text_starts(text, "http://"))
        start = strstr(text, "://") + 3;
    host = canonical_host(start, strcspn(start, "/"));
    if (!is_host(host))
        return error_set(err, EINVAL, "'%s' is not a registry host", text);
    if (text_equal(host, HUB_API_HOST)) {
        free(host);
        host = mem_strdup(HUB_HOST);
    }
    *out = STEAL(&host);
    return 0;
}

const char *reference_api_host(const char *host)
{
    return text_equal(host, HUB_HOST) ? HUB_API_HOST : host;
}

static void add_suffixes(const struct reference *ref, struct str *out)
{
    char digest[DIGEST_TEXT_SIZE];

    if (ref->tag)
        str_addf(out, ":%s", ref->tag);
    if (ref->has_digest) {
        digest_format(&ref->digest, digest);
        str_addf(out, "@%s", digest);
    }
}

void reference_format_name(const struct reference *ref, struct str *out)
{
    str_addf(out, "%s/%s", ref->host, ref->repository);
}

/* "docker.io/library/x" shrinks to "x" and "docker.io/a/b" to "a/b", unless what is left would be
 * read as another host ("docker.io/localhost/x") or as an id. */
void reference_familiar_name(const struct reference *ref, struct str *out)
{
    const char *name = ref->repository;
    const char *slash;

    if (!text_equal(ref->host, HUB_HOST)) {
        reference_format_name(ref, out);
        return;
    }
    if (text_starts(name, HUB_LIBRARY) && !strchr(name + strlen(HUB_LIBRARY), '/'))
        name += strlen(HUB_LIBRARY);
    slash = strchr(name, '/');
    if ((slash && first_part_is_host(name, (size_t)(slash - name))) || is_hex_id(name))
        reference_format_name(ref, out);
    else
        str_add(out, name);
}

void reference_format(const struct reference *ref, struct str *out)
{
    reference_format_name(ref, out);
    add_suffixes(ref, out);
}

void reference_familiar(const struct reference *ref, struct str *out)
{
    reference_familiar_name(ref, out);
    add_suffixes(ref, out);
}

void reference_manifest_name(const struct reference *ref, struct str *out)
{
    char digest[DIGEST_TEXT_SIZE];

    if (ref->has_digest) {
        digest_format(&ref->digest, digest);
        str_add(out, digest);
    } else {
        str_add(out, ref->tag ? ref->tag : "latest");
    }
}

void reference_copy(struct reference *to, const struct reference *from)
{
    *to = *from;
    to->host = mem_strdup(from->host);
    to->repository = mem_strdup(from->repository);
    to->tag = from->tag ? mem_strdup(from->tag) : NULL;
}

void reference_release(struct reference *ref)
{
    free(ref->host);
    free(ref->repository);
    free(ref->tag);
    *ref = (struct reference){0};
}

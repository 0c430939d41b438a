/* url.c - the strict reading of URLs and hosts. Not a general URL library: see url.h for what is
 * left out. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "registry/url.h"

#include "fs/base/banned.h"

static const char hex_digits[] = "0123456789ABCDEF";

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c));
}

static void add_percent(struct str *out, unsigned char c)
{
    str_add_char(out, '%');
    str_add_char(out, hex_digits[c >> 4]);
    str_add_char(out, hex_digits[c & 15]);
}

void url_add_encoded(struct str *out, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (is_unreserved(*c))
            str_add_char(out, (char)*c);
        else
            add_percent(out, *c);
    }
}

void url_add_query(struct str *url, const char *name, const char *value)
{
    str_add_char(url, strchr(str_text(url), '?') ? '&' : '?');
    url_add_encoded(url, name);
    str_add_char(url, '=');
    url_add_encoded(url, value);
}

/* Bytes which have no place in a URL but turn up in Location headers; the rest is passed on as it
 * came. */
static char *encode_path(const char *text, size_t length)
{
    struct str out = {0};

    if (length == 0 || text[0] != '/')
        str_add_char(&out, '/');
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == ' ' || c >= 0x7f || strchr("\"<>^`{|}", c))
            add_percent(&out, c);
        else
            str_add_char(&out, (char)c);
    }
    return str_take(&out);
}

static bool is_host_text(const char *host)
{
    size_t length = strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-._");

    return length > 0 && length <= 253 && host[length] == '\0' && host[0] != '.' && host[0] != '-';
}

static bool parse_ipv6(const char *host, struct in6_addr *out)
{
    char copy[INET6_ADDRSTRLEN + 2];
    size_t length = strlen(host);

    if (length < 4 || length >= sizeof(copy) || host[0] != '[' || host[length - 1] != ']')
        return false;
    memcpy(copy, host + 1, length - 2);
    copy[length - 2] = '\0';
    return inet_pton(AF_INET6, copy, out) == 1;
}

static char *lower_copy(const char *text, size_t length)
{
    char *copy = mem_strndup(text, length);

    for (char *c = copy; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    return copy;
}

char *host_split(const char *host_port, uint16_t *port)
{
    const char *end = host_port[0] == '[' ? strchr(host_port, ']') : host_port;
    const char *colon = end ? strchr(end, ':') : NULL;
    uint64_t number = 0;

    *port = 0;
    if (!colon)
        return lower_copy(host_port, strlen(host_port));
    if (text_to_u64(colon + 1, UINT16_MAX, &number))
        *port = (uint16_t)number;
    return lower_copy(host_port, (size_t)(colon - host_port));
}

/* host[:port] up to `length`. */
static int parse_authority(const char *text, size_t length, struct url *u)
{
    auto_free char *authority = mem_strndup(text, length);
    const char *end = authority[0] == '[' ? strchr(authority, ']') : authority;
    const char *colon = end ? strchr(end, ':') : NULL;
    struct in6_addr address;
    uint64_t port = u->is_https ? 443 : 80;

    if (!end || (colon && (!text_to_u64(colon + 1, UINT16_MAX, &port) || port == 0)))
        return -EINVAL;
    u->port = (uint16_t)port;
    u->host = lower_copy(authority, colon ? (size_t)(colon - authority) : length);
    return is_host_text(u->host) || parse_ipv6(u->host, &address) ? 0 : -EINVAL;
}

static bool has_control_bytes(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c < 0x20 || *c == 0x7f)
            return true;
    }
    return false;
}

/* What may be shown of a URL nobody could read: no query, no userinfo, no control bytes (R49). */
static int bad_url(const char *text, const char *why, struct error *err)
{
    auto_str struct str shown = {0};
    size_t length = strcspn(text, "?#");
    const char *at = memchr(text, '@', length);
    const char *start = at ? at + 1 : text;

    length -= (size_t)(start - text);
    str_add_escaped(&shown, start, length < 200 ? length : 200);
    return error_set(err, EINVAL, "bad URL '%s': %s", str_text(&shown), why);
}

int url_parse(const char *text, struct url *out, struct error *err)
{
    auto_url struct url u = {0};
    const char *rest;
    size_t length;

    if (strlen(text) > URL_SIZE_MAX)
        return bad_url(text, "it is too long", err);
    if (has_control_bytes(text) || strchr(text, '\\'))
        return bad_url(text, "it holds control bytes or a backslash", err);
    if (strncasecmp(text, "https://", 8) == 0)
        u.is_https = true;
    else if (strncasecmp(text, "http://", 7) != 0)
        return bad_url(text, "only http and https are known", err);
    rest = text + (u.is_https ? 8 : 7);
    length = strcspn(rest, "/?#");
    if (memchr(rest, '@', length))
        return bad_url(text, "credentials do not belong in a URL", err);
    if (parse_authority(rest, length, &u) < 0)
        return bad_url(text, "no valid host", err);
    rest += length;
    u.path = encode_path(rest, strcspn(rest, "#"));
    *out = STEAL(&u);
    return 0;
}

/* Merges a relative path with the base's (RFC 3986 5.2.3); dot segments are left to the server. */
static char *merge_path(const char *base, const char *location)
{
    size_t query = strcspn(base, "?");
    size_t directory = query;

    if (location[0] == '?')
        return str_format("%.*s%s", (int)query, base, location);
    while (directory > 0 && base[directory - 1] != '/')
        directory--;
    return str_format("%.*s%s", (int)directory, base, location);
}

int url_resolve(const struct url *base, const char *location, struct url *out, struct error *err)
{
    auto_free char *absolute = NULL;
    auto_free char *path = NULL;
    auto_str struct str origin = {0};

    if (location[0] == '/' && location[1] == '/') {
        absolute = str_format("%s:%s", base->is_https ? "https" : "http", location);
        return url_parse(absolute, out, err);
    }
    /* A scheme is letters up to the first colon, and that colon stands before any slash. */
    if (location[strcspn(location, ":/?#")] == ':')
        return url_parse(location, out, err);
    path = location[0] == '/' ? mem_strdup(location) : merge_path(base->path, location);
    str_addf(&origin, "%s://%s:%u%s", base->is_https ? "https" : "http", base->host, base->port,
             path);
    return url_parse(str_text(&origin), out, err);
}

void url_format_host(const struct url *u, struct str *out)
{
    str_add(out, u->host);
    if (u->port != (u->is_https ? 443 : 80))
        str_addf(out, ":%u", u->port);
}

void url_format(const struct url *u, struct str *out)
{
    str_add(out, u->is_https ? "https://" : "http://");
    url_format_host(u, out);
    str_add(out, u->path);
}

void url_format_safe(const struct url *u, struct str *out)
{
    str_add(out, u->is_https ? "https://" : "http://");
    url_format_host(u, out);
    str_add_escaped(out, u->path, strcspn(u->path, "?"));
}

bool url_same_origin(const struct url *a, const struct url *b)
{
    return a->is_https == b->is_https && a->port == b->port && text_equal(a->host, b->host);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *url_decode(const char *text, size_t size)
{
    struct str out = {0};

    for (size_t i = 0; i < size; i++) {
        bool is_code = text[i] == '%' && size - i > 2 && hex_value(text[i + 1]) >= 0 &&
                       hex_value(text[i + 2]) >= 0;

        str_add_char(&out, is_code ? (char)(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]))
                                   : text[i]);
        i += is_code ? 2 : 0;
    }
    return str_take(&out);
}

void url_release(struct url *u)
{
    free(u->host);
    free(u->path);
    *u = (struct url){0};
}

bool host_is_loopback(const char *host)
{
    struct in6_addr v6;
    struct in_addr v4;

    if (text_equal(host, "localhost") || text_ends(host, ".localhost"))
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return parse_ipv6(host, &v6) && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool is_local_v4(uint32_t address)
{
    return address >> 24 == 127 || address >> 24 == 0 || address >> 16 == 0xa9fe; /* 169.254/16 */
}

bool host_is_local_literal(const char *host)
{
    static const uint8_t metadata_network[4] = {0xfd, 0x00, 0x0e, 0xc2}; /* fd00:ec2::/32 */
    struct in6_addr v6;
    struct in_addr v4;
    uint32_t mapped;

    /* inet_aton(3) reads 127.1, 0x7f000001 and 017700000001 as resolvers do. */
    if (inet_aton(host, &v4) != 0)
        return is_local_v4(ntohl(v4.s_addr));
    if (!parse_ipv6(host, &v6))
        return false;
    if (IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6) ||
        memcmp(v6.s6_addr, metadata_network, sizeof(metadata_network)) == 0)
        return true;
    memcpy(&mapped, v6.s6_addr + 12, sizeof(mapped));
    return (IN6_IS_ADDR_V4MAPPED(&v6) || IN6_IS_ADDR_V4COMPAT(&v6)) && is_local_v4(ntohl(mapped));
}

static bool is_literal(const char *host)
{
    struct in6_addr v6;
    struct in_addr v4;

    return inet_aton(host, &v4) != 0 || parse_ipv6(host, &v6);
}

/* Domains below which each name belongs to somebody else. */
static const char *const shared_domains[] = {
    "amazonaws.com",  "azurecr.io",     "azurewebsites.net", "blob.core.windows.net",
    "cloudapp.net",   "cloudfront.net", "github.io",         "gitlab.io",
    "googleapis.com", "herokuapp.com",  "netlify.app",       "ngrok.io",
    "onrender.com",   "pages.dev",      "run.app",           "vercel.app",
    "workers.dev",    "appspot.com",    "fly.dev",           "jfrog.io",
};

/* Names which a country sells below: co.uk, com.au, or.jp. */
static const char *const country_domains[] = {
    "ac",  "co", "com", "edu", "gob", "gov", "go",  "id",  "ltd", "me",
    "mil", "ne", "net", "nom", "or",  "org", "plc", "sch", "web",
};

static bool is_country_domain(const char *label, size_t length)
{
    for (size_t i = 0; i < sizeof(country_domains) / sizeof(country_domains[0]); i++) {
        if (strlen(country_domains[i]) == length && memcmp(country_domains[i], label, length) == 0)
            return true;
    }
    return false;
}

/* How many labels, counted from the right, name one owner. */
static size_t owner_labels(const char *host)
{
    const char *top = strrchr(host, '.');
    const char *second = top;

    for (size_t i = 0; i < sizeof(shared_domains) / sizeof(shared_domains[0]); i++) {
        size_t labels = 2;

        if (!text_ends(host, shared_domains[i]))
            continue;
        for (const char *c = shared_domains[i]; *c != '\0'; c++)
            labels += *c == '.';
        /* Regions stand between the owner and amazonaws.com. */
        return text_equal(shared_domains[i], "amazonaws.com") ? SIZE_MAX : labels;
    }
    if (!top || strlen(top + 1) != 2)
        return 2;
    while (second > host && second[-1] != '.')
        second--;
    return is_country_domain(second, (size_t)(top - second)) ? 3 : 2;
}

/* The last `count` labels, or NULL when there are fewer. */
static const char *last_labels(const char *host, size_t count)
{
    const char *c = host + strlen(host);

    while (c > host) {
        if (c[-1] == '.' && --count == 0)
            return c;
        c--;
    }
    return count == 1 ? host : NULL;
}

bool host_same_site(const char *host, const char *other)
{
    const char *a;
    const char *b;

    if (text_equal(host, other))
        return true;
    if (is_literal(host) || is_literal(other))
        return false;
    a = last_labels(host, owner_labels(host));
    b = last_labels(other, owner_labels(other));
    return a && b && text_equal(a, b);
}

static bool in_network(const char *pattern, const char *host)
{
    const char *slash = strchr(pattern, '/');
    auto_free char *network = NULL;
    struct in6_addr net6, host6;
    struct in_addr net4, host4;
    uint64_t bits;

    if (!slash || !text_to_u64(slash + 1, 128, &bits))
        return false;
    network = mem_strndup(pattern, (size_t)(slash - pattern));
    if (inet_pton(AF_INET, network, &net4) == 1)
        return bits <= 32 && inet_pton(AF_INET, host, &host4) == 1 &&
               (bits == 0 || (ntohl(net4.s_addr) ^ ntohl(host4.s_addr)) >> (32 - bits) == 0);
    if (inet_pton(AF_INET6, network, &net6) != 1 || !parse_ipv6(host, &host6))
        return false;
    for (size_t i = 0; i < bits; i++) {
        uint8_t differ = net6.s6_addr[i / 8] ^ host6.s6_addr[i / 8];

        if (differ & (0x80u >> (i % 8)))
            return false;
    }
    return true;
}

bool host_matches(const char *pattern, const char *host_port)
{
    auto_free char *wanted = NULL;
    auto_free char *host = NULL;
    uint16_t wanted_port;
    uint16_t port;

    if (text_equal(pattern, "*"))
        return true;
    host = host_split(host_port, &port);
    if (strchr(pattern, '/'))
        return in_network(pattern, host);
    wanted = host_split(pattern, &wanted_port);
    if (wanted_port != 0 && wanted_port != port)
        return false;
    if (text_starts(wanted, "*."))
        return text_ends(host, wanted + 1);
    return text_equal(wanted, host);
}

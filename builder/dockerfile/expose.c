/* expose.c - port specifications of EXPOSE and the signals of STOPSIGNAL.
 *
 * [[ip:]host:]container[-container][/protocol]: address and host port are checked and dropped, for an
 * image only says what listens inside (the check ExposeInvalidFormat warns about them).
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <strings.h>

#include "builder/dockerfile/dockerfile_internal.h"
#include "builder/dockerfile/quote.h"

#include "fs/base/banned.h"

#define PORT_MAX 65535

struct port_range {
    unsigned first;
    unsigned last;
};

static bool read_port(const char *text, unsigned *out)
{
    uint64_t value;

    if (!text_to_u64(text, PORT_MAX, &value))
        return false;
    *out = (unsigned)value;
    return true;
}

static bool read_range(const char *text, struct port_range *out)
{
    auto_free char *first = mem_strdup(text);
    char *dash = strchr(first, '-');

    if (!dash)
        return read_port(first, &out->first) && read_port(first, &out->last);
    *dash = '\0';
    return read_port(first, &out->first) && read_port(dash + 1, &out->last) &&
           out->first <= out->last;
}

static bool is_address(char *text)
{
    unsigned char address[sizeof(struct in6_addr)];
    size_t size = strlen(text);

    if (size > 1 && text[0] == '[' && text[size - 1] == ']') {
        text[size - 1] = '\0';
        text++;
    }
    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

/* Cuts what stands behind the last colon off `text`; NULL when there is no colon. */
static char *cut_last(char *text)
{
    char *colon = strrchr(text, ':');

    if (!colon)
        return NULL;
    *colon = '\0';
    return colon + 1;
}

static int check_host(char *host, const char *container, const struct port_range *ports,
                      struct error *err)
{
    char *port = cut_last(host);
    char *address = port ? host : NULL;
    auto_free char *shown_address = address ? quote_bare(address) : NULL;
    auto_free char *shown_port = NULL;
    auto_free char *shown_container = quote_bare(container);
    struct port_range range;

    port = port ? port : host;
    shown_port = quote_bare(port);
    if (address && *address && !is_address(address))
        return error_set(err, EINVAL, "invalid IP address: %s", shown_address);
    if (*port == '\0')
        return 0;
    if (!read_range(port, &range))
        return error_set(err, EINVAL, "invalid hostPort: %s", shown_port);
    if (range.last - range.first != ports->last - ports->first && ports->last != ports->first)
        return error_set(err, EINVAL,
                         "invalid ranges specified for container and host Ports: %s and %s",
                         shown_container, shown_port);
    return 0;
}

static int check_protocol(char *protocol, struct error *err)
{
    auto_free char *shown = NULL;

    for (char *c = protocol; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (text_equal(protocol, "tcp") || text_equal(protocol, "udp") || text_equal(protocol, "sctp"))
        return 0;
    shown = quote_bare(protocol);
    return error_set(err, EINVAL, "invalid proto: %s", shown);
}

int expose_ports(const char *spec, struct strv *out, struct error *err)
{
    auto_free char *host = mem_strdup(spec);
    char *container = cut_last(host);
    char *slash = strchr(container ? container : host, '/');
    char *protocol = slash && slash[1] ? slash + 1 : NULL;
    auto_free char *shown = NULL;
    struct port_range ports;
    int r = protocol ? check_protocol(protocol, err) : 0;

    if (slash)
        *slash = '\0';
    if (r < 0)
        return r;
    shown = quote_bare(container ? container : host);
    if (*(container ? container : host) == '\0')
        return error_set(err, EINVAL, "no port specified: %s<empty>", shown);
    if (!read_range(container ? container : host, &ports))
        return error_set(err, EINVAL, "invalid containerPort: %s", shown);
    if (container)
        r = check_host(host, container, &ports, err);
    for (unsigned port = ports.first; r == 0 && port <= ports.last; port++)
        strv_addf(out, "%u/%s", port, protocol ? protocol : "tcp");
    return r;
}

/* A number from 1 to the last real-time signal, SIGTERM, term, RTMIN+3, SIGRTMAX-1. */
bool stop_signal_is_valid(const char *text)
{
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    uint64_t number;

    if (isdigit((unsigned char)*text))
        return text_to_u64(text, INT32_MAX, &number) && number > 0;
    if (strncasecmp(name, "RTMIN", 5) == 0 || strncasecmp(name, "RTMAX", 5) == 0) {
        char sign = toupper((unsigned char)name[4]) == 'N' ? '+' : '-';

        return name[5] == '\0' ||
               (name[5] == sign && text_to_u64(name + 6, 15, &number) && number > 0);
    }
    for (int i = 1; i < SIGSYS + 1; i++) {
        const char *known = sigabbrev_np(i);

        if (known && strcasecmp(known, name) == 0)
            return true;
    }
    return strcasecmp(name, "IOT") == 0 || strcasecmp(name, "CLD") == 0;
}

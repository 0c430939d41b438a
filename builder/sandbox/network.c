/* network.c - the resolver file of a step. The helper itself is run by spawner_network.c. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "builder/sandbox/network.h"
#include "fs/base/io.h"
#include "fs/base/limits.h"

#include "fs/base/banned.h"

/* Not looked up in PATH, which the caller's environment decides. */
static const char *const slirp4netns_paths[] = {"/usr/bin/slirp4netns",
                                                "/usr/local/bin/slirp4netns", "/bin/slirp4netns",
                                                "/run/current-system/sw/bin/slirp4netns", NULL};
static const char *const pasta_paths[] = {"/usr/bin/pasta", "/usr/local/bin/pasta", "/bin/pasta",
                                          "/run/current-system/sw/bin/pasta", NULL};

static bool starts_with_any(const char *line, size_t size)
{
    static const char *const words[] = {"search ", "options ", "domain "};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t length = strlen(words[i]);

        if (size > length && memcmp(line, words[i], length) == 0)
            return true;
    }
    return false;
}

void network_resolv_conf_from(enum sandbox_network network, const char *host, size_t host_size,
                              struct str *out)
{
    const char *end = host + host_size;

    if (network == SANDBOX_NETWORK_HOST) {
        str_add_bytes(out, host, host_size);
        return;
    }
    if (network == SANDBOX_NETWORK_NONE)
        return;
    str_add(out, "nameserver " NETWORK_NAMESERVER "\n");
    for (const char *line = host; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = newline ? newline : end;

        if (starts_with_any(line, (size_t)(line_end - line))) {
            str_add_bytes(out, line, (size_t)(line_end - line));
            str_add_char(out, '\n');
        }
        line = newline ? newline + 1 : end;
    }
}

void network_resolv_conf(enum sandbox_network network, struct str *out)
{
    auto_str struct str host = {0};
    struct error ignored; /* a host without the file resolves nothing, and neither do its steps */

    error_clear(&ignored);
    if (io_read_file(AT_FDCWD, "/etc/resolv.conf", LIMIT_CONFIG_SIZE, &host, &ignored) < 0)
        str_truncate(&host, 0);
    network_resolv_conf_from(network, str_text(&host), host.size, out);
}

static const char *find_program(const char *const *paths)
{
    for (; *paths; paths++)
        if (access(*paths, X_OK) == 0)
            return *paths;
    return NULL;
}

const char *network_program(enum spawner_network_helper helper)
{
    const char *found = NULL;

    if (helper != SPAWNER_HELPER_PASTA)
        found = find_program(slirp4netns_paths);
    if (!found && helper != SPAWNER_HELPER_SLIRP4NETNS)
        found = find_program(pasta_paths);
    return found;
}

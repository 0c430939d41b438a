/* test_network.c - the resolver file a step gets (resolv.conf(5)). */
#include <string.h>

#include "builder/sandbox/network.h"
#include "tests/lib/test.h"

static const char host[] = "# made by hand\nnameserver 127.0.0.53\nsearch example.org lan\n"
                           "options edns0\nnameserver ::1";

static const char *resolv(enum sandbox_network network)
{
    static struct str out;

    str_truncate(&out, 0);
    str_add(&out, "");
    network_resolv_conf_from(network, host, strlen(host), &out);
    return str_text(&out);
}

/* A loopback server of the host is not the step's; the helper forwards. */
TEST(network, the_default_network_asks_the_helper_and_keeps_the_search_list)
{
    check_text(resolv(SANDBOX_NETWORK_DEFAULT),
               "nameserver 10.0.2.3\nsearch example.org lan\noptions edns0\n");
}

TEST(network, the_host_network_uses_the_hosts_file)
{
    check_text(resolv(SANDBOX_NETWORK_HOST), host);
}

TEST(network, no_network_has_no_server)
{
    check_text(resolv(SANDBOX_NETWORK_NONE), "");
}

/* test_proxy_args.c - proxies of docker's config.json as build arguments (docker(1), "Configure the
 * Docker client to use a proxy"). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/io.h"
#include "registry/proxy_args.h"
#include "tests/lib/test.h"

static void write_config(const char *text)
{
    setenv("DOCKER_CONFIG", test_dir(), 1);
    check_ok(
        io_write_file_atomic(test_dir_fd(), "config.json", text, strlen(text), 0600, &test_err));
}

TEST(proxy_args, the_default_proxies_become_arguments_in_both_cases)
{
    auto_strv struct strv args = {0};
    auto_free char *text = NULL;

    write_config("{\"proxies\":{\"default\":{\"httpProxy\":\"http://p:3128\",\"noProxy\":\"a,b\"},"
                 "\"tcp://other:2376\":{\"ftpProxy\":\"ftp://no\"}}}");
    check_ok(proxy_args_add(&args, &test_err));
    text = strv_join(&args, "\n");
    check_text(text, "HTTP_PROXY=http://p:3128\nhttp_proxy=http://p:3128\n"
                     "NO_PROXY=a,b\nno_proxy=a,b");
}

TEST(proxy_args, what_was_given_is_not_replaced)
{
    auto_strv struct strv args = {0};

    write_config(
        "{\"proxies\":{\"default\":{\"httpProxy\":\"http://p\",\"allProxy\":\"socks5h://q\"}}}");
    strv_add(&args, "http_proxy=");
    check_ok(proxy_args_add(&args, &test_err));
    check_int(args.count, 3);
    check_text(args.items[1], "ALL_PROXY=socks5h://q");
}

TEST(proxy_args, without_a_file_or_proxies_there_are_none)
{
    auto_strv struct strv args = {0};

    setenv("DOCKER_CONFIG", "/nonexistent", 1);
    check_ok(proxy_args_add(&args, &test_err));
    write_config("{\"auths\":{}}");
    check_ok(proxy_args_add(&args, &test_err));
    write_config("{\"proxies\":[1]}");
    check_ok(proxy_args_add(&args, &test_err));
    check_int(args.count, 0);
}

TEST(proxy_args, a_file_that_is_no_json_is_named)
{
    auto_strv struct strv args = {0};

    write_config("{");
    check_fails(proxy_args_add(&args, &test_err), EINVAL);
    check_contains(test_err.text, "config.json");
}

/* test_buildkit_conf.c - mirrors and trust from buildkitd.toml (BuildKit, docs/buildkitd.toml.md). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/io.h"
#include "registry/buildkit_conf.h"
#include "registry/client.h"
#include "tests/lib/fake_registry.h"
#include "tests/lib/test.h"

static const char example[] = "debug = true\n"
                              "[grpc]\n"
                              "  address = [ \"tcp://0.0.0.0:1234\" ]\n"
                              "[registry.\"docker.io\"]\n"
                              "  mirrors = [\"mirror.lan:5000\", \"cache.lan/hub/\"]\n"
                              "[registry.\"mirror.lan:5000\"]\n"
                              "  http = true\n"
                              "[registry.\"corp.lan\"]\n"
                              "  ca = [\"/etc/a.pem\", \"/etc/b.pem\"]\n"
                              "  [[registry.\"corp.lan\".keypair]]\n"
                              "    key = \"/etc/key.pem\"\n"
                              "    cert = \"/etc/cert.pem\"\n";

TEST(buildkit_conf, mirrors_and_trust_are_read)
{
    auto_registries_conf struct registries_conf conf = {0};
    const struct registry_rule *hub;

    check_ok(buildkit_conf_parse(example, "f", &conf, &test_err));
    hub = registries_conf_find(&conf, "docker.io", "library/debian");
    check_int(hub->mirrors.count, 2);
    check_text(hub->mirrors.items[0].location, "mirror.lan:5000");
    check_text(hub->mirrors.items[1].location, "cache.lan/hub");
    check_true(hub->mirrors.items[1].sends_ns);
    check_false(hub->is_insecure);
    check_true(registries_conf_find(&conf, "mirror.lan:5000", "x")->is_insecure);
    check_int(conf.trusts.count, 1);
    check_text(conf.trusts.items[0].host, "corp.lan");
    check_text(conf.trusts.items[0].authorities.items[1], "/etc/b.pem");
    check_text(conf.trusts.items[0].certificate, "/etc/cert.pem");
    check_text(conf.trusts.items[0].key, "/etc/key.pem");
}

TEST(buildkit_conf, rules_of_registries_conf_come_first)
{
    auto_registries_conf struct registries_conf conf = {0};

    check_ok(registries_conf_parse("[[registry]]\nlocation='docker.io'\nblocked=true", "g", &conf,
                                   &test_err));
    check_ok(buildkit_conf_parse(example, "f", &conf, &test_err));
    check_true(registries_conf_find(&conf, "docker.io", "x")->is_blocked);
    check_int(registries_conf_find(&conf, "docker.io", "x")->mirrors.count, 0);
}

TEST(buildkit_conf, a_mirror_that_is_a_url_is_refused)
{
    auto_registries_conf struct registries_conf conf = {0};
    struct error err = {0};

    check_fails(
        buildkit_conf_parse("[registry.\"h.io\"]\nmirrors=['https://m.io']", "f", &conf, &err),
        EINVAL);
    check_error(&err, EINVAL, "f: a mirror of 'h.io' is no host[:port][/path]");
}

static void write_conf(const char *text)
{
    auto_free char *config = str_format("%s/config", test_dir());
    auto_free char *dir = str_format("%s/buildkit", config);

    setenv("XDG_CONFIG_HOME", config, 1);
    unsetenv("CONTAINERS_REGISTRIES_CONF");
    check_ok(io_make_dirs(dir, 0700, &test_err));
    check_ok(io_write_file_atomic(test_dir_fd(), "config/buildkit/buildkitd.toml", text,
                                  strlen(text), 0600, &test_err));
}

TEST(buildkit_conf, a_file_that_cannot_be_understood_is_passed_over)
{
    auto_registries_conf struct registries_conf conf = {0};

    write_conf("[registry.\"h.io\"\n");
    check_ok(registries_conf_read(NULL, &conf, &test_err));
    check_true(registries_conf_find(&conf, "h.io", "x") == NULL);
}

/* The mirror is asked, is told which registry is meant, and never sees the registry's credentials
 * (SECURITY R43); what it has not comes from the registry. */
TEST(buildkit_conf, a_mirror_is_told_the_name_space_and_no_secret)
{
    auto_fake_registry struct fake_registry *fake = fake_registry_start();
    auto_fake_registry struct fake_registry *mirror = fake_registry_start();
    auto_free char *text = str_format("[registry.\"%s\"]\nmirrors=['%s/proxy']\n",
                                      fake_registry_host(fake), fake_registry_host(mirror));
    auto_free char *name = str_format("%s/a/b", fake_registry_host(fake));
    auto_free char *auths =
        str_format("{\"auths\":{\"%s\":{\"auth\":\"bWU6cw==\"}}}", fake_registry_host(fake));
    auto_free char *authfile = str_format("%s/auth.json", test_dir());
    auto_free char *asked = NULL;
    struct registries_options options = {.authfile = authfile, .http.retry_delay_ms = 1};
    auto_registries struct registries *all = NULL;
    auto_registry struct registry *r = NULL;
    auto_reference struct reference ref = {0};
    auto_descriptor struct descriptor found = {0};
    const char *log;

    write_conf(text);
    check_ok(
        io_write_file_atomic(test_dir_fd(), "auth.json", auths, strlen(auths), 0600, &test_err));
    fake_registry_add(fake, &(struct fake_rule){.path = "/v2/",
                                                .times = 1,
                                                .status = 401,
                                                .headers = "WWW-Authenticate: Basic\r\n"});
    fake_registry_add(mirror, &(struct fake_rule){.path = "/v2/",
                                                  .times = 1,
                                                  .status = 401,
                                                  .headers = "WWW-Authenticate: Basic\r\n"});
    all = registries_new(&options);
    check_ok(reference_parse(name, &ref, &test_err));
    check_ok(registry_open(all, &ref, REGISTRY_PULL, &r, &test_err));
    check_fails(registry_manifest_head(r, "1", &found, &test_err), ENOENT);
    asked = str_format("HEAD /v2/proxy/a/b/manifests/1?ns=127.0.0.1%%3A%s\n",
                       strchr(fake_registry_host(fake), ':') + 1);
    log = fake_registry_log(mirror);
    check_contains(log, asked);
    check_lacks(log, "auth=");
    check_contains(fake_registry_log(fake), "HEAD /v2/a/b/manifests/1 auth=Basic");
}

/* test_registries_conf.c - mirrors, blocks and aliases (containers-registries.conf(5)), and TOML. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/io.h"
#include "registry/registries.h"
#include "registry/registries_conf.h"
#include "registry/toml.h"
#include "tests/lib/test.h"

static void check_toml(const char *text, const char *expected)
{
    auto_json struct json *document = NULL;
    auto_str struct str out = {0};

    check_ok(toml_parse(text, "f", &document, &test_err));
    json_write(document, &out);
    check_text(str_text(&out), expected);
}

static void check_toml_refused(const char *text, const char *sentence)
{
    auto_json struct json *document = NULL;
    struct error err = {0};

    check_fails(toml_parse(text, "f", &document, &err), EINVAL);
    check_error(&err, EINVAL, sentence);
}

/* TOML 1.0 */
TEST(toml, tables_arrays_and_values_are_read)
{
    check_toml("", "{}");
    check_toml("a = 1 # one\nb=true\r\n", "{\"a\":1,\"b\":true}");
    check_toml("\"a b\" = 'c\\d'", "{\"a b\":\"c\\\\d\"}");
    check_toml("a = \"x\\t\\\"\\u00e4\"", "{\"a\":\"x\\t\\\"\xc3\xa4\"}");
    check_toml("[t]\na=1\n[u.v]\nb=-2\n", "{\"t\":{\"a\":1},\"u\":{\"v\":{\"b\":-2}}}");
    check_toml("[[r]]\na=1\n[[r.m]]\nb=2\n[[r]]\na=3\n",
               "{\"r\":[{\"a\":1,\"m\":[{\"b\":2}]},{\"a\":3}]}");
    check_toml("a = [ 'x', # first\n  'y',\n]\n", "{\"a\":[\"x\",\"y\"]}");
    check_toml("a = { b = 1, c.d = 'e' }", "{\"a\":{\"b\":1,\"c\":{\"d\":\"e\"}}}");
}

TEST(toml, mistakes_are_named_with_their_line)
{
    check_toml_refused("a = 1\nb\n", "f:2: a key without '='");
    check_toml_refused("a = 1\na = 2\n", "f:2: a key is set twice");
    check_toml_refused("a = 'x\n", "f:1: a text without its closing quote");
    check_toml_refused("a = 1 b = 2\n", "f:1: more than one thing on a line");
    check_toml_refused("a = 1.5\n",
                       "f:1: a value that is no text, number, true, false, list or table");
    check_toml_refused("a = \"\"\"x\"\"\"\n", "f:1: texts over several lines are not supported");
    check_toml_refused("\n\n[a\n", "f:3: a table name without its closing bracket");
    check_toml_refused("a = [1\n", "f:2: a list without its closing ']'");
    check_toml_refused("a = 1\n[a]\n", "f:2: a key stands for two different things");
    check_toml_refused("[a]\n[[a]]\n", "f:2: a key stands for two different things");
    check_toml_refused("a = \"\\u0000\"", "f:1: an unknown escape in a text");
    check_toml_refused("= 1", "f:1: a key is missing");
}

TEST(toml, deep_nests_are_refused)
{
    auto_str struct str text = {0};

    str_add(&text, "a = ");
    for (int i = 0; i < 100000; i++)
        str_add(&text, "[");
    check_toml_refused(str_text(&text), "f:1: values nest too deep");
}

static const char example[] = "unqualified-search-registries = ['docker.io']\n"
                              "short-name-mode = \"enforcing\"\n"
                              "[[registry]]\n"
                              "prefix = 'docker.io'\n"
                              "location = 'docker.io'\n"
                              "[[registry.mirror]]\n"
                              "location = 'mirror.lan:5000/hub/'\n"
                              "insecure = true\n"
                              "pull-from-mirror = 'digest-only'\n"
                              "[[registry]]\n"
                              "location = 'docker.io/library/secret'\n"
                              "blocked = true\n"
                              "[[registry]]\n"
                              "prefix = '*.corp.example'\n"
                              "insecure = true\n"
                              "[aliases]\n"
                              "'fedora' = 'registry.fedoraproject.org/fedora'\n";

TEST(registries_conf, rules_are_read)
{
    auto_registries_conf struct registries_conf conf = {0};

    check_ok(registries_conf_parse(example, "f", &conf, &test_err));
    check_int(conf.rules.count, 3);
    check_text(conf.rules.items[0].prefix, "docker.io");
    check_int(conf.rules.items[0].mirrors.count, 1);
    check_text(conf.rules.items[0].mirrors.items[0].location, "mirror.lan:5000/hub");
    check_true(conf.rules.items[0].mirrors.items[0].is_insecure);
    check_int(conf.rules.items[0].mirrors.items[0].use, MIRROR_DIGEST_ONLY);
    check_true(conf.rules.items[1].is_blocked);
    check_true(conf.rules.items[2].is_insecure);
    check_text(registries_conf_alias(&conf, "fedora"), "registry.fedoraproject.org/fedora");
    check_text(registries_conf_alias(&conf, "debian"), NULL);
}

TEST(registries_conf, the_longest_prefix_covers)
{
    auto_registries_conf struct registries_conf conf = {0};

    check_ok(registries_conf_parse(example, "f", &conf, &test_err));
    check_true(registries_conf_find(&conf, "docker.io", "library/debian") == &conf.rules.items[0]);
    check_true(registries_conf_find(&conf, "docker.io", "library/secret") == &conf.rules.items[1]);
    check_true(registries_conf_find(&conf, "docker.io", "library/secrets") == &conf.rules.items[0]);
    check_true(registries_conf_find(&conf, "r.corp.example", "x") == &conf.rules.items[2]);
    check_true(registries_conf_find(&conf, "corp.example", "x") == NULL);
    check_true(registries_conf_find(&conf, "xcorp.example", "x") == NULL);
    check_true(registries_conf_find(&conf, "docker.io.evil", "x") == NULL);
}

TEST(registries_conf, the_covered_part_is_replaced)
{
    auto_registries_conf struct registries_conf conf = {0};
    auto_free char *whole = NULL;
    auto_free char *rest = NULL;

    check_ok(registries_conf_parse(example, "f", &conf, &test_err));
    whole = registry_rule_rewrite(&conf.rules.items[0], "mirror.lan:5000/hub", "docker.io",
                                  "library/debian");
    check_text(whole, "mirror.lan:5000/hub/library/debian");
    rest = registry_rule_rewrite(&conf.rules.items[2], "real.example", "r.corp.example", "a/b");
    check_text(rest, "real.example/a/b");
}

TEST(registries_conf, a_later_rule_replaces_an_earlier_one)
{
    auto_registries_conf struct registries_conf conf = {0};

    check_ok(registries_conf_parse(example, "f", &conf, &test_err));
    check_ok(registries_conf_parse("[[registry]]\nlocation='docker.io'\nblocked=true", "g", &conf,
                                   &test_err));
    check_int(conf.rules.count, 3);
    check_true(registries_conf_find(&conf, "docker.io", "a/b")->is_blocked);
}

TEST(registries_conf, mistakes_are_named)
{
    static const char *const pairs[][2] = {
        {"[[registry]]\ninsecure=true", "f: a registry has neither prefix nor location"},
        {"[[registry]]\nlocation='https://h.io'", "f: 'https://h.io' is a URL, write 'h.io'"},
        {"[[registry]]\nlocation='h.io'\nblocked='yes'", "f: 'blocked' is neither true nor false"},
        {"[[registry]]\nlocation='h.io'\n[[registry.mirror]]\n", "f: a mirror has no location"},
        {"[registry]\nlocation='h.io'", "f: write [[registry]], not [registry]"},
        {"[aliases]\na=1", "f: the alias 'a' is not a text"},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        auto_registries_conf struct registries_conf conf = {0};
        struct error err = {0};

        check_fails(registries_conf_parse(pairs[i][0], "f", &conf, &err), EINVAL);
        check_error(&err, EINVAL, pairs[i][1]);
    }
}

static void write_conf(const char *name, const char *text)
{
    check_ok(io_write_file_atomic(test_dir_fd(), name, text, strlen(text), 0600, &test_err));
}

TEST(registries, aliases_are_for_short_names)
{
    auto_free char *path = str_format("%s/registries.conf", test_dir());
    struct registries_options options = {.config_file = path};
    auto_registries struct registries *all = NULL;
    static const char *const pairs[][2] = {
        {"fedora", "registry.fedoraproject.org/fedora:latest"},
        {"fedora:40", "registry.fedoraproject.org/fedora:40"},
        {"docker.io/fedora", "docker.io/library/fedora:latest"},
        {"me/fedora", "docker.io/me/fedora:latest"},
        {"debian", "docker.io/library/debian:latest"},
    };

    write_conf("registries.conf", example);
    all = registries_new(&options);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        auto_reference struct reference ref = {0};
        auto_str struct str text = {0};

        check_ok(registries_resolve(all, pairs[i][0], &ref, &test_err));
        reference_format(&ref, &text);
        check_text(str_text(&text), pairs[i][1]);
    }
}

TEST(registries, a_missing_named_file_is_an_error)
{
    struct registries_options options = {.config_file = "/nonexistent/registries.conf"};
    auto_registries struct registries *all = registries_new(&options);
    auto_reference struct reference ref = {0};

    check_fails(registries_resolve(all, "debian", &ref, &test_err), ENOENT);
}

TEST(registries, drop_in_files_are_read_in_order)
{
    auto_free char *config = str_format("%s/config", test_dir());
    auto_registries_conf struct registries_conf conf = {0};

    setenv("XDG_CONFIG_HOME", config, 1);
    unsetenv("CONTAINERS_REGISTRIES_CONF");
    {
        auto_free char *dir = str_format("%s/containers/registries.conf.d", config);

        check_ok(io_make_dirs(dir, 0700, &test_err));
    }
    write_conf("config/containers/registries.conf", "[[registry]]\nlocation='img-test-a.io'\n");
    write_conf("config/containers/registries.conf.d/20.conf",
               "[[registry]]\nlocation='img-test-a.io'\nblocked=true\n");
    write_conf("config/containers/registries.conf.d/10.conf",
               "[[registry]]\nlocation='img-test-a.io'\nblocked=false\n");
    write_conf("config/containers/registries.conf.d/30.bak", "nonsense");
    check_ok(registries_conf_read(NULL, &conf, &test_err));
    check_true(registries_conf_find(&conf, "img-test-a.io", "x")->is_blocked);
}

/* buildkit_conf.c - buildkitd.toml to the rules that registries.conf would have made. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/io.h"
#include "fs/base/json.h"
#include "fs/base/log.h"
#include "registry/buildkit_conf.h"
#include "registry/toml.h"

#include "fs/base/banned.h"

#define CONF_SIZE_MAX (1u << 20)
#define SYSTEM_CONF "/etc/buildkit/buildkitd.toml"

static bool has_rule(const struct registries_conf *conf, const char *host)
{
    for (size_t i = 0; i < conf->rules.count; i++)
        if (text_equal(conf->rules.items[i].prefix, host))
            return true;
    return false;
}

static int add_mirrors(const struct json *table, const char *host, const char *name,
                       struct registry_rule *rule, struct error *err)
{
    const struct json *mirrors = json_get_array(table, "mirrors");

    for (size_t i = 0; i < json_count(mirrors); i++) {
        const char *text = json_text(json_at(mirrors, i));
        struct mirror *mirror;
        size_t size = text ? strlen(text) : 0;

        while (size > 0 && text[size - 1] == '/')
            size--;
        if (size == 0 || strstr(text, "://"))
            return error_set(err, EINVAL, "%s: a mirror of '%s' is no host[:port][/path]", name,
                             host);
        mirror = array_add(&rule->mirrors);
        mirror->location = mem_strndup(text, size);
        mirror->sends_ns = true;
    }
    return 0;
}

/* Authorities and client certificates go with the host, mirror or not. */
static void add_trust(const struct json *table, const char *host, struct registries_conf *conf)
{
    const struct json *authorities = json_get_array(table, "ca");
    const struct json *pairs = json_get_array(table, "keypair");
    const char *certificate = json_get_text(json_at(pairs, 0), "cert");
    const char *key = json_get_text(json_at(pairs, 0), "key");
    struct host_trust *trust;

    if (json_count(authorities) == 0 && !(certificate && key))
        return;
    trust = array_add(&conf->trusts);
    trust->host = mem_strdup(host);
    for (size_t i = 0; i < json_count(authorities); i++)
        if (json_text(json_at(authorities, i)))
            strv_add(&trust->authorities, json_text(json_at(authorities, i)));
    if (certificate && key) {
        trust->certificate = mem_strdup(certificate);
        trust->key = mem_strdup(key);
    }
}

static int add_host(const struct json *table, const char *host, const char *name,
                    struct registries_conf *conf, struct error *err)
{
    struct registry_rule *rule;

    add_trust(table, host, conf);
    if (has_rule(conf, host))
        return 0;
    rule = array_add(&conf->rules);
    rule->prefix = mem_strdup(host);
    rule->is_insecure =
        json_get_bool(table, "http", false) || json_get_bool(table, "insecure", false);
    return add_mirrors(table, host, name, rule, err);
}

int buildkit_conf_parse(const char *text, const char *name, struct registries_conf *conf,
                        struct error *err)
{
    auto_json struct json *document = NULL;
    const struct json *hosts;
    struct json *table;
    const char *host;
    void *iter = NULL;
    int r = toml_parse(text, name, &document, err);

    hosts = json_get_object(document, "registry");
    while (r == 0 && hosts && json_next(hosts, &iter, &host, &table))
        r = json_is_object(table)
                ? add_host(table, host, name, conf, err)
                : error_set(err, EINVAL, "%s: 'registry.%s' is no table", name, host);
    return r;
}

static int read_file(const char *path, struct registries_conf *conf, struct error *err)
{
    auto_str struct str text = {0};
    int r = io_read_file(AT_FDCWD, path, CONF_SIZE_MAX, &text, err);

    if (r == -ENOENT || r == -ENOTDIR)
        return -ENOENT;
    if (r == 0)
        r = buildkit_conf_parse(str_text(&text), path, conf, err);
    if (r < 0)
        log_warn("%s, continuing without its mirrors", err->text);
    return 0;
}

int buildkit_conf_read(struct registries_conf *conf, struct error *err)
{
    const char *config = secure_getenv("XDG_CONFIG_HOME");
    const char *home = secure_getenv("HOME");
    auto_free char *path = NULL;
    int r = -ENOENT;

    if (config && config[0] == '/')
        path = str_format("%s/buildkit/buildkitd.toml", config);
    else if (home && home[0] == '/')
        path = str_format("%s/.config/buildkit/buildkitd.toml", home);
    if (path)
        r = read_file(path, conf, err);
    if (r == -ENOENT)
        r = read_file(SYSTEM_CONF, conf, err);
    return r == -ENOENT ? 0 : r;
}

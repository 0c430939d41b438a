/* registries_conf.c - from files to rules, and from a name to the rule that covers it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/io.h"
#include "fs/base/json.h"
#include "fs/base/log.h"
#include "registry/buildkit_conf.h"
#include "registry/registries_conf.h"
#include "registry/toml.h"

#include "fs/base/banned.h"

#define CONF_SIZE_MAX (1u << 20)
#define SYSTEM_CONF "/etc/containers/registries.conf"

static void rule_release(struct registry_rule *rule)
{
    for (size_t i = 0; i < rule->mirrors.count; i++)
        free(rule->mirrors.items[i].location);
    free(rule->mirrors.items);
    free(rule->prefix);
    free(rule->location);
}

void registries_conf_release(struct registries_conf *conf)
{
    for (size_t i = 0; i < conf->rules.count; i++)
        rule_release(&conf->rules.items[i]);
    free(conf->rules.items);
    for (size_t i = 0; i < conf->trusts.count; i++) {
        free(conf->trusts.items[i].host);
        strv_release(&conf->trusts.items[i].authorities);
        free(conf->trusts.items[i].certificate);
        free(conf->trusts.items[i].key);
    }
    free(conf->trusts.items);
    strv_release(&conf->alias_names);
    strv_release(&conf->alias_values);
    *conf = (struct registries_conf){0};
}

/* A location as the file writes it: no scheme, no slash at the end. */
static int read_location(const struct json *table, const char *key, const char *name, char **out,
                         struct error *err)
{
    const struct json *value = json_get(table, key);
    const char *text = json_text(value);
    size_t length;

    if (!value)
        return 0;
    if (!text)
        return error_set(err, EINVAL, "%s: '%s' is not a text", name, key);
    if (strstr(text, "://"))
        return error_set(err, EINVAL, "%s: '%s' is a URL, write '%s'", name, text,
                         strstr(text, "://") + 3);
    length = strlen(text);
    while (length > 0 && text[length - 1] == '/')
        length--;
    if (length > 0)
        *out = mem_strndup(text, length);
    return 0;
}

static int read_flag(const struct json *table, const char *key, const char *name, bool *out,
                     struct error *err)
{
    const struct json *value = json_get(table, key);

    *out = json_is_true(value);
    if (value && json_get_bool(table, key, true) != json_get_bool(table, key, false))
        return error_set(err, EINVAL, "%s: '%s' is neither true nor false", name, key);
    return 0;
}

static int read_mirror(const struct json *table, const char *name, struct mirror *out,
                       struct error *err)
{
    const char *use = json_get_text(table, "pull-from-mirror");
    int r;

    r = read_location(table, "location", name, &out->location, err);
    if (r < 0)
        return r;
    if (!out->location)
        return error_set(err, EINVAL, "%s: a mirror has no location", name);
    if (!use || text_equal(use, "all"))
        out->use = MIRROR_ALL;
    else if (text_equal(use, "digest-only"))
        out->use = MIRROR_DIGEST_ONLY;
    else if (text_equal(use, "tag-only"))
        out->use = MIRROR_TAG_ONLY;
    else
        return error_set(err, EINVAL,
                         "%s: pull-from-mirror of '%s' is not all, digest-only or tag-only", name,
                         out->location);
    return read_flag(table, "insecure", name, &out->is_insecure, err);
}

static int read_flags(const struct json *table, const char *name, struct registry_rule *rule,
                      struct error *err)
{
    int r = read_flag(table, "insecure", name, &rule->is_insecure, err);

    if (r == 0)
        r = read_flag(table, "blocked", name, &rule->is_blocked, err);
    if (r == 0)
        r = read_flag(table, "mirror-by-digest-only", name, &rule->mirrors_by_digest_only, err);
    return r;
}

static int read_rule(const struct json *table, const char *name, struct registry_rule *rule,
                     struct error *err)
{
    const struct json *mirrors = json_get_array(table, "mirror");
    int r;

    r = read_location(table, "prefix", name, &rule->prefix, err);
    if (r == 0)
        r = read_location(table, "location", name, &rule->location, err);
    if (r == 0)
        r = read_flags(table, name, rule, err);
    if (r < 0)
        return r;
    if (!rule->prefix && !rule->location)
        return error_set(err, EINVAL, "%s: a registry has neither prefix nor location", name);
    if (!rule->prefix)
        rule->prefix = mem_strdup(rule->location);
    for (size_t i = 0; i < json_count(mirrors); i++) {
        r = read_mirror(json_at(mirrors, i), name, array_add(&rule->mirrors), err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Drop-in files are read later and replace what came before. */
static void add_rule(struct registries_conf *conf, const struct registry_rule *rule)
{
    for (size_t i = 0; i < conf->rules.count; i++) {
        if (!text_equal(conf->rules.items[i].prefix, rule->prefix))
            continue;
        rule_release(&conf->rules.items[i]);
        conf->rules.items[i] = *rule;
        return;
    }
    *array_add(&conf->rules) = *rule;
}

static int read_aliases(const struct json *document, const char *name, struct registries_conf *conf,
                        struct error *err)
{
    const struct json *aliases = json_get_object(document, "aliases");
    struct json *value;
    const char *alias;
    void *iter = NULL;

    while (aliases && json_next(aliases, &iter, &alias, &value)) {
        if (!json_is_string(value))
            return error_set(err, EINVAL, "%s: the alias '%s' is not a text", name, alias);
        strv_add(&conf->alias_names, alias);
        strv_add(&conf->alias_values, json_text(value));
    }
    return 0;
}

int registries_conf_parse(const char *text, const char *name, struct registries_conf *conf,
                          struct error *err)
{
    auto_json struct json *document = NULL;
    const struct json *rules;
    int r;

    r = toml_parse(text, name, &document, err);
    if (r < 0)
        return r;
    if (json_get(document, "registries"))
        log_warn("%s: its [registries] tables are of version 1, continuing without them", name);
    rules = json_get(document, "registry");
    if (rules && !json_is_array(rules))
        return error_set(err, EINVAL, "%s: write [[registry]], not [registry]", name);
    for (size_t i = 0; i < json_count(rules); i++) {
        struct registry_rule rule = {0};

        r = read_rule(json_at(rules, i), name, &rule, err);
        if (r < 0) {
            rule_release(&rule);
            return r;
        }
        add_rule(conf, &rule);
    }
    return read_aliases(document, name, conf, err);
}

/* -ENOENT when it is not there; unreadable ones are passed over. */
static int read_file(const char *path, struct registries_conf *conf, struct error *err)
{
    auto_str struct str text = {0};
    int r;

    if (text_equal(path, "/dev/null")) /* how people say "none" */
        return 0;
    r = io_read_file(AT_FDCWD, path, CONF_SIZE_MAX, &text, err);
    if (r == -EACCES) {
        log_warn("%s, continuing without it", err->text);
        return 0;
    }
    if (r == -ENOTDIR) /* a home that is no directory, as of many system accounts */
        return -ENOENT;
    if (r < 0)
        return r;
    return registries_conf_parse(str_text(&text), path, conf, err);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_drop_ins(const char *conf_path, struct registries_conf *conf, struct error *err)
{
    auto_free char *path = str_format("%s.d", conf_path);
    auto_strv struct strv names = {0};
    DIR *dir = opendir(path);
    struct dirent *item;

    if (!dir)
        return 0;
    while ((item = readdir(dir))) {
        if (text_ends(item->d_name, ".conf"))
            strv_addf(&names, "%s/%s", path, item->d_name);
    }
    closedir(dir);
    if (names.count > 1)
        qsort(names.items, names.count, sizeof(names.items[0]), compare_names);
    for (size_t i = 0; i < names.count; i++) {
        int r = read_file(names.items[i], conf, err);

        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

static char *user_conf(void)
{
    const char *config = secure_getenv("XDG_CONFIG_HOME");
    const char *home = secure_getenv("HOME");

    if (config && config[0] == '/')
        return str_format("%s/containers/registries.conf", config);
    return home && home[0] == '/' ? str_format("%s/.config/containers/registries.conf", home)
                                  : NULL;
}

static int read_usual_places(struct registries_conf *conf, struct error *err)
{
    auto_free char *user = user_conf();
    int r = user ? read_file(user, conf, err) : -ENOENT;

    if (r == -ENOENT)
        r = read_file(SYSTEM_CONF, conf, err);
    if (r < 0 && r != -ENOENT)
        return r;
    r = read_drop_ins(SYSTEM_CONF, conf, err);
    if (r == 0 && user)
        r = read_drop_ins(user, conf, err);
    return r < 0 ? r : buildkit_conf_read(conf, err);
}

int registries_conf_read(const char *file, struct registries_conf *out, struct error *err)
{
    auto_registries_conf struct registries_conf conf = {0};
    const char *variable = secure_getenv("CONTAINERS_REGISTRIES_CONF");
    int r;

    if (!file && variable && variable[0] != '\0')
        file = variable;
    r = file ? read_file(file, &conf, err) : read_usual_places(&conf, err);
    if (r < 0)
        return r;
    *out = STEAL(&conf);
    return 0;
}

/* How much of `name` ("host/repository") the prefix covers; 0 for not at all. */
static size_t covered(const char *prefix, const char *name)
{
    size_t length = strlen(prefix);
    size_t host_length = strcspn(name, "/");

    if (text_starts(prefix, "*.")) {
        size_t rest = strcspn(prefix, "/");

        /* "*.example.com/path" is not a form the manual knows. */
        if (prefix[rest] != '\0' || host_length < length)
            return 0;
        return memcmp(name + host_length - (length - 1), prefix + 1, length - 1) == 0 ? host_length
                                                                                      : 0;
    }
    if (!text_starts(name, prefix) || (name[length] != '\0' && name[length] != '/'))
        return 0;
    return length;
}

const struct registry_rule *registries_conf_find(const struct registries_conf *conf,
                                                 const char *host, const char *repository)
{
    auto_free char *name = str_format("%s/%s", host, repository);
    const struct registry_rule *best = NULL;

    for (size_t i = 0; i < conf->rules.count; i++) {
        const struct registry_rule *rule = &conf->rules.items[i];

        if (covered(rule->prefix, name) > 0 &&
            (!best || strlen(rule->prefix) > strlen(best->prefix)))
            best = rule;
    }
    return best;
}

char *registry_rule_rewrite(const struct registry_rule *rule, const char *location,
                            const char *host, const char *repository)
{
    auto_free char *name = str_format("%s/%s", host, repository);

    return str_format("%s%s", location, name + covered(rule->prefix, name));
}

const char *registries_conf_alias(const struct registries_conf *conf, const char *name)
{
    /* The last one wins, as with rules. */
    for (size_t i = conf->alias_names.count; i > 0; i--) {
        if (text_equal(conf->alias_names.items[i - 1], name))
            return conf->alias_values.items[i - 1];
    }
    return NULL;
}

/* config.c - edits of the image configuration as a JSON document.
 *
 * The document itself is the state, so that unknown members of a base survive without being known.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "builder/image/config.h"
#include "fs/base/hash.h"
#include "fs/base/limits.h"

#include "fs/base/banned.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define NS_PER_S 1000000000ll

struct config {
    struct json *root;
    struct json *inner; /* borrowed: root["config"], always there */
    struct table env;   /* NAME -> its first position in Env, + 1; thousands of ENVs stay cheap */
};

static void index_env(struct config *c)
{
    const struct json *env = json_get_array(c->inner, "Env");

    for (size_t i = 0; i < json_count(env); i++) {
        const char *pair = json_text(json_at(env, i));
        const char *equals = pair == NULL ? NULL : strchr(pair, '=');
        auto_free char *name = equals == NULL ? NULL : mem_strndup(pair, (size_t)(equals - pair));

        if (name != NULL && !table_has(&c->env, name))
            table_put(&c->env, name, (void *)(uintptr_t)(i + 1));
    }
}

static struct config *config_from(struct json *root)
{
    struct config *c = mem_new(struct config);

    c->root = root;
    if (json_get_object(root, "config") == NULL)
        json_put(root, "config", json_new_object());
    c->inner = json_get_object(root, "config");
    index_env(c);
    return c;
}

struct config *config_new_scratch(const struct platform *platform)
{
    struct json *root = json_new_object();
    struct config *c;

    json_put_text(root, "architecture", platform->architecture);
    if (platform->variant != NULL && platform->variant[0] != '\0')
        json_put_text(root, "variant", platform->variant);
    json_put_text(root, "os", platform->os);
    c = config_from(root);
    config_env_put(c, "PATH", DEFAULT_PATH);
    config_set_text(c, "WorkingDir", "/");
    return c;
}

int config_parse(const char *bytes, size_t size, const char *what, struct config **out,
                 struct error *err)
{
    auto_json struct json *root = NULL;
    const char *os;
    int r;

    r = json_parse(bytes, size, LIMIT_CONFIG_SIZE, what, &root, err);
    if (r < 0)
        return r;
    if (!json_is_object(root))
        return error_set(err, EINVAL, "%s is not an image configuration", what);
    *out = config_from(STEAL(&root));
    os = json_get_text((*out)->root, "os");
    if ((os == NULL || strcmp(os, "linux") == 0) && config_env_get(*out, "PATH") == NULL)
        config_env_put(*out, "PATH", DEFAULT_PATH);
    return 0;
}

struct config *config_copy(const struct config *c)
{
    return config_from(json_clone(c->root));
}

void config_free(struct config *c)
{
    if (c == NULL)
        return;
    json_unref(c->root);
    table_release(&c->env);
    free(c);
}

const struct json *config_json(const struct config *c)
{
    return c->root;
}

#define CACHE_FIELD "img.cache.v1"
#define BUILDKIT_CACHE_FIELD "moby.buildkit.cache.v0"

const struct json *config_cache(const struct config *c)
{
    return json_get_object(c->root, CACHE_FIELD);
}

void config_set_cache(struct config *c, struct json *records)
{
    json_remove(c->root, CACHE_FIELD);
    json_remove(c->root, BUILDKIT_CACHE_FIELD);
    if (records != NULL)
        json_put(c->root, CACHE_FIELD, records);
}

static const char *text_or(const char *text, const char *fallback)
{
    return text != NULL && text[0] != '\0' ? text : fallback;
}

const char *config_user(const struct config *c)
{
    return text_or(json_get_text(c->inner, "User"), "");
}

const char *config_working_dir(const struct config *c)
{
    return text_or(json_get_text(c->inner, "WorkingDir"), "/");
}

static const char *config_created(const struct config *c)
{
    return text_or(json_get_text(c->root, "created"), "");
}

int64_t config_time(const struct config *c)
{
    const struct json *history = json_get_array(c->root, "history");
    int64_t time_ns;

    if (time_parse(config_created(c), &time_ns) == 0)
        return time_ns;
    for (size_t i = json_count(history); i > 0; i--) {
        const char *created = json_get_text(json_at(history, i - 1), "created");

        if (created != NULL && time_parse(created, &time_ns) == 0)
            return time_ns;
    }
    return 0;
}

void config_platform(const struct config *c, struct platform *out)
{
    *out = (struct platform){
        .os = mem_strdup(text_or(json_get_text(c->root, "os"), "linux")),
        .architecture = mem_strdup(text_or(json_get_text(c->root, "architecture"), "")),
    };
    if (json_get_text(c->root, "variant") != NULL)
        out->variant = mem_strdup(json_get_text(c->root, "variant"));
}

void config_words(const struct config *c, const char *key, struct strv *out)
{
    const struct json *words = json_get_array(c->inner, key);

    for (size_t i = 0; i < json_count(words); i++) {
        const char *word = json_text(json_at(words, i));

        if (word != NULL)
            strv_add(out, word);
    }
}

void config_env(const struct config *c, struct strv *out)
{
    config_words(c, "Env", out);
}

const char *config_env_get(const struct config *c, const char *name)
{
    size_t place = (size_t)(uintptr_t)table_get(&c->env, name);
    const char *pair;

    if (place == 0)
        return NULL;
    pair = json_text(json_at(json_get_array(c->inner, "Env"), place - 1));
    return pair + strlen(name) + 1;
}

void config_add_word(struct config *c, const char *key, const char *word)
{
    if (json_get_array(c->inner, key) == NULL)
        json_put(c->inner, key, json_new_array());
    json_push(json_get_array(c->inner, key), json_new_text(word));
}

void config_env_put(struct config *c, const char *name, const char *value)
{
    size_t place = (size_t)(uintptr_t)table_get(&c->env, name);
    auto_free char *pair = str_format("%s=%s", name, value);

    if (place > 0) {
        json_set_at(json_get_array(c->inner, "Env"), place - 1, json_new_text(pair));
        return;
    }
    config_add_word(c, "Env", pair);
    table_put(&c->env, name, (void *)(uintptr_t)json_count(json_get_array(c->inner, "Env")));
}

void config_env_remove(struct config *c, const char *name)
{
    auto_strv struct strv pairs = {0};
    auto_strv struct strv kept = {0};
    size_t size = strlen(name);

    config_env(c, &pairs);
    for (size_t i = 0; i < pairs.count; i++)
        if (strncmp(pairs.items[i], name, size) != 0 || pairs.items[i][size] != '=')
            strv_add(&kept, pairs.items[i]);
    if (kept.count == pairs.count)
        return;
    config_set_words(c, "Env", &kept);
    table_release(&c->env);
    c->env = (struct table){0};
    index_env(c);
}

void config_map_remove(struct config *c, const char *key, const char *member)
{
    if (json_get_object(c->inner, key) != NULL)
        json_remove(json_get_object(c->inner, key), member);
}

void config_shell(const struct config *c, struct strv *out)
{
    size_t before = out->count;

    config_words(c, "Shell", out);
    if (out->count == before) {
        strv_add(out, "/bin/sh");
        strv_add(out, "-c");
    }
}

static const struct json *diff_ids(const struct config *c)
{
    return json_get_array(json_get_object(c->root, "rootfs"), "diff_ids");
}

size_t config_entry_count(const struct config *c)
{
    return json_count(json_get_array(c->root, "history")) +
           json_count(json_get_array(c->inner, "Env")) +
           json_count(json_get_object(c->inner, "Labels"));
}

size_t config_layer_count(const struct config *c)
{
    return json_count(diff_ids(c));
}

int config_layer_diff_id(const struct config *c, size_t position, struct digest *out,
                         struct error *err)
{
    const char *text = json_text(json_at(diff_ids(c), position));

    if (text == NULL)
        return error_set(err, EINVAL, "the image configuration has no diff_id for layer %zu",
                         position);
    return digest_parse(text, out, err);
}

void config_set_text(struct config *c, const char *key, const char *value)
{
    json_put_text(c->inner, key, value);
}

void config_set_bool(struct config *c, const char *key, bool value)
{
    json_put_bool(c->inner, key, value);
}

void config_set_words(struct config *c, const char *key, const struct strv *value)
{
    if (value == NULL)
        json_remove(c->inner, key);
    else
        json_put(c->inner, key, json_new_strv(value));
}

void config_set_value(struct config *c, const char *key, struct json *value)
{
    json_put(c->inner, key, value);
}

void config_map_put(struct config *c, const char *key, const char *member, struct json *value)
{
    if (json_get_object(c->inner, key) == NULL)
        json_put(c->inner, key, json_new_object());
    json_put(json_get_object(c->inner, key), member, value);
}

void config_set_author(struct config *c, const char *author)
{
    json_put_text(c->root, "author", author);
}

void config_set_created(struct config *c, int64_t created_ns)
{
    auto_str struct str text = {0};

    time_format(created_ns, &text);
    json_put_text(c->root, "created", str_text(&text));
}

void config_add_history(struct config *c, const struct config_history *h)
{
    struct json *entry = json_new_object();
    auto_str struct str created = {0};

    time_format(h->created_ns, &created);
    json_put_text(entry, "created", str_text(&created));
    json_put_text(entry, "created_by", h->created_by);
    if (h->comment != NULL)
        json_put_text(entry, "comment", h->comment);
    if (h->empty_layer)
        json_put_bool(entry, "empty_layer", true);
    if (json_get_array(c->root, "history") == NULL)
        json_put(c->root, "history", json_new_array());
    json_push(json_get_array(c->root, "history"), entry);
}

void config_clear_history(struct config *c)
{
    json_remove(c->root, "history");
}

void config_empty_history(struct config *c, size_t kept)
{
    const struct json *history = json_get_array(c->root, "history");

    for (size_t i = 0; i < json_count(history); i++) {
        struct json *entry = json_at(history, i);

        if (!json_is_object(entry) || json_get_bool(entry, "empty_layer", false))
            continue;
        if (kept > 0)
            kept--;
        else
            json_put_bool(entry, "empty_layer", true);
    }
}

/* Bases made by other tools may say less than they hold, or more: then the first ones stand for
 * nothing. */
static void pad_history(struct config *c, size_t layer_count)
{
    const struct json *history = json_get_array(c->root, "history");
    struct json *padded = json_new_array();
    size_t filled = 0;

    for (size_t i = 0; i < json_count(history); i++)
        if (!json_get_bool(json_at(history, i), "empty_layer", false))
            filled++;
    for (; filled < layer_count; filled++)
        json_push(padded, json_new_object());
    for (size_t i = 0; i < json_count(history); i++) {
        struct json *entry = json_ref(json_at(history, i));

        if (filled > layer_count && json_is_object(entry) &&
            !json_get_bool(entry, "empty_layer", false)) {
            json_put_bool(entry, "empty_layer", true);
            filled--;
        }
        json_push(padded, entry);
    }
    json_put(c->root, "history", padded);
}

void config_set_layers(struct config *c, const struct digest *ids, size_t count)
{
    struct json *rootfs = json_new_object();
    struct json *list = json_new_array();

    for (size_t i = 0; i < count; i++) {
        char text[DIGEST_TEXT_SIZE];

        digest_format(&ids[i], text);
        json_push(list, json_new_text(text));
    }
    json_put_text(rootfs, "type", "layers");
    json_put(rootfs, "diff_ids", list);
    json_put(c->root, "rootfs", rootfs);
    pad_history(c, count);
}

void config_write(const struct config *c, struct str *out)
{
    json_write(c->root, out);
}

void time_format(int64_t time_ns, struct str *out)
{
    time_t seconds = (time_t)(time_ns / NS_PER_S);
    int64_t fraction = time_ns % NS_PER_S;
    char text[32];
    char digits[10];
    struct tm tm;
    size_t used = 9;

    if (fraction < 0) {
        fraction += NS_PER_S;
        seconds--;
    }
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    str_add(out, text);
    if (fraction != 0) {
        snprintf(digits, sizeof(digits), "%09lld", (long long)fraction);
        while (used > 0 && digits[used - 1] == '0')
            digits[--used] = '\0';
        str_addf(out, ".%s", digits);
    }
    str_add(out, "Z");
}

/* Reads ".123" behind a time; leaves *text behind it. */
static int64_t parse_fraction(const char **text)
{
    int64_t ns = 0;
    int64_t unit = NS_PER_S;

    if (**text != '.')
        return 0;
    for ((*text)++; **text >= '0' && **text <= '9'; (*text)++) {
        unit /= 10;
        ns += unit * (**text - '0');
    }
    return ns;
}

int time_parse(const char *text, int64_t *time_ns)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    int64_t fraction;
    int64_t zone_s = 0;

    /* Nanoseconds of 64 bits reach from 1677 to 2262; some tools write year 1 for "unknown". */
    if (rest == NULL || tm.tm_year < 1678 - 1900 || tm.tm_year > 2261 - 1900)
        return -EINVAL;
    fraction = parse_fraction(&rest);
    if (*rest == '+' || *rest == '-') {
        unsigned hours;
        unsigned minutes;
        int used = 0;

        if (sscanf(rest + 1, "%2u:%2u%n", &hours, &minutes, &used) != 2 || rest[1 + used] != '\0')
            return -EINVAL;
        zone_s = (int64_t)(hours * 3600 + minutes * 60) * (*rest == '-' ? -1 : 1);
    } else if (strcmp(rest, "Z") != 0) {
        return -EINVAL;
    }
    *time_ns = ((int64_t)timegm(&tm) - zone_s) * NS_PER_S + fraction;
    return 0;
}

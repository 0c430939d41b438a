/* registries.c - joins configuration, credentials and the HTTP client, each loaded when needed. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fs/base/log.h"
#include "registry/registries_internal.h"

#include "fs/base/banned.h"

/* The scheme a host turned out to speak. */
struct known_host {
    char *host;
    bool is_https;
    bool is_known;
    bool is_being_asked;
};

struct registries {
    struct http *http;
    struct credentials *credentials;
    struct auth *auth;
    char *config_file;
    pthread_mutex_t lock;
    pthread_cond_t asked;
    bool has_config;             /* guarded by lock, as are the rest */
    struct registries_conf conf; /* never changes once has_config */
    struct {
        struct known_host **items;
        size_t count;
        size_t capacity;
    } hosts;
};

struct registries *registries_new(const struct registries_options *options)
{
    static const struct registries_options defaults = {0};
    struct registries *all = mem_new(struct registries);
    struct credentials_options credentials = {0};

    if (!options)
        options = &defaults;
    all->http = http_new(&options->http);
    for (size_t i = 0; options->insecure && i < options->insecure->count; i++)
        http_allow_insecure(all->http, options->insecure->items[i]);
    if (options->insecure_all)
        http_allow_insecure(all->http, "*");
    credentials.authfile = options->authfile;
    credentials.cancelled = options->http.cancelled;
    all->credentials = credentials_new(&credentials);
    all->auth = auth_new(all->http, all->credentials);
    all->config_file = options->config_file ? mem_strdup(options->config_file) : NULL;
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->asked, NULL);
    return all;
}

void registries_free(struct registries *all)
{
    if (!all)
        return;
    for (size_t i = 0; i < all->hosts.count; i++) {
        free(all->hosts.items[i]->host);
        free(all->hosts.items[i]);
    }
    free(all->hosts.items);
    registries_conf_release(&all->conf);
    auth_free(all->auth);
    credentials_free(all->credentials);
    http_free(all->http);
    free(all->config_file);
    pthread_cond_destroy(&all->asked);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

struct http *registries_http(struct registries *all)
{
    return all->http;
}

void registries_set_credential(struct registries *all, const char *host, const char *user,
                               const char *secret)
{
    credentials_override(all->credentials, host, user, secret);
}

struct auth *registries_auth(struct registries *all)
{
    return all->auth;
}

struct credentials *registries_credentials(struct registries *all)
{
    return all->credentials;
}

/* The host of "host/path". */
static void allow_location(struct registries *all, const char *location)
{
    auto_free char *host = mem_strndup(location, strcspn(location, "/"));

    http_allow_insecure(all->http, host);
}

static void allow_insecure_rules(struct registries *all)
{
    for (size_t i = 0; i < all->conf.rules.count; i++) {
        const struct registry_rule *rule = &all->conf.rules.items[i];

        if (rule->is_insecure)
            allow_location(all, rule->location ? rule->location : rule->prefix);
        for (size_t j = 0; j < rule->mirrors.count; j++) {
            if (rule->mirrors.items[j].is_insecure)
                allow_location(all, rule->mirrors.items[j].location);
        }
    }
}

static void add_trusts(struct registries *all)
{
    for (size_t i = 0; i < all->conf.trusts.count; i++) {
        const struct host_trust *trust = &all->conf.trusts.items[i];

        http_trust(all->http, trust->host, &trust->authorities, trust->certificate, trust->key);
    }
}

int registries_config(struct registries *all, const struct registries_conf **out, struct error *err)
{
    int r = 0;

    pthread_mutex_lock(&all->lock);
    if (!all->has_config) {
        r = registries_conf_read(all->config_file, &all->conf, err);
        all->has_config = r == 0;
        if (r == 0) {
            allow_insecure_rules(all);
            add_trusts(all);
        }
    }
    pthread_mutex_unlock(&all->lock);
    *out = &all->conf;
    return r;
}

/* A short name is one that names no host, not even the Hub's. */
static bool is_short_name(const char *text, const struct reference *ref)
{
    return text_equal(ref->host, "docker.io") && strncasecmp(text, "docker.io/", 10) != 0 &&
           strncasecmp(text, "index.docker.io/", 16) != 0;
}

static int apply_alias(const char *alias, struct reference *ref, struct error *err)
{
    auto_reference struct reference target = {0};
    int r = reference_parse_name(alias, &target, err);

    if (r < 0)
        return error_wrap(err, "[aliases] of registries.conf");
    free(ref->host);
    free(ref->repository);
    ref->host = STEAL(&target.host);
    ref->repository = STEAL(&target.repository);
    return 0;
}

int registries_resolve(struct registries *all, const char *text, struct reference *out,
                       struct error *err)
{
    auto_reference struct reference ref = {0};
    const struct registries_conf *conf;
    auto_str struct str name = {0};
    const char *alias = NULL;
    int r;

    r = reference_parse(text, &ref, err);
    if (r < 0)
        return r;
    if (is_short_name(text, &ref)) {
        r = registries_config(all, &conf, err);
        if (r < 0)
            return r;
        reference_familiar_name(&ref, &name);
        alias = registries_conf_alias(conf, str_text(&name));
    }
    if (alias)
        r = apply_alias(alias, &ref, err);
    if (r < 0)
        return r;
    *out = STEAL(&ref);
    return 0;
}

/* With the lock held. */
static struct known_host *find_host(struct registries *all, const char *host)
{
    struct known_host *known;

    for (size_t i = 0; i < all->hosts.count; i++) {
        if (text_equal(all->hosts.items[i]->host, host))
            return all->hosts.items[i];
    }
    known = mem_new(struct known_host);
    known->host = mem_strdup(host);
    *array_add(&all->hosts) = known;
    return known;
}

static int make_url(const char *host, bool is_https, struct url *out, struct error *err)
{
    auto_free char *text = str_format("%s://%s/", is_https ? "https" : "http", host);

    return url_parse(text, out, err);
}

/* Servers of TLS answer a request in clear text with 400 and a hint, or hang up. A certificate that
 * does not hold is never a reason to go on in clear text. */
static bool speaks_the_other(int result, const struct http_response *answer)
{
    if (result == 0)
        return answer->status == 400;
    return result == -EPROTO || result == -ECONNRESET || result == -EIO || result == -ETIMEDOUT;
}

/* GET /v2/ as nobody (distribution-spec, "Determining Support"). */
static int ping(struct registries *all, const char *host, const char *repository, bool is_https,
                struct http_response *answer, struct error *err)
{
    struct http_request request = {.method = "GET", .no_redirects = true, .no_retries = true};
    auto_free char *text = str_format("%s://%s/v2/", is_https ? "https" : "http", host);
    auto_url struct url origin = {0};
    struct auth_target target = {.origin = &origin, .host = host, .repository = repository};
    struct error ignored;
    int r;

    request.url = text;
    r = http_request(all->http, &request, answer, err);
    if (r < 0 || answer->status != 401)
        return r;
    /* Saves the first real request from being refused; if it cannot be read now, it is read then.
     */
    if (make_url(host, is_https, &origin, &ignored) == 0)
        (void)auth_learn(all->auth, &target, answer, "", &ignored);
    return 0;
}

/* Asks in both schemes, the likelier first; *is_https is the one that was understood. */
static int ask_scheme(struct registries *all, const char *host, const char *repository,
                      bool https_first, bool *is_https, struct error *err)
{
    auto_http_response struct http_response first = {0};
    auto_http_response struct http_response second = {0};
    struct error other_err = {0};
    int r = ping(all, host, repository, https_first, &first, err);

    *is_https = https_first;
    if (!speaks_the_other(r, &first))
        return r;
    if (ping(all, host, repository, !https_first, &second, &other_err) == 0) {
        *is_https = !https_first;
        return 0;
    }
    /* That there is TLS with a bad certificate, or that ours cannot be read, explains everything; and who answers
     * in clear text that it wants HTTPS is not to be spoken to in clear text. */
    if (r == 0 && strstr(str_text(&first.body), "HTTPS")) {
        *err = other_err;
        return -err->code;
    }
    if (other_err.code != 0 && !speaks_the_other(-other_err.code, &second)) {
        *err = other_err;
        return -err->code;
    }
    return r;
}

/* Once per host, however many threads want to know. */
static int find_scheme(struct registries *all, const char *host, const char *repository,
                       bool https_first, bool *is_https, struct error *err)
{
    struct known_host *known;
    int r = 0;

    pthread_mutex_lock(&all->lock);
    known = find_host(all, host);
    while (known->is_being_asked)
        pthread_cond_wait(&all->asked, &all->lock);
    if (!known->is_known) {
        known->is_being_asked = true;
        pthread_mutex_unlock(&all->lock);
        r = ask_scheme(all, host, repository, https_first, is_https, err);
        pthread_mutex_lock(&all->lock);
        known->is_being_asked = false;
        known->is_known = r == 0;
        known->is_https = *is_https;
        pthread_cond_broadcast(&all->asked);
    }
    *is_https = known->is_https;
    pthread_mutex_unlock(&all->lock);
    return r;
}

int registries_origin(struct registries *all, const char *host, const char *repository,
                      struct url *out, struct error *err)
{
    const char *api_host = reference_api_host(host);
    bool is_insecure = http_is_insecure(all->http, api_host);
    uint16_t port;
    auto_free char *name = host_split(api_host, &port);
    bool is_local = host_is_loopback(name);
    bool is_https = true;
    int r;

    if ((is_local || is_insecure) && !text_equal(host, "docker.io")) {
        bool https_first = !is_local || port == 443;

        r = find_scheme(all, host, repository, https_first, &is_https, err);
        if (r < 0)
            return r;
    }
    return make_url(api_host, is_https, out, err);
}

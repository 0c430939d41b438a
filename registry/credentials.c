/* credentials.c - which file or helper answers for a host. One file: auth_file.c; helpers:
 * helper.c. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/log.h"
#include "registry/auth_file.h"
#include "registry/credentials.h"
#include "registry/helper.h"
#include "registry/secret.h"

#include "fs/base/banned.h"

#define HELPER_TIMEOUT_MS 30000u /* somebody may have to type a passphrase */

/* One place to look, in the order of credentials.h. */
struct source {
    char *path; /* NULL: the text of DOCKER_AUTH_CONFIG */
    enum auth_file_kind kind;
    struct json *document; /* NULL until read, or when there is none */
};

/* What a helper said about a host, so that it is started once. */
struct helped {
    char *helper;
    char *host;
    struct credential credential;
};

struct credentials {
    char *authfile;               /* or NULL */
    unsigned helper_timeout_ms;   /* never changes, as the next */
    const atomic_bool *cancelled; /* or NULL */
    pthread_mutex_t lock;
    char *given_host;        /* guarded by lock: NULL, or the host that `given` is for */
    struct credential given; /* guarded by lock */
    bool is_loaded;          /* guarded by lock, as are the rest */
    struct {
        struct source *items;
        size_t count;
        size_t capacity;
    } sources;
    struct {
        struct helped *items;
        size_t count;
        size_t capacity;
    } helped;
};

bool credential_is_empty(const struct credential *c)
{
    return !c->user && !c->identity_token && !c->registry_token;
}

static char *dup_or_null(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

void credential_copy(struct credential *to, const struct credential *from)
{
    to->user = dup_or_null(from->user);
    to->secret = dup_or_null(from->secret);
    to->identity_token = dup_or_null(from->identity_token);
    to->registry_token = dup_or_null(from->registry_token);
}

void credential_release(struct credential *c)
{
    free(c->user);
    secret_free(c->secret);
    secret_free(c->identity_token);
    secret_free(c->registry_token);
    *c = (struct credential){0};
}

struct credentials *credentials_new(const struct credentials_options *options)
{
    struct credentials *c = mem_new(struct credentials);

    c->authfile = dup_or_null(options->authfile);
    c->helper_timeout_ms =
        options->helper_timeout_ms ? options->helper_timeout_ms : HELPER_TIMEOUT_MS;
    c->cancelled = options->cancelled;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void forget(struct credentials *c)
{
    for (size_t i = 0; i < c->sources.count; i++) {
        free(c->sources.items[i].path);
        json_unref(c->sources.items[i].document);
    }
    for (size_t i = 0; i < c->helped.count; i++) {
        free(c->helped.items[i].helper);
        free(c->helped.items[i].host);
        credential_release(&c->helped.items[i].credential);
    }
    c->sources.count = 0;
    c->helped.count = 0;
    c->is_loaded = false;
}

void credentials_free(struct credentials *c)
{
    if (!c)
        return;
    forget(c);
    free(c->sources.items);
    free(c->helped.items);
    free(c->authfile);
    free(c->given_host);
    credential_release(&c->given);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void credentials_override(struct credentials *c, const char *host, const char *user,
                          const char *secret)
{
    pthread_mutex_lock(&c->lock);
    free(c->given_host);
    credential_release(&c->given);
    c->given_host = mem_strdup(host);
    c->given.user = mem_strdup(user);
    c->given.secret = mem_strdup(secret);
    pthread_mutex_unlock(&c->lock);
}

static const char *variable(const char *name)
{
    const char *value = secure_getenv(name);

    return value && value[0] != '\0' ? value : NULL;
}

static struct source *add_source(struct credentials *c, char *path, enum auth_file_kind kind)
{
    struct source *source = array_add(&c->sources);

    source->path = path;
    source->kind = kind;
    return source;
}

static const char *explicit_file(const struct credentials *c)
{
    return c->authfile ? c->authfile : variable("REGISTRY_AUTH_FILE");
}

static void list_sources(struct credentials *c)
{
    const char *runtime = variable("XDG_RUNTIME_DIR");
    const char *config = variable("XDG_CONFIG_HOME");
    const char *home = variable("HOME");
    char *docker;

    if (explicit_file(c)) {
        add_source(c, mem_strdup(explicit_file(c)), AUTH_FILE_CONFIG);
        return;
    }
    if (variable("DOCKER_AUTH_CONFIG"))
        add_source(c, NULL, AUTH_FILE_CONFIG);
    add_source(c,
               runtime ? str_format("%s/containers/auth.json", runtime)
                       : str_format("/run/containers/%u/auth.json", geteuid()),
               AUTH_FILE_CONFIG);
    if (config)
        add_source(c, str_format("%s/containers/auth.json", config), AUTH_FILE_CONFIG);
    else if (home)
        add_source(c, str_format("%s/.config/containers/auth.json", home), AUTH_FILE_CONFIG);
    docker = auth_file_docker_path();
    if (docker)
        add_source(c, docker, AUTH_FILE_CONFIG);
    if (home)
        add_source(c, str_format("%s/.dockercfg", home), AUTH_FILE_LEGACY);
}

/* With the lock held: files are small and local. */
static int load(struct credentials *c, struct error *err)
{
    if (c->is_loaded)
        return 0;
    list_sources(c);
    for (size_t i = 0; i < c->sources.count; i++) {
        struct source *source = &c->sources.items[i];
        int r;

        if (source->path)
            r = auth_file_read(source->path, source->kind, &source->document, err);
        else
            r = auth_file_parse(variable("DOCKER_AUTH_CONFIG"), "DOCKER_AUTH_CONFIG",
                                &source->document, err);
        if (r < 0) {
            forget(c);
            return r;
        }
    }
    c->is_loaded = true;
    return 0;
}

static struct helper helper_named(const struct credentials *c, const char *name)
{
    return (struct helper){
        .name = name, .timeout_ms = c->helper_timeout_ms, .cancelled = c->cancelled};
}

static const struct credential *recall(const struct credentials *c, const char *helper,
                                       const char *host)
{
    for (size_t i = 0; i < c->helped.count; i++) {
        if (text_equal(c->helped.items[i].helper, helper) &&
            text_equal(c->helped.items[i].host, host))
            return &c->helped.items[i].credential;
    }
    return NULL;
}

/* A broken helper is no reason to fail the pull of a public image: go on as nobody. The lock is
 * held while the helper runs, so that it runs once however many threads ask. */
static int ask_helper(struct credentials *c, const char *name, const char *host,
                      struct credential *out, struct error *err)
{
    const struct credential *known = recall(c, name, host);
    struct helper helper = helper_named(c, name);
    auto_credential struct credential answer = {0};
    struct helped *added;
    int r;

    if (!known) {
        r = helper_get(&helper, auth_file_key(host), &answer, err);
        if (r == -ECANCELED)
            return r;
        if (r < 0)
            log_warn("%s, continuing without its credentials", err->text);
        error_clear(err);
        added = array_add(&c->helped);
        added->helper = mem_strdup(name);
        added->host = mem_strdup(host);
        added->credential = STEAL(&answer);
        known = &added->credential;
    }
    credential_copy(out, known);
    return credential_is_empty(out) ? 0 : 1;
}

static int find_in(struct credentials *c, const struct source *source, const char *host,
                   const char *repository, struct credential *out, struct error *err)
{
    const char *helper;
    int r;

    if (!source->document)
        return 0;
    helper = auth_file_helper(source->document, host);
    r = helper ? ask_helper(c, helper, host, out, err) : 0;
    if (r != 0)
        return r;
    if (auth_file_find(source->document, host, repository, out, err) < 0)
        return error_wrap(err, "%s", source->path ? source->path : "DOCKER_AUTH_CONFIG");
    return credential_is_empty(out) ? 0 : 1;
}

int credentials_find(struct credentials *c, const char *host, const char *repository,
                     struct credential *out, struct error *err)
{
    int r;

    *out = (struct credential){0};
    pthread_mutex_lock(&c->lock);
    if (c->given_host && text_equal(c->given_host, host)) {
        credential_copy(out, &c->given);
        pthread_mutex_unlock(&c->lock);
        return 0;
    }
    r = load(c, err);
    for (size_t i = 0; r == 0 && i < c->sources.count; i++)
        r = find_in(c, &c->sources.items[i], host, repository, out, err);
    pthread_mutex_unlock(&c->lock);
    return r < 0 ? r : 0;
}

/* The source a login goes to: the first that knows the host already, else docker's. */
static struct source *target_of(struct credentials *c, const char *host)
{
    auto_free char *docker = auth_file_docker_path();
    struct source *fallback = NULL;

    for (size_t i = 0; i < c->sources.count; i++) {
        struct source *source = &c->sources.items[i];
        struct credential known = {0};
        struct error err;
        int r = source->path ? find_in(c, source, host, NULL, &known, &err) : 0;

        credential_release(&known);
        if (r > 0)
            return source;
        if (source->path && (text_equal(source->path, docker) || c->sources.count == 1))
            fallback = source;
    }
    return fallback;
}

/* 1: readable in a file, 0: a helper has it. */
static int store_at(const struct credentials *c, const struct source *target, const char *host,
                    const struct credential *credential, char **where, struct error *err)
{
    const char *name = target->document ? auth_file_helper(target->document, host) : NULL;
    struct helper helper = helper_named(c, name);
    int r;

    if (name)
        r = helper_store(&helper, auth_file_key(host), credential, err);
    else
        r = auth_file_update(target->path, target->kind, host, credential, err);
    if (r < 0)
        return r;
    *where = name ? str_format("credential helper '%s'", name) : mem_strdup(target->path);
    return name == NULL;
}

int credentials_store(struct credentials *c, const char *host, const struct credential *credential,
                      char **where, bool *is_plain_text, struct error *err)
{
    struct source *target;
    int r;

    pthread_mutex_lock(&c->lock);
    r = load(c, err);
    if (r == 0) {
        target = target_of(c, host);
        if (target)
            r = store_at(c, target, host, credential, where, err);
        else
            r = error_set(err, ENOENT,
                          "no file for credentials: neither HOME nor DOCKER_CONFIG is set");
        forget(c);
    }
    pthread_mutex_unlock(&c->lock);
    *is_plain_text = r > 0;
    return r < 0 ? r : 0;
}

/* How many entries there were in this source. */
static int erase_at(const struct credentials *c, const struct source *source, const char *host,
                    char **where, struct error *err)
{
    const char *name = source->document ? auth_file_helper(source->document, host) : NULL;
    struct helper helper = helper_named(c, name);
    int in_helper = name ? helper_erase(&helper, auth_file_key(host), err) : 0;
    int in_file;

    if (in_helper < 0)
        return in_helper;
    if (in_helper > 0 && !*where)
        *where = str_format("credential helper '%s'", name);
    if (!source->document || !source->path)
        return in_helper;
    in_file = auth_file_update(source->path, source->kind, host, NULL, err);
    if (in_file > 0 && !*where)
        *where = mem_strdup(source->path);
    return in_file < 0 ? in_file : in_file + in_helper;
}

int credentials_hosts(struct credentials *c, struct strv *out, struct error *err)
{
    int r;

    pthread_mutex_lock(&c->lock);
    r = load(c, err);
    for (size_t i = 0; r >= 0 && i < c->sources.count; i++)
        if (c->sources.items[i].document && c->sources.items[i].path)
            auth_file_hosts(c->sources.items[i].document, c->sources.items[i].kind, out);
    pthread_mutex_unlock(&c->lock);
    return r < 0 ? r : 0;
}

int credentials_erase(struct credentials *c, const char *host, char **where, struct error *err)
{
    int total = 0;
    int r;

    *where = NULL;
    pthread_mutex_lock(&c->lock);
    r = load(c, err);
    for (size_t i = 0; r >= 0 && i < c->sources.count; i++) {
        r = erase_at(c, &c->sources.items[i], host, where, err);
        total += r > 0 ? r : 0;
    }
    forget(c);
    pthread_mutex_unlock(&c->lock);
    return r < 0 ? r : total;
}

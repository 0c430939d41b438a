/* auth.c - what each origin wants, and the tokens got so far. The talk with services: token.c. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/io.h"
#include "registry/auth.h"
#include "registry/base64.h"
#include "registry/challenge.h"
#include "registry/secret.h"
#include "registry/token.h"

#include "fs/base/banned.h"

/* A token for one set of scopes. */
struct held_token {
    char *key;  /* credentials' host and repository, and the scopes */
    char *text; /* NULL while the first one is fetched, or after a failure */
    char *refresh_token;
    uint64_t stale_at_ns;
    bool is_being_fetched;
};

/* What is known of one origin. */
struct origin {
    char *name; /* "https://h.io:5000" */
    enum challenge_kind kind;
    char *realm;
    char *service;
    struct {
        struct held_token **items;
        size_t count;
        size_t capacity;
    } tokens;
};

struct auth {
    struct http *http;
    struct credentials *credentials;
    pthread_mutex_t lock;
    pthread_cond_t fetched;
    struct {
        struct origin **items;
        size_t count;
        size_t capacity;
    } origins; /* guarded by lock, with all they hold */
};

struct auth *auth_new(struct http *http, struct credentials *credentials)
{
    struct auth *a = mem_new(struct auth);

    a->http = http;
    a->credentials = credentials;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->fetched, NULL);
    return a;
}

static void origin_free(struct origin *origin)
{
    for (size_t i = 0; i < origin->tokens.count; i++) {
        free(origin->tokens.items[i]->key);
        secret_free(origin->tokens.items[i]->text);
        secret_free(origin->tokens.items[i]->refresh_token);
        free(origin->tokens.items[i]);
    }
    free(origin->tokens.items);
    free(origin->name);
    free(origin->realm);
    free(origin->service);
    free(origin);
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->origins.count; i++)
        origin_free(a->origins.items[i]);
    free(a->origins.items);
    pthread_cond_destroy(&a->fetched);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* With the lock held. */
static struct origin *find_origin(struct auth *a, const struct url *url)
{
    auto_free char *name =
        str_format("%s://%s:%u", url->is_https ? "https" : "http", url->host, url->port);
    struct origin *origin;

    for (size_t i = 0; i < a->origins.count; i++) {
        if (text_equal(a->origins.items[i]->name, name))
            return a->origins.items[i];
    }
    origin = mem_new(struct origin);
    origin->name = STEAL(&name);
    *array_add(&a->origins) = origin;
    return origin;
}

/* With the lock held. */
static struct held_token *find_token(struct origin *origin, const char *key)
{
    struct held_token *token;

    for (size_t i = 0; i < origin->tokens.count; i++) {
        if (text_equal(origin->tokens.items[i]->key, key))
            return origin->tokens.items[i];
    }
    token = mem_new(struct held_token);
    token->key = mem_strdup(key);
    *array_add(&origin->tokens) = token;
    return token;
}

static char *token_key(const struct auth_target *target)
{
    struct str key = {0};

    str_addf(&key, "%s/%s", target->host, target->repository ? target->repository : "");
    for (size_t i = 0; target->scopes && i < target->scopes->count; i++)
        str_addf(&key, " %s", target->scopes->items[i]);
    return str_take(&key);
}

static int find_credential(struct auth *a, const struct auth_target *target, struct credential *out,
                           struct error *err)
{
    *out = (struct credential){0};
    if (!target->credential)
        return credentials_find(a->credentials, target->host, target->repository, out, err);
    credential_copy(out, target->credential);
    return 0;
}

bool auth_has_credentials(struct auth *a, const struct auth_target *target)
{
    auto_credential struct credential who = {0};
    struct error ignored;

    return find_credential(a, target, &who, &ignored) == 0 && !credential_is_empty(&who);
}

/* Another owner's token service gets only what is stored under its own name (R43). */
static int credential_for_realm(struct auth *a, const struct auth_target *target,
                                const struct url *realm, bool may_know_us, struct credential *out,
                                struct error *err)
{
    auto_str struct str host = {0};

    if (may_know_us)
        return find_credential(a, target, out, err);
    url_format_host(realm, &host);
    return credentials_find(a->credentials, str_text(&host), NULL, out, err);
}

static int fetch(struct auth *a, const struct auth_target *target, const char *realm,
                 const char *service, struct token *out, struct error *err)
{
    auto_credential struct credential who = {0};
    auto_url struct url url = {0};
    struct token_request request = {
        .host = target->host,
        .realm = &url,
        .service = service,
        .scopes = target->scopes,
        .credential = &who,
        .wants_refresh_token = target->credential != NULL,
    };
    bool may_know_us;
    int r;

    r = token_check_realm(target->origin, realm, &url, &may_know_us, err);
    if (r == 0)
        r = credential_for_realm(a, target, &url, may_know_us, &who, err);
    return r < 0 ? r : token_fetch(a->http, &request, out, err);
}

/* Called and returns with the lock held; lets go of it for the network. */
static int refresh(struct auth *a, const struct auth_target *target, struct origin *origin,
                   struct held_token *held, struct error *err)
{
    auto_free char *realm = mem_strdup(origin->realm);
    auto_free char *service = origin->service ? mem_strdup(origin->service) : NULL;
    uint64_t start_ns = io_ticks_ns();
    auto_token struct token token = {0};
    int r;

    held->is_being_fetched = true;
    pthread_mutex_unlock(&a->lock);
    r = fetch(a, target, realm, service, &token, err);
    pthread_mutex_lock(&a->lock);
    held->is_being_fetched = false;
    pthread_cond_broadcast(&a->fetched);
    if (r < 0)
        return r;
    secret_free(held->text);
    secret_free(held->refresh_token);
    held->text = STEAL(&token.text);
    held->refresh_token = STEAL(&token.refresh_token);
    held->stale_at_ns = start_ns + token.life_ms * 900000; /* 90 % */
    return 0;
}

static int bearer_header(struct auth *a, const struct auth_target *target, struct origin *origin,
                         struct str *out, struct error *err)
{
    auto_free char *key = token_key(target);
    struct held_token *held = find_token(origin, key);

    while (held->is_being_fetched)
        pthread_cond_wait(&a->fetched, &a->lock);
    if (!held->text || io_ticks_ns() >= held->stale_at_ns) {
        int r = refresh(a, target, origin, held, err);

        if (r < 0)
            return r;
    }
    str_addf(out, "Bearer %s", held->text);
    return 0;
}

static int basic_header(struct auth *a, const struct auth_target *target, struct str *out,
                        struct error *err)
{
    auto_credential struct credential who = {0};
    auto_secret_str struct str pair = {0};
    int r = find_credential(a, target, &who, err);

    if (r < 0 || !who.user)
        return r;
    str_addf(&pair, "%s:%s", who.user, who.secret ? who.secret : "");
    str_add(out, "Basic ");
    base64_encode(pair.data, pair.size, out);
    return 0;
}

/* A token for the registry itself, put into the file by some other program. */
static int verbatim_header(struct auth *a, const struct auth_target *target, struct str *out,
                           struct error *err)
{
    auto_credential struct credential who = {0};
    int r = find_credential(a, target, &who, err);

    if (r == 0 && who.registry_token)
        str_addf(out, "Bearer %s", who.registry_token);
    return r;
}

int auth_header(struct auth *a, const struct auth_target *target, struct str *out,
                struct error *err)
{
    enum challenge_kind kind;
    struct origin *origin;
    int r = 0;

    pthread_mutex_lock(&a->lock);
    origin = find_origin(a, target->origin);
    kind = origin->kind;
    pthread_mutex_unlock(&a->lock);
    /* Nobody has asked us who we are yet, so nobody is told. */
    if (kind == CHALLENGE_NONE)
        return 0;
    r = verbatim_header(a, target, out, err);
    if (r < 0 || out->size > 0)
        return r;
    if (kind == CHALLENGE_BASIC)
        return basic_header(a, target, out, err);
    pthread_mutex_lock(&a->lock);
    r = bearer_header(a, target, origin, out, err);
    pthread_mutex_unlock(&a->lock);
    return r;
}

static void set_text(char **to, const char *text)
{
    free(*to);
    *to = text ? mem_strdup(text) : NULL;
}

/* With the lock held: drops the token that was refused, unless another thread has a newer one. */
static void drop_token(struct origin *origin, const char *header)
{
    for (size_t i = 0; i < origin->tokens.count; i++) {
        struct held_token *held = origin->tokens.items[i];

        if (!held->text || !text_starts(header, "Bearer ") ||
            !text_equal(header + strlen("Bearer "), held->text))
            continue;
        secret_free(held->text);
        held->text = NULL;
    }
}

int auth_learn(struct auth *a, const struct auth_target *target, const struct http_response *answer,
               const char *used, struct error *err)
{
    auto_challenge struct challenge best = {0};
    auto_url struct url realm = {0};
    struct origin *origin;
    bool may_know_us;
    int r;

    for (size_t i = 0; i < answer->headers.count; i++) {
        if (text_equal(answer->headers.items[i].name, "www-authenticate"))
            challenge_read(answer->headers.items[i].value, &best);
    }
    if (best.kind == CHALLENGE_NONE)
        return error_set(err, EPROTO, "'%s' wants a login of a kind we do not know", target->host);
    if (best.kind == CHALLENGE_BEARER) {
        r = token_check_realm(target->origin, best.realm, &realm, &may_know_us, err);
        if (r < 0)
            return r;
    }
    pthread_mutex_lock(&a->lock);
    origin = find_origin(a, target->origin);
    origin->kind = best.kind;
    set_text(&origin->realm, best.realm);
    set_text(&origin->service, best.service);
    drop_token(origin, used);
    pthread_mutex_unlock(&a->lock);
    if (used[0] == '\0')
        return best.kind == CHALLENGE_BEARER || auth_has_credentials(a, target) ? 1 : 0;
    return best.kind == CHALLENGE_BEARER ? 1 : 0;
}

char *auth_take_refresh_token(struct auth *a, const struct auth_target *target)
{
    auto_free char *key = token_key(target);
    char *token;

    pthread_mutex_lock(&a->lock);
    token = STEAL(&find_token(find_origin(a, target->origin), key)->refresh_token);
    pthread_mutex_unlock(&a->lock);
    return token;
}

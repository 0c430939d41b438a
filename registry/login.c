/* login.c - proves credentials to a registry before they are kept, and forgets them again. */
#include <errno.h>
#include <string.h>

#include "fs/base/log.h"
#include "registry/registries_internal.h"
#include "registry/secret.h"

#include "fs/base/banned.h"

void login_result_release(struct login_result *r)
{
    free(r->where);
    *r = (struct login_result){0};
}

/* One GET /v2/ with what the registry is known to want. 1: it wants to see (other) credentials. */
static int knock(struct registries *all, const struct auth_target *target,
                 struct http_response *out, struct error *err)
{
    auto_secret_str struct str header = {0};
    auto_str struct str url = {0};
    struct http_request request = {.method = "GET", .no_redirects = true};
    int r;

    r = auth_header(registries_auth(all), target, &header, err);
    if (r < 0)
        return r;
    url_format(target->origin, &url);
    str_add(&url, "v2/");
    request.url = str_text(&url);
    request.authorization = header.size > 0 ? str_text(&header) : NULL;
    r = http_request(registries_http(all), &request, out, err);
    if (r == 0 && out->status == 401)
        r = auth_learn(registries_auth(all), target, out, str_text(&header), err);
    if (r == 0 && out->status == 200 && header.size == 0)
        log_warn("'%s' asks nobody for a login, the password was not checked", target->host);
    return r;
}

static int refused(const struct auth_target *target, const struct http_response *answer,
                   struct error *err)
{
    if (answer->status == 401 || answer->status == 403)
        return error_set(err, EACCES, "'%s' refuses user and password", target->host);
    return error_set(err, EREMOTEIO, "'%s' answers a login with status %u: is it a registry?",
                     target->host, answer->status);
}

static int prove(struct registries *all, const struct auth_target *target, struct error *err)
{
    int r = 1;

    for (unsigned tries = 0; tries < 2 && r == 1; tries++) {
        auto_http_response struct http_response answer = {0};

        r = knock(all, target, &answer, err);
        if (r < 0 || answer.status == 200)
            return r < 0 ? r : 0;
        if (r == 0 || tries == 1)
            return refused(target, &answer, err);
    }
    return 0;
}

static void fill_credential(const char *user, const char *password, struct credential *out)
{
    if (text_equal(user, "<token>")) {
        out->identity_token = mem_strdup(password);
        return;
    }
    out->user = mem_strdup(user);
    out->secret = mem_strdup(password);
}

/* A token service may give a refresh token, which is kept in place of the password. */
static void trade_password(struct registries *all, const struct auth_target *target,
                           struct credential *credential)
{
    char *token = auth_take_refresh_token(registries_auth(all), target);

    if (!token || credential->identity_token) {
        secret_free(token);
        return;
    }
    secret_free(STEAL(&credential->secret));
    credential->identity_token = token;
}

int registries_login(struct registries *all, const char *host, const char *user,
                     const char *password, struct login_result *out, struct error *err)
{
    const struct registries_conf *conf;
    auto_credential struct credential credential = {0};
    auto_login_result struct login_result result = {0};
    auto_free char *name = NULL;
    auto_url struct url origin = {0};
    struct auth_target target = {.origin = &origin, .credential = &credential};
    int r;

    r = reference_parse_host(host, &name, err);
    if (r == 0)
        r = registries_config(all, &conf, err);
    if (r == 0)
        r = registries_origin(all, name, NULL, &origin, err);
    if (r < 0)
        return r;
    target.host = name;
    fill_credential(user, password, &credential);
    r = prove(all, &target, err);
    if (r < 0)
        return r;
    trade_password(all, &target, &credential);
    r = credentials_store(registries_credentials(all), name, &credential, &result.where,
                          &result.is_plain_text, err);
    if (r < 0)
        return r;
    result.had_credentials = true;
    *out = STEAL(&result);
    return 0;
}

int registries_logins(struct registries *all, struct strv *out, struct error *err)
{
    return credentials_hosts(registries_credentials(all), out, err);
}

int registries_logout(struct registries *all, const char *host, struct login_result *out,
                      struct error *err)
{
    auto_free char *name = NULL;
    auto_free char *where = NULL;
    int r = reference_parse_host(host, &name, err);

    if (r == 0)
        r = credentials_erase(registries_credentials(all), name, &where, err);
    if (r < 0)
        return r;
    *out = (struct login_result){.where = STEAL(&where), .had_credentials = r > 0};
    return 0;
}

int registries_user(struct registries *all, const char *host, char **out, struct error *err)
{
    auto_credential struct credential who = {0};
    auto_free char *name = NULL;
    int r = reference_parse_host(host, &name, err);

    if (r == 0)
        r = credentials_find(registries_credentials(all), name, NULL, &who, err);
    if (r < 0)
        return r;
    if (!who.user && !who.identity_token)
        return error_set(err, ENOENT, "nobody is logged in to '%s'", name);
    *out = who.user ? STEAL(&who.user) : mem_strdup("<token>");
    return 0;
}

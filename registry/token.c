/* token.c - the GET and POST flows of token services. */
#include <errno.h>
#include <string.h>

#include "fs/base/json.h"
#include "registry/base64.h"
#include "registry/secret.h"
#include "registry/token.h"

#include "fs/base/banned.h"

#define CLIENT_ID "img"
#define TOKEN_ANSWER_MAX (1u << 20)
#define TOKEN_SIZE_MAX (64u << 10)
#define TOKEN_LIFE_DEFAULT 60 /* seconds, by the specification */
#define TOKEN_LIFE_MAX (24 * 3600)

void token_release(struct token *t)
{
    secret_free(t->text);
    secret_free(t->refresh_token);
    *t = (struct token){0};
}

int token_check_realm(const struct url *origin, const char *realm, struct url *out,
                      bool *may_know_us, struct error *err)
{
    auto_url struct url url = {0};
    auto_str struct str shown = {0};
    bool same_host;
    int r;

    r = url_parse(realm, &url, err);
    if (r < 0)
        return error_wrap(err, "the token service of '%s'", origin->host);
    same_host = text_equal(url.host, origin->host);
    url_format_safe(&url, &shown);
    if (!url.is_https && (origin->is_https || !same_host))
        return error_set(err, EACCES, "'%s' sends us to a token service in clear text, '%s'",
                         origin->host, str_text(&shown));
    if (!same_host && (host_is_local_literal(url.host) || host_is_loopback(url.host)) &&
        !host_is_local_literal(origin->host) && !host_is_loopback(origin->host))
        return error_set(err, EACCES, "'%s' sends us to a token service inside this machine, '%s'",
                         origin->host, str_text(&shown));
    *may_know_us = host_same_site(origin->host, url.host);
    *out = STEAL(&url);
    return 0;
}

static void add_form(struct str *form, const char *name, const char *value)
{
    if (!value)
        return;
    if (form->size > 0)
        str_add_char(form, '&');
    url_add_encoded(form, name);
    str_add_char(form, '=');
    url_add_encoded(form, value);
}

static char *basic_header(const char *user, const char *secret)
{
    auto_secret_str struct str pair = {0};
    struct str header = {0};

    str_addf(&pair, "%s:%s", user ? user : "", secret ? secret : "");
    str_add(&header, "Basic ");
    base64_encode(pair.data, pair.size, &header);
    return str_take(&header);
}

/* GET realm?service=..&scope=..&account=.. with Basic. */
static int fetch_by_get(struct http *http, const struct token_request *request, const char *user,
                        const char *secret, struct http_response *out, struct error *err)
{
    auto_str struct str url = {0};
    auto_secret char *authorization = secret ? basic_header(user, secret) : NULL;
    struct http_request get = {
        .method = "GET",
        .authorization = authorization,
        .response_size_max = TOKEN_ANSWER_MAX,
        .no_redirects = true,
    };

    url_format(request->realm, &url);
    if (request->service)
        url_add_query(&url, "service", request->service);
    for (size_t i = 0; request->scopes && i < request->scopes->count; i++)
        url_add_query(&url, "scope", request->scopes->items[i]);
    if (user && user[0] != '\0')
        url_add_query(&url, "account", user);
    if (request->wants_refresh_token) {
        url_add_query(&url, "client_id", CLIENT_ID);
        url_add_query(&url, "offline_token", "true");
    }
    get.url = str_text(&url);
    return http_request(http, &get, out, err);
}

/* POST with grant_type refresh_token or password. */
static int fetch_by_post(struct http *http, const struct token_request *request,
                         struct http_response *out, struct error *err)
{
    const struct credential *who = request->credential;
    auto_strv struct strv headers = {0};
    auto_str struct str scopes = {0};
    auto_str struct str url = {0};
    auto_secret_str struct str form = {0};
    struct http_request post = {
        .method = "POST",
        .headers = &headers,
        .response_size_max = TOKEN_ANSWER_MAX,
        .no_redirects = true,
        .retry_unsafe = true, /* asking twice gives two tokens */
    };

    for (size_t i = 0; request->scopes && i < request->scopes->count; i++)
        str_addf(&scopes, "%s%s", i > 0 ? " " : "", request->scopes->items[i]);
    add_form(&form, "grant_type", who->identity_token ? "refresh_token" : "password");
    add_form(&form, "service", request->service);
    add_form(&form, "client_id", CLIENT_ID);
    add_form(&form, "scope", scopes.size > 0 ? str_text(&scopes) : NULL);
    add_form(&form, "refresh_token", who->identity_token);
    if (!who->identity_token) {
        add_form(&form, "username", who->user);
        add_form(&form, "password", who->secret);
        add_form(&form, "access_type", request->wants_refresh_token ? "offline" : "online");
    }
    strv_add(&headers, "Content-Type: application/x-www-form-urlencoded");
    url_format(request->realm, &url);
    post.url = str_text(&url);
    post.body = form.data;
    post.body_size = form.size;
    return http_request(http, &post, out, err);
}

/* Services without the POST flow answer it with one of these (so do GCR and Artifactory). */
static bool is_no_such_flow(unsigned status)
{
    return status == 404 || status == 405 || status == 401;
}

/* Passwords go by GET, which every service has; identity tokens by POST, which was made for them;
 * each falls back on the other. */
static int converse(struct http *http, const struct token_request *request,
                    struct http_response *out, struct error *err)
{
    const struct credential *who = request->credential;
    int r;

    if (who->identity_token) {
        r = fetch_by_post(http, request, out, err);
        if (r < 0 || !is_no_such_flow(out->status))
            return r;
        return fetch_by_get(http, request, who->user, who->identity_token, out, err);
    }
    r = fetch_by_get(http, request, who->user, who->secret, out, err);
    if (r == 0 && who->user && (out->status == 404 || out->status == 405))
        r = fetch_by_post(http, request, out, err);
    return r;
}

/* "error_description" (RFC 6749 5.2), "details" (docker), or the first of "errors". */
static void add_reason(const struct http_response *answer, struct str *out)
{
    auto_json struct json *document = NULL;
    struct error ignored;
    const char *text;

    if (json_parse(str_text(&answer->body), answer->body.size, TOKEN_ANSWER_MAX, "answer",
                   &document, &ignored) < 0)
        return;
    text = json_get_text(document, "error_description");
    if (!text)
        text = json_get_text(document, "details");
    if (!text)
        text = json_get_text(json_at(json_get_array(document, "errors"), 0), "message");
    if (!text)
        return;
    str_add(out, ": ");
    str_add_escaped(out, text, strnlen(text, 200));
}

static int refused(const struct token_request *request, const struct http_response *answer,
                   struct error *err)
{
    auto_str struct str reason = {0};
    const struct credential *who = request->credential;

    add_reason(answer, &reason);
    if (answer->status == 401 && !credential_is_empty(who))
        return error_set(err, EACCES, "the token service of '%s' refuses the credentials%s%s%s%s",
                         request->host, who->user ? " of '" : "", who->user ? who->user : "",
                         who->user ? "'" : "", str_text(&reason));
    if (answer->status == 401 || answer->status == 403 || answer->status == 400)
        return error_set(err, EACCES, "the token service of '%s' gives no access%s", request->host,
                         str_text(&reason));
    if (answer->status == 429)
        return error_set(err, EBUSY, "the token service of '%s' is asked too often%s",
                         request->host, str_text(&reason));
    return error_set(err, EPROTO, "the token service of '%s' answers with status %u%s",
                     request->host, answer->status, str_text(&reason));
}

/* It becomes part of a header line: visible ASCII only. */
static bool is_token(const char *text)
{
    size_t length = text ? strlen(text) : 0;

    if (length == 0 || length > TOKEN_SIZE_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= 0x20 || text[i] >= 0x7f)
            return false;
    }
    return true;
}

static int read_token(const struct token_request *request, const struct http_response *answer,
                      struct token *out, struct error *err)
{
    auto_free char *what = str_format("answer of the token service of '%s'", request->host);
    auto_json struct json *document = NULL;
    int64_t life = TOKEN_LIFE_DEFAULT;
    const char *text;

    if (json_parse(str_text(&answer->body), answer->body.size, TOKEN_ANSWER_MAX, what, &document,
                   err) < 0)
        return error_set(err, EPROTO,
                         "the token service of '%s' answers something that is not JSON",
                         request->host);
    text = json_get_text(document, "token");
    if (!text || text[0] == '\0')
        text = json_get_text(document, "access_token");
    if (!is_token(text))
        return error_set(err, EPROTO, "the token service of '%s' answers without a usable token",
                         request->host);
    /* A life that is absent, nonsense or too short to be of use is the default. */
    if (json_get_int(document, "expires_in", TOKEN_LIFE_DEFAULT, INT64_MAX, &life) < 0)
        life = TOKEN_LIFE_DEFAULT;
    if (life > TOKEN_LIFE_MAX)
        life = TOKEN_LIFE_MAX;
    out->text = mem_strdup(text);
    out->life_ms = (uint64_t)life * 1000;
    text = json_get_text(document, "refresh_token");
    out->refresh_token = is_token(text) ? mem_strdup(text) : NULL;
    return 0;
}

int token_fetch(struct http *http, const struct token_request *request, struct token *out,
                struct error *err)
{
    auto_http_response struct http_response answer = {0};
    int r = converse(http, request, &answer, err);

    if (r < 0)
        return error_wrap(err, "cannot get a token for '%s'", request->host);
    r = answer.status == 200 ? read_token(request, &answer, out, err)
                             : refused(request, &answer, err);
    if (answer.body.data)
        explicit_bzero(answer.body.data, answer.body.capacity);
    return r;
}
